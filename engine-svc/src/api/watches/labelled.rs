//! What labels attach, in a watch: worked out from the changes that can make or unmake it, since the ledger does not have it.

use std::collections::BTreeSet;

use trestle_model::fleet::{Entity, EntityId, Fleet, Host, Network};
use trestle_model::{HostName, NetworkName, NicLabel, ResourceId};
use trestle_store::{Change, Event, Transition};

/// What changed that labels go by.
#[derive(Debug, Default)]
pub(super) struct Touched {
    /// Hosts that got, lost or moved a label.
    hosts: BTreeSet<(HostName, NicLabel)>,
    /// Hosts that came, went, or changed their cluster.
    moved: BTreeSet<HostName>,
    /// Networks that got or lost a label.
    networks: BTreeSet<(NetworkName, NicLabel)>,
    /// Networks that came into a cluster, or left it.
    cluster_networks: BTreeSet<(ResourceId, NetworkName)>,
    /// Bonds that came or went, on which a label may be.
    bonds: BTreeSet<(HostName, EntityId)>,
}

impl Touched {
    /// Notes what an event changed; one without both sides, of an engine that did not keep them, changes nothing here.
    pub(super) fn note(&mut self, event: &Event) {
        for ((id, _), Transition { before, after }) in event.mutations.iter().zip(&event.transitions) {
            match id {
                EntityId::Host(host) => self.note_host(host, side(before, host_of), side(after, host_of)),
                EntityId::Network(network) => {
                    let label = |side: Option<&Network>| side.and_then(|network| network.nic_label.clone());
                    let labels = [label(side(before, network_of)), label(side(after, network_of))];
                    if labels[0] != labels[1] {
                        self.networks.extend(labels.into_iter().flatten().map(|label| (network.clone(), label)));
                    }
                }
                EntityId::ClusterNetwork(cluster, network) if before.is_none() || after.is_none() => {
                    self.cluster_networks.insert((cluster.clone(), network.clone()));
                }
                EntityId::Bond(host, _) if before.is_none() || after.is_none() => {
                    self.bonds.insert((host.clone(), id.clone()));
                }
                EntityId::ClusterNetwork(..)
                | EntityId::Bond(..)
                | EntityId::Cluster(_)
                | EntityId::VnicProfile(..)
                | EntityId::NetworkAttachment(..)
                | EntityId::MacPool(_)
                | EntityId::Vm(_)
                | EntityId::Vnic(..) => {}
            }
        }
    }

    fn note_host(&mut self, id: &HostName, before: Option<&Host>, after: Option<&Host>) {
        let stays = before.zip(after).is_some_and(|(before, after)| before.cluster == after.cluster);
        if !stays {
            self.moved.insert(id.clone());
        }
        let device = |side: Option<&Host>, label: &NicLabel| side.and_then(|host| host.nic_labels.get(label).cloned());
        for label in [before, after].into_iter().flatten().flat_map(|host| host.nic_labels.keys()) {
            if !stays || device(before, label) != device(after, label) {
                self.hosts.insert((id.clone(), label.clone()));
            }
        }
    }

    /// Returns the attachments that labels may have made, moved or unmade, and whether they are there now. The cost is that of
    /// the hosts and networks that have the labels concerned.
    pub(super) fn attachments(&self, fleet: &Fleet) -> Vec<(EntityId, Change)> {
        let mut pairs: BTreeSet<(HostName, NetworkName)> = BTreeSet::new();
        for (host, label) in &self.hosts {
            let before = self.networks.iter().filter(|(_, other)| other == label).map(|(network, _)| network);
            let networks = fleet.networks_labelled(label).map(|network| &network.id).chain(before);
            pairs.extend(networks.map(|network| (host.clone(), network.clone())));
        }
        for (network, label) in &self.networks {
            pairs.extend(fleet.hosts_labelled(label).map(|host| (host.id.clone(), network.clone())));
        }
        for (cluster, network) in &self.cluster_networks {
            let label = fleet.networks().get(network).and_then(|network| network.nic_label.as_ref());
            let hosts = label.into_iter().flat_map(|label| fleet.hosts_labelled(label));
            let hosts = hosts.filter(|host| host.cluster == *cluster);
            pairs.extend(hosts.map(|host| (host.id.clone(), network.clone())));
        }
        for (host, bond) in &self.bonds {
            let labels = fleet.hosts().get(host).into_iter().flat_map(|host| &host.nic_labels);
            let on_bond = labels.filter(|(_, device)| EntityId::Bond(host.clone(), (*device).clone()) == *bond);
            let networks = on_bond.flat_map(|(label, _)| fleet.networks_labelled(label));
            pairs.extend(networks.map(|network| (host.clone(), network.id.clone())));
        }
        pairs.into_iter().filter_map(|pair| self.told(fleet, pair)).collect()
    }

    /// Says what to tell of a network on a host; nothing where a write of its own put it there, or where it cannot have been.
    fn told(&self, fleet: &Fleet, (host, network): (HostName, NetworkName)) -> Option<(EntityId, Change)> {
        let there = fleet.attachments().get(&(host.clone(), network.clone()));
        let was_possible = fleet.hosts().get(&host).is_none_or(|now| {
            let in_cluster = (now.cluster.clone(), network.clone());
            fleet.cluster_networks().contains_key(&in_cluster)
                || self.cluster_networks.contains(&in_cluster)
                || !fleet.networks().contains_key(&network)
                || self.moved.contains(&host)
        });
        let change = match there {
            Some(attachment) if attachment.by.is_label() => Change::Updated,
            None if was_possible => Change::Deleted,
            Some(_) | None => return None,
        };
        Some((EntityId::NetworkAttachment(host, network), change))
    }
}

fn side<'a, T>(side: &'a Option<Entity>, of: impl Fn(&'a Entity) -> Option<&'a T>) -> Option<&'a T> {
    side.as_ref().and_then(of)
}

fn host_of(entity: &Entity) -> Option<&Host> {
    if let Entity::Host(host) = entity { Some(host) } else { None }
}

fn network_of(entity: &Entity) -> Option<&Network> {
    if let Entity::Network(network) = entity { Some(network) } else { None }
}
