use trestle_model::IfName;

use super::*;

fn domain(id: &str, devices: &str) -> String {
    format!(
        "<domain type='kvm'{id} xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><name>vm</name>\
         <metadata><o:mac xmlns:o='urn:o' address='00:00:00:00:00:01'/></metadata>\
         <devices><disk><source file='/x'/><target dev='vda'/></disk>{devices}\
         <memballoon model='none'/></devices><qemu:commandline/></domain>"
    )
}

fn interface(attachment: &str, mac: &str, network: Option<&str>, bridge: Option<&str>, tap: Option<&str>) -> Interface {
    let told = DomainInterface {
        mac: mac.parse().unwrap(),
        attachment: attachment.to_owned(),
        network: network.map(str::to_owned),
        bridge: bridge.map(str::to_owned),
        tap: tap.map(|tap| IfName::parse(tap).unwrap()),
        filter: None,
        model: None,
        mtu: None,
        linked: true,
        alias: None,
        isolated: false,
        bandwidth: Bandwidth::default(),
    };
    Interface { told, mac_table_manager: MacTableManager::Kernel, vlans: PortVlans::default() }
}

#[test]
fn reads_every_kind_of_interface_of_a_running_domain() {
    const MAC: &str = "52:54:00:00:00:01";
    let mac = "<mac address='52:54:00:00:00:01'/>";
    for (devices, expected) in [
        (
            format!(
                "<interface type='network'>{mac}<source network='default' portid='1' bridge='virbr0'/><target dev='vnet0'/></interface>"
            ),
            interface("network", MAC, Some("default"), Some("virbr0"), Some("vnet0")),
        ),
        (
            format!(
                "<interface type='bridge'>{mac}<source network='blue' portid='1' bridge='br0' macTableManager='libvirt'/><target dev='vnet1'/></interface>"
            ),
            Interface {
                mac_table_manager: MacTableManager::Libvirt,
                ..interface("bridge", MAC, Some("blue"), Some("br0"), Some("vnet1"))
            },
        ),
        (
            format!("<interface type='bridge'>{mac}<source bridge='a&amp;b'/><target dev='vnet2'/></interface>"),
            interface("bridge", MAC, None, Some("a&b"), Some("vnet2")),
        ),
        (
            format!("<interface type='ethernet'>{mac}<target dev='tap9' managed='no'/></interface>"),
            interface("ethernet", MAC, None, None, Some("tap9")),
        ),
        (
            format!(
                "<interface type='direct'>{mac}<source dev='eth0' mode='bridge'/><target dev='macvtap0'/></interface>"
            ),
            interface("direct", MAC, None, None, Some("macvtap0")),
        ),
        (format!("<interface type='user'>{mac}</interface>"), interface("user", MAC, None, None, None)),
        (
            format!(
                "<interface type='hostdev'>{mac}<source><address type='pci' domain='0x0000'/></source></interface>"
            ),
            interface("hostdev", MAC, None, None, None),
        ),
        (
            format!(
                "<interface type='vhostuser'>{mac}<source type='unix' path='/s' mode='server'/><target dev='a/b'/></interface>"
            ),
            interface("vhostuser", MAC, None, None, None),
        ),
    ] {
        let facts = parse(&domain(" id='7'", &devices)).unwrap();
        assert_eq!(facts, DomainFacts { is_live: true, interfaces: vec![expected] }, "{devices}");
    }
}

#[test]
fn stopped_domain_has_no_taps() {
    let xml = domain(
        "",
        "<interface type='network'><mac address='52:54:00:00:00:0A'/><source network='blue'/><target dev='mytap'/></interface>",
    );
    let expected = DomainFacts {
        is_live: false,
        interfaces: vec![interface("network", "52:54:00:00:00:0a", Some("blue"), None, None)],
    };
    assert_eq!(parse(&xml).unwrap(), expected);
}

