//! What state each host is in, and since when.
//!
//! A state is computed whenever somebody asks, from the store and the board; only since when it is so is kept, in memory.
//! A task looks at each host of which something is heard, so that the moment is noted, and the change told, also where
//! nobody asks; and it ends the grace of hosts that fell silent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::info;
use trestle_model::fleet::Fleet;
use trestle_model::{BondChange, Finding, HostName, IfName, NetworkChange, NetworkName, NetworkSpec, Southbound};
use trestle_rules::{Contact, Guest, HostState, HostVerdict, Standing, host_verdict};
use trestle_store::Store;

use crate::clock;
use crate::reconcile::{Desired, Owed, owed};
use crate::session::{Board, BoardEvent, HostNow};

/// How often it is looked for hosts whose grace is over.
const SWEEP: Duration = Duration::from_secs(1);

/// The states of the fleet's hosts.
#[derive(Debug)]
pub struct HostStates {
    store: Store,
    board: Arc<Board>,
    grace: Duration,
    noted: Mutex<BTreeMap<HostName, Noted>>,
}

/// A host's state as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostLook {
    /// The state.
    pub state: HostState,
    /// What makes it so.
    pub reasons: Vec<Finding>,
    /// Milliseconds since the Unix epoch since when it is so, as far as this run of the engine has seen.
    pub since_ms: u64,
}

#[derive(Debug, Clone, Copy)]
struct Noted {
    state: HostState,
    since_ms: u64,
}

impl HostStates {
    /// Makes the states of the hosts in `store`, of which one without a session for longer than `grace` is silent.
    pub fn new(store: Store, board: Arc<Board>, grace: Duration) -> Self {
        Self { store, board, grace, noted: Mutex::default() }
    }

    /// Looks at a host; `None` for one that the fleet does not have.
    pub fn look(&self, host: &HostName) -> Option<HostLook> {
        let HostVerdict { state, reasons } = self.store.read(|fleet| self.verdict(fleet, host))?;
        Some(HostLook { state, reasons, since_ms: self.note(host, state) })
    }

    /// Finds what is in the way of a virtual machine on a host; nothing of a host that `fleet`, the store's, does not have.
    pub fn obstacles(&self, guest: &Guest, host: &HostName, fleet: &Fleet) -> Option<Vec<Finding>> {
        let standing = self.standing(fleet, host);
        Some(trestle_rules::obstacles(guest, fleet.hosts().get(host)?, fleet, &standing))
    }

    /// Returns what is known of a host's agent beside its last report.
    pub fn standing(&self, fleet: &Fleet, host: &HostName) -> Standing {
        let now = self.board.host(host);
        let is_silent = self.board.is_silent(host, Instant::now(), self.grace);
        let contact = if is_silent { Contact::Silent } else { Contact::Heard };
        let reported = fleet.observed(host).and_then(|record| record.capabilities.as_ref());
        let desired = Desired::of(fleet, host);
        let owed = reported.map(|reported| owed(&desired, reported)).unwrap_or_default();
        Standing { contact, pending: pending(&desired.networks, &owed, &now) }
    }

    /// Notes states until `cancel` is cancelled. *Cancel safety*: safe; each look is one synchronous step.
    pub async fn run(&self, cancel: CancellationToken) {
        let mut events = self.board.subscribe();
        let mut silent = BTreeSet::new();
        let mut sweep = interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.look_at_all();
        loop {
            // Cancel safety: each arm only waits.
            tokio::select! {
                () = cancel.cancelled() => return,
                _ = sweep.tick() => silent = self.tell_silent(&silent),
                event = events.recv() => match event {
                    Ok(BoardEvent::Changed(host)) => drop(self.look(&host)),
                    Ok(BoardEvent::Removed(host)) => drop(self.noted().remove(&host)),
                    Ok(BoardEvent::Progress(..)) => {}
                    Err(RecvError::Lagged(_)) => self.look_at_all(),
                    Err(RecvError::Closed) => return,
                },
            }
        }
    }

    fn verdict(&self, fleet: &Fleet, host: &HostName) -> Option<HostVerdict> {
        Some(host_verdict(fleet.hosts().get(host)?, fleet, &self.standing(fleet, host)))
    }

    fn look_at_all(&self) {
        let hosts: Vec<HostName> = self.store.read(|fleet| fleet.hosts().keys().cloned().collect());
        hosts.iter().for_each(|host| drop(self.look(host)));
    }

    /// Tells watchers of the hosts that are silent now and were not `before`, and returns all that are.
    fn tell_silent(&self, before: &BTreeSet<HostName>) -> BTreeSet<HostName> {
        let silent = self.store.read(|fleet| self.board.silent(fleet.hosts().keys(), Instant::now(), self.grace));
        silent.difference(before).for_each(|host| self.board.touch(host));
        silent
    }

    fn note(&self, host: &HostName, state: HostState) -> u64 {
        let mut noted = self.noted();
        let before = noted.get(host).copied();
        match before {
            Some(before) if before.state == state => before.since_ms,
            Some(_) | None => {
                let since_ms = clock::now_ms();
                noted.insert(host.clone(), Noted { state, since_ms });
                drop(noted);
                if let Some(before) = before {
                    info!(trestle.host = %host, from = %before.state, to = %state, "host state changed");
                }
                since_ms
            }
        }
    }

    fn noted(&self) -> MutexGuard<'_, BTreeMap<HostName, Noted>> {
        // No code panics while it holds the lock.
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the networks of which it is not known yet what becomes of them: those of the command under way, or of what is
/// owed and will be sent, and the `desired` ones on its bonds. What has failed before is known, also while it is tried again.
fn pending(desired: &[NetworkSpec], owed: &Owed, now: &HostNow) -> BTreeSet<NetworkName> {
    let changes = now.in_flight.as_ref().map_or(owed, |commanded| &commanded.changes);
    let failed = now.last.as_ref().filter(|last| !last.succeeded).map(|last| &last.changes);
    let bonds = changes.bonds.iter().filter(|change| failed.is_none_or(|failed| !failed.bonds.contains(change)));
    let bonds: BTreeSet<&IfName> = bonds.map(BondChange::bond).collect();
    let is_on_them =
        |spec: &&NetworkSpec| matches!(&spec.southbound, Some(Southbound::Bond(bond)) if bonds.contains(bond));
    let on_bonds = desired.iter().filter(is_on_them).map(|spec| &spec.name);
    let networks = changes.networks.iter().filter(|change| failed.is_none_or(|f| !f.networks.contains(change)));
    networks.map(NetworkChange::network).chain(on_bonds).cloned().collect()
}

#[cfg(test)]
mod tests;
