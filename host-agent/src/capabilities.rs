//! What a host tells of itself, put together from what is configured and what was observed.

use std::collections::BTreeSet;

use trestle_model::{Capabilities, RepairTally, ResolverReport, Route};
use trestle_plan::{
    bond_reports, bridge_reports, network_reports, nic_reports, uncommitted, uncommitted_bonds, uncommitted_nics,
    vlan_reports,
};

use crate::journal::{Contents, Hashes};
use crate::site::{Part, Survey};

/// The agent's version, as it is reported.
pub const AGENT_VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a network's report, and a bond's, is made of: its drift compares everything that steps can change.
pub(crate) const NETWORK_PARTS: [Part; 6] =
    [Part::Addresses, Part::Routes, Part::Forwarding, Part::Egress, Part::Guests, Part::Features];

/// Puts the report together; networks and bonds are told only where all of their parts were read.
pub(crate) fn of(
    survey: &Survey,
    parts: &BTreeSet<Part>,
    contents: &Contents,
    hashes: Hashes,
    boot_id: &str,
) -> Capabilities {
    let Hashes { running: running_hash, persistent: persistent_hash } = hashes;
    let (networks, bonds) = if NETWORK_PARTS.iter().all(|part| parts.contains(part)) {
        (network_reports(&contents.running, &survey.state), bond_reports(&contents.running, &survey.state))
    } else {
        (Vec::new(), Vec::new())
    };
    Capabilities {
        networks,
        nics: nic_reports(&contents.running, &survey.state, &survey.hardware, &survey.neighbors),
        bonds,
        bridges: bridge_reports(&contents.running, &survey.state),
        vlans: vlan_reports(&contents.running, &survey.state),
        domains: survey.state.libvirt.as_ref().map(|libvirt| libvirt.domains.clone()).unwrap_or_default(),
        routes: survey.state.kernel.routes.iter().filter(|route| is_of_interest(route)).cloned().collect(),
        kernel: survey.kernel.clone(),
        libvirt: survey.libvirt.clone(),
        features: survey.state.features.clone(),
        agent_version: AGENT_VERSION.to_owned(),
        boot_id: boot_id.to_owned(),
        generation: contents.running.generation,
        dirty: running_hash != persistent_hash,
        running_hash,
        persistent_hash,
        resolver: ResolverReport {
            nameservers: survey.state.resolver.in_force(),
            search_domains: survey.state.resolver.search_in_force(),
            keeper: survey.state.resolver.keeper.clone(),
            mechanism: survey.state.resolver.mechanism(),
        },
        managers: survey.state.managers.clone(),
        uncommitted: uncommitted(&contents.running, &contents.persistent),
        uncommitted_bonds: uncommitted_bonds(&contents.running, &contents.persistent),
        uncommitted_nics: uncommitted_nics(&contents.running, &contents.persistent),
        repairs: RepairTally::default(),
    }
}

/// Tells whether a route is one of the main table or of a network's own.
fn is_of_interest(route: &Route) -> bool {
    route.is_main() || Route::SOURCE_TABLES.contains(&route.table)
}