#[test]
fn interfaces_keep_their_own_attributes_and_strange_ones_are_left_out() {
    let xml = domain(
        " id='1'",
        "<interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='br0'/><target dev='vnet0'/></interface>\
         <interface type='bridge'><source bridge='br1'/></interface>\
         <interface type='bridge'><mac address='nonsense'/><source bridge='br2'/></interface>\
         <interface type='network'><mac address='52:54:00:00:00:02'/><source network='blue'/></interface>\
         <hostdev><source network='not-mine'/><target dev='not-mine'/></hostdev>",
    );
    let expected = vec![
        interface("bridge", "52:54:00:00:00:01", None, Some("br0"), Some("vnet0")),
        interface("network", "52:54:00:00:00:02", Some("blue"), None, None),
    ];
    assert_eq!(parse(&xml).unwrap().interfaces, expected);
}

#[test]
fn domain_without_interfaces_has_none() {
    assert_eq!(parse("<domain type='test'><name>x</name></domain>").unwrap(), DomainFacts::default());
}

#[test]
fn broken_xml_is_an_error() {
    for bad in ["", "<domain><devices></domain>", "<domain id='1'"] {
        assert!(parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn reads_the_vlans_that_libvirt_gives_a_port() {
    let cases = [
        ("<vlan><tag id='42'/></vlan>", "42 untagged"),
        ("<vlan trunk='yes'><tag id='42'/></vlan>", "42 tagged"),
        (
            "<vlan trunk='yes'><tag id='10' nativeMode='untagged'/><tag id='11'/><tag id='12'/></vlan>",
            "10 untagged, 11-12 tagged",
        ),
        (
            "<vlan trunk='yes'><tag id='11'/><tag id='10' nativeMode='tagged'/></vlan>",
            "10 untagged in, tagged out, 11 tagged",
        ),
        ("<vlan><tag id='0'/><tag id='4095'/><tag id='x'/><tag/></vlan>", "none"),
        ("", "none"),
    ];
    for (vlan, expected) in cases {
        let mac = "<mac address='52:54:00:00:00:01'/>";
        let xml = domain(" id='1'", &format!("<interface type='bridge'>{mac}<source bridge='b'/>{vlan}</interface>"));
        let facts = parse(&xml).unwrap();
        assert_eq!(facts.interfaces[0].vlans.to_string(), expected, "{vlan}");
    }
}

#[test]
fn reads_what_is_reported_of_an_interface() {
    let xml = domain(
        " id='1'",
        "<interface type='bridge'><mac address='52:54:00:00:00:01'/><source network='blue' bridge='br0'/>\
         <target dev='vnet0'/><model type='virtio'/><mtu size='9000'/><link state='down'/><port isolated='yes'/>\
         <filterref filter='clean-traffic'><parameter name='IP' value='192.0.2.1'/><parameter name='IP' value='192.0.2.2'/>\
         </filterref><alias name='net0'/></interface>\
         <interface type='bridge'><mac address='52:54:00:00:00:02'/><source bridge='br0'/><link state='up'/></interface>",
    );
    let plain = interface("bridge", "52:54:00:00:00:01", Some("blue"), Some("br0"), Some("vnet0")).told;
    let parameters = ["192.0.2.1", "192.0.2.2"].map(|address| ("IP".to_owned(), address.to_owned())).into();
    let full = DomainInterface {
        filter: Some(FilterReference { name: "clean-traffic".to_owned(), parameters }),
        model: Some("virtio".to_owned()),
        mtu: Some(9000),
        linked: false,
        alias: Some("net0".to_owned()),
        isolated: true,
        bandwidth: Bandwidth::default(),
        ..plain
    };
    let told: Vec<_> = parse(&xml).unwrap().interfaces.into_iter().map(|interface| interface.told).collect();
    assert_eq!(told, [full, interface("bridge", "52:54:00:00:00:02", None, Some("br0"), None).told]);
}
