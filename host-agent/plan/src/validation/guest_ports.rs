//! The rules of guests' ports: what contradicts itself, and guests that a network meets.

use std::collections::{BTreeMap, BTreeSet};

use trestle_model::{
    BridgeSpec, BridgeWired, Code, Finding, GuestInterface, HostConfig, MacAddr, NetworkSpec, SourceMacs,
};

use super::{Rivals, error, sub};
use crate::census::Census;
use crate::composition::{keeps_filtering, separated};
use crate::sightings::stranger_to;

/// How many MACs of a guest a finding lists.
const MACS_TOLD: usize = 8;

/// Finds what contradicts itself, whatever the host is.
pub(super) fn wish(spec: &NetworkSpec, field: &str, findings: &mut Vec<Finding>) {
    let rules = &spec.guest_ports;
    if rules.is_default() {
        return;
    }
    if !spec.is_managed() {
        let message = "rules of guests' ports need a bridge whose MAC table libvirt manages";
        let finding = error(spec, Code::GuestPortsUnmanaged, field, "guest_ports", message);
        findings.push(finding.remedy("switch manage_macs_with_libvirt on, or leave guest_ports out"));
    }
    let pvid = spec.bridge().and_then(|bridge| bridge.options.default_pvid).unwrap_or(1);
    let mut seen: BTreeMap<MacAddr, MacAddr> = rules.nics.keys().map(|mac| (*mac, *mac)).collect();
    for (position, (mac, nic)) in rules.nics.iter().enumerate() {
        let name = |part: &str| format!("guest_ports.nics[{position}].{part}");
        for extra in &nic.extra_macs {
            if let Some(other) = seen.insert(*extra, *mac) {
                let message = format!("{extra}, a further MAC of {mac}, is also one of {other}");
                let finding = error(spec, Code::Duplicate, field, &name("extra_macs"), message);
                findings.push(finding.remedy("give each MAC to one NIC of the network"));
            }
        }
        if nic.vlans.iter().any(|id| id.get() == pvid) {
            let message = format!("VLAN {pvid} is the bridge's default one, whose frames pass untagged anyway");
            let finding = error(spec, Code::VlanOutOfRange, field, &name("vlan_ids"), message);
            findings.push(finding.remedy("leave it out, or choose another bridge_options.default_pvid"));
        }
    }
}

/// Names the ports for whose sake a bridge goes on filtering by VLAN.
pub(super) fn kept_apart(spec: &NetworkSpec, field: &str, rivals: &Rivals<'_>, findings: &mut Vec<Finding>) {
    if !keeps_filtering(spec, rivals.running, rivals.census) {
        return;
    }
    let ports = separated(spec, rivals.running, rivals.census);
    let names: Vec<String> = ports.iter().map(|port| port.name.to_string()).collect();
    let message = format!(
        "the bridge goes on filtering by VLAN, since ports are in VLANs of somebody else's: {}",
        names.join(", ")
    );
    let finding = Finding::info(Code::VlanFilteringKept, sub(field, "bridge_options.vlan_filtering"), message);
    let remedy = "take the ports out of their VLANs, or say what vlan_filtering is to be";
    findings.push(finding.about(&spec.name).related(names).remedy(remedy));
}

