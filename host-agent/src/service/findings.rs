//! Every finding of the reference, provoked by a raw message on the wire: its code, field and oVirt code.
//!
//! Not provoked, since no message can say it: static addresses together with DHCP (22), and a NIC together with a bond. Both
//! are a `oneof`, of which a message carries the last. A bridge option that is not known has no name on the wire, and
//! unknown fields are left out as protobuf wants it.

mod bonds;
mod transaction;

use std::collections::BTreeSet;

use trestle_fake_host::{FakeHost, World};
use trestle_model::{Feature, NetworkName};
use trestle_proto::host::v1::ConnectivityCheck;
use trestle_proto::host::v1::ipv6_config::Method as Six;

use super::tests::{Served, network, request, serve, set_up};
use super::*;

/// A message that must be refused, with what the refusal must name.
struct Row {
    ovirt: Option<u32>,
    code: Code,
    field: &'static str,
    request: wire::SetupNetworksRequest,
}

fn row(code: Code, ovirt: impl Into<Option<u32>>, field: &'static str, networks: impl Into<Vec<wire::Network>>) -> Row {
    asked(code, ovirt, field, request(networks))
}

fn asked(code: Code, ovirt: impl Into<Option<u32>>, field: &'static str, request: wire::SetupNetworksRequest) -> Row {
    Row { ovirt: ovirt.into(), code, field, request }
}

/// A network on nothing.
fn bare(name: &str) -> wire::Network {
    wire::Network { name: name.to_owned(), ..wire::Network::default() }
}

fn on(nic: &str) -> wire::Network {
    network("blue", nic)
}

fn removal(name: &str) -> wire::Network {
    wire::Network { remove: true, ..bare(name) }
}

fn four(network: wire::Network, addresses: &[&str], gateway: Option<&str>) -> wire::Network {
    let addresses = addresses.iter().map(ToString::to_string).collect();
    let method = wire::StaticAddresses { addresses, gateway: gateway.map(str::to_owned) };
    let method = Some(wire::ipv4_config::Method::Static(method));
    wire::Network { ipv4: Some(wire::Ipv4Config { method }), ..network }
}

fn six(network: wire::Network, method: wire::ipv6_config::Method) -> wire::Network {
    wire::Network { ipv6: Some(wire::Ipv6Config { method: Some(method) }), ..network }
}

fn claiming(name: &str, nic: &str, host: u8) -> wire::Network {
    let address = format!("198.51.{host}.2/24");
    let gateway = format!("198.51.{host}.1");
    wire::Network { default_route: true, ..four(network(name, nic), &[&address], Some(&gateway)) }
}

fn with(options: wire::BridgeOptions) -> wire::Network {
    wire::Network { bridge_options: Some(options), ..on("eth1") }
}

