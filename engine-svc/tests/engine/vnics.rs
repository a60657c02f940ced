//! VMs, vNICs and MAC pools as clients see them.

use tonic::Code;
use tonic_types::StatusExt as _;
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine::v1::network_filter::Choice;
use trestle_proto::engine::v1::stock_filter_service_client::StockFilterServiceClient;

use super::harness::Running;

pub(crate) const VM: &str = "0190f3a2-7c11-7cc0-a3b7-6a1c0c5d9e4f";

fn reason(status: &tonic::Status) -> String {
    status.get_error_details().error_info().map(|info| info.reason.clone()).unwrap_or_default()
}

fn pool(last: &str) -> wire::MacPool {
    let range = wire::MacRange { first: "52:54:00:00:00:00".to_owned(), last: last.to_owned() };
    let spec = wire::MacPoolSpec { ranges: vec![range], ..Default::default() };
    wire::MacPool { name: "macPools/lab".to_owned(), spec: Some(spec), ..Default::default() }
}

pub(crate) fn vnic(name: &str, profile: &str) -> wire::Vnic {
    let spec = wire::VnicSpec { profile: profile.to_owned(), ..Default::default() };
    wire::Vnic { name: format!("vms/{VM}/vnics/{name}"), spec: Some(spec), ..Default::default() }
}

pub(crate) async fn put(engine: &Running, vnic: wire::Vnic) -> Result<wire::Vnic, tonic::Status> {
    let request = wire::UpdateVnicRequest {
        vnic: Some(vnic),
        update_mask: Some(prost_types::FieldMask { paths: vec!["*".to_owned()] }),
        allow_missing: true,
        ..Default::default()
    };
    Ok(engine.vnics().update_vnic(request).await?.into_inner().vnic.unwrap())
}

pub(crate) fn mac(vnic: &wire::Vnic) -> String {
    vnic.status.clone().unwrap().mac
}

/// A cluster with a pool of four addresses, network `blue` on `host-a`, profile `guests`, and a VM.
pub(crate) async fn furnish(engine: &Running) {
    engine.furnish("host-a", "blue", wire::NetworkSpec::default()).await;
    let request = wire::CreateMacPoolRequest {
        mac_pool_id: "lab".to_owned(),
        mac_pool: Some(pool("52:54:00:00:00:03")),
        ..Default::default()
    };
    let made = engine.mac_pools().create_mac_pool(request).await.unwrap().into_inner().mac_pool.unwrap();
    assert_eq!(made.status, Some(wire::MacPoolStatus { size: 4, free: 4 }));
    let spec = wire::ClusterSpec { mac_pool: "macPools/lab".to_owned(), ..Default::default() };
    let cluster = wire::Cluster { name: "clusters/lab".to_owned(), spec: Some(spec), ..Default::default() };
    let request = wire::UpdateClusterRequest { cluster: Some(cluster), ..Default::default() };
    engine.clusters().update_cluster(request).await.unwrap();
    profile(engine, "guests", None).await.unwrap();
    let spec = wire::VmSpec {
        display_name: "web".to_owned(),
        cluster: "clusters/lab".to_owned(),
        host: "hosts/host-a".to_owned(),
        ..Default::default()
    };
    let request = wire::CreateVmRequest {
        vm_id: VM.to_owned(),
        vm: Some(wire::Vm { spec: Some(spec), ..Default::default() }),
        ..Default::default()
    };
    engine.vms().create_vm(request).await.unwrap();
}

async fn profile(engine: &Running, id: &str, filter: Option<Choice>) -> Result<(), tonic::Status> {
    let network_filter = filter.map(|choice| wire::NetworkFilter { choice: Some(choice) });
    let request = wire::CreateVnicProfileRequest {
        parent: "networks/blue".to_owned(),
        vnic_profile_id: id.to_owned(),
        vnic_profile: Some(wire::VnicProfile {
            spec: Some(wire::VnicProfileSpec { network_filter, ..Default::default() }),
            ..Default::default()
        }),
        ..Default::default()
    };
    engine.profiles().create_vnic_profile(request).await.map(drop)
}

pub(crate) fn managed(on: bool) -> wire::UpdateNetworkRequest {
    let spec = wire::NetworkSpec { manage_macs_with_libvirt: on, ..Default::default() };
    wire::UpdateNetworkRequest {
        network: Some(wire::Network { name: "networks/blue".to_owned(), spec: Some(spec), ..Default::default() }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["spec.manage_macs_with_libvirt".to_owned()] }),
        acknowledge_warnings: vec!["LIVE_PORTS_PENDING".to_owned()],
        ..Default::default()
    }
}

pub(crate) const GUESTS: &str = "networks/blue/vnicProfiles/guests";

