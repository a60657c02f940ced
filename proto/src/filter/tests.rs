//! What filters take, mean and refuse.

use proptest::prelude::*;

use super::*;
use crate::engine::v1 as wire;

const NETWORK: &str = "trestle.engine.v1.Network";
const VNIC: &str = "trestle.engine.v1.Vnic";
const POOL: &str = "trestle.engine.v1.MacPool";

fn network() -> DynamicMessage {
    let spec = wire::NetworkSpec {
        description: "Storage of rack 1".to_owned(),
        mtu: Some(9000),
        vlan_id: Some(10),
        stp: true,
        ..Default::default()
    };
    let labels = [("rack", "a1"), ("example.com/tier", "gold plated"), ("empty", "")]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .into();
    let network = wire::Network {
        name: "networks/blue".to_owned(),
        labels,
        create_time: Some(prost_types::Timestamp { seconds: 1_790_000_000, nanos: 0 }),
        generation: 41,
        spec: Some(spec),
        ..Default::default()
    };
    schema::dynamic(NETWORK, &network)
}

fn vnic() -> DynamicMessage {
    let mut spec = wire::VnicSpec {
        profile: "networks/blue/vnicProfiles/p".to_owned(),
        extra_macs: vec!["52:54:00:00:00:01".to_owned(), "52:54:00:00:00:02".to_owned()],
        plugged: Some(false),
        ..Default::default()
    };
    spec.set_model(wire::VnicModel::E1000e);
    let status = wire::VnicStatus { mac: "52:54:00:12:34:56".to_owned(), ..Default::default() };
    let vnic = wire::Vnic {
        name: "vms/1/vnics/eth0".to_owned(),
        spec: Some(spec),
        status: Some(status),
        ..Default::default()
    };
    schema::dynamic(VNIC, &vnic)
}

fn pool() -> DynamicMessage {
    let range = |first: &str| wire::MacRange { first: first.to_owned(), last: "52:54:00:ff:ff:ff".to_owned() };
    let ranges = vec![range("52:54:00:00:00:00"), range("52:54:00:aa:00:00")];
    let spec = wire::MacPoolSpec { ranges, ..Default::default() };
    schema::dynamic(POOL, &wire::MacPool { spec: Some(spec), ..Default::default() })
}

fn meets(text: &str, kind: &str, resource: &DynamicMessage) -> bool {
    Filter::parse(text, kind).unwrap_or_else(|bad| panic!("{text}: {bad:?}")).unwrap().matches(resource)
}

#[test]
fn every_kind_of_field_is_compared_by_its_type() {
    let network = network();
    for (text, expected) in [
        ("name = networks/blue", true),
        ("name = \"networks/blue\"", true),
        ("name = networks/b*", true),
        ("name=*/blue", true),
        ("name = networks/green", false),
        ("name != networks/green", true),
        ("name > networks/a", true),
        ("spec.description:\"rack 1\"", true),
        ("spec.description:\"rack 2\"", false),
        ("spec.mtu = 9000", true),
        ("spec.mtu>1500", true),
        ("spec.mtu <= 1500", false),
        ("spec.vlanId = 10", true),
        ("spec.vlan_id < 10", false),
        ("spec.stp = true", true),
        ("spec.stp != false", true),
        ("spec.lock_source_macs = false", true),
        ("labels.rack = a1", true),
        ("labels.rack = b*", false),
        ("labels.example.com/tier = \"gold plated\"", true),
        ("labels.example.com/tier:gold", true),
        ("labels:rack", true),
        ("labels:row", false),
        ("labels:empty", true),
        ("labels.empty:*", false),
        ("labels.row = a1", false),
        ("labels.row != a1", true),
        ("labels:*", true),
        ("generation >= 41", true),
        ("create_time > 2026-01-01T00:00:00Z", true),
        ("create_time < 2026-01-01T00:00:00Z", false),
        ("update_time:*", false),
        ("spec.bridge_options:*", false),
        ("spec.bridge_options.priority = 1", false),
        ("spec.bridge_options.priority != 1", true),
        ("spec.mtu:*", true),
    ] {
        assert_eq!(meets(text, NETWORK, &network), expected, "{text}");
    }
}

