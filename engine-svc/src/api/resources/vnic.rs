//! Virtual NICs.

use std::collections::BTreeMap;

use tonic::{Request, Response, Status};
use trestle_model::fleet::{EntityId, Fleet, Vnic as Entity, VnicId};
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine::v1::vnic_service_server::VnicService;

use crate::api::standard::standard_service;
use crate::api::{Api, Collection};

/// Serves `VnicService`.
#[derive(Debug, Clone)]
pub struct Vnics(pub Api);

impl Collection for wire::Vnic {
    fn map(fleet: &Fleet) -> &BTreeMap<VnicId, Entity> {
        fleet.vnics()
    }

    fn below<'a>(fleet: &'a Fleet, parent: &'a EntityId) -> Box<dyn Iterator<Item = &'a Entity> + 'a> {
        if let EntityId::Vm(parent) = parent { Box::new(fleet.vnics_of(*parent)) } else { Box::new(std::iter::empty()) }
    }
}

standard_service! {
    VnicService for Vnics, Vnic as vnic in vnics, id vnic_id, parent [parent];
    get_vnic GetVnicRequest GetVnicResponse;
    list_vnics ListVnicsRequest ListVnicsResponse;
    create_vnic CreateVnicRequest CreateVnicResponse;
    update_vnic UpdateVnicRequest UpdateVnicResponse;
    delete_vnic DeleteVnicRequest DeleteVnicResponse;
    and {}
}
