//! Sessions as agents see them.

use tonic::Code;
use trestle_model::{Capabilities, FeatureSet, KernelInfo, LibvirtInfo, NetworkEntry, NetworkReport, Origin};
use trestle_proto::engine::v1 as wire;
use trestle_proto::host::v1::{Outcome, SetupNetworksRequest, SetupNetworksResult};
use trestle_proto::host_wire;
use trestle_proto::session::v1::agent_message::Kind as AgentKind;
use trestle_proto::session::v1::command::Kind as CommandKind;
use trestle_proto::session::v1::command_result::End;
use trestle_proto::session::v1::engine_message::Kind as EngineKind;
use trestle_proto::session::v1::{Command, CommandResult, Confirming, Refusal, Report};

use super::harness::{Agent, Running};

fn report(networks: &[trestle_proto::host::v1::Network], hash: &str) -> AgentKind {
    let network = |wire: &trestle_proto::host::v1::Network| NetworkReport {
        configured: NetworkEntry { spec: host_wire::parse_network(wire, "network").unwrap(), origin: Origin::Engine },
        device: None,
        mtu: None,
        addresses: Vec::new(),
        bridge: None,
        ports: Vec::new(),
        mac_table: None,
        drift: Vec::new(),
    };
    let capabilities = Capabilities {
        networks: networks.iter().map(network).collect(),
        nics: Vec::new(),
        routes: Vec::new(),
        kernel: KernelInfo::default(),
        libvirt: LibvirtInfo::default(),
        features: FeatureSet::default(),
        agent_version: "1".to_owned(),
        boot_id: "b".to_owned(),
        generation: 0,
        dirty: false,
        running_hash: hash.to_owned(),
        persistent_hash: hash.to_owned(),
    };
    AgentKind::Report(Report { capabilities: Some(host_wire::build_capabilities(&capabilities)) })
}

fn setup_of(kind: EngineKind) -> (String, SetupNetworksRequest) {
    match kind.clone() {
        EngineKind::Command(Command { command_id, kind: Some(CommandKind::SetupNetworks(setup)), .. }) => {
            (command_id, setup)
        }
        EngineKind::Command(_) | EngineKind::Welcome(_) | EngineKind::Confirm(_) | EngineKind::ResultAck(_) => {
            panic!("expected a setup, got {kind:?}")
        }
    }
}

fn applied(command_id: &str, hash: &str) -> AgentKind {
    let result = SetupNetworksResult {
        transaction_id: command_id.to_owned(),
        outcome: Outcome::Applied.into(),
        running_hash: hash.to_owned(),
        ..Default::default()
    };
    AgentKind::Result(CommandResult { command_id: command_id.to_owned(), end: Some(End::SetupNetworks(result)) })
}

async fn welcomed(engine: &Running) -> Agent {
    let mut agent = Agent::dial(engine, "host-a", None).await.unwrap();
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
    assert_eq!((confirm.transaction_id, confirm.nonce), (id, vec![7; 16]));

    let stranger = Confirming { transaction_id: "0193c0de-0000-7000-8000-00000000beef".to_owned(), ..confirming };
    let mut third = Agent::dial(&engine, "host-a", Some(stranger)).await.unwrap();
    assert!(matches!(third.hear().await.unwrap(), EngineKind::Welcome(_)));
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
    let unknown = trestle_proto::session::v1::AgentMessage { trace: None, kind: None };
    agent.outbox.send(unknown).await.unwrap();
    agent.say(report(&[], "empty")).await;
    setup_of(agent.hear().await.unwrap());
}
