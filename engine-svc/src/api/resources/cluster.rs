//! Clusters.

use std::collections::BTreeMap;

use tonic::{Request, Response, Status};
use trestle_model::ResourceId;
use trestle_model::fleet::{Cluster as Entity, Fleet};
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine::v1::cluster_service_server::ClusterService;
use trestle_proto::engine_wire::{Resource as _, build_cluster_status, parse_name_of};

use crate::api::standard::standard_service;
use crate::api::{Api, Collection};

/// Serves `ClusterService`.
#[derive(Debug, Clone)]
pub struct Clusters(pub Api);

impl Collection for wire::Cluster {
    fn map(fleet: &Fleet) -> &BTreeMap<ResourceId, Entity> {
        fleet.clusters()
    }

    fn fill(mut self, api: &Api) -> Self {
        if let Ok(cluster) = parse_name_of::<Self>(self.name(), "name") {
            self.status = Some(api.store.read(|fleet| build_cluster_status(fleet, &cluster)));
        }
        self
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
