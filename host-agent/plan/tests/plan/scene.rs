//! A host, its configuration, and short words for what is asked of it.

use std::collections::BTreeSet;
use std::time::Duration;

use trestle_fake_host::{FakeHost, World};
use trestle_model::{
    BridgeOptions, BridgeSpec, Code, ConnectivityCheck, HostConfig, HostState, IfName, Ipv4Config, Ipv6Config, Link,
    MacTableManager, Mtu, NetworkChange, NetworkName, NetworkSpec, Origin, SetupOptions, SetupRequest, Southbound,
    StaticIpv4, StaticIpv6, Topology, TransactionId, VlanId,
};
use trestle_plan::{Host, Plan, PlannedStep, Step, compose, plan, steps_towards, verify};
use uuid::Uuid;

pub(crate) struct Scene {
    pub(crate) host: FakeHost,
    pub(crate) running: HostConfig,
}

impl Scene {
    pub(crate) fn new(world: World) -> Self {
        Self { host: FakeHost::new(world), running: HostConfig::default() }
    }

    pub(crate) fn fork(&self) -> Self {
        Self { host: self.host.fork(), running: self.running.clone() }
    }

    pub(crate) fn plan(&self, request: &SetupRequest) -> Plan {
        plan(request, &self.running, &self.host.state()).unwrap_or_else(|findings| panic!("refused: {findings:#?}"))
    }

    /// Carries a request out, and checks that the host is then as planned and that there is nothing left to do.
    pub(crate) async fn apply(&mut self, request: &SetupRequest) -> Plan {
        let plan = self.plan(request);
        self.perform(&plan.steps).await;
        let state = self.host.state();
        assert_eq!(verify(&plan.target, &state), [], "after {}", lines(&plan.steps));
        self.running = plan.desired.clone();
        let mut again = request.clone();
        again.changes.retain(|change| matches!(change, NetworkChange::Set(_)));
        let again = trestle_plan::plan(&again, &self.running, &state).expect("what was accepted is accepted again");
        assert_eq!(lines(&again.steps), "", "asking again");
        let (target, _) = compose(&self.running, &self.running, &state, &names(&self.running));
        assert_eq!(lines(&steps_towards(&target, &state)), "", "the other networks");
        plan
    }

    pub(crate) async fn perform(&self, steps: &[PlannedStep]) {
        let bare: Vec<Step> = steps.iter().map(|planned| planned.step.clone()).collect();
        if let Err(failure) = self.host.perform(&bare).await {
            panic!("{failure}\n{}", lines(steps));
        }
    }

    pub(crate) fn link(&self, name: &str) -> Link {
        self.try_link(name).unwrap_or_else(|| panic!("{name} is not there"))
    }

    pub(crate) fn try_link(&self, name: &str) -> Option<Link> {
        self.host.state().kernel.links.get(&if_name(name)).cloned()
    }

    /// Returns a device's addresses as text, the kernel's own left out.
    pub(crate) fn addresses(&self, name: &str) -> Vec<String> {
        let of_kernel = trestle_model::AddressOrigin::Kernel;
        let addresses = self.link(name).addresses.into_iter().filter(|address| address.origin != of_kernel);
        addresses.map(|address| address.net.to_string()).collect()
    }

    /// Returns the default routes as `gateway dev device`.
    pub(crate) fn defaults(&self) -> Vec<String> {
        let routes = self.host.state().kernel.routes.into_iter().filter(|route| route.destination.prefix_len() == 0);
        routes.map(|route| format!("{} dev {}", route.gateway.expect("a gateway"), route.device)).collect()
    }
}

pub(crate) fn lines(steps: &[PlannedStep]) -> String {
    steps.iter().map(|planned| planned.step.to_string()).collect::<Vec<_>>().join("\n")
}

pub(crate) fn if_name(name: &str) -> IfName {
    IfName::parse(name).unwrap()
}

