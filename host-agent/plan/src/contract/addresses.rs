//! Cases about addresses and routes.

use std::net::IpAddr;

use trestle_model::{AcceptRa, AddrGenMode, Address, AddressOrigin, IfName, Ipv6Autoconf, Route, Rule};

use super::bench::{Bench, TABLE, address, same, up};
use crate::ownership::ROUTE_PROTOCOL;
use crate::{AutoconfChange, Host, KernelStep, Step};

const PROTOCOL_KERNEL: u8 = 2;

pub(super) async fn ipv4_addresses_are_ordered<H: Host>(bench: &Bench<'_, H>) -> Result<(), String> {
    let nic = &bench.nic;
    let first = Address { broadcast: Some(ip("192.0.2.255")?), ..address("192.0.2.10/24")? };
    // A label is at most as long as a device's name.
    let label = Some(format!("{nic}:b")).filter(|label| label.len() <= IfName::LIMIT);
    let second = Address { label, ..address("192.0.2.11/24")? };
    let other = Address { no_prefix_route: true, ..address("203.0.113.1/25")? };
    bench.perform([up(nic), add(nic, &first), add(nic, &second), add(nic, &other)]).await?;
    let expected = [first.clone(), other.clone(), second.clone()];
    same("addresses", &ipv4(bench).await?, &expected.to_vec())?;
    let destinations = destinations(bench).await?;
    same("a prefix has its route", &destinations.contains(&"192.0.2.0/24".to_owned()), &true)?;
    same("one without has none", &destinations.contains(&"203.0.113.0/25".to_owned()), &false)?;
    bench.perform([remove(nic, &second), remove(nic, &first)]).await?;
    same("addresses", &ipv4(bench).await?, &vec![other.clone()])?;
    same("a prefix route goes", &self::destinations(bench).await?.contains(&"192.0.2.0/24".to_owned()), &false)?;
    bench.perform([remove(nic, &other)]).await?;
    same("addresses", &ipv4(bench).await?, &Vec::new())
}

pub(super) async fn ipv6_is_switched_off_and_on<H: Host>(bench: &Bench<'_, H>) -> Result<(), String> {
    let nic = &bench.nic;
    let switch = |disabled| Step::from(KernelStep::SetIpv6Disabled { link: nic.clone(), disabled });
    let wanted = address("2001:db8::10/64")?;
    bench.perform([switch(false), up(nic), add(nic, &wanted)]).await?;
    let settled = |addresses: Vec<Address>| -> Vec<Address> {
        addresses.into_iter().filter(|a| a.net.addr().is_ipv6() && a.origin == AddressOrigin::Static).collect()
    };
    same("addresses", &settled(bench.link(nic).await?.addresses), &vec![wanted.clone()])?;
    bench.perform([switch(true)]).await?;
    let link = bench.link(nic).await?;
    same("IPv6 is off", &link.ipv6_disabled, &true)?;
    same("IPv6 addresses", &link.addresses.iter().filter(|a| a.net.addr().is_ipv6()).count(), &0)?;
    let refused = bench.perform_once(&[add(nic, &wanted)]).await.is_err();
    same("an IPv6 address is refused where IPv6 is off", &refused, &true)?;
    bench.perform([switch(false), add(nic, &wanted), remove(nic, &wanted)]).await?;
    let link = bench.link(nic).await?;
    same("IPv6 is off", &link.ipv6_disabled, &false)?;
    same("addresses", &settled(link.addresses), &Vec::new())
}

