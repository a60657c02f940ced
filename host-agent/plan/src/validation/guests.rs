//! Guests that would lose their bridge.

use trestle_model::{Code, Finding, NetworkName};

use super::{Rivals, sub};
use crate::ownership;

/// Refuses to take away a bridge that others have ports in, by removal or by giving the network another one.
pub(super) fn guests(name: &NetworkName, field: &str, rivals: &Rivals<'_>, findings: &mut Vec<Finding>) {
    let Some(spec) = rivals.running.networks.get(name).map(|entry| &entry.spec) else { return };
    let Some(bridge) = spec.bridge().filter(|bridge| !rivals.devices.contains(&bridge.name)) else { return };
    let uplink = spec.uplink();
    let ports = rivals.census.ports(&bridge.name);
    let others: Vec<String> = ports
        .iter()
        .filter(|port| Some(&port.name) != uplink.as_ref() && !ownership::is_ours(port))
        .map(|port| {
            let guest = rivals.census.guest(&port.name);
            guest.map_or_else(|| port.name.to_string(), |guest| guest.domain.clone())
        })
        .collect();
    if others.is_empty() {
        return;
    }
    let message = format!("bridge {} would go while {} use it", bridge.name, others.join(", "));
    let finding = Finding::error(Code::GuestsAttached, sub(field, "name"), message).about(name).related(others);
    findings.push(finding.remedy("stop the guests, or move their interfaces elsewhere, first"));
}
