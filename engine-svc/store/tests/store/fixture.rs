//! Entities and writes with nothing remarkable about them.

use std::collections::BTreeMap;
use std::convert::Infallible;

use trestle_model::fleet::{
    AttachedBy, Bond, Cluster, ClusterNetwork, Entity, EntityId, Fleet, Host, HostRecord, MacConflictPolicy, MacPool,
    Meta, Mutation, Nesting, Network, NetworkAttachment, Passthrough, SwitchType, Vm, Vnic, VnicAttachment, VnicModel,
    VnicPolicy, VnicProfile,
};
use trestle_model::{
    Bandwidth, BondMode, BondOptions, BridgeOptions, Capabilities, FeatureSet, Findings, HostName, IfName, Ipv4Config,
    Ipv6Config, KernelInfo, MacAddr, MacRange, MacTableManager, Mtu, NetworkName, ResolverNames, ResourceId,
    SourceMacs, Southbound, VlanId, VmId,
};
use trestle_store::{Committed, Decision, RequestKey, Store, TransactError, Write};
use uuid::Uuid;

pub(crate) const NOW_MS: u64 = 1_700_000_000_000;
pub(crate) const UID: Uuid = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001);

pub(crate) fn id(text: &str) -> ResourceId {
    ResourceId::parse(text).unwrap()
}

pub(crate) fn host_name(text: &str) -> HostName {
    HostName::parse(text).unwrap()
}

pub(crate) fn cluster(name: &str, description: &str) -> Entity {
    Entity::Cluster(Cluster {
        id: id(name),
        meta: Meta::default(),
        switch_type: SwitchType::LinuxBridge,
        description: description.to_owned(),
        mac_pool: None,
        mac_conflict_policy: MacConflictPolicy::Prevent,
        vnic_policy: VnicPolicy::Plug,
    })
}

pub(crate) fn cluster_id(name: &str) -> EntityId {
    EntityId::Cluster(id(name))
}

pub(crate) fn host(name: &str, cluster: &str) -> Entity {
    Entity::Host(Host {
        id: host_name(name),
        meta: Meta::default(),
        cluster: id(cluster),
        description: String::new(),
        maintenance: false,
        nic_labels: BTreeMap::new(),
    })
}

pub(crate) fn network(name: &str, vlan: u32) -> Entity {
    Entity::Network(Network {
        id: NetworkName::parse(name).unwrap(),
        meta: Meta::default(),
        description: String::new(),
        vm_network: true,
        vlan: Some(VlanId::try_from(vlan).unwrap()),
        mtu: Mtu::ETHERNET,
        stp: false,
        bridge_name: None,
        bridge_options: BridgeOptions { priority: Some(7), ..BridgeOptions::default() },
        mac_table_manager: MacTableManager::Libvirt,
        source_macs: SourceMacs::Locked,
        port_isolation: true,
        dns: ResolverNames::default(),
        host_qos: None,
        nic_label: None,
    })
}

pub(crate) fn cluster_network(cluster: &str, network: &str) -> Entity {
    Entity::ClusterNetwork(ClusterNetwork {
        cluster: id(cluster),
        network: NetworkName::parse(network).unwrap(),
        meta: Meta::default(),
        required: true,
        management: false,
        migration: true,
        display: false,
        default_route: false,
    })
}

pub(crate) fn profile(network: &str, name: &str) -> Entity {
    Entity::VnicProfile(VnicProfile {
        id: id(name),
        network: NetworkName::parse(network).unwrap(),
        meta: Meta::default(),
        description: String::new(),
        filter: trestle_model::fleet::NetworkFilter::Named("clean-traffic".to_owned()),
        filter_parameters: Vec::new(),
        bandwidth: Bandwidth::default(),
        guest_tagging: trestle_model::fleet::GuestTagging::List(vec![VlanId::try_from(7).unwrap()]),
        extra_macs_allowed: 2,
        attachment: VnicAttachment::Passthrough(Passthrough { migratable: true, failover: None }),
        port_mirroring: false,
        virtual_macs: true,
        custom: BTreeMap::from([("queues".to_owned(), "4".to_owned())]),
    })
}

pub(crate) fn mac(number: u64) -> MacAddr {
    MacAddr::from_number(0x5254_0000_0000 + number).unwrap()
}

/// A pool of 256 addresses.
pub(crate) fn mac_pool(name: &str) -> Entity {
    Entity::MacPool(MacPool {
        id: id(name),
        meta: Meta::default(),
        description: String::new(),
        ranges: vec![MacRange::new(mac(0), mac(255)).unwrap()],
        allow_duplicates: false,
    })
}

pub(crate) fn vm_id(number: u128) -> VmId {
    VmId(Uuid::from_u128(number))
}

pub(crate) fn vm(number: u128, cluster: &str) -> Entity {
    Entity::Vm(Vm {
        id: vm_id(number),
        meta: Meta::default(),
        display_name: format!("vm {number}"),
        description: String::new(),
        cluster: id(cluster),
        host: Some(host_name("h1")),
        nesting: Nesting::Routed,
        bypasses_filters: false,
    })
}

