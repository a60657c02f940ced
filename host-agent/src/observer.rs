//! The one task that looks at the host for all who watch it.
//!
//! While somebody watches, it looks whenever kernel, libvirt or the journal tell of a change, compares with what it saw
//! before, and notes each object that differs in a log. Changes that follow each other quickly make one look, and
//! looks never take more than a fifth of the time. While nobody watches, it does nothing; who comes then is told after
//! a fresh look. A watcher holds a place in the log and no buffer: who falls behind further than the log reaches is
//! told so, and begins again.
//!
//! It never changes the host, and it never polls.

mod log;
mod watcher;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use trestle_model::{HostObject, ObjectKind, TransactionStage, TransactionState};
use trestle_plan::ObserveError;
use trestle_plan::transaction::Phase;
use trestle_telemetry::chain;
use uuid::Uuid;

use crate::journal::{Ended, Open};
use crate::site::{Part, Site};
use crate::transaction::{Agent, Refusal};

pub use watcher::{News, Watcher};

use log::Log;

/// How many may watch at a time; one more is refused.
pub const WATCHERS: usize = 64;
/// How long changes are gathered before a look.
const SETTLE: Duration = Duration::from_millis(100);
/// The least time between two looks for what bridges learned from traffic alone.
const LEARNING_REST: Duration = Duration::from_secs(5);
/// A look is followed by a rest of so many times its length.
const REST_SHARE: u32 = 4;
/// How long to wait before a host that could not be observed is looked at again.
const RETRY: Duration = Duration::from_secs(2);

/// The handle by which watches are opened; clones share the observer.
#[derive(Debug, Clone)]
pub struct Watches {
    shared: Arc<Shared>,
    requests: mpsc::Sender<Request>,
}

/// Looks at the host; made by [`Watches::new`].
#[derive(Debug)]
pub struct Observer<H> {
    agent: Agent<H>,
    shared: Arc<Shared>,
    requests: mpsc::Receiver<Request>,
    waiting: Vec<Request>,
    head: watch::Sender<u64>,
    notices: Notices,
    /// When the host is looked at next; none while nothing has changed.
    due: Option<Instant>,
    /// When the host may be looked at next.
    rested: Instant,
    looked: Instant,
}

/// What tells that the host may have changed; each counts up.
#[derive(Debug, Clone)]
pub struct Notices {
    /// Anything but what [`Self::learned`] counts.
    pub changed: watch::Receiver<u64>,
    /// What bridges learned from traffic, or forgot.
    pub learned: watch::Receiver<u64>,
}

/// Asks for a look, and is answered after one that began later.
type Request = oneshot::Sender<Result<(), ObserveError>>;

#[derive(Debug)]
struct Shared {
    /// This run of the agent: revisions of another mean nothing.
    run: Uuid,
    log: Mutex<Log>,
    /// The revision of the log; closes when the observer ends. Every watcher has a clone of its own.
    head: watch::Receiver<u64>,
    seats: Arc<Semaphore>,
}

impl Watches {
    /// Makes the handle and its observer. `run` names this run of the agent.
    pub fn new<H: Site>(agent: Agent<H>, notices: Notices, run: Uuid) -> (Self, Observer<H>) {
        Self::with_log(agent, notices, run, Log::new(log::LIMIT))
    }

    fn with_log<H: Site>(agent: Agent<H>, notices: Notices, run: Uuid, log: Log) -> (Self, Observer<H>) {
        let (head_in, head) = watch::channel(0);
        let (asked, requests) = mpsc::channel(WATCHERS);
        let seats = Arc::new(Semaphore::new(WATCHERS));
        let shared = Arc::new(Shared { run, log: Mutex::new(log), head, seats });
        let now = Instant::now();
        let observer = Observer {
            agent,
            shared: Arc::clone(&shared),
            requests,
            waiting: Vec::new(),
            head: head_in,
            notices,
            due: None,
            rested: now,
            looked: now,
        };
        (Self { shared, requests: asked }, observer)
    }

