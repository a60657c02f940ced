//! What a fake host consists of, and how to build it.

mod domains;
mod guests;

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use trestle_model::{
    Address, AddressOrigin, BondMode, DeviceManager, Egress, FdbEntry, Feature, FeatureSet, ForeignDhcp,
    FunctionSettings, HostState, IfName, Ipv6Autoconf, LinkKind, LinkNames, MacAddr, MacTableManager, Management, Mtu,
    NicState, ResolverMechanism, ResolverState, Route, Support, VirtualFunction, VlanId,
};
use trestle_plan::{AutoconfChange, DhcpStep, KernelStep, LibvirtStep, ResolverStep};

use crate::dhcp::Dhcp;
use crate::kernel::{Answer, Kernel, of_new_nic};
use crate::libvirt::{Definition, Libvirt, is_software};

/// A kernel, a libvirt, and what they can do.
///
/// Built by chaining; methods that take `&mut self` change a world that is in use, in [`crate::FakeHost::change`].
#[derive(Debug, Clone)]
pub struct World {
    kernel: Kernel,
    libvirt: Option<Libvirt>,
    dhcp: Dhcp,
    resolver: ResolverState,
    managers: BTreeMap<IfName, Management>,
    features: FeatureSet,
    foreign_dhcp: Vec<ForeignDhcp>,
}

impl Default for World {
    /// Makes a host with the loopback device alone, and with a libvirt; both can do everything.
    fn default() -> Self {
        let mut kernel = Kernel::default();
        let loopback = if_name("lo");
        kernel.make(&loopback, LinkKind::Loopback, Some(MacAddr::new([0; 6])), mtu(65_535));
        let mut world = Self {
            kernel,
            libvirt: Some(Libvirt::default()),
            dhcp: Dhcp::default(),
            resolver: ResolverState::default(),
            foreign_dhcp: Vec::new(),
            managers: BTreeMap::new(),
            features: FeatureSet(Feature::ALL.map(|feature| (feature, Support::Present)).into()),
        };
        world.set_up("lo", true);
        world
    }
}

impl World {
    /// Adds a NIC with a cable in it, up.
    #[must_use]
    pub fn nic(mut self, name: &str) -> Self {
        self.plug(name, LinkKind::Nic);
        self
    }

    /// Adds a NIC that is down.
    #[must_use]
    pub fn idle_nic(mut self, name: &str) -> Self {
        self.plug(name, LinkKind::Nic);
        self.set_up(name, false);
        self
    }

    /// Adds a device of any kind, up; bridges and VLAN devices have methods of their own.
    #[must_use]
    pub fn device(mut self, name: &str, kind: LinkKind) -> Self {
        self.plug(name, kind);
        self
    }

    /// Gives a NIC a virtual function that has a device in the host.
    #[must_use]
    pub fn virtual_function(mut self, nic: &str, device: &str) -> Self {
        self.plug(device, LinkKind::Nic);
        let function = VirtualFunction { device: Some(if_name(device)), ..VirtualFunction::default() };
        self.functions(nic).push(function);
        self
    }

    /// Gives a NIC a virtual function that a guest, or another program, has by a driver.
    #[must_use]
    pub fn passed_on_function(mut self, nic: &str, driver: &str) -> Self {
        self.functions(nic).push(VirtualFunction { driver: Some(driver.to_owned()), ..VirtualFunction::default() });
        self
    }

    /// Puts a device that the model does not know, such as a guest's macvtap, on the last virtual function of a NIC.
    #[must_use]
    pub fn upper_of_function(mut self, nic: &str, upper: &str) -> Self {
        let last = self.functions(nic).last_mut().expect("a function that was added");
        last.uppers.push(upper.to_owned());
        self
    }

    /// Has something set for the last virtual function of a NIC.
    #[must_use]
    pub fn set_for_function(mut self, nic: &str, set: FunctionSettings) -> Self {
        self.functions(nic).last_mut().expect("a function that was added").set = Some(set);
        self
    }

