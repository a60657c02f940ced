use proptest::prelude::*;
use prost_types::FieldMask;
use trestle_model::fleet::{EntityId, GuestTagging, Meta, NetworkFilter};
use trestle_model::{Code, Findings, NetworkName};

use super::*;
use crate::engine::v1 as wire;
use crate::engine::v1::network_filter::Choice;
use crate::sample;

fn violations<T: std::fmt::Debug>(result: Result<T, Findings>) -> Vec<String> {
    let findings = result.unwrap_err().0;
    for finding in &findings {
        assert!(!finding.message.is_empty() && !finding.remedy.is_empty(), "{finding:?} lacks words");
    }
    findings.iter().map(|finding| format!("{} {}", finding.code, finding.field)).collect()
}

fn mask(paths: &[&str]) -> Option<FieldMask> {
    Some(FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() })
}

fn network(spec: wire::NetworkSpec) -> wire::Network {
    wire::Network { name: "networks/blue".to_owned(), spec: Some(spec), ..wire::Network::default() }
}

fn profile(spec: wire::VnicProfileSpec) -> wire::VnicProfile {
    wire::VnicProfile { spec: Some(spec), ..wire::VnicProfile::default() }
}

#[test]
fn every_name_reads_back() {
    for name in [
        "clusters/c1",
        "networks/blue",
        "hosts/h1.example.org",
        "clusters/c1/clusterNetworks/blue",
        "networks/blue/vnicProfiles/default",
        "hosts/h1/networkAttachments/blue",
        "macPools/p",
        "vms/0190f3a2-7c11-7cc0-a3b7-6a1c0c5d9e4f",
        "vms/0190f3a2-7c11-7cc0-a3b7-6a1c0c5d9e4f/vnics/eth0",
    ] {
        assert_eq!(parse_name(name, "name").unwrap().to_string(), name);
    }
}

#[test]
fn what_is_no_name_is_refused() {
    assert_eq!(violations(parse_name("", "name")), ["FIELD_MISSING name"]);
    for name in [
        "blue",
        "networks",
        "networks/",
        "Networks/blue",
        "networks/blue/",
        "/networks/blue",
        "networks/blue/vnicProfiles",
        "networks/blue/vnicProfiles/",
        "networks/blue/vnicProfiles/p/q",
        "hosts/h1/networks/blue",
        "hosts/under_score",
        "clusters/..",
        "vms/web",
        "vms/0190F3A2-7C11-7CC0-A3B7-6A1C0C5D9E4F",
        "vms/{0190f3a2-7c11-7cc0-a3b7-6a1c0c5d9e4f}",
        "vms/0190f3a27c117cc0a3b76a1c0c5d9e4f",
        "vms/0190f3a2-7c11-7cc0-a3b7-6a1c0c5d9e4f/vnics/",
    ] {
        assert_eq!(violations(parse_name(name, "name")), ["NAME_INVALID name"], "{name:?}");
    }
    assert_eq!(
        violations(parse_name("hosts/a_b/networkAttachments/c d", "name")),
        ["NAME_INVALID name", "NAME_INVALID name"]
    );
}

#[test]
fn a_name_of_another_kind_is_refused() {
    assert_eq!(parse_name_of::<wire::Network>("networks/blue", "name").unwrap().as_str(), "blue");
    assert_eq!(violations(parse_name_of::<wire::Network>("hosts/h1", "name")), ["NAME_INVALID name"]);
    assert!(parse_parent_of::<wire::NetworkAttachment>("hosts/h1").is_ok());
    for parent in ["networks/blue", "hosts/h1/networkAttachments/blue"] {
        assert_eq!(violations(parse_parent_of::<wire::NetworkAttachment>(parent)), ["NAME_INVALID parent"]);
    }
}