#[tokio::test]
async fn a_pool_gives_addresses_keeps_them_over_a_restart_and_takes_them_back() {
    let engine = Running::start().await;
    furnish(&engine).await;
    let mut macs = Vec::new();
    for name in ["eth0", "eth1", "eth2", "eth3"] {
        macs.push(mac(&put(&engine, vnic(name, GUESTS)).await.unwrap()));
    }
    assert_eq!(macs, ["52:54:00:00:00:00", "52:54:00:00:00:01", "52:54:00:00:00:02", "52:54:00:00:00:03"]);
    let exhausted = put(&engine, vnic("eth4", GUESTS)).await.unwrap_err();
    assert_eq!((exhausted.code(), reason(&exhausted).as_str()), (Code::FailedPrecondition, "MAC_POOL_EXHAUSTED"));

    let engine = engine.restart().await;
    let again = put(&engine, vnic("eth1", GUESTS)).await.unwrap();
    assert_eq!(mac(&again), "52:54:00:00:00:01");
    let gone = wire::DeleteVnicRequest { name: again.name, ..Default::default() };
    engine.vnics().delete_vnic(gone).await.unwrap();
    let name = "macPools/lab".to_owned();
    let pool = engine.mac_pools().get_mac_pool(wire::GetMacPoolRequest { name }).await.unwrap().into_inner();
    assert_eq!(pool.mac_pool.unwrap().status, Some(wire::MacPoolStatus { size: 4, free: 1 }));
    assert_eq!(mac(&put(&engine, vnic("eth4", GUESTS)).await.unwrap()), "52:54:00:00:00:01");
}

#[tokio::test]
async fn lists_the_vnics_of_a_vm_and_of_all() {
    let engine = Running::start().await;
    furnish(&engine).await;
    for name in ["eth1", "eth0"] {
        put(&engine, vnic(name, GUESTS)).await.unwrap();
    }
    for parent in [String::new(), format!("vms/{VM}")] {
        let request = wire::ListVnicsRequest { parent, ..Default::default() };
        let found = engine.vnics().list_vnics(request).await.unwrap().into_inner().vnics;
        let names: Vec<_> = found.iter().map(|vnic| vnic.name.rsplit('/').next().unwrap()).collect();
        assert_eq!(names, ["eth0", "eth1"]);
        assert_eq!(mac(&found[0]), "52:54:00:00:00:01");
    }
}

#[tokio::test]
async fn a_spoofing_vnic_is_refused_from_both_sides_and_the_profile_is_fixed_on_request() {
    let engine = Running::start().await;
    furnish(&engine).await;
    profile(&engine, "open", Some(Choice::None(true))).await.unwrap();
    put(&engine, vnic("eth0", "networks/blue/vnicProfiles/open")).await.unwrap();
    let refused = engine.networks().update_network(managed(true)).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "MAC_SPOOF_CONFLICT"));
    let told = format!("{:?}", refused.get_error_details());
    assert!(
        told.contains("networks/blue/vnicProfiles/open") && told.contains(&format!("vms/{VM}/vnics/eth0")),
        "{told}"
    );

    let fixing = wire::UpdateNetworkRequest { fix_profiles: true, ..managed(true) };
    let check = wire::UpdateNetworkRequest { validate_only: true, ..fixing.clone() };
    engine.networks().update_network(check).await.unwrap();
    let name = "networks/blue/vnicProfiles/open".to_owned();
    let filter = async || {
        let request = wire::GetVnicProfileRequest { name: name.clone() };
        let found = engine.profiles().get_vnic_profile(request).await.unwrap().into_inner().vnic_profile.unwrap();
        found.spec.unwrap().network_filter.and_then(|filter| filter.choice)
    };
    assert_eq!(filter().await, Some(Choice::None(true)));
    let on = engine.networks().update_network(fixing).await.unwrap().into_inner().network.unwrap();
    assert!(on.spec.unwrap().manage_macs_with_libvirt);
    assert_eq!(filter().await, None);

    let past = wire::VnicSpec { profile: GUESTS.to_owned(), bypasses_filter: true, ..Default::default() };
    let refused = put(&engine, wire::Vnic { spec: Some(past), ..vnic("eth1", "") }).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "MAC_SPOOF_BYPASS"));
    let refused = profile(&engine, "free", Some(Choice::Named("no-arp-spoofing".to_owned()))).await.unwrap_err();
    assert_eq!(reason(&refused), "MAC_SPOOF_CONFLICT");
}

#[tokio::test]
async fn shows_what_stock_filters_really_stop() {
    let engine = Running::start().await;
    let mut client = StockFilterServiceClient::new(engine.connection.clone());
    let (mut stopping, mut all, mut token) = (Vec::new(), 0, String::new());
    loop {
        let request = wire::ListStockFiltersRequest { page_size: 7, page_token: token, ..Default::default() };
        let page = client.list_stock_filters(request).await.unwrap().into_inner();
        all += page.stock_filters.len();
        stopping.extend(page.stock_filters.into_iter().filter(|f| f.stops_mac_spoofing).map(|f| f.name));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(all, 24);
    let expected =
        ["clean-traffic", "clean-traffic-gateway", "no-mac-spoofing"].map(|name| format!("stockFilters/{name}"));
    assert_eq!(stopping, expected);
    let filter = "stops_mac_spoofing = true AND name:clean".to_owned();
    let request = wire::ListStockFiltersRequest { filter, ..Default::default() };
    let clean = client.list_stock_filters(request).await.unwrap().into_inner().stock_filters;
    assert_eq!(clean.into_iter().map(|filter| filter.name).collect::<Vec<_>>(), expected[..2]);
    let name = "stockFilters/no-mac-spoofing".to_owned();
    let found = client.get_stock_filter(wire::GetStockFilterRequest { name }).await.unwrap().into_inner();
    assert_eq!(found.stock_filter.unwrap().rules, ["return out 500 mac srcmacaddr=$MAC", "drop out 500 mac"]);
    let name = "stockFilters/none".to_owned();
    let missing = client.get_stock_filter(wire::GetStockFilterRequest { name }).await.unwrap_err();
    assert_eq!((missing.code(), reason(&missing).as_str()), (Code::NotFound, "NOT_FOUND"));
}
