//! Bonds of hosts: what clients write, and what agents hear of it.

use tonic::Status;
use trestle_model::{BondEntry, BondMode, BondOptions, BondReport, BondSpec, Capabilities, IfName, NetworkEntry};
use trestle_model::{NetworkReport, Origin};
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine::v1::bond_service_client::BondServiceClient;
use trestle_proto::engine::v1::network_attachment_service_client::NetworkAttachmentServiceClient;
use trestle_proto::host::v1::{self as host, SetupNetworksRequest};
use trestle_proto::host_wire;
use trestle_proto::session::v1::Report;
use trestle_proto::session::v1::agent_message::Kind as AgentKind;
use trestle_proto::session::v1::engine_message::Kind as EngineKind;
use trestle_proto::status::reason_of;
use trestle_serve::Connection;

use super::harness::{Agent, Running};
use super::sessions::{applied, setup_of, welcomed};

fn bonds(engine: &Running) -> BondServiceClient<Connection> {
    BondServiceClient::new(engine.connection.clone())
}

fn spec(nics: &[&str]) -> wire::BondSpec {
    let nics = nics.iter().map(|nic| (*nic).to_owned()).collect();
    wire::BondSpec { nics, mode: host::BondMode::ActiveBackup.into(), ..Default::default() }
}

/// Writes `hosts/host-a/bonds/bond0`, new or not.
async fn put(engine: &Running, spec: wire::BondSpec, acknowledge: &[&str]) -> Result<wire::Bond, Status> {
    let bond = wire::Bond { name: "hosts/host-a/bonds/bond0".to_owned(), spec: Some(spec), ..Default::default() };
    let request = wire::UpdateBondRequest {
        bond: Some(bond),
        allow_missing: true,
        acknowledge_warnings: acknowledge.iter().map(|code| (*code).to_owned()).collect(),
        ..Default::default()
    };
    Ok(bonds(engine).update_bond(request).await?.into_inner().bond.unwrap())
}

async fn attachment(engine: &Running) -> wire::NetworkAttachment {
    let name = "hosts/host-a/networkAttachments/blue".to_owned();
    let mut client = NetworkAttachmentServiceClient::new(engine.connection.clone());
    let request = wire::GetNetworkAttachmentRequest { name };
    client.get_network_attachment(request).await.unwrap().into_inner().network_attachment.unwrap()
}

/// A host that runs what it was asked for, and has these bonds by the engine's wish.
fn report(setup: &SetupNetworksRequest, bonds: Vec<BondSpec>, hash: &str) -> AgentKind {
    let network = |wire: &host::Network| {
        let spec = host_wire::parse_network(wire, "network").unwrap();
        NetworkReport::absent(NetworkEntry { spec, origin: Origin::Engine })
    };
    let bond = |spec: BondSpec| BondReport {
        name: spec.name.clone(),
        configured: Some(BondEntry { spec, origin: Origin::Engine, mac: None }),
        observed: None,
        drift: Vec::new(),
        repairs: Vec::new(),
    };
    let capabilities = Capabilities {
        networks: setup.networks.iter().filter(|network| !network.remove).map(network).collect(),
        bonds: bonds.into_iter().map(bond).collect(),
        running_hash: hash.to_owned(),
        persistent_hash: hash.to_owned(),
        ..Capabilities::default()
    };
    AgentKind::Report(Report { capabilities: Some(host_wire::build_capabilities(&capabilities)) })
}

fn bond0(nics: &[&str]) -> BondSpec {
    BondSpec {
        name: IfName::parse("bond0").unwrap(),
        nics: nics.iter().map(|nic| IfName::parse(nic).unwrap()).collect(),
        options: BondOptions::of(BondMode::ActiveBackup),
        hwaddr: None,
    }
}

/// Hears the next command and carries it out; the host has `bonds` afterwards.
async fn obey(agent: &mut Agent, bonds: Vec<BondSpec>) -> SetupNetworksRequest {
    let (id, setup) = setup_of(agent.hear().await.unwrap());
    agent.say(applied(&id, &id)).await;
    assert!(matches!(agent.hear().await.unwrap(), EngineKind::ResultAck(_)));
    agent.say(report(&setup, bonds, &id)).await;
    setup
}

fn named(status: &wire::HostStatus) -> Vec<(&str, wire::Sync, &[String])> {
    status.bonds.iter().map(|bond| (bond.bond.as_str(), bond.sync(), bond.differences.as_slice())).collect()
}

