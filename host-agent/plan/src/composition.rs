//! From configurations to a target: what the touched networks mean in the host's own words.

mod bond;
mod bridged;
mod egress;
mod mac_table;
mod nic;
mod resolver;
mod routes;
mod separation;
mod settings;
mod sources;
mod touched;

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use trestle_model::{
    AcceptRa, AddrGenMode, Address, AddressOrigin, Baselines, HostConfig, HostState, IfName, Ipv4Config, Ipv6Config,
    LibvirtNetwork, Link, LinkKind, NetworkName, NetworkSpec,
};

pub(crate) use self::bond::resolve as resolve_bonds;
pub(crate) use self::egress::shaping;
pub(crate) use self::nic::baselines;
pub(crate) use self::routes::{any, default_routes, routes, static_route};
pub(crate) use self::separation::{keeps_filtering, separated};
pub(crate) use self::settings::resolve as resolve_nics;
pub(crate) use self::sources::{PRIORITY as SOURCE_PRIORITY, is_source_routed};
use self::touched::Touched;
use crate::census::Census;
use crate::dhcp::clients;
use crate::difference::is_another_kind;
use crate::planning::Named;
use crate::target::{
    AddressTarget, AliasTarget, DhcpTarget, KindTarget, LibvirtTarget, LinkTarget, LinkWanted, MasterTarget,
    RouteTarget, Target,
};
use crate::{AutoconfChange, ownership};

/// Composes the target of a change from `running` to `desired`, given what the host is.
///
/// The target is about the networks and bonds in `named`, those that differ between the two configurations, and the devices
/// that they share with others. A named network that does not differ is in it all the same: where the host has
/// drifted from it, the plan mends it.
///
/// The second value says what each NIC that `desired` uses returns to when its last network leaves: what `running`
/// remembers, else what it is now.
pub fn compose(running: &HostConfig, desired: &HostConfig, observed: &HostState, named: &Named) -> (Target, Baselines) {
    compose_on(running, desired, &Census::of(observed), named)
}

/// Composes as [`compose`] does, on a host whose tables are known already.
pub(crate) fn compose_on(
    running: &HostConfig,
    desired: &HostConfig,
    census: &Census<'_>,
    named: &Named,
) -> (Target, Baselines) {
    let touched = Touched::by(running, desired, census.state, named);
    let ground = Ground::of(desired, census);
    let target = Composition { running, desired, ground: &ground, touched: &touched, target: Target::default() }
        .target(Leftovers::Of(&touched));
    (target, baselines(running, desired, census.state))
}

/// Composes the target of one network of a configuration, as if a request that changes nothing named it.
pub(crate) fn compose_one(config: &HostConfig, ground: &Ground<'_>, name: &NetworkName) -> Target {
    compose_named(config, ground, &Touched::network(config, ground.census.state, name))
}

/// Composes the target of one bond of a configuration and of what stands on it, as [`compose_one`] does of a network.
pub(crate) fn compose_bond(config: &HostConfig, ground: &Ground<'_>, name: &IfName) -> Target {
    compose_named(config, ground, &Touched::bond(config, name))
}

/// Composes the target of one NIC's settings, as [`compose_one`] does of a network.
pub(crate) fn compose_nic(config: &HostConfig, ground: &Ground<'_>, name: &IfName) -> Target {
    compose_named(config, ground, &Touched::nic(name))
}

fn compose_named(config: &HostConfig, ground: &Ground<'_>, touched: &Touched<'_>) -> Target {
    Composition { running: config, desired: config, ground, touched, target: Target::default() }
        .target(Leftovers::Of(touched))
}

/// Composes the target of a host that is to be as `whole` says and nothing more, as far as it can be: `possible` is
/// `whole` without the networks that cannot come up now; what is there of those stays.
pub(crate) fn compose_everything(
    whole: &HostConfig,
    possible: &HostConfig,
    census: &Census<'_>,
) -> (Target, Baselines) {
    // Nothing is known of what ran before, but for what the NICs were like.
    let running = HostConfig { baselines: whole.baselines.clone(), ..HostConfig::default() };
    let touched = Touched::all(possible);
    let ground = Ground::of(whole, census);
    let target = Composition {
        running: &running,
        desired: possible,
        ground: &ground,
        touched: &touched,
        target: Target::default(),
    }
    .target(Leftovers::Everyones);
    (target, baselines(&running, whole, census.state))
}

/// Whose leftovers go.
#[derive(Clone, Copy)]
enum Leftovers<'a> {
    Of(&'a Touched<'a>),
    Everyones,
}

/// What is composed on: the host, and what of it no network needs.
pub(crate) struct Ground<'a> {
    /// What must not be taken for a leftover.
    whole: &'a HostConfig,
    pub(crate) census: &'a Census<'a>,
    /// Devices of Trestle's own that no network of the whole configuration needs.
    stray_links: Vec<&'a Link>,
    /// libvirt networks of Trestle's own that none needs.
    stray_networks: Vec<&'a LibvirtNetwork>,
}