    fn functions(&mut self, nic: &str) -> &mut Vec<VirtualFunction> {
        let link = self.kernel.link_mut(&if_name(nic)).expect("a NIC that was added");
        &mut link.settings.vfs.get_or_insert_default().functions
    }

    /// Sets a device's MTU.
    #[must_use]
    pub fn mtu(mut self, name: &str, bytes: u32) -> Self {
        self.must(&KernelStep::SetMtu { link: if_name(name), mtu: mtu(bytes) });
        self
    }

    /// Adds a static address with the customary broadcast address.
    #[must_use]
    pub fn address(mut self, name: &str, net: &str) -> Self {
        self.must(&KernelStep::AddAddress { link: if_name(name), address: address(net, AddressOrigin::Static) });
        self
    }

    /// Adds an address with a lifetime, as DHCP or a router would.
    #[must_use]
    pub fn leased_address(mut self, name: &str, net: &str) -> Self {
        self.kernel.lease_address(&if_name(name), &address(net, AddressOrigin::Dynamic));
        self
    }

    /// Puts a DHCP server on a segment: it always gives `address`, and is the first host of its prefix.
    #[must_use]
    pub fn dhcp_server(mut self, segment: &str, address: &str) -> Self {
        self.serve_dhcp(segment, address);
        self
    }

    /// Lets another program's DHCP client show itself on a device.
    #[must_use]
    pub fn foreign_dhcp(mut self, link: &str, program: &str) -> Self {
        self.foreign_dhcp.push(ForeignDhcp { link: if_name(link), program: program.to_owned() });
        self.foreign_dhcp.sort();
        self
    }

    /// Says what a device makes of what routers advertise.
    #[must_use]
    pub fn autoconf(mut self, name: &str, change: AutoconfChange) -> Self {
        self.must(&KernelStep::SetAutoconf { link: if_name(name), change });
        self
    }

    /// Puts an IPv6 router on a segment, which advertises a prefix of 64 bits and itself as default router.
    #[must_use]
    pub fn router(mut self, segment: &str, prefix: &str) -> Self {
        let prefix = prefix.parse().expect("the test names an IPv6 prefix");
        self.kernel.routers.insert(if_name(segment), prefix);
        self.kernel.follow();
        self
    }

    /// Adds a route.
    #[must_use]
    pub fn route(mut self, route: Route) -> Self {
        self.must(&KernelStep::AddRoute { route });
        self
    }

    /// Adds a default route with protocol 16 (DHCP), as a host has it that nobody has configured yet.
    #[must_use]
    pub fn default_route(self, device: &str, gateway: &str, metric: u32) -> Self {
        let gateway: IpAddr = gateway.parse().expect("the test names an IP address");
        let destination = if gateway.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
        self.route(Route {
            table: Route::MAIN,
            destination: destination.parse().expect("a zero prefix is a prefix"),
            gateway: Some(gateway),
            device: if_name(device),
            metric,
            preferred_source: None,
            protocol: 16,
            scope: 0,
        })
    }

    /// Adds a bridge of somebody else's, up.
    #[must_use]
    pub fn foreign_bridge(mut self, name: &str) -> Self {
        self.must(&KernelStep::CreateBridge { name: if_name(name), mac: None, alias: String::new() });
        self.set_up(name, true);
        self
    }

    /// Adds a bond of somebody else's, in active-backup mode with the kernel's defaults, up, with these NICs.
    #[must_use]
    pub fn foreign_bond(mut self, name: &str, nics: &[&str]) -> Self {
        let (bond, mode) = (if_name(name), BondMode::ActiveBackup);
        self.must(&KernelStep::CreateBond { name: bond.clone(), mode, mac: None, alias: String::new() });
        for nic in nics {
            self.set_up(nic, false);
            self.must(&KernelStep::SetMaster { link: if_name(nic), master: Some(bond.clone()) });
        }
        self.set_up(name, true);
        self
    }

