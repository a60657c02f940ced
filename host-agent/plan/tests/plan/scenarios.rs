//! What a host becomes.

use trestle_fake_host::World;
use trestle_model::{FdbState, LinkKind, MacTableManager, Mtu};
use trestle_plan::KernelStep;

use super::scene::{Scene, if_name, lines, name, net, remove, request};

#[tokio::test]
async fn networks_are_added_edited_and_removed_in_one_request_and_leave_no_trace() {
    let world = World::default().nic("eth0").nic("eth1").address("eth1", "203.0.113.5/24");
    let mut scene = Scene::new(world);
    let before = super::scene::settled(scene.host.state());
    scene.apply(&request([net("a").on("eth0").set(), net("b").on("eth0").vlan(10).set()])).await;
    scene
        .apply(&request([
            remove("a"),
            net("b").on("eth0").vlan(10).mtu(1400).bridge(|bridge| bridge.stp = true).set(),
            net("c").on("eth1").vlan(7).bridgeless().ipv4(&["198.51.100.2/24"], None).set(),
        ]))
        .await;
    assert_eq!(scene.link("eth0.10").master, Some(if_name("b")));
    assert!(scene.link("b").bridge().unwrap().stp);
    assert_eq!(scene.link("b").mtu.get(), 1400);
    assert_eq!(scene.addresses("eth1.7"), ["198.51.100.2/24"]);
    assert_eq!(scene.addresses("eth1"), ["203.0.113.5/24"], "a base keeps its own addresses");
    scene.apply(&request([remove("b"), remove("c")])).await;
    assert_eq!(super::scene::settled(scene.host.state()), before);
    assert_eq!(scene.running.baselines.0.len(), 0);
}

#[tokio::test]
async fn an_unused_bridge_of_vlans_keeps_the_mtu_of_the_largest_and_gives_it_back() {
    let mut scene = Scene::new(World::default().nic("eth0"));
    scene.apply(&request([net("small").on("eth0").vlan(1).mtu(1400).set()])).await;
    assert_eq!(scene.link("eth0").mtu, Mtu::ETHERNET);
    scene.apply(&request([net("large").on("eth0").vlan(2).mtu(9000).set()])).await;
    assert_eq!(scene.link("eth0").mtu.get(), 9000);
    assert_eq!(scene.link("small").mtu.get(), 1400);
    scene.apply(&request([remove("large")])).await;
    assert_eq!(scene.link("eth0").mtu, Mtu::ETHERNET);
}

#[tokio::test]
async fn a_sibling_that_is_not_named_keeps_its_mtu_when_the_base_grows() {
    let mut scene = Scene::new(World::default().nic("eth0"));
    scene.apply(&request([net("plain").on("eth0").set()])).await;
    scene.apply(&request([net("jumbo").on("eth0").vlan(5).mtu(9000).set()])).await;
    assert_eq!(scene.link("eth0").mtu.get(), 9000);
    assert_eq!(scene.link("plain").mtu, Mtu::ETHERNET);
}

#[tokio::test]
async fn a_port_with_a_small_mtu_does_not_shrink_the_network() {
    let mut scene = Scene::new(World::default().nic("eth0").device("tap7", LinkKind::Tun));
    let join = KernelStep::SetMaster { link: if_name("tap7"), master: Some(if_name("blue")) };
    scene.apply(&request([net("blue").on("eth0").mtu(4000).set()])).await;
    scene.host.change(|world| world.perform(&join.into()).unwrap());
    assert_eq!(scene.link("blue").mtu.get(), 4000);
    scene.apply(&request([net("blue").on("eth0").mtu(6000).set()])).await;
    assert_eq!(scene.link("blue").mtu.get(), 6000);
}

