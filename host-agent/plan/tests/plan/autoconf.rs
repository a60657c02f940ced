//! IPv6 that comes by itself in plans: what a device listens to, what it makes of it, and the way back.

use trestle_fake_host::World;
use trestle_model::{AcceptRa, AddrGenMode, AddressOrigin, Ipv6Autoconf, Ipv6Config};
use trestle_plan::{AutoconfChange, missing_leases, steps_towards, undo_target, verify};

use super::scene::{Net, Scene, lines, net, remove, request, settled};

const DEAF: Ipv6Autoconf = Ipv6Autoconf { accept_ra: AcceptRa::Never, autoconf: false, ..Ipv6Autoconf::NEW };

fn world() -> World {
    World::default().nic("eth0").nic("eth1").router("eth0", "2001:db8:9::/64").router("eth1", "2001:db8:8::/64")
}

fn auto() -> Net {
    net("mgmt").on("eth0").bridgeless().ipv6_by(Ipv6Config::Auto)
}

/// Returns the addresses of a device that routers advertised, and the devices of advertised default routes.
fn advertised(scene: &Scene, device: &str) -> (Vec<String>, Vec<String>) {
    let made = scene.link(device).addresses.into_iter().filter(|address| address.origin == AddressOrigin::Auto);
    let routes = scene.host.state().kernel.routes.into_iter().filter(|route| route.protocol == 9);
    (made.map(|address| address.net.to_string()).collect(), routes.map(|route| route.device.to_string()).collect())
}

async fn undo(scene: &Scene, plan: &trestle_plan::Plan) {
    let target = undo_target(&plan.snapshot);
    scene.perform(&steps_towards(&target, &scene.host.state())).await;
    assert_eq!(verify(&target, &scene.host.state()), []);
}

#[tokio::test]
async fn a_device_takes_addresses_and_only_the_default_route_that_is_its_networks() {
    let mut scene = Scene::new(world());
    let before = settled(scene.host.state());
    let plan = scene.apply(&request([auto().set()])).await;
    assert_eq!(
        lines(&plan.steps),
        "set autoconfiguration of eth0: accept_ra_defrtr off\n\
         remove route ::/0 via fe80::1 dev eth0 metric 1024\n\
         set autoconfiguration of eth0: accept_ra 2"
    );
    let (addresses, routes) = advertised(&scene, "eth0");
    assert_eq!((addresses.len(), routes), (1, vec!["eth1".to_owned()]));

    let owner = scene.apply(&request([auto().default_route().set()])).await;
    assert_eq!(lines(&owner.steps), "set autoconfiguration of eth0: accept_ra_defrtr on");
    assert_eq!(advertised(&scene, "eth0").1, ["eth0", "eth1"]);
    assert_eq!(missing_leases(&owner.target, &scene.host.state()), []);

    scene.apply(&request([remove("mgmt")])).await;
    assert_eq!(scene.link("eth0").autoconf, Some(Ipv6Autoconf::NEW));
    assert_eq!(settled(scene.host.state()), before);
}

#[tokio::test]
async fn a_foreign_routers_default_route_is_told_of() {
    let scene = Scene::new(world());
    let plan = scene.plan(&request([auto().default_route().set()]));
    let told: Vec<&str> = plan.findings.0.iter().map(|finding| finding.message.as_str()).collect();
    assert_eq!(told, ["a router advertises a default route through eth1, too"]);
}

#[tokio::test]
async fn a_static_network_listens_to_nobody_and_an_undo_asks_routers_again() {
    let mut scene = Scene::new(world());
    scene.apply(&request([auto().set()])).await;
    let before = settled(scene.host.state());
    let fixed = net("mgmt").on("eth0").bridgeless().ipv6(&["2001:db8:7::1/64"], None);
    let plan = scene.apply(&request([fixed.set()])).await;
    let made = advertised(&scene.fork(), "eth0");
    assert_eq!(made, (vec![], vec!["eth1".to_owned()]));
    assert!(lines(&plan.steps).starts_with("set autoconfiguration of eth0: accept_ra 0\nremove address 2001:db8:9:"));
    undo(&scene, &plan).await;
    assert_eq!(settled(scene.host.state()), before);
    assert_eq!(advertised(&scene, "eth0").0.len(), 1, "the router has answered");
}

