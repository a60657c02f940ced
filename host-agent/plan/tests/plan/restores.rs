//! The restore at boot.

use trestle_fake_host::World;
use trestle_model::Code;
use trestle_plan::{restore_plan, verify};

use super::scene::{Scene, lines, name, net, request, settled};

async fn restore(scene: &Scene) -> Vec<trestle_model::Finding> {
    let restoration = restore_plan(&scene.running, &scene.host.state());
    scene.perform(&restoration.steps).await;
    assert_eq!(verify(&restoration.target, &scene.host.state()), []);
    let again = restore_plan(&scene.running, &scene.host.state());
    assert_eq!(lines(&again.steps), "", "restoring again");
    restoration.skipped
}

async fn configured() -> Scene {
    let mut scene = Scene::new(World::default().nic("eth0").nic("eth1"));
    let networks = [
        net("mgmt").on("eth0").managed().ipv4(&["192.0.2.10/24"], Some("192.0.2.1")).default_route(),
        net("jumbo").on("eth1").vlan(20).mtu(9000),
        net("inner"),
    ];
    scene.apply(&request(networks.map(|net| net.set()))).await;
    scene
}

#[tokio::test]
async fn everything_comes_back_after_a_reboot() {
    let scene = configured().await;
    let before = settled(scene.host.state());
    scene.host.reboot();
    assert!(scene.try_link("mgmt").is_none());
    assert_eq!(restore(&scene).await, []);
    let mut after = settled(scene.host.state());
    // The kernel chooses the MAC of a bridge without a NIC.
    let inner = super::scene::if_name("inner");
    after.kernel.links.get_mut(&inner).unwrap().mac = before.kernel.links[&inner].mac;
    assert_eq!(after, before);
}

#[tokio::test]
async fn a_network_whose_nic_is_gone_is_skipped_and_the_rest_comes_up() {
    let scene = configured().await;
    scene.host.reboot();
    scene.host.change(|world| world.pull("eth1"));
    let skipped = restore(&scene).await;
    assert_eq!(skipped.len(), 1, "{skipped:?}");
    assert_eq!((skipped[0].code, skipped[0].subject.as_str()), (Code::NicNotFound, "jumbo"));
    assert_eq!(scene.addresses("mgmt"), ["192.0.2.10/24"]);
    assert!(scene.try_link("jumbo").is_none());
}

#[tokio::test]
async fn leftovers_of_changes_that_were_never_committed_go() {
    let mut scene = Scene::new(World::default().nic("eth0").nic("eth1"));
    scene.apply(&request([net("kept").on("eth0").vlan(3).set()])).await;
    let persistent = scene.running.clone();
    let clean = settled(scene.host.state());
    scene.apply(&request([net("draft").on("eth1").managed().set(), net("tag").on("eth0").vlan(4).set()])).await;
    scene.running = persistent;
    assert_eq!(restore(&scene).await, []);
    let after = settled(scene.host.state());
    assert_eq!(after, clean);
    scene.running.networks.remove(&name("kept"));
    assert_eq!(restore(&scene).await, []);
    assert!(scene.try_link("kept").is_none() && scene.try_link("eth0.3").is_none());
}

#[tokio::test]
async fn a_leftover_that_guests_use_stays_and_is_reported() {
    let mut scene = Scene::new(World::default().nic("eth0"));
    scene.apply(&request([net("draft").on("eth0").set()])).await;
    scene.host.change(|world| world.start_guest("vm1", "52:54:00:00:00:01", "vnet0", "draft", None));
    scene.running = Default::default();
    let skipped = restore(&scene).await;
    assert_eq!(skipped.len(), 1, "{skipped:?}");
    assert_eq!((skipped[0].code, skipped[0].subject.as_str()), (Code::GuestsAttached, "draft"));
    assert!(scene.try_link("draft").is_some());
}
