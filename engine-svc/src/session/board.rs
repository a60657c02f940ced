//! What is known of each host now: its session, its command under way, and how the last one ended.
//!
//! Kept in memory only. After a restart of the engine the agents dial again and say where they stand.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{broadcast, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use trestle_model::{Domain, Findings, HostName};
use trestle_proto::host::v1::{SetupNetworksResponse, SetupNetworksResult};
use trestle_proto::session::v1::EngineMessage;
use uuid::Uuid;

use super::operations::{Ended, Operation, Operations, Task};
use super::plugs::{PlugEnd, PlugStanding, Plugs};
use super::rests::Rests;
use super::seat::Seat;
use crate::reconcile::{Ask, Owed, OwedPlug};

/// Messages that wait for a slow agent; one more ends its session.
pub(super) const OUTBOX: usize = 64;
/// Events that a slow watcher may lag behind before it gets snapshots anew.
const EVENTS: usize = 1024;

/// The hosts as they are now.
#[derive(Debug)]
pub struct Board {
    hosts: Mutex<BTreeMap<HostName, Entry>>,
    operations: Operations,
    /// Since when hosts could have called.
    began: Instant,
    events: broadcast::Sender<BoardEvent>,
}

/// Something happened to a host.
#[derive(Debug, Clone)]
pub enum BoardEvent {
    /// Its status may have changed.
    Changed(HostName),
    /// Its transaction made progress.
    Progress(HostName, Box<SetupNetworksResponse>),
    /// It was removed from the fleet.
    Removed(HostName),
}

/// A host as it is now.
#[derive(Debug, Clone, Default)]
pub struct HostNow {
    /// Whether its agent has a session.
    pub connected: bool,
    /// Whether the agent has reported in this session.
    pub reported: bool,
    /// Milliseconds since the Unix epoch when the agent last said something; 0 before the first time.
    pub last_seen_ms: u64,
    /// The command under way.
    pub in_flight: Option<Commanded>,
    /// How the last command ended.
    pub last: Option<LastCommand>,
}

/// A command that was sent and has no result yet.
#[derive(Debug, Clone)]
pub struct Commanded {
    /// Its id, which is also the transaction's.
    pub id: Uuid,
    /// What it asks for.
    pub changes: Owed,
    /// When it counts as lost.
    pub lost_at: Instant,
    /// What was sent; a new session hears it again, and the agent carries it out once.
    pub message: Arc<EngineMessage>,
}

/// How a command ended.
#[derive(Debug, Clone)]
pub struct LastCommand {
    /// What it asked for.
    pub changes: Owed,
    /// The agent's result; `None` where it refused or never answered.
    pub result: Option<SetupNetworksResult>,
    /// Why it was refused; empty where it was not.
    pub refusal: Findings,
    /// Whether the host is as asked for.
    pub succeeded: bool,
    /// How many commands for the same changes have failed in a row.
    pub failures: u32,
    /// Not before this moment the same changes are sent again.
    pub retry_at: Instant,
}

/// Says that a command could not be handed to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    /// The host has no session.
    #[error("host has no session")]
    NoSession,
    /// The host has not reported in its session.
    #[error("host has not reported in its session")]
    NotReported,
    /// The host has a command under way.
    #[error("host has a command under way")]
    Busy,
    /// The session's outbox is full; the session was ended.
    #[error("session does not take messages")]
    OutboxFull,
}

#[derive(Debug, Default)]
struct Entry {
    session: Option<Session>,
    /// When the last session ended; none before the first end.
    parted: Option<Instant>,
    now: HostNow,
    plugs: Plugs,
}

#[derive(Debug)]
struct Session {
    number: Uuid,
    outbox: mpsc::Sender<Result<EngineMessage, Status>>,
    fenced: CancellationToken,
    ended: CancellationToken,
}

impl Entry {
    fn has(&self, number: Uuid) -> bool {
        self.session.as_ref().is_some_and(|session| session.number == number)
    }

    /// Hands a command to a session that has reported, unless one of its kind is under way.
    fn post(&self, is_busy: bool, message: EngineMessage) -> Result<(), NotSent> {
        let session = self.session.as_ref().ok_or(NotSent::NoSession)?;
        if session.fenced.is_cancelled() {
            return Err(NotSent::NoSession);
        }
        if !self.now.reported {
            return Err(NotSent::NotReported);
        }
        if is_busy {
            return Err(NotSent::Busy);
        }
        session.outbox.try_send(Ok(message)).map_err(|_| {
            session.fenced.cancel();
            NotSent::OutboxFull
        })
    }
}

