//! A network's routes as the kernel will show them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use trestle_model::{Ipv4Config, Ipv6Config, NetworkSpec, Route, StaticRoute};

use super::sources::source_routes;
use crate::ownership::ROUTE_PROTOCOL;

/// The metric that the kernel gives an IPv6 route for which none is asked.
const METRIC_IPV6: u32 = 1024;
/// The scope of an IPv4 route without a gateway (`RT_SCOPE_LINK`).
const SCOPE_LINK: u8 = 253;

/// Returns all routes of a network, in whichever table.
pub(crate) fn routes(spec: &NetworkSpec) -> Vec<Route> {
    let mut routes = default_routes(spec);
    routes.extend(spec.routes.iter().filter_map(|route| static_route(spec, route)));
    routes.extend(source_routes(spec));
    routes
}

/// Returns the default routes of a network that owns them; none of another network.
pub(crate) fn default_routes(spec: &NetworkSpec) -> Vec<Route> {
    if !spec.default_route {
        return Vec::new();
    }
    let (ipv4, ipv6) = gateways(spec);
    let ipv4 = ipv4.and_then(|gateway| through(spec, any(true), gateway.into(), 0));
    let ipv6 = ipv6.and_then(|gateway| through(spec, any(false), gateway.into(), 0));
    ipv4.into_iter().chain(ipv6).collect()
}

/// Returns one of a network's static routes; none where the network has no device.
pub(crate) fn static_route(spec: &NetworkSpec, given: &StaticRoute) -> Option<Route> {
    through(spec, given.destination(), given.next_hop(), given.metric())
}

/// Returns the gateways that a network was given, whatever they are for.
pub(super) fn gateways(spec: &NetworkSpec) -> (Option<Ipv4Addr>, Option<Ipv6Addr>) {
    let ipv4 = match &spec.ipv4 {
        Ipv4Config::None | Ipv4Config::Dhcp => None,
        Ipv4Config::Static(given) => given.gateway(),
    };
    let ipv6 = match &spec.ipv6 {
        // A router is what advertises itself, and no gateway of the network's own.
        Ipv6Config::None | Ipv6Config::Auto | Ipv6Config::Dhcp | Ipv6Config::AutoAndDhcp => None,
        Ipv6Config::Static(given) => given.gateway(),
    };
    (ipv4, ipv6)
}

/// Returns the destination that is everything.
pub(crate) fn any(is_ipv4: bool) -> IpNet {
    if is_ipv4 {
        IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0))
    } else {
        IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0))
    }
}

/// Returns a route through a gateway; none where the network has no device.
pub(super) fn through(spec: &NetworkSpec, destination: IpNet, gateway: IpAddr, metric: u32) -> Option<Route> {
    route(spec, destination, Some(gateway), metric)
}

/// Returns the route to a prefix of the network itself; none where the network has no device.
pub(super) fn on_link(spec: &NetworkSpec, destination: IpNet) -> Option<Route> {
    let scope = if matches!(destination, IpNet::V4(_)) { SCOPE_LINK } else { 0 };
    Some(Route { scope, ..route(spec, destination, None, 0)? })
}

fn route(spec: &NetworkSpec, destination: IpNet, gateway: Option<IpAddr>, metric: u32) -> Option<Route> {
    let device = spec.top_device()?;
    let metric = match (destination, metric) {
        (IpNet::V6(_), 0) => METRIC_IPV6,
        (IpNet::V4(_) | IpNet::V6(_), metric) => metric,
    };
    Some(Route {
        table: Route::MAIN,
        destination,
        gateway,
        device,
        metric,
        preferred_source: None,
        protocol: ROUTE_PROTOCOL,
        scope: 0,
    })
}
