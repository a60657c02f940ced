//! The states of hosts as clients see them, with agents that say what the test wants.

use trestle_model::{Capabilities, Feature, FeatureSet, IfName, Mtu, NetworkEntry, NetworkReport, Origin, Support};
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine::v1::HostState;
use trestle_proto::engine::v1::network_attachment_service_client::NetworkAttachmentServiceClient;
use trestle_proto::host::v1::{self as host, NicReport};
use trestle_proto::host_wire;
use trestle_proto::session::v1::agent_message::Kind as AgentKind;
use trestle_proto::session::v1::command_result::End;
use trestle_proto::session::v1::engine_message::Kind as EngineKind;
use trestle_proto::session::v1::{CommandResult, Refusal, Report};
use trestle_proto::status::reason_of;

use super::harness::Running;
use super::roles::place;
use super::sessions::{applied, setup_of, welcomed};

/// A report of a capable host that runs `networks` as it was told, on an `eth1` with or without a carrier.
pub(crate) fn runs(networks: &[host::Network], hash: &str, carrier: bool) -> AgentKind {
    let network = |wire: &host::Network| {
        let spec = host_wire::parse_network(wire, "network").unwrap();
        let (device, mtu) = (spec.top_device(), Some(Mtu::ETHERNET));
        NetworkReport { device, mtu, ..NetworkReport::absent(NetworkEntry { spec, origin: Origin::Engine }) }
    };
    let features = FeatureSet(Feature::ALL.map(|feature| (feature, Support::Present)).into());
    let capabilities = Capabilities {
        networks: networks.iter().map(network).collect(),
        features,
        agent_version: "1".to_owned(),
        boot_id: "b".to_owned(),
        running_hash: hash.to_owned(),
        persistent_hash: hash.to_owned(),
        ..Capabilities::default()
    };
    let mut capabilities = host_wire::build_capabilities(&capabilities);
    let name = IfName::parse("eth1").unwrap().to_string();
    capabilities.nics.push(NicReport { name, mtu: 1500, up: true, carrier, ..Default::default() });
    AgentKind::Report(Report { capabilities: Some(capabilities) })
}

fn codes(status: &wire::HostStatus) -> Vec<&str> {
    status.state_reasons.iter().map(|reason| reason.code.as_str()).collect()
}

const REQUIRED: wire::ClusterNetworkSpec = wire::ClusterNetworkSpec {
    required: true,
    management: false,
    migration: false,
    display: false,
    default_route: false,
};

#[tokio::test]
async fn a_host_falls_out_of_use_and_recovers_as_it_reports() {
    let engine = Running::start_impatient().await;
    engine.furnish("host-a", "blue", wire::NetworkSpec::default()).await;
    place(&engine, "blue", REQUIRED, &[]).await.unwrap();
    let mut seen = vec![engine.wait_for("host-a", |status| status.state() == HostState::NonResponsive).await];
    assert_eq!(codes(&seen[0]), ["HOST_SILENT"], "it never reported");

    let mut agent = welcomed(&engine).await;
    agent.say(runs(&[], "empty", true)).await;
    let (id, setup) = setup_of(agent.hear().await.unwrap());
    seen.push(engine.wait_for("host-a", |status| status.state() == HostState::Up).await);
    assert_eq!(seen[1].sync(), wire::Sync::Pending, "what becomes of the first command is not known");
    let refusal = Refusal { message: "no".to_owned(), ..Default::default() };
    agent.say(AgentKind::Result(CommandResult { command_id: id.clone(), end: Some(End::Refusal(refusal)) })).await;
    seen.push(engine.wait_for("host-a", |status| status.state() == HostState::NonOperational).await);
    assert_eq!(codes(&seen[2]), ["NETWORK_OUT_OF_SYNC"]);
    assert_eq!(seen[2].state_reasons[0].related, ["networks/blue"]);

    agent.say(runs(&setup.networks, "blue", true)).await;
    seen.push(engine.wait_for("host-a", |status| status.state() == HostState::Up).await);
    agent.say(runs(&setup.networks, "blue", false)).await;
    seen.push(engine.wait_for("host-a", |status| status.state() == HostState::NonOperational).await);
    assert_eq!(codes(&seen[4]), ["UPLINK_DOWN"]);
    agent.say(runs(&setup.networks, "blue", true)).await;
    seen.push(engine.wait_for("host-a", |status| status.state() == HostState::Up).await);

    drop(agent);
    seen.push(engine.wait_for("host-a", |status| status.state() == HostState::NonResponsive).await);
    assert_eq!(codes(&seen[6]), ["HOST_SILENT"]);
    let agent = welcomed(&engine).await;
    agent.say(runs(&setup.networks, "blue", true)).await;
    seen.push(engine.wait_for("host-a", |status| status.state() == HostState::Up).await);

    let times: Vec<_> = seen.iter().map(|status| status.state_time.unwrap()).collect();
    let is_later =
        |pair: &[prost_types::Timestamp]| (pair[0].seconds, pair[0].nanos) <= (pair[1].seconds, pair[1].nanos);
    assert!(times.windows(2).all(is_later), "{times:?}");
    assert_eq!(engine.host("host-a").await.status.unwrap().state_time, Some(times[7]), "it is still so");
}

