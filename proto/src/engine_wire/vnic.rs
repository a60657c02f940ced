//! Virtual NICs.

use std::collections::BTreeSet;

use trestle_model::fleet::{EntityId, Meta, ProfileId, Vnic, VnicId, VnicModel};
use trestle_model::{Code, Finding, MacAddr, OwnFilter};

use super::resource::shape;
use super::{Resource, parse_name_of};
use crate::engine::v1 as wire;
use crate::form::Form;
use crate::host::v1::FilterParameter;
use crate::host_wire::{build_parameters, read_parameters};

const MAC: &str = "vnic.spec.mac";
const EXTRA_MACS: &str = "vnic.spec.extra_macs";

impl Resource for wire::Vnic {
    shape!(
        Vnic,
        "vnic",
        "vms/{vm}/vnics/{vnic}",
        VnicId,
        (vm, vnic) => (vm, vnic),
        build_spec,
        status: build_status
    );

    fn parts(vnic: &Vnic) -> (VnicId, &Meta) {
        ((vnic.vm, vnic.id.clone()), &vnic.meta)
    }

    /// Reads what is asked for; the address of a pool is no client's to give.
    fn read(&self, form: &mut Form, (vm, id): VnicId, meta: Meta) -> Option<Vnic> {
        let spec = self.spec.clone().unwrap_or_default();
        let mac = if spec.mac.is_empty() { None } else { form.mac(MAC, &spec.mac) };
        let model = form.known("vnic.spec.model", spec.model).map(|model| match model {
            wire::VnicModel::Unspecified | wire::VnicModel::Virtio => VnicModel::Virtio,
            wire::VnicModel::E1000e => VnicModel::E1000e,
            wire::VnicModel::E1000 => VnicModel::E1000,
            wire::VnicModel::Rtl8139 => VnicModel::Rtl8139,
        });
        Some(Vnic {
            vm,
            id,
            meta,
            description: spec.description,
            mac,
            pooled_mac: None,
            profile: read_profile(form, "vnic.spec.profile", &spec.profile),
            model: model?,
            plugged: spec.plugged.unwrap_or(true),
            linked: spec.linked.unwrap_or(true),
            extra_macs: read_extra_macs(form, mac, &spec.extra_macs),
            filter_parameters: read_filter_parameters(form, "vnic.spec.filter_parameters", &spec.filter_parameters),
            bypasses_filter: spec.bypasses_filter,
            virtual_macs: spec.virtual_macs,
        })
    }
}

/// Reads a filter's parameters. The guest's MACs are libvirt's and the engine's to give: who gave others would let it spoof.
pub(super) fn read_filter_parameters(
    form: &mut Form,
    path: &str,
    parameters: &[FilterParameter],
) -> Vec<(String, String)> {
    for (position, parameter) in parameters.iter().enumerate() {
        let (message, remedy) = match parameter.name.as_str() {
            "MAC" => ("MAC is the interface's own", "leave it out: libvirt gives it"),
            OwnFilter::EXTRA_MAC => ("EXTRA_MAC is the vNIC's extra_macs", "list them there"),
            _ => continue,
        };
        form.note(Finding::error(Code::FieldConflict, format!("{path}[{position}].name"), message).remedy(remedy));
    }
    read_parameters(form, path, parameters)
}

/// Reads the name of a profile; an empty one is none.
pub(super) fn read_profile(form: &mut Form, path: &str, name: &str) -> Option<ProfileId> {
    if name.is_empty() {
        return None;
    }
    parse_name_of::<wire::VnicProfile>(name, path).map_err(|findings| form.note_all(findings)).ok()
}

/// Builds the name of a profile; empty for none.
pub(super) fn build_profile(profile: Option<&ProfileId>) -> String {
    let name = |(network, profile): &ProfileId| EntityId::VnicProfile(network.clone(), profile.clone()).to_string();
    profile.map(name).unwrap_or_default()
}

fn read_extra_macs(form: &mut Form, own: Option<MacAddr>, given: &[String]) -> Vec<MacAddr> {
    let mut seen = BTreeSet::from_iter(own);
    let mut macs = Vec::new();
    for (position, text) in given.iter().enumerate() {
        let path = format!("{EXTRA_MACS}[{position}]");
        let Some(mac) = form.mac(&path, text) else { continue };
        if !seen.insert(mac) {
            let finding = Finding::error(Code::Duplicate, path, format!("the vNIC has {mac} already"));
            form.note(finding.remedy("list each further MAC once, and not the vNIC's own"));
        }
        macs.push(mac);
    }
    macs
}

fn build_status(vnic: &Vnic) -> Option<wire::VnicStatus> {
    let mac = vnic.address().map(|mac| mac.to_string()).unwrap_or_default();
    Some(wire::VnicStatus { mac, ..Default::default() })
}

fn build_spec(vnic: &Vnic) -> wire::VnicSpec {
    let model = match vnic.model {
        VnicModel::Virtio => wire::VnicModel::Virtio,
        VnicModel::E1000e => wire::VnicModel::E1000e,
        VnicModel::E1000 => wire::VnicModel::E1000,
        VnicModel::Rtl8139 => wire::VnicModel::Rtl8139,
    };
    wire::VnicSpec {
        description: vnic.description.clone(),
        mac: vnic.mac.map(|mac| mac.to_string()).unwrap_or_default(),
        profile: build_profile(vnic.profile.as_ref()),
        model: model.into(),
        plugged: Some(vnic.plugged),
        linked: Some(vnic.linked),
        extra_macs: vnic.extra_macs.iter().map(MacAddr::to_string).collect(),
        bypasses_filter: vnic.bypasses_filter,
        virtual_macs: vnic.virtual_macs,
        filter_parameters: build_parameters(&vnic.filter_parameters),
    }
}