#[tokio::test]
async fn a_new_device_is_told_everything_and_the_nic_below_has_nothing() {
    let mut scene = Scene::new(world());
    let bridged = net("mgmt").on("eth0").ipv6_by(Ipv6Config::Dhcp);
    let plan = scene.apply(&request([bridged.set()])).await;
    let told = "set autoconfiguration of mgmt: accept_ra 2, autoconf off, accept_ra_defrtr off, addr_gen_mode eui64";
    assert!(lines(&plan.steps).contains(told), "{}", lines(&plan.steps));
    assert!(lines(&plan.steps).ends_with("start IPv6 DHCP client on mgmt"), "{}", lines(&plan.steps));
    assert_eq!((advertised(&scene, "mgmt").0, advertised(&scene, "eth0").0), (vec![], vec![]));
}

#[tokio::test]
async fn a_nic_that_makes_no_addresses_and_hears_nobody_is_that_again_when_its_network_goes() {
    let none = AutoconfChange { addr_gen_mode: Some(AddrGenMode::None), ..AutoconfChange::to(DEAF) };
    let world = World::default().nic("eth0").autoconf("eth0", none).router("eth0", "2001:db8:9::/64");
    let mut scene = Scene::new(world);
    let before = scene.link("eth0").autoconf;
    let plan = scene.apply(&request([auto().set()])).await;
    let after = Ipv6Autoconf { accept_ra: AcceptRa::Always, accept_ra_defrtr: false, ..Ipv6Autoconf::NEW };
    assert_eq!((scene.link("eth0").autoconf, advertised(&scene, "eth0").0.len()), (Some(after), 1));
    let undone = scene.fork();
    undo(&undone, &plan).await;
    scene.apply(&request([remove("mgmt")])).await;
    for scene in [scene, undone] {
        assert_eq!((scene.link("eth0").autoconf, advertised(&scene, "eth0").0), (before, vec![]));
    }
}

#[tokio::test]
async fn a_default_router_that_has_to_come_is_waited_for() {
    let mut scene = Scene::new(World::default().nic("eth0"));
    let plan = scene.apply(&request([auto().default_route().set()])).await;
    let missing: Vec<String> =
        missing_leases(&plan.target, &scene.host.state()).iter().map(ToString::to_string).collect();
    let expected = "link eth0 IPv6 default router: expected present, is absent, no router has answered";
    assert_eq!(missing, [expected]);
    let with_gateway = auto().ipv4(&["192.0.2.2/24"], Some("192.0.2.1")).default_route();
    let plan = scene.apply(&request([with_gateway.set()])).await;
    assert_eq!(missing_leases(&plan.target, &scene.host.state()), []);
}

#[tokio::test]
async fn a_bridge_that_moves_to_another_segment_hears_the_routers_there_and_back() {
    let world =
        World::default().nic("eth0").nic("eth1").router("eth0", "2001:db8:9::/64").router("eth1", "2001:db8:8::/64");
    let mut scene = Scene::new(world);
    let on = |nic: &str| request([net("mgmt").on(nic).ipv6_by(Ipv6Config::Auto).set()]);
    scene.apply(&on("eth0")).await;
    assert!(advertised(&scene, "mgmt").0[0].starts_with("2001:db8:9:"));
    let plan = scene.apply(&on("eth1")).await;
    let made = advertised(&scene, "mgmt").0;
    assert!(made.len() == 1 && made[0].starts_with("2001:db8:8:"), "{made:?} by {}", lines(&plan.steps));
    assert!(scene.plan(&on("eth1")).steps.is_empty());
    undo(&scene, &plan).await;
    let made = advertised(&scene, "mgmt").0;
    assert!(made.len() == 1 && made[0].starts_with("2001:db8:9:"), "{made:?}");
    // What stays on its segment keeps its addresses, whoever else joins or leaves.
    let tuned = scene.apply(&request([net("mgmt").on("eth0").ipv6_by(Ipv6Config::Auto).mtu(1400).set()])).await;
    assert!(!lines(&tuned.steps).contains("IPv6"), "{}", lines(&tuned.steps));
}
