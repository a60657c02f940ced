//! What of a bridged network is not as it should be, and no repair touches: somebody else's doing, which the agent tells and leaves.

use std::collections::{BTreeMap, BTreeSet};

use trestle_model::{
    BridgeSpec, BridgeWired, FdbEntry, FdbState, HostConfig, IfName, LinkKind, MacAddr, NetworkSpec, PromiscuityCause,
    UplinkReport,
};

use super::uplink;
use crate::census::Census;
use crate::composition::{keeps_filtering, separated};
use crate::validation::wired_past;
use crate::{Drift, Target, ownership};

/// How many static entries of others are told one by one.
const ENTRIES_TOLD: usize = 8;

/// Tells it, in the words of drift.
pub(super) fn left_alone(config: &HostConfig, spec: &NetworkSpec, target: &Target, census: &Census<'_>) -> Vec<Drift> {
    let Some(bridge) = spec.bridge() else { return Vec::new() };
    let mut told = Vec::new();
    if keeps_filtering(spec, config, census) {
        let ports: Vec<&str> = separated(spec, config, census).iter().map(|port| port.name.as_str()).collect();
        let actual = format!("true, for the VLANs of {}", ports.join(", "));
        told.push(line(format!("link {}", bridge.name), "vlan_filtering", "false", actual));
    }
    if spec.is_managed() {
        told.extend(foreign_entries(bridge, target, census));
        told.extend(twins(bridge, census));
        told.extend(uplink::report(spec, census).and_then(|uplink| promiscuity(&uplink, target, census)));
        if spec.guest_ports.bridge_wired == BridgeWired::Refuse {
            told.extend(past_libvirt(spec, bridge, census));
        }
    }
    told
}

/// Static entries that are neither the host's, nor a guest's, nor allowed: they take nothing from ours (D-0045).
fn foreign_entries(bridge: &BridgeSpec, target: &Target, census: &Census<'_>) -> Vec<Drift> {
    let ours: BTreeSet<(&IfName, MacAddr, Option<u16>)> =
        target.fdb.iter().map(|place| (&place.bridge, place.mac, place.vlan)).collect();
    // One in a VLAN that its port has left has no effect.
    let is_in_force = |entry: &FdbEntry| {
        let vlans = census.state.kernel.links.get(&entry.port).and_then(|port| port.vlans.as_ref());
        vlans.zip(entry.vlan).is_none_or(|(vlans, vlan)| vlans.membership(vlan).is_some())
    };
    let is_foreign = |entry: &&&FdbEntry| {
        entry.state == FdbState::Static && !ours.contains(&(&entry.bridge, entry.mac, entry.vlan)) && is_in_force(entry)
    };
    let places: BTreeSet<(MacAddr, &IfName)> =
        census.entries(&bridge.name).iter().filter(is_foreign).map(|entry| (entry.mac, &entry.port)).collect();
    let tell = |(mac, port): &(MacAddr, &IfName)| {
        let guest = census.guest(port).map(|guest| format!(" of guest {}", guest.domain)).unwrap_or_default();
        let actual = format!("static on {port}{guest}, by somebody else");
        line(format!("MAC {mac} of {}", bridge.name), "entry", "absent", actual)
    };
    let mut told: Vec<Drift> = places.iter().take(ENTRIES_TOLD).map(tell).collect();
    if let Some(more @ 1..) = places.len().checked_sub(ENTRIES_TOLD) {
        let actual = format!("{more} more by somebody else");
        told.push(line(format!("link {}", bridge.name), "static entries", "none", actual));
    }
    told
}

/// Running guests that share a MAC: one of them is found, the others are not.
fn twins(bridge: &BridgeSpec, census: &Census<'_>) -> Vec<Drift> {
    let mut holders = BTreeMap::<MacAddr, BTreeSet<String>>::new();
    for guest in census.guests(&bridge.name).iter().filter(|guest| guest.running) {
        if let Some(tap) = &guest.tap {
            holders.entry(guest.mac).or_default().insert(format!("{} on {tap}", guest.domain));
        }
    }
    let shared = holders.into_iter().filter(|(_, guests)| guests.len() > 1);
    let tell = |(mac, guests): (MacAddr, BTreeSet<String>)| {
        let names: Vec<String> = guests.into_iter().collect();
        line(format!("MAC {mac} of {}", bridge.name), "guests", "one", names.join(" and "))
    };
    shared.map(tell).collect()
}

/// An uplink that receives everything although it could filter. What the kernel tells leaves one case open: a NIC that is asked
/// once, by nothing of the bridge's, may be one that cannot filter.
fn promiscuity(uplink: &UplinkReport, target: &Target, census: &Census<'_>) -> Option<Drift> {
    let link = census.state.kernel.links.get(&uplink.device)?;
    let can_filter = match link.kind {
        LinkKind::Nic | LinkKind::Vlan { .. } | LinkKind::Bond(_) => true,
        LinkKind::Bridge(_) | LinkKind::Veth | LinkKind::Tun | LinkKind::Loopback | LinkKind::Other(_) => false,
    };
    let is_told = |cause: &&PromiscuityCause| match cause {
        PromiscuityCause::Bridge => true,
        // That is drift.
        PromiscuityCause::NotFiltering => false,
        // Where the port is ours it is drift, too, or the guest pauses and it is to learn.
        PromiscuityCause::Port(port) => {
            !target.present().any(|(name, wanted)| name == port && wanted.port.learning.is_some())
        }
        PromiscuityCause::Device => uplink.promiscuity > 1,
    };
    let causes: Vec<String> = uplink.causes.iter().filter(is_told).map(|cause| words(cause, &uplink.device)).collect();
    (can_filter && !causes.is_empty()).then(|| {
        let actual = format!("{} ({})", uplink.promiscuity, causes.join(", "));
        line(format!("link {}", uplink.device), "promiscuity", "0", actual)
    })
}

fn words(cause: &PromiscuityCause, uplink: &IfName) -> String {
    match cause {
        PromiscuityCause::NotFiltering => "the bridge does not filter by VLAN".to_owned(),
        PromiscuityCause::Bridge => "the bridge is, for a capture or what stands on it".to_owned(),
        PromiscuityCause::Port(port) => format!("{port} learns or floods"),
        PromiscuityCause::Device => format!("somebody asked {uplink} for it"),
    }
}

/// Guests that came past libvirt's network after the policy that refuses them.
fn past_libvirt(spec: &NetworkSpec, bridge: &BridgeSpec, census: &Census<'_>) -> Vec<Drift> {
    let network = ownership::libvirt_name(&spec.name);
    let tell = |guest: &trestle_model::GuestInterface| {
        let object = format!("link {} of guest {}", guest.tap.as_ref()?, guest.domain);
        Some(line(object, "wiring", &format!("libvirt network {network}"), format!("past it, on {}", bridge.name)))
    };
    wired_past(bridge, census).filter_map(tell).collect()
}

fn line(object: String, field: &str, expected: &str, actual: String) -> Drift {
    Drift { object, field: field.to_owned(), expected: expected.to_owned(), actual }
}
