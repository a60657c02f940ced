//! What a host says of its networks and NICs.

mod bond;
mod left_alone;
mod uplink;

use std::collections::BTreeMap;
use std::net::IpAddr;

use trestle_model::{
    BridgeReport, Egress, FdbState, GuestPort, HostConfig, HostState, IfName, Link, LinkKind, LldpNeighbor,
    MacTableReport, Mtu, NetworkEntry, NetworkName, NetworkReport, NetworkSpec, NicHardware, NicReport, NicState,
    Owner, PortReport, Presence, Route, VlanReport,
};

pub use self::bond::bond_reports;
use crate::census::Census;
use crate::composition::{Ground, compose_nic, compose_one, is_hardware};
use crate::drift::verify_on;
use crate::ownership;

/// Reports every network of a configuration as it is.
///
/// *Shape*: ordered by name. *Units*: drift is one line a difference.
pub fn network_reports(config: &HostConfig, observed: &HostState) -> Vec<NetworkReport> {
    let census = Census::of(observed);
    let ground = Ground::of(config, &census);
    config.networks.values().map(|entry| network_report(config, entry, &ground)).collect()
}

/// Reports the devices that a network can stand on, ordered by name; those that are missing and that something is to be
/// set on come last.
///
/// `hardware` is what hardware and drivers tell, and `neighbors` what those on the wire do, as far as it was read.
pub fn nic_reports(
    config: &HostConfig,
    observed: &HostState,
    hardware: &BTreeMap<IfName, NicHardware>,
    neighbors: &BTreeMap<IfName, Vec<LldpNeighbor>>,
) -> Vec<NicReport> {
    let census = Census::of(observed);
    let ground = Ground::of(config, &census);
    let nics = observed.kernel.links.values().filter(|link| is_hardware(&link.kind));
    let missing = config.nics.iter().filter(|(name, _)| !observed.kernel.links.contains_key(*name));
    let missing = missing.map(|(name, entry)| NicReport {
        name: name.clone(),
        mac: None,
        permanent_mac: None,
        mtu: Mtu::ETHERNET,
        max_mtu: None,
        up: false,
        carrier: false,
        master: None,
        addresses: Vec::new(),
        hardware: NicHardware::default(),
        lldp_neighbors: Vec::new(),
        egress: Egress::default(),
        configured: Some(entry.clone()),
        settings: NicState::default(),
        drift: settings_drift(config, &ground, name),
        repairs: Vec::new(),
        presence: Presence::Missing,
    });
    let present = nics.map(|link| NicReport {
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
        lldp_neighbors: neighbors.get(&link.name).cloned().unwrap_or_default(),
        egress: link.egress.clone(),
        configured: config.nics.get(&link.name).cloned(),
        settings: link.settings.clone(),
        drift: settings_drift(config, &ground, &link.name),
        repairs: Vec::new(),
        presence: Presence::Present,
    });
    present.chain(missing).collect()
}

/// Returns what of a NIC's settings differs from what Trestle is told; what was not read is no difference.
fn settings_drift(config: &HostConfig, ground: &Ground<'_>, name: &IfName) -> Vec<String> {
    if !config.nics.contains_key(name) {
        return Vec::new();
    }
    verify_on(&compose_nic(config, ground, name), ground.census).iter().map(ToString::to_string).collect()
}

/// Reports every bridge, whoever made it, ordered by name.
pub fn bridge_reports(config: &HostConfig, observed: &HostState) -> Vec<BridgeReport> {
    let (census, owners) = (Census::of(observed), Owners::of(config));
    let report = |link: &Link| {
        Some(BridgeReport {
            name: link.name.clone(),
            owner: owners.owner(link),
            mac: link.mac,
            mtu: link.mtu,
            up: link.up,
            carrier: link.carrier,
            options: link.bridge()?.clone(),
            ports: ports(&link.name, &census),
            addresses: link.addresses.clone(),
        })
    };
    observed.kernel.links.values().filter_map(report).collect()
}

