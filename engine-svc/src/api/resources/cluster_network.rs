//! Networks in clusters.

use tonic::{Request, Response, Status};
use trestle_model::fleet::{ClusterNetwork as Entity, EntityId, Fleet};
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine::v1::cluster_network_service_server::ClusterNetworkService;

use crate::api::standard::standard_service;
use crate::api::{Api, Collection};

/// Serves `ClusterNetworkService`.
#[derive(Debug, Clone)]
pub struct ClusterNetworks(pub Api);

impl Collection for wire::ClusterNetwork {
    fn all<'a>(fleet: &'a Fleet, parent: Option<&'a EntityId>) -> Box<dyn Iterator<Item = &'a Entity> + 'a> {
        match parent {
            Some(EntityId::Cluster(parent)) => Box::new(fleet.networks_of(parent)),
            Some(_) | None => Box::new(fleet.cluster_networks().values()),
        }
    }

    fn key(entity: &Entity) -> EntityId {
        EntityId::ClusterNetwork(entity.cluster.clone(), entity.network.clone())
    }
}

standard_service! {
    ClusterNetworkService for ClusterNetworks, ClusterNetwork as cluster_network in cluster_networks, id cluster_network_id, parent [parent];
    get_cluster_network GetClusterNetworkRequest GetClusterNetworkResponse;
    list_cluster_networks ListClusterNetworksRequest ListClusterNetworksResponse;
    create_cluster_network CreateClusterNetworkRequest CreateClusterNetworkResponse;
    update_cluster_network UpdateClusterNetworkRequest UpdateClusterNetworkResponse;
    delete_cluster_network DeleteClusterNetworkRequest DeleteClusterNetworkResponse;
    and {}
}
