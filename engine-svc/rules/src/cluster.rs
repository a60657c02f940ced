//! Rules for clusters.

use trestle_model::fleet::{Cluster, EntityId, Fleet, MacConflictPolicy, Network};
use trestle_model::{Finding, ResourceId};

use crate::mac;
use crate::matrix::{self, Fix, Step};
use crate::spot::Spot;

const SWITCH_TYPE: &str = "cluster.spec.switch_type";
const MAC_POOL: &str = "cluster.spec.mac_pool";
const POLICY: &str = "cluster.spec.mac_conflict_policy";

/// Evaluates a new or changed cluster.
pub(crate) fn put(cluster: &Cluster, fleet: &Fleet) -> Vec<Finding> {
    let spot = Spot::new(EntityId::Cluster(cluster.id.clone()));
    let before = fleet.clusters().get(&cluster.id);
    let managed: Vec<&Network> = matrix::managed_networks(fleet, &cluster.id).collect();
    let mut findings: Vec<Finding> =
        matrix::switch_type([cluster], managed.iter().copied(), &spot, SWITCH_TYPE).into_iter().collect();
    if let Some(pool) = &cluster.mac_pool {
        match fleet.mac_pools().get(pool) {
            None => findings.push(spot.missing(MAC_POOL, &EntityId::MacPool(pool.clone()))),
            Some(pool) if before.is_none_or(|before| before.mac_pool.as_ref() != Some(&pool.id)) => {
                let vnics = fleet.vms_in(&cluster.id).flat_map(|vm| fleet.vnics_of(*vm));
                findings.extend(mac::shared_in_pool(fleet, pool, Some(&cluster.id), vnics, &spot, MAC_POOL));
                if !managed.is_empty() && pool.allow_duplicates {
                    findings.push(mac::duplicates_become_possible(pool, &managed, &spot, MAC_POOL));
                }
            }
            Some(_) => {}
        }
    }
    if stricter(cluster, before) {
        for network in managed {
            let how = (Step::Within, Fix::Leave);
            findings.extend(matrix::unsafe_profiles(fleet, network, Some(cluster), how, &spot, POLICY));
        }
    }
    findings
}

/// Evaluates the removal of a cluster: refused while it has hosts, networks or VMs.
pub(crate) fn delete(cluster: &ResourceId, fleet: &Fleet) -> Vec<Finding> {
    let spot = Spot::new(EntityId::Cluster(cluster.clone()));
    let hosts = fleet.hosts_in(cluster).map(|host| EntityId::Host(host.clone()));
    let networks = fleet
        .networks_of(cluster)
        .map(|attachment| EntityId::ClusterNetwork(attachment.cluster.clone(), attachment.network.clone()));
    let vms = fleet.vms_in(cluster).map(|vm| EntityId::Vm(*vm));
    let users: Vec<String> = hosts.chain(networks).chain(vms).map(|user| user.to_string()).collect();
    spot.in_use("name", users).into_iter().collect()
}

/// Tells whether spoofing guests, acknowledged until now, become refused.
fn stricter(cluster: &Cluster, before: Option<&Cluster>) -> bool {
    match (before.map(|before| before.mac_conflict_policy), cluster.mac_conflict_policy) {
        (Some(MacConflictPolicy::Warn), MacConflictPolicy::Prevent) => true,
        (Some(MacConflictPolicy::Prevent) | None, MacConflictPolicy::Prevent) | (_, MacConflictPolicy::Warn) => false,
    }
}
