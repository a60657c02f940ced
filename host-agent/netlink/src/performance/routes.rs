//! Routes, of whichever table.
//!
//! A route's path is its table, destination, metric, next hop and device. Another path of the same destination and metric is
//! another next hop and stays; the same path with other attributes is the route itself, and is replaced. The kernel's
//! own `NLM_F_REPLACE` cannot be used: it takes the first route of the destination and metric, whatever its next hop.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE};
use nix::errno::Errno;
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteType, RouteVia};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use trestle_model::Route;

use crate::device::Devices;
use crate::failure::{Failure, tolerate};
use crate::observation;

/// `IP6_RT_PRIO_USER` in `net/ip6_route.h`: the metric of an IPv6 route that names none.
const IPV6_METRIC: u32 = 1024;

pub(super) async fn add(devices: &mut Devices<'_>, route: &Route) -> Result<(), Failure> {
    let index = devices.require(&route.device).await?.index;
    let route = &as_kernel_tells(route);
    let twins = on_same_path(devices, route).await?;
    if !twins.contains(route) && family(route) == AddressFamily::Inet {
        // The new one is in place before the old one goes.
        append(devices, route, index).await?;
    }
    for stale in twins.iter().filter(|twin| *twin != route) {
        delete(devices, stale, index).await?;
    }
    if !twins.contains(route) && family(route) == AddressFamily::Inet6 {
        // The kernel refuses to have one IPv6 path twice: the old one must go first.
        append(devices, route, index).await?;
    }
    Ok(())
}

pub(super) async fn remove(devices: &mut Devices<'_>, route: &Route) -> Result<(), Failure> {
    let Some(device) = devices.find(&route.device).await? else { return Ok(()) };
    // Asked for a metric of 0, the kernel would remove a route of any metric: so only what is really there.
    for there in on_same_path(devices, &as_kernel_tells(route)).await? {
        delete(devices, &there, device.index).await?;
    }
    Ok(())
}

/// Returns the routes that have the route's path.
async fn on_same_path(devices: &Devices<'_>, route: &Route) -> Result<Vec<Route>, Failure> {
    let names = observation::names(devices.socket).await?;
    let mut routes = observation::routes_of_family(devices.socket, family(route), &names).await?;
    routes.retain(|there| {
        (there.table, there.destination, there.metric, there.gateway, &there.device)
            == (route.table, route.destination, route.metric, route.gateway, &route.device)
    });
    Ok(routes)
}

/// Returns the route as the kernel will tell it: IPv6 has a metric always and a scope never, and no host bits stay.
fn as_kernel_tells(route: &Route) -> Route {
    let mut told = Route { destination: route.destination.trunc(), ..route.clone() };
    if family(route) == AddressFamily::Inet6 {
        told.scope = 0;
        told.metric = if told.metric == 0 { IPV6_METRIC } else { told.metric };
    }
    told
}

async fn append(devices: &Devices<'_>, route: &Route, index: u32) -> Result<(), Failure> {
    let message = RouteNetlinkMessage::NewRoute(message(route, index));
    let added = tolerate(devices.socket.change(message, NLM_F_CREATE | NLM_F_APPEND).await, &[Errno::EEXIST]);
    match (added, route.preferred_source) {
        // The kernel calls an IPv6 source invalid for the second or two that it looks for duplicates of it.
        (Err(failure), Some(source)) if failure.errno() == Some(Errno::EINVAL) => {
            let waits = observation::is_tentative(devices.socket, source).await?;
            let words = || Failure::Unready(format!("{source} is still tentative: {failure}"));
            Err(if waits { words() } else { failure })
        }
        (result, _) => result,
    }
}

async fn delete(devices: &Devices<'_>, route: &Route, index: u32) -> Result<(), Failure> {
    let message = RouteNetlinkMessage::DelRoute(message(route, index));
    tolerate(devices.socket.change(message, 0).await, &[Errno::ESRCH, Errno::ENODEV])
}

fn message(route: &Route, index: u32) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family(route);
    message.header.destination_prefix_length = route.destination.prefix_len();
    // Only small numbers fit the header; the attribute says every one.
    message.header.table = u8::try_from(route.table).unwrap_or(RouteHeader::RT_TABLE_UNSPEC);
    message.header.protocol = route.protocol.into();
    message.header.scope = route.scope.into();
    message.header.kind = RouteType::Unicast;
    let attributes = &mut message.attributes;
    if route.destination.prefix_len() > 0 {
        attributes.push(RouteAttribute::Destination(RouteAddress::from(route.destination.network())));
    }
    attributes.extend(route.gateway.map(|gateway| hop(gateway, route.destination.network())));
    attributes.push(RouteAttribute::Oif(index));
    attributes.push(RouteAttribute::Table(route.table));
    if route.metric > 0 {
        attributes.push(RouteAttribute::Priority(route.metric));
    }
    attributes.extend(route.preferred_source.map(|source| RouteAttribute::PrefSource(RouteAddress::from(source))));
    message
}

/// Returns the next hop's attribute; a next hop of another family than the destination's has one of its own.
fn hop(gateway: IpAddr, destination: IpAddr) -> RouteAttribute {
    match (gateway, destination) {
        (IpAddr::V6(gateway), IpAddr::V4(_)) => RouteAttribute::Via(RouteVia::Inet6(gateway)),
        (IpAddr::V4(_), _) | (IpAddr::V6(_), IpAddr::V6(_)) => RouteAttribute::Gateway(RouteAddress::from(gateway)),
    }
}

fn family(route: &Route) -> AddressFamily {
    if route.destination.addr().is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}
