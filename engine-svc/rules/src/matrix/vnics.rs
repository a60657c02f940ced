//! Rows 3, 12, 17, 19, 20 and 26: what vNICs and their VMs bring to a managed network.

use std::collections::BTreeMap;

use trestle_model::fleet::{EntityId, Fleet, MacPool, Nesting, Network, ProfileId, Vnic};
use trestle_model::{Code, Finding, MacAddr, ResourceId};

use super::virtual_macs_of_profiles;
use crate::spot::{Named, Spot};

/// Tells whether a VM that runs has the vNIC.
pub(crate) fn is_live(fleet: &Fleet, vnic: &Vnic) -> bool {
    vnic.plugged && fleet.vms().get(&vnic.vm).is_some_and(|vm| vm.host.is_some())
}

/// Row 3 for a `network` that is or becomes managed: vNICs that are plugged past their filters.
pub(crate) fn bypassing(fleet: &Fleet, network: &Network, spot: &Spot, field: &str) -> Option<Finding> {
    let bypasses =
        |vnic: &&Vnic| vnic.bypasses_filter || fleet.vms().get(&vnic.vm).is_some_and(|vm| vm.bypasses_filters);
    let vnics = Named::vnics(over_bridge(fleet, network).filter(bypasses));
    (!vnics.is_empty()).then(|| {
        spot.error(Code::MacSpoofBypass, field, format!("{vnics} are plugged past their filters, and may spoof"))
            .related(vnics.names)
            .remedy("take the bypass away from the vNICs and their VMs")
    })
}

/// Row 12 for a `network` that becomes managed, or a managed one that gets to a cluster: lists the VMs.
pub(crate) fn nested(fleet: &Fleet, network: &Network, spot: &Spot, field: &str) -> Option<Finding> {
    let mut vms: Vec<String> = over_bridge(fleet, network)
        .filter(|vnic| vnic.extra_macs.is_empty())
        .filter_map(|vnic| fleet.vms().get(&vnic.vm))
        .filter(|vm| vm.nesting != Nesting::None)
        .map(|vm| EntityId::Vm(vm.id).to_string())
        .collect();
    vms.sort();
    vms.dedup();
    let message = format!("VMs inside {} have no network behind a managed bridge", Named::from(vms.clone()));
    (!vms.is_empty()).then(|| {
        spot.warning(Code::NestedVirtNoNetwork, field, message)
            .related(vms)
            .remedy("list the inner VMs' MACs in extra_macs, or route them")
    })
}

/// Row 17: ports that are converted while their VMs run.
pub(crate) fn live_ports(fleet: &Fleet, network: &Network, spot: &Spot, field: &str) -> Option<Finding> {
    let vnics = Named::vnics(over_bridge(fleet, network).filter(|vnic| is_live(fleet, vnic)));
    (!vnics.is_empty()).then(|| {
        spot.warning(Code::LivePortsPending, field, format!("{vnics} of running VMs are converted while they run"))
            .related(vnics.names)
            .remedy("acknowledge it, or stop the VMs first")
    })
}

/// Row 19 for a `network` that becomes managed: MACs that are plugged more than once.
pub(crate) fn plugged_twice(fleet: &Fleet, network: &Network, spot: &Spot, field: &str) -> Option<Finding> {
    let mut users: BTreeMap<MacAddr, Vec<&Vnic>> = BTreeMap::new();
    for vnic in over_bridge(fleet, network).filter(|vnic| vnic.plugged) {
        for mac in vnic.addresses() {
            users.entry(mac).or_default().push(vnic);
        }
    }
    twice(users, network, spot, field)
}

/// Row 19 for a profile that comes to the bridge of a managed `network`: MACs of its vNICs that are plugged more than once.
pub(crate) fn plugged_twice_with(
    fleet: &Fleet,
    arriving: &ProfileId,
    network: &Network,
    spot: &Spot,
    field: &str,
) -> Option<Finding> {
    let arrives = |vnic: &Vnic| vnic.profile.as_ref() == Some(arriving);
    let mut users: BTreeMap<MacAddr, Vec<&Vnic>> = BTreeMap::new();
    for mac in fleet.vnics_with(arriving).filter(|vnic| vnic.plugged).flat_map(Vnic::addresses) {
        let there = fleet.vnics_with_mac(mac).filter(|vnic| vnic.plugged);
        let there = there.filter(|vnic| arrives(vnic) || is_over_bridge(fleet, network, vnic));
        users.insert(mac, there.collect());
    }
    twice(users, network, spot, field)
}

