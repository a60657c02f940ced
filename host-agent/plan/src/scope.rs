//! What a request is about, said network by network.

use std::collections::{BTreeMap, BTreeSet};

use trestle_model::{HostConfig, NetworkChange, NetworkName, Scope, SetupOptions, SetupRequest, UncommittedChange};

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
    SetupRequest { changes, options: SetupOptions { scope: Scope::Named, ..request.options.clone() } }
}

/// Returns `desired` with each network that is as the persistent configuration has it asked for by whom it says.
pub fn with_origins_of(mut desired: HostConfig, persistent: &HostConfig) -> HostConfig {
    for (name, entry) in &mut desired.networks {
        if let Some(kept) = persistent.networks.get(name).filter(|kept| kept.spec == entry.spec) {
            entry.origin = kept.origin;
        }
    }
    desired
}

/// Tells in which networks two configurations differ: what a reboot would change.
pub fn uncommitted(running: &HostConfig, persistent: &HostConfig) -> BTreeMap<NetworkName, UncommittedChange> {
    let names: BTreeSet<&NetworkName> = running.networks.keys().chain(persistent.networks.keys()).collect();
    let change = |name: &NetworkName| match (running.networks.get(name), persistent.networks.get(name)) {
        (Some(runs), Some(kept)) => (runs.spec != kept.spec).then_some(UncommittedChange::Edited),
        (Some(_), None) => Some(UncommittedChange::Added),
        (None, _) => Some(UncommittedChange::Removed),
    };
    names.into_iter().filter_map(|name| Some((name.clone(), change(name)?))).collect()
}
