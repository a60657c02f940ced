//! What one host has, given to another: as clients ask for it, and all or nothing.

use tonic::{Code, Status};
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine::v1::any_resource::Resource;
use trestle_proto::engine::v1::bond_service_client::BondServiceClient;
use trestle_proto::engine::v1::cluster_network_service_client::ClusterNetworkServiceClient;
use trestle_proto::engine::v1::host_copy_service_client::HostCopyServiceClient;
use trestle_proto::engine::v1::network_attachment_service_client::NetworkAttachmentServiceClient;
use trestle_proto::host::v1 as host;
use trestle_proto::status::{findings_of, reason_of};

use super::harness::Running;

const BLUE: &str = "hosts/host-a/networkAttachments/blue";

fn statics(address: &str) -> host::Ipv4Config {
    let addresses = vec![address.to_owned()];
    let method = host::ipv4_config::Method::Static(host::StaticAddresses { addresses, gateway: None });
    host::Ipv4Config { method: Some(method) }
}

async fn put(engine: &Running, name: &str, spec: wire::NetworkAttachmentSpec) {
    let attachment = wire::NetworkAttachment { name: name.to_owned(), spec: Some(spec), ..Default::default() };
    let request = wire::UpdateNetworkAttachmentRequest {
        network_attachment: Some(attachment),
        allow_missing: true,
        ..Default::default()
    };
    NetworkAttachmentServiceClient::new(engine.connection.clone()).update_network_attachment(request).await.unwrap();
}

async fn attachments(engine: &Running, host: &str) -> Vec<(String, wire::NetworkAttachmentSpec)> {
    let request = wire::ListNetworkAttachmentsRequest { parent: format!("hosts/{host}"), ..Default::default() };
    let mut client = NetworkAttachmentServiceClient::new(engine.connection.clone());
    let listed = client.list_network_attachments(request).await.unwrap().into_inner().network_attachments;
    let spec = |attachment: wire::NetworkAttachment| {
        let network = attachment.name.rsplit('/').next().unwrap().to_owned();
        (network, attachment.spec.unwrap())
    };
    listed.into_iter().map(spec).collect()
}

/// `blue` on a bond of `host-a` with an address, custom values and a label on the bond, and a host without anything.
async fn furnished() -> Running {
    let engine = Running::start().await;
    engine.furnish("host-a", "blue", wire::NetworkSpec::default()).await;
    engine.register("host-b").await;
    let spec = wire::BondSpec {
        nics: vec!["eth1".to_owned(), "eth2".to_owned()],
        mode: host::BondMode::ActiveBackup.into(),
        hwaddr: "52:54:00:00:00:01".to_owned(),
        ..Default::default()
    };
    let bond = wire::Bond { name: "hosts/host-a/bonds/bond0".to_owned(), spec: Some(spec), ..Default::default() };
    let request = wire::UpdateBondRequest {
        bond: Some(bond),
        allow_missing: true,
        acknowledge_warnings: vec!["NIC_IN_USE".to_owned()],
        ..Default::default()
    };
    BondServiceClient::new(engine.connection.clone()).update_bond(request).await.unwrap();
    let spec = wire::NetworkAttachmentSpec {
        bond: "bond0".to_owned(),
        ipv4: Some(statics("192.0.2.1/24")),
        custom: [("rack".to_owned(), "a1".to_owned())].into(),
        ..Default::default()
    };
    put(&engine, BLUE, spec).await;
    let spec = wire::HostSpec {
        cluster: "clusters/lab".to_owned(),
        nic_labels: [("guests".to_owned(), "bond0".to_owned())].into(),
        ..Default::default()
    };
    let host = wire::Host { name: "hosts/host-a".to_owned(), spec: Some(spec), ..Default::default() };
    engine.hosts().update_host(wire::UpdateHostRequest { host: Some(host), ..Default::default() }).await.unwrap();
    engine
}

/// `host-b` gets it on other NICs, with an address of its own.
fn wish() -> wire::CopyHostNetworksRequest {
    let devices = [("eth1", "ens1"), ("eth2", "ens2"), ("bond0", "bond7")];
    wire::CopyHostNetworksRequest {
        source: "hosts/host-a".to_owned(),
        target: "hosts/host-b".to_owned(),
        devices: devices.map(|(from, to)| (from.to_owned(), to.to_owned())).into(),
        addresses: vec![wire::HostAddresses {
            network: "networks/blue".to_owned(),
            ipv4: Some(statics("192.0.2.2/24")),
            ipv6: None,
        }],
        ..Default::default()
    }
}

