//! Watches over the desired state: snapshots, changes, and places to come back to.

use std::collections::BTreeMap;

use tokio::task::JoinSet;
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt as _;
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine::v1::any_resource::Resource;
use trestle_proto::engine::v1::cluster_network_service_client::ClusterNetworkServiceClient;
use trestle_proto::engine::v1::network_attachment_service_client::NetworkAttachmentServiceClient;
use trestle_proto::engine::v1::network_service_client::NetworkServiceClient;
use trestle_proto::engine::v1::watch_response::News;
use trestle_proto::engine::v1::watch_service_client::WatchServiceClient;
use trestle_proto::engine_wire::view_any;
use trestle_serve::Connection;

use super::harness::{PATIENCE, Running};

const WRITERS: usize = 4;
const WRITES: usize = 60;

async fn watch(engine: &Running, wish: wire::WatchRequest) -> Result<Streaming<wire::WatchResponse>, Status> {
    Ok(WatchServiceClient::new(engine.connection.clone()).watch(wish).await?.into_inner())
}

fn wish(collections: &[&str], parent: &str, token: &str) -> wire::WatchRequest {
    wire::WatchRequest {
        collections: collections.iter().map(|&name| name.to_owned()).collect(),
        parent: parent.to_owned(),
        resume_token: token.to_owned(),
    }
}

async fn next(stream: &mut Streaming<wire::WatchResponse>) -> News {
    let heard = tokio::time::timeout(PATIENCE, stream.message()).await.expect("the engine says nothing");
    heard.unwrap().expect("the engine hung up").news.unwrap()
}

/// Takes the name, and of a network the description.
fn described(any: wire::AnyResource) -> (String, String) {
    let name = view_any(&any).unwrap().get_field_by_name("name").unwrap().as_str().unwrap().to_owned();
    let description = match any.resource {
        Some(Resource::Network(network)) => network.spec.unwrap().description,
        Some(_) | None => String::new(),
    };
    (name, description)
}

/// Takes what is told up to the next bookmark, which gives the token.
async fn told(stream: &mut Streaming<wire::WatchResponse>) -> (Vec<String>, String) {
    let mut told = Vec::new();
    loop {
        match next(stream).await {
            News::Resource(any) => told.push(described(any).0),
            News::Removed(gone) => told.push(format!("-{}@{}", gone.name, gone.revision)),
            News::Bookmark(mark) => return (told, mark.resume_token),
        }
    }
}

fn reason(status: &Status) -> String {
    status.get_error_details().error_info().map(|info| info.reason.clone()).unwrap_or_default()
}

async fn delete(connection: Connection, network: &str) -> Result<(), Status> {
    let request = wire::DeleteNetworkRequest { name: format!("networks/{network}"), ..Default::default() };
    NetworkServiceClient::new(connection).delete_network(request).await.map(drop)
}

#[tokio::test]
async fn a_watch_tells_what_is_then_what_changes_of_its_collections_below_its_parent() {
    let engine = Running::start().await;
    engine.furnish("host-a", "blue", wire::NetworkSpec::default()).await;
    let mut all = watch(&engine, wish(&[], "", "")).await.unwrap();
    let snapshot = [
        "clusters/lab",
        "networks/blue",
        "clusters/lab/clusterNetworks/blue",
        "hosts/host-a",
        "hosts/host-a/networkAttachments/blue",
    ];
    assert_eq!(told(&mut all).await.0, snapshot);
    let mut networks = watch(&engine, wish(&["networks"], "", "")).await.unwrap();
    assert_eq!(told(&mut networks).await.0, ["networks/blue"]);
    let mut on_host = watch(&engine, wish(&[], "hosts/host-a", "")).await.unwrap();
    assert_eq!(told(&mut on_host).await.0, ["hosts/host-a/networkAttachments/blue"]);

    engine.create_network("green", wire::NetworkSpec::default()).await.unwrap();
    assert_eq!(told(&mut all).await.0, ["networks/green"]);
    assert_eq!(told(&mut networks).await.0, ["networks/green"]);
    engine.take_off("host-a", "blue").await;
    assert_eq!(told(&mut all).await.0, ["-hosts/host-a/networkAttachments/blue@7"]);
    // What is not of the collection moves the bookmark only.
    assert_eq!(told(&mut networks).await.0, [""; 0]);
    assert_eq!(told(&mut on_host).await.0, [""; 0]);
    assert_eq!(told(&mut on_host).await.0, ["-hosts/host-a/networkAttachments/blue@7"]);
}

