//! How a network is on a host that is to carry it, by the host's last report.

use trestle_model::fleet::{EntityId, Fleet, Network, NetworkAttachment};
use trestle_model::{
    Capabilities, Code, Finding, HostName, IfName, MacTableManager, NetworkReport, NetworkSpec, Presence, RepairState,
};

use crate::spot::{Spot, enumerate};
use crate::state::{Contact, Standing};

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

/// Says that an attachment is edited while its network is out of sync on the host for good: the host was brought to run it as
/// wanted, something of it differs, and the agent has given up bringing that back. A warning: an edit may be what mends it.
///
/// *Shape*: `None` for an attachment that is new or stays as it is, and where the host is silent, in maintenance, or a command
/// for the network is under way: what differs is not known then.
pub fn edited_out_of_sync(
    attachment: &NetworkAttachment,
    fleet: &Fleet,
    standing: impl FnOnce(&HostName) -> Standing,
) -> Option<Finding> {
    let before = fleet.attachments().get(&(attachment.host.clone(), attachment.network.clone()))?;
    let is_same = NetworkAttachment { meta: before.meta.clone(), ..attachment.clone() } == *before;
    let host = fleet.hosts().get(&attachment.host).filter(|host| !host.maintenance)?;
    if is_same || before.by.is_label() {
        return None;
    }
    let Standing { contact, pending } = standing(&host.id);
    if contact == Contact::Silent || pending.contains(&attachment.network) {
        return None;
    }
    let reported = fleet.observed(&host.id)?.capabilities.as_ref()?;
    let report = reported.networks.iter().find(|report| report.configured.spec.name == attachment.network)?;
    let is_as_told = runs_as_told(&fleet.desired_network(&host.id, &attachment.network)?, report);
    let kind = report.repairs.iter().find(|repair| lasts(repair.state)).filter(|_| is_as_told)?.kind;
    let message =
        format!("the network is out of sync on the host, and its {kind} stay so: {}", enumerate(&report.drift));
    let spot = Spot::new(EntityId::NetworkAttachment(attachment.host.clone(), attachment.network.clone()));
    let finding = spot.warning(Code::NetworkOutOfSync, "network_attachment.spec", message);
    let finding = finding.related([EntityId::Host(host.id.clone()).to_string()]);
    Some(
        finding
            .remedy("bring back on the host what differs, or acknowledge it: the edit is then sent over what is there"),
    )
}

/// Tells whether a host was brought to run a network so. What other guests may have beside one MAC comes and goes with them.
fn runs_as_told(wanted: &NetworkSpec, report: &NetworkReport) -> bool {
    let mut configured = report.configured.spec.clone();
    configured.guest_ports.nics.clear();
    configured == *wanted
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
    let table = report.mac_table.as_ref();
    let is_by_libvirt = table.is_some_and(|table| table.active && table.manager == Some(MacTableManager::Libvirt));
    let lasts = || {
        report.repairs.iter().find(|repair| lasts(repair.state)).map(|repair| format!("its {} stay so", repair.kind))
    };
    if !runs_as_told(&wanted, report) {
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
