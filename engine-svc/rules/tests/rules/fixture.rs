//! Entities with nothing remarkable about them, to be changed by each test.

use std::collections::BTreeMap;

use trestle_model::fleet::{
    AttachedBy, Bond, Cluster, ClusterNetwork, Entity, EntityId, Fleet, GuestTagging, Host, HostRecord,
    MacConflictPolicy, MacPool, Meta, Mutation, Nesting, Network, NetworkAttachment, NetworkFilter, Passthrough,
    SwitchType, Vm, Vnic, VnicAttachment, VnicModel, VnicPolicy, VnicProfile,
};
use trestle_model::{
    Bandwidth, BondMode, BondOptions, BridgeOptions, BridgeSpec, Capabilities, Code, Domain, DomainInterface,
    DomainPersistence, DomainState, Egress, Feature, FeatureSet, FilterReference, GuestPorts, HostName, IfName,
    Ipv4Config, Ipv6Config, MacAddr, MacRange, MacTableManager, MacTableReport, Mtu, NetworkEntry, NetworkName,
    NetworkReport, NetworkSpec, NicHardware, NicReport, NicState, Origin, Presence, ResolverNames, ResourceId,
    Severity, SourceMacs, Southbound, StaticIpv4, StaticIpv6, Support, Topology, VlanId, VmId,
};
use trestle_rules::Fix;

pub(crate) fn id(text: &str) -> ResourceId {
    ResourceId::parse(text).unwrap()
}

pub(crate) fn network_name(text: &str) -> NetworkName {
    NetworkName::parse(text).unwrap()
}

pub(crate) fn host_name(text: &str) -> HostName {
    HostName::parse(text).unwrap()
}

pub(crate) fn device(text: &str) -> IfName {
    IfName::parse(text).unwrap()
}

pub(crate) fn vlan(number: u32) -> VlanId {
    VlanId::try_from(number).unwrap()
}

pub(crate) fn mtu(bytes: u32) -> Mtu {
    Mtu::try_from(bytes).unwrap()
}

pub(crate) fn cluster(name: &str) -> Cluster {
    Cluster {
        id: id(name),
        meta: Meta::default(),
        switch_type: SwitchType::LinuxBridge,
        description: String::new(),
        mac_pool: None,
        mac_conflict_policy: MacConflictPolicy::Prevent,
        vnic_policy: VnicPolicy::Plug,
    }
}

pub(crate) fn network(name: &str) -> Network {
    Network {
        id: network_name(name),
        meta: Meta::default(),
        description: String::new(),
        vm_network: true,
        vlan: None,
        mtu: Mtu::ETHERNET,
        stp: false,
        bridge_name: None,
        bridge_options: BridgeOptions::default(),
        mac_table_manager: MacTableManager::Kernel,
        source_macs: SourceMacs::Any,
        port_isolation: false,
        dns: ResolverNames::default(),
        host_qos: None,
        nic_label: None,
    }
}

pub(crate) fn managed(name: &str) -> Network {
    Network { mac_table_manager: MacTableManager::Libvirt, ..network(name) }
}

pub(crate) fn cluster_network(cluster: &str, network: &str) -> ClusterNetwork {
    ClusterNetwork {
        cluster: id(cluster),
        network: network_name(network),
        meta: Meta::default(),
        required: false,
        management: false,
        migration: false,
        display: false,
        default_route: false,
    }
}

pub(crate) fn profile(network: &str, name: &str) -> VnicProfile {
    VnicProfile {
        id: id(name),
        network: network_name(network),
        meta: Meta::default(),
        description: String::new(),
        filter: NetworkFilter::Default,
        filter_parameters: Vec::new(),
        bandwidth: Bandwidth::default(),
        guest_tagging: GuestTagging::None,
        extra_macs_allowed: 0,
        attachment: VnicAttachment::Bridge,
        port_mirroring: false,
        virtual_macs: false,
        custom: BTreeMap::new(),
    }
}

/// A profile past the bridge.
pub(crate) fn passthrough(network: &str, name: &str, failover: Option<(&str, &str)>) -> VnicProfile {
    let failover = failover.map(|(network, profile)| (network_name(network), id(profile)));
    let attachment = VnicAttachment::Passthrough(Passthrough { migratable: true, failover });
    VnicProfile { attachment, ..profile(network, name) }
}

pub(crate) fn mac(number: u64) -> MacAddr {
    MacAddr::from_number(0x5254_0000_0000 + number).unwrap()
}

/// A pool of the addresses from `first` to `last`, as [`mac`] numbers them.
pub(crate) fn pool(name: &str, first: u64, last: u64) -> MacPool {
    MacPool {
        id: id(name),
        meta: Meta::default(),
        description: String::new(),
        ranges: vec![MacRange::new(mac(first), mac(last)).unwrap()],
        allow_duplicates: false,
    }
}

pub(crate) fn vm_id(number: u128) -> VmId {
    VmId(uuid::Uuid::from_u128(number))
}

/// The name on the wire of a VM.
pub(crate) fn vm_name(number: u128) -> String {
    format!("vms/{}", vm_id(number))
}