#[tokio::test]
async fn a_bond_and_the_network_that_moves_onto_it_are_one_command() {
    const BOND0: &str = "hosts/host-a/bonds/bond0";
    let engine = Running::start().await;
    engine.furnish("host-a", "blue", wire::NetworkSpec::default()).await;
    let mut agent = welcomed(&engine).await;
    agent.say(report(&SetupNetworksRequest::default(), Vec::new(), "empty")).await;
    let first = obey(&mut agent, Vec::new()).await;
    assert!(first.bonds.is_empty() && first.networks.len() == 1, "{first:?}");
    engine.wait_for("host-a", |status| status.sync() == wire::Sync::InSync).await;

    // blue stands on eth1, and comes to stand on the bond.
    let refused = put(&engine, spec(&["eth1", "eth2"]), &[]).await.unwrap_err();
    assert_eq!(reason_of(&refused).as_deref(), Some("NIC_IN_USE"));
    let made = put(&engine, spec(&["eth1", "eth2"]), &["NIC_IN_USE"]).await.unwrap();
    assert_eq!((made.name.as_str(), made.spec), (BOND0, Some(spec(&["eth1", "eth2"]))));
    let moved = attachment(&engine).await.spec.unwrap();
    assert_eq!((moved.nic.as_str(), moved.bond.as_str()), ("", "bond0"));

    let (id, setup) = setup_of(agent.hear().await.unwrap());
    let pending = engine.wait_for("host-a", |status| !status.bonds.is_empty()).await;
    assert_eq!(named(&pending), [(BOND0, wire::Sync::Pending, &["is not on the host".to_owned()][..])]);
    let [bond] = setup.bonds.as_slice() else { panic!("{setup:?}") };
    assert_eq!((bond.name.as_str(), bond.nics.as_slice()), ("bond0", &["eth1".to_owned(), "eth2".to_owned()][..]));
    let [network] = setup.networks.as_slice() else { panic!("{setup:?}") };
    assert_eq!(network.southbound, Some(host::network::Southbound::Bond("bond0".to_owned())));
    agent.say(applied(&id, &id)).await;
    assert!(matches!(agent.hear().await.unwrap(), EngineKind::ResultAck(_)));
    agent.say(report(&setup, vec![bond0(&["eth1", "eth2"])], &id)).await;
    let synced = engine.wait_for("host-a", |status| status.sync() == wire::Sync::InSync).await;
    assert_eq!(named(&synced), [(BOND0, wire::Sync::InSync, &[][..])]);
    assert_eq!(synced.networks[0].differences, Vec::<String>::new());

    // A NIC more: the bond alone.
    put(&engine, spec(&["eth1", "eth2", "eth3"]), &[]).await.unwrap();
    let (id, wider) = setup_of(agent.hear().await.unwrap());
    let pending = engine.wait_for("host-a", |status| status.sync() == wire::Sync::Pending).await;
    assert_eq!(named(&pending), [(BOND0, wire::Sync::Pending, &["nics differs".to_owned()][..])]);
    assert!(wider.networks.is_empty() && wider.bonds[0].nics.len() == 3, "{wider:?}");
    agent.say(applied(&id, &id)).await;
    assert!(matches!(agent.hear().await.unwrap(), EngineKind::ResultAck(_)));
    agent.say(report(&setup, vec![bond0(&["eth1", "eth2", "eth3"])], &id)).await;
    engine.wait_for("host-a", |status| status.sync() == wire::Sync::InSync).await;

    // It stays while a network stands on it, and goes with the network.
    let gone = || wire::DeleteBondRequest { name: BOND0.to_owned(), ..Default::default() };
    let refused = bonds(&engine).delete_bond(gone()).await.unwrap_err();
    assert_eq!(reason_of(&refused).as_deref(), Some("IN_USE"));
    engine.take_off("host-a", "blue").await;
    bonds(&engine).delete_bond(gone()).await.unwrap();
    let (mut removed_bonds, mut removed_networks) = (0, 0);
    while removed_bonds == 0 || removed_networks == 0 {
        let still = if removed_networks == 0 { vec![bond0(&["eth1", "eth2", "eth3"])] } else { Vec::new() };
        let setup = obey(&mut agent, still).await;
        removed_networks += setup.networks.iter().filter(|network| network.remove).count();
        removed_bonds += setup.bonds.iter().filter(|bond| bond.remove).count();
    }
}