#[tokio::test]
async fn the_default_route_moves_to_who_claims_it() {
    let mut scene = Scene::new(World::default().nic("eth0").nic("eth1"));
    let old = net("old").on("eth0").ipv4(&["192.0.2.10/24"], Some("192.0.2.1")).default_route();
    let new = net("new").on("eth1").ipv4(&["198.51.100.10/24"], Some("198.51.100.1")).default_route();
    scene.apply(&request([old.set()])).await;
    assert_eq!(scene.defaults(), ["192.0.2.1 dev old"]);
    let plan = scene.apply(&request([new.set()])).await;
    assert_eq!(scene.defaults(), ["198.51.100.1 dev new"]);
    assert!(!plan.desired.networks[&name("old")].spec.default_route);
    assert!(plan.findings.0.iter().any(|finding| finding.related == ["old"]), "{:?}", plan.findings);
    scene.apply(&request([remove("new")])).await;
    assert_eq!(scene.defaults(), [""; 0]);
}

#[tokio::test]
async fn ipv6_is_on_exactly_where_it_is_configured() {
    let mut scene = Scene::new(World::default().nic("eth0").nic("eth1"));
    let six = net("six").on("eth0").ipv6(&["2001:db8::10/64", "2001:db8::11/64"], Some("fe80::1")).default_route();
    scene.apply(&request([six.set(), net("four").on("eth1").set()])).await;
    assert!(!scene.link("six").ipv6_disabled);
    for device in ["four", "eth0", "eth1"] {
        assert!(scene.link(device).ipv6_disabled, "{device}");
    }
    assert_eq!(scene.addresses("six"), ["2001:db8::10/64", "2001:db8::11/64"]);
    assert_eq!(scene.defaults(), ["fe80::1 dev six"]);
    scene.apply(&request([net("six").on("eth0").set()])).await;
    assert!(scene.link("six").ipv6_disabled);
    assert_eq!(scene.defaults(), [""; 0]);
}

#[tokio::test]
async fn a_bridgeless_network_takes_over_its_nic_and_frees_it() {
    let world = World::default().nic("eth0").address("eth0", "203.0.113.5/24");
    let mut scene = Scene::new(world);
    let host = net("host").on("eth0").bridgeless().ipv4(&["192.0.2.10/24", "192.0.2.11/24"], None);
    scene.apply(&request([host.set()])).await;
    assert_eq!(scene.addresses("eth0"), ["192.0.2.10/24", "192.0.2.11/24"]);
    scene.apply(&request([net("host").on("eth0").bridgeless().ipv4(&["192.0.2.11/24"], None).set()])).await;
    assert_eq!(scene.addresses("eth0"), ["192.0.2.11/24"]);
    scene.apply(&request([remove("host")])).await;
    assert_eq!(scene.addresses("eth0"), [""; 0]);
}

#[tokio::test]
async fn what_others_did_to_a_named_network_is_mended_and_the_rest_is_left_alone() {
    let mut scene = Scene::new(World::default().nic("eth0").nic("eth1"));
    let (blue, red) = (net("blue").on("eth0").managed(), net("red").on("eth1"));
    scene.apply(&request([blue.clone().set(), red.set()])).await;
    let taken_out = ["eth0", "eth1"].map(|nic| KernelStep::SetMaster { link: if_name(nic), master: None });
    scene.host.change(|world| taken_out.into_iter().for_each(|step| world.perform(&step.into()).unwrap()));
    let plan = scene.plan(&request([blue.set()]));
    scene.perform(&plan.steps).await;
    assert_eq!(lines(&plan.steps), "make eth0 a port of blue\nset port eth0: learning off");
    assert_eq!(scene.link("eth1").master, None, "red was not named");
}

