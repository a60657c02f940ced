mod nics;
mod properties;

use std::collections::BTreeMap;
use std::time::Duration;

use prost_types::FieldMask;
use trestle_model::{
    BondChange, BondMode, BondOption, Code, ConnectivityCheck, Fence, Finding, Findings, IfName, Ipv4Config, Leftover,
    MacTableManager, NetworkChange, NetworkName, Origin, Outcome, Progress, TransactionId, TransactionReport,
};
use uuid::Uuid;

use super::*;
use crate::host::v1 as wire;
use crate::host::v1::network::Southbound;
use crate::host::v1::setup_networks_response::Event;
use crate::sample;

const LOCAL: SetupContext = SetupContext { origin: Origin::Local, fresh: TransactionId(Uuid::from_u128(7)) };
const ENGINE: SetupContext = SetupContext { origin: Origin::Engine, fresh: TransactionId(Uuid::from_u128(7)) };

fn blue() -> wire::Network {
    wire::Network {
        name: "blue".to_owned(),
        southbound: Some(Southbound::Nic("eth1".to_owned())),
        ..wire::Network::default()
    }
}

fn ipv4(addresses: &[&str], gateway: Option<&str>) -> Option<wire::Ipv4Config> {
    let given = static_addresses(addresses, gateway);
    Some(wire::Ipv4Config { method: Some(wire::ipv4_config::Method::Static(given)) })
}

fn ipv6(addresses: &[&str], gateway: Option<&str>) -> Option<wire::Ipv6Config> {
    let given = static_addresses(addresses, gateway);
    Some(wire::Ipv6Config { method: Some(wire::ipv6_config::Method::Static(given)) })
}

fn static_addresses(addresses: &[&str], gateway: Option<&str>) -> wire::StaticAddresses {
    wire::StaticAddresses {
        addresses: addresses.iter().map(|text| (*text).to_owned()).collect(),
        gateway: gateway.map(str::to_owned),
    }
}

fn request(networks: Vec<wire::Network>) -> wire::SetupNetworksRequest {
    wire::SetupNetworksRequest { networks, ..wire::SetupNetworksRequest::default() }
}

/// Lists the violations of a request as `CODE field`, after checking that each says what is wrong and what to do.
fn violations<T: std::fmt::Debug>(result: Result<T, Findings>) -> Vec<String> {
    let findings = result.unwrap_err().0;
    for finding in &findings {
        assert!(!finding.message.is_empty() && !finding.remedy.is_empty(), "{finding:?} lacks words");
    }
    findings.iter().map(|finding| format!("{} {}", finding.code, finding.field)).collect()
}

/// Checks that a network, as the only one of a request, has exactly these violations.
#[track_caller]
fn check_network(network: wire::Network, expected: &[&str]) {
    assert_eq!(violations(parse_setup(&request(vec![network]), LOCAL)), expected);
}

#[track_caller]
fn check_request(request: &wire::SetupNetworksRequest, expected: &[&str]) {
    assert_eq!(violations(parse_setup(request, LOCAL)), expected);
}

#[test]
fn an_empty_network_has_the_documented_defaults() {
    let network = wire::Network { name: "blue".to_owned(), ..wire::Network::default() };
    let spec = parse_network(&network, "networks[0]").unwrap();
    let bridge = spec.bridge().unwrap();
    assert_eq!(bridge.name, IfName::for_bridge(&spec.name));
    assert!(!bridge.stp);
    assert_eq!((spec.mtu.get(), spec.vlan, spec.southbound), (1500, None, None));
    assert_eq!((spec.mac_table_manager, spec.ipv4), (MacTableManager::Kernel, Ipv4Config::None));
}

#[test]
fn names_are_checked() {
    check_network(wire::Network::default(), &["FIELD_MISSING networks[0].name"]);
    check_network(
        wire::Network { name: "a b".to_owned(), ..wire::Network::default() },
        &["NAME_INVALID networks[0].name"],
    );
    check_network(wire::Network { name: "x".repeat(257), ..blue() }, &["NAME_INVALID networks[0].name"]);
    check_network(
        wire::Network { southbound: Some(Southbound::Nic("a/b".to_owned())), ..blue() },
        &["NAME_INVALID networks[0].nic"],
    );
    check_network(
        wire::Network { southbound: Some(Southbound::Nic(String::new())), ..blue() },
        &["FIELD_MISSING networks[0].nic"],
    );
    for name in ["default", "all", "bonding_masters", "eth0.10", "-a", "sixteen-chars-xx", "a b"] {
        check_network(
            wire::Network { bridge_name: name.to_owned(), ..blue() },
            &["BRIDGE_NAME_INVALID networks[0].bridge_name"],
        );
    }
}