#[test]
fn a_new_resource_takes_its_name_from_parent_and_id() {
    let given =
        wire::VnicProfile { name: "ignored".to_owned(), uid: "ignored".to_owned(), ..profile(Default::default()) };
    let made = parse_new(Some(&given), "networks/blue", "default").unwrap();
    let (id, meta) = wire::VnicProfile::parts(&made);
    assert_eq!(wire::VnicProfile::entity_id(id).to_string(), "networks/blue/vnicProfiles/default");
    assert_eq!(*meta, Meta::default());
    assert_eq!((made.filter, made.guest_tagging), (NetworkFilter::Default, GuestTagging::None));
}

#[test]
fn every_violation_of_a_new_resource_is_found_at_once() {
    let given = profile(wire::VnicProfileSpec {
        network_filter: Some(wire::NetworkFilter { choice: Some(Choice::Named("a/b".to_owned())) }),
        ..Default::default()
    });
    assert_eq!(
        violations(parse_new(Some(&given), "hosts/h1", "no id")),
        ["NAME_INVALID parent", "NAME_INVALID vnic_profile.spec.network_filter.named", "NAME_INVALID vnic_profile_id"]
    );
    assert_eq!(
        violations(parse_new::<wire::VnicProfile>(None, "", "")),
        ["FIELD_MISSING parent", "FIELD_MISSING vnic_profile", "FIELD_MISSING vnic_profile_id"]
    );
    assert_eq!(violations(parse_new(Some(&wire::Cluster::default()), "", "a/b")), ["NAME_INVALID cluster_id"]);
}

#[test]
fn specs_are_checked() {
    let bad = network(wire::NetworkSpec {
        vm_network: Some(false),
        vlan_id: Some(4095),
        mtu: Some(1),
        stp: true,
        bridge_name: "eth0.1".to_owned(),
        bridge_options: Some(crate::host::v1::BridgeOptions { max_age_cs: Some(1), ..Default::default() }),
        ..Default::default()
    });
    assert_eq!(
        violations(parse_named(Some(&bad))),
        [
            "BRIDGE_ATTRIBUTE_ON_BRIDGELESS network.spec.bridge_name",
            "BRIDGE_NAME_INVALID network.spec.bridge_name",
            "BRIDGE_ATTRIBUTE_ON_BRIDGELESS network.spec.bridge_options",
            "BRIDGE_OPTION_OUT_OF_RANGE network.spec.bridge_options.max_age_cs",
            "MTU_OUT_OF_RANGE network.spec.mtu",
            "BRIDGE_ATTRIBUTE_ON_BRIDGELESS network.spec.stp",
            "VLAN_OUT_OF_RANGE network.spec.vlan_id",
        ]
    );
    let cluster =
        wire::Cluster { spec: Some(wire::ClusterSpec { switch_type: 9, ..Default::default() }), ..Default::default() };
    assert_eq!(violations(parse_new(Some(&cluster), "", "c")), ["ENUM_UNKNOWN cluster.spec.switch_type"]);
    let host = |cluster: &str| wire::Host {
        spec: Some(wire::HostSpec { cluster: cluster.to_owned(), ..Default::default() }),
        ..Default::default()
    };
    assert_eq!(violations(parse_new(Some(&host("")), "", "h1")), ["FIELD_MISSING host.spec.cluster"]);
    assert_eq!(violations(parse_new(Some(&host("c1")), "", "h1")), ["NAME_INVALID host.spec.cluster"]);
    assert_eq!(violations(parse_new(Some(&host("networks/c1")), "", "h1")), ["NAME_INVALID host.spec.cluster"]);
    let attachment = wire::NetworkAttachment {
        spec: Some(wire::NetworkAttachmentSpec { nic: "a b".to_owned(), ..Default::default() }),
        ..Default::default()
    };
    assert_eq!(
        violations(parse_new(Some(&attachment), "hosts/h1", "blue")),
        ["NAME_INVALID network_attachment.spec.nic"]
    );
}

