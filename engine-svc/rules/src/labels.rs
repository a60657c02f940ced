//! Rules for what labels attach to hosts, whichever write makes them do so.

use std::collections::BTreeSet;

use trestle_model::fleet::{ClusterNetwork, EntityId, Fleet, Host, Network, NetworkAttachment};
use trestle_model::{Code, Finding, HostName, IfName, NetworkName, NicLabel};

use crate::layout::{Layout, Placement, bond_name};
use crate::network_attachment;
use crate::roles;
use crate::spot::{Named, Spot};

/// Evaluates what the labels of a new or changed host attach to it, and what they attach no more.
pub(crate) fn on_host(host: &Host, fleet: &Fleet, spot: &Spot, field: &str) -> Vec<Finding> {
    let before = fleet.hosts().get(&host.id);
    let is_same = |before: &Host| before.nic_labels == host.nic_labels && before.cluster == host.cluster;
    if before.map_or(host.nic_labels.is_empty(), is_same) {
        return Vec::new();
    }
    let in_cluster =
        |network: &&Network| fleet.cluster_networks().contains_key(&(host.cluster.clone(), network.id.clone()));
    let networks: Vec<&Network> =
        host.nic_labels.keys().flat_map(|label| fleet.networks_labelled(label)).filter(in_cluster).collect();
    let come: Vec<(&Network, NetworkAttachment)> =
        networks.into_iter().filter_map(|network| Some((network, fleet.labelled(host, network)?))).collect();
    let mut findings = ports(host, fleet, spot, field);
    let stored = |network: &NetworkName| stored(fleet, &host.id, network);
    for (network, attachment) in &come {
        findings.extend(stored(&network.id).and_then(|stored| conflict(stored, attachment, spot, field)));
    }
    let come: Vec<_> = come.into_iter().filter(|(network, _)| stored(&network.id).is_none()).collect();
    let now = Layout::of(fleet, &host.id);
    let stays = now.placements.iter().copied().filter(|placement| !placement.attachment.by.is_label());
    let labelled = come.iter().map(|(network, attachment)| Placement { network, attachment });
    let layout = Layout { placements: stays.chain(labelled).collect(), bonds: now.bonds.clone() };
    for (network, attachment) in &come {
        findings.extend(attached(Placement { network, attachment }, host, &layout, fleet, spot, field));
    }
    let coming: BTreeSet<&NetworkName> = come.iter().map(|(network, _)| &network.id).collect();
    let gone = fleet.attachments_of(&host.id).filter(|attachment| attachment.by.is_label());
    let gone = gone.filter(|attachment| !coming.contains(&attachment.network));
    findings.extend(gone.filter_map(|gone| in_use(&host.id, &gone.network, fleet, spot, field)));
    findings
}

/// Evaluates where a new or changed network is attached by its label, and where no more.
pub(crate) fn of_network(network: &Network, fleet: &Fleet, spot: &Spot, field: &str) -> Vec<Finding> {
    let before = fleet.networks().get(&network.id).and_then(|before| before.nic_label.as_ref());
    if before == network.nic_label.as_ref() {
        return Vec::new();
    }
    let clusters: BTreeSet<_> = fleet.clusters_with(&network.id).collect();
    let mut findings = Vec::new();
    for host in hosts_with(network.nic_label.as_ref(), fleet).filter(|host| clusters.contains(&host.cluster)) {
        findings.extend(comes(network, host, fleet, spot, field));
    }
    let keeps = |host: &HostName| {
        let label = network.nic_label.as_ref();
        fleet.hosts().get(host).zip(label).is_some_and(|(host, label)| host.nic_labels.contains_key(label))
    };
    let labelled = |host: &&HostName| {
        let id = (HostName::clone(host), network.id.clone());
        fleet.attachments().get(&id).is_some_and(|attachment| attachment.by.is_label())
    };
    let gone = fleet.hosts_with(&network.id).filter(labelled).filter(|host| !keeps(host));
    findings.extend(gone.filter_map(|host| in_use(host, &network.id, fleet, spot, field)));
    findings
}

/// Evaluates where a network is attached by its label once it is in a cluster.
pub(crate) fn in_cluster(
    place: &ClusterNetwork,
    network: &Network,
    fleet: &Fleet,
    spot: &Spot,
    field: &str,
) -> Vec<Finding> {
    if fleet.cluster_networks().contains_key(&(place.cluster.clone(), place.network.clone())) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for host in hosts_with(network.nic_label.as_ref(), fleet).filter(|host| host.cluster == place.cluster) {
        findings.extend(comes(network, host, fleet, spot, field));
        let attached = EntityId::NetworkAttachment(host.id.clone(), network.id.clone()).to_string();
        let is_stored = stored(fleet, &host.id, &network.id).is_some();
        findings.extend(roles::lacking(place, vec![attached], spot, field).filter(|_| !is_stored));
    }
    findings
}

