//! The domains of a report.

use std::collections::BTreeSet;

use prost::Message as _;
use trestle_model::{Code, Domain, DomainInterface, DomainPersistence, DomainState, FilterReference, Finding};

use super::parse::{read_all, read_required, read_text, unsaid};
use crate::form::Form;
use crate::host::v1 as wire;
use crate::host_wire::plugging::build_filter;
use crate::host_wire::{build_bandwidth, reported_bandwidth};

/// Bytes that a domain's name takes at most; libvirt's own are far shorter.
const NAME_LIMIT: usize = 1024;
/// Bytes that an interface takes at most, with the parameters of its filter.
const INTERFACE_LIMIT: usize = 16 * 1024;

/// Builds a domain.
pub(crate) fn build_domain(domain: &Domain) -> wire::Domain {
    wire::Domain {
        name: domain.name.clone(),
        uuid: domain.uuid.to_string(),
        state: build_state(domain.state).into(),
        transient: domain.persistence == DomainPersistence::Transient,
        interfaces: domain.interfaces.iter().map(build_interface).collect(),
    }
}

/// Builds what a domain does.
pub(crate) const fn build_state(state: DomainState) -> wire::DomainState {
    match state {
        DomainState::Running => wire::DomainState::Running,
        DomainState::Paused => wire::DomainState::Paused,
        DomainState::ShutOff => wire::DomainState::ShutOff,
        DomainState::Other => wire::DomainState::Other,
    }
}

/// Builds an interface of a domain.
pub(crate) fn build_interface(interface: &DomainInterface) -> wire::DomainInterface {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    wire::DomainInterface {
        mac: interface.mac.to_string(),
        attachment: interface.attachment.clone(),
        network: text(&interface.network),
        bridge: text(&interface.bridge),
        tap: interface.tap.as_ref().map(ToString::to_string).unwrap_or_default(),
        filter: interface.filter.as_ref().map(build_filter),
        model: text(&interface.model),
        mtu: interface.mtu,
        linked: interface.linked,
        alias: text(&interface.alias),
        isolated: interface.isolated,
        bandwidth: build_bandwidth(&interface.bandwidth),
    }
}

/// Reads the domains; one UUID is one domain's.
pub(super) fn read_domains(form: &mut Form, domains: &[wire::Domain]) -> Vec<Domain> {
    let mut seen = BTreeSet::new();
    read_all(form, "domains", domains, read)
        .into_iter()
        .inspect(|domain| {
            if !seen.insert(domain.uuid) {
                let message = format!("{} is the UUID of more than one domain", domain.uuid);
                form.note(Finding::error(Code::Duplicate, "domains", message).about(domain.uuid));
            }
        })
        .collect()
}

/// Reads a domain.
fn read(form: &mut Form, path: &str, domain: &wire::Domain) -> Option<Domain> {
    if domain.name.len() > NAME_LIMIT {
        let message = format!("the name has {} bytes, {NAME_LIMIT} are the most", domain.name.len());
        form.note(Finding::error(Code::TooLong, format!("{path}.name"), message));
    }
    let uuid = read_required(form, &format!("{path}.uuid"), &domain.uuid, Code::NameInvalid);
    let state_path = format!("{path}.state");
    let state = match form.known(&state_path, domain.state) {
        Some(wire::DomainState::Running) => Some(DomainState::Running),
        Some(wire::DomainState::Paused) => Some(DomainState::Paused),
        Some(wire::DomainState::ShutOff) => Some(DomainState::ShutOff),
        Some(wire::DomainState::Other) => Some(DomainState::Other),
        Some(wire::DomainState::Unspecified) => unsaid(form, state_path),
        None => None,
    };
    Some(Domain {
        name: domain.name.clone(),
        persistence: if domain.transient { DomainPersistence::Transient } else { DomainPersistence::Persistent },
        interfaces: read_all(form, &format!("{path}.interfaces"), &domain.interfaces, read_interface),
        uuid: uuid?,
        state: state?,
    })
}

fn read_interface(form: &mut Form, path: &str, interface: &wire::DomainInterface) -> Option<DomainInterface> {
    let text = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let bytes = interface.encoded_len();
    if bytes > INTERFACE_LIMIT {
        let message = format!("the interface takes {bytes} bytes, {INTERFACE_LIMIT} are the most");
        form.note(Finding::error(Code::TooLong, path, message));
        return None;
    }
    let mac = read_required(form, &format!("{path}.mac"), &interface.mac, Code::BadAddress);
    Some(DomainInterface {
        attachment: interface.attachment.clone(),
        network: text(&interface.network),
        bridge: text(&interface.bridge),
        tap: read_text(form, &format!("{path}.tap"), &interface.tap, Code::NameInvalid),
        filter: interface.filter.as_ref().map(|filter| FilterReference {
            name: filter.name.clone(),
            parameters: filter.parameters.iter().map(|p| (p.name.clone(), p.value.clone())).collect(),
        }),
        model: text(&interface.model),
        mtu: interface.mtu,
        linked: interface.linked,
        alias: text(&interface.alias),
        isolated: interface.isolated,
        bandwidth: reported_bandwidth(interface.bandwidth.as_ref()),
        mac: mac?,
    })
}
