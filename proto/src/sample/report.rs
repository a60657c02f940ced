//! Legal reports of a host, without what the wire has no place for.

use std::collections::BTreeMap;

use ipnet::IpNet;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use trestle_model::{
    Address, AddressOrigin, Bandwidth, BandwidthRate, Bridge, BridgeReport, Capabilities, DeviceManager, DhcpClient,
    DhcpClientSpec, DhcpState, Domain, DomainInterface, DomainPersistence, DomainState, DriftKind, Duplex, Egress,
    FdbEntry, FdbState, Feature, FeatureSet, FeatureState, FilterEffects, FilterReference, ForeignMac, FunctionLink,
    FunctionSettings, FunctionTag, FunctionVlan, GuestPort, IfName, IpFamily, KernelInfo, Lease, LeaseRoute,
    LibvirtInfo, MacAddr, MacTableReport, Management, NetworkEntry, NetworkReport, NicEntry, NicHardware, NicReport,
    NicState, NicValues, Origin, Owner, PortFlags, PortReport, PortVlans, Presence, PromiscuityCause, Repair,
    RepairState, RepairTally, ResolverMechanism, ResolverReport, Rings, Route, Shaping, Support, TrafficClass,
    UncommittedChange, UplinkReport, VirtualFunction, VirtualFunctions, VlanId, VlanRange, VlanReport,
};

use super::bond::bond_report;
use super::lldp::lldp_neighbors;
use super::network_spec;
use super::spec::{feature_name, if_name, manager, mtu, nic_spec, qos, vlan};

pub(super) fn mac() -> impl Strategy<Value = MacAddr> {
    any::<[u8; 6]>().prop_map(MacAddr::new)
}

fn net() -> impl Strategy<Value = IpNet> {
    prop_oneof![
        (any::<[u8; 4]>(), 0_u8..=32).prop_map(|(octets, length)| IpNet::new(octets.into(), length).unwrap()),
        (any::<[u8; 16]>(), 0_u8..=128).prop_map(|(octets, length)| IpNet::new(octets.into(), length).unwrap()),
    ]
}

fn address() -> impl Strategy<Value = Address> {
    let origin = select(vec![
        AddressOrigin::Static,
        AddressOrigin::Dynamic,
        AddressOrigin::Dhcp,
        AddressOrigin::Kernel,
        AddressOrigin::Auto,
    ]);
    (net(), origin).prop_map(|(net, origin)| Address {
        net,
        origin,
        broadcast: None,
        label: None,
        scope: 0,
        no_prefix_route: false,
    })
}

pub(super) fn addresses() -> impl Strategy<Value = Vec<Address>> {
    proptest::collection::vec(address(), 0..3)
}

fn bridge() -> impl Strategy<Value = Bridge> {
    let rest = super::spec::numbers().prop_map(|numbers| numbers.unusual());
    (any::<[u32; 4]>(), any::<[u16; 3]>(), any::<[bool; 4]>(), rest).prop_map(|(times, numbers, flags, rest)| Bridge {
        stp: flags[0],
        ageing_time_cs: times[0],
        forward_delay_cs: times[1],
        hello_time_cs: times[2],
        max_age_cs: times[3],
        priority: numbers[0],
        multicast_snooping: flags[1],
        multicast_querier: flags[2],
        group_fwd_mask: numbers[1],
        vlan_filtering: flags[3],
        default_pvid: numbers[2],
        numbers: rest,
    })
}

fn port() -> impl Strategy<Value = PortReport> {
    let guest = ("[a-z]{1,8}", mac(), manager()).prop_map(|(domain, mac, mac_table_manager)| GuestPort {
        domain,
        mac,
        mac_table_manager,
    });
    let guest = option::of(guest);
    let port = (if_name(), any::<[bool; 6]>(), any::<u32>(), option::of(vlans()), guest);
    port.prop_map(|(device, flags, promiscuity, vlans, guest)| PortReport {
        device,
        flags: PortFlags {
            learning: flags[0],
            flood: flags[1],
            multicast_flood: flags[2],
            broadcast_flood: flags[3],
            isolated: flags[4],
            locked: flags[5],
        },
        promiscuity,
        vlans,
        guest,
    })
}

fn vlans() -> impl Strategy<Value = PortVlans> {
    let range = (1_u16..4095, 0_u16..9, any::<bool>(), any::<bool>()).prop_map(|(first, more, pvid, untagged)| {
        let last = if pvid { first } else { (first + more).min(4094) };
        VlanRange { first, last, pvid, untagged }
    });
    proptest::collection::vec(range, 0..3).prop_map(|ranges| ranges.into_iter().collect())
}

