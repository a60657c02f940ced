//! `operations`, against an engine that has three.

use std::sync::{Arc, Mutex};

use tonic::{Request, Response, Status};
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine::v1::operation_service_server::{OperationService, OperationServiceServer};
use trestle_proto::finding::v1::Finding;
use trestle_proto::host::v1::SetupNetworksResult;

use crate::harness::{run, serve};

const UUID: &str = "0190f3a2-7c11-7cc0-a3b7-6a1c0c5d9e4f";

#[derive(Clone, Default)]
struct Commands(Arc<Mutex<Vec<wire::ListOperationsRequest>>>);

fn operation(number: i64) -> wire::Operation {
    let moment = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    let start = 1_790_000_000 + number;
    let failed = wire::OperationState::Failed;
    wire::Operation {
        name: format!("hosts/host-a/operations/{UUID}"),
        host: "hosts/host-a".to_owned(),
        kind: wire::OperationKind::SetupNetworks.into(),
        state: if number == 3 { wire::OperationState::Running } else { failed }.into(),
        done: number != 3,
        start_time: moment(start),
        end_time: if number == 3 { None } else { moment(start + 2) },
        targets: vec!["networks/blue".to_owned()],
        removed_macs: vec!["52:54:00:00:00:01".to_owned()],
        findings: if number == 1 { Vec::new() } else { vec![finding("NIC_NOT_FOUND")] },
        result: (number == 1).then(|| SetupNetworksResult {
            cause: Some(finding("CONNECTIVITY_LOST")),
            findings: vec![finding("UPLINK_DOWN")],
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn finding(code: &str) -> Finding {
    Finding { code: code.to_owned(), ..Default::default() }
}

#[tonic::async_trait]
impl OperationService for Commands {
    async fn get_operation(
        &self,
        _: Request<wire::GetOperationRequest>,
    ) -> Result<Response<wire::GetOperationResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    /// One a page.
    async fn list_operations(
        &self,
        request: Request<wire::ListOperationsRequest>,
    ) -> Result<Response<wire::ListOperationsResponse>, Status> {
        let wish = request.into_inner();
        let number: i64 = wish.page_token.parse().unwrap_or(3);
        let next_page_token = if number > 1 { (number - 1).to_string() } else { String::new() };
        self.0.lock().unwrap().push(wish);
        Ok(Response::new(wire::ListOperationsResponse { operations: vec![operation(number)], next_page_token }))
    }
}

#[tokio::test]
async fn lists_what_a_host_was_told_page_by_page() {
    let commands = Commands::default();
    let server = OperationServiceServer::new(commands.clone());
    let running = serve("127.0.0.1:0", |services| services.with(server)).await;
    let target = format!("http://{}", running.address);
    let listed = run(&target, &["operations", "host-a", "--filter", "done = true"], "").await;
    assert_eq!(listed.code, 0, "{}", listed.stderr);
    let lines: Vec<Vec<&str>> = listed.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["STARTED", "HOST", "WHAT", "STATE", "TOOK", "ABOUT", "FINDINGS", "ID"]);
    let about = ["networks/blue", "-52:54:00:00:00:01", "NIC_NOT_FOUND", UUID];
    assert_eq!(lines[1], [&["2026-09-21T14:13:23Z", "host-a", "setup", "running", "-"][..], &about].concat());
    assert_eq!(lines[2], [&["2026-09-21T14:13:22Z", "host-a", "setup", "failed", "2.0s"][..], &about].concat());
    let put_back = ["networks/blue", "-52:54:00:00:00:01", "CONNECTIVITY_LOST,", "UPLINK_DOWN", UUID];
    assert_eq!(lines[3], [&["2026-09-21T14:13:21Z", "host-a", "setup", "failed", "2.0s"][..], &put_back].concat());
    assert_eq!(lines.len(), 4);
    let asked = commands.0.lock().unwrap()[0].clone();
    assert_eq!((asked.parent.as_str(), asked.filter.as_str()), ("hosts/host-a", "done = true"));
    let limited = run(&target, &["operations", "--limit", "2", "-o", "json"], "").await;
    let values: serde_json::Value = serde_json::from_str(&limited.stdout).unwrap();
    assert_eq!((values.as_array().unwrap().len(), &values[1]["state"]), (2, &"OPERATION_STATE_FAILED".into()));
}