#[tokio::test]
async fn a_host_is_judged_anew_when_a_network_becomes_required_or_the_host_goes_into_maintenance() {
    let engine = Running::start().await;
    engine.furnish("host-a", "blue", wire::NetworkSpec::default()).await;
    engine.create_network("red", wire::NetworkSpec::default()).await.unwrap();
    let mut agent = welcomed(&engine).await;
    agent.say(runs(&[], "empty", true)).await;
    let (id, setup) = setup_of(agent.hear().await.unwrap());
    agent.say(applied(&id, &id)).await;
    assert!(matches!(agent.hear().await.unwrap(), EngineKind::ResultAck(_)));
    agent.say(runs(&setup.networks, &id, true)).await;
    engine.wait_for("host-a", |status| status.sync() == wire::Sync::InSync && status.state() == HostState::Up).await;

    let becomes = async |wanted: HostState| engine.wait_for("host-a", move |status| status.state() == wanted).await;
    let (wait, change) = tokio::join!(becomes(HostState::NonOperational), place(&engine, "red", REQUIRED, &[]));
    change.unwrap();
    assert_eq!(codes(&wait), ["NETWORK_NOT_ON_HOST"]);
    let optional = wire::ClusterNetworkSpec { required: false, ..REQUIRED };
    let (_, change) = tokio::join!(becomes(HostState::Up), place(&engine, "red", optional, &[]));
    change.unwrap();
    let spec = wire::HostSpec { maintenance: true, ..Default::default() };
    let request = wire::UpdateHostRequest {
        host: Some(wire::Host { name: "hosts/host-a".to_owned(), spec: Some(spec), ..Default::default() }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["spec.maintenance".to_owned()] }),
        ..Default::default()
    };
    engine.hosts().update_host(request).await.unwrap();
    assert_eq!(codes(&becomes(HostState::Maintenance).await), Vec::<&str>::new());
}

/// The same with a repair that the agent has given up.
fn given_up(networks: &[host::Network], hash: &str) -> AgentKind {
    let mut said = runs(networks, hash, true);
    if let AgentKind::Report(report) = &mut said {
        let network = &mut report.capabilities.as_mut().unwrap().networks[0];
        network.drift = vec!["the bridge has no address".to_owned()];
        let (kind, state) = (host::DriftKind::Addresses.into(), host::RepairState::Suspended.into());
        network.repairs = vec![host::Repair { kind, state, ..Default::default() }];
    }
    said
}

#[tokio::test]
async fn an_attachment_that_is_out_of_sync_for_good_is_edited_knowingly() {
    let engine = Running::start().await;
    engine.furnish("host-a", "blue", wire::NetworkSpec::default()).await;
    let edit = |acknowledged: &[&str]| {
        let mut client = NetworkAttachmentServiceClient::new(engine.connection.clone());
        let spec =
            wire::NetworkAttachmentSpec { custom: [("rack".to_owned(), "7".to_owned())].into(), ..Default::default() };
        let name = "hosts/host-a/networkAttachments/blue".to_owned();
        let request = wire::UpdateNetworkAttachmentRequest {
            network_attachment: Some(wire::NetworkAttachment { name, spec: Some(spec), ..Default::default() }),
            update_mask: Some(prost_types::FieldMask { paths: vec!["spec.custom".to_owned()] }),
            acknowledge_warnings: acknowledged.iter().map(|code| (*code).to_owned()).collect(),
            ..Default::default()
        };
        async move { client.update_network_attachment(request).await.map(drop) }
    };
    let mut agent = welcomed(&engine).await;
    agent.say(runs(&[], "empty", true)).await;
    let (id, setup) = setup_of(agent.hear().await.unwrap());
    agent.say(applied(&id, "blue")).await;
    agent.say(given_up(&setup.networks, "blue")).await;
    engine.wait_for("host-a", |status| status.sync() == wire::Sync::Drifted).await;
    let refused = edit(&[]).await.unwrap_err();
    assert_eq!(reason_of(&refused).as_deref(), Some("NETWORK_OUT_OF_SYNC"));
    edit(&["NETWORK_OUT_OF_SYNC"]).await.unwrap();
}
