//! Rules for a network on a host.

mod devices;
mod wish;

use trestle_model::fleet::{EntityId, Fleet, Host, Network, NetworkAttachment, Vnic};
use trestle_model::{Code, Finding, HostName, Ipv4Config, Ipv6Config, NetworkName, Severity, Southbound};

pub(crate) use self::devices::devices;
pub(crate) use self::wish::overcommitted;
use crate::labels;
use crate::layout::{Layout, Placement};
use crate::matrix::{self, Fix, Incapable};
use crate::roles;
use crate::spot::{Named, Spot, enumerate};

const NAME: &str = "network_attachment.name";
const NIC: &str = "network_attachment.spec.nic";
const BOND: &str = "network_attachment.spec.bond";
pub(crate) const IPV4: &str = "network_attachment.spec.ipv4";
const IPV6: &str = "network_attachment.spec.ipv6";
const IPV4_GATEWAY: &str = "network_attachment.spec.ipv4.static.gateway";
const IPV6_GATEWAY: &str = "network_attachment.spec.ipv6.static.gateway";
pub(crate) const DEFAULT_ROUTE: &str = "network_attachment.spec.default_route";

/// Evaluates a new or changed attachment of a network to a host.
pub(crate) fn put(attachment: &NetworkAttachment, fleet: &Fleet) -> Vec<Finding> {
    let spot = Spot::new(EntityId::NetworkAttachment(attachment.host.clone(), attachment.network.clone()));
    let mut findings = default_route(attachment, fleet, &spot);
    let host = fleet.hosts().get(&attachment.host);
    if host.is_none() {
        findings.push(spot.missing(NAME, &EntityId::Host(attachment.host.clone())));
    }
    let network = fleet.networks().get(&attachment.network);
    if network.is_none() {
        findings.push(spot.missing(NAME, &EntityId::Network(attachment.network.clone())));
    }
    if let Some(network) = network {
        let (placement, layout) = (Placement { network, attachment }, Layout::of(fleet, &attachment.host));
        findings.extend(devices(placement, &layout, southbound_field(attachment), &spot));
        findings.extend(devices::addresses(placement, &layout, &spot));
        findings.extend(wish::routes(placement, &layout, &spot));
    }
    findings.extend(wish::dns(attachment, &spot));
    findings.extend(wish::rates(attachment, &spot));
    if let (Some(host), Some(network)) = (host, network) {
        findings.extend(in_cluster(host, network, fleet, &spot));
        findings.extend(beside_guests(Placement { network, attachment }, host, fleet, &spot));
        findings.extend(labels::beside(attachment, host, network, fleet, &spot, southbound_field(attachment)));
    }
    findings
}

/// Judges a network on a host by its roles, and by what guests may do on it.
pub(crate) fn beside_guests(placement: Placement<'_>, host: &Host, fleet: &Fleet, spot: &Spot) -> Vec<Finding> {
    let Placement { network, attachment } = placement;
    let mut findings = roles::on_host(attachment, host, fleet, spot);
    if !fleet.attachments().contains_key(&(attachment.host.clone(), attachment.network.clone())) {
        let filters = matrix::filters_of(fleet, network, Fix::Leave);
        findings.extend(matrix::missing_filters(fleet, filters, [&host.id], (Severity::Warning, spot, NAME)));
    }
    if network.is_managed() {
        findings.extend(managed(attachment, host, network, fleet, spot));
    }
    findings
}

/// Evaluates the removal of a network from a host: refused while a VM that runs there is plugged into it, unless a label keeps
/// the network there; which then needs no address that a label does not give.
pub(crate) fn delete(host: &HostName, network: &NetworkName, fleet: &Fleet) -> Vec<Finding> {
    let spot = Spot::new(EntityId::NetworkAttachment(host.clone(), network.clone()));
    let stays = fleet.hosts().get(host).zip(fleet.networks().get(network));
    if let Some((host, labelled)) = stays.and_then(|(host, network)| Some((host, fleet.labelled(host, network)?))) {
        let place = fleet.cluster_networks().get(&(host.cluster.clone(), labelled.network.clone()));
        let lacking = place.filter(|_| !labelled.has_address());
        return lacking.and_then(|place| roles::lacking(place, Vec::new(), &spot, "name")).into_iter().collect();
    }
    spot.in_use("name", Named::vnics(plugged(host, network, fleet))).into_iter().collect()
}

/// Returns the vNICs that are plugged into a network on a host.
pub(crate) fn plugged<'a>(
    host: &'a HostName,
    network: &'a NetworkName,
    fleet: &'a Fleet,
) -> impl Iterator<Item = &'a Vnic> {
    let vnics = fleet.vms_on(host).flat_map(|vm| fleet.vnics_of(*vm));
    vnics.filter(move |vnic| vnic.plugged && vnic.profile.as_ref().is_some_and(|(n, _)| n == network))
}

