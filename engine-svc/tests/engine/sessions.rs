//! Sessions as agents see them.

use prost::Message as _;
use tonic::Code;
use trestle_model::{Capabilities, FeatureSet, NetworkEntry, NetworkReport, Origin};
use trestle_proto::engine::v1 as wire;
use trestle_proto::host::v1::{self as host, Outcome, SetupNetworksRequest, SetupNetworksResult};
use trestle_proto::host_wire;
use trestle_proto::session::v1::agent_message::Kind as AgentKind;
use trestle_proto::session::v1::agent_session_client::AgentSessionClient;
use trestle_proto::session::v1::command::Kind as CommandKind;
use trestle_proto::session::v1::command_result::End;
use trestle_proto::session::v1::engine_message::Kind as EngineKind;
use trestle_proto::session::v1::{AgentMessage, Command, CommandResult, Confirming, Hello, Refusal, Report};

use super::harness::{Agent, Running};

fn report(networks: &[trestle_proto::host::v1::Network], hash: &str) -> AgentKind {
    report_of(networks, hash, FeatureSet::default())
}

/// A report of a host with `features` that runs `networks`.
pub(crate) fn report_of(networks: &[host::Network], hash: &str, features: FeatureSet) -> AgentKind {
    let network = |wire: &trestle_proto::host::v1::Network| {
        let spec = host_wire::parse_network(wire, "network").unwrap();
        NetworkReport::absent(NetworkEntry { spec, origin: Origin::Engine })
    };
    let capabilities = Capabilities {
        networks: networks.iter().map(network).collect(),
        features,
        agent_version: "1".to_owned(),
        boot_id: "b".to_owned(),
        generation: 0,
        dirty: false,
        running_hash: hash.to_owned(),
        persistent_hash: hash.to_owned(),
        ..Capabilities::default()
    };
    AgentKind::Report(Report { capabilities: Some(host_wire::build_capabilities(&capabilities)) })
}

pub(crate) fn setup_of(kind: EngineKind) -> (String, SetupNetworksRequest) {
    match kind.clone() {
        EngineKind::Command(Command { command_id, kind: Some(CommandKind::SetupNetworks(setup)), .. }) => {
            (command_id, setup)
        }
        EngineKind::Command(_) | EngineKind::Welcome(_) | EngineKind::Confirm(_) | EngineKind::ResultAck(_) => {
            panic!("expected a setup, got {kind:?}")
        }
    }
}

pub(crate) fn applied(command_id: &str, hash: &str) -> AgentKind {
    let result = SetupNetworksResult {
        transaction_id: command_id.to_owned(),
        outcome: Outcome::Applied.into(),
        running_hash: hash.to_owned(),
        ..Default::default()
    };
    AgentKind::Result(CommandResult { command_id: command_id.to_owned(), end: Some(End::SetupNetworks(result)) })
}

pub(crate) async fn welcomed(engine: &Running) -> Agent {
    welcomed_as(engine, "host-a").await
}

pub(crate) async fn welcomed_as(engine: &Running, host: &str) -> Agent {
    let mut agent = Agent::dial(engine, host, None).await.unwrap();
    assert!(matches!(agent.hear().await.unwrap(), EngineKind::Welcome(_)));
    agent
}

#[tokio::test]
async fn pushes_what_a_host_is_owed_and_sees_it_in_sync() {
    let engine = Running::start().await;
    let spec = wire::NetworkSpec { vlan_id: Some(10), manage_macs_with_libvirt: true, ..Default::default() };
    engine.furnish("host-a", "blue", spec).await;
    let mut agent = welcomed(&engine).await;
    agent.say(report(&[], "empty")).await;
    let (id, setup) = setup_of(agent.hear().await.unwrap());
    assert_eq!(setup.networks.len(), 1);
    assert!(setup.networks[0].manage_macs_with_libvirt && setup.commit_on_success && setup.generation > 0);
    assert_eq!(setup.request_id, id);
    engine.wait_for("host-a", |status| status.sync() == wire::Sync::Pending).await;

    agent.say(applied(&id, "blue")).await;
    assert!(matches!(agent.hear().await.unwrap(), EngineKind::ResultAck(ack) if ack.command_id == id));
    agent.say(report(&setup.networks, "blue")).await;
    let status = engine.wait_for("host-a", |status| status.sync() == wire::Sync::InSync).await;
    assert_eq!(status.connection(), wire::Connection::Connected);
    assert_eq!(status.last_result.unwrap().outcome(), Outcome::Applied);
}

