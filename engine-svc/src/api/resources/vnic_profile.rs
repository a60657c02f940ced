//! vNIC profiles.

use std::collections::BTreeMap;

use tonic::{Request, Response, Status};
use trestle_model::fleet::{EntityId, Fleet, ProfileId, VnicProfile as Entity};
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine::v1::vnic_profile_service_server::VnicProfileService;

use crate::api::standard::standard_service;
use crate::api::{Api, Collection};

/// Serves `VnicProfileService`.
#[derive(Debug, Clone)]
pub struct VnicProfiles(pub Api);

impl Collection for wire::VnicProfile {
    fn map(fleet: &Fleet) -> &BTreeMap<ProfileId, Entity> {
        fleet.profiles()
    }

    fn below<'a>(fleet: &'a Fleet, parent: &'a EntityId) -> Box<dyn Iterator<Item = &'a Entity> + 'a> {
        if let EntityId::Network(parent) = parent {
            Box::new(fleet.profiles_of(parent))
        } else {
            Box::new(std::iter::empty())
        }
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
