use trestle_model::Mtu;

use super::*;

const MAC: &str = "52:54:00:00:00:01";

fn wanted(base: Option<&str>) -> InterfaceDefinition {
    InterfaceDefinition {
        network: "trestle-blue".to_owned(),
        model: "virtio".to_owned(),
        mtu: None,
        linked: true,
        isolated: false,
        bandwidth: Bandwidth::default(),
        filter: None,
        base: base.map(str::to_owned),
    }
}

fn written(definition: InterfaceDefinition) -> String {
    write(MAC.parse().unwrap(), &InterfaceText::Wanted(definition)).unwrap()
}

#[test]
fn a_running_guest_s_interface_is_taken_out_as_it_was_wished() {
    let devices = format!(
        "<interface type='bridge'><mac address='{MAC}'/><source network='trestle-blue' portgroup='g' portid='1' \
         bridge='blue' macTableManager='libvirt'/><target dev='vnet0'/><model type='virtio'/><driver queues='2'/>\
         <alias name='net0'/><address type='pci' slot='0x03'/></interface>\
         <interface type='bridge'><mac address='52:54:00:00:00:02'/><source bridge='a&amp;b'/></interface>"
    );
    let read = read(&format!("<domain id='1'><devices><disk/>{devices}</devices></domain>")).unwrap();
    let texts: Vec<&str> = read.iter().map(|interface| interface.xml.as_str()).collect();
    assert_eq!(
        texts,
        [
            "<interface type=\"network\"><mac address=\"52:54:00:00:00:01\"/><source network=\"trestle-blue\" \
             portgroup=\"g\"/><target dev=\"vnet0\"/><model type=\"virtio\"/><driver queues=\"2\"/>\
             <alias name=\"net0\"/><address type=\"pci\" slot=\"0x03\"/></interface>",
            "<interface type=\"bridge\"><mac address=\"52:54:00:00:00:02\"/><source bridge=\"a&amp;b\"/></interface>",
        ]
    );
    let told = &read[0].told;
    assert_eq!((told.attachment.as_str(), told.network.as_deref()), ("bridge", Some("trestle-blue")));
    assert_eq!(told.tap.as_ref().map(ToString::to_string).as_deref(), Some("vnet0"));
}

#[test]
fn a_new_interface_says_all_that_is_wanted() {
    let filter =
        FilterReference { name: "of <ours>".to_owned(), parameters: vec![("IP".to_owned(), "192.0.2.1".to_owned())] };
    let definition = InterfaceDefinition {
        mtu: Some(Mtu::try_from(9000).unwrap()),
        linked: false,
        isolated: true,
        bandwidth: Bandwidth {
            inbound: Some(BandwidthRate { average: 1000, peak: Some(2000), burst: Some(512) }),
            outbound: Some(BandwidthRate { average: 500, peak: None, burst: None }),
        },
        filter: Some(filter),
        ..wanted(None)
    };
    assert_eq!(
        written(definition),
        "<interface type=\"network\"><mac address=\"52:54:00:00:00:01\"/><source network=\"trestle-blue\"/>\
         <model type=\"virtio\"/><mtu size=\"9000\"/><link state=\"down\"/><port isolated=\"yes\"/>\
         <bandwidth><inbound average=\"1000\" peak=\"2000\" burst=\"512\"/><outbound average=\"500\"/></bandwidth>\
         <filterref filter=\"of &lt;ours&gt;\"><parameter name=\"IP\" value=\"192.0.2.1\"/></filterref></interface>"
    );
}

#[test]
fn what_is_not_ours_stays_in_what_changes() {
    let base = format!(
        "<interface type='network'><mac address='{MAC}'/><source network='trestle-blue' portgroup='g'/>\
         <bandwidth><inbound average='1000'/></bandwidth><boot order='1'/><target dev='vnet0'/><model type='virtio'/>\
         <driver queues='2'/><filterref filter='old'/><link state='down'/><alias name='net0'/>\
         <address type='pci' slot='0x03'/></interface>"
    );
    let stays = "<boot order=\"1\"/><target dev=\"vnet0\"/>";
    let same = written(wanted(Some(&base)));
    assert!(same.contains(stays) && same.contains("<driver queues=\"2\"/>") && same.contains("slot="), "{same}");
    assert!(same.contains("portgroup=\"g\"") && same.contains("<link state=\"up\"/>"), "{same}");
    assert!(!same.contains("filterref") && !same.contains("bandwidth"), "{same}");
    let elsewhere = written(InterfaceDefinition { network: "red".to_owned(), ..wanted(Some(&base)) });
    assert!(elsewhere.contains("<source network=\"red\"/>") && !elsewhere.contains("portgroup"), "{elsewhere}");
    // Another device may need another place.
    let other = written(InterfaceDefinition { model: "e1000".to_owned(), ..wanted(Some(&base)) });
    assert!(!other.contains("slot=") && !other.contains("queues") && other.contains("<boot "), "{other}");
}

#[test]
fn an_interface_of_another_kind_becomes_one_on_a_network() {
    let base = format!(
        "<interface type='direct'><mac address='{MAC}'/><source dev='eth0' mode='vepa'/><virtualport type='802.1Qbg'/>\
         <target dev='macvtap0'/><model type='virtio'/></interface>"
    );
    assert_eq!(
        written(wanted(Some(&base))),
        "<interface type=\"network\"><mac address=\"52:54:00:00:00:01\"/><source network=\"trestle-blue\"/>\
         <model type=\"virtio\"/><link state=\"up\"/></interface>"
    );
}

#[test]
fn what_is_no_element_is_a_fault() {
    for xml in ["", "text", "<interface", "<interface><mac/>", "<interface a='1' a='2'/>"] {
        let made = write(MAC.parse().unwrap(), &InterfaceText::Wanted(wanted(Some(xml))));
        assert!(matches!(made, Err(Fault::Xml(_))), "{xml:?}: {made:?}");
    }
}