#[test]
fn what_an_attachment_says_of_the_host_is_checked() {
    let attachment = |spec| {
        let given = wire::NetworkAttachment { spec: Some(spec), ..Default::default() };
        violations(parse_new(Some(&given), "hosts/h1", "blue"))
    };
    let both = wire::NetworkAttachmentSpec { nic: "eth0".to_owned(), bond: "bond0".to_owned(), ..Default::default() };
    assert_eq!(attachment(both), ["FIELD_CONFLICT network_attachment.spec.bond"]);
    let route = |destination: &str| crate::host::v1::StaticRoute {
        destination: destination.to_owned(),
        next_hop: "192.0.2.1".to_owned(),
        metric: 0,
    };
    let dns = wire::Dns { nameservers: vec!["fe80::53".to_owned()], search_domains: vec!["a..b".to_owned()] };
    let wrong = wire::NetworkAttachmentSpec {
        bond: "bond.0".to_owned(),
        routes: vec![route("198.51.100.0/24"), route("198.51.100.0/24"), route("0.0.0.0/0")],
        dns: Some(dns),
        host_qos: Some(crate::host::v1::HostQos::default()),
        custom: [("a b".to_owned(), String::new())].into(),
        ..Default::default()
    };
    assert_eq!(
        attachment(wrong),
        [
            "BOND_NAME_INVALID network_attachment.spec.bond",
            "NAME_INVALID network_attachment.spec.custom",
            "BAD_ADDRESS network_attachment.spec.dns.nameservers[0]",
            "NAME_INVALID network_attachment.spec.dns.search_domains[0]",
            "QOS_INVALID network_attachment.spec.host_qos.link_share_bps",
            "DUPLICATE network_attachment.spec.routes[1]",
            "ROUTE_INVALID network_attachment.spec.routes[2].destination",
        ]
    );
}

#[test]
fn every_violation_of_a_bond_is_found_at_its_field() {
    let bond = |spec, id: &str| {
        violations(parse_new(Some(&wire::Bond { spec: Some(spec), ..Default::default() }), "hosts/h1", id))
    };
    let options = crate::host::v1::BondOptions { lacp_rate: 2, ..Default::default() };
    let spec = wire::BondSpec {
        nics: vec!["eth0".to_owned(), "a b".to_owned()],
        hwaddr: "01:00:5e:00:00:01".to_owned(),
        ..Default::default()
    };
    assert_eq!(
        bond(spec, "bond.0"),
        [
            "BOND_OPTION_INVALID bond.spec.hwaddr",
            "FIELD_MISSING bond.spec.mode",
            "NAME_INVALID bond.spec.nics[1]",
            "NAME_INVALID bond_id",
        ]
    );
    let spec = wire::BondSpec { mode: 2, options: Some(options), ..Default::default() };
    assert_eq!(bond(spec, "bond0"), ["BOND_OPTION_INVALID bond.spec.options.lacp_rate"]);
}

#[test]
fn macs_are_those_of_single_stations() {
    let vnic = |mac: &str, extra: &[&str]| {
        let extra_macs = extra.iter().map(|mac| (*mac).to_owned()).collect();
        let spec = wire::VnicSpec { mac: mac.to_owned(), extra_macs, ..Default::default() };
        let given = wire::Vnic { spec: Some(spec), ..Default::default() };
        parse_new(Some(&given), "vms/0190f3a2-7c11-7cc0-a3b7-6a1c0c5d9e4f", "eth0")
    };
    let read = vnic("", &[]).unwrap();
    assert_eq!((read.mac, read.pooled_mac, read.plugged, read.linked), (None, None, true, true));
    for mac in ["01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00", "52:54:00"] {
        assert_eq!(violations(vnic(mac, &[])), ["MAC_INVALID vnic.spec.mac"], "{mac}");
    }
    let own = "52:54:00:00:00:01";
    assert_eq!(
        violations(vnic(own, &["x", "52:54:00:00:00:02", own, "52:54:00:00:00:02"])),
        [
            "MAC_INVALID vnic.spec.extra_macs[0]",
            "DUPLICATE vnic.spec.extra_macs[2]",
            "DUPLICATE vnic.spec.extra_macs[3]"
        ]
    );
}

