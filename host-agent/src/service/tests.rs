use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::Code as Grpc;
use tonic::Streaming;
use trestle_fake_host::{FakeHost, World};
use trestle_model::DomainState;
use trestle_proto::FILE_DESCRIPTOR_SET;
use trestle_proto::host::v1::host_agent_client::HostAgentClient;
use trestle_proto::host::v1::setup_networks_response::Event;
use trestle_proto::host::v1::{self as wire, ConnectivityCheck, Outcome};
use trestle_serve::{
    ClientOptions, Connection, Drained, ListenAddress, Listener, Reflection, Server, ServerError, ServerIdentity,
    ServerOptions, Services, Target, connect,
};

use super::*;
use crate::observer::Notices;
use crate::trial::{BOUND, Bench, host};

/// The service on a real unix socket.
pub(super) struct Served {
    pub(super) bench: Bench<FakeHost>,
    pub(super) client: HostAgentClient<Connection>,
    stop: CancellationToken,
    server: JoinSet<Result<Drained, ServerError>>,
    _observers: JoinSet<()>,
    _folder: TempDir,
}

/// Notices that never tell anything.
fn silent() -> Notices {
    let (_, changed) = tokio::sync::watch::channel(0);
    Notices { changed: changed.clone(), learned: changed }
}

pub(super) async fn serve(host: FakeHost) -> Served {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::new(host).await;
    let services = Services::new(&[FILE_DESCRIPTOR_SET], Reflection::On).unwrap();
    let (watches, observer) = Watches::new(bench.agent.clone(), silent(), Uuid::now_v7());
    let services = services.with(Service::new(bench.agent.clone(), watches));
    let path = folder.path().join("agent.sock");
    let listener = Listener::bind(&ListenAddress::Unix(path.clone()), None).await.unwrap();
    let stop = CancellationToken::new();
    let mut server = JoinSet::new();
    let mut observers = JoinSet::new();
    observers.spawn(observer.run(stop.clone()));
    server.spawn(Server::new(services, ServerOptions::default()).run(vec![listener], stop.clone()));
    let target = Target::Unix(path);
    let connection = connect(&target, &ClientOptions::new(None, ServerIdentity::AnyHost)).await.unwrap();
    let client = HostAgentClient::new(connection);
    Served { bench, client, stop, server, _observers: observers, _folder: folder }
}

pub(super) fn network(name: &str, nic: &str) -> wire::Network {
    wire::Network {
        name: name.to_owned(),
        southbound: Some(wire::network::Southbound::Nic(nic.to_owned())),
        ..wire::Network::default()
    }
}

pub(super) fn request(networks: impl Into<Vec<wire::Network>>) -> wire::SetupNetworksRequest {
    wire::SetupNetworksRequest {
        networks: networks.into(),
        connectivity_check: ConnectivityCheck::None.into(),
        ..wire::SetupNetworksRequest::default()
    }
}

async fn event(events: &mut Streaming<wire::SetupNetworksResponse>) -> Result<Option<Event>, Status> {
    let message = tokio::time::timeout(BOUND, events.message()).await.expect("no event in time")?;
    Ok(message.and_then(|message| message.event))
}

async fn result_of(events: &mut Streaming<wire::SetupNetworksResponse>) -> Result<wire::SetupNetworksResult, Status> {
    loop {
        if let Some(Event::Result(result)) = event(events).await? {
            assert_eq!(event(events).await?, None, "something came after the result");
            return Ok(result);
        }
    }
}

/// Sets up and returns the result, or the status that refuses it, whichever way it comes.
pub(super) async fn set_up(
    served: &mut Served,
    request: wire::SetupNetworksRequest,
) -> Result<wire::SetupNetworksResult, Status> {
    let mut events = served.client.setup_networks(request).await?.into_inner();
    result_of(&mut events).await
}

fn fields(status: &Status) -> Vec<String> {
    status::findings_of(status).into_iter().map(|finding| finding.field).collect()
}

