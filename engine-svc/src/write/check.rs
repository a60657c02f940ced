//! What would become of a sequence of changes: the write's own steps, on a fleet that is put back.

use trestle_model::fleet::{Fleet, Mutation};
use trestle_model::{Code, Findings};
use trestle_proto::status::Refusal;
use trestle_rules::Fix;
use trestle_store::Change;

use super::Writer;

/// What makes a change of the fleet as it is then.
pub(crate) type Decide = Box<dyn FnOnce(&Fleet) -> Result<Mutation, Refusal> + Send>;

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

/// Judges changes in their order, each on the fleet with those before it, but for those that an error refuses.
pub(super) fn check(writer: &Writer, planned: Vec<Planned>, acknowledged: &[Code]) -> Vec<Checked> {
    writer.store.rehearse(|rehearsal| {
        let check = |Planned { decide, fix }| match decide(rehearsal.fleet()) {
            Ok(mutation) => {
                let turn = writer.take_turn(mutation, fix, rehearsal);
                let change = turn.told.first().map(|(_, change)| *change);
                Checked { change, refused: turn.findings.refuses(acknowledged), findings: turn.findings }
            }
            Err(Refusal { findings, .. }) => Checked { change: None, refused: true, findings },
        };
        planned.into_iter().map(check).collect()
    })
}
