//! The store: a fleet in memory over a ledger on disk.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::{ControlFlow, RangeInclusive};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::watch;
use tracing::{debug, warn};
use trestle_model::fleet::{Commanded, Fleet, HostRecord};
use trestle_model::{Code, Findings, HostName, Severity};
use uuid::Uuid;

use crate::change::{self, Stamp};
use crate::error::{OpenError, RequestIdReused, StoreError, TransactError};
use crate::ledger::{Answer, Commit, Contents, Ledger};
use crate::rehearsal::Rehearsal;
use crate::write::{Committed, Decision, Event, Order, RequestKey, Write};

/// The desired state of the fleet; a handle that is cheap to clone.
///
/// Reading looks at memory. Every other call may wait for the disk: in async code, call it on the blocking pool.
/// Writers queue for one another; a reader waits only while memory changes, never for the disk.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    /// Held for the whole of a write: decision, commit, and change of memory.
    ledger: Mutex<Ledger>,
    /// Changed only under the ledger's lock.
    fleet: RwLock<Fleet>,
    revision: watch::Sender<u64>,
    fencing_epoch: u64,
}

impl Store {
    /// Opens the store's file at `path`, made with its directory where it is missing, and reads everything into memory.
    ///
    /// The fencing epoch grows by one, durably, with each opening.
    ///
    /// *Errors*: [`OpenError`], which names the file and the way out.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Ledger::open(path).map(Self::new)
    }

    /// Makes an empty store that lives as long as its handles.
    ///
    /// *Errors*: [`OpenError`]; only where memory is short.
    pub fn in_memory() -> Result<Self, OpenError> {
        Ledger::in_memory().map(Self::new)
    }

    /// Looks at the fleet as it stands. Nothing changes while `look` runs, so it should be short, and must not write.
    pub fn read<R>(&self, look: impl FnOnce(&Fleet) -> R) -> R {
        look(&self.shared.fleet.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the revision of the last write; 0 in a new store.
    pub fn revision(&self) -> u64 {
        *self.shared.revision.borrow()
    }

    /// Returns the fencing epoch: how often this store was opened. An agent refuses an engine with an older one.
    pub fn fencing_epoch(&self) -> u64 {
        self.shared.fencing_epoch
    }

    /// Watches the revision. A watcher that wakes finds the change in [`Store::read`]; it may miss revisions between.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.shared.revision.subscribe()
    }

    /// Writes what `decide` makes of the fleet: all of it, durably, or nothing.
    ///
    /// A request whose id is remembered is answered as before, without a decision. A decision that changes nothing,
    /// apart from the common parts that the store fills in, keeps the revision and wakes nobody. An answer is remembered
    /// for at least 24 hours (of a million answers, beyond which the oldest are forgotten). `decide` must not write.
    ///
    /// *Errors*: [`TransactError`]; the fleet in memory is then as before. After [`StoreError::NotWritten`] the next call
    /// opens the file again and takes it as the truth.
    pub fn transact<E>(
        &self,
        write: Write,
        decide: impl FnOnce(&Fleet) -> Result<Decision, E>,
    ) -> Result<Committed, TransactError<E>> {
        self.transact_by(write, |store| store.read(decide))
    }

    /// As [`Store::transact`], for changes that are decided one after the other: each on the fleet with those before it.
    ///
    /// *Errors*: as [`Store::transact`].
    pub fn transact_in_turn<E>(
        &self,
        write: Write,
        decide: impl FnOnce(&mut Rehearsal<'_>) -> Result<Decision, E>,
    ) -> Result<Committed, TransactError<E>> {
        self.transact_by(write, |store| store.rehearse(decide))
    }

    fn transact_by<E>(
        &self,
        write: Write,
        decide: impl FnOnce(&Self) -> Result<Decision, E>,
    ) -> Result<Committed, TransactError<E>> {
        let mut ledger = self.ledger()?;
        if let Some(request) = &write.request
            && let Some(answer) = ledger.answer(request.id)?
        {
            return replayed(answer, &request.digest).map_err(|RequestIdReused| TransactError::RequestIdReused);
        }
        let before = self.revision();
        let stamp = Stamp { revision: before.saturating_add(1), now_ms: write.now_ms, uid: write.uid };
        let Decision { mutations, findings } = decide(self).map_err(TransactError::Decided)?;
        let changes = self.read(|fleet| change::resolve(mutations, fleet, &stamp));

        let is_noop = changes.mutations.is_empty();
        let revision = if is_noop { before } else { stamp.revision };
        let event = (!is_noop).then(|| Event {
            revision,
            at_ms: write.now_ms,
            actor: write.actor,
            mutations: changes.told,
            acknowledged: codes(&findings, Severity::Warning),
            told: codes(&findings, Severity::Info),
            request_id: write.request.as_ref().map(|request| request.id),
            transitions: changes.transitions,
        });
        let committed = Committed { revision, entities: changes.entities, findings, replayed: false };
        let answer = write.request.map(|request| (request.id, remembered(request, write.now_ms, &committed)));
        if event.is_some() || answer.is_some() {
            ledger.commit(&Commit {
                revision,
                mutations: &changes.mutations,
                event: event.as_ref(),
                answer: answer.as_ref().map(|(id, answer)| (*id, answer)),
            })?;
        }
        if !is_noop {
            self.change(|fleet| {
                changes.mutations.into_iter().for_each(|mutation| fleet.apply(mutation));
                // Under the lock: who has the fleet has its revision, too.
                self.shared.revision.send_replace(revision);
            });
            debug!(revision, "desired state committed");
        }
        Ok(committed)
    }

    /// Tries changes on the fleet in memory, at the cost of what they touch, and takes them back: nothing is written, and
    /// nobody sees them. Readers and writers wait meanwhile, so `rehearse` should be short, and must not read or write.
    pub fn rehearse<R>(&self, rehearse: impl FnOnce(&mut Rehearsal<'_>) -> R) -> R {
        let mut fleet = self.shared.fleet.write().unwrap_or_else(PoisonError::into_inner);
        rehearse(&mut Rehearsal::new(&mut fleet, self.revision()))
    }

    /// Returns the answer to an earlier request with this id; `None` for a new id.
    ///
    /// A store that cannot be read answers like for a new id; the write that follows then fails with the reason.
    ///
    /// *Errors*: [`RequestIdReused`].
    pub fn replay(&self, id: Uuid, digest: &str) -> Result<Option<Committed>, RequestIdReused> {
        match self.ledger().and_then(|ledger| ledger.answer(id)) {
            Ok(answer) => answer.map(|answer| replayed(answer, digest)).transpose(),
            Err(_) => Ok(None),
        }
    }

    /// Keeps what `host` reported; does nothing for a host that the fleet does not have.
    ///
    /// The revision stays. The disk is written only where the report differs from the last one by more than its time.
    ///
    /// *Errors*: [`StoreError`]; the last report is then kept.
    pub fn record(&self, host: &HostName, record: HostRecord) -> Result<(), StoreError> {
        let mut ledger = self.ledger()?;
        let (is_known, is_news) = self.read(|fleet| {
            let last = fleet.observed(host).map(|last| &last.capabilities);
            (fleet.hosts().contains_key(host), last != Some(&record.capabilities))
        });
        if !is_known {
            return Ok(());
        }
        if is_news {
            ledger.record(host, &record)?;
        }
        self.change(|fleet| fleet.observe(host.clone(), record));
        Ok(())
    }

    /// Changes, in memory only, what commands under way make of `host`: rules see it as if the host had reported it. One task
    /// alone does so.
    ///
    /// A write is decided and made before it, or decided after it: who looks at the fleet afterwards sees all that was decided
    /// without it.
    pub fn command(&self, host: &HostName, change: impl Fn(&mut Commanded)) {
        let changed = |fleet: &Fleet| {
            let mut commanded = fleet.commanded(host).clone();
            change(&mut commanded);
            commanded
        };
        if self.read(|fleet| changed(fleet) == *fleet.commanded(host)) {
            return;
        }
        let _no_write_is_under_way = self.lock();
        self.change(|fleet| fleet.command(host.clone(), changed(fleet)));
    }

    /// Returns the audit events after revision `after`, in order, `limit` at most; they are kept for ever.
    ///
    /// *Errors*: [`StoreError`].
    pub fn events(&self, after: u64, limit: usize) -> Result<Vec<Event>, StoreError> {
        let mut events = Vec::new();
        self.visit_events(after.saturating_add(1)..=u64::MAX, Order::OldestFirst, |event| {
            if events.len() < limit {
                events.push(event);
            }
            if events.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(events)
    }

    /// Shows `visit` the audit events of `revisions`, one by one, until it breaks off. Writers do not wait for it.
    ///
    /// *Errors*: [`StoreError`].
    pub fn visit_events(
        &self,
        revisions: RangeInclusive<u64>,
        order: Order,
        visit: impl FnMut(Event) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let snapshot = self.ledger()?.snapshot()?;
        snapshot.visit_events(revisions, order, visit)
    }

    /// Finds the revision of the first event at `at_ms` or later; none where all are earlier. Times are taken to grow with
    /// revisions.
    ///
    /// *Errors*: [`StoreError`].
    pub fn first_event_since(&self, at_ms: u64) -> Result<Option<u64>, StoreError> {
        let snapshot = self.ledger()?.snapshot()?;
        snapshot.first_event_since(at_ms)
    }

    /// Returns a digest of the event of a revision, which never changes; none where there is no event.
    ///
    /// *Errors*: [`StoreError`].
    pub fn event_digest(&self, revision: u64) -> Result<Option<u64>, StoreError> {
        let snapshot = self.ledger()?.snapshot()?;
        snapshot.event_digest(revision)
    }

    fn new((ledger, contents): (Ledger, Contents)) -> Self {
        let Contents { fleet, revision, fencing_epoch } = contents;
        let shared = Shared {
            ledger: Mutex::new(ledger),
            fleet: RwLock::new(fleet),
            revision: watch::Sender::new(revision),
            fencing_epoch,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Locks the ledger, opened again where an earlier failure closed it.
    fn ledger(&self) -> Result<MutexGuard<'_, Ledger>, StoreError> {
        let mut ledger = self.lock();
        if let Some(Contents { mut fleet, revision, .. }) = ledger.reopen()? {
            warn!(revision, "store reopened after a failed write");
            self.change(|kept| {
                fleet.take_over_commands(kept);
                *kept = fleet;
            });
            self.shared.revision.send_if_modified(|kept| std::mem::replace(kept, revision) != revision);
        }
        Ok(ledger)
    }

    fn lock(&self) -> MutexGuard<'_, Ledger> {
        // A decision that panicked held the lock; it had begun no write, so the ledger is whole.
        self.shared.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Fleet)) {
        change(&mut self.shared.fleet.write().unwrap_or_else(PoisonError::into_inner));
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("revision", &self.revision()).finish_non_exhaustive()
    }
}

fn replayed(answer: Answer, digest: &str) -> Result<Committed, RequestIdReused> {
    let Answer { digest: kept, revision, entities, findings, .. } = answer;
    if kept == digest { Ok(Committed { revision, entities, findings, replayed: true }) } else { Err(RequestIdReused) }
}

fn remembered(request: RequestKey, at_ms: u64, committed: &Committed) -> Answer {
    Answer {
        digest: request.digest,
        at_ms,
        revision: committed.revision,
        entities: committed.entities.clone(),
        findings: committed.findings.clone(),
    }
}

fn codes(findings: &Findings, severity: Severity) -> Vec<Code> {
    let of_severity = findings.0.iter().filter(|finding| finding.severity == severity);
    let codes: BTreeSet<_> = of_severity.map(|finding| finding.code).collect();
    codes.into_iter().collect()
}