    /// Opens a watch over the objects of `kinds`, or over all: from where `resume` says, or with a snapshot.
    ///
    /// *Errors*: [`Refusal::WatchLimit`], [`Refusal::ResumeTokenExpired`], [`Refusal::Unobservable`],
    /// [`Refusal::Stopping`]. *Cancel safety*: safe.
    pub async fn open(&self, resume: Option<&str>, kinds: Option<BTreeSet<ObjectKind>>) -> Result<Watcher, Refusal> {
        let seat = Arc::clone(&self.shared.seats).try_acquire_owned().map_err(|_| Refusal::WatchLimit)?;
        // From here on the observer sees that somebody watches.
        let head = self.shared.head.clone();
        let (request, answer) = oneshot::channel();
        self.requests.send(request).await.map_err(|_| Refusal::Stopping)?;
        answer.await.map_err(|_| Refusal::Stopping)??;
        Watcher::new(Arc::clone(&self.shared), seat, head, resume, kinds)
    }
}

impl<H: Site> Observer<H> {
    /// Looks at the host, while somebody watches, until `stop` is cancelled.
    ///
    /// *Cancel safety*: safe.
    pub async fn run(mut self, stop: CancellationToken) {
        let (mut kept, mut awaiting, mut board) = (self.agent.kept(), self.agent.awaiting(), self.agent.board());
        loop {
            let is_watched = self.head.receiver_count() > 1;
            let learns = is_watched && self.shared.log().objects().keys().any(|key| key.kind == ObjectKind::MacTable);
            let due = self.due.map(|due| due.max(self.rested));
            // Cancel safety: receiving, waiting for a change of a level, and sleeping all are.
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Some(request) = self.requests.recv() => {
                    self.waiting.push(request);
                    self.due = Some(Instant::now());
                }
                () = at(due) => self.look().await,
                Ok(()) = self.notices.changed.changed(), if is_watched => self.due_in(SETTLE),
                Ok(()) = kept.changed(), if is_watched => self.due_in(Duration::ZERO),
                Ok(()) = awaiting.changed(), if is_watched => self.due_in(Duration::ZERO),
                Ok(()) = board.changed(), if is_watched => self.due_in(Duration::ZERO),
                Ok(()) = self.notices.learned.changed(), if learns => {
                    self.due_in((self.looked + LEARNING_REST).saturating_duration_since(Instant::now()).max(SETTLE));
                }
            }
        }
    }

    fn due_in(&mut self, rest: Duration) {
        let at = Instant::now() + rest;
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    async fn look(&mut self) {
        // What is told while the host is read is due again afterwards.
        self.notices.changed.mark_unchanged();
        self.notices.learned.mark_unchanged();
        self.due = None;
        while let Ok(request) = self.requests.try_recv() {
            self.waiting.push(request);
        }
        let began = Instant::now();
        let looked = self.agent.capabilities(&Part::all()).await;
        self.looked = Instant::now();
        self.rested = self.looked + (self.looked - began) * REST_SHARE;
        let outcome = match looked {
            Ok(report) => {
                let objects = HostObject::all(report, self.transactions());
                let head = {
                    let mut log = self.shared.log();
                    log.update(objects);
                    log.head()
                };
                self.head.send_if_modified(|known| std::mem::replace(known, head) != head);
                Ok(())
            }
            Err(refusal) => {
                warn!(error = %chain(&refusal), "host not observed for its watchers");
                self.due = Some(self.looked + RETRY);
                Err(if let Refusal::Unobservable(error) = refusal {
                    error
                } else {
                    ObserveError::Kernel(refusal.to_string())
                })
            }
        };
        for request in self.waiting.drain(..) {
            let _gone = request.send(outcome.clone());
        }
    }

    /// Returns the transaction that runs, and the last one that ended in this run.
    fn transactions(&self) -> Vec<TransactionState> {
        let contents = self.agent.kept().borrow().clone();
        let ended = self.agent.ended().map(ended);
        ended.into_iter().chain(contents.open.as_ref().map(open)).collect()
    }
}

impl Shared {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn at(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

fn open(open: &Open) -> TransactionState {
    let stage = match open.record.phase {
        Phase::Applying => TransactionStage::Applying,
        Phase::AwaitingConfirmation => TransactionStage::AwaitingConfirmation,
        Phase::Undoing => TransactionStage::Undoing,
        Phase::Adopting | Phase::Closed => TransactionStage::Adopting,
    };
    let transaction = open.record.request.options.transaction;
    TransactionState { transaction, actor: open.actor.clone(), stage }
}

fn ended(ended: Ended) -> TransactionState {
    let Ended { transaction, actor, outcome } = ended;
    TransactionState { transaction, actor, stage: TransactionStage::Ended(outcome) }
}
