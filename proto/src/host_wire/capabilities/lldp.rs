//! What neighbours of NICs tell of themselves.

use trestle_model::{Code, LldpCapability, LldpId, LldpIdKind, LldpNeighbor, VlanId};

use super::parse::{read_all, read_number, read_required, unsaid};
use crate::form::Form;
use crate::host::v1 as wire;

pub(super) fn build_neighbor(neighbor: &LldpNeighbor) -> wire::LldpNeighbor {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let vlan = |(id, name): (&VlanId, &String)| wire::LldpVlan { vlan_id: (*id).into(), name: name.clone() };
    let capability = |capability: &LldpCapability| build_capability(*capability).into();
    wire::LldpNeighbor {
        chassis: Some(build_id(&neighbor.chassis)),
        port: Some(build_id(&neighbor.port)),
        port_description: text(&neighbor.port_description),
        system_name: text(&neighbor.system_name),
        system_description: text(&neighbor.system_description),
        capabilities: neighbor.capabilities.iter().map(capability).collect(),
        enabled_capabilities: neighbor.enabled_capabilities.iter().map(capability).collect(),
        management_addresses: neighbor.management_addresses.iter().map(ToString::to_string).collect(),
        port_vlan_id: neighbor.port_vlan.map(u32::from),
        vlans: neighbor.vlans.iter().map(vlan).collect(),
        max_frame_size: neighbor.max_frame_size.map(u32::from),
    }
}

pub(super) fn read_neighbor(form: &mut Form, path: &str, neighbor: &wire::LldpNeighbor) -> Option<LldpNeighbor> {
    let text = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let chassis = read_id(form, &format!("{path}.chassis"), neighbor.chassis.as_ref());
    let port = read_id(form, &format!("{path}.port"), neighbor.port.as_ref());
    let address = |form: &mut Form, path: &str, address: &String| read_required(form, path, address, Code::BadAddress);
    let size = neighbor
        .max_frame_size
        .map(|size| read_number(form, &format!("{path}.max_frame_size"), size, Code::MtuOutOfRange));
    Some(LldpNeighbor {
        port_description: text(&neighbor.port_description),
        system_name: text(&neighbor.system_name),
        system_description: text(&neighbor.system_description),
        capabilities: read_all(form, &format!("{path}.capabilities"), &neighbor.capabilities, read_capability)
            .into_iter()
            .collect(),
        enabled_capabilities: read_all(
            form,
            &format!("{path}.enabled_capabilities"),
            &neighbor.enabled_capabilities,
            read_capability,
        )
        .into_iter()
        .collect(),
        management_addresses: read_all(
            form,
            &format!("{path}.management_addresses"),
            &neighbor.management_addresses,
            address,
        ),
        port_vlan: form.vlan(&format!("{path}.port_vlan_id"), neighbor.port_vlan_id),
        vlans: read_all(form, &format!("{path}.vlans"), &neighbor.vlans, read_vlan).into_iter().collect(),
        max_frame_size: size.flatten(),
        chassis: chassis?,
        port: port?,
    })
}

fn build_id(id: &LldpId) -> wire::LldpId {
    let kind = match id.kind {
        LldpIdKind::ChassisComponent => wire::LldpIdKind::ChassisComponent,
        LldpIdKind::InterfaceAlias => wire::LldpIdKind::InterfaceAlias,
        LldpIdKind::PortComponent => wire::LldpIdKind::PortComponent,
        LldpIdKind::MacAddress => wire::LldpIdKind::MacAddress,
        LldpIdKind::NetworkAddress => wire::LldpIdKind::NetworkAddress,
        LldpIdKind::InterfaceName => wire::LldpIdKind::InterfaceName,
        LldpIdKind::AgentCircuitId => wire::LldpIdKind::AgentCircuitId,
        LldpIdKind::Local => wire::LldpIdKind::Local,
    };
    wire::LldpId { kind: kind.into(), value: id.value.clone() }
}

fn read_id(form: &mut Form, path: &str, id: Option<&wire::LldpId>) -> Option<LldpId> {
    let Some(id) = id else {
        form.missing(path, "");
        return None;
    };
    let kind = match form.known(&format!("{path}.kind"), id.kind)? {
        wire::LldpIdKind::ChassisComponent => LldpIdKind::ChassisComponent,
        wire::LldpIdKind::InterfaceAlias => LldpIdKind::InterfaceAlias,
        wire::LldpIdKind::PortComponent => LldpIdKind::PortComponent,
        wire::LldpIdKind::MacAddress => LldpIdKind::MacAddress,
        wire::LldpIdKind::NetworkAddress => LldpIdKind::NetworkAddress,
        wire::LldpIdKind::InterfaceName => LldpIdKind::InterfaceName,
        wire::LldpIdKind::AgentCircuitId => LldpIdKind::AgentCircuitId,
        wire::LldpIdKind::Local => LldpIdKind::Local,
        wire::LldpIdKind::Unspecified => return unsaid(form, format!("{path}.kind")),
    };
    Some(LldpId { kind, value: id.value.clone() })
}

const fn build_capability(capability: LldpCapability) -> wire::LldpCapability {
    match capability {
        LldpCapability::Other => wire::LldpCapability::Other,
        LldpCapability::Repeater => wire::LldpCapability::Repeater,
        LldpCapability::Bridge => wire::LldpCapability::Bridge,
        LldpCapability::WlanAccessPoint => wire::LldpCapability::WlanAccessPoint,
        LldpCapability::Router => wire::LldpCapability::Router,
        LldpCapability::Telephone => wire::LldpCapability::Telephone,
        LldpCapability::DocsisCableDevice => wire::LldpCapability::DocsisCableDevice,
        LldpCapability::StationOnly => wire::LldpCapability::StationOnly,
        LldpCapability::CVlanComponent => wire::LldpCapability::CVlanComponent,
        LldpCapability::SVlanComponent => wire::LldpCapability::SVlanComponent,
        LldpCapability::TwoPortMacRelay => wire::LldpCapability::TwoPortMacRelay,
    }
}

fn read_capability(form: &mut Form, path: &str, number: &i32) -> Option<LldpCapability> {
    let capability = form.known(path, *number)?;
    let known = LldpCapability::ALL.into_iter().find(|each| build_capability(*each) == capability);
    known.or_else(|| unsaid(form, path.to_owned()))
}

fn read_vlan(form: &mut Form, path: &str, vlan: &wire::LldpVlan) -> Option<(VlanId, String)> {
    Some((form.vlan(&format!("{path}.vlan_id"), Some(vlan.vlan_id))?, vlan.name.clone()))
}