fn twice(users: BTreeMap<MacAddr, Vec<&Vnic>>, network: &Network, spot: &Spot, field: &str) -> Option<Finding> {
    let shared: Vec<_> = users.into_iter().filter(|(_, vnics)| vnics.len() > 1).collect();
    let (mac, _) = shared.first()?;
    let message =
        format!("{} MACs are plugged more than once on network {}, {mac} among them", shared.len(), network.id);
    let vnics = Named::vnics(shared.iter().flat_map(|(_, vnics)| vnics.iter().copied()));
    let finding = spot.error(Code::DuplicateMac, field, message).related(vnics.names);
    Some(finding.remedy("give each vNIC a MAC of its own, or unplug the others"))
}

/// Row 20 for a managed `network` in `clusters`: pools that allow duplicates.
pub(crate) fn duplicates_possible<'a>(
    fleet: &Fleet,
    clusters: impl IntoIterator<Item = &'a ResourceId>,
    spot: &Spot,
    field: &str,
) -> Option<Finding> {
    let pools = clusters.into_iter().filter_map(|cluster| fleet.clusters().get(cluster)?.mac_pool.as_ref());
    let allows = |pool: &&MacPool| pool.allow_duplicates;
    let mut names: Vec<String> = pools
        .filter_map(|pool| fleet.mac_pools().get(pool))
        .filter(allows)
        .map(|pool| EntityId::MacPool(pool.id.clone()).to_string())
        .collect();
    names.sort();
    names.dedup();
    let message = format!("{} allow a MAC twice, which a managed network does not", Named::from(names.clone()));
    (!names.is_empty()).then(|| {
        spot.warning(Code::DuplicateMacPossible, field, message)
            .related(names)
            .remedy("forbid duplicates in the pools, or acknowledge it")
    })
}

/// Row 26 for a `network` that becomes managed: guests that use virtual MACs, and list none.
pub(crate) fn virtual_macs(fleet: &Fleet, network: &Network, spot: &Spot, field: &str) -> Option<Finding> {
    let vnics = Named::vnics(over_bridge(fleet, network).filter(undeclared));
    virtual_macs_used(Named::from(virtual_macs_of_profiles(fleet, network)).and(vnics), spot, field)
}

/// Row 26 for `vnics` that come to a managed bridge.
pub(crate) fn virtual_macs_of<'a>(
    vnics: impl IntoIterator<Item = &'a Vnic>,
    spot: &Spot,
    field: &str,
) -> Option<Finding> {
    virtual_macs_used(Named::vnics(vnics.into_iter().filter(undeclared)), spot, field)
}

fn undeclared(vnic: &&Vnic) -> bool {
    vnic.virtual_macs && vnic.extra_macs.is_empty()
}

fn virtual_macs_used(users: Named, spot: &Spot, field: &str) -> Option<Finding> {
    (!users.is_empty()).then(|| {
        spot.warning(Code::VirtualMac, field, format!("guests of {users} use virtual MACs, whose frames are dropped"))
            .related(users.names)
            .remedy("list the virtual MACs in extra_macs")
    })
}

/// Returns the vNICs on the network's bridges.
fn over_bridge<'a>(fleet: &'a Fleet, network: &'a Network) -> impl Iterator<Item = &'a Vnic> {
    fleet.vnics_on(&network.id).filter(|vnic| is_over_bridge(fleet, network, vnic))
}

fn is_over_bridge(fleet: &Fleet, network: &Network, vnic: &Vnic) -> bool {
    let profile = vnic.profile.as_ref().and_then(|profile| fleet.profiles().get(profile));
    profile.is_some_and(|profile| profile.network == network.id && !profile.is_passthrough())
}
