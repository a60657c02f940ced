//! The agent's own words on the wire: what became of a request, and why it was refused.
//!
//! Both faces, the local service and the session, say it alike.

use std::collections::BTreeSet;
use std::time::Duration;

use tonic::Code;
use trestle_plan::PlannedStep;
use trestle_proto::host::v1 as wire;
use trestle_proto::host::v1::watch_host_response::Event;
use trestle_proto::{host_wire, status};

use crate::capabilities::NETWORK_PARTS;
use crate::journal::Past;
use crate::observer::News;
use crate::site::Part;
use crate::transaction::{Answer, End, Refusal};

/// After how long a request that met a stopping agent is worth repeating.
const RESTART: Duration = Duration::from_secs(2);

/// Returns the parts of the host that have to be read for what is wanted.
pub(crate) fn parts(mask: &host_wire::ReadMask) -> BTreeSet<Part> {
    let mut parts = BTreeSet::new();
    let mut need = |fields: &[&str], needed: &[Part]| {
        if mask.wants(fields) {
            parts.extend(needed);
        }
    };
    need(&["networks"], &NETWORK_PARTS);
    need(&["nics"], &[Part::Addresses, Part::Egress, Part::Settings, Part::Hardware]);
    need(&["bonds"], &NETWORK_PARTS);
    need(&["bridges"], &[Part::Addresses, Part::Guests]);
    need(&["vlans"], &[Part::Addresses]);
    need(&["domains"], &[Part::Guests]);
    need(&["routes"], &[Part::Routes]);
    need(&["features"], &[Part::Features]);
    need(&["libvirt"], &[Part::Libvirt]);
    parts
}

/// Builds the result of a request.
pub(crate) fn result(answer: &Answer) -> wire::SetupNetworksResult {
    let steps = answer.steps.iter().map(step).collect();
    match &answer.end {
        End::Validated(findings) => host_wire::build_validated(answer.transaction, steps, findings),
        End::Finished(report) => wire::SetupNetworksResult { steps, ..host_wire::build_result(report) },
    }
}

/// Builds a transaction that ended.
pub(crate) fn transaction(past: Past) -> wire::Transaction {
    let request = host_wire::build_setup(&past.request);
    let Past { actor, began_ms, ended_ms, request: _, steps, report } = past;
    let transaction = report.transaction;
    wire::Transaction {
        transaction_id: transaction.to_string(),
        actor,
        begin_time: began_ms.map(timestamp),
        end_time: Some(timestamp(ended_ms)),
        request: Some(request),
        result: Some(result(&Answer { transaction, steps, end: End::Finished(Box::new(report)) })),
    }
}

fn timestamp(ms: u64) -> prost_types::Timestamp {
    let (seconds, ms) = (ms / 1000, ms % 1000);
    prost_types::Timestamp {
        seconds: i64::try_from(seconds).unwrap_or(i64::MAX),
        nanos: i32::try_from(ms * 1_000_000).unwrap_or_default(),
    }
}

/// Builds the refusal of a request.
pub(crate) fn refusal(refusal: &Refusal) -> status::Refusal {
    let findings = refusal.findings();
    match refusal {
        Refusal::Findings(_) | Refusal::NotPlugged(_) => status::Refusal::refused(findings),
        Refusal::Deadline => status::Refusal { code: Code::DeadlineExceeded, findings, retry: None, etag: None },
        Refusal::Stopping => status::Refusal { code: Code::Unavailable, findings, retry: Some(RESTART), etag: None },
        Refusal::Busy
        | Refusal::Stale { .. }
        | Refusal::RequestIdReused(_)
        | Refusal::Unobservable(_)
        | Refusal::Store(_)
        | Refusal::NotWaiting(_)
        | Refusal::WrongConfirmer(_)
        | Refusal::ResumeTokenExpired
        | Refusal::WatchLimit => status::Refusal::from(findings),
    }
}

/// Builds what a watcher is told.
pub(crate) fn news(news: &News, token: Option<String>) -> wire::WatchHostResponse {
    let event = match news {
        News::Object(object) => host_wire::build_object(object),
        News::Removed(key) => host_wire::build_removed(key),
        News::SnapshotDone => Event::SnapshotDone(wire::SnapshotDone {}),
        News::Bookmark => Event::Bookmark(wire::WatchBookmark {}),
    };
    wire::WatchHostResponse { resume_token: token.unwrap_or_default(), event: Some(event) }
}

fn step(planned: &PlannedStep) -> wire::PlanStep {
    wire::PlanStep {
        text: planned.step.to_string(),
        reason: planned.reason.clone(),
        disrupts: planned.disrupts,
        guests: planned.guests.clone(),
    }
}