pub(super) async fn autoconfiguration_is_kept<H: Host>(bench: &Bench<'_, H>) -> Result<(), String> {
    let nic = &bench.nic;
    let set = |change| Step::from(KernelStep::SetAutoconf { link: nic.clone(), change });
    let switch = KernelStep::SetIpv6Disabled { link: nic.clone(), disabled: false };
    let deaf = Ipv6Autoconf {
        accept_ra: AcceptRa::Never,
        autoconf: false,
        accept_ra_defrtr: false,
        addr_gen_mode: AddrGenMode::None,
        forwarding: false,
    };
    bench.perform([switch.into(), up(nic), set(AutoconfChange::to(deaf))]).await?;
    same("settings", &bench.link(nic).await?.autoconf, &Some(deaf))?;
    let listen = AutoconfChange {
        accept_ra: Some(AcceptRa::Always),
        addr_gen_mode: Some(AddrGenMode::Eui64),
        ..AutoconfChange::default()
    };
    bench.perform([set(listen)]).await?;
    same("settings", &bench.link(nic).await?.autoconf, &Some(listen.of(deaf)))?;
    let gone = KernelStep::SetAutoconf { link: bench.bridge.clone(), change: listen };
    same("a device that is not there is refused", &bench.perform_once(&[gone.into()]).await.is_err(), &true)
}

pub(super) async fn routes_are_kept<H: Host>(bench: &Bench<'_, H>) -> Result<(), String> {
    let nic = &bench.nic;
    bench.perform([up(nic), add(nic, &address("192.0.2.10/24")?)]).await?;
    let through_gateway = Route {
        table: Route::MAIN,
        destination: "198.51.100.0/24".parse().map_err(|_| "no prefix")?,
        gateway: Some(ip("192.0.2.1")?),
        device: nic.clone(),
        metric: 77,
        preferred_source: Some(ip("192.0.2.10")?),
        protocol: 4,
        scope: 0,
    };
    let on_link = Route {
        table: Route::MAIN,
        destination: "203.0.113.0/24".parse().map_err(|_| "no prefix")?,
        gateway: None,
        metric: 0,
        preferred_source: None,
        scope: 253,
        ..through_gateway.clone()
    };
    for route in [&through_gateway, &on_link] {
        bench.perform([KernelStep::AddRoute { route: route.clone() }]).await?;
    }
    same("routes", &static_routes(bench).await?, &vec![through_gateway.clone(), on_link.clone()])?;
    let other_hop = Route { gateway: Some(ip("192.0.2.2")?), protocol: ROUTE_PROTOCOL, ..through_gateway.clone() };
    bench.perform([KernelStep::AddRoute { route: other_hop.clone() }]).await?;
    let expected = vec![through_gateway.clone(), other_hop.clone(), on_link.clone()];
    same("routes of two next hops", &static_routes(bench).await?, &expected)?;
    bench.perform([KernelStep::RemoveRoute { route: other_hop }]).await?;
    same("routes of one next hop", &static_routes(bench).await?, &vec![through_gateway.clone(), on_link.clone()])?;
    bench.perform([KernelStep::RemoveRoute { route: through_gateway.clone() }]).await?;
    same("routes", &static_routes(bench).await?, &vec![on_link])?;
    let unreachable = Route { gateway: Some(ip("198.51.100.1")?), ..through_gateway };
    let refused = bench.perform_once(&[KernelStep::AddRoute { route: unreachable }.into()]).await.is_err();
    same("a gateway off link is refused", &refused, &true)?;
    // With its last address, a device loses every route of the family.
    bench.perform([remove(nic, &address("192.0.2.10/24")?)]).await?;
    same("routes without an address", &static_routes(bench).await?, &Vec::new())
}

