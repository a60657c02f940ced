//! A change among others that are judged in turn, each on the fleet with those before it.

use std::collections::BTreeSet;

use trestle_model::fleet::{EntityId, Mutation};
use trestle_model::{Findings, HostName, Severity};
use trestle_rules::{Fix, Proposal};
use trestle_store::{Change, Rehearsal};

use super::{Writer, hosts_touched};

/// What became of a change in its turn.
#[derive(Default)]
pub(super) struct Turn {
    /// All findings.
    pub(super) findings: Findings,
    /// What was made of it in the rehearsal; nothing where an error refuses it.
    pub(super) mutations: Vec<Mutation>,
    /// What happened to each entity, the change's own first; nothing for those that stayed as they were.
    pub(super) told: Vec<(EntityId, Change)>,
    /// The hosts whose desired networks or guests may have changed.
    pub(super) touched: BTreeSet<HostName>,
}

impl Writer {
    /// Judges a change on the fleet with those before it, and makes it there, unless an error refuses it.
    pub(super) fn take_turn(&self, mutation: Mutation, fix: Fix, rehearsal: &mut Rehearsal<'_>) -> Turn {
        let Proposal { mutations, findings } = self.propose(mutation, fix, rehearsal.fleet());
        if findings.0.iter().any(|finding| finding.severity == Severity::Error) {
            return Turn { findings, ..Turn::default() };
        }
        let touched = mutations.iter().flat_map(|mutation| hosts_touched(rehearsal.fleet(), mutation)).collect();
        let told = rehearsal.apply(mutations.clone());
        Turn { findings, mutations, told, touched }
    }
}
