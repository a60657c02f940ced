//! From what a host is to what it is to be: the steps between, in an order that works and hurts least.
//!
//! What may fail comes before what may cut off: new devices and libvirt's networks are made ready first; then, in one
//! go, addresses, routes and NICs move to where they belong. A step that takes something away comes before the step
//! that needs it elsewhere.

mod bonds;
mod expectation;
mod ipv6;
mod order;
mod ports;
mod resolver;

use std::collections::BTreeSet;

use trestle_model::{FeatureSet, HostState, IfName, Link, Settable};

use self::expectation::Expectation;
pub(crate) use self::expectation::NEW_BRIDGE;
use crate::census::Census;
use crate::target::Target;
use crate::{DhcpStep, Guests, KernelStep, PlannedStep, Step};

/// Plans the steps from `observed` to `target`.
///
/// *Shape*: in the order in which to perform them; empty exactly where [`crate::verify`] finds no drift.
pub fn steps_towards(target: &Target, observed: &HostState) -> Vec<PlannedStep> {
    let census = Census::of(observed);
    let now = Expectation::new(observed);
    let (tuned, deafened) = (BTreeSet::new(), BTreeSet::new());
    let mut draft = Draft { target, observed, census, now, tuned, deafened, steps: Vec::new() };
    draft.order();
    draft.steps
}

/// A plan in the making.
struct Draft<'a> {
    target: &'a Target,
    observed: &'a HostState,
    census: Census<'a>,
    now: Expectation,
    /// Bonds whose options were set while they have to be set whole.
    tuned: BTreeSet<IfName>,
    /// Ports whose learning was switched off, and of which nothing was forgotten yet.
    deafened: BTreeSet<IfName>,
    steps: Vec<PlannedStep>,
}

