//! The whole desired state in memory, with the indexes that rules need.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Cluster, ClusterNetwork, Host, Meta, Network, NetworkAttachment, VnicProfile};
use crate::{BridgeSpec, Capabilities, HostName, IfName, NetworkName, NetworkSpec, ResourceId, Southbound, Topology};

/// A vNIC profile's key: its network and its name there.
pub type ProfileId = (NetworkName, ResourceId);
/// A cluster attachment's key.
pub type ClusterNetworkId = (ResourceId, NetworkName);
/// A host attachment's key.
pub type AttachmentId = (HostName, NetworkName);

/// The desired state of the fleet, and what its hosts last reported.
///
/// *Shape*: maps ordered by key; the reverse indexes hold no empty sets.
#[derive(Debug, Clone, Default)]
pub struct Fleet {
    clusters: BTreeMap<ResourceId, Cluster>,
    networks: BTreeMap<NetworkName, Network>,
    cluster_networks: BTreeMap<ClusterNetworkId, ClusterNetwork>,
    profiles: BTreeMap<ProfileId, VnicProfile>,
    hosts: BTreeMap<HostName, Host>,
    attachments: BTreeMap<AttachmentId, NetworkAttachment>,
    observed: BTreeMap<HostName, HostRecord>,
    network_clusters: BTreeMap<NetworkName, BTreeSet<ResourceId>>,
    network_hosts: BTreeMap<NetworkName, BTreeSet<HostName>>,
    cluster_hosts: BTreeMap<ResourceId, BTreeSet<HostName>>,
    managed_reports: BTreeMap<NetworkName, BTreeSet<HostName>>,
    managed_commands: BTreeMap<HostName, BTreeSet<NetworkName>>,
}

/// What a host last reported, kept over a restart of the engine. Never part of the desired state.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HostRecord {
    /// Its last report; `None` before the first.
    pub capabilities: Option<Capabilities>,
    /// Milliseconds since the Unix epoch at the last report.
    pub reported_ms: u64,
}

/// Any entity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entity {
    /// A cluster.
    Cluster(Cluster),
    /// A network.
    Network(Network),
    /// A network's place in a cluster.
    ClusterNetwork(ClusterNetwork),
    /// A vNIC profile.
    VnicProfile(VnicProfile),
    /// A host.
    Host(Host),
    /// A network on a host.
    NetworkAttachment(NetworkAttachment),
}

/// Any entity's key; its text is the resource's name on the wire.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntityId {
    /// `clusters/{cluster}`
    Cluster(ResourceId),
    /// `networks/{network}`
    Network(NetworkName),
    /// `clusters/{cluster}/clusterNetworks/{network}`
    ClusterNetwork(ResourceId, NetworkName),
    /// `networks/{network}/vnicProfiles/{profile}`
    VnicProfile(NetworkName, ResourceId),
    /// `hosts/{host}`
    Host(HostName),
    /// `hosts/{host}/networkAttachments/{network}`
    NetworkAttachment(HostName, NetworkName),
}

/// A change of one entity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mutation {
    /// The entity is to be so, whether it exists or not.
    Put(Entity),
    /// The entity is to go.
    Delete(EntityId),
}

impl Fleet {
    /// Applies a mutation and keeps the indexes; whether it is allowed was decided before.
    pub fn apply(&mut self, mutation: Mutation) {
        match mutation {
            Mutation::Put(entity) => self.put(entity),
            Mutation::Delete(id) => self.delete(&id),
        }
    }

    /// Keeps what a host reported.
    pub fn observe(&mut self, host: HostName, record: HostRecord) {
        self.forget(&host);
        for network in record.managed_networks() {
            self.managed_reports.entry(network.clone()).or_default().insert(host.clone());
        }
        self.observed.insert(host, record);
    }

