//! Rules for clusters.

use trestle_model::fleet::{Cluster, EntityId, Fleet};
use trestle_model::{Finding, ResourceId};

use crate::matrix;
use crate::spot::Spot;

/// Evaluates a new or changed cluster.
pub(crate) fn put(cluster: &Cluster, fleet: &Fleet) -> Vec<Finding> {
    let spot = Spot::new(EntityId::Cluster(cluster.id.clone()));
    let managed = matrix::managed_networks(fleet, &cluster.id);
    matrix::switch_type([cluster], managed, &spot, "cluster.spec.switch_type").into_iter().collect()
}

/// Evaluates the removal of a cluster: refused while it has hosts or networks.
pub(crate) fn delete(cluster: &ResourceId, fleet: &Fleet) -> Vec<Finding> {
    let spot = Spot::new(EntityId::Cluster(cluster.clone()));
    let hosts = fleet.hosts_in(cluster).map(|host| EntityId::Host(host.clone()));
    let networks = fleet
        .networks_of(cluster)
        .map(|attachment| EntityId::ClusterNetwork(attachment.cluster.clone(), attachment.network.clone()));
    spot.in_use("name", hosts.chain(networks).map(|user| user.to_string()).collect()).into_iter().collect()
}