/// Reports every 802.1Q VLAN device, whoever made it, ordered by name.
pub fn vlan_reports(config: &HostConfig, observed: &HostState) -> Vec<VlanReport> {
    let owners = Owners::of(config);
    let report = |link: &Link| match &link.kind {
        LinkKind::Vlan { base, id } => Some(VlanReport {
            name: link.name.clone(),
            owner: owners.owner(link),
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
        | LinkKind::Bond(_)
        | LinkKind::Veth
        | LinkKind::Tun
        | LinkKind::Loopback
        | LinkKind::Other(_) => None,
    };
    observed.kernel.links.values().filter_map(report).collect()
}

/// The networks of a configuration by the marks of their devices.
struct Owners<'a>(BTreeMap<String, &'a NetworkName>);

impl<'a> Owners<'a> {
    fn of(config: &'a HostConfig) -> Self {
        Self(config.networks.keys().map(|name| (ownership::mark(name), name)).collect())
    }

    /// Tells whose a device is, by its mark.
    fn owner(&self, link: &Link) -> Owner {
        match link.alias.as_ref().and_then(|mark| self.0.get(mark)) {
            Some(network) => Owner::Network((*network).clone()),
            None if ownership::is_ours(link) => Owner::Trestle,
            None => Owner::Foreign,
        }
    }
}

/// Returns the next hops of the default routes over a device, in whichever table, ordered, and whether one of them is the
/// host's; a default route without a next hop has none.
fn default_routes(device: Option<&Link>, census: &Census<'_>) -> (Vec<IpAddr>, bool) {
    let routes = device.map(|device| census.routes(&device.name)).unwrap_or_default().iter().copied();
    let over = routes.filter(|route| route.destination.prefix_len() == 0);
    let mut gateways: Vec<IpAddr> = over.clone().filter_map(|route| route.gateway).collect();
    gateways.sort();
    gateways.dedup();
    let is_the_hosts = over.clone().any(Route::is_main);
    (gateways, is_the_hosts)
}

fn network_report(config: &HostConfig, entry: &NetworkEntry, ground: &Ground<'_>) -> NetworkReport {
    let census = ground.census;
    let observed = census.state;
    let spec = &entry.spec;
    let device = spec.top_device().and_then(|name| observed.kernel.links.get(&name));
    let bridge =
        spec.bridge().and_then(|bridge| observed.kernel.links.get(&bridge.name)).filter(|l| l.bridge().is_some());
    let (gateways, default_route) = default_routes(device, census);
    let target = compose_one(config, ground, &spec.name);
    NetworkReport {
        configured: entry.clone(),
        device: device.map(|link| link.name.clone()),
        mtu: device.map(|link| link.mtu),
        addresses: device.map(|link| link.addresses.clone()).unwrap_or_default(),
        gateways,
        default_route,
        bridge: bridge.and_then(|link| link.bridge().cloned()),
        ports: bridge.map(|bridge| ports(&bridge.name, census)).unwrap_or_default(),
        mac_table: spec.is_managed().then(|| mac_table(spec, census)),
        foreign_macs: Vec::new(),
        dhcp: device.map(|link| census.clients(&link.name).iter().copied().cloned().collect()).unwrap_or_default(),
        drift: verify_on(&target, census).iter().map(ToString::to_string).collect(),
        repairs: Vec::new(),
        left_alone: left_alone::left_alone(config, spec, &target, census).iter().map(ToString::to_string).collect(),
    }
}

fn ports(bridge: &IfName, census: &Census<'_>) -> Vec<PortReport> {
    let report = |link: &&Link| {
        let guest = census.guest(&link.name);
        Some(PortReport {
            device: link.name.clone(),
            flags: link.port?,
            promiscuity: link.promiscuity,
            vlans: link.vlans.clone(),
            guest: guest.map(|guest| GuestPort {
                domain: guest.domain.clone(),
                mac: guest.mac,
                mac_table_manager: guest.mac_table_manager,
            }),
        })
    };
    census.ports(bridge).iter().filter_map(report).collect()
}

fn mac_table(spec: &NetworkSpec, census: &Census<'_>) -> MacTableReport {
    let name = ownership::libvirt_name(&spec.name);
    let network = census.state.libvirt.as_ref().and_then(|libvirt| libvirt.networks.get(&name));
    let entries = spec.bridge().map(|bridge| census.entries(&bridge.name)).unwrap_or_default().iter().copied();
    // The host's own are those that are kept; each port's own address is the kernel's affair.
    let own = spec.bridge().and_then(|bridge| census.state.kernel.links.get(&bridge.name)).and_then(|link| link.mac);
    MacTableReport {
        manager: network.map(|network| network.mac_table_manager),
        active: network.is_some_and(|network| network.active),
        entries: entries.filter(|entry| entry.state != FdbState::Local || own == Some(entry.mac)).cloned().collect(),
        uplink: uplink::report(spec, census),
    }
}
