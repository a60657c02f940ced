//! The one task that keeps the host as agreed between requests.
//!
//! Whenever kernel, libvirt or the journal tell of a change, and once a period, it compares the host with the running
//! configuration, and lets the writer repair what others took away or altered. It is level-triggered: what it does
//! follows from the host as it is, never from which event came. A repair is a transaction like any other, journalled,
//! verified, undone where it fails, and in the history, under the name [`KEEPER`] (D-0040).
//!
//! It never changes the host itself, never repairs while a transaction runs or waits for its confirmation, and never
//! fights: what is lost again and again is repaired after growing rests, then not any more.

mod board;
mod case;
mod sightings;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use trestle_model::{DriftKind, HostConfig, Outcome, RepairTally};
use trestle_plan::{Loss, Subject, Thing, losses, sightings};
use trestle_telemetry::chain;

pub use self::board::Board;
use self::case::Case;
use self::sightings::Sightings;
use crate::clock::now_ms;
use crate::journal::another;
use crate::site::Site;
use crate::transaction::{Agent, Answer, End, Refusal};

/// The actor of repairs, as in logs and in the history.
pub const KEEPER: &str = "keeper";
/// How long changes are gathered before a look.
const SETTLE: Duration = Duration::from_millis(100);
/// A look is followed by a rest of so many times its length.
const REST_SHARE: u32 = 4;
/// How long to wait before a host that could not be observed is looked at again.
const RETRY: Duration = Duration::from_secs(5);

/// What the operator wants to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The kinds of things that are repaired; others are told as drift.
    pub repair: BTreeSet<DriftKind>,
    /// How often the host is looked at although nothing is told: for what no event tells of, such as the resolver's file.
    pub period: Duration,
}

/// Keeps the host; made by [`Keeper::new`].
#[derive(Debug)]
pub struct Keeper<H> {
    agent: Agent<H>,
    policy: Policy,
    changed: watch::Receiver<u64>,
    cases: BTreeMap<Thing, Case>,
    sightings: Sightings,
    tally: RepairTally,
    /// How many requests had been carried out at the last look.
    served: u64,
}

/// What became of a repair.
enum Repaired {
    /// It was done.
    Done,
    /// Nothing was lost any more.
    Needless,
    /// The writer did not begin it; another time.
    Deferred,
    /// It was undone, or refused, and why.
    Failed(String),
}

impl<H: Site> Keeper<H> {
    /// Makes the keeper of an agent's host; `changed` counts up when something may differ.
    pub fn new(agent: Agent<H>, policy: Policy, changed: watch::Receiver<u64>) -> Self {
        let served = agent.served();
        Self {
            agent,
            policy,
            changed,
            cases: BTreeMap::new(),
            sightings: Sightings::default(),
            tally: RepairTally::default(),
            served,
        }
    }

