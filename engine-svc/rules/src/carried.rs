//! How a network is on a host that is to carry it, by the host's last report.

use trestle_model::fleet::{EntityId, Fleet, Network};
use trestle_model::{
    Capabilities, Code, Finding, HostName, IfName, MacTableManager, NetworkReport, NetworkSpec, Presence, RepairState,
};

use crate::spot::{Spot, enumerate};

/// What of a network that is otherwise as it was told counts as being out of sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strictness {
    /// What stays: what its host does not bring back, or gave up bringing back.
    Lasting,
    /// Of a managed network whatever differs, also what its host is about to bring back.
    Everything,
}

/// Finds what is wrong with a network that `host` is to carry; about the host, without a field.
///
/// *Shape*: in the order of the causes. Empty for a host that never reported, of which nothing is known.
pub(crate) fn faults(fleet: &Fleet, host: &HostName, network: &Network, strictness: Strictness) -> Vec<Finding> {
    let spot = Spot::new(EntityId::Host(host.clone()));
    let Some(wanted) = fleet.desired_network(host, &network.id) else { return vec![not_on_host(network, &spot)] };
    let Some(reported) = fleet.observed(host).and_then(|record| record.capabilities.as_ref()) else {
        return Vec::new();
    };
    let report = reported.networks.iter().find(|report| report.configured.spec.name == network.id);
    let Some(report) = report else { return vec![out_of_sync(network, "it is not there yet", &spot)] };
    let mut findings = Vec::new();
    if let Some(what) = difference(wanted, network, report, strictness) {
        findings.push(out_of_sync(network, &what, &spot));
    }
    findings.extend(uplink_down(network, report, reported, &spot));
    findings
}

fn not_on_host(network: &Network, spot: &Spot) -> Finding {
    let message = format!("the host is not told to carry network {}", network.id);
    let finding = spot.error(Code::NetworkNotOnHost, "", message).related([name_of(network)]);
    finding.remedy("attach the network to the host")
}

fn out_of_sync(network: &Network, what: &str, spot: &Spot) -> Finding {
    let message = format!("network {} is not as wanted: {what}", network.id);
    let finding = spot.error(Code::NetworkOutOfSync, "", message).related([name_of(network)]);
    finding.remedy("see the host's status; a change that failed is tried again")
}

/// Says how the host runs the network otherwise than it is told; `None` where it runs it so.
fn difference(
    wanted: NetworkSpec,
    network: &Network,
    report: &NetworkReport,
    strictness: Strictness,
) -> Option<String> {
    let mut configured = report.configured.spec.clone();
    // What other guests may have beside one MAC comes and goes with them.
    configured.guest_ports.nics.clear();
    let table = report.mac_table.as_ref();
    let is_by_libvirt = table.is_some_and(|table| table.active && table.manager == Some(MacTableManager::Libvirt));
    let lasts = || {
        report.repairs.iter().find(|repair| lasts(repair.state)).map(|repair| format!("its {} stay so", repair.kind))
    };
    if configured != wanted {
        Some("the host was not brought to run it so yet".to_owned())
    } else if report.mtu.is_none() {
        Some("its device is missing".to_owned())
    } else if strictness == Strictness::Everything && network.is_managed() && !is_by_libvirt {
        Some("libvirt does not manage its MAC table".to_owned())
    } else if strictness == Strictness::Everything && network.is_managed() && !report.drift.is_empty() {
        Some(enumerate(&report.drift))
    } else if report.drift.is_empty() {
        None
    } else {
        lasts()
    }
}

/// Tells whether nobody is about to bring back what differs. What the agent is told to leave alone is as somebody wants it.
const fn lasts(state: RepairState) -> bool {
    match state {
        RepairState::Suspended | RepairState::Impossible => true,
        RepairState::Due | RepairState::LeftAlone => false,
    }
}

fn uplink_down(network: &Network, report: &NetworkReport, reported: &Capabilities, spot: &Spot) -> Option<Finding> {
    let device = report.configured.spec.southbound.as_ref()?.device();
    let what = uplink_fault(device, reported)?;
    let message = format!("{device}, on which network {} leaves the host, {what}", network.id);
    let finding = spot.error(Code::UplinkDown, "", message).related([name_of(network)]);
    Some(finding.remedy("look after the cable and the switch, or put the network on another NIC"))
}

fn uplink_fault(device: &IfName, reported: &Capabilities) -> Option<&'static str> {
    let nic = reported.nics.iter().find(|nic| nic.name == *device && nic.presence == Presence::Present);
    let bond = || reported.bonds.iter().find(|bond| bond.name == *device).and_then(|bond| bond.observed.as_ref());
    let links = nic.map(|nic| (nic.up, nic.carrier)).or_else(|| bond().map(|bond| (bond.up, bond.carrier)));
    match links {
        None => Some("is missing"),
        Some((false, _)) => Some("is down"),
        Some((true, false)) => Some("has no carrier"),
        Some((true, true)) => None,
    }
}

fn name_of(network: &Network) -> String {
    EntityId::Network(network.id.clone()).to_string()
}
