//! A wish to give a host what another has.

use std::collections::BTreeMap;

use trestle_model::{Code, Finding, Findings, HostName, IfName, Ipv4Config, Ipv6Config, NetworkName};

use super::parse_name_of;
use crate::engine::v1 as wire;
use crate::form::Form;
use crate::host_wire::{read_ipv4, read_ipv6};

/// The most devices that are mapped, and the most networks that are given addresses.
const MOST: usize = 1000;

/// A wish to give a host what another has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyWish {
    /// The host to copy.
    pub source: HostName,
    /// The host that gets it.
    pub target: HostName,
    /// The target's device for one of the source.
    pub devices: BTreeMap<IfName, IfName>,
    /// The target's addresses by network, and where they stand in the request.
    pub addresses: BTreeMap<NetworkName, (Ipv4Config, Ipv6Config)>,
    /// Whether what the source does not have goes.
    pub others: Others,
}

/// What becomes of what the target has and the source does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// It stays.
    Keep,
    /// It goes.
    Remove,
}

/// Reads a wish.
///
/// *Errors*: every violation, with its field.
pub fn parse_copy(wish: &wire::CopyHostNetworksRequest) -> Result<CopyWish, Findings> {
    let mut form = Form::default();
    let source = read_host(&mut form, "source", &wish.source);
    let target = read_host(&mut form, "target", &wish.target);
    if source.is_some() && source == target {
        let finding = Finding::error(Code::FieldConflict, "target", "a host is no copy of itself");
        form.note(finding.remedy("name two hosts"));
    }
    let mut devices = BTreeMap::new();
    too_many(&mut form, "devices", wish.devices.len());
    for (from, to) in wish.devices.iter().take(MOST) {
        let from = form.name("devices", from, Code::NameInvalid, IfName::parse);
        let to = form.name("devices", to, Code::NameInvalid, IfName::parse);
        devices.extend(from.zip(to));
    }
    let mut addresses = BTreeMap::new();
    too_many(&mut form, "addresses", wish.addresses.len());
    for (position, given) in wish.addresses.iter().take(MOST).enumerate() {
        let path = format!("addresses[{position}]");
        let ipv4 = read_ipv4(&mut form, &format!("{path}.ipv4"), given.ipv4.as_ref());
        let ipv6 = read_ipv6(&mut form, &format!("{path}.ipv6"), given.ipv6.as_ref());
        match parse_name_of::<wire::Network>(&given.network, &format!("{path}.network")) {
            Ok(network) => {
                if addresses.insert(network, (ipv4, ipv6)).is_some() {
                    let finding = Finding::error(Code::Duplicate, format!("{path}.network"), "it is named twice");
                    form.note(finding.remedy("name each network once"));
                }
            }
            Err(findings) => form.note_all(findings),
        }
    }
    let others = if wish.remove_others { Others::Remove } else { Others::Keep };
    let read = source.zip(target);
    form.finish(read.map(|(source, target)| CopyWish { source, target, devices, addresses, others }))
}

fn read_host(form: &mut Form, field: &str, name: &str) -> Option<HostName> {
    if name.is_empty() {
        form.missing(field, "name a host");
        return None;
    }
    parse_name_of::<wire::Host>(name, field).map_err(|findings| form.note_all(findings)).ok()
}

fn too_many(form: &mut Form, field: &str, count: usize) {
    if count > MOST {
        let finding = Finding::error(Code::TooLong, field, format!("{count} are more than {MOST}"));
        form.note(finding.remedy("leave some out"));
    }
}
