//! Legal networks of a host.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use proptest::option;
use proptest::prelude::*;
use trestle_model::{
    BitRate, BridgeNumber, BridgeNumbers, BridgeOptions, BridgeSpec, BridgeWired, FeatureName, GuestNic, GuestPorts,
    HostQos, IfName, Ipv4Config, Ipv6Config, MacAddr, MacTableManager, Mtu, NameServer, NetworkName, NetworkSpec,
    NicSpec, Offload, RingSizes, SourceMacs, Southbound, StaticIpv4, StaticIpv6, StaticRoute, Topology, VlanId,
};

pub(crate) fn network_name() -> impl Strategy<Value = NetworkName> {
    "[a-z0-9][a-zA-Z0-9._-]{0,40}".prop_map(|text| NetworkName::parse(&text).unwrap())
}

pub(crate) fn if_name() -> impl Strategy<Value = IfName> {
    "[a-z][a-z0-9._-]{0,14}".prop_map(|text| IfName::parse(&text).unwrap())
}

pub(crate) fn southbound() -> impl Strategy<Value = Southbound> {
    prop_oneof![if_name().prop_map(Southbound::Nic), bridge_name().prop_map(Southbound::Bond)]
}

pub(crate) fn bridge_name() -> impl Strategy<Value = IfName> {
    "br[a-z0-9_-]{0,13}".prop_map(|text| IfName::parse_bridge(&text).unwrap())
}

pub(crate) fn vlan() -> impl Strategy<Value = VlanId> {
    (0_u32..=4094).prop_map(|id| VlanId::try_from(id).unwrap())
}

pub(crate) fn mtu(least: u32) -> impl Strategy<Value = Mtu> {
    (least..=65_535).prop_map(|mtu| Mtu::try_from(mtu).unwrap())
}

pub(crate) fn manager() -> impl Strategy<Value = MacTableManager> {
    prop_oneof![Just(MacTableManager::Kernel), Just(MacTableManager::Libvirt)]
}

pub(crate) fn source_macs() -> impl Strategy<Value = SourceMacs> {
    prop_oneof![Just(SourceMacs::Any), Just(SourceMacs::Locked)]
}

/// Addresses of 198.18.0.0/15, each in a prefix of its own, and perhaps the first one's gateway.
pub(crate) fn ipv4() -> impl Strategy<Value = Ipv4Config> {
    let given = (1_u8..4, 2_u8..250, any::<bool>()).prop_map(|(count, host, routed)| {
        let nets = (0..count).map(|net| Ipv4Net::new(Ipv4Addr::new(198, 18, net, host), 24).unwrap()).collect();
        Ipv4Config::Static(StaticIpv4::new(nets, routed.then_some(Ipv4Addr::new(198, 18, 0, 1))).unwrap())
    });
    prop_oneof![Just(Ipv4Config::None), Just(Ipv4Config::Dhcp), given]
}

pub(crate) fn ipv6() -> impl Strategy<Value = Ipv6Config> {
    let given = (1_u16..4, 2_u16.., any::<bool>()).prop_map(|(count, host, routed)| {
        let address = |net| Ipv6Addr::new(0x2001, 0xdb8, 0, net, 0, 0, 0, host);
        let nets = (0..count).map(|net| Ipv6Net::new(address(net), 64).unwrap()).collect();
        let gateway = routed.then_some(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1));
        Ipv6Config::Static(StaticIpv6::new(nets, gateway).unwrap())
    });
    let others = [Ipv6Config::None, Ipv6Config::Auto, Ipv6Config::Dhcp, Ipv6Config::AutoAndDhcp];
    prop_oneof![proptest::sample::select(others.to_vec()), given]
}

/// Routes of both families, each to a destination of its own.
pub(crate) fn routes() -> impl Strategy<Value = Vec<StaticRoute>> {
    proptest::collection::vec((any::<bool>(), any::<u32>()), 0..4).prop_map(|given| {
        let route = |(net, (is_v4, metric)): (u16, (bool, u32))| {
            let (destination, next_hop) = if is_v4 {
                (format!("10.{}.0.0/16", net % 256), "198.18.0.7".to_owned())
            } else {
                (format!("2001:db8:{net:x}::/48"), "fe80::7".to_owned())
            };
            StaticRoute::new(destination.parse().unwrap(), next_hop.parse().unwrap(), metric).unwrap()
        };
        (1_u16..).zip(given).map(route).collect()
    })
}

fn rate() -> impl Strategy<Value = BitRate> {
    (1_u64..=34_359_738).prop_map(|kilobits| BitRate::try_from(kilobits * 1000).unwrap())
}

pub(crate) fn qos() -> impl Strategy<Value = HostQos> {
    (rate(), option::of(rate()), option::of(rate())).prop_map(|(link_share, upper_limit, committed_rate)| HostQos {
        link_share,
        upper_limit,
        committed_rate,
    })
}

pub(crate) fn feature_name() -> impl Strategy<Value = FeatureName> {
    "[a-z][a-z0-9-]{0,30}".prop_map(|text| FeatureName::parse(&text).unwrap())
}

pub(crate) fn nic_spec() -> impl Strategy<Value = NicSpec> {
    let known = proptest::sample::select(Offload::KNOWN.to_vec());
    let offload = prop_oneof![known, feature_name().prop_map(Offload::Feature)];
    let rings = (option::of(any::<u32>()), option::of(any::<u32>())).prop_map(|(rx, tx)| RingSizes { rx, tx });
    let offloads = proptest::collection::btree_map(offload, any::<bool>(), 0..4);
    (if_name(), rings, option::of(any::<u32>()), offloads).prop_map(|(name, rings, vfs, offloads)| NicSpec {
        name,
        rings,
        vfs,
        offloads,
    })
}

