//! Networks.

use tonic::{Request, Response, Status};
use trestle_model::fleet::{EntityId, Fleet, Network as Entity};
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine::v1::network_service_server::NetworkService;

use crate::api::standard::standard_service;
use crate::api::{Api, Collection};

/// Serves `NetworkService`.
#[derive(Debug, Clone)]
pub struct Networks(pub Api);

impl Collection for wire::Network {
    fn all<'a>(fleet: &'a Fleet, _parent: Option<&'a EntityId>) -> Box<dyn Iterator<Item = &'a Entity> + 'a> {
        Box::new(fleet.networks().values())
    }

    fn key(entity: &Entity) -> EntityId {
        EntityId::Network(entity.id.clone())
    }
}

standard_service! {
    NetworkService for Networks, Network as network in networks, id network_id, parent [];
    get_network GetNetworkRequest GetNetworkResponse;
    list_networks ListNetworksRequest ListNetworksResponse;
    create_network CreateNetworkRequest CreateNetworkResponse;
    update_network UpdateNetworkRequest UpdateNetworkResponse;
    delete_network DeleteNetworkRequest DeleteNetworkResponse;
    and {}
}