/// Returns the field that says what an attachment stands on.
const fn southbound_field(attachment: &NetworkAttachment) -> &'static str {
    match attachment.southbound {
        None | Some(Southbound::Nic(_)) => NIC,
        Some(Southbound::Bond(_)) => BOND,
    }
}

fn in_cluster(host: &Host, network: &Network, fleet: &Fleet, spot: &Spot) -> Option<Finding> {
    if fleet.cluster_networks().contains_key(&(host.cluster.clone(), network.id.clone())) {
        return None;
    }
    let message = format!("network {} is not attached to the host's cluster, {}", network.id, host.cluster);
    Some(
        spot.error(Code::NetworkNotInCluster, NAME, message)
            .related([EntityId::Cluster(host.cluster.clone()).to_string()])
            .remedy("attach the network to the cluster first"),
    )
}

fn default_route(attachment: &NetworkAttachment, fleet: &Fleet, spot: &Spot) -> Vec<Finding> {
    let gateways = gateway_fields(attachment);
    if !attachment.default_route {
        let message = "a gateway is used only where the network owns the host's default route";
        let finding = |field| {
            spot.error(Code::GatewayWithoutDefaultRoute, field, message)
                .remedy("set default_route, or leave the gateway out")
        };
        return gateways.into_iter().map(finding).collect();
    }
    let mut findings = Vec::new();
    if gateways.is_empty() && !leases_gateway(attachment) {
        findings.push(
            spot.error(Code::DefaultRouteWithoutGateway, DEFAULT_ROUTE, "the default route needs a gateway")
                .remedy("give a static address with a gateway, or let DHCP give one"),
        );
    }
    let owners: Vec<String> = fleet
        .attachments_of(&attachment.host)
        .filter(|other| other.default_route && other.network != attachment.network)
        .map(|other| EntityId::NetworkAttachment(other.host.clone(), other.network.clone()).to_string())
        .collect();
    if !owners.is_empty() {
        let message = format!("the host's default route belongs to {}", enumerate(&owners));
        findings.push(
            spot.error(Code::DefaultRouteTaken, DEFAULT_ROUTE, message)
                .related(owners)
                .remedy("take the default route from the other network first"),
        );
    }
    findings
}

fn gateway_fields(attachment: &NetworkAttachment) -> Vec<&'static str> {
    let ipv4 = match &attachment.ipv4 {
        Ipv4Config::Static(config) => config.gateway().map(|_| IPV4_GATEWAY),
        Ipv4Config::None | Ipv4Config::Dhcp => None,
    };
    let ipv6 = match &attachment.ipv6 {
        Ipv6Config::Static(config) => config.gateway().map(|_| IPV6_GATEWAY),
        Ipv6Config::None | Ipv6Config::Auto | Ipv6Config::Dhcp | Ipv6Config::AutoAndDhcp => None,
    };
    ipv4.into_iter().chain(ipv6).collect()
}

/// Tells whether a DHCP server or a router may give the gateway.
fn leases_gateway(attachment: &NetworkAttachment) -> bool {
    attachment.ipv4 == Ipv4Config::Dhcp || attachment.ipv6.hears_routers()
}

fn managed(attachment: &NetworkAttachment, host: &Host, network: &Network, fleet: &Fleet, spot: &Spot) -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        matrix::switch_type(fleet.clusters().get(&host.cluster), [network], spot, NAME).into_iter().collect();
    findings.extend(matrix::contradicting_networks([network], spot, NAME));
    findings.extend(matrix::guests(fleet, network, &[&host.id], spot, NAME));
    findings.extend(matrix::locked(fleet, network, [&host.id], spot, NAME));
    let is_new = !fleet.attachments().contains_key(&(attachment.host.clone(), attachment.network.clone()));
    if is_new {
        let severity = if host.maintenance { Severity::Warning } else { Severity::Error };
        findings.extend(Incapable::among(fleet, [&host.id]).finding(severity, spot, NAME, &[]));
        let filters = matrix::filters_of(fleet, network, Fix::Leave);
        findings.extend(matrix::weak_filters(fleet, filters, [&host.id].into_iter(), spot, NAME));
        let is_here = |other: &HostName| *other == host.id;
        findings.extend(matrix::reported_spoofers(fleet, network, (is_here, Fix::Leave), spot, NAME));
        findings.extend(matrix::reported_duplicates(fleet, network, is_here, spot, NAME));
    }
    findings
}