impl<'a> Ground<'a> {
    /// Finds what a configuration does not need.
    pub(crate) fn of(whole: &'a HostConfig, census: &'a Census<'a>) -> Self {
        let observed = census.state;
        let needed = devices(whole);
        let links = observed.kernel.links.values();
        let bridged = whole.specs().filter(|spec| spec.bridge().is_some());
        let needed_networks: BTreeSet<String> = bridged.map(|spec| ownership::libvirt_name(&spec.name)).collect();
        let networks = observed.libvirt.iter().flat_map(|libvirt| libvirt.networks.values());
        Self {
            whole,
            census,
            stray_links: links.filter(|link| ownership::is_ours(link) && !needed.contains(&link.name)).collect(),
            stray_networks: networks
                .filter(|network| ownership::is_our_network(network) && !needed_networks.contains(&network.name))
                .collect(),
        }
    }
}

struct Composition<'a> {
    running: &'a HostConfig,
    desired: &'a HostConfig,
    ground: &'a Ground<'a>,
    touched: &'a Touched<'a>,
    target: Target,
}

impl Composition<'_> {
    fn target(mut self, leftovers: Leftovers<'_>) -> Target {
        for name in &self.touched.networks {
            if let Some(entry) = self.desired.networks.get(*name) {
                self.network(&entry.spec);
            }
        }
        let released = self.leftover_links(leftovers);
        self.leftover_networks(leftovers);
        self.rules(leftovers);
        for base in self.bases(&released) {
            self.base(&base, released.contains(&base));
        }
        self.resolver();
        self.settings();
        self.target.fdb.sort();
        self.target.fdb.dedup_by(|a, b| (&a.bridge, a.mac, a.vlan) == (&b.bridge, b.mac, b.vlan));
        self.target
    }

    fn network(&mut self, spec: &NetworkSpec) {
        if let (Some(southbound), Some(id)) = (&spec.southbound, spec.vlan) {
            let base = southbound.device().clone();
            let mut wanted = self.made(KindTarget::Vlan { base, id }, spec);
            match spec.bridge() {
                Some(bridge) => self.make_port(&mut wanted, spec, bridge),
                None => self.make_top(&mut wanted, spec),
            }
            if let Some(name) = spec.uplink() {
                self.present(name, wanted);
            }
        }
        if let Some(bridge) = spec.bridge() {
            self.bridge(spec, bridge);
        }
    }

    /// A device of Trestle's own, up and marked.
    fn made(&self, kind: KindTarget, spec: &NetworkSpec) -> LinkWanted {
        LinkWanted {
            mtu: Some(spec.mtu),
            up: Some(true),
            alias: AliasTarget::Exactly(ownership::mark(&spec.name)),
            ..LinkWanted::leaving_alone(kind, why(spec))
        }
    }

    fn present(&mut self, name: IfName, wanted: LinkWanted) {
        self.target.links.insert(name, LinkTarget::Present(wanted));
    }

    /// Wants the devices of Trestle's own gone that serve no network any more; returns the NICs that this releases.
    ///
    /// A bridge with a guest's port stays: a change that would take it is refused, and a restore reports it.
    fn leftover_links(&mut self, whose: Leftovers<'_>) -> BTreeSet<IfName> {
        let marks: BTreeSet<String> = match whose {
            Leftovers::Of(touched) => touched.marks(),
            Leftovers::Everyones => BTreeSet::new(),
        };
        let goes = |mark: &String| matches!(whose, Leftovers::Everyones) || marks.contains(mark);
        let census = self.ground.census;
        let mut released = BTreeSet::new();
        for link in &self.ground.stray_links {
            let Some(mark) = link.alias.as_ref().filter(|mark| goes(mark)) else { continue };
            if !guest_ports(census, &link.name).is_empty() {
                continue;
            }
            self.target.links.insert(link.name.clone(), LinkTarget::Absent { why: format!("leftover of {mark}") });
            if let LinkKind::Vlan { base, .. } = &link.kind {
                released.insert(base.clone());
            }
            let ports = census.ports(&link.name).iter();
            released.extend(ports.filter(|port| is_hardware(&port.kind)).map(|port| port.name.clone()));
        }
        released
    }

    fn leftover_networks(&mut self, whose: Leftovers<'_>) {
        for network in &self.ground.stray_networks {
            let Some(owner) = network.owner.as_deref() else { continue };
            let goes = match whose {
                Leftovers::Of(touched) => touched.networks.iter().any(|name| name.as_str() == owner),
                Leftovers::Everyones => true,
            };
            if goes {
                let why = format!("network {owner}");
                self.target.libvirt.insert(network.name.clone(), LibvirtTarget::Absent { why });
            }
        }
    }

    /// Gives a device a network's addresses and routes, for the host's own use.
    fn make_top(&self, wanted: &mut LinkWanted, spec: &NetworkSpec) {
        wanted.master = match wanted.kind {
            KindTarget::Bridge(_) => MasterTarget::Leave,
            KindTarget::Found | KindTarget::Guest | KindTarget::Vlan { .. } | KindTarget::Bond(_) => MasterTarget::Free,
        };
        let link = spec.top_device().and_then(|name| self.observed().kernel.links.get(&name));
        wanted.ipv6_disabled = Some(spec.ipv6 == Ipv6Config::None);
        wanted.autoconf = autoconf(spec, link.filter(|link| !is_another_kind(&wanted.kind, link)));
        wanted.addresses = AddressTarget::Exactly(addresses(spec));
        wanted.routes = RouteTarget::Network(routes(spec));
        wanted.dhcp = DhcpTarget::Exactly(clients(spec));
    }

    const fn observed(&self) -> &HostState {
        self.ground.census.state
    }

    fn is_touched(&self, spec: &NetworkSpec) -> bool {
        self.touched.networks.contains(&spec.name)
    }
}

