//! What hosts were told to do, and what became of it: to read.

use prost::Message as _;
use tonic::{Request, Response, Status};
use trestle_model::fleet::EntityId;
use trestle_model::{Code, Finding, HostName, MacAddr, VmId};
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine::v1::operation_service_server::OperationService;
use trestle_proto::engine_wire::{self, timestamp};
use trestle_proto::filter::Filter;
use trestle_proto::finding_wire;
use trestle_proto::page::{self, Page};
use trestle_proto::status::Refusal;
use uuid::Uuid;

use super::filtered::is_wanted;
use super::{Api, PAGE_BYTES};
use crate::session::{Ended, Operation, Outcome, Task};

const OPERATION: &str = "trestle.engine.v1.Operation";
const REMEDY: &str = "write it as hosts/{host}/operations/{operation}";

/// Serves `OperationService`.
#[derive(Debug, Clone)]
pub struct Operations(pub Api);

#[tonic::async_trait]
impl OperationService for Operations {
    async fn get_operation(
        &self,
        request: Request<wire::GetOperationRequest>,
    ) -> Result<Response<wire::GetOperationResponse>, Status> {
        super::require_user(&request)?;
        let (host, id) = parse(&request.get_ref().name)?;
        let found = self.0.board.operation(id).filter(|operation| operation.host == host);
        let operation = found.ok_or_else(|| {
            let finding = Finding::error(Code::NotFound, "name", "there is no such operation, or it is forgotten");
            Refusal::from(finding.remedy("list the host's operations; the agent's history goes further back"))
        })?;
        Ok(Response::new(wire::GetOperationResponse { operation: Some(build(operation)) }))
    }

    async fn list_operations(
        &self,
        request: Request<wire::ListOperationsRequest>,
    ) -> Result<Response<wire::ListOperationsResponse>, Status> {
        super::require_user(&request)?;
        Ok(Response::new(list(&self.0, request.get_ref())?))
    }
}

fn list(api: &Api, wish: &wire::ListOperationsRequest) -> Result<wire::ListOperationsResponse, Refusal> {
    let host = match wish.parent.as_str() {
        "" => None,
        name => Some(engine_wire::parse_name_of::<wire::Host>(name, "parent").map_err(Refusal::malformed)?),
    };
    let filter = Filter::parse(&wish.filter, OPERATION).map_err(Refusal::malformed)?;
    let query = format!("{}/operations/{}", wish.parent, wish.filter);
    let page = Page::parse(wish.page_size, &wish.page_token, &query).map_err(Refusal::malformed)?;
    let before = page.after.as_deref().and_then(|id| Uuid::parse_str(id).ok());
    if let Some(host) = host.as_ref().filter(|host| api.store.read(|fleet| !fleet.hosts().contains_key(*host))) {
        return Err(engine_wire::missing(&EntityId::Host(host.clone()), "parent").into());
    }
    let found = api.board.operations(host.as_ref(), before, page.size.saturating_add(1));
    let (found, mut next_page_token) = page.cut(&query, found, |operation| operation.id.to_string());
    let (mut operations, mut bytes, mut last) = (Vec::new(), 0_usize, None);
    for operation in found {
        let id = operation.id;
        let shown = build(operation);
        bytes = bytes.saturating_add(shown.encoded_len());
        if let Some(last) = last.filter(|_| bytes > PAGE_BYTES) {
            next_page_token = page::next_token(&query, &Uuid::to_string(&last));
            break;
        }
        last = Some(id);
        if is_wanted(filter.as_ref(), OPERATION, &shown) {
            operations.push(shown);
        }
    }
    Ok(wire::ListOperationsResponse { operations, next_page_token })
}

/// Reads an operation's name.
///
/// *Errors*: `NAME_INVALID`.
fn parse(name: &str) -> Result<(HostName, Uuid), Refusal> {
    let parts = name.split_once("/operations/").and_then(|(host, id)| Some((host, Uuid::parse_str(id).ok()?)));
    let Some((host, id)) = parts else {
        let finding = Finding::error(Code::NameInvalid, "name", "it is not the name of an operation");
        return Err(finding.remedy(REMEDY).into());
    };
    Ok((engine_wire::parse_name_of::<wire::Host>(host, "name").map_err(Refusal::malformed)?, id))
}

fn build(operation: Operation) -> wire::Operation {
    let Operation { id, host, task, revision, began_ms, ended } = operation;
    let host_name = EntityId::Host(host.clone()).to_string();
    let (kind, targets, set, removed) = match task {
        Task::SetupNetworks { networks, bonds } => {
            let networks = networks.into_iter().map(EntityId::Network);
            let bonds = bonds.into_iter().map(|bond| EntityId::Bond(host.clone(), bond));
            let targets = networks.chain(bonds).map(|target| target.to_string()).collect();
            (wire::OperationKind::SetupNetworks, targets, Vec::new(), Vec::new())
        }
        Task::SetDomainInterfaces { domain, set, removed } => {
            let targets = vec![EntityId::Vm(VmId(domain)).to_string()];
            (wire::OperationKind::SetDomainInterfaces, targets, set, removed)
        }
    };
    let macs = |macs: Vec<MacAddr>| macs.iter().map(MacAddr::to_string).collect();
    let (state, end_time, result, findings) = match ended {
        None => (wire::OperationState::Running, None, None, Vec::new()),
        Some(Ended { at_ms, outcome, result, findings }) => {
            let state = match outcome {
                Outcome::Succeeded => wire::OperationState::Succeeded,
                Outcome::Failed => wire::OperationState::Failed,
                Outcome::Lost => wire::OperationState::Lost,
            };
            (state, Some(timestamp(at_ms)), result, finding_wire::build_all(&findings.0))
        }
    };
    wire::Operation {
        name: format!("{host_name}/operations/{id}"),
        host: host_name,
        kind: kind.into(),
        state: state.into(),
        done: end_time.is_some(),
        revision,
        start_time: Some(timestamp(began_ms)),
        end_time,
        targets,
        set_macs: macs(set),
        removed_macs: macs(removed),
        result,
        findings,
    }
}
