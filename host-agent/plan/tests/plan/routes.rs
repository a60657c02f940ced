//! Static routes: what comes, what goes, and what is nobody's business.

use trestle_fake_host::World;
use trestle_model::Code;
use trestle_plan::ownership::ROUTE_PROTOCOL;
use trestle_plan::plan;

use super::scene::{Net, Scene, foreign_route, net, remove, request};

fn world() -> World {
    World::default().nic("eth0").nic("eth1").nic("eth2")
}

fn blue() -> Net {
    net("blue").on("eth0").ipv4(&["192.0.2.10/24"], None).ipv6(&["2001:db8::10/64"], None)
}

/// Returns Trestle's routes as `destination via gateway dev device`.
fn ours(scene: &Scene) -> Vec<String> {
    let routes = scene.host.state().kernel.routes.into_iter().filter(|route| route.protocol == ROUTE_PROTOCOL);
    routes
        .map(|route| format!("{} via {} dev {}", route.destination, route.gateway.expect("a gateway"), route.device))
        .collect()
}

#[tokio::test]
async fn routes_of_both_families_come_change_and_go() {
    for bridged in [true, false] {
        let mut scene = Scene::new(world());
        let device = if bridged { "blue" } else { "eth0" };
        let with = |network: Net| if bridged { network } else { network.bridgeless() };
        let routed = blue().route("198.51.100.0/24", "192.0.2.1", 0).route("2001:db8:1::/48", "fe80::1", 5);
        scene.apply(&request([with(routed).set()])).await;
        let expected = [
            format!("198.51.100.0/24 via 192.0.2.1 dev {device}"),
            format!("2001:db8:1::/48 via fe80::1 dev {device}"),
        ];
        assert_eq!(ours(&scene), expected);

        scene.apply(&request([with(blue().route("198.51.100.0/24", "192.0.2.2", 0)).set()])).await;
        assert_eq!(ours(&scene), [format!("198.51.100.0/24 via 192.0.2.2 dev {device}")]);

        scene.apply(&request([remove("blue")])).await;
        assert_eq!(ours(&scene), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_route_of_somebody_else_through_the_same_device_stays() {
    let mut scene = Scene::new(world());
    scene.apply(&request([blue().route("198.51.100.0/24", "192.0.2.1", 0).set()])).await;
    let foreign = foreign_route("203.0.113.0/24", "192.0.2.1", "blue", 0);
    scene.host.change(|world| *world = world.clone().route(foreign.clone()));
    scene.apply(&request([blue().set()])).await;
    assert_eq!(ours(&scene), Vec::<String>::new());
    assert!(scene.host.state().kernel.routes.contains(&foreign));
}

#[tokio::test]
async fn a_lost_route_is_drift_and_the_next_request_mends_it() {
    let mut scene = Scene::new(world());
    let wanted = request([blue().route("198.51.100.0/24", "192.0.2.1", 0).set()]);
    scene.apply(&wanted).await;
    let lost = scene.host.state().kernel.routes.into_iter().find(|route| route.protocol == ROUTE_PROTOCOL).unwrap();
    let step = trestle_plan::KernelStep::RemoveRoute { route: lost };
    trestle_plan::Host::perform(&scene.host, &[step.into()]).await.unwrap();
    let report = trestle_plan::network_reports(&scene.running, &scene.host.state()).remove(0);
    assert_eq!(report.drift, ["link blue route: expected 198.51.100.0/24 via 192.0.2.1 metric 0, is absent"]);
    scene.apply(&wanted).await;
    assert_eq!(ours(&scene).len(), 1);
}

#[test]
fn refuses_a_route_that_cannot_be() {
    let world = || {
        let foreign = foreign_route("10.9.0.0/16", "172.16.0.254", "eth2", 0);
        world().address("eth2", "172.16.0.1/24").route(foreign)
    };
    let green = net("green").on("eth1").ipv4(&["203.0.113.10/24"], None).route("198.51.100.0/24", "203.0.113.1", 7);
    let cases: [(Net, &[(Code, &str)]); 6] = [
        (
            blue().route("198.51.100.0/24", "203.0.113.1", 0),
            &[(Code::GatewayNotOnLink, "networks[1].routes[0].next_hop")],
        ),
        (
            blue().route("198.51.100.0/24", "192.0.2.10", 0),
            &[(Code::GatewayNotOnLink, "networks[1].routes[0].next_hop")],
        ),
        (
            net("blue").on("eth0").route("2001:db8:1::/48", "fe80::1", 0),
            &[(Code::GatewayWithoutAddress, "networks[1].routes[0].next_hop")],
        ),
        (
            blue().route("198.51.100.0/24", "192.0.2.1", 7).route("198.51.100.0/24", "192.0.2.2", 7),
            &[
                (Code::RouteTaken, "networks[0].routes[0].destination"),
                (Code::RouteTaken, "networks[1].routes[0].destination"),
                (Code::Duplicate, "networks[1].routes[1].destination"),
                (Code::RouteTaken, "networks[1].routes[1].destination"),
            ],
        ),
        (blue().route("192.0.2.0/24", "192.0.2.1", 3), &[(Code::RouteTaken, "networks[1].routes[0].destination")]),
        (blue().route("10.9.0.0/16", "192.0.2.1", 0), &[(Code::RouteTaken, "networks[1].routes[0].destination")]),
    ];
    for (network, expected) in cases {
        let scene = Scene::new(world());
        let findings = plan(&request([green.clone().set(), network.set()]), &scene.running, &scene.host.state());
        let found: Vec<_> = findings.unwrap_err().0.into_iter().map(|finding| (finding.code, finding.field)).collect();
        let expected: Vec<_> = expected.iter().map(|(code, field)| (*code, (*field).to_owned())).collect();
        assert_eq!(found, expected);
    }
}
