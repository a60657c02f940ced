//! One transaction, phase by phase: observe, validate, plan, preview, journal, apply, verify, confirm, adopt, commit.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span, error, info, info_span, warn};
use trestle_model::{
    BondChange, Code, ConnectivityCheck, Finding, Findings, HostConfig, HostState, Ipv4Config, NetworkChange,
    NicChange, Origin, Outcome, Progress, Scope, SetupOptions, SetupRequest, TransactionId, TransactionReport,
};
use trestle_plan::transaction::{Event, Phase, Record};
use trestle_plan::{
    ObserveError, Plan, Subject, Target, Thing, missing_leases, plan, plan_back, repair_plan, spell_out, verify,
};
use trestle_telemetry::{chain, names};
use uuid::Uuid;

use super::confirmation::{Awaiting, Kept};
use super::look::look;
use super::performance::perform;
use super::undo::{Undone, undo};
use super::{Answer, Caller, End, Refusal, Shared, refusal};
use crate::clock;
use crate::digest;
use crate::hooks::{Consulted, Hooks};
use crate::journal::{Change, Durability, JournalError, Open, OpenChange, Past, PersistentChange};
use crate::site::Site;

/// The rests between looks at the host, while what was changed settles.
const SETTLING: [Duration; 4] =
    [Duration::from_millis(20), Duration::from_millis(100), Duration::from_millis(400), Duration::from_millis(1500)];

/// How long a change of the default route waits for its lease.
const LEASE_PATIENCE: Duration = Duration::from_secs(20);
/// The rest between looks at it.
const LEASE_REST: Duration = Duration::from_millis(200);

/// Says why a transaction has no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// Nothing was changed.
    Refused(Refusal),
    /// The store failed after the host was changed; only a new start can tell what is owed.
    Fatal(JournalError),
}

impl<T: Into<Refusal>> From<T> for Failure {
    fn from(refusal: T) -> Self {
        Self::Refused(refusal.into())
    }
}

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Errand {
    /// Somebody has asked for it: the whole host has to be read, and the default route waits for its lease.
    Request,
    /// It brings back what was lost, also while libvirt does not answer or a lease is away.
    Repair,
}

/// A transaction while it is carried out.
pub(super) struct Execution<'a, H> {
    pub(super) shared: &'a Shared<H>,
    pub(super) errand: Errand,
    pub(super) caller: &'a Caller,
    pub(super) progress: &'a mpsc::Sender<Progress>,
    pub(super) stop: &'a CancellationToken,
    pub(super) hooks: Option<&'a Hooks>,
}