#[tokio::test]
async fn a_network_is_set_up_reported_and_committed() {
    let mut served = serve(host()).await;
    let result = set_up(&mut served, request([network("blue", "eth1")])).await.unwrap();
    assert_eq!(result.outcome(), Outcome::Applied);
    assert!(result.steps.iter().all(|step| !step.text.is_empty() && !step.reason.is_empty()), "{:?}", result.steps);

    let ask = wire::GetCapabilitiesRequest::default();
    let capabilities = served.client.get_capabilities(ask).await.unwrap().into_inner().capabilities.unwrap();
    assert_eq!((capabilities.networks.len(), capabilities.dirty), (1, true));

    let committed = served.client.commit_networks(wire::CommitNetworksRequest {}).await.unwrap().into_inner();
    assert_eq!(committed.persistent_hash, result.running_hash);
}

#[tokio::test]
async fn a_read_mask_narrows_the_answer() {
    let mut served = serve(host()).await;
    let mask = prost_types::FieldMask { paths: vec!["boot_id".to_owned()] };
    let ask = wire::GetCapabilitiesRequest { read_mask: Some(mask) };
    let capabilities = served.client.get_capabilities(ask).await.unwrap().into_inner().capabilities.unwrap();
    let expected = wire::Capabilities { boot_id: "boot-1".to_owned(), ..wire::Capabilities::default() };
    assert_eq!(capabilities, expected);

    let mask = prost_types::FieldMask { paths: vec!["nonsense".to_owned()] };
    let ask = wire::GetCapabilitiesRequest { read_mask: Some(mask) };
    assert_eq!(served.client.get_capabilities(ask).await.unwrap_err().code(), Grpc::InvalidArgument);
}

#[tokio::test]
async fn bad_input_is_refused_with_every_field_path_and_changes_nothing() {
    let host = host();
    let mut served = serve(host.clone()).await;
    let bad = wire::SetupNetworksRequest {
        connectivity_check: 99,
        ..request([
            wire::Network { name: "a b".to_owned(), mtu: Some(1), ..wire::Network::default() },
            wire::Network { vlan_id: Some(5000), ..network("red", "not/a/nic") },
        ])
    };
    let status = set_up(&mut served, bad).await.unwrap_err();
    assert_eq!(status.code(), Grpc::InvalidArgument);
    let fields = fields(&status);
    for field in ["connectivity_check", "networks[0].name", "networks[0].mtu", "networks[1].vlan_id", "networks[1].nic"]
    {
        assert!(fields.iter().any(|found| found == field), "{field} is not in {fields:?}");
    }
    assert_eq!(host.writes(), 0);
    let confirm = wire::ConfirmNetworksRequest { transaction_id: "nonsense".to_owned() };
    assert_eq!(served.client.confirm_networks(confirm).await.unwrap_err().code(), Grpc::InvalidArgument);
}

#[tokio::test]
async fn a_request_that_does_not_fit_the_host_is_refused_with_findings() {
    let mut served = serve(host()).await;
    let status = set_up(&mut served, request([network("blue", "eth9")])).await.unwrap_err();
    assert_eq!(status.code(), Grpc::FailedPrecondition);
    assert_eq!(fields(&status), ["networks[0].nic"]);
    assert_eq!(status::reason_of(&status).as_deref(), Some("NIC_NOT_FOUND"));
}

#[tokio::test]
async fn a_local_client_confirms_what_it_asked_for() {
    let mut served = serve(host()).await;
    let ask = wire::SetupNetworksRequest {
        connectivity_check: ConnectivityCheck::Confirm.into(),
        ..request([network("blue", "eth1")])
    };
    let mut events = served.client.setup_networks(ask).await.unwrap().into_inner();
    let transaction_id = loop {
        if let Some(Event::AwaitingConfirmation(awaiting)) = event(&mut events).await.unwrap() {
            break awaiting.transaction_id;
        }
    };
    let unknown = wire::ConfirmNetworksRequest { transaction_id: Uuid::now_v7().to_string() };
    let status = served.client.confirm_networks(unknown).await.unwrap_err();
    assert_eq!(status::reason_of(&status).as_deref(), Some("TRANSACTION_NOT_FOUND"));
    let confirm = wire::ConfirmNetworksRequest { transaction_id };
    served.client.confirm_networks(confirm).await.unwrap();
    assert_eq!(result_of(&mut events).await.unwrap().outcome(), Outcome::Applied);
}

