//! The rules of guests' ports: what contradicts itself, and guests that a network meets.

use std::collections::BTreeMap;

use trestle_model::{BridgeWired, Code, Finding, GuestInterface, MacAddr, NetworkSpec, SourceMacs};

use super::{error, sub};
use crate::census::Census;

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

/// Names guests that libvirt's network does not know. Their MAC table is the agent's alone, so in the moment in which such a
/// guest goes on after a pause it is not held to any rule.
pub(super) fn wired_past(spec: &NetworkSpec, field: &str, census: &Census<'_>, findings: &mut Vec<Finding>) {
    let Some(bridge) = spec.bridge().filter(|_| spec.is_managed()) else { return };
    let is_past = |guest: &&&GuestInterface| guest.network.is_none() && guest.tap.is_some();
    let guests = census.guests(&bridge.name).iter().chain(census.strays(&bridge.name)).filter(is_past);
    let mut names: Vec<String> = guests.map(|guest| guest.domain.clone()).collect();
    names.sort();
    names.dedup();
    if names.is_empty() {
        return;
    }
    let message = format!("{} on {} past libvirt's network", words(&names), bridge.name);
    let finding = match spec.guest_ports.bridge_wired {
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

fn words(names: &[String]) -> String {
    match names {
        [one] => format!("guest {one} is wired"),
        several => format!("guests {} are wired", several.join(", ")),
    }
}
