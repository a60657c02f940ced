//! The agent's own words on the wire: what became of a request, and why it was refused.
//!
//! Both faces, the local service and the session, say it alike.

use std::collections::BTreeSet;
use std::time::Duration;

use tonic::Code;
use trestle_plan::PlannedStep;
use trestle_proto::host::v1 as wire;
use trestle_proto::{host_wire, status};

use crate::capabilities::NETWORK_PARTS;
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
    need(&["nics"], &[Part::Addresses, Part::Hardware]);
    need(&["bridges"], &[Part::Addresses, Part::Guests]);
    need(&["vlans"], &[Part::Addresses]);
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

/// Builds the refusal of a request.
pub(crate) fn refusal(refusal: &Refusal) -> status::Refusal {
    let findings = refusal.findings();
    match refusal {
        Refusal::Findings(_) => status::Refusal::refused(findings),
        Refusal::Deadline => status::Refusal { code: Code::DeadlineExceeded, findings, retry: None },
        Refusal::Stopping => status::Refusal { code: Code::Unavailable, findings, retry: Some(RESTART) },
        Refusal::Busy
        | Refusal::Stale { .. }
        | Refusal::RequestIdReused(_)
        | Refusal::Unobservable(_)
        | Refusal::Store(_)
        | Refusal::NotWaiting(_)
        | Refusal::WrongConfirmer(_) => status::Refusal::from(findings),
    }
}

fn step(planned: &PlannedStep) -> wire::PlanStep {
    wire::PlanStep {
        text: planned.step.to_string(),
        reason: planned.reason.clone(),
        disrupts: planned.disrupts,
        guests: planned.guests.clone(),
    }
}
