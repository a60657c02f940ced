//! vNIC profiles.

use tonic::{Request, Response, Status};
use trestle_model::fleet::{EntityId, Fleet, VnicProfile as Entity};
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine::v1::vnic_profile_service_server::VnicProfileService;

use crate::api::standard::standard_service;
use crate::api::{Api, Collection};

/// Serves `VnicProfileService`.
#[derive(Debug, Clone)]
pub struct VnicProfiles(pub Api);

impl Collection for wire::VnicProfile {
    fn all<'a>(fleet: &'a Fleet, parent: Option<&'a EntityId>) -> Box<dyn Iterator<Item = &'a Entity> + 'a> {
        match parent {
            Some(EntityId::Network(parent)) => Box::new(fleet.profiles_of(parent)),
            Some(_) | None => Box::new(fleet.profiles().values()),
        }
    }

    fn key(entity: &Entity) -> EntityId {
        EntityId::VnicProfile(entity.network.clone(), entity.id.clone())
    }
}

standard_service! {
    VnicProfileService for VnicProfiles, VnicProfile as vnic_profile in vnic_profiles, id vnic_profile_id, parent [parent];
    get_vnic_profile GetVnicProfileRequest GetVnicProfileResponse;
    list_vnic_profiles ListVnicProfilesRequest ListVnicProfilesResponse;
    create_vnic_profile CreateVnicProfileRequest CreateVnicProfileResponse;
    update_vnic_profile UpdateVnicProfileRequest UpdateVnicProfileResponse;
    delete_vnic_profile DeleteVnicProfileRequest DeleteVnicProfileResponse;
    and {}
}
