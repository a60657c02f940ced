//! The API as clients see it.

use tonic::Code;
use tonic_types::StatusExt as _;
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine::v1::network_filter::Choice;

use super::harness::Running;

fn managed() -> wire::NetworkSpec {
    wire::NetworkSpec { manage_macs_with_libvirt: true, ..Default::default() }
}

fn profile(id: &str, filter: Option<Choice>) -> wire::CreateVnicProfileRequest {
    let network_filter = filter.map(|choice| wire::NetworkFilter { choice: Some(choice) });
    wire::CreateVnicProfileRequest {
        parent: "networks/blue".to_owned(),
        vnic_profile_id: id.to_owned(),
        vnic_profile: Some(wire::VnicProfile {
            spec: Some(wire::VnicProfileSpec { network_filter, ..Default::default() }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn update(network: wire::Network) -> wire::UpdateNetworkRequest {
    wire::UpdateNetworkRequest { network: Some(network), ..Default::default() }
}

fn reason(status: &tonic::Status) -> String {
    status.get_error_details().error_info().map(|info| info.reason.clone()).unwrap_or_default()
}

#[tokio::test]
async fn refuses_a_spoofing_profile_on_a_managed_network_and_the_flag_where_there_is_one() {
    let engine = Running::start().await;
    let blue = engine.create_network("blue", managed()).await.unwrap();
    let refused = engine.profiles().create_vnic_profile(profile("free", Some(Choice::None(true)))).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "MAC_SPOOF_CONFLICT"));
    let violations = refused.get_error_details().precondition_failure().unwrap().violations.clone();
    assert_eq!(violations[0].r#type, "MAC_SPOOF_CONFLICT");
    engine.profiles().create_vnic_profile(profile("default", None)).await.unwrap();

    let off = wire::NetworkSpec { manage_macs_with_libvirt: false, ..managed() };
    let request = wire::UpdateNetworkRequest {
        network: Some(wire::Network { spec: Some(off), ..blue.clone() }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["*".to_owned()] }),
        ..Default::default()
    };
    let plain = engine.networks().update_network(request).await.unwrap().into_inner().network.unwrap();
    engine.profiles().create_vnic_profile(profile("free", Some(Choice::None(true)))).await.unwrap();
    let on = update(wire::Network { spec: Some(managed()), ..plain });
    let refused = engine.networks().update_network(on).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "MAC_SPOOF_CONFLICT"));
    assert!(format!("{:?}", refused.get_error_details()).contains("networks/blue/vnicProfiles/free"));
}

#[tokio::test]
async fn loses_a_race_with_aborted_and_leaves_the_winner() {
    let engine = Running::start().await;
    let first = engine.create_network("blue", wire::NetworkSpec::default()).await.unwrap();
    let change = |mtu| {
        update(wire::Network {
            spec: Some(wire::NetworkSpec { mtu: Some(mtu), ..Default::default() }),
            ..first.clone()
        })
    };
    let winner = engine.networks().update_network(change(9000)).await.unwrap().into_inner().network.unwrap();
    assert_ne!(winner.etag, first.etag);
    let loser = engine.networks().update_network(change(1400)).await.unwrap_err();
    assert_eq!((loser.code(), reason(&loser).as_str()), (Code::Aborted, "ETAG_MISMATCH"));
    let name = "networks/blue".to_owned();
    let now = engine.networks().get_network(wire::GetNetworkRequest { name }).await.unwrap().into_inner().network;
    assert_eq!(now, Some(winner));
}

#[tokio::test]
async fn answers_a_repeated_request_once_and_refuses_another_under_its_id() {
    let engine = Running::start().await;
    let request = |id: &str| wire::CreateNetworkRequest {
        network_id: id.to_owned(),
        network: Some(wire::Network { spec: Some(wire::NetworkSpec::default()), ..Default::default() }),
        request_id: "0193c0de-0000-7000-8000-000000000001".to_owned(),
        ..Default::default()
    };
    let first = engine.networks().create_network(request("blue")).await.unwrap().into_inner();
    let again = engine.networks().create_network(request("blue")).await.unwrap().into_inner();
    assert_eq!(first, again);
    let other = engine.networks().create_network(request("green")).await.unwrap_err();
    assert_eq!(reason(&other), "REQUEST_ID_REUSED");
    let engine = engine.restart().await;
    let later = engine.networks().create_network(request("blue")).await.unwrap().into_inner();
    assert_eq!(first, later);
}

#[tokio::test]
async fn validate_only_shows_the_findings_and_changes_nothing() {
    let engine = Running::start().await;
    engine.create_network("blue", managed()).await.unwrap();
    let check = wire::CreateVnicProfileRequest { validate_only: true, ..profile("free", Some(Choice::None(true))) };
    let shown = engine.profiles().create_vnic_profile(check).await.unwrap().into_inner();
    assert_eq!(shown.findings[0].code, "MAC_SPOOF_CONFLICT");
    let all = wire::ListVnicProfilesRequest { parent: "networks/blue".to_owned(), ..Default::default() };
    assert_eq!(engine.profiles().list_vnic_profiles(all).await.unwrap().into_inner().vnic_profiles, []);
}

#[tokio::test]
async fn stops_at_a_warning_until_it_is_acknowledged() {
    let engine = Running::start().await;
    let spec = wire::NetworkSpec { vm_network: Some(false), ..managed() };
    let refused = engine.create_network("storage", spec.clone()).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "NO_EFFECT_NOT_BRIDGED"));
    let request = wire::CreateNetworkRequest {
        network_id: "storage".to_owned(),
        network: Some(wire::Network { spec: Some(spec), ..Default::default() }),
        acknowledge_warnings: vec!["NO_EFFECT_NOT_BRIDGED".to_owned()],
        ..Default::default()
    };
    let made = engine.networks().create_network(request).await.unwrap().into_inner();
    assert!(made.network.unwrap().spec.unwrap().manage_macs_with_libvirt);
    assert_eq!(made.findings[0].code, "NO_EFFECT_NOT_BRIDGED");
}