#[test]
fn an_address_that_a_client_says_a_pool_gave_is_not_taken() {
    let status = Some(wire::VnicStatus { mac: "52:54:00:00:00:01".to_owned(), ..Default::default() });
    let given = wire::Vnic { status, ..Default::default() };
    let read = parse_new(Some(&given), "vms/0190f3a2-7c11-7cc0-a3b7-6a1c0c5d9e4f", "eth0").unwrap();
    assert_eq!(read.address(), None);
}

#[test]
fn ranges_of_a_pool_are_checked_each() {
    let range = |first: &str, last: &str| wire::MacRange { first: first.to_owned(), last: last.to_owned() };
    let pool = |ranges| {
        let spec = wire::MacPoolSpec { ranges, ..Default::default() };
        parse_new(Some(&wire::MacPool { spec: Some(spec), ..Default::default() }), "", "p")
    };
    assert_eq!(violations(pool(Vec::new())), ["FIELD_MISSING mac_pool.spec.ranges"]);
    let (low, high) = ("52:54:00:00:00:00", "52:54:00:00:00:ff");
    assert_eq!(
        violations(pool(vec![range(high, low), range(low, "x"), range("01:00:5e:00:00:00", "01:00:5e:00:00:ff")])),
        [
            "MAC_INVALID mac_pool.spec.ranges[0]",
            "MAC_INVALID mac_pool.spec.ranges[1].last",
            "MAC_INVALID mac_pool.spec.ranges[2].first",
            "MAC_INVALID mac_pool.spec.ranges[2].last"
        ]
    );
    assert_eq!(pool(vec![range(low, high)]).unwrap().ranges[0].size(), 256);
}

#[test]
fn a_list_of_vlans_goes_with_its_mode_only() {
    use wire::TaggingMode::{Any, List, None, Unknown, Unspecified};
    const VLANS: &str = "vnic_profile.spec.guest_tagging.vlan_ids";
    let parse = |mode: i32, vlan_ids: &[u32]| {
        let tagging = wire::GuestTagging { mode, vlan_ids: vlan_ids.to_vec() };
        let given = profile(wire::VnicProfileSpec { guest_tagging: Some(tagging), ..Default::default() });
        parse_new(Some(&given), "networks/blue", "p").map(|profile| profile.guest_tagging)
    };
    assert_eq!(violations(parse(List.into(), &[])), [format!("FIELD_MISSING {VLANS}")]);
    for mode in [Any, None, Unknown, Unspecified] {
        assert_eq!(violations(parse(mode.into(), &[1])), [format!("FIELD_CONFLICT {VLANS}")]);
    }
    assert_eq!(
        violations(parse(List.into(), &[1, 4095, 1])),
        [format!("VLAN_OUT_OF_RANGE {VLANS}[1]"), format!("DUPLICATE {VLANS}[2]")]
    );
    assert_eq!(violations(parse(77, &[])), ["ENUM_UNKNOWN vnic_profile.spec.guest_tagging.mode"]);
    assert_eq!(parse(Unknown.into(), &[]).unwrap(), GuestTagging::Unspecified);
}

#[test]
fn only_a_true_none_takes_the_filter_away() {
    let parse = |choice| {
        let filter = Some(wire::NetworkFilter { choice });
        let given = profile(wire::VnicProfileSpec { network_filter: filter, ..Default::default() });
        parse_new(Some(&given), "networks/blue", "p").map(|profile| profile.filter)
    };
    assert_eq!(parse(None).unwrap(), NetworkFilter::Default);
    assert_eq!(parse(Some(Choice::None(false))).unwrap(), NetworkFilter::Default);
    assert_eq!(parse(Some(Choice::None(true))).unwrap(), NetworkFilter::None);
    assert_eq!(
        violations(parse(Some(Choice::Named(String::new())))),
        ["FIELD_MISSING vnic_profile.spec.network_filter.named"]
    );
}