/// Switches the management of blue's MAC tables off.
async fn switch_off(engine: &Running) {
    let name = "networks/blue".to_owned();
    let blue = engine.networks().get_network(wire::GetNetworkRequest { name }).await.unwrap().into_inner().network;
    let network = wire::Network { spec: Some(wire::NetworkSpec::default()), ..blue.unwrap() };
    let update_mask = Some(prost_types::FieldMask { paths: vec!["spec.manage_macs_with_libvirt".to_owned()] });
    let request = wire::UpdateNetworkRequest { network: Some(network), update_mask, ..Default::default() };
    engine.networks().update_network(request).await.unwrap();
}

/// Asks for a profile on blue that lets guests spoof.
async fn weaken(engine: &Running) -> Result<(), tonic::Status> {
    let filter = wire::NetworkFilter { choice: Some(wire::network_filter::Choice::None(true)) };
    let request = wire::CreateVnicProfileRequest {
        parent: "networks/blue".to_owned(),
        vnic_profile_id: "free".to_owned(),
        vnic_profile: Some(wire::VnicProfile {
            spec: Some(wire::VnicProfileSpec { network_filter: Some(filter), ..Default::default() }),
            ..Default::default()
        }),
        ..Default::default()
    };
    engine.profiles().create_vnic_profile(request).await.map(drop)
}

#[tokio::test]
async fn lets_no_profile_be_weakened_while_a_command_may_still_make_the_network_managed() {
    let engine = Running::start().await;
    let spec = wire::NetworkSpec { manage_macs_with_libvirt: true, ..Default::default() };
    engine.furnish("host-a", "blue", spec).await;
    let mut agent = welcomed(&engine).await;
    agent.say(report(&[], "empty")).await;
    let (on, managed) = setup_of(agent.hear().await.unwrap());
    switch_off(&engine).await;
    let refused = weaken(&engine).await.unwrap_err();
    assert_eq!(trestle_proto::status::reason_of(&refused).as_deref(), Some("STILL_MANAGED"));

    agent.say(applied(&on, "managed")).await;
    assert!(matches!(agent.hear().await.unwrap(), EngineKind::ResultAck(_)));
    assert!(weaken(&engine).await.is_err(), "the host has not said yet what it is");
    agent.say(report(&managed.networks, "managed")).await;
    let (off, plain) = setup_of(agent.hear().await.unwrap());
    assert!(weaken(&engine).await.is_err(), "the host is managed");
    agent.say(applied(&off, "plain")).await;
    assert!(matches!(agent.hear().await.unwrap(), EngineKind::ResultAck(_)));
    agent.say(report(&plain.networks, "plain")).await;
    engine.wait_for("host-a", |status| status.sync() == wire::Sync::InSync).await;
    weaken(&engine).await.unwrap();
}

#[tokio::test]
async fn does_not_send_refused_changes_again_at_once() {
    let engine = Running::start().await;
    engine.furnish("host-a", "blue", wire::NetworkSpec::default()).await;
    let mut agent = welcomed(&engine).await;
    agent.say(report(&[], "empty")).await;
    let (id, _) = setup_of(agent.hear().await.unwrap());
    let refusal = Refusal { code: 9, message: "no".to_owned(), findings: Vec::new() };
    agent.say(AgentKind::Result(CommandResult { command_id: id.clone(), end: Some(End::Refusal(refusal)) })).await;
    assert!(matches!(agent.hear().await.unwrap(), EngineKind::ResultAck(_)));
    engine.wait_for("host-a", |status| status.sync() == wire::Sync::Failed).await;
    // Another desired state is sent at once.
    let name = "networks/blue".to_owned();
    let blue = engine.networks().get_network(wire::GetNetworkRequest { name }).await.unwrap().into_inner().network;
    let spec = wire::NetworkSpec { mtu: Some(9000), ..Default::default() };
    let network = Some(wire::Network { spec: Some(spec), ..blue.unwrap() });
    let request = wire::UpdateNetworkRequest { network, ..Default::default() };
    engine.networks().update_network(request).await.unwrap();
    let (next, setup) = setup_of(agent.hear().await.unwrap());
    assert_ne!(next, id);
    assert_eq!(setup.networks[0].mtu, Some(9000));
}