/// Evaluates an attachment beside the label that its network and host have in common.
pub(crate) fn beside(
    attachment: &NetworkAttachment,
    host: &Host,
    network: &Network,
    fleet: &Fleet,
    spot: &Spot,
    field: &str,
) -> Option<Finding> {
    let labelled = fleet.labelled(host, network)?;
    let label = network.nic_label.as_ref()?;
    (labelled.southbound != attachment.southbound).then(|| {
        let message = format!("label {label} puts the network on {}", device(&labelled));
        spot.error(Code::LabelConflict, field, message)
            .related([EntityId::Host(host.id.clone()).to_string()])
            .remedy("attach the network to the device of the label, or move the label")
    })
}

/// A label's device is no port of a bond.
fn ports(host: &Host, fleet: &Fleet, spot: &Spot, field: &str) -> Vec<Finding> {
    let layout = Layout::of(fleet, &host.id);
    let in_bond = |(label, device): (&NicLabel, &IfName)| {
        let bond = layout.bond_with(device)?;
        let message = format!("{device}, which is to have label {label}, is in bond {}", bond.id);
        let finding = spot.error(Code::NicInUse, field, message).related([bond_name(bond)]);
        Some(finding.remedy("give the label to the bond"))
    };
    host.nic_labels.iter().filter_map(in_bond).collect()
}

/// Judges a network that comes to a host by its label.
fn comes(network: &Network, host: &Host, fleet: &Fleet, spot: &Spot, field: &str) -> Vec<Finding> {
    let Some(attachment) = fleet.labelled(host, network) else { return Vec::new() };
    if let Some(stored) = stored(fleet, &host.id, &network.id) {
        return conflict(stored, &attachment, spot, field).into_iter().collect();
    }
    let layout = Layout::of(fleet, &host.id);
    attached(Placement { network, attachment: &attachment }, host, &layout, fleet, spot, field)
}

/// Judges what a label attaches as it would an attachment, and says so of `field`.
fn attached(
    placement: Placement<'_>,
    host: &Host,
    layout: &Layout<'_>,
    fleet: &Fleet,
    spot: &Spot,
    field: &str,
) -> Vec<Finding> {
    let mut findings = network_attachment::devices(placement, layout, field, spot);
    findings.extend(network_attachment::beside_guests(placement, host, fleet, spot));
    let name = placement.name();
    let at_field = |finding: Finding| {
        let related: Vec<String> = finding.related.iter().cloned().chain([name.clone()]).collect();
        Finding { field: field.to_owned(), ..finding }.related(related)
    };
    findings.into_iter().map(at_field).collect()
}

fn conflict(stored: &NetworkAttachment, labelled: &NetworkAttachment, spot: &Spot, field: &str) -> Option<Finding> {
    let name = EntityId::NetworkAttachment(stored.host.clone(), stored.network.clone()).to_string();
    (stored.southbound != labelled.southbound).then(|| {
        let message =
            format!("a label would put the network on {}, and {name} is on {}", device(labelled), device(stored));
        spot.error(Code::LabelConflict, field, message)
            .related([name])
            .remedy("give the label to the attachment's device, or remove the attachment")
    })
}

/// A network leaves no host where a vNIC is plugged into it.
fn in_use(host: &HostName, network: &NetworkName, fleet: &Fleet, spot: &Spot, field: &str) -> Option<Finding> {
    let users = Named::vnics(network_attachment::plugged(host, network, fleet));
    (!users.is_empty()).then(|| {
        let name = EntityId::NetworkAttachment(host.clone(), network.clone());
        let message = format!("{name}, which would go with the label, is used by {users}");
        spot.error(Code::InUse, field, message)
            .related(users.names)
            .remedy("unplug the vNICs, or attach the network by itself")
    })
}

fn stored<'a>(fleet: &'a Fleet, host: &HostName, network: &NetworkName) -> Option<&'a NetworkAttachment> {
    fleet.attachments().get(&(host.clone(), network.clone())).filter(|attachment| !attachment.by.is_label())
}

fn hosts_with<'a>(label: Option<&NicLabel>, fleet: &'a Fleet) -> impl Iterator<Item = &'a Host> + use<'a> {
    label.map(|label| fleet.hosts_labelled(label)).into_iter().flatten()
}

fn device(attachment: &NetworkAttachment) -> String {
    attachment.southbound.as_ref().map_or_else(|| "nothing".to_owned(), |southbound| southbound.device().to_string())
}
