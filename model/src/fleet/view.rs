//! The whole desired state in memory, with the indexes that rules need.

mod commands;
mod labels;
mod sightings;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::mac_pool::FreeMacs;
use super::{
    AttachmentId, Bond, BondId, Cluster, ClusterNetwork, ClusterNetworkId, Entity, EntityId, GuestTagging, Host,
    MacPool, Mutation, Network, NetworkAttachment, ProfileId, Vm, Vnic, VnicId, VnicProfile,
};
use crate::{
    BondSpec, BridgeSpec, Capabilities, GuestNic, GuestPorts, HostName, IfName, MacAddr, MacRange, NetworkName,
    NetworkSpec, ResourceId, SourceMacs, Topology, VmId,
};

pub use commands::{Commanded, CommandedInterface};
use labels::Labels;
pub use sightings::Sighting;
use sightings::Sightings;

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
    bonds: BTreeMap<BondId, Bond>,
    mac_pools: BTreeMap<ResourceId, MacPool>,
    vms: BTreeMap<VmId, Vm>,
    vnics: BTreeMap<VnicId, Vnic>,
    observed: BTreeMap<HostName, HostRecord>,
    network_clusters: BTreeMap<NetworkName, BTreeSet<ResourceId>>,
    network_hosts: BTreeMap<NetworkName, BTreeSet<HostName>>,
    cluster_hosts: BTreeMap<ResourceId, BTreeSet<HostName>>,
    managed_reports: BTreeMap<NetworkName, BTreeSet<HostName>>,
    commands: BTreeMap<HostName, Commanded>,
    pool_clusters: BTreeMap<ResourceId, BTreeSet<ResourceId>>,
    cluster_vms: BTreeMap<ResourceId, BTreeSet<VmId>>,
    host_vms: BTreeMap<HostName, BTreeSet<VmId>>,
    profile_vnics: BTreeMap<ProfileId, BTreeSet<VnicId>>,
    failovers: BTreeMap<ProfileId, BTreeSet<ProfileId>>,
    macs: BTreeMap<MacAddr, BTreeSet<VnicId>>,
    free_macs: FreeMacs,
    sightings: Sightings,
    labels: Labels,
}