#[test]
fn a_network_that_is_named_twice_is_a_duplicate_however_it_is_named() {
    let removal = wire::Network { name: "blue".to_owned(), remove: true, ..wire::Network::default() };
    check_request(
        &request(vec![blue(), removal, blue()]),
        &["DUPLICATE networks[1].name", "DUPLICATE networks[2].name"],
    );
}

fn bond0() -> wire::Bond {
    wire::Bond {
        name: "bond0".to_owned(),
        nics: vec!["eth1".to_owned(), "eth2".to_owned()],
        mode: wire::BondMode::Lacp.into(),
        ..wire::Bond::default()
    }
}

/// Checks that a bond, as the only one of a request, has exactly these violations.
#[track_caller]
fn check_bond(bond: wire::Bond, expected: &[&str]) {
    let request = wire::SetupNetworksRequest { bonds: vec![bond], ..wire::SetupNetworksRequest::default() };
    assert_eq!(violations(parse_setup(&request, LOCAL)), expected);
}

fn with_options(mode: wire::BondMode, options: wire::BondOptions) -> wire::Bond {
    wire::Bond { mode: mode.into(), options: Some(options), ..bond0() }
}

#[test]
fn a_bond_is_read_with_its_options() {
    let options = wire::BondOptions {
        miimon_ms: Some(50),
        lacp_rate: wire::BondLacpRate::Fast.into(),
        xmit_hash_policy: wire::BondXmitHashPolicy::Layer34.into(),
        lacp_active: Some(false),
        ad_actor_system: "02:00:00:00:00:01".to_owned(),
        ..wire::BondOptions::default()
    };
    let bond = with_options(wire::BondMode::Lacp, options);
    let request = wire::SetupNetworksRequest { bonds: vec![bond], ..wire::SetupNetworksRequest::default() };
    let [BondChange::Set(read)] = &parse_setup(&request, LOCAL).unwrap().bonds[..] else { panic!("no bond") };
    assert_eq!((read.options.mode, read.nics.len()), (BondMode::Lacp, 2));
    let numbers = [
        (BondOption::Miimon, 50),
        (BondOption::XmitHashPolicy, 1),
        (BondOption::LacpActive, 0),
        (BondOption::LacpRate, 1),
    ];
    assert_eq!(read.options.numbers, numbers.into());
}

#[test]
fn every_violation_of_a_bond_has_its_field() {
    check_bond(wire::Bond::default(), &["FIELD_MISSING bonds[0].mode", "FIELD_MISSING bonds[0].name"]);
    for name in ["a/b", "bonding_masters", "bond0.10", "sixteen-chars-xx"] {
        check_bond(wire::Bond { name: name.to_owned(), ..bond0() }, &["BOND_NAME_INVALID bonds[0].name"]);
    }
    check_bond(wire::Bond { nics: vec!["a b".to_owned()], ..bond0() }, &["NAME_INVALID bonds[0].nics[0]"]);
    check_bond(wire::Bond { mode: 99, ..bond0() }, &["ENUM_UNKNOWN bonds[0].mode"]);
    check_bond(wire::Bond { hwaddr: "zz".to_owned(), ..bond0() }, &["BOND_OPTION_INVALID bonds[0].hwaddr"]);
    let multicast = wire::Bond { hwaddr: "01:00:5e:00:00:01".to_owned(), ..bond0() };
    check_bond(multicast, &["BOND_OPTION_INVALID bonds[0].hwaddr"]);
    check_bond(wire::Bond { remove: true, ..bond0() }, &["REMOVE_WITH_ATTRIBUTES bonds[0].remove"]);
    let options = wire::BondOptions {
        lacp_rate: 7,
        arp_interval_ms: Some(1000),
        min_links: Some(70_000),
        arp_ip_targets: vec!["fe80::1".to_owned()],
        primary: "eth1".to_owned(),
        ..wire::BondOptions::default()
    };
    let expected = [
        "BOND_OPTION_INVALID bonds[0].options.arp_interval_ms",
        "BOND_OPTION_INVALID bonds[0].options.arp_ip_targets",
        "BAD_ADDRESS bonds[0].options.arp_ip_targets[0]",
        "ENUM_UNKNOWN bonds[0].options.lacp_rate",
        "BOND_OPTION_INVALID bonds[0].options.miimon_ms",
        "BOND_OPTION_INVALID bonds[0].options.min_links",
        "BOND_OPTION_INVALID bonds[0].options.primary",
    ];
    check_bond(with_options(wire::BondMode::Lacp, options), &expected);
    let twice = wire::SetupNetworksRequest { bonds: vec![bond0(), bond0()], ..wire::SetupNetworksRequest::default() };
    check_request(&twice, &["DUPLICATE bonds[1].name"]);
}