#[tokio::test]
async fn a_watch_goes_on_from_its_token_over_a_restart_and_tells_each_resource_once() {
    let engine = Running::start().await;
    engine.create_network("blue", wire::NetworkSpec::default()).await.unwrap();
    engine.create_network("red", wire::NetworkSpec::default()).await.unwrap();
    let (snapshot, token) = told(&mut watch(&engine, wish(&["networks"], "", "")).await.unwrap()).await;
    assert_eq!(snapshot, ["networks/blue", "networks/red"]);
    let engine = engine.restart().await;
    engine.create_network("green", wire::NetworkSpec::default()).await.unwrap();
    delete(engine.connection.clone(), "green").await.unwrap();
    delete(engine.connection.clone(), "red").await.unwrap();
    engine.create_network("red", wire::NetworkSpec::default()).await.unwrap();
    delete(engine.connection.clone(), "blue").await.unwrap();
    let mut resumed = watch(&engine, wish(&["networks"], "", &token)).await.unwrap();
    // Where it stands is told first.
    assert_eq!(told(&mut resumed).await, (vec![], token));
    assert_eq!(told(&mut resumed).await.0, ["-networks/green@4", "networks/red", "-networks/blue@7"]);
}

#[tokio::test]
async fn tokens_of_the_future_of_other_stores_and_of_nobody_are_refused() {
    let (engine, other) = (Running::start().await, Running::start().await);
    for engine in [&engine, &other] {
        engine.create_network("blue", wire::NetworkSpec::default()).await.unwrap();
    }
    let (_, mine) = told(&mut watch(&engine, wish(&[], "", "")).await.unwrap()).await;
    other.create_network("green", wire::NetworkSpec::default()).await.unwrap();
    let (_, ahead) = told(&mut watch(&other, wish(&[], "", "")).await.unwrap()).await;
    assert!(watch(&engine, wish(&[], "", &mine)).await.is_ok());
    let upper = mine.to_uppercase();
    for token in [ahead.as_str(), "1-0000000000000000", "x", "-", "1-", &upper[..upper.len() - 1], "0-1"] {
        let refused = watch(&engine, wish(&[], "", token)).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::OutOfRange, "RESUME_TOKEN_EXPIRED"), "{token}");
    }
    assert_eq!(reason(&watch(&other, wish(&[], "", &mine)).await.unwrap_err()), "RESUME_TOKEN_EXPIRED");
    let refused = watch(&engine, wish(&["networks", "nics"], "", "")).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "NAME_INVALID"));
    let refused = watch(&engine, wish(&[], "hosts/none", "")).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
}

