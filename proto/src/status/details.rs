//! The details of a status, both ways.

use std::collections::HashMap;
use std::time::Duration;

use prost::Message;
use prost_types::Any;
use tonic::{Code as Status, Status as GrpcStatus};
use tonic_types::pb;
use tonic_types::pb::bad_request::FieldViolation;
use tonic_types::pb::precondition_failure::Violation;
use trestle_model::Finding;

use super::Refusal;
use crate::finding::v1 as wire;
use crate::finding_wire;
use crate::host_wire::wire_duration;

/// Most bytes of details in a status. It travels in trailers, in base64; gRPC's C core, and with it the clients of many
/// languages, begins to refuse headers at 8 KiB.
const DETAILS_LIMIT: usize = 5 * 1024;
/// Most findings that are tried to fit.
const SHOWN_LIMIT: usize = 64;
/// Most characters of a message.
const MESSAGE_LIMIT: usize = 400;

const DOMAIN: &str = "trestle.dev";
/// In `ErrorInfo.metadata`: the current etag.
const ETAG: &str = "etag";

/// Builds the status of a refusal. Where there are too many findings for one status, the first are sent, and
/// `ErrorInfo.metadata` says how many there are; `validate_only` answers with all of them.
pub(super) fn build(refusal: &Refusal) -> GrpcStatus {
    let message = clipped(&refusal.to_string());
    let mut shown = refusal.findings.0.len().min(SHOWN_LIMIT);
    loop {
        let findings = refusal.findings.0.get(..shown).unwrap_or_default();
        let rich =
            pb::Status { code: refusal.code.into(), message: message.clone(), details: details(refusal, findings) };
        if rich.encoded_len() <= DETAILS_LIMIT || shown == 0 {
            return GrpcStatus::with_details(refusal.code, message, rich.encode_to_vec().into());
        }
        shown -= 1;
    }
}