impl<H: Site> Execution<'_, H> {
    /// Carries the request out to its end: applied, or undone.
    ///
    /// *Cancel safety*: none before the journal; after it, the next start undoes or finishes.
    pub(super) async fn carry_out(&self, request: SetupRequest) -> Result<Answer, Failure> {
        if let Some(answer) = self.replay(&request).await? {
            return Ok(answer);
        }
        self.check_fence(&request.options)?;
        let contents = self.shared.journal.contents();
        let spelled_out = spell_out(&request, &contents.running, &contents.persistent);
        let Consulted { request: consulted, notes } = self.consult(spelled_out).await?;
        let mut observed = in_phase("observe", self.observe_in_time()).await?;
        if asks_servers(&consulted) {
            observed.foreign_dhcp = self.shared.host.foreign_dhcp().await;
        }
        let plan = phase("plan").in_scope(|| match request.options.scope {
            Scope::Named | Scope::Everything => plan(&consulted, &contents.running, &observed),
            Scope::Persistent => plan_back(&consulted, &contents.running, &contents.persistent, &observed),
        });
        let mut plan = plan.map_err(|findings| Refusal::Findings(with(findings, &notes)))?;
        plan.findings = with(plan.findings, &notes);
        if request.options.validate_only {
            return Ok(Answer {
                transaction: request.options.transaction,
                steps: plan.steps,
                end: End::Validated(plan.findings.0),
            });
        }
        let answer = if plan.is_empty() {
            self.adopt_unchanged(request, plan).await?
        } else {
            self.change(request, plan).await?
        };
        // Before the answer is given: who has it finds the hooks' work done.
        if let Some(hooks) = self.hooks {
            let told = hooks.after(&consulted, &self.caller.actor, &answer);
            in_phase("hooks after", told).await;
        }
        Ok(answer)
    }

    /// Brings back what was lost of the running configuration; `None` where there is nothing to bring back.
    ///
    /// Nothing is asked for, so the hooks are told and not asked.
    pub(super) async fn repair(&self, things: &BTreeSet<Thing>) -> Result<Option<Answer>, Failure> {
        let observed = in_phase("observe", self.look()).await.map_err(Refusal::from)?;
        let contents = self.shared.journal.contents();
        let plan = phase("plan").in_scope(|| repair_plan(&contents.running, &observed, things));
        if plan.is_empty() {
            return Ok(None);
        }
        let request = naming(things, &contents.running);
        let answer = self.change(request.clone(), plan).await?;
        if let Some(hooks) = self.hooks {
            in_phase("hooks after", hooks.after(&request, &self.caller.actor, &answer)).await;
        }
        Ok(Some(answer))
    }

    async fn look(&self) -> Result<HostState, ObserveError> {
        match self.errand {
            Errand::Request => self.shared.host.observe().await,
            Errand::Repair => look(&self.shared.host).await.map(|(observed, _)| observed),
        }
    }

    /// Answers a repeated request with the first result.
    async fn replay(&self, request: &SetupRequest) -> Result<Option<Answer>, Refusal> {
        let transaction = request.options.transaction;
        let Some(past) = self.shared.journal.past(transaction).await? else { return Ok(None) };
        if past.request != *request {
            return Err(Refusal::RequestIdReused(transaction));
        }
        info!(transaction = %transaction, "repeated request answered with its first result");
        Ok(Some(Answer { transaction, steps: past.steps, end: End::Finished(Box::new(past.report)) }))
    }

    fn check_fence(&self, options: &SetupOptions) -> Result<(), Refusal> {
        let held = self.shared.journal.contents().fence;
        match options.fence {
            Some(asked) if asked < held => Err(Refusal::Stale { asked, held }),
            Some(_) | None => Ok(()),
        }
    }

    /// Asks the hooks what they want of the request; what they change is not part of what is remembered as asked for.
    async fn consult(&self, request: SetupRequest) -> Result<Consulted, Refusal> {
        let Some(hooks) = self.hooks else { return Ok(Consulted { request, notes: Vec::new() }) };
        let consulted = in_phase("hooks before", hooks.before(&request, &self.caller.actor)).await;
        consulted.map_err(Refusal::Findings)
    }

    async fn observe_in_time(&self) -> Result<HostState, Refusal> {
        let observe = self.shared.host.observe();
        match self.caller.begin_by {
            None => Ok(observe.await?),
            Some(deadline) => Ok(timeout_at(deadline, observe).await.map_err(|_| Refusal::Deadline)??),
        }
    }

    /// Takes over a configuration that the host has already: nothing is written to the host.
    async fn adopt_unchanged(&self, request: SetupRequest, plan: Plan) -> Result<Answer, Failure> {
        // What the disk has already is not written again: at a thousand networks that would be most of the work.
        let (contents, hashes) = self.shared.journal.hashed();
        let options = &request.options;
        let running = Some(plan.desired).filter(|desired| *desired != contents.running);
        let desired = running.as_ref().unwrap_or(&contents.running);
        let persistent = if contents.persistent == *desired { PersistentChange::Keep } else { persistence(options) };
        let fence = options.fence.filter(|fence| *fence != contents.fence);
        let is_new = running.is_some() || fence.is_some() || !matches!(persistent, PersistentChange::Keep);
        let report = TransactionReport {
            transaction: options.transaction,
            outcome: Outcome::Unchanged,
            steps: Vec::new(),
            findings: plan.findings.0,
            committed: options.commit_on_success,
            running_hash: running.as_ref().map_or(hashes.running, digest::of),
        };
        let past = self.past(request, &[], report);
        let answer = answer(&past);
        // Without a result that tells of no change, a repeated request would only be looked into again.
        let durability = if is_new { Durability::Disk } else { Durability::Soon };
        let change = Change { persistent, running, fence, past: Some(past), durability, ..Change::default() };
        self.shared.journal.write(change).await?;
        info!("host is as asked for already");
        Ok(answer)
    }

    async fn change(&self, request: SetupRequest, plan: Plan) -> Result<Answer, Failure> {
        let Plan { findings, steps, target, snapshot, desired } = plan;
        let fence = request.options.fence;
        let record = Record {
            request,
            phase: Phase::Applying,
            boot_id: self.shared.boot_id.clone(),
            snapshot,
            steps,
            desired,
            findings: findings.0,
            cause: None,
        };
        let mut open = Open { actor: self.caller.actor.clone(), began_ms: clock::now_ms(), record };
        let begun = Change { fence, open: OpenChange::Set(Box::new(open.clone())), ..Change::default() };
        if let Err(error) = in_phase("journal", self.shared.journal.write(begun)).await {
            // Whether the record is there is not known, and nothing is to be undone.
            let _unknown = self.shared.journal.write(Change { open: OpenChange::Clear, ..Change::default() }).await;
            return Err(error.into());
        }
        self.tell(Progress::Accepted {
            transaction: open.record.request.options.transaction,
            steps: open.record.steps.len(),
        });
        info!(steps = open.record.steps.len(), "transaction begins");

        let cause = match self.reach(&mut open, &target).await {
            Ok(()) => match in_phase("adopt", adopt(self.shared, &open)).await {
                Ok(past) => {
                    info!(committed = past.report.committed, "transaction applied");
                    return Ok(answer(&past));
                }
                // Whoever confirmed was told that it holds.
                Err(error) if is_confirmed(&open) => return Err(Failure::Fatal(error)),
                Err(error) => store_failed(&error),
            },
            Err(cause) => cause,
        };
        self.tell(Progress::Undoing { cause: cause.clone() });
        let past = take_back(self.shared, open, cause).await.map_err(Failure::Fatal)?;
        Ok(answer(&past))
    }

    /// Brings the host to the target, and has it confirmed.
    async fn reach(&self, open: &mut Open, target: &Target) -> Result<(), Finding> {
        in_phase("apply", self.apply(&open.record)).await?;
        in_phase("verify", self.verify(target)).await?;
        self.tell(Progress::Verified);
        in_phase("confirm", self.confirm(open)).await
    }

    async fn apply(&self, record: &Record) -> Result<(), Finding> {
        let of = record.steps.len();
        let mut performer = self.shared.host.performer();
        for (position, planned) in record.steps.iter().enumerate() {
            perform(&mut performer, &planned.step).await.map_err(|failure| {
                let message = format!("step {} of {of}, {}: {}", position + 1, planned.step, failure.reason);
                Finding::error(Code::StepFailed, "", message)
            })?;
            self.tell(Progress::Step { number: position + 1, of, text: planned.step.to_string() });
        }
        Ok(())
    }

    /// Compares the host with what was planned; gives what the kernel does by itself a moment to settle.
    async fn verify(&self, target: &Target) -> Result<(), Finding> {
        let mut rests = SETTLING.iter();
        loop {
            let fault = match self.look().await {
                Ok(observed) => {
                    let drift = verify(target, &observed);
                    if drift.is_empty() {
                        return match self.errand {
                            Errand::Request => self.await_leases(target, observed).await,
                            Errand::Repair => Ok(()),
                        };
                    }
                    let lines: Vec<String> = drift.iter().map(ToString::to_string).collect();
                    lines.join("; ")
                }
                Err(error) => error.to_string(),
            };
            let Some(rest) = rests.next() else {
                return Err(Finding::error(Code::VerificationFailed, "", fault));
            };
            warn!(fault, "host is not as planned yet, will be looked at again");
            sleep(*rest).await;
        }
    }

    /// Waits for the leases that the default route is to come with, for a time.
    async fn await_leases(&self, target: &Target, mut observed: HostState) -> Result<(), Finding> {
        let until = Instant::now() + LEASE_PATIENCE;
        loop {
            let missing = missing_leases(target, &observed);
            if missing.is_empty() {
                return Ok(());
            }
            if Instant::now() >= until {
                let lines: Vec<String> = missing.iter().map(ToString::to_string).collect();
                return Err(Finding::error(Code::VerificationFailed, "", lines.join("; ")));
            }
            sleep(LEASE_REST).await;
            observed = match self.shared.host.observe().await {
                Ok(observed) => observed,
                Err(error) => return Err(Finding::error(Code::VerificationFailed, "", error.to_string())),
            };
        }
    }

    /// Waits for the confirmation, if somebody has to confirm, and writes down that it came before it counts.
    async fn confirm(&self, open: &mut Open) -> Result<(), Finding> {
        let SetupOptions { transaction, connectivity_check: check, .. } = open.record.request.options;
        let Some(timeout) = check.timeout() else {
            advance(open, Event::Verified);
            return Ok(());
        };
        let awaiting = Awaiting { transaction, check, until: Instant::now() + timeout };
        advance(open, Event::VerifiedUnconfirmed);
        self.write_open(open).await?;
        let mut wait = self.shared.confirmations.open(awaiting, &open.actor);
        let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        self.tell(Progress::AwaitingConfirmation { timeout_ms });
        info!(timeout_ms, "transaction waits for its confirmation");
        // Cancel safety: the wait is not used again after the stop.
        let confirmed: Option<Kept> = tokio::select! {
            biased;
            confirmed = wait.confirmed() => confirmed,
            () = self.stop.cancelled() => {
                return Err(Finding::error(Code::ConnectivityLost, "", "the agent was stopped before the confirmation came"));
            }
        };
        let Some(kept) = confirmed else {
            let message = format!("no confirmation came within {} ms", timeout.as_millis());
            return Err(Finding::error(Code::ConnectivityLost, "", message));
        };
        advance(open, Event::Confirmed);
        let written = self.write_open(open).await;
        // A confirmer that has gone does not take its confirmation back.
        let _gone = kept.send(written.clone());
        written?;
        self.tell(Progress::Confirmed);
        Ok(())
    }

    async fn write_open(&self, open: &Open) -> Result<(), Finding> {
        write_open(self.shared, open).await.map_err(|error| store_failed(&error))
    }

    fn past(&self, request: SetupRequest, steps: &[trestle_plan::PlannedStep], report: TransactionReport) -> Past {
        Past {
            actor: self.caller.actor.clone(),
            began_ms: None,
            ended_ms: clock::now_ms(),
            request,
            steps: steps.to_vec(),
            report,
        }
    }

    /// Tells whoever listens; a listener that is slow or gone misses it.
    fn tell(&self, progress: Progress) {
        let _missed = self.progress.try_send(progress);
    }
}

