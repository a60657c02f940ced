//! What a request is about, said network by network.

use std::collections::{BTreeMap, BTreeSet};

use trestle_model::{
    BondChange, HostConfig, IfName, NetworkChange, NetworkName, NicChange, Scope, SetupOptions, SetupRequest,
    UncommittedChange,
};

/// Returns the request that names every network it is about: what a wider scope takes in becomes changes of its own,
/// and the scope becomes [`Scope::Named`].
pub fn spell_out(request: &SetupRequest, running: &HostConfig, persistent: &HostConfig) -> SetupRequest {
    let mut changes = match request.options.scope {
        Scope::Named | Scope::Everything => request.changes.clone(),
        Scope::Persistent => persistent.specs().cloned().map(NetworkChange::Set).collect(),
    };
    match request.options.scope {
        Scope::Named => {}
        Scope::Everything | Scope::Persistent => {
            let named: BTreeSet<NetworkName> = changes.iter().map(|change| change.network().clone()).collect();
            let others = running.networks.keys().filter(|name| !named.contains(*name));
            changes.extend(others.cloned().map(NetworkChange::Remove));
        }
    }
    let mut bonds = match request.options.scope {
        Scope::Named | Scope::Everything => request.bonds.clone(),
        Scope::Persistent => persistent.bonds.values().map(|entry| BondChange::Set(entry.spec.clone())).collect(),
    };
    match request.options.scope {
        Scope::Named => {}
        Scope::Everything | Scope::Persistent => {
            let named: BTreeSet<IfName> = bonds.iter().map(|change| change.bond().clone()).collect();
            // One that a network of the request stands on is adopted, or stays.
            let below: BTreeSet<&IfName> = changes.iter().filter_map(bond_below).collect();
            let others = running.bonds.keys().filter(|name| !named.contains(*name) && !below.contains(*name));
            bonds.extend(others.cloned().map(BondChange::Remove));
        }
    }
    let mut nics = match request.options.scope {
        Scope::Named | Scope::Everything => request.nics.clone(),
        Scope::Persistent => persistent.nics.values().map(|entry| NicChange::Set(entry.spec.clone())).collect(),
    };
    match request.options.scope {
        Scope::Named => {}
        Scope::Everything | Scope::Persistent => {
            let named: BTreeSet<IfName> = nics.iter().map(|change| change.nic().clone()).collect();
            let others = running.nics.keys().filter(|name| !named.contains(*name));
            nics.extend(others.cloned().map(NicChange::Remove));
        }
    }
    SetupRequest { changes, bonds, nics, options: SetupOptions { scope: Scope::Named, ..request.options.clone() } }
}

fn bond_below(change: &NetworkChange) -> Option<&IfName> {
    match change {
        NetworkChange::Set(spec) => spec.southbound.as_ref()?.bond(),
        NetworkChange::Remove(_) => None,
    }
}

/// Returns `desired` with each network and bond that is as the persistent configuration has it asked for by whom it says.
pub(crate) fn with_origins_of(mut desired: HostConfig, persistent: &HostConfig) -> HostConfig {
    for (name, entry) in &mut desired.networks {
        if let Some(kept) = persistent.networks.get(name).filter(|kept| kept.spec == entry.spec) {
            entry.origin = kept.origin;
        }
    }
    for (name, entry) in &mut desired.bonds {
        if let Some(kept) = persistent.bonds.get(name).filter(|kept| kept.spec == entry.spec) {
            entry.origin = kept.origin;
        }
    }
    for (name, entry) in &mut desired.nics {
        if let Some(kept) = persistent.nics.get(name).filter(|kept| kept.spec == entry.spec) {
            entry.origin = kept.origin;
        }
    }
    desired
}

/// Tells in which networks two configurations differ: what a reboot would change.
pub fn uncommitted(running: &HostConfig, persistent: &HostConfig) -> BTreeMap<NetworkName, UncommittedChange> {
    differing(&running.networks, &persistent.networks, |runs, kept| runs.spec == kept.spec)
}

/// Tells in which bonds two configurations differ, as [`uncommitted`] does of networks; the MAC that a bond keeps counts.
pub fn uncommitted_bonds(running: &HostConfig, persistent: &HostConfig) -> BTreeMap<IfName, UncommittedChange> {
    differing(&running.bonds, &persistent.bonds, |runs, kept| (&runs.spec, runs.mac) == (&kept.spec, kept.mac))
}

/// Tells on which NICs two configurations set something else, as [`uncommitted`] does of networks.
pub fn uncommitted_nics(running: &HostConfig, persistent: &HostConfig) -> BTreeMap<IfName, UncommittedChange> {
    differing(&running.nics, &persistent.nics, |runs, kept| runs.spec == kept.spec)
}

fn differing<K: Ord + Clone, V>(
    running: &BTreeMap<K, V>,
    persistent: &BTreeMap<K, V>,
    is_same: impl Fn(&V, &V) -> bool,
) -> BTreeMap<K, UncommittedChange> {
    let names: BTreeSet<&K> = running.keys().chain(persistent.keys()).collect();
    let change = |name: &K| match (running.get(name), persistent.get(name)) {
        (Some(runs), Some(kept)) => (!is_same(runs, kept)).then_some(UncommittedChange::Edited),
        (Some(_), None) => Some(UncommittedChange::Added),
        (None, _) => Some(UncommittedChange::Removed),
    };
    names.into_iter().filter_map(|name| Some((name.clone(), change(name)?))).collect()
}