impl Default for Board {
    fn default() -> Self {
        let (hosts, operations) = (Mutex::default(), Operations::default());
        Self { hosts, operations, began: Instant::now(), events: broadcast::channel(EVENTS).0 }
    }
}

impl Board {
    /// Returns what is known of `host` now; all defaults for one that never called.
    pub fn host(&self, host: &HostName) -> HostNow {
        self.lock().get(host).map(|entry| entry.now.clone()).unwrap_or_default()
    }

    /// Tells whether `host` has a session in which it has reported since its last command.
    pub fn is_heard(&self, host: &HostName) -> bool {
        self.lock().get(host).is_some_and(|entry| entry.now.connected && entry.now.reported)
    }

    /// Tells whether `host` has been without a session for at least `grace`.
    pub fn is_silent(&self, host: &HostName, now: Instant, grace: Duration) -> bool {
        self.has_parted(self.lock().get(host), now, grace)
    }

    /// Returns those of `hosts` that have been without a session for at least `grace`, ordered.
    pub fn silent<'a>(
        &self,
        hosts: impl Iterator<Item = &'a HostName>,
        now: Instant,
        grace: Duration,
    ) -> BTreeSet<HostName> {
        let known = self.lock();
        hosts.filter(|host| self.has_parted(known.get(*host), now, grace)).cloned().collect()
    }

    /// Returns the hosts that have a session, ordered.
    pub fn connected(&self) -> Vec<HostName> {
        self.lock().iter().filter(|(_, entry)| entry.now.connected).map(|(host, _)| host.clone()).collect()
    }

    /// Returns the operation with this id; none where there is none, or it is forgotten.
    pub fn operation(&self, id: Uuid) -> Option<Operation> {
        // What is just being sent is noted before anybody looks.
        let _sent = self.lock();
        self.operations.one(id)
    }

    /// Returns at most `most` operations, the newest first, of one host or of all, that were sent before the one with the id
    /// `before`.
    pub fn operations(&self, host: Option<&HostName>, before: Option<Uuid>, most: usize) -> Vec<Operation> {
        let _sent = self.lock();
        self.operations.newest(host, before, most)
    }

    /// Watches events from now on. A watcher that lags behind gets `Lagged` and reads everything anew.
    pub fn subscribe(&self) -> broadcast::Receiver<BoardEvent> {
        self.events.subscribe()
    }

    /// Tells watchers that the status of `host` may have changed.
    pub fn touch(&self, host: &HostName) {
        self.tell(BoardEvent::Changed(host.clone()));
    }

    /// Forgets a host that was removed from the fleet, and ends its session.
    pub fn remove(&self, host: &HostName) {
        if let Some(Session { fenced, .. }) = self.lock().remove(host).and_then(|entry| entry.session) {
            fenced.cancel();
        }
        self.operations.remove(host);
        self.tell(BoardEvent::Removed(host.clone()));
    }

    /// Hands a command to the host's session and notes that it is under way for at most `patience`. What it asks for comes with
    /// the revision that it carries out.
    ///
    /// # Errors
    /// [`NotSent`]; nothing was noted then.
    pub fn command(
        &self,
        host: &HostName,
        message: EngineMessage,
        command: Uuid,
        (changes, revision): (Owed, u64),
        patience: Duration,
    ) -> Result<(), NotSent> {
        let mut hosts = self.lock();
        let entry = hosts.get_mut(host).ok_or(NotSent::NoSession)?;
        entry.post(entry.now.in_flight.is_some(), message.clone())?;
        self.operations.begin(host, command, Task::setup(&changes), revision);
        let (lost_at, message) = (Instant::now() + patience, Arc::new(message));
        entry.now.in_flight = Some(Commanded { id: command, changes, lost_at, message });
        drop(hosts);
        self.touch(host);
        Ok(())
    }

    /// Hands a command for a domain's interfaces to the host's session, and notes that it is under way for at most `patience`:
    /// one at a time.
    ///
    /// # Errors
    /// [`NotSent`]; nothing was noted then.
    pub fn plug(
        &self,
        host: &HostName,
        message: EngineMessage,
        command: Uuid,
        (owed, revision): (OwedPlug, u64),
        patience: Duration,
    ) -> Result<(), NotSent> {
        let mut hosts = self.lock();
        let entry = hosts.get_mut(host).ok_or(NotSent::NoSession)?;
        entry.post(entry.plugs.under_way().is_some(), message)?;
        self.operations.begin(host, command, Task::plug(&owed), revision);
        entry.plugs.begin(command, owed, Instant::now() + patience);
        drop(hosts);
        self.touch(host);
        Ok(())
    }

    /// Of what a host is owed, returns the first that may be sent now; none while a command for interfaces is under way. What
    /// is no longer owed is forgotten.
    pub fn next_plug(&self, host: &HostName, owed: Vec<OwedPlug>, now: Instant) -> Option<OwedPlug> {
        self.lock().get_mut(host)?.plugs.next(owed, now)
    }

    /// Returns what was sent to a host for its domains' interfaces and may not be in its report yet, which has `domains`. The rest
    /// is forgotten.
    pub fn sent_plugs(&self, host: &HostName, domains: &[Domain], now: Instant) -> Vec<OwedPlug> {
        self.lock().get_mut(host).map(|entry| entry.plugs.sent(domains, now)).unwrap_or_default()
    }

    /// Returns the hosts to which something was sent for their domains' interfaces that may not be in their reports yet.
    pub fn expecting_plugs(&self) -> Vec<HostName> {
        let hosts = self.lock();
        hosts.iter().filter(|(_, entry)| entry.plugs.expects()).map(|(host, _)| host.clone()).collect()
    }

    /// Tells whether something that a host is owed for its domains' interfaces was sent and waits: for its result, for a report of
    /// it, or for another try.
    pub fn awaits_plugs(&self, host: &HostName) -> bool {
        self.lock().get(host).is_some_and(|entry| entry.plugs.awaits())
    }

    /// Returns how what a host is asked for an interface stands.
    pub fn plug_state(&self, host: &HostName, ask: &Ask) -> PlugStanding {
        self.lock().get(host).map_or(PlugStanding::Owed, |entry| entry.plugs.standing(ask))
    }

    /// Ends the command for interfaces that is under way; another command's end is ignored.
    pub(super) fn settle_plug(&self, host: &HostName, command: Uuid, end: PlugEnd, rests: Rests) {
        let mut hosts = self.lock();
        let Some(entry) = hosts.get_mut(host) else { return };
        let ended = Ended::of_plug(end.refusal.clone().map(Findings));
        if !entry.plugs.settle(command, end, rests, Instant::now()) {
            return;
        }
        self.operations.end(command, ended);
        drop(hosts);
        self.touch(host);
    }

    /// Ends the command under way with how it ended; another command's end is ignored. How it ended is the same in
    /// whichever session it is said.
    ///
    /// A failure of the same changes as the failure before rests longer until its next try.
    pub(super) fn settle(&self, host: &HostName, command: Uuid, end: End, rests: Rests) {
        let mut hosts = self.lock();
        let Some(entry) = hosts.get_mut(host) else { return };
        let Some(commanded) = entry.now.in_flight.take_if(|commanded| commanded.id == command) else { return };
        self.operations.end(command, Ended::of(&end));
        let earlier = match &entry.now.last {
            Some(last) if !last.succeeded && last.changes == commanded.changes => last.failures,
            Some(_) | None => 0,
        };
        let failures = if end.succeeded { 0 } else { earlier.saturating_add(1) };
        let wait = rests.after(earlier);
        entry.now.last = Some(LastCommand {
            changes: commanded.changes,
            result: end.result,
            refusal: end.refusal,
            succeeded: end.succeeded,
            failures,
            retry_at: Instant::now() + wait,
        });
        entry.now.reported &= end.report_is_fresh;
        drop(hosts);
        self.touch(host);
    }

    /// Drops commands whose patience ran out, and returns their hosts.
    pub fn forget_lost(&self, now: Instant) -> Vec<HostName> {
        let mut hosts = self.lock();
        let is_lost = |entry: &mut Entry| {
            let setup = entry.now.in_flight.take_if(|commanded| commanded.lost_at <= now).map(|commanded| commanded.id);
            let lost = entry.plugs.forget_lost(now).into_iter().chain(setup);
            lost.map(|command| self.operations.end(command, Ended::lost())).count() > 0
        };
        let lost: Vec<HostName> =
            hosts.iter_mut().filter_map(|(host, entry)| is_lost(entry).then(|| host.clone())).collect();
        drop(hosts);
        lost.iter().for_each(|host| self.touch(host));
        lost
    }

    /// Makes `outbox` the session of `host`, fences the one before, and says the command under way again: it may have
    /// been on its way when the session before broke.
    pub(super) fn open(
        self: &Arc<Self>,
        host: &HostName,
        outbox: mpsc::Sender<Result<EngineMessage, Status>>,
        now_ms: u64,
    ) -> Seat {
        let (number, fenced, ended) = (Uuid::now_v7(), CancellationToken::new(), CancellationToken::new());
        let mut hosts = self.lock();
        let entry = hosts.entry(host.clone()).or_default();
        if let Some(commanded) = &entry.now.in_flight
            && outbox.try_send(Ok(commanded.message.as_ref().clone())).is_err()
        {
            // Closed already, as the session's task will find.
            fenced.cancel();
        }
        let session = Session { number, outbox, fenced: fenced.clone(), ended: ended.clone() };
        // A command for interfaces is made anew from the next report: asking for what is there already does nothing.
        if let Some(command) = entry.plugs.interrupt() {
            self.operations.end(command, Ended::lost());
        }
        let old = entry.session.replace(session);
        if let Some(old) = &old {
            old.fenced.cancel();
        }
        entry.now.connected = true;
        entry.now.reported = false;
        entry.now.last_seen_ms = now_ms;
        drop(hosts);
        self.touch(host);
        Seat::new(Arc::clone(self), host.clone(), number, fenced, ended, old.map(|old| old.ended))
    }

    /// Ends a session; one that was fenced is gone already.
    pub(super) fn close(&self, host: &HostName, number: Uuid) {
        let mut hosts = self.lock();
        let Some(entry) = hosts.get_mut(host) else { return };
        if entry.session.take_if(|session| session.number == number).is_none() {
            return;
        }
        entry.parted = Some(Instant::now());
        entry.now.connected = false;
        entry.now.reported = false;
        drop(hosts);
        self.touch(host);
    }

    /// Notes that the agent said something in a session, unless that was fenced.
    pub(super) fn seen(&self, host: &HostName, session: Uuid, now_ms: u64) {
        if let Some(entry) = self.lock().get_mut(host).filter(|entry| entry.has(session)) {
            entry.now.last_seen_ms = now_ms;
        }
    }

    /// Notes that the agent has reported in a session, unless that was fenced.
    pub(super) fn reported(&self, host: &HostName, session: Uuid) {
        if let Some(entry) = self.lock().get_mut(host).filter(|entry| entry.has(session)) {
            entry.now.reported = true;
        }
        self.touch(host);
    }

    /// Passes a sign of life of the command under way on to watchers.
    pub(super) fn progress(&self, host: &HostName, event: SetupNetworksResponse) {
        self.tell(BoardEvent::Progress(host.clone(), Box::new(event)));
    }

    /// Tells whether `transaction` is the command under way on `host`.
    pub(super) fn is_in_flight(&self, host: &HostName, transaction: Uuid) -> bool {
        self.lock().get(host).and_then(|e| e.now.in_flight.as_ref()).is_some_and(|c| c.id == transaction)
    }

    /// A host that never called is silent since it could have.
    fn has_parted(&self, entry: Option<&Entry>, now: Instant, grace: Duration) -> bool {
        let is_connected = entry.is_some_and(|entry| entry.now.connected);
        let parted = entry.and_then(|entry| entry.parted).unwrap_or(self.began);
        !is_connected && now.duration_since(parted) >= grace
    }

    fn tell(&self, event: BoardEvent) {
        // No watcher is fine.
        let _ = self.events.send(event);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<HostName, Entry>> {
        // No code panics while it holds the lock, and every change under it is whole.
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a command ended, as its result says.
#[derive(Debug)]
pub(super) struct End {
    pub(super) succeeded: bool,
    pub(super) result: Option<SetupNetworksResult>,
    pub(super) refusal: Findings,
    /// Whether the host's last report shows it as it is after the command; else the next one is waited for.
    pub(super) report_is_fresh: bool,
}

#[cfg(test)]
mod tests;