#[tokio::test]
async fn a_stop_ends_open_streams_in_time() {
    let mut served = serve(host()).await;
    let ask = wire::SetupNetworksRequest {
        connectivity_check: ConnectivityCheck::Confirm.into(),
        ..request([network("blue", "eth1")])
    };
    let mut events = served.client.setup_networks(ask).await.unwrap().into_inner();
    while !matches!(event(&mut events).await.unwrap(), Some(Event::AwaitingConfirmation(_))) {}
    served.stop.cancel();
    tokio::time::timeout(BOUND, served.server.join_next()).await.unwrap().unwrap().unwrap().unwrap();
    assert_eq!(result_of(&mut events).await.unwrap_err().code(), Grpc::Unavailable);
    served.bench.end().await;
}

#[test]
fn the_agent_of_another_host_is_not_admitted() {
    let user = Peer::User("ada".to_owned());
    let other = Peer::Host("host-b".to_owned());
    for (peer, admits) in [(Peer::Local, true), (user, true), (Peer::Engine, true), (other, false)] {
        let mut request = Request::new(());
        request.extensions_mut().insert(peer.clone());
        match admitted(&request) {
            Ok(actor) => assert!(admits && actor == peer.to_string(), "{actor}"),
            Err(status) => assert!(!admits && status.code() == Grpc::PermissionDenied, "{status}"),
        }
    }
}

#[tokio::test]
async fn the_history_tells_who_asked_for_what_and_what_became_of_it() {
    let host = host();
    let mut served = serve(host.clone()).await;
    set_up(&mut served, request([network("blue", "eth1")])).await.unwrap();
    host.inject(trestle_fake_host::Fault::FailAfter(1));
    set_up(&mut served, request([network("red", "eth0")])).await.unwrap();
    set_up(&mut served, request([network("blue", "eth1")])).await.unwrap();
    set_up(&mut served, request([network("blue", "eth9")])).await.unwrap_err();

    let mut ask = wire::ListTransactionsRequest { page_size: 2, ..Default::default() };
    let first = served.client.list_transactions(ask.clone()).await.unwrap().into_inner();
    ask.page_token = first.next_page_token;
    let second = served.client.list_transactions(ask.clone()).await.unwrap().into_inner();
    assert_eq!((first.transactions.len(), second.next_page_token.as_str()), (2, ""));
    let told: Vec<(String, String, Outcome)> = first
        .transactions
        .iter()
        .chain(&second.transactions)
        .map(|transaction| {
            let asked = transaction.request.as_ref().unwrap();
            let result = transaction.result.as_ref().unwrap();
            assert_eq!(asked.request_id, transaction.transaction_id);
            assert_eq!(result.transaction_id, transaction.transaction_id);
            let changed = result.outcome() != Outcome::Unchanged;
            assert_eq!((transaction.begin_time.is_some(), !result.steps.is_empty()), (changed, changed));
            assert!(transaction.end_time.is_some_and(|end| end.seconds > 1_700_000_000));
            (transaction.actor.clone(), asked.networks[0].name.clone(), result.outcome())
        })
        .collect();
    let expected = [("blue", Outcome::Unchanged), ("red", Outcome::RolledBack), ("blue", Outcome::Applied)];
    let expected = expected.map(|(network, outcome)| ("local".to_owned(), network.to_owned(), outcome));
    assert_eq!(told, expected, "the refused request is no transaction");

    for bad in [
        wire::ListTransactionsRequest { page_size: -1, ..Default::default() },
        wire::ListTransactionsRequest { page_token: "00ff".to_owned(), ..Default::default() },
    ] {
        let status = served.client.list_transactions(bad).await.unwrap_err();
        assert_eq!(status.code(), Grpc::InvalidArgument);
        assert_eq!(fields(&status).len(), 1);
    }
}

