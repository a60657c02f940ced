//! The use cases that both faces of the agent call: set networks up, plug guests' interfaces, confirm, commit, and tell what
//! the host is.
//!
//! [`Agent`] is the handle. What changes the host runs in [`Writer`], one transaction at a time, in a task of its own
//! that finishes or undoes; a caller that goes away changes nothing about a transaction that has begun. Up to
//! [`QUEUE`] further requests wait; one more is refused as busy.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tracing::Span;
use trestle_model::{
    Capabilities, Finding, HostState, IfName, LinkStatistics, PlugReport, PlugRequest, Progress, SetupRequest,
    TransactionId, TransactionReport,
};
use trestle_plan::{ObserveError, PlannedStep, Thing};

use crate::capabilities;
use crate::journal::{Change, Contents, Ended, HistoryPage, Journal, PersistentChange};
use crate::keeper::Board;
use crate::site::{Part, Site};

mod confirmation;
mod execution;
mod look;
mod performance;
mod plugging;
mod refusal;
mod restoration;
mod undo;
mod writer;

pub use confirmation::{Answered, Awaiting, Challenge, Confirmer};
pub use refusal::Refusal;
pub use writer::Writer;

use confirmation::Confirmations;
use plugging::PlugJob;
use writer::Turns;

/// How many requests wait while another is carried out.
pub const QUEUE: usize = 4;
/// How many signs of life wait for a reader; further ones are dropped, the end never is.
const PROGRESS_QUEUE: usize = 256;

/// The agent's use cases; clones share the host.
#[derive(Debug)]
pub struct Agent<H> {
    shared: Arc<Shared<H>>,
    queue: mpsc::Sender<Job>,
    repairs: mpsc::Sender<RepairJob>,
    plugs: mpsc::Sender<PlugJob>,
}

#[derive(Debug)]
struct Shared<H> {
    host: H,
    journal: Journal,
    boot_id: String,
    confirmations: Confirmations,
    /// How many requests were carried out, or undone, in this run.
    served: AtomicU64,
    board: watch::Sender<Board>,
}

/// Who asks, and how long the answer is of use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Who asks, as in a log: `engine`, `user/ada`, `local`.
    pub actor: String,
    /// Until when the transaction has to have begun; one that has begun is never cut short.
    pub begin_by: Option<Instant>,
}

/// A request that was taken up.
#[derive(Debug)]
pub struct Running {
    /// Signs of life; closes before the end.
    pub progress: mpsc::Receiver<Progress>,
    /// The end; closes without one when the agent stops.
    pub end: oneshot::Receiver<Result<Answer, Refusal>>,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The transaction.
    pub transaction: TransactionId,
    /// The plan, in order.
    pub steps: Vec<PlannedStep>,
    /// How it ended.
    pub end: End,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    /// Only findings and plan were asked for; these are all findings.
    Validated(Vec<Finding>),
    /// The transaction ended so, now or when it was first asked for.
    Finished(Box<TransactionReport>),
}

/// Where the host stands in the engine's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The kernel's boot id.
    pub boot_id: String,
    /// Hash of the running configuration.
    pub running_hash: String,
    /// The generation that the running configuration answers.
    pub generation: u64,
    /// The highest fencing epoch that was seen.
    pub fencing_epoch: u64,
}

/// A request on its way to the writer.
#[derive(Debug)]
struct Job {
    request: SetupRequest,
    caller: Caller,
    span: Span,
    progress: mpsc::Sender<Progress>,
    end: oneshot::Sender<Result<Answer, Refusal>>,
}

/// A repair on its way to the writer.
#[derive(Debug)]
struct RepairJob {
    things: BTreeSet<Thing>,
    end: oneshot::Sender<Result<Option<Answer>, Refusal>>,
}

