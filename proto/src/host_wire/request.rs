//! Requests to change a host's networks.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use trestle_model::{
    BondChange, Code, ConnectivityCheck, Fence, Finding, Findings, IfName, NetworkChange, NicChange, Origin, Scope,
    SetupOptions, SetupRequest, TransactionId,
};

use super::bond::{build_bond, read_bond, read_bond_removal};
use super::build_network;
use super::network::{read_network, read_removal};
use super::nic::{build_nic_spec, read_nic_removal, read_nic_spec};
use crate::form::{Form, quoted};
use crate::host::v1 as wire;

/// What a request does not say of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetupContext {
    /// Who asks: the one who also has to confirm.
    pub origin: Origin,
    /// The transaction's id where the request has none.
    pub fresh: TransactionId,
}

/// Reads a request to change a host's networks.
///
/// The request's origin also has to confirm the change. A fence is kept for the engine, and for a local client that
/// gives one of its own accord.
///
/// *Errors*: every violation, with the path of its field.
pub fn parse_setup(request: &wire::SetupNetworksRequest, context: SetupContext) -> Result<SetupRequest, Findings> {
    let mut form = Form::default();
    let changes = read_changes(&mut form, &request.networks);
    let bonds = read_bonds(&mut form, &request.bonds);
    let nics = read_nics(&mut form, &request.nics);
    let transaction = match request.request_id.as_str() {
        "" => Some(context.fresh),
        text => form.name("request_id", text, Code::NameInvalid, TransactionId::parse),
    };
    let connectivity_check = read_check(&mut form, request, context.origin);
    let acknowledge = read_acknowledged(&mut form, &request.acknowledge_warnings);
    let scope = read_scope(&mut form, request);
    let adopt = read_adopted(&mut form, &request.adopt_devices);
    let fence = Fence { epoch: request.fencing_epoch, generation: request.generation };
    let request = transaction.map(|transaction| SetupRequest {
        changes,
        bonds,
        nics,
        options: SetupOptions {
            transaction,
            origin: context.origin,
            connectivity_check,
            commit_on_success: request.commit_on_success,
            validate_only: request.validate_only,
            acknowledge,
            fence: (context.origin == Origin::Engine || fence != Fence::default()).then_some(fence),
            scope,
            adopt,
        },
    });
    form.finish(request)
}

/// Builds the wire's form of a request.
pub fn build_setup(request: &SetupRequest) -> wire::SetupNetworksRequest {
    let options = &request.options;
    let check = match options.connectivity_check {
        ConnectivityCheck::Engine(_) | ConnectivityCheck::Local(_) => wire::ConnectivityCheck::Confirm,
        ConnectivityCheck::None => wire::ConnectivityCheck::None,
    };
    let fence = options.fence.unwrap_or_default();
    wire::SetupNetworksRequest {
        networks: request.changes.iter().map(build_change).collect(),
        bonds: request.bonds.iter().map(build_bond_change).collect(),
        nics: request.nics.iter().map(build_nic_change).collect(),
        connectivity_check: check.into(),
        connectivity_timeout: options.connectivity_check.timeout().map(wire_duration),
        commit_on_success: options.commit_on_success,
        validate_only: options.validate_only,
        acknowledge_warnings: options.acknowledge.iter().map(|code| code.as_str().to_owned()).collect(),
        request_id: options.transaction.to_string(),
        fencing_epoch: fence.epoch,
        generation: fence.generation,
        scope: match options.scope {
            Scope::Named => wire::Scope::Named,
            Scope::Everything => wire::Scope::Everything,
            Scope::Persistent => wire::Scope::Persistent,
        }
        .into(),
        adopt_devices: options.adopt.iter().map(ToString::to_string).collect(),
    }
}

/// Reads the id of a transaction that a request is about; `field` is its path.
///
/// *Errors*: `FIELD_MISSING`, `NAME_INVALID`.
pub fn parse_transaction(text: &str, field: &str) -> Result<TransactionId, Findings> {
    let mut form = Form::default();
    let id = form.name(field, text, Code::NameInvalid, TransactionId::parse);
    form.finish(id)
}

/// Reads the warning codes that do not stop a request.
pub(crate) fn read_acknowledged(form: &mut Form, codes: &[String]) -> Vec<Code> {
    let mut known = Vec::new();
    for (position, text) in codes.iter().enumerate() {
        match Code::parse(text) {
            Some(code) => known.push(code),
            None => {
                let path = format!("acknowledge_warnings[{position}]");
                let finding = Finding::error(Code::CodeUnknown, path, format!("{} is no known code", quoted(text)));
                form.note(finding.remedy("give a finding's code as it was printed, such as NO_EFFECT_NOT_BRIDGED"));
            }
        }
    }
    known
}

/// Builds a duration; one that is longer than the wire can say becomes the longest.
pub(crate) fn wire_duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or_default(),
    }
}

fn read_changes(form: &mut Form, networks: &[wire::Network]) -> Vec<NetworkChange> {
    let mut changes = Vec::new();
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    for (position, network) in networks.iter().enumerate() {
        let path = format!("networks[{position}]");
        let change = if network.remove {
            read_removal(form, &path, network).map(NetworkChange::Remove)
        } else {
            read_network(form, &path, network).map(NetworkChange::Set)
        };
        changes.extend(change);
        let earlier = *first.entry(&network.name).or_insert(position);
        if earlier != position && !network.name.is_empty() {
            let message = format!("network {} is named by networks[{earlier}] already", quoted(&network.name));
            let finding = Finding::error(Code::Duplicate, format!("{path}.name"), message);
            form.note(finding.remedy("name each network once"));
        }
    }
    changes
}

