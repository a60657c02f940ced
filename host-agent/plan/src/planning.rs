//! A request's way from its words to its steps.

use std::collections::BTreeSet;

use trestle_model::{
    BondChange, BondEntry, Findings, HostConfig, HostState, IfName, NetworkChange, NetworkEntry, NetworkName,
    NicChange, NicEntry, SetupRequest,
};

use crate::census::Census;
use crate::composition::{compose_on, resolve_bonds, resolve_nics};
use crate::drift::is_reached;
use crate::scope::with_origins_of;
use crate::validation::{Rivals, judge};
use crate::{PlannedStep, Snapshot, Step, Target, steps_towards};

/// All that carrying out a request needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Findings that did not refuse the request.
    pub findings: Findings,
    /// The steps, in the order in which to perform them.
    pub steps: Vec<PlannedStep>,
    /// What to verify afterwards.
    pub target: Target,
    /// What to journal first, and to go back to; empty without steps.
    pub snapshot: Snapshot,
    /// The configuration that a success adopts.
    pub desired: HostConfig,
}

impl Plan {
    /// Tells whether the host is already as asked for. The configuration may have to be adopted all the same.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Returns the steps without their reasons, as a host performs them.
    pub fn bare_steps(&self) -> Vec<Step> {
        bare(&self.steps)
    }
}

/// Networks and bonds that a change is about, whether or not it changes them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Named {
    /// The networks.
    pub networks: BTreeSet<NetworkName>,
    /// The bonds.
    pub bonds: BTreeSet<IfName>,
    /// NICs' own settings.
    pub nics: BTreeSet<IfName>,
}

impl Named {
    /// Names every network and bond of a configuration.
    pub fn everything(config: &HostConfig) -> Self {
        let (networks, bonds) = (config.networks.keys().cloned().collect(), config.bonds.keys().cloned().collect());
        Self { networks, bonds, nics: config.nics.keys().cloned().collect() }
    }

    /// Names one network.
    pub fn network(name: NetworkName) -> Self {
        Self { networks: BTreeSet::from([name]), ..Self::default() }
    }

    /// Names one bond.
    pub fn bond(name: IfName) -> Self {
        Self { bonds: BTreeSet::from([name]), ..Self::default() }
    }
}

/// Plans a request.
///
/// *Errors*: all findings, where one of them refuses the request and is not acknowledged in it.
pub fn plan(request: &SetupRequest, running: &HostConfig, observed: &HostState) -> Result<Plan, Findings> {
    plan_towards(request, running, merge(running, request), observed)
}

/// Plans a request that goes back to the persistent configuration, with everything spelled out: whoever asked for its
/// networks and bonds has asked for them still, and a bond has the MAC that it had.
///
/// *Errors*: as [`plan`]'s.
pub fn plan_back(
    request: &SetupRequest,
    running: &HostConfig,
    persistent: &HostConfig,
    observed: &HostState,
) -> Result<Plan, Findings> {
    let mut desired = merge(running, request);
    for (name, entry) in &mut desired.bonds {
        if let Some(kept) = persistent.bonds.get(name).filter(|kept| kept.spec == entry.spec) {
            entry.mac = kept.mac;
        }
    }
    let plan = plan_towards(request, running, desired, observed)?;
    Ok(Plan { desired: with_origins_of(plan.desired, persistent), ..plan })
}

fn plan_towards(
    request: &SetupRequest,
    running: &HostConfig,
    desired: HostConfig,
    observed: &HostState,
) -> Result<Plan, Findings> {
    let desired = resolve_bonds(desired, request.options.origin, observed);
    let mut desired = resolve_nics(desired, running, observed);
    let census = Census::of(observed);
    let (target, baselines) = compose_on(running, &desired, &census, &named(request));
    let findings = judge(request, &Rivals::new(request, running, &desired, &census, &target));
    if findings.refuses(&request.options.acknowledge) {
        return Err(findings);
    }
    desired.baselines = baselines;
    // Most requests ask for what runs. That costs one comparison: a plan follows its own steps through a copy of the host,
    // and without steps there is nothing to go back to.
    let (steps, snapshot) = if is_reached(&target, &census) {
        (Vec::new(), Snapshot::default())
    } else {
        (steps_towards(&target, observed), Snapshot::of(observed, &target))
    };
    Ok(Plan { findings, steps, target, snapshot, desired })
}

/// Returns the configuration that a request makes of the running one.
///
/// Networks and bonds that the request does not name stay, but for one thing: who claims the default route takes it from its
/// owner. The NICs' baselines are the running ones'.
pub fn merge(running: &HostConfig, request: &SetupRequest) -> HostConfig {
    let mut desired = running.clone();
    for change in &request.changes {
        match change {
            NetworkChange::Remove(name) => {
                desired.networks.remove(name);
            }
            NetworkChange::Set(spec) => {
                let entry = NetworkEntry { spec: spec.clone(), origin: request.options.origin };
                desired.networks.insert(spec.name.clone(), entry);
            }
        }
    }
    for change in &request.bonds {
        match change {
            BondChange::Remove(name) => {
                desired.bonds.remove(name);
            }
            BondChange::Set(spec) => {
                let mac = spec.hwaddr.or_else(|| running.bonds.get(&spec.name)?.mac);
                let entry = BondEntry { spec: spec.clone(), origin: request.options.origin, mac };
                desired.bonds.insert(spec.name.clone(), entry);
            }
        }
    }
    for change in &request.nics {
        match change {
            NicChange::Remove(name) => {
                desired.nics.remove(name);
            }
            NicChange::Set(spec) => {
                let before = running.nics.get(&spec.name).map(|entry| entry.before.clone()).unwrap_or_default();
                let entry = NicEntry { spec: spec.clone(), origin: request.options.origin, before };
                desired.nics.insert(spec.name.clone(), entry);
            }
        }
    }
    let named = named(request).networks;
    if named.iter().any(|name| desired.networks.get(name).is_some_and(|entry| entry.spec.default_route)) {
        for (_, entry) in desired.networks.iter_mut().filter(|(name, _)| !named.contains(name)) {
            entry.spec.default_route = false;
            // They belong to the default route, and the host keeps them until somebody names others.
            entry.spec.nameservers.clear();
            entry.spec.search_domains.clear();
        }
    }
    if let Some(fence) = request.options.fence {
        desired.generation = fence.generation;
        desired.fencing_epoch = fence.epoch;
    }
    desired
}

/// Returns the names of the networks and bonds that a request is about.
pub(crate) fn named(request: &SetupRequest) -> Named {
    Named {
        networks: request.changes.iter().map(|change| change.network().clone()).collect(),
        bonds: request.bonds.iter().map(|change| change.bond().clone()).collect(),
        nics: request.nics.iter().map(|change| change.nic().clone()).collect(),
    }
}

/// Returns steps without their reasons.
pub(crate) fn bare(steps: &[PlannedStep]) -> Vec<Step> {
    steps.iter().map(|planned| planned.step.clone()).collect()
}
