use trestle_model::{DhcpState, LeaseRoute};

use super::*;

fn client(default_route: bool, lease: Lease) -> DhcpClient {
    let (link, segment) = (IfName::parse("blue").unwrap(), IfName::parse("eth0").unwrap());
    let spec = DhcpClientSpec {
        link,
        family: IpFamily::Ipv4,
        segment,
        default_route,
        source_table: None,
        nameservers: false,
        search_domains: false,
    };
    DhcpClient { spec, state: DhcpState::Bound, lease: Some(lease), problem: None }
}

fn lease(address: &str, gateways: &[&str], routes: &[(&str, Option<&str>)]) -> Lease {
    Lease {
        address: address.parse().unwrap(),
        server: "192.0.2.1".to_owned(),
        gateways: gateways.iter().map(|gateway| gateway.parse().unwrap()).collect(),
        routes: routes
            .iter()
            .map(|(destination, next_hop)| LeaseRoute {
                destination: destination.parse().unwrap(),
                next_hop: next_hop.map(|hop| hop.parse().unwrap()),
            })
            .collect(),
        nameservers: Vec::new(),
        search: Vec::new(),
        expires_ms: None,
        lifetime_s: u32::MAX,
        renew_s: 1800,
        preferred_s: u32::MAX,
    }
}

fn lines(client: &DhcpClient) -> Vec<String> {
    let text = |route: &Route| match route.gateway {
        Some(gateway) => format!("{} via {gateway}", route.destination),
        None => format!("{} scope {}", route.destination, route.scope),
    };
    meaning(client).unwrap().routes.iter().map(text).collect()
}

#[test]
fn the_first_gateway_is_the_default_route_of_the_network_that_owns_it() {
    let given = lease("192.0.2.50/24", &["192.0.2.1", "192.0.2.2"], &[]);
    assert_eq!(lines(&client(true, given.clone())), ["0.0.0.0/0 via 192.0.2.1"]);
    assert_eq!(lines(&client(false, given)), Vec::<String>::new());
}

#[test]
fn routes_by_destination_stand_for_the_gateways() {
    let routes = [("0.0.0.0/0", Some("192.0.2.9")), ("198.51.100.0/24", Some("192.0.2.3")), ("203.0.113.0/24", None)];
    let given = lease("192.0.2.50/24", &["192.0.2.1"], &routes);
    let specific = ["203.0.113.0/24 scope 253", "198.51.100.0/24 via 192.0.2.3"];
    assert_eq!(lines(&client(false, given.clone())), specific);
    let with_default = ["203.0.113.0/24 scope 253", "198.51.100.0/24 via 192.0.2.3", "0.0.0.0/0 via 192.0.2.9"];
    assert_eq!(lines(&client(true, given)), with_default);
}

#[test]
fn a_network_off_the_default_route_answers_through_the_leases_own_gateway() {
    let mut client = client(false, lease("192.0.2.50/24", &["192.0.2.1"], &[]));
    client.spec.source_table = Some(7);
    let meant = meaning(&client).unwrap();
    let tables: Vec<u32> = meant.routes.iter().map(|route| route.table).collect();
    assert_eq!(
        (lines(&client), tables),
        (vec!["192.0.2.0/24 scope 253".to_owned(), "0.0.0.0/0 via 192.0.2.1".to_owned()], vec![7, 7])
    );
    let rule = Rule { source: "192.0.2.50/32".parse().unwrap(), table: 7, priority: 30_000, protocol: LEASE_PROTOCOL };
    assert_eq!(meant.rules, [rule]);
    // Without a gateway there is nothing to answer through.
    client.lease = Some(lease("192.0.2.50/24", &[], &[("203.0.113.0/24", None)]));
    let meant = meaning(&client).unwrap();
    assert_eq!((meant.routes.len(), meant.routes[0].table, meant.rules), (1, Route::MAIN, vec![]));
}

#[test]
fn names_of_leases_are_those_that_are_legal_and_left_to_them() {
    let texts = |client: &DhcpClient| {
        let all = leased_names(std::slice::from_ref(client));
        let texts = all.flat_map(|(link, names)| {
            let servers: Vec<String> = names.servers.iter().map(ToString::to_string).collect();
            let search: Vec<String> = names.search.iter().map(ToString::to_string).collect();
            [link.to_string(), servers.join(" "), search.join(" ")]
        });
        texts.collect::<Vec<_>>().join(" | ")
    };
    let mut client = client(true, lease("192.0.2.50/24", &[], &[]));
    client.lease = client.lease.map(|lease| Lease {
        nameservers: ["192.0.2.1", "0.0.0.0", "fe80::1"].map(|server| server.parse().unwrap()).to_vec(),
        search: ["LAB.example.", "not a domain"].map(str::to_owned).to_vec(),
        ..lease
    });
    for (nameservers, search_domains, expected) in [
        (true, true, "blue | 192.0.2.1 fe80::1%blue | lab.example"),
        (true, false, "blue | 192.0.2.1 fe80::1%blue | "),
        (false, true, "blue |  | lab.example"),
        (false, false, ""),
    ] {
        (client.spec.nameservers, client.spec.search_domains) = (nameservers, search_domains);
        assert_eq!(texts(&client), expected);
    }
}

#[test]
fn a_short_prefix_alone_has_a_broadcast_address() {
    let broadcast = |net| meaning(&client(false, lease(net, &[], &[]))).unwrap().address.broadcast;
    assert_eq!(broadcast("192.0.2.50/24"), Some("192.0.2.255".parse().unwrap()));
    assert_eq!(broadcast("192.0.2.50/32"), None);
}
