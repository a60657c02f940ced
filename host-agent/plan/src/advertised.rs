//! What routers' advertisements mean beyond what the kernel makes of them.
//!
//! On the default-route network they name the host's name servers and search domains, after those of leases. A network
//! that does not own the default route answers through its own router (D-0050). All of it comes and goes with the
//! advertisements, and is nobody's wish: no plan adds or removes it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::{IpNet, Ipv6Net};
use trestle_model::{
    Advertised, DhcpClient, HostConfig, IfName, IpFamily, Ipv6Config, NameServer, NetworkSpec, ResolverNames, Route,
    Rule,
};

use crate::composition::{SOURCE_PRIORITY, any, static_route};
use crate::dhcp::{LEASE_PROTOCOL, leased_names};
use crate::ownership;

/// The metric that the kernel gives an IPv6 route for which none is asked.
const METRIC: u32 = 1024;

/// Names that become the host's for as long as whoever gave them keeps to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamesMeant {
    /// The device through which the name servers are asked: that of the default-route network.
    pub device: IfName,
    /// The name servers and search domains.
    pub names: ResolverNames,
}

/// The tables of networks that answer through routers of their own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Steering {
    /// Routes of these tables: those on the link first, default routes last.
    pub routes: Vec<Route>,
    /// Rules that lead to them.
    pub rules: Vec<Rule>,
}

/// Returns the devices on which routers are to be heard, each with the device by which it leaves the host.
pub fn attended(running: &HostConfig) -> BTreeMap<IfName, IfName> {
    let heard = running.specs().filter(|spec| spec.ipv6.hears_routers());
    heard.filter_map(|spec| Some((spec.top_device()?, spec.uplink().or_else(|| spec.top_device())?))).collect()
}

/// Returns the names that leases, then routers, mean for the host, as many as resolvers look at; `None` for none.
///
/// Routers name them where the running configuration lets them make addresses, and for what the network does not name
/// itself.
pub fn names_meant(clients: &[DhcpClient], running: &HostConfig, advertised: &[Advertised]) -> Option<NamesMeant> {
    let mut names = ResolverNames::default();
    let mut device = None;
    // All are of the one network that owns the default route.
    for (link, leased) in leased_names(clients) {
        device.get_or_insert(link);
        add(&mut names, leased);
    }
    for spec in running.specs().filter(|spec| spec.default_route && makes_addresses(spec)) {
        let Some(top) = spec.top_device() else { continue };
        for told in advertised.iter().filter(|told| told.link == top) {
            let more = told_names(spec, told);
            if !more.is_empty() {
                device.get_or_insert_with(|| top.clone());
                add(&mut names, more);
            }
        }
    }
    device.map(|device| NamesMeant { device, names })
}

/// Returns the tables of the running configuration's networks that hear routers and do not own the default route.
///
/// *Shape*: what leaves from the prefixes that routers let hosts make addresses of, or from an address of DHCPv6, goes by the
/// best router: the one of the highest preference, else of the lowest address.
pub fn steering(clients: &[DhcpClient], running: &HostConfig, advertised: &[Advertised]) -> Steering {
    let mut steering = Steering::default();
    for spec in running.specs().filter(|spec| !spec.default_route && spec.ipv6.hears_routers()) {
        let Some(device) = spec.top_device() else { continue };
        let heard: Vec<&Advertised> = advertised.iter().filter(|told| told.link == device).collect();
        let routers = heard.iter().filter_map(|told| Some((told.preference?, Reverse(told.router))));
        let Some((_, Reverse(router))) = routers.max() else { continue };
        let table = ownership::source_table(&spec.name);
        let route = |destination: IpNet, gateway| Route {
            destination,
            gateway,
            device: device.clone(),
            metric: METRIC,
            preferred_source: None,
            protocol: LEASE_PROTOCOL,
            table,
            scope: 0,
        };
        let near: BTreeSet<Ipv6Net> = heard.iter().flat_map(|told| told.on_link.iter().copied()).collect();
        steering.routes.extend(near.iter().map(|net| route(IpNet::V6(*net), None)));
        let far = spec.routes.iter().filter(|given| given.next_hop().is_ipv6());
        let far = far.filter_map(|given| static_route(spec, given));
        steering.routes.extend(far.map(|route| Route { protocol: LEASE_PROTOCOL, table, ..route }));
        steering.routes.push(route(any(false), Some(IpAddr::V6(router))));

        let made = heard.iter().filter(|_| makes_addresses(spec)).flat_map(|told| told.autonomous.iter().copied());
        let leases = clients.iter().filter(|client| client.spec.link == device && client.spec.family == IpFamily::Ipv6);
        let leased = leases.filter_map(|client| client.lease.as_ref()).map(|lease| IpNet::from(lease.address.addr()));
        let sources: BTreeSet<IpNet> = made.map(IpNet::V6).chain(leased).collect();
        let rule = |source| Rule { source, table, priority: SOURCE_PRIORITY, protocol: LEASE_PROTOCOL };
        steering.rules.extend(sources.into_iter().map(rule));
    }
    steering
}

/// Tells whether the kernel makes addresses of a network's advertisements.
const fn makes_addresses(spec: &NetworkSpec) -> bool {
    match spec.ipv6 {
        Ipv6Config::Auto | Ipv6Config::AutoAndDhcp => true,
        Ipv6Config::None | Ipv6Config::Static(_) | Ipv6Config::Dhcp => false,
    }
}

/// Returns what a router names and the network does not name itself; a link-local server is on the network's device.
fn told_names(spec: &NetworkSpec, told: &Advertised) -> ResolverNames {
    let server = |address: &std::net::Ipv6Addr| {
        let is_local = address.is_unicast_link_local();
        if is_local { format!("{address}%{}", told.link).parse().ok() } else { address.to_string().parse().ok() }
    };
    let servers = told.nameservers.iter().filter(|_| spec.nameservers.is_empty()).filter_map(server).collect();
    let search = told.search.iter().filter(|_| spec.search_domains.is_empty()).cloned().collect();
    ResolverNames { servers, search }
}

/// Adds names that are not there yet, as many as resolvers look at.
fn add(names: &mut ResolverNames, more: ResolverNames) {
    for server in more.servers {
        if names.servers.len() < NameServer::LIMIT && !names.servers.contains(&server) {
            names.servers.push(server);
        }
    }
    for domain in more.search {
        if names.search.len() < trestle_model::SearchDomain::LIMIT && !names.search.contains(&domain) {
            names.search.push(domain);
        }
    }
}

#[cfg(test)]
mod tests;
