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

#[tokio::test]
async fn a_network_with_a_gateway_of_its_own_answers_through_it() {
    let Some(bench) = Bench::new("sources").await else { return };
    bench.ip("rule add from 198.18.0.0/15 lookup 100 priority 99");
    bench.ip("route add default via 192.0.2.2 table 100");
    let before = bench.settled().await;
    let mut agent = bench.agent().await;
    let gated = |mut addresses: wire::StaticAddresses, gateway: &str| {
        addresses.gateway = Some(gateway.to_owned());
        addresses
    };
    let four = gated(addresses(&["192.0.2.20/24"]), "192.0.2.1");
    let six = gated(addresses(&["2001:db8::20/64"]), "fe80::1");
    let network = wire::Network {
        ipv4: Some(wire::Ipv4Config { method: Some(wire::ipv4_config::Method::Static(four)) }),
        ipv6: Some(wire::Ipv6Config { method: Some(wire::ipv6_config::Method::Static(six)) }),
        ..blue()
    };
    let rules = || bench.ip("rule") + &bench.ip("-6 rule");

    let result = agent.set_up(request(network.clone(), ConnectivityCheck::Confirm)).await;
    assert_eq!(result.outcome(), Outcome::RolledBack, "{result:?}");
    bench.until(&before).await;

    let result = agent.set_up(request(network.clone(), ConnectivityCheck::None)).await;
    assert_eq!(result.outcome(), Outcome::Applied, "{result:?}");
    let unchanged = agent.set_up(request(network.clone(), ConnectivityCheck::None)).await;
    assert_eq!(unchanged.outcome(), Outcome::Unchanged, "{unchanged:?}");
    // The kernel's own answer: through the gateway from the network's address, and not at all from another.
    for (asked, gateway) in
        [("203.0.113.7 from 192.0.2.20", "192.0.2.1"), ("2001:db8:9::7 from 2001:db8::20", "fe80::1")]
    {
        let answer = bench.ip(&format!("route get {asked}"));
        assert!(answer.contains(&format!("via {gateway} dev blue table")), "{answer}");
    }
    let near = bench.ip("route get 192.0.2.77 from 192.0.2.20");
    assert!(near.contains("dev blue") && !near.contains("via"), "{near}");
    assert!(!bench.ip("route").contains("default"), "the host has no default route");

    let rule = rules().lines().find(|rule| rule.contains("192.0.2.20")).unwrap().replace(':', "");
    let (priority, selector) = rule.split_once('\t').unwrap();
    bench.ip(&format!("rule del {} priority {priority}", selector.trim_end().replace("proto", "protocol")));
    let drift = agent.capabilities().await.networks.remove(0).drift;
    assert!(drift.len() == 1 && drift[0].contains("from 192.0.2.20/32 priority 30000, is absent"), "{drift:?}");
    let mended = agent.set_up(request(network, ConnectivityCheck::None)).await;
    assert_eq!((mended.outcome(), mended.steps.len()), (Outcome::Applied, 1), "{mended:?}");

    let result = agent.set_up(request(crate::removal(), ConnectivityCheck::None)).await;
    assert_eq!(result.outcome(), Outcome::Applied, "{result:?}");
    let shown = rules();
    assert!(!shown.contains("proto 116") && shown.contains("from 198.18.0.0/15 lookup 100"), "{shown}");
    agent.terminate().await;
}

#[tokio::test]
async fn name_servers_come_with_the_default_route_and_are_undone_byte_for_byte() {
    let Some(bench) = Bench::new("resolver").await else { return };
    let before = "search example.org\nnameserver 198.51.100.53";
    std::fs::write(bench.resolv_conf(), before).unwrap();
    let mut agent = bench.agent().await;
    let mut four = addresses(&["192.0.2.20/24"]);
    four.gateway = Some("192.0.2.1".to_owned());
    let network = wire::Network {
        ipv4: Some(wire::Ipv4Config { method: Some(wire::ipv4_config::Method::Static(four)) }),
        default_route: true,
        nameservers: vec!["192.0.2.53".to_owned(), "2001:db8::53".to_owned()],
        custom: [("site".to_owned(), "north".to_owned())].into(),
        ..blue()
    };
    let text = || std::fs::read_to_string(bench.resolv_conf()).unwrap();
    let result = agent.set_up(request(network.clone(), ConnectivityCheck::Confirm)).await;
    assert_eq!(result.outcome(), Outcome::RolledBack, "{result:?}");
    assert_eq!(text(), before);
    for outcome in [Outcome::Applied, Outcome::Unchanged] {
        let result = agent.set_up(request(network.clone(), ConnectivityCheck::None)).await;
        assert_eq!(result.outcome(), outcome, "{result:?}");
        assert_eq!(text(), "search example.org\nnameserver 192.0.2.53\nnameserver 2001:db8::53\n");
    }
    let mut capabilities = agent.capabilities().await;
    let resolver = capabilities.resolver.take().unwrap();
    assert_eq!((resolver.nameservers, resolver.keeper.as_str()), (network.nameservers.clone(), ""));
    let report = capabilities.networks.remove(0);
    assert_eq!(report.drift, Vec::<String>::new());
    assert_eq!(report.configured.unwrap().custom["site"], "north");
    agent.terminate().await;
}
