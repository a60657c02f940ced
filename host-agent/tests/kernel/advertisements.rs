//! IPv6 that comes by itself to the real program on the real kernel: a router and a DHCPv6 server at the other end of the
//! cable, both dnsmasq's.

use std::process::Command;
use std::time::Duration;

use trestle_proto::host::v1 as wire;
use trestle_proto::host::v1::ipv6_config::Method;
use trestle_proto::host::v1::{AddressOrigin, ConnectivityCheck, Outcome};

use super::bench::{Agent, BOUND, Bench};
use super::far::Far;
use crate::request;

const RANGE: &str = "--dhcp-range=2001:db8:5::100,2001:db8:5::1ff,slaac,64,1h";

fn network(bridged: bool, method: Method) -> wire::Network {
    wire::Network {
        name: "blue".to_owned(),
        southbound: Some(wire::network::Southbound::Nic("nic0".to_owned())),
        bridged: Some(bridged),
        ipv6: Some(wire::Ipv6Config { method: Some(method) }),
        default_route: true,
        ..wire::Network::default()
    }
}

fn auto() -> Method {
    Method::Auto(wire::Advertised {})
}

async fn apply(agent: &mut Agent, network: wire::Network) {
    for outcome in [Outcome::Applied, Outcome::Unchanged] {
        let result = agent.set_up(request(network.clone(), ConnectivityCheck::None)).await;
        assert_eq!(result.outcome(), outcome, "{result:?}");
    }
}

/// Returns the network's addresses of one origin.
fn of(network: &wire::NetworkReport, origin: AddressOrigin) -> Vec<String> {
    let of_origin = network.addresses.iter().filter(|address| address.origin() == origin);
    of_origin.map(|address| address.address.clone()).collect()
}

