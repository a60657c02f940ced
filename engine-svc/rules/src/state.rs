//! What state a host is in: computed whenever somebody asks, from what is wanted of the host and what it last reported.

use std::collections::BTreeSet;
use std::fmt;

use trestle_model::fleet::{ClusterNetwork, EntityId, Fleet, Host};
use trestle_model::{Code, Finding, Findings, HostName, NetworkName, Severity};

use crate::carried::{self, Strictness};
use crate::matrix::Incapable;
use crate::spot::Spot;

/// Whether a host can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostState {
    /// It can.
    Up,
    /// An operator keeps it out of use.
    Maintenance,
    /// It answers, and lacks something of what every host of its cluster has to have.
    NonOperational,
    /// It does not answer, or has not reported yet.
    NonResponsive,
}

/// What is known of a host's agent beside its last report.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// Whether it is heard.
    pub contact: Contact,
    /// Networks that a command is about that is under way, or about to be sent for the first time: what becomes of them
    /// is not known yet.
    pub pending: BTreeSet<NetworkName>,
}

/// Whether a host's agent is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Contact {
    /// It is, or was a short while ago.
    #[default]
    Heard,
    /// It has been silent for longer than it may.
    Silent,
}

/// A host's state, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostVerdict {
    /// The state.
    pub state: HostState,
    /// What makes it so: of a host that is not operational every cause, ordered by code. Empty for hosts that are up or in
    /// maintenance.
    pub reasons: Vec<Finding>,
}

/// Judges a host of `fleet`.
///
/// The cost grows with the required networks of its cluster, and with its report.
pub fn host_verdict(host: &Host, fleet: &Fleet, standing: &Standing) -> HostVerdict {
    if host.maintenance {
        return HostVerdict { state: HostState::Maintenance, reasons: Vec::new() };
    }
    if let Some(silence) = silence(&host.id, fleet, standing.contact) {
        return HostVerdict { state: HostState::NonResponsive, reasons: vec![silence] };
    }
    let required = fleet.networks_of(&host.cluster).filter(|place| place.is_required());
    let reasons = required.flat_map(|place| lacking(host, place, fleet, standing));
    let Findings(reasons) = Findings(reasons.collect()).sorted();
    let state = if reasons.is_empty() { HostState::Up } else { HostState::NonOperational };
    HostVerdict { state, reasons }
}

fn silence(host: &HostName, fleet: &Fleet, contact: Contact) -> Option<Finding> {
    let has_reported = fleet.observed(host).is_some_and(|record| record.capabilities.is_some());
    let what = match (contact, has_reported) {
        (Contact::Heard, true) => return None,
        (Contact::Silent, true) => "the host's agent has been silent for longer than it may",
        (Contact::Heard | Contact::Silent, false) => "the host's agent has not reported yet",
    };
    let finding = Spot::new(EntityId::Host(host.clone())).error(Code::HostSilent, "", what);
    Some(finding.remedy("look after the host, its agent, and the way between it and the engine"))
}

/// Finds what a host lacks of a network that every host of its cluster has to carry.
fn lacking(host: &Host, place: &ClusterNetwork, fleet: &Fleet, standing: &Standing) -> Vec<Finding> {
    let Some(network) = fleet.networks().get(&place.network) else { return Vec::new() };
    let mut findings = if standing.pending.contains(&network.id) {
        Vec::new()
    } else {
        carried::faults(fleet, &host.id, network, Strictness::Lasting)
    };
    // Row 16.
    if network.is_managed() {
        let incapable = Incapable::among(fleet, [&host.id]);
        let spot = Spot::new(EntityId::Host(host.id.clone()));
        let name = EntityId::Network(network.id.clone()).to_string();
        findings.extend(incapable.finding(Severity::Error, &spot, "", &[name]));
    }
    findings
}

impl HostState {
    /// Every state, in order.
    pub const ALL: [Self; 4] = [Self::Up, Self::Maintenance, Self::NonOperational, Self::NonResponsive];
}

impl fmt::Display for HostState {
    /// Writes the state for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Up => "up",
            Self::Maintenance => "maintenance",
            Self::NonOperational => "non-operational",
            Self::NonResponsive => "non-responsive",
        })
    }
}
