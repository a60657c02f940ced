//! What is lost, and its way back.

use std::collections::BTreeSet;

use trestle_fake_host::World;
use trestle_model::{BondMode, DriftKind, HostConfig, HostState, Mtu};
use trestle_plan::sample::{bond, foreign_route, with_bonds};
use trestle_plan::{BridgeChange, KernelStep, LibvirtStep, Loss, Step, Thing, losses, repair_plan, verify};

use super::scene::{Scene, if_name, lines, name, net, remove, request, settled};

async fn configured() -> Scene {
    let mut scene = Scene::new(World::default().nic("eth0").nic("eth1").nic("eth2"));
    let networks = [
        net("mgmt").on("eth0").ipv4(&["192.0.2.10/24"], Some("192.0.2.1")).default_route().nameserver("192.0.2.53"),
        net("side").on("eth0").vlan(7).ipv4(&["198.51.100.10/24"], Some("198.51.100.1")),
        net("blue").on_bond("bond0").managed(),
    ];
    let bonds = [bond("bond0", BondMode::ActiveBackup, &["eth1", "eth2"]).set()];
    scene.apply(&with_bonds(request(networks.map(|net| net.set())), bonds)).await;
    assert_eq!(losses(&scene.running, &scene.host.state()), []);
    scene
}

/// Returns the things that are lost, `!` before those that cannot be repaired now.
fn lost(scene: &Scene) -> Vec<String> {
    let text = |loss: &Loss| format!("{}{}", if loss.obstacle.is_some() { "!" } else { "" }, loss.thing);
    losses(&scene.running, &scene.host.state()).iter().map(text).collect()
}

/// Repairs all that can be, and returns the steps.
async fn repair(scene: &Scene) -> String {
    let things = things(&scene.running, &scene.host.state());
    let plan = repair_plan(&scene.running, &scene.host.state(), &things);
    assert_eq!(plan.findings.0.len(), things.len());
    assert_eq!(plan.desired, scene.running);
    scene.perform(&plan.steps).await;
    assert_eq!(verify(&plan.target, &scene.host.state()), [], "after {}", lines(&plan.steps));
    assert_eq!(things_after(scene), BTreeSet::new(), "after {}", lines(&plan.steps));
    lines(&plan.steps)
}

fn things(running: &HostConfig, observed: &HostState) -> BTreeSet<Thing> {
    losses(running, observed).into_iter().filter(|loss| loss.obstacle.is_none()).map(|loss| loss.thing).collect()
}

fn things_after(scene: &Scene) -> BTreeSet<Thing> {
    things(&scene.running, &scene.host.state())
}

fn tamper(scene: &Scene, step: impl Into<Step>) {
    let step = step.into();
    scene.host.change(|world| world.perform(&step).unwrap());
}

#[tokio::test]
async fn a_network_that_was_defined_anew_while_it_runs_is_told_and_defined_without_a_restart() {
    let scene = configured().await;
    let before = scene.host.state().libvirt.unwrap().networks["trestle-blue"].clone();
    let edited = before.xml.replace(" macTableManager='libvirt'", "");
    assert_ne!(edited, before.xml);
    tamper(&scene, LibvirtStep::DefineXml { name: before.name.clone(), xml: edited });
    let is = scene.host.state().libvirt.unwrap().networks["trestle-blue"].clone();
    assert!(is.active && is.mac_table_manager == before.mac_table_manager, "what runs is as it was: {is:?}");
    let told = losses(&scene.running, &scene.host.state());
    let drift: Vec<String> = told.iter().flat_map(|loss| &loss.drift).map(ToString::to_string).collect();
    assert_eq!(drift, ["libvirt network trestle-blue macTableManager at the next start: expected libvirt, is kernel"]);
    let steps = repair(&scene).await;
    assert!(steps.lines().count() == 1 && steps.contains("define libvirt network"), "{steps}");
    assert_eq!(scene.host.state().libvirt.unwrap().networks["trestle-blue"], before);
}