fn entry() -> impl Strategy<Value = FdbEntry> {
    let state = prop_oneof![Just(FdbState::Learned), Just(FdbState::Static), Just(FdbState::Local)];
    (if_name(), if_name(), mac(), option::of(0_u16..=4094), state, any::<bool>())
        .prop_map(|(bridge, port, mac, vlan, state, sticky)| FdbEntry { bridge, port, mac, vlan, state, sticky })
}

fn mac_table() -> impl Strategy<Value = MacTableReport> {
    (option::of(manager()), any::<bool>(), proptest::collection::vec(entry(), 0..3), option::of(uplink()))
        .prop_map(|(manager, active, entries, uplink)| MacTableReport { manager, active, entries, uplink })
}

fn uplink() -> impl Strategy<Value = UplinkReport> {
    let cause = prop_oneof![
        Just(PromiscuityCause::NotFiltering),
        Just(PromiscuityCause::Bridge),
        if_name().prop_map(PromiscuityCause::Port),
        Just(PromiscuityCause::Device),
    ];
    (if_name(), any::<u32>(), proptest::collection::vec(cause, 0..3), any::<u32>()).prop_map(
        |(device, promiscuity, causes, unicast_addresses)| UplinkReport {
            device,
            promiscuity,
            causes,
            unicast_addresses,
        },
    )
}

fn hosts() -> impl Strategy<Value = Vec<std::net::IpAddr>> {
    proptest::collection::vec(net().prop_map(|net| net.addr()), 0..3)
}

fn client() -> impl Strategy<Value = DhcpClient> {
    let family = prop_oneof![Just(IpFamily::Ipv4), Just(IpFamily::Ipv6)];
    let spec = (if_name(), family, if_name(), any::<bool>()).prop_map(|(link, family, segment, default_route)| {
        DhcpClientSpec {
            link,
            family,
            segment,
            default_route,
            source_table: (!default_route).then_some(0x4000_0007),
            nameservers: default_route,
            search_domains: default_route,
        }
    });
    let state = select(vec![DhcpState::Searching, DhcpState::Verifying, DhcpState::Bound, DhcpState::Renewing]);
    (spec, state, option::of(lease()), option::of(".{1,20}")).prop_map(|(spec, state, lease, problem)| DhcpClient {
        spec,
        state,
        lease,
        problem,
    })
}

fn lease() -> impl Strategy<Value = Lease> {
    let route = (net(), option::of(net()))
        .prop_map(|(destination, hop)| LeaseRoute { destination, next_hop: hop.map(|net| net.addr()) });
    let routes = proptest::collection::vec(route, 0..3);
    let words = ("[0-9a-f.]{0,12}", proptest::collection::vec("[a-z.]{1,12}", 0..2));
    let times = (option::of(0_u64..4_000_000_000_000), any::<[u32; 3]>());
    (net(), hosts(), routes, hosts(), words, times).prop_map(
        |(
            address,
            gateways,
            routes,
            nameservers,
            (server, search),
            (expires_ms, [lifetime_s, renew_s, preferred_s]),
        )| {
            Lease {
                address,
                server,
                gateways,
                routes,
                nameservers,
                search,
                expires_ms,
                lifetime_s,
                renew_s,
                preferred_s,
            }
        },
    )
}

fn network() -> impl Strategy<Value = NetworkReport> {
    let origin = prop_oneof![Just(Origin::Engine), Just(Origin::Local)];
    let device = (option::of(if_name()), option::of(mtu(68)), addresses(), option::of(bridge()));
    let ports = (proptest::collection::vec(port(), 0..3), option::of(mac_table()), foreign_macs());
    let out = (hosts(), any::<bool>(), proptest::collection::vec(client(), 0..2));
    let lines = || proptest::collection::vec(".{0,20}", 0..3);
    let drift = (lines(), repairs(), lines());
    (network_spec(), origin, device, ports, out, drift).prop_map(
        |(
            spec,
            origin,
            (device, mtu, addresses, bridge),
            (ports, mac_table, foreign_macs),
            (gateways, default_route, dhcp),
            (drift, repairs, left_alone),
        )| {
            // A MAC table is one of the network's own bridge.
            let mac_table = mac_table.zip(spec.bridge()).map(|(mut table, bridge)| {
                table.entries.iter_mut().for_each(|entry| entry.bridge = bridge.name.clone());
                table
            });
            NetworkReport {
                configured: NetworkEntry { spec, origin },
                device,
                mtu,
                addresses,
                gateways,
                default_route,
                bridge,
                ports,
                mac_table,
                foreign_macs,
                dhcp,
                drift,
                repairs,
                left_alone,
            }
        },
    )
}