/// Reads the findings of a status, for printing; those of a server that sends no typed ones are made of the
/// `google.rpc` details, or of the message alone.
///
/// *Shape*: one or more, also for a status without any detail.
pub fn findings_of(status: &GrpcStatus) -> Vec<wire::Finding> {
    let details = Details::of(status);
    let typed: Vec<wire::Finding> = details.all();
    if !typed.is_empty() {
        return typed;
    }
    let unmet = details.all::<pb::PreconditionFailure>().into_iter().flat_map(|failure| failure.violations);
    let malformed = details.all::<pb::BadRequest>().into_iter().flat_map(|request| request.field_violations);
    let reason = reason_of(status).unwrap_or_default();
    let untyped: Vec<wire::Finding> = unmet
        .map(|violation| wire::Finding {
            subject: violation.subject,
            ..finding(violation.r#type, violation.description)
        })
        .chain(malformed.map(|violation| {
            let code = if violation.reason.is_empty() { reason.clone() } else { violation.reason };
            wire::Finding { field: violation.field, ..finding(code, violation.description) }
        }))
        .collect();
    match untyped.is_empty() {
        false => untyped,
        true if !reason.is_empty() => vec![finding(reason, status.message().to_owned())],
        true => vec![plain_finding(status.code(), status.message())],
    }
}

/// Reads the stable reason of a status; `None` where the server gives none.
pub fn reason_of(status: &GrpcStatus) -> Option<String> {
    Details::of(status).all::<pb::ErrorInfo>().into_iter().next().map(|info| info.reason)
}

/// Reads when it is worth to try again; `None` where the server does not say.
pub fn retry_delay_of(status: &GrpcStatus) -> Option<Duration> {
    let retry = Details::of(status).all::<pb::RetryInfo>().into_iter().next()?;
    Duration::try_from(retry.retry_delay?).ok()
}

/// Reads the current etag of the resource that a write lost a race for; `None` where the server does not say.
pub(super) fn etag_of(status: &GrpcStatus) -> Option<String> {
    Details::of(status).all::<pb::ErrorInfo>().into_iter().next()?.metadata.remove(ETAG)
}

/// Makes a finding of a status that has nothing but a code and a message.
pub(super) fn plain_finding(code: Status, message: &str) -> wire::Finding {
    finding(format!("{code:?}"), message.to_owned())
}

fn finding(code: String, message: String) -> wire::Finding {
    wire::Finding { code, severity: wire::Severity::Error.into(), message, ..wire::Finding::default() }
}

/// A message that can be a detail.
trait Detail: Message + Default {
    const TYPE_URL: &'static str;
}

impl Detail for pb::ErrorInfo {
    const TYPE_URL: &'static str = "type.googleapis.com/google.rpc.ErrorInfo";
}
impl Detail for pb::BadRequest {
    const TYPE_URL: &'static str = "type.googleapis.com/google.rpc.BadRequest";
}
impl Detail for pb::PreconditionFailure {
    const TYPE_URL: &'static str = "type.googleapis.com/google.rpc.PreconditionFailure";
}
impl Detail for pb::ResourceInfo {
    const TYPE_URL: &'static str = "type.googleapis.com/google.rpc.ResourceInfo";
}
impl Detail for pb::RetryInfo {
    const TYPE_URL: &'static str = "type.googleapis.com/google.rpc.RetryInfo";
}
impl Detail for wire::Finding {
    const TYPE_URL: &'static str = "type.googleapis.com/trestle.finding.v1.Finding";
}

/// The details of a received status; none where they are absent or unreadable.
struct Details(Vec<Any>);

impl Details {
    fn of(status: &GrpcStatus) -> Self {
        Self(pb::Status::decode(status.details()).map(|rich| rich.details).unwrap_or_default())
    }

    fn all<D: Detail>(&self) -> Vec<D> {
        let typed = self.0.iter().filter(|any| any.type_url == D::TYPE_URL);
        typed.filter_map(|any| D::decode(any.value.as_slice()).ok()).collect()
    }
}

fn pack<D: Detail>(detail: &D) -> Any {
    Any { type_url: D::TYPE_URL.to_owned(), value: detail.encode_to_vec() }
}

fn details(refusal: &Refusal, findings: &[Finding]) -> Vec<Any> {
    let mut details = vec![pack(&error_info(refusal, findings.len()))];
    if refusal.code == Status::InvalidArgument {
        details.push(pack(&pb::BadRequest { field_violations: findings.iter().map(field_violation).collect() }));
    }
    if refusal.code == Status::FailedPrecondition {
        details.push(pack(&pb::PreconditionFailure { violations: findings.iter().map(violation).collect() }));
    }
    if matches!(refusal.code, Status::NotFound | Status::AlreadyExists) {
        details.extend(refusal.worst().map(|worst| pack(&resource_info(worst))));
    }
    if let Some(delay) = refusal.retry {
        details.push(pack(&pb::RetryInfo { retry_delay: Some(wire_duration(delay)) }));
    }
    details.extend(findings.iter().map(|finding| pack(&finding_wire::build(finding))));
    details
}

fn error_info(refusal: &Refusal, shown: usize) -> pb::ErrorInfo {
    let mut metadata = HashMap::new();
    let mut say = |key: &str, value: String| {
        if !value.is_empty() {
            metadata.insert(key.to_owned(), clipped(&value));
        }
    };
    say("findings", refusal.findings.0.len().to_string());
    if shown < refusal.findings.0.len() {
        say("findings_shown", shown.to_string());
    }
    say(ETAG, refusal.etag.clone().unwrap_or_default());
    let Some(worst) = refusal.worst() else {
        return pb::ErrorInfo { reason: "UNKNOWN".to_owned(), domain: DOMAIN.to_owned(), metadata };
    };
    say("field", worst.field.clone());
    say("subject", worst.subject.clone());
    say("ovirt_code", worst.code.ovirt().map(|code| code.to_string()).unwrap_or_default());
    pb::ErrorInfo { reason: worst.code.as_str().to_owned(), domain: DOMAIN.to_owned(), metadata }
}

fn field_violation(finding: &Finding) -> FieldViolation {
    FieldViolation {
        field: finding.field.clone(),
        description: description(finding),
        reason: finding.code.as_str().to_owned(),
        localized_message: None,
    }
}

fn violation(finding: &Finding) -> Violation {
    let subject = if finding.subject.is_empty() { &finding.field } else { &finding.subject };
    Violation { r#type: finding.code.as_str().to_owned(), subject: subject.clone(), description: description(finding) }
}

fn resource_info(finding: &Finding) -> pb::ResourceInfo {
    let collection = finding.subject.rsplit('/').nth(1);
    let kind = match collection {
        Some("clusters") => "trestle.engine.v1.Cluster",
        Some("networks") => "trestle.engine.v1.Network",
        Some("clusterNetworks") => "trestle.engine.v1.ClusterNetwork",
        Some("vnicProfiles") => "trestle.engine.v1.VnicProfile",
        Some("hosts") => "trestle.engine.v1.Host",
        Some("networkAttachments") => "trestle.engine.v1.NetworkAttachment",
        Some("macPools") => "trestle.engine.v1.MacPool",
        Some("vms") => "trestle.engine.v1.Vm",
        Some("vnics") => "trestle.engine.v1.Vnic",
        Some("stockFilters") => "trestle.engine.v1.StockFilter",
        _ => "",
    };
    pb::ResourceInfo {
        resource_type: kind.to_owned(),
        resource_name: finding.subject.clone(),
        owner: String::new(),
        description: description(finding),
    }
}

/// Says a finding in one line: the message, what to do, and what is in the way.
fn description(finding: &Finding) -> String {
    let mut line = finding.message.clone();
    if !finding.remedy.is_empty() {
        line.push_str("; ");
        line.push_str(&finding.remedy);
    }
    if !finding.related.is_empty() {
        line.push_str("; related: ");
        line.push_str(&finding.related.join(", "));
    }
    line
}

fn clipped(text: &str) -> String {
    match text.char_indices().nth(MESSAGE_LIMIT) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
