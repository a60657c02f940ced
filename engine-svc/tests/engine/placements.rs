//! Where virtual machines could be, as clients ask for it, with agents that say what the test wants.

use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use trestle_proto::engine::v1 as wire;
use trestle_proto::session::v1::engine_message::Kind as EngineKind;

use super::harness::{Agent, Running};
use super::sessions::{applied, setup_of, welcomed_as};
use super::states::runs;
use super::vnics::{self, GUESTS, VM, put};

/// An engine with `blue` on `host-a`, which runs it, on `host-b`, which never called, and not on `host-c`, which is there; and a VM
/// with a vNIC on `blue`, which is to run on `host-a`.
async fn furnished() -> (Running, [Agent; 2]) {
    let engine = Running::start().await;
    vnics::furnish(&engine).await;
    put(&engine, vnics::vnic("eth0", GUESTS)).await.unwrap();
    for host in ["host-b", "host-c"] {
        engine.register(host).await;
    }
    engine.attach("host-b", "blue").await;
    let mut first = welcomed_as(&engine, "host-a").await;
    first.say(runs(&[], "empty", true)).await;
    let (id, setup) = setup_of(first.hear().await.unwrap());
    first.say(applied(&id, &id)).await;
    assert!(matches!(first.hear().await.unwrap(), EngineKind::ResultAck(_)));
    first.say(runs(&setup.networks, &id, true)).await;
    let third = welcomed_as(&engine, "host-c").await;
    third.say(runs(&[], "empty", true)).await;
    engine.wait_for("host-a", |status| status.sync() == wire::Sync::InSync).await;
    engine.wait_for("host-c", |status| status.state() == wire::HostState::Up).await;
    (engine, [first, third])
}

async fn ask(engine: &Running, mut wish: wire::ListPlacementsRequest) -> Result<Vec<wire::Placement>, Status> {
    let mut found = Vec::new();
    loop {
        let page = engine.vms().list_placements(wish.clone()).await?.into_inner();
        found.extend(page.placements);
        wish.page_token = page.next_page_token;
        if wish.page_token.is_empty() {
            return Ok(found);
        }
    }
}

fn told(placements: &[wire::Placement]) -> Vec<(&str, bool, Vec<&str>)> {
    placements
        .iter()
        .map(|one| (one.host.as_str(), one.eligible, one.findings.iter().map(|f| f.code.as_str()).collect()))
        .collect()
}

fn of_vm() -> wire::ListPlacementsRequest {
    wire::ListPlacementsRequest { vm: format!("vms/{VM}"), ..Default::default() }
}

#[tokio::test]
async fn each_host_is_offered_or_told_why_not() {
    let (engine, _agents) = furnished().await;
    let all = ask(&engine, of_vm()).await.unwrap();
    let expected = [
        ("hosts/host-a", true, vec![]),
        ("hosts/host-b", false, vec!["HOST_NOT_UP"]),
        ("hosts/host-c", false, vec!["NETWORK_NOT_ON_HOST"]),
    ];
    assert_eq!(told(&all), expected);
    assert_eq!(all[2].findings[0].related, ["networks/blue"]);
    let by_one = ask(&engine, wire::ListPlacementsRequest { page_size: 1, ..of_vm() }).await.unwrap();
    assert_eq!(by_one, all);
    let filter = "eligible = false AND findings.related:networks/blue".to_owned();
    let away = ask(&engine, wire::ListPlacementsRequest { filter, page_size: 1, ..of_vm() }).await.unwrap();
    assert_eq!(away, [all[2].clone()], "also where pages before it are empty");
    let some = vec!["hosts/host-c".to_owned(), "hosts/host-a".to_owned()];
    let some = ask(&engine, wire::ListPlacementsRequest { hosts: some, page_size: 1, ..of_vm() }).await.unwrap();
    assert_eq!(some, [all[0].clone(), all[2].clone()]);

    let vnics = |profile: &str| vec![wire::VnicSpec { profile: profile.to_owned(), ..Default::default() }];
    let new = |vnics| wire::ListPlacementsRequest { cluster: "clusters/lab".to_owned(), vnics, ..Default::default() };
    assert_eq!(ask(&engine, new(vnics(GUESTS))).await.unwrap(), all);
    let free = ask(&engine, new(Vec::new())).await.unwrap();
    let expected =
        [("hosts/host-a", true, vec![]), ("hosts/host-b", false, vec!["HOST_NOT_UP"]), ("hosts/host-c", true, vec![])];
    assert_eq!(told(&free), expected);
}

