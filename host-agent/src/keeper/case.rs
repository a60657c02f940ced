//! One thing that was lost: how often it was repaired, and when it may be again.
//!
//! The first repair comes at once, that of a guest's port after [`PORT_GRACE`]; the next after 1 s, 2 s, 4 s and so on. What
//! is lost again after [`LIMIT`] repairs, or could not be repaired as often, is left as it is until something changes:
//! whoever asks the agent for something makes it forget the case, as does time ([`CALM`]) when it was in order meanwhile,
//! and a different loss gets one more try.

use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;
use trestle_model::{DriftKind, Repair, RepairState};
use trestle_plan::{Drift, Loss, Subject};

use super::Policy;

/// How many repairs come before the case is suspended.
pub(super) const LIMIT: u32 = 6;
/// The rest after the first repair; doubled after each.
pub(super) const FIRST_REST: Duration = Duration::from_secs(1);
/// The longest rest.
pub(super) const LONGEST_REST: Duration = Duration::from_secs(60);
/// How long a guest's port has to be out of order before it is taken as lost: libvirt sets it up in several steps.
pub(super) const PORT_GRACE: Duration = Duration::from_millis(200);
/// How long a thing has to be in order before earlier repairs no longer count.
pub(super) const CALM: Duration = Duration::from_secs(600);
/// The same of a guest's port: a guest that is paused and resumed again and again, as for its backups, is no fight.
pub(super) const PORT_CALM: Duration = Duration::from_secs(30);

/// A thing that is lost, or was not long ago.
#[derive(Debug)]
pub(super) struct Case {
    /// What is lost; `None` while it is in order.
    loss: Option<Loss>,
    attempts: u32,
    tried: Option<Instant>,
    not_before: Instant,
    /// Why the last repair failed; empty where it did not.
    trouble: String,
    /// What was lost when the case was suspended.
    suspended: Option<Vec<Drift>>,
    company: Company,
    /// When the loss is told of in the log; `None` where it was.
    announced_at: Option<Instant>,
}

/// With which others a thing is repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Company {
    All,
    OwnSubject,
}

impl Case {
    pub(super) fn new(loss: Loss, now: Instant) -> Self {
        let not_before = now + grace(&loss);
        Self {
            loss: Some(loss),
            attempts: 0,
            tried: None,
            not_before,
            trouble: String::new(),
            suspended: None,
            company: Company::All,
            announced_at: Some(not_before),
        }
    }

    /// Returns what is lost, once, as soon as it counts as lost.
    pub(super) fn announced(&mut self, now: Instant) -> Option<&Loss> {
        let loss = self.loss.as_ref()?;
        self.announced_at.take_if(|at| *at <= now).map(|_| loss)
    }

    /// Notes that the thing is lost.
    pub(super) fn lost(&mut self, loss: Loss, now: Instant) {
        if self.suspended.as_ref().is_some_and(|then| *then != loss.drift) {
            self.allow_one_more(now);
        }
        if self.attempts >= LIMIT && self.suspended.is_none() && loss.obstacle.is_none() {
            warn!(thing = %loss.thing, reason = self.reason(), "repair suspended");
            self.suspended = Some(loss.drift.clone());
        }
        if self.loss.is_none() {
            if self.tried.is_some_and(|tried| now >= tried + calm(&loss)) {
                *self = Self::new(loss, now);
                return;
            }
            self.not_before = self.not_before.max(now + grace(&loss));
        }
        self.loss = Some(loss);
    }

    /// Notes that the thing is in order, and tells whether the case has to be remembered.
    pub(super) fn in_order(&mut self, now: Instant) -> bool {
        self.loss = None;
        if self.suspended.is_some() {
            self.allow_one_more(now);
        }
        self.tried.is_some_and(|tried| now < tried + CALM)
    }

    fn allow_one_more(&mut self, now: Instant) {
        self.suspended = None;
        self.attempts = LIMIT - 1;
        self.not_before = self.tried.map_or(now, |tried| now.max(tried + LONGEST_REST));
    }

    /// Notes a repair.
    pub(super) fn repaired(&mut self, now: Instant) {
        self.trouble.clear();
        self.count(now);
    }

    /// Notes a repair that was undone or refused.
    pub(super) fn failed(&mut self, why: &str, now: Instant) {
        why.clone_into(&mut self.trouble);
        self.count(now);
    }

    /// Notes that a repair of many things failed, whichever of them it was: it is tried again without the others.
    pub(super) const fn set_apart(&mut self) {
        self.company = Company::OwnSubject;
    }

    pub(super) fn is_alone(&self) -> bool {
        self.company == Company::OwnSubject
    }

    fn count(&mut self, now: Instant) {
        self.attempts += 1;
        self.tried = Some(now);
        let doublings = 2_u32.saturating_pow(self.attempts - 1);
        self.not_before = now + FIRST_REST.saturating_mul(doublings).min(LONGEST_REST);
    }

    /// Returns when the thing is to be repaired; `None` where it is not.
    pub(super) fn due(&self, policy: &Policy) -> Option<Instant> {
        let loss = self.loss.as_ref()?;
        (self.state(loss, policy) == RepairState::Due).then_some(self.not_before)
    }

    /// Returns what is told of the case; `None` while the thing is in order.
    pub(super) fn told(&self, kind: DriftKind, policy: &Policy) -> Option<Repair> {
        let loss = self.loss.as_ref()?;
        let state = self.state(loss, policy);
        let reason = match state {
            RepairState::Due => self.trouble.clone(),
            RepairState::Suspended => self.reason(),
            RepairState::LeftAlone => format!("the agent is told to leave {kind} alone"),
            RepairState::Impossible => loss.obstacle.clone().unwrap_or_default(),
        };
        Some(Repair { kind, state, attempts: self.attempts, reason })
    }

    fn state(&self, loss: &Loss, policy: &Policy) -> RepairState {
        if !policy.repair.contains(&loss.thing.kind) {
            RepairState::LeftAlone
        } else if loss.obstacle.is_some() {
            RepairState::Impossible
        } else if self.suspended.is_some() {
            RepairState::Suspended
        } else {
            RepairState::Due
        }
    }

    /// Says why the case is suspended.
    fn reason(&self) -> String {
        if self.trouble.is_empty() {
            format!("lost again after {} repairs", self.attempts)
        } else {
            format!("{} repairs failed, the last one: {}", self.attempts, self.trouble)
        }
    }
}

/// Returns how long a thing has to be in order before its next loss is a new one.
const fn calm(loss: &Loss) -> Duration {
    match loss.thing.subject {
        Subject::Port { .. } => PORT_CALM,
        Subject::Network(_) | Subject::Bond(_) | Subject::Nic(_) => CALM,
    }
}

/// Returns how long a thing has to be lost before it is repaired.
const fn grace(loss: &Loss) -> Duration {
    match loss.thing.subject {
        Subject::Network(_) | Subject::Bond(_) | Subject::Nic(_) => Duration::ZERO,
        Subject::Port { .. } => PORT_GRACE,
    }
}
