//! MAC addresses: where a vNIC's comes from, and who else has it.

use std::collections::BTreeMap;

use trestle_model::fleet::{Cluster, EntityId, Fleet, MacPool, Network, Vm, Vnic};
use trestle_model::{Code, Finding, ResourceId, Severity};

use crate::matrix::{self, Step};
use crate::spot::{Named, Spot, enumerate};

const MAC: &str = "vnic.spec.mac";

/// A pool is low when at most one address in so many is free.
const LOW: u64 = 10;

/// Gives a vNIC that names no MAC the one that the pool gave it before, or the lowest free one of its cluster's pool.
///
/// A vNIC that names one has none of the pool's; so has one whose cluster has no pool, or whose pool is exhausted, which
/// [`crate::evaluate`] then tells.
pub(crate) fn with_address(mut vnic: Vnic, fleet: &Fleet) -> Vnic {
    vnic.pooled_mac = match vnic.mac {
        Some(_) => None,
        None => {
            let before = fleet.vnics().get(&(vnic.vm, vnic.id.clone())).and_then(|before| before.pooled_mac);
            before.or_else(|| fleet.free_mac(&pool_of(fleet, fleet.vms().get(&vnic.vm)?)?.id, &vnic.extra_macs))
        }
    };
    vnic
}

/// Tells what is to be said of a vNIC's addresses, its VM being `vm`, if that exists, and its network `network`.
pub(crate) fn findings(
    vnic: &Vnic,
    before: Option<&Vnic>,
    vm: Option<&Vm>,
    network: Option<&Network>,
    fleet: &Fleet,
    spot: &Spot,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let pool = vm.and_then(|vm| pool_of(fleet, vm));
    match (vnic.address(), pool, vm) {
        (None, None, Some(vm)) => findings.push(
            spot.error(
                Code::FieldMissing,
                MAC,
                format!("cluster {} has no MAC pool to take an address from", vm.cluster),
            )
            .related([EntityId::Cluster(vm.cluster.clone()).to_string()])
            .remedy("give the vNIC a MAC, or the cluster a pool"),
        ),
        (None, Some(pool), _) => findings.push(
            spot.error(Code::MacPoolExhausted, MAC, format!("no address of MAC pool {} is free", pool.id))
                .related([pool_name(pool)])
                .remedy("add a range to the pool, or give the vNIC a MAC"),
        ),
        (None, None, None) | (Some(_), Some(_) | None, _) => {}
    }
    findings.extend(dwindling(vnic, fleet, spot));
    if vnic.address().is_some_and(|own| vnic.extra_macs.contains(&own)) {
        let finding = spot.error(Code::Duplicate, "vnic.spec.extra_macs", "the vNIC's own MAC is among its extra ones");
        findings.push(finding.remedy("list further MACs only"));
    }
    let stays = |before: &Vnic| {
        let network = |vnic: &Vnic| vnic.profile.clone().map(|(network, _)| network);
        before.addresses().eq(vnic.addresses()) && before.plugged == vnic.plugged && network(before) == network(vnic)
    };
    let step = if before.is_some_and(stays) { Step::Within } else { Step::Into };
    findings.extend(duplicates(vnic, pool, network, step, fleet, spot));
    if let Some(network) = network
        && vnic.plugged
        && step == Step::Into
    {
        findings.extend(matrix::reported_with(fleet, vnic, network, vnic.addresses(), spot, MAC));
    }
    findings
}

/// Says that MACs of `vnics`, of VMs of `cluster` where it is given, would be twice in `pool`, which allows no
/// duplicates.
pub(crate) fn shared_in_pool<'a>(
    fleet: &Fleet,
    pool: &MacPool,
    cluster: Option<&ResourceId>,
    vnics: impl Iterator<Item = &'a Vnic>,
    spot: &Spot,
    field: &str,
) -> Option<Finding> {
    if pool.allow_duplicates {
        return None;
    }
    let in_pool = |vnic: &&Vnic| {
        fleet.vms().get(&vnic.vm).is_some_and(|vm| {
            let joins = cluster == Some(&vm.cluster);
            joins || pool_of(fleet, vm).is_some_and(|other| other.id == pool.id)
        })
    };
    let is_shared = |vnic: &&Vnic| {
        let others = |mac| fleet.vnics_with_mac(mac).filter(in_pool).any(|other| !is_same(other, vnic));
        vnic.addresses().any(others)
    };
    let vnics = Named::vnics(vnics.filter(is_shared));
    (!vnics.is_empty()).then(|| {
        let message = format!("MACs of {vnics} are there twice, which pool {} does not allow", pool.id);
        let finding = spot.error(Code::DuplicateMac, field, message).related(vnics.names);
        finding.remedy("give each vNIC a MAC of its own, or let the pool allow duplicates")
    })
}