#[tokio::test]
async fn whatever_is_lost_is_told_by_kind_and_comes_back() {
    let address = |scene: &Scene| scene.link("side").addresses[0].clone();
    let rule = |scene: &Scene| scene.host.state().kernel.rules[0].clone();
    let default_route = |scene: &Scene| {
        let routes = scene.host.state().kernel.routes;
        routes.into_iter().find(|route| route.is_main() && route.destination.prefix_len() == 0).unwrap()
    };
    let stp = BridgeChange { stp: Some(true), ..BridgeChange::default() };
    type Tampering<'a> = (&'a str, Box<dyn Fn(&Scene) -> Step + 'a>, &'a [&'a str]);
    let cases: [Tampering<'_>; 11] = [
        ("a rule", Box::new(|s| KernelStep::RemoveRule { rule: rule(s) }.into()), &["routing of network side"]),
        (
            "a route",
            Box::new(|s| KernelStep::RemoveRoute { route: default_route(s) }.into()),
            &["routing of network mgmt"],
        ),
        (
            "an address, and with it its routes",
            Box::new(|s| KernelStep::RemoveAddress { link: if_name("side"), address: address(s) }.into()),
            &["addresses of network side", "routing of network side"],
        ),
        (
            "IPv6 switched on",
            Box::new(|_| KernelStep::SetIpv6Disabled { link: if_name("mgmt"), disabled: false }.into()),
            &["addresses of network mgmt"],
        ),
        (
            "a bridge's port",
            Box::new(|_| KernelStep::SetMaster { link: if_name("eth0"), master: None }.into()),
            &["devices of network mgmt"],
        ),
        (
            "a bond's port",
            Box::new(|_| KernelStep::SetMaster { link: if_name("eth2"), master: None }.into()),
            &["devices of bond bond0"],
        ),
        (
            "an MTU",
            Box::new(|_| KernelStep::SetMtu { link: if_name("side"), mtu: Mtu::IPV6_LEAST }.into()),
            &["devices of network side"],
        ),
        (
            "a bridge's option",
            Box::new(move |_| KernelStep::SetBridge { bridge: if_name("mgmt"), change: stp.clone() }.into()),
            &["devices of network mgmt"],
        ),
        (
            "a VLAN device",
            Box::new(|_| KernelStep::DeleteLink { name: if_name("eth0.7") }.into()),
            &["devices of network side"],
        ),
        (
            "a bridge with all that it carried",
            Box::new(|_| KernelStep::DeleteLink { name: if_name("side") }.into()),
            &["devices of network side"],
        ),
        (
            "a libvirt network",
            Box::new(|_| trestle_plan::LibvirtStep::Stop { name: "trestle-mgmt".to_owned() }.into()),
            &["libvirt_networks of network mgmt"],
        ),
    ];
    let scene = configured().await;
    let before = settled(scene.host.state());
    for (what, step, expected) in cases {
        let scene = scene.fork();
        tamper(&scene, step(&scene));
        let told = lost(&scene);
        assert_eq!(told, expected, "{what}");
        let steps = repair(&scene).await;
        assert_eq!(lost(&scene), [""; 0], "{what}: {steps}");
        assert_eq!(settled(scene.host.state()), before, "{what}: {steps}");
    }
}

#[tokio::test]
async fn name_servers_come_back() {
    let scene = configured().await;
    tamper(&scene, trestle_plan::ResolverStep::Write { text: Some("nameserver 203.0.113.1\n".to_owned()) });
    assert_eq!(lost(&scene), ["name_servers of network mgmt"]);
    assert_eq!(repair(&scene).await.trim(), "set name servers to 192.0.2.53");
}

#[tokio::test]
async fn one_kind_is_repaired_alone() {
    let scene = configured().await;
    tamper(&scene, KernelStep::SetMtu { link: if_name("side"), mtu: Mtu::IPV6_LEAST });
    tamper(&scene, KernelStep::RemoveRule { rule: scene.host.state().kernel.rules[0].clone() });
    let things = things_after(&scene).into_iter().filter(|thing| thing.kind == DriftKind::Routing).collect();
    let plan = repair_plan(&scene.running, &scene.host.state(), &things);
    assert_eq!(lines(&plan.steps).lines().count(), 1, "{}", lines(&plan.steps));
    scene.perform(&plan.steps).await;
    assert_eq!(lost(&scene), ["devices of network side"]);
}

#[tokio::test]
async fn what_others_added_stays_beside_what_comes_back() {
    let scene = configured().await;
    let side = scene.link("side").addresses[0].clone();
    let added = trestle_model::Address { net: "203.0.113.9/24".parse().unwrap(), broadcast: None, ..side.clone() };
    tamper(&scene, KernelStep::AddAddress { link: if_name("side"), address: added });
    tamper(&scene, KernelStep::AddRoute { route: foreign_route("0.0.0.0/0", "203.0.113.1", "side", 900) });
    assert_eq!(lost(&scene), [""; 0]);
    tamper(&scene, KernelStep::RemoveAddress { link: if_name("side"), address: side });
    let steps = repair(&scene).await;
    assert!(!steps.contains("remove") && !steps.contains("203.0.113"), "{steps}");
    let mut addresses = scene.addresses("side");
    addresses.sort();
    assert_eq!(addresses, ["198.51.100.10/24", "203.0.113.9/24"]);
    assert_eq!(scene.defaults().len(), 2);
}

#[tokio::test]
async fn ipv6_of_others_goes_where_it_is_to_be_off() {
    let scene = configured().await;
    let side = scene.link("side").addresses[0].clone();
    let added = trestle_model::Address { net: "2001:db8:9::2/64".parse().unwrap(), broadcast: None, ..side };
    tamper(&scene, KernelStep::SetIpv6Disabled { link: if_name("blue"), disabled: false });
    tamper(&scene, KernelStep::AddAddress { link: if_name("blue"), address: added });
    tamper(&scene, KernelStep::AddRoute { route: foreign_route("2001:db8:99::/48", "2001:db8:9::1", "blue", 900) });
    assert_eq!(lost(&scene), ["addresses of network blue"]);
    let steps = repair(&scene).await;
    assert!(steps.contains("switch IPv6 off on blue"), "{steps}");
    assert_eq!(scene.addresses("blue"), [""; 0]);
}

#[tokio::test]
async fn what_took_the_place_of_ours_makes_way() {
    let scene = configured().await;
    let ours = scene.host.state().kernel.routes.into_iter().find(|route| route.is_main() && route.gateway.is_some());
    tamper(&scene, KernelStep::RemoveRoute { route: ours.unwrap() });
    tamper(&scene, KernelStep::AddRoute { route: foreign_route("0.0.0.0/0", "192.0.2.254", "mgmt", 0) });
    repair(&scene).await;
    assert_eq!(scene.defaults(), ["192.0.2.1 dev mgmt"]);
}

#[tokio::test]
async fn a_nic_that_goes_leaves_the_rest_alone_and_joins_again_without_a_flap() {
    let scene = configured().await;
    scene.host.change(|world| world.pull("eth2"));
    assert_eq!(lost(&scene), ["!devices of bond bond0"]);
    tamper(&scene, KernelStep::SetMtu { link: if_name("bond0"), mtu: Mtu::IPV6_LEAST });
    let steps = repair(&scene).await;
    assert!(steps.contains("set MTU of bond0 to 1500"), "{steps}");
    scene.host.change(|world| world.plug_nic("eth2"));
    let steps = repair(&scene).await;
    assert!(!steps.contains("eth1") && !steps.contains("bond0 down"), "{steps}");
    assert_eq!(lost(&scene), [""; 0]);
}

#[tokio::test]
async fn a_network_whose_nic_comes_late_comes_up_with_it() {
    let scene = configured().await;
    scene.host.change(|world| world.pull("eth0"));
    let told = lost(&scene);
    assert!(told.contains(&"!devices of network mgmt".to_owned()), "{told:?}");
    assert!(told.contains(&"!devices of network side".to_owned()), "{told:?}");
    repair(&scene).await;
    scene.host.change(|world| world.plug_nic("eth0"));
    repair(&scene).await;
    assert_eq!(lost(&scene), [""; 0]);
    assert_eq!(scene.link("eth0.7").master, Some(if_name("side")));
}

#[tokio::test]
async fn what_is_somebody_elses_is_not_taken() {
    let scene = configured().await;
    tamper(&scene, KernelStep::DeleteLink { name: if_name("side") });
    let bridge = KernelStep::CreateBridge { name: if_name("side"), mac: None, alias: "somebody's".to_owned() };
    tamper(&scene, bridge);
    let loss = losses(&scene.running, &scene.host.state()).remove(0);
    assert_eq!(loss.thing.kind, DriftKind::Devices);
    assert_eq!(loss.obstacle.as_deref(), Some("device side has the bridge's name and is not Trestle's"));
    assert_eq!(repair(&scene).await, "");

    let scene = configured().await;
    scene.host.change(|world| {
        let bridge = KernelStep::CreateBridge { name: if_name("virbr0"), mac: None, alias: "somebody's".to_owned() };
        world.perform(&bridge.into()).unwrap();
        let port = KernelStep::SetMaster { link: if_name("eth0"), master: Some(if_name("virbr0")) };
        world.perform(&port.into()).unwrap();
    });
    assert_eq!(lost(&scene), ["!devices of network mgmt"]);
    assert_eq!(repair(&scene).await, "");
}

#[tokio::test]
async fn nothing_is_lost_of_what_nobody_asks_for_any_more() {
    let mut scene = configured().await;
    scene.apply(&request([remove("side")])).await;
    assert!(!scene.running.networks.contains_key(&name("side")));
    assert_eq!(lost(&scene), [""; 0]);
}