/// Returns what a network's device, which is `link` where it is there, is to make of what routers advertise.
///
/// Also a host that forwards listens. A device without any address of its own making, not even a link-local one, could
/// neither ask routers nor servers; how it makes them otherwise is the host's own matter.
fn autoconf(spec: &NetworkSpec, link: Option<&Link>) -> AutoconfChange {
    match &spec.ipv6 {
        Ipv6Config::None => AutoconfChange::default(),
        Ipv6Config::Static(_) => AutoconfChange { accept_ra: Some(AcceptRa::Never), ..AutoconfChange::default() },
        Ipv6Config::Auto | Ipv6Config::Dhcp | Ipv6Config::AutoAndDhcp => {
            let has = link.and_then(|link| link.autoconf);
            let has_mode = has.is_some_and(|has| has.addr_gen_mode != AddrGenMode::None);
            AutoconfChange {
                accept_ra: Some(AcceptRa::Always),
                autoconf: Some(spec.ipv6.makes_addresses()),
                accept_ra_defrtr: Some(spec.default_route),
                addr_gen_mode: (!has_mode).then_some(AddrGenMode::Eui64),
            }
        }
    }
}

/// Returns a network's static addresses as the kernel will show them.
pub(crate) fn addresses(spec: &NetworkSpec) -> Vec<Address> {
    let address = |net: IpNet, broadcast| Address {
        net,
        origin: AddressOrigin::Static,
        broadcast,
        label: None,
        scope: 0,
        no_prefix_route: false,
    };
    let mut addresses = Vec::new();
    if let Ipv4Config::Static(ipv4) = &spec.ipv4 {
        // A prefix of 31 or 32 bits has no broadcast address (RFC 3021).
        addresses.extend(
            ipv4.addresses()
                .iter()
                .map(|net| address(IpNet::V4(*net), (net.prefix_len() < 31).then(|| IpAddr::V4(net.broadcast())))),
        );
    }
    if let Ipv6Config::Static(ipv6) = &spec.ipv6 {
        addresses.extend(ipv6.addresses().iter().map(|net| address(IpNet::V6(*net), None)));
    }
    addresses
}

/// Returns the names of the devices that a configuration makes.
pub(crate) fn devices(config: &HostConfig) -> BTreeSet<IfName> {
    let of = |spec: &NetworkSpec| {
        let vlan = spec.uplink().filter(|_| spec.vlan.is_some());
        let bridge = spec.bridge().map(|bridge| bridge.name.clone());
        [vlan, bridge]
    };
    config.specs().flat_map(of).flatten().chain(config.bonds.keys().cloned()).collect()
}

/// Tells whether a network can stand on a device of this kind, and a bond can have it as a port.
pub(crate) fn is_hardware(kind: &LinkKind) -> bool {
    match kind {
        LinkKind::Nic | LinkKind::Veth => true,
        LinkKind::Other(kind) => kind == "dummy",
        LinkKind::Vlan { .. } | LinkKind::Bridge(_) | LinkKind::Bond(_) | LinkKind::Tun | LinkKind::Loopback => false,
    }
}

/// Returns the ports of guests in a bridge, by name.
pub(crate) fn guest_ports(census: &Census<'_>, bridge: &IfName) -> Vec<IfName> {
    let ports = census.ports(bridge).iter();
    ports
        .filter(|port| port.kind == LinkKind::Tun || census.guest(&port.name).is_some())
        .map(|port| port.name.clone())
        .collect()
}

pub(crate) fn why(spec: &NetworkSpec) -> String {
    format!("network {}", spec.name)
}
