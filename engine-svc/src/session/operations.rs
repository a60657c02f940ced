//! What hosts were told to do, and what became of it: of each host what is under way and the last that ended.
//!
//! Kept in memory, as the board is: an agent does not tell a new engine what an earlier one has asked for.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use trestle_model::{Findings, HostName, IfName, MacAddr, NetworkName};
use trestle_proto::host::v1::SetupNetworksResult;
use uuid::Uuid;

use super::board::End;
use crate::clock;
use crate::reconcile::{Owed, OwedPlug};

/// How many operations of a host are kept; at most two are under way, and those are its newest.
const KEPT: usize = 64;

/// A command that was sent to a host.
#[derive(Debug, Clone)]
pub struct Operation {
    /// The command's id, which is also the id of the request and of the transaction on the host.
    pub id: Uuid,
    /// The host.
    pub host: HostName,
    /// What it asks for.
    pub task: Task,
    /// The revision of the desired state that it carries out: what it asks for is at least that new.
    pub revision: u64,
    /// Milliseconds since the Unix epoch when it was sent.
    pub began_ms: u64,
    /// How it ended; none while it is under way.
    pub ended: Option<Ended>,
}

/// What a host is told to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// To set up networks and bonds, in one transaction.
    SetupNetworks {
        /// Those that are set or removed, ordered by name.
        networks: Vec<NetworkName>,
        /// Those that are set or removed, ordered by name.
        bonds: Vec<IfName>,
    },
    /// To set interfaces of a libvirt domain.
    SetDomainInterfaces {
        /// The domain's UUID.
        domain: Uuid,
        /// Those to be set, in the order of the request.
        set: Vec<MacAddr>,
        /// Those to be removed, in the order of the request.
        removed: Vec<MacAddr>,
    },
}

/// How an operation ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// What became of it.
    pub outcome: Outcome,
    /// The agent's result, where there is one.
    pub result: Option<SetupNetworksResult>,
    /// Why the host refused it; empty where it did not.
    pub findings: Findings,
}

/// What became of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The host is as it asked for.
    Succeeded,
    /// The host refused it, or put everything back.
    Failed,
    /// No result came in time, or not in the session in which it was sent.
    Lost,
}

impl Task {
    pub(super) fn setup(owed: &Owed) -> Self {
        Self::SetupNetworks {
            networks: owed.networks.iter().map(|change| change.network().clone()).collect(),
            bonds: owed.bonds.iter().map(|change| change.bond().clone()).collect(),
        }
    }

    pub(super) fn plug(owed: &OwedPlug) -> Self {
        let (set, removed): (Vec<_>, Vec<_>) = owed.asks.iter().partition(|ask| ask.wanted.is_some());
        let macs = |asks: Vec<&crate::reconcile::Ask>| asks.into_iter().map(|ask| ask.mac).collect();
        Self::SetDomainInterfaces { domain: owed.domain, set: macs(set), removed: macs(removed) }
    }
}

impl Ended {
    pub(super) fn lost() -> Self {
        Self { at_ms: clock::now_ms(), outcome: Outcome::Lost, result: None, findings: Findings::default() }
    }

    pub(super) fn of(end: &End) -> Self {
        let outcome = if end.succeeded { Outcome::Succeeded } else { Outcome::Failed };
        Self { at_ms: clock::now_ms(), outcome, result: end.result.clone(), findings: end.refusal.clone() }
    }

    pub(super) fn of_plug(refusal: Option<Findings>) -> Self {
        let outcome = if refusal.is_none() { Outcome::Succeeded } else { Outcome::Failed };
        Self { at_ms: clock::now_ms(), outcome, result: None, findings: refusal.unwrap_or_default() }
    }
}

/// The operations of all hosts. Ids grow with time.
#[derive(Debug, Default)]
pub(super) struct Operations {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    all: BTreeMap<Uuid, Operation>,
    /// Those of each host, the oldest first.
    of_hosts: BTreeMap<HostName, VecDeque<Uuid>>,
}

impl Operations {
    /// Notes what was sent; the oldest of the host is forgotten for it.
    pub(super) fn begin(&self, host: &HostName, id: Uuid, task: Task, revision: u64) {
        let began_ms = clock::now_ms();
        let operation = Operation { id, host: host.clone(), task, revision, began_ms, ended: None };
        let mut kept = self.lock();
        let Kept { all, of_hosts } = &mut *kept;
        all.insert(id, operation);
        let own = of_hosts.entry(host.clone()).or_default();
        own.push_back(id);
        if own.len() > KEPT
            && let Some(oldest) = own.pop_front()
        {
            all.remove(&oldest);
        }
    }

    /// Notes how one ended; the first end counts.
    pub(super) fn end(&self, id: Uuid, ended: Ended) {
        if let Some(operation) = self.lock().all.get_mut(&id)
            && operation.ended.is_none()
        {
            operation.ended = Some(ended);
        }
    }

    /// Forgets those of a host that was removed.
    pub(super) fn remove(&self, host: &HostName) {
        let mut kept = self.lock();
        for id in kept.of_hosts.remove(host).unwrap_or_default() {
            kept.all.remove(&id);
        }
    }

    pub(super) fn one(&self, id: Uuid) -> Option<Operation> {
        self.lock().all.get(&id).cloned()
    }

    /// Returns at most `most`, the newest first, of one host or of all, that were sent before the one with the id `before`.
    pub(super) fn newest(&self, host: Option<&HostName>, before: Option<Uuid>, most: usize) -> Vec<Operation> {
        let kept = self.lock();
        let is_older = |id: &&Uuid| before.is_none_or(|before| **id < before);
        match host {
            Some(host) => {
                let own = kept.of_hosts.get(host).into_iter().flat_map(|own| own.iter().rev());
                own.filter(is_older).filter_map(|id| kept.all.get(id)).take(most).cloned().collect()
            }
            None => {
                let older = kept.all.range(..before.unwrap_or(Uuid::max())).rev();
                older.map(|(_, operation)| operation).take(most).cloned().collect()
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // No code panics while it holds the lock.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
