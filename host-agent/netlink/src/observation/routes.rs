//! Unicast routes of every table but the kernel's own of local addresses, one for each next hop.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteType, RouteVia};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use trestle_model::Route;

use super::{Names, pick};
use crate::failure::Failure;
use crate::socket::{Attributes, Socket};

/// The kernel's own table (`RT_TABLE_LOCAL`).
const TABLE_LOCAL: u32 = 255;

/// Reads the routes of both families, ordered.
pub(super) async fn all(socket: &Socket, names: &Names) -> Result<Vec<Route>, Failure> {
    let mut routes = of_family(socket, AddressFamily::Inet, names).await?;
    routes.extend(of_family(socket, AddressFamily::Inet6, names).await?);
    routes.sort();
    Ok(routes)
}

/// Reads the routes of one family, in the kernel's order.
pub(crate) async fn of_family(socket: &Socket, family: AddressFamily, names: &Names) -> Result<Vec<Route>, Failure> {
    let mut request = RouteMessage::default();
    request.header.address_family = family;
    let routes_of = |answer| {
        let RouteNetlinkMessage::NewRoute(message) = answer else { return None };
        // A kernel without the family answers for all families.
        let is_wanted = message.header.address_family == family && is_of_interest(&message);
        is_wanted.then(|| hops(&message, names))
    };
    let routes = socket.dump_of(RouteNetlinkMessage::GetRoute(request), Attributes::All, routes_of).await?;
    Ok(routes.into_iter().flatten().collect())
}

fn table(message: &RouteMessage) -> u32 {
    let table = pick!(message.attributes, RouteAttribute::Table).copied();
    table.unwrap_or_else(|| u32::from(message.header.table))
}

fn is_of_interest(message: &RouteMessage) -> bool {
    table(message) != TABLE_LOCAL
        && message.header.kind == RouteType::Unicast
        && !message.header.flags.contains(RouteFlags::Cloned)
}

/// Reads a route; one with several next hops as several routes.
fn hops(message: &RouteMessage, names: &Names) -> Vec<Route> {
    match pick!(message.attributes, RouteAttribute::MultiPath) {
        Some(hops) => {
            hops.iter().filter_map(|hop| route(message, &hop.attributes, Some(hop.interface_index), names)).collect()
        }
        None => {
            let device = pick!(message.attributes, RouteAttribute::Oif).copied();
            route(message, &message.attributes, device, names).into_iter().collect()
        }
    }
}

fn route(message: &RouteMessage, hop: &[RouteAttribute], device: Option<u32>, names: &Names) -> Option<Route> {
    let attributes = &message.attributes;
    let is_v4 = message.header.address_family == AddressFamily::Inet;
    let any = if is_v4 { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    let destination = pick!(attributes, RouteAttribute::Destination).and_then(ip).unwrap_or(any);
    let gateway = pick!(hop, RouteAttribute::Gateway).and_then(ip);
    Some(Route {
        table: table(message),
        destination: IpNet::new(destination, message.header.destination_prefix_length).ok()?,
        gateway: gateway.or_else(|| pick!(hop, RouteAttribute::Via).and_then(via)),
        device: names.get(&device?)?.clone(),
        metric: pick!(attributes, RouteAttribute::Priority).copied().unwrap_or_default(),
        preferred_source: pick!(attributes, RouteAttribute::PrefSource).and_then(ip),
        protocol: u8::from(message.header.protocol),
        scope: u8::from(message.header.scope),
    })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some(IpAddr::V4(*address)),
        RouteAddress::Inet6(address) => Some(IpAddr::V6(*address)),
        RouteAddress::Mpls(_) | RouteAddress::Other(_) | _ => None,
    }
}

/// Reads a next hop of another family than the route's (RFC 5549).
fn via(hop: &RouteVia) -> Option<IpAddr> {
    match hop {
        RouteVia::Inet(address) => Some(IpAddr::V4(*address)),
        RouteVia::Inet6(address) => Some(IpAddr::V6(*address)),
        RouteVia::Packet(_) | RouteVia::Other(_) | _ => None,
    }
}