/// What is said of networks; bonds have their own rows, and so has what becomes of a transaction.
fn rows() -> Vec<Row> {
    let bridgeless = |network: wire::Network| wire::Network { bridged: Some(false), ..network };
    let tagged = |vlan_id, network: wire::Network| wire::Network { vlan_id: Some(vlan_id), ..network };
    let sized = |mtu, network: wire::Network| wire::Network { mtu: Some(mtu), ..network };
    let bridge = |name: &str, network: wire::Network| wire::Network { bridge_name: name.to_owned(), ..network };
    let managed = |network: wire::Network| wire::Network { manage_macs_with_libvirt: true, ..network };
    let options = wire::BridgeOptions::default;
    let routed = |destination: &str, next_hop: &str| {
        let (destination, next_hop) = (destination.to_owned(), next_hop.to_owned());
        let route = wire::StaticRoute { destination, next_hop, metric: 0 };
        wire::Network { routes: vec![route], ..four(on("eth1"), &["198.51.100.2/24"], None) }
    };
    let switched = |switch_type| wire::Network { switch_type, ..on("eth1") };
    let shaped = |network: wire::Network, link_share_bps| {
        let host_qos = Some(wire::HostQos { link_share_bps, ..wire::HostQos::default() });
        wire::Network { host_qos, ..network }
    };
    let given = |addresses: &[&str]| {
        let addresses = addresses.iter().map(ToString::to_string).collect();
        wire::StaticAddresses { addresses, gateway: None }
    };
    vec![
        // 21: parameters that contradict each other, or that are malformed.
        row(Code::FieldMissing, 21, "networks[0].name", [bare("")]),
        row(Code::NameInvalid, 21, "networks[0].name", [bare("a b")]),
        row(Code::NameInvalid, 21, "networks[0].nic", [on("not/a/nic")]),
        row(Code::Duplicate, 21, "networks[1].name", [on("eth1"), on("eth0")]),
        row(
            Code::RemoveWithAttributes,
            21,
            "networks[0].remove",
            [wire::Network { remove: true, ..network("held", "eth1") }],
        ),
        row(
            Code::DefaultRouteTaken,
            21,
            "networks[0].default_route",
            [claiming("blue", "eth0", 1), claiming("red", "eth1", 2)],
        ),
        row(
            Code::DefaultRouteWithoutGateway,
            21,
            "networks[0].default_route",
            [wire::Network { default_route: true, ..four(on("eth1"), &["198.51.100.2/24"], None) }],
        ),
        row(Code::BridgelessWithoutSouthbound, 21, "networks[0].bridged", [bridgeless(bare("blue"))]),
        row(Code::SouthboundTaken, 21, "networks[0].nic", [on("eth2")]),
        row(Code::SouthboundTaken, 21, "networks[1].nic", [on("eth1"), network("red", "eth1")]),
        row(
            Code::BridgeAttributeOnBridgeless,
            21,
            "networks[0].stp",
            [wire::Network { stp: true, ..bridgeless(on("eth1")) }],
        ),
        row(
            Code::BridgeOptionOutOfRange,
            21,
            "networks[0].bridge_options.priority",
            [with(wire::BridgeOptions { priority: Some(65_536), ..options() })],
        ),
        row(
            Code::BridgeOptionOutOfRange,
            21,
            "networks[0].bridge_options.hello_time_cs",
            [with(wire::BridgeOptions { hello_time_cs: Some(1), ..options() })],
        ),
        row(
            Code::NameserversOffDefaultRoute,
            21,
            "networks[0].nameservers",
            [wire::Network { nameservers: vec!["192.0.2.53".to_owned()], ..on("eth1") }],
        ),
        row(Code::SwitchTypeUnsupported, 21, "networks[0].switch_type", [switched(wire::SwitchType::Ovs.into())]),
        row(Code::EnumUnknown, 21, "networks[0].switch_type", [switched(77)]),
        row(Code::QosInvalid, 21, "networks[0].host_qos.link_share_bps", [shaped(on("eth1"), 999)]),
        row(Code::QosWithoutSouthbound, 21, "networks[0].host_qos", [shaped(bare("blue"), 1000)]),
        asked(
            Code::FieldConflict,
            21,
            "scope",
            wire::SetupNetworksRequest { scope: wire::Scope::Persistent.into(), ..request([on("eth1")]) },
        ),
        asked(
            Code::TimeoutOutOfRange,
            21,
            "connectivity_timeout",
            wire::SetupNetworksRequest {
                connectivity_check: ConnectivityCheck::Confirm.into(),
                connectivity_timeout: Some(prost_types::Duration { seconds: 601, nanos: 0 }),
                ..request([on("eth1")])
            },
        ),
        // 22: addresses.
        row(
            Code::BadAddress,
            22,
            "networks[0].ipv4.static.addresses[0]",
            [four(on("eth1"), &["198.51.100.300/24"], None)],
        ),
        row(Code::BadAddress, 22, "networks[0].ipv4.static.addresses[0]", [four(on("eth1"), &["198.51.100.2"], None)]),
        row(
            Code::GatewayWithoutAddress,
            22,
            "networks[0].ipv4.static.gateway",
            [four(on("eth1"), &[], Some("198.51.100.1"))],
        ),
        row(
            Code::GatewayNotOnLink,
            22,
            "networks[0].ipv4.static.gateway",
            [wire::Network { default_route: true, ..four(on("eth1"), &["198.51.100.2/24"], Some("203.0.113.1")) }],
        ),
        row(
            Code::BadAddress,
            22,
            "networks[0].ipv6.static.addresses[0]",
            [six(on("eth1"), Six::Static(given(&["198.51.100.2/24"])))],
        ),
        row(
            Code::BadAddress,
            22,
            "networks[0].ipv6.static.addresses[1]",
            [six(on("eth1"), Six::Static(given(&["2001:db8::2/64", "2001:db8::2/48"])))],
        ),
        row(Code::BadAddress, 22, "networks[0].ipv6.static.addresses", [six(on("eth1"), Six::Static(given(&[])))]),
        row(
            Code::GatewayWithoutAddress,
            22,
            "networks[0].routes[0].next_hop",
            [six(routed("2001:db8:7::/48", "2001:db8::7"), Six::Auto(wire::Advertised {}))],
        ),
        row(Code::AddressTaken, 22, "networks[0].ipv4.addresses[0]", [four(on("eth1"), &["192.0.2.10/24"], None)]),
        row(Code::RouteInvalid, 22, "networks[0].routes[0].destination", [routed("nonsense", "198.51.100.1")]),
        // 23 and 24: NICs.
        row(Code::NicNotFound, 23, "networks[0].nic", [on("eth9")]),
        row(Code::NicInUse, 24, "networks[0].nic", [on("eth3")]),
        // 26: VLANs.
        row(Code::VlanOutOfRange, 26, "networks[0].vlan_id", [tagged(4095, on("eth1"))]),
        row(Code::VlanWithoutSouthbound, 26, "networks[0].vlan_id", [tagged(10, bare("blue"))]),
        // 27: bridges, and networks that are not there.
        row(Code::BridgeNameInvalid, 27, "networks[0].bridge_name", [bridge("a/b", on("eth1"))]),
        row(Code::BridgeNameInvalid, 27, "networks[0].bridge_name", [bridge("bonding_masters", on("eth1"))]),
        row(Code::BridgeNameTaken, 27, "networks[0].bridge_name", [bridge("held", on("eth1"))]),
        row(Code::NetworkNotFound, 27, "networks[0].name", [removal("nowhere")]),
        row(Code::ForeignDevice, 27, "networks[0].bridge_name", [bridge("virbr0", on("eth1"))]),
        // What oVirt has no number for.
        row(Code::MtuOutOfRange, None, "networks[0].mtu", [sized(67, on("eth1"))]),
        row(
            Code::MtuOutOfRange,
            None,
            "networks[0].mtu",
            [sized(1279, six(on("eth1"), Six::AutoAndDhcp(wire::AdvertisedAndDhcp {})))],
        ),
        row(Code::MtuOutOfRange, None, "networks[0].mtu", [sized(1000, six(on("eth1"), Six::Dhcp(wire::Dhcp {})))]),
        row(Code::MtuOutOfRange, None, "networks[0].mtu", [sized(60_000, on("eth1"))]),
        row(Code::GuestsAttached, None, "networks[0].name", [removal("held")]),
        row(Code::NoEffectNotBridged, None, "networks[0].manage_macs_with_libvirt", [managed(bridgeless(on("eth1")))]),
        row(
            Code::BridgeOptsConflict,
            None,
            "networks[0].bridge_options.default_pvid",
            [managed(with(wire::BridgeOptions { default_pvid: Some(0), ..options() }))],
        ),
        row(Code::KernelLacksFeature, None, "networks[0].vlan_id", [tagged(10, on("eth1"))]),
        row(Code::LibvirtLacksFeature, None, "networks[0].manage_macs_with_libvirt", [managed(on("eth1"))]),
    ]
}

