//! What would happen: the engine's judgement of changes that are not made.

use prost_reflect::{DynamicMessage, Value};
use prost_types::FieldMask;
use trestle_proto::engine::v1::planned_change::Change;
use trestle_proto::engine::v1::{ChangeKind, CheckedChange, PlannedChange};
use trestle_proto::schema;

use crate::document::Document;
use crate::engine::Engine;
use crate::failure::{Failure, findings_text};
use crate::output;

/// What a removal of a resource that is not there counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// It would be refused.
    Refused,
    /// It is passed over.
    PassedOver,
}

/// Plans to make a resource what a document says.
pub(crate) fn put(document: &Document) -> PlannedChange {
    let mut any = DynamicMessage::new(schema::message("trestle.engine.v1.AnyResource"));
    any.set_field_by_name(document.kind.field(), Value::Message(document.resource.clone()));
    let update_mask = Some(FieldMask { paths: vec!["*".to_owned()] });
    PlannedChange { change: Some(Change::Put(schema::typed(&any))), update_mask, fix_profiles: false }
}

/// Plans to remove a resource.
pub(crate) fn delete(name: &str) -> PlannedChange {
    PlannedChange { change: Some(Change::Delete(name.to_owned())), update_mask: None, fix_profiles: false }
}

/// Asks what would become of changes, each after those before it, and prints it with all findings.
///
/// # Errors
/// When anything would be refused; when the engine is not reached or refuses the question.
pub(crate) async fn preview(
    engine: &Engine,
    changes: Vec<PlannedChange>,
    acknowledge: &[String],
    missing: Missing,
) -> Result<(), Failure> {
    let mut refused = Vec::new();
    for checked in engine.check(changes, acknowledge).await? {
        let name = &checked.resource;
        let is_missing = is_missing(&checked);
        if is_missing && missing == Missing::PassedOver {
            output::data(format_args!("{name} is not there"))?;
            continue;
        }
        output::data(format_args!("{name} {}", if is_missing { "is not there" } else { would(&checked) }))?;
        if !is_missing {
            output::notes(&findings_text(&checked.findings));
        }
        if checked.omitted_finding_count > 0 {
            output::note(format_args!("  and {} more findings", checked.omitted_finding_count));
        }
        if checked.refused {
            refused.push(checked.resource);
        }
    }
    if refused.is_empty() { Ok(()) } else { Err(Failure::Findings(format!("refused: {}", refused.join(", ")))) }
}

/// Tells whether a resource to remove is not there.
fn is_missing(checked: &CheckedChange) -> bool {
    checked.refused && checked.findings.iter().all(|finding| finding.code == "NOT_FOUND" && finding.field == "name")
}

fn would(checked: &CheckedChange) -> &'static str {
    match checked.kind() {
        _ if checked.refused => "would be refused",
        ChangeKind::Created => "would be created",
        ChangeKind::Updated => "would be changed",
        ChangeKind::Deleted => "would be removed",
        ChangeKind::Unspecified => "would stay as it is",
    }
}
