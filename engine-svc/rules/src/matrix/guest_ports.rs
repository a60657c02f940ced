//! Rows 4 and 6: what guests on a managed network may have beside one MAC and untagged frames, which not every host can
//! give them; and the lock of their ports, which is of row 16.

use trestle_model::fleet::{EntityId, Fleet, GuestTagging, Network, Vnic, VnicProfile};
use trestle_model::{Code, Feature, Finding, GuestPorts, HostName, SourceMacs};

use super::hosts::Incapable;
use crate::spot::{Named, Spot, enumerate, profile_name};

/// The VLAN whose frames pass untagged, unless the bridge's options have another.
const DEFAULT_PVID: u16 = 1;

/// Rows 4 and 6 for a managed `network` that comes to `hosts`: what its vNICs and profiles list.
pub(crate) fn guests(fleet: &Fleet, network: &Network, hosts: &[&HostName], spot: &Spot, field: &str) -> Vec<Finding> {
    let mut findings = extra_macs(fleet, network, fleet.vnics_on(&network.id), hosts.iter().copied(), spot, field);
    findings.extend(guest_vlans(fleet, network, fleet.profiles_of(&network.id), hosts.iter().copied(), spot, field));
    findings
}

/// Row 4: vNICs on a managed `network` list extra MACs, and some of `hosts` cannot make entries for them; or they list more
/// than any host takes.
pub(crate) fn extra_macs<'a>(
    fleet: &Fleet,
    network: &Network,
    vnics: impl IntoIterator<Item = &'a Vnic>,
    hosts: impl IntoIterator<Item = &'a HostName>,
    spot: &Spot,
    field: &str,
) -> Vec<Finding> {
    let users: Vec<&Vnic> = vnics.into_iter().filter(|vnic| !vnic.extra_macs.is_empty()).collect();
    let mut findings = Vec::new();
    if users.is_empty() {
        return findings;
    }
    let most = GuestPorts::MOST_EXTRA_MACS;
    let greedy = Named::vnics(users.iter().copied().filter(|vnic| vnic.extra_macs.len() > most));
    if !greedy.is_empty() {
        let message = format!("{greedy} list more extra MACs than the {most} that a host gives a guest");
        let related = greedy.names.into_iter().chain([name_of(network)]);
        let finding = spot.error(Code::ExtraMacsOverLimit, field, message).related(related);
        findings.push(finding.remedy("shorten their lists"));
    }
    let unable = Incapable::of(fleet, hosts, &[Feature::GuestPorts]);
    if !unable.names.is_empty() {
        let vnics = Named::vnics(users);
        let message = format!("{vnics} list extra MACs, and no entries are made for them on {}", unable.told());
        let finding = spot.error(Code::ExtraMacsUnsupported, field, message);
        findings.push(
            finding
                .related(unable.names.into_iter().chain(vnics.names))
                .remedy("update the hosts, leave the extra MACs out, or MAC table management off"),
        );
    }
    findings
}

/// Row 6: profiles of a managed `network` list VLANs, and some of `hosts` cannot let them through; or no host would.
pub(crate) fn guest_vlans<'a>(
    fleet: &Fleet,
    network: &Network,
    profiles: impl IntoIterator<Item = &'a VnicProfile>,
    hosts: impl IntoIterator<Item = &'a HostName>,
    spot: &Spot,
    field: &str,
) -> Vec<Finding> {
    let users: Vec<&VnicProfile> = profiles.into_iter().filter(|profile| lists_vlans(profile)).collect();
    let names = |which: &dyn Fn(&[u16]) -> bool| -> Vec<String> {
        users.iter().filter(|profile| which(&vlans(profile))).map(|profile| profile_name(profile)).collect()
    };
    let mut findings = Vec::new();
    if users.is_empty() {
        return findings;
    }
    let most = GuestPorts::MOST_VLANS;
    let greedy = names(&|vlans| vlans.len() > most);
    if !greedy.is_empty() {
        let message = format!("guests of {} may tag with more VLANs than the {most} of a port", enumerate(&greedy));
        let related = greedy.into_iter().chain([name_of(network)]);
        let finding = spot.error(Code::GuestVlansUnsupported, field, message).related(related);
        findings.push(finding.remedy("shorten the profiles' lists"));
    }
    let pvid = network.bridge_options.default_pvid.unwrap_or(DEFAULT_PVID);
    let untagged = names(&|vlans| vlans.contains(&pvid));
    if !untagged.is_empty() {
        let message = format!(
            "guests of {} may tag with VLAN {pvid}, whose frames pass the bridge untagged",
            enumerate(&untagged)
        );
        let finding = spot.error(Code::GuestVlansUnsupported, field, message);
        findings.push(
            finding
                .related(untagged.into_iter().chain([name_of(network)]))
                .remedy("leave it out, or choose another default_pvid for the network's bridges"),
        );
    }
    let unable = Incapable::of(fleet, hosts, &[Feature::GuestPorts]);
    if !unable.names.is_empty() {
        let names = names(&|_| true);
        let message =
            format!("guests of {} may tag with some VLANs, which are dropped on {}", enumerate(&names), unable.told());
        let finding = spot.error(Code::GuestVlansUnsupported, field, message);
        findings.push(
            finding
                .related(unable.names.into_iter().chain(names))
                .remedy("update the hosts, set the profiles' guest tagging to none, or leave MAC table management off"),
        );
    }
    findings
}

/// Row 16 for a managed `network` that locks source MACs: some of `hosts` cannot.
pub(crate) fn locked<'a>(
    fleet: &Fleet,
    network: &Network,
    hosts: impl IntoIterator<Item = &'a HostName>,
    spot: &Spot,
    field: &str,
) -> Option<Finding> {
    let locks = network.is_managed() && network.source_macs == SourceMacs::Locked;
    let unable = locks.then(|| Incapable::of(fleet, hosts, &[Feature::PortLocked]))?;
    let message = format!("guests' ports cannot be locked to source MACs on {}", unable.told());
    (!unable.names.is_empty()).then(|| {
        let related = unable.names.into_iter().chain([name_of(network)]);
        let finding = spot.error(Code::HostUnsupported, field, message).related(related);
        finding.remedy("update the hosts' kernels, or leave lock_source_macs out")
    })
}

fn name_of(network: &Network) -> String {
    EntityId::Network(network.id.clone()).to_string()
}

fn lists_vlans(profile: &VnicProfile) -> bool {
    // What goes past the bridge meets no port of it.
    !profile.is_passthrough() && !vlans(profile).is_empty()
}

fn vlans(profile: &VnicProfile) -> Vec<u16> {
    match &profile.guest_tagging {
        GuestTagging::List(vlans) => vlans.iter().map(|vlan| vlan.get()).collect(),
        GuestTagging::None | GuestTagging::Any | GuestTagging::Unspecified => Vec::new(),
    }
}
