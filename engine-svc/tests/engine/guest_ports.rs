//! What hosts hear of the guests' NICs that run on them.

use trestle_model::{Feature, FeatureSet, Support};
use trestle_proto::engine::v1 as wire;
use trestle_proto::host::v1::{BridgeWired, GuestNic, GuestPorts, Network};
use trestle_proto::session::v1::engine_message::Kind as EngineKind;

use super::harness::{Agent, Running};
use super::sessions::{applied, report_of, setup_of, welcomed_as};
use super::vnics::{self, GUESTS, VM, mac, managed, put};

const EXTRA: &str = "02:00:5e:00:01:0a";

fn capable() -> FeatureSet {
    FeatureSet(Feature::ALL.map(|feature| (feature, Support::Present)).into())
}

/// Carries out what the agent hears next, and returns what it is told of blue's guests.
async fn obey(agent: &mut Agent) -> Option<GuestPorts> {
    let (id, setup) = setup_of(agent.hear().await.unwrap());
    agent.say(applied(&id, &id)).await;
    assert!(matches!(agent.hear().await.unwrap(), EngineKind::ResultAck(_)));
    agent.say(report_of(&setup.networks, &id, capable())).await;
    let [Network { guest_ports, .. }] = setup.networks.as_slice() else { panic!("{setup:?}") };
    guest_ports.clone()
}

/// A profile's wish for extra MACs and VLANs.
async fn allow(engine: &Running, extra_macs_allowed: u32, vlan_ids: &[u32]) -> Result<(), tonic::Status> {
    let mode = if vlan_ids.is_empty() { wire::TaggingMode::None } else { wire::TaggingMode::List };
    let tagging = wire::GuestTagging { mode: mode.into(), vlan_ids: vlan_ids.to_vec() };
    let spec = wire::VnicProfileSpec { extra_macs_allowed, guest_tagging: Some(tagging), ..Default::default() };
    let request = wire::UpdateVnicProfileRequest {
        vnic_profile: Some(wire::VnicProfile { name: GUESTS.to_owned(), spec: Some(spec), ..Default::default() }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["*".to_owned()] }),
        ..Default::default()
    };
    engine.profiles().update_vnic_profile(request).await.map(drop)
}

fn with_extra(profile: &str, plugged: bool) -> wire::Vnic {
    let spec = wire::VnicSpec {
        profile: profile.to_owned(),
        extra_macs: vec![EXTRA.to_owned()],
        plugged: Some(plugged),
        ..Default::default()
    };
    wire::Vnic { spec: Some(spec), ..vnics::vnic("eth0", profile) }
}

async fn run_on(engine: &Running, host: &str) {
    let spec = wire::VmSpec { host: host.to_owned(), ..Default::default() };
    let request = wire::UpdateVmRequest {
        vm: Some(wire::Vm { name: format!("vms/{VM}"), spec: Some(spec), ..Default::default() }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["spec.host".to_owned()] }),
        ..Default::default()
    };
    engine.vms().update_vm(request).await.unwrap();
}

fn ports(lock_source_macs: bool, nics: Vec<GuestNic>) -> Option<GuestPorts> {
    Some(GuestPorts { lock_source_macs, nics, bridge_wired: BridgeWired::Convert.into() })
}

fn told(mac: &str, vlan_ids: &[u32]) -> Option<GuestPorts> {
    let nic = GuestNic { mac: mac.to_owned(), extra_macs: vec![EXTRA.to_owned()], vlan_ids: vlan_ids.to_vec() };
    ports(false, vec![nic])
}

/// VM `VM` on `host-a`, and `blue` managed there and on `host-b`; both run what they are to.
async fn furnish() -> (Running, Agent, Agent) {
    let engine = Running::start().await;
    vnics::furnish(&engine).await;
    engine.register("host-b").await;
    engine.attach("host-b", "blue").await;
    engine.networks().update_network(managed(true)).await.unwrap();
    let mut agents = Vec::new();
    for host in ["host-a", "host-b"] {
        let mut agent = welcomed_as(&engine, host).await;
        agent.say(report_of(&[], "empty", capable())).await;
        assert_eq!(obey(&mut agent).await, None);
        engine.wait_for(host, |status| status.sync() == wire::Sync::InSync).await;
        agents.push(agent);
    }
    let (b, a) = (agents.pop().unwrap(), agents.pop().unwrap());
    (engine, a, b)
}

#[tokio::test]
async fn the_host_of_a_guest_hears_what_its_nics_may_have_and_no_other_does() {
    let (engine, mut a, mut b) = furnish().await;
    allow(&engine, 1, &[]).await.unwrap();
    let mac = mac(&put(&engine, with_extra(GUESTS, true)).await.unwrap());
    assert_eq!(obey(&mut a).await, told(&mac, &[]));
    allow(&engine, 1, &[7, 8]).await.unwrap();
    assert_eq!(obey(&mut a).await, told(&mac, &[7, 8]));
    // The first that host-b hears is of the guest that comes.
    run_on(&engine, "hosts/host-b").await;
    assert_eq!(obey(&mut a).await, None);
    assert_eq!(obey(&mut b).await, told(&mac, &[7, 8]));
    put(&engine, with_extra(GUESTS, false)).await.unwrap();
    assert_eq!(obey(&mut b).await, None);
    put(&engine, with_extra(GUESTS, true)).await.unwrap();
    assert_eq!(obey(&mut b).await, told(&mac, &[7, 8]));
    let gone = wire::DeleteVnicRequest { name: format!("vms/{VM}/vnics/eth0"), ..Default::default() };
    engine.vnics().delete_vnic(gone).await.unwrap();
    assert_eq!(obey(&mut b).await, None);
}

#[tokio::test]
async fn hosts_lock_the_ports_of_a_network_that_is_to_be() {
    let (engine, mut a, _b) = furnish().await;
    let spec = wire::NetworkSpec { lock_source_macs: true, ..Default::default() };
    let lock = wire::UpdateNetworkRequest {
        network: Some(wire::Network { name: "networks/blue".to_owned(), spec: Some(spec), ..Default::default() }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["spec.lock_source_macs".to_owned()] }),
        ..Default::default()
    };
    engine.networks().update_network(lock).await.unwrap();
    assert_eq!(obey(&mut a).await, ports(true, Vec::new()));
}

#[tokio::test]
async fn a_host_that_does_not_say_that_it_can_gets_no_guest_that_may_have_more() {
    let (engine, a, _b) = furnish().await;
    allow(&engine, 1, &[]).await.unwrap();
    let mut features = capable();
    features.0.remove(&Feature::GuestPorts);
    let running = Network { name: "blue".to_owned(), manage_macs_with_libvirt: true, ..Default::default() };
    a.say(report_of(&[running], "older", features)).await;
    engine.wait_for("host-a", |status| status.sync() != wire::Sync::InSync).await;
    let refused = put(&engine, with_extra(GUESTS, true)).await.unwrap_err();
    assert_eq!(trestle_proto::status::reason_of(&refused).as_deref(), Some("EXTRA_MACS_UNSUPPORTED"));
    let refused = allow(&engine, 1, &[7]).await.unwrap_err();
    assert_eq!(trestle_proto::status::reason_of(&refused).as_deref(), Some("GUEST_VLANS_UNSUPPORTED"));
}
