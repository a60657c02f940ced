//! DHCP of the real program on the real kernel, with busybox's udhcpd at the other end of the cable.

use std::time::Duration;

use trestle_proto::host::v1 as wire;
use trestle_proto::host::v1::{ConnectivityCheck, DhcpState, Outcome};

use super::bench::{Agent, BOUND, Bench};
use super::far::{Far, Monitor};
use crate::request;

/// The file of name servers, with no line end at its end.
const NAMES: &str = "search example.org\nnameserver 198.51.100.53\noptions edns0";

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
    std::fs::write(bench.resolv_conf(), NAMES).unwrap();
    let names = || std::fs::read_to_string(bench.resolv_conf()).unwrap();
    let mut agent = bench.agent().await;

    // From static to DHCP and back, because nobody confirms.
    let result = agent.set_up(request(leased(false), ConnectivityCheck::Confirm)).await;
    assert_eq!(result.outcome(), Outcome::RolledBack, "{result:?}");
    bench.until(&before).await;
    assert_eq!(names(), NAMES);

    apply(&mut agent, leased(false)).await;
    let network = until_bound_to(&mut agent, "192.0.2.50/24").await;
    assert_eq!((network.device.as_str(), network.gateways), ("nic0", vec!["192.0.2.1".to_owned()]));
    let lease = network.dhcp[0].lease.clone().unwrap();
    assert_eq!((lease.server.as_str(), lease.nameservers), ("192.0.2.1", vec!["192.0.2.2".to_owned()]));
    assert!(lease.expire_time.is_some());
    assert_eq!(names(), "search example.org\nnameserver 192.0.2.2\noptions edns0");
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
    assert_eq!(agent.capabilities().await.resolver.unwrap().nameservers, ["192.0.2.2"]);
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
    assert_eq!(names(), NAMES, "the name servers go with the lease");

    // Another server gives another address.
    far.serve("192.0.2.60", 3600);
    until_bound_to(&mut agent, "192.0.2.60/24").await;

    apply(&mut agent, fixed()).await;
    assert!(agent.capabilities().await.networks.remove(0).dhcp.is_empty());
    assert!(!bench.ip("address").contains("192.0.2.60/24"));
    assert_eq!(names(), NAMES);
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

#[tokio::test]
async fn a_leases_own_gateway_is_answered_through_and_a_cable_that_comes_back_is_asked_about_at_once() {
    let Some(bench) = Bench::new("cable").await else { return };
    let Some(mut far) = Far::new(&bench) else { return };
    far.serve("192.0.2.50", 3600);
    let before = bench.settled().await;
    let mut agent = bench.agent().await;
    let network = || wire::Network { default_route: false, ..leased(true) };
    let asked = |source: &str| bench.ip(&format!("route get 203.0.113.7 from {source}"));

    let result = agent.set_up(request(network(), ConnectivityCheck::Confirm)).await;
    assert_eq!(result.outcome(), Outcome::RolledBack, "{result:?}");
    bench.until(&before).await;
    apply(&mut agent, network()).await;
    until_bound_to(&mut agent, "192.0.2.50/24").await;
    assert!(asked("192.0.2.50").contains("via 192.0.2.1 dev blue table"), "{}", asked("192.0.2.50"));
    assert!(!bench.ip("route").contains("default"), "the host has no default route");
    let unchanged = agent.set_up(request(network(), ConnectivityCheck::None)).await;
    assert_eq!(unchanged.outcome(), Outcome::Unchanged, "{unchanged:?}");

    // The cable goes: nothing else does. It comes back at another place, long before the lease is due.
    far.ip("link set wire0 down");
    far.serve("192.0.2.60", 3600);
    let end = tokio::time::Instant::now() + BOUND;
    while agent.capabilities().await.nics.iter().any(|nic| nic.name == "nic0" && nic.carrier) {
        assert!(tokio::time::Instant::now() < end, "the cable never goes");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert!(bench.ip("address show dev blue").contains("192.0.2.50/24"));
    far.ip("link set wire0 up");
    until_bound_to(&mut agent, "192.0.2.60/24").await;
    assert!(asked("192.0.2.60").contains("via 192.0.2.1 dev blue table"), "{}", asked("192.0.2.60"));
    assert!(!bench.ip("rule").contains("192.0.2.50"), "{}", bench.ip("rule"));

    let result = agent.set_up(request(crate::removal(), ConnectivityCheck::None)).await;
    assert_eq!(result.outcome(), Outcome::Applied, "{result:?}");
    assert!(!bench.ip("rule").contains("192.0.2.60"), "{}", bench.ip("rule"));

    // Another program that asks there, too, is told of.
    let folder = bench.folder().with_extension("udhcpc");
    std::fs::create_dir_all(&folder).unwrap();
    std::os::unix::fs::symlink("/bin/busybox", folder.join("udhcpc")).unwrap();
    let mut rival = std::process::Command::new("ip");
    rival.args(["netns", "exec", bench.namespace()]).arg(folder.join("udhcpc"));
    rival.args(["-f", "-i", "nic0", "-s", "/bin/true", "-t", "100", "-A", "1"]);
    rival.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    far.ip("link set wire0 down");
    let mut rival = rival.spawn().unwrap();
    let end = tokio::time::Instant::now() + BOUND;
    loop {
        match agent.try_set_up(request(network(), ConnectivityCheck::None)).await {
            Err(status) => {
                let findings = trestle_proto::status::findings_of(&status);
                assert_eq!(findings[0].message, "udhcpc asks for addresses on nic0, too", "{findings:?}");
                break;
            }
            // It has not begun yet.
            Ok(result) => assert_eq!(result.outcome(), Outcome::Applied, "{result:?}"),
        }
        let removed = agent.set_up(request(crate::removal(), ConnectivityCheck::None)).await;
        assert_eq!(removed.outcome(), Outcome::Applied, "{removed:?}");
        assert!(tokio::time::Instant::now() < end, "nobody is seen");
    }
    rival.kill().unwrap();
    rival.wait().unwrap();
    agent.terminate().await;
}
