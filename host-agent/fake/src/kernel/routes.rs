//! Routes, and those that exist for addresses.

use std::net::IpAddr;

use ipnet::IpNet;
use trestle_model::{Feature, FeatureSet, Link, Route, Rule};

use super::{Answer, Kernel, is_ipv4};

/// The metric that the kernel gives an IPv6 route for which none is asked.
const METRIC_IPV6: u32 = 1024;
/// The metric of IPv6 routes that exist for addresses.
const METRIC_IPV6_PREFIX: u32 = 256;
const PROTOCOL_KERNEL: u8 = 2;
const SCOPE_LINK: u8 = 253;

impl Kernel {
    pub(crate) fn add_route(&mut self, route: &Route) -> Answer {
        let link = self.link(&route.device)?;
        if !link.up {
            return Err(format!("route through {}: Network is down", route.device));
        }
        if !is_ipv4(route.destination) && link.ipv6_disabled {
            return Err(format!("route through {}: Permission denied", route.device));
        }
        if let Some(gateway) = route.gateway
            && !self.is_on_link(link, gateway)
        {
            return Err(format!("gateway {gateway}: Network is unreachable"));
        }
        let is_local = |source: IpAddr| {
            self.state.links.values().any(|link| link.addresses.iter().any(|address| address.net.addr() == source))
        };
        if route.preferred_source.is_some_and(|source| !is_local(source)) {
            return Err("preferred source: Invalid argument".to_owned());
        }
        let mut route = route.clone();
        if !is_ipv4(route.destination) && route.metric == 0 {
            route.metric = METRIC_IPV6;
        }
        self.state.routes.retain(|has| !is_same_path(has, &route));
        self.state.routes.push(route);
        Ok(())
    }

    pub(super) fn remove_route(&mut self, route: &Route) -> Answer {
        self.state.routes.retain(|has| !is_same_path(has, route));
        Ok(())
    }

    pub(super) fn add_rule(&mut self, rule: &Rule, features: &FeatureSet) -> Answer {
        if !features.has(Feature::PolicyRouting) {
            return Err("rule: Operation not supported".to_owned());
        }
        if !self.state.rules.contains(rule) {
            self.state.rules.push(rule.clone());
            self.state.rules.sort();
        }
        Ok(())
    }

    fn is_on_link(&self, link: &Link, gateway: IpAddr) -> bool {
        let link_local = matches!(gateway, IpAddr::V6(gateway) if gateway.is_unicast_link_local());
        let through = |route: &Route| {
            route.device == link.name && route.gateway.is_none() && route.destination.contains(&gateway)
        };
        link_local || self.state.routes.iter().any(through)
    }

    /// Makes the routes that exist for addresses, and removes those whose address has gone.
    pub(super) fn follow_prefix_routes(&mut self) {
        let wanted: Vec<Route> = self.state.links.values().filter(|link| link.up).flat_map(prefix_routes).collect();
        let before = std::mem::take(&mut self.prefix_routes);
        self.state.routes.retain(|route| !before.contains(route) || wanted.contains(route));
        for route in &wanted {
            if !self.state.routes.contains(route) {
                self.state.routes.push(route.clone());
            }
        }
        self.prefix_routes = wanted;
    }
}

fn is_same_path(one: &Route, other: &Route) -> bool {
    (one.table, one.destination, one.gateway, &one.device, one.metric)
        == (other.table, other.destination, other.gateway, &other.device, other.metric)
}

fn prefix_routes(link: &Link) -> Vec<Route> {
    let mut routes: Vec<Route> = Vec::new();
    for address in link.addresses.iter().filter(|address| !address.no_prefix_route) {
        let net = address.net;
        let whole = if is_ipv4(net) { 32 } else { 128 };
        let destination = net.trunc();
        if net.prefix_len() == whole || routes.iter().any(|route| route.destination == destination) {
            continue;
        }
        let (metric, preferred_source, scope) = match net {
            IpNet::V4(net) => (0, Some(IpAddr::V4(net.addr())), SCOPE_LINK),
            IpNet::V6(_) => (METRIC_IPV6_PREFIX, None, 0),
        };
        routes.push(Route {
            table: Route::MAIN,
            destination,
            gateway: None,
            device: link.name.clone(),
            metric,
            preferred_source,
            protocol: PROTOCOL_KERNEL,
            scope,
        });
    }
    routes
}