#[tokio::test]
async fn a_question_that_is_malformed_or_names_what_is_not_there_is_refused() {
    let (engine, _agents) = furnished().await;
    let refused = async |wish: wire::ListPlacementsRequest| ask(&engine, wish).await.unwrap_err();
    let spec = |profile: &str, mac: &str| wire::VnicSpec {
        profile: profile.to_owned(),
        mac: mac.to_owned(),
        ..Default::default()
    };
    let new = |vnics| wire::ListPlacementsRequest { cluster: "clusters/lab".to_owned(), vnics, ..Default::default() };
    let bad = wire::ListPlacementsRequest { hosts: vec!["host-a".to_owned()], ..new(vec![spec("blue", "x")]) };
    let status = refused(bad).await;
    assert_eq!(status.code(), Code::InvalidArgument);
    let details = status.get_error_details();
    let mut fields: Vec<_> =
        details.bad_request().unwrap().field_violations.iter().map(|violation| violation.field.as_str()).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["hosts[0]", "vnics[0].mac", "vnics[0].profile"]);
    for (wish, code) in [
        (wire::ListPlacementsRequest::default(), Code::InvalidArgument),
        (wire::ListPlacementsRequest { cluster: "clusters/lab".to_owned(), ..of_vm() }, Code::InvalidArgument),
        (wire::ListPlacementsRequest { page_token: "0".to_owned(), ..of_vm() }, Code::InvalidArgument),
        (wire::ListPlacementsRequest { vm: VM.replacen("vms", "", 1), ..Default::default() }, Code::InvalidArgument),
        (
            wire::ListPlacementsRequest { vm: format!("vms/{}", uuid::Uuid::nil()), ..Default::default() },
            Code::NotFound,
        ),
        (wire::ListPlacementsRequest { cluster: "clusters/x".to_owned(), ..Default::default() }, Code::NotFound),
        (wire::ListPlacementsRequest { hosts: vec!["hosts/x".to_owned()], ..of_vm() }, Code::NotFound),
        (new(vec![spec("networks/blue/vnicProfiles/x", "")]), Code::NotFound),
    ] {
        assert_eq!(refused(wish.clone()).await.code(), code, "{wish:?}");
    }
    let first = engine.vms().list_placements(wire::ListPlacementsRequest { page_size: 1, ..of_vm() }).await.unwrap();
    let other = new(Vec::new());
    let mixed = wire::ListPlacementsRequest { page_token: first.into_inner().next_page_token, ..other };
    assert_eq!(refused(mixed).await.code(), Code::InvalidArgument, "the token of another question");
}

#[tokio::test]
async fn a_host_that_is_lost_is_offered_no_more_and_who_says_that_a_vm_went_there_is_told() {
    let engine = Running::start_impatient().await;
    vnics::furnish(&engine).await;
    let agent = welcomed_as(&engine, "host-a").await;
    agent.say(runs(&[], "empty", true)).await;
    engine.wait_for("host-a", |status| status.state() == wire::HostState::Up).await;
    drop(agent);
    engine.wait_for("host-a", |status| status.state() == wire::HostState::NonResponsive).await;
    let lost = ask(&engine, of_vm()).await.unwrap();
    assert_eq!(told(&lost), [("hosts/host-a", false, vec!["HOST_NOT_UP"])]);

    let go = async |host: &str| {
        let spec = wire::VmSpec { host: host.to_owned(), ..Default::default() };
        let request = wire::UpdateVmRequest {
            vm: Some(wire::Vm { name: format!("vms/{VM}"), spec: Some(spec), ..Default::default() }),
            update_mask: Some(prost_types::FieldMask { paths: vec!["spec.host".to_owned()] }),
            ..Default::default()
        };
        let findings = engine.vms().update_vm(request).await.unwrap().into_inner().findings;
        findings.into_iter().map(|finding| finding.code).collect::<Vec<_>>()
    };
    assert_eq!(go("").await, Vec::<String>::new());
    assert_eq!(go("hosts/host-a").await, ["HOST_NOT_OFFERED"], "it is written all the same");
    assert_eq!(go("hosts/host-a").await, Vec::<String>::new(), "it is there already");
}
