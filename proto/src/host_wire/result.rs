//! What a transaction says of itself: signs of life, and its result.

use std::time::Duration;

use trestle_model::{Code, Finding, Findings, Leftover, Outcome, Progress, TransactionId, TransactionReport};

use super::wire_duration;
use crate::finding_wire;
use crate::form::Form;
use crate::host::v1 as wire;
use crate::host::v1::setup_networks_response::Event;

/// Builds the message for a sign of life of `transaction`.
pub fn build_progress(progress: &Progress, transaction: TransactionId) -> wire::SetupNetworksResponse {
    let event = match progress {
        Progress::Accepted { transaction, steps } => {
            Event::Accepted(wire::TransactionAccepted { transaction_id: transaction.to_string(), steps: count(*steps) })
        }
        Progress::Step { number, of, text } => {
            Event::StepDone(wire::StepDone { number: count(*number), of: count(*of), text: text.clone() })
        }
        Progress::Verified => Event::Verified(wire::TransactionVerified {}),
        Progress::AwaitingConfirmation { timeout_ms } => Event::AwaitingConfirmation(wire::AwaitingConfirmation {
            transaction_id: transaction.to_string(),
            timeout: Some(wire_duration(Duration::from_millis(*timeout_ms))),
        }),
        Progress::Confirmed => Event::Confirmed(wire::TransactionConfirmed {}),
        Progress::Undoing { cause } => {
            Event::Undoing(wire::TransactionUndoing { cause: Some(finding_wire::build(cause)) })
        }
    };
    wire::SetupNetworksResponse { event: Some(event) }
}

/// Wraps a result into the stream's last message.
pub fn result_event(result: wire::SetupNetworksResult) -> wire::SetupNetworksResponse {
    wire::SetupNetworksResponse { event: Some(Event::Result(result)) }
}

/// Builds the result of a finished transaction; its steps have their text only, since a report keeps no more.
pub fn build_result(report: &TransactionReport) -> wire::SetupNetworksResult {
    let (outcome, cause, leftovers) = match &report.outcome {
        Outcome::Applied => (wire::Outcome::Applied, None, [].as_slice()),
        Outcome::Unchanged => (wire::Outcome::Unchanged, None, [].as_slice()),
        Outcome::RolledBack(cause) => (wire::Outcome::RolledBack, Some(cause), [].as_slice()),
        Outcome::RollbackFailed { cause, leftovers } => {
            (wire::Outcome::RollbackFailed, Some(cause), leftovers.as_slice())
        }
    };
    wire::SetupNetworksResult {
        transaction_id: report.transaction.to_string(),
        outcome: outcome.into(),
        cause: cause.map(finding_wire::build),
        leftovers: leftovers.iter().map(build_leftover).collect(),
        steps: report
            .steps
            .iter()
            .map(|text| wire::PlanStep { text: text.clone(), ..wire::PlanStep::default() })
            .collect(),
        findings: finding_wire::build_all(&report.findings),
        committed: report.committed,
        running_hash: report.running_hash.clone(),
    }
}

/// Builds the result of a request that only asked for findings and plan.
pub fn build_validated(
    transaction: TransactionId,
    plan: Vec<wire::PlanStep>,
    findings: &[Finding],
) -> wire::SetupNetworksResult {
    wire::SetupNetworksResult {
        transaction_id: transaction.to_string(),
        outcome: wire::Outcome::Validated.into(),
        steps: plan,
        findings: finding_wire::build_all(findings),
        ..wire::SetupNetworksResult::default()
    }
}

/// Reads the result of a transaction; of its steps the text is kept.
///
/// *Errors*: every violation; a result that is no transaction's, since it only validated, is `ENUM_UNKNOWN`.
pub fn parse_result(result: &wire::SetupNetworksResult) -> Result<TransactionReport, Findings> {
    let mut form = Form::default();
    let transaction = form.name("transaction_id", &result.transaction_id, Code::NameInvalid, TransactionId::parse);
    let outcome = read_outcome(&mut form, result);
    let report = transaction.zip(outcome).map(|(transaction, outcome)| TransactionReport {
        transaction,
        outcome,
        steps: result.steps.iter().map(|step| step.text.clone()).collect(),
        findings: finding_wire::parse_all(&result.findings).0,
        committed: result.committed,
        running_hash: result.running_hash.clone(),
    });
    form.finish(report)
}

fn read_outcome(form: &mut Form, result: &wire::SetupNetworksResult) -> Option<Outcome> {
    let cause = result.cause.as_ref().map(finding_wire::parse);
    let put_back = match form.known("outcome", result.outcome)? {
        wire::Outcome::Applied => return Some(Outcome::Applied),
        wire::Outcome::Unchanged => return Some(Outcome::Unchanged),
        wire::Outcome::RolledBack => cause.map(Outcome::RolledBack),
        wire::Outcome::RollbackFailed => cause.map(|cause| Outcome::RollbackFailed {
            cause,
            leftovers: result.leftovers.iter().map(parse_leftover).collect(),
        }),
        wire::Outcome::Unspecified | wire::Outcome::Validated => {
            let message = "the outcome is none of a transaction that was carried out";
            form.note(Finding::error(Code::EnumUnknown, "outcome", message));
            return None;
        }
    };
    if put_back.is_none() {
        form.missing("cause", "say why the host was put back");
    }
    put_back
}

fn build_leftover(leftover: &Leftover) -> wire::Leftover {
    wire::Leftover {
        object: leftover.object.clone(),
        field: leftover.field.clone(),
        expected: leftover.expected.clone(),
        actual: leftover.actual.clone(),
    }
}

fn parse_leftover(leftover: &wire::Leftover) -> Leftover {
    Leftover {
        object: leftover.object.clone(),
        field: leftover.field.clone(),
        expected: leftover.expected.clone(),
        actual: leftover.actual.clone(),
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