/// A VM that does not run.
pub(crate) fn vm(number: u128, cluster: &str) -> Vm {
    Vm {
        id: vm_id(number),
        meta: Meta::default(),
        display_name: String::new(),
        description: String::new(),
        cluster: id(cluster),
        host: None,
        nesting: Nesting::None,
        bypasses_filters: false,
    }
}

/// The vNIC `eth0` of a VM, plugged, with a MAC of its own.
pub(crate) fn vnic(number: u128, network: &str, profile: &str) -> Vnic {
    Vnic {
        vm: vm_id(number),
        id: id("eth0"),
        meta: Meta::default(),
        description: String::new(),
        mac: Some(mac(u64::try_from(number).unwrap())),
        pooled_mac: None,
        profile: Some((network_name(network), id(profile))),
        model: VnicModel::Virtio,
        plugged: true,
        linked: true,
        extra_macs: Vec::new(),
        filter_parameters: Vec::new(),
        bypasses_filter: false,
        virtual_macs: false,
    }
}

pub(crate) fn host(name: &str, cluster: &str) -> Host {
    Host {
        id: host_name(name),
        meta: Meta::default(),
        cluster: id(cluster),
        description: String::new(),
        maintenance: false,
        nic_labels: BTreeMap::new(),
    }
}

pub(crate) fn attachment(host: &str, network: &str, nic: &str) -> NetworkAttachment {
    NetworkAttachment {
        host: host_name(host),
        network: network_name(network),
        meta: Meta::default(),
        southbound: Some(Southbound::Nic(device(nic))),
        ipv4: Ipv4Config::None,
        ipv6: Ipv6Config::None,
        default_route: false,
        routes: Vec::new(),
        dns: None,
        host_qos: None,
        custom: BTreeMap::new(),
        by: AttachedBy::Operator,
    }
}

/// A bond that spares a NIC.
pub(crate) fn bond(host: &str, name: &str, nics: &[&str]) -> Bond {
    Bond {
        host: host_name(host),
        id: device(name),
        meta: Meta::default(),
        nics: nics.iter().map(|nic| device(nic)).collect(),
        options: BondOptions::of(BondMode::ActiveBackup),
        hwaddr: None,
    }
}

/// A network on a bond.
pub(crate) fn bonded(host: &str, network: &str, bond: &str) -> NetworkAttachment {
    NetworkAttachment { southbound: Some(Southbound::Bond(device(bond))), ..attachment(host, network, "eth0") }
}

pub(crate) fn ipv4(address: &str, gateway: Option<&str>) -> Ipv4Config {
    let gateway = gateway.map(|text| text.parse().unwrap());
    Ipv4Config::Static(StaticIpv4::new(vec![address.parse().unwrap()], gateway).unwrap())
}

pub(crate) fn ipv6(address: &str, gateway: Option<&str>) -> Ipv6Config {
    let gateway = gateway.map(|text| text.parse().unwrap());
    Ipv6Config::Static(StaticIpv6::new(vec![address.parse().unwrap()], gateway).unwrap())
}

/// A report of a host that has everything.
pub(crate) fn capable() -> FeatureSet {
    FeatureSet(Feature::ALL.into_iter().map(|feature| (feature, Support::Present)).collect())
}

pub(crate) fn without(feature: Feature) -> FeatureSet {
    let mut features = capable();
    features.0.insert(feature, Support::Absent("too old".to_owned()));
    features
}

pub(crate) fn report(features: FeatureSet, networks: Vec<NetworkReport>) -> HostRecord {
    let capabilities = Capabilities {
        networks,
        features,
        agent_version: String::new(),
        boot_id: String::new(),
        generation: 0,
        dirty: false,
        running_hash: String::new(),
        persistent_hash: String::new(),
        resolver: trestle_model::ResolverReport::default(),
        uncommitted: std::collections::BTreeMap::new(),
        managers: std::collections::BTreeMap::new(),
        ..Capabilities::default()
    };
    HostRecord { capabilities: Some(capabilities), reported_ms: 1 }
}

/// A domain with one interface on the bridge of `network`, as libvirt's own network wires it, with or without a filter.
pub(crate) fn domain(number: u128, network: &str, mac: MacAddr, filter: Option<&str>) -> Domain {
    let interface = DomainInterface {
        mac,
        attachment: "bridge".to_owned(),
        network: Some(format!("trestle-{network}")),
        bridge: Some(network.to_owned()),
        tap: Some(device("vnet0")),
        filter: filter.map(|name| FilterReference { name: name.to_owned(), parameters: Vec::new() }),
        model: Some("virtio".to_owned()),
        mtu: None,
        linked: true,
        alias: Some("net0".to_owned()),
        isolated: false,
        bandwidth: Bandwidth::default(),
    };
    Domain {
        name: format!("guest-{number}"),
        uuid: uuid::Uuid::from_u128(number),
        state: DomainState::Running,
        persistence: DomainPersistence::Persistent,
        interfaces: vec![interface],
    }
}

