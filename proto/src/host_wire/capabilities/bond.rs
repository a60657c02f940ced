//! Bonds in a report.

use trestle_model::{
    Bond, BondEntry, BondPort, BondPortLink, BondPortReport, BondReport, BondState, Code, Lacp, MacAddr, Origin,
};

use super::super::bond::{
    build_bond, build_bond_options, build_mode, read_bond_options, read_configured_bond, read_mode,
};
use super::super::{build_egress, read_egress};
use super::build::{build_address, text_of};
use super::keeping;
use super::parse::{read_address, read_all, read_number, read_required, read_text, unsaid};
use crate::form::Form;
use crate::host::v1 as wire;

pub(in super::super) fn build(report: &BondReport) -> wire::BondReport {
    let configured = report.configured.as_ref();
    let origin = match configured.map(|entry| entry.origin) {
        None => wire::Origin::Unspecified,
        Some(Origin::Engine) => wire::Origin::Engine,
        Some(Origin::Local) => wire::Origin::Local,
    };
    wire::BondReport {
        name: report.name.to_string(),
        configured: configured.map(|entry| build_bond(&entry.spec)),
        origin: origin.into(),
        kept_mac: text_of(configured.and_then(|entry| entry.mac)),
        observed: report.observed.as_ref().map(build_state),
        drift: report.drift.clone(),
        repairs: report.repairs.iter().map(keeping::build).collect(),
    }
}

fn build_state(state: &BondState) -> wire::BondState {
    wire::BondState {
        mac: text_of(state.mac),
        mtu: state.mtu.get(),
        up: state.up,
        carrier: state.carrier,
        master: text_of(state.master.as_ref()),
        addresses: state.addresses.iter().map(build_address).collect(),
        mode: build_mode(state.bond.options.mode),
        options: build_bond_options(&state.bond.options),
        active_port: text_of(state.bond.active_port.as_ref()),
        lacp: state.bond.lacp.map(|lacp| wire::LacpReport {
            aggregator_id: lacp.aggregator.into(),
            ports: lacp.ports.into(),
            actor_key: lacp.actor_key.into(),
            partner_key: lacp.partner_key.into(),
            partner_mac: lacp.partner_mac.to_string(),
        }),
        ports: state.ports.iter().map(build_port).collect(),
        egress: build_egress(&state.egress),
    }
}

fn build_port(report: &BondPortReport) -> wire::BondPortReport {
    let port = &report.port;
    let link = match port.link {
        BondPortLink::Up => wire::BondPortLink::Up,
        BondPortLink::Failing => wire::BondPortLink::Failing,
        BondPortLink::Down => wire::BondPortLink::Down,
        BondPortLink::Returning => wire::BondPortLink::Returning,
    };
    wire::BondPortReport {
        device: report.device.to_string(),
        active: port.active,
        link: link.into(),
        failures: port.failures,
        permanent_mac: text_of(port.permanent_mac),
        aggregator_id: port.aggregator.map(u32::from),
        actor_state: port.actor_state,
        partner_state: port.partner_state,
    }
}

pub(super) fn read(form: &mut Form, path: &str, report: &wire::BondReport) -> Option<BondReport> {
    let name = read_required(form, &format!("{path}.name"), &report.name, Code::NameInvalid);
    let configured = match &report.configured {
        None => None,
        Some(bond) => {
            let spec = read_configured_bond(form, &format!("{path}.configured"), bond);
            let origin = match form.known(&format!("{path}.origin"), report.origin) {
                Some(wire::Origin::Engine) => Some(Origin::Engine),
                Some(wire::Origin::Local) => Some(Origin::Local),
                Some(wire::Origin::Unspecified) => unsaid(form, format!("{path}.origin")),
                None => None,
            };
            let mac = read_text(form, &format!("{path}.kept_mac"), &report.kept_mac, Code::BadAddress);
            Some(BondEntry { spec: spec?, origin: origin?, mac })
        }
    };
    let observed = match &report.observed {
        Some(state) => Some(read_state(form, &format!("{path}.observed"), state)?),
        None => None,
    };
    let repairs = keeping::read_all(&report.repairs);
    Some(BondReport { name: name?, configured, observed, drift: report.drift.clone(), repairs })
}

fn read_state(form: &mut Form, path: &str, state: &wire::BondState) -> Option<BondState> {
    let mode = read_mode(form, path, state.mode);
    let given = state.options.clone().unwrap_or_default();
    let options = mode.map(|mode| read_bond_options(form, &format!("{path}.options"), mode, &given));
    let lacp = match &state.lacp {
        Some(lacp) => Some(read_lacp(form, &format!("{path}.lacp"), lacp)?),
        None => None,
    };
    Some(BondState {
        mac: read_text(form, &format!("{path}.mac"), &state.mac, Code::BadAddress),
        mtu: form.mtu(&format!("{path}.mtu"), Some(state.mtu)),
        up: state.up,
        carrier: state.carrier,
        master: read_text(form, &format!("{path}.master"), &state.master, Code::NameInvalid),
        addresses: read_all(form, &format!("{path}.addresses"), &state.addresses, read_address),
        ports: read_all(form, &format!("{path}.ports"), &state.ports, read_port),
        egress: read_egress(form, &format!("{path}.egress"), state.egress.as_ref()),
        bond: Bond {
            active_port: read_text(form, &format!("{path}.active_port"), &state.active_port, Code::NameInvalid),
            options: options?,
            lacp,
        },
    })
}

fn read_lacp(form: &mut Form, path: &str, lacp: &wire::LacpReport) -> Option<Lacp> {
    let mut number = |name: &str, number| read_number(form, &format!("{path}.{name}"), number, Code::BondOptionInvalid);
    let aggregator = number("aggregator_id", lacp.aggregator_id);
    let ports = number("ports", lacp.ports);
    let actor_key = number("actor_key", lacp.actor_key);
    let partner_key = number("partner_key", lacp.partner_key);
    let partner_mac: Option<MacAddr> =
        read_required(form, &format!("{path}.partner_mac"), &lacp.partner_mac, Code::BadAddress);
    Some(Lacp {
        aggregator: aggregator?,
        ports: ports?,
        actor_key: actor_key?,
        partner_key: partner_key?,
        partner_mac: partner_mac?,
    })
}

fn read_port(form: &mut Form, path: &str, report: &wire::BondPortReport) -> Option<BondPortReport> {
    let device = read_required(form, &format!("{path}.device"), &report.device, Code::NameInvalid);
    let link = match form.known(&format!("{path}.link"), report.link) {
        Some(wire::BondPortLink::Up) => Some(BondPortLink::Up),
        Some(wire::BondPortLink::Failing) => Some(BondPortLink::Failing),
        Some(wire::BondPortLink::Down) => Some(BondPortLink::Down),
        Some(wire::BondPortLink::Returning) => Some(BondPortLink::Returning),
        Some(wire::BondPortLink::Unspecified) => unsaid(form, format!("{path}.link")),
        None => None,
    };
    let aggregator = match report.aggregator_id {
        Some(id) => Some(read_number(form, &format!("{path}.aggregator_id"), id, Code::BondOptionInvalid)?),
        None => None,
    };
    let permanent_mac = read_text(form, &format!("{path}.permanent_mac"), &report.permanent_mac, Code::BadAddress);
    let port = BondPort {
        active: report.active,
        link: link?,
        failures: report.failures,
        permanent_mac,
        aggregator,
        actor_state: report.actor_state,
        partner_state: report.partner_state,
    };
    Some(BondPortReport { device: device?, port })
}
