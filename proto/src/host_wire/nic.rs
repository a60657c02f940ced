//! Settings of NICs.

use std::collections::BTreeMap;

use trestle_model::{
    Code, FeatureName, FeatureState, Finding, FunctionLink, FunctionSettings, FunctionTag, FunctionVlan, IfName,
    NicSpec, NicState, Offload, RingSizes, Rings, VirtualFunction, VirtualFunctions,
};

use crate::form::{Form, quoted};
use crate::host::v1 as wire;

/// Reads a NIC's settings, and notes every violation.
pub(super) fn read_nic_spec(form: &mut Form, path: &str, nic: &wire::Nic) -> Option<NicSpec> {
    let name = form.name(&format!("{path}.name"), &nic.name, Code::NameInvalid, IfName::parse);
    let rings = nic.rings.unwrap_or_default();
    let given = nic.offloads.clone().unwrap_or_default();
    let mut offloads: BTreeMap<Offload, bool> = Offload::KNOWN
        .into_iter()
        .filter_map(|offload| {
            let on = switch(&given, &offload)?;
            Some((offload, on))
        })
        .collect();
    for (text, on) in &given.features {
        let path = format!("{path}.offloads.features");
        match FeatureName::parse(text) {
            Ok(feature) => drop(offloads.insert(Offload::Feature(feature), *on)),
            Err(bad) => {
                let finding = Finding::error(Code::NameInvalid, path, format!("{}: {bad}", quoted(text)));
                form.note(finding.remedy("give a name that ethtool -k lists"));
            }
        }
    }
    Some(NicSpec { name: name?, rings: RingSizes { rx: rings.rx, tx: rings.tx }, vfs: nic.sriov_vfs, offloads })
}

/// Reads the name of a NIC whose settings are to go.
pub(super) fn read_nic_removal(form: &mut Form, path: &str, nic: &wire::Nic) -> Option<IfName> {
    let bare = wire::Nic { name: nic.name.clone(), remove: true, ..wire::Nic::default() };
    if *nic != bare {
        let message = "a removal carries attributes beside the name";
        let finding = Finding::error(Code::RemoveWithAttributes, format!("{path}.remove"), message);
        form.note(finding.remedy("give only name and remove, or leave remove out"));
    }
    form.name(&format!("{path}.name"), &nic.name, Code::NameInvalid, IfName::parse)
}

/// Builds the wire's form of a NIC's settings.
pub(super) fn build_nic_spec(spec: &NicSpec) -> wire::Nic {
    let mut offloads = wire::NicOffloads::default();
    for (offload, on) in &spec.offloads {
        match place(&mut offloads, offload) {
            Place::Field(field) => *field = Some(*on),
            Place::Feature(name) => drop(offloads.features.insert(name, *on)),
        }
    }
    let RingSizes { rx, tx } = spec.rings;
    wire::Nic {
        name: spec.name.to_string(),
        remove: false,
        rings: (spec.rings != RingSizes::default()).then_some(wire::NicRings { rx, tx }),
        offloads: (!spec.offloads.is_empty()).then_some(offloads),
        sriov_vfs: spec.vfs,
    }
}

/// Reads what is set on a NIC.
pub(super) fn read_settings(form: &mut Form, path: &str, report: Option<&wire::NicSettings>) -> NicState {
    let Some(report) = report else { return NicState::default() };
    let rings =
        report.rings.map(|rings| Rings { rx: rings.rx, rx_max: rings.rx_max, tx: rings.tx, tx_max: rings.tx_max });
    let mut features = BTreeMap::new();
    for (position, feature) in report.features.iter().enumerate() {
        let state = FeatureState { requested: feature.requested, active: feature.active };
        match FeatureName::parse(&feature.name) {
            Ok(name) => drop(features.insert(name, state)),
            Err(bad) => {
                let path = format!("{path}.features[{position}].name");
                form.note(Finding::error(Code::NameInvalid, path, format!("{}: {bad}", quoted(&feature.name))));
            }
        }
    }
    let vfs = report.sriov.as_ref().map(|sriov| VirtualFunctions {
        most: sriov.vfs_max,
        functions: sriov
            .vfs
            .iter()
            .enumerate()
            .map(|(position, function)| read_function(form, &format!("{path}.sriov.vfs[{position}]"), function))
            .collect(),
    });
    NicState { rings, features, vfs }
}

fn read_function(form: &mut Form, path: &str, function: &wire::VirtualFunctionReport) -> VirtualFunction {
    let told = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let device = told(&function.device)
        .and_then(|name| form.name(&format!("{path}.device"), &name, Code::NameInvalid, IfName::parse));
    let (bus_address, driver) = (told(&function.bus_address), told(&function.driver));
    let set = function.set.as_ref().map(|set| read_function_settings(form, &format!("{path}.set"), set));
    VirtualFunction { bus_address, driver, device, uppers: function.upper_devices.clone(), set }
}

