//! The small engine's judgement of changes: made on a copy that is thrown away.

use prost_reflect::{DynamicMessage, Value};
use tonic::{Request, Response, Status};
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine::v1::check_service_server::CheckService;
use trestle_proto::engine::v1::planned_change::Change;
use trestle_proto::engine_wire::view_any;
use trestle_proto::schema;
use trestle_proto::status::findings_of;
use trestlectl::engine::{etag_of, name_of};
use trestlectl::kind::Kind;

use crate::fleet::Fleet;

#[tonic::async_trait]
impl CheckService for Fleet {
    async fn check(&self, request: Request<wire::CheckRequest>) -> Result<Response<wire::CheckResponse>, Status> {
        let copy = self.copy();
        let changes = request.into_inner().changes.into_iter();
        let results = changes.map(|planned| judged(&copy, planned.change.unwrap())).collect();
        Ok(Response::new(wire::CheckResponse { results }))
    }
}

fn judged(copy: &Fleet, change: Change) -> wire::CheckedChange {
    let (name, kind, call) = match change {
        Change::Put(any) => {
            let resource = view_any(&any).unwrap();
            let name = name_of(&resource).to_owned();
            let before = copy.resource(&name);
            let kind = Kind::of_name(&name).unwrap();
            let mut request = request(&format!("Update{kind}"));
            request.set_field_by_name(kind.field(), Value::Message(resource));
            request.set_field_by_name("allow_missing", Value::Bool(true));
            let answer = copy.answer(kind, &format!("Update{kind}"), &request);
            let after = copy.resource(&name);
            let is_same = before.as_ref().map(etag_of) == after.as_ref().map(etag_of);
            let change = match before {
                _ if is_same => wire::ChangeKind::Unspecified,
                None => wire::ChangeKind::Created,
                Some(_) => wire::ChangeKind::Updated,
            };
            (name, change, answer)
        }
        Change::Delete(name) => {
            let kind = Kind::of_name(&name).unwrap();
            let mut request = request(&format!("Delete{kind}"));
            request.set_field_by_name("name", Value::String(name.clone()));
            let answer = copy.answer(kind, &format!("Delete{kind}"), &request);
            (name, wire::ChangeKind::Deleted, answer)
        }
    };
    let findings = call.as_ref().err().map(findings_of).unwrap_or_default();
    wire::CheckedChange {
        resource: name,
        kind: kind.into(),
        refused: call.is_err(),
        findings,
        omitted_finding_count: 0,
    }
}

fn request(method: &str) -> DynamicMessage {
    DynamicMessage::new(schema::message(&format!("trestle.engine.v1.{method}Request")))
}
