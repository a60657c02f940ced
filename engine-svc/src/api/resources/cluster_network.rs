//! Networks in clusters.

use std::collections::BTreeMap;

use tonic::{Request, Response, Status};
use trestle_model::fleet::{ClusterNetwork as Entity, ClusterNetworkId, EntityId, Fleet};
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine::v1::cluster_network_service_server::ClusterNetworkService;

use crate::api::standard::standard_service;
use crate::api::{Api, Collection};

/// Serves `ClusterNetworkService`.
#[derive(Debug, Clone)]
pub struct ClusterNetworks(pub Api);

impl Collection for wire::ClusterNetwork {
    fn map(fleet: &Fleet) -> &BTreeMap<ClusterNetworkId, Entity> {
        fleet.cluster_networks()
    }

    fn below<'a>(fleet: &'a Fleet, parent: &'a EntityId) -> Box<dyn Iterator<Item = &'a Entity> + 'a> {
        if let EntityId::Cluster(parent) = parent {
            Box::new(fleet.networks_of(parent))
        } else {
            Box::new(std::iter::empty())
        }
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
