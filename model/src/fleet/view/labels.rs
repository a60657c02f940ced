//! Networks that labels attach to hosts: computed, and never stored.
//!
//! A network with a label is on every host of its clusters where a NIC or bond has the label, unless it is attached there by
//! itself. Each change works out anew the networks and hosts that it touches, so that what labels attach cannot go stale.

use std::collections::{BTreeMap, BTreeSet};

use super::{Fleet, unlink};
use crate::fleet::{AttachedBy, Host, Meta, Network, NetworkAttachment};
use crate::{HostName, Ipv4Config, Ipv6Config, NetworkName, NicLabel, Southbound};

/// Who has each label.
///
/// *Shape*: no empty sets.
#[derive(Debug, Clone, Default)]
pub(super) struct Labels {
    networks: BTreeMap<NicLabel, BTreeSet<NetworkName>>,
    hosts: BTreeMap<NicLabel, BTreeSet<HostName>>,
}

impl Labels {
    pub(super) fn put_network(&mut self, before: Option<&Network>, after: Option<&Network>) {
        if let Some((network, label)) = before.and_then(|network| Some((network, network.nic_label.as_ref()?))) {
            unlink(&mut self.networks, label, &network.id);
        }
        if let Some((network, label)) = after.and_then(|network| Some((network, network.nic_label.clone()?))) {
            self.networks.entry(label).or_default().insert(network.id.clone());
        }
    }

    pub(super) fn put_host(&mut self, before: Option<&Host>, after: Option<&Host>) {
        for (host, label) in before.into_iter().flat_map(|host| host.nic_labels.keys().map(move |label| (host, label)))
        {
            unlink(&mut self.hosts, label, &host.id);
        }
        for (host, label) in after.into_iter().flat_map(|host| host.nic_labels.keys().map(move |label| (host, label))) {
            self.hosts.entry(label.clone()).or_default().insert(host.id.clone());
        }
    }
}

impl Fleet {
    /// Returns the networks with a label, ordered.
    pub fn networks_labelled<'a>(&'a self, label: &NicLabel) -> impl Iterator<Item = &'a Network> + use<'a> {
        self.labels.networks.get(label).into_iter().flatten().filter_map(|network| self.networks.get(network))
    }

    /// Returns the hosts where a NIC or bond has a label, ordered.
    pub fn hosts_labelled<'a>(&'a self, label: &NicLabel) -> impl Iterator<Item = &'a Host> + use<'a> {
        self.labels.hosts.get(label).into_iter().flatten().filter_map(|host| self.hosts.get(host))
    }

    /// Returns how a label puts `network` on `host`, whatever their clusters are; none where they have no label in common.
    pub fn labelled(&self, host: &Host, network: &Network) -> Option<NetworkAttachment> {
        let label = network.nic_label.as_ref()?;
        let device = host.nic_labels.get(label)?.clone();
        let is_bond = self.bonds.contains_key(&(host.id.clone(), device.clone()));
        Some(NetworkAttachment {
            host: host.id.clone(),
            network: network.id.clone(),
            meta: Meta::default(),
            southbound: Some(if is_bond { Southbound::Bond(device) } else { Southbound::Nic(device) }),
            ipv4: Ipv4Config::None,
            ipv6: Ipv6Config::None,
            default_route: false,
            routes: Vec::new(),
            dns: None,
            host_qos: None,
            custom: BTreeMap::new(),
            by: AttachedBy::Label(label.clone()),
        })
    }

    /// Works out anew what labels attach to a host.
    pub(super) fn relabel_host(&mut self, host: &HostName) {
        let attached = self.attachments_of(host).filter(|attachment| attachment.by.is_label());
        let attached = attached.map(|attachment| attachment.network.clone());
        let labels = self.hosts.get(host).into_iter().flat_map(|host| host.nic_labels.keys());
        let labelled = labels.flat_map(|label| self.labels.networks.get(label)).flatten().cloned();
        let networks: BTreeSet<NetworkName> = attached.chain(labelled).collect();
        networks.iter().for_each(|network| self.relabel(host, network));
    }

    /// Works out anew where a label attaches a network.
    pub(super) fn relabel_network(&mut self, network: &NetworkName) {
        let label = self.networks.get(network).and_then(|network| network.nic_label.as_ref());
        let labelled = label.and_then(|label| self.labels.hosts.get(label)).into_iter().flatten();
        let hosts: BTreeSet<HostName> = self.hosts_with(network).chain(labelled).cloned().collect();
        hosts.iter().for_each(|host| self.relabel(host, network));
    }

    /// Works out anew whether a label attaches a network to a host.
    pub(super) fn relabel(&mut self, host: &HostName, network: &NetworkName) {
        let id = (host.clone(), network.clone());
        if self.attachments.get(&id).is_some_and(|attachment| !attachment.by.is_label()) {
            return;
        }
        let labelled = self.hosts.get(host).zip(self.networks.get(network)).and_then(|(host, network)| {
            let is_in_cluster = self.cluster_networks.contains_key(&(host.cluster.clone(), network.id.clone()));
            self.labelled(host, network).filter(|_| is_in_cluster)
        });
        match labelled {
            Some(attachment) => {
                self.network_hosts.entry(network.clone()).or_default().insert(host.clone());
                self.attachments.insert(id, attachment);
            }
            None => {
                unlink(&mut self.network_hosts, network, host);
                self.attachments.remove(&id);
            }
        }
    }
}
