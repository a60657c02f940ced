//! MAC pools.

use std::collections::BTreeMap;

use tonic::{Request, Response, Status};
use trestle_model::ResourceId;
use trestle_model::fleet::{Fleet, MacPool as Entity};
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine::v1::mac_pool_service_server::MacPoolService;
use trestle_proto::engine_wire::{Resource as _, parse_name_of};

use crate::api::standard::standard_service;
use crate::api::{Api, Collection};

/// Serves `MacPoolService`.
#[derive(Debug, Clone)]
pub struct MacPools(pub Api);

impl Collection for wire::MacPool {
    fn map(fleet: &Fleet) -> &BTreeMap<ResourceId, Entity> {
        fleet.mac_pools()
    }

    fn fill(mut self, api: &Api) -> Self {
        let status = |pool: ResourceId| {
            api.store.read(|fleet| {
                let ranges = &fleet.mac_pools().get(&pool)?.ranges;
                let size = ranges.iter().map(|range| range.size()).sum();
                Some(wire::MacPoolStatus { size, free: fleet.free_macs(&pool) })
            })
        };
        self.status = parse_name_of::<Self>(self.name(), "name").ok().and_then(status);
        self
    }
}

standard_service! {
    MacPoolService for MacPools, MacPool as mac_pool in mac_pools, id mac_pool_id, parent [];
    get_mac_pool GetMacPoolRequest GetMacPoolResponse;
    list_mac_pools ListMacPoolsRequest ListMacPoolsResponse;
    create_mac_pool CreateMacPoolRequest CreateMacPoolResponse;
    update_mac_pool UpdateMacPoolRequest UpdateMacPoolResponse;
    delete_mac_pool DeleteMacPoolRequest DeleteMacPoolResponse;
    and {}
}