/// Name servers, isolation, and custom values.
pub(crate) fn extras() -> impl Strategy<Value = (Vec<NameServer>, bool, BTreeMap<String, String>)> {
    let servers = ["192.0.2.53", "2001:db8::53", "fe80::53%blue"].map(|text| text.parse().unwrap());
    let custom = proptest::collection::btree_map("[a-z][a-z0-9_.-]{0,9}", "\\PC{0,20}", 0..3);
    (proptest::sample::subsequence(servers.to_vec(), 0..=3), any::<bool>(), custom)
}

pub(crate) fn numbers() -> impl Strategy<Value = BridgeNumbers> {
    let given = proptest::sample::subsequence(BridgeNumber::ALL.to_vec(), 0..4);
    (given, any::<u32>()).prop_map(|(given, seed)| {
        let within = |number: BridgeNumber| {
            let (low, high) = number.range();
            low + seed % (high - low).saturating_add(1).max(1)
        };
        given.into_iter().map(|number| (number, within(number))).collect()
    })
}

pub(crate) fn options() -> impl Strategy<Value = BridgeOptions> {
    let times = (
        option::of(0_u32..100_000),
        option::of(200_u32..=3000),
        option::of(100_u32..=1000),
        option::of(600_u32..=4000),
    );
    let rest = (
        option::of(any::<u16>()),
        option::of(any::<bool>()),
        option::of(any::<bool>()),
        option::of((0_u16..8192).prop_map(|mask| mask << 3)),
        option::of(any::<bool>()),
        option::of(0_u16..=4094),
    );
    (times, rest, numbers()).prop_map(
        |((ageing_time_cs, forward_delay_cs, hello_time_cs, max_age_cs), rest, numbers)| {
            let (priority, multicast_snooping, multicast_querier, group_fwd_mask, vlan_filtering, default_pvid) = rest;
            BridgeOptions {
                ageing_time_cs,
                forward_delay_cs,
                hello_time_cs,
                max_age_cs,
                priority,
                multicast_snooping,
                multicast_querier,
                group_fwd_mask,
                vlan_filtering,
                default_pvid,
                numbers,
            }
        },
    )
}

fn guest_ports() -> impl Strategy<Value = GuestPorts> {
    let station = |kind: u8| any::<[u8; 2]>().prop_map(move |[a, b]| MacAddr::new([0x52, 0x54, 0, kind, a, b]));
    let id = (1_u32..=4094).prop_map(|id| VlanId::try_from(id).unwrap());
    let nic = (proptest::collection::btree_set(station(1), 0..4), proptest::collection::btree_set(id, 0..4))
        .prop_map(|(extra_macs, vlans)| GuestNic { extra_macs, vlans });
    let nics = proptest::collection::btree_map(station(0), nic, 0..4);
    let bridge_wired = prop_oneof![Just(BridgeWired::Convert), Just(BridgeWired::Refuse)];
    (source_macs(), bridge_wired, nics).prop_map(|(source_macs, bridge_wired, nics)| GuestPorts {
        source_macs,
        bridge_wired,
        nics,
    })
}

pub(crate) fn network_spec() -> impl Strategy<Value = NetworkSpec> {
    let bridge =
        (bridge_name(), any::<bool>(), options()).prop_map(|(name, stp, options)| BridgeSpec { name, stp, options });
    let addresses = (ipv4(), ipv6(), any::<bool>(), routes(), extras(), (option::of(qos()), guest_ports()));
    (network_name(), option::of(if_name()), option::of(vlan()), mtu(1280), option::of(bridge), manager(), addresses)
        .prop_map(
            |(
                name,
                nic,
                vlan,
                mtu,
                bridge,
                mac_table_manager,
                (ipv4, ipv6, default_route, routes, (servers, port_isolation, custom), (host_qos, guest_ports)),
            )| {
                let topology = match (bridge, &nic) {
                    (Some(bridge), _) => Topology::Bridged(bridge),
                    (None, Some(_)) => Topology::Bridgeless,
                    (None, None) => Topology::Bridged(BridgeSpec {
                        name: IfName::for_bridge(&name),
                        stp: false,
                        options: BridgeOptions::default(),
                    }),
                };
                let nameservers = if default_route { servers } else { Vec::new() };
                let searched = ["lab.example".parse().unwrap(), "example.org".parse().unwrap()];
                let search_domains =
                    searched.into_iter().take(if default_route { nameservers.len() } else { 0 }).collect();
                let port_isolation = port_isolation && matches!(topology, Topology::Bridged(_));
                let vlan = vlan.filter(|_| nic.is_some());
                // Every other name is a bond's.
                let southbound = nic.map(|name| match name.as_str().len() % 2 {
                    0 => Southbound::Nic(name),
                    _ => Southbound::Bond(name),
                });
                NetworkSpec {
                    name,
                    southbound,
                    vlan,
                    mtu,
                    topology,
                    mac_table_manager,
                    ipv4,
                    ipv6,
                    default_route,
                    routes,
                    nameservers,
                    search_domains,
                    port_isolation,
                    guest_ports,
                    host_qos,
                    custom,
                }
            },
        )
}
