//! Routes: added beside others, replaced, removed exactly.

use std::net::IpAddr;
use std::slice::from_ref;

use serde_json::Value;
use trestle_model::{Address, AddressOrigin, KernelState, Route};
use trestle_plan::KernelStep;

use crate::scene::{Scene, in_namespace, name, set_up, skip_duplicate_detection, told};

/// Makes `v0`, up, with an address of each family.
async fn connected(scene: &Scene) {
    skip_duplicate_detection();
    scene.cable("v0", "v1").await;
    let add = |net: &str, no_prefix_route| KernelStep::AddAddress {
        link: name("v0"),
        address: Address {
            net: net.parse().unwrap(),
            origin: AddressOrigin::Static,
            broadcast: None,
            label: None,
            scope: 0,
            no_prefix_route,
        },
    };
    let steps = [
        add("10.0.0.5/24", false),
        add("10.0.0.6/24", false),
        add("2001:db8::5/64", false),
        set_up("v0", true),
        set_up("v1", true),
    ];
    scene.try_perform(&steps).await.unwrap();
}

fn route(destination: &str, gateway: Option<&str>, metric: u32) -> Route {
    Route {
        table: Route::MAIN,
        destination: destination.parse().unwrap(),
        gateway: gateway.map(|gateway| gateway.parse().unwrap()),
        device: name("v0"),
        metric,
        preferred_source: None,
        protocol: 4,
        scope: 0,
    }
}

fn add(route: &Route) -> KernelStep {
    KernelStep::AddRoute { route: route.clone() }
}

fn remove(route: &Route) -> KernelStep {
    KernelStep::RemoveRoute { route: route.clone() }
}

/// Returns the routes that somebody set.
async fn set_routes(scene: &Scene) -> Vec<Route> {
    scene.state().await.routes.into_iter().filter(|route| route.protocol != 2).collect()
}

#[test]
fn adds_and_removes_default_routes_of_both_families() {
    in_namespace(async |scene| {
        connected(&scene).await;
        let four = route("0.0.0.0/0", Some("10.0.0.1"), 0);
        let six = route("::/0", Some("2001:db8::1"), 1024);
        scene.perform(&[add(&four), add(&six)]).await;
        assert_eq!(set_routes(&scene).await, [four.clone(), six.clone()]);
        if let Some(told) = told("ip -j route show default") {
            assert_eq!((&told[0]["gateway"], &told[0]["protocol"]), (&"10.0.0.1".into(), &"static".into()));
            assert_eq!(told.as_array().unwrap().len(), 1);
        }
        if let Some(told) = told("ip -6 -j route show default") {
            assert_eq!((&told[0]["gateway"], &told[0]["metric"]), (&"2001:db8::1".into(), &1024.into()));
        }
        scene.perform(&[remove(&four), remove(&six)]).await;
        assert_eq!(set_routes(&scene).await, []);
    });
}

#[test]
fn tells_a_route_with_all_its_attributes() {
    in_namespace(async |scene| {
        connected(&scene).await;
        let source: IpAddr = "10.0.0.6".parse().unwrap();
        let four = Route { preferred_source: Some(source), ..route("198.51.100.0/24", Some("10.0.0.1"), 77) };
        let on_link = Route { scope: 253, protocol: 3, ..route("203.0.113.0/24", None, 0) };
        let six = Route {
            preferred_source: Some("2001:db8::5".parse().unwrap()),
            ..route("2001:db8:9::/48", Some("2001:db8::1"), 50)
        };
        scene.perform(&[add(&four), add(&on_link), add(&six)]).await;
        assert_eq!(set_routes(&scene).await, [four.clone(), on_link.clone(), six.clone()]);
        if let Some(told) = told("ip -j route show 198.51.100.0/24") {
            let expected: Value = serde_json::json!([{
                "dst": "198.51.100.0/24", "gateway": "10.0.0.1", "dev": "v0", "protocol": "static",
                "prefsrc": "10.0.0.6", "metric": 77, "flags": []
            }]);
            assert_eq!(told, expected);
        }
        scene.perform(&[remove(&four), remove(&on_link), remove(&six)]).await;
        assert_eq!(set_routes(&scene).await, []);
    });
}

