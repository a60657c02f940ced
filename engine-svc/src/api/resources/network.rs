//! Networks.

use std::collections::BTreeMap;

use tonic::{Request, Response, Status};
use trestle_model::NetworkName;
use trestle_model::fleet::{Fleet, Network as Entity};
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine::v1::network_service_server::NetworkService;

use crate::api::standard::standard_service;
use crate::api::{Api, Collection};

/// Serves `NetworkService`.
#[derive(Debug, Clone)]
pub struct Networks(pub Api);

impl Collection for wire::Network {
    fn map(fleet: &Fleet) -> &BTreeMap<NetworkName, Entity> {
        fleet.networks()
    }
}

standard_service! {
    NetworkService for Networks, Network as network in networks, id network_id, parent [];
    get_network GetNetworkRequest GetNetworkResponse;
    list_networks ListNetworksRequest ListNetworksResponse;
    create_network CreateNetworkRequest CreateNetworkResponse;
    update_network UpdateNetworkRequest UpdateNetworkResponse with fix_profiles;
    delete_network DeleteNetworkRequest DeleteNetworkResponse;
    and {}
}