    /// Keeps which networks a command under way lets libvirt manage on `host`; none where no command is under way.
    ///
    /// Never stored: a command that an engine does not remember is undone by its host.
    pub fn command(&mut self, host: HostName, managed: BTreeSet<NetworkName>) {
        if managed.is_empty() {
            self.managed_commands.remove(&host);
        } else {
            self.managed_commands.insert(host, managed);
        }
    }

    /// Returns the networks that a command under way lets libvirt manage on `host`.
    pub fn commanded(&self, host: &HostName) -> &BTreeSet<NetworkName> {
        static NONE: BTreeSet<NetworkName> = BTreeSet::new();
        self.managed_commands.get(host).unwrap_or(&NONE)
    }

    /// Returns an entity by its key.
    pub fn entity(&self, id: &EntityId) -> Option<Entity> {
        match id {
            EntityId::Cluster(c) => self.clusters.get(c).cloned().map(Entity::Cluster),
            EntityId::Network(n) => self.networks.get(n).cloned().map(Entity::Network),
            EntityId::ClusterNetwork(c, n) => {
                self.cluster_networks.get(&(c.clone(), n.clone())).cloned().map(Entity::ClusterNetwork)
            }
            EntityId::VnicProfile(n, p) => self.profiles.get(&(n.clone(), p.clone())).cloned().map(Entity::VnicProfile),
            EntityId::Host(h) => self.hosts.get(h).cloned().map(Entity::Host),
            EntityId::NetworkAttachment(h, n) => {
                self.attachments.get(&(h.clone(), n.clone())).cloned().map(Entity::NetworkAttachment)
            }
        }
    }

    /// Returns all clusters by name.
    pub const fn clusters(&self) -> &BTreeMap<ResourceId, Cluster> {
        &self.clusters
    }

    /// Returns all networks by name.
    pub const fn networks(&self) -> &BTreeMap<NetworkName, Network> {
        &self.networks
    }

    /// Returns all cluster attachments by cluster and network.
    pub const fn cluster_networks(&self) -> &BTreeMap<ClusterNetworkId, ClusterNetwork> {
        &self.cluster_networks
    }

    /// Returns all vNIC profiles by network and name.
    pub const fn profiles(&self) -> &BTreeMap<ProfileId, VnicProfile> {
        &self.profiles
    }

    /// Returns all hosts by name.
    pub const fn hosts(&self) -> &BTreeMap<HostName, Host> {
        &self.hosts
    }

    /// Returns all host attachments by host and network.
    pub const fn attachments(&self) -> &BTreeMap<AttachmentId, NetworkAttachment> {
        &self.attachments
    }

    /// Returns what `host` last reported.
    pub fn observed(&self, host: &HostName) -> Option<&HostRecord> {
        self.observed.get(host)
    }

    /// Returns the vNIC profiles of `network`, by name.
    pub fn profiles_of<'a>(&'a self, network: &'a NetworkName) -> impl Iterator<Item = &'a VnicProfile> {
        self.profiles.range((network.clone(), lowest())..).take_while(move |((n, _), _)| n == network).map(|(_, p)| p)
    }

    /// Returns the attachments of `host`, by network.
    pub fn attachments_of<'a>(&'a self, host: &'a HostName) -> impl Iterator<Item = &'a NetworkAttachment> {
        self.attachments
            .range((host.clone(), lowest_network())..)
            .take_while(move |((h, _), _)| h == host)
            .map(|(_, a)| a)
    }

    /// Returns the cluster attachments of `cluster`, by network.
    pub fn networks_of<'a>(&'a self, cluster: &'a ResourceId) -> impl Iterator<Item = &'a ClusterNetwork> {
        self.cluster_networks
            .range((cluster.clone(), lowest_network())..)
            .take_while(move |((c, _), _)| c == cluster)
            .map(|(_, n)| n)
    }

