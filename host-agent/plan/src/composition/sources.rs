//! Source routing: a network whose gateway is not the host's default route answers through that gateway all the same.
//!
//! What leaves from one of the network's addresses is looked up in a table of the network's own, which holds its
//! prefixes, its static routes and its gateway (D-0020).

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use trestle_model::{Ipv4Config, NetworkSpec, Route, Rule};

use super::routes::{any, gateways, on_link, static_route, through};
use super::{Composition, Leftovers, addresses};
use crate::ownership::{self, ROUTE_PROTOCOL, is_planned};
use crate::target::RulesTarget;

/// The priority of Trestle's rules: after those that others give low numbers, before the main table (32766).
pub(crate) const PRIORITY: u32 = 30_000;

impl Composition<'_> {
    /// Wants the touched networks' rules, and those of nobody gone.
    pub(super) fn rules(&mut self, whose: Leftovers<'_>) {
        for name in &self.touched.networks {
            let table = ownership::source_table(name);
            let spec = self.desired.networks.get(*name).map(|entry| &entry.spec);
            let rules = spec.map(source_rules).unwrap_or_default();
            if !rules.is_empty()
                || self.observed().kernel.rules.iter().any(|rule| rule.table == table && is_planned(rule))
            {
                self.target.rules.insert(table, RulesTarget { why: format!("network {name}"), rules });
            }
        }
        if let Leftovers::Everyones = whose {
            let needed: BTreeSet<u32> =
                self.ground.whole.specs().map(|spec| ownership::source_table(&spec.name)).collect();
            let census = self.ground.census;
            for rule in
                census.state.kernel.rules.iter().filter(|rule| !needed.contains(&rule.table) && is_planned(rule))
            {
                let nobodys = RulesTarget { why: "leftover".to_owned(), rules: Vec::new() };
                self.target.rules.insert(rule.table, nobodys);
            }
        }
    }
}

/// Tells whether a network has a table of its own; one by DHCP has it as soon as a lease brings a gateway, one that hears
/// routers as soon as there is one.
pub(crate) fn is_source_routed(spec: &NetworkSpec) -> bool {
    let (ipv4, ipv6) = gateways(spec);
    let comes_by_itself = spec.ipv4 == Ipv4Config::Dhcp || spec.ipv6.hears_routers();
    !spec.default_route && (ipv4.is_some() || ipv6.is_some() || comes_by_itself)
}

/// Returns the routes of a network's own table; none where it has none.
pub(super) fn source_routes(spec: &NetworkSpec) -> Vec<Route> {
    let table = ownership::source_table(&spec.name);
    let routes = routed_families(spec).flat_map(|(is_ipv4, gateway)| {
        let in_family = move |net: IpNet| matches!(net, IpNet::V4(_)) == is_ipv4;
        let prefixes: BTreeSet<IpNet> = addresses(spec).iter().map(|address| address.net.trunc()).collect();
        let near = prefixes.into_iter().filter(move |net| in_family(*net)).filter_map(|net| on_link(spec, net));
        let far = spec.routes.iter().filter(move |given| in_family(given.destination()));
        let far = far.filter_map(|given| static_route(spec, given));
        near.chain(far).chain(through(spec, any(is_ipv4), gateway, 0)).collect::<Vec<_>>()
    });
    routes.map(|route| Route { table, ..route }).collect()
}

fn source_rules(spec: &NetworkSpec) -> Vec<Rule> {
    let table = ownership::source_table(&spec.name);
    let families: BTreeSet<bool> = routed_families(spec).map(|(is_ipv4, _)| is_ipv4).collect();
    let sources = addresses(spec).into_iter().map(|address| address.net.addr());
    let sources: BTreeSet<IpNet> =
        sources.filter(|source| families.contains(&source.is_ipv4())).map(IpNet::from).collect();
    sources.into_iter().map(|source| Rule { source, table, priority: PRIORITY, protocol: ROUTE_PROTOCOL }).collect()
}

/// Returns the families that have a gateway to answer through, each whether it is IPv4, and the gateway.
fn routed_families(spec: &NetworkSpec) -> impl Iterator<Item = (bool, IpAddr)> {
    let (ipv4, ipv6) = gateways(spec);
    let own = !spec.default_route;
    let ipv4 = ipv4.filter(|_| own).map(|gateway| (true, gateway.into()));
    ipv4.into_iter().chain(ipv6.filter(|_| own).map(|gateway| (false, gateway.into())))
}
