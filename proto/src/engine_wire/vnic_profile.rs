//! vNIC profiles.

use std::collections::BTreeSet;

use trestle_model::fleet::{GuestTagging, Meta, NetworkFilter, Passthrough, ProfileId, VnicAttachment, VnicProfile};
use trestle_model::{BadName, Code, Finding, VlanId};

use super::Resource;
use super::resource::shape;
use super::vnic::{build_profile, read_filter_parameters, read_profile};
use crate::engine::v1 as wire;
use crate::engine::v1::network_filter::Choice;
use crate::form::Form;
use crate::host_wire::{build_bandwidth, build_parameters, read_bandwidth, read_custom};

const PARAMETERS: &str = "vnic_profile.spec.filter_parameters";

impl Resource for wire::VnicProfile {
    shape!(
        VnicProfile,
        "vnic_profile",
        "networks/{network}/vnicProfiles/{profile}",
        ProfileId,
        (network, profile) => (network, profile),
        build_spec
    );

    fn parts(profile: &VnicProfile) -> (ProfileId, &Meta) {
        ((profile.network.clone(), profile.id.clone()), &profile.meta)
    }

    fn read(&self, form: &mut Form, (network, id): ProfileId, meta: Meta) -> Option<VnicProfile> {
        let spec = self.spec.clone().unwrap_or_default();
        let filter = read_filter(form, spec.network_filter);
        let filter_parameters = read_filter_parameters(form, PARAMETERS, &spec.filter_parameters);
        if filter == Some(NetworkFilter::None) && !spec.filter_parameters.is_empty() {
            let finding = Finding::error(Code::FieldConflict, PARAMETERS, "parameters are given for no filter");
            form.note(finding.remedy("name a filter, or leave its parameters out"));
        }
        let guest_tagging = read_tagging(form, &spec.guest_tagging.unwrap_or_default());
        Some(VnicProfile {
            id,
            network,
            meta,
            description: spec.description,
            filter: filter?,
            filter_parameters,
            bandwidth: read_bandwidth(form, "vnic_profile.spec.bandwidth", spec.bandwidth.as_ref()),
            guest_tagging: guest_tagging?,
            extra_macs_allowed: read_limit(form, spec.extra_macs_allowed),
            attachment: read_attachment(form, spec.passthrough),
            port_mirroring: spec.port_mirroring,
            virtual_macs: spec.virtual_macs,
            custom: read_custom(form, "vnic_profile.spec.custom", spec.custom.iter()),
        })
    }
}

/// Reads the filter; absent, without a choice, and `none: false`, which says nothing, are the default.
fn read_filter(form: &mut Form, filter: Option<wire::NetworkFilter>) -> Option<NetworkFilter> {
    match filter.and_then(|filter| filter.choice) {
        None | Some(Choice::None(false)) => Some(NetworkFilter::Default),
        Some(Choice::None(true)) => Some(NetworkFilter::None),
        Some(Choice::Named(name)) => form
            .name("vnic_profile.spec.network_filter.named", &name, Code::NameInvalid, check_filter_name)
            .map(|()| NetworkFilter::Named(name)),
    }
}

/// Checks a filter's name: 1 to 256 characters that print, without a slash.
fn check_filter_name(name: &str) -> Result<(), BadName> {
    const LIMIT: usize = 256;
    let length = name.chars().count();
    match name.chars().find(|c| c.is_control() || *c == '/') {
        Some(bad) => Err(BadName::Character(bad)),
        None if length > LIMIT => Err(BadName::TooLong { length, limit: LIMIT }),
        None => Ok(()),
    }
}

/// Reads how many extra MACs a vNIC may list: 0 to 1000.
fn read_limit(form: &mut Form, limit: u32) -> u32 {
    const MOST: u32 = 1000;
    if limit > MOST {
        let message = format!("{limit} extra MACs are allowed, at most {MOST} can be");
        let finding = Finding::error(Code::TooLong, "vnic_profile.spec.extra_macs_allowed", message);
        form.note(finding.remedy("lower the limit"));
    }
    limit
}

