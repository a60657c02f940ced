//! DHCP clients in plans: where they run, what is left to their leases, and the way back.

use trestle_fake_host::World;
use trestle_model::{AddressOrigin, DhcpState};
use trestle_plan::{missing_leases, resumption, steps_towards, undo_target, verify};

use super::scene::{Scene, lines, net, remove, request, settled};

fn world() -> World {
    World::default().nic("eth0").nic("eth1").dhcp_server("eth0", "192.0.2.50/24")
}

#[tokio::test]
async fn a_lease_brings_its_address_and_the_default_route_where_it_is_asked_for() {
    let mut scene = Scene::new(world().dhcp_server("eth1", "198.51.100.50/24"));
    let both = [net("mgmt").on("eth0").bridgeless().dhcp().default_route(), net("lan").on("eth1").dhcp()];
    scene.apply(&request(both.map(|net| net.set()))).await;
    assert_eq!(
        (scene.addresses("eth0"), scene.addresses("lan")),
        (vec!["192.0.2.50/24".to_owned()], vec!["198.51.100.50/24".to_owned()])
    );
    assert_eq!(scene.defaults(), ["192.0.2.1 dev eth0"]);
    assert_eq!(scene.link("eth0").addresses[0].origin, AddressOrigin::Dhcp);
}

#[tokio::test]
async fn a_lease_stays_the_same_from_a_nic_to_the_bridge_above_it() {
    let mut scene = Scene::new(world());
    scene.apply(&request([net("mgmt").on("eth0").bridgeless().dhcp().default_route().set()])).await;
    let plan = scene.apply(&request([net("mgmt").on("eth0").dhcp().default_route().set()])).await;
    let mac = scene.link("eth0").mac.unwrap();
    assert_eq!(
        lines(&plan.steps),
        format!(
            "create bridge mgmt with MAC {mac}\n\
             switch IPv6 off on mgmt\n\
             set mgmt up\n\
             define libvirt network trestle-mgmt on bridge mgmt, MAC table managed by kernel\n\
             let libvirt start network trestle-mgmt by itself\n\
             start libvirt network trestle-mgmt\n\
             stop IPv4 DHCP client on eth0\n\
             make eth0 a port of mgmt\n\
             start IPv4 DHCP client on mgmt for the default route"
        )
    );
    assert_eq!((scene.addresses("eth0"), scene.addresses("mgmt")), (vec![], vec!["192.0.2.50/24".to_owned()]));
    assert_eq!(scene.defaults(), ["192.0.2.1 dev mgmt"]);
}

#[tokio::test]
async fn static_follows_dhcp_and_an_undo_brings_the_lease_back() {
    let mut scene = Scene::new(world());
    scene.apply(&request([net("mgmt").on("eth0").dhcp().default_route().set()])).await;
    let before = settled(scene.host.state());
    let fixed = net("mgmt").on("eth0").ipv4(&["192.0.2.9/24"], Some("192.0.2.254")).default_route();
    let plan = scene.apply(&request([fixed.set()])).await;
    assert_eq!(
        lines(&plan.steps),
        "stop IPv4 DHCP client on mgmt\n\
         add address 192.0.2.9/24 to mgmt\n\
         add route 0.0.0.0/0 via 192.0.2.254 dev mgmt"
    );
    assert!(scene.host.state().dhcp.is_empty());
    let target = undo_target(&plan.snapshot);
    scene.perform(&steps_towards(&target, &scene.host.state())).await;
    assert_eq!(verify(&target, &scene.host.state()), []);
    assert_eq!(settled(scene.host.state()), before);
}

#[tokio::test]
async fn a_foreign_lease_makes_way_and_comes_back() {
    let world = world().leased_address("eth0", "192.0.2.77/24").default_route("eth0", "192.0.2.1", 100);
    let mut scene = Scene::new(world);
    let before = settled(scene.host.state());
    let plan = scene.apply(&request([net("mgmt").on("eth0").dhcp().default_route().set()])).await;
    assert_eq!(scene.addresses("mgmt"), ["192.0.2.50/24"]);
    let target = undo_target(&plan.snapshot);
    scene.perform(&steps_towards(&target, &scene.host.state())).await;
    assert_eq!(settled(scene.host.state()), before);
}

#[tokio::test]
async fn the_default_route_moves_between_leases_and_statics() {
    let mut scene = Scene::new(world().dhcp_server("eth1", "198.51.100.50/24"));
    let leased = |on: &str| net(&format!("n-{on}")).on(on).dhcp();
    scene.apply(&request([leased("eth0").default_route().set(), leased("eth1").set()])).await;
    assert_eq!(scene.defaults(), ["192.0.2.1 dev n-eth0"]);
    let plan = scene.apply(&request([leased("eth1").default_route().set()])).await;
    assert_eq!(
        lines(&plan.steps),
        "start IPv4 DHCP client on n-eth0\nstart IPv4 DHCP client on n-eth1 for the default route"
    );
    assert_eq!(scene.defaults(), ["198.51.100.1 dev n-eth1"]);
    let fixed = net("n-eth0").on("eth0").ipv4(&["192.0.2.9/24"], Some("192.0.2.254")).default_route();
    scene.apply(&request([fixed.set()])).await;
    assert_eq!(scene.defaults(), ["192.0.2.254 dev n-eth0"]);
}

#[tokio::test]
async fn a_lease_that_changes_or_ends_is_no_drift() {
    let mut scene = Scene::new(world());
    let mgmt = request([net("mgmt").on("eth0").dhcp().default_route().set()]);
    let plan = scene.apply(&mgmt).await;
    assert_eq!(missing_leases(&plan.target, &scene.host.state()), []);
    scene.host.change(|world| {
        world.serve_dhcp("eth0", "192.0.2.60/24");
        world.renew_dhcp();
    });
    assert_eq!(scene.addresses("mgmt"), ["192.0.2.60/24"]);
    scene.apply(&mgmt).await;
    scene.host.change(|world| {
        world.silence_dhcp("eth0");
        world.renew_dhcp();
    });
    assert_eq!((scene.addresses("mgmt"), scene.defaults()), (vec![], vec![]));
    scene.apply(&mgmt).await;
    let missing = missing_leases(&plan.target, &scene.host.state());
    assert_eq!(missing.len(), 1, "{missing:?}");
    assert_eq!(scene.host.state().dhcp[0].state, DhcpState::Searching);
}

#[tokio::test]
async fn a_removed_network_takes_its_client_along() {
    let mut scene = Scene::new(world());
    for topology in [net("mgmt").on("eth0").dhcp(), net("mgmt").on("eth0").bridgeless().dhcp()] {
        scene.apply(&request([topology.set()])).await;
        scene.apply(&request([remove("mgmt")])).await;
        assert!(scene.host.state().dhcp.is_empty());
        assert_eq!(scene.addresses("eth0"), Vec::<String>::new());
    }
}

#[tokio::test]
async fn clients_are_resumed_where_their_device_is_there() {
    let mut scene = Scene::new(world());
    scene.apply(&request([net("mgmt").on("eth0").dhcp().set(), net("lan").on("eth1").dhcp().set()])).await;
    let mut state = scene.host.state();
    assert_eq!(resumption(&scene.running, &state), []);
    state.dhcp.clear();
    let all: Vec<String> = resumption(&scene.running, &state).iter().map(ToString::to_string).collect();
    assert_eq!(all, ["start IPv4 DHCP client on lan", "start IPv4 DHCP client on mgmt"]);
    state.kernel.links.remove(&super::scene::if_name("lan"));
    assert_eq!(resumption(&scene.running, &state).len(), 1);
}