#[test]
fn a_removal_takes_a_name_only() {
    let attributes = [
        wire::Network { remove: true, mtu: Some(1500), ..blue() },
        wire::Network { remove: true, ..blue() },
        wire::Network { remove: true, name: "blue".to_owned(), bridged: Some(true), ..wire::Network::default() },
    ];
    for network in attributes {
        check_network(network, &["REMOVE_WITH_ATTRIBUTES networks[0].remove"]);
    }
    check_network(wire::Network { remove: true, ..wire::Network::default() }, &["FIELD_MISSING networks[0].name"]);
    let removal = wire::Network { name: "blue".to_owned(), remove: true, ..wire::Network::default() };
    let parsed = parse_setup(&request(vec![removal]), LOCAL).unwrap();
    assert_eq!(parsed.changes, [NetworkChange::Remove(NetworkName::parse("blue").unwrap())]);
}

#[test]
fn vlans_are_checked() {
    for id in [4095, 65_536, u32::MAX] {
        check_network(wire::Network { vlan_id: Some(id), ..blue() }, &["VLAN_OUT_OF_RANGE networks[0].vlan_id"]);
    }
    check_network(
        wire::Network { vlan_id: Some(10), southbound: None, ..blue() },
        &["VLAN_WITHOUT_SOUTHBOUND networks[0].vlan_id"],
    );
    for id in [0, 1, 4094] {
        assert!(parse_network(&wire::Network { vlan_id: Some(id), ..blue() }, "").is_ok());
    }
}

#[test]
fn mtus_are_checked() {
    for mtu in [0, 67, 65_536] {
        check_network(wire::Network { mtu: Some(mtu), ..blue() }, &["MTU_OUT_OF_RANGE networks[0].mtu"]);
    }
    let six = |mtu| wire::Network { mtu: Some(mtu), ipv6: ipv6(&["2001:db8::2/64"], None), ..blue() };
    check_network(six(1279), &["MTU_OUT_OF_RANGE networks[0].mtu"]);
    assert!(parse_network(&six(1280), "").is_ok());
}

#[test]
fn a_network_without_a_bridge_takes_no_bridge_attributes_and_needs_something_to_stand_on() {
    let bridgeless = wire::Network {
        bridged: Some(false),
        bridge_name: "br0".to_owned(),
        stp: true,
        bridge_options: Some(wire::BridgeOptions { priority: Some(1), ..wire::BridgeOptions::default() }),
        southbound: None,
        ..blue()
    };
    check_network(
        bridgeless,
        &[
            "BRIDGE_ATTRIBUTE_ON_BRIDGELESS networks[0].bridge_name",
            "BRIDGE_ATTRIBUTE_ON_BRIDGELESS networks[0].bridge_options",
            "BRIDGELESS_WITHOUT_SOUTHBOUND networks[0].bridged",
            "BRIDGE_ATTRIBUTE_ON_BRIDGELESS networks[0].stp",
        ],
    );
    // The flag is kept where it has no effect; that is a warning of the plan's, not a violation of form.
    let spec =
        parse_network(&wire::Network { bridged: Some(false), manage_macs_with_libvirt: true, ..blue() }, "").unwrap();
    assert_eq!(spec.mac_table_manager, MacTableManager::Libvirt);
}

