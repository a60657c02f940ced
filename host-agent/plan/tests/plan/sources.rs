//! Networks that answer through a gateway of their own.

use trestle_fake_host::World;
use trestle_model::{Code, Feature};
use trestle_plan::{Host, KernelStep, network_reports, ownership, plan, restore_plan};

use super::scene::{Net, Scene, foreign_route, name, net, remove, request};

fn world() -> World {
    World::default().nic("eth0").nic("eth1")
}

fn blue() -> Net {
    net("blue")
        .on("eth0")
        .ipv4(&["192.0.2.10/24", "192.0.2.11/24"], Some("192.0.2.1"))
        .ipv6(&["2001:db8::10/64"], Some("fe80::1"))
}

/// Returns a network's own table as `ip route` and `ip rule` show it.
fn table(scene: &Scene, network: &str) -> Vec<String> {
    let (kernel, table) = (scene.host.state().kernel, ownership::source_table(&name(network)));
    let routes = kernel.routes.into_iter().filter(|route| route.table == table);
    let routes = routes.map(|route| {
        let gateway = route.gateway.map(|gateway| format!(" via {gateway}")).unwrap_or_default();
        format!("{}{gateway} dev {}", route.destination, route.device)
    });
    let rules = kernel.rules.into_iter().filter(|rule| rule.table == table).map(|rule| format!("from {}", rule.source));
    routes.chain(rules).collect()
}

#[tokio::test]
async fn a_gateway_beside_the_default_route_serves_the_networks_own_addresses() {
    for bridged in [true, false] {
        let mut scene = Scene::new(world());
        let device = if bridged { "blue" } else { "eth0" };
        let network = blue().route("198.51.100.0/24", "192.0.2.7", 0);
        let network = if bridged { network } else { network.bridgeless() };
        scene.apply(&request([network.clone().set()])).await;
        assert_eq!(scene.defaults(), Vec::<String>::new());
        let expected = [
            format!("0.0.0.0/0 via 192.0.2.1 dev {device}"),
            format!("192.0.2.0/24 dev {device}"),
            format!("198.51.100.0/24 via 192.0.2.7 dev {device}"),
            format!("::/0 via fe80::1 dev {device}"),
            format!("2001:db8::/64 dev {device}"),
            "from 192.0.2.10/32".to_owned(),
            "from 192.0.2.11/32".to_owned(),
            "from 2001:db8::10/128".to_owned(),
        ];
        assert_eq!(table(&scene, "blue"), expected);

        scene.apply(&request([network.default_route().set()])).await;
        assert_eq!(table(&scene, "blue"), Vec::<String>::new());
        assert_eq!(scene.defaults().len(), 2);
        scene.apply(&request([remove("blue")])).await;
        assert_eq!(scene.defaults(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn who_loses_the_default_route_goes_on_answering_through_its_gateway() {
    let mut scene = Scene::new(world());
    scene.apply(&request([blue().default_route().set()])).await;
    let green = net("green").on("eth1").ipv4(&["203.0.113.10/24"], Some("203.0.113.1")).default_route();
    let plan = scene.apply(&request([green.set()])).await;
    assert_eq!(scene.defaults(), ["203.0.113.1 dev green"]);
    assert_eq!(table(&scene, "blue").len(), 7, "{:?}", table(&scene, "blue"));
    let moved = plan.findings.0.iter().find(|finding| finding.code == Code::DefaultRouteTaken).unwrap();
    assert!(moved.message.contains("moves here from network blue"), "{moved}");
    scene.apply(&request([remove("blue"), remove("green")])).await;
    assert_eq!(table(&scene, "blue"), Vec::<String>::new());
}

#[tokio::test]
async fn a_lost_rule_is_drift_and_the_next_request_mends_it() {
    let mut scene = Scene::new(world());
    scene.apply(&request([blue().set()])).await;
    let rule = scene.host.state().kernel.rules[0].clone();
    scene.host.perform(&[KernelStep::RemoveRule { rule }.into()]).await.unwrap();
    let table = ownership::source_table(&name("blue"));
    let drift = network_reports(&scene.running, &scene.host.state()).remove(0).drift;
    assert_eq!(drift, [format!("table {table} rule: expected from 192.0.2.10/32 priority 30000, is absent")]);
    scene.apply(&request([blue().set()])).await;
    assert_eq!(scene.host.state().kernel.rules.len(), 3);
}

#[tokio::test]
async fn a_restore_brings_rules_back_and_takes_nobodys_away() {
    let mut scene = Scene::new(world());
    let red = net("red").on("eth1").ipv4(&["203.0.113.10/24"], Some("203.0.113.1"));
    scene.apply(&request([blue().set()])).await;
    let persistent = scene.running.clone();
    let before = table(&scene, "blue");
    scene.apply(&request([red.set()])).await;
    for rebooted in [false, true] {
        if rebooted {
            scene.host.reboot();
        }
        let restoration = restore_plan(&persistent, &scene.host.state());
        scene.perform(&restoration.steps).await;
        assert_eq!(table(&scene, "blue"), before, "rebooted: {rebooted}");
        assert_eq!(table(&scene, "red"), Vec::<String>::new(), "rebooted: {rebooted}");
    }
}

#[test]
fn refuses_a_table_of_somebody_elses_and_a_kernel_without_tables() {
    let foreign = trestle_model::Route {
        table: ownership::source_table(&name("blue")),
        ..foreign_route("0.0.0.0/0", "172.16.0.254", "eth1", 0)
    };
    let taken = world().address("eth1", "172.16.0.1/24").route(foreign);
    let lacking = world().without(Feature::PolicyRouting, "no tables");
    let cases = [
        (taken, Code::TableTaken, "networks[0].name"),
        (lacking, Code::KernelLacksFeature, "networks[0].default_route"),
    ];
    for (world, code, field) in cases {
        let scene = Scene::new(world);
        let findings = plan(&request([blue().set()]), &scene.running, &scene.host.state()).unwrap_err();
        let found: Vec<_> = findings.0.iter().map(|finding| (finding.code, finding.field.as_str())).collect();
        assert_eq!(found, [(code, field)]);
    }
}
