//! What a host is owed, and whether it is in sync: pure comparisons of what is desired and what was reported.

use std::collections::{BTreeMap, BTreeSet};

use trestle_model::fleet::Fleet;
use trestle_model::{
    BondChange, BondEntry, BondReport, BondSpec, Capabilities, HostName, IfName, NetworkChange, NetworkName,
    NetworkReport, NetworkSpec, Origin,
};

use crate::session::HostNow;

const MISSING: &str = "is not on the host";
const FOREIGN: &str = "is on the host and not configured";
const SURPLUS: &str = "is on the host and no longer wanted";

/// Whether what is observed is what is wanted; ordered from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sync {
    /// It is.
    InSync,
    /// The host runs a network, or has a bond, that the engine neither wants nor put there.
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
    /// What others do that the host leaves to them, one line each.
    pub left_alone: Vec<String>,
}

/// Whether a host is what is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostSync {
    /// The worst of the networks and bonds that the engine is concerned with.
    pub sync: Sync,
    /// Each network, ordered by name.
    pub networks: Vec<NetworkSync>,
    /// Each bond that is wanted, or that somebody configured, ordered by name.
    pub bonds: Vec<BondSync>,
}

/// Whether a bond of a host is what is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BondSync {
    /// The bond.
    pub bond: IfName,
    /// Whether it is.
    pub sync: Sync,
    /// What differs, one line each.
    pub differences: Vec<String>,
}

/// What a host is to run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Desired {
    /// The bonds, ordered by name.
    pub bonds: Vec<BondSpec>,
    /// The networks, ordered by name.
    pub networks: Vec<NetworkSpec>,
}

/// What makes a host run what is desired: one transaction.
///
/// *Shape*: at most one change a bond and a network, each ordered by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Owed {
    /// Of bonds.
    pub bonds: Vec<BondChange>,
    /// Of networks.
    pub networks: Vec<NetworkChange>,
}

impl Desired {
    /// Reads what the fleet wants of a host.
    pub fn of(fleet: &Fleet, host: &HostName) -> Self {
        Self { bonds: fleet.desired_bonds(host), networks: fleet.desired_networks(host) }
    }
}

impl Owed {
    /// Tells whether nothing is owed.
    pub const fn is_empty(&self) -> bool {
        self.bonds.is_empty() && self.networks.is_empty()
    }
}

/// Computes the changes that make `reported` run what is `desired`.
///
/// *Shape*: empty where nothing is owed. Networks and bonds that a local client set up are never removed.
pub fn owed(desired: &Desired, reported: &Capabilities) -> Owed {
    Owed { bonds: owed_bonds(&desired.bonds, reported), networks: owed_networks(&desired.networks, reported) }
}