/// A host on which each row can be provoked: a network with a guest, one on a bond, a foreign bridge with a NIC, a foreign
/// bond below a foreign VLAN device, and no VLAN devices and no MAC tables managed by libvirt.
async fn surroundings() -> Served {
    let world = World::default().nic("eth0").nic("eth1").nic("eth2").nic("eth3").address("eth0", "192.0.2.10/24");
    let world = world.foreign_bridge("virbr0").port("virbr0", "eth3");
    let world = world.nic("eth4").nic("eth5").nic("eth6").nic("eth7");
    let world = world.foreign_bond("bond2", &["eth6", "eth7"]).foreign_vlan("old9", "bond2", 9);
    let world = world.without(Feature::VlanDevices, "tried in vain");
    let host = FakeHost::new(world.without(Feature::LibvirtMacTableManager, "tried in vain"));
    let mut served = serve(host.clone()).await;
    let bond = bonds::bond("bond1", &["eth4", "eth5"]);
    let held = [network("held", "eth2"), bonds::on_bond("aggregated", "bond1")];
    set_up(&mut served, wire::SetupNetworksRequest { bonds: vec![bond], ..request(held) }).await.unwrap();
    host.change(|world| world.start_guest("vm1", "52:54:00:00:00:01", "vnet0", "held", Some("trestle-held")));
    host.forget();
    served
}

#[tokio::test]
async fn every_row_of_the_reference_is_told_with_its_field_and_ovirt_code() {
    let mut served = surroundings().await;
    let mut wrong = Vec::new();
    for Row { ovirt, code, field, request } in rows().into_iter().chain(bonds::rows()) {
        let asked = format!("{code} {field}");
        match set_up(&mut served, request).await {
            Ok(result) => wrong.push(format!("{asked}: accepted, {:?}", result.outcome())),
            Err(status) => {
                let findings = status::findings_of(&status);
                let told = findings.iter().any(|found| {
                    (found.code.as_str(), found.field.as_str(), found.ovirt_code) == (code.as_str(), field, ovirt)
                });
                let refused = matches!(status.code(), tonic::Code::InvalidArgument | tonic::Code::FailedPrecondition);
                if !told || !refused {
                    let found: Vec<_> = findings.iter().map(|f| (&f.code, &f.field, f.ovirt_code)).collect();
                    wrong.push(format!("{asked}: {:?} {found:?}", status.code()));
                }
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new(), "{}", wrong.join("\n"));
    let kept = served.bench.agent.kept().borrow().clone();
    assert_eq!(kept.running.networks.keys().map(NetworkName::as_str).collect::<Vec<_>>(), ["aggregated", "held"]);
    assert_eq!(kept.open, None);
}

#[test]
fn no_code_with_a_number_of_ovirts_is_left_out() {
    let rows = rows().into_iter().chain(bonds::rows()).map(|row| row.code);
    let provoked: BTreeSet<Code> = rows.chain(transaction::PROVOKED).collect();
    let numbered = Code::ALL.iter().copied().filter(|code| code.ovirt().is_some());
    let left_out: Vec<Code> = numbered.filter(|code| !provoked.contains(code)).collect();
    assert_eq!(left_out, []);
}