/// Names guests that libvirt's network does not know. Their MAC table is the agent's alone, so in the moment in which such a guest
/// goes on after a pause it is not held to any rule.
///
/// The policy that refuses them does so when it, or the managed table, is newly asked for: a guest that somebody wires so later
/// is told, and no reason to refuse anything else.
pub(super) fn wired_past(spec: &NetworkSpec, field: &str, rivals: &Rivals<'_>, findings: &mut Vec<Finding>) {
    let Some(bridge) = spec.bridge().filter(|_| spec.is_managed()) else { return };
    let mut names: Vec<String> = past(bridge, rivals.census).map(|guest| guest.domain.clone()).collect();
    names.sort();
    names.dedup();
    if names.is_empty() {
        return;
    }
    let message = format!("{} on {} past libvirt's network", words(&names), bridge.name);
    let finding = match spec.guest_ports.bridge_wired {
        BridgeWired::Refuse if is_refused_since(spec, bridge, rivals.running) => {
            let field = sub(field, "guest_ports.bridge_wired");
            let finding = Finding::info(Code::GuestWiredPastLibvirt, field, message).about(&spec.name);
            finding.remedy("wire them with <interface type='network'>; until then, the agent converts their ports")
        }
        BridgeWired::Refuse => {
            let finding = error(spec, Code::GuestWiredPastLibvirt, field, "guest_ports.bridge_wired", message);
            finding.remedy("wire them with <interface type='network'>, or let bridge_wired convert them")
        }
        BridgeWired::Convert => {
            let field = sub(field, "manage_macs_with_libvirt");
            let finding = Finding::info(Code::GuestWiredPastLibvirt, field, message).about(&spec.name);
            let until = match spec.guest_ports.source_macs {
                SourceMacs::Any => "the agent converts their ports",
                SourceMacs::Locked => "the agent converts their ports; after a pause they are not locked for a moment",
            };
            finding.remedy(format!("wire them with <interface type='network'>; until then, {until}"))
        }
    };
    findings.push(finding.related(names));
}

/// Returns the guests on a bridge that libvirt's network does not know.
pub(crate) fn past<'c>(bridge: &BridgeSpec, census: &Census<'c>) -> impl Iterator<Item = &'c GuestInterface> {
    let guests = census.guests(&bridge.name).iter().chain(census.strays(&bridge.name)).copied();
    let past: Vec<_> = guests.filter(|guest| guest.network.is_none() && guest.tap.is_some()).collect();
    past.into_iter()
}

/// Tells whether such guests were refused already when the running configuration was asked for.
fn is_refused_since(spec: &NetworkSpec, bridge: &BridgeSpec, running: &HostConfig) -> bool {
    let before = running.networks.get(&spec.name).map(|entry| &entry.spec).filter(|before| before.is_managed());
    before.is_some_and(|before| {
        before.guest_ports.bridge_wired == BridgeWired::Refuse
            && before.bridge().is_some_and(|before| before.name == bridge.name)
    })
}

/// Warns of guests that will no longer be found under MACs which their bridge has learned of them until now.
pub(super) fn foreign_macs(spec: &NetworkSpec, field: &str, rivals: &Rivals<'_>, findings: &mut Vec<Finding>) {
    let Some(bridge) = spec.bridge().filter(|_| spec.is_managed()) else { return };
    if rivals.running.networks.get(&spec.name).is_some_and(|entry| entry.spec.is_managed()) {
        return;
    }
    let mut macs = BTreeMap::<&str, BTreeSet<MacAddr>>::new();
    for entry in rivals.census.entries(&bridge.name) {
        if let Some(guest) = stranger_to(entry, rivals.census.behind(&entry.port), spec) {
            macs.entry(&guest.domain).or_default().insert(entry.mac);
        }
    }
    for (guest, macs) in macs {
        let (shown, more) = (macs.iter().take(MACS_TOLD), macs.len().saturating_sub(MACS_TOLD));
        let mut list = shown.map(ToString::to_string).collect::<Vec<_>>().join(", ");
        if more > 0 {
            list = format!("{list} and {more} more");
        }
        let message = format!("guest {guest} sends from {list}, under which nobody will find it on {}", bridge.name);
        let finding = Finding::warning(Code::GuestUsesForeignMac, sub(field, "manage_macs_with_libvirt"), message)
            .about(&spec.name);
        let remedy = "allow them as extra_macs in guest_ports, or leave the network unmanaged";
        findings.push(finding.related([guest.to_owned()]).remedy(remedy));
    }
}

fn words(names: &[String]) -> String {
    match names {
        [one] => format!("guest {one} is wired"),
        several => format!("guests {} are wired", several.join(", ")),
    }
}