    /// Returns the clusters that `network` is attached to, ordered.
    pub fn clusters_with<'a>(&'a self, network: &NetworkName) -> impl Iterator<Item = &'a ResourceId> {
        self.network_clusters.get(network).into_iter().flatten()
    }

    /// Returns the hosts that `network` is attached to, ordered.
    pub fn hosts_with<'a>(&'a self, network: &NetworkName) -> impl Iterator<Item = &'a HostName> {
        self.network_hosts.get(network).into_iter().flatten()
    }

    /// Returns the hosts on which libvirt manages the MAC table of `network`, as their last report or a command under way
    /// has it, ordered; also hosts that are no longer to run it.
    pub fn hosts_managing<'a>(&'a self, network: &NetworkName) -> BTreeSet<&'a HostName> {
        let commanded = self.managed_commands.iter().filter(|(_, networks)| networks.contains(network));
        self.managed_reports.get(network).into_iter().flatten().chain(commanded.map(|(host, _)| host)).collect()
    }

    /// Returns the hosts of `cluster`, ordered.
    pub fn hosts_in<'a>(&'a self, cluster: &ResourceId) -> impl Iterator<Item = &'a HostName> {
        self.cluster_hosts.get(cluster).into_iter().flatten()
    }

    /// Computes the networks that `host` is to run, ordered by name.
    ///
    /// *Shape*: one specification for each attachment whose network exists; empty for an unknown host.
    pub fn desired_networks(&self, host: &HostName) -> Vec<NetworkSpec> {
        self.attachments_of(host)
            .filter_map(|attachment| Some(desired_network(self.networks.get(&attachment.network)?, attachment)))
            .collect()
    }

    fn forget(&mut self, host: &HostName) {
        let Some(record) = self.observed.remove(host) else { return };
        for network in record.managed_networks() {
            unlink(&mut self.managed_reports, network, host);
        }
    }

    fn put(&mut self, entity: Entity) {
        match entity {
            Entity::Cluster(c) => {
                self.clusters.insert(c.id.clone(), c);
            }
            Entity::Network(n) => {
                self.networks.insert(n.id.clone(), n);
            }
            Entity::ClusterNetwork(n) => {
                self.network_clusters.entry(n.network.clone()).or_default().insert(n.cluster.clone());
                self.cluster_networks.insert((n.cluster.clone(), n.network.clone()), n);
            }
            Entity::VnicProfile(p) => {
                self.profiles.insert((p.network.clone(), p.id.clone()), p);
            }
            Entity::Host(h) => {
                if let Some(before) = self.hosts.get(&h.id) {
                    unlink(&mut self.cluster_hosts, &before.cluster.clone(), &h.id);
                }
                self.cluster_hosts.entry(h.cluster.clone()).or_default().insert(h.id.clone());
                self.hosts.insert(h.id.clone(), h);
            }
            Entity::NetworkAttachment(a) => {
                self.network_hosts.entry(a.network.clone()).or_default().insert(a.host.clone());
                self.attachments.insert((a.host.clone(), a.network.clone()), a);
            }
        }
    }

    fn delete(&mut self, id: &EntityId) {
        match id {
            EntityId::Cluster(c) => {
                self.clusters.remove(c);
            }
            EntityId::Network(n) => {
                self.networks.remove(n);
            }
            EntityId::ClusterNetwork(c, n) => {
                unlink(&mut self.network_clusters, n, c);
                self.cluster_networks.remove(&(c.clone(), n.clone()));
            }
            EntityId::VnicProfile(n, p) => {
                self.profiles.remove(&(n.clone(), p.clone()));
            }
            EntityId::Host(h) => {
                self.managed_commands.remove(h);
                if let Some(before) = self.hosts.remove(h) {
                    unlink(&mut self.cluster_hosts, &before.cluster, h);
                }
                self.forget(h);
            }
            EntityId::NetworkAttachment(h, n) => {
                unlink(&mut self.network_hosts, n, h);
                self.attachments.remove(&(h.clone(), n.clone()));
            }
        }
    }
}