async fn copy(engine: &Running, wish: wire::CopyHostNetworksRequest) -> Result<wire::CopyHostNetworksResponse, Status> {
    let mut client = HostCopyServiceClient::new(engine.connection.clone());
    Ok(client.copy_host_networks(wish).await?.into_inner())
}

async fn events(engine: &Running) -> usize {
    let request = wire::ListEventsRequest { page_size: 1000, ..Default::default() };
    engine.events().list_events(request).await.unwrap().into_inner().events.len()
}

#[tokio::test]
async fn a_host_gets_what_another_has_as_one_write() {
    let engine = furnished().await;
    let before = events(&engine).await;
    let would = copy(&engine, wire::CopyHostNetworksRequest { validate_only: true, ..wish() }).await.unwrap();
    assert_eq!((would.resources.len(), attachments(&engine, "host-b").await.len()), (3, 0));

    let request_id = "0190f3a2-7c11-7cc0-a3b7-6a1c0c5d9e4f".to_owned();
    let asked = wire::CopyHostNetworksRequest { request_id, ..wish() };
    let done = copy(&engine, asked.clone()).await.unwrap();
    let [Resource::Bond(bond), Resource::Host(host), Resource::NetworkAttachment(attachment)] =
        <[Resource; 3]>::try_from(done.resources.iter().map(|any| any.resource.clone().unwrap()).collect::<Vec<_>>())
            .unwrap()
    else {
        panic!("{done:?}")
    };
    let spec = bond.spec.unwrap();
    assert_eq!(
        (bond.name.as_str(), spec.nics.as_slice()),
        ("hosts/host-b/bonds/bond7", &["ens1".to_owned(), "ens2".to_owned()][..])
    );
    assert_eq!(spec.hwaddr, "", "a MAC is one host's");
    assert_eq!(host.spec.unwrap().nic_labels, [("guests".to_owned(), "bond7".to_owned())].into());
    let spec = attachment.spec.unwrap();
    assert_eq!((spec.bond.as_str(), &spec.ipv4), ("bond7", &Some(statics("192.0.2.2/24"))));
    assert_eq!(spec.custom["rack"], "a1");
    assert_eq!(events(&engine).await, before + 1, "it is one event");
    // Asked again under its id, it is answered as before; asked anew, it changes nothing.
    assert_eq!(copy(&engine, asked).await.unwrap().resources, done.resources);
    copy(&engine, wish()).await.unwrap();
    assert_eq!(events(&engine).await, before + 1);
}

#[tokio::test]
async fn what_the_source_does_not_have_goes_where_that_is_asked_for() {
    let engine = furnished().await;
    copy(&engine, wish()).await.unwrap();
    let empty = wire::CopyHostNetworksRequest {
        source: "hosts/host-c".to_owned(),
        target: "hosts/host-b".to_owned(),
        ..Default::default()
    };
    engine.register("host-c").await;
    assert!(copy(&engine, empty.clone()).await.unwrap().removed.is_empty());
    assert_eq!(attachments(&engine, "host-b").await.len(), 1);
    let done = copy(&engine, wire::CopyHostNetworksRequest { remove_others: true, ..empty }).await.unwrap();
    assert_eq!(done.removed, ["hosts/host-b/networkAttachments/blue", "hosts/host-b/bonds/bond7"]);
    assert!(attachments(&engine, "host-b").await.is_empty());
    assert!(engine.host("host-b").await.spec.unwrap().nic_labels.is_empty());
}

