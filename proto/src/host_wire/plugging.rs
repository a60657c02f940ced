//! Wishes for interfaces of a domain, and what became of them.

use std::collections::BTreeMap;

use trestle_model::{
    Code, DomainKey, FilterReference, Finding, Findings, MacAddr, PlugAction, PlugReport, PlugRequest, Replug,
    WantedInterface,
};

use super::bandwidth::{build_bandwidth, read_bandwidth};
use super::capabilities::build_domain;
use crate::finding_wire;
use crate::form::{Form, quoted};
use crate::host::v1 as wire;

/// The longest name of a domain, network, filter or parameter, in characters.
const MOST_NAME: usize = 256;
/// The longest word for a model, in characters.
const MOST_MODEL: usize = 32;
/// How many parameters a filter may have.
const MOST_PARAMETERS: usize = 64;
/// The device that a guest sees where nothing is said.
const DEFAULT_MODEL: &str = "virtio";

/// Reads a wish for interfaces.
///
/// *Errors*: every violation, with the path of its field.
pub fn parse_plug(request: &wire::SetDomainInterfacesRequest) -> Result<PlugRequest, Findings> {
    let mut form = Form::default();
    let domain = read_name(&mut form, "domain", &request.domain, "give the domain's UUID or name");
    let mut named = Named::default();
    limit(&mut form, "remove", request.remove.len());
    let mut remove = Vec::new();
    for (position, text) in request.remove.iter().take(PlugRequest::MOST_INTERFACES).enumerate() {
        remove.extend(named.read(&mut form, format!("remove[{position}]"), text));
    }
    limit(&mut form, "set", request.set.len());
    let mut set = Vec::new();
    for (position, wanted) in request.set.iter().take(PlugRequest::MOST_INTERFACES).enumerate() {
        set.extend(read_wanted(&mut form, &format!("set[{position}]"), wanted, &mut named));
    }
    if request.remove.is_empty() && request.set.is_empty() {
        form.missing("set", "name an interface to set or to remove");
    }
    let replug = match form.known("replug", request.replug) {
        Some(wire::Replug::Allow) => Replug::Allow,
        Some(wire::Replug::Unspecified | wire::Replug::Refuse) | None => Replug::Refuse,
    };
    let request = domain.map(|domain| PlugRequest {
        domain: DomainKey::parse(&domain),
        set,
        remove,
        replug,
        validate_only: request.validate_only,
    });
    form.finish(request)
}

/// Builds a wish for interfaces.
pub fn build_plug(request: &PlugRequest) -> wire::SetDomainInterfacesRequest {
    let wanted = |wanted: &WantedInterface| wire::WantedInterface {
        mac: wanted.mac.to_string(),
        network: wanted.network.clone(),
        model: wanted.model.clone(),
        mtu: wanted.mtu.map(u32::from),
        linked: Some(wanted.linked),
        isolated: wanted.isolated,
        filter: wanted.filter.as_ref().map(build_filter),
        bandwidth: build_bandwidth(&wanted.bandwidth),
    };
    let replug = match request.replug {
        Replug::Refuse => wire::Replug::Refuse,
        Replug::Allow => wire::Replug::Allow,
    };
    wire::SetDomainInterfacesRequest {
        domain: request.domain.to_string(),
        set: request.set.iter().map(wanted).collect(),
        remove: request.remove.iter().map(MacAddr::to_string).collect(),
        replug: replug.into(),
        validate_only: request.validate_only,
    }
}

/// Builds what became of a wish.
pub fn build_plugged(report: &PlugReport) -> wire::SetDomainInterfacesResponse {
    let outcome = |(mac, action): &(MacAddr, PlugAction)| wire::InterfaceOutcome {
        mac: mac.to_string(),
        action: match action {
            PlugAction::Unchanged => wire::InterfaceAction::Unchanged,
            PlugAction::Updated => wire::InterfaceAction::Updated,
            PlugAction::Rewired => wire::InterfaceAction::Rewired,
            PlugAction::Plugged => wire::InterfaceAction::Plugged,
            PlugAction::Replugged => wire::InterfaceAction::Replugged,
            PlugAction::Unplugged => wire::InterfaceAction::Unplugged,
        }
        .into(),
    };
    wire::SetDomainInterfacesResponse {
        domain: Some(build_domain(&report.domain)),
        interfaces: report.outcomes.iter().map(outcome).collect(),
        findings: finding_wire::build_all(&report.findings),
    }
}

/// Where each MAC was named first.
#[derive(Default)]
struct Named(BTreeMap<MacAddr, String>);