/// Takes the transaction's configuration over and closes its record, in one commit.
pub(super) async fn adopt<H>(shared: &Shared<H>, open: &Open) -> Result<Past, JournalError> {
    let Open { actor, began_ms, record } = open;
    let options = &record.request.options;
    let report = TransactionReport {
        transaction: options.transaction,
        outcome: Outcome::Applied,
        steps: record.steps.iter().map(|planned| planned.step.to_string()).collect(),
        findings: record.findings.clone(),
        committed: options.commit_on_success,
        running_hash: digest::of(&record.desired),
    };
    let past = Past {
        actor: actor.clone(),
        began_ms: Some(*began_ms),
        ended_ms: clock::now_ms(),
        request: record.request.clone(),
        steps: record.steps.clone(),
        report,
    };
    let change = Change {
        running: Some(record.desired.clone()),
        persistent: persistence(options),
        open: OpenChange::Clear,
        past: Some(past.clone()),
        ..Change::default()
    };
    shared.journal.write(change).await?;
    Ok(past)
}

/// Puts the host back to the snapshot, and closes the record with the cause.
///
/// While libvirt does not answer, what was seen of the host is put back and told, and the record stays open: its end is owed.
///
/// *Errors*: the store failed; the record is still open, and the next start goes on.
pub(super) async fn take_back<H: Site>(
    shared: &Shared<H>,
    mut open: Open,
    cause: Finding,
) -> Result<Past, JournalError> {
    warn!(cause = %cause, "transaction is undone");
    open.record.phase = Phase::Undoing;
    open.record.cause = Some(cause.clone());
    if let Err(error) = write_open(shared, &open).await {
        // The record that is there leads to the same undo.
        error!(error = %chain(&error), "undo begins without being journalled as such");
    }
    match undo(&shared.host, &open.record.snapshot).await {
        Undone::Wholly => {
            info!("host is as before");
            close(shared, open, Outcome::RolledBack(cause)).await
        }
        Undone::But(leftovers) => {
            error!(left = %listing(&leftovers), "host could not be put back wholly");
            close(shared, open, Outcome::RollbackFailed { cause, leftovers }).await
        }
        Undone::Blindly(leftovers) => {
            error!(left = %listing(&leftovers), "host could not be put back wholly, what libvirt has is owed");
            let running = &shared.journal.contents().running;
            Ok(past_without(running, open, Outcome::RollbackFailed { cause, leftovers }))
        }
    }
}