    /// Keeps the host until `stop` is cancelled. It looks at once when it begins.
    ///
    /// *Cancel safety*: safe; a repair that has begun is the writer's.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut kept = self.agent.kept();
        // Held, so that it is another one as soon as anything but the history has changed.
        let mut known = Arc::clone(&kept.borrow_and_update());
        let mut due = Instant::now();
        let mut rested = due;
        loop {
            // Cancel safety: sleeping and waiting for a change of a level are.
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = sleep_until(due.max(rested)) => {
                    // What is told while the host is read is due again afterwards.
                    self.changed.mark_unchanged();
                    known = Arc::clone(&kept.borrow_and_update());
                    let began = Instant::now();
                    due = self.turn().await;
                    let now = Instant::now();
                    rested = now + (now - began).min(SETTLE) * REST_SHARE;
                }
                Ok(()) = self.changed.changed() => due = due.min(Instant::now() + SETTLE),
                Ok(now) = another(&mut kept, &known) => {
                    known = now;
                    due = due.min(Instant::now() + SETTLE);
                }
            }
        }
    }

    /// Looks at the host, repairs what is due, and returns when to look next.
    async fn turn(&mut self) -> Instant {
        let later = Instant::now() + self.policy.period;
        let contents = self.agent.kept().borrow().clone();
        if contents.open.is_some() {
            // Its end is told.
            return later;
        }
        let HostConfig { networks, bonds, nics, .. } = &contents.running;
        let losses = if networks.is_empty() && bonds.is_empty() && nics.is_empty() {
            Vec::new()
        } else {
            match self.agent.look().await {
                Ok(observed) => {
                    // Without libvirt nobody knows whose a port is.
                    if observed.libvirt.is_some() {
                        self.sightings.note(sightings(&contents.running, &observed), now_ms());
                    }
                    losses(&contents.running, &observed)
                }
                Err(error) => {
                    warn!(error = %chain(&error), "host not observed for its keeping");
                    return Instant::now() + RETRY;
                }
            }
        };
        self.note(losses);
        self.publish();
        let mut deferred = false;
        for things in self.due() {
            deferred |= matches!(self.repair(things).await, Repaired::Deferred);
            self.publish();
        }
        let retry = deferred.then(|| Instant::now() + RETRY);
        let rests = self.cases.values().filter_map(|case| case.due(&self.policy));
        rests.chain(retry).fold(later, Instant::min)
    }

    /// Notes what is lost now. Whoever asks for something new begins a new count.
    fn note(&mut self, losses: Vec<Loss>) {
        let now = Instant::now();
        let served = self.agent.served();
        if std::mem::replace(&mut self.served, served) != served {
            self.cases.clear();
        }
        let mut lost: BTreeMap<Thing, Loss> = losses.into_iter().map(|loss| (loss.thing.clone(), loss)).collect();
        self.cases.retain(|thing, case| match lost.remove(thing) {
            Some(loss) => {
                case.lost(loss, now);
                true
            }
            None => case.in_order(now),
        });
        self.cases.extend(lost.into_iter().map(|(thing, loss)| (thing, Case::new(loss, now))));
        for (thing, case) in &mut self.cases {
            if let Some(loss) = case.announced(now) {
                warn!(thing = %thing, lost = %listing(loss), "drift found");
            }
        }
    }

    /// Returns what is to be repaired now, one set a transaction: all at once, but for those that failed together, of
    /// which each network and bond has its own.
    fn due(&self) -> Vec<BTreeSet<Thing>> {
        let now = Instant::now();
        let mut together = BTreeSet::new();
        let mut alone = BTreeMap::<&Subject, BTreeSet<Thing>>::new();
        for (thing, case) in &self.cases {
            if case.due(&self.policy).is_some_and(|due| due <= now) {
                let set = if case.is_alone() { alone.entry(&thing.subject).or_default() } else { &mut together };
                set.insert(thing.clone());
            }
        }
        alone.into_values().chain(Some(together).filter(|set| !set.is_empty())).collect()
    }

    async fn repair(&mut self, things: BTreeSet<Thing>) -> Repaired {
        let repaired = outcome(self.agent.repair(things.clone()).await);
        let now = Instant::now();
        let subjects: BTreeSet<&Subject> = things.iter().map(|thing| &thing.subject).collect();
        match &repaired {
            Repaired::Done => self.tally.repaired += 1,
            Repaired::Failed(_) => self.tally.failed += 1,
            Repaired::Needless | Repaired::Deferred => {}
        }
        for thing in &things {
            let Some(case) = self.cases.get_mut(thing) else { continue };
            match &repaired {
                Repaired::Done => case.repaired(now),
                Repaired::Failed(_) if subjects.len() > 1 => case.set_apart(),
                Repaired::Failed(why) => case.failed(why, now),
                Repaired::Needless | Repaired::Deferred => {}
            }
        }
        let listed: Vec<String> = things.iter().map(ToString::to_string).collect();
        let (things, repaired_in_all) = (listed.join(", "), self.tally.repaired);
        match &repaired {
            Repaired::Done => info!(things, repaired_in_all, "drift repaired"),
            Repaired::Failed(why) => warn!(things, error = why, "drift not repaired"),
            Repaired::Needless | Repaired::Deferred => {}
        }
        repaired
    }

    fn publish(&self) {
        let mut repairs = BTreeMap::<Subject, Vec<_>>::new();
        for (thing, case) in &self.cases {
            if let Some(repair) = case.told(thing.kind, &self.policy) {
                repairs.entry(thing.subject.clone()).or_default().push(repair);
            }
        }
        self.agent.publish(Board { repairs, tally: self.tally, sightings: self.sightings.clone() });
    }
}

fn outcome(ended: Result<Option<Answer>, Refusal>) -> Repaired {
    let report = match ended {
        Ok(None) => return Repaired::Needless,
        Ok(Some(Answer { end: End::Finished(report), .. })) => report,
        Ok(Some(Answer { end: End::Validated(_), .. })) | Err(Refusal::Stopping | Refusal::Busy) => {
            return Repaired::Deferred;
        }
        Err(refusal) => return Repaired::Failed(chain(&refusal).to_string()),
    };
    match report.outcome {
        Outcome::Applied | Outcome::Unchanged => Repaired::Done,
        Outcome::RolledBack(cause) | Outcome::RollbackFailed { cause, .. } => Repaired::Failed(cause.message),
    }
}

fn listing(loss: &Loss) -> String {
    let lines: Vec<String> = loss.drift.iter().map(ToString::to_string).collect();
    lines.join("; ")
}
