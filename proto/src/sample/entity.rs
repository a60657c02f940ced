//! Legal entities of a fleet.

use proptest::option;
use proptest::prelude::*;
use trestle_model::fleet::{
    Cluster, ClusterNetwork, GuestTagging, Host, Meta, Network, NetworkAttachment, NetworkFilter, SwitchType,
    VnicProfile,
};
use trestle_model::{HostName, ResourceId};
use uuid::Uuid;

use super::spec::{bridge_name, if_name, manager, mtu, network_name, vlan};
use super::{ipv4, ipv6, options};

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
    (id(), meta(), switch_type, ".{0,20}").prop_map(|(id, meta, switch_type, description)| Cluster {
        id,
        meta,
        switch_type,
        description,
    })
}

pub(crate) fn network() -> impl Strategy<Value = Network> {
    let bridge = option::of((any::<bool>(), option::of(bridge_name()), options()));
    (network_name(), meta(), ".{0,20}", option::of(vlan()), mtu(68), bridge, manager()).prop_map(
        |(id, meta, description, vlan, mtu, bridge, mac_table_manager)| {
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
            }
        },
    )
}

pub(crate) fn cluster_network() -> impl Strategy<Value = ClusterNetwork> {
    (id(), network_name(), meta(), any::<bool>(), any::<bool>()).prop_map(
        |(cluster, network, meta, required, management)| ClusterNetwork {
            cluster,
            network,
            meta,
            required,
            management,
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
    (id(), network_name(), meta(), ".{0,20}", filter, tagging).prop_map(
        |(id, network, meta, description, filter, guest_tagging)| VnicProfile {
            id,
            network,
            meta,
            description,
            filter,
            guest_tagging,
        },
    )
}

pub(crate) fn host() -> impl Strategy<Value = Host> {
    (host_name(), meta(), id(), ".{0,20}", any::<bool>())
        .prop_map(|(id, meta, cluster, description, maintenance)| Host { id, meta, cluster, description, maintenance })
}

pub(crate) fn attachment() -> impl Strategy<Value = NetworkAttachment> {
    (host_name(), network_name(), meta(), option::of(if_name()), ipv4(), ipv6(), any::<bool>()).prop_map(
        |(host, network, meta, nic, ipv4, ipv6, default_route)| NetworkAttachment {
            host,
            network,
            meta,
            nic,
            ipv4,
            ipv6,
            default_route,
        },
    )
}