    /// Gives a device a queueing discipline of somebody else's.
    #[must_use]
    pub fn foreign_qdisc(mut self, name: &str, kind: &str) -> Self {
        self.queue(name, kind);
        self
    }

    /// Adds a VLAN device of somebody else's, up.
    #[must_use]
    pub fn foreign_vlan(mut self, name: &str, base: &str, id: u32) -> Self {
        let id = VlanId::try_from(id).expect("the test names a VLAN");
        self.must(&KernelStep::CreateVlan { name: if_name(name), base: if_name(base), id, alias: String::new() });
        self.set_up(name, true);
        self
    }

    /// Makes a device a port of a bridge.
    #[must_use]
    pub fn port(mut self, bridge: &str, port: &str) -> Self {
        self.must(&KernelStep::SetMaster { link: if_name(port), master: Some(if_name(bridge)) });
        self
    }

    /// Adds a running guest whose tap is a port of `bridge`, wired through the libvirt network `network` where one is
    /// named. libvirt treats the port as that network, as it runs now, says.
    #[must_use]
    pub fn guest(mut self, domain: &str, mac: &str, tap: &str, bridge: &str, network: Option<&str>) -> Self {
        self.start_guest(domain, mac, tap, bridge, network);
        self
    }

    /// Takes a feature away.
    #[must_use]
    pub fn without(mut self, feature: Feature, reason: &str) -> Self {
        self.features.0.insert(feature, Support::Absent(reason.to_owned()));
        self
    }

    /// Gives the host a `resolv.conf` that may be changed.
    #[must_use]
    pub fn resolv_conf(mut self, text: &str) -> Self {
        self.resolver = ResolverState { text: Some(text.to_owned()), ..ResolverState::default() };
        self
    }

    /// Lets systemd-resolved keep the name servers, and have these for a device.
    #[must_use]
    pub fn resolved(mut self, link: &str, names: LinkNames) -> Self {
        self.resolver = ResolverState { links: Some(BTreeMap::new()), ..ResolverState::default() };
        self.set_link_names(link, names);
        self
    }

    /// Lets systemd-resolved have these for a device; nothing where it does not keep the name servers.
    pub fn set_link_names(&mut self, link: &str, names: LinkNames) {
        if let Some(links) = &mut self.resolver.links {
            links.insert(if_name(link), names.clone());
        }
    }

    /// Lets somebody else keep the name servers.
    #[must_use]
    pub fn resolver_kept(mut self, keeper: &str) -> Self {
        self.resolver = ResolverState { keeper: Some(keeper.to_owned()), ..ResolverState::default() };
        self
    }

    /// Lets another daemon configure a device.
    #[must_use]
    pub fn managed(mut self, device: &str, manager: DeviceManager) -> Self {
        self.managers.insert(if_name(device), Management { manager, source: None });
        self
    }

    /// Takes libvirt away.
    #[must_use]
    pub fn without_libvirt(mut self) -> Self {
        self.libvirt = None;
        self
    }

    /// Adds a libvirt network of somebody else's on a bridge, running.
    #[must_use]
    pub fn foreign_network(mut self, name: &str, bridge: &str, manager: MacTableManager) -> Self {
        let features = self.features.clone();
        let (libvirt, kernel) = self.with_libvirt();
        let definition = Definition {
            name: name.to_owned(),
            uuid: libvirt.new_uuid(),
            forward: "bridge".to_owned(),
            bridge: Some(bridge.to_owned()),
            mac_table_manager: manager,
            owner: None,
        };
        libvirt.define(definition, &features).expect("the test defines a legal network");
        libvirt.start(name, kernel, &features).expect("the test's network can start");
        libvirt.set_autostart(name);
        self
    }

    /// Replaces what queues what leaves a device, as `tc qdisc replace` does; as [`World::foreign_qdisc`].
    pub fn queue(&mut self, name: &str, kind: &str) {
        self.kernel.link_mut(&if_name(name)).expect("the test names a device").egress =
            Egress::Foreign(kind.to_owned());
    }

