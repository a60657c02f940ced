//! Roles of a cluster's networks: who has one, who loses it, and what hosts owe a network with one.

use trestle_model::fleet::{
    ClusterNetwork, Entity, EntityId, Fleet, Host, Mutation, NetworkAttachment, NetworkRole, RoleHolder,
};
use trestle_model::{Code, Finding};

use crate::cluster_network::MANAGEMENT;
use crate::network_attachment::{DEFAULT_ROUTE, IPV4};
use crate::spot::{Spot, enumerate};

/// Evaluates the roles that a network is given in a cluster, and those that it is given no more.
pub(crate) fn given(attachment: &ClusterNetwork, fleet: &Fleet, spot: &Spot) -> Vec<Finding> {
    let before = fleet.cluster_networks().get(&(attachment.cluster.clone(), attachment.network.clone()));
    let is_new = |role: &NetworkRole| !before.is_some_and(|before| before.has(*role));
    let mut findings: Vec<Finding> =
        attachment.roles().filter_map(|role| taken_from(attachment, role, fleet, spot)).collect();
    findings.extend(without_address(attachment, fleet, spot));
    if attachment.roles().filter(is_new).any(|role| role == NetworkRole::DefaultRoute) {
        findings.extend(default_routes_elsewhere(attachment, fleet, spot));
    }
    if before.is_some_and(|before| before.has(NetworkRole::Management)) && !attachment.has(NetworkRole::Management) {
        let hosts: Vec<_> =
            fleet.hosts_in(&attachment.cluster).map(|host| EntityId::Host(host.clone()).to_string()).collect();
        let needed = spot.in_use(MANAGEMENT, hosts);
        findings.extend(
            needed.map(|finding| finding.remedy("give the role to another network, which takes it from this one")),
        );
    }
    findings
}

/// Returns the networks that lose roles to `attachment`, as they are without.
pub(crate) fn taken(attachment: &ClusterNetwork, fleet: &Fleet) -> Vec<Mutation> {
    let holds =
        |other: &&ClusterNetwork| other.network != attachment.network && attachment.roles().any(|role| other.has(role));
    let others = fleet.networks_of(&attachment.cluster).filter(holds);
    others.map(|other| Mutation::Put(Entity::ClusterNetwork(other.clone().without_roles_of(attachment)))).collect()
}

/// Evaluates a network on a host of a cluster by the roles there.
pub(crate) fn on_host(attachment: &NetworkAttachment, host: &Host, fleet: &Fleet, spot: &Spot) -> Vec<Finding> {
    let mut findings = Vec::new();
    let place = fleet.cluster_networks().get(&(host.cluster.clone(), attachment.network.clone()));
    if let Some(place) = place.filter(|_| !attachment.has_address())
        && let Some(finding) = lacking(place, Vec::new(), spot, IPV4)
    {
        findings.push(finding);
    }
    let before = fleet.attachments().get(&(attachment.host.clone(), attachment.network.clone()));
    if attachment.default_route && !before.is_some_and(|before| before.default_route) {
        findings.extend(default_route_here(attachment, host, fleet, spot));
    }
    findings
}

/// A host that comes to a cluster has addresses on the networks with roles there.
pub(crate) fn without_address_in(host: &Host, fleet: &Fleet, spot: &Spot, field: &str) -> Vec<Finding> {
    let bare = fleet.attachments_of(&host.id).filter(|attachment| !attachment.has_address());
    let lacks = |attachment: &NetworkAttachment| {
        let place = fleet.cluster_networks().get(&(host.cluster.clone(), attachment.network.clone()))?;
        lacking(place, vec![name_on_host(attachment)], spot, field)
    };
    bare.filter_map(lacks).collect()
}

fn taken_from(attachment: &ClusterNetwork, role: NetworkRole, fleet: &Fleet, spot: &Spot) -> Option<Finding> {
    let mut others = fleet.networks_of(&attachment.cluster);
    let holder = others.find(|other| other.network != attachment.network && other.has(role))?;
    let name = name_in_cluster(holder);
    let message = format!("the {role} role is taken from {name}: a cluster has one {role} network");
    let finding = spot.warning(Code::RoleTaken, &field(role), message).related([name]);
    Some(finding.remedy("acknowledge it, or leave the role where it is"))
}

