//! DHCP: which clients a network needs, and what the lease of one means for the kernel.
//!
//! A client is started and stopped by steps, like everything else. Its lease comes when a server gives it, and means an
//! address and routes; those come and go with the lease, and are nobody's wish: no plan adds or removes them.

use std::net::IpAddr;

use ipnet::IpNet;
use trestle_model::{
    AcceptRa, Address, AddressOrigin, DhcpClient, DhcpClientSpec, HostConfig, HostState, IfName, IpFamily, Ipv4Config,
    Lease, NetworkSpec, ResolverNames, Route, Rule,
};

use crate::composition::{SOURCE_PRIORITY, any};
use crate::difference::{is_advertised_default, is_default};
use crate::target::{DhcpTarget, LinkWanted, RouteTarget};
use crate::{AutoconfChange, DhcpStep, Drift, Step, Target, ownership};

/// The protocol number of routes that leases mean, by which Trestle knows them again.
///
/// Not the kernel's number for DHCP (16): other programs' clients use that one, and their routes make way.
pub const LEASE_PROTOCOL: u8 = 117;

const LEASE_METRIC: u32 = 0;
/// The metric that the kernel gives a default route that a router advertises (`IP6_RT_PRIO_USER`).
const ADVERTISED_METRIC: u32 = 1024;
const SCOPE_LINK: u8 = 253;

/// What a lease means for the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseMeaning {
    /// The address on the client's device.
    pub address: Address,
    /// Routes through the device: those on the link first, default routes last.
    pub routes: Vec<Route>,
    /// Rules by which what leaves from the address goes by its network's own gateway.
    pub rules: Vec<Rule>,
    /// Name servers and search domains that become the host's, best first.
    pub names: ResolverNames,
}

/// Returns what a client's lease means for the kernel; `None` without a lease.
pub fn meaning(client: &DhcpClient) -> Option<LeaseMeaning> {
    let lease = client.lease.as_ref()?;
    let broadcast = match lease.address {
        // A prefix of 31 or 32 bits has no broadcast address (RFC 3021).
        IpNet::V4(net) if net.prefix_len() < 31 => Some(net.broadcast().into()),
        IpNet::V4(_) | IpNet::V6(_) => None,
    };
    let address = Address {
        net: lease.address,
        origin: AddressOrigin::Dynamic,
        broadcast,
        label: None,
        scope: 0,
        no_prefix_route: false,
    };
    let (routes, rules) = (routes(&client.spec, lease), rules(&client.spec, lease));
    Some(LeaseMeaning { address, routes, rules, names: names(&client.spec, lease) })
}

/// Returns the names that leases mean for the host, each client's with its device.
pub(crate) fn leased_names(clients: &[DhcpClient]) -> impl Iterator<Item = (IfName, ResolverNames)> {
    let meant = clients.iter().filter_map(|client| Some((client.spec.link.clone(), meaning(client)?.names)));
    meant.filter(|(_, names)| !names.is_empty())
}

/// Returns what of `target` waits for a server or a router: the devices whose default route is to come with a lease or
/// an advertisement, and that have none yet.
///
/// IPv6 is waited for where no IPv4 gateway is to come. It is no drift, since no step can mend it; a change of the
/// network that the host is reached by waits for it.
pub fn missing_leases(target: &Target, observed: &HostState) -> Vec<Drift> {
    let mut missing = Vec::new();
    for (name, wanted) in target.present() {
        let clients = match &wanted.dhcp {
            DhcpTarget::Leave => &[][..],
            DhcpTarget::Exactly(clients) => clients.as_slice(),
        };
        let owning = |family| clients.iter().find(move |spec| spec.default_route && spec.family == family);
        if let Some(spec) = owning(IpFamily::Ipv4) {
            missing.extend(missing_lease(spec, observed));
        } else if is_routed_by_advertisement(wanted) {
            let by_lease = owning(IpFamily::Ipv6).filter(|_| wanted.autoconf.autoconf != Some(true));
            missing.extend(by_lease.and_then(|spec| missing_lease(spec, observed)));
            let routes = &observed.kernel.routes;
            if !routes.iter().any(|route| &route.device == name && is_advertised_default(route)) {
                missing.push(absent(name, "IPv6 default router", Some("no router has answered")));
            }
        }
    }
    missing
}

fn missing_lease(spec: &DhcpClientSpec, observed: &HostState) -> Option<Drift> {
    let client = observed.dhcp.iter().find(|client| client.spec.rivals(spec));
    let is_applied = client.and_then(|client| client.lease.as_ref()).is_some_and(|lease| {
        let link = observed.kernel.links.get(&spec.link);
        link.is_some_and(|link| link.addresses.iter().any(|address| address.net == lease.address))
    });
    let problem = client.and_then(|client| client.problem.as_deref());
    (!is_applied).then(|| absent(&spec.link, &format!("{} lease", spec.family), problem))
}

fn absent(link: &IfName, field: &str, problem: Option<&str>) -> Drift {
    Drift {
        object: format!("link {link}"),
        field: field.to_owned(),
        expected: "present".to_owned(),
        actual: problem.map_or_else(|| "absent".to_owned(), |problem| format!("absent, {problem}")),
    }
}

/// Tells whether a device has no other default route to wait for than one that a router advertises.
fn is_routed_by_advertisement(wanted: &LinkWanted) -> bool {
    let is_given = match &wanted.routes {
        RouteTarget::Leave | RouteTarget::Without(_) => true,
        RouteTarget::Network(routes) | RouteTarget::Exactly(routes) => routes.iter().any(is_default),
    };
    let AutoconfChange { accept_ra, accept_ra_defrtr, .. } = wanted.autoconf;
    !is_given && accept_ra == Some(AcceptRa::Always) && accept_ra_defrtr == Some(true)
}