/// A stored network with values in every kind of field.
#[test]
fn a_filter_is_given_no_macs_but_libvirts_and_the_vnics() {
    for name in ["MAC", "EXTRA_MAC"] {
        let mac = crate::host::v1::FilterParameter { name: name.to_owned(), value: "52:54:00:00:00:01".to_owned() };
        let named = profile(wire::VnicProfileSpec { filter_parameters: vec![mac], ..Default::default() });
        let refused = parse_new::<wire::VnicProfile>(Some(&named), "networks/blue", "p");
        assert_eq!(violations(refused), ["FIELD_CONFLICT vnic_profile.spec.filter_parameters[0].name"], "{name}");
    }
}

fn stored() -> trestle_model::fleet::Network {
    let mut given = network(wire::NetworkSpec {
        description: "before".to_owned(),
        mtu: Some(9000),
        vlan_id: Some(10),
        stp: true,
        bridge_options: Some(crate::host::v1::BridgeOptions {
            priority: Some(1),
            hello_time_cs: Some(200),
            ..Default::default()
        }),
        ..Default::default()
    });
    given.labels.insert("team".to_owned(), "a".to_owned());
    let mut network = parse_named(Some(&given)).unwrap();
    network.meta.revision = 255;
    network.meta.created_ms = 1_500;
    network
}

#[test]
fn a_mask_changes_what_it_names_and_nothing_else() {
    let given = network(wire::NetworkSpec { mtu: Some(1400), description: "after".to_owned(), ..Default::default() });
    let changed = merge(&stored(), &given, mask(&["spec.mtu", "spec.vlan_id"]).as_ref()).unwrap();
    let mut expected = stored();
    expected.mtu = 1400.try_into().unwrap();
    expected.vlan = None;
    assert_eq!(changed, expected);
}

#[test]
fn a_mask_reaches_into_messages() {
    let options = crate::host::v1::BridgeOptions { hello_time_cs: Some(300), ..Default::default() };
    let given = network(wire::NetworkSpec { bridge_options: Some(options), ..Default::default() });
    let inner = merge(&stored(), &given, mask(&["spec.bridge_options.hello_time_cs"]).as_ref()).unwrap();
    assert_eq!((inner.bridge_options.hello_time_cs, inner.bridge_options.priority), (Some(300), Some(1)));
    let whole = merge(&stored(), &given, mask(&["spec.bridge_options"]).as_ref()).unwrap();
    assert_eq!((whole.bridge_options.hello_time_cs, whole.bridge_options.priority), (Some(300), None));
    let emptied = merge(&stored(), &network(Default::default()), mask(&["spec.bridge_options.priority"]).as_ref());
    assert_eq!(emptied.unwrap().bridge_options.priority, None);
}

#[test]
fn an_absent_mask_changes_what_is_present() {
    let given = network(wire::NetworkSpec { description: "after".to_owned(), vlan_id: Some(0), ..Default::default() });
    for none in [None, mask(&[])] {
        let changed = merge(&stored(), &given, none.as_ref()).unwrap();
        let mut expected = stored();
        expected.description = "after".to_owned();
        expected.vlan = Some(0.try_into().unwrap());
        assert_eq!(changed, expected);
    }
}

#[test]
fn a_star_replaces_spec_and_labels_and_keeps_the_rest() {
    let given = network(wire::NetworkSpec { description: "after".to_owned(), ..Default::default() });
    let changed = merge(&stored(), &given, mask(&["*"]).as_ref()).unwrap();
    assert_eq!((changed.description.as_str(), changed.mtu.get(), changed.vlan), ("after", 1500, None));
    assert!(changed.meta.labels.is_empty());
    assert_eq!((changed.meta.revision, changed.meta.created_ms), (255, 1_500));
}

#[test]
fn labels_are_replaced_whole() {
    let mut given = network(Default::default());
    given.labels.insert("site".to_owned(), "b".to_owned());
    let changed = merge(&stored(), &given, mask(&["labels"]).as_ref()).unwrap();
    assert_eq!(changed.meta.labels.into_iter().collect::<Vec<_>>(), [("site".to_owned(), "b".to_owned())]);
    assert_eq!(changed.mtu, stored().mtu);
}

