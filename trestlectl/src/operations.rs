//! `operations`: shows what hosts were told to do, and what became of it.

use jiff::Timestamp;
use trestle_proto::engine::v1::{ListOperationsRequest, Operation, OperationKind, OperationState};
use trestle_proto::schema;

use crate::arguments::{Operations, ReportFormat};
use crate::context::Context;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::get::whole;
use crate::kind::{Kind, id_of};
use crate::output::{self, or_dash};

/// Runs `operations`.
///
/// # Errors
/// When the engine is not reached or refuses, or there is no host of the given name.
pub(crate) async fn operations(context: &Context, arguments: Operations) -> Result<(), Failure> {
    let parent = match &arguments.host {
        Some(name) if Kind::Host.names(name) => name.clone(),
        Some(id) => whole(Kind::Host, id)?,
        None => String::new(),
    };
    let engine = Engine::connect(context, context.call_timeout()).await?;
    let asked = ListOperationsRequest { parent, filter: arguments.filter, ..Default::default() };
    let found = engine.operations(asked, arguments.limit).await?;
    match arguments.output {
        ReportFormat::Json => {
            let dynamic = |one| schema::dynamic("trestle.engine.v1.Operation", one);
            output::json_array(&found.iter().map(dynamic).collect::<Vec<_>>())
        }
        ReportFormat::Table => {
            let heads = ["STARTED", "HOST", "WHAT", "STATE", "TOOK", "ABOUT", "FINDINGS", "ID"];
            output::table(heads, found.into_iter().map(row))
        }
    }
}

fn row(operation: Operation) -> [String; 8] {
    let what = match operation.kind() {
        OperationKind::Unspecified => "unknown",
        OperationKind::SetupNetworks => "setup",
        OperationKind::SetDomainInterfaces => "interfaces",
    };
    let state = match operation.state() {
        OperationState::Unspecified => "unknown",
        OperationState::Running => "running",
        OperationState::Succeeded => "succeeded",
        OperationState::Failed => "failed",
        OperationState::Lost => "lost",
    };
    let moment = |time: prost_types::Timestamp| Timestamp::new(time.seconds, time.nanos).ok();
    let (start, end) = (operation.start_time.and_then(moment), operation.end_time.and_then(moment));
    let took = start.zip(end).map(|(start, end)| format!("{:.1}s", end.duration_since(start).as_secs_f64()));
    let macs = operation.set_macs.into_iter().chain(operation.removed_macs.into_iter().map(|mac| format!("-{mac}")));
    let about: Vec<String> = operation.targets.into_iter().chain(macs).collect();
    // Why it was put back comes first.
    let of_result = operation.result.into_iter().flat_map(|result| result.cause.into_iter().chain(result.findings));
    let codes: Vec<String> = operation.findings.into_iter().chain(of_result).map(|finding| finding.code).collect();
    [
        or_dash(start.map(|start| start.to_string()).unwrap_or_default()),
        id_of(&operation.host).to_owned(),
        what.to_owned(),
        state.to_owned(),
        or_dash(took.unwrap_or_default()),
        or_dash(about.join(" ")),
        or_dash(codes.join(", ")),
        id_of(&operation.name).to_owned(),
    ]
}
