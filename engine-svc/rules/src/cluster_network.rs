//! Rules for a network's place in a cluster.

use trestle_model::fleet::{Cluster, ClusterNetwork, EntityId, Fleet, Network, NetworkRole, Vnic};
use trestle_model::{Code, Finding, HostName, NetworkName, ResourceId, Severity};

use crate::labels;
use crate::matrix::{self, Fix, Incapable, Step};
use crate::roles;
use crate::spot::{Named, Spot, enumerate};

const NAME: &str = "cluster_network.name";
const REQUIRED: &str = "cluster_network.spec.required";
pub(crate) const MANAGEMENT: &str = "cluster_network.spec.management";

/// Evaluates a new or changed attachment of a network to a cluster.
pub(crate) fn put(attachment: &ClusterNetwork, fleet: &Fleet) -> Vec<Finding> {
    let spot = Spot::new(EntityId::ClusterNetwork(attachment.cluster.clone(), attachment.network.clone()));
    let mut findings = Vec::new();
    let cluster = fleet.clusters().get(&attachment.cluster);
    if cluster.is_none() {
        findings.push(spot.missing(NAME, &EntityId::Cluster(attachment.cluster.clone())));
    }
    let network = fleet.networks().get(&attachment.network);
    if network.is_none() {
        findings.push(spot.missing(NAME, &EntityId::Network(attachment.network.clone())));
    }
    findings.extend(roles::given(attachment, fleet, &spot));
    if let (Some(cluster), Some(network)) = (cluster, network)
        && network.is_managed()
    {
        findings.extend(managed(attachment, cluster, network, fleet, &spot));
    }
    if let Some(network) = network {
        findings.extend(labels::in_cluster(attachment, network, fleet, &spot, NAME));
    }
    findings
}

/// Evaluates the removal of a network from a cluster: refused while a host of the cluster carries it, and for the
/// management network while the cluster has hosts.
pub(crate) fn delete(cluster: &ResourceId, network: &NetworkName, fleet: &Fleet) -> Vec<Finding> {
    let id = (cluster.clone(), network.clone());
    let Some(attachment) = fleet.cluster_networks().get(&id) else { return Vec::new() };
    let spot = Spot::new(EntityId::ClusterNetwork(cluster.clone(), network.clone()));
    let mut findings = Vec::new();
    let in_cluster = |host: &&HostName| {
        let stored =
            fleet.attachments().get(&(HostName::clone(host), network.clone())).is_some_and(|on| !on.by.is_label());
        stored && fleet.hosts().get(*host).is_some_and(|host| host.cluster == *cluster)
    };
    let carriers: Vec<String> = fleet
        .hosts_with(network)
        .filter(in_cluster)
        .map(|host| EntityId::NetworkAttachment(host.clone(), network.clone()).to_string())
        .collect();
    if !carriers.is_empty() {
        let message = format!("hosts of cluster {cluster} carry network {network}: {}", enumerate(&carriers));
        findings.push(
            spot.error(Code::NetworkNotInCluster, "name", message)
                .related(carriers)
                .remedy("remove the network from the hosts first"),
        );
    }
    if attachment.management {
        let hosts: Vec<_> = fleet.hosts_in(cluster).map(|host| EntityId::Host(host.clone()).to_string()).collect();
        findings.extend(spot.in_use("name", hosts));
    }
    let of_cluster = |vnic: &&Vnic| fleet.vms().get(&vnic.vm).is_some_and(|vm| vm.cluster == *cluster);
    findings.extend(spot.in_use("name", Named::vnics(fleet.vnics_on(network).filter(of_cluster))));
    findings
}

fn managed(
    attachment: &ClusterNetwork,
    cluster: &Cluster,
    network: &Network,
    fleet: &Fleet,
    spot: &Spot,
) -> Vec<Finding> {
    let before = fleet.cluster_networks().get(&(attachment.cluster.clone(), attachment.network.clone()));
    let step = if before.is_none() { Step::Into } else { Step::Within };
    let mut findings = matrix::unsafe_profiles(fleet, network, Some(cluster), (step, Fix::Leave), spot, NAME);
    findings.extend(matrix::bypassing(fleet, network, spot, NAME));
    findings.extend(matrix::failing_over(fleet, network, spot, NAME));
    findings.extend(matrix::switch_type([cluster], [network], spot, NAME));
    findings.extend(matrix::contradicting_networks([network], spot, NAME));
    if before.is_none() {
        findings.extend(matrix::tagging_unknown(fleet, network, spot, NAME));
        findings.extend(matrix::mirroring(fleet, network, spot, NAME));
        findings.extend(matrix::nested(fleet, network, spot, NAME));
        findings.extend(matrix::plugged_twice(fleet, network, spot, NAME));
        let is_in = |host: &HostName| fleet.hosts().get(host).is_some_and(|host| host.cluster == cluster.id);
        findings.extend(matrix::reported_spoofers(fleet, network, (is_in, Fix::Leave), spot, NAME));
        findings.extend(matrix::reported_duplicates(fleet, network, is_in, spot, NAME));
        findings.extend(matrix::duplicates_possible(fleet, [&cluster.id], spot, NAME));
    }
    let had_management = before.is_some_and(|before| before.has(NetworkRole::Management));
    if attachment.has(NetworkRole::Management) && !had_management {
        let clusters = vec![EntityId::Cluster(cluster.id.clone()).to_string()];
        findings.extend(matrix::management(network, clusters, spot, MANAGEMENT));
    }
    let severity = match (attachment.is_required(), before) {
        (true, Some(before)) if before.is_required() => None,
        (true, _) => Some(Severity::Error),
        (false, None) => Some(Severity::Warning),
        (false, Some(_)) => None,
    };
    if attachment.is_required() {
        let hosts: Vec<&HostName> = fleet.hosts_in(&cluster.id).collect();
        findings.extend(matrix::guests(fleet, network, &hosts, spot, REQUIRED));
    }
    if let Some(severity) = severity {
        let incapable = Incapable::among(fleet, fleet.hosts_in(&cluster.id));
        findings.extend(incapable.finding(severity, spot, REQUIRED, &[]));
    }
    findings
}