#[tokio::test]
async fn a_guest_that_a_stray_frame_made_deaf_is_mended() {
    let mut scene = Scene::new(World::default().nic("eth0"));
    let blue = request([net("blue").on("eth0").managed().set()]);
    scene.apply(&blue).await;
    scene.host.change(|world| {
        world.start_guest("vm1", "52:54:00:00:00:01", "vnet0", "blue", Some("trestle-blue"));
        let entry = trestle_model::FdbEntry {
            bridge: if_name("blue"),
            port: if_name("eth0"),
            mac: "52:54:00:00:00:01".parse().unwrap(),
            vlan: Some(1),
            state: FdbState::Static,
            sticky: false,
        };
        world.learn(entry);
    });
    let plan = scene.plan(&blue);
    scene.perform(&plan.steps).await;
    assert_eq!(lines(&plan.steps), "set FDB entry 52:54:00:00:00:01 on port vnet0 of blue in VLAN 1");
    scene.host.change(|world| world.set_running("vm1", false));
    assert!(scene.plan(&blue).is_empty(), "a paused guest gets no entry");
}

#[tokio::test]
async fn two_guests_with_one_mac_do_not_fight_over_the_entry() {
    let mut scene = Scene::new(World::default().nic("eth0"));
    scene.apply(&request([net("blue").on("eth0").set()])).await;
    scene.host.change(|world| {
        world.start_guest("vm1", "52:54:00:00:00:01", "vnet0", "blue", None);
        world.start_guest("vm2", "52:54:00:00:00:01", "vnet1", "blue", None);
    });
    scene.apply(&request([net("blue").on("eth0").managed().set()])).await;
    assert!(!scene.link("vnet0").port.unwrap().learning);
    assert!(scene.link("vnet1").port.unwrap().learning, "without an entry it has to go on learning");
}

#[tokio::test]
async fn a_host_without_libvirt_has_bridges_all_the_same() {
    let mut scene = Scene::new(World::default().nic("eth0").without_libvirt());
    scene.apply(&request([net("blue").on("eth0").set()])).await;
    assert!(scene.link("blue").bridge().is_some());
}

#[tokio::test]
async fn libvirts_network_follows_the_bridge_and_keeps_its_uuid() {
    let mut scene = Scene::new(World::default().nic("eth0"));
    scene.apply(&request([net("blue").on("eth0").set()])).await;
    let network = |scene: &Scene| scene.host.state().libvirt.unwrap().networks["trestle-blue"].clone();
    let before = network(&scene);
    assert!(before.active && before.autostart && before.persistent);
    let renamed = net("blue").on("eth0").managed().bridge(|bridge| bridge.name = if_name("br-blue"));
    scene.apply(&request([renamed.set()])).await;
    let after = network(&scene);
    assert_eq!(after.uuid, before.uuid);
    assert_eq!(after.bridge.as_deref(), Some("br-blue"));
    assert_eq!(after.mac_table_manager, MacTableManager::Libvirt);
    assert!(scene.try_link("blue").is_none());
    scene.apply(&request([net("blue").on("eth0").bridgeless().set()])).await;
    assert!(scene.host.state().libvirt.unwrap().networks.is_empty());
}

#[tokio::test]
async fn a_network_stands_on_the_vlan_that_another_leaves_in_the_same_request() {
    let mut scene = Scene::new(World::default().nic("eth0"));
    scene.apply(&request([net("old").on("eth0").vlan(10).set()])).await;
    let index = scene.link("eth0.10").index;
    scene.apply(&request([net("new").on("eth0").vlan(10).set(), remove("old")])).await;
    assert_eq!(scene.link("eth0.10").index, index, "the VLAN device is the same");
    assert_eq!(scene.link("eth0.10").master, Some(if_name("new")));
    assert_eq!(scene.link("eth0.10").alias.as_deref(), Some("trestle:new"));
}

#[tokio::test]
async fn a_setting_without_effect_is_kept_in_the_configuration_only() {
    let mut scene = Scene::new(World::default().nic("eth0"));
    scene.apply(&request([net("host").on("eth0").bridgeless().set()])).await;
    let plan = scene.apply(&request([net("host").on("eth0").bridgeless().managed().set()])).await;
    assert!(plan.is_empty());
    assert_eq!(plan.desired.networks[&name("host")].spec.mac_table_manager, MacTableManager::Libvirt);
}
