//! What would become of a sequence of changes: the write's own steps, on a fleet that is put back.

use trestle_model::fleet::{Fleet, Mutation};
use trestle_model::{Code, Findings, Severity};
use trestle_proto::status::Refusal;
use trestle_rules::{Fix, Proposal};
use trestle_store::Change;

use super::Writer;

/// What makes a change of the fleet as it is then.
pub(crate) type Decide = Box<dyn FnOnce(&Fleet) -> Result<Mutation, Refusal> + Send>;

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
pub(super) fn check(writer: &Writer, changes: Vec<Decide>, acknowledged: &[Code]) -> Vec<Checked> {
    writer.store.rehearse(|rehearsal| {
        let mut checked = Vec::with_capacity(changes.len());
        for decide in changes {
            let Proposal { mutations, findings } = match decide(rehearsal.fleet()) {
                Ok(mutation) => writer.propose(mutation, Fix::Leave, rehearsal.fleet()),
                Err(Refusal { findings, .. }) => {
                    checked.push(Checked { change: None, refused: true, findings });
                    continue;
                }
            };
            let has_error = findings.0.iter().any(|finding| finding.severity == Severity::Error);
            let told = if has_error { Vec::new() } else { rehearsal.apply(mutations) };
            let change = told.first().map(|(_, change)| *change);
            checked.push(Checked { change, refused: findings.refuses(acknowledged), findings });
        }
        checked
    })
}