/// Closes the record of a transaction whose configuration is not taken over.
pub(super) async fn close<H>(shared: &Shared<H>, open: Open, outcome: Outcome) -> Result<Past, JournalError> {
    let contents = shared.journal.contents();
    let past = past_without(&contents.running, open, outcome);
    let change = Change {
        // Said again, since an adoption may have failed half-way.
        running: Some(contents.running.clone()),
        persistent: PersistentChange::Set(contents.persistent.clone()),
        open: OpenChange::Clear,
        past: Some(past.clone()),
        ..Change::default()
    };
    shared.journal.write(change).await?;
    Ok(past)
}

/// Returns what there is to say of a transaction whose configuration is not taken over; `running` is kept instead.
fn past_without(running: &HostConfig, open: Open, outcome: Outcome) -> Past {
    let report = TransactionReport {
        transaction: open.record.request.options.transaction,
        outcome,
        steps: open.record.steps.iter().map(|planned| planned.step.to_string()).collect(),
        findings: open.record.findings,
        committed: false,
        running_hash: digest::of(running),
    };
    Past {
        actor: open.actor,
        began_ms: Some(open.began_ms),
        ended_ms: clock::now_ms(),
        request: open.record.request,
        steps: open.record.steps,
        report,
    }
}

/// Tells whether somebody had to confirm the transaction, and has: the disk was told so.
fn is_confirmed(open: &Open) -> bool {
    open.record.phase == Phase::Adopting && open.record.request.options.connectivity_check.timeout().is_some()
}