#[tokio::test]
async fn a_refused_copy_writes_nothing_and_says_all() {
    let engine = furnished().await;
    let before = events(&engine).await;
    // No address of its own, and one on a network that the source does not have.
    let mut stray = wish();
    stray.addresses[0].network = "networks/red".to_owned();
    let refused = copy(&engine, stray).await.unwrap_err();
    let codes: Vec<_> = findings_of(&refused).into_iter().map(|finding| finding.code).collect();
    assert_eq!(codes, ["FIELD_MISSING", "REFERENCE_NOT_FOUND"]);
    // A rule refuses the last of the changes: nothing of those before it stays.
    let mut lost = wish();
    let gateway = Some("192.0.2.254".to_owned());
    let given = host::StaticAddresses { addresses: vec!["192.0.2.2/24".to_owned()], gateway };
    lost.addresses[0].ipv4 = Some(host::Ipv4Config { method: Some(host::ipv4_config::Method::Static(given)) });
    let refused = copy(&engine, lost).await.unwrap_err();
    assert_eq!(reason_of(&refused).as_deref(), Some("GATEWAY_WITHOUT_DEFAULT_ROUTE"));
    let mut malformed = wish();
    malformed.addresses[0].ipv4 = Some(statics("192.0.2.1/33"));
    assert_eq!(copy(&engine, malformed).await.unwrap_err().code(), Code::InvalidArgument);
    let elsewhere = wire::CopyHostNetworksRequest {
        devices: [("eth1".to_owned(), "ens1".to_owned()), ("eth2".to_owned(), "ens1".to_owned())].into(),
        ..wish()
    };
    assert!(copy(&engine, elsewhere).await.is_err());
    for (source, target, reason) in [
        ("hosts/host-a", "hosts/nobody", "NOT_FOUND"),
        ("hosts/host-a", "hosts/host-a", "FIELD_CONFLICT"),
        ("", "hosts/host-b", "FIELD_MISSING"),
    ] {
        let (source, target) = (source.to_owned(), target.to_owned());
        let refused = copy(&engine, wire::CopyHostNetworksRequest { source, target, ..wish() }).await.unwrap_err();
        assert_eq!(reason_of(&refused).as_deref(), Some(reason), "{refused:?}");
    }
    assert_eq!((events(&engine).await, attachments(&engine, "host-b").await.len()), (before, 0));
}

#[tokio::test]
async fn networks_that_swap_their_nics_are_judged_by_where_they_stand_in_the_end() {
    let engine = Running::start().await;
    engine.furnish("host-a", "blue", wire::NetworkSpec::default()).await;
    engine.create_network("red", wire::NetworkSpec::default()).await.unwrap();
    let joined = wire::CreateClusterNetworkRequest {
        parent: "clusters/lab".to_owned(),
        cluster_network_id: "red".to_owned(),
        cluster_network: Some(wire::ClusterNetwork { spec: Some(Default::default()), ..Default::default() }),
        ..Default::default()
    };
    let mut client = ClusterNetworkServiceClient::new(engine.connection.clone());
    client.create_cluster_network(joined).await.unwrap();
    engine.register("host-b").await;
    let on = |nic: &str| wire::NetworkAttachmentSpec { nic: nic.to_owned(), ..Default::default() };
    for (name, nic) in [("host-a", "eth2"), ("host-b", "eth1")] {
        put(&engine, &format!("hosts/{name}/networkAttachments/red"), on(nic)).await;
    }
    put(&engine, "hosts/host-b/networkAttachments/blue", on("eth2")).await;
    let nics = async |host: &str| {
        let found = attachments(&engine, host).await;
        found.into_iter().map(|(network, spec)| (network, spec.nic)).collect::<Vec<_>>()
    };
    let (of_source, before) = (nics("host-a").await, events(&engine).await);
    let uid = async || {
        let name = "hosts/host-b/networkAttachments/blue".to_owned();
        let request = wire::GetNetworkAttachmentRequest { name };
        let mut client = NetworkAttachmentServiceClient::new(engine.connection.clone());
        client.get_network_attachment(request).await.unwrap().into_inner().network_attachment.unwrap().uid
    };
    let first = uid().await;
    let (source, target) = ("hosts/host-a".to_owned(), "hosts/host-b".to_owned());
    let wish = wire::CopyHostNetworksRequest { source, target, ..Default::default() };
    let would = copy(&engine, wire::CopyHostNetworksRequest { validate_only: true, ..wish.clone() }).await.unwrap();
    assert_eq!((would.resources.len(), events(&engine).await), (2, before));
    copy(&engine, wish.clone()).await.unwrap();
    assert_eq!(nics("host-b").await, of_source);
    assert_eq!((events(&engine).await, uid().await), (before + 1, first), "one write, of the same resources");

    // A chain: blue goes where red was, and red elsewhere.
    let devices = [("eth2".to_owned(), "eth1".to_owned()), ("eth1".to_owned(), "eth2".to_owned())].into();
    copy(&engine, wire::CopyHostNetworksRequest { devices, ..wish.clone() }).await.unwrap();
    put(&engine, "hosts/host-b/networkAttachments/red", on("eth3")).await;
    let alone =
        wire::CopyHostNetworksRequest { source: "hosts/host-b".to_owned(), target: "hosts/host-a".to_owned(), ..wish };
    copy(&engine, alone).await.unwrap();
    assert_eq!(nics("host-a").await, [("blue".to_owned(), "eth2".to_owned()), ("red".to_owned(), "eth3".to_owned())]);
}