#[tokio::test]
async fn a_watch_begins_with_a_snapshot_goes_on_with_changes_and_resumes() {
    use wire::host_object::Value;
    use wire::watch_host_response::Event as Told;
    let mut served = serve(host()).await;
    let mut stream = served.client.watch_host(wire::WatchHostRequest::default()).await.unwrap().into_inner();
    let mut kinds = Vec::new();
    let token = loop {
        let told = stream.message().await.unwrap().unwrap();
        match told.event.unwrap() {
            Told::Object(object) => {
                assert_eq!(told.resume_token, "", "within the snapshot");
                let value = object.value.unwrap();
                assert!(matches!(value, Value::Host(_) | Value::Nic(_)), "{value:?}");
                kinds.push(if matches!(value, Value::Host(_)) { "host" } else { "nic" });
            }
            Told::SnapshotDone(_) => break told.resume_token,
            other @ (Told::Removed(_) | Told::Bookmark(_)) => panic!("{other:?}"),
        }
    };
    assert_eq!(kinds, ["host", "nic", "nic"]);
    drop(stream);

    served.bench.apply(crate::trial::set(crate::trial::network("blue", "eth0"))).await;
    let bridges = vec![wire::ObjectKind::Bridge.into()];
    let request = wire::WatchHostRequest { resume_token: token, kinds: bridges };
    let mut stream = served.client.watch_host(request).await.unwrap().into_inner();
    loop {
        let told = stream.message().await.unwrap().unwrap();
        let Some(Told::Object(wire::HostObject { value: Some(Value::Bridge(blue)) })) = told.event else {
            panic!("{told:?}")
        };
        // It may have been seen before its network was adopted.
        assert_eq!((blue.name.as_str(), blue.owner()), ("blue", wire::Owner::Trestle));
        if blue.network == "blue" {
            break;
        }
    }

    let other = wire::WatchHostRequest { resume_token: "0.0".to_owned(), kinds: vec![] };
    let refused = served.client.watch_host(other).await.unwrap_err();
    assert_eq!(refused.code(), Grpc::OutOfRange, "{refused:?}");
    assert_eq!(status::Refusal::from_status(&refused).findings.0[0].code, Code::ResumeTokenExpired);
    let bad = wire::WatchHostRequest { resume_token: String::new(), kinds: vec![99, 0] };
    assert_eq!(served.client.watch_host(bad).await.unwrap_err().code(), Grpc::InvalidArgument);
}

#[tokio::test]
async fn interfaces_of_a_domain_are_set_over_the_wire() {
    const MAC: &str = "52:54:00:00:00:01";
    let world = World::default().nic("eth0").domain("web", DomainState::Running);
    let mut served = serve(FakeHost::new(world)).await;
    set_up(&mut served, request([network("blue", "eth0")])).await.unwrap();
    let wanted = wire::WantedInterface { mac: MAC.to_owned(), network: "blue".to_owned(), ..Default::default() };
    let ask = wire::SetDomainInterfacesRequest { domain: "web".to_owned(), set: vec![wanted], ..Default::default() };
    let answer = served.client.set_domain_interfaces(ask.clone()).await.unwrap().into_inner();
    assert_eq!(answer.interfaces[0].action(), wire::InterfaceAction::Plugged);
    let told = answer.domain.unwrap().interfaces.remove(0);
    assert_eq!((told.mac.as_str(), told.network.as_str(), told.bridge.as_str()), (MAC, "trestle-blue", "blue"));
    let again = served.client.set_domain_interfaces(ask.clone()).await.unwrap().into_inner();
    assert_eq!(again.interfaces[0].action(), wire::InterfaceAction::Unchanged);

    let nobody = wire::SetDomainInterfacesRequest { domain: "nobody".to_owned(), ..ask.clone() };
    let status = served.client.set_domain_interfaces(nobody).await.unwrap_err();
    assert_eq!((status.code(), fields(&status)), (Grpc::NotFound, vec!["domain".to_owned()]));
    let twice = wire::SetDomainInterfacesRequest { remove: vec![MAC.to_owned(), String::new()], ..ask };
    let status = served.client.set_domain_interfaces(twice).await.unwrap_err();
    let expected = vec!["remove[1]".to_owned(), "set[0].mac".to_owned()];
    assert_eq!((status.code(), fields(&status)), (Grpc::InvalidArgument, expected));
}