#[tokio::test]
async fn what_an_attachment_says_of_its_host_arrives_there() {
    let engine = Running::start().await;
    let dns = |server: &str| wire::Dns {
        nameservers: vec![server.to_owned()],
        search_domains: vec!["lab.example".to_owned()],
    };
    let rates = host::HostQos { link_share_bps: 1_000_000, ..Default::default() };
    let network = wire::NetworkSpec { dns: Some(dns("192.0.2.53")), host_qos: Some(rates), ..Default::default() };
    engine.furnish("host-a", "blue", network).await;
    let before = attachment(&engine).await;
    let addresses =
        host::StaticAddresses { addresses: vec!["192.0.2.10/24".to_owned()], gateway: Some("192.0.2.1".to_owned()) };
    let route =
        host::StaticRoute { destination: "198.51.100.0/24".to_owned(), next_hop: "192.0.2.2".to_owned(), metric: 7 };
    let spec = wire::NetworkAttachmentSpec {
        ipv4: Some(host::Ipv4Config { method: Some(host::ipv4_config::Method::Static(addresses)) }),
        default_route: true,
        routes: vec![route.clone()],
        dns: Some(dns("192.0.2.99")),
        custom: [("tier".to_owned(), "gold".to_owned())].into(),
        ..before.spec.unwrap()
    };
    let request = wire::UpdateNetworkAttachmentRequest {
        network_attachment: Some(wire::NetworkAttachment {
            name: before.name,
            spec: Some(spec.clone()),
            ..Default::default()
        }),
        ..Default::default()
    };
    let mut client = NetworkAttachmentServiceClient::new(engine.connection.clone());
    let kept = client.update_network_attachment(request).await.unwrap().into_inner().network_attachment.unwrap();
    assert_eq!(kept.spec, Some(spec));
    let engine = engine.restart().await;

    let mut agent = welcomed(&engine).await;
    agent.say(report(&SetupNetworksRequest::default(), Vec::new(), "empty")).await;
    let setup = obey(&mut agent, Vec::new()).await;
    let [sent] = setup.networks.as_slice() else { panic!("{setup:?}") };
    assert_eq!((&sent.routes, &sent.nameservers), (&vec![route], &vec!["192.0.2.99".to_owned()]));
    assert_eq!((&sent.search_domains, sent.host_qos), (&vec!["lab.example".to_owned()], Some(rates)));
    assert_eq!(sent.custom.get("tier").map(String::as_str), Some("gold"));
    engine.wait_for("host-a", |status| status.sync() == wire::Sync::InSync).await;
}

#[tokio::test]
async fn a_label_brings_a_network_to_a_host_and_shows_among_its_attachments() {
    let engine = Running::start().await;
    engine.furnish("host-a", "blue", wire::NetworkSpec::default()).await;
    engine.take_off("host-a", "blue").await;
    let mut agent = welcomed(&engine).await;
    agent.say(report(&SetupNetworksRequest::default(), Vec::new(), "empty")).await;
    engine.wait_for("host-a", |status| status.sync() == wire::Sync::InSync).await;

    let mut attachments = NetworkAttachmentServiceClient::new(engine.connection.clone());
    let list = || wire::ListNetworkAttachmentsRequest { parent: "hosts/host-a".to_owned(), ..Default::default() };
    let labels = [("guests".to_owned(), "eth1".to_owned())];
    let host = wire::Host {
        name: "hosts/host-a".to_owned(),
        spec: Some(wire::HostSpec { nic_labels: labels.into(), ..Default::default() }),
        ..Default::default()
    };
    engine.hosts().update_host(wire::UpdateHostRequest { host: Some(host), ..Default::default() }).await.unwrap();
    let label = |label: &str| wire::UpdateNetworkRequest {
        network: Some(wire::Network {
            name: "networks/blue".to_owned(),
            spec: Some(wire::NetworkSpec { nic_label: label.to_owned(), ..Default::default() }),
            ..Default::default()
        }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["spec.nic_label".to_owned()] }),
        ..Default::default()
    };
    engine.networks().update_network(label("guests")).await.unwrap();
    let setup = obey(&mut agent, Vec::new()).await;
    assert_eq!(setup.networks[0].southbound, Some(host::network::Southbound::Nic("eth1".to_owned())));
    let shown = attachment(&engine).await;
    assert_eq!((shown.etag.as_str(), shown.status.unwrap().nic_label.as_str()), ("", "guests"));
    let listed = attachments.list_network_attachments(list()).await.unwrap().into_inner().network_attachments;
    assert_eq!(listed.iter().map(|listed| listed.name.as_str()).collect::<Vec<_>>(), [shown.name.as_str()]);

    // Over a restart, and with an attachment of its own, it stays where it is.
    let engine = engine.restart().await;
    assert_eq!(attachment(&engine).await.status.unwrap().nic_label, "guests");
    engine.attach("host-a", "blue").await;
    let stored = attachment(&engine).await;
    assert!(stored.status.is_none() && !stored.etag.is_empty(), "{stored:?}");
    engine.take_off("host-a", "blue").await;
    assert_eq!(attachment(&engine).await.status.unwrap().nic_label, "guests");
    engine.networks().update_network(label("")).await.unwrap();
    let mut attachments = NetworkAttachmentServiceClient::new(engine.connection.clone());
    let listed = attachments.list_network_attachments(list()).await.unwrap().into_inner().network_attachments;
    assert_eq!(listed, []);
}
