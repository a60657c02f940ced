//! The one task that changes the host.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, error, info, info_span};
use trestle_plan::ObserveError;
use trestle_telemetry::{chain, names};

use super::execution::{Errand, Execution, Failure};
use super::plugging::{self, PlugJob};
use super::restoration::{PATIENCE, Restored, finish_open, restore_after_boot, resume};
use super::{Answer, Caller, End, Job, Refusal, RepairJob, Shared};
use crate::hooks::Hooks;
use crate::journal::JournalError;
use crate::keeper::KEEPER;
use crate::site::Site;

/// How often a restore, or an undo, that lacked libvirt is tried again.
const RESTORE_PERIOD: Duration = Duration::from_secs(5);

/// Carries requests out, one at a time; made by [`super::Agent::new`].
#[derive(Debug)]
pub struct Writer<H> {
    shared: Arc<Shared<H>>,
    turns: Turns,
    restored: Restored,
    hooks: Option<Hooks>,
}

/// What waits for its turn.
#[derive(Debug)]
pub(super) struct Turns {
    pub(super) jobs: mpsc::Receiver<Job>,
    pub(super) repairs: mpsc::Receiver<RepairJob>,
    pub(super) plugs: mpsc::Receiver<PlugJob>,
}

/// What the writer does next.
enum Turn {
    Stop,
    Restore,
    Job(Box<Job>),
    Repair(RepairJob),
    Plug(Box<PlugJob>),
}

impl<H: Site> Writer<H> {
    pub(super) const fn new(shared: Arc<Shared<H>>, turns: Turns) -> Self {
        Self { shared, turns, restored: Restored::Wholly, hooks: None }
    }

    /// Lets the writer ask and tell these hooks; without it there are none.
    #[must_use]
    pub fn with_hooks(self, hooks: Hooks) -> Self {
        Self { hooks: Some(hooks), ..self }
    }

    /// Ends what an earlier run left open, and restores the persistent configuration after a boot. Comes before
    /// [`Self::run`], and before anybody is served.
    ///
    /// After a boot the kernel's part comes first, without a question to libvirt, which may wait for it; `networks_are_up` is
    /// called then, or at once where nothing was owed.
    ///
    /// *Errors*: the store failed. *Cancel safety*: safe; the next start owes the same.
    pub async fn recover(&mut self, networks_are_up: impl FnOnce()) -> Result<(), JournalError> {
        // Before anything else, so that no address ends meanwhile; and after it, for devices that have come.
        resume(&self.shared).await;
        finish_open(&self.shared).await?;
        restore_after_boot(&self.shared, 0).await?;
        networks_are_up();
        self.restored = restore_after_boot(&self.shared, PATIENCE).await?;
        resume(&self.shared).await;
        Ok(())
    }

