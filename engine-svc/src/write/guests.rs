//! Which hosts a change of guests concerns: those where the virtual machines are, before it or after.

use std::collections::BTreeSet;

use trestle_model::fleet::{Entity, EntityId, Fleet, Mutation, ProfileId, Vm, VnicProfile};
use trestle_model::{HostName, VmId};

/// Finds the hosts whose guests a mutation may change, before it is applied.
pub(super) fn hosts_touched(fleet: &Fleet, mutation: &Mutation) -> BTreeSet<HostName> {
    match (mutation, mutation.id()) {
        (Mutation::Put(Entity::Vm(vm)), _) => hosts_of(fleet, vm.id).chain(vm.host.clone()).collect(),
        (Mutation::Put(Entity::VnicProfile(profile)), EntityId::VnicProfile(network, name)) => {
            changed(fleet, &(network, name), profile)
        }
        (_, EntityId::Vm(vm) | EntityId::Vnic(vm, _)) => hosts_of(fleet, vm).collect(),
        // A profile that goes has no vNICs; the rest is not about guests.
        (Mutation::Delete(_) | Mutation::Put(_), _) => BTreeSet::new(),
    }
}

/// The hosts where vNICs of a profile are, if their interfaces or ports change.
fn changed(fleet: &Fleet, id: &ProfileId, after: &VnicProfile) -> BTreeSet<HostName> {
    let Some(before) = fleet.profiles().get(id) else { return BTreeSet::new() };
    let is_as_before = before.guest_tagging == after.guest_tagging
        && before.attachment == after.attachment
        && before.filter == after.filter
        && before.filter_parameters == after.filter_parameters
        && before.bandwidth == after.bandwidth;
    if is_as_before {
        return BTreeSet::new();
    }
    fleet.vnics_with(id).flat_map(|vnic| hosts_of(fleet, vnic.vm)).collect()
}

/// The host where a VM is to run, and those that report its domain.
fn hosts_of(fleet: &Fleet, vm: VmId) -> impl Iterator<Item = HostName> {
    let wanted = fleet.vms().get(&vm).and_then(|vm: &Vm| vm.host.clone());
    wanted.into_iter().chain(fleet.domains_of(vm).map(|(host, _)| host.clone()))
}