    /// Pulls a NIC out: the device is gone.
    pub fn pull(&mut self, name: &str) {
        self.kernel.remove(&if_name(name));
        self.kernel.follow();
    }

    /// Adds a NIC with a cable in it, up; as [`World::nic`].
    pub fn plug_nic(&mut self, name: &str) {
        self.plug(name, LinkKind::Nic);
    }

    /// Puts a DHCP server on a segment, or lets it give another address from now on; as [`World::dhcp_server`].
    pub fn serve_dhcp(&mut self, segment: &str, address: &str) {
        self.dhcp.serve(&if_name(segment), address.parse().expect("the test names an address"));
    }

    /// Takes a segment's DHCP servers away; the leases that they gave go on until clients ask again.
    pub fn silence_dhcp(&mut self, segment: &str) {
        self.dhcp.fall_silent(&if_name(segment));
    }

    /// Lets every DHCP client ask again: leases change where the server gives another address, and end where there is
    /// none.
    pub fn renew_dhcp(&mut self) {
        self.dhcp.ask_again(&mut self.kernel);
    }

    /// Takes the DHCP clients away without a word, as the death of their agent does; what leases brought stays.
    pub fn lose_clients(&mut self) {
        self.dhcp.clients.clear();
    }

    /// Does what a step does, without a fault and without being counted.
    ///
    /// *Errors*: the kernel's or libvirt's text.
    pub fn perform(&mut self, step: &trestle_plan::Step) -> Result<(), String> {
        match step {
            trestle_plan::Step::Kernel(step) => self.perform_kernel(step),
            trestle_plan::Step::Libvirt(step) => self.perform_libvirt(step),
            trestle_plan::Step::Dhcp(step) => self.perform_dhcp(step),
            trestle_plan::Step::Resolver(step) => self.perform_resolver(step),
            trestle_plan::Step::Guest(step) => self.perform_on_guest(step),
        }
    }

    /// Removes every entry of a bridge, also the host's own, as `bridge fdb flush` does.
    pub fn flush_entries(&mut self, bridge: &str) {
        self.kernel.flush_entries(&if_name(bridge));
        self.kernel.follow();
    }

    /// Puts an entry into a bridge's table as learning would: where a stray frame moved it, or where a guest was heard.
    pub fn learn(&mut self, entry: FdbEntry) {
        let place = (&entry.bridge, entry.mac, entry.vlan);
        self.kernel.state.fdb.retain(|has| (&has.bridge, has.mac, has.vlan) != place);
        self.kernel.state.fdb.push(entry);
        self.kernel.follow();
    }

    /// Lets somebody capture frames on a device, so many times at once.
    pub fn capture(&mut self, name: &str, times: u32) {
        self.kernel.captures.insert(if_name(name), times);
        self.kernel.follow();
    }

    /// Returns what an observation returns.
    pub(crate) fn state(&self) -> HostState {
        let leased = self.dhcp.names(&self.resolver);
        let mut state = HostState {
            kernel: self.kernel.visible(),
            libvirt: self.libvirt.as_ref().map(Libvirt::state),
            resolver: ResolverState { leased: leased.servers, leased_search: leased.search, ..self.resolver.clone() },
            managers: self.managers.clone(),
            features: self.features.clone(),
            dhcp: self.dhcp.clients.clone(),
            foreign_dhcp: self.foreign_dhcp.clone(),
        };
        state.mark_leases();
        state
    }

    pub(crate) fn perform_kernel(&mut self, step: &KernelStep) -> Answer {
        self.kernel.perform(step, &self.features)?;
        self.dhcp.follow(&mut self.kernel);
        self.follow_resolver();
        Ok(())
    }

    /// Forgets what systemd-resolved had for devices that are gone.
    fn follow_resolver(&mut self) {
        if let Some(links) = &mut self.resolver.links {
            links.retain(|link, _| self.kernel.state.links.contains_key(link));
        }
    }

    pub(crate) fn perform_dhcp(&mut self, step: &DhcpStep) -> Answer {
        self.dhcp.perform(step, &mut self.kernel)
    }