#[tokio::test]
async fn a_new_session_fences_the_old_one() {
    let engine = Running::start().await;
    engine.furnish("host-a", "blue", wire::NetworkSpec::default()).await;
    let mut old = welcomed(&engine).await;
    let _new = welcomed(&engine).await;
    assert_eq!(old.hear().await.unwrap_err().code(), Code::Aborted);
    engine.wait_for("host-a", |status| status.connection() == wire::Connection::Connected).await;
}

#[tokio::test]
async fn confirms_only_what_it_has_under_way_on_that_host() {
    let engine = Running::start().await;
    engine.furnish("host-a", "blue", wire::NetworkSpec::default()).await;
    let mut agent = welcomed(&engine).await;
    agent.say(report(&[], "empty")).await;
    let (id, _) = setup_of(agent.hear().await.unwrap());

    let confirming = Confirming { transaction_id: id.clone(), nonce: vec![7; 16] };
    let mut anew = Agent::dial(&engine, "host-a", Some(confirming.clone())).await.unwrap();
    assert!(matches!(anew.hear().await.unwrap(), EngineKind::Welcome(_)));
    let EngineKind::Confirm(confirm) = anew.hear().await.unwrap() else { panic!("expected a confirmation") };
    assert_eq!((confirm.transaction_id, confirm.nonce), (id.clone(), vec![7; 16]));
    assert_eq!(setup_of(anew.hear().await.unwrap()).0, id);

    let stranger = Confirming { transaction_id: "0193c0de-0000-7000-8000-00000000beef".to_owned(), ..confirming };
    let mut third = Agent::dial(&engine, "host-a", Some(stranger)).await.unwrap();
    assert!(matches!(third.hear().await.unwrap(), EngineKind::Welcome(_)));
    assert_eq!(setup_of(third.hear().await.unwrap()).0, id);
    // The next thing that it hears is no confirmation, but its session's fate.
    let _fourth = welcomed(&engine).await;
    assert_eq!(third.hear().await.unwrap_err().code(), Code::Aborted);
}

