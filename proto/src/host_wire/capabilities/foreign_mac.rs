//! MACs that guests send from and were not given.

use trestle_model::{Code, ForeignMac};

use super::dhcp::read_time;
use super::parse::{read_number, read_required};
use crate::engine_wire::timestamp;
use crate::form::Form;
use crate::host::v1 as wire;

pub(super) fn build(seen: &ForeignMac) -> wire::ForeignMac {
    wire::ForeignMac {
        port: seen.port.to_string(),
        guest: seen.guest.clone(),
        mac: seen.mac.to_string(),
        vlan_id: seen.vlan.map(u32::from),
        first_seen_time: Some(timestamp(seen.first_seen_ms)),
        gone_time: seen.gone_ms.map(timestamp),
    }
}

pub(super) fn read(form: &mut Form, path: &str, seen: &wire::ForeignMac) -> Option<ForeignMac> {
    let port = read_required(form, &format!("{path}.port"), &seen.port, Code::NameInvalid);
    let mac = read_required(form, &format!("{path}.mac"), &seen.mac, Code::MacInvalid);
    let vlan = match seen.vlan_id {
        Some(id) => Some(read_number(form, &format!("{path}.vlan_id"), id, Code::VlanOutOfRange)?),
        None => None,
    };
    let first = seen.first_seen_time.unwrap_or_default();
    let first_seen_ms = read_time(form, &format!("{path}.first_seen_time"), &first);
    let gone_ms = match &seen.gone_time {
        Some(time) => Some(read_time(form, &format!("{path}.gone_time"), time)?),
        None => None,
    };
    Some(ForeignMac { port: port?, guest: seen.guest.clone(), mac: mac?, vlan, first_seen_ms: first_seen_ms?, gone_ms })
}
