//! Reads the devices of a report: NICs, bridges and VLAN devices.

use trestle_model::{
    BridgeReport, Code, Duplex, NicEntry, NicHardware, NicReport, NicValues, Origin, Owner, Presence, VlanReport,
};

use super::super::nic::{read_nic_spec, read_settings};
use super::super::read_egress;
use super::keeping;
use super::lldp::read_neighbor;
use super::parse::{read_address, read_all, read_bridge, read_port, read_required, read_text, unsaid};
use crate::form::Form;
use crate::host::v1 as wire;

pub(super) fn read_nic(form: &mut Form, path: &str, nic: &wire::NicReport) -> Option<NicReport> {
    let name = read_required(form, &format!("{path}.name"), &nic.name, Code::NameInvalid);
    let duplex = match form.known(&format!("{path}.duplex"), nic.duplex) {
        Some(wire::Duplex::Half) => Some(Duplex::Half),
        Some(wire::Duplex::Full) => Some(Duplex::Full),
        Some(wire::Duplex::Unspecified) | None => None,
    };
    let configured = match &nic.configured {
        None => None,
        Some(configured) => {
            let spec = read_nic_spec(form, &format!("{path}.configured"), configured);
            let origin = match form.known(&format!("{path}.origin"), nic.origin) {
                Some(wire::Origin::Engine) => Some(Origin::Engine),
                Some(wire::Origin::Local) => Some(Origin::Local),
                Some(wire::Origin::Unspecified) => unsaid(form, format!("{path}.origin")),
                None => None,
            };
            // What the settings return to is the host's own business.
            Some(NicEntry { spec: spec?, origin: origin?, before: NicValues::default() })
        }
    };
    Some(NicReport {
        mac: read_text(form, &format!("{path}.mac"), &nic.mac, Code::BadAddress),
        permanent_mac: read_text(form, &format!("{path}.permanent_mac"), &nic.permanent_mac, Code::BadAddress),
        mtu: form.mtu(&format!("{path}.mtu"), Some(nic.mtu)),
        max_mtu: nic.max_mtu,
        up: nic.up,
        carrier: nic.carrier,
        master: read_text(form, &format!("{path}.master"), &nic.master, Code::NameInvalid),
        addresses: read_all(form, &format!("{path}.addresses"), &nic.addresses, read_address),
        hardware: NicHardware {
            driver: Some(nic.driver.clone()).filter(|driver| !driver.is_empty()),
            bus_address: Some(nic.bus_address.clone()).filter(|address| !address.is_empty()),
            speed_mbps: nic.speed_mbps,
            duplex,
        },
        lldp_neighbors: read_all(form, &format!("{path}.lldp_neighbors"), &nic.lldp_neighbors, read_neighbor),
        egress: read_egress(form, &format!("{path}.egress"), nic.egress.as_ref()),
        configured,
        settings: read_settings(form, &format!("{path}.settings"), nic.settings.as_ref()),
        drift: nic.drift.clone(),
        repairs: keeping::read_all(&nic.repairs),
        presence: if nic.missing { Presence::Missing } else { Presence::Present },
        name: name?,
    })
}

pub(super) fn read_bridge_device(form: &mut Form, path: &str, bridge: &wire::BridgeDevice) -> Option<BridgeReport> {
    let name = read_required(form, &format!("{path}.name"), &bridge.name, Code::NameInvalid);
    let owner = read_owner(form, path, bridge.owner, &bridge.network);
    let options = bridge.options.unwrap_or_default();
    let options = read_bridge(form, &format!("{path}.options"), &options);
    Some(BridgeReport {
        mac: read_text(form, &format!("{path}.mac"), &bridge.mac, Code::BadAddress),
        mtu: form.mtu(&format!("{path}.mtu"), Some(bridge.mtu)),
        up: bridge.up,
        carrier: bridge.carrier,
        ports: read_all(form, &format!("{path}.ports"), &bridge.ports, read_port),
        addresses: read_all(form, &format!("{path}.addresses"), &bridge.addresses, read_address),
        name: name?,
        owner: owner?,
        options: options?,
    })
}

pub(super) fn read_vlan_device(form: &mut Form, path: &str, vlan: &wire::VlanDevice) -> Option<VlanReport> {
    let name = read_required(form, &format!("{path}.name"), &vlan.name, Code::NameInvalid);
    let owner = read_owner(form, path, vlan.owner, &vlan.network);
    let base = read_required(form, &format!("{path}.base"), &vlan.base, Code::NameInvalid);
    let id = form.vlan(&format!("{path}.vlan_id"), Some(vlan.vlan_id));
    Some(VlanReport {
        mac: read_text(form, &format!("{path}.mac"), &vlan.mac, Code::BadAddress),
        mtu: form.mtu(&format!("{path}.mtu"), Some(vlan.mtu)),
        up: vlan.up,
        carrier: vlan.carrier,
        master: read_text(form, &format!("{path}.master"), &vlan.master, Code::NameInvalid),
        addresses: read_all(form, &format!("{path}.addresses"), &vlan.addresses, read_address),
        name: name?,
        owner: owner?,
        base: base?,
        id: id?,
    })
}

fn read_owner(form: &mut Form, path: &str, owner: i32, network: &str) -> Option<Owner> {
    let network = read_text(form, &format!("{path}.network"), network, Code::NameInvalid);
    let path = format!("{path}.owner");
    match form.known(&path, owner) {
        Some(wire::Owner::Trestle) => Some(network.map_or(Owner::Trestle, Owner::Network)),
        Some(wire::Owner::Foreign) => Some(Owner::Foreign),
        Some(wire::Owner::Unspecified) => unsaid(form, path),
        None => None,
    }
}
