//! What is told of a host.

use trestle_fake_host::World;
use trestle_model::{LinkKind, MacTableManager};
use trestle_plan::{BridgeChange, KernelStep, network_reports, nic_reports};

use super::scene::{Scene, if_name, net, request};

#[tokio::test]
async fn a_managed_network_is_reported_with_its_ports_entries_and_drift() {
    let world = World::default().nic("eth0").device("tun9", LinkKind::Tun).foreign_bridge("virbr0");
    let mut scene = Scene::new(world);
    let blue = net("blue").on("eth0").vlan(10).managed().ipv4(&["192.0.2.10/24"], None);
    scene.apply(&request([blue.set()])).await;
    scene.host.change(|world| world.start_guest("vm1", "52:54:00:00:00:01", "vnet0", "blue", Some("trestle-blue")));
    let reports = network_reports(&scene.running, &scene.host.state());
    let [report] = reports.as_slice() else { panic!("{reports:?}") };
    assert_eq!(report.device, Some(if_name("blue")));
    assert_eq!(report.drift, [""; 0]);
    let ports: Vec<&str> = report.ports.iter().map(|port| port.device.as_str()).collect();
    assert_eq!(ports, ["eth0.10", "vnet0"]);
    assert_eq!(report.ports[1].guest.as_ref().unwrap().domain, "vm1");
    let table = report.mac_table.as_ref().unwrap();
    assert_eq!((table.manager, table.active), (Some(MacTableManager::Libvirt), true));
    assert_eq!(table.entries.iter().map(|entry| entry.vlan).collect::<Vec<_>>(), [None, Some(1)]);

    let change = BridgeChange { vlan_filtering: Some(false), ..BridgeChange::default() };
    let off = KernelStep::SetBridge { bridge: if_name("blue"), change };
    scene.host.change(|world| world.perform(&off.into()).unwrap());
    let reports = network_reports(&scene.running, &scene.host.state());
    assert_eq!(reports[0].drift, ["link blue vlan_filtering: expected true, is false"]);
    let nics = nic_reports(&scene.host.state());
    assert_eq!(nics.iter().map(|nic| nic.name.as_str()).collect::<Vec<_>>(), ["eth0"]);
}

#[tokio::test]
async fn a_network_whose_nic_is_gone_is_reported_as_drift() {
    let mut scene = Scene::new(World::default().nic("eth0"));
    scene.apply(&request([net("blue").on("eth0").set()])).await;
    scene.host.change(|world| world.pull("eth0"));
    let reports = network_reports(&scene.running, &scene.host.state());
    assert!(reports[0].drift.contains(&"link eth0 presence: expected present, is absent".to_owned()), "{reports:?}");
}
