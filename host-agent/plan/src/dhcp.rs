//! DHCP: which clients a network needs, and what the lease of one means for the kernel.
//!
//! A client is started and stopped by steps, like everything else. Its lease comes when a server gives it, and means an
//! address and routes; those come and go with the lease, and are nobody's wish: no plan adds or removes them.

use ipnet::IpNet;
use trestle_model::{
    Address, AddressOrigin, DhcpClient, DhcpClientSpec, HostConfig, HostState, IfName, IpFamily, Ipv4Config, Lease,
    NetworkSpec, Route,
};

use crate::target::DhcpTarget;
use crate::{DhcpStep, Drift, Step, Target};

/// The protocol number of routes that leases mean, by which Trestle knows them again.
///
/// Not the kernel's number for DHCP (16): other programs' clients use that one, and their routes make way.
pub const LEASE_PROTOCOL: u8 = 117;

const LEASE_METRIC: u32 = 0;
const SCOPE_LINK: u8 = 253;

/// What a lease means for the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseMeaning {
    /// The address on the client's device.
    pub address: Address,
    /// Routes through the device: those on the link first, default routes last.
    pub routes: Vec<Route>,
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
    Some(LeaseMeaning { address, routes: routes(&client.spec, lease) })
}

/// Returns what of `target` waits for a server: the devices whose default route is to come with a lease, and that have
/// none yet.
///
/// It is no drift, since no step can mend it; a change of the network that the host is reached by waits for it.
pub fn missing_leases(target: &Target, observed: &HostState) -> Vec<Drift> {
    let mut missing = Vec::new();
    for (name, wanted) in target.present() {
        let DhcpTarget::Exactly(clients) = &wanted.dhcp else { continue };
        for spec in clients.iter().filter(|spec| spec.default_route) {
            let client = observed.dhcp.iter().find(|client| client.spec.rivals(spec));
            let applied = client.and_then(|client| client.lease.as_ref()).is_some_and(|lease| {
                let link = observed.kernel.links.get(name);
                link.is_some_and(|link| link.addresses.iter().any(|address| address.net == lease.address))
            });
            if !applied {
                let problem = client.and_then(|client| client.problem.clone());
                missing.push(Drift {
                    object: format!("link {name}"),
                    field: format!("{} lease", spec.family),
                    expected: "present".to_owned(),
                    actual: problem.map_or_else(|| "absent".to_owned(), |problem| format!("absent, {problem}")),
                });
            }
        }
    }
    missing
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
    let client =
        |family, default_route| DhcpClientSpec { link: link.clone(), family, segment: segment.clone(), default_route };
    let mut clients = Vec::new();
    if spec.ipv4 == Ipv4Config::Dhcp {
        clients.push(client(IpFamily::Ipv4, spec.default_route));
    }
    clients
}

/// Returns destination and metric of the default route that a network's lease may bring.
pub(crate) fn lease_default(spec: &NetworkSpec) -> Option<(IpNet, u32)> {
    let client = clients(spec).into_iter().find(|client| client.default_route)?;
    Some((default_destination(client.family)?, LEASE_METRIC))
}

/// Returns the routes of a lease: its own, else by its first gateway; a default route only where it is asked for.
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
        let default = default_destination(spec.family);
        default
            .into_iter()
            .flat_map(|any| lease.gateways.iter().take(1).map(move |gateway| (any, *gateway)))
            .map(|(any, gateway)| route(any, Some(gateway)))
            .collect()
    } else {
        lease.routes.iter().map(|given| route(given.destination.trunc(), given.next_hop)).collect()
    };
    routes.retain(|route| spec.default_route || route.destination.prefix_len() > 0);
    routes.sort_by_key(|route| (route.gateway.is_some(), u8::MAX - route.destination.prefix_len()));
    routes.dedup();
    routes
}

/// Returns the destination of the default route that a lease's gateways are for; IPv6 has it from its routers.
fn default_destination(family: IpFamily) -> Option<IpNet> {
    match family {
        IpFamily::Ipv4 => IpNet::new(std::net::Ipv4Addr::UNSPECIFIED.into(), 0).ok(),
        IpFamily::Ipv6 => None,
    }
}

#[cfg(test)]
mod tests;