#[test]
fn bridge_options_are_checked() {
    let beyond = wire::BridgeOptions {
        ageing_time_cs: Some(u32::MAX),
        forward_delay_cs: Some(199),
        hello_time_cs: Some(1001),
        max_age_cs: Some(599),
        priority: Some(65_536),
        group_fwd_mask: Some(0x1_0000),
        default_pvid: Some(4095),
        multicast_hash_max: Some(0),
        multicast_query_interval_cs: Some(99),
        multicast_igmp_version: Some(1),
        multicast_mld_version: Some(3),
        ..wire::BridgeOptions::default()
    };
    let names = [
        "ageing_time_cs",
        "default_pvid",
        "forward_delay_cs",
        "group_fwd_mask",
        "hello_time_cs",
        "max_age_cs",
        "multicast_hash_max",
        "multicast_igmp_version",
        "multicast_mld_version",
        "multicast_query_interval_cs",
        "priority",
    ];
    let expected = names.map(|name| format!("BRIDGE_OPTION_OUT_OF_RANGE networks[0].bridge_options.{name}"));
    let network = wire::Network { bridge_options: Some(beyond), ..blue() };
    assert_eq!(violations(parse_setup(&request(vec![network]), LOCAL)), expected);
    let options = wire::BridgeOptions { multicast_router: Some(4), ..wire::BridgeOptions::default() };
    check_network(
        wire::Network { bridge_options: Some(options), ..blue() },
        &["ENUM_UNKNOWN networks[0].bridge_options.multicast_router"],
    );
    for mask in [1, 2, 4, 0xffff] {
        let options = wire::BridgeOptions { group_fwd_mask: Some(mask), ..wire::BridgeOptions::default() };
        check_network(
            wire::Network { bridge_options: Some(options), ..blue() },
            &["BRIDGE_OPTION_OUT_OF_RANGE networks[0].bridge_options.group_fwd_mask"],
        );
    }
}

/// Addresses, a gateway, and the violations that they have, as code and field.
type Ipv4Case = (&'static [&'static str], Option<&'static str>, &'static [(&'static str, &'static str)]);

#[test]
fn ipv4_configurations_are_checked() {
    let at = |part: &str| format!("networks[0].ipv4.static.{part}");
    let cases: [Ipv4Case; 10] = [
        (&[], None, &[("BAD_ADDRESS", "addresses")]),
        (&[], Some("192.0.2.1"), &[("GATEWAY_WITHOUT_ADDRESS", "gateway")]),
        (&["192.0.2.10"], None, &[("BAD_ADDRESS", "addresses[0]")]),
        (&["192.0.2.10/33"], None, &[("BAD_ADDRESS", "addresses[0]")]),
        (&["2001:db8::1/64"], None, &[("BAD_ADDRESS", "addresses[0]")]),
        (
            &["127.0.0.1/8", "192.0.2.255/24", "224.0.0.1/24", "192.0.2.10/24"],
            None,
            &[("BAD_ADDRESS", "addresses[0]"), ("BAD_ADDRESS", "addresses[1]"), ("BAD_ADDRESS", "addresses[2]")],
        ),
        (
            &["192.0.2.10/24", "192.0.2.10/25", "192.0.2.10/24"],
            None,
            &[("BAD_ADDRESS", "addresses[1]"), ("BAD_ADDRESS", "addresses[2]")],
        ),
        (&["192.0.2.10/24"], Some("198.51.100.1"), &[("GATEWAY_NOT_ON_LINK", "gateway")]),
        (&["192.0.2.10/24"], Some(""), &[("BAD_ADDRESS", "gateway")]),
        (&["nonsense"], Some("fe80::1"), &[("BAD_ADDRESS", "addresses[0]"), ("BAD_ADDRESS", "gateway")]),
    ];
    for (addresses, gateway, expected) in cases {
        let network = wire::Network { ipv4: ipv4(addresses, gateway), ..blue() };
        let expected: Vec<String> = expected.iter().map(|(code, part)| format!("{code} {}", at(part))).collect();
        assert_eq!(violations(parse_setup(&request(vec![network]), LOCAL)), expected, "{addresses:?} {gateway:?}");
    }
}