/// Makes, changes and removes a few networks, over and over.
async fn write_on(connection: Connection, writer: usize) {
    for number in 0..WRITES {
        let id = format!("n{}", (number * 7 + writer * 3) % 11);
        if number % 4 == 3 {
            drop(delete(connection.clone(), &id).await);
            continue;
        }
        let spec = wire::NetworkSpec { description: format!("{writer}/{number}"), ..Default::default() };
        let network = wire::Network { name: format!("networks/{id}"), spec: Some(spec), ..Default::default() };
        let request = wire::UpdateNetworkRequest { network: Some(network), allow_missing: true, ..Default::default() };
        NetworkServiceClient::new(connection.clone()).update_network(request).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_that_breaks_off_and_resumes_while_others_write_ends_as_the_fleet_is() {
    let engine = Running::start().await;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        writers.spawn(write_on(engine.connection.clone(), writer));
    }
    let (mut mirror, mut token, mut resumed) = (BTreeMap::new(), String::new(), 0);
    let mut last_round = false;
    loop {
        let mut stream = watch(&engine, wish(&["networks"], "", &token)).await.unwrap();
        resumed += 1;
        // A few bookmarks a stream; at the end until it has caught up.
        let mut marks = 0;
        let head = engine.events().list_events(wire::ListEventsRequest { page_size: 1, ..Default::default() }).await;
        let head = head.unwrap().into_inner().events.first().map_or(0, |event| event.revision);
        loop {
            match next(&mut stream).await {
                News::Resource(any) => {
                    let (name, description) = described(any);
                    mirror.insert(name, description);
                }
                News::Removed(gone) => {
                    mirror.remove(&gone.name);
                }
                News::Bookmark(mark) => {
                    token = mark.resume_token;
                    marks += 1;
                    if mark.revision >= head || (marks >= 3 && !last_round) {
                        break;
                    }
                }
            }
        }
        if last_round {
            break;
        }
        while writers.try_join_next().transpose().unwrap().is_some() {}
        last_round = writers.is_empty();
    }
    let listed = engine.networks().list_networks(wire::ListNetworksRequest::default()).await.unwrap().into_inner();
    let fleet: BTreeMap<_, _> =
        listed.networks.into_iter().map(|network| (network.name, network.spec.unwrap().description)).collect();
    assert!(!fleet.is_empty() && resumed > 2, "{resumed} streams");
    assert_eq!(mirror, fleet);
}

/// Gives `host-a` a label on a NIC, or takes it.
async fn label(engine: &Running, nic: Option<&str>) {
    let nic_labels = nic.map(|nic| ("guests".to_owned(), nic.to_owned())).into_iter().collect();
    let spec = wire::HostSpec { cluster: "clusters/lab".to_owned(), nic_labels, ..Default::default() };
    let host = wire::Host { name: "hosts/host-a".to_owned(), spec: Some(spec), ..Default::default() };
    let update_mask = Some(prost_types::FieldMask { paths: vec!["spec.nic_labels".to_owned()] });
    let request = wire::UpdateHostRequest { host: Some(host), update_mask, ..Default::default() };
    engine.hosts().update_host(request).await.unwrap();
}

#[tokio::test]
async fn what_labels_attach_is_told_when_labels_make_move_and_unmake_it() {
    let engine = Running::start().await;
    let red = "hosts/host-a/networkAttachments/red";
    engine.furnish("host-a", "blue", wire::NetworkSpec::default()).await;
    let spec = wire::NetworkSpec { nic_label: "guests".to_owned(), ..Default::default() };
    engine.create_network("red", spec).await.unwrap();
    let mut stream = watch(&engine, wish(&["networkAttachments"], "", "")).await.unwrap();
    let (snapshot, token) = told(&mut stream).await;
    assert_eq!(snapshot, ["hosts/host-a/networkAttachments/blue"]);
    label(&engine, Some("eth2")).await;
    assert_eq!(told(&mut stream).await.0, [""; 0], "red is not in the cluster");
    join(&engine, "red").await;
    assert_eq!(told(&mut stream).await.0, [red]);
    let snapshot = told(&mut watch(&engine, wish(&[], "hosts/host-a", "")).await.unwrap()).await.0;
    assert_eq!(snapshot, ["hosts/host-a/networkAttachments/blue", red], "it is in a snapshot, too");
    label(&engine, Some("eth3")).await;
    assert_eq!(told(&mut stream).await.0, [red], "it moves to another NIC");

    // A write of its own takes its place, and gives it back.
    let attachment = wire::NetworkAttachment {
        name: red.to_owned(),
        spec: Some(wire::NetworkAttachmentSpec { nic: "eth3".to_owned(), ..Default::default() }),
        ..Default::default()
    };
    let request = wire::UpdateNetworkAttachmentRequest {
        network_attachment: Some(attachment),
        allow_missing: true,
        ..Default::default()
    };
    let mut client = NetworkAttachmentServiceClient::new(engine.connection.clone());
    client.update_network_attachment(request).await.unwrap();
    assert_eq!(told(&mut stream).await.0, [red]);
    engine.take_off("host-a", "red").await;
    assert_eq!(told(&mut stream).await.0, [red], "the label attaches it again");
    label(&engine, None).await;
    let (gone, _) = told(&mut stream).await;
    assert!(gone.len() == 1 && gone[0].starts_with(&format!("-{red}@")), "{gone:?}");

    // Who comes back behind all of that is told how it ended.
    label(&engine, Some("eth2")).await;
    let engine = engine.restart().await;
    let mut resumed = watch(&engine, wish(&["networkAttachments"], "", &token)).await.unwrap();
    assert_eq!(told(&mut resumed).await.0, [""; 0]);
    assert_eq!(told(&mut resumed).await.0, [red]);
}

/// Brings a network into the cluster.
async fn join(engine: &Running, network: &str) {
    let request = wire::CreateClusterNetworkRequest {
        parent: "clusters/lab".to_owned(),
        cluster_network_id: network.to_owned(),
        cluster_network: Some(wire::ClusterNetwork { spec: Some(Default::default()), ..Default::default() }),
        ..Default::default()
    };
    let mut client = ClusterNetworkServiceClient::new(engine.connection.clone());
    client.create_cluster_network(request).await.unwrap();
}