fn foreign_macs() -> impl Strategy<Value = Vec<ForeignMac>> {
    // The wire knows times up to the year 9999.
    let time = || 0..253_402_300_799_000_u64;
    let seen = (if_name(), ".{0,20}", mac(), option::of(any::<u16>()), time(), option::of(time()));
    let seen = seen.prop_map(|(port, guest, mac, vlan, first_seen_ms, gone_ms)| ForeignMac {
        port,
        guest,
        mac,
        vlan,
        first_seen_ms,
        gone_ms,
    });
    proptest::collection::vec(seen, 0..3)
}

fn nic() -> impl Strategy<Value = NicReport> {
    let macs = (option::of(mac()), option::of(mac()));
    let limits = (mtu(68), option::of(any::<u32>()));
    (
        if_name(),
        macs,
        limits,
        any::<[bool; 2]>(),
        option::of(if_name()),
        addresses(),
        (hardware(), lldp_neighbors(), egress(), set()),
    )
        .prop_map(
            |(
                name,
                (mac, permanent_mac),
                (mtu, max_mtu),
                [up, carrier],
                master,
                addresses,
                (hardware, lldp_neighbors, egress, (configured, settings, drift, repairs)),
            )| NicReport {
                name,
                mac,
                permanent_mac,
                mtu,
                max_mtu,
                up,
                carrier,
                master,
                addresses,
                hardware,
                lldp_neighbors,
                egress,
                configured,
                settings,
                drift,
                repairs,
                presence: if up { Presence::Present } else { Presence::Missing },
            },
        )
}

/// What is to be set on a NIC, what is, and what differs.
fn set() -> impl Strategy<Value = (Option<NicEntry>, NicState, Vec<String>, Vec<Repair>)> {
    let origin = prop_oneof![Just(Origin::Engine), Just(Origin::Local)];
    let entry = (nic_spec(), origin).prop_map(|(spec, origin)| NicEntry { spec, origin, before: NicValues::default() });
    let rings = any::<[u32; 4]>().prop_map(|[rx, rx_max, tx, tx_max]| Rings { rx, rx_max, tx, tx_max });
    let feature = any::<[bool; 2]>().prop_map(|[requested, active]| FeatureState { requested, active });
    let features = proptest::collection::btree_map(feature_name(), feature, 0..3);
    let text = || option::of("[a-z0-9:.]{1,12}");
    let function = (text(), text(), option::of(if_name()), option::of(function_settings())).prop_map(
        |(bus_address, driver, device, set)| VirtualFunction {
            uppers: driver.iter().cloned().collect(),
            bus_address,
            driver,
            device,
            set,
        },
    );
    let vfs = (any::<u32>(), proptest::collection::vec(function, 0..3))
        .prop_map(|(most, functions)| VirtualFunctions { most, functions });
    let state = (option::of(rings), features, option::of(vfs)).prop_map(|(rings, features, vfs)| NicState {
        rings,
        features,
        vfs,
    });
    (option::of(entry), state, proptest::collection::vec(".{0,20}", 0..2), repairs())
}

/// What was set for a virtual function.
fn function_settings() -> impl Strategy<Value = FunctionSettings> {
    let tag = prop_oneof![Just(FunctionTag::Customer), Just(FunctionTag::Service)];
    let vlan = (vlan(), 0..8_u32, tag).prop_map(|(id, priority, tag)| FunctionVlan { id, priority, tag });
    let link = prop_oneof![Just(FunctionLink::Auto), Just(FunctionLink::Enabled), Just(FunctionLink::Disabled)];
    let station = any::<[u8; 5]>().prop_map(|[a, b, c, d, e]| MacAddr::new([2, a, b, c, d, e]));
    (option::of(station), option::of(vlan), link, any::<Option<bool>>(), any::<Option<bool>>())
        .prop_map(|(mac, vlan, link, spoof_check, trusted)| FunctionSettings { mac, vlan, link, spoof_check, trusted })
}

