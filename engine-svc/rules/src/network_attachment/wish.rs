//! Routes, name servers and rates of an attachment: what contradicts itself, and routes that others have, too.

use std::net::IpAddr;

use trestle_model::fleet::NetworkAttachment;
use trestle_model::{Code, Finding, HostQos, Ipv4Config, Ipv6Config, StaticRoute};

use crate::layout::{Layout, Placement, names};
use crate::spot::{Spot, enumerate};

const DNS: &str = "network_attachment.spec.dns";
const HOST_QOS: &str = "network_attachment.spec.host_qos";

/// Judges the routes of an attachment, each by itself and beside those of the host's other networks.
pub(super) fn routes(placement: Placement<'_>, layout: &Layout<'_>, spot: &Spot) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (position, route) in placement.attachment.routes.iter().enumerate() {
        let (to, through) = (
            format!("network_attachment.spec.routes[{position}].destination"),
            format!("network_attachment.spec.routes[{position}].next_hop"),
        );
        if has_prefix(placement.attachment, route) {
            let message = format!("{} is the network's own prefix, and is reached directly", route.destination());
            findings.push(spot.error(Code::RouteTaken, &to, message).remedy("leave the route out"));
        }
        let rivals = |other: &Placement<'_>| other.attachment.routes.iter().any(|theirs| theirs.rivals(route));
        let taken = names(layout.neighbours(placement).filter(rivals));
        if !taken.is_empty() {
            let (destination, metric) = (route.destination(), route.metric());
            let message = format!("{destination} with metric {metric} is that of {}", enumerate(&taken));
            let finding = spot.error(Code::RouteTaken, &to, message).related(taken);
            findings.push(finding.remedy("give another metric, or remove the other route first"));
        }
        findings.extend(next_hop(placement.attachment, route, &through, spot));
    }
    findings
}

/// Judges what the host is told to resolve names with.
pub(super) fn dns(attachment: &NetworkAttachment, spot: &Spot) -> Option<Finding> {
    let given = attachment.dns.as_ref().is_some_and(|dns| !dns.is_empty());
    let message = "name servers or search domains are given for a network that does not own the host's default route";
    (given && !attachment.default_route).then(|| {
        spot.error(Code::NameserversOffDefaultRoute, DNS, message).remedy("claim default_route, or leave dns out")
    })
}

/// Judges the rates of an attachment.
pub(super) fn rates(attachment: &NetworkAttachment, spot: &Spot) -> Vec<Finding> {
    let Some(qos) = attachment.host_qos else { return Vec::new() };
    let mut findings: Vec<Finding> = overcommitted(qos, HOST_QOS, spot).into_iter().collect();
    if attachment.southbound.is_none() {
        let message = "a network that stands on nothing has nothing to share";
        let finding = spot.error(Code::QosWithoutSouthbound, HOST_QOS, message);
        findings.push(finding.remedy("name a NIC or a bond, or leave host_qos out"));
    }
    findings
}

/// Finds that more is promised than may be sent; `field` is the rates' path.
pub(crate) fn overcommitted(qos: HostQos, field: &str, spot: &Spot) -> Option<Finding> {
    let (limit, rate) = qos.upper_limit.zip(qos.committed_rate)?;
    (rate > limit).then(|| {
        let message = format!("{rate} are committed, and the network may send {limit} at most");
        spot.error(Code::QosInvalid, &format!("{field}.committed_rate_bps"), message)
            .remedy(format!("commit {limit} at most, or raise the upper limit"))
    })
}

fn has_prefix(attachment: &NetworkAttachment, route: &StaticRoute) -> bool {
    let destination = route.destination();
    let ipv4 = match &attachment.ipv4 {
        Ipv4Config::Static(ipv4) => ipv4.addresses().iter().any(|net| destination == net.trunc().into()),
        Ipv4Config::None | Ipv4Config::Dhcp => false,
    };
    let ipv6 = match &attachment.ipv6 {
        Ipv6Config::Static(ipv6) => ipv6.addresses().iter().any(|net| destination == net.trunc().into()),
        Ipv6Config::None | Ipv6Config::Auto | Ipv6Config::Dhcp | Ipv6Config::AutoAndDhcp => false,
    };
    ipv4 || ipv6
}

fn next_hop(attachment: &NetworkAttachment, route: &StaticRoute, field: &str, spot: &Spot) -> Option<Finding> {
    let hop = route.next_hop();
    let reaches = match (hop, &attachment.ipv4, &attachment.ipv6) {
        (IpAddr::V4(hop), Ipv4Config::Static(ipv4), _) => Some(ipv4.reaches(hop)),
        // Whether a lease will reach it, nobody knows.
        (IpAddr::V4(_), Ipv4Config::None | Ipv4Config::Dhcp, _) | (IpAddr::V6(_), _, Ipv6Config::None) => None,
        (IpAddr::V6(hop), _, Ipv6Config::Static(ipv6)) => Some(ipv6.reaches(hop)),
        (IpAddr::V6(hop), _, Ipv6Config::Auto | Ipv6Config::Dhcp | Ipv6Config::AutoAndDhcp) => {
            // Any device reaches its neighbours' link-local addresses.
            hop.is_unicast_link_local().then_some(true)
        }
    };
    match reaches {
        Some(true) => None,
        Some(false) => {
            let message = format!("next hop {hop} is in none of the addresses' prefixes, or is the host itself");
            let finding = spot.error(Code::GatewayNotOnLink, field, message);
            Some(finding.remedy("give a next hop inside one of the addresses' prefixes"))
        }
        None => {
            let message = format!("next hop {hop} is given, and the host has no static address that reaches it");
            let finding = spot.error(Code::GatewayWithoutAddress, field, message);
            Some(finding.remedy("give the address that reaches the next hop, or leave the route out"))
        }
    }
}
