//! What would become of a sequence of changes: the write's own steps, on a fleet that is put back.
//!
//! Readers and writers of the fleet wait while changes are tried, so that is done in turns that are short, however many changes
//! there are.

use std::time::Duration;

use tokio::time::Instant;
use trestle_model::fleet::{Fleet, Mutation};
use trestle_model::{Code, Finding, Findings};
use trestle_proto::status::Refusal;
use trestle_rules::Fix;
use trestle_store::{Change, Rehearsal};

use super::Writer;

/// How long the fleet is held for judging; one change more may begin in time.
const TURN: Duration = Duration::from_millis(20);
/// How long others have the fleet between two turns.
const PAUSE: Duration = Duration::from_millis(1);
/// How long a check begins anew where writes come between its turns.
const PATIENCE: Duration = Duration::from_secs(10);

/// What makes a change of the fleet as it is then.
pub(crate) type Decide = Box<dyn Fn(&Fleet) -> Result<Mutation, Refusal> + Send>;

/// A change that is not made.
pub(crate) struct Planned {
    /// What makes it.
    pub(crate) decide: Decide,
    /// Whether profiles in the way would be mended with it.
    pub(crate) fix: Fix,
}

/// What would become of a change.
#[derive(Debug, Clone)]
pub(crate) struct Checked {
    /// What would happen to its resource; none where nothing would.
    pub(crate) change: Option<Change>,
    /// Whether it would be refused.
    pub(crate) refused: bool,
    /// All findings.
    pub(crate) findings: Findings,
}

/// What was judged so far, and of which revision.
#[derive(Default)]
struct Progress {
    revision: u64,
    checked: Vec<Checked>,
    /// What each of them made.
    made: Vec<Vec<Mutation>>,
}

/// Judges changes in their order, each on the fleet with those before it, but for those that an error refuses.
///
/// Between two turns the fleet is as it was, and others have it. Who finds it as it was makes what was judged already again,
/// unjudged, which is cheap; who finds it changed begins anew, since what was judged may be wrong.
///
/// *Errors*: `CHECK_OVERTAKEN` where it was changed between the turns for too long.
pub(super) fn check(writer: &Writer, planned: &[Planned], acknowledged: &[Code]) -> Result<Vec<Checked>, Refusal> {
    let (mut progress, began) = (Progress::default(), Instant::now());
    while progress.checked.len() < planned.len() {
        if began.elapsed() > PATIENCE {
            let message = "the fleet changes faster than so many changes are judged";
            return Err(Finding::error(Code::CheckOvertaken, "changes", message)
                .remedy("ask again, or judge fewer changes at once")
                .into());
        }
        writer.store.rehearse(|rehearsal| take_turn(writer, rehearsal, planned, acknowledged, &mut progress));
        // The lock is not fair: who waits for it comes in time only where nobody takes it at once again.
        std::thread::park_timeout(PAUSE);
    }
    Ok(progress.checked)
}

/// Judges as many of the changes as a turn has time for, and at least one.
fn take_turn(
    writer: &Writer,
    rehearsal: &mut Rehearsal<'_>,
    planned: &[Planned],
    acknowledged: &[Code],
    progress: &mut Progress,
) {
    // Nobody writes meanwhile.
    let revision = writer.store.revision();
    if revision != progress.revision {
        *progress = Progress { revision, ..Progress::default() };
    }
    for mutations in &progress.made {
        rehearsal.apply(mutations.clone());
    }
    let end = Instant::now() + TURN;
    for Planned { decide, fix } in planned.iter().skip(progress.checked.len()) {
        progress.checked.push(match decide(rehearsal.fleet()) {
            Ok(mutation) => {
                let turn = writer.take_turn(mutation, *fix, rehearsal);
                let change = turn.told.first().map(|(_, change)| *change);
                progress.made.push(turn.mutations);
                Checked { change, refused: turn.findings.refuses(acknowledged), findings: turn.findings }
            }
            Err(Refusal { findings, .. }) => Checked { change: None, refused: true, findings },
        });
        if Instant::now() >= end {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
