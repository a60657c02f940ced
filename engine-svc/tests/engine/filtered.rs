//! Lists of what meets a filter.

use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use trestle_model::Findings;
use trestle_model::fleet::{Entity, Mutation};
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine_wire::parse_named;
use trestle_store::{Decision, Store, Write};
use uuid::Uuid;

use super::harness::Running;

const CLUSTERS: usize = 2500;

/// Makes clusters `c0000` and so on, every hundredth with a label.
fn fill(store: &Store) {
    let cluster = |number: usize| {
        let labels = (number % 100 == 99).then(|| ("rack".to_owned(), number.to_string()));
        let cluster = wire::Cluster {
            name: format!("clusters/c{number:04}"),
            labels: labels.into_iter().collect(),
            spec: Some(wire::ClusterSpec::default()),
            ..Default::default()
        };
        Mutation::Put(Entity::Cluster(parse_named(Some(&cluster)).unwrap()))
    };
    let write = Write { request: None, now_ms: 1, uid: Uuid::from_u128(1), actor: "test".to_owned() };
    let mutations = (0..CLUSTERS).map(cluster).collect();
    let decided = store.transact(write, |_| Ok::<_, ()>(Decision { mutations, findings: Findings::default() }));
    decided.unwrap();
}

async fn clusters(engine: &Running, filter: &str, size: i32, token: &str) -> Result<(Vec<String>, String), Status> {
    let (filter, page_token) = (filter.to_owned(), token.to_owned());
    let request = wire::ListClustersRequest { filter, page_size: size, page_token };
    let page = engine.clusters().list_clusters(request).await?.into_inner();
    Ok((page.clusters.into_iter().map(|cluster| cluster.name).collect(), page.next_page_token))
}

#[tokio::test]
async fn pages_of_a_filter_find_each_once_and_end_early_where_what_is_wanted_is_rare() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("engine.redb")).unwrap();
    fill(&store);
    drop(store);
    let engine = Running::start_in(folder).await;
    let (mut found, mut token, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let (page, next) = clusters(&engine, "labels:rack", 10, &token).await.unwrap();
        assert!(page.len() <= 10);
        (token, pages) = (next, pages + 1);
        found.extend(page);
        if token.is_empty() {
            break;
        }
    }
    let labelled: Vec<_> = (0..25).map(|hundred| format!("clusters/c{:04}", hundred * 100 + 99)).collect();
    assert_eq!((found, pages), (labelled, 3));

    let (none_yet, token) = clusters(&engine, "labels.rack = 2499", 10, "").await.unwrap();
    assert_eq!(none_yet, [""; 0]);
    let (last, end) = clusters(&engine, "labels.rack = 2499", 10, &token).await.unwrap();
    assert_eq!((last.as_slice(), end.as_str()), (&["clusters/c2499".to_owned()][..], ""));
    let refused = clusters(&engine, "labels.rack = 1", 10, &token).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "a token fits its own filter only");
}

#[tokio::test]
async fn any_field_is_asked_for_also_what_is_observed_and_below_a_parent() {
    let engine = Running::start().await;
    engine.furnish("host-a", "blue", wire::NetworkSpec { mtu: Some(9000), ..Default::default() }).await;
    engine.create_network("green", wire::NetworkSpec::default()).await.unwrap();
    let networks = async |filter: &str| {
        let request = wire::ListNetworksRequest { filter: filter.to_owned(), ..Default::default() };
        let page = engine.networks().list_networks(request).await?.into_inner();
        Ok::<_, Status>(page.networks.into_iter().map(|network| network.name).collect::<Vec<_>>())
    };
    assert_eq!(networks("spec.mtu > 1500").await.unwrap(), ["networks/blue"]);
    assert_eq!(networks("NOT spec.mtu > 1500 AND name = networks/g*").await.unwrap(), ["networks/green"]);
    let hosts = async |filter: &str| {
        let request = wire::ListHostsRequest { filter: filter.to_owned(), ..Default::default() };
        engine.hosts().list_hosts(request).await.unwrap().into_inner().hosts
    };
    let away = hosts("status.connection = DISCONNECTED AND spec.cluster = clusters/lab").await;
    assert!(away.len() == 1 && away[0].status.is_some());
    assert_eq!(hosts("status.connection = CONNECTED").await, []);
    assert!(hosts("spec.maintenance = false").await[0].status.is_some(), "what is shown has its status");

    let refused = networks("spec.mut = 1").await.unwrap_err();
    let details = refused.get_error_details();
    assert_eq!(
        (refused.code(), details.error_info().unwrap().reason.as_str()),
        (Code::InvalidArgument, "FILTER_INVALID")
    );
    let violation = &details.bad_request().unwrap().field_violations[0];
    assert_eq!(violation.field, "filter");
    assert!(violation.description.contains("at character 6"), "{}", violation.description);
}