#[tokio::test]
async fn refuses_strangers_and_mutes() {
    let engine = Running::start().await;
    let stranger = Agent::dial(&engine, "nobody", None).await.err().unwrap();
    assert_eq!(stranger.code(), Code::NotFound);
    let nameless = Agent::dial(&engine, "", None).await.err().unwrap();
    assert_eq!(nameless.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn ignores_messages_that_it_does_not_know() {
    let engine = Running::start().await;
    engine.furnish("host-a", "blue", wire::NetworkSpec::default()).await;
    let mut agent = welcomed(&engine).await;
    let unknown = AgentMessage { trace: None, kind: None };
    agent.outbox.send(unknown).await.unwrap();
    agent.say(report(&[], "empty")).await;
    setup_of(agent.hear().await.unwrap());
}

#[tokio::test]
async fn says_a_command_again_in_the_next_session_until_it_has_ended() {
    let engine = Running::start().await;
    engine.furnish("host-a", "blue", wire::NetworkSpec::default()).await;
    let mut agent = welcomed(&engine).await;
    agent.say(report(&[], "empty")).await;
    let first = setup_of(agent.hear().await.unwrap());
    let mut rebooted = welcomed(&engine).await;
    assert_eq!(setup_of(rebooted.hear().await.unwrap()), first);
    rebooted.say(applied(&first.0, "blue")).await;
    assert!(matches!(rebooted.hear().await.unwrap(), EngineKind::ResultAck(_)));
    rebooted.say(report(&first.1.networks, "blue")).await;
    engine.wait_for("host-a", |status| status.sync() == wire::Sync::InSync).await;
    let mut later = welcomed(&engine).await;
    later.say(applied(&first.0, "blue")).await;
    assert!(matches!(later.hear().await.unwrap(), EngineKind::ResultAck(_)), "a command that has ended was said again");
}

#[tokio::test]
async fn an_engine_that_forgot_is_fenced_with_a_way_out() {
    let engine = Running::start().await;
    engine.furnish("host-a", "blue", wire::NetworkSpec::default()).await;
    let epoch_of = async |engine: &Running| {
        let mut agent = Agent::dial(engine, "host-a", None).await.unwrap();
        let EngineKind::Welcome(welcome) = agent.hear().await.unwrap() else { panic!("expected a welcome") };
        welcome.fencing_epoch
    };
    let before = epoch_of(&engine).await;
    let engine = engine.restart().await;
    let epoch = epoch_of(&engine).await;
    assert_eq!(epoch, before + 1);
    let obeyed = |fencing_epoch| Hello { host: "host-a".to_owned(), protocol: 1, fencing_epoch, ..Default::default() };
    Agent::dial_with(engine.connection.clone(), obeyed(epoch)).await.unwrap();
    let refused = Agent::dial_with(engine.connection.clone(), obeyed(epoch + 1)).await.err().unwrap();
    let finding = trestle_proto::status::Refusal::from_status(&refused).findings.0.remove(0);
    assert_eq!((refused.code(), finding.code), (Code::Aborted, trestle_model::Code::StaleGeneration));
    assert!(finding.remedy.contains("restore the newest store"), "{finding:?}");
}

#[tokio::test]
async fn a_removed_host_loses_its_session_and_its_command() {
    let engine = Running::start().await;
    engine.furnish("host-a", "blue", wire::NetworkSpec::default()).await;
    let mut agent = welcomed(&engine).await;
    agent.say(report(&[], "empty")).await;
    setup_of(agent.hear().await.unwrap());
    engine.take_off("host-a", "blue").await;
    let remove = wire::DeleteHostRequest { name: "hosts/host-a".to_owned(), ..Default::default() };
    engine.hosts().delete_host(remove).await.unwrap();
    assert_eq!(agent.hear().await.unwrap_err().code(), Code::NotFound);
    assert_eq!(Agent::dial(&engine, "host-a", None).await.err().unwrap().code(), Code::NotFound);
}

#[tokio::test]
async fn leaves_a_host_in_maintenance_alone_and_catches_up_afterwards() {
    let engine = Running::start().await;
    engine.furnish("host-a", "blue", wire::NetworkSpec::default()).await;
    let maintain = async |maintenance| {
        let spec = wire::HostSpec { maintenance, ..Default::default() };
        let host = wire::Host { name: "hosts/host-a".to_owned(), spec: Some(spec), ..Default::default() };
        let update_mask = Some(prost_types::FieldMask { paths: vec!["spec.maintenance".to_owned()] });
        let request = wire::UpdateHostRequest { host: Some(host), update_mask, ..Default::default() };
        engine.hosts().update_host(request).await.unwrap();
    };
    maintain(true).await;
    let mut agent = welcomed(&engine).await;
    agent.say(report(&[], "empty")).await;
    engine.wait_for("host-a", |status| status.sync() == wire::Sync::Pending).await;
    maintain(false).await;
    let (_, setup) = setup_of(agent.hear().await.unwrap());
    let left = engine.host("host-a").await.generation;
    assert!(setup.generation >= left, "sent at {}, when maintenance ended at {left}", setup.generation);
}

#[tokio::test]
async fn tells_an_agent_that_its_report_is_too_large() {
    let engine = Running::start().await;
    engine.furnish("host-a", "blue", wire::NetworkSpec::default()).await;
    let mut agent = welcomed(&engine).await;
    agent.say(report(&[], &"x".repeat(trestle_serve::MAX_RECEIVE_BYTES))).await;
    assert_eq!(agent.hear().await.unwrap_err().code(), Code::ResourceExhausted);
    welcomed(&engine).await;
}

#[tokio::test]
async fn a_report_of_foreign_networks_concerns_its_own_host_only() {
    let engine = Running::start().await;
    engine.furnish("host-a", "blue", wire::NetworkSpec::default()).await;
    engine.register("host-b").await;
    let before = engine.host("host-a").await;
    let mut liar = Agent::dial(&engine, "host-b", None).await.unwrap();
    liar.hear().await.unwrap();
    let blue = trestle_proto::host::v1::Network { name: "blue".to_owned(), ..Default::default() };
    liar.say(report(&[blue], "lie")).await;
    let (_, setup) = setup_of(liar.hear().await.unwrap());
    assert!(setup.networks.iter().all(|network| network.remove), "{setup:?}");
    assert_eq!(engine.host("host-a").await, before);
}

#[tokio::test]
async fn stops_soon_whatever_agents_and_watchers_do() {
    let engine = Running::start().await;
    engine.furnish("host-a", "blue", wire::NetworkSpec::default()).await;
    let mut agent = Agent::dial(&engine, "host-a", None).await.unwrap();
    let mut watch = engine.hosts().watch_hosts(wire::WatchHostsRequest::default()).await.unwrap().into_inner();
    let (_mute, messages) = tokio::sync::mpsc::channel::<AgentMessage>(1);
    let mut client = AgentSessionClient::new(engine.connection.clone());
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move { client.connect(tokio_stream::wrappers::ReceiverStream::new(messages)).await.err() });
    // A later call on the same connection is answered: the mute one has arrived.
    engine.host("host-a").await;
    let stopped = tokio::time::timeout(std::time::Duration::from_secs(5), engine.stop()).await;
    stopped.expect("open streams hold the engine up");
    assert!(matches!(agent.hear().await.unwrap(), EngineKind::Welcome(_)));
    assert_eq!(agent.hear().await.unwrap_err().code(), Code::Unavailable);
    let ended = async {
        loop {
            if let Err(status) = watch.message().await {
                return status.code();
            }
        }
    };
    assert_eq!(ended.await, Code::Unavailable);
    assert_eq!(tasks.join_next().await.unwrap().unwrap().unwrap().code(), Code::Unavailable);
}

#[tokio::test]
async fn a_report_of_a_thousand_networks_fits_a_message() {
    const GUESTS: usize = 10;
    let port = |device: String, guest: String| host::PortReport {
        guest_mac: if guest.is_empty() { String::new() } else { "52:54:00:12:34:56".to_owned() },
        device,
        guest,
        multicast_flood: true,
        broadcast_flood: true,
        promiscuity: 1,
        ..Default::default()
    };
    let network = |number: u32| host::NetworkReport {
        configured: Some(host::Network {
            name: format!("network-of-tenant-{number:04}"),
            bridge_name: format!("br{number:08}"),
            southbound: Some(host::network::Southbound::Nic("enp65s0f1np1".to_owned())),
            vlan_id: Some(number),
            manage_macs_with_libvirt: true,
            ..Default::default()
        }),
        device: format!("br{number:08}"),
        mtu: Some(1500),
        bridge: Some(host::BridgeReport {
            ageing_time_cs: 30_000,
            forward_delay_cs: 1500,
            hello_time_cs: 200,
            max_age_cs: 2000,
            priority: 32_768,
            vlan_filtering: true,
            default_pvid: 1,
            ..Default::default()
        }),
        ports: (0..GUESTS)
            .map(|guest| port(format!("vnet{number}{guest}"), format!("guest-of-tenant-{number}-{guest}")))
            .chain([port(format!("enp65s0f1np1.{number}"), String::new())])
            .collect(),
        mac_table: Some(host::MacTableReport {
            uplink: None,
            manager: "libvirt".to_owned(),
            active: true,
            entries: (0..GUESTS)
                .map(|guest| host::FdbEntryReport {
                    mac: "52:54:00:12:34:56".to_owned(),
                    port: format!("vnet{number}{guest}"),
                    vlan_id: Some(1),
                    state: host::FdbState::Static.into(),
                    ..Default::default()
                })
                .collect(),
        }),
        ..Default::default()
    };
    let capabilities = host::Capabilities { networks: (1..=1000).map(network).collect(), ..Default::default() };
    let bytes = capabilities.encoded_len();
    assert!(bytes < trestle_serve::MAX_RECEIVE_BYTES / 2, "1000 networks with {GUESTS} guests each are {bytes} bytes");
}
