//! Which networks and bonds a change is about.

use std::collections::BTreeSet;

use trestle_model::{HostConfig, HostState, IfName, NetworkName, NetworkSpec};

use crate::ownership;
use crate::planning::Named;

/// The networks and bonds that a target is composed of.
pub(super) struct Touched<'a> {
    pub(super) networks: BTreeSet<&'a NetworkName>,
    pub(super) bonds: BTreeSet<&'a IfName>,
    pub(super) nics: BTreeSet<&'a IfName>,
}

impl<'a> Touched<'a> {
    /// Returns what is named, what differs between the two configurations, the bonds that are missing below those
    /// networks, and the networks that stand on those bonds.
    pub(super) fn by(running: &'a HostConfig, desired: &'a HostConfig, observed: &HostState, named: &'a Named) -> Self {
        let spec_of = |config: &'a HostConfig, name| config.networks.get(name).map(|entry| &entry.spec);
        let names = running.networks.keys().chain(desired.networks.keys());
        let mut networks: BTreeSet<&NetworkName> =
            names.filter(|name| spec_of(running, name) != spec_of(desired, name)).chain(&named.networks).collect();
        let bond_of = |config: &'a HostConfig, name| config.bonds.get(name).map(|entry| (&entry.spec, entry.mac));
        let names = running.bonds.keys().chain(desired.bonds.keys());
        let differing = names.filter(|name| bond_of(running, name) != bond_of(desired, name));
        let mut bonds: BTreeSet<&IfName> = differing.chain(&named.bonds).collect();
        let is_there = |name: &IfName| observed.kernel.links.get(name).is_some_and(|link| link.bond().is_some());
        let below = desired.specs().filter(|spec| networks.contains(&spec.name)).filter_map(bond_below);
        bonds.extend(below.filter(|name| desired.bonds.contains_key(*name) && !is_there(name)));
        let stands_on = |spec: &&NetworkSpec| bond_below(spec).is_some_and(|bond| bonds.contains(bond));
        networks.extend(running.specs().chain(desired.specs()).filter(stands_on).map(|spec| &spec.name));
        let set_on = |config: &'a HostConfig, name| config.nics.get(name).map(|entry| &entry.spec);
        let names = running.nics.keys().chain(desired.nics.keys());
        let nics = names.filter(|name| set_on(running, name) != set_on(desired, name)).chain(&named.nics).collect();
        Self { networks, bonds, nics }
    }

    /// Returns one network, as if it were named and nothing differed.
    pub(super) fn network(config: &'a HostConfig, observed: &HostState, name: &'a NetworkName) -> Self {
        let below = config.networks.get(name).and_then(|entry| bond_below(&entry.spec));
        let is_there = |name: &IfName| observed.kernel.links.get(name).is_some_and(|link| link.bond().is_some());
        match below.filter(|bond| config.bonds.contains_key(*bond) && !is_there(bond)) {
            Some(bond) => Self::bond(config, bond),
            None => Self { networks: BTreeSet::from([name]), bonds: BTreeSet::new(), nics: BTreeSet::new() },
        }
    }

    /// Returns one bond and what stands on it.
    pub(super) fn bond(config: &'a HostConfig, name: &'a IfName) -> Self {
        let above = config.specs().filter(|spec| bond_below(spec) == Some(name));
        let networks = above.map(|spec| &spec.name).collect();
        Self { networks, bonds: BTreeSet::from([name]), nics: BTreeSet::new() }
    }

    /// Returns the settings of one NIC.
    pub(super) fn nic(name: &'a IfName) -> Self {
        Self { networks: BTreeSet::new(), bonds: BTreeSet::new(), nics: BTreeSet::from([name]) }
    }

    /// Returns all of a configuration.
    pub(super) fn all(config: &'a HostConfig) -> Self {
        let (networks, bonds) = (config.networks.keys().collect(), config.bonds.keys().collect());
        Self { networks, bonds, nics: config.nics.keys().collect() }
    }

    /// Returns the marks of what was made for them.
    pub(super) fn marks(&self) -> BTreeSet<String> {
        let networks = self.networks.iter().map(|name| ownership::mark(name));
        networks.chain(self.bonds.iter().map(|name| ownership::bond_mark(name))).collect()
    }
}

fn bond_below(spec: &NetworkSpec) -> Option<&IfName> {
    spec.southbound.as_ref()?.bond()
}
