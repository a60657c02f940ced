//! What a guest breaks that is plugged on a host, whoever plugged it.

use trestle_model::fleet::{EntityId, Fleet, Sighting};
use trestle_model::{Code, Finding, NetworkName, Severity};

use crate::matrix::{Fix, may_spoof_unknown, owners_of_its_mac, told};
use crate::spot::{Named, vnic_name};

/// Finds what a reported interface breaks.
///
/// *Shape*: at most one finding a rule, in a fixed order; about its vNIC where it is one, else about its host. Errors where the
/// domain is live, else warnings: what it will break when it starts. No field: nothing was asked for.
pub fn violations(fleet: &Fleet, sighting: &Sighting<'_>) -> Vec<Finding> {
    let Some(network) = sighting.network else { return Vec::new() };
    let severity = if sighting.domain.state.is_live() { Severity::Error } else { Severity::Warning };
    let mut findings = Vec::new();
    if is_managed(fleet, network, sighting) {
        findings.extend(spoofing(fleet, network, severity, sighting));
        findings.extend(past_libvirt(fleet, network, sighting));
    }
    findings.extend(duplicate(fleet, network, severity, sighting));
    findings
}

/// As it is to be, or as the host still has it.
fn is_managed(fleet: &Fleet, network: &NetworkName, sighting: &Sighting<'_>) -> bool {
    let is_wanted = fleet.networks().get(network).is_some_and(|network| network.is_managed());
    is_wanted || fleet.is_managed_on(network, sighting.host)
}

/// Rows 2 and 18.
fn spoofing(fleet: &Fleet, network: &NetworkName, severity: Severity, sighting: &Sighting<'_>) -> Option<Finding> {
    may_spoof_unknown(fleet, sighting, Fix::Leave).then(|| {
        let filter = match &sighting.interface.filter {
            Some(filter) => format!("its filter {} does not stop it", filter.name),
            None => "it has no filter".to_owned(),
        };
        let message = format!("{} may send with a foreign MAC on managed network {network}: {filter}", told(sighting));
        let finding = finding(fleet, severity, Code::MacSpoofConflict, message, sighting).related([name_of(network)]);
        finding.remedy("give the interface a filter that stops MAC spoofing, such as no-mac-spoofing, or unplug it")
    })
}

/// libvirt's network does not know the guest.
fn past_libvirt(fleet: &Fleet, network: &NetworkName, sighting: &Sighting<'_>) -> Option<Finding> {
    sighting.interface.network.is_none().then(|| {
        let message = format!("{} is wired past libvirt's network to managed network {network}", told(sighting));
        let finding = finding(fleet, Severity::Warning, Code::GuestWiredPastLibvirt, message, sighting);
        let remedy = format!("wire it with <interface type='network'> to {}", network.libvirt_network());
        finding.related([name_of(network)]).remedy(remedy)
    })
}

/// Row 19, and its like on networks that are not managed.
fn duplicate(fleet: &Fleet, network: &NetworkName, severity: Severity, sighting: &Sighting<'_>) -> Option<Finding> {
    let owners = Named::vnics(owners_of_its_mac(fleet, network, sighting));
    (!owners.is_empty()).then(|| {
        let message = format!("{} has a MAC of {owners} on network {network}", told(sighting));
        let finding = finding(fleet, severity, Code::DuplicateMac, message, sighting).related(owners.names);
        finding.remedy("give the guest another MAC, or unplug it")
    })
}

fn finding(fleet: &Fleet, severity: Severity, code: Code, message: String, sighting: &Sighting<'_>) -> Finding {
    let finding = match severity {
        Severity::Error => Finding::error(code, "", message),
        Severity::Warning => Finding::warning(code, "", message),
        Severity::Info => Finding::info(code, "", message),
    };
    match fleet.vnic_of(sighting) {
        Some(vnic) => finding.about(vnic_name(vnic)),
        None => finding.about(EntityId::Host(sighting.host.clone())),
    }
}

fn name_of(network: &NetworkName) -> String {
    EntityId::Network(network.clone()).to_string()
}
