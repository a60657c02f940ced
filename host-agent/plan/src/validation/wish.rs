//! What contradicts itself, whatever the host is.

use std::net::IpAddr;

use trestle_model::{
    Code, Contradiction, Finding, Ipv4Config, Ipv6Config, MacTableManager, Mtu, NetworkSpec, StaticRoute,
};

use super::{error, guest_ports, qos, sub};
use crate::composition::addresses;

pub(super) fn wish(spec: &NetworkSpec, field: &str, findings: &mut Vec<Finding>) {
    southbound(spec, field, findings);
    gateways(spec, field, findings);
    nameservers(spec, field, findings);
    routes(spec, field, findings);
    mac_table(spec, field, findings);
    guest_ports::wish(spec, field, findings);
    qos::wish(spec, field, findings);
    if spec.ipv6 != Ipv6Config::None && spec.mtu < Mtu::IPV6_LEAST {
        let message = format!("MTU {} is too small for IPv6, which needs {}", spec.mtu, Mtu::IPV6_LEAST);
        findings.push(
            error(spec, Code::MtuOutOfRange, field, "mtu", message).remedy("raise the MTU, or configure no IPv6"),
        );
    }
}

fn southbound(spec: &NetworkSpec, field: &str, findings: &mut Vec<Finding>) {
    if spec.southbound.is_some() {
        return;
    }
    if spec.bridge().is_none() {
        let message = "a network without a bridge has to stand on a NIC";
        let finding = error(spec, Code::BridgelessWithoutSouthbound, field, "nic", message);
        findings.push(finding.remedy("name a NIC, or make the network bridged"));
    }
    if spec.vlan.is_some() {
        let finding = error(spec, Code::VlanWithoutSouthbound, field, "vlan_id", "a VLAN has to stand on a NIC");
        findings.push(finding.remedy("name a NIC, or leave the VLAN out"));
    }
}

fn gateways(spec: &NetworkSpec, field: &str, findings: &mut Vec<Finding>) {
    let comes_by_itself = spec.ipv4 == Ipv4Config::Dhcp || spec.ipv6.hears_routers();
    let ipv4 = matches!(&spec.ipv4, Ipv4Config::Static(ipv4) if ipv4.gateway().is_some());
    let ipv6 = matches!(&spec.ipv6, Ipv6Config::Static(ipv6) if ipv6.gateway().is_some());
    if spec.default_route && !ipv4 && !ipv6 && !comes_by_itself {
        let message = "the network is to be the default route and has no gateway";
        let finding = error(spec, Code::DefaultRouteWithoutGateway, field, "default_route", message);
        findings.push(finding.remedy("give a gateway, or do not claim the default route"));
    }
}

fn nameservers(spec: &NetworkSpec, field: &str, findings: &mut Vec<Finding>) {
    let given = [
        ("nameservers", "name servers", spec.nameservers.is_empty()),
        ("search_domains", "search domains", spec.search_domains.is_empty()),
    ];
    for (name, what, _) in given.into_iter().filter(|(_, _, is_empty)| !is_empty && !spec.default_route) {
        let message = format!("{what} are given for a network that does not own the default route");
        let finding = error(spec, Code::NameserversOffDefaultRoute, field, name, message);
        findings.push(finding.remedy(format!("claim the default route, or leave the {what} out")));
    }
}

fn routes(spec: &NetworkSpec, field: &str, findings: &mut Vec<Finding>) {
    for (position, route) in spec.routes.iter().enumerate() {
        let name = |part: &str| format!("routes[{position}].{part}");
        if spec.routes.iter().take(position).any(|earlier| earlier.rivals(route)) {
            let message = format!("{} with metric {} is given twice", route.destination(), route.metric());
            let finding = error(spec, Code::Duplicate, field, &name("destination"), message);
            findings.push(finding.remedy("give each destination once, or with different metrics"));
        }
        if addresses(spec).iter().any(|address| address.net.trunc() == route.destination()) {
            let message = format!("{} is the network's own prefix, and is reached directly", route.destination());
            let finding = error(spec, Code::RouteTaken, field, &name("destination"), message);
            findings.push(finding.remedy("leave the route out"));
        }
        next_hop(spec, route, field, &name("next_hop"), findings);
    }
}

fn next_hop(spec: &NetworkSpec, route: &StaticRoute, field: &str, name: &str, findings: &mut Vec<Finding>) {
    let (family, reaches) = match (route.next_hop(), &spec.ipv4, &spec.ipv6) {
        (IpAddr::V4(hop), Ipv4Config::Static(ipv4), _) => ("IPv4", Some(ipv4.reaches(hop))),
        (IpAddr::V4(_), Ipv4Config::None, _) => ("IPv4", None),
        // Whether a lease will reach it, nobody knows.
        (IpAddr::V4(_), Ipv4Config::Dhcp, _) => ("static IPv4", None),
        (IpAddr::V6(hop), _, Ipv6Config::Static(ipv6)) => ("IPv6", Some(ipv6.reaches(hop))),
        (IpAddr::V6(_), _, Ipv6Config::None) => ("IPv6", None),
        (IpAddr::V6(hop), _, Ipv6Config::Auto | Ipv6Config::Dhcp | Ipv6Config::AutoAndDhcp) => {
            // Any device reaches its neighbours' link-local addresses; what else a router's prefix reaches, nobody knows.
            ("static IPv6", hop.is_unicast_link_local().then_some(true))
        }
    };
    let hop = route.next_hop();
    match reaches {
        Some(true) => {}
        Some(false) => {
            let message = format!("next hop {hop} is in none of the addresses' prefixes, or is the host itself");
            let finding = error(spec, Code::GatewayNotOnLink, field, name, message);
            findings.push(finding.remedy("give a next hop inside one of the addresses' prefixes"));
        }
        None => {
            let message = format!("next hop {hop} is given, and the network has no {family} address");
            let finding = error(spec, Code::GatewayWithoutAddress, field, name, message);
            findings.push(finding.remedy("give the address that reaches the next hop, or leave the route out"));
        }
    }
}

fn mac_table(spec: &NetworkSpec, field: &str, findings: &mut Vec<Finding>) {
    if spec.mac_table_manager != MacTableManager::Libvirt {
        return;
    }
    let Some(bridge) = spec.bridge() else {
        let field = sub(field, "manage_macs_with_libvirt");
        let message = "without a bridge there is no MAC table to manage: the setting is kept, and has no effect";
        let finding = Finding::warning(Code::NoEffectNotBridged, field, message).about(&spec.name);
        findings.push(finding.remedy("acknowledge it, or switch it off"));
        return;
    };
    for Contradiction { option, reason } in bridge.options.contradictions() {
        let finding = error(spec, Code::BridgeOptsConflict, field, &format!("bridge_options.{option}"), reason);
        findings.push(finding.remedy("leave the option out, or do not let libvirt manage the MAC table"));
    }
}