/// Returns the steps that start the clients of a configuration again after the agent was away: those whose device is
/// there, and that do not run.
pub fn resumption(running: &HostConfig, observed: &HostState) -> Vec<Step> {
    let owed = running.specs().flat_map(clients).filter(|spec| {
        observed.kernel.links.contains_key(&spec.link) && !observed.dhcp.iter().any(|client| client.spec == *spec)
    });
    owed.map(|spec| DhcpStep::Start(spec).into()).collect()
}

/// Returns the clients that a network needs, by family.
pub(crate) fn clients(spec: &NetworkSpec) -> Vec<DhcpClientSpec> {
    let Some(link) = spec.top_device() else { return Vec::new() };
    let segment: IfName = spec.uplink().unwrap_or_else(|| link.clone());
    let source_table = (!spec.default_route).then(|| ownership::source_table(&spec.name));
    let client = |family| DhcpClientSpec {
        link: link.clone(),
        family,
        segment: segment.clone(),
        default_route: spec.default_route,
        // The gateway of IPv6 is a router's, and what it means is told by its advertisements.
        source_table: source_table.filter(|_| family == IpFamily::Ipv4),
        nameservers: spec.default_route && spec.nameservers.is_empty(),
        search_domains: spec.default_route && spec.search_domains.is_empty(),
    };
    let mut clients = Vec::new();
    if spec.ipv4 == Ipv4Config::Dhcp {
        clients.push(client(IpFamily::Ipv4));
    }
    if spec.ipv6.leases() {
        clients.push(client(IpFamily::Ipv6));
    }
    clients
}

/// Returns destination and metric of the default routes that a network's lease, or a router, may bring.
pub(crate) fn coming_defaults(spec: &NetworkSpec) -> Vec<(IpNet, u32)> {
    let by_lease = (spec.ipv4 == Ipv4Config::Dhcp).then_some((any(true), LEASE_METRIC));
    let by_router = spec.ipv6.hears_routers().then_some((any(false), ADVERTISED_METRIC));
    by_lease.into_iter().chain(by_router).filter(|_| spec.default_route).collect()
}

/// Returns the routes of a lease: its own, else by its first gateway; a default route only where it is asked for. A
/// network with a table of its own has them all there, too, with the prefix of the address.
fn routes(spec: &DhcpClientSpec, lease: &Lease) -> Vec<Route> {
    let route = |destination: IpNet, gateway| Route {
        destination,
        gateway,
        device: spec.link.clone(),
        metric: LEASE_METRIC,
        preferred_source: None,
        protocol: LEASE_PROTOCOL,
        table: Route::MAIN,
        scope: if gateway.is_none() { SCOPE_LINK } else { 0 },
    };
    let mut routes: Vec<Route> = if lease.routes.is_empty() {
        let default = any(spec.family == IpFamily::Ipv4);
        lease.gateways.iter().take(1).map(|gateway| route(default, Some(*gateway))).collect()
    } else {
        lease.routes.iter().map(|given| route(given.destination.trunc(), given.next_hop)).collect()
    };
    let mut own: Vec<Route> = Vec::new();
    if let Some(table) = source_table(spec, lease) {
        let prefix = Some(lease.address.trunc()).filter(|prefix| prefix.prefix_len() < prefix.max_prefix_len());
        let all = prefix.map(|prefix| route(prefix, None)).into_iter().chain(routes.iter().cloned());
        own.extend(all.map(|route| Route { table, ..route }));
    }
    routes.retain(|route| spec.default_route || route.destination.prefix_len() > 0);
    routes.append(&mut own);
    routes.sort_by_key(|route| (route.gateway.is_some(), u8::MAX - route.destination.prefix_len()));
    routes.dedup();
    routes
}

/// Returns the table of a client's network, where the lease brings the gateway that it is for.
fn source_table(spec: &DhcpClientSpec, lease: &Lease) -> Option<u32> {
    let by_route = lease.routes.iter().any(|route| route.destination.prefix_len() == 0 && route.next_hop.is_some());
    let has_gateway = if lease.routes.is_empty() { !lease.gateways.is_empty() } else { by_route };
    spec.source_table.filter(|_| has_gateway)
}

fn rules(spec: &DhcpClientSpec, lease: &Lease) -> Vec<Rule> {
    let source = IpNet::from(lease.address.addr());
    let rule = |table| Rule { source, table, priority: SOURCE_PRIORITY, protocol: LEASE_PROTOCOL };
    source_table(spec, lease).map(rule).into_iter().collect()
}

/// Returns the names of a lease that are legal and not the network's own affair; an IPv6 link-local server is on the
/// client's link.
fn names(spec: &DhcpClientSpec, lease: &Lease) -> ResolverNames {
    let named = |server: &IpAddr| match server {
        IpAddr::V6(address) if address.is_unicast_link_local() => format!("{address}%{}", spec.link).parse().ok(),
        IpAddr::V4(_) | IpAddr::V6(_) => server.to_string().parse().ok(),
    };
    let servers = lease.nameservers.iter().filter(|_| spec.nameservers).filter_map(named).collect();
    let domains = lease.search.iter().filter(|_| spec.search_domains);
    ResolverNames { servers, search: domains.filter_map(|domain| domain.parse().ok()).collect() }
}

#[cfg(test)]
mod tests;
