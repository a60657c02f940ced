//! Checks of changes that are not made.

use tokio::task::JoinSet;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine::v1::any_resource::Resource;
use trestle_proto::engine::v1::check_service_client::CheckServiceClient;
use trestle_proto::engine::v1::network_filter::Choice;
use trestle_proto::engine::v1::planned_change::Change;

use super::harness::Running;

const VM: &str = "vms/0190f3a2-7c11-7cc0-a3b7-6a1c0c5d9e4f";

fn planned(change: Change) -> wire::PlannedChange {
    let update_mask = Some(prost_types::FieldMask { paths: vec!["*".to_owned()] });
    wire::PlannedChange { change: Some(change), update_mask, fix_profiles: false }
}

fn put(resource: Resource) -> wire::PlannedChange {
    planned(Change::Put(wire::AnyResource { resource: Some(resource) }))
}

fn delete(name: &str) -> wire::PlannedChange {
    planned(Change::Delete(name.to_owned()))
}

fn network(id: &str, managed: bool) -> wire::PlannedChange {
    let spec = wire::NetworkSpec { manage_macs_with_libvirt: managed, ..Default::default() };
    put(Resource::Network(wire::Network { name: format!("networks/{id}"), spec: Some(spec), ..Default::default() }))
}

fn profile(network: &str, choice: Option<Choice>) -> wire::PlannedChange {
    let network_filter = choice.map(|choice| wire::NetworkFilter { choice: Some(choice) });
    put(Resource::VnicProfile(wire::VnicProfile {
        name: format!("networks/{network}/vnicProfiles/p"),
        spec: Some(wire::VnicProfileSpec { network_filter, ..Default::default() }),
        ..Default::default()
    }))
}

/// A whole small fleet, each after what it refers to.
fn fleet() -> Vec<wire::PlannedChange> {
    let (cluster, host) = ("clusters/lab".to_owned(), "hosts/host-a".to_owned());
    let range = wire::MacRange { first: "52:54:00:00:00:01".to_owned(), last: "52:54:00:00:00:ff".to_owned() };
    vec![
        put(Resource::MacPool(wire::MacPool {
            name: "macPools/lab".to_owned(),
            spec: Some(wire::MacPoolSpec { ranges: vec![range], ..Default::default() }),
            ..Default::default()
        })),
        put(Resource::Cluster(wire::Cluster {
            name: cluster.clone(),
            spec: Some(wire::ClusterSpec { mac_pool: "macPools/lab".to_owned(), ..Default::default() }),
            ..Default::default()
        })),
        network("blue", true),
        put(Resource::ClusterNetwork(wire::ClusterNetwork {
            name: "clusters/lab/clusterNetworks/blue".to_owned(),
            spec: Some(wire::ClusterNetworkSpec::default()),
            ..Default::default()
        })),
        profile("blue", None),
        put(Resource::Host(wire::Host {
            name: host.clone(),
            spec: Some(wire::HostSpec { cluster: cluster.clone(), ..Default::default() }),
            ..Default::default()
        })),
        put(Resource::NetworkAttachment(wire::NetworkAttachment {
            name: "hosts/host-a/networkAttachments/blue".to_owned(),
            spec: Some(wire::NetworkAttachmentSpec { nic: "eth1".to_owned(), ..Default::default() }),
            ..Default::default()
        })),
        put(Resource::Vm(wire::Vm {
            name: VM.to_owned(),
            spec: Some(wire::VmSpec { cluster, ..Default::default() }),
            ..Default::default()
        })),
        put(Resource::Vnic(wire::Vnic {
            name: format!("{VM}/vnics/eth0"),
            spec: Some(wire::VnicSpec { profile: "networks/blue/vnicProfiles/p".to_owned(), ..Default::default() }),
            ..Default::default()
        })),
    ]
}

async fn check(engine: &Running, changes: Vec<wire::PlannedChange>) -> Result<Vec<wire::CheckedChange>, Status> {
    let request = wire::CheckRequest { changes, acknowledge_warnings: vec!["HOST_UNSUPPORTED".to_owned()] };
    let answer = CheckServiceClient::new(engine.connection.clone()).check(request).await?;
    Ok(answer.into_inner().results)
}

/// Spells what would become of each: `Created networks/blue`, and for refused ones the codes.
fn spelled(results: &[wire::CheckedChange]) -> Vec<String> {
    let spell = |result: &wire::CheckedChange| {
        let codes: Vec<_> = result.findings.iter().map(|finding| finding.code.as_str()).collect();
        let word = if result.refused { codes.join(",") } else { format!("{:?}", result.kind()) };
        format!("{word} {}", result.resource)
    };
    results.iter().map(spell).collect()
}

#[tokio::test]
async fn changes_are_judged_as_if_those_before_them_were_made_and_none_is() {
    let engine = Running::start().await;
    let results = check(&engine, fleet()).await.unwrap();
    assert!(spelled(&results).iter().all(|line| line.starts_with("Created ")), "{:?}", spelled(&results));
    assert_eq!(results.len(), 9);
    let events = engine.events().list_events(wire::ListEventsRequest::default()).await.unwrap().into_inner();
    assert_eq!(events.events, []);

    // The other way round, none of them has what it needs.
    let results = check(&engine, fleet().into_iter().rev().collect()).await.unwrap();
    let made: Vec<_> = spelled(&results).into_iter().filter(|line| line.starts_with("Created ")).collect();
    assert_eq!(made, ["Created networks/blue", "Created macPools/lab"]);
    assert!(results.iter().filter(|result| result.refused).all(|result| !result.findings.is_empty()));
}