impl<H: Site> Agent<H> {
    /// Makes the use cases of a host, and the writer that carries them out.
    pub fn new(host: H, journal: Journal, boot_id: String) -> (Self, Writer<H>) {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let (repairs, repair_jobs) = mpsc::channel(1);
        let (plugs, plug_jobs) = mpsc::channel(QUEUE);
        let shared = Arc::new(Shared {
            host,
            journal,
            boot_id,
            confirmations: Confirmations::new(),
            served: AtomicU64::new(0),
            board: watch::Sender::default(),
        });
        let turns = Turns { jobs, repairs: repair_jobs, plugs: plug_jobs };
        (Self { shared: Arc::clone(&shared), queue, repairs, plugs }, Writer::new(shared, turns))
    }

    /// Hands a request to the writer.
    ///
    /// A request whose caller drops [`Running::end`] before its turn comes is not begun.
    ///
    /// *Errors*: [`Refusal`]; nothing was changed. *Cancel safety*: safe.
    pub fn setup(&self, request: SetupRequest, caller: Caller) -> Result<Running, Refusal> {
        let (progress_in, progress) = mpsc::channel(PROGRESS_QUEUE);
        let (end_in, end) = oneshot::channel();
        let job = Job { request, caller, span: Span::current(), progress: progress_in, end: end_in };
        self.queue.try_send(job).map_err(turned_away)?;
        Ok(Running { progress, end })
    }

    /// Lets the writer bring back what was lost of the running configuration, and returns when that has ended; `None`
    /// where nothing of it is lost any more.
    ///
    /// Requests that wait go first, and a repair takes none of their places.
    ///
    /// *Errors*: [`Refusal`]; nothing was changed. *Cancel safety*: a repair that has begun goes on.
    pub(crate) async fn repair(&self, things: BTreeSet<Thing>) -> Result<Option<Answer>, Refusal> {
        let (end_in, end) = oneshot::channel();
        self.repairs.send(RepairJob { things, end: end_in }).await.map_err(|_| Refusal::Stopping)?;
        end.await.map_err(|_| Refusal::Stopping)?
    }

    /// Lets the writer make a domain's interfaces what is wanted, or says what that would do.
    ///
    /// *Errors*: [`Refusal`]; after [`Refusal::NotPlugged`] too everything is as it was, unless a finding says otherwise.
    /// *Cancel safety*: a wish that has begun goes on; one whose turn has not come is not begun.
    pub async fn plug(&self, request: PlugRequest, caller: Caller) -> Result<PlugReport, Refusal> {
        if request.validate_only {
            return plugging::validate(&self.shared, &request).await;
        }
        let (end_in, end) = oneshot::channel();
        let job = PlugJob { request, caller, span: Span::current(), end: end_in };
        self.plugs.try_send(job).map_err(turned_away)?;
        end.await.map_err(|_| Refusal::Stopping)?
    }

    /// Reads the host, without libvirt's part where that does not answer.
    ///
    /// *Errors*: the kernel's part cannot be read. *Cancel safety*: safe.
    pub(crate) async fn look(&self) -> Result<HostState, ObserveError> {
        look::look(&self.shared.host).await.map(|(observed, _)| observed)
    }

    /// Returns how many requests were carried out, or undone, in this run.
    pub(crate) fn served(&self) -> u64 {
        self.shared.served.load(Ordering::Relaxed)
    }

    /// Tells from now on what is done about drift.
    pub(crate) fn publish(&self, board: Board) {
        self.shared.board.send_if_modified(|known| {
            *known != board && {
                *known = board;
                true
            }
        });
    }

    /// Returns a channel that tells what is done about drift.
    pub fn board(&self) -> watch::Receiver<Board> {
        self.shared.board.subscribe()
    }

    /// Confirms that the host can still be reached; returns when the transaction can no longer be undone.
    ///
    /// *Errors*: [`Refusal::NotWaiting`], [`Refusal::WrongConfirmer`]. *Cancel safety*: whether the confirmation counts
    /// is then not known to the caller.
    pub async fn confirm(&self, transaction: TransactionId, by: Confirmer) -> Result<(), Refusal> {
        self.shared.confirmations.confirm(transaction, by).await
    }