pub(super) async fn source_routes_and_rules_are_kept<H: Host>(bench: &Bench<'_, H>) -> Result<(), String> {
    let nic = &bench.nic;
    let switch = KernelStep::SetIpv6Disabled { link: nic.clone(), disabled: false };
    bench.perform([switch.into(), up(nic), add(nic, &address("192.0.2.10/24")?)]).await?;
    bench.perform([add(nic, &address("2001:db8::10/64")?)]).await?;
    let route = |destination: &str, gateway: Option<IpAddr>, metric, scope| {
        let destination = destination.parse().map_err(|_| "no prefix")?;
        let (device, preferred_source, protocol) = (nic.clone(), None, ROUTE_PROTOCOL);
        Ok::<_, String>(Route { table: TABLE, destination, gateway, device, metric, preferred_source, protocol, scope })
    };
    let routes = [
        route("192.0.2.0/24", None, 0, 253)?,
        route("0.0.0.0/0", Some(ip("192.0.2.1")?), 0, 0)?,
        route("2001:db8::/64", None, 1024, 0)?,
        route("::/0", Some(ip("fe80::1")?), 1024, 0)?,
    ];
    let rule = |source: &str| {
        let source = source.parse().map_err(|_| "no prefix")?;
        Ok::<_, String>(Rule { source, table: TABLE, priority: 30_000, protocol: ROUTE_PROTOCOL })
    };
    let rules = [rule("192.0.2.10/32")?, rule("2001:db8::10/128")?];
    bench.perform(routes.iter().map(|route| KernelStep::AddRoute { route: route.clone() })).await?;
    bench.perform(rules.iter().map(|rule| KernelStep::AddRule { rule: rule.clone() })).await?;
    let sorted = |mut routes: Vec<Route>| {
        routes.retain(|route| route.table == TABLE);
        routes.sort();
        routes
    };
    let state = bench.state().await?.kernel;
    same("routes", &sorted(state.routes), &sorted(routes.to_vec()))?;
    same("rules", &of_table(state.rules), &rules.to_vec())?;
    let [four, six] = rules;
    bench.perform([KernelStep::RemoveRule { rule: four.clone() }]).await?;
    same("rules", &of_table(bench.state().await?.kernel.rules), &vec![six.clone()])?;
    bench.perform([KernelStep::RemoveRule { rule: six }]).await?;
    let [near, far, ..] = routes;
    bench.perform([KernelStep::RemoveRoute { route: far }, KernelStep::RemoveRoute { route: near }]).await?;
    let state = bench.state().await?.kernel;
    same("rules", &of_table(state.rules), &Vec::new())?;
    same("IPv4 routes", &sorted(state.routes).iter().filter(|r| r.destination.addr().is_ipv4()).count(), &0)
}

fn of_table(mut rules: Vec<Rule>) -> Vec<Rule> {
    rules.retain(|rule| rule.table == TABLE);
    rules
}

pub(super) async fn down_drops_routes<H: Host>(bench: &Bench<'_, H>) -> Result<(), String> {
    let nic = &bench.nic;
    let wanted = address("192.0.2.10/24")?;
    bench.perform([up(nic), add(nic, &wanted)]).await?;
    bench.perform([KernelStep::SetUp { link: nic.clone(), up: false }]).await?;
    same("addresses", &ipv4(bench).await?, &vec![wanted])?;
    same("routes", &destinations(bench).await?, &Vec::new())?;
    bench.perform([up(nic)]).await?;
    same("the prefix route comes back", &destinations(bench).await?.contains(&"192.0.2.0/24".to_owned()), &true)
}

fn add(link: &IfName, address: &Address) -> Step {
    KernelStep::AddAddress { link: link.clone(), address: address.clone() }.into()
}

fn remove(link: &IfName, address: &Address) -> Step {
    KernelStep::RemoveAddress { link: link.clone(), address: address.clone() }.into()
}

fn ip(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("{text} is no address"))
}

async fn ipv4<H: Host>(bench: &Bench<'_, H>) -> Result<Vec<Address>, String> {
    let addresses = bench.link(&bench.nic).await?.addresses;
    Ok(addresses.into_iter().filter(|address| address.net.addr().is_ipv4()).collect())
}

/// Returns the destinations of the NIC's IPv4 routes.
async fn destinations<H: Host>(bench: &Bench<'_, H>) -> Result<Vec<String>, String> {
    let routes = bench.state().await?.kernel.routes.into_iter().filter(|route| route.device == bench.nic);
    Ok(routes.filter(|route| route.destination.addr().is_ipv4()).map(|route| route.destination.to_string()).collect())
}

async fn static_routes<H: Host>(bench: &Bench<'_, H>) -> Result<Vec<Route>, String> {
    let mut routes = bench.state().await?.kernel.routes;
    routes.retain(|route| {
        route.device == bench.nic && route.protocol != PROTOCOL_KERNEL && route.destination.addr().is_ipv4()
    });
    routes.sort();
    Ok(routes)
}
