//! Commands for interfaces of a host's domains: the one under way, and how the last one for each domain ended.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;
use trestle_model::{DomainKey, Finding, PlugRequest};
use uuid::Uuid;

use super::rests::Rests;
use crate::reconcile::OwedPlug;

/// How long a host may take to report what it has done, before it is told again.
const SILENCE: Duration = Duration::from_secs(30);

/// A host's commands for interfaces.
#[derive(Debug, Default)]
pub(super) struct Plugs {
    under_way: Option<UnderWay>,
    /// The last command for each domain, while the host is owed something for it.
    last: BTreeMap<Uuid, Last>,
}

#[derive(Debug)]
struct UnderWay {
    command: Uuid,
    owed: OwedPlug,
    lost_at: Instant,
}

#[derive(Debug)]
struct Last {
    owed: OwedPlug,
    outcome: Outcome,
    /// Not before this moment the same is asked again of the same domain.
    retry_at: Instant,
}

#[derive(Debug)]
enum Outcome {
    Done,
    Failed { findings: Vec<Finding>, failures: u32 },
}

/// How a command for interfaces ended: the findings that refused it, if it was not carried out.
#[derive(Debug)]
pub(super) struct PlugEnd {
    pub(super) refusal: Option<Vec<Finding>>,
}

/// How what a host is owed for a domain's interfaces stands.
#[derive(Debug, Clone, PartialEq)]
pub enum PlugStanding {
    /// It will be sent, or was sent and done, and the host has not reported it yet.
    Owed,
    /// It was sent.
    UnderWay,
    /// It was refused or put back, and why; sent again at that moment.
    Failed(Vec<Finding>, Instant),
}

impl Plugs {
    pub(super) fn under_way(&self) -> Option<&OwedPlug> {
        self.under_way.as_ref().map(|under_way| &under_way.owed)
    }

    pub(super) fn awaits(&self) -> bool {
        self.under_way.is_some() || !self.last.is_empty()
    }

    /// Forgets the domains for which nothing is owed, and returns what may be sent now.
    ///
    /// What was asked of a domain that is still as it was then rests; another wish, or a domain that has changed, does not.
    pub(super) fn next(&mut self, owed: Vec<OwedPlug>, now: Instant) -> Option<OwedPlug> {
        self.last.retain(|domain, _| owed.iter().any(|owed| owed.seen.uuid == *domain));
        if self.under_way.is_some() {
            return None;
        }
        let rests =
            |owed: &OwedPlug| self.last.get(&owed.seen.uuid).is_some_and(|l| l.owed == *owed && now < l.retry_at);
        owed.into_iter().find(|owed| !rests(owed))
    }

    pub(super) fn begin(&mut self, command: Uuid, owed: OwedPlug, lost_at: Instant) {
        self.under_way = Some(UnderWay { command, owed, lost_at });
    }

    /// Ends the command under way; `false` where it is another.
    pub(super) fn settle(&mut self, command: Uuid, end: PlugEnd, rests: Rests, now: Instant) -> bool {
        let Some(UnderWay { owed, .. }) = self.under_way.take_if(|under_way| under_way.command == command) else {
            return false;
        };
        let domain = owed.seen.uuid;
        let (outcome, rest) = match end.refusal {
            None => (Outcome::Done, SILENCE),
            Some(findings) => {
                let earlier = match self.last.get(&domain) {
                    Some(Last { owed: before, outcome: Outcome::Failed { failures, .. }, .. }) if *before == owed => {
                        *failures
                    }
                    Some(_) | None => 0,
                };
                (Outcome::Failed { findings, failures: earlier.saturating_add(1) }, rests.after(earlier))
            }
        };
        self.last.insert(domain, Last { owed, outcome, retry_at: now + rest });
        true
    }

    /// Drops a command whose patience ran out; tells whether one was.
    pub(super) fn forget_lost(&mut self, now: Instant) -> bool {
        self.under_way.take_if(|under_way| under_way.lost_at <= now).is_some()
    }

    /// Drops the command under way: its session is gone.
    pub(super) fn interrupt(&mut self) {
        self.under_way = None;
    }

    pub(super) fn standing(&self, request: &PlugRequest) -> PlugStanding {
        if self.under_way().is_some_and(|owed| owed.request.domain == request.domain) {
            return PlugStanding::UnderWay;
        }
        let DomainKey::Uuid(domain) = request.domain else { return PlugStanding::Owed };
        match self.last.get(&domain) {
            Some(Last { owed, outcome: Outcome::Failed { findings, .. }, retry_at }) if owed.request == *request => {
                PlugStanding::Failed(findings.clone(), *retry_at)
            }
            Some(_) | None => PlugStanding::Owed,
        }
    }
}

#[cfg(test)]
mod tests;