/// Waits until there are so many addresses that routers advertised and that servers leased, and nothing differs.
async fn until(agent: &mut Agent, advertised: usize, leased: usize) -> wire::NetworkReport {
    let end = tokio::time::Instant::now() + BOUND;
    loop {
        let network = agent.capabilities().await.networks.remove(0);
        let counts = [AddressOrigin::Auto, AddressOrigin::Dhcp].map(|origin| of(&network, origin).len());
        if counts == [advertised, leased] && network.drift.is_empty() {
            return network;
        }
        assert!(tokio::time::Instant::now() < end, "never as wanted: {network:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until something is so.
async fn eventually(is_so: impl Fn() -> bool, what: &str) {
    let end = tokio::time::Instant::now() + BOUND;
    while !is_so() {
        assert!(tokio::time::Instant::now() < end, "never: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn shell(bench: &Bench, script: &str) -> String {
    let output = Command::new("ip").args(["netns", "exec", bench.namespace(), "sh", "-ec", script]).output().unwrap();
    assert!(output.status.success(), "{script}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn settings(bench: &Bench, device: &str) -> String {
    let files = ["accept_ra", "autoconf", "accept_ra_defrtr", "addr_gen_mode", "disable_ipv6"];
    let files: Vec<String> = files.iter().map(|file| format!("/proc/sys/net/ipv6/conf/{device}/{file}")).collect();
    shell(bench, &format!("cat {}", files.join(" "))).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn addresses_come_from_routers_and_servers_and_go_with_the_network() {
    let Some(bench) = Bench::new("slaac").await else { return };
    let Some(mut far) = Far::new(&bench) else { return };
    // A host that forwards listens to routers only where it is told to, whatever they say.
    shell(&bench, "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding; echo 1 >/proc/sys/net/ipv6/conf/nic0/addr_gen_mode");
    let names =
        ["--dhcp-option=option6:dns-server,[2001:db8:5::53]", "--dhcp-option=option6:domain-search,lab.example"];
    if far.advertise("2001:db8:5::", &[RANGE, names[0], names[1]]).is_none() {
        return;
    }
    bench.settled().await;
    let settings_before = settings(&bench, "nic0");
    assert_eq!(settings_before, "1 1 1 1 0");
    let mut agent = bench.agent().await;

    let result = agent.set_up(request(network(false, auto()), ConnectivityCheck::Confirm)).await;
    assert_eq!(result.outcome(), Outcome::RolledBack, "{result:?}");
    assert_eq!(result.cause.unwrap().code, "CONNECTIVITY_LOST", "the router has answered");
    assert_eq!(settings(&bench, "nic0"), settings_before);
    assert!(!bench.ip("-6 address").contains("2001:db8:5:"), "{}", bench.ip("-6 address"));
    assert!(!bench.ip("-6 route").contains("default"), "{}", bench.ip("-6 route"));

    apply(&mut agent, network(false, auto())).await;
    assert_eq!(settings(&bench, "nic0"), "2 1 1 0 0");
    let on_nic = of(&until(&mut agent, 1, 0).await, AddressOrigin::Auto);
    assert!(bench.ip("-6 route").contains("dev nic0 proto ra"), "{}", bench.ip("-6 route"));
    // The router's name servers and domains are the host's, also with the next agent, and for what is not said itself.
    let names = || std::fs::read_to_string(bench.resolv_conf()).unwrap_or_default();
    let advertised = "search lab.example\nnameserver 2001:db8:5::53\n";
    eventually(|| names() == advertised, "names of the router").await;
    agent.kill().await;
    let mut agent = bench.agent().await;
    let told = agent.capabilities().await.resolver.unwrap();
    assert_eq!(
        (told.nameservers, told.search_domains),
        (vec!["2001:db8:5::53".to_owned()], vec!["lab.example".to_owned()])
    );
    let searching = wire::Network { search_domains: vec!["corp.example".to_owned()], ..network(false, auto()) };
    apply(&mut agent, searching).await;
    eventually(|| names() == "search corp.example\nnameserver 2001:db8:5::53\n", "the network's own domain").await;
    let result = agent.set_up(request(network(false, auto()), ConnectivityCheck::None)).await;
    assert_eq!(result.outcome(), Outcome::Unchanged, "what is not said any more stays beneath: {result:?}");
    eventually(|| names() == advertised, "the router's domain").await;

    // From the NIC to the bridge: the same address, and one of a server's beside it.
    apply(&mut agent, network(true, Method::AutoAndDhcp(wire::AdvertisedAndDhcp {}))).await;
    let both = until(&mut agent, 1, 1).await;
    assert_eq!((both.device.as_str(), of(&both, AddressOrigin::Auto)), ("blue", on_nic));
    assert!(bench.ip("-6 route").contains("dev blue proto ra"), "{}", bench.ip("-6 route"));
    let leased = of(&both, AddressOrigin::Dhcp);
    eventually(|| names() == advertised, "the same names of both").await;
    assert!(leased[0].starts_with("2001:db8:5::1") && leased[0].ends_with("/128"), "{leased:?}");

    // From both to a server's alone, also on the NIC and with the next agent: the same lease.
    apply(&mut agent, network(true, Method::Dhcp(wire::Dhcp {}))).await;
    assert_eq!(of(&until(&mut agent, 0, 1).await, AddressOrigin::Dhcp), leased);
    assert_eq!(settings(&bench, "blue"), "2 0 1 0 0");
    agent.kill().await;
    let mut agent = bench.agent().await;
    assert_eq!(of(&until(&mut agent, 0, 1).await, AddressOrigin::Dhcp), leased);
    apply(&mut agent, network(false, Method::Dhcp(wire::Dhcp {}))).await;
    assert_eq!(of(&until(&mut agent, 0, 1).await, AddressOrigin::Dhcp), leased);

    // A network that does not own the default route takes none; a static one hears nobody.
    apply(&mut agent, wire::Network { default_route: false, ..network(true, auto()) }).await;
    until(&mut agent, 1, 0).await;
    eventually(|| names() == "search corp.example\n", "what was configured before").await;
    assert!(!bench.ip("-6 route").contains("default"), "{}", bench.ip("-6 route"));
    // It answers through its own router all the same, and a lost route or rule comes back.
    let own = of(&until(&mut agent, 1, 0).await, AddressOrigin::Auto)[0].split('/').next().unwrap().to_owned();
    let is_answered =
        || shell(&bench, &format!("ip -6 route get 2001:db8:99::1 from {own} || true")).contains("via fe80::");
    eventually(is_answered, "a way back").await;
    assert!(bench.ip("-6 rule").contains("from 2001:db8:5::/64 lookup"), "{}", bench.ip("-6 rule"));
    let result = agent
        .set_up(request(wire::Network { default_route: false, ..network(true, auto()) }, ConnectivityCheck::None))
        .await;
    assert_eq!(result.outcome(), Outcome::Unchanged, "{result:?}");
    shell(&bench, "ip -6 rule delete from 2001:db8:5::/64; ip -6 route flush proto 117 table all");
    eventually(is_answered, "a way back again").await;
    let fixed = wire::StaticAddresses { addresses: vec!["2001:db8:7::1/64".to_owned()], gateway: None };
    apply(&mut agent, wire::Network { default_route: false, ..network(true, Method::Static(fixed)) }).await;
    until(&mut agent, 0, 0).await;
    eventually(|| !bench.ip("-6 rule").contains("2001:db8:5::"), "no rule of the router's").await;
    assert!(!bench.ip("-6 route show table all").contains("proto 117"), "{}", bench.ip("-6 route show table all"));

    let result = agent.set_up(request(crate::removal(), ConnectivityCheck::None)).await;
    assert_eq!(result.outcome(), Outcome::Applied, "{result:?}");
    assert_eq!(settings(&bench, "nic0"), settings_before);
    agent.terminate().await;
}

#[tokio::test]
async fn a_default_router_that_does_not_come_is_an_undo() {
    let Some(bench) = Bench::new("deaf").await else { return };
    let before = bench.settled().await;
    let mut agent = bench.agent().await;
    let result = agent.set_up(request(network(true, auto()), ConnectivityCheck::None)).await;
    assert_eq!(result.outcome(), Outcome::RolledBack, "{result:?}");
    let cause = result.cause.unwrap();
    assert!(cause.message.contains("no router has answered"), "{}", cause.message);
    bench.until(&before).await;
    agent.terminate().await;
}

#[tokio::test]
async fn a_bridge_that_moves_to_another_segment_has_only_what_is_advertised_there() {
    let Some(bench) = Bench::new("segment").await else { return };
    let Some(mut far) = Far::new(&bench) else { return };
    bench.ip("link add nic1 type veth peer name wire1");
    bench.ip(&format!("link set wire1 netns {}-far", bench.namespace()));
    far.ip("link set wire1 up");
    far.ip("address add 2001:db8:6::1/64 dev wire1 nodad");
    let other = ["--interface=wire1", "--ra-param=wire1,4", "--dhcp-range=2001:db8:6::100,2001:db8:6::1ff,slaac,64,1h"];
    if far.advertise("2001:db8:5::", &[RANGE, other[0], other[1], other[2]]).is_none() {
        return;
    }
    bench.settled().await;
    let mut agent = bench.agent().await;
    let on = |nic: &str| wire::Network {
        southbound: Some(wire::network::Southbound::Nic(nic.to_owned())),
        ..network(true, Method::AutoAndDhcp(wire::AdvertisedAndDhcp {}))
    };
    let only_of = |report: &wire::NetworkReport, prefix: &str| {
        for origin in [AddressOrigin::Auto, AddressOrigin::Dhcp] {
            assert!(of(report, origin).iter().all(|address| address.starts_with(prefix)), "{report:?}");
        }
        // A NIC that has been released hears its router for itself.
        assert_eq!(bench.ip("-6 route show default dev blue").matches("via").count(), 1, "{}", bench.ip("-6 route"));
    };
    apply(&mut agent, on("nic0")).await;
    only_of(&until(&mut agent, 1, 1).await, "2001:db8:5:");

    let result = agent.set_up(request(on("nic1"), ConnectivityCheck::Confirm)).await;
    assert_eq!(result.outcome(), Outcome::RolledBack, "{result:?}");
    assert_eq!(result.cause.unwrap().code, "CONNECTIVITY_LOST", "the other router has answered");
    only_of(&until(&mut agent, 1, 1).await, "2001:db8:5:");
    apply(&mut agent, on("nic1")).await;
    only_of(&until(&mut agent, 1, 1).await, "2001:db8:6:");
    agent.terminate().await;
}
