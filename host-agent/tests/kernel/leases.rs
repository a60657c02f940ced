//! DHCP of the real program on the real kernel, with busybox's udhcpd at the other end of the cable.

use std::time::Duration;

use trestle_proto::host::v1 as wire;
use trestle_proto::host::v1::{ConnectivityCheck, DhcpState, Outcome};

use super::bench::{Agent, BOUND, Bench};
use super::far::{Far, Monitor};
use crate::request;

/// The network, by DHCP, and the host's default route.
fn leased(bridged: bool) -> wire::Network {
    wire::Network {
        name: "blue".to_owned(),
        southbound: Some(wire::network::Southbound::Nic("nic0".to_owned())),
        bridged: Some(bridged),
        ipv4: Some(wire::Ipv4Config { method: Some(wire::ipv4_config::Method::Dhcp(wire::Dhcp {})) }),
        default_route: true,
        ..wire::Network::default()
    }
}

fn fixed() -> wire::Network {
    let addresses = wire::StaticAddresses { addresses: vec!["192.0.2.20/24".to_owned()], gateway: None };
    let ipv4 = Some(wire::Ipv4Config { method: Some(wire::ipv4_config::Method::Static(addresses)) });
    wire::Network { ipv4, default_route: false, ..leased(true) }
}

async fn apply(agent: &mut Agent, network: wire::Network) {
    let result = agent.set_up(request(network, ConnectivityCheck::None)).await;
    assert_eq!(result.outcome(), Outcome::Applied, "{result:?}");
}

/// Waits until the one client of the one network is as wanted, and returns the network.
async fn until(agent: &mut Agent, wanted: impl Fn(&wire::DhcpReport) -> bool) -> wire::NetworkReport {
    let end = tokio::time::Instant::now() + BOUND;
    loop {
        let network = agent.capabilities().await.networks.remove(0);
        if network.dhcp.first().is_some_and(&wanted) {
            return network;
        }
        assert!(tokio::time::Instant::now() < end, "never as wanted: {network:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until the client is bound, its address is all that came by DHCP, and nothing differs; the lease reaches the
/// kernel a moment after the client has it.
async fn until_bound_to(agent: &mut Agent, address: &str) -> wire::NetworkReport {
    let end = tokio::time::Instant::now() + BOUND;
    loop {
        let network = agent.capabilities().await.networks.remove(0);
        let is_bound = network.dhcp.first().is_some_and(|client| client.state() == DhcpState::Bound);
        if is_bound && dhcp_addresses(&network) == [address] && network.drift.is_empty() {
            return network;
        }
        assert!(tokio::time::Instant::now() < end, "never bound to {address}: {network:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn dhcp_addresses(network: &wire::NetworkReport) -> Vec<&str> {
    let of_dhcp = |address: &&wire::AddressReport| address.origin() == wire::AddressOrigin::Dhcp;
    network.addresses.iter().filter(of_dhcp).map(|address| address.address.as_str()).collect()
}

#[tokio::test]
async fn a_lease_is_got_moved_kept_given_up_and_lost() {
    let Some(bench) = Bench::new("dhcp").await else { return };
    let Some(mut far) = Far::new(&bench) else { return };
    far.serve("192.0.2.50", 12);
    let before = bench.settled().await;
    let mut agent = bench.agent().await;

    // From static to DHCP and back, because nobody confirms.
    let result = agent.set_up(request(leased(false), ConnectivityCheck::Confirm)).await;
    assert_eq!(result.outcome(), Outcome::RolledBack, "{result:?}");
    bench.until(&before).await;

    apply(&mut agent, leased(false)).await;
    let network = until_bound_to(&mut agent, "192.0.2.50/24").await;
    assert_eq!((network.device.as_str(), network.gateways), ("nic0", vec!["192.0.2.1".to_owned()]));
    let lease = network.dhcp[0].lease.clone().unwrap();
    assert_eq!((lease.server.as_str(), lease.nameservers), ("192.0.2.1", vec!["192.0.2.2".to_owned()]));
    assert!(lease.expire_time.is_some());
    assert!(bench.ip("route").contains("default via 192.0.2.1 dev nic0 proto 117"), "{}", bench.ip("route"));
    assert!(!bench.ip("address show dev nic0").contains("192.0.2.10/24"));

    // From the NIC to the bridge.
    apply(&mut agent, leased(true)).await;
    assert_eq!(until_bound_to(&mut agent, "192.0.2.50/24").await.device, "blue");
    assert!(bench.ip("route").contains("default via 192.0.2.1 dev blue proto 117"));

    // A new agent goes on with the lease, and the address is there all the time.
    let monitor = Monitor::new(&bench);
    agent.kill().await;
    let mut agent = bench.agent().await;
    until_bound_to(&mut agent, "192.0.2.50/24").await;
    let told = monitor.end();
    assert!(!told.contains("Deleted"), "{told}");

    // From DHCP to static and back, because nobody confirms.
    let result = agent.set_up(request(fixed(), ConnectivityCheck::Confirm)).await;
    assert_eq!(result.outcome(), Outcome::RolledBack, "{result:?}");
    until_bound_to(&mut agent, "192.0.2.50/24").await;
    assert!(bench.ip("route").contains("default via 192.0.2.1 dev blue proto 117"));
    assert!(!bench.ip("address show dev blue").contains("192.0.2.20/24"));

    // The server goes; the lease ends, and says so.
    far.silence();
    let network = until(&mut agent, |client| client.lease.is_none()).await;
    assert_eq!(network.dhcp[0].problem, "the lease of 192.0.2.50 is over");
    let network = until(&mut agent, |client| client.lease.is_none()).await;
    assert_eq!(network.drift, Vec::<String>::new());
    bench.without("192.0.2.50/24").await;
    assert!(!bench.ip("route").contains("default"));

    // Another server gives another address.
    far.serve("192.0.2.60", 3600);
    until_bound_to(&mut agent, "192.0.2.60/24").await;

    apply(&mut agent, fixed()).await;
    assert!(agent.capabilities().await.networks.remove(0).dhcp.is_empty());
    assert!(!bench.ip("address").contains("192.0.2.60/24"));
    agent.terminate().await;
}

#[tokio::test]
async fn a_default_route_that_no_server_gives_is_undone_and_another_network_waits_for_nobody() {
    let Some(bench) = Bench::new("silence").await else { return };
    let Some(_far) = Far::new(&bench) else { return };
    let before = bench.settled().await;
    let mut agent = bench.agent().await;
    let result = agent.set_up(request(leased(true), ConnectivityCheck::None)).await;
    assert_eq!(result.outcome(), Outcome::RolledBack, "{result:?}");
    let cause = result.cause.unwrap();
    assert_eq!(cause.code, "VERIFICATION_FAILED");
    assert!(cause.message.contains("IPv4 lease: expected present, is absent"), "{}", cause.message);
    bench.until(&before).await;

    apply(&mut agent, wire::Network { default_route: false, ..leased(true) }).await;
    let network = until(&mut agent, |client| !client.problem.is_empty()).await;
    assert_eq!((network.dhcp[0].state(), network.drift), (DhcpState::Searching, vec![]));
    agent.terminate().await;
}
