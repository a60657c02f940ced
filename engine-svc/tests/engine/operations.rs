//! What hosts were told to do, as clients read it, with agents that say what the test wants.

use tonic::{Code, Status};
use trestle_model::FeatureSet;
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine::v1::operation_service_client::OperationServiceClient;
use trestle_proto::engine::v1::stock_filter_service_client::StockFilterServiceClient;
use trestle_proto::host::v1::{FilterReport, LibvirtInfo, Outcome};
use trestle_proto::session::v1::agent_message::Kind as AgentKind;
use trestle_proto::session::v1::command_result::End;
use trestle_proto::session::v1::{CommandResult, Refusal};
use trestle_proto::status::reason_of;

use super::harness::{Agent, Running};
use super::plugging::World;
use super::sessions::{applied, report_of, setup_of, welcomed_as};
use super::vnics::VM;

async fn list(engine: &Running, wish: wire::ListOperationsRequest) -> Result<Vec<wire::Operation>, Status> {
    let (mut wish, mut found) = (wish, Vec::new());
    loop {
        let mut client = OperationServiceClient::new(engine.connection.clone());
        let page = client.list_operations(wish.clone()).await?.into_inner();
        found.extend(page.operations);
        wish.page_token = page.next_page_token;
        if wish.page_token.is_empty() {
            return Ok(found);
        }
    }
}

async fn get(engine: &Running, name: &str) -> Result<wire::Operation, Status> {
    let request = wire::GetOperationRequest { name: name.to_owned() };
    let mut client = OperationServiceClient::new(engine.connection.clone());
    Ok(client.get_operation(request).await?.into_inner().operation.unwrap())
}

/// A host that has just said that it runs nothing.
async fn empty(engine: &Running, host: &str) -> Agent {
    let agent = welcomed_as(engine, host).await;
    agent.say(report_of(&[], "empty", FeatureSet::default())).await;
    agent
}

#[tokio::test]
async fn a_setup_is_told_while_it_runs_and_when_it_has_ended() {
    let engine = Running::start().await;
    engine.furnish("host-a", "blue", wire::NetworkSpec::default()).await;
    engine.register("host-b").await;
    engine.attach("host-b", "blue").await;
    let mut first = empty(&engine, "host-a").await;
    let (id, setup) = setup_of(first.hear().await.unwrap());
    let name = format!("hosts/host-a/operations/{id}");
    let running = get(&engine, &name).await.unwrap();
    assert_eq!((running.kind(), running.state()), (wire::OperationKind::SetupNetworks, wire::OperationState::Running));
    assert_eq!((running.targets.as_slice(), running.done), (&["networks/blue".to_owned()][..], false));
    assert_eq!((running.revision, running.end_time), (setup.generation, None));
    assert!(running.start_time.is_some());

    first.say(applied(&id, "blue")).await;
    first.hear().await.unwrap();
    let ended = get(&engine, &name).await.unwrap();
    assert_eq!((ended.state(), ended.done), (wire::OperationState::Succeeded, true));
    assert_eq!(ended.result.as_ref().unwrap().outcome(), Outcome::Applied);
    assert!(ended.end_time.is_some());

    let mut second = empty(&engine, "host-b").await;
    let (id, _) = setup_of(second.hear().await.unwrap());
    let finding = trestle_proto::finding::v1::Finding { code: "NIC_NOT_FOUND".to_owned(), ..Default::default() };
    let refusal = Refusal { code: 9, message: "refused".to_owned(), findings: vec![finding] };
    let result = CommandResult { command_id: id.clone(), end: Some(End::Refusal(refusal)) };
    second.say(AgentKind::Result(result)).await;
    second.hear().await.unwrap();
    let failed = get(&engine, &format!("hosts/host-b/operations/{id}")).await.unwrap();
    assert_eq!((failed.state(), failed.findings[0].code.as_str()), (wire::OperationState::Failed, "NIC_NOT_FOUND"));

    let all = list(&engine, wire::ListOperationsRequest { page_size: 1, ..Default::default() }).await.unwrap();
    assert_eq!(all, [failed.clone(), ended.clone()], "the newest first");
    let parent = "hosts/host-a".to_owned();
    let of_one = list(&engine, wire::ListOperationsRequest { parent, ..Default::default() }).await.unwrap();
    assert_eq!(of_one, std::slice::from_ref(&ended));
    let filter = "state = OPERATION_STATE_FAILED AND findings.code = NIC_NOT_FOUND".to_owned();
    let wish = wire::ListOperationsRequest { filter, page_size: 1, ..Default::default() };
    assert_eq!(list(&engine, wish).await.unwrap(), [failed]);
}

