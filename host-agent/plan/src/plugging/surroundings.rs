//! Whether a wish fits the host: the domain, the networks and filters that it names, and who has its MACs.

use trestle_model::{
    Code, DomainState, DomainWiring, Finding, LibvirtNetwork, MacAddr, NetworkName, OwnFilter, PlugRequest,
    WantedInterface,
};

use super::{DomainSide, PlugSituation, of};
use crate::ownership;

/// An interface whose network is known.
pub(super) struct Resolved<'a> {
    pub(super) field: String,
    pub(super) wanted: &'a WantedInterface,
    /// libvirt's name of the network.
    pub(super) network: String,
}

/// Checks a wish, and finds its networks; what cannot be planned is left out of the answer, and has a finding.
pub(super) fn check<'a>(
    request: &'a PlugRequest,
    situation: &PlugSituation<'_>,
    findings: &mut Vec<Finding>,
) -> Vec<Resolved<'a>> {
    match situation.wiring {
        Some(wiring) => check_macs(request, wiring, findings),
        None => {
            let finding = Finding::error(Code::DomainNotFound, "domain", "libvirt has no such domain");
            findings.push(finding.about(&request.domain).remedy("name a domain as libvirt does, or give its UUID"));
        }
    }
    let mut resolved = Vec::new();
    for (position, wanted) in request.set.iter().enumerate() {
        let field = format!("set[{position}]");
        check_filter(&field, wanted, situation, findings);
        match network(&format!("{field}.network"), wanted, situation) {
            Ok(network) => {
                let network = network.name.clone();
                check_neighbors(&field, wanted, &network, situation, findings);
                resolved.push(Resolved { field, wanted, network });
            }
            Err(finding) => findings.push(*finding),
        }
    }
    resolved
}

/// An interface is known by its MAC, by libvirt too: two of one MAC in a domain cannot be told apart.
fn check_macs(request: &PlugRequest, wiring: &DomainWiring, findings: &mut Vec<Finding>) {
    let removed = request.remove.iter().enumerate().map(|(position, mac)| (format!("remove[{position}]"), *mac));
    let set = request.set.iter().enumerate().map(|(position, wanted)| (format!("set[{position}].mac"), wanted.mac));
    for (field, mac) in removed.chain(set) {
        let count = |side| of(wiring, side).unwrap_or_default().iter().filter(|has| has.told.mac == mac).count();
        if count(DomainSide::Live).max(count(DomainSide::Definition)) > 1 {
            let message = format!("{} has more than one interface with {mac}", wiring.name);
            let finding = Finding::error(Code::DuplicateMac, field, message).about(&wiring.name);
            findings.push(finding.remedy("give them different MACs, with libvirt's own tools"));
        }
    }
}

fn check_filter(field: &str, wanted: &WantedInterface, situation: &PlugSituation<'_>, findings: &mut Vec<Finding>) {
    let Some(filter) = &wanted.filter else { return };
    if OwnFilter::named(&filter.name).is_some() || situation.filters.contains(&filter.name) {
        return;
    }
    let message = format!("libvirt has no filter {}", filter.name);
    let finding = Finding::error(Code::FilterNotFound, format!("{field}.filter.name"), message).about(&filter.name);
    findings.push(finding.remedy("define it on the host, or name one of `virsh nwfilter-list`"));
}

/// Finds libvirt's network for a wanted interface.
fn network<'a>(
    field: &str,
    wanted: &WantedInterface,
    situation: &PlugSituation<'a>,
) -> Result<&'a LibvirtNetwork, Box<Finding>> {
    let name = &wanted.network;
    let ours = NetworkName::parse(name).ok().and_then(|name| situation.running.networks.get(&name));
    let libvirts = match ours.map(|entry| &entry.spec) {
        Some(spec) if spec.bridge().is_none() => {
            let message = format!("network {name} has no bridge, and so no guests");
            let finding = Finding::error(Code::NetworkNotPluggable, field, message).about(name);
            return Err(Box::new(finding.remedy("name a bridged network, or give this one a bridge")));
        }
        Some(spec) => ownership::libvirt_name(&spec.name),
        None => name.clone(),
    };
    let Some(found) = situation.libvirt.networks.get(&libvirts) else {
        let message = match ours {
            Some(_) => format!("network {name} of the host lacks its libvirt network {libvirts}"),
            None => format!("neither the host nor libvirt has a network {name}"),
        };
        let finding = Finding::error(Code::NetworkNotFound, field, message).about(name);
        return Err(Box::new(finding.remedy("name a network of `trestlectl host list`, or set the network up first")));
    };
    let runs = situation.wiring.is_some_and(|wiring| wiring.live.is_some());
    if runs && !found.active {
        let message = format!("libvirt's network {libvirts} is not active, and the guest runs");
        let finding = Finding::error(Code::NetworkNotPluggable, field, message).about(name);
        return Err(Box::new(finding.remedy(format!("start it: virsh net-start {libvirts}"))));
    }
    Ok(found)
}

/// A MAC has one place in a network: two guests with one deafen each other.
fn check_neighbors(
    field: &str,
    wanted: &WantedInterface,
    network: &str,
    situation: &PlugSituation<'_>,
    findings: &mut Vec<Finding>,
) {
    let bridge = situation.libvirt.networks.get(network).and_then(|network| network.bridge.as_deref());
    // Without a domain, nobody knows who the others are.
    let Some(own) = situation.wiring.map(|wiring| wiring.uuid) else { return };
    for other in situation.libvirt.domains.iter().filter(|domain| domain.uuid != own) {
        let is_there = |interface: &trestle_model::DomainInterface| {
            let is_on_bridge = bridge.is_some() && interface.bridge.as_deref() == bridge;
            interface.mac == wanted.mac && (interface.network.as_deref() == Some(network) || is_on_bridge)
        };
        if !other.interfaces.iter().any(is_there) {
            continue;
        }
        let about = |finding: Finding| finding.about(wanted.mac).related([other.name.clone()]);
        findings.push(match other.state {
            DomainState::ShutOff => about(Finding::info(Code::DuplicateMac, mac_field(field), stopped(&wanted.mac))),
            DomainState::Running | DomainState::Paused | DomainState::Other => {
                let message = format!("{} is on the network with {} already", other.name, wanted.mac);
                about(Finding::error(Code::DuplicateMac, mac_field(field), message))
                    .remedy("unplug it there first, or give another MAC")
            }
        });
    }
}

fn mac_field(field: &str) -> String {
    format!("{field}.mac")
}

fn stopped(mac: &MacAddr) -> String {
    format!("a domain that is shut off is defined with {mac} on the network, too: start only one of them")
}
