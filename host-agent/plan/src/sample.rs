//! Networks and requests in short words, for tests of this crate and of those that carry its plans out.
//!
//! *Panics*: where a test's words are not legal; nothing here is for production.

pub mod kind;
pub mod random;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ipnet::IpNet;
use trestle_model::{
    AddressOrigin, BitRate, BondChange, BondMode, BondOption, BondOptions, BondPortLink, BondSpec, BridgeNumber,
    BridgeOptions, BridgeSpec, Code, ConnectivityCheck, FdbState, FeatureName, GuestNic, GuestPorts, HostConfig,
    HostQos, HostState, IfName, Ipv4Config, Ipv6Config, Link, LinkKind, MacTableManager, Mtu, NetworkChange,
    NetworkName, NetworkSpec, NicChange, NicSpec, Offload, Origin, ResolverState, RingSizes, Route, Scope,
    SetupOptions, SetupRequest, SourceMacs, Southbound, StaticIpv4, StaticIpv6, StaticRoute, Topology, TransactionId,
    VlanId,
};
use uuid::Uuid;

use crate::{Plan, PlannedStep, ownership, plan};

/// The protocol number of routes that routers advertise.
const PROTOCOL_ADVERTISED: u8 = 9;
const LEGAL: &str = "a test's words are legal";

/// A network in the making: bridged, untagged, on nothing, without addresses.
#[derive(Debug, Clone)]
pub struct Net(pub NetworkSpec);

/// Begins a network.
pub fn net(network: &str) -> Net {
    let bridge = BridgeSpec { name: IfName::for_bridge(&name(network)), stp: false, options: BridgeOptions::default() };
    Net(NetworkSpec {
        name: name(network),
        southbound: None,
        vlan: None,
        mtu: Mtu::ETHERNET,
        topology: Topology::Bridged(bridge),
        mac_table_manager: MacTableManager::Kernel,
        ipv4: Ipv4Config::None,
        ipv6: Ipv6Config::None,
        default_route: false,
        routes: Vec::new(),
        nameservers: Vec::new(),
        search_domains: Vec::new(),
        port_isolation: false,
        guest_ports: GuestPorts::default(),
        host_qos: None,
        custom: BTreeMap::new(),
    })
}

/// Returns a rarer bridge option with a legal value that is not the kernel's.
pub fn other_value(number: BridgeNumber) -> (BridgeNumber, u32) {
    let (low, high) = number.range();
    let value = number.default_value().saturating_mul(2).clamp(low, high);
    (number, if value == number.default_value() { number.default_value().abs_diff(1) } else { value })
}

impl Net {
    /// Puts it on a NIC.
    #[must_use]
    pub fn on(mut self, nic: &str) -> Self {
        self.0.southbound = Some(Southbound::Nic(if_name(nic)));
        self
    }

    /// Puts it on a bond.
    #[must_use]
    pub fn on_bond(mut self, bond: &str) -> Self {
        self.0.southbound = Some(Southbound::Bond(if_name(bond)));
        self
    }

    /// Tags it.
    #[must_use]
    pub fn vlan(mut self, id: u32) -> Self {
        self.0.vlan = Some(VlanId::try_from(id).expect(LEGAL));
        self
    }

    /// Gives it an MTU.
    #[must_use]
    pub fn mtu(mut self, bytes: u32) -> Self {
        self.0.mtu = Mtu::try_from(bytes).expect(LEGAL);
        self
    }

    /// Takes its bridge away.
    #[must_use]
    pub fn bridgeless(mut self) -> Self {
        self.0.topology = Topology::Bridgeless;
        self
    }

    /// Lets libvirt manage its MAC table.
    #[must_use]
    pub fn managed(mut self) -> Self {
        self.0.mac_table_manager = MacTableManager::Libvirt;
        self
    }

    /// Lets a guest's NIC have further MACs and VLANs.
    #[must_use]
    pub fn allowing(mut self, nic: &str, extra_macs: &[&str], vlans: &[u32]) -> Self {
        let extra_macs = extra_macs.iter().map(|mac| mac.parse().expect(LEGAL)).collect();
        let vlans = vlans.iter().map(|id| VlanId::try_from(*id).expect(LEGAL)).collect();
        self.0.guest_ports.nics.insert(nic.parse().expect(LEGAL), GuestNic { extra_macs, vlans });
        self
    }

    /// Locks its guests' ports.
    #[must_use]
    pub fn locked(mut self) -> Self {
        self.0.guest_ports.source_macs = SourceMacs::Locked;
        self
    }

