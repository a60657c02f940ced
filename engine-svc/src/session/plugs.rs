//! Commands for interfaces of a host's domains: the one under way, and how the last one for each interface ended.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;
use trestle_model::{Domain, Finding, MacAddr, PlugRequest, Severity};
use uuid::Uuid;

use super::rests::Rests;
use crate::reconcile::{Ask, OwedPlug};

/// How long a host may take to report what it has done, before it is told again.
const SILENCE: Duration = Duration::from_secs(30);

/// A host's commands for interfaces.
#[derive(Debug, Default)]
pub(super) struct Plugs {
    under_way: Option<UnderWay>,
    /// How the last command for each interface ended, while the host is owed something for it.
    last: BTreeMap<Key, Last>,
    /// What was sent and may not be in the host's reports yet, in order.
    sent: Vec<Sent>,
}

#[derive(Debug)]
struct Sent {
    command: Uuid,
    owed: OwedPlug,
    stage: Stage,
}

/// How far a command is that may not be in the host's reports yet.
#[derive(Debug, Clone, Copy)]
enum Stage {
    /// It may be carried out until then, also after its session broke.
    Open(Instant),
    /// It was carried out, and is reported until then.
    Done(Instant),
}

/// An interface: its domain, and its MAC.
type Key = (Uuid, MacAddr);

#[derive(Debug)]
struct UnderWay {
    command: Uuid,
    owed: OwedPlug,
    lost_at: Instant,
}

#[derive(Debug)]
struct Last {
    ask: Ask,
    outcome: Outcome,
    /// Not before this moment the same is asked again.
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

/// How what a host is owed for an interface stands.
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

    /// Forgets the interfaces for which nothing is owed, and returns what may be sent now: of the first domain for which
    /// something may, as much as fits into a request.
    ///
    /// What was asked for an interface rests while it, and what its domain does, is as it was then; another wish does not, and
    /// neither does what is asked for the domain's other interfaces.
    pub(super) fn next(&mut self, owed: Vec<OwedPlug>, now: Instant) -> Option<OwedPlug> {
        let keys: BTreeSet<Key> =
            owed.iter().flat_map(|owed| owed.asks.iter().map(|ask| (owed.domain, ask.mac))).collect();
        self.last.retain(|key, _| keys.contains(key));
        if self.under_way.is_some() {
            return None;
        }
        owed.into_iter().find_map(|OwedPlug { domain, asks }| {
            let due = asks.into_iter().filter(|ask| !self.rests(domain, ask, now));
            let asks: Vec<Ask> = due.take(PlugRequest::MOST_INTERFACES).collect();
            (!asks.is_empty()).then_some(OwedPlug { domain, asks })
        })
    }

    /// Returns what was sent and may not be in the host's report yet, which has `domains`; forgets the rest.
    pub(super) fn sent(&mut self, domains: &[Domain], now: Instant) -> Vec<OwedPlug> {
        self.sent.retain(|sent| match sent.stage {
            Stage::Open(until) => now < until,
            Stage::Done(until) => now < until && !sent.owed.is_in(domains),
        });
        self.sent.iter().map(|sent| sent.owed.clone()).collect()
    }

    /// Tells whether something was sent that may not be in the host's reports yet.
    pub(super) const fn expects(&self) -> bool {
        !self.sent.is_empty()
    }

    pub(super) fn begin(&mut self, command: Uuid, owed: OwedPlug, lost_at: Instant) {
        self.sent.push(Sent { command, owed: owed.clone(), stage: Stage::Open(lost_at) });
        self.under_way = Some(UnderWay { command, owed, lost_at });
    }

    /// Ends the command under way; `false` where it is another.
    ///
    /// A refusal that names interfaces is theirs alone: the others may be sent at once, without them.
    pub(super) fn settle(&mut self, command: Uuid, end: PlugEnd, rests: Rests, now: Instant) -> bool {
        match &end.refusal {
            None => self.sent.iter_mut().filter(|sent| sent.command == command).for_each(|sent| {
                sent.stage = Stage::Done(now + SILENCE);
            }),
            Some(_) => self.sent.retain(|sent| sent.command != command),
        }
        let Some(UnderWay { owed, .. }) = self.under_way.take_if(|under_way| under_way.command == command) else {
            return false;
        };
        match end.refusal {
            None => {
                for ask in owed.asks {
                    let last = Last { ask, outcome: Outcome::Done, retry_at: now + SILENCE };
                    self.last.insert((owed.domain, last.ask.mac), last);
                }
            }
            Some(findings) => {
                for (ask, findings) in blamed(&owed, &findings) {
                    self.fail((owed.domain, ask.mac), ask, findings, rests, now);
                }
            }
        }
        true
    }

    /// Drops a command whose patience ran out, and returns its id.
    pub(super) fn forget_lost(&mut self, now: Instant) -> Option<Uuid> {
        self.under_way.take_if(|under_way| under_way.lost_at <= now).map(|under_way| under_way.command)
    }

    /// Drops the command under way, whose session is gone, and returns its id.
    pub(super) fn interrupt(&mut self) -> Option<Uuid> {
        self.under_way.take().map(|under_way| under_way.command)
    }

    /// Says how what is asked for an interface stands.
    pub(super) fn standing(&self, ask: &Ask) -> PlugStanding {
        let domain = ask.seen.uuid;
        let is_under_way =
            |owed: &OwedPlug| owed.domain == domain && owed.asks.iter().any(|other| other.mac == ask.mac);
        if self.under_way().is_some_and(is_under_way) {
            return PlugStanding::UnderWay;
        }
        match self.last.get(&(domain, ask.mac)) {
            Some(Last { ask: last, outcome: Outcome::Failed { findings, .. }, retry_at })
                if last.wanted == ask.wanted =>
            {
                PlugStanding::Failed(findings.clone(), *retry_at)
            }
            Some(_) | None => PlugStanding::Owed,
        }
    }

    fn rests(&self, domain: Uuid, ask: &Ask, now: Instant) -> bool {
        self.last.get(&(domain, ask.mac)).is_some_and(|last| last.ask == *ask && now < last.retry_at)
    }

    fn fail(&mut self, key: Key, ask: &Ask, findings: Vec<Finding>, rests: Rests, now: Instant) {
        let earlier = match self.last.get(&key) {
            Some(Last { ask: before, outcome: Outcome::Failed { failures, .. }, .. }) if before == ask => *failures,
            Some(_) | None => 0,
        };
        let outcome = Outcome::Failed { findings, failures: earlier.saturating_add(1) };
        self.last.insert(key, Last { ask: ask.clone(), outcome, retry_at: now + rests.after(earlier) });
    }
}

/// Says whose refusal it is, and why: that of the interfaces which its errors name, else of all.
fn blamed<'a>(owed: &'a OwedPlug, findings: &[Finding]) -> Vec<(&'a Ask, Vec<Finding>)> {
    let errors = || findings.iter().filter(|finding| finding.severity == Severity::Error);
    let named: BTreeSet<MacAddr> = errors().filter_map(|finding| Some(owed.named_by(finding)?.mac)).collect();
    let concerns = |finding: &Finding, mac| owed.named_by(finding).is_none_or(|ask| ask.mac == mac);
    let is_blamed = |ask: &&Ask| named.is_empty() || named.contains(&ask.mac);
    let why = |mac| findings.iter().filter(|finding| concerns(finding, mac)).cloned().collect();
    owed.asks.iter().filter(is_blamed).map(|ask| (ask, why(ask.mac))).collect()
}

#[cfg(test)]
mod tests;
