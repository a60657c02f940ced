//! What is told of the keeper's work.

use std::collections::BTreeMap;

use trestle_model::{Capabilities, Repair, RepairTally};
use trestle_plan::Subject;

/// What is being done about drift, as of the last look.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Board {
    /// By network, bond and NIC, each kind once; those that are as agreed have none.
    pub repairs: BTreeMap<Subject, Vec<Repair>>,
    /// What was repaired since the agent's start.
    pub tally: RepairTally,
}

impl Board {
    /// Adds to a report what is done about the drift in it.
    pub(crate) fn add_to(&self, report: &mut Capabilities) {
        report.repairs = self.tally;
        let of = |subject: Subject| self.repairs.get(&subject).cloned().unwrap_or_default();
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
