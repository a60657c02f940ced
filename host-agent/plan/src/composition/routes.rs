//! A network's routes as the kernel will show them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use trestle_model::{Ipv4Config, Ipv6Config, NetworkSpec, Route, StaticRoute};

use crate::ownership::ROUTE_PROTOCOL;

/// The metric that the kernel gives an IPv6 route for which none is asked.
const METRIC_IPV6: u32 = 1024;

/// Returns all routes of a network.
pub(crate) fn routes(spec: &NetworkSpec) -> Vec<Route> {
    let mut routes = default_routes(spec);
    routes.extend(spec.routes.iter().filter_map(|route| static_route(spec, route)));
    routes
}

/// Returns the default routes of a network that owns them; none of another network.
pub(crate) fn default_routes(spec: &NetworkSpec) -> Vec<Route> {
    if !spec.default_route {
        return Vec::new();
    }
    let (ipv4, ipv6) = gateways(spec);
    let ipv4 = ipv4.and_then(|gateway| {
        let any = Ipv4Net::new(Ipv4Addr::UNSPECIFIED, 0).ok()?;
        route(spec, IpNet::V4(any), IpAddr::V4(gateway), 0)
    });
    let ipv6 = ipv6.and_then(|gateway| {
        let any = Ipv6Net::new(Ipv6Addr::UNSPECIFIED, 0).ok()?;
        route(spec, IpNet::V6(any), IpAddr::V6(gateway), METRIC_IPV6)
    });
    ipv4.into_iter().chain(ipv6).collect()
}

/// Returns one of a network's static routes; none where the network has no device.
pub(crate) fn static_route(spec: &NetworkSpec, given: &StaticRoute) -> Option<Route> {
    route(spec, given.destination(), given.next_hop(), given.metric())
}

fn gateways(spec: &NetworkSpec) -> (Option<Ipv4Addr>, Option<Ipv6Addr>) {
    let ipv4 = match &spec.ipv4 {
        Ipv4Config::None => None,
        Ipv4Config::Static(given) => given.gateway(),
    };
    let ipv6 = match &spec.ipv6 {
        Ipv6Config::None => None,
        Ipv6Config::Static(given) => given.gateway(),
    };
    (ipv4, ipv6)
}

fn route(spec: &NetworkSpec, destination: IpNet, gateway: IpAddr, metric: u32) -> Option<Route> {
    let device = spec.top_device()?;
    let gateway = Some(gateway);
    Some(Route { destination, gateway, device, metric, preferred_source: None, protocol: ROUTE_PROTOCOL, scope: 0 })
}