/// A report of a host that has everything, a bridge of each of `networks`, and these domains.
pub(crate) fn hosting(networks: &[&str], domains: Vec<Domain>) -> HostRecord {
    let mut report = report(capable(), networks.iter().map(|network| bridged(network)).collect());
    if let Some(capabilities) = &mut report.capabilities {
        capabilities.domains = domains;
    }
    report
}

/// A NIC with a carrier.
pub(crate) fn nic(name: &str) -> NicReport {
    NicReport {
        name: device(name),
        mac: None,
        permanent_mac: None,
        mtu: Mtu::ETHERNET,
        max_mtu: None,
        up: true,
        carrier: true,
        master: None,
        addresses: Vec::new(),
        hardware: NicHardware::default(),
        lldp_neighbors: Vec::new(),
        egress: Egress::default(),
        configured: None,
        settings: NicState::default(),
        drift: Vec::new(),
        repairs: Vec::new(),
        presence: Presence::Present,
    }
}

/// A report of a host that has everything, and runs all that it is told over `eth0` and `eth1`.
pub(crate) fn obedient(fleet: &Fleet, host: &str) -> HostRecord {
    let run = |spec: NetworkSpec| {
        let manager = spec.is_managed().then_some(MacTableManager::Libvirt);
        NetworkReport {
            device: spec.top_device(),
            mtu: Some(spec.mtu),
            mac_table: manager.map(|manager| MacTableReport {
                manager: Some(manager),
                active: true,
                entries: Vec::new(),
                uplink: None,
            }),
            ..NetworkReport::absent(NetworkEntry { spec, origin: Origin::Engine })
        }
    };
    let mut record = report(capable(), fleet.desired_networks(&host_name(host)).into_iter().map(run).collect());
    if let Some(capabilities) = &mut record.capabilities {
        capabilities.nics = vec![nic("eth0"), nic("eth1")];
        capabilities.libvirt.connected = true;
    }
    record
}

/// A bridge that nobody manages.
fn bridged(network: &str) -> NetworkReport {
    let mut report = found(network, MacTableManager::Kernel);
    let bridge = BridgeSpec { name: device(network), stp: false, options: BridgeOptions::default() };
    report.configured.spec.topology = Topology::Bridged(bridge);
    report
}

/// A bridge that libvirt is found to manage, or not, whatever it was configured to be.
pub(crate) fn found(network: &str, manager: MacTableManager) -> NetworkReport {
    let spec = NetworkSpec {
        name: network_name(network),
        southbound: None,
        vlan: None,
        mtu: Mtu::ETHERNET,
        topology: Topology::Bridgeless,
        mac_table_manager: MacTableManager::Kernel,
        ipv4: Ipv4Config::None,
        ipv6: Ipv6Config::None,
        default_route: false,
        routes: Vec::new(),
        nameservers: Vec::new(),
        search_domains: Vec::new(),
        port_isolation: false,
        guest_ports: GuestPorts::default(),
        host_qos: None,
        custom: BTreeMap::new(),
    };
    NetworkReport {
        mac_table: Some(MacTableReport { manager: Some(manager), active: true, entries: Vec::new(), uplink: None }),
        ..NetworkReport::absent(NetworkEntry { spec, origin: Origin::Engine })
    }
}

pub(crate) fn fleet(entities: impl IntoIterator<Item = Entity>) -> Fleet {
    let mut fleet = Fleet::default();
    for entity in entities {
        fleet.apply(Mutation::Put(entity));
    }
    fleet
}

/// One finding in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) severity: Severity,
    pub(crate) code: Code,
    pub(crate) field: String,
    pub(crate) related: Vec<String>,
}

pub(crate) fn error(code: Code, field: &str, related: &[&str]) -> Told {
    Told { severity: Severity::Error, code, field: field.to_owned(), related: owned(related) }
}

pub(crate) fn warning(code: Code, field: &str, related: &[&str]) -> Told {
    Told { severity: Severity::Warning, ..error(code, field, related) }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Evaluates and checks what every finding has: the change as its subject, a message, and the order.
pub(crate) fn evaluate(fleet: &Fleet, mutation: &Mutation) -> Vec<Told> {
    let subject = mutation.id();
    let findings = trestle_rules::propose(mutation.clone(), Fix::Leave, fleet).findings;
    assert_eq!(findings, findings.clone().sorted(), "the order is not stable");
    for finding in &findings.0 {
        assert_eq!(finding.subject, subject.to_string(), "{finding}");
        assert!(!finding.field.is_empty() && !finding.message.is_empty(), "{finding:?}");
    }
    let told = |finding: trestle_model::Finding| Told {
        severity: finding.severity,
        code: finding.code,
        field: finding.field,
        related: finding.related,
    };
    findings.0.into_iter().map(told).collect()
}

pub(crate) fn put(fleet: &Fleet, entity: Entity) -> Vec<Told> {
    evaluate(fleet, &Mutation::Put(entity))
}

pub(crate) fn info(code: Code, field: &str, related: &[&str]) -> Told {
    Told { severity: Severity::Info, ..error(code, field, related) }
}

pub(crate) fn delete(fleet: &Fleet, id: EntityId) -> Vec<Told> {
    evaluate(fleet, &Mutation::Delete(id))
}
