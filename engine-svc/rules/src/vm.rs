//! Rules for virtual machines.

use std::collections::BTreeSet;

use trestle_model::fleet::{EntityId, Fleet, Nesting, Network, Vm, Vnic};
use trestle_model::{Code, Finding, NetworkName, VmId};

use crate::matrix;
use crate::spot::{Named, Spot};
use crate::{mac, vnic};

const CLUSTER: &str = "vm.spec.cluster";
const HOST: &str = "vm.spec.host";
const BYPASSES: &str = "vm.spec.bypasses_filters";
const NESTING: &str = "vm.spec.nesting";

/// Evaluates a new or changed virtual machine.
pub(crate) fn put(vm: &Vm, fleet: &Fleet) -> Vec<Finding> {
    let spot = Spot::new(EntityId::Vm(vm.id));
    let before = fleet.vms().get(&vm.id);
    let mut findings = Vec::new();
    let moves = before.is_some_and(|before| before.cluster != vm.cluster);
    match fleet.clusters().get(&vm.cluster) {
        None => findings.push(spot.missing(CLUSTER, &EntityId::Cluster(vm.cluster.clone()))),
        Some(cluster) if moves => {
            findings.extend(left_behind(vm, fleet, &spot));
            if let Some(pool) = cluster.mac_pool.as_ref().and_then(|pool| fleet.mac_pools().get(pool)) {
                findings.extend(shared_after_move(vm, &pool.id, pool.allow_duplicates, fleet, &spot));
            }
        }
        Some(_) => {}
    }
    findings.extend(placed(vm, fleet, &spot));
    if vm.bypasses_filters {
        findings.extend(bypasses(vm, before, fleet, &spot));
    }
    if vm.nesting != Nesting::None && before.is_none_or(|before| before.nesting != vm.nesting) {
        findings.extend(nested(vm, fleet, &spot));
    }
    findings
}

/// Evaluates the removal of a virtual machine: refused while it has vNICs.
pub(crate) fn delete(vm: VmId, fleet: &Fleet) -> Vec<Finding> {
    Spot::new(EntityId::Vm(vm)).in_use("name", Named::vnics(fleet.vnics_of(vm))).into_iter().collect()
}

/// A moving VM's networks have to be those of the cluster that it comes to.
fn left_behind(vm: &Vm, fleet: &Fleet, spot: &Spot) -> Option<Finding> {
    let is_missing = |vnic: &&Vnic| {
        let network = vnic.profile.as_ref().map(|(network, _)| network);
        network.is_some_and(|network| !fleet.cluster_networks().contains_key(&(vm.cluster.clone(), network.clone())))
    };
    let vnics = Named::vnics(fleet.vnics_of(vm.id).filter(is_missing));
    (!vnics.is_empty()).then(|| {
        let message = format!("cluster {} does not have the networks of {vnics}", vm.cluster);
        let finding = spot.error(Code::NetworkNotInCluster, CLUSTER, message).related(vnics.names);
        finding.remedy("attach the networks to the cluster, or take the vNICs off them first")
    })
}

/// A moving VM's MACs have to be unique in the pool that it comes to.
fn shared_after_move(
    vm: &Vm,
    pool: &trestle_model::ResourceId,
    allow_duplicates: bool,
    fleet: &Fleet,
    spot: &Spot,
) -> Option<Finding> {
    if allow_duplicates {
        return None;
    }
    let in_pool = |other: &Vnic| {
        let theirs = fleet.vms().get(&other.vm).and_then(|theirs| mac::pool_of(fleet, theirs));
        other.vm == vm.id || theirs.is_some_and(|theirs| theirs.id == *pool)
    };
    let others = fleet.vnics_of(vm.id).flat_map(|vnic| {
        let with_mac = vnic.addresses().flat_map(|mac| fleet.vnics_with_mac(mac)).collect::<Vec<_>>();
        with_mac.into_iter().filter(|other| !mac::is_same(other, vnic) && in_pool(other))
    });
    let others = Named::vnics(others);
    (!others.is_empty()).then(|| {
        let message =
            format!("MACs of the VM are there twice, {others} having them, and pool {pool} allows no duplicates");
        let finding = spot.error(Code::DuplicateMac, CLUSTER, message).related(others.names);
        finding.remedy("give the VM's vNICs other MACs first")
    })
}