/// Row 20 where a cluster with managed `networks` gets a pool that allows duplicates, or its pool comes to allow them.
pub(crate) fn duplicates_become_possible(pool: &MacPool, networks: &[&Network], spot: &Spot, field: &str) -> Finding {
    let networks: Vec<String> = networks.iter().map(|n| EntityId::Network(n.id.clone()).to_string()).collect();
    let message = format!("pool {} allows a MAC twice, which {} do not", pool.id, enumerate(&networks));
    spot.warning(Code::DuplicateMacPossible, field, message)
        .related(networks)
        .remedy("forbid duplicates in the pool, or acknowledge it")
}

/// Returns the pool that a VM's MACs come from.
pub(crate) fn pool_of<'a>(fleet: &'a Fleet, vm: &Vm) -> Option<&'a MacPool> {
    let pool = |cluster: &Cluster| cluster.mac_pool.clone();
    fleet.mac_pools().get(&fleet.clusters().get(&vm.cluster).and_then(pool)?)
}

/// Says of each pool from which a vNIC takes addresses, given by the pool or by hand, that it becomes low or exhausted. What the
/// vNIC gives back with it is not counted: its host may still report it.
fn dwindling(vnic: &Vnic, fleet: &Fleet, spot: &Spot) -> Vec<Finding> {
    let mut taken: BTreeMap<&ResourceId, u64> = BTreeMap::new();
    for mac in vnic.addresses().filter(|mac| !fleet.is_taken(*mac)) {
        if let Some(pool) = fleet.pool_with(mac) {
            *taken.entry(pool).or_default() += 1;
        }
    }
    let pools = taken.into_iter().filter_map(|(pool, taken)| Some((fleet.mac_pools().get(pool)?, taken)));
    pools.filter_map(|(pool, taken)| low(fleet, pool, taken, spot)).collect()
}

fn low(fleet: &Fleet, pool: &MacPool, taken: u64, spot: &Spot) -> Option<Finding> {
    let size: u64 = pool.ranges.iter().map(|range| range.size()).sum();
    let left = fleet.free_macs(&pool.id).saturating_sub(taken);
    let finding = if left == 0 {
        let message = format!("the last of the {size} addresses of MAC pool {} is taken with it", pool.id);
        spot.info(Code::MacPoolExhausted, MAC, message)
    } else if left.saturating_mul(LOW) <= size {
        let message = format!("{left} of the {size} addresses of MAC pool {} are free", pool.id);
        spot.info(Code::MacPoolLow, MAC, message)
    } else {
        return None;
    };
    Some(finding.related([pool_name(pool)]).remedy("add a range to the pool"))
}

/// Row 19, and its like in every fleet: the same address in the pool, or plugged on the network.
fn duplicates(
    vnic: &Vnic,
    pool: Option<&MacPool>,
    network: Option<&Network>,
    step: Step,
    fleet: &Fleet,
    spot: &Spot,
) -> Option<Finding> {
    let managed = network.is_some_and(Network::is_managed);
    let allowed = pool.is_none_or(|pool| pool.allow_duplicates);
    let weigh = |other: &Vnic| {
        let theirs = fleet.vms().get(&other.vm).and_then(|vm| pool_of(fleet, vm));
        let same_pool = pool.is_some_and(|pool| theirs.is_some_and(|theirs| theirs.id == pool.id));
        let on_network = other.profile.as_ref().map(|(network, _)| network) == network.map(|network| &network.id);
        let plugged = network.is_some() && on_network && vnic.plugged && other.plugged;
        match (same_pool && !allowed, plugged && (managed || !allowed), plugged) {
            (true, ..) | (_, true, _) => Some(Severity::Error),
            (false, false, true) => Some(Severity::Warning),
            (false, false, false) => None,
        }
    };
    let mut worst = Severity::Info;
    let mut others: Vec<&Vnic> = Vec::new();
    for other in vnic.addresses().flat_map(|mac| fleet.vnics_with_mac(mac)).filter(|other| !is_same(other, vnic)) {
        if let Some(severity) = weigh(other) {
            worst = worst.max(severity);
            others.push(other);
        }
    }
    if others.is_empty() || (worst == Severity::Warning && step == Step::Within) {
        return None;
    }
    let others = Named::vnics(others);
    let message = format!("a MAC of the vNIC is that of {others}, too");
    let finding = spot.finding(worst, Code::DuplicateMac, MAC, message).related(others.names);
    Some(finding.remedy("give another MAC, or let the pool give one"))
}

/// Tells whether both are the same vNIC.
pub(crate) fn is_same(one: &Vnic, other: &Vnic) -> bool {
    one.vm == other.vm && one.id == other.id
}

fn pool_name(pool: &MacPool) -> String {
    EntityId::MacPool(pool.id.clone()).to_string()
}
