//! Devices of somebody else's that become Trestle's, because the request says so.

use std::collections::BTreeSet;

use trestle_fake_host::World;
use trestle_model::{Code, LinkKind, NetworkChange, SetupRequest};
use trestle_plan::{steps_towards, undo_target, validate, verify};

use super::scene::{Scene, if_name, lines, net, remove, request, settled};

fn world() -> World {
    World::default()
        .nic("eth0")
        .nic("eth1")
        .foreign_bridge("br0")
        .port("br0", "eth0")
        .address("br0", "192.0.2.10/24")
        .default_route("br0", "192.0.2.1", 0)
        .device("vnet0", LinkKind::Tun)
        .port("br0", "vnet0")
        .foreign_vlan("eth1.7", "eth1", 7)
        .foreign_bridge("br7")
        .port("br7", "eth1.7")
        .foreign_vlan("old8", "eth1", 8)
}

fn adopting(devices: &[&str], changes: impl IntoIterator<Item = NetworkChange>) -> SetupRequest {
    let mut request = request(changes);
    request.options.adopt = devices.iter().map(|device| if_name(device)).collect::<BTreeSet<_>>();
    request
}

fn br0() -> NetworkChange {
    net("br0").on("eth0").ipv4(&["192.0.2.10/24"], Some("192.0.2.1")).default_route().set()
}

fn codes(scene: &Scene, request: &SetupRequest) -> Vec<(Code, String)> {
    let findings = validate(request, &scene.running, &scene.host.state()).0;
    findings.into_iter().map(|finding| (finding.code, finding.field)).collect()
}

#[tokio::test]
async fn a_bridge_as_it_is_only_gets_its_mark() {
    let mut scene = Scene::new(world());
    let plan = scene.apply(&adopting(&["br0"], [br0()])).await;
    let steps = lines(&plan.steps);
    assert!(steps.contains("set alias of br0"), "{steps}");
    for untouched in ["vnet0", "make eth0", "address", "MTU", "set bridge", "delete"] {
        assert!(!steps.contains(untouched), "{steps}");
    }
    assert_eq!(scene.link("vnet0").master, Some(if_name("br0")));
    // It is Trestle's from now on, and needs no second adoption.
    assert_eq!(lines(&scene.plan(&request([br0()])).steps), "");
    scene.host.change(|world| world.pull("vnet0"));
    scene.apply(&request([remove("br0")])).await;
    assert_eq!(scene.try_link("br0"), None);
}

#[tokio::test]
async fn the_way_back_gives_the_bridge_back() {
    let scene = Scene::new(world());
    let before = settled(scene.host.state());
    // With other addresses and attributes than it has.
    let other = net("br0").on("eth0").mtu(1400).bridge(|bridge| bridge.stp = true).ipv4(&["192.0.2.77/24"], None).set();
    let plan = scene.plan(&adopting(&["br0"], [other]));
    scene.perform(&plan.steps).await;
    assert_eq!(verify(&plan.target, &scene.host.state()), []);
    let target = undo_target(&plan.snapshot);
    scene.perform(&steps_towards(&target, &scene.host.state())).await;
    assert_eq!(settled(scene.host.state()), before);
}

#[tokio::test]
async fn a_vlan_device_is_adopted_with_the_bridge_over_it() {
    let mut scene = Scene::new(world());
    let seven = || net("br7").on("eth1").vlan(7).set();
    let refused = codes(&scene, &adopting(&["br7"], [seven()]));
    assert_eq!(refused, [(Code::ForeignDevice, "networks[0].vlan_id".to_owned())]);
    scene.apply(&adopting(&["br7", "eth1.7"], [seven()])).await;
    assert_eq!(scene.link("eth1.7").master, Some(if_name("br7")));
}

#[tokio::test]
async fn only_what_is_named_and_fits_is_adopted() {
    let scene = Scene::new(world());
    let in_the_way =
        [(Code::ForeignDevice, "networks[0].bridge_name".to_owned()), (Code::NicInUse, "networks[0].nic".to_owned())];
    assert_eq!(codes(&scene, &request([br0()])), in_the_way);
    assert_eq!(codes(&scene, &adopting(&["br7"], [br0()])), in_the_way);
    // A NIC below another's bridge, which is not this network's.
    let elsewhere = net("n").on("eth0").set();
    assert_eq!(codes(&scene, &adopting(&["br0"], [elsewhere])), [(Code::NicInUse, "networks[0].nic".to_owned())]);
    // The same VLAN by another name cannot become the device that the network makes.
    let eight = net("n").on("eth1").vlan(8).set();
    assert_eq!(codes(&scene, &adopting(&["old8"], [eight])), [(Code::ForeignDevice, "networks[0].vlan_id".to_owned())]);
    // Nor does a tap become a bridge.
    let tap = net("vnet0").on("eth1").set();
    let found = codes(&scene, &adopting(&["vnet0"], [tap]));
    assert_eq!(found, [(Code::ForeignDevice, "networks[0].bridge_name".to_owned())]);
}
