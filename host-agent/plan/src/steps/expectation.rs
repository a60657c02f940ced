//! What the host will be after the steps planned so far, as far as later steps depend on it.
//!
//! It follows the effects that the kernel adds to a step by itself: a device that goes down loses its routes, one that
//! leaves its bridge loses its flags there. It is no kernel: what no later step asks about is left out.

mod device;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use trestle_model::{
    Address, AddressOrigin, Bond, BondOptions, Bridge, BridgeNumbers, DhcpClientSpec, Egress, FdbEntry, FdbState,
    HostState, IfName, IpFamily, Ipv6Autoconf, LibvirtNetwork, LibvirtState, Link, LinkKind, MacTableManager, Mtu,
    PortFlags, PortVlans, Route, Rule, Shaping, TrafficClass, VirtualFunction,
};

use self::device::{new_link, set_bond, set_bridge, set_port};
use crate::dhcp::LEASE_PROTOCOL;
use crate::difference::{is_another_kind, is_default};
use crate::target::KindTarget;
use crate::{BridgeChange, DhcpStep, KernelStep, LibvirtStep, Step};

/// A host as it will be.
pub(crate) struct Expectation {
    links: BTreeMap<IfName, Link>,
    libvirt: Option<LibvirtState>,
    rules: Vec<Rule>,
    /// Routes by device.
    routes: BTreeMap<IfName, Vec<Route>>,
    /// Forwarding entries by bridge.
    entries: BTreeMap<IfName, Vec<FdbEntry>>,
    /// Names of ports by bridge, and of VLAN devices by the device below.
    ports: BTreeMap<IfName, BTreeSet<IfName>>,
    vlans: BTreeMap<IfName, BTreeSet<IfName>>,
    /// DHCP clients by device.
    clients: BTreeMap<IfName, Vec<DhcpClientSpec>>,
    /// Devices that the plan makes.
    pub(crate) made: BTreeSet<IfName>,
    /// Devices whose MTU the kernel may have changed: bridges together with their ports, and what has left a bond, with
    /// its VLANs.
    pub(crate) unsure_of_mtu: BTreeSet<IfName>,
    /// Bridges whose MTU the plan itself has set to another value: the kernel leaves it alone from there on.
    sure_of_mtu: BTreeSet<IfName>,
}

/// A new bridge's attributes.
///
/// *Source*: `br_dev_setup` in the kernel's `net/bridge/br_device.c`.
pub(crate) const NEW_BRIDGE: Bridge = Bridge {
    stp: false,
    ageing_time_cs: 30_000,
    forward_delay_cs: 1500,
    hello_time_cs: 200,
    max_age_cs: 2000,
    priority: 32_768,
    multicast_snooping: true,
    multicast_querier: false,
    group_fwd_mask: 0,
    vlan_filtering: false,
    default_pvid: 1,
    numbers: BridgeNumbers::NONE,
};

/// A new port's flags.
///
/// *Source*: `BR_*` flags in `new_nbp`, the kernel's `net/bridge/br_if.c`.
pub(crate) const NEW_PORT: PortFlags = PortFlags {
    learning: true,
    flood: true,
    multicast_flood: true,
    broadcast_flood: true,
    isolated: false,
    locked: false,
};

impl Expectation {
    pub(crate) fn new(observed: &HostState) -> Self {
        let mut routes = BTreeMap::<_, Vec<Route>>::new();
        for route in &observed.kernel.routes {
            routes.entry(route.device.clone()).or_default().push(route.clone());
        }
        let mut entries = BTreeMap::<_, Vec<FdbEntry>>::new();
        for entry in &observed.kernel.fdb {
            entries.entry(entry.bridge.clone()).or_default().push(entry.clone());
        }
        let (mut ports, mut vlans) = (BTreeMap::<_, BTreeSet<_>>::new(), BTreeMap::<_, BTreeSet<_>>::new());
        for link in observed.kernel.links.values() {
            if let Some(master) = &link.master {
                ports.entry(master.clone()).or_default().insert(link.name.clone());
            }
            if let LinkKind::Vlan { base, .. } = &link.kind {
                vlans.entry(base.clone()).or_default().insert(link.name.clone());
            }
        }
        let mut clients = BTreeMap::<_, Vec<DhcpClientSpec>>::new();
        for client in &observed.dhcp {
            clients.entry(client.spec.link.clone()).or_default().push(client.spec.clone());
        }
        Self {
            links: observed.kernel.links.clone(),
            libvirt: observed.libvirt.clone(),
            rules: observed.kernel.rules.clone(),
            routes,
            entries,
            ports,
            vlans,
            clients,
            made: BTreeSet::new(),
            unsure_of_mtu: BTreeSet::new(),
            sure_of_mtu: BTreeSet::new(),
        }
    }

