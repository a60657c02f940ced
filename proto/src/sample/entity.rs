//! Legal entities of a fleet.

use proptest::option;
use proptest::prelude::*;
use trestle_model::fleet::{
    AttachedBy, Bond, Cluster, ClusterNetwork, GuestTagging, Host, MacConflictPolicy, MacPool, Meta, Nesting, Network,
    NetworkAttachment, NetworkFilter, Passthrough, ProfileId, SwitchType, Vm, Vnic, VnicAttachment, VnicModel,
    VnicPolicy, VnicProfile,
};
use trestle_model::{BondSpec, HostName, MacAddr, MacRange, NicLabel, ResolverNames, ResourceId, VmId};
use uuid::Uuid;

use super::report::bandwidth;
use super::spec::{
    bridge_name, extras, if_name, manager, mtu, network_name, qos, routes, source_macs, southbound, vlan,
};
use super::{bond_spec, ipv4, ipv6, options};

fn id() -> impl Strategy<Value = ResourceId> {
    "[a-z0-9][a-zA-Z0-9._-]{0,40}".prop_map(|text| ResourceId::parse(&text).unwrap())
}

fn host_name() -> impl Strategy<Value = HostName> {
    "[a-z0-9][a-z0-9.-]{0,40}".prop_map(|text| HostName::parse(&text).unwrap())
}

fn meta() -> impl Strategy<Value = Meta> {
    let labels = proptest::collection::btree_map("[a-z./]{1,8}", ".{0,8}", 0..3);
    (any::<u128>(), 1..u64::MAX, any::<u64>(), any::<u64>(), labels).prop_map(
        |(uid, revision, created_ms, updated_ms, labels)| Meta {
            uid: Uuid::from_u128(uid),
            revision,
            created_ms,
            updated_ms,
            labels,
        },
    )
}

pub(crate) fn cluster() -> impl Strategy<Value = Cluster> {
    let switch_type = prop_oneof![Just(SwitchType::LinuxBridge), Just(SwitchType::Ovs)];
    let policy = prop_oneof![Just(MacConflictPolicy::Prevent), Just(MacConflictPolicy::Warn)];
    let vnic_policy = prop_oneof![Just(VnicPolicy::Plug), Just(VnicPolicy::Report)];
    (id(), meta(), switch_type, ".{0,20}", option::of(id()), policy, vnic_policy).prop_map(
        |(id, meta, switch_type, description, mac_pool, mac_conflict_policy, vnic_policy)| Cluster {
            id,
            meta,
            switch_type,
            description,
            mac_pool,
            mac_conflict_policy,
            vnic_policy,
        },
    )
}

pub(crate) fn network() -> impl Strategy<Value = Network> {
    let bridge = option::of((any::<bool>(), option::of(bridge_name()), options()));
    let macs = (manager(), source_macs());
    let more = (any::<bool>(), option::of(label()), dns(), option::of(qos()));
    (network_name(), meta(), ".{0,20}", option::of(vlan()), mtu(68), bridge, macs, more).prop_map(
        |(id, meta, description, vlan, mtu, bridge, (mac_table_manager, source_macs), more)| {
            let (is_isolated, nic_label, dns, host_qos) = more;
            let vm_network = bridge.is_some();
            let (stp, bridge_name, bridge_options) = bridge.unwrap_or_default();
            Network {
                id,
                meta,
                description,
                vm_network,
                vlan,
                mtu,
                stp,
                bridge_name,
                bridge_options,
                mac_table_manager,
                source_macs,
                port_isolation: vm_network && is_isolated,
                dns,
                host_qos,
                nic_label,
            }
        },
    )
}

fn label() -> impl Strategy<Value = NicLabel> {
    "[a-zA-Z0-9_-]{1,64}".prop_map(|text| NicLabel::parse(&text).unwrap())
}

fn dns() -> impl Strategy<Value = ResolverNames> {
    let searched = proptest::sample::subsequence(vec!["lab.example", "example.org"], 0..=2);
    (extras(), searched).prop_map(|((servers, _, _), search)| ResolverNames {
        servers,
        search: search.into_iter().map(|domain| domain.parse().unwrap()).collect(),
    })
}

pub(crate) fn cluster_network() -> impl Strategy<Value = ClusterNetwork> {
    (id(), network_name(), meta(), any::<bool>(), any::<[bool; 4]>()).prop_map(
        |(cluster, network, meta, required, [management, migration, display, default_route])| ClusterNetwork {
            cluster,
            network,
            meta,
            required,
            management,
            migration,
            display,
            default_route,
        },
    )
}