    /// Makes the running configuration the persistent one, and returns its hash.
    ///
    /// A transaction that still waits for its confirmation is not running yet.
    ///
    /// *Errors*: [`Refusal::Store`]. *Cancel safety*: the commit happens whole or not.
    pub async fn commit(&self) -> Result<String, Refusal> {
        let change = Change { persistent: PersistentChange::Running, ..Change::default() };
        self.shared.journal.write(change).await?;
        Ok(self.shared.journal.hashed().1.persistent)
    }

    /// Tells what the host is and can do, also while libvirt does not answer. What needs a part that is not among `parts`
    /// is not told.
    ///
    /// *Errors*: [`Refusal::Unobservable`]. *Cancel safety*: safe.
    pub async fn capabilities(&self, parts: &BTreeSet<Part>) -> Result<Capabilities, Refusal> {
        let survey = self.shared.host.survey(parts).await?;
        let (contents, hashes) = self.shared.journal.hashed();
        let mut report = capabilities::of(&survey, parts, &contents, hashes, &self.shared.boot_id);
        self.shared.board.borrow().add_to(&mut report);
        Ok(report)
    }

    /// Returns up to `limit` transactions that ended before the one at position `before`, newest first.
    ///
    /// *Errors*: [`Refusal::Store`]. *Cancel safety*: safe.
    pub async fn history(&self, before: Option<u64>, limit: usize) -> Result<HistoryPage, Refusal> {
        Ok(self.shared.journal.history(before, limit).await?)
    }

    /// Tells what the devices called `names`, or all devices, have counted; ordered by name.
    ///
    /// *Errors*: [`Refusal::Unobservable`]. *Cancel safety*: safe.
    pub async fn statistics(&self, names: Option<&BTreeSet<IfName>>) -> Result<Vec<LinkStatistics>, Refusal> {
        Ok(self.shared.host.statistics(names).await?)
    }

    /// Tells where the host stands in the engine's history.
    pub fn standing(&self) -> Standing {
        let (contents, hashes) = self.shared.journal.hashed();
        Standing {
            boot_id: self.shared.boot_id.clone(),
            running_hash: hashes.running,
            generation: contents.running.generation,
            fencing_epoch: contents.fence.epoch,
        }
    }

    /// Remembers an engine's fencing epoch, so that an older engine is refused from now on.
    ///
    /// *Errors*: [`Refusal::Stale`] for an epoch that is older itself; [`Refusal::Store`]. *Cancel safety*: safe.
    pub async fn see_epoch(&self, epoch: u64) -> Result<(), Refusal> {
        let mut fence = self.shared.journal.contents().fence;
        if epoch < fence.epoch {
            return Err(Refusal::Stale { asked: trestle_model::Fence { epoch, generation: 0 }, held: fence });
        }
        if epoch > fence.epoch {
            fence.epoch = epoch;
            fence.generation = 0;
            self.shared.journal.write(Change { fence: Some(fence), ..Change::default() }).await?;
        }
        Ok(())
    }

    /// Returns the last transaction that has ended in this run.
    pub fn ended(&self) -> Option<Ended> {
        self.shared.journal.ended()
    }

    /// Returns a channel that tells which transaction waits for a confirmation, if any.
    pub fn awaiting(&self) -> watch::Receiver<Option<Awaiting>> {
        self.shared.confirmations.watch()
    }

    /// Returns a channel that tells when what is kept on disk has changed: a transaction began or ended, or a commit.
    pub fn kept(&self) -> watch::Receiver<Arc<Contents>> {
        self.shared.journal.watch()
    }
}

/// Says why a request found no place to wait.
fn turned_away<T>(error: mpsc::error::TrySendError<T>) -> Refusal {
    match error {
        mpsc::error::TrySendError::Full(_) => Refusal::Busy,
        mpsc::error::TrySendError::Closed(_) => Refusal::Stopping,
    }
}

impl<H> Clone for Agent<H> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            queue: self.queue.clone(),
            repairs: self.repairs.clone(),
            plugs: self.plugs.clone(),
        }
    }
}

#[cfg(test)]
mod busy;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod crashes;
#[cfg(test)]
mod scopes;
#[cfg(test)]
mod store_faults;
#[cfg(test)]
mod tests;
