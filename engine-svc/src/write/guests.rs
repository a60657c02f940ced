//! Which hosts a change of guests concerns: those where a guest that may have more runs, before it or after.
//!
//! What is plain costs no host a look: a vNIC without further MACs and VLANs, and a change of a profile that guests'
//! ports do not show.

use std::collections::BTreeSet;

use trestle_model::HostName;
use trestle_model::fleet::{Entity, EntityId, Fleet, GuestTagging, Mutation, ProfileId, Vm, Vnic, VnicProfile};

/// Finds the hosts whose guests' ports a mutation may change, before it is applied.
pub(super) fn hosts_touched(fleet: &Fleet, mutation: &Mutation) -> BTreeSet<HostName> {
    match (mutation, mutation.id()) {
        (Mutation::Put(Entity::Vm(vm)), _) => moved(fleet, fleet.vms().get(&vm.id), Some(vm)),
        (Mutation::Put(Entity::Vnic(vnic)), EntityId::Vnic(vm, name)) => {
            let changes = fleet.vnics().get(&(vm, name)).into_iter().chain([vnic]).any(|vnic| has_more(fleet, vnic));
            host_of(fleet, vnic).filter(|_| changes).into_iter().collect()
        }
        (Mutation::Put(Entity::VnicProfile(profile)), EntityId::VnicProfile(network, name)) => {
            retagged(fleet, &(network, name), profile)
        }
        (Mutation::Delete(_), EntityId::Vm(vm)) => moved(fleet, fleet.vms().get(&vm), None),
        (Mutation::Delete(_), EntityId::Vnic(vm, name)) => {
            let before = fleet.vnics().get(&(vm, name)).filter(|vnic| has_more(fleet, vnic));
            before.and_then(|vnic| host_of(fleet, vnic)).into_iter().collect()
        }
        // A profile that goes has no vNICs; the rest is not about guests.
        (Mutation::Delete(_) | Mutation::Put(_), _) => BTreeSet::new(),
    }
}

/// The hosts that a VM leaves and comes to, if one of its vNICs may have more.
fn moved(fleet: &Fleet, before: Option<&Vm>, after: Option<&Vm>) -> BTreeSet<HostName> {
    let host = |vm: Option<&Vm>| vm.and_then(|vm| vm.host.clone());
    let (from, to) = (host(before), host(after));
    if from == to || !before.is_some_and(|vm| fleet.vnics_of(vm.id).any(|vnic| has_more(fleet, vnic))) {
        return BTreeSet::new();
    }
    from.into_iter().chain(to).collect()
}

/// The hosts where vNICs of a profile run, if the VLANs that their guests may have change.
fn retagged(fleet: &Fleet, id: &ProfileId, after: &VnicProfile) -> BTreeSet<HostName> {
    let Some(before) = fleet.profiles().get(id) else { return BTreeSet::new() };
    if before.guest_tagging == after.guest_tagging && before.attachment == after.attachment {
        return BTreeSet::new();
    }
    fleet.vnics_with(id).filter_map(|vnic| host_of(fleet, vnic)).collect()
}

fn has_more(fleet: &Fleet, vnic: &Vnic) -> bool {
    let profile = vnic.profile.as_ref().and_then(|profile| fleet.profiles().get(profile));
    !vnic.extra_macs.is_empty() || profile.is_some_and(|profile| matches!(profile.guest_tagging, GuestTagging::List(_)))
}

fn host_of(fleet: &Fleet, vnic: &Vnic) -> Option<HostName> {
    fleet.vms().get(&vnic.vm)?.host.clone()
}