pub(crate) fn vnic_profile() -> impl Strategy<Value = VnicProfile> {
    let filter = prop_oneof![
        Just(NetworkFilter::Default),
        Just(NetworkFilter::None),
        "[a-z-]{1,20}".prop_map(NetworkFilter::Named),
    ];
    let list = proptest::collection::btree_set(vlan(), 1..5).prop_map(|vlans| vlans.into_iter().collect());
    let tagging = prop_oneof![
        Just(GuestTagging::None),
        list.prop_map(GuestTagging::List),
        Just(GuestTagging::Any),
        Just(GuestTagging::Unspecified),
    ];
    let passthrough = (any::<bool>(), option::of(profile_id()))
        .prop_map(|(migratable, failover)| VnicAttachment::Passthrough(Passthrough { migratable, failover }));
    let attachment = prop_oneof![Just(VnicAttachment::Bridge), passthrough];
    let custom = proptest::collection::btree_map("[a-z]{1,8}", ".{0,8}", 0..3);
    let more = (0..=1000_u32, attachment, any::<bool>(), any::<bool>(), custom, (filter_parameters(), bandwidth()));
    (id(), network_name(), meta(), ".{0,20}", filter, tagging, more).prop_map(
        |(id, network, meta, description, filter, guest_tagging, more)| {
            let (extra_macs_allowed, attachment, port_mirroring, virtual_macs, custom, (filter_parameters, bandwidth)) =
                more;
            let filter_parameters = if filter == NetworkFilter::None { Vec::new() } else { filter_parameters };
            VnicProfile {
                id,
                network,
                meta,
                description,
                filter,
                filter_parameters,
                bandwidth,
                guest_tagging,
                extra_macs_allowed,
                attachment,
                port_mirroring,
                virtual_macs,
                custom,
            }
        },
    )
}

fn filter_parameters() -> impl Strategy<Value = Vec<(String, String)>> {
    proptest::collection::vec(("[A-Z]{4,6}", "[0-9a-f:.]{1,8}"), 0..3)
}

fn profile_id() -> impl Strategy<Value = ProfileId> {
    (network_name(), id())
}

/// Any station's address, by its number among those that begin with 52.
fn mac() -> impl Strategy<Value = MacAddr> {
    (0..1_u64 << 40).prop_map(|number| MacAddr::from_number((0x52 << 40) + number).unwrap())
}

pub(crate) fn mac_pool() -> impl Strategy<Value = MacPool> {
    let range = (mac(), 0..1_u64 << 20).prop_map(|(first, more)| {
        let last = MacAddr::from_number((first.number() + more).min((0x53 << 40) - 1)).unwrap();
        MacRange::new(first, last).unwrap()
    });
    let ranges = proptest::collection::vec(range, 1..5);
    (id(), meta(), ".{0,20}", ranges, any::<bool>()).prop_map(|(id, meta, description, ranges, allow_duplicates)| {
        MacPool { id, meta, description, ranges, allow_duplicates }
    })
}

fn vm_id() -> impl Strategy<Value = VmId> {
    any::<u128>().prop_map(|number| VmId(Uuid::from_u128(number)))
}

pub(crate) fn vm() -> impl Strategy<Value = Vm> {
    let nesting = prop_oneof![Just(Nesting::None), Just(Nesting::Routed), Just(Nesting::Bridged)];
    (vm_id(), meta(), ".{0,9}", ".{0,9}", id(), option::of(host_name()), nesting, any::<bool>()).prop_map(
        |(id, meta, display_name, description, cluster, host, nesting, bypasses_filters)| Vm {
            id,
            meta,
            display_name,
            description,
            cluster,
            host,
            nesting,
            bypasses_filters,
        },
    )
}

/// A vNIC without an address of a pool, which the wire does not take.
pub(crate) fn vnic() -> impl Strategy<Value = Vnic> {
    let model =
        prop_oneof![Just(VnicModel::Virtio), Just(VnicModel::E1000e), Just(VnicModel::E1000), Just(VnicModel::Rtl8139)];
    let macs = (proptest::collection::btree_set(mac(), 1..4), filter_parameters());
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (vm_id(), id(), meta(), ".{0,9}", macs, option::of(profile_id()), model, any::<bool>(), flags).prop_map(
        |(vm, id, meta, description, macs, profile, model, given, flags)| {
            let (macs, filter_parameters) = macs;
            let mut macs = macs.into_iter();
            let (plugged, linked, bypasses_filter, virtual_macs) = flags;
            Vnic {
                vm,
                id,
                meta,
                description,
                mac: macs.next().filter(|_| given),
                pooled_mac: None,
                profile,
                model,
                plugged,
                linked,
                extra_macs: macs.collect(),
                filter_parameters,
                bypasses_filter,
                virtual_macs,
            }
        },
    )
}

pub(crate) fn host() -> impl Strategy<Value = Host> {
    let labels = proptest::collection::btree_map(label(), if_name(), 0..3);
    (host_name(), meta(), id(), ".{0,20}", any::<bool>(), labels).prop_map(
        |(id, meta, cluster, description, maintenance, nic_labels)| Host {
            id,
            meta,
            cluster,
            description,
            maintenance,
            nic_labels,
        },
    )
}

pub(crate) fn bond() -> impl Strategy<Value = Bond> {
    (host_name(), meta(), bond_spec()).prop_map(|(host, meta, BondSpec { name, nics, options, hwaddr })| Bond {
        host,
        id: name,
        meta,
        nics,
        options,
        hwaddr,
    })
}

pub(crate) fn attachment() -> impl Strategy<Value = NetworkAttachment> {
    let place = option::of(southbound());
    let more = (routes(), option::of(dns()), option::of(qos()), extras());
    (host_name(), network_name(), meta(), place, ipv4(), ipv6(), any::<bool>(), more).prop_map(
        |(host, network, meta, southbound, ipv4, ipv6, default_route, (routes, dns, host_qos, (_, _, custom)))| {
            NetworkAttachment {
                host,
                network,
                meta,
                southbound,
                ipv4,
                ipv6,
                default_route,
                routes,
                dns,
                host_qos,
                custom,
                by: AttachedBy::Operator,
            }
        },
    )
}
