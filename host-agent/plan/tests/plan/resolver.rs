//! Name servers, which go with the default route.

use std::collections::BTreeMap;

use trestle_fake_host::World;
use trestle_model::{Code, LinkNames, ResolverNames};
use trestle_plan::{network_reports, plan, steps_towards, undo_target};

use super::scene::{Net, Scene, if_name, lines, net, remove, request};

const BEFORE: &str = "# mine\nnameserver 198.51.100.53\nsearch example.org\n";

fn world() -> World {
    World::default().nic("eth0").nic("eth1").resolv_conf(BEFORE)
}

fn blue() -> Net {
    net("blue").on("eth0").ipv4(&["192.0.2.10/24"], Some("192.0.2.1")).default_route()
}

fn text(scene: &Scene) -> String {
    scene.host.state().resolver.text.expect("a file")
}

#[tokio::test]
async fn name_servers_are_set_kept_and_given_back() {
    let mut scene = Scene::new(world());
    let plan = scene.apply(&request([blue().nameserver("192.0.2.53").nameserver("fe80::53%blue").set()])).await;
    assert_eq!(text(&scene), "# mine\nnameserver 192.0.2.53\nnameserver fe80::53%blue\nsearch example.org\n");
    let undone = scene.fork();
    let steps = steps_towards(&undo_target(&plan.snapshot), &undone.host.state());
    undone.perform(&steps).await;
    assert_eq!(text(&undone), BEFORE, "{}", lines(&steps));

    // Who takes the default route and names none keeps them; so does a host whose network goes.
    let green = net("green").on("eth1").ipv4(&["203.0.113.10/24"], Some("203.0.113.1")).default_route();
    let moved = scene.apply(&request([green.set()])).await;
    assert!(moved.desired.specs().all(|spec| spec.nameservers.is_empty()));
    scene.apply(&request([remove("blue"), remove("green")])).await;
    assert!(text(&scene).contains("nameserver 192.0.2.53"));
}

#[tokio::test]
async fn a_name_server_that_somebody_changed_is_drift() {
    let mut scene = Scene::new(world());
    let wanted = request([blue().nameserver("192.0.2.53").set()]);
    scene.apply(&wanted).await;
    scene.host.change(|world| *world = world.clone().resolv_conf(BEFORE));
    let drift = network_reports(&scene.running, &scene.host.state()).remove(0).drift;
    assert_eq!(drift, ["resolver name servers: expected 192.0.2.53, is 198.51.100.53"]);
    scene.apply(&wanted).await;
    assert!(text(&scene).contains("nameserver 192.0.2.53"));
}

#[tokio::test]
async fn systemd_resolved_is_told_for_the_networks_device_and_undone_device_by_device() {
    let named = |servers: &[&str]| {
        let servers = servers.iter().map(|server| server.parse().unwrap()).collect();
        LinkNames::for_all_names(&ResolverNames { servers, search: Vec::new() })
    };
    let foreign = LinkNames { domains: Vec::new(), ..named(&["198.51.100.53"]) };
    let mut scene = Scene::new(World::default().nic("eth0").nic("eth1").resolved("eth1", foreign.clone()));
    let links = |scene: &Scene| scene.host.state().resolver.links.unwrap();
    let [bridge, nic] = ["blue", "eth1"].map(if_name);

    let wanted = request([blue().nameserver("192.0.2.53").set()]);
    let plan = scene.apply(&wanted).await;
    let told = BTreeMap::from([(bridge.clone(), named(&["192.0.2.53"])), (nic.clone(), foreign.clone())]);
    assert_eq!(links(&scene), told);
    assert!(scene.plan(&wanted).steps.is_empty());

    // Undone, the bridge goes with what was told for it; what others told for the NIC was never touched.
    let undone = scene.fork();
    undone.perform(&steps_towards(&undo_target(&plan.snapshot), &undone.host.state())).await;
    assert_eq!(links(&undone), BTreeMap::from([(nic.clone(), foreign.clone())]));

    // Told otherwise behind Trestle's back, or forgotten with a restart: drift, and mended when asked for again.
    scene.host.change(|world| world.set_link_names("blue", LinkNames::default()));
    let drift = network_reports(&scene.running, &scene.host.state()).remove(0).drift;
    assert_eq!(drift, ["link blue name servers: expected 192.0.2.53 for ~., is none"]);
    scene.apply(&wanted).await;

    // A network without a bridge has the NIC's own; with the default route the name servers move.
    let green = net("green").on("eth1").bridgeless().ipv4(&["203.0.113.10/24"], Some("203.0.113.1")).default_route();
    let moved = scene.apply(&request([green.nameserver("203.0.113.53").set()])).await;
    assert_eq!(links(&scene), BTreeMap::from([(nic.clone(), named(&["203.0.113.53"]))]));
    scene.perform(&steps_towards(&undo_target(&moved.snapshot), &scene.host.state())).await;
    assert_eq!(links(&scene), told);
}

