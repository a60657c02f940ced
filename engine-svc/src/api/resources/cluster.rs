//! Clusters.

use tonic::{Request, Response, Status};
use trestle_model::fleet::{Cluster as Entity, EntityId, Fleet};
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine::v1::cluster_service_server::ClusterService;

use crate::api::standard::standard_service;
use crate::api::{Api, Collection};

/// Serves `ClusterService`.
#[derive(Debug, Clone)]
pub struct Clusters(pub Api);

impl Collection for wire::Cluster {
    fn all<'a>(fleet: &'a Fleet, _parent: Option<&'a EntityId>) -> Box<dyn Iterator<Item = &'a Entity> + 'a> {
        Box::new(fleet.clusters().values())
    }

    fn key(entity: &Entity) -> EntityId {
        EntityId::Cluster(entity.id.clone())
    }
}

standard_service! {
    ClusterService for Clusters, Cluster as cluster in clusters, id cluster_id, parent [];
    get_cluster GetClusterRequest GetClusterResponse;
    list_clusters ListClustersRequest ListClustersResponse;
    create_cluster CreateClusterRequest CreateClusterResponse;
    update_cluster UpdateClusterRequest UpdateClusterResponse;
    delete_cluster DeleteClusterRequest DeleteClusterResponse;
    and {}
}
