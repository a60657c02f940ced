//! What an attachment says of its host: routes, name servers, rates; and MTUs side by side.

use trestle_model::fleet::{Entity, Fleet, Mutation, Network, NetworkAttachment};
use trestle_model::{BitRate, Code, HostQos, Ipv4Config, Ipv6Config, ResolverNames, StaticRoute};

use crate::fixture::{
    Told, attachment, cluster, cluster_network, error, fleet, host, ipv4, ipv6, mtu, network, network_name, put, vlan,
};

/// `blue` and `red` in a cluster, `blue` on h1's eth0 with addresses and a route.
fn furnished() -> Fleet {
    let blue = NetworkAttachment {
        ipv4: ipv4("192.0.2.10/24", None),
        routes: vec![route("198.51.100.0/24", "192.0.2.1", 0)],
        ..attachment("h1", "blue", "eth0")
    };
    fleet([
        Entity::Cluster(cluster("main")),
        Entity::Network(network("blue")),
        Entity::Network(Network { vlan: Some(vlan(7)), ..network("red") }),
        Entity::ClusterNetwork(cluster_network("main", "blue")),
        Entity::ClusterNetwork(cluster_network("main", "red")),
        Entity::Host(host("h1", "main")),
        Entity::NetworkAttachment(blue),
    ])
}

fn route(destination: &str, next_hop: &str, metric: u32) -> StaticRoute {
    StaticRoute::new(destination.parse().unwrap(), next_hop.parse().unwrap(), metric).unwrap()
}

fn red() -> NetworkAttachment {
    NetworkAttachment { ipv4: ipv4("203.0.113.2/24", None), ..attachment("h1", "red", "eth1") }
}

fn check(attachment: NetworkAttachment, expected: &[Told]) {
    assert_eq!(put(&furnished(), Entity::NetworkAttachment(attachment)), expected);
}

#[test]
fn a_route_has_a_next_hop_on_the_networks_link() {
    let with = |ipv4, ipv6, hop: &str| {
        let destination = if hop.contains(':') { "2001:db8:7::/48" } else { "10.7.0.0/16" };
        NetworkAttachment { ipv4, ipv6, routes: vec![route(destination, hop, 0)], ..red() }
    };
    let next_hop = |code| [error(code, "network_attachment.spec.routes[0].next_hop", &[])];
    let (v4, v6) = (|| ipv4("203.0.113.2/24", None), || ipv6("2001:db8::2/64", None));
    check(with(v4(), Ipv6Config::None, "203.0.113.1"), &[]);
    check(with(v4(), v6(), "2001:db8::1"), &[]);
    check(with(Ipv4Config::None, Ipv6Config::Auto, "fe80::1"), &[]);
    check(with(v4(), Ipv6Config::None, "192.0.2.1"), &next_hop(Code::GatewayNotOnLink));
    check(with(v4(), Ipv6Config::None, "203.0.113.2"), &next_hop(Code::GatewayNotOnLink));
    check(with(Ipv4Config::None, Ipv6Config::None, "203.0.113.1"), &next_hop(Code::GatewayWithoutAddress));
    check(with(Ipv4Config::Dhcp, Ipv6Config::None, "203.0.113.1"), &next_hop(Code::GatewayWithoutAddress));
    check(with(Ipv4Config::None, Ipv6Config::Auto, "2001:db8::1"), &next_hop(Code::GatewayWithoutAddress));
    check(with(v4(), Ipv6Config::None, "fe80::1"), &next_hop(Code::GatewayWithoutAddress));
}

#[test]
fn a_destination_and_metric_belong_to_one_network_of_the_host() {
    let with = |destination: &str, metric| NetworkAttachment {
        routes: vec![route(destination, "203.0.113.1", metric)],
        ..red()
    };
    let field = "network_attachment.spec.routes[0].destination";
    let blue = ["hosts/h1/networkAttachments/blue"];
    check(with("198.51.100.0/24", 0), &[error(Code::RouteTaken, field, &blue)]);
    check(with("198.51.100.0/24", 5), &[]);
    check(with("203.0.113.0/24", 0), &[error(Code::RouteTaken, field, &[])]);
}

#[test]
fn name_servers_need_the_default_route() {
    let dns = |servers: &[&str]| {
        Some(ResolverNames {
            servers: servers.iter().map(|server| server.parse().unwrap()).collect(),
            search: Vec::new(),
        })
    };
    let refused = error(Code::NameserversOffDefaultRoute, "network_attachment.spec.dns", &[]);
    check(NetworkAttachment { dns: dns(&["192.0.2.53"]), ..red() }, &[refused]);
    check(NetworkAttachment { dns: dns(&[]), ..red() }, &[]);
    let routed = NetworkAttachment {
        ipv4: ipv4("203.0.113.2/24", Some("203.0.113.1")),
        default_route: true,
        dns: dns(&["192.0.2.53"]),
        ..red()
    };
    check(routed, &[]);
}

