//! The matrix for managed MAC tables: one function a row, for every direction.
//!
//! Errors are about the state that a change would lead to, so they come back for as long as it would be wrong. Warnings
//! and notes, and what hosts report, are about the step into that state, so that a later change of something else need
//! not acknowledge them again.

mod bridge;
mod guest_ports;
mod hosts;
mod profiles;
mod reported;
mod vnics;

pub(crate) use bridge::{contradicting_networks, contradicting_options, management, multicast, no_effect, switch_type};
pub(crate) use guest_ports::{extra_macs, guest_vlans, guests, locked};
pub(crate) use hosts::Incapable;
pub use profiles::Fix;
pub(crate) use profiles::{
    Risk, failing_over, failover, filters_of, filters_with, mirroring, missing_filters, passthrough, risks,
    still_managed, tagging_unknown, unsafe_profiles, virtual_macs_of_profiles, weak_filters,
};
pub(crate) use reported::{
    may_spoof_unknown, owners_of_its_mac, reported_duplicates, reported_spoofers, reported_with, told,
};
pub(crate) use vnics::{
    bypassing, duplicates_possible, is_live, live_ports, nested, plugged_twice, plugged_twice_with, virtual_macs,
    virtual_macs_of,
};

use trestle_model::fleet::{ClusterNetwork, Fleet, Network};
use trestle_model::{HostName, ResourceId};

/// Whether a change leads into a state or stays within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// What is told once is told now.
    Into,
    /// Only errors come back.
    Within,
}

/// Returns the hosts where guests on `network` are to have what they may: those that carry it, by name, and then those of the
/// clusters that require it.
pub(crate) fn hosts_of<'a>(fleet: &'a Fleet, network: &'a Network) -> impl Iterator<Item = &'a HostName> {
    let id = &network.id;
    let requires = |cluster: &&ResourceId| {
        let place = fleet.cluster_networks().get(&(ResourceId::clone(cluster), id.clone()));
        place.is_some_and(ClusterNetwork::is_required)
    };
    let carries = |host: &&HostName| fleet.attachments().contains_key(&(HostName::clone(host), id.clone()));
    let required = fleet.clusters_with(id).filter(requires).flat_map(|cluster| fleet.hosts_in(cluster));
    fleet.hosts_with(id).chain(required.filter(move |host| !carries(host)))
}

/// Returns the managed networks of `cluster`, by name.
pub(crate) fn managed_networks<'a>(fleet: &'a Fleet, cluster: &'a ResourceId) -> impl Iterator<Item = &'a Network> {
    fleet
        .networks_of(cluster)
        .filter_map(|attachment| fleet.networks().get(&attachment.network))
        .filter(|network| network.is_managed())
}
