//! Guests that would lose their bridge.

use trestle_model::{Code, Finding, HostConfig, HostState, NetworkName};

use super::sub;
use crate::composition::devices;
use crate::ownership;

/// Refuses to take away a bridge that others have ports in, by removal or by giving the network another one.
pub(super) fn guests(
    name: &NetworkName,
    field: &str,
    running: &HostConfig,
    desired: &HostConfig,
    observed: &HostState,
    findings: &mut Vec<Finding>,
) {
    let Some(spec) = running.networks.get(name).map(|entry| &entry.spec) else { return };
    let Some(bridge) = spec.bridge().filter(|bridge| !devices(desired).contains(&bridge.name)) else { return };
    let uplink = spec.uplink();
    let ports = observed.kernel.links.values().filter(|link| link.master.as_ref() == Some(&bridge.name));
    let others: Vec<String> = ports
        .filter(|port| Some(&port.name) != uplink.as_ref() && !ownership::is_ours(port))
        .map(|port| {
            let guests = observed.libvirt.iter().flat_map(|libvirt| &libvirt.guests);
            let guest = guests.into_iter().find(|guest| guest.tap.as_ref() == Some(&port.name));
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
