use crate::host::v1::{NicReport, PortReport, RouteReport, VlanDevice};

use super::*;

fn address(text: &str, origin: AddressOrigin) -> AddressReport {
    let mut address = AddressReport { address: text.to_owned(), ..AddressReport::default() };
    address.set_origin(origin);
    address
}

fn route(destination: &str, gateway: &str, protocol: u32) -> RouteReport {
    RouteReport {
        destination: destination.to_owned(),
        gateway: gateway.to_owned(),
        device: "br0".to_owned(),
        protocol,
        ..RouteReport::default()
    }
}

/// A host with a bridge over eth0 that carries the host's address.
fn host(ports: &[&str]) -> Capabilities {
    let port = |name: &&str| PortReport { device: (*name).to_owned(), ..PortReport::default() };
    let mut bridge = BridgeDevice {
        name: "br0".to_owned(),
        mtu: 1400,
        options: Some(BridgeReport { stp: true, forward_delay_cs: 0, priority: 4096, ..BridgeReport::default() }),
        ports: ports.iter().map(port).collect(),
        addresses: vec![
            address("192.0.2.10/24", AddressOrigin::Static),
            address("2001:db8::10/64", AddressOrigin::Static),
            address("2001:db8::abcd/64", AddressOrigin::Dynamic),
            address("fe80::1/64", AddressOrigin::Kernel),
        ],
        ..BridgeDevice::default()
    };
    bridge.set_owner(Owner::Foreign);
    let nic = |name: &str| NicReport { name: name.to_owned(), ..NicReport::default() };
    let vlan = VlanDevice { name: "eth0.7".to_owned(), base: "eth0".to_owned(), vlan_id: 7, ..VlanDevice::default() };
    Capabilities {
        bridges: vec![bridge],
        nics: vec![nic("eth0"), nic("eth1")],
        vlans: vec![vlan],
        routes: vec![
            route("198.51.100.0/24", "192.0.2.9", 3),
            route("0.0.0.0/0", "192.0.2.1", 3),
            route("::/0", "fe80::9", PROTOCOL_ADVERTISED),
        ],
        ..Capabilities::default()
    }
}

fn wish(
    host: &Capabilities,
    bridge: &str,
    network: Option<&str>,
    uplink: Option<&str>,
) -> Result<Adoption, AdoptionError> {
    adoption(host, Wanted { bridge, network, uplink })
}

fn network(wish: Adoption) -> Network {
    wish.network
}

#[test]
fn a_bridge_is_described_as_it_is() {
    let wish = wish(&host(&["eth0", "vnet0"]), "br0", None, None).unwrap();
    assert_eq!(wish.adopt_devices, ["br0"]);
    let network = network(wish);
    assert_eq!((network.name.as_str(), network.bridge_name.as_str(), network.mtu), ("br0", "br0", Some(1400)));
    assert_eq!(
        (network.southbound, network.vlan_id, network.stp),
        (Some(Southbound::Nic("eth0".to_owned())), None, true)
    );
    let options = network.bridge_options.unwrap();
    assert_eq!((options.priority, options.forward_delay_cs), (Some(4096), None), "a delay of 0 cannot be asked for");
    let Some(ipv4_config::Method::Static(ipv4)) = network.ipv4.unwrap().method else { panic!("no static IPv4") };
    assert_eq!((ipv4.addresses, ipv4.gateway), (vec!["192.0.2.10/24".to_owned()], Some("192.0.2.1".to_owned())));
    let Some(ipv6_config::Method::Static(ipv6)) = network.ipv6.unwrap().method else { panic!("no static IPv6") };
    assert_eq!((ipv6.addresses, ipv6.gateway), (vec!["2001:db8::10/64".to_owned()], None));
    assert!(network.default_route);
}

#[test]
fn what_a_router_advertises_is_asked_of_routers() {
    let mut host = host(&["eth0"]);
    host.routes.retain(|route| route.destination != "0.0.0.0/0");
    host.bridges[0].addresses = vec![address("2001:db8::abcd/64", AddressOrigin::Auto)];
    let network = network(wish(&host, "br0", None, None).unwrap());
    assert_eq!(network.ipv6.unwrap().method, Some(ipv6_config::Method::Auto(Advertised {})));
    assert!(network.default_route);
}

#[test]
fn vlan_options_are_said_only_of_a_bridge_that_filters() {
    let mut host = host(&["eth0"]);
    let mut said = |vlan_filtering, default_pvid| {
        let options = host.bridges[0].options.as_mut().unwrap();
        (options.vlan_filtering, options.default_pvid) = (vlan_filtering, default_pvid);
        let options = network(wish(&host, "br0", None, None).unwrap()).bridge_options.unwrap();
        (options.vlan_filtering, options.default_pvid)
    };
    assert_eq!(said(false, 0), (None, None), "what a kernel without VLAN filtering tells");
    assert_eq!(said(true, 0), (Some(true), Some(0)));
}

#[test]
fn a_vlan_device_below_is_adopted_with_it() {
    let wish = wish(&host(&["eth0.7"]), "br0", Some("blue"), None).unwrap();
    assert_eq!(wish.adopt_devices, ["br0", "eth0.7"]);
    let network = network(wish);
    assert_eq!(network.name, "blue");
    assert_eq!((network.southbound, network.vlan_id), (Some(Southbound::Nic("eth0".to_owned())), Some(7)));
}

#[test]
fn several_ways_out_are_asked_about() {
    let capabilities = host(&["eth0", "eth1"]);
    let failure = wish(&capabilities, "br0", None, None).err().unwrap().to_string();
    assert!(failure.contains("--uplink: eth0, eth1"), "{failure}");
    let chosen = network(wish(&capabilities, "br0", None, Some("eth1")).unwrap());
    assert_eq!(chosen.southbound, Some(Southbound::Nic("eth1".to_owned())));
    assert!(wish(&capabilities, "br0", None, Some("eth2")).is_err());
    assert_eq!(network(wish(&host(&["vnet0"]), "br0", None, None).unwrap()).southbound, None);
}

#[test]
fn what_is_no_foreign_bridge_is_refused() {
    let mut capabilities = host(&["eth0"]);
    assert!(wish(&capabilities, "br1", None, None).err().unwrap().to_string().contains("no bridge br1"));
    capabilities.bridges[0].set_owner(Owner::Trestle);
    assert!(wish(&capabilities, "br0", None, None).err().unwrap().to_string().contains("Trestle's already"));
}