#[test]
fn a_path_that_cannot_be_written_is_refused() {
    let paths = [
        "name",
        "uid",
        "etag",
        "generation",
        "create_time",
        "spec.nope",
        "spec.mtu.x",
        "labels.team",
        "*",
        "",
        "spec.",
        "status",
        "spec.bridgeOptions",
    ];
    for path in paths {
        assert_eq!(
            violations(merge(&stored(), &network(Default::default()), mask(&["spec.mtu", path]).as_ref())),
            ["FIELD_MASK_INVALID update_mask"],
            "{path:?}"
        );
    }
}

#[test]
fn a_name_never_changes() {
    let other = wire::Network { name: "networks/green".to_owned(), ..network(Default::default()) };
    assert_eq!(violations(merge(&stored(), &other, None)), ["IMMUTABLE network.name"]);
}

#[test]
fn a_merged_resource_is_checked_whole() {
    let given = network(wire::NetworkSpec { vm_network: Some(false), ..Default::default() });
    assert_eq!(
        violations(merge(&stored(), &given, None)),
        [
            "BRIDGE_ATTRIBUTE_ON_BRIDGELESS network.spec.bridge_options",
            "BRIDGE_ATTRIBUTE_ON_BRIDGELESS network.spec.stp"
        ]
    );
}

#[test]
fn an_update_names_its_resource() {
    let (id, _) = target_of(Some(&network(Default::default()))).map(|(id, wire)| (id, wire.clone())).unwrap();
    assert_eq!(id, EntityId::Network(NetworkName::parse("blue").unwrap()));
    assert_eq!(violations(target_of::<wire::Network>(None)), ["FIELD_MISSING network"]);
    assert_eq!(violations(target_of(Some(&wire::Network::default()))), ["FIELD_MISSING network.name"]);
}

#[test]
fn an_etag_is_the_current_one_or_none() {
    let stored = stored();
    let id = EntityId::Network(stored.id.clone());
    let built = wire::Network::build(&stored);
    assert_eq!((built.etag.as_str(), built.generation), ("ff", 255));
    assert_eq!(built.create_time, Some(prost_types::Timestamp { seconds: 1, nanos: 500_000_000 }));
    assert!(check_etag("", "etag", &id, &stored.meta).is_ok());
    assert!(check_etag("ff", "etag", &id, &stored.meta).is_ok());
    let refusal = check_etag("FE", "etag", &id, &stored.meta).unwrap_err();
    assert_eq!(refusal.etag.as_deref(), Some("ff"));
    assert_eq!(crate::status::Refusal::from_status(&tonic::Status::from(&refusal)), refusal);
    assert_eq!(check_etag("FE", "etag", &id, &Meta::default()).unwrap_err().etag, None);
    assert_eq!(violations::<()>(Err(refusal.findings)), ["ETAG_MISMATCH etag"]);
}

#[test]
fn what_every_write_carries_is_checked() {
    assert_eq!(parse_request_id("").unwrap(), None);
    assert_eq!(violations(parse_request_id("nonsense")), ["NAME_INVALID request_id"]);
    assert_eq!(parse_acknowledged(&["HOST_UNSUPPORTED".to_owned()]).unwrap(), [Code::HostUnsupported]);
    assert_eq!(violations(parse_acknowledged(&["x".to_owned()])), ["CODE_UNKNOWN acknowledge_warnings[0]"]);
}

/// Checks that an entity reads back from its own resource, whichever way it is written.
fn check_reads_back<R: Resource>(entity: &R::Entity) -> Result<(), TestCaseError>
where
    R::Entity: PartialEq + std::fmt::Debug,
{
    let built = R::build(entity);
    prop_assert_eq!(&merge(entity, &built, mask(&["*"]).as_ref()), &Ok(entity.clone()));
    prop_assert_eq!(&merge(entity, &built, None), &Ok(entity.clone()));
    let named = parse_named(Some(&built)).unwrap();
    let again = R::build(&named);
    prop_assert_eq!(again.name(), built.name());
    let any = R::entity(entity.clone());
    let id = any.id();
    prop_assert_eq!(id.to_string(), built.name());
    prop_assert_eq!(R::entity_of(any), Some(entity.clone()));
    prop_assert_eq!(parse_name(built.name(), "name"), Ok(id));
    Ok(())
}