#[test]
fn tells_the_kernels_prefix_routes_and_none_of_its_local_ones() {
    in_namespace(async |scene| {
        connected(&scene).await;
        let own = |state: &KernelState| state.routes.iter().filter(|route| route.scope == 0).count();
        let routes = scene.until(|state| own(state) == 3).await.routes;
        let mut told: Vec<_> =
            routes.iter().map(|r| (r.destination.to_string(), r.protocol, r.device.as_str())).collect();
        told.sort();
        told.dedup();
        let expected = [
            ("10.0.0.0/24".to_owned(), 2, "v0"),
            ("2001:db8::/64".to_owned(), 2, "v0"),
            ("fe80::/64".to_owned(), 2, "v0"),
            ("fe80::/64".to_owned(), 2, "v1"),
        ];
        assert_eq!(told, expected);
    });
}

#[test]
fn keeps_another_next_hop_of_the_same_destination_and_metric() {
    in_namespace(async |scene| {
        connected(&scene).await;
        for (destination, one, other, metric) in
            [("0.0.0.0/0", "10.0.0.1", "10.0.0.2", 5), ("::/0", "2001:db8::1", "2001:db8::2", 5)]
        {
            let (one, other) = (route(destination, Some(one), metric), route(destination, Some(other), metric));
            scene.perform(&[add(&one), add(&other)]).await;
            assert_eq!(set_routes(&scene).await, [one.clone(), other.clone()]);
            scene.perform(&[remove(&one)]).await;
            assert_eq!(set_routes(&scene).await, from_ref(&other));
            scene.perform(&[remove(&other)]).await;
        }
    });
}

#[test]
fn replaces_a_route_of_the_same_path() {
    in_namespace(async |scene| {
        connected(&scene).await;
        for (destination, gateway, source) in
            [("0.0.0.0/0", "10.0.0.1", "10.0.0.6"), ("::/0", "2001:db8::1", "2001:db8::5")]
        {
            let old = Route { protocol: 3, ..route(destination, Some(gateway), 9) };
            let new = Route { preferred_source: Some(source.parse().unwrap()), ..route(destination, Some(gateway), 9) };
            scene.perform(&[add(&old)]).await;
            scene.perform(&[add(&new)]).await;
            assert_eq!(set_routes(&scene).await, from_ref(&new));
            // The path says which route it is; who made it does not matter.
            scene.perform(&[remove(&old)]).await;
            assert_eq!(set_routes(&scene).await, []);
        }
    });
}

#[test]
fn removes_no_route_of_another_metric() {
    in_namespace(async |scene| {
        connected(&scene).await;
        let kept = route("0.0.0.0/0", Some("10.0.0.1"), 100);
        scene.perform(&[add(&kept), remove(&Route { metric: 0, ..kept.clone() })]).await;
        assert_eq!(set_routes(&scene).await, [kept]);
    });
}

#[test]
fn calls_a_source_that_is_still_tentative_a_passing_condition() {
    in_namespace(async |scene| {
        scene.cable("v0", "v1").await;
        let address = Address {
            net: "2001:db8::5/64".parse().unwrap(),
            origin: AddressOrigin::Static,
            broadcast: None,
            label: None,
            scope: 0,
            no_prefix_route: false,
        };
        let wanted =
            Route { preferred_source: Some(address.net.addr()), ..route("2001:db8:9::/48", Some("2001:db8::1"), 50) };
        let ups = [set_up("v0", true), set_up("v1", true)];
        scene.try_perform(&ups).await.unwrap();
        scene.until(|state| state.links[&name("v0")].carrier).await;
        scene.try_perform(&[KernelStep::AddAddress { link: name("v0"), address }]).await.unwrap();
        let failure = scene.refused(add(&wanted)).await;
        assert!(failure.transient && failure.reason.contains("2001:db8::5 is still tentative"), "{failure:?}");
        scene.insist(&[add(&wanted)]).await;
        assert_eq!(set_routes(&scene).await, [wanted]);
    });
}

#[test]
fn says_why_a_route_is_impossible() {
    in_namespace(async |scene| {
        connected(&scene).await;
        let failure = scene.refused(add(&route("0.0.0.0/0", Some("192.0.2.1"), 0))).await;
        assert!(
            failure
                .reason
                .starts_with("add route 0.0.0.0/0 via 192.0.2.1 dev v0: Network is unreachable (ENETUNREACH)"),
            "{}",
            failure.reason
        );
        let gone = Route { device: name("eth9"), ..route("0.0.0.0/0", Some("10.0.0.1"), 0) };
        assert!(scene.refused(add(&gone)).await.reason.ends_with("device eth9: No such device (ENODEV)"));
        scene.perform(&[remove(&gone)]).await;
    });
}
