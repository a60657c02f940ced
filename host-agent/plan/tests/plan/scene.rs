//! A host, its configuration, and short words for what is asked of it.

use trestle_fake_host::{FakeHost, World};
use trestle_model::{BondChange, HostConfig, Link, NetworkChange, NicChange, SetupRequest};
use trestle_plan::{Host, Named, Plan, PlannedStep, Step, compose, plan, steps_towards, verify};

pub(crate) use trestle_plan::sample::{Net, foreign_route, if_name, lines, name, net, remove, request, settled};

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
        again.bonds.retain(|change| matches!(change, BondChange::Set(_)));
        again.nics.retain(|change| matches!(change, NicChange::Set(_)));
        let again = trestle_plan::plan(&again, &self.running, &state).expect("what was accepted is accepted again");
        assert_eq!(lines(&again.steps), "", "asking again");
        let (target, _) = compose(&self.running, &self.running, &state, &Named::everything(&self.running));
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
        let routes = self
            .host
            .state()
            .kernel
            .routes
            .into_iter()
            .filter(|route| route.is_main() && route.destination.prefix_len() == 0);
        routes.map(|route| format!("{} dev {}", route.gateway.expect("a gateway"), route.device)).collect()
    }
}
