//! What a host is owed, and whether it is in sync: pure comparisons of what is desired and what was reported.

use std::collections::{BTreeMap, BTreeSet};

use trestle_model::{Capabilities, NetworkChange, NetworkName, NetworkReport, NetworkSpec, Origin};

use crate::session::HostNow;

/// Whether what is observed is what is wanted; ordered from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sync {
    /// It is.
    InSync,
    /// The host runs a network that the engine neither wants nor put there.
    Unmanaged,
    /// The host runs it as told, but something on it was changed from outside.
    Drifted,
    /// A command is under way or owed.
    Pending,
    /// It is not, and the last command for it failed or was refused.
    Failed,
    /// The host has not reported since it was registered.
    Unknown,
}

/// Whether a network on a host is what is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkSync {
    /// The network.
    pub network: NetworkName,
    /// Whether it is.
    pub sync: Sync,
    /// What differs, one line each.
    pub differences: Vec<String>,
}

/// Whether a host is what is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostSync {
    /// The worst of the networks that the engine is concerned with.
    pub sync: Sync,
    /// Each network, ordered by name.
    pub networks: Vec<NetworkSync>,
}

/// Computes the changes that make `reported` run what is `desired`.
///
/// *Shape*: at most one change a network, ordered by name; empty where nothing is owed. Networks that a local client set
/// up are never removed.
pub fn owed(desired: &[NetworkSpec], reported: &Capabilities) -> Vec<NetworkChange> {
    let running: BTreeMap<&NetworkName, &NetworkReport> =
        reported.networks.iter().map(|report| (&report.configured.spec.name, report)).collect();
    let wanted: BTreeSet<&NetworkName> = desired.iter().map(|spec| &spec.name).collect();
    let runs_so = |spec: &NetworkSpec| {
        running
            .get(&spec.name)
            .is_some_and(|report| report.configured.spec == *spec && report.configured.origin == Origin::Engine)
    };
    let set = desired.iter().filter(|spec| !runs_so(spec)).cloned().map(NetworkChange::Set);
    let remove = running
        .values()
        .filter(|report| report.configured.origin == Origin::Engine && !wanted.contains(&report.configured.spec.name))
        .map(|report| NetworkChange::Remove(report.configured.spec.name.clone()));
    let mut changes: Vec<_> = set.chain(remove).collect();
    changes.sort_by(|a, b| a.network().cmp(b.network()));
    changes
}

/// Compares a host with what is desired of it.
pub fn sync(desired: &[NetworkSpec], reported: Option<&Capabilities>, now: &HostNow) -> HostSync {
    let Some(reported) = reported else {
        let unknown = |spec: &NetworkSpec| NetworkSync {
            network: spec.name.clone(),
            sync: Sync::Unknown,
            differences: Vec::new(),
        };
        return HostSync { sync: Sync::Unknown, networks: desired.iter().map(unknown).collect() };
    };
    let changes = owed(desired, reported);
    let failed = now.in_flight.is_none() && now.last.as_ref().is_some_and(|l| !l.succeeded && l.changes == changes);
    let mut networks: BTreeMap<NetworkName, NetworkSync> =
        reported.networks.iter().map(|report| running_sync(desired, report)).map(|s| (s.network.clone(), s)).collect();
    for change in &changes {
        let network = change.network().clone();
        let running = reported.networks.iter().find(|report| report.configured.spec.name == network);
        let differences = match (change, running) {
            (NetworkChange::Set(spec), Some(report)) => differences(spec, report),
            (NetworkChange::Set(_), None) => vec!["is not on the host".to_owned()],
            (NetworkChange::Remove(_), _) => vec!["is on the host and no longer wanted".to_owned()],
        };
        let sync = if failed { Sync::Failed } else { Sync::Pending };
        networks.insert(network.clone(), NetworkSync { network, sync, differences });
    }
    let networks: Vec<_> = networks.into_values().collect();
    let worst = networks.iter().map(|n| n.sync).filter(|s| *s != Sync::Unmanaged).max().unwrap_or(Sync::InSync);
    HostSync { sync: worst, networks }
}

/// Judges a network that the host runs, as long as nothing is owed for it.
fn running_sync(desired: &[NetworkSpec], report: &NetworkReport) -> NetworkSync {
    let network = report.configured.spec.name.clone();
    let is_desired = desired.iter().any(|spec| spec.name == network);
    let sync = match (is_desired, report.configured.origin, report.drift.is_empty()) {
        (false, Origin::Local, _) => Sync::Unmanaged,
        (_, _, true) => Sync::InSync,
        (_, _, false) => Sync::Drifted,
    };
    NetworkSync { network, sync, differences: report.drift.clone() }
}

/// Names the attributes in which a running network differs from the desired one.
fn differences(desired: &NetworkSpec, report: &NetworkReport) -> Vec<String> {
    let running = &report.configured.spec;
    let fields = [
        ("southbound", desired.southbound == running.southbound),
        ("vlan_id", desired.vlan == running.vlan),
        ("mtu", desired.mtu == running.mtu),
        ("bridge", desired.topology == running.topology),
        ("manage_macs_with_libvirt", desired.mac_table_manager == running.mac_table_manager),
        ("ipv4", desired.ipv4 == running.ipv4),
        ("ipv6", desired.ipv6 == running.ipv6),
        ("default_route", desired.default_route == running.default_route),
        ("port_isolation", desired.port_isolation == running.port_isolation),
        ("guest_ports", desired.guest_ports == running.guest_ports),
        ("origin", report.configured.origin == Origin::Engine),
    ];
    fields.iter().filter(|(_, same)| !same).map(|(name, _)| format!("{name} differs")).collect()
}

#[cfg(test)]
mod tests;