fn without_address(attachment: &ClusterNetwork, fleet: &Fleet, spot: &Spot) -> Option<Finding> {
    let role = attachment.roles().next()?;
    let in_cluster = |on_host: &&NetworkAttachment| {
        fleet.hosts().get(&on_host.host).is_some_and(|host| host.cluster == attachment.cluster)
    };
    let carriers = fleet.hosts_with(&attachment.network);
    let bare = carriers
        .filter_map(|host| fleet.attachments().get(&(host.clone(), attachment.network.clone())))
        .filter(|on_host| !on_host.has_address())
        .filter(in_cluster);
    let bare: Vec<String> = bare.map(name_on_host).collect();
    if bare.is_empty() { None } else { lacking(attachment, bare, spot, &field(role)) }
}

/// Makes the finding that hosts have no address on the network; `None` where it has no role.
pub(crate) fn lacking(place: &ClusterNetwork, bare: Vec<String>, spot: &Spot, field: &str) -> Option<Finding> {
    let roles: Vec<String> = place.roles().map(|role| role.to_string()).collect();
    if roles.is_empty() {
        return None;
    }
    let mut message =
        format!("network {} has the {} role in cluster {}, ", place.network, roles.join(" and "), place.cluster);
    message += &if bare.is_empty() {
        "and needs an address of the host".to_owned()
    } else {
        format!("and hosts have no address on it: {}", enumerate(&bare))
    };
    let finding = spot.error(Code::RoleWithoutAddress, field, message);
    let related = bare.into_iter().chain([name_in_cluster(place)]).filter(|name| !spot.is_about(name));
    Some(
        finding
            .related(related)
            .remedy("give the host an address on it, static or by DHCP, or the role to another network"),
    )
}

/// Hosts whose default route goes elsewhere, as they are told one by one.
fn default_routes_elsewhere(attachment: &ClusterNetwork, fleet: &Fleet, spot: &Spot) -> Option<Finding> {
    let routes = fleet.hosts_in(&attachment.cluster).flat_map(|host| fleet.attachments_of(host));
    let elsewhere = routes.filter(|route| route.default_route && route.network != attachment.network);
    let elsewhere: Vec<String> = elsewhere.map(name_on_host).collect();
    (!elsewhere.is_empty()).then(|| {
        let message = format!("default routes of hosts stay on other networks: {}", enumerate(&elsewhere));
        let finding = spot.warning(Code::DefaultRouteElsewhere, &field(NetworkRole::DefaultRoute), message);
        finding.related(elsewhere).remedy("move default_route of the hosts' attachments, too")
    })
}

fn default_route_here(attachment: &NetworkAttachment, host: &Host, fleet: &Fleet, spot: &Spot) -> Option<Finding> {
    let holder = match fleet.role_holder(&host.cluster, NetworkRole::DefaultRoute)? {
        RoleHolder::Given(holder) => holder,
        // Nobody said where the default route is to be.
        RoleHolder::ByDefault(_) => return None,
    };
    (holder.network != attachment.network).then(|| {
        let message = format!("default routes of cluster {} are to be on network {}", host.cluster, holder.network);
        let finding = spot.warning(Code::DefaultRouteElsewhere, DEFAULT_ROUTE, message);
        finding.related([name_in_cluster(holder)]).remedy("give the default route to that network, or acknowledge it")
    })
}

fn field(role: NetworkRole) -> String {
    format!("cluster_network.spec.{}", role.name())
}

fn name_in_cluster(place: &ClusterNetwork) -> String {
    EntityId::ClusterNetwork(place.cluster.clone(), place.network.clone()).to_string()
}

fn name_on_host(attachment: &NetworkAttachment) -> String {
    EntityId::NetworkAttachment(attachment.host.clone(), attachment.network.clone()).to_string()
}
