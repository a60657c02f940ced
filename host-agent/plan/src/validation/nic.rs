//! What is asked to be set on NICs: whether it is there, and what its driver takes.

use std::collections::BTreeSet;

use trestle_model::{Code, Finding, HostState, IfName, Link, NicChange, NicSpec, NicState, Offload};

use super::Rivals;
use super::functions;
use super::sub;
use crate::composition::is_hardware;

/// Judges the request's NICs.
pub(super) fn nics(rivals: &Rivals<'_>, findings: &mut Vec<Finding>) {
    let mut named = BTreeSet::new();
    let (state, configs) = (rivals.census.state, [rivals.running, rivals.desired]);
    for (position, change) in rivals.request.nics.iter().enumerate() {
        let field = format!("nics[{position}]");
        if !named.insert(change.nic()) {
            let finding = Finding::error(Code::Duplicate, sub(&field, "name"), "the NIC is named twice in the request");
            findings.push(finding.about(change.nic()).remedy("describe each NIC once"));
        }
        // What is not named returns to what it was.
        let before = rivals.running.nics.get(change.nic()).and_then(|entry| entry.before.vfs);
        match change {
            NicChange::Set(spec) => {
                set(spec, &field, rivals, findings);
                let used =
                    spec.vfs.or(before).and_then(|count| functions::obstacle(&spec.name, count, &configs, state));
                findings.extend(used.map(|finding| Finding { field: sub(&field, "sriov_vfs"), ..finding }));
            }
            NicChange::Remove(name) => {
                let used = before.and_then(|count| functions::obstacle(name, count, &configs, state));
                findings.extend(used.map(|finding| Finding { field: sub(&field, "remove"), ..finding }));
                if !rivals.running.nics.contains_key(name) {
                    let message = "nothing is set on the NIC by Trestle";
                    let finding = Finding::error(Code::NicNotFound, sub(&field, "name"), message);
                    findings.push(finding.about(name).remedy("leave it out of the request"));
                }
            }
        }
    }
}

/// Returns the finding about a NIC that the host does not have.
pub(crate) fn missing(name: &IfName, state: &HostState) -> Option<Finding> {
    if nic(name, state).is_some() {
        return None;
    }
    let nics = state.kernel.links.values().filter(|link| is_hardware(&link.kind)).map(|link| link.name.to_string());
    let finding = Finding::error(Code::NicNotFound, "", format!("the host has no NIC {name}"));
    Some(finding.about(name).related(nics).remedy("name a NIC of the host"))
}

fn nic<'a>(name: &IfName, state: &'a HostState) -> Option<&'a Link> {
    state.kernel.links.get(name).filter(|link| is_hardware(&link.kind))
}

fn set(spec: &NicSpec, field: &str, rivals: &Rivals<'_>, findings: &mut Vec<Finding>) {
    let state = rivals.census.state;
    let Some(link) = nic(&spec.name, state) else {
        findings.extend(missing(&spec.name, state).map(|finding| Finding { field: sub(field, "name"), ..finding }));
        return;
    };
    let sizes = [
        ("rings.rx", spec.rings.rx, link.settings.rings.map(|rings| rings.rx_max)),
        ("rings.tx", spec.rings.tx, link.settings.rings.map(|rings| rings.tx_max)),
    ];
    for (name, asked, most) in sizes {
        let Some(asked) = asked else { continue };
        let (message, remedy) = match most {
            None => ("the NIC's driver has no rings that can be set".to_owned(), "leave it out".to_owned()),
            Some(most) if asked == 0 || asked > most => {
                (format!("{asked} is out of range 1..{most}"), format!("give 1 to {most}, or leave it out"))
            }
            Some(_) => continue,
        };
        let finding = Finding::error(Code::NicOptionUnsupported, sub(field, name), message);
        findings.push(finding.about(&spec.name).remedy(remedy));
    }
    let most = link.settings.vfs.as_ref().map(|vfs| vfs.most);
    let impossible = match (spec.vfs, most) {
        (Some(_), None) => Some(("it is no physical function of SR-IOV".to_owned(), "leave it out".to_owned())),
        (Some(asked), Some(most)) if asked > most => {
            Some((format!("{asked} is out of range 0..{most}"), format!("give 0 to {most}, or leave it out")))
        }
        (Some(_), Some(_)) | (None, _) => None,
    };
    if let Some((message, remedy)) = impossible {
        let finding = Finding::error(Code::NicOptionUnsupported, sub(field, "sriov_vfs"), message);
        findings.push(finding.about(&spec.name).remedy(remedy));
    }
    for offload in spec.offloads.keys() {
        if offload.features(&link.settings).next().is_none() {
            let message = format!("the NIC cannot switch {offload}");
            let finding = Finding::error(Code::NicOptionUnsupported, sub(field, &place(offload)), message);
            let finding = finding.about(&spec.name).related(switchable(&link.settings));
            findings.push(finding.remedy("leave it out, or name a feature that the NIC can switch"));
        }
    }
}

fn switchable(state: &NicState) -> impl Iterator<Item = String> {
    state.features.keys().map(ToString::to_string)
}

fn place(offload: &Offload) -> String {
    match offload {
        Offload::RxChecksum => "offloads.rx_checksum".to_owned(),
        Offload::TxChecksum => "offloads.tx_checksum".to_owned(),
        Offload::ScatterGather => "offloads.scatter_gather".to_owned(),
        Offload::TcpSegmentation => "offloads.tcp_segmentation".to_owned(),
        Offload::GenericSegmentation => "offloads.generic_segmentation".to_owned(),
        Offload::GenericReceive => "offloads.generic_receive".to_owned(),
        Offload::LargeReceive => "offloads.large_receive".to_owned(),
        Offload::RxVlan => "offloads.rx_vlan".to_owned(),
        Offload::TxVlan => "offloads.tx_vlan".to_owned(),
        Offload::RxHash => "offloads.rx_hash".to_owned(),
        Offload::Ntuple => "offloads.ntuple".to_owned(),
        Offload::Feature(name) => format!("offloads.features[{name}]"),
    }
}