/// A vNIC with an address that a pool gave.
pub(crate) fn vnic(number: u128, name: &str, pooled: u64) -> Entity {
    Entity::Vnic(Vnic {
        vm: vm_id(number),
        id: id(name),
        meta: Meta::default(),
        description: String::new(),
        mac: None,
        pooled_mac: Some(mac(pooled)),
        profile: Some((NetworkName::parse("blue").unwrap(), id("guests"))),
        model: VnicModel::E1000e,
        plugged: true,
        linked: false,
        extra_macs: vec![mac(1000 + pooled)],
        filter_parameters: Vec::new(),
        bypasses_filter: false,
        virtual_macs: false,
    })
}

pub(crate) fn attachment(host: &str, network: &str) -> Entity {
    Entity::NetworkAttachment(NetworkAttachment {
        host: host_name(host),
        network: NetworkName::parse(network).unwrap(),
        meta: Meta::default(),
        southbound: Some(Southbound::Nic(IfName::parse("eth0").unwrap())),
        ipv4: Ipv4Config::None,
        ipv6: Ipv6Config::None,
        default_route: false,
        routes: Vec::new(),
        dns: None,
        host_qos: None,
        custom: BTreeMap::new(),
        by: AttachedBy::Operator,
    })
}

pub(crate) fn bond(host: &str, name: &str) -> Entity {
    Entity::Bond(Bond {
        host: host_name(host),
        id: IfName::parse(name).unwrap(),
        meta: Meta::default(),
        nics: ["eth1", "eth2"].map(|nic| IfName::parse(nic).unwrap()).to_vec(),
        options: BondOptions::of(BondMode::ActiveBackup),
        hwaddr: Some(mac(7)),
    })
}

/// One entity of each kind.
pub(crate) fn one_of_each() -> Vec<Entity> {
    vec![
        cluster("main", "all there is"),
        network("blue", 7),
        cluster_network("main", "blue"),
        profile("blue", "guests"),
        host("h1", "main"),
        bond("h1", "bond0"),
        attachment("h1", "blue"),
        mac_pool("p"),
        vm(1, "main"),
        vnic(1, "eth0", 0),
    ]
}

pub(crate) fn record(generation: u64) -> HostRecord {
    let capabilities = Capabilities {
        networks: Vec::new(),
        kernel: KernelInfo { release: "6.1".to_owned() },
        features: FeatureSet::default(),
        agent_version: "1".to_owned(),
        boot_id: "b".to_owned(),
        generation,
        dirty: false,
        running_hash: String::new(),
        persistent_hash: String::new(),
        resolver: trestle_model::ResolverReport::default(),
        uncommitted: std::collections::BTreeMap::new(),
        managers: std::collections::BTreeMap::new(),
        ..Capabilities::default()
    };
    HostRecord { capabilities: Some(capabilities), reported_ms: NOW_MS }
}

pub(crate) fn write() -> Write {
    Write { request: None, now_ms: NOW_MS, uid: UID, actor: "ann".to_owned() }
}

pub(crate) fn requested(id: u128, digest: &str, now_ms: u64) -> Write {
    let request = RequestKey { id: Uuid::from_u128(id), digest: digest.to_owned() };
    Write { request: Some(request), now_ms, ..write() }
}

pub(crate) fn decision(mutations: Vec<Mutation>) -> Decision {
    Decision { mutations, findings: Findings::default() }
}

/// Writes without asking anybody.
pub(crate) fn commit(
    store: &Store,
    write: Write,
    mutations: Vec<Mutation>,
) -> Result<Committed, TransactError<Infallible>> {
    store.transact(write, |_| Ok(decision(mutations)))
}

pub(crate) fn put(store: &Store, entity: Entity) -> Committed {
    commit(store, write(), vec![Mutation::Put(entity)]).unwrap()
}

pub(crate) fn delete(store: &Store, id: EntityId) -> Committed {
    commit(store, write(), vec![Mutation::Delete(id)]).unwrap()
}

/// Everything desired, by name.
pub(crate) fn everything(fleet: &Fleet) -> Vec<Entity> {
    let clusters = fleet.clusters().values().cloned().map(Entity::Cluster);
    let networks = fleet.networks().values().cloned().map(Entity::Network);
    let cluster_networks = fleet.cluster_networks().values().cloned().map(Entity::ClusterNetwork);
    let profiles = fleet.profiles().values().cloned().map(Entity::VnicProfile);
    let hosts = fleet.hosts().values().cloned().map(Entity::Host);
    let bonds = fleet.bonds().values().cloned().map(Entity::Bond);
    let attachments = fleet.attachments().values().cloned().map(Entity::NetworkAttachment);
    let pools = fleet.mac_pools().values().cloned().map(Entity::MacPool);
    let vms = fleet.vms().values().cloned().map(Entity::Vm);
    let vnics = fleet.vnics().values().cloned().map(Entity::Vnic);
    let desired = clusters.chain(networks).chain(cluster_networks).chain(profiles).chain(hosts).chain(bonds);
    desired.chain(attachments).chain(pools).chain(vms).chain(vnics).collect()
}