#[tokio::test]
async fn findings_are_those_of_the_writes_and_belong_to_their_change() {
    let engine = Running::start().await;
    let spoofing = profile("blue", Some(Choice::None(true)));
    let changes = vec![
        network("blue", true),
        spoofing.clone(),
        profile("blue", None),
        network("blue", true),
        delete("networks/blue"),
        delete("networks/blue/vnicProfiles/p"),
        delete("networks/blue"),
        delete("networks/blue"),
        delete("nonsense"),
    ];
    let results = check(&engine, changes).await.unwrap();
    let expected = [
        "Created networks/blue",
        "MAC_SPOOF_CONFLICT networks/blue/vnicProfiles/p",
        "Created networks/blue/vnicProfiles/p",
        "Unspecified networks/blue",
        "IN_USE networks/blue",
        "Deleted networks/blue/vnicProfiles/p",
        "Deleted networks/blue",
        "NOT_FOUND networks/blue",
        "NAME_INVALID nonsense",
    ];
    assert_eq!(spelled(&results), expected);

    engine
        .create_network("blue", wire::NetworkSpec { manage_macs_with_libvirt: true, ..Default::default() })
        .await
        .unwrap();
    let Some(Change::Put(wire::AnyResource { resource: Some(Resource::VnicProfile(profile)) })) = spoofing.change
    else {
        panic!("it is a profile")
    };
    let request = wire::UpdateVnicProfileRequest {
        vnic_profile: Some(profile),
        allow_missing: true,
        validate_only: true,
        ..Default::default()
    };
    let written = engine.profiles().update_vnic_profile(request).await.unwrap().into_inner();
    assert_eq!(written.findings, results[1].findings);
}

#[tokio::test]
async fn a_request_without_changes_with_empty_ones_or_with_too_many_is_refused() {
    let engine = Running::start().await;
    for (changes, reason) in [
        (vec![], "FIELD_MISSING"),
        (vec![wire::PlannedChange::default()], "FIELD_MISSING"),
        (vec![planned(Change::Put(wire::AnyResource::default()))], "FIELD_MISSING"),
        (vec![delete("networks/blue"); 2001], "TOO_LONG"),
    ] {
        let refused = check(&engine, changes).await.unwrap_err();
        let told = refused.get_error_details().error_info().unwrap().reason.clone();
        assert_eq!((refused.code(), told.as_str()), (Code::InvalidArgument, reason));
    }
    assert_eq!(check(&engine, vec![delete("networks/blue"); 2000]).await.unwrap().len(), 2000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_sees_what_is_only_checked() {
    let engine = Running::start().await;
    engine.create_network("real", wire::NetworkSpec::default()).await.unwrap();
    let mut checks = JoinSet::new();
    for _ in 0..4 {
        let connection = engine.connection.clone();
        checks.spawn(async move {
            let changes: Vec<_> = (0..200).map(|number| network(&format!("ghost{number}"), false)).collect();
            for _ in 0..5 {
                let changes = [vec![delete("networks/real")], changes.clone()].concat();
                let request = wire::CheckRequest { changes, ..Default::default() };
                let results = CheckServiceClient::new(connection.clone()).check(request).await.unwrap().into_inner();
                assert!(results.results.iter().all(|result| !result.refused));
            }
        });
    }
    while !checks.is_empty() {
        let listed = engine.networks().list_networks(wire::ListNetworksRequest::default()).await.unwrap().into_inner();
        let names: Vec<_> = listed.networks.iter().map(|network| network.name.as_str()).collect();
        assert_eq!(names, ["networks/real"]);
        while checks.try_join_next().transpose().unwrap().is_some() {}
    }
}

#[tokio::test]
async fn profiles_in_the_way_are_mended_in_a_check_as_in_the_update() {
    let engine = Running::start().await;
    let mut client = CheckServiceClient::new(engine.connection.clone());
    let mut judged = async |fix_profiles| {
        let on = wire::PlannedChange { fix_profiles, ..network("blue", true) };
        let changes = vec![network("blue", false), profile("blue", Some(Choice::None(true))), on];
        let request = wire::CheckRequest { changes, ..Default::default() };
        client.check(request).await.unwrap().into_inner().results.pop().unwrap()
    };
    let refused = judged(false).await;
    assert!(refused.refused);
    assert_eq!(refused.findings[0].code, "MAC_SPOOF_CONFLICT");
    let mended = judged(true).await;
    assert!(!mended.refused, "{mended:?}");
    assert_eq!((mended.kind(), mended.resource.as_str()), (wire::ChangeKind::Updated, "networks/blue"));
}

#[tokio::test]
async fn a_large_check_among_writes_is_judged_whole_and_leaves_nothing() {
    let engine = Running::start().await;
    let changes = || (0..2000).map(|number| network(&format!("n{number}"), false)).collect::<Vec<_>>();
    let mut client = CheckServiceClient::new(engine.connection.clone());
    let request = wire::CheckRequest { changes: changes(), ..Default::default() };
    let mut checking = JoinSet::new();
    checking.spawn(async move { client.check(request).await.unwrap().into_inner().results });
    for written in ["n1999", "b", "c"] {
        engine.create_network(written, wire::NetworkSpec::default()).await.unwrap();
    }
    let results = checking.join_next().await.unwrap().unwrap();
    assert!(results.iter().all(|one| !one.refused) && results.len() == 2000);
    // The last may have been written, just so, before it was judged.
    let created = |one: &wire::CheckedChange| one.kind() == wire::ChangeKind::Created;
    assert!(results.iter().take(1999).all(created));
    let networks = engine.networks().list_networks(wire::ListNetworksRequest::default()).await.unwrap().into_inner();
    assert_eq!(networks.networks.len(), 3);
}