#[test]
fn rates_need_a_device_and_promise_no_more_than_the_limit() {
    let rate = |kilobits: u64| BitRate::try_from(kilobits * 1000).unwrap();
    let qos = HostQos { link_share: rate(1), upper_limit: Some(rate(9)), committed_rate: Some(rate(10)) };
    let field = |resource: &str| format!("{resource}.spec.host_qos.committed_rate_bps");
    let refused = |resource: &str| error(Code::QosInvalid, &field(resource), &[]);
    check(NetworkAttachment { host_qos: Some(qos), ..red() }, &[refused("network_attachment")]);
    let told = put(&furnished(), Entity::Network(Network { host_qos: Some(qos), ..network("green") }));
    assert_eq!(told, [refused("network")]);
    let sound = HostQos { committed_rate: Some(rate(9)), ..qos };
    check(NetworkAttachment { host_qos: Some(sound), ..red() }, &[]);
    let mut fleet = furnished();
    fleet.apply(Mutation::Put(Entity::Network(network("red"))));
    let floating = NetworkAttachment { southbound: None, host_qos: Some(sound), ..red() };
    let told = put(&fleet, Entity::NetworkAttachment(floating));
    assert_eq!(told, [error(Code::QosWithoutSouthbound, "network_attachment.spec.host_qos", &[])]);
}

#[test]
fn no_vlan_is_larger_than_the_bare_network_on_its_device() {
    let bare = |bytes| Network { vm_network: false, mtu: mtu(bytes), ..network("blue") };
    let large = |bytes| Network { vlan: Some(vlan(7)), mtu: mtu(bytes), ..network("red") };
    let with = |entities: Vec<Entity>| {
        let mut fleet = furnished();
        entities.into_iter().for_each(|entity| fleet.apply(Mutation::Put(entity)));
        fleet
    };
    let on_eth0 = || Entity::NetworkAttachment(attachment("h1", "red", "eth0"));
    let crossed = with(vec![Entity::Network(bare(1500)), Entity::Network(large(9000))]);
    let nic = "network_attachment.spec.nic";
    let blue = ["hosts/h1/networkAttachments/blue"];
    assert_eq!(put(&crossed, on_eth0()), [error(Code::MtuOutOfRange, nic, &blue)]);
    let fitting = with(vec![Entity::Network(bare(9000)), Entity::Network(large(9000)), on_eth0()]);
    assert_eq!(put(&fitting, on_eth0()), []);
    let red = ["hosts/h1/networkAttachments/red"];
    assert_eq!(put(&fitting, Entity::Network(bare(1500))), [error(Code::MtuOutOfRange, "network.spec.mtu", &red)]);
    assert_eq!(put(&fitting, Entity::Network(large(9001))), [error(Code::MtuOutOfRange, "network.spec.mtu", &blue)]);
    // A bridge keeps an MTU of its own, whatever the NIC's.
    let bridged = with(vec![Entity::Network(large(9000))]);
    assert_eq!(put(&bridged, on_eth0()), []);
}

#[test]
fn an_attachments_names_and_rates_outweigh_the_networks() {
    let rate = |kilobits: u64| BitRate::try_from(kilobits * 1000).unwrap();
    let qos = |kilobits| Some(HostQos { link_share: rate(kilobits), upper_limit: None, committed_rate: None });
    let names = |server: &str| ResolverNames { servers: vec![server.parse().unwrap()], search: Vec::new() };
    let blue = Network { dns: names("192.0.2.53"), host_qos: qos(1), ..network("blue") };
    let plain = attachment("h1", "blue", "eth0");
    let routed = NetworkAttachment { default_route: true, ..plain.clone() };
    let empty = NetworkAttachment { dns: Some(ResolverNames::default()), ..routed.clone() };
    let own = NetworkAttachment { dns: Some(names("192.0.2.99")), host_qos: qos(2), ..routed.clone() };
    let floating = NetworkAttachment { southbound: None, ..routed.clone() };
    let desired = |attachment: NetworkAttachment| {
        let fleet = fleet([Entity::Network(blue.clone()), Entity::NetworkAttachment(attachment)]);
        let spec = fleet.desired_networks(&crate::fixture::host_name("h1")).remove(0);
        assert_eq!(spec.name, network_name("blue"));
        (spec.resolver_names(), spec.host_qos)
    };
    assert_eq!(desired(plain), (ResolverNames::default(), qos(1)));
    assert_eq!(desired(routed), (names("192.0.2.53"), qos(1)));
    assert_eq!(desired(empty), (ResolverNames::default(), qos(1)));
    assert_eq!(desired(own), (names("192.0.2.99"), qos(2)));
    assert_eq!(desired(floating), (names("192.0.2.53"), None));
}
