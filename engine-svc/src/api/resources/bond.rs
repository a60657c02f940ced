//! Bonds of hosts.

use std::collections::BTreeMap;

use tonic::{Request, Response, Status};
use trestle_model::fleet::{Bond as Entity, BondId, EntityId, Fleet};
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine::v1::bond_service_server::BondService;

use crate::api::standard::standard_service;
use crate::api::{Api, Collection};

/// Serves `BondService`.
#[derive(Debug, Clone)]
pub struct Bonds(pub Api);

impl Collection for wire::Bond {
    fn map(fleet: &Fleet) -> &BTreeMap<BondId, Entity> {
        fleet.bonds()
    }

    fn below<'a>(fleet: &'a Fleet, parent: &'a EntityId) -> Box<dyn Iterator<Item = &'a Entity> + 'a> {
        if let EntityId::Host(parent) = parent {
            Box::new(fleet.bonds_of(parent))
        } else {
            Box::new(std::iter::empty())
        }
    }
}

standard_service! {
    BondService for Bonds, Bond as bond in bonds, id bond_id, parent [parent];
    get_bond GetBondRequest GetBondResponse;
    list_bonds ListBondsRequest ListBondsResponse;
    create_bond CreateBondRequest CreateBondResponse;
    update_bond UpdateBondRequest UpdateBondResponse;
    delete_bond DeleteBondRequest DeleteBondResponse;
    and {}
}