#[test]
fn ipv6_configurations_are_checked() {
    let network = |addresses, gateway| wire::Network { ipv6: ipv6(addresses, gateway), ..blue() };
    check_network(
        network(&["192.0.2.1/24", "ff02::1/64", "::1/128"], None),
        &[
            "BAD_ADDRESS networks[0].ipv6.static.addresses[0]",
            "BAD_ADDRESS networks[0].ipv6.static.addresses[1]",
            "BAD_ADDRESS networks[0].ipv6.static.addresses[2]",
        ],
    );
    check_network(
        network(&["2001:db8::2/64"], Some("2001:db8:1::1")),
        &["GATEWAY_NOT_ON_LINK networks[0].ipv6.static.gateway"],
    );
    assert!(parse_network(&network(&["2001:db8::2/64"], Some("fe80::1")), "").is_ok());
}

#[test]
fn an_unset_oneof_is_the_default() {
    let network = wire::Network {
        ipv4: Some(wire::Ipv4Config { method: None }),
        ipv6: Some(wire::Ipv6Config { method: None }),
        ..blue()
    };
    assert_eq!(parse_network(&network, "").unwrap(), parse_network(&blue(), "").unwrap());
}

#[test]
fn options_of_a_request_are_checked_all_at_once() {
    let bad = wire::SetupNetworksRequest {
        connectivity_check: 99,
        connectivity_timeout: Some(prost_types::Duration { seconds: 601, nanos: 0 }),
        acknowledge_warnings: vec!["NO_EFFECT_NOT_BRIDGED".to_owned(), "NO_SUCH".to_owned(), String::new()],
        request_id: "one".to_owned(),
        ..request(vec![blue()])
    };
    check_request(
        &bad,
        &[
            "CODE_UNKNOWN acknowledge_warnings[1]",
            "CODE_UNKNOWN acknowledge_warnings[2]",
            "ENUM_UNKNOWN connectivity_check",
            "TIMEOUT_OUT_OF_RANGE connectivity_timeout",
            "NAME_INVALID request_id",
        ],
    );
}

#[test]
fn a_timeout_of_one_second_to_ten_minutes_is_accepted() {
    let with = |seconds, nanos| wire::SetupNetworksRequest {
        connectivity_timeout: Some(prost_types::Duration { seconds, nanos }),
        ..request(vec![blue()])
    };
    for (seconds, nanos, timeout) in [(1, 0, 1000), (1, 500_000_000, 1500), (600, 0, 600_000)] {
        let parsed = parse_setup(&with(seconds, nanos), LOCAL).unwrap();
        assert_eq!(parsed.options.connectivity_check, ConnectivityCheck::Local(Duration::from_millis(timeout)));
    }
    let beyond = [(0, 0), (0, 999_999_999), (600, 1), (-1, 0), (5, -1), (1, 1_000_000_000), (i64::MAX, i32::MAX)];
    for (seconds, nanos) in beyond {
        check_request(&with(seconds, nanos), &["TIMEOUT_OUT_OF_RANGE connectivity_timeout"]);
    }
}

#[test]
fn who_asks_has_to_confirm_unless_nobody_has_to() {
    use wire::ConnectivityCheck::{Confirm, None, Unspecified};
    let thirty = Duration::from_secs(30);
    for (check, context, expected) in [
        (Unspecified, LOCAL, ConnectivityCheck::Local(thirty)),
        (Confirm, LOCAL, ConnectivityCheck::Local(thirty)),
        (Unspecified, ENGINE, ConnectivityCheck::Engine(thirty)),
        (Confirm, ENGINE, ConnectivityCheck::Engine(thirty)),
        (None, LOCAL, ConnectivityCheck::None),
        (None, ENGINE, ConnectivityCheck::None),
    ] {
        let request = wire::SetupNetworksRequest { connectivity_check: check.into(), ..request(vec![blue()]) };
        assert_eq!(parse_setup(&request, context).unwrap().options.connectivity_check, expected);
    }
}