impl Named {
    fn read(&mut self, form: &mut Form, path: String, text: &str) -> Option<MacAddr> {
        if text.is_empty() {
            form.missing(path, "give the interface's MAC");
            return None;
        }
        let mac = form.mac(&path, text)?;
        if let Some(earlier) = self.0.get(&mac) {
            let finding = Finding::error(Code::Duplicate, path, format!("{mac} is named in {earlier} already"));
            form.note(finding.remedy("name each interface once"));
            return None;
        }
        self.0.insert(mac, path);
        Some(mac)
    }
}

fn read_wanted(
    form: &mut Form,
    path: &str,
    wanted: &wire::WantedInterface,
    named: &mut Named,
) -> Option<WantedInterface> {
    let mac = named.read(form, format!("{path}.mac"), &wanted.mac);
    let remedy = "name a network of the host, or a network of libvirt's; libvirt has no interface without one";
    let network = read_name(form, &format!("{path}.network"), &wanted.network, remedy);
    let model = read_model(form, format!("{path}.model"), &wanted.model);
    let mtu = wanted.mtu.map(|_| form.mtu(&format!("{path}.mtu"), wanted.mtu));
    let filter = match &wanted.filter {
        Some(filter) => Some(read_filter(form, &format!("{path}.filter"), filter)?),
        None => None,
    };
    let bandwidth = read_bandwidth(form, &format!("{path}.bandwidth"), wanted.bandwidth.as_ref());
    Some(WantedInterface {
        mac: mac?,
        network: network?,
        model: model?,
        mtu,
        linked: wanted.linked.unwrap_or(true),
        isolated: wanted.isolated,
        bandwidth,
        filter,
    })
}

fn read_model(form: &mut Form, path: String, text: &str) -> Option<String> {
    if text.is_empty() {
        return Some(DEFAULT_MODEL.to_owned());
    }
    let is_word = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if is_word && text.len() <= MOST_MODEL {
        return Some(text.to_owned());
    }
    let finding = Finding::error(Code::NameInvalid, path, format!("{} is no model of a device", quoted(text)));
    form.note(finding.remedy("give a model of libvirt's, such as virtio or e1000e"));
    None
}

fn read_filter(form: &mut Form, path: &str, filter: &wire::FilterReference) -> Option<FilterReference> {
    let name = read_name(form, &format!("{path}.name"), &filter.name, "name a filter, or leave the filter out");
    let parameters = read_parameters(form, &format!("{path}.parameters"), &filter.parameters);
    Some(FilterReference { name: name?, parameters })
}

/// Reads a filter's parameters, in order.
pub(crate) fn read_parameters(
    form: &mut Form,
    path: &str,
    parameters: &[wire::FilterParameter],
) -> Vec<(String, String)> {
    if parameters.len() > MOST_PARAMETERS {
        let message = format!("{} parameters are more than {MOST_PARAMETERS}", parameters.len());
        form.note(Finding::error(Code::TooLong, path, message).remedy("leave some out"));
    }
    let mut read = Vec::new();
    for (position, parameter) in parameters.iter().take(MOST_PARAMETERS).enumerate() {
        let path = format!("{path}[{position}]");
        let name = read_name(form, &format!("{path}.name"), &parameter.name, "name the parameter, such as IP");
        let value = read_name(form, &format!("{path}.value"), &parameter.value, "give the parameter's value");
        read.extend(name.zip(value));
    }
    read
}

/// Builds a filter's parameters, in order.
pub(crate) fn build_parameters(parameters: &[(String, String)]) -> Vec<wire::FilterParameter> {
    let build = |(name, value): &(String, String)| wire::FilterParameter { name: name.clone(), value: value.clone() };
    parameters.iter().map(build).collect()
}

/// Builds a reference to a filter.
pub(super) fn build_filter(filter: &FilterReference) -> wire::FilterReference {
    wire::FilterReference { name: filter.name.clone(), parameters: build_parameters(&filter.parameters) }
}

/// Reads a required word of libvirt's, which has no characters that XML cannot carry.
fn read_name(form: &mut Form, path: &str, text: &str, remedy: &str) -> Option<String> {
    if text.is_empty() {
        form.missing(path, remedy);
        return None;
    }
    if text.chars().count() > MOST_NAME {
        let message = format!("{} is longer than {MOST_NAME} characters", quoted(text));
        form.note(Finding::error(Code::NameInvalid, path, message).remedy("shorten it"));
        return None;
    }
    if let Some(bad) = text.chars().find(|c| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}')) {
        let message = format!("{} has the character {bad:?}", quoted(text));
        form.note(Finding::error(Code::NameInvalid, path, message).remedy("leave the character out"));
        return None;
    }
    Some(text.to_owned())
}

fn limit(form: &mut Form, path: &str, count: usize) {
    let most = PlugRequest::MOST_INTERFACES;
    if count > most {
        let message = format!("{count} interfaces are more than {most}");
        form.note(Finding::error(Code::TooLong, path, message).remedy("ask in several requests"));
    }
}

#[cfg(test)]
mod tests;