#[tokio::test]
async fn search_domains_are_set_beside_name_servers_or_alone_and_given_back() {
    let mut scene = Scene::new(world());
    let plan = scene.apply(&request([blue().search("lab.example").search("corp.example").set()])).await;
    assert_eq!(text(&scene), "# mine\nnameserver 198.51.100.53\nsearch lab.example corp.example\n");
    let undone = scene.fork();
    undone.perform(&steps_towards(&undo_target(&plan.snapshot), &undone.host.state())).await;
    assert_eq!(text(&undone), BEFORE);
    let wanted = request([blue().nameserver("192.0.2.53").search("lab.example").set()]);
    scene.apply(&wanted).await;
    assert_eq!(text(&scene), "# mine\nnameserver 192.0.2.53\nsearch lab.example\n");
    scene.host.change(|world| *world = world.clone().resolv_conf("nameserver 192.0.2.53\nsearch other.example\n"));
    let drift = network_reports(&scene.running, &scene.host.state()).remove(0).drift;
    assert_eq!(drift, ["resolver search domains: expected lab.example, is other.example"]);
    assert_eq!(scene.plan(&wanted).steps.len(), 1);

    // systemd-resolved is told of them with the device's name servers; alone they leave those as they are.
    let mut scene = Scene::new(World::default().nic("eth0").resolved("eth0", LinkNames::default()));
    let told = |scene: &Scene| scene.host.state().resolver.links.unwrap().get(&if_name("blue")).unwrap().to_string();
    scene.apply(&request([blue().nameserver("192.0.2.53").search("lab.example").set()])).await;
    assert_eq!(told(&scene), "192.0.2.53 for lab.example, ~.");
    let alone = request([blue().search("corp.example").set()]);
    scene.apply(&alone).await;
    assert_eq!(told(&scene), "192.0.2.53 for corp.example, ~.");
    assert!(scene.plan(&alone).steps.is_empty());
}

#[test]
fn refuses_name_servers_off_the_default_route_and_those_of_another_keeper() {
    let named = || blue().nameserver("192.0.2.53");
    let mut off = named();
    off.0.default_route = false;
    let mut searching = blue().search("lab.example");
    let kept = || world().resolver_kept("systemd-resolved");
    let kept_search = (kept(), searching.clone(), Code::ResolverKept, "search_domains");
    searching.0.default_route = false;
    let cases = [
        (world(), off, Code::NameserversOffDefaultRoute, "nameservers"),
        (world(), searching, Code::NameserversOffDefaultRoute, "search_domains"),
        (kept(), named(), Code::ResolverKept, "nameservers"),
        kept_search,
    ];
    for (world, network, code, field) in cases {
        let scene = Scene::new(world);
        let findings = plan(&request([network.set()]), &scene.running, &scene.host.state()).unwrap_err();
        let found: Vec<_> = findings.0.iter().map(|finding| (finding.code, finding.field.as_str())).collect();
        assert_eq!(found, [(code, format!("networks[0].{field}").as_str())]);
    }
}

#[tokio::test]
async fn guests_are_isolated_from_one_another_and_not_from_the_uplink() {
    let mut scene = Scene::new(world());
    let with = |isolated| {
        let mut network = net("blue").on("eth0");
        network.0.port_isolation = isolated;
        request([network.set()])
    };
    let isolated = |scene: &Scene, port: &str| scene.link(port).port.expect("a port").isolated;
    scene.apply(&with(true)).await;
    scene.host.change(|world| world.start_guest("vm1", "52:54:00:00:00:01", "vnet1", "blue", Some("trestle-blue")));
    let drift = network_reports(&scene.running, &scene.host.state()).remove(0).drift;
    assert_eq!(drift, ["link vnet1 of guest vm1 isolated: expected true, is false"]);
    scene.apply(&with(true)).await;
    assert!(isolated(&scene, "vnet1") && !isolated(&scene, "eth0"));
    scene.apply(&with(false)).await;
    assert!(!isolated(&scene, "vnet1"));
}
