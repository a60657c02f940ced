//! Rules for a network on a host's NIC.

use trestle_model::fleet::{EntityId, Fleet, Host, Network, NetworkAttachment};
use trestle_model::{Code, Finding, HostName, Ipv4Config, Ipv6Config, Mtu, NetworkName, Severity};

use crate::matrix::{self, Fix, Incapable};
use crate::placement::Placement;
use crate::roles;
use crate::spot::{Named, Spot, enumerate};

const NAME: &str = "network_attachment.name";
const NIC: &str = "network_attachment.spec.nic";
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
        findings.extend(devices(Placement { network, attachment }, fleet, &spot));
    }
    if let (Some(host), Some(network)) = (host, network) {
        findings.extend(in_cluster(host, network, fleet, &spot));
        findings.extend(roles::on_host(attachment, host, fleet, &spot));
        if network.is_managed() {
            findings.extend(managed(attachment, host, network, fleet, &spot));
        }
    }
    findings
}

/// Evaluates the removal of a network from a host: refused while a VM that runs there is plugged into it.
pub(crate) fn delete(host: &HostName, network: &NetworkName, fleet: &Fleet) -> Vec<Finding> {
    let vnics = fleet.vms_on(host).flat_map(|vm| fleet.vnics_of(*vm));
    let on_network = vnics.filter(|vnic| vnic.plugged && vnic.profile.as_ref().is_some_and(|(n, _)| n == network));
    let spot = Spot::new(EntityId::NetworkAttachment(host.clone(), network.clone()));
    spot.in_use("name", Named::vnics(on_network)).into_iter().collect()
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

fn devices(placement: Placement<'_>, fleet: &Fleet, spot: &Spot) -> Vec<Finding> {
    let Placement { network, attachment } = placement;
    let mut findings = Vec::new();
    if attachment.nic.is_none() {
        findings.extend(without_nic(network, spot));
    }
    let sharing = placement.sharing_uplink(fleet);
    if !sharing.is_empty() {
        let message = format!("the NIC carries {} in the same VLAN, or untagged like this one", enumerate(&sharing));
        findings.push(
            spot.error(Code::SouthboundTaken, NIC, message)
                .related(sharing)
                .remedy("use another NIC, or give the networks different VLANs"),
        );
    }
    let sharing = placement.sharing_bridge_name(fleet);
    if !sharing.is_empty() {
        let message = format!("a bridge would have the name of another device of {}", enumerate(&sharing));
        findings.push(
            spot.error(Code::BridgeNameTaken, NIC, message)
                .related(sharing)
                .remedy("give the network a bridge_name of its own"),
        );
    }
    let sharing = placement.sharing_address(fleet);
    if !sharing.is_empty() {
        let field = if attachment.ipv4 == Ipv4Config::None { IPV6 } else { IPV4 };
        let message = format!("an address is also configured on {}", enumerate(&sharing));
        findings.push(spot.error(Code::AddressTaken, field, message).related(sharing));
    }
    if attachment.ipv6 != Ipv6Config::None && network.mtu < Mtu::IPV6_LEAST {
        let message = format!("IPv6 needs an MTU of {}, network {} has {}", Mtu::IPV6_LEAST, network.id, network.mtu);
        findings.push(
            spot.error(Code::MtuOutOfRange, IPV6, message)
                .related([EntityId::Network(network.id.clone()).to_string()])
                .remedy("raise the network's MTU, or leave IPv6 out"),
        );
    }
    findings
}

fn without_nic(network: &Network, spot: &Spot) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !network.vm_network {
        let message = format!("network {} has no bridge and so needs a NIC to stand on", network.id);
        findings.push(spot.error(Code::BridgelessWithoutSouthbound, NIC, message).remedy("name a NIC of the host"));
    }
    if let Some(vlan) = network.vlan {
        let message = format!("network {} has VLAN {vlan}, which needs a NIC", network.id);
        findings.push(spot.error(Code::VlanWithoutSouthbound, NIC, message).remedy("name a NIC of the host"));
    }
    findings
}

fn managed(attachment: &NetworkAttachment, host: &Host, network: &Network, fleet: &Fleet, spot: &Spot) -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        matrix::switch_type(fleet.clusters().get(&host.cluster), [network], spot, NAME).into_iter().collect();
    findings.extend(matrix::contradicting_networks([network], spot, NAME));
    findings.extend(matrix::extra_macs(fleet, fleet.vnics_on(&network.id), [&host.id], spot, NAME));
    findings.extend(matrix::guest_vlans(fleet, network, fleet.profiles_of(&network.id), [&host.id], spot, NAME));
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