/// A VM runs on a host of its cluster, which carries the networks of what is plugged.
fn placed(vm: &Vm, fleet: &Fleet, spot: &Spot) -> Vec<Finding> {
    let Some(name) = &vm.host else { return Vec::new() };
    let Some(host) = fleet.hosts().get(name) else {
        return vec![spot.missing(HOST, &EntityId::Host(name.clone()))];
    };
    let mut findings = Vec::new();
    if host.cluster != vm.cluster {
        let message = format!("host {name} is in cluster {}, the VM in {}", host.cluster, vm.cluster);
        findings.push(
            spot.error(Code::HostNotInCluster, HOST, message)
                .related([EntityId::Host(name.clone()).to_string()])
                .remedy("choose a host of the VM's cluster"),
        );
    }
    let missing: BTreeSet<&NetworkName> = fleet
        .vnics_of(vm.id)
        .filter(|vnic| vnic.plugged)
        .filter_map(|vnic| vnic.profile.as_ref().map(|(network, _)| network))
        .filter(|network| !fleet.attachments().contains_key(&(name.clone(), (*network).clone())))
        .collect();
    if !missing.is_empty() {
        let names: Vec<String> = missing.into_iter().map(|n| EntityId::Network(n.clone()).to_string()).collect();
        let names = Named::from(names);
        findings.push(
            spot.error(Code::NetworkNotOnHost, HOST, format!("host {name} does not carry {names}"))
                .related(names.names)
                .remedy("attach the networks to the host first, or choose another"),
        );
    }
    findings
}

/// Row 3 where a VM's vNICs are plugged past their filters.
fn bypasses(vm: &Vm, before: Option<&Vm>, fleet: &Fleet, spot: &Spot) -> Vec<Finding> {
    let networks: Vec<&Network> = over_bridges(vm, fleet).map(|(_, network)| network).collect();
    let (managed, others): (Vec<&Network>, Vec<&Network>) =
        networks.into_iter().partition(|network| network.is_managed());
    let mut findings = Vec::new();
    if !managed.is_empty() {
        let names: BTreeSet<String> = managed.iter().map(|n| EntityId::Network(n.id.clone()).to_string()).collect();
        let names = Named::from(names.into_iter().collect::<Vec<_>>());
        let message =
            format!("libvirt manages the MAC tables of {names}, and the VM's vNICs would be past their filters");
        let finding = spot.error(Code::MacSpoofBypass, BYPASSES, message).related(names.names);
        findings.push(finding.remedy("leave the bypass out, or take the vNICs off these networks"));
    }
    if !before.is_some_and(|before| before.bypasses_filters) {
        let still = |network: &Network| matrix::still_managed(fleet, network, spot, BYPASSES, vnic::BYPASS);
        findings.extend(others.into_iter().filter_map(still));
    }
    findings
}

/// Row 12 where a VM declares VMs of its own.
fn nested(vm: &Vm, fleet: &Fleet, spot: &Spot) -> Option<Finding> {
    let lacks = over_bridges(vm, fleet)
        .filter(|(vnic, network)| network.is_managed() && vnic.extra_macs.is_empty())
        .map(|(vnic, _)| vnic);
    let vnics = Named::vnics(lacks);
    (!vnics.is_empty()).then(|| vnic::without_inner_macs(vm.nesting, vnics, [vm.id], spot, NESTING))
}

fn over_bridges<'a>(vm: &Vm, fleet: &'a Fleet) -> impl Iterator<Item = (&'a Vnic, &'a Network)> {
    fleet.vnics_of(vm.id).filter_map(|vnic| {
        let profile = fleet.profiles().get(vnic.profile.as_ref()?).filter(|profile| !profile.is_passthrough())?;
        Some((vnic, fleet.networks().get(&profile.network)?))
    })
}
