//! What is told of the keeper's work, and of what it saw.

use std::collections::BTreeMap;

use trestle_model::{Capabilities, Repair, RepairState, RepairTally};
use trestle_plan::Subject;

use super::sightings::Sightings;

/// What is being done about drift, as of the last look.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Board {
    /// By network, bond, NIC and guest's port, each kind once; those that are as agreed have none.
    pub repairs: BTreeMap<Subject, Vec<Repair>>,
    /// What was repaired since the agent's start.
    pub tally: RepairTally,
    /// MACs that guests sent from and were not given.
    pub(super) sightings: Sightings,
}

impl Board {
    /// Adds to a report what is done about the drift in it, and what was seen.
    pub(crate) fn add_to(&self, report: &mut Capabilities) {
        report.repairs = self.tally;
        for network in &mut report.networks {
            network.foreign_macs = self.sightings.of(&network.configured.spec.name);
        }
        let of = |subject: Subject| {
            let owned = self.repairs.iter().filter(|(has, _)| **has == subject || is_port_of(has, &subject));
            owned.fold(Vec::new(), |told, (has, repairs)| {
                repairs.iter().fold(told, |told, repair| with(told, has, repair))
            })
        };
        for network in report.networks.iter_mut().filter(|network| !network.drift.is_empty()) {
            network.repairs = of(Subject::Network(network.configured.spec.name.clone()));
        }
        for bond in report.bonds.iter_mut().filter(|bond| !bond.drift.is_empty()) {
            bond.repairs = of(Subject::Bond(bond.name.clone()));
        }
        for nic in report.nics.iter_mut().filter(|nic| !nic.drift.is_empty()) {
            nic.repairs = of(Subject::Nic(nic.name.clone()));
        }
    }
}

/// Tells whether one subject is a guest's port in the bridge of the other.
fn is_port_of(port: &Subject, subject: &Subject) -> bool {
    match (port, subject) {
        (Subject::Port { network, .. }, Subject::Network(name)) => network == name,
        (Subject::Network(_) | Subject::Bond(_) | Subject::Nic(_) | Subject::Port { .. }, _) => false,
    }
}

/// Adds to what is told of a network what is done about a port of it: each kind is told once, as what is worst of it.
fn with(mut told: Vec<Repair>, of: &Subject, repair: &Repair) -> Vec<Repair> {
    let reason = match of {
        Subject::Port { tap, .. } if !repair.reason.is_empty() => format!("{tap}: {}", repair.reason),
        Subject::Port { .. } | Subject::Network(_) | Subject::Bond(_) | Subject::Nic(_) => repair.reason.clone(),
    };
    let repair = Repair { reason, ..repair.clone() };
    match told.iter_mut().find(|has| has.kind == repair.kind) {
        Some(has) if badness(has.state) < badness(repair.state) => *has = repair,
        Some(has) => has.attempts = has.attempts.max(repair.attempts),
        None => told.push(repair),
    }
    told
}

const fn badness(state: RepairState) -> u8 {
    match state {
        RepairState::Due => 0,
        RepairState::LeftAlone => 1,
        RepairState::Impossible => 2,
        RepairState::Suspended => 3,
    }
}
