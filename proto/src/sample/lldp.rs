//! Legal neighbours of NICs.

use std::net::IpAddr;

use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use trestle_model::{LldpCapability, LldpId, LldpIdKind, LldpNeighbor, VlanId};

fn id() -> impl Strategy<Value = LldpId> {
    let kind = proptest::sample::select(vec![
        LldpIdKind::ChassisComponent,
        LldpIdKind::InterfaceAlias,
        LldpIdKind::PortComponent,
        LldpIdKind::MacAddress,
        LldpIdKind::NetworkAddress,
        LldpIdKind::InterfaceName,
        LldpIdKind::AgentCircuitId,
        LldpIdKind::Local,
    ]);
    (kind, ".{1,12}").prop_map(|(kind, value)| LldpId { kind, value })
}

fn vlan() -> impl Strategy<Value = VlanId> {
    (1_u32..=4094).prop_map(|id| VlanId::try_from(id).unwrap())
}

pub(super) fn lldp_neighbors() -> impl Strategy<Value = Vec<LldpNeighbor>> {
    let text = || option::of(".{1,12}");
    let capabilities = || btree_set(proptest::sample::select(LldpCapability::ALL.to_vec()), 0..4);
    let vlans = (option::of(vlan()), btree_map(vlan(), ".{0,8}", 0..3));
    let more = (vec(any::<IpAddr>(), 0..3), vlans, option::of(any::<u16>()));
    let neighbor = (id(), id(), [text(), text(), text()], [capabilities(), capabilities()], more).prop_map(
        |(chassis, port, texts, capabilities, (management_addresses, (port_vlan, vlans), max_frame_size))| {
            let ([port_description, system_name, system_description], [capabilities, enabled_capabilities]) =
                (texts, capabilities);
            LldpNeighbor {
                chassis,
                port,
                port_description,
                system_name,
                system_description,
                capabilities,
                enabled_capabilities,
                management_addresses,
                port_vlan,
                vlans,
                max_frame_size,
            }
        },
    );
    vec(neighbor, 0..2)
}