fn read_function_settings(form: &mut Form, path: &str, set: &wire::VirtualFunctionSettings) -> FunctionSettings {
    let mac = Some(&set.mac).filter(|mac| !mac.is_empty()).and_then(|mac| form.mac(&format!("{path}.mac"), mac));
    let vlan = set.vlan.and_then(|vlan| {
        let id = form.vlan(&format!("{path}.vlan.id"), Some(vlan.id))?;
        let tag = if vlan.service_tag { FunctionTag::Service } else { FunctionTag::Customer };
        Some(FunctionVlan { id, priority: vlan.priority, tag })
    });
    let link = match form.known(&format!("{path}.link"), set.link) {
        Some(wire::VirtualFunctionLink::Enabled) => FunctionLink::Enabled,
        Some(wire::VirtualFunctionLink::Disabled) => FunctionLink::Disabled,
        Some(wire::VirtualFunctionLink::Auto | wire::VirtualFunctionLink::Unspecified) | None => FunctionLink::Auto,
    };
    FunctionSettings { mac, vlan, link, spoof_check: set.spoof_check, trusted: set.trusted }
}

fn build_function_settings(set: &FunctionSettings) -> wire::VirtualFunctionSettings {
    let link = match set.link {
        FunctionLink::Auto => wire::VirtualFunctionLink::Auto,
        FunctionLink::Enabled => wire::VirtualFunctionLink::Enabled,
        FunctionLink::Disabled => wire::VirtualFunctionLink::Disabled,
    };
    wire::VirtualFunctionSettings {
        mac: set.mac.map(|mac| mac.to_string()).unwrap_or_default(),
        vlan: set.vlan.map(|vlan| wire::VirtualFunctionVlan {
            id: vlan.id.get().into(),
            priority: vlan.priority,
            service_tag: vlan.tag == FunctionTag::Service,
        }),
        link: link.into(),
        spoof_check: set.spoof_check,
        trusted: set.trusted,
    }
}

fn build_function(function: &VirtualFunction) -> wire::VirtualFunctionReport {
    wire::VirtualFunctionReport {
        bus_address: function.bus_address.clone().unwrap_or_default(),
        driver: function.driver.clone().unwrap_or_default(),
        device: function.device.as_ref().map(ToString::to_string).unwrap_or_default(),
        upper_devices: function.uppers.clone(),
        set: function.set.as_ref().map(build_function_settings),
    }
}

/// Builds the wire's form of what is set on a NIC.
pub(super) fn build_settings(state: &NicState) -> Option<wire::NicSettings> {
    let rings = state.rings.map(|rings| wire::NicRingsReport {
        rx: rings.rx,
        rx_max: rings.rx_max,
        tx: rings.tx,
        tx_max: rings.tx_max,
    });
    let feature = |(name, state): (&FeatureName, &FeatureState)| wire::NicFeatureReport {
        name: name.to_string(),
        requested: state.requested,
        active: state.active,
    };
    let sriov = state
        .vfs
        .as_ref()
        .map(|vfs| wire::NicSriovReport { vfs_max: vfs.most, vfs: vfs.functions.iter().map(build_function).collect() });
    let report = wire::NicSettings { rings, features: state.features.iter().map(feature).collect(), sriov };
    (*state != NicState::default()).then_some(report)
}

/// Where the wire has an offload.
enum Place<'a> {
    Field(&'a mut Option<bool>),
    Feature(String),
}

fn place<'a>(offloads: &'a mut wire::NicOffloads, offload: &Offload) -> Place<'a> {
    Place::Field(match offload {
        Offload::RxChecksum => &mut offloads.rx_checksum,
        Offload::TxChecksum => &mut offloads.tx_checksum,
        Offload::ScatterGather => &mut offloads.scatter_gather,
        Offload::TcpSegmentation => &mut offloads.tcp_segmentation,
        Offload::GenericSegmentation => &mut offloads.generic_segmentation,
        Offload::GenericReceive => &mut offloads.generic_receive,
        Offload::LargeReceive => &mut offloads.large_receive,
        Offload::RxVlan => &mut offloads.rx_vlan,
        Offload::TxVlan => &mut offloads.tx_vlan,
        Offload::RxHash => &mut offloads.rx_hash,
        Offload::Ntuple => &mut offloads.ntuple,
        Offload::Feature(name) => return Place::Feature(name.to_string()),
    })
}

fn switch(offloads: &wire::NicOffloads, offload: &Offload) -> Option<bool> {
    let mut offloads = wire::NicOffloads { features: Default::default(), ..*offloads };
    match place(&mut offloads, offload) {
        Place::Field(field) => *field,
        Place::Feature(_) => None,
    }
}
