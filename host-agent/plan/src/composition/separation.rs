//! VLANs of ports of a bridge for which it has to go on filtering.

use trestle_model::{GuestPorts, HostConfig, IfName, Link, NetworkSpec};

use super::bridged::attributes;
use crate::census::Census;

/// Returns the ports that a network's bridge keeps apart by VLANs of somebody else's, ordered by name; none where it does not
/// filter.
///
/// What the network itself has given ports, and takes back when it is no longer managed, does not count.
pub(crate) fn separated<'c>(spec: &NetworkSpec, running: &HostConfig, census: &Census<'c>) -> Vec<&'c Link> {
    let Some(bridge) = spec.bridge() else { return Vec::new() };
    let pvid = attributes(spec, bridge).default_pvid;
    let before = running.networks.get(&spec.name).map(|entry| &entry.spec);
    let rules = before.filter(|before| before.is_managed()).map(|before| &before.guest_ports);
    let uplink = spec.uplink();
    // A port that leaves the bridge needs no keeping apart.
    let leaves =
        |name: &IfName| uplink.as_ref() != Some(name) && before.and_then(NetworkSpec::uplink).as_ref() == Some(name);
    let is_apart = |link: &&&Link| {
        let gives = |rules: &GuestPorts, id: u16| match census.guest(&link.name) {
            Some(guest) => rules.vlans(guest.mac).any(|vlan| vlan == id),
            None => Some(&link.name) == uplink.as_ref() && rules.all_vlans().contains(&id),
        };
        let ids = link.vlans.iter().flat_map(|vlans| vlans.ids());
        ids.filter(|id| *id != pvid).any(|id| !rules.is_some_and(|rules| gives(rules, id)))
    };
    census.ports(&bridge.name).iter().filter(|port| !leaves(&port.name)).filter(is_apart).copied().collect()
}

/// Tells whether a bridge goes on filtering for its ports' sake alone.
pub(crate) fn keeps_filtering(spec: &NetworkSpec, running: &HostConfig, census: &Census<'_>) -> bool {
    let Some(bridge) = spec.bridge().filter(|bridge| bridge.options.vlan_filtering.is_none()) else { return false };
    let filters =
        |name: &IfName| census.state.kernel.links.get(name).and_then(Link::bridge).is_some_and(|b| b.vlan_filtering);
    !spec.is_managed() && filters(&bridge.name) && !separated(spec, running, census).is_empty()
}
