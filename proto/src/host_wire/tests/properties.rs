//! What holds for every message, whatever is in it.

use proptest::prelude::*;
use trestle_model::{
    BondChange, BondSpec, Code, ConnectivityCheck, Fence, IfName, NetworkChange, NetworkName, NetworkSpec, NicChange,
    NicSpec, Origin, Scope, SetupOptions, SetupRequest, TransactionId,
};

use super::*;

proptest! {
    #[test]
    fn a_network_reads_back(spec in sample::network_spec()) {
        prop_assert_eq!(parse_network(&build_network(&spec), "networks[0]"), Ok(spec));
    }

    #[test]
    fn a_request_reads_back(
        specs in proptest::collection::vec(sample::network_spec(), 0..4),
        (bonds, nics) in (
            proptest::collection::vec(sample::bond_spec(), 0..4),
            proptest::collection::vec(sample::nic_spec(), 0..4),
        ),
        (removed, wait_ms, numbers, flags) in (0..3_usize, 1000_u64..=600_000, any::<[u64; 2]>(), any::<[bool; 4]>()),
        acknowledge in proptest::collection::vec(proptest::sample::select(Code::ALL), 0..3),
        scope in proptest::sample::select(vec![Scope::Named, Scope::Everything, Scope::Persistent]),
        adopt in proptest::collection::btree_set("[a-z][a-z0-9.]{0,14}", 0..3),
    ) {
        let (specs, bonds, nics) =
            if scope == Scope::Persistent { Default::default() } else { (specs, bonds, nics) };
        let [by_engine, checked, commit_on_success, validate_only] = flags;
        let context = if by_engine { ENGINE } else { LOCAL };
        let wait = Duration::from_millis(wait_ms);
        let connectivity_check = match (checked, context.origin) {
            (false, _) => ConnectivityCheck::None,
            (true, Origin::Engine) => ConnectivityCheck::Engine(wait),
            (true, Origin::Local) => ConnectivityCheck::Local(wait),
        };
        let specs: BTreeMap<NetworkName, NetworkSpec> =
            specs.into_iter().map(|spec| (spec.name.clone(), spec)).collect();
        let bonds: BTreeMap<IfName, BondSpec> = bonds.into_iter().map(|bond| (bond.name.clone(), bond)).collect();
        let bonds = bonds.into_iter().enumerate().map(|(position, (name, spec))| {
            if position < removed { BondChange::Remove(name) } else { BondChange::Set(spec) }
        });
        let bonds = bonds.collect();
        let nics: BTreeMap<IfName, NicSpec> = nics.into_iter().map(|nic| (nic.name.clone(), nic)).collect();
        let nics = nics.into_iter().enumerate().map(|(position, (name, spec))| {
            if position < removed { NicChange::Remove(name) } else { NicChange::Set(spec) }
        });
        let nics = nics.collect();
        let changes = specs.into_iter().enumerate().map(|(position, (name, spec))| {
            if position < removed { NetworkChange::Remove(name) } else { NetworkChange::Set(spec) }
        });
        let request = SetupRequest {
            changes: changes.collect(),
            bonds,
            nics,
            options: SetupOptions {
                transaction: TransactionId(Uuid::from_u128(8)),
                origin: context.origin,
                connectivity_check,
                commit_on_success,
                validate_only,
                acknowledge,
                fence: by_engine.then_some(Fence { epoch: numbers[0], generation: numbers[1] }),
                scope,
                adopt: adopt.iter().map(|name| IfName::parse(name).unwrap()).collect(),
            },
        };
        prop_assert_eq!(parse_setup(&build_setup(&request), context), Ok(request));
    }

    #[test]
    fn a_report_reads_back(report in sample::capabilities()) {
        prop_assert_eq!(parse_capabilities(&build_capabilities(&report)), Ok(report));
    }

    #[test]
    fn no_request_makes_a_panic(dice in sample::dice()) {
        let request: wire::SetupNetworksRequest = sample::any_message("trestle.host.v1.SetupNetworksRequest", &dice);
        match parse_setup(&request, LOCAL) {
            Ok(parsed) => prop_assert_eq!(parse_setup(&build_setup(&parsed), LOCAL), Ok::<SetupRequest, _>(parsed)),
            Err(findings) => prop_assert!(!findings.0.is_empty() && findings.refuses(&[])),
        }
    }

    #[test]
    fn no_report_makes_a_panic(dice in sample::dice()) {
        let report: wire::Capabilities = sample::any_message("trestle.host.v1.Capabilities", &dice);
        match parse_capabilities(&report) {
            Ok(parsed) => prop_assert_eq!(parse_capabilities(&build_capabilities(&parsed)), Ok(parsed)),
            Err(findings) => prop_assert!(!findings.0.is_empty()),
        }
    }

    #[test]
    fn no_result_makes_a_panic(dice in sample::dice()) {
        let result: wire::SetupNetworksResult = sample::any_message("trestle.host.v1.SetupNetworksResult", &dice);
        match parse_result(&result) {
            Ok(parsed) => prop_assert_eq!(parse_result(&build_result(&parsed)), Ok(parsed)),
            Err(findings) => prop_assert!(!findings.0.is_empty()),
        }
    }
}

