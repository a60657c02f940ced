//! Virtual machines.

use std::collections::BTreeMap;

use tonic::{Request, Response, Status};
use trestle_model::VmId;
use trestle_model::fleet::{Fleet, Vm as Entity};
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine::v1::vm_service_server::VmService;
use trestle_proto::engine_wire::{Resource as _, parse_name_of};

use crate::api::standard::standard_service;
use crate::api::{Api, Collection};
use crate::api::{placements, plugging};

/// Serves `VmService`.
#[derive(Debug, Clone)]
pub struct Vms(pub Api);

impl Collection for wire::Vm {
    fn map(fleet: &Fleet) -> &BTreeMap<VmId, Entity> {
        fleet.vms()
    }

    fn fill(mut self, api: &Api) -> Self {
        if let Ok(vm) = parse_name_of::<Self>(self.name(), "name") {
            self.status = Some(plugging::vm_status(api, vm));
        }
        self
    }
}

standard_service! {
    VmService for Vms, Vm as vm in vms, id vm_id, parent [];
    get_vm GetVmRequest GetVmResponse;
    list_vms ListVmsRequest ListVmsResponse;
    create_vm CreateVmRequest CreateVmResponse;
    update_vm UpdateVmRequest UpdateVmResponse;
    delete_vm DeleteVmRequest DeleteVmResponse;
    and {
        async fn list_placements(
            &self,
            request: Request<wire::ListPlacementsRequest>,
        ) -> Result<Response<wire::ListPlacementsResponse>, Status> {
            crate::api::require_user(&request)?;
            Ok(Response::new(placements::list(&self.0, request.get_ref())?))
        }
    }
}