    pub(crate) fn perform_libvirt(&mut self, step: &LibvirtStep) -> Answer {
        let features = &self.features;
        let libvirt = self.libvirt.as_mut().ok_or_else(|| "no libvirt here".to_owned())?;
        libvirt.perform(step, &mut self.kernel, features)?;
        self.kernel.follow();
        Ok(())
    }

    pub(crate) fn perform_resolver(&mut self, step: &ResolverStep) -> Answer {
        match (step, self.resolver.mechanism(), &mut self.resolver.links) {
            (ResolverStep::Write { text }, Some(ResolverMechanism::File), _) => {
                self.resolver.text.clone_from(text);
                Ok(())
            }
            (ResolverStep::SetLink { link, names }, _, Some(links)) => {
                self.kernel.link(link)?;
                links.insert(link.clone(), names.clone());
                links.retain(|_, names| *names != LinkNames::default());
                Ok(())
            }
            (step, mechanism, _) => Err(format!("{step}: name servers are kept through {mechanism:?}")),
        }
    }

    pub(crate) fn reboot(&mut self) {
        let software: Vec<IfName> = self
            .kernel
            .state
            .links
            .values()
            .filter(|link| is_software(&link.kind))
            .map(|link| link.name.clone())
            .collect();
        for name in software {
            self.kernel.remove(&name);
        }
        for link in self.kernel.state.links.values_mut() {
            link.up = link.kind == LinkKind::Loopback;
            link.addresses.clear();
            link.ipv6_disabled = false;
            link.autoconf = Some(Ipv6Autoconf::NEW);
            link.alias = None;
            link.egress = Egress::Kernels;
            if link.settings != NicState::default() {
                link.settings = of_new_nic(&link.kind);
            }
            if link.kind == LinkKind::Nic {
                link.mtu = Mtu::ETHERNET;
            }
        }
        self.kernel.state.routes.clear();
        self.kernel.state.rules.clear();
        self.dhcp.clients.clear();
        self.resolver.links.iter_mut().for_each(BTreeMap::clear);
        if let Some(libvirt) = &mut self.libvirt {
            libvirt.boot(&mut self.kernel, &self.features);
        }
        self.kernel.follow();
    }

    fn plug(&mut self, name: &str, kind: LinkKind) {
        let name = if_name(name);
        let is_hardware = matches!(kind, LinkKind::Nic | LinkKind::Veth | LinkKind::Other(_));
        self.kernel.make(&name, kind, None, Mtu::ETHERNET);
        if is_hardware {
            self.kernel.cabled.insert(name.clone());
        }
        if let Ok(link) = self.kernel.link_mut(&name) {
            link.permanent_mac = link.mac.filter(|_| is_hardware);
            if is_hardware {
                link.settings = of_new_nic(&link.kind);
            }
        }
        self.set_up(name.as_str(), true);
    }

    fn set_up(&mut self, name: &str, up: bool) {
        self.must(&KernelStep::SetUp { link: if_name(name), up });
    }

    fn must(&mut self, step: &KernelStep) {
        self.perform_kernel(step).expect("the test builds what a kernel accepts");
    }

    fn with_libvirt(&mut self) -> (&mut Libvirt, &mut Kernel) {
        (self.libvirt.as_mut().expect("the test's world has a libvirt"), &mut self.kernel)
    }
}

fn if_name(name: &str) -> IfName {
    IfName::parse(name).expect("the test names a device")
}

fn mtu(bytes: u32) -> Mtu {
    Mtu::try_from(bytes).expect("the test names an MTU")
}

fn address(net: &str, origin: AddressOrigin) -> Address {
    let net: IpNet = net.parse().expect("the test names an address");
    let broadcast = match net {
        IpNet::V4(net) if net.prefix_len() < 31 => Some(IpAddr::V4(net.broadcast())),
        IpNet::V4(_) | IpNet::V6(_) => None,
    };
    Address { net, origin, broadcast, label: None, scope: 0, no_prefix_route: false }
}
