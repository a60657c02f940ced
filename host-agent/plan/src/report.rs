//! What a host says of its networks and NICs.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use trestle_model::{
    BridgeReport, FdbState, GuestPort, HostConfig, HostState, IfName, Link, LinkKind, MacTableReport, NetworkEntry,
    NetworkReport, NetworkSpec, NicHardware, NicReport, Owner, PortReport, Route, VlanReport,
};

use crate::composition::is_hardware;
use crate::{compose, ownership, verify};

/// Reports every network of a configuration as it is.
///
/// *Shape*: ordered by name. *Units*: drift is one line a difference.
pub fn network_reports(config: &HostConfig, observed: &HostState) -> Vec<NetworkReport> {
    config.networks.values().map(|entry| network_report(config, entry, observed)).collect()
}

/// Reports the devices that a network can stand on, ordered by name.
///
/// `hardware` is what hardware and drivers tell, as far as it was read.
pub fn nic_reports(observed: &HostState, hardware: &BTreeMap<IfName, NicHardware>) -> Vec<NicReport> {
    let nics = observed.kernel.links.values().filter(|link| is_hardware(&link.kind));
    nics.map(|link| NicReport {
        name: link.name.clone(),
        mac: link.mac,
        permanent_mac: link.permanent_mac,
        mtu: link.mtu,
        max_mtu: link.max_mtu,
        up: link.up,
        carrier: link.carrier,
        master: link.master.clone(),
        addresses: link.addresses.clone(),
        hardware: hardware.get(&link.name).cloned().unwrap_or_default(),
    })
    .collect()
}

/// Reports every bridge, whoever made it, ordered by name.
pub fn bridge_reports(config: &HostConfig, observed: &HostState) -> Vec<BridgeReport> {
    let report = |link: &Link| {
        Some(BridgeReport {
            name: link.name.clone(),
            owner: owner(config, link),
            mac: link.mac,
            mtu: link.mtu,
            up: link.up,
            carrier: link.carrier,
            options: *link.bridge()?,
            ports: ports(&link.name, observed),
            addresses: link.addresses.clone(),
        })
    };
    observed.kernel.links.values().filter_map(report).collect()
}

/// Reports every 802.1Q VLAN device, whoever made it, ordered by name.
pub fn vlan_reports(config: &HostConfig, observed: &HostState) -> Vec<VlanReport> {
    let report = |link: &Link| match &link.kind {
        LinkKind::Vlan { base, id } => Some(VlanReport {
            name: link.name.clone(),
            owner: owner(config, link),
            base: base.clone(),
            id: *id,
            mac: link.mac,
            mtu: link.mtu,
            up: link.up,
            carrier: link.carrier,
            master: link.master.clone(),
            addresses: link.addresses.clone(),
        }),
        LinkKind::Nic
        | LinkKind::Bridge(_)
        | LinkKind::Veth
        | LinkKind::Tun
        | LinkKind::Loopback
        | LinkKind::Other(_) => None,
    };
    observed.kernel.links.values().filter_map(report).collect()
}

/// Tells whose a device is, by its mark.
fn owner(config: &HostConfig, link: &Link) -> Owner {
    let of = |name| link.alias.as_deref() == Some(ownership::mark(name).as_str());
    match config.networks.keys().find(|name| of(name)) {
        Some(network) => Owner::Network(network.clone()),
        None if ownership::is_ours(link) => Owner::Trestle,
        None => Owner::Foreign,
    }
}

/// Returns the next hops of the default routes over a device, in whichever table, ordered, and whether one of them is the
/// host's; a default route without a next hop has none.
fn default_routes(device: Option<&Link>, observed: &HostState) -> (Vec<IpAddr>, bool) {
    let over = observed.kernel.routes.iter().filter(|route| {
        route.destination.prefix_len() == 0 && device.is_some_and(|device| device.name == route.device)
    });
    let mut gateways: Vec<IpAddr> = over.clone().filter_map(|route| route.gateway).collect();
    gateways.sort();
    gateways.dedup();
    let is_the_hosts = over.clone().any(Route::is_main);
    (gateways, is_the_hosts)
}

fn network_report(config: &HostConfig, entry: &NetworkEntry, observed: &HostState) -> NetworkReport {
    let spec = &entry.spec;
    let device = spec.top_device().and_then(|name| observed.kernel.links.get(&name));
    let bridge =
        spec.bridge().and_then(|bridge| observed.kernel.links.get(&bridge.name)).filter(|l| l.bridge().is_some());
    let (gateways, default_route) = default_routes(device, observed);
    let (target, _) = compose(config, config, observed, &BTreeSet::from([spec.name.clone()]));
    NetworkReport {
        configured: entry.clone(),
        device: device.map(|link| link.name.clone()),
        mtu: device.map(|link| link.mtu),
        addresses: device.map(|link| link.addresses.clone()).unwrap_or_default(),
        gateways,
        default_route,
        bridge: bridge.and_then(|link| link.bridge().copied()),
        ports: bridge.map(|bridge| ports(&bridge.name, observed)).unwrap_or_default(),
        mac_table: spec.is_managed().then(|| mac_table(spec, observed)),
        drift: verify(&target, observed).iter().map(ToString::to_string).collect(),
    }
}

fn ports(bridge: &IfName, observed: &HostState) -> Vec<PortReport> {
    let ports = observed.kernel.links.values().filter(|link| link.master.as_ref() == Some(bridge));
    let report = |link: &Link| {
        let mut guests = observed.libvirt.iter().flat_map(|libvirt| &libvirt.guests);
        let guest = guests.find(|guest| guest.tap.as_ref() == Some(&link.name));
        Some(PortReport {
            device: link.name.clone(),
            flags: link.port?,
            promiscuity: link.promiscuity,
            guest: guest.map(|guest| GuestPort { domain: guest.domain.clone(), mac: guest.mac }),
        })
    };
    ports.filter_map(report).collect()
}

fn mac_table(spec: &NetworkSpec, observed: &HostState) -> MacTableReport {
    let name = ownership::libvirt_name(&spec.name);
    let network = observed.libvirt.as_ref().and_then(|libvirt| libvirt.networks.get(&name));
    let bridge = spec.bridge().map(|bridge| &bridge.name);
    let entries = observed.kernel.fdb.iter();
    MacTableReport {
        manager: network.map(|network| network.mac_table_manager),
        active: network.is_some_and(|network| network.active),
        entries: entries.filter(|e| Some(&e.bridge) == bridge && e.state != FdbState::Local).cloned().collect(),
    }
}