impl HostRecord {
    /// Returns the networks whose MAC table the report has libvirt manage: so configured, or so found.
    pub fn managed_networks(&self) -> impl Iterator<Item = &NetworkName> {
        let reports = self.capabilities.iter().flat_map(|capabilities| &capabilities.networks);
        reports.filter(|report| report.is_managed()).map(|report| &report.configured.spec.name)
    }
}

impl Entity {
    /// Returns the entity's key.
    pub fn id(&self) -> EntityId {
        match self {
            Self::Cluster(c) => EntityId::Cluster(c.id.clone()),
            Self::Network(n) => EntityId::Network(n.id.clone()),
            Self::ClusterNetwork(n) => EntityId::ClusterNetwork(n.cluster.clone(), n.network.clone()),
            Self::VnicProfile(p) => EntityId::VnicProfile(p.network.clone(), p.id.clone()),
            Self::Host(h) => EntityId::Host(h.id.clone()),
            Self::NetworkAttachment(a) => EntityId::NetworkAttachment(a.host.clone(), a.network.clone()),
        }
    }

    /// Returns the common part.
    pub const fn meta(&self) -> &Meta {
        match self {
            Self::Cluster(c) => &c.meta,
            Self::Network(n) => &n.meta,
            Self::ClusterNetwork(n) => &n.meta,
            Self::VnicProfile(p) => &p.meta,
            Self::Host(h) => &h.meta,
            Self::NetworkAttachment(a) => &a.meta,
        }
    }

    /// Returns the common part, to be set by the store.
    pub const fn meta_mut(&mut self) -> &mut Meta {
        match self {
            Self::Cluster(c) => &mut c.meta,
            Self::Network(n) => &mut n.meta,
            Self::ClusterNetwork(n) => &mut n.meta,
            Self::VnicProfile(p) => &mut p.meta,
            Self::Host(h) => &mut h.meta,
            Self::NetworkAttachment(a) => &mut a.meta,
        }
    }
}

impl fmt::Display for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster(c) => write!(f, "clusters/{c}"),
            Self::Network(n) => write!(f, "networks/{n}"),
            Self::ClusterNetwork(c, n) => write!(f, "clusters/{c}/clusterNetworks/{n}"),
            Self::VnicProfile(n, p) => write!(f, "networks/{n}/vnicProfiles/{p}"),
            Self::Host(h) => write!(f, "hosts/{h}"),
            Self::NetworkAttachment(h, n) => write!(f, "hosts/{h}/networkAttachments/{n}"),
        }
    }
}

fn desired_network(network: &Network, attachment: &NetworkAttachment) -> NetworkSpec {
    let topology = if network.vm_network {
        Topology::Bridged(BridgeSpec {
            name: network.bridge_name.clone().unwrap_or_else(|| IfName::for_bridge(&network.id)),
            stp: network.stp,
            options: network.bridge_options.clone(),
        })
    } else {
        Topology::Bridgeless
    };
    NetworkSpec {
        name: network.id.clone(),
        southbound: attachment.nic.clone().map(Southbound::Nic),
        vlan: network.vlan,
        mtu: network.mtu,
        topology,
        mac_table_manager: network.mac_table_manager,
        ipv4: attachment.ipv4.clone(),
        ipv6: attachment.ipv6.clone(),
        default_route: attachment.default_route,
        routes: Vec::new(),
        nameservers: Vec::new(),
        port_isolation: false,
        host_qos: None,
        custom: BTreeMap::new(),
    }
}

fn unlink<K: Ord + Clone, V: Ord>(index: &mut BTreeMap<K, BTreeSet<V>>, key: &K, value: &V) {
    if let Some(set) = index.get_mut(key) {
        set.remove(value);
        if set.is_empty() {
            index.remove(key);
        }
    }
}

/// The lowest key in the order of names: `-` is the first character that a name may have.
fn lowest() -> ResourceId {
    ResourceId::parse("-").expect("a hyphen is a legal name")
}

fn lowest_network() -> NetworkName {
    NetworkName::parse("-").expect("a hyphen is a legal name")
}