fn read_attachment(form: &mut Form, passthrough: Option<wire::Passthrough>) -> VnicAttachment {
    let Some(passthrough) = passthrough else { return VnicAttachment::Bridge };
    let failover = read_profile(form, "vnic_profile.spec.passthrough.failover", &passthrough.failover);
    VnicAttachment::Passthrough(Passthrough { migratable: passthrough.migratable, failover })
}

fn read_tagging(form: &mut Form, tagging: &wire::GuestTagging) -> Option<GuestTagging> {
    const VLANS: &str = "vnic_profile.spec.guest_tagging.vlan_ids";
    let mode = form.known("vnic_profile.spec.guest_tagging.mode", tagging.mode);
    let vlans = read_vlans(form, VLANS, &tagging.vlan_ids);
    let read = match mode? {
        wire::TaggingMode::List if tagging.vlan_ids.is_empty() => {
            form.missing(VLANS, "list the VLANs, or choose another mode");
            return None;
        }
        wire::TaggingMode::List => return Some(GuestTagging::List(vlans)),
        wire::TaggingMode::Unspecified | wire::TaggingMode::None => GuestTagging::None,
        wire::TaggingMode::Any => GuestTagging::Any,
        wire::TaggingMode::Unknown => GuestTagging::Unspecified,
    };
    if !tagging.vlan_ids.is_empty() {
        let finding = Finding::error(Code::FieldConflict, VLANS, "VLANs are listed for a mode that takes no list");
        form.note(finding.remedy("choose TAGGING_MODE_LIST, or leave vlan_ids out"));
    }
    Some(read)
}

fn read_vlans(form: &mut Form, path: &str, ids: &[u32]) -> Vec<VlanId> {
    let mut seen = BTreeSet::new();
    let mut vlans = Vec::new();
    for (position, id) in ids.iter().enumerate() {
        let path = format!("{path}[{position}]");
        let Some(vlan) = form.vlan(&path, Some(*id)) else { continue };
        if !seen.insert(vlan) {
            let finding = Finding::error(Code::Duplicate, path, format!("VLAN {vlan} is listed twice"));
            form.note(finding.remedy("list each VLAN once"));
        }
        vlans.push(vlan);
    }
    vlans
}

fn build_spec(profile: &VnicProfile) -> wire::VnicProfileSpec {
    let choice = match &profile.filter {
        NetworkFilter::Default => None,
        NetworkFilter::None => Some(Choice::None(true)),
        NetworkFilter::Named(name) => Some(Choice::Named(name.clone())),
    };
    let (mode, vlan_ids) = match &profile.guest_tagging {
        GuestTagging::None => (wire::TaggingMode::None, Vec::new()),
        GuestTagging::List(vlans) => (wire::TaggingMode::List, vlans.iter().map(|vlan| u32::from(*vlan)).collect()),
        GuestTagging::Any => (wire::TaggingMode::Any, Vec::new()),
        GuestTagging::Unspecified => (wire::TaggingMode::Unknown, Vec::new()),
    };
    let passthrough = match &profile.attachment {
        VnicAttachment::Bridge => None,
        VnicAttachment::Passthrough(passthrough) => Some(wire::Passthrough {
            migratable: passthrough.migratable,
            failover: build_profile(passthrough.failover.as_ref()),
        }),
    };
    wire::VnicProfileSpec {
        description: profile.description.clone(),
        network_filter: choice.map(|choice| wire::NetworkFilter { choice: Some(choice) }),
        guest_tagging: Some(wire::GuestTagging { mode: mode.into(), vlan_ids }),
        extra_macs_allowed: profile.extra_macs_allowed,
        passthrough,
        port_mirroring: profile.port_mirroring,
        virtual_macs: profile.virtual_macs,
        custom: profile.custom.clone(),
        filter_parameters: build_parameters(&profile.filter_parameters),
        bandwidth: build_bandwidth(&profile.bandwidth),
    }
}