impl Draft<'_> {
    const fn features(&self) -> &FeatureSet {
        &self.observed.features
    }

    fn plan(&mut self, step: Step, why: &str, what: &str) {
        let planned = PlannedStep {
            reason: format!("{why}: {what}"),
            disrupts: self.disrupts(&step),
            guests: self.guests(&step),
            step: step.clone(),
        };
        self.now.follow(&step);
        self.steps.push(planned);
    }

    fn plan_kernel(&mut self, step: KernelStep, why: &str, what: &str) {
        self.plan(Step::Kernel(step), why, what);
    }

    /// Tells whether traffic may be interrupted: never on a device that this very plan makes.
    fn disrupts(&self, step: &Step) -> bool {
        let step = match step {
            Step::Kernel(step) => step,
            Step::Dhcp(DhcpStep::Stop { link, .. }) => return self.existed(link),
            Step::Dhcp(DhcpStep::Start(_)) | Step::Libvirt(_) | Step::Resolver(_) | Step::Guest(_) => return false,
        };
        match step {
            KernelStep::DeleteLink { name } => self.existed(name),
            KernelStep::RemoveVlans { port: link, .. }
            | KernelStep::SetMac { link, .. }
            | KernelStep::SetUp { link, up: false }
            | KernelStep::SetMaster { link, .. }
            | KernelStep::RemoveAddress { link, .. } => self.existed(link),
            KernelStep::SetMtu { link, .. } => self.existed(link) && self.now.link(link).is_some_and(is_hardware),
            KernelStep::RemoveRoute { route } => self.existed(&route.device),
            KernelStep::RemoveRule { .. } => true,
            // What waits in the queue is dropped; a driver may start the NIC anew.
            KernelStep::ShapeEgress { link, .. }
            | KernelStep::UnshapeEgress { link }
            | KernelStep::RemoveTrafficClass { link, .. }
            | KernelStep::SetRings { link, .. }
            | KernelStep::SetVirtualFunctions { link, .. }
            | KernelStep::SetFeatures { link, .. } => self.existed(link),
            KernelStep::SetIpv6Disabled { link, disabled } => {
                *disabled
                    && self.now.link(link).is_some_and(|link| link.addresses.iter().any(|a| a.net.addr().is_ipv6()))
            }
            KernelStep::SetBridge { bridge, change } => {
                self.existed(bridge) && (change.vlan_filtering.is_some() || change.stp.is_some())
            }
            KernelStep::SetBond { bond, change } => self.existed(bond) && change.settable() > Settable::Always,
            KernelStep::CreateBridge { .. }
            | KernelStep::CreateBond { .. }
            | KernelStep::CreateVlan { .. }
            | KernelStep::SetAlias { .. }
            | KernelStep::SetUp { up: true, .. }
            | KernelStep::SetPort { .. }
            | KernelStep::AddVlans { .. }
            | KernelStep::SetAutoconf { .. }
            | KernelStep::AddAddress { .. }
            | KernelStep::LeaseAddress { .. }
            | KernelStep::AddRoute { .. }
            | KernelStep::AddRule { .. }
            | KernelStep::SetTrafficClass { .. }
            | KernelStep::ReplaceFdb { .. }
            | KernelStep::RemoveFdb { .. }
            | KernelStep::ForgetLearned { .. } => false,
        }
    }

    fn existed(&self, name: &IfName) -> bool {
        self.observed.kernel.links.contains_key(name) && !self.now.made.contains(name)
    }

    /// Returns the guests whose ports a step touches: those behind the port, or all of the bridge.
    fn guests(&self, step: &Step) -> Guests {
        let (port, bridge, network) = match step {
            Step::Libvirt(step) => (None, None, Some(step.network())),
            Step::Dhcp(_) | Step::Resolver(_) | Step::Guest(_) => (None, None, None),
            Step::Kernel(step) => match step {
                KernelStep::SetPort { port, .. }
                | KernelStep::ForgetLearned { port }
                | KernelStep::AddVlans { port, .. }
                | KernelStep::RemoveVlans { port, .. } => (Some(port), None, None),
                KernelStep::ReplaceFdb { entry } | KernelStep::RemoveFdb { entry } => (Some(&entry.port), None, None),
                KernelStep::SetBridge { bridge, .. } => (None, Some(bridge), None),
                KernelStep::SetMaster { link, master } => {
                    let before = self.now.link(link).and_then(|link| link.master.as_ref());
                    (Some(link), master.as_ref().or(before), None)
                }
                KernelStep::DeleteLink { name: link }
                | KernelStep::SetUp { link, .. }
                | KernelStep::SetMac { link, .. }
                | KernelStep::SetMtu { link, .. } => (Some(link), Some(link), None),
                KernelStep::CreateBridge { .. }
                | KernelStep::CreateBond { .. }
                | KernelStep::SetBond { .. }
                | KernelStep::CreateVlan { .. }
                | KernelStep::SetAlias { .. }
                | KernelStep::SetIpv6Disabled { .. }
                | KernelStep::SetAutoconf { .. }
                | KernelStep::AddAddress { .. }
                | KernelStep::LeaseAddress { .. }
                | KernelStep::RemoveAddress { .. }
                | KernelStep::AddRoute { .. }
                | KernelStep::RemoveRoute { .. }
                | KernelStep::AddRule { .. }
                | KernelStep::RemoveRule { .. }
                | KernelStep::ShapeEgress { .. }
                | KernelStep::UnshapeEgress { .. }
                | KernelStep::SetTrafficClass { .. }
                | KernelStep::RemoveTrafficClass { .. }
                | KernelStep::SetRings { .. }
                | KernelStep::SetVirtualFunctions { .. }
                | KernelStep::SetFeatures { .. } => (None, None, None),
            },
        };
        let at_port = port.into_iter().flat_map(|port| self.census.behind(port));
        let ports = bridge.into_iter().flat_map(|bridge| self.now.ports(bridge));
        let on_bridge = ports.flat_map(|port| self.census.behind(&port.name));
        let in_network = network.into_iter().flat_map(|network| self.census.served(network));
        let mut guests: Guests = at_port.chain(on_bridge).chain(in_network).map(|guest| guest.domain.clone()).collect();
        guests.sort();
        guests.dedup();
        guests
    }
}

const fn is_hardware(link: &Link) -> bool {
    use trestle_model::LinkKind;
    match link.kind {
        LinkKind::Nic | LinkKind::Bond(_) | LinkKind::Veth | LinkKind::Tun | LinkKind::Other(_) => true,
        LinkKind::Vlan { .. } | LinkKind::Bridge(_) | LinkKind::Loopback => false,
    }
}