fn owed_networks(desired: &[NetworkSpec], reported: &Capabilities) -> Vec<NetworkChange> {
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

fn owed_bonds(desired: &[BondSpec], reported: &Capabilities) -> Vec<BondChange> {
    let configured = |name: &IfName| reported.bonds.iter().find(|bond| bond.name == *name)?.configured.as_ref();
    let runs_so =
        |spec: &BondSpec| configured(&spec.name).is_some_and(|c| c.spec == *spec && c.origin == Origin::Engine);
    let set = desired.iter().filter(|spec| !runs_so(spec)).cloned().map(BondChange::Set);
    let is_ours = |report: &&BondReport| report.configured.as_ref().is_some_and(|c| c.origin == Origin::Engine);
    let is_wanted = |report: &&BondReport| desired.iter().any(|spec| spec.name == report.name);
    let surplus = reported.bonds.iter().filter(is_ours).filter(|report| !is_wanted(report));
    let mut changes: Vec<_> = set.chain(surplus.map(|report| BondChange::Remove(report.name.clone()))).collect();
    changes.sort_by(|a, b| a.bond().cmp(b.bond()));
    changes
}

/// Compares a host with what is desired of it.
pub fn sync(desired: &Desired, reported: Option<&Capabilities>, now: &HostNow) -> HostSync {
    let Some(reported) = reported else {
        let network = |spec: &NetworkSpec| NetworkSync {
            network: spec.name.clone(),
            sync: Sync::Unknown,
            differences: Vec::new(),
            left_alone: Vec::new(),
        };
        let bond = |spec: &BondSpec| BondSync { bond: spec.name.clone(), sync: Sync::Unknown, differences: Vec::new() };
        return HostSync {
            sync: Sync::Unknown,
            networks: desired.networks.iter().map(network).collect(),
            bonds: desired.bonds.iter().map(bond).collect(),
        };
    };
    let changes = owed(desired, reported);
    let failed = now.in_flight.is_none() && now.last.as_ref().is_some_and(|l| !l.succeeded && l.changes == changes);
    let behind = if failed { Sync::Failed } else { Sync::Pending };
    let networks = networks_sync(desired, reported, &changes.networks, behind);
    let bonds = bonds_sync(desired, reported, &changes.bonds, behind);
    let all = networks.iter().map(|network| network.sync).chain(bonds.iter().map(|bond| bond.sync));
    let worst = all.filter(|sync| *sync != Sync::Unmanaged).max().unwrap_or(Sync::InSync);
    HostSync { sync: worst, networks, bonds }
}

fn networks_sync(
    desired: &Desired,
    reported: &Capabilities,
    changes: &[NetworkChange],
    behind: Sync,
) -> Vec<NetworkSync> {
    let running = reported.networks.iter().map(|report| running_sync(&desired.networks, report));
    let mut networks: BTreeMap<NetworkName, NetworkSync> = running.map(|s| (s.network.clone(), s)).collect();
    for change in changes {
        let network = change.network().clone();
        let running = reported.networks.iter().find(|report| report.configured.spec.name == network);
        let differences = match (change, running) {
            (NetworkChange::Set(spec), Some(report)) => differences(spec, report),
            (NetworkChange::Set(_), None) => vec![MISSING.to_owned()],
            (NetworkChange::Remove(_), _) => vec![SURPLUS.to_owned()],
        };
        let left_alone = running.map(|report| report.left_alone.clone()).unwrap_or_default();
        networks.insert(network.clone(), NetworkSync { network, sync: behind, differences, left_alone });
    }
    networks.into_values().collect()
}

/// Judges the bonds that are desired, that are owed something, and those that somebody configured; a bond that is on the host
/// by itself is not told of.
fn bonds_sync(desired: &Desired, reported: &Capabilities, changes: &[BondChange], behind: Sync) -> Vec<BondSync> {
    let configured = reported.bonds.iter().filter_map(|report| Some((report, report.configured.as_ref()?)));
    let running = configured.map(|(report, entry)| {
        let is_desired = desired.bonds.iter().any(|spec| spec.name == report.name);
        let sync = running(is_desired, entry.origin, &report.drift);
        BondSync { bond: report.name.clone(), sync, differences: report.drift.clone() }
    });
    let mut bonds: BTreeMap<IfName, BondSync> = running.map(|sync| (sync.bond.clone(), sync)).collect();
    for change in changes {
        let bond = change.bond().clone();
        let report = reported.bonds.iter().find(|report| report.name == bond);
        let differences = match (change, report.map(|report| report.configured.as_ref())) {
            (BondChange::Set(spec), Some(Some(entry))) => bond_differences(spec, entry),
            (BondChange::Set(_), Some(None)) => vec![FOREIGN.to_owned()],
            (BondChange::Set(_), None) => vec![MISSING.to_owned()],
            (BondChange::Remove(_), _) => vec![SURPLUS.to_owned()],
        };
        bonds.insert(bond.clone(), BondSync { bond, sync: behind, differences });
    }
    bonds.into_values().collect()
}

/// Judges a network that the host runs, as long as nothing is owed for it.
fn running_sync(desired: &[NetworkSpec], report: &NetworkReport) -> NetworkSync {
    let network = report.configured.spec.name.clone();
    let is_desired = desired.iter().any(|spec| spec.name == network);
    let sync = running(is_desired, report.configured.origin, &report.drift);
    NetworkSync { network, sync, differences: report.drift.clone(), left_alone: report.left_alone.clone() }
}

/// Judges what a host runs, as long as nothing is owed for it.
const fn running(is_desired: bool, origin: Origin, drift: &[String]) -> Sync {
    match (is_desired, origin, drift.is_empty()) {
        (false, Origin::Local, _) => Sync::Unmanaged,
        (_, _, true) => Sync::InSync,
        (_, _, false) => Sync::Drifted,
    }
}

/// Names the attributes in which a running network differs from the desired one.
fn differences(desired: &NetworkSpec, report: &NetworkReport) -> Vec<String> {
    let NetworkSpec {
        name: _,
        southbound,
        vlan,
        mtu,
        topology,
        mac_table_manager,
        ipv4,
        ipv6,
        default_route,
        routes,
        nameservers,
        search_domains,
        port_isolation,
        guest_ports,
        host_qos,
        custom,
    } = &report.configured.spec;
    let fields = [
        ("southbound", desired.southbound == *southbound),
        ("vlan_id", desired.vlan == *vlan),
        ("mtu", desired.mtu == *mtu),
        ("bridge", desired.topology == *topology),
        ("manage_macs_with_libvirt", desired.mac_table_manager == *mac_table_manager),
        ("ipv4", desired.ipv4 == *ipv4),
        ("ipv6", desired.ipv6 == *ipv6),
        ("default_route", desired.default_route == *default_route),
        ("routes", desired.routes == *routes),
        ("nameservers", desired.nameservers == *nameservers),
        ("search_domains", desired.search_domains == *search_domains),
        ("port_isolation", desired.port_isolation == *port_isolation),
        ("guest_ports", desired.guest_ports == *guest_ports),
        ("host_qos", desired.host_qos == *host_qos),
        ("custom", desired.custom == *custom),
        ("origin", report.configured.origin == Origin::Engine),
    ];
    named(&fields)
}

/// Names the attributes in which a configured bond differs from the desired one.
fn bond_differences(desired: &BondSpec, entry: &BondEntry) -> Vec<String> {
    let BondSpec { name: _, nics, options, hwaddr } = &entry.spec;
    let fields = [
        ("nics", desired.nics == *nics),
        ("mode", desired.options.mode == options.mode),
        ("options", desired.options.mode != options.mode || desired.options == *options),
        ("hwaddr", desired.hwaddr == *hwaddr),
        ("origin", entry.origin == Origin::Engine),
    ];
    named(&fields)
}

fn named(fields: &[(&str, bool)]) -> Vec<String> {
    fields.iter().filter(|(_, same)| !same).map(|(name, _)| format!("{name} differs")).collect()
}

#[cfg(test)]
mod tests;