#[test]
fn a_fence_is_the_engines_or_a_local_clients_own_wish() {
    let fence = |request: &_, context| parse_setup(request, context).unwrap().options.fence;
    let bare = request(vec![blue()]);
    assert_eq!(fence(&bare, LOCAL), None);
    assert_eq!(fence(&bare, ENGINE), Some(Fence::default()));
    let fenced = wire::SetupNetworksRequest { generation: 4, ..bare };
    assert_eq!(fence(&fenced, LOCAL), Some(Fence { epoch: 0, generation: 4 }));
}

#[test]
fn an_empty_request_id_takes_the_fresh_one() {
    assert_eq!(parse_setup(&request(Vec::new()), LOCAL).unwrap().options.transaction, LOCAL.fresh);
}

#[test]
fn long_input_is_cut_in_messages() {
    let network = wire::Network { ipv4: ipv4(&["x".repeat(1_000_000).as_str()], None), ..blue() };
    let findings = parse_network(&network, "networks[0]").unwrap_err();
    assert!(findings.0[0].message.len() < 200);
}

#[test]
fn a_read_mask_keeps_what_it_names() {
    let report = wire::Capabilities {
        agent_version: "1".to_owned(),
        dirty: true,
        kernel: Some(wire::KernelInfo::default()),
        ..wire::Capabilities::default()
    };
    let mask = |paths: &[&str]| FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() };
    let apply = |paths| ReadMask::parse(Some(&mask(paths))).unwrap().apply(report.clone());
    assert_eq!(apply(&["dirty"]), wire::Capabilities { dirty: true, ..wire::Capabilities::default() });
    assert_eq!(apply(&[]), report);
    assert_eq!(apply(&["*"]), report);
    assert_eq!(ReadMask::parse(None).unwrap().apply(report.clone()), report);
    assert_eq!(
        violations(ReadMask::parse(Some(&mask(&["dirty", "nope", "kernel.release"])))),
        ["FIELD_MASK_INVALID read_mask", "FIELD_MASK_INVALID read_mask"]
    );
}

#[test]
fn a_read_mask_knows_every_field_of_a_report() {
    let report = crate::schema::message("trestle.host.v1.Capabilities");
    let fields: Vec<String> = report.fields().map(|field| field.name().to_owned()).collect();
    assert_eq!(fields, ReadMask::FIELDS);
}

#[test]
fn every_sign_of_life_has_its_event() {
    let id = LOCAL.fresh;
    let event = |progress| build_progress(&progress, id).event.unwrap();
    let accepted = Event::Accepted(wire::TransactionAccepted { transaction_id: id.to_string(), steps: 3 });
    assert_eq!(event(Progress::Accepted { transaction: id, steps: 3 }), accepted);
    let step = Progress::Step { number: 1, of: 3, text: "set link eth0 up".to_owned() };
    assert_eq!(event(step), Event::StepDone(wire::StepDone { number: 1, of: 3, text: "set link eth0 up".to_owned() }));
    assert_eq!(event(Progress::Verified), Event::Verified(wire::TransactionVerified {}));
    let Event::AwaitingConfirmation(wait) = event(Progress::AwaitingConfirmation { timeout_ms: 1500 }) else {
        panic!("another event");
    };
    assert_eq!(wait.transaction_id, id.to_string());
    assert_eq!(wait.timeout, Some(prost_types::Duration { seconds: 1, nanos: 500_000_000 }));
    assert_eq!(event(Progress::Confirmed), Event::Confirmed(wire::TransactionConfirmed {}));
    let cause = Finding::error(Code::StepFailed, "", "no such device");
    let Event::Undoing(undoing) = event(Progress::Undoing { cause }) else { panic!("another event") };
    assert_eq!(undoing.cause.unwrap().code, "STEP_FAILED");
}