#[tokio::test]
async fn pages_through_a_collection_without_gap_or_double() {
    let engine = Running::start().await;
    let names: Vec<String> = (0..7).map(|n| format!("net-{n}")).collect();
    for name in &names {
        engine.create_network(name, wire::NetworkSpec::default()).await.unwrap();
    }
    let (mut found, mut token) = (Vec::new(), String::new());
    loop {
        let request = wire::ListNetworksRequest { page_size: 3, page_token: token, ..Default::default() };
        let page = engine.networks().list_networks(request).await.unwrap().into_inner();
        found.extend(page.networks.into_iter().map(|network| network.name));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(found, names.iter().map(|name| format!("networks/{name}")).collect::<Vec<_>>());
    let bad = wire::ListNetworksRequest { page_size: -1, ..Default::default() };
    assert_eq!(engine.networks().list_networks(bad).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn names_every_bad_field_of_a_request_at_once() {
    let engine = Running::start().await;
    let spec = wire::NetworkSpec { mtu: Some(10), vlan_id: Some(5000), bridge_name: "a/b".to_owned(), ..managed() };
    let refused = engine.create_network("bl ue", spec).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let fields: Vec<String> =
        refused.get_error_details().bad_request().unwrap().field_violations.iter().map(|v| v.field.clone()).collect();
    for field in ["network_id", "network.spec.mtu", "network.spec.vlan_id", "network.spec.bridge_name"] {
        assert!(fields.iter().any(|found| found == field), "{field} is not in {fields:?}");
    }
    let nothing = engine.networks().create_network(wire::CreateNetworkRequest::default()).await.unwrap_err();
    assert_eq!(nothing.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn keeps_the_fleet_over_a_restart() {
    let engine = Running::start().await;
    engine.furnish("host-a", "blue", managed()).await;
    // Since when the host is in its state, each run of the engine sees for itself.
    let look = async |engine: &Running| {
        let mut host = engine.host("host-a").await;
        host.status.as_mut().unwrap().state_time = None;
        host
    };
    let before = look(&engine).await;
    let engine = engine.restart().await;
    assert_eq!(look(&engine).await, before);
}

#[tokio::test]
async fn pages_through_all_parents_without_gap_or_double() {
    // In the order of keys `a` comes before `a-b`; in that of whole names it comes after.
    let engine = Running::start().await;
    for network in ["a", "a-b", "a.b"] {
        engine.create_network(network, wire::NetworkSpec::default()).await.unwrap();
        for id in ["one", "two"] {
            let request = wire::CreateVnicProfileRequest { parent: format!("networks/{network}"), ..profile(id, None) };
            engine.profiles().create_vnic_profile(request).await.unwrap();
        }
    }
    for (parent, expected) in [("", 6), ("networks/a", 2), ("networks/a-b", 2)] {
        let (mut found, mut token) = (Vec::new(), String::new());
        loop {
            let request = wire::ListVnicProfilesRequest {
                parent: parent.to_owned(),
                page_size: 1,
                page_token: token,
                ..Default::default()
            };
            let page = engine.profiles().list_vnic_profiles(request).await.unwrap().into_inner();
            found.extend(page.vnic_profiles.into_iter().map(|profile| profile.name));
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        let distinct: std::collections::BTreeSet<_> = found.iter().collect();
        assert_eq!((found.len(), distinct.len()), (expected, expected), "{parent:?}: {found:?}");
    }
}

#[tokio::test]
async fn a_page_of_large_resources_is_shorter_and_still_fits_a_message() {
    let engine = Running::start().await;
    for number in 0..80 {
        let spec = wire::NetworkSpec { description: "x".repeat(60_000), ..Default::default() };
        engine.create_network(&format!("net-{number:02}"), spec).await.unwrap();
    }
    let (mut found, mut pages, mut token) = (0, 0, String::new());
    loop {
        let request = wire::ListNetworksRequest { page_size: 1000, page_token: token, ..Default::default() };
        let page = engine.networks().list_networks(request).await.unwrap().into_inner();
        (found, pages, token) = (found + page.networks.len(), pages + 1, page.next_page_token);
        if token.is_empty() {
            break;
        }
    }
    assert_eq!((found, pages), (80, 3));
}

#[tokio::test]
async fn refuses_a_resource_that_is_too_large_to_be_kept() {
    let engine = Running::start().await;
    let spec = wire::NetworkSpec { description: "x".repeat(100_000), ..Default::default() };
    let refused = engine.create_network("blue", spec).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "TOO_LONG"));
}

#[tokio::test]
async fn knows_a_repeated_request_with_many_labels() {
    let engine = Running::start().await;
    let request = || {
        let labels = (0..12).map(|number| (format!("label-{number}"), "value".to_owned())).collect();
        wire::CreateNetworkRequest {
            network_id: "blue".to_owned(),
            network: Some(wire::Network { labels, spec: Some(wire::NetworkSpec::default()), ..Default::default() }),
            request_id: "0193c0de-0000-7000-8000-000000000002".to_owned(),
            ..Default::default()
        }
    };
    let first = engine.networks().create_network(request()).await.unwrap().into_inner();
    for _ in 0..5 {
        assert_eq!(engine.networks().create_network(request()).await.unwrap().into_inner(), first);
    }
}

#[tokio::test]
async fn a_trial_under_a_request_id_does_not_use_the_id_up() {
    let engine = Running::start().await;
    let request = |validate_only| wire::CreateNetworkRequest {
        network_id: "blue".to_owned(),
        network: Some(wire::Network { spec: Some(wire::NetworkSpec::default()), ..Default::default() }),
        request_id: "0193c0de-0000-7000-8000-000000000003".to_owned(),
        validate_only,
        ..Default::default()
    };
    engine.networks().create_network(request(true)).await.unwrap();
    let made = engine.networks().create_network(request(false)).await.unwrap().into_inner().network.unwrap();
    assert_ne!(made.etag, "");
}

#[tokio::test]
async fn does_not_bring_back_a_resource_whose_version_is_gone() {
    let engine = Running::start().await;
    let blue = engine.create_network("blue", wire::NetworkSpec::default()).await.unwrap();
    let gone = wire::DeleteNetworkRequest { name: blue.name.clone(), ..Default::default() };
    engine.networks().delete_network(gone).await.unwrap();
    let change = wire::UpdateNetworkRequest { allow_missing: true, ..update(blue.clone()) };
    let refused = engine.networks().update_network(change.clone()).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Aborted, "ETAG_MISMATCH"));
    let anew = wire::Network { etag: String::new(), ..blue };
    engine.networks().update_network(wire::UpdateNetworkRequest { network: Some(anew), ..change }).await.unwrap();
}

#[tokio::test]
async fn removes_what_is_used_only_after_its_users() {
    let engine = Running::start().await;
    engine.furnish("host-a", "blue", wire::NetworkSpec::default()).await;
    let network = wire::DeleteNetworkRequest { name: "networks/blue".to_owned(), ..Default::default() };
    let cluster = wire::DeleteClusterRequest { name: "clusters/lab".to_owned(), ..Default::default() };
    let host = wire::DeleteHostRequest { name: "hosts/host-a".to_owned(), ..Default::default() };
    for refused in [
        engine.networks().delete_network(network).await.unwrap_err(),
        engine.clusters().delete_cluster(cluster).await.unwrap_err(),
        engine.hosts().delete_host(host).await.unwrap_err(),
    ] {
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "IN_USE"));
    }
}