/// Checks that a message with anything in it is read or refused, and that what is read is stable.
fn check_survives<R: Resource>(dice: &[u8], existing: &R::Entity) -> Result<(), TestCaseError>
where
    R::Entity: PartialEq + std::fmt::Debug,
{
    let given: R = sample::any_message(R::FULL_NAME, dice);
    let vm = "vms/0190f3a2-7c11-7cc0-a3b7-6a1c0c5d9e4f";
    for (parent, id) in
        [("", "x"), ("", &vm[4..]), ("clusters/c", "x"), ("networks/n", "x"), ("hosts/h", "x"), (vm, "x")]
    {
        match parse_new(Some(&given), parent, id) {
            Ok(made) => prop_assert_eq!(merge(&made, &R::build(&made), mask(&["*"]).as_ref()), Ok(made)),
            Err(findings) => prop_assert!(!findings.0.is_empty() && findings.refuses(&[])),
        }
    }
    drop(parse_named(Some(&given)));
    let mask: FieldMask = sample::any_message("google.protobuf.FieldMask", dice);
    drop(merge(existing, &given, Some(&mask)));
    Ok(())
}

proptest! {
    #[test]
    fn a_cluster_reads_back(entity in sample::cluster(), dice in sample::dice()) {
        check_reads_back::<wire::Cluster>(&entity)?;
        check_survives::<wire::Cluster>(&dice, &entity)?;
    }

    #[test]
    fn a_network_reads_back(entity in sample::network(), dice in sample::dice()) {
        check_reads_back::<wire::Network>(&entity)?;
        check_survives::<wire::Network>(&dice, &entity)?;
    }

    #[test]
    fn a_cluster_network_reads_back(entity in sample::cluster_network(), dice in sample::dice()) {
        check_reads_back::<wire::ClusterNetwork>(&entity)?;
        check_survives::<wire::ClusterNetwork>(&dice, &entity)?;
    }

    #[test]
    fn a_vnic_profile_reads_back(entity in sample::vnic_profile(), dice in sample::dice()) {
        check_reads_back::<wire::VnicProfile>(&entity)?;
        check_survives::<wire::VnicProfile>(&dice, &entity)?;
    }

    #[test]
    fn a_host_reads_back(entity in sample::host(), dice in sample::dice()) {
        check_reads_back::<wire::Host>(&entity)?;
        check_survives::<wire::Host>(&dice, &entity)?;
    }

    #[test]
    fn a_network_attachment_reads_back(entity in sample::attachment(), dice in sample::dice()) {
        check_reads_back::<wire::NetworkAttachment>(&entity)?;
        check_survives::<wire::NetworkAttachment>(&dice, &entity)?;
    }

    #[test]
    fn a_bond_reads_back(entity in sample::bond(), dice in sample::dice()) {
        check_reads_back::<wire::Bond>(&entity)?;
        check_survives::<wire::Bond>(&dice, &entity)?;
    }

    #[test]
    fn a_mac_pool_reads_back(entity in sample::mac_pool(), dice in sample::dice()) {
        check_reads_back::<wire::MacPool>(&entity)?;
        check_survives::<wire::MacPool>(&dice, &entity)?;
    }

    #[test]
    fn a_vm_reads_back(entity in sample::vm(), dice in sample::dice()) {
        check_reads_back::<wire::Vm>(&entity)?;
        check_survives::<wire::Vm>(&dice, &entity)?;
    }

    #[test]
    fn a_vnic_reads_back(entity in sample::vnic(), dice in sample::dice()) {
        check_reads_back::<wire::Vnic>(&entity)?;
        check_survives::<wire::Vnic>(&dice, &entity)?;
    }

    #[test]
    fn no_name_makes_a_panic(name in any::<String>()) {
        drop(parse_name(&name, "name"));
    }
}