pub(crate) fn name(name: &str) -> NetworkName {
    NetworkName::parse(name).unwrap()
}

pub(crate) fn names(config: &HostConfig) -> BTreeSet<NetworkName> {
    config.networks.keys().cloned().collect()
}

pub(crate) fn request(changes: impl IntoIterator<Item = NetworkChange>) -> SetupRequest {
    SetupRequest {
        changes: changes.into_iter().collect(),
        options: SetupOptions {
            transaction: TransactionId(Uuid::from_u128(1)),
            origin: Origin::Local,
            connectivity_check: ConnectivityCheck::Local(Duration::from_secs(30)),
            commit_on_success: false,
            validate_only: false,
            acknowledge: vec![Code::NoEffectNotBridged],
            fence: None,
        },
    }
}

pub(crate) fn remove(network: &str) -> NetworkChange {
    NetworkChange::Remove(name(network))
}

/// A network in the making: bridged, untagged, on nothing, without addresses.
#[derive(Debug, Clone)]
pub(crate) struct Net(pub(crate) NetworkSpec);

pub(crate) fn net(network: &str) -> Net {
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
    })
}

impl Net {
    pub(crate) fn on(mut self, nic: &str) -> Self {
        self.0.southbound = Some(Southbound::Nic(if_name(nic)));
        self
    }

    pub(crate) fn vlan(mut self, id: u32) -> Self {
        self.0.vlan = Some(VlanId::try_from(id).unwrap());
        self
    }

    pub(crate) fn mtu(mut self, bytes: u32) -> Self {
        self.0.mtu = Mtu::try_from(bytes).unwrap();
        self
    }

    pub(crate) fn bridgeless(mut self) -> Self {
        self.0.topology = Topology::Bridgeless;
        self
    }

    pub(crate) fn managed(mut self) -> Self {
        self.0.mac_table_manager = MacTableManager::Libvirt;
        self
    }

    pub(crate) fn ipv4(mut self, addresses: &[&str], gateway: Option<&str>) -> Self {
        let addresses = addresses.iter().map(|net| net.parse().unwrap()).collect();
        let gateway = gateway.map(|gateway| gateway.parse().unwrap());
        self.0.ipv4 = Ipv4Config::Static(StaticIpv4::new(addresses, gateway).unwrap());
        self
    }

    pub(crate) fn ipv6(mut self, addresses: &[&str], gateway: Option<&str>) -> Self {
        let addresses = addresses.iter().map(|net| net.parse().unwrap()).collect();
        let gateway = gateway.map(|gateway| gateway.parse().unwrap());
        self.0.ipv6 = Ipv6Config::Static(StaticIpv6::new(addresses, gateway).unwrap());
        self
    }

    pub(crate) fn default_route(mut self) -> Self {
        self.0.default_route = true;
        self
    }

    pub(crate) fn bridge(mut self, change: impl FnOnce(&mut BridgeSpec)) -> Self {
        if let Topology::Bridged(bridge) = &mut self.0.topology {
            change(bridge);
        }
        self
    }

    pub(crate) fn set(self) -> NetworkChange {
        NetworkChange::Set(self.0)
    }
}

/// What is left of a state when the kernel's noise is taken out: numbers of devices, carriers, link-local addresses,
/// leases' remaining time, learned and local entries.
pub(crate) fn settled(mut state: HostState) -> HostState {
    use trestle_model::{AddressOrigin, FdbState};
    for link in state.kernel.links.values_mut() {
        link.index = 0;
        link.carrier = false;
        link.promiscuity = 0;
        link.addresses.retain(|address| address.origin != AddressOrigin::Kernel);
        for address in &mut link.addresses {
            address.origin = AddressOrigin::Static;
        }
    }
    let link_local = |route: &trestle_model::Route| route.destination.to_string() == "fe80::/64";
    state.kernel.routes.retain(|route| !link_local(route));
    state.kernel.fdb.retain(|entry| entry.state == FdbState::Static);
    state
}
