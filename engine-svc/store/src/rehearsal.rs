//! Changes that are tried on the fleet in memory, and taken back.
//!
//! The fleet is changed in place, at the cost of what the changes touch and not of its size, and nobody else looks at it
//! meanwhile. Taking back is on drop, so that also a rule that panics leaves the fleet as it was.

use trestle_model::fleet::{Commanded, EntityId, Fleet, HostRecord, Mutation};
use uuid::Uuid;

use crate::change::{self, Stamp};
use crate::write::Change;

/// A fleet on which changes are tried.
#[derive(Debug)]
pub struct Rehearsal<'a> {
    fleet: &'a mut Fleet,
    revision: u64,
    undo: Vec<Undo>,
}

/// What takes a mutation back.
#[derive(Debug)]
struct Undo {
    mutation: Mutation,
    /// Of a removed host, what it had reported and was commanded: the fleet forgets that with it.
    reported: Option<HostRecord>,
    commanded: Commanded,
}

impl<'a> Rehearsal<'a> {
    pub(crate) const fn new(fleet: &'a mut Fleet, revision: u64) -> Self {
        Self { fleet, revision, undo: Vec::new() }
    }

    /// Returns the fleet with the changes so far.
    pub const fn fleet(&self) -> &Fleet {
        self.fleet
    }

    /// Makes changes as a write would, which no rule refuses: indexes rely on some of the rules. Returns what happens to each
    /// entity, in order; nothing for those that change nothing.
    pub fn apply(&mut self, mutations: Vec<Mutation>) -> Vec<(EntityId, Change)> {
        self.revision = self.revision.saturating_add(1);
        let stamp = Stamp { revision: self.revision, now_ms: 0, uid: Uuid::nil() };
        let changes = change::resolve(mutations, self.fleet, &stamp);
        for mutation in changes.mutations {
            self.undo.push(Undo::of(&mutation, self.fleet));
            self.fleet.apply(mutation);
        }
        changes.told
    }
}

impl Drop for Rehearsal<'_> {
    fn drop(&mut self) {
        while let Some(Undo { mutation, reported, commanded }) = self.undo.pop() {
            let id = mutation.id();
            self.fleet.apply(mutation);
            if let EntityId::Host(host) = id {
                if let Some(record) = reported {
                    self.fleet.observe(host.clone(), record);
                }
                self.fleet.command(host, commanded);
            }
        }
    }
}

impl Undo {
    fn of(mutation: &Mutation, fleet: &Fleet) -> Self {
        let id = mutation.id();
        let (reported, commanded) = match (&id, mutation) {
            (EntityId::Host(host), Mutation::Delete(_)) => {
                (fleet.observed(host).cloned(), fleet.commanded(host).clone())
            }
            (EntityId::Host(host), Mutation::Put(_)) => (None, fleet.commanded(host).clone()),
            (
                EntityId::Cluster(_)
                | EntityId::Network(_)
                | EntityId::ClusterNetwork(..)
                | EntityId::VnicProfile(..)
                | EntityId::Bond(..)
                | EntityId::NetworkAttachment(..)
                | EntityId::MacPool(_)
                | EntityId::Vm(_)
                | EntityId::Vnic(..),
                _,
            ) => (None, Commanded::default()),
        };
        let mutation = fleet.entity(&id).map_or(Mutation::Delete(id), Mutation::Put);
        Self { mutation, reported, commanded }
    }
}
