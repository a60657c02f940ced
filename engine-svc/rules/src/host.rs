//! Rules for hosts.

use trestle_model::fleet::{Cluster, ClusterNetwork, EntityId, Fleet, Host, Network};
use trestle_model::{Code, Finding, HostName, Severity};

use crate::labels;
use crate::layout::Layout;
use crate::matrix::{self, Incapable};
use crate::roles;
use crate::spot::{Named, Spot, enumerate};

const CLUSTER: &str = "host.spec.cluster";
const NIC_LABELS: &str = "host.spec.nic_labels";
const MAINTENANCE: &str = "host.spec.maintenance";

/// Evaluates a new or changed host.
pub(crate) fn put(host: &Host, fleet: &Fleet) -> Vec<Finding> {
    let spot = Spot::new(EntityId::Host(host.id.clone()));
    let before = fleet.hosts().get(&host.id);
    let mut findings = Vec::new();
    match fleet.clusters().get(&host.cluster) {
        // What a host has never fits a cluster that does not exist; that needs no telling.
        None => findings.push(spot.missing(CLUSTER, &EntityId::Cluster(host.cluster.clone()))),
        Some(cluster) if before.is_none_or(|before| before.cluster != host.cluster) => {
            findings.extend(left_behind(host, fleet, &spot));
            findings.extend(joins(host, cluster, fleet, &spot));
            findings.extend(parted_from_vms(host, fleet, &spot));
            findings.extend(roles::without_address_in(host, fleet, &spot, CLUSTER));
        }
        Some(_) => {}
    }
    if before.is_some_and(|before| before.maintenance) && !host.maintenance {
        findings.extend(leaves_maintenance(host, fleet, &spot));
    }
    findings.extend(labels::on_host(host, fleet, &spot, NIC_LABELS));
    findings
}

/// Evaluates the removal of a host: refused while networks are attached to it, it has bonds, or VMs run on it.
pub(crate) fn delete(host: &HostName, fleet: &Fleet) -> Vec<Finding> {
    let attachments = fleet
        .attachments_of(host)
        .filter(|attachment| !attachment.by.is_label())
        .map(|attachment| EntityId::NetworkAttachment(host.clone(), attachment.network.clone()));
    let bonds = fleet.bonds_of(host).map(|bond| EntityId::Bond(host.clone(), bond.id.clone()));
    let vms = fleet.vms_on(host).map(|vm| EntityId::Vm(*vm));
    let users: Vec<String> = attachments.chain(bonds).chain(vms).map(|user| user.to_string()).collect();
    Spot::new(EntityId::Host(host.clone())).in_use("name", users).into_iter().collect()
}

/// VMs run on hosts of their cluster.
fn parted_from_vms(host: &Host, fleet: &Fleet, spot: &Spot) -> Option<Finding> {
    let vms = fleet.vms_on(&host.id).filter_map(|vm| fleet.vms().get(vm)).filter(|vm| vm.cluster != host.cluster);
    let vms = Named::from(vms.map(|vm| EntityId::Vm(vm.id).to_string()).collect::<Vec<_>>());
    (!vms.is_empty()).then(|| {
        spot.error(Code::HostNotInCluster, CLUSTER, format!("VMs of other clusters run on the host: {vms}"))
            .related(vms.names)
            .remedy("move the VMs to other hosts first")
    })
}

/// A moving host may carry only networks of the cluster that it comes to.
fn left_behind(host: &Host, fleet: &Fleet, spot: &Spot) -> Option<Finding> {
    let attachments: Vec<String> = fleet
        .attachments_of(&host.id)
        .filter(|attachment| !attachment.by.is_label())
        .filter(|attachment| {
            !fleet.cluster_networks().contains_key(&(host.cluster.clone(), attachment.network.clone()))
        })
        .map(|attachment| EntityId::NetworkAttachment(host.id.clone(), attachment.network.clone()).to_string())
        .collect();
    let message =
        format!("the host carries networks that cluster {} does not have: {}", host.cluster, enumerate(&attachments));
    (!attachments.is_empty()).then(|| {
        spot.error(Code::NetworkNotInCluster, CLUSTER, message)
            .related(attachments)
            .remedy("attach the networks to the cluster, or remove them from the host first")
    })
}

fn joins(host: &Host, cluster: &Cluster, fleet: &Fleet, spot: &Spot) -> Vec<Finding> {
    let managed: Vec<&Network> = matrix::managed_networks(fleet, &cluster.id).collect();
    let mut findings = Vec::new();
    findings.extend(matrix::switch_type([cluster], managed.iter().copied(), spot, CLUSTER));
    findings.extend(matrix::contradicting_networks(managed.iter().copied(), spot, CLUSTER));
    let required = |network: &&Network| {
        let id = (cluster.id.clone(), network.id.clone());
        fleet.cluster_networks().get(&id).is_some_and(ClusterNetwork::is_required)
    };
    let stored = |network: &&&Network| {
        let attachment = fleet.attachments().get(&(host.id.clone(), network.id.clone()));
        attachment.is_some_and(|attachment| !attachment.by.is_label())
    };
    // What labels attach is judged with the labels.
    let carried = managed.iter().filter(|network| required(network) || stored(network));
    findings.extend(carried.flat_map(|network| matrix::guests(fleet, network, &[&host.id], spot, CLUSTER)));
    let (required, optional): (Vec<&Network>, Vec<&Network>) = managed.iter().partition(|network| required(network));
    for (severity, networks) in [(Severity::Warning, required), (Severity::Info, optional)] {
        if !networks.is_empty() {
            let incapable = Incapable::among(fleet, [&host.id]);
            findings.extend(incapable.finding(severity, spot, CLUSTER, &names(networks)));
        }
    }
    findings
}

fn leaves_maintenance(host: &Host, fleet: &Fleet, spot: &Spot) -> Option<Finding> {
    let carried = Layout::of(fleet, &host.id).placements.into_iter().map(|placement| placement.network);
    let managed: Vec<&Network> = carried.filter(|network| network.is_managed()).collect();
    if managed.is_empty() {
        return None;
    }
    Incapable::among(fleet, [&host.id]).finding(Severity::Warning, spot, MAINTENANCE, &names(managed))
}

fn names(networks: Vec<&Network>) -> Vec<String> {
    networks.into_iter().map(|network| EntityId::Network(network.id.clone()).to_string()).collect()
}
