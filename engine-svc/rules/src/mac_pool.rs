//! Rules for MAC pools.

use std::collections::BTreeMap;

use trestle_model::fleet::{EntityId, Fleet, MacPool, Network};
use trestle_model::{Code, Finding, MacRange, NetworkName, ResourceId};

use crate::mac;
use crate::matrix;
use crate::spot::{Spot, enumerate};

const ALLOW_DUPLICATES: &str = "mac_pool.spec.allow_duplicates";

/// Evaluates a new or changed pool.
pub(crate) fn put(pool: &MacPool, fleet: &Fleet) -> Vec<Finding> {
    let spot = Spot::new(EntityId::MacPool(pool.id.clone()));
    let mut findings = overlaps(pool, fleet, &spot);
    let before = fleet.mac_pools().get(&pool.id);
    if before.is_some_and(|before| before.allow_duplicates) && !pool.allow_duplicates {
        let vms = fleet.clusters_of_pool(&pool.id).flat_map(|cluster| fleet.vms_in(cluster));
        let vnics = vms.flat_map(|vm| fleet.vnics_of(*vm));
        findings.extend(mac::shared_in_pool(fleet, pool, None, vnics, &spot, ALLOW_DUPLICATES));
    }
    if before.is_some_and(|before| !before.allow_duplicates) && pool.allow_duplicates {
        let clusters = fleet.clusters_of_pool(&pool.id);
        let managed: BTreeMap<&NetworkName, &Network> = clusters
            .flat_map(|cluster| matrix::managed_networks(fleet, cluster))
            .map(|network| (&network.id, network))
            .collect();
        if !managed.is_empty() {
            let networks: Vec<&Network> = managed.into_values().collect();
            findings.push(mac::duplicates_become_possible(pool, &networks, &spot, ALLOW_DUPLICATES));
        }
    }
    findings
}

/// Evaluates the removal of a pool: refused while clusters use it.
pub(crate) fn delete(pool: &ResourceId, fleet: &Fleet) -> Vec<Finding> {
    let clusters = fleet.clusters_of_pool(pool).map(|cluster| EntityId::Cluster(cluster.clone()).to_string());
    let spot = Spot::new(EntityId::MacPool(pool.clone()));
    spot.in_use("name", clusters.collect::<Vec<_>>()).into_iter().collect()
}

/// An address is in one range of one pool, so that no two VMs are given the same.
fn overlaps(pool: &MacPool, fleet: &Fleet, spot: &Spot) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (position, range) in pool.ranges.iter().enumerate() {
        let field = format!("mac_pool.spec.ranges[{position}]");
        let overlaps = |other: &&MacRange| range.overlaps(**other);
        if let Some(other) = pool.ranges.iter().take(position).find(overlaps) {
            let message = format!("the range {range} overlaps {other}, which is in the pool already");
            findings.push(spot.error(Code::MacPoolOverlap, &field, message).remedy("cut one of the ranges"));
        }
        let pools = fleet.mac_pools().values().filter(|other| other.id != pool.id);
        let others: Vec<String> = pools
            .filter(|other| other.ranges.iter().any(|other| range.overlaps(*other)))
            .map(|other| EntityId::MacPool(other.id.clone()).to_string())
            .collect();
        if !others.is_empty() {
            let message = format!("the range {range} overlaps ranges of {}", enumerate(&others));
            findings.push(
                spot.error(Code::MacPoolOverlap, &field, message).related(others).remedy("cut one of the ranges"),
            );
        }
    }
    findings
}