#[test]
fn every_fault_of_a_route_is_told_at_its_field() {
    let route = |destination: &str, next_hop: &str| wire::StaticRoute {
        destination: destination.to_owned(),
        next_hop: next_hop.to_owned(),
        metric: 0,
    };
    let cases: [(wire::StaticRoute, &[&str]); 7] = [
        (route("0.0.0.0/0", "192.0.2.1"), &["ROUTE_INVALID networks[0].routes[1].destination"]),
        (route("198.51.100.9/24", "192.0.2.1"), &["ROUTE_INVALID networks[0].routes[1].destination"]),
        (
            route("198.51.100.0", "192.0.2.1/24"),
            &["ROUTE_INVALID networks[0].routes[1].destination", "ROUTE_INVALID networks[0].routes[1].next_hop"],
        ),
        (
            route("", ""),
            &["FIELD_MISSING networks[0].routes[1].destination", "FIELD_MISSING networks[0].routes[1].next_hop"],
        ),
        (route("2001:db8::/32", "192.0.2.1"), &["ROUTE_INVALID networks[0].routes[1].next_hop"]),
        (route("203.0.113.0/24", "192.0.2.2"), &["DUPLICATE networks[0].routes[1]"]),
        (route("2001:db8::/32", "fe80::1%eth0"), &["ROUTE_INVALID networks[0].routes[1].next_hop"]),
    ];
    for (bad, expected) in cases {
        let network = wire::Network { routes: vec![route("203.0.113.0/24", "192.0.2.1"), bad.clone()], ..blue() };
        assert_eq!(violations(parse_setup(&request(vec![network]), LOCAL)), expected, "{bad:?}");
    }
}

#[test]
fn every_fault_of_name_servers_and_custom_values_is_told_at_its_field() {
    let servers = |servers: &[&str]| servers.iter().map(|text| (*text).to_owned()).collect();
    let bad = wire::Network {
        nameservers: servers(&["192.0.2.53", "192.0.2.53", "fe80::53", "dns.example"]),
        search_domains: servers(&["lab.example", "LAB.example.", "two words", "a", "b", "c", "d"]),
        port_isolation: true,
        bridged: Some(false),
        custom: [("a key".to_owned(), String::new()), ("long".to_owned(), "x".repeat(1025))].into(),
        ..blue()
    };
    let found = violations(parse_setup(&request(vec![bad]), LOCAL));
    let expected = [
        "NAME_INVALID networks[0].custom",
        "TOO_LONG networks[0].custom.long",
        "TOO_LONG networks[0].nameservers",
        "NAMESERVERS_OFF_DEFAULT_ROUTE networks[0].nameservers",
        "DUPLICATE networks[0].nameservers[1]",
        "BAD_ADDRESS networks[0].nameservers[2]",
        "BAD_ADDRESS networks[0].nameservers[3]",
        "TOO_LONG networks[0].search_domains",
        "NAMESERVERS_OFF_DEFAULT_ROUTE networks[0].search_domains",
        "DUPLICATE networks[0].search_domains[1]",
        "NAME_INVALID networks[0].search_domains[2]",
        "BRIDGE_ATTRIBUTE_ON_BRIDGELESS networks[0].port_isolation",
    ];
    for fault in expected {
        assert!(found.contains(&fault.to_owned()), "{fault} in {found:?}");
    }
}
