use std::net::Ipv6Addr;

use trestle_model::{
    BridgeOptions, BridgeSpec, DhcpClientSpec, DhcpState, GuestPorts, Lease, MacTableManager, Mtu, NetworkEntry,
    NetworkName, Origin, RouterPreference, Southbound, Topology,
};

use super::*;

fn spec(default_route: bool, ipv6: Ipv6Config) -> NetworkSpec {
    let name = IfName::parse("blue").unwrap();
    NetworkSpec {
        name: NetworkName::parse("blue").unwrap(),
        southbound: Some(Southbound::Nic(IfName::parse("eth0").unwrap())),
        vlan: None,
        mtu: Mtu::ETHERNET,
        topology: Topology::Bridged(BridgeSpec { name, stp: false, options: BridgeOptions::default() }),
        mac_table_manager: MacTableManager::Kernel,
        ipv4: trestle_model::Ipv4Config::None,
        ipv6,
        default_route,
        routes: Vec::new(),
        nameservers: Vec::new(),
        search_domains: Vec::new(),
        port_isolation: false,
        guest_ports: GuestPorts::default(),
        host_qos: None,
        custom: BTreeMap::new(),
    }
}

fn running(spec: NetworkSpec) -> HostConfig {
    let networks = [(spec.name.clone(), NetworkEntry { spec, origin: Origin::Local })].into();
    HostConfig { networks, ..HostConfig::default() }
}

fn told(router: &str, preference: Option<RouterPreference>) -> Advertised {
    Advertised {
        link: IfName::parse("blue").unwrap(),
        router: router.parse().unwrap(),
        preference,
        on_link: vec!["2001:db8:5::/64".parse().unwrap()],
        autonomous: vec!["2001:db8:5::/64".parse().unwrap()],
        nameservers: ["2001:db8::53", "fe80::53"].map(|text| text.parse::<Ipv6Addr>().unwrap()).to_vec(),
        search: vec!["lab.example".parse().unwrap()],
    }
}

fn leased(nameservers: &[&str]) -> DhcpClient {
    let blue = IfName::parse("blue").unwrap();
    DhcpClient {
        spec: DhcpClientSpec {
            link: blue.clone(),
            family: IpFamily::Ipv6,
            segment: blue,
            default_route: true,
            source_table: None,
            nameservers: true,
            search_domains: true,
        },
        state: DhcpState::Bound,
        lease: Some(Lease {
            address: "2001:db8:5::77/128".parse().unwrap(),
            server: String::new(),
            gateways: Vec::new(),
            routes: Vec::new(),
            nameservers: nameservers.iter().map(|text| text.parse().unwrap()).collect(),
            search: Vec::new(),
            expires_ms: None,
            lifetime_s: 3600,
            renew_s: 1800,
            preferred_s: 3600,
        }),
        problem: None,
    }
}

fn names(clients: &[DhcpClient], spec: NetworkSpec) -> String {
    let meant = names_meant(clients, &running(spec), &[told("fe80::1", None)]);
    let Some(NamesMeant { device, names }) = meant else { return "none".to_owned() };
    let servers: Vec<String> = names.servers.iter().map(ToString::to_string).collect();
    let search: Vec<&str> = names.search.iter().map(trestle_model::SearchDomain::as_str).collect();
    format!("{device}: {} search {}", servers.join(" "), search.join(" "))
}

#[test]
fn names_of_routers_follow_those_of_leases_where_the_network_names_none() {
    let auto = || spec(true, Ipv6Config::Auto);
    let both = || spec(true, Ipv6Config::AutoAndDhcp);
    let lease = leased(&["2001:db8::1", "2001:db8::53"]);
    let naming = NetworkSpec { nameservers: vec!["192.0.2.53".parse().unwrap()], ..auto() };
    let searching = NetworkSpec { search_domains: vec!["corp".parse().unwrap()], ..auto() };
    for (clients, spec, expected) in [
        (vec![], auto(), "blue: 2001:db8::53 fe80::53%blue search lab.example"),
        (vec![lease.clone()], both(), "blue: 2001:db8::1 2001:db8::53 fe80::53%blue search lab.example"),
        (vec![], naming, "blue:  search lab.example"),
        (vec![], searching, "blue: 2001:db8::53 fe80::53%blue search "),
        (vec![], spec(false, Ipv6Config::Auto), "none"),
        (vec![lease], spec(true, Ipv6Config::Dhcp), "blue: 2001:db8::1 2001:db8::53 search "),
        (vec![], spec(true, Ipv6Config::Dhcp), "none"),
    ] {
        assert_eq!(names(&clients, spec.clone()), expected, "{spec:?}");
    }
}

#[test]
fn a_network_off_the_default_route_answers_through_its_best_router() {
    let steered = |clients: &[DhcpClient], spec: NetworkSpec, advertised: &[Advertised]| {
        let Steering { routes, rules } = steering(clients, &running(spec), advertised);
        let routes = routes.iter().map(|route| match route.gateway {
            Some(gateway) => format!("{} via {gateway}", route.destination),
            None => route.destination.to_string(),
        });
        let rules = rules.iter().map(|rule| format!("from {}", rule.source));
        routes.chain(rules).collect::<Vec<_>>().join(", ")
    };
    let routers = [
        told("fe80::9", Some(RouterPreference::Medium)),
        told("fe80::3", Some(RouterPreference::Medium)),
        told("fe80::1", Some(RouterPreference::Low)),
        told("fe80::2", None),
    ];
    let off = |ipv6| spec(false, ipv6);
    let lease = [leased(&[])];
    let all = "2001:db8:5::/64, ::/0 via fe80::3, from 2001:db8:5::/64";
    assert_eq!(steered(&[], off(Ipv6Config::Auto), &routers), all);
    let leased_too = "2001:db8:5::/64, ::/0 via fe80::3, from 2001:db8:5::/64, from 2001:db8:5::77/128";
    assert_eq!(steered(&lease, off(Ipv6Config::AutoAndDhcp), &routers), leased_too);
    let leased_alone = "2001:db8:5::/64, ::/0 via fe80::3, from 2001:db8:5::77/128";
    assert_eq!(steered(&lease, off(Ipv6Config::Dhcp), &routers), leased_alone);
    // Without a router there is nothing to answer through; the default route's owner has the kernel's.
    assert_eq!(steered(&lease, off(Ipv6Config::Dhcp), &routers[3..]), "");
    assert_eq!(steered(&[], spec(true, Ipv6Config::Auto), &routers), "");
}

#[test]
fn routers_are_heard_where_networks_hear_them() {
    let heard = |ipv6| attended(&running(spec(false, ipv6))).into_iter().collect::<Vec<_>>();
    let [blue, eth0] = ["blue", "eth0"].map(|name| IfName::parse(name).unwrap());
    assert_eq!(heard(Ipv6Config::Auto), [(blue, eth0)]);
    assert_eq!(heard(Ipv6Config::None), []);
}