    /// Gives it static IPv4 addresses, and a gateway.
    #[must_use]
    pub fn ipv4(mut self, addresses: &[&str], gateway: Option<&str>) -> Self {
        let addresses = addresses.iter().map(|net| net.parse().expect(LEGAL)).collect();
        let gateway = gateway.map(|gateway| gateway.parse().expect(LEGAL));
        self.0.ipv4 = Ipv4Config::Static(StaticIpv4::new(addresses, gateway).expect(LEGAL));
        self
    }

    /// Gives it an IPv4 address by DHCP.
    #[must_use]
    pub fn dhcp(mut self) -> Self {
        self.0.ipv4 = Ipv4Config::Dhcp;
        self
    }

    /// Gives it static IPv6 addresses, and a gateway.
    #[must_use]
    pub fn ipv6(mut self, addresses: &[&str], gateway: Option<&str>) -> Self {
        let addresses = addresses.iter().map(|net| net.parse().expect(LEGAL)).collect();
        let gateway = gateway.map(|gateway| gateway.parse().expect(LEGAL));
        self.0.ipv6 = Ipv6Config::Static(StaticIpv6::new(addresses, gateway).expect(LEGAL));
        self
    }

    /// Lets it have IPv6 in another way than by static addresses.
    #[must_use]
    pub fn ipv6_by(mut self, config: Ipv6Config) -> Self {
        self.0.ipv6 = config;
        self
    }

    /// Adds a static route.
    #[must_use]
    pub fn route(mut self, destination: &str, next_hop: &str, metric: u32) -> Self {
        let (destination, next_hop) = (destination.parse().expect(LEGAL), next_hop.parse().expect(LEGAL));
        self.0.routes.push(StaticRoute::new(destination, next_hop, metric).expect(LEGAL));
        self
    }

    /// Adds a name server.
    #[must_use]
    pub fn nameserver(mut self, server: &str) -> Self {
        self.0.nameservers.push(server.parse().expect(LEGAL));
        self
    }

    /// Adds a search domain.
    #[must_use]
    pub fn search(mut self, domain: &str) -> Self {
        self.0.search_domains.push(domain.parse().expect(LEGAL));
        self
    }

    /// Promises it a share of its device and, in kbit/s, a limit and a rate.
    #[must_use]
    pub fn qos(mut self, share: u64, limit: Option<u64>, committed: Option<u64>) -> Self {
        let rate = |kilobits: u64| BitRate::try_from(kilobits * 1000).expect(LEGAL);
        let (upper_limit, committed_rate) = (limit.map(rate), committed.map(rate));
        self.0.host_qos = Some(HostQos { link_share: rate(share), upper_limit, committed_rate });
        self
    }

    /// Lets it claim the default route.
    #[must_use]
    pub fn default_route(mut self) -> Self {
        self.0.default_route = true;
        self
    }

    /// Changes its bridge, where it has one.
    #[must_use]
    pub fn bridge(mut self, change: impl FnOnce(&mut BridgeSpec)) -> Self {
        if let Topology::Bridged(bridge) = &mut self.0.topology {
            change(bridge);
        }
        self
    }

    /// Asks for it.
    pub fn set(self) -> NetworkChange {
        NetworkChange::Set(self.0)
    }
}

/// What is asked of a network or of a bond.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "a test has few of them")]
pub enum Change {
    /// Of a network.
    Network(NetworkChange),
    /// Of a bond.
    Bond(BondChange),
    /// Of a NIC's own settings.
    Nic(NicChange),
}

impl Change {
    /// Returns the network that the change is about, if it is about one.
    pub const fn network(&self) -> Option<&NetworkName> {
        match self {
            Self::Network(change) => Some(change.network()),
            Self::Bond(_) | Self::Nic(_) => None,
        }
    }

    /// Returns the bond that the change is about, if it is about one.
    pub const fn bond(&self) -> Option<&IfName> {
        match self {
            Self::Network(_) | Self::Nic(_) => None,
            Self::Bond(change) => Some(change.bond()),
        }
    }

    /// Returns the NIC that the change is about, if it is about one's own settings.
    pub const fn nic(&self) -> Option<&IfName> {
        match self {
            Self::Network(_) | Self::Bond(_) => None,
            Self::Nic(change) => Some(change.nic()),
        }
    }

    /// Tells whether something is to be there, rather than to go.
    pub const fn sets(&self) -> bool {
        match self {
            Self::Network(change) => matches!(change, NetworkChange::Set(_)),
            Self::Bond(change) => matches!(change, BondChange::Set(_)),
            Self::Nic(change) => matches!(change, NicChange::Set(_)),
        }
    }