async fn write_open<H>(shared: &Shared<H>, open: &Open) -> Result<(), JournalError> {
    shared.journal.write(Change { open: OpenChange::Set(Box::new(open.clone())), ..Change::default() }).await
}

fn advance(open: &mut Open, event: Event) {
    open.record.phase =
        open.record.phase.after(event).expect("the phases of one transaction follow each other in this module's order");
}

fn persistence(options: &SetupOptions) -> PersistentChange {
    if options.commit_on_success { PersistentChange::Running } else { PersistentChange::Keep }
}

/// Tells whether a request wants an address of a DHCP server.
fn asks_servers(request: &SetupRequest) -> bool {
    request.changes.iter().any(|change| match change {
        NetworkChange::Set(spec) => spec.ipv4 == Ipv4Config::Dhcp || spec.ipv6.leases(),
        NetworkChange::Remove(_) => false,
    })
}

fn store_failed(error: &JournalError) -> Finding {
    error!(error = %chain(error), "store failed within a transaction");
    refusal::store_failed(error)
}

/// Adds what the hooks did to a plan's findings.
fn with(findings: Findings, notes: &[Finding]) -> Findings {
    Findings(findings.0.into_iter().chain(notes.iter().cloned()).collect()).sorted()
}

fn answer(past: &Past) -> Answer {
    Answer {
        transaction: past.report.transaction,
        steps: past.steps.clone(),
        end: End::Finished(Box::new(past.report.clone())),
    }
}

fn listing(leftovers: &[trestle_model::Leftover]) -> String {
    let lines: Vec<String> = leftovers.iter().map(ToString::to_string).collect();
    lines.join("; ")
}

fn phase(name: &'static str) -> Span {
    info_span!(names::PHASE_SPAN, { names::PHASE } = name)
}

async fn in_phase<T>(name: &'static str, work: impl Future<Output = T>) -> T {
    work.instrument(phase(name)).await
}

/// Returns the request that names what a repair is about, as it is configured: what the history shows.
fn naming(things: &BTreeSet<Thing>, running: &HostConfig) -> SetupRequest {
    let (mut networks, mut bonds, mut nics) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for thing in things {
        match &thing.subject {
            Subject::Network(name) | Subject::Port { network: name, .. } => drop(networks.insert(name)),
            Subject::Bond(name) => drop(bonds.insert(name)),
            Subject::Nic(name) => drop(nics.insert(name)),
        }
    }
    let network = |name| Some(NetworkChange::Set(running.networks.get(name)?.spec.clone()));
    let bond = |name| Some(BondChange::Set(running.bonds.get(name)?.spec.clone()));
    let nic = |name| Some(NicChange::Set(running.nics.get(name)?.spec.clone()));
    let changes = networks.into_iter().filter_map(network).collect();
    let bonds = bonds.into_iter().filter_map(bond).collect();
    let nics = nics.into_iter().filter_map(nic).collect();
    let options = SetupOptions {
        transaction: TransactionId(Uuid::now_v7()),
        origin: Origin::Local,
        connectivity_check: ConnectivityCheck::None,
        commit_on_success: false,
        validate_only: false,
        acknowledge: Vec::new(),
        fence: None,
        scope: Scope::Named,
        adopt: BTreeSet::new(),
    };
    SetupRequest { changes, bonds, nics, options }
}