#[tokio::test]
async fn interfaces_are_told_with_their_vm_and_macs_and_are_lost_with_their_session() {
    let mut world = World::furnish().await;
    world.report(vec![super::plugging::domain("web", VM, Vec::new())]).await;
    let id = world.command().await;
    world.dial_again().await;
    let told = get(&world.engine, &format!("hosts/host-a/operations/{id}")).await.unwrap();
    assert_eq!((told.kind(), told.state()), (wire::OperationKind::SetDomainInterfaces, wire::OperationState::Lost));
    assert_eq!((told.targets, told.set_macs), (vec![format!("vms/{VM}")], vec![world.mac.clone()]));
    assert!(told.done && told.removed_macs.is_empty());
}

#[tokio::test]
async fn what_names_no_operation_is_refused() {
    let engine = Running::start().await;
    engine.furnish("host-a", "blue", wire::NetworkSpec::default()).await;
    let uuid = uuid::Uuid::now_v7();
    for (name, code) in [
        (String::new(), Code::InvalidArgument),
        ("hosts/host-a/operations/x".to_owned(), Code::InvalidArgument),
        (format!("operations/{uuid}"), Code::InvalidArgument),
        (format!("hosts/host-a/operations/{uuid}"), Code::NotFound),
    ] {
        assert_eq!(get(&engine, &name).await.unwrap_err().code(), code, "{name}");
    }
    let wish = |parent: &str, filter: &str| wire::ListOperationsRequest {
        parent: parent.to_owned(),
        filter: filter.to_owned(),
        ..Default::default()
    };
    assert_eq!(list(&engine, wish("hosts/x", "")).await.unwrap_err().code(), Code::NotFound);
    let refused = list(&engine, wish("", "stat = 1")).await.unwrap_err();
    assert_eq!(reason_of(&refused).as_deref(), Some("FILTER_INVALID"));
}

#[tokio::test]
async fn filters_that_hosts_report_are_told_with_where_they_differ() {
    let engine = Running::start().await;
    engine.furnish("host-a", "blue", wire::NetworkSpec::default()).await;
    engine.register("host-b").await;
    engine.register("host-c").await;
    let filter = |name: &str, stops: bool| FilterReport {
        name: name.to_owned(),
        stops_mac_spoofing: stops,
        stops_guest_tags: false,
        lets_guest_send: true,
    };
    let mut agents = Vec::new();
    for (host, ours) in [("host-a", true), ("host-b", false), ("host-c", true)] {
        let agent = welcomed_as(&engine, host).await;
        let mut report = report_of(&[], "empty", FeatureSet::default());
        if let AgentKind::Report(report) = &mut report {
            let filters = vec![filter("no-mac-spoofing", true), filter("ours", ours)];
            report.capabilities.as_mut().unwrap().libvirt =
                Some(LibvirtInfo { connected: true, filters, ..Default::default() });
        }
        agent.say(report).await;
        engine
            .wait_for(host, |status| {
                status.state() != wire::HostState::NonResponsive && status.sync() != wire::Sync::Unknown
            })
            .await;
        agents.push(agent);
    }
    let listed = async |filter: &str, page_size, page_token: &str| {
        let (filter, page_token) = (filter.to_owned(), page_token.to_owned());
        let request = wire::ListReportedFiltersRequest { filter, page_size, page_token };
        let mut client = StockFilterServiceClient::new(engine.connection.clone());
        client.list_reported_filters(request).await.unwrap().into_inner()
    };
    let first = listed("", 1, "").await;
    let shown = &first.reported_filters[0];
    assert_eq!((shown.filter.as_str(), shown.stock, shown.differs), ("no-mac-spoofing", true, false));
    assert_eq!(shown.verdicts[0].hosts, ["hosts/host-a", "hosts/host-b", "hosts/host-c"]);
    let second = listed("", 1, &first.next_page_token).await;
    assert_eq!(second.next_page_token, "");
    let shown = &second.reported_filters[0];
    assert_eq!((shown.filter.as_str(), shown.stock, shown.differs), ("ours", false, true));
    let verdicts: Vec<_> = shown.verdicts.iter().map(|one| (one.stops_mac_spoofing, one.hosts.as_slice())).collect();
    let (two, one) = (["hosts/host-a".to_owned(), "hosts/host-c".to_owned()], ["hosts/host-b".to_owned()]);
    assert_eq!(verdicts, [(true, &two[..]), (false, &one[..])], "those of most hosts first");
    assert_eq!(listed("differs = true", 0, "").await.reported_filters, second.reported_filters);
}
