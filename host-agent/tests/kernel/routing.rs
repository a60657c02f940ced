//! Routes of the real program on the real kernel.

use trestle_proto::host::v1 as wire;
use trestle_proto::host::v1::{ConnectivityCheck, Outcome};

use super::bench::Bench;
use crate::request;

fn addresses(addresses: &[&str]) -> wire::StaticAddresses {
    wire::StaticAddresses { addresses: addresses.iter().map(|text| (*text).to_owned()).collect(), gateway: None }
}

fn route(destination: &str, next_hop: &str, metric: u32) -> wire::StaticRoute {
    wire::StaticRoute { destination: destination.to_owned(), next_hop: next_hop.to_owned(), metric }
}

fn blue() -> wire::Network {
    wire::Network {
        name: "blue".to_owned(),
        southbound: Some(wire::network::Southbound::Nic("nic0".to_owned())),
        ipv4: Some(wire::Ipv4Config { method: Some(wire::ipv4_config::Method::Static(addresses(&["192.0.2.20/24"]))) }),
        ipv6: Some(wire::Ipv6Config {
            method: Some(wire::ipv6_config::Method::Static(addresses(&["2001:db8::20/64"]))),
        }),
        ..wire::Network::default()
    }
}

#[tokio::test]
async fn static_routes_come_are_missed_and_go() {
    let Some(bench) = Bench::new("routes").await else { return };
    let before = bench.settled().await;
    let mut agent = bench.agent().await;
    let routes = vec![route("203.0.113.0/24", "192.0.2.1", 7), route("2001:db8:7::/48", "fe80::7", 0)];
    let routed = wire::Network { routes, ..blue() };

    let result = agent.set_up(request(routed.clone(), ConnectivityCheck::Confirm)).await;
    assert_eq!(result.outcome(), Outcome::RolledBack, "{result:?}");
    bench.until(&before).await;

    let result = agent.set_up(request(routed.clone(), ConnectivityCheck::None)).await;
    assert_eq!(result.outcome(), Outcome::Applied, "{result:?}");
    let unchanged = agent.set_up(request(routed.clone(), ConnectivityCheck::None)).await;
    assert_eq!(unchanged.outcome(), Outcome::Unchanged, "{unchanged:?}");
    let shown = bench.ip("route") + &bench.ip("-6 route");
    for expected in ["203.0.113.0/24 via 192.0.2.1 dev blue proto 116 metric 7", "2001:db8:7::/48 via fe80::7 dev blue"]
    {
        assert!(shown.contains(expected), "{expected} in {shown}");
    }

    bench.ip("route del 203.0.113.0/24");
    bench.ip("route add 10.9.0.0/16 via 192.0.2.1");
    let drift = agent.capabilities().await.networks.remove(0).drift;
    assert_eq!(drift, ["link blue route: expected 203.0.113.0/24 via 192.0.2.1 metric 7, is absent"]);
    let result = agent.set_up(request(blue(), ConnectivityCheck::None)).await;
    assert_eq!(result.outcome(), Outcome::Applied, "{result:?}");
    let shown = bench.ip("route") + &bench.ip("-6 route");
    assert!(!shown.contains("203.0.113.0/24") && !shown.contains("2001:db8:7::/48"), "{shown}");
    assert!(shown.contains("10.9.0.0/16"), "somebody else's stays: {shown}");
    agent.terminate().await;
}
