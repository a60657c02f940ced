//! Check: what the rules say of a sequence of changes that are not made.

use prost::Message as _;
use prost_types::FieldMask;
use tonic::{Request, Response, Status};
use trestle_model::fleet::Mutation;
use trestle_model::{Code, Finding, Findings};
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine::v1::any_resource::Resource as Any;
use trestle_proto::engine::v1::check_service_server::CheckService;
use trestle_proto::engine::v1::planned_change::Change as Asked;
use trestle_proto::engine_wire;
use trestle_proto::status::Refusal;
use trestle_rules::Fix;
use trestle_store::Change;

use super::{Collection, PAGE_BYTES, updating, wire_findings};
use crate::write::{Checked, Decide, Planned, Writer};

/// The most changes of one check.
const MOST_CHANGES: usize = 2000;

/// Serves `CheckService`.
#[derive(Debug, Clone)]
pub struct Checks(pub Writer);

#[tonic::async_trait]
impl CheckService for Checks {
    async fn check(&self, request: Request<wire::CheckRequest>) -> Result<Response<wire::CheckResponse>, Status> {
        super::require_user(&request)?;
        let wire::CheckRequest { changes, acknowledge_warnings } = request.into_inner();
        let acknowledged = engine_wire::parse_acknowledged(&acknowledge_warnings).map_err(Refusal::malformed)?;
        let (names, planned): (Vec<_>, Vec<_>) = parse(changes)?.into_iter().unzip();
        let checked = self.0.check(planned, acknowledged).await?;
        Ok(Response::new(build(names, checked)))
    }
}

/// Reads what is to be judged: the name of each resource as given, and how its change is made.
///
/// *Errors*: `FIELD_MISSING`, `TOO_LONG`. What is wrong with a change itself is told with that change.
fn parse(changes: Vec<wire::PlannedChange>) -> Result<Vec<(String, Planned)>, Refusal> {
    let mut faults = Vec::new();
    if changes.is_empty() {
        let finding = Finding::error(Code::FieldMissing, "changes", "changes is missing");
        faults.push(finding.remedy("give the changes to judge"));
    }
    if changes.len() > MOST_CHANGES {
        let message = format!("there are {} changes, at most {MOST_CHANGES} are judged at once", changes.len());
        faults.push(Finding::error(Code::TooLong, "changes", message).remedy("judge them in parts, in their order"));
    }
    let mut parsed = Vec::new();
    for (position, wire::PlannedChange { change, update_mask, fix_profiles }) in changes.into_iter().enumerate() {
        let fix = if fix_profiles { Fix::Profiles } else { Fix::Leave };
        let given = change.and_then(|change| match change {
            Asked::Put(any) => any.resource.map(|resource| putting(resource, update_mask)),
            Asked::Delete(name) => Some((name.clone(), deleting(name))),
        });
        match given {
            Some((name, decide)) => parsed.push((name, Planned { decide, fix })),
            None => {
                let field = format!("changes[{position}]");
                let finding = Finding::error(Code::FieldMissing, &field, format!("{field} says nothing to do"));
                faults.push(finding.remedy("give a resource to put, or a name to delete"));
            }
        }
    }
    if faults.is_empty() { Ok(parsed) } else { Err(Refusal::malformed(Findings(faults))) }
}

fn putting(resource: Any, mask: Option<FieldMask>) -> (String, Decide) {
    match resource {
        Any::Cluster(resource) => put(resource, mask),
        Any::Network(resource) => put(resource, mask),
        Any::ClusterNetwork(resource) => put(resource, mask),
        Any::VnicProfile(resource) => put(resource, mask),
        Any::Host(resource) => put(resource, mask),
        Any::NetworkAttachment(resource) => put(resource, mask),
        Any::Bond(resource) => put(resource, mask),
        Any::MacPool(resource) => put(resource, mask),
        Any::Vm(resource) => put(resource, mask),
        Any::Vnic(resource) => put(resource, mask),
    }
}

fn put<R: Collection + Send + 'static>(resource: R, mask: Option<FieldMask>) -> (String, Decide) {
    let name = resource.name().to_owned();
    match updating(Some(resource), mask, true) {
        Ok(decide) => (name, Box::new(decide)),
        Err(refusal) => (name, Box::new(move |_| Err(refusal.clone()))),
    }
}

fn deleting(name: String) -> Decide {
    Box::new(move |fleet| {
        let id = engine_wire::parse_name(&name, "name").map_err(Refusal::malformed)?;
        if fleet.entity(&id).is_none() {
            return Err(engine_wire::missing(&id, "name").into());
        }
        Ok(Mutation::Delete(id))
    })
}

/// Builds the answer; findings for which it has no room are counted.
fn build(names: Vec<String>, checked: Vec<Checked>) -> wire::CheckResponse {
    let mut bytes = 0_usize;
    let results = names.into_iter().zip(checked).map(|(resource, Checked { change, refused, findings })| {
        let kind = match change {
            Some(Change::Created) => wire::ChangeKind::Created,
            Some(Change::Updated) => wire::ChangeKind::Updated,
            Some(Change::Deleted) => wire::ChangeKind::Deleted,
            None => wire::ChangeKind::Unspecified,
        };
        let all = wire_findings(&findings);
        let number = all.len();
        let fits = |finding: &trestle_proto::finding::v1::Finding| {
            bytes = bytes.saturating_add(finding.encoded_len());
            bytes <= PAGE_BYTES
        };
        let findings: Vec<_> = all.into_iter().take_while(fits).collect();
        let omitted_finding_count = u32::try_from(number - findings.len()).unwrap_or(u32::MAX);
        wire::CheckedChange { resource, kind: kind.into(), refused, findings, omitted_finding_count }
    });
    wire::CheckResponse { results: results.collect() }
}