    /// Carries requests out until `stop` is cancelled; a transaction that has begun is finished or undone first.
    ///
    /// *Errors*: the store failed after the host was changed; the process must stop, and its next start goes on.
    /// *Cancel safety*: none; the next start finishes or undoes.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), JournalError> {
        loop {
            let restore_at = Instant::now() + RESTORE_PERIOD;
            let owed = self.restored == Restored::WithoutLibvirt || self.is_open();
            // Cancel safety: receiving from a channel, sleeping, and waiting for a token all are.
            let turn = tokio::select! {
                biased;
                () = stop.cancelled() => Turn::Stop,
                () = sleep_until(restore_at), if owed => Turn::Restore,
                job = self.turns.jobs.recv() => job.map_or(Turn::Stop, |job| Turn::Job(Box::new(job))),
                Some(plug) = self.turns.plugs.recv() => Turn::Plug(Box::new(plug)),
                Some(repair) = self.turns.repairs.recv() => Turn::Repair(repair),
            };
            match turn {
                Turn::Stop => break,
                Turn::Restore => self.restore().await?,
                Turn::Job(job) => {
                    // A change must not come before the restore, which would take it back.
                    self.restore().await?;
                    if self.is_open() {
                        let _gone = job.end.send(Err(unseen()));
                    } else {
                        self.serve(*job, &stop).await?;
                    }
                }
                Turn::Repair(repair) => {
                    self.restore().await?;
                    if self.is_open() {
                        let _gone = repair.end.send(Err(unseen()));
                    } else {
                        self.repair(repair, &stop).await?;
                    }
                }
                Turn::Plug(plug) => {
                    self.restore().await?;
                    if self.is_open() {
                        let _gone = plug.end.send(Err(unseen()));
                    } else {
                        self.plug(*plug).await;
                    }
                }
            }
        }
        self.turns.jobs.close();
        while let Some(job) = self.turns.jobs.recv().await {
            let _gone = job.end.send(Err(Refusal::Stopping));
        }
        // Whoever waits for a repair, or to plug, is told by the end of these channels.
        self.turns.repairs.close();
        self.turns.plugs.close();
        info!("writer stopped");
        Ok(())
    }

    /// Tells whether a transaction was undone without libvirt: between two transactions no other is open.
    fn is_open(&self) -> bool {
        self.shared.journal.contents().open.is_some()
    }

    /// Makes up for an undo and for a restore that lacked libvirt, if it answers now.
    async fn restore(&mut self) -> Result<(), JournalError> {
        if self.is_open() && self.shared.host.observe().await.is_ok() {
            finish_open(&self.shared).await?;
        }
        if self.restored == Restored::WithoutLibvirt {
            self.restored = restore_after_boot(&self.shared, 1).await?;
        }
        Ok(())
    }

    async fn serve(&self, job: Job, stop: &CancellationToken) -> Result<(), JournalError> {
        let Job { request, caller, span, progress, end } = job;
        if end.is_closed() {
            info!(transaction = %request.options.transaction, "caller gave up before its turn");
            return Ok(());
        }
        if caller.begin_by.is_some_and(|deadline| deadline <= Instant::now()) {
            let _gone = end.send(Err(Refusal::Deadline));
            return Ok(());
        }
        let span = info_span!(
            parent: &span,
            "transaction",
            { names::COMMAND_ID } = %request.options.transaction,
            { names::PEER } = caller.actor,
        );
        let hooks = self.hooks.as_ref();
        let errand = Errand::Request;
        let execution = Execution { shared: &self.shared, errand, caller: &caller, progress: &progress, stop, hooks };
        let ended = Box::pin(execution.carry_out(request)).instrument(span).await;
        drop(progress);
        if let Ok(Answer { end: End::Finished(_), .. }) = &ended {
            self.shared.served.fetch_add(1, Ordering::Relaxed);
        }
        give(ended, end)
    }

    async fn plug(&self, job: PlugJob) {
        let PlugJob { request, caller, span, end } = job;
        if end.is_closed() {
            info!(domain = %request.domain, "caller gave up before its turn");
            return;
        }
        if caller.begin_by.is_some_and(|deadline| deadline <= Instant::now()) {
            let _gone = end.send(Err(Refusal::Deadline));
            return;
        }
        let span = info_span!(parent: &span, "plugging", { names::PEER } = caller.actor);
        let ended = Box::pin(plugging::carry_out(&self.shared, &request, &caller.actor)).instrument(span).await;
        if let Err(refusal) = &ended {
            info!(error = %chain(refusal), "request refused");
        }
        let _gone = end.send(ended);
    }

    async fn repair(&self, job: RepairJob, stop: &CancellationToken) -> Result<(), JournalError> {
        let RepairJob { things, end } = job;
        // Nobody listens, and so nobody has to be waited for.
        let (progress, _) = mpsc::channel(1);
        let caller = Caller { actor: KEEPER.to_owned(), begin_by: None };
        let (hooks, errand) = (self.hooks.as_ref(), Errand::Repair);
        let execution = Execution { shared: &self.shared, errand, caller: &caller, progress: &progress, stop, hooks };
        let span = info_span!("repair", { names::PEER } = caller.actor);
        give(Box::pin(execution.repair(&things)).instrument(span).await, end)
    }
}

/// Refuses what comes while an undo is owed.
fn unseen() -> Refusal {
    let why = "it does not answer, and the undo of the last transaction needs it; ask again when it does";
    Refusal::Unobservable(ObserveError::Libvirt(why.to_owned()))
}

/// Gives an end to whoever waits for it; one who has gone misses it.
fn give<T>(ended: Result<T, Failure>, end: oneshot::Sender<Result<T, Refusal>>) -> Result<(), JournalError> {
    let answer = match ended {
        Ok(answer) => Ok(answer),
        Err(Failure::Refused(refusal)) => {
            info!(error = %chain(&refusal), "request refused");
            Err(refusal)
        }
        Err(Failure::Fatal(error)) => {
            error!(error = %chain(&error), "store failed within a transaction");
            return Err(error);
        }
    };
    let _gone = end.send(answer);
    Ok(())
}