pub(super) fn egress() -> impl Strategy<Value = Egress> {
    let class = prop_oneof![Just(TrafficClass::Rest), vlan().prop_map(TrafficClass::Vlan)];
    prop_oneof![
        Just(Egress::Kernels),
        "[a-z]{1,9}".prop_map(Egress::Foreign),
        proptest::collection::btree_map(class, qos(), 0..3).prop_map(|classes| Egress::Shaped(Shaping(classes))),
    ]
}

fn hardware() -> impl Strategy<Value = NicHardware> {
    let duplex = option::of(prop_oneof![Just(Duplex::Half), Just(Duplex::Full)]);
    let text = || option::of("[a-z0-9:.]{1,12}");
    (text(), text(), option::of(any::<u32>()), duplex)
        .prop_map(|(driver, bus_address, speed_mbps, duplex)| NicHardware { driver, bus_address, speed_mbps, duplex })
}

fn owner() -> impl Strategy<Value = Owner> {
    prop_oneof![network_spec().prop_map(|spec| Owner::Network(spec.name)), Just(Owner::Trestle), Just(Owner::Foreign)]
}

fn bridge_device() -> impl Strategy<Value = BridgeReport> {
    let link = (if_name(), owner(), option::of(mac()), mtu(68), any::<[bool; 2]>());
    (link, bridge(), proptest::collection::vec(port(), 0..3), addresses()).prop_map(
        |((name, owner, mac, mtu, [up, carrier]), options, ports, addresses)| BridgeReport {
            name,
            owner,
            mac,
            mtu,
            up,
            carrier,
            options,
            ports,
            addresses,
        },
    )
}

fn vlan_device() -> impl Strategy<Value = VlanReport> {
    let link = (if_name(), owner(), option::of(mac()), mtu(68), any::<[bool; 2]>());
    (link, if_name(), 0_u32..=4094, option::of(if_name()), addresses()).prop_map(
        |((name, owner, mac, mtu, [up, carrier]), base, id, master, addresses)| VlanReport {
            name,
            owner,
            base,
            id: VlanId::try_from(id).unwrap(),
            mac,
            mtu,
            up,
            carrier,
            master,
            addresses,
        },
    )
}

fn route() -> impl Strategy<Value = Route> {
    (net(), option::of(net()), if_name(), any::<u32>(), option::of(net()), any::<[u8; 2]>()).prop_map(
        |(destination, gateway, device, metric, source, [protocol, scope])| Route {
            table: if scope < 128 { Route::MAIN } else { Route::SOURCE_TABLES.start + u32::from(scope) },
            destination,
            gateway: gateway.map(|net| net.addr()),
            device,
            metric,
            preferred_source: source.map(|net| net.addr()),
            protocol,
            scope,
        },
    )
}

pub(super) fn repairs() -> impl Strategy<Value = Vec<Repair>> {
    let state = [RepairState::Due, RepairState::Suspended, RepairState::LeftAlone, RepairState::Impossible];
    let repair = (select(DriftKind::ALL.to_vec()), select(state.to_vec()), any::<u32>(), ".{0,20}");
    let repair = repair.prop_map(|(kind, state, attempts, reason)| Repair { kind, state, attempts, reason });
    proptest::collection::vec(repair, 0..3)
}

fn features() -> impl Strategy<Value = FeatureSet> {
    let support =
        prop_oneof![Just(Support::Present), ".{0,20}".prop_map(Support::Absent), ".{0,20}".prop_map(Support::Unknown),];
    let given = proptest::collection::vec(option::of(support), Feature::ALL.len());
    given.prop_map(|given| {
        let listed = Feature::ALL.into_iter().zip(given);
        FeatureSet(listed.filter_map(|(feature, support)| Some((feature, support?))).collect::<BTreeMap<_, _>>())
    })
}

fn domain() -> impl Strategy<Value = Domain> {
    let states = [DomainState::Running, DomainState::Paused, DomainState::ShutOff, DomainState::Other];
    let persistence = select(vec![DomainPersistence::Persistent, DomainPersistence::Transient]);
    let interfaces = proptest::collection::vec(domain_interface(), 0..3);
    (".{0,20}", any::<u128>(), select(states.to_vec()), persistence, interfaces).prop_map(
        |(name, uuid, state, persistence, interfaces)| Domain {
            name,
            uuid: uuid::Uuid::from_u128(uuid),
            state,
            persistence,
            interfaces,
        },
    )
}