    /// Takes a request apart.
    pub fn all(request: SetupRequest) -> Vec<Self> {
        let bonds = request.bonds.into_iter().map(Self::Bond);
        let nics = request.nics.into_iter().map(Self::Nic);
        request.changes.into_iter().map(Self::Network).chain(bonds).chain(nics).collect()
    }
}

/// A bond in the making, with nothing said but NICs and mode.
#[derive(Debug, Clone)]
pub struct Bonded(pub BondSpec);

/// Begins a bond.
pub fn bond(name: &str, mode: BondMode, nics: &[&str]) -> Bonded {
    let nics = nics.iter().map(|nic| if_name(nic)).collect();
    Bonded(BondSpec { name: if_name(name), nics, options: BondOptions::of(mode), hwaddr: None })
}

impl Bonded {
    /// Gives it an option.
    #[must_use]
    pub fn option(mut self, option: BondOption, number: u32) -> Self {
        self.0.options.numbers.insert(option, number);
        self
    }

    /// Lets it prefer a NIC.
    #[must_use]
    pub fn primary(mut self, nic: &str) -> Self {
        self.0.options.primary = Some(if_name(nic));
        self
    }

    /// Gives it a MAC.
    #[must_use]
    pub fn hwaddr(mut self, mac: &str) -> Self {
        self.0.hwaddr = Some(mac.parse().expect(LEGAL));
        self
    }

    /// Asks for it.
    pub fn set(self) -> BondChange {
        BondChange::Set(self.0)
    }
}

/// Asks for a bond to go.
pub fn remove_bond(bond: &str) -> BondChange {
    BondChange::Remove(if_name(bond))
}

/// Asks for changes of bonds, too.
pub fn with_bonds(mut request: SetupRequest, bonds: impl IntoIterator<Item = BondChange>) -> SetupRequest {
    request.bonds.extend(bonds);
    request
}

/// Asks for settings of a NIC: lengths of its rings, and features by the kernel's names.
pub fn set_nic(nic: &str, rx: Option<u32>, tx: Option<u32>, features: &[(&str, bool)]) -> NicChange {
    let offload = |(name, on): &(&str, bool)| (Offload::Feature(FeatureName::parse(name).expect(LEGAL)), *on);
    let offloads = features.iter().map(offload).collect();
    NicChange::Set(NicSpec { name: if_name(nic), rings: RingSizes { rx, tx }, vfs: None, offloads })
}

/// Asks for a number of virtual functions of a NIC.
pub fn set_vfs(nic: &str, count: u32) -> NicChange {
    let (rings, offloads) = (RingSizes::default(), BTreeMap::new());
    NicChange::Set(NicSpec { name: if_name(nic), rings, vfs: Some(count), offloads })
}

/// Asks for nothing to be set on a NIC any more.
pub fn unset_nic(nic: &str) -> NicChange {
    NicChange::Remove(if_name(nic))
}

impl From<NicChange> for Change {
    fn from(change: NicChange) -> Self {
        Self::Nic(change)
    }
}

impl From<NetworkChange> for Change {
    fn from(change: NetworkChange) -> Self {
        Self::Network(change)
    }
}

impl From<BondChange> for Change {
    fn from(change: BondChange) -> Self {
        Self::Bond(change)
    }
}

/// Asks for a network to go.
pub fn remove(network: &str) -> NetworkChange {
    NetworkChange::Remove(name(network))
}

/// Makes a request of changes, which its local client has to confirm.
pub fn request(changes: impl IntoIterator<Item = impl Into<Change>>) -> SetupRequest {
    let mut request = SetupRequest {
        changes: Vec::new(),
        bonds: Vec::new(),
        nics: Vec::new(),
        options: SetupOptions {
            transaction: TransactionId(Uuid::from_u128(1)),
            origin: Origin::Local,
            connectivity_check: ConnectivityCheck::Local(Duration::from_secs(30)),
            commit_on_success: false,
            validate_only: false,
            acknowledge: vec![Code::NoEffectNotBridged],
            fence: None,
            scope: Scope::Named,
            adopt: BTreeSet::new(),
        },
    };
    for change in changes {
        match change.into() {
            Change::Network(change) => request.changes.push(change),
            Change::Bond(change) => request.bonds.push(change),
            Change::Nic(change) => request.nics.push(change),
        }
    }
    request
}

/// Makes a route as somebody's `ip route add` does.
pub fn foreign_route(destination: &str, gateway: &str, device: &str, metric: u32) -> Route {
    Route {
        table: Route::MAIN,
        destination: destination.parse().expect(LEGAL),
        gateway: Some(gateway.parse().expect(LEGAL)),
        device: if_name(device),
        metric,
        preferred_source: None,
        protocol: 3,
        scope: 0,
    }
}