#[test]
fn lists_are_met_by_any_element_and_enums_by_either_name() {
    for (text, expected) in [
        ("spec.extra_macs:52:54:00:00:00:02", true),
        ("spec.extra_macs = \"52:54:00:00:00:03\"", false),
        ("spec.extra_macs:*", true),
        ("spec.model = E1000E", true),
        ("spec.model = VNIC_MODEL_VIRTIO", false),
        ("spec.profile = networks/blue/*", true),
        ("spec.plugged = false", true),
        ("spec.linked = false", false),
        ("status.mac = 52:54:00:12:*", true),
    ] {
        assert_eq!(meets(text, VNIC, &vnic()), expected, "{text}");
    }
    assert!(meets("spec.ranges.first = 52:54:00:aa:00:00", POOL, &pool()));
    assert!(!meets("spec.ranges.first = 52:54:00:bb:00:00", POOL, &pool()));
    assert!(Filter::parse("status.mac:*", VNIC).unwrap().unwrap().asks_for("status"));
    assert!(!Filter::parse("spec.mac:*", VNIC).unwrap().unwrap().asks_for("status"));
}

#[test]
fn or_binds_tighter_than_and_and_not_only_what_follows() {
    let network = network();
    for (text, expected) in [
        ("spec.mtu = 1 OR spec.mtu = 9000 AND spec.vlan_id = 11", false),
        ("(spec.mtu = 9000 AND spec.vlan_id = 11) OR spec.stp = true", true),
        ("spec.mtu = 9000 AND spec.vlan_id = 11 OR spec.stp = true", true),
        ("NOT spec.mtu = 9000 OR spec.stp = true", true),
        ("NOT (spec.mtu = 9000 OR spec.stp = true)", false),
        ("NOT(spec.mtu = 1)", true),
    ] {
        assert_eq!(meets(text, NETWORK, &network), expected, "{text}");
    }
    assert!(Filter::parse(" ", NETWORK).unwrap().is_none());
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_place() {
    let deep = format!("{}name = a{}", "(".repeat(40), ")".repeat(40));
    let long = format!("name = {}", "a".repeat(5000));
    for (text, expected) in [
        ("spec.mut = 1", "at character 6: \"mut\" is no field of NetworkSpec"),
        ("spec.mtu.x = 1", "at character 10: \"x\" is no field there"),
        ("spec.mtu = large", "at character 12: mtu is a whole number"),
        ("spec.stp = yes", "at character 12: stp is true or false"),
        ("spec.stp > true", "at character 12: stp has no order; compare it with =, != or :"),
        ("spec = 1", "at character 8: spec has fields of its own; name one of them, or ask spec:*"),
        ("labels = a", "at character 8: labels is a map; name a key, as in labels.KEY = value or labels:KEY"),
        ("create_time = now", "at character 15: create_time is a time, such as 2026-11-27T06:00:00Z"),
        ("name", "at character 5: one of = != < <= > >= : is expected"),
        ("name =", "at character 7: a value is expected"),
        ("name = \"a", "at character 8: the quotes are not closed"),
        ("é = 1", "at character 1: \"é\" is no field of Network"),
        ("name = é x", "at character 10: AND, OR or the end is expected"),
        ("(name = a", "at character 10: a closing parenthesis is expected"),
        ("name = a)", "at character 9: AND, OR or the end is expected"),
        ("name = a AND", "at character 13: a field is expected"),
        ("= 1", "at character 1: a field is expected"),
        ("spec..mtu = 1", "at character 6: a field is expected"),
        (&deep, "at character 33: conditions lie at most 32 deep in one another"),
        (&long, "at character 1: it has 5007 bytes, at most 4096 are read"),
    ] {
        let finding = Filter::parse(text, NETWORK).unwrap_err().0.remove(0);
        assert_eq!((finding.code, finding.message.as_str()), (Code::FilterInvalid, expected), "{text}");
    }
    let finding = Filter::parse("spec.model = NE2000", VNIC).unwrap_err().0.remove(0);
    assert_eq!(finding.message, "at character 14: it is one of UNSPECIFIED, VIRTIO, E1000E, E1000, RTL8139");
}

proptest! {
    #[test]
    fn no_text_makes_a_panic(text in any::<String>()) {
        if let Ok(Some(filter)) = Filter::parse(&text, NETWORK) {
            filter.matches(&network());
        }
    }

    #[test]
    fn no_mixture_of_its_own_words_makes_a_panic(words in proptest::collection::vec(prop::sample::select(vec![
        "name", "spec", "spec.mtu", "labels", "labels.rack", "spec.bridge_options", ".", "=", "!=", "<", ":", "*", "\"", "\\",
        "(", ")", "AND", "OR", "NOT", "9000", "é", " ", "create_time", "2026-01-01T00:00:00Z", "generation",
    ]), 0..30)) {
        for kind in [NETWORK, VNIC, POOL] {
            for text in [words.concat(), words.join(" ")] {
                if let Ok(Some(filter)) = Filter::parse(&text, kind) {
                    filter.matches(&network());
                }
            }
        }
    }
}