pub(super) fn bandwidth() -> impl Strategy<Value = Bandwidth> {
    let rate = || {
        let numbers = (1..u32::MAX, option::of(any::<u32>()), option::of(1..u32::MAX));
        option::of(numbers.prop_map(|(average, peak, burst)| BandwidthRate {
            average,
            peak: peak.map(|peak| peak.max(average)),
            burst,
        }))
    };
    (rate(), rate()).prop_map(|(inbound, outbound)| Bandwidth { inbound, outbound })
}

fn domain_interface() -> impl Strategy<Value = DomainInterface> {
    let text = || option::of(".{1,20}");
    let parameters = proptest::collection::vec((".{0,9}", ".{0,9}"), 0..3);
    let filter = (".{0,20}", parameters).prop_map(|(name, parameters)| FilterReference { name, parameters });
    let wiring = (".{0,9}", text(), text(), option::of(if_name()), option::of(filter));
    (mac(), wiring, text(), option::of(any::<u32>()), text(), any::<[bool; 2]>(), bandwidth()).prop_map(
        |(mac, (attachment, network, bridge, tap, filter), model, mtu, alias, [linked, isolated], bandwidth)| {
            DomainInterface {
                mac,
                attachment,
                network,
                bridge,
                tap,
                filter,
                model,
                mtu,
                linked,
                alias,
                isolated,
                bandwidth,
            }
        },
    )
}

fn filter_effects() -> impl Strategy<Value = FilterEffects> {
    any::<[bool; 3]>().prop_map(|[stops_mac_spoofing, stops_guest_tags, lets_guest_send]| FilterEffects {
        stops_mac_spoofing,
        stops_guest_tags,
        lets_guest_send,
    })
}

pub(crate) fn capabilities() -> impl Strategy<Value = Capabilities> {
    let lists = (
        proptest::collection::vec(network(), 0..3),
        proptest::collection::vec(nic(), 0..3),
        proptest::collection::vec(route(), 0..3),
        features(),
        (
            proptest::collection::vec(bridge_device(), 0..3),
            proptest::collection::vec(vlan_device(), 0..3),
            proptest::collection::vec(bond_report(), 0..3),
            proptest::collection::vec(domain(), 0..3),
            proptest::collection::btree_map("[a-z-]{1,8}", filter_effects(), 0..3),
        ),
    );
    let change = select(vec![UncommittedChange::Added, UncommittedChange::Edited, UncommittedChange::Removed]);
    let networks = proptest::collection::btree_map(super::spec::network_name(), change.clone(), 0..3);
    let devices = || proptest::collection::btree_map(super::spec::if_name(), change.clone(), 0..3);
    let lists = (lists, (networks, devices(), devices()));
    let texts = (any::<[bool; 2]>(), any::<[u64; 3]>(), proptest::collection::vec(".{0,12}", 8));
    (lists, texts).prop_map(
        |(
            (
                (networks, nics, routes, features, (bridges, vlans, bonds, domains, filters)),
                (uncommitted, uncommitted_bonds, uncommitted_nics),
            ),
            ([dirty, connected], [generation, repaired, failed], texts),
        )| {
            let text = |position: usize| texts[position].clone();
            Capabilities {
                networks,
                nics,
                bonds,
                bridges,
                vlans,
                domains,
                routes,
                kernel: KernelInfo { release: text(0) },
                libvirt: LibvirtInfo { uri: text(1), connected, version: text(2), fault: text(3), filters },
                features,
                agent_version: text(4),
                boot_id: text(5),
                generation,
                dirty,
                running_hash: text(6),
                persistent_hash: text(7),
                resolver: ResolverReport {
                    nameservers: vec![text(0)],
                    search_domains: vec![text(1)],
                    keeper: Some(text(1)).filter(|text| !text.is_empty()),
                    mechanism: [None, Some(ResolverMechanism::File), Some(ResolverMechanism::SystemdResolved)]
                        [usize::from(dirty) + usize::from(connected)],
                },
                managers: [("eth0", DeviceManager::NetworkManager), ("eth1", DeviceManager::SystemdNetworkd)]
                    .map(|(device, manager)| {
                        let source = Some(text(2)).filter(|text| !text.is_empty());
                        (IfName::parse(device).expect("a device's name"), Management { manager, source })
                    })
                    .into(),
                uncommitted,
                uncommitted_bonds,
                uncommitted_nics,
                repairs: RepairTally { repaired, failed },
            }
        },
    )
}
