//! What is told of a host.

use std::collections::BTreeMap;

use trestle_fake_host::World;
use trestle_model::{FdbState, FunctionSettings, LinkKind, MacTableManager, Owner};
use trestle_plan::{BridgeChange, KernelStep, bridge_reports, network_reports, nic_reports, vlan_reports};

use super::scene::{Scene, if_name, name, net, request};

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
    let of = |state| {
        table.entries.iter().filter(move |entry| entry.state == state).map(|entry| entry.vlan).collect::<Vec<_>>()
    };
    assert_eq!((of(FdbState::Static), of(FdbState::Local)), (vec![None, Some(1)], vec![None, Some(1)]));

    let change = BridgeChange { vlan_filtering: Some(false), ..BridgeChange::default() };
    let off = KernelStep::SetBridge { bridge: if_name("blue"), change };
    scene.host.change(|world| world.perform(&off.into()).unwrap());
    let reports = network_reports(&scene.running, &scene.host.state());
    assert_eq!(reports[0].drift, ["link blue vlan_filtering: expected true, is false"]);
    assert_eq!(reports[0].left_alone, [""; 0]);
    let nics = nic_reports(&scene.running, &scene.host.state(), &BTreeMap::new(), &BTreeMap::new());
    assert_eq!(nics.iter().map(|nic| nic.name.as_str()).collect::<Vec<_>>(), ["eth0"]);
}

#[tokio::test]
async fn what_was_set_for_virtual_functions_is_told_and_is_no_drift() {
    let set = FunctionSettings {
        mac: Some("52:54:00:00:00:01".parse().unwrap()),
        spoof_check: Some(true),
        ..FunctionSettings::default()
    };
    let world = World::default().nic("eth0").virtual_function("eth0", "eth0v0").set_for_function("eth0", set);
    let mut scene = Scene::new(world);
    scene.apply(&request([net("blue").on("eth0v0").set()])).await;
    let told = || {
        let nics = nic_reports(&scene.running, &scene.host.state(), &BTreeMap::new(), &BTreeMap::new());
        let nic = nics.into_iter().find(|nic| nic.name == if_name("eth0")).unwrap();
        (nic.settings.vfs.unwrap().functions[0].set, nic.drift)
    };
    assert_eq!(told(), (Some(set), Vec::new()));
    let other = FunctionSettings { trusted: Some(true), ..set };
    scene.host.change(|world| *world = std::mem::take(world).set_for_function("eth0", other));
    assert_eq!(told(), (Some(other), Vec::new()));
}

#[tokio::test]
async fn a_network_whose_nic_is_gone_is_reported_as_drift() {
    let mut scene = Scene::new(World::default().nic("eth0"));
    scene.apply(&request([net("blue").on("eth0").set()])).await;
    scene.host.change(|world| world.pull("eth0"));
    let reports = network_reports(&scene.running, &scene.host.state());
    assert!(reports[0].drift.contains(&"link eth0 presence: expected present, is absent".to_owned()), "{reports:?}");
}

#[tokio::test]
async fn every_bridge_and_vlan_device_is_reported_with_its_owner_ports_and_guests() {
    let world = World::default().nic("eth0").foreign_bridge("virbr0").foreign_vlan("eth0.20", "eth0", 20);
    let mut scene = Scene::new(world);
    scene.apply(&request([net("blue").on("eth0").vlan(10).set()])).await;
    scene.host.change(|world| world.start_guest("vm1", "52:54:00:00:00:01", "vnet0", "virbr0", None));
    let state = scene.host.state();
    let blue = Owner::Network(name("blue"));

    let bridges = bridge_reports(&scene.running, &state);
    let told: Vec<_> = bridges.iter().map(|bridge| (bridge.name.as_str(), &bridge.owner)).collect();
    assert_eq!(told, [("blue", &blue), ("virbr0", &Owner::Foreign)]);
    let [port] = bridges[1].ports.as_slice() else { panic!("{bridges:?}") };
    assert_eq!(port.guest.as_ref().map(|guest| guest.domain.as_str()), Some("vm1"));

    let vlans = vlan_reports(&scene.running, &state);
    let told: Vec<_> = vlans.iter().map(|vlan| (vlan.base.as_str(), vlan.id.get(), &vlan.owner)).collect();
    assert_eq!(told, [("eth0", 10, &blue), ("eth0", 20, &Owner::Foreign)]);
    assert_eq!(vlans[0].master, Some(if_name("blue")));

    // What is left of a network that nobody asks for any more is still Trestle's.
    let forgotten = bridge_reports(&Default::default(), &state);
    assert_eq!(forgotten[0].owner, Owner::Trestle);
}

#[tokio::test]
async fn a_network_tells_the_default_route_that_is_there() {
    let mut scene = Scene::new(World::default().nic("eth0").nic("eth1"));
    let blue = net("blue").on("eth0").ipv4(&["192.0.2.10/24"], Some("192.0.2.1")).default_route();
    scene.apply(&request([blue.set(), net("red").on("eth1").set()])).await;
    let reports = network_reports(&scene.running, &scene.host.state());
    let told: Vec<_> = reports.iter().map(|report| (report.default_route, report.gateways.clone())).collect();
    assert_eq!(told, [(true, vec!["192.0.2.1".parse().unwrap()]), (false, vec![])]);
}
