use proptest::prelude::*;
use trestle_model::IfName;

use super::*;

fn definition(name: &str, owner: &str, mac_table_manager: MacTableManager) -> NetworkDefinition {
    NetworkDefinition {
        name: name.to_owned(),
        uuid: None,
        bridge: IfName::parse("br0").unwrap(),
        mac_table_manager,
        owner: owner.to_owned(),
    }
}

#[test]
fn writes_name_uuid_mark_mode_and_bridge() {
    let uuid = Uuid::from_u128(0x1234);
    let xml = write(&definition("trestle-blue", "blue", MacTableManager::Libvirt), Some(uuid)).unwrap();
    assert_eq!(
        xml,
        "<network>\n  <name>trestle-blue</name>\n  <uuid>00000000-0000-0000-0000-000000001234</uuid>\n  <metadata>\n    \
         <trestle:network xmlns:trestle=\"urn:trestle:network:1\" name=\"blue\"/>\n  </metadata>\n  \
         <forward mode=\"bridge\"/>\n  <bridge name=\"br0\" macTableManager=\"libvirt\"/>\n</network>"
    );
}

#[test]
fn leaves_out_the_manager_where_it_is_the_kernel() {
    let xml = write(&definition("blue", "blue", MacTableManager::Kernel), None).unwrap();
    assert!(xml.ends_with("<bridge name=\"br0\"/>\n</network>"), "{xml}");
    assert!(!xml.contains("uuid"), "{xml}");
}

#[test]
fn escapes_markup_in_names() {
    let xml = write(&definition("a&b<\"'", "c>&\"'d", MacTableManager::Kernel), None).unwrap();
    assert!(xml.contains("<name>a&amp;b&lt;"), "{xml}");
    assert_eq!(parse(&xml).unwrap().owner.as_deref(), Some("c>&\"'d"));
}

#[test]
fn refuses_characters_that_xml_cannot_carry() {
    for bad in ["a\0", "a\u{1}", "a\nb", "\u{ffff}"] {
        assert!(matches!(write(&definition(bad, "x", MacTableManager::Kernel), None), Err(Fault::Xml(_))), "{bad:?}");
        assert!(matches!(write(&definition("x", bad, MacTableManager::Kernel), None), Err(Fault::Xml(_))), "{bad:?}");
    }
}

#[test]
fn reads_networks_of_other_kinds_and_origins() {
    let nat = "<network connections='2'><name>default</name><forward mode='nat'><nat><port start='1024' end='65535'/>\
               </nat></forward><bridge name='virbr0' stp='on' delay='0'/><ip address='192.168.122.1'/></network>";
    let isolated = "<network><name>lonely</name><bridge name='virbr1'/></network>";
    let default_mode = "<network><name>d</name><forward/></network>";
    let passthrough =
        "<network><name>p</name><forward dev='eth1' mode='passthrough'><interface dev='eth1'/></forward></network>";
    let facts = |bridge: Option<&str>, forward: &str| NetworkFacts {
        bridge: bridge.map(str::to_owned),
        forward: forward.to_owned(),
        ..NetworkFacts::default()
    };
    for (xml, expected) in [
        (nat, facts(Some("virbr0"), "nat")),
        (isolated, facts(Some("virbr1"), "")),
        (default_mode, facts(None, "nat")),
        (passthrough, facts(None, "passthrough")),
    ] {
        assert_eq!(parse(xml).unwrap(), expected, "{xml}");
    }
}

#[test]
fn takes_the_mark_by_namespace_and_place_only() {
    let own = "<network><metadata><t:network xmlns:t='urn:trestle:network:1' name='blue'/></metadata></network>";
    assert_eq!(parse(own).unwrap().owner.as_deref(), Some("blue"));
    for foreign in [
        "<network><metadata><t:network xmlns:t='urn:other' name='blue'/></metadata></network>",
        "<network><metadata><network name='blue'/></metadata></network>",
        "<network><metadata><o:x xmlns:o='urn:o'><t:network xmlns:t='urn:trestle:network:1' name='blue'/></o:x></metadata></network>",
    ] {
        assert_eq!(parse(foreign).unwrap().owner, None, "{foreign}");
    }
    let disguise =
        "<network><metadata><o:bridge xmlns:o='urn:o' name='evil'/></metadata><bridge name='br0'/></network>";
    assert_eq!(parse(disguise).unwrap().bridge.as_deref(), Some("br0"));
}

#[test]
fn refuses_xml_that_makes_no_sense() {
    for bad in
        ["", "no markup", "<network>", "<network></netwrk>", "<network><bridge macTableManager='agent'/></network>"]
    {
        assert!(parse(bad).is_err(), "{bad:?}");
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        name in r"\PC{1,40}",
        owner in r"\PC{1,40}",
        bridge in "[a-z][a-z0-9_&<'\"-]{0,14}",
        managed in any::<bool>(),
        uuid in proptest::option::of(any::<u128>().prop_map(Uuid::from_u128)),
    ) {
        let mac_table_manager = if managed { MacTableManager::Libvirt } else { MacTableManager::Kernel };
        let bridge = IfName::parse(&bridge).unwrap();
        let definition = NetworkDefinition { bridge: bridge.clone(), ..definition(&name, &owner, mac_table_manager) };
        let facts = parse(&write(&definition, uuid).unwrap()).unwrap();
        prop_assert_eq!(facts, NetworkFacts {
            bridge: Some(bridge.as_str().to_owned()),
            forward: "bridge".to_owned(),
            mac_table_manager,
            owner: Some(owner),
        });
    }
}