/// What a host last reported, kept over a restart of the engine. Never part of the desired state.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HostRecord {
    /// Its last report; `None` before the first.
    pub capabilities: Option<Capabilities>,
    /// Milliseconds since the Unix epoch at the last report.
    pub reported_ms: u64,
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
        let record = record.in_order();
        let before = self.observed.remove(&host);
        self.unmanage(&host, before.as_ref());
        let moved = self.sightings.replace(&host, before.as_ref(), Some(&record));
        self.count_anew(moved);
        for network in record.managed_networks() {
            self.managed_reports.entry(network.clone()).or_default().insert(host.clone());
        }
        self.observed.insert(host, record);
    }

    /// Returns a stored entity by its key; of attachments those of operators, not those of labels.
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
                let attachment = self.attachments.get(&(h.clone(), n.clone())).filter(|found| !found.by.is_label());
                attachment.cloned().map(Entity::NetworkAttachment)
            }
            EntityId::Bond(h, b) => self.bonds.get(&(h.clone(), b.clone())).cloned().map(Entity::Bond),
            EntityId::MacPool(p) => self.mac_pools.get(p).cloned().map(Entity::MacPool),
            EntityId::Vm(v) => self.vms.get(v).cloned().map(Entity::Vm),
            EntityId::Vnic(v, n) => self.vnics.get(&(*v, n.clone())).cloned().map(Entity::Vnic),
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

    /// Returns all host attachments by host and network, also those of labels.
    pub const fn attachments(&self) -> &BTreeMap<AttachmentId, NetworkAttachment> {
        &self.attachments
    }

    /// Returns all bonds by host and name.
    pub const fn bonds(&self) -> &BTreeMap<BondId, Bond> {
        &self.bonds
    }

    /// Returns all MAC pools by name.
    pub const fn mac_pools(&self) -> &BTreeMap<ResourceId, MacPool> {
        &self.mac_pools
    }

    /// Returns all virtual machines by id.
    pub const fn vms(&self) -> &BTreeMap<VmId, Vm> {
        &self.vms
    }

    /// Returns all vNICs by virtual machine and name.
    pub const fn vnics(&self) -> &BTreeMap<VnicId, Vnic> {
        &self.vnics
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

    /// Returns the bonds of `host`, by name.
    pub fn bonds_of<'a>(&'a self, host: &'a HostName) -> impl Iterator<Item = &'a Bond> {
        self.bonds.range((host.clone(), lowest_device())..).take_while(move |((h, _), _)| h == host).map(|(_, b)| b)
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

    /// Returns the hosts of `cluster`, ordered.
    pub fn hosts_in<'a>(&'a self, cluster: &ResourceId) -> impl Iterator<Item = &'a HostName> {
        self.cluster_hosts.get(cluster).into_iter().flatten()
    }

    /// Returns the clusters whose VMs take their MACs from `pool`, ordered.
    pub fn clusters_of_pool<'a>(&'a self, pool: &ResourceId) -> impl Iterator<Item = &'a ResourceId> {
        self.pool_clusters.get(pool).into_iter().flatten()
    }

    /// Returns the virtual machines of `cluster`, ordered.
    pub fn vms_in<'a>(&'a self, cluster: &ResourceId) -> impl Iterator<Item = &'a VmId> {
        self.cluster_vms.get(cluster).into_iter().flatten()
    }

    /// Returns the virtual machines that run on `host`, ordered.
    pub fn vms_on<'a>(&'a self, host: &HostName) -> impl Iterator<Item = &'a VmId> {
        self.host_vms.get(host).into_iter().flatten()
    }

    /// Returns the vNICs of `vm`, by name.
    pub fn vnics_of(&self, vm: VmId) -> impl Iterator<Item = &Vnic> {
        self.vnics.range((vm, lowest())..).take_while(move |((v, _), _)| *v == vm).map(|(_, vnic)| vnic)
    }

    /// Returns the vNICs that use `profile`, ordered.
    pub fn vnics_with<'a>(&'a self, profile: &ProfileId) -> impl Iterator<Item = &'a Vnic> + use<'a> {
        self.profile_vnics.get(profile).into_iter().flatten().filter_map(|id| self.vnics.get(id))
    }

    /// Returns the vNICs on `network`, by profile.
    pub fn vnics_on<'a>(&'a self, network: &'a NetworkName) -> impl Iterator<Item = &'a Vnic> {
        self.profile_vnics
            .range((network.clone(), lowest())..)
            .take_while(move |((n, _), _)| n == network)
            .flat_map(|(_, vnics)| vnics)
            .filter_map(|id| self.vnics.get(id))
    }

    /// Returns the profiles that fail over to `profile`, ordered.
    pub fn failing_over_to<'a>(&'a self, profile: &ProfileId) -> impl Iterator<Item = &'a VnicProfile> + use<'a> {
        self.failovers.get(profile).into_iter().flatten().filter_map(|id| self.profiles.get(id))
    }

    /// Returns the vNICs that have `mac`, as their own or as an extra one, ordered.
    pub fn vnics_with_mac(&self, mac: MacAddr) -> impl Iterator<Item = &Vnic> {
        self.macs.get(&mac).into_iter().flatten().filter_map(|id| self.vnics.get(id))
    }

    /// Returns the lowest address of `pool` that no vNIC of the fleet and no reported domain has, and that is none of `but`.
    pub fn free_mac(&self, pool: &ResourceId, but: &[MacAddr]) -> Option<MacAddr> {
        self.free_macs.of(pool).find(|mac| !but.contains(mac))
    }

    /// Returns how many addresses of `pool` no vNIC of the fleet and no reported domain has.
    pub fn free_macs(&self, pool: &ResourceId) -> u64 {
        self.free_macs.number(pool)
    }

    /// Returns the pool that has `mac` in a range, whether it gave it or not.
    pub fn pool_with(&self, mac: MacAddr) -> Option<&ResourceId> {
        self.free_macs.pool_with(mac)
    }

    /// Tells whether a vNIC of the fleet, or a reported domain, has `mac`.
    pub fn is_taken(&self, mac: MacAddr) -> bool {
        self.macs.contains_key(&mac) || self.sightings.has_mac(mac)
    }

    /// Computes the networks that `host` is to run, ordered by name.
    ///
    /// *Shape*: one specification for each attachment whose network exists; empty for an unknown host.
    pub fn desired_networks(&self, host: &HostName) -> Vec<NetworkSpec> {
        let mut guests = self.guest_nics(host);
        self.attachments_of(host)
            .filter_map(|attachment| {
                let network = self.networks.get(&attachment.network)?;
                let nics = guests.remove(&network.id).unwrap_or_default();
                Some(desired_network(network, attachment, nics))
            })
            .collect()
    }

    /// Computes a network that `host` is to run, without what its guests may have beside one MAC each; none where it is not
    /// to run it.
    pub fn desired_network(&self, host: &HostName, network: &NetworkName) -> Option<NetworkSpec> {
        let attachment = self.attachments.get(&(host.clone(), network.clone()))?;
        Some(desired_network(self.networks.get(network)?, attachment, BTreeMap::new()))
    }

    /// Computes the bonds that `host` is to have, ordered by name.
    pub fn desired_bonds(&self, host: &HostName) -> Vec<BondSpec> {
        self.bonds_of(host).map(Bond::spec).collect()
    }

    /// Finds the guests' NICs on `host` that may have more than untagged frames of one MAC: those of plugged and linked vNICs
    /// of the VMs that run there, on bridges whose MAC table libvirt manages.
    ///
    /// *Shape*: by network and the NIC's MAC; no empty maps, and no NIC that may have nothing more. The cost grows with the
    /// vNICs on the host.
    fn guest_nics(&self, host: &HostName) -> BTreeMap<NetworkName, BTreeMap<MacAddr, GuestNic>> {
        let mut nics: BTreeMap<NetworkName, BTreeMap<MacAddr, GuestNic>> = BTreeMap::new();
        for vnic in self.vms_on(host).flat_map(|vm| self.vnics_of(*vm)).filter(|vnic| vnic.plugged && vnic.linked) {
            let Some(profile) = vnic.profile.as_ref().and_then(|profile| self.profiles.get(profile)) else { continue };
            let Some(network) = self.networks.get(&profile.network).filter(|network| network.is_managed()) else {
                continue;
            };
            let nic = guest_nic(vnic, profile);
            if let Some(mac) = vnic.address()
                && !profile.is_passthrough()
                && nic != GuestNic::default()
            {
                nics.entry(network.id.clone()).or_default().insert(mac, nic);
            }
        }
        nics
    }

    fn forget(&mut self, host: &HostName) {
        let before = self.observed.remove(host);
        self.unmanage(host, before.as_ref());
        let moved = self.sightings.replace(host, before.as_ref(), None);
        self.count_anew(moved);
    }

    /// Takes addresses out of their pools that somebody has now, and gives those back that nobody has any more.
    fn count_anew(&mut self, macs: impl IntoIterator<Item = MacAddr>) {
        for mac in macs {
            if self.is_taken(mac) {
                self.free_macs.take(mac);
            } else {
                self.free_macs.give_back(mac);
            }
        }
    }

    fn unmanage(&mut self, host: &HostName, before: Option<&HostRecord>) {
        for network in before.into_iter().flat_map(HostRecord::managed_networks) {
            unlink(&mut self.managed_reports, network, host);
        }
    }

    fn put(&mut self, entity: Entity) {
        match entity {
            Entity::Cluster(c) => {
                self.unlink_pool(&c.id);
                if let Some(pool) = &c.mac_pool {
                    self.pool_clusters.entry(pool.clone()).or_default().insert(c.id.clone());
                }
                self.clusters.insert(c.id.clone(), c);
            }
            Entity::Network(n) => {
                self.labels.put_network(self.networks.get(&n.id), Some(&n));
                let id = n.id.clone();
                self.networks.insert(id.clone(), n);
                self.relabel_network(&id);
            }
            Entity::ClusterNetwork(n) => {
                self.network_clusters.entry(n.network.clone()).or_default().insert(n.cluster.clone());
                let network = n.network.clone();
                self.cluster_networks.insert((n.cluster.clone(), network.clone()), n);
                self.relabel_network(&network);
            }
            Entity::VnicProfile(p) => {
                let id = (p.network.clone(), p.id.clone());
                self.unlink_failover(&id);
                if let Some(target) = p.failover() {
                    self.failovers.entry(target.clone()).or_default().insert(id.clone());
                }
                self.profiles.insert(id, p);
            }
            Entity::Host(h) => {
                if let Some(before) = self.hosts.get(&h.id) {
                    unlink(&mut self.cluster_hosts, &before.cluster.clone(), &h.id);
                }
                self.labels.put_host(self.hosts.get(&h.id), Some(&h));
                self.cluster_hosts.entry(h.cluster.clone()).or_default().insert(h.id.clone());
                let id = h.id.clone();
                self.hosts.insert(id.clone(), h);
                self.relabel_host(&id);
            }
            Entity::NetworkAttachment(a) => {
                self.network_hosts.entry(a.network.clone()).or_default().insert(a.host.clone());
                self.attachments.insert((a.host.clone(), a.network.clone()), a);
            }
            Entity::Bond(b) => {
                let host = b.host.clone();
                self.bonds.insert((host.clone(), b.id.clone()), b);
                self.relabel_host(&host);
            }
            Entity::MacPool(p) => self.put_pool(p),
            Entity::Vm(v) => {
                self.delete_vm(v.id);
                self.cluster_vms.entry(v.cluster.clone()).or_default().insert(v.id);
                if let Some(host) = &v.host {
                    self.host_vms.entry(host.clone()).or_default().insert(v.id);
                }
                self.vms.insert(v.id, v);
            }
            Entity::Vnic(v) => self.put_vnic(v),
        }
    }

    fn delete(&mut self, id: &EntityId) {
        match id {
            EntityId::Cluster(c) => {
                self.unlink_pool(c);
                self.clusters.remove(c);
            }
            EntityId::Network(n) => {
                let before = self.networks.remove(n);
                self.labels.put_network(before.as_ref(), None);
                self.relabel_network(n);
            }
            EntityId::ClusterNetwork(c, n) => {
                unlink(&mut self.network_clusters, n, c);
                self.cluster_networks.remove(&(c.clone(), n.clone()));
                self.relabel_network(n);
            }
            EntityId::VnicProfile(n, p) => {
                let id = (n.clone(), p.clone());
                self.unlink_failover(&id);
                self.profiles.remove(&id);
            }
            EntityId::Host(h) => {
                self.commands.remove(h);
                if let Some(before) = self.hosts.remove(h) {
                    unlink(&mut self.cluster_hosts, &before.cluster, h);
                    self.labels.put_host(Some(&before), None);
                }
                self.relabel_host(h);
                self.forget(h);
            }
            EntityId::NetworkAttachment(h, n) => {
                unlink(&mut self.network_hosts, n, h);
                self.attachments.remove(&(h.clone(), n.clone()));
                self.relabel(h, n);
            }
            EntityId::Bond(h, b) => {
                self.bonds.remove(&(h.clone(), b.clone()));
                self.relabel_host(h);
            }
            EntityId::MacPool(p) => {
                if let Some(before) = self.mac_pools.remove(p) {
                    self.free_macs.remove(&before);
                }
            }
            EntityId::Vm(v) => self.delete_vm(*v),
            EntityId::Vnic(v, n) => self.delete_vnic(&(*v, n.clone())),
        }
    }

    fn put_pool(&mut self, pool: MacPool) {
        if let Some(before) = self.mac_pools.get(&pool.id) {
            self.free_macs.remove(before);
        }
        let (macs, sightings) = (&self.macs, &self.sightings);
        let of_vnics = |range: MacRange| macs.range(range.first()..=range.last()).map(|(mac, _)| *mac);
        let taken = |range: MacRange| of_vnics(range).chain(sightings.macs_in(range)).collect();
        self.free_macs.add(&pool, taken);
        self.mac_pools.insert(pool.id.clone(), pool);
    }

    fn put_vnic(&mut self, vnic: Vnic) {
        let id = (vnic.vm, vnic.id.clone());
        self.delete_vnic(&id);
        if let Some(profile) = &vnic.profile {
            self.profile_vnics.entry(profile.clone()).or_default().insert(id.clone());
        }
        for mac in vnic.addresses() {
            self.macs.entry(mac).or_default().insert(id.clone());
            self.free_macs.take(mac);
        }
        self.vnics.insert(id, vnic);
    }

    fn delete_vnic(&mut self, id: &VnicId) {
        let Some(before) = self.vnics.remove(id) else { return };
        if let Some(profile) = &before.profile {
            unlink(&mut self.profile_vnics, profile, id);
        }
        for mac in before.addresses() {
            unlink(&mut self.macs, &mac, id);
            self.count_anew([mac]);
        }
    }

    fn delete_vm(&mut self, id: VmId) {
        let Some(before) = self.vms.remove(&id) else { return };
        unlink(&mut self.cluster_vms, &before.cluster, &id);
        if let Some(host) = &before.host {
            unlink(&mut self.host_vms, host, &id);
        }
    }

    fn unlink_pool(&mut self, cluster: &ResourceId) {
        if let Some(pool) = self.clusters.get(cluster).and_then(|before| before.mac_pool.as_ref()) {
            unlink(&mut self.pool_clusters, pool, cluster);
        }
    }

    fn unlink_failover(&mut self, id: &ProfileId) {
        if let Some(target) = self.profiles.get(id).and_then(VnicProfile::failover) {
            unlink(&mut self.failovers, target, id);
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

fn guest_nic(vnic: &Vnic, profile: &VnicProfile) -> GuestNic {
    let vlans = match &profile.guest_tagging {
        GuestTagging::List(vlans) => vlans.iter().copied().collect(),
        GuestTagging::None | GuestTagging::Any | GuestTagging::Unspecified => BTreeSet::new(),
    };
    GuestNic { extra_macs: vnic.extra_macs.iter().copied().collect(), vlans }
}

fn desired_network(
    network: &Network,
    attachment: &NetworkAttachment,
    nics: BTreeMap<MacAddr, GuestNic>,
) -> NetworkSpec {
    let topology = if network.vm_network {
        Topology::Bridged(BridgeSpec {
            name: network.bridge_name.clone().unwrap_or_else(|| IfName::for_bridge(&network.id)),
            stp: network.stp,
            options: network.bridge_options.clone(),
        })
    } else {
        Topology::Bridgeless
    };
    let source_macs = if network.is_managed() { network.source_macs } else { SourceMacs::Any };
    let names = attachment.resolver_names(network);
    NetworkSpec {
        name: network.id.clone(),
        southbound: attachment.southbound.clone(),
        vlan: network.vlan,
        mtu: network.mtu,
        topology,
        mac_table_manager: network.mac_table_manager,
        ipv4: attachment.ipv4.clone(),
        ipv6: attachment.ipv6.clone(),
        default_route: attachment.default_route,
        routes: attachment.routes.clone(),
        nameservers: names.servers,
        search_domains: names.search,
        port_isolation: network.vm_network && network.port_isolation,
        guest_ports: GuestPorts { source_macs, nics, ..GuestPorts::default() },
        host_qos: attachment.qos(network),
        custom: attachment.custom.clone(),
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

/// The lowest name in the order of devices: `!` is the first character that one may have.
fn lowest_device() -> IfName {
    IfName::parse("!").expect("an exclamation mark is a legal name")
}
