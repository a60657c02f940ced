//! Virtual NICs.

use std::collections::BTreeMap;

use tonic::{Request, Response, Status};
use trestle_model::fleet::{EntityId, Fleet, Vnic as Entity, VnicId};
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine::v1::vnic_service_server::VnicService;
use trestle_proto::engine_wire::{Resource as _, parse_name_of};

use crate::api::plugging;
use crate::api::standard::standard_service;
use crate::api::{Api, Collection};

/// Serves `VnicService`.
#[derive(Debug, Clone)]
pub struct Vnics(pub Api);

impl Collection for wire::Vnic {
    fn map(fleet: &Fleet) -> &BTreeMap<VnicId, Entity> {
        fleet.vnics()
    }

    fn fill(mut self, api: &Api) -> Self {
        if let Ok(vnic) = parse_name_of::<Self>(self.name(), "name") {
            let mac = self.status.take().unwrap_or_default().mac;
            self.status = Some(wire::VnicStatus { mac, ..plugging::vnic_status(api, &vnic) });
        }
        self
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
