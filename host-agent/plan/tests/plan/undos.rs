//! The way back ends where the way began.

use trestle_fake_host::World;
use trestle_model::Route;
use trestle_plan::{Host, KernelStep, Snapshot, steps_towards, undo_target, verify};

use super::scene::{Scene, if_name, lines, net, remove, request, settled};

/// Goes back from wherever the host is, by a snapshot that was through the journal.
async fn undo(scene: &Scene, snapshot: &Snapshot) {
    let kept = serde_json::to_string(snapshot).unwrap();
    let target = undo_target(&serde_json::from_str(&kept).unwrap());
    let steps = steps_towards(&target, &scene.host.state());
    scene.perform(&steps).await;
    assert_eq!(verify(&target, &scene.host.state()), [], "after {}", lines(&steps));
}

fn lived_in() -> World {
    let static_route = Route {
        table: Route::MAIN,
        destination: "10.0.0.0/8".parse().unwrap(),
        gateway: Some("192.0.2.254".parse().unwrap()),
        device: if_name("eth0"),
        metric: 50,
        preferred_source: Some("192.0.2.11".parse().unwrap()),
        protocol: 3,
        scope: 0,
    };
    World::default()
        .nic("eth0")
        .address("eth0", "192.0.2.10/24")
        .address("eth0", "192.0.2.11/24")
        .address("eth0", "198.51.100.7/25")
        .leased_address("eth0", "203.0.113.77/24")
        .address("eth0", "2001:db8::7/64")
        .default_route("eth0", "192.0.2.1", 100)
        .default_route("eth0", "2001:db8::1", 100)
        .route(static_route)
        .nic("eth1")
        .mtu("eth1", 4000)
        .foreign_vlan("backup", "eth1", 99)
        .address("backup", "10.99.0.1/24")
        .idle_nic("eth2")
}

#[tokio::test]
async fn the_first_adoption_of_a_lived_in_nic_can_be_undone_whole() {
    for nic in ["eth0", "eth1", "eth2"] {
        let adoptions = [
            net("n").on(nic).managed().ipv4(&["192.0.2.10/24"], Some("192.0.2.1")).default_route(),
            net("n").on(nic).bridgeless().ipv4(&["192.0.2.11/24", "192.0.2.10/24"], None),
            net("n").on(nic).vlan(4).mtu(9000).ipv6(&["2001:db8:4::1/64"], None),
        ];
        // The address is not taken where it is on the very NIC that is adopted.
        for adoption in adoptions.into_iter().filter(|net| nic == "eth0" || net.0.vlan.is_some()) {
            let scene = Scene::new(lived_in());
            let before = settled(scene.host.state());
            let plan = scene.plan(&request([adoption.set()]));
            scene.perform(&plan.steps).await;
            assert_eq!(verify(&plan.target, &scene.host.state()), []);
            undo(&scene, &plan.snapshot).await;
            assert_eq!(settled(scene.host.state()), before, "{nic}: {}", lines(&plan.steps));
        }
    }
}

#[tokio::test]
async fn a_removal_is_undone_with_bridge_entries_and_libvirt_network() {
    let mut scene = Scene::new(lived_in());
    let network = net("n").on("eth0").managed().ipv4(&["192.0.2.10/24"], Some("192.0.2.1")).default_route();
    scene.apply(&request([network.bridge(|bridge| bridge.options.priority = Some(4096)).set()])).await;
    let before = settled(scene.host.state());
    let plan = scene.plan(&request([remove("n")]));
    scene.perform(&plan.steps).await;
    assert!(scene.try_link("n").is_none());
    undo(&scene, &plan.snapshot).await;
    assert_eq!(settled(scene.host.state()), before);
}

#[tokio::test]
async fn switching_management_on_is_undone_at_guests_ports_too() {
    let mut scene = Scene::new(World::default().nic("eth0"));
    scene.apply(&request([net("blue").on("eth0").set()])).await;
    scene.host.change(|world| world.start_guest("vm1", "52:54:00:00:00:01", "vnet0", "blue", Some("trestle-blue")));
    let before = settled(scene.host.state());
    let plan = scene.plan(&request([net("blue").on("eth0").managed().set()]));
    scene.perform(&plan.steps).await;
    undo(&scene, &plan.snapshot).await;
    assert_eq!(settled(scene.host.state()), before);
}

#[tokio::test]
async fn an_undo_copes_with_a_guest_that_has_gone_in_the_meantime() {
    let mut scene = Scene::new(World::default().nic("eth0"));
    scene.apply(&request([net("blue").on("eth0").managed().set()])).await;
    scene.host.change(|world| world.start_guest("vm1", "52:54:00:00:00:01", "vnet0", "blue", Some("trestle-blue")));
    let plan = scene.plan(&request([net("blue").on("eth0").set()]));
    scene.perform(&plan.steps).await;
    scene.host.change(|world| world.stop_guest("vm1"));
    undo(&scene, &plan.snapshot).await;
    assert!(scene.link("blue").bridge().unwrap().vlan_filtering);
}

#[tokio::test]
async fn an_undo_leaves_alone_what_others_changed_and_the_plan_did_not() {
    let scene = Scene::new(lived_in());
    let plan = scene.plan(&request([net("n").on("eth1").vlan(4).set()]));
    scene.perform(&plan.steps).await;
    let address =
        trestle_model::Address { net: "203.0.113.200/24".parse().unwrap(), ..scene.link("eth0").addresses[0].clone() };
    let step = KernelStep::AddAddress { link: if_name("eth1"), address };
    scene.host.perform(&[step.into()]).await.unwrap();
    undo(&scene, &plan.snapshot).await;
    assert!(scene.addresses("eth1").contains(&"203.0.113.200/24".to_owned()));
    assert!(scene.try_link("n").is_none());
}