fn read_scope(form: &mut Form, request: &wire::SetupNetworksRequest) -> Scope {
    match form.known("scope", request.scope) {
        Some(wire::Scope::Everything) => Scope::Everything,
        Some(wire::Scope::Persistent) => {
            if !(request.networks.is_empty() && request.bonds.is_empty() && request.nics.is_empty()) {
                let message = "the persistent configuration says what the host is to be, and so does the request";
                let finding = Finding::error(Code::FieldConflict, "scope", message);
                form.note(finding.remedy("leave networks, bonds and nics out, or give another scope"));
            }
            Scope::Persistent
        }
        Some(wire::Scope::Unspecified | wire::Scope::Named) | None => Scope::Named,
    }
}

fn read_adopted(form: &mut Form, names: &[String]) -> BTreeSet<IfName> {
    let read = |(position, name): (usize, &String)| {
        form.name(&format!("adopt_devices[{position}]"), name, Code::NameInvalid, IfName::parse)
    };
    names.iter().enumerate().filter_map(read).collect()
}

fn read_bonds(form: &mut Form, bonds: &[wire::Bond]) -> Vec<BondChange> {
    let mut changes = Vec::new();
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    for (position, bond) in bonds.iter().enumerate() {
        let path = format!("bonds[{position}]");
        let change = if bond.remove {
            read_bond_removal(form, &path, bond).map(BondChange::Remove)
        } else {
            read_bond(form, &path, bond).map(BondChange::Set)
        };
        changes.extend(change);
        let earlier = *first.entry(&bond.name).or_insert(position);
        if earlier != position && !bond.name.is_empty() {
            let message = format!("bond {} is named by bonds[{earlier}] already", quoted(&bond.name));
            let finding = Finding::error(Code::Duplicate, format!("{path}.name"), message);
            form.note(finding.remedy("name each bond once"));
        }
    }
    changes
}

fn read_nics(form: &mut Form, nics: &[wire::Nic]) -> Vec<NicChange> {
    let mut changes = Vec::new();
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    for (position, nic) in nics.iter().enumerate() {
        let path = format!("nics[{position}]");
        let change = if nic.remove {
            read_nic_removal(form, &path, nic).map(NicChange::Remove)
        } else {
            read_nic_spec(form, &path, nic).map(NicChange::Set)
        };
        changes.extend(change);
        let earlier = *first.entry(&nic.name).or_insert(position);
        if earlier != position && !nic.name.is_empty() {
            let message = format!("NIC {} is named by nics[{earlier}] already", quoted(&nic.name));
            let finding = Finding::error(Code::Duplicate, format!("{path}.name"), message);
            form.note(finding.remedy("name each NIC once"));
        }
    }
    changes
}

fn read_check(form: &mut Form, request: &wire::SetupNetworksRequest, origin: Origin) -> ConnectivityCheck {
    let timeout = read_timeout(form, request.connectivity_timeout.as_ref());
    match form.known("connectivity_check", request.connectivity_check) {
        Some(wire::ConnectivityCheck::None) => ConnectivityCheck::None,
        Some(wire::ConnectivityCheck::Unspecified | wire::ConnectivityCheck::Confirm) | None => match origin {
            Origin::Engine => ConnectivityCheck::Engine(timeout),
            Origin::Local => ConnectivityCheck::Local(timeout),
        },
    }
}

fn read_timeout(form: &mut Form, given: Option<&prost_types::Duration>) -> Duration {
    let Some(given) = given else { return ConnectivityCheck::DEFAULT_TIMEOUT };
    let allowed = ConnectivityCheck::LEAST_TIMEOUT..=ConnectivityCheck::MOST_TIMEOUT;
    let read = u64::try_from(given.seconds).ok().zip(u32::try_from(given.nanos).ok());
    // Nanoseconds beyond a second are malformed, and would carry over into the seconds.
    match read.filter(|(_, nanos)| *nanos < 1_000_000_000).map(|(seconds, nanos)| Duration::new(seconds, nanos)) {
        Some(timeout) if allowed.contains(&timeout) => timeout,
        _ => {
            let message = "the wait for a confirmation is out of range 1 s..10 min";
            let finding = Finding::error(Code::TimeoutOutOfRange, "connectivity_timeout", message);
            form.note(finding.remedy("give 1 s to 10 min, or leave it out for 30 s"));
            ConnectivityCheck::DEFAULT_TIMEOUT
        }
    }
}

fn build_bond_change(change: &BondChange) -> wire::Bond {
    match change {
        BondChange::Set(spec) => build_bond(spec),
        BondChange::Remove(name) => wire::Bond { name: name.to_string(), remove: true, ..wire::Bond::default() },
    }
}

fn build_nic_change(change: &NicChange) -> wire::Nic {
    match change {
        NicChange::Set(spec) => build_nic_spec(spec),
        NicChange::Remove(name) => wire::Nic { name: name.to_string(), remove: true, ..wire::Nic::default() },
    }
}

fn build_change(change: &NetworkChange) -> wire::Network {
    match change {
        NetworkChange::Set(spec) => build_network(spec),
        NetworkChange::Remove(name) => {
            wire::Network { name: name.to_string(), remove: true, ..wire::Network::default() }
        }
    }
}