/// Reads a device's name.
pub fn if_name(name: &str) -> IfName {
    IfName::parse(name).expect(LEGAL)
}

/// Reads a network's name.
pub fn name(name: &str) -> NetworkName {
    NetworkName::parse(name).expect(LEGAL)
}

/// Returns steps as lines of text.
pub fn lines(steps: &[PlannedStep]) -> String {
    steps.iter().map(|planned| planned.step.to_string()).collect::<Vec<_>>().join("\n")
}

/// What is left of a state when the kernel's noise is taken out: numbers of devices, carriers, link-local addresses, what
/// routers advertise,
/// leases' remaining time, what DHCP clients wait for, learned and local entries, which port of a bond is in use and what
/// LACP has come to.
pub fn settled(mut state: HostState) -> HostState {
    let links = state.kernel.links.values();
    let made = links.flat_map(|link| link.addresses.iter().map(|address| (link.name.clone(), address)));
    let made = made.filter(|(_, address)| address.origin == AddressOrigin::Auto);
    let prefixes: BTreeSet<(IfName, IpNet)> = made.map(|(link, address)| (link, address.net.trunc())).collect();
    for link in state.kernel.links.values_mut() {
        link.index = 0;
        link.carrier = false;
        link.promiscuity = 0;
        leave_out_bond_status(link);
        link.addresses.retain(|address| !matches!(address.origin, AddressOrigin::Kernel | AddressOrigin::Auto));
        for address in &mut link.addresses {
            address.origin = AddressOrigin::Static;
        }
    }
    for client in &mut state.dhcp {
        client.problem = None;
    }
    // They follow the clients' leases.
    state.resolver.leased.clear();
    let link_local = |route: &Route| route.destination.to_string() == "fe80::/64";
    let advertised = |route: &Route| {
        route.protocol == PROTOCOL_ADVERTISED || prefixes.contains(&(route.device.clone(), route.destination))
    };
    state.kernel.routes.retain(|route| !link_local(route) && !advertised(route));
    state.kernel.fdb.retain(|entry| entry.state == FdbState::Static);
    state
}

/// Leaves out which port of a bond is in use, and what LACP has come to: the kernel decides it, and anew each time.
pub fn leave_out_bond_status(link: &mut Link) {
    if let Some(port) = &mut link.bond_port {
        (port.active, port.link, port.failures) = (true, BondPortLink::Up, 0);
        (port.aggregator, port.actor_state, port.partner_state) = (None, None, None);
    }
    if let LinkKind::Bond(bond) = &mut link.kind {
        (bond.active_port, bond.lacp) = (None, None);
    }
}

/// Keeps of changes what the host accepts, one after the other; returns the request of them and its plan.
pub fn acceptable(changes: Vec<Change>, running: &HostConfig, observed: &HostState) -> (SetupRequest, Plan) {
    let mut kept: Vec<Change> = Vec::new();
    for change in changes {
        let mut tried = kept.clone();
        tried.push(change);
        if plan(&request(tried.clone()), running, observed).is_ok() {
            kept = tried;
        }
    }
    let request = request(kept);
    let plan = plan(&request, running, observed).expect("what was accepted is accepted again");
    (request, plan)
}

/// What a plan says nothing of: devices that are not in its target, with their addresses, routes and entries, and
/// libvirt's networks.
pub fn untouched(state: HostState, plan: &Plan) -> HostState {
    let mut state = settled(state);
    let touched: BTreeSet<IfName> = plan.target.links.keys().cloned().collect();
    state.kernel.links.retain(|name, _| !touched.contains(name));
    state.kernel.routes.retain(|route| !touched.contains(&route.device));
    // A lease's rules follow its client.
    state.kernel.rules.retain(|rule| !plan.target.rules.contains_key(&rule.table) && ownership::is_planned(rule));
    state.dhcp.retain(|client| !touched.contains(&client.spec.link));
    state.kernel.fdb.retain(|entry| !touched.contains(&entry.bridge) && !touched.contains(&entry.port));
    if let Some(links) = &mut state.resolver.links {
        let told: BTreeSet<&IfName> = plan.target.resolver.iter().flat_map(|target| target.names.devices()).collect();
        links.retain(|link, _| !told.contains(link) && !touched.contains(link));
    } else if plan.target.resolver.is_some() {
        state.resolver = ResolverState::default();
    }
    if let Some(libvirt) = &mut state.libvirt {
        libvirt.networks.retain(|name, _| !plan.target.libvirt.contains_key(name));
    }
    state
}
