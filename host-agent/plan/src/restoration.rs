//! The restore at boot: towards the persistent configuration, from whatever is there.

use std::collections::BTreeSet;

use trestle_model::{Code, Finding, HostConfig, HostState, IfName, Severity};

use crate::census::Census;
use crate::composition::{compose_everything, devices, guest_ports, is_hardware};
use crate::planning::bare;
use crate::validation::{bond_surroundings, function_obstacle, missing_nic, qos_obstacle, surroundings};
use crate::{PlannedStep, Snapshot, Step, Target, ownership, steps_towards};

/// All that a restore needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restoration {
    /// The steps, in the order in which to perform them.
    pub steps: Vec<PlannedStep>,
    /// What to verify afterwards.
    pub target: Target,
    /// What to journal first.
    pub snapshot: Snapshot,
    /// The running configuration afterwards: the persistent one.
    pub desired: HostConfig,
    /// Why networks were left out (their names are the subjects), and which leftovers had to stay.
    pub skipped: Vec<Finding>,
}

impl Restoration {
    /// Returns the steps without their reasons, as a host performs them.
    pub fn bare_steps(&self) -> Vec<Step> {
        bare(&self.steps)
    }
}

/// Plans the restore of `persistent`.
///
/// Greedy: a network that cannot come up now, as where its NIC is missing, is skipped and reported, and the others
/// come up; a bond comes up with the NICs that are there. Devices and libvirt networks with Trestle's mark that no network of the configuration needs go: they are
/// leftovers of changes that were never committed.
pub fn restore_plan(persistent: &HostConfig, observed: &HostState) -> Restoration {
    let census = Census::of(observed);
    let mut possible = persistent.clone();
    let mut skipped = bonds(&mut possible, observed);
    for spec in persistent.specs() {
        let mut findings = Vec::new();
        surroundings(spec, "", &possible, &census, &BTreeSet::new(), &mut findings);
        findings.retain(|finding| finding.severity == Severity::Error && !is_only_libvirts(finding, observed));
        if !findings.is_empty() {
            possible.networks.remove(&spec.name);
            skipped.append(&mut findings);
        }
    }
    skipped.extend(unset(&mut possible, observed));
    skipped.extend(unshaped(&mut possible, observed));
    skipped.extend(held_leftovers(persistent, &census));
    let (target, baselines) = compose_everything(persistent, &possible, &census);
    let steps = steps_towards(&target, observed);
    let snapshot = Snapshot::of(observed, &target);
    Restoration { steps, target, snapshot, desired: HostConfig { baselines, ..persistent.clone() }, skipped }
}

/// Tells whether a finding says no more than that libvirt does not answer: at a boot it comes after the networks that its
/// guests are on, and its part then.
fn is_only_libvirts(finding: &Finding, observed: &HostState) -> bool {
    finding.code == Code::LibvirtLacksFeature && observed.libvirt.is_none()
}

/// Leaves out the bonds that cannot come up and the ports that are missing, and says so.
fn bonds(possible: &mut HostConfig, observed: &HostState) -> Vec<Finding> {
    let mut skipped = Vec::new();
    let is_there = |nic: &IfName| observed.kernel.links.get(nic).is_some_and(|link| is_hardware(&link.kind));
    possible.bonds.retain(|name, entry| {
        for missing in entry.spec.nics.iter().filter(|nic| !is_there(nic)) {
            let message = format!("bond {name} comes up without {missing}, which the host does not have");
            skipped.push(Finding::warning(Code::NicNotFound, "", message).about(name).related([missing.to_string()]));
        }
        let mut findings = Vec::new();
        entry.spec.nics.retain(is_there);
        bond_surroundings(&entry.spec, "", observed, &mut findings);
        if entry.spec.nics.is_empty() {
            let message = format!("none of the NICs of bond {name} is there");
            findings.push(Finding::error(Code::NicNotFound, "", message).about(name));
        }
        let comes_up = findings.is_empty();
        skipped.append(&mut findings);
        comes_up
    });
    skipped
}

/// Leaves out the settings of NICs that are missing, and says so.
fn unset(possible: &mut HostConfig, observed: &HostState) -> Vec<Finding> {
    let mut skipped = Vec::new();
    let config = possible.clone();
    possible.nics.retain(|name, entry| {
        let used = entry.spec.vfs.and_then(|count| function_obstacle(name, count, &[&config], observed));
        if let Some(finding) = used {
            entry.spec.vfs = None;
            skipped.push(Finding { severity: Severity::Warning, ..finding });
        }
        let missing = missing_nic(name, observed);
        let is_there = missing.is_none();
        skipped.extend(missing.map(|finding| Finding { severity: Severity::Warning, ..finding }));
        is_there
    });
    skipped
}

/// Lets networks come up without their rates where the device below cannot be shaped, and says so.
fn unshaped(possible: &mut HostConfig, observed: &HostState) -> Vec<Finding> {
    let mut skipped = Vec::new();
    for (name, entry) in &mut possible.networks {
        let device = entry.spec.southbound.as_ref().filter(|_| entry.spec.host_qos.is_some());
        if let Some(finding) = device.and_then(|southbound| qos_obstacle(southbound.device(), observed)) {
            entry.spec.host_qos = None;
            skipped.push(Finding { severity: Severity::Warning, ..finding.about(name) });
        }
    }
    skipped
}

/// Reports leftover bridges that stay because guests use them.
fn held_leftovers(persistent: &HostConfig, census: &Census<'_>) -> Vec<Finding> {
    let needed = devices(persistent);
    let links =
        census.state.kernel.links.values().filter(|link| ownership::is_ours(link) && !needed.contains(&link.name));
    links
        .filter_map(|link| {
            let ports: Vec<IfName> = guest_ports(census, &link.name);
            let message = format!("bridge {} is needed by no network, and guests use it", link.name);
            let finding = Finding::warning(Code::GuestsAttached, "", message).about(&link.name);
            (!ports.is_empty()).then(|| finding.related(ports.iter().map(ToString::to_string)))
        })
        .collect()
}