#[test]
fn every_outcome_reads_back() {
    let cause = Finding::error(Code::ConnectivityLost, "", "nobody confirmed");
    let leftover = Leftover {
        object: "link eth0".to_owned(),
        field: "mtu".to_owned(),
        expected: "1500".to_owned(),
        actual: "9000".to_owned(),
    };
    let outcomes = [
        Outcome::Applied,
        Outcome::Unchanged,
        Outcome::RolledBack(cause.clone()),
        Outcome::RollbackFailed { cause: cause.clone(), leftovers: vec![leftover] },
    ];
    for outcome in outcomes {
        let report = TransactionReport {
            transaction: LOCAL.fresh,
            outcome,
            steps: vec!["create bridge blue".to_owned()],
            findings: vec![Finding::info(Code::NoEffectNotBridged, "networks[0]", "no effect")],
            committed: true,
            running_hash: "ab12".to_owned(),
        };
        assert_eq!(parse_result(&build_result(&report)).unwrap(), report);
    }
}

#[test]
fn a_result_that_explains_nothing_is_refused() {
    let result = |outcome: wire::Outcome| wire::SetupNetworksResult {
        transaction_id: LOCAL.fresh.to_string(),
        outcome: outcome.into(),
        ..wire::SetupNetworksResult::default()
    };
    let codes = |result| -> Vec<Code> { parse_result(&result).unwrap_err().0.iter().map(|f| f.code).collect() };
    assert_eq!(codes(result(wire::Outcome::RolledBack)), [Code::FieldMissing]);
    assert_eq!(codes(result(wire::Outcome::Unspecified)), [Code::EnumUnknown]);
    assert_eq!(codes(build_validated(LOCAL.fresh, Vec::new(), &[])), [Code::EnumUnknown]);
}

#[test]
fn a_feature_of_a_newer_agent_is_left_out() {
    let newer = wire::FeatureReport { name: "warp".to_owned(), support: 1, reason: String::new() };
    let report = wire::Capabilities { features: vec![newer], ..wire::Capabilities::default() };
    assert!(parse_capabilities(&report).unwrap().features.0.is_empty());
}

#[test]
fn the_persistent_configuration_names_its_networks_itself() {
    let network = wire::Network { name: "blue".to_owned(), ..wire::Network::default() };
    let mut request = wire::SetupNetworksRequest { networks: vec![network], ..wire::SetupNetworksRequest::default() };
    request.set_scope(wire::Scope::Persistent);
    request.adopt_devices = vec!["br0".to_owned(), "a/b".to_owned()];
    assert_eq!(violations(parse_setup(&request, LOCAL)), ["NAME_INVALID adopt_devices[1]", "FIELD_CONFLICT scope"]);
    request.scope = 99;
    request.adopt_devices.clear();
    assert_eq!(violations(parse_setup(&request, LOCAL)), ["ENUM_UNKNOWN scope"]);
}

#[test]
fn domains_that_no_libvirt_has_are_refused_with_their_paths() {
    let interface = wire::DomainInterface { mac: "52:54:00:00:00:01".to_owned(), ..Default::default() };
    let domain = |uuid: &str, interfaces: Vec<wire::DomainInterface>| wire::Domain {
        name: "web".to_owned(),
        uuid: uuid.to_owned(),
        state: wire::DomainState::Running.into(),
        interfaces,
        ..Default::default()
    };
    let one = "0190f3a2-7c11-7cc0-a3b7-6a1c0c5d9e4f";
    let violations_of = |domains: Vec<wire::Domain>| {
        let refused = parse_capabilities(&wire::Capabilities { domains, ..wire::Capabilities::default() }).unwrap_err();
        refused.0.iter().map(|finding| format!("{} {}", finding.code, finding.field)).collect::<Vec<_>>()
    };
    let long = wire::DomainInterface { alias: "a".repeat(20_000), ..interface.clone() };
    let bad = wire::DomainInterface { mac: "52:54:00".to_owned(), ..interface.clone() };
    assert_eq!(
        violations_of(vec![domain(one, vec![interface.clone(), long, bad]), domain("web", Vec::new())]),
        [
            "TOO_LONG domains[0].interfaces[1]",
            "BAD_ADDRESS domains[0].interfaces[2].mac",
            "NAME_INVALID domains[1].uuid"
        ]
    );
    let again = one.to_uppercase();
    assert_eq!(violations_of(vec![domain(one, vec![interface]), domain(&again, Vec::new())]), ["DUPLICATE domains"]);
    let named = wire::Domain { name: "a".repeat(1025), ..domain(one, Vec::new()) };
    assert_eq!(violations_of(vec![named]), ["TOO_LONG domains[0].name"]);
}