    pub(crate) fn link(&self, name: &IfName) -> Option<&Link> {
        self.links.get(name)
    }

    /// Returns the device if it is there and can become what is wanted.
    pub(crate) fn fitting(&self, name: &IfName, kind: &KindTarget) -> Option<&Link> {
        self.link(name).filter(|link| !is_another_kind(kind, link))
    }

    pub(crate) fn network(&self, name: &str) -> Option<&LibvirtNetwork> {
        self.libvirt.as_ref()?.networks.get(name)
    }

    pub(crate) fn ports(&self, bridge: &IfName) -> impl Iterator<Item = &Link> {
        self.ports.get(bridge).into_iter().flatten().filter_map(|name| self.links.get(name))
    }

    /// Returns the routes through a device.
    pub(crate) fn routes(&self, device: &IfName) -> &[Route] {
        self.routes.get(device).map_or(&[], Vec::as_slice)
    }

    /// Returns the DHCP clients on a device.
    pub(crate) fn clients(&self, device: &IfName) -> &[DhcpClientSpec] {
        self.clients.get(device).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Returns the forwarding entries of a bridge.
    pub(crate) fn entries(&self, bridge: &IfName) -> &[FdbEntry] {
        self.entries.get(bridge).map_or(&[], Vec::as_slice)
    }

    /// Follows the effects of `step`.
    pub(crate) fn follow(&mut self, step: &Step) {
        match step {
            Step::Kernel(step) => self.follow_kernel(step),
            Step::Libvirt(step) => self.follow_libvirt(step),
            Step::Dhcp(step) => self.follow_dhcp(step),
            // A plan writes the file once at most, and tells of each device once.
            Step::Resolver(_) => {}
            // Plans for networks have none.
            Step::Guest(_) => {}
        }
    }

    fn follow_kernel(&mut self, step: &KernelStep) {
        match step {
            KernelStep::CreateBridge { name, mac, alias } => {
                let link = new_link(name, LinkKind::Bridge(NEW_BRIDGE), Mtu::ETHERNET, alias);
                self.insert(Link { mac: *mac, ..link });
            }
            KernelStep::CreateBond { name, mode, mac, alias } => {
                let options = BondOptions::of(*mode).complete();
                let bond = Bond { options, active_port: None, lacp: None };
                let link = new_link(name, LinkKind::Bond(bond), Mtu::ETHERNET, alias);
                self.insert(Link { mac: *mac, ..link });
            }
            KernelStep::CreateVlan { name, base, id, alias } => {
                let below = self.link(base);
                let mtu = below.map_or(Mtu::ETHERNET, |base| base.mtu);
                let mac = below.and_then(|base| base.mac);
                let link = new_link(name, LinkKind::Vlan { base: base.clone(), id: *id }, mtu, alias);
                self.insert(Link { mac, ..link });
            }
            KernelStep::DeleteLink { name } => self.delete(name),
            KernelStep::SetAlias { link, alias } => self.change(link, |link| link.alias.clone_from(alias)),
            KernelStep::SetMac { link, mac } => self.change(link, |link| link.mac = Some(*mac)),
            KernelStep::SetMtu { link, mtu } => self.set_mtu(link, *mtu),
            KernelStep::SetUp { link, up } => self.set_up(link, *up),
            KernelStep::SetMaster { link, master } => self.set_master(link, master.as_ref()),
            KernelStep::SetIpv6Disabled { link, disabled } => {
                self.change(link, |link| link.ipv6_disabled = *disabled);
                if *disabled {
                    self.drop_ipv6(link);
                }
            }
            KernelStep::SetAutoconf { link, change } => self.change(link, |link| {
                link.autoconf = Some(change.of(link.autoconf.unwrap_or(Ipv6Autoconf::NEW)));
            }),
            KernelStep::SetBridge { bridge, change } => self.set_bridge(bridge, change),
            KernelStep::SetBond { bond, change } => self.change(bond, |link| {
                if let LinkKind::Bond(bond) = &mut link.kind {
                    set_bond(&mut bond.options, change);
                    if change.mode.is_some() {
                        bond.active_port = None;
                    }
                    if let Some(port) = &change.active_port {
                        bond.active_port = Some(port.clone());
                    }
                }
            }),
            KernelStep::SetPort { port, change } => self.change(port, |link| {
                if let Some(flags) = &mut link.port {
                    set_port(flags, change);
                }
            }),
            KernelStep::AddVlans { port, vlans } => {
                self.change(port, |link| link.vlans.get_or_insert_default().add(*vlans));
            }
            KernelStep::RemoveVlans { port, first, last } => {
                self.change(port, |link| link.vlans.get_or_insert_default().remove(*first, *last));
            }
            KernelStep::AddAddress { link, address } | KernelStep::LeaseAddress { link, address, .. } => {
                self.change(link, |link| link.addresses.push(address.clone()));
            }
            KernelStep::RemoveAddress { link, address } => self.remove_address(link, address),
            KernelStep::AddRoute { route } => {
                let through = self.routes.entry(route.device.clone()).or_default();
                through.retain(|has| has != route);
                through.push(route.clone());
            }
            KernelStep::RemoveRoute { route } => self.keep_routes(&route.device, |has| has != route),
            KernelStep::AddRule { rule } => self.rules.push(rule.clone()),
            KernelStep::RemoveRule { rule } => self.rules.retain(|has| has != rule),
            KernelStep::SetRings { link, sizes } => self.change(link, |link| {
                if let Some(rings) = &mut link.settings.rings {
                    (rings.rx, rings.tx) = (sizes.rx.unwrap_or(rings.rx), sizes.tx.unwrap_or(rings.tx));
                }
            }),
            KernelStep::SetVirtualFunctions { link, count } => self.set_virtual_functions(link, *count),
            KernelStep::SetFeatures { link, features } => self.change(link, |link| {
                for (name, on) in features {
                    if let Some(state) = link.settings.features.get_mut(name) {
                        (state.requested, state.active) = (*on, *on);
                    }
                }
            }),
            KernelStep::ShapeEgress { link, rest } => self.change(link, |link| {
                if link.egress == Egress::Kernels {
                    link.egress = Egress::Shaped(Shaping([(TrafficClass::Rest, *rest)].into()));
                }
            }),
            KernelStep::UnshapeEgress { link } => self.change(link, |link| link.egress = Egress::Kernels),
            KernelStep::SetTrafficClass { link, class, qos } => self.change(link, |link| {
                if let Egress::Shaped(shaping) = &mut link.egress {
                    shaping.0.insert(*class, *qos);
                }
            }),
            KernelStep::RemoveTrafficClass { link, class } => self.change(link, |link| {
                if let Egress::Shaped(shaping) = &mut link.egress {
                    shaping.0.remove(class);
                }
            }),
            KernelStep::ReplaceFdb { entry } => {
                let entries = self.entries.entry(entry.bridge.clone()).or_default();
                entries.retain(|has| (has.mac, has.vlan) != (entry.mac, entry.vlan));
                entries.push(entry.clone());
            }
            KernelStep::RemoveFdb { entry } => self.keep_entries(&entry.bridge, |has| has != entry),
            KernelStep::ForgetLearned { port } => {
                let bridge = self.link(port).and_then(|link| link.master.clone());
                if let Some(bridge) = bridge {
                    self.keep_entries(&bridge, |has| has.port != *port || has.state != FdbState::Learned);
                }
            }
        }
    }

    fn follow_dhcp(&mut self, step: &DhcpStep) {
        match step {
            DhcpStep::Start(spec) => {
                if !spec.default_route {
                    self.forget_lease_routes(&spec.link, spec.family, is_default);
                }
                let clients = self.clients.entry(spec.link.clone()).or_default();
                clients.retain(|client| !client.rivals(spec));
                clients.push(spec.clone());
            }
            DhcpStep::Stop { link: name, family } => {
                if let Some(clients) = self.clients.get_mut(name) {
                    clients.retain(|client| client.family != *family);
                }
                let of_family = |net: &IpNet| IpFamily::of(net.addr()) == *family;
                let leased = self.link(name).into_iter().flat_map(|link| &link.addresses);
                let leased = leased.filter(|has| has.origin == AddressOrigin::Dhcp && of_family(&has.net));
                for address in leased.cloned().collect::<Vec<_>>() {
                    self.remove_address(name, &address);
                }
                self.forget_lease_routes(name, *family, |_| true);
            }
        }
    }

    fn forget_lease_routes(&mut self, name: &IfName, family: IpFamily, which: fn(&Route) -> bool) {
        let of_lease = |route: &Route| {
            route.protocol == LEASE_PROTOCOL && IpFamily::of(route.destination.addr()) == family && which(route)
        };
        self.keep_routes(name, |route| !of_lease(route));
    }

    fn follow_libvirt(&mut self, step: &LibvirtStep) {
        let Some(libvirt) = &mut self.libvirt else { return };
        match step {
            LibvirtStep::Define(definition) => {
                let name = definition.name.clone();
                let network = libvirt.networks.entry(name.clone()).or_insert_with(|| LibvirtNetwork {
                    name,
                    uuid: definition.uuid.unwrap_or_default(),
                    bridge: None,
                    forward: String::new(),
                    mac_table_manager: MacTableManager::Kernel,
                    active: false,
                    autostart: false,
                    persistent: true,
                    owner: None,
                    redefined: None,
                    xml: String::new(),
                });
                network.bridge = Some(definition.bridge.to_string());
                "bridge".clone_into(&mut network.forward);
                network.mac_table_manager = definition.mac_table_manager;
                network.persistent = true;
                network.owner = Some(definition.owner.clone());
                network.redefined = None;
            }
            // What the XML says is known to who planned the step: see `define_as`.
            LibvirtStep::DefineXml { .. } => {}
            LibvirtStep::Start { name } => {
                if let Some(network) = libvirt.networks.get_mut(name) {
                    network.active = true;
                    let filtering = network.mac_table_manager == MacTableManager::Libvirt;
                    let bridge = network.bridge.as_deref().and_then(|bridge| IfName::parse(bridge).ok());
                    if let Some(bridge) = bridge.filter(|_| filtering) {
                        let change = BridgeChange { vlan_filtering: Some(true), ..BridgeChange::default() };
                        self.follow_kernel(&KernelStep::SetBridge { bridge, change });
                    }
                }
            }
            LibvirtStep::Stop { name } => {
                if let Some(network) = libvirt.networks.get_mut(name) {
                    network.active = false;
                    if !network.persistent {
                        libvirt.networks.remove(name);
                    }
                }
            }
            LibvirtStep::Undefine { name } => {
                libvirt.networks.remove(name);
            }
            LibvirtStep::SetAutostart { name, autostart } => {
                if let Some(network) = libvirt.networks.get_mut(name) {
                    network.autostart = *autostart;
                }
            }
        }
    }

    /// Follows a definition from XML: the network is as it was, and does not run by that alone.
    pub(crate) fn define_as(&mut self, before: &LibvirtNetwork) {
        if let Some(libvirt) = &mut self.libvirt {
            let (active, autostart) =
                libvirt.networks.get(&before.name).map_or((false, false), |has| (has.active, has.autostart));
            let network = LibvirtNetwork { active, autostart, ..before.clone() };
            libvirt.networks.insert(before.name.clone(), network);
        }
    }

    /// Follows a bridge to its options; its ports follow it to another default VLAN.
    fn set_bridge(&mut self, name: &IfName, change: &BridgeChange) {
        let pvid = |expectation: &Self| expectation.link(name).and_then(Link::bridge).map(|bridge| bridge.default_pvid);
        let before = pvid(self);
        self.change(name, |link| {
            if let LinkKind::Bridge(bridge) = &mut link.kind {
                set_bridge(bridge, change);
            }
        });
        let (Some(before), Some(after)) = (before, pvid(self)) else { return };
        for port in self.ports.get(name).cloned().unwrap_or_default() {
            self.change(&port, |link| {
                if let Some(vlans) = &mut link.vlans {
                    vlans.follow_default(before, after);
                }
            });
        }
    }

    fn change(&mut self, name: &IfName, change: impl FnOnce(&mut Link)) {
        if let Some(link) = self.links.get_mut(name) {
            change(link);
        }
    }

    fn insert(&mut self, link: Link) {
        self.made.insert(link.name.clone());
        if let LinkKind::Vlan { base, .. } = &link.kind {
            self.vlans.entry(base.clone()).or_default().insert(link.name.clone());
        }
        self.links.insert(link.name.clone(), link);
    }

    fn delete(&mut self, name: &IfName) {
        for vlan in self.vlans.get(name).cloned().unwrap_or_default() {
            self.delete(&vlan);
        }
        let ports: Vec<IfName> = self.ports(name).map(|port| port.name.clone()).collect();
        for port in ports {
            self.set_master(&port, None);
        }
        self.set_master(name, None);
        if let Some(Link { kind: LinkKind::Vlan { base, .. }, .. }) = self.links.remove(name)
            && let Some(vlans) = self.vlans.get_mut(&base)
        {
            vlans.remove(name);
        }
        self.sure_of_mtu.remove(name);
        self.unsure_of_mtu.remove(name);
        self.routes.remove(name);
        self.entries.remove(name);
    }

    fn set_mtu(&mut self, name: &IfName, mtu: Mtu) {
        if self.link(name).is_some_and(|link| link.mtu != mtu) {
            self.sure_of_mtu.insert(name.clone());
        }
        self.change(name, |link| link.mtu = mtu);
        self.unsure_of_mtu.remove(name);
        if self.is_bond(name) {
            let ports: Vec<IfName> = self.ports(name).map(|port| port.name.clone()).collect();
            ports.into_iter().for_each(|port| self.set_mtu(&port, mtu));
        }
        for vlan in self.vlans.get(name).into_iter().flatten() {
            if let Some(link) = self.links.get_mut(vlan).filter(|link| link.mtu > mtu) {
                link.mtu = mtu;
            }
        }
        if mtu < Mtu::IPV6_LEAST {
            self.drop_ipv6(name);
            self.change(name, |link| link.autoconf = None);
        }
        let master = self.link(name).and_then(|link| link.master.clone());
        self.doubt_mtu(master.as_ref());
    }

    /// Notes that the kernel may have set the MTU of `bridge` to the least of its ports': it does so until somebody
    /// sets one.
    fn doubt_mtu(&mut self, bridge: Option<&IfName>) {
        let Some(bridge) = bridge else { return };
        let least = self.ports(bridge).map(|port| port.mtu).min();
        if let (Some(least), Some(link)) = (least, self.link(bridge))
            && least != link.mtu
            && !self.sure_of_mtu.contains(bridge)
        {
            self.unsure_of_mtu.insert(bridge.clone());
        }
    }

    fn set_up(&mut self, name: &IfName, up: bool) {
        self.change(name, |link| link.up = up);
        if up {
            return;
        }
        self.routes.remove(name);
        self.change(name, |link| link.addresses.retain(|address| is_ipv4(&address.net)));
        for vlan in self.vlans.get(name).cloned().unwrap_or_default() {
            if self.link(&vlan).is_some_and(|link| link.up) {
                self.set_up(&vlan, false);
            }
        }
    }

    fn set_master(&mut self, name: &IfName, master: Option<&IfName>) {
        let before = self.link(name).and_then(|link| link.master.clone());
        if before.as_ref() == master {
            return;
        }
        if let Some(bond) = before.as_ref().filter(|before| self.is_bond(before)) {
            self.leave_bond(name, bond);
        }
        if let Some(bond) = master.filter(|master| self.is_bond(master)) {
            self.join_bond(name, bond);
        }
        let in_bridge = master.filter(|master| !self.is_bond(master)).is_some();
        let pvid = master.and_then(|master| self.link(master)?.bridge()).map(|bridge| bridge.default_pvid);
        self.change(name, |link| {
            link.master = master.cloned();
            link.port = in_bridge.then_some(NEW_PORT);
            link.vlans = pvid.map(|pvid| {
                let mut vlans = PortVlans::default();
                vlans.follow_default(0, pvid);
                vlans
            });
        });
        if let Some(before) = &before {
            self.keep_entries(before, |entry| entry.port != *name);
            if let Some(ports) = self.ports.get_mut(before) {
                ports.remove(name);
            }
        }
        if let Some(master) = master.filter(|_| self.links.contains_key(name)) {
            self.ports.entry(master.clone()).or_default().insert(name.clone());
        }
        self.doubt_mtu(before.as_ref());
        self.doubt_mtu(master);
    }

    fn is_bond(&self, name: &IfName) -> bool {
        self.link(name).is_some_and(|link| link.bond().is_some())
    }

    /// Follows a device into a bond: it is brought up, and has the bond's MTU.
    fn join_bond(&mut self, name: &IfName, bond: &IfName) {
        let mtu = self.link(bond).map(|bond| bond.mtu);
        self.change(name, |link| {
            link.up = true;
            link.mtu = mtu.unwrap_or(link.mtu);
        });
    }

    /// Follows a device out of a bond: it goes down, with the MTU and the MAC that it had before it came, whatever those
    /// were. A bond without ports has a MAC of the kernel's choice.
    fn leave_bond(&mut self, name: &IfName, bond: &IfName) {
        self.set_up(name, false);
        self.unsure_of_mtu.extend(self.vlans.get(name).into_iter().flatten().cloned());
        self.unsure_of_mtu.insert(name.clone());
        self.change(name, |link| link.bond_port = None);
        self.change(bond, |link| {
            if let LinkKind::Bond(bond) = &mut link.kind {
                bond.active_port = bond.active_port.take().filter(|port| port != name);
            }
        });
        let is_last = self.ports(bond).all(|port| port.name == *name);
        if is_last {
            self.change(bond, |link| link.mac = None);
        }
    }

    /// Lets the devices of the functions that were there go with them; what new ones are called is not known.
    fn set_virtual_functions(&mut self, name: &IfName, count: u32) {
        let mut gone = Vec::new();
        self.change(name, |link| {
            if let Some(vfs) = link.settings.vfs.as_mut().filter(|vfs| vfs.count() != count) {
                let functions = (0..count).map(|_| VirtualFunction::default()).collect();
                gone = std::mem::replace(&mut vfs.functions, functions);
            }
        });
        for device in gone.into_iter().filter_map(|function| function.device) {
            self.delete(&device);
        }
    }

    fn keep_routes(&mut self, device: &IfName, keep: impl Fn(&Route) -> bool) {
        if let Some(routes) = self.routes.get_mut(device) {
            routes.retain(keep);
        }
    }

    fn keep_entries(&mut self, bridge: &IfName, keep: impl Fn(&FdbEntry) -> bool) {
        if let Some(entries) = self.entries.get_mut(bridge) {
            entries.retain(keep);
        }
    }

    fn drop_ipv6(&mut self, name: &IfName) {
        self.change(name, |link| link.addresses.retain(|address| is_ipv4(&address.net)));
        self.keep_routes(name, |route| is_ipv4(&route.destination));
    }

    fn remove_address(&mut self, name: &IfName, address: &Address) {
        self.change(name, |link| link.addresses.retain(|has| has.net != address.net));
        let IpNet::V4(net) = address.net else { return };
        let gone = IpAddr::V4(net.addr());
        for routes in self.routes.values_mut() {
            routes.retain(|route| route.preferred_source != Some(gone));
        }
        let has_ipv4 = self.link(name).is_some_and(|link| link.addresses.iter().any(|address| is_ipv4(&address.net)));
        if !has_ipv4 {
            self.keep_routes(name, |route| !is_ipv4(&route.destination));
        }
    }
}

const fn is_ipv4(net: &IpNet) -> bool {
    matches!(net, IpNet::V4(_))
}
