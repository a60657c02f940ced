//! systemd-resolved: the name servers of each device, over the bus.
//!
//! *Source*: `org.freedesktop.resolve1(5)`. What is set for a device outlives a restart of systemd-resolved and ends with the device.

use std::collections::BTreeMap;
use std::net::IpAddr;

use nix::net::if_::{if_indextoname, if_nametoindex};
use trestle_model::{IfName, LinkDomain, LinkNames, LinkServer, ResolverState};

use super::Fault;
use crate::bus::{Bus, BusError, Object};

const MANAGER: Object = Object {
    service: "org.freedesktop.resolve1",
    path: "/org/freedesktop/resolve1",
    interface: "org.freedesktop.resolve1.Manager",
};
/// What it answers about a device that it has not heard of yet: it hears of devices when the kernel tells it.
const UNKNOWN_LINK: &str = "org.freedesktop.resolve1.NoSuchLink";

/// Address families on the wire: those of the kernel.
const AF_INET: i32 = 2;
const AF_INET6: i32 = 10;

/// A name server of a device (0 is none): family, address, port, name.
type WireServer = (i32, i32, Vec<u8>, u16, String);
/// A domain of a device (0 is none), and whether it is for routing only.
type WireDomain = (i32, String, bool);

/// Reads what it has for devices.
///
/// *Cancel safety*: safe.
pub(super) async fn observe(bus: &Bus) -> ResolverState {
    match links(bus).await {
        Ok(links) => ResolverState { links: Some(links), ..ResolverState::default() },
        Err(error) => {
            let keeper = format!("systemd-resolved, which does not answer: {error}");
            ResolverState { keeper: Some(keeper), ..ResolverState::default() }
        }
    }
}

/// Sets what it asks through a device.
pub(super) async fn set(bus: &Bus, link: &IfName, names: &LinkNames) -> Result<(), Fault> {
    let index = if_nametoindex(link.as_str()).map_err(|error| Fault::lasting(format!("{link}: {error}")))?;
    let index = i32::try_from(index).map_err(Fault::lasting)?;
    let servers: Vec<_> = names.servers.iter().map(to_wire).collect();
    let domains: Vec<_> = names.domains.iter().map(|domain| (domain.domain.as_str(), domain.route_only)).collect();
    bus.call(MANAGER, "SetLinkDNSEx", &(index, servers)).await.map_err(fault)?;
    bus.call(MANAGER, "SetLinkDomains", &(index, domains)).await.map_err(fault)?;
    Ok(())
}

async fn links(bus: &Bus) -> Result<BTreeMap<IfName, LinkNames>, BusError> {
    let servers: Vec<WireServer> = bus.property(MANAGER, "DNSEx").await?;
    let domains: Vec<WireDomain> = bus.property(MANAGER, "Domains").await?;
    let mut links = BTreeMap::<i32, LinkNames>::new();
    for (index, family, address, port, name) in servers {
        if let Some(address) = from_wire(family, &address) {
            links.entry(index).or_default().servers.push(LinkServer { address, port, name });
        }
    }
    for (index, domain, route_only) in domains {
        links.entry(index).or_default().domains.push(LinkDomain { domain, route_only });
    }
    Ok(links.into_iter().filter_map(|(index, names)| Some((device(index)?, names))).collect())
}

/// Returns the device with an index; none for 0, and for one that is gone by now.
fn device(index: i32) -> Option<IfName> {
    let index = u32::try_from(index).ok().filter(|index| *index > 0)?;
    IfName::parse(if_indextoname(index).ok()?.to_str().ok()?).ok()
}

fn to_wire(server: &LinkServer) -> (i32, Vec<u8>, u16, &str) {
    let (family, octets) = match server.address {
        IpAddr::V4(address) => (AF_INET, address.octets().to_vec()),
        IpAddr::V6(address) => (AF_INET6, address.octets().to_vec()),
    };
    (family, octets, server.port, &server.name)
}

fn from_wire(family: i32, octets: &[u8]) -> Option<IpAddr> {
    match family {
        AF_INET => <[u8; 4]>::try_from(octets).ok().map(IpAddr::from),
        AF_INET6 => <[u8; 16]>::try_from(octets).ok().map(IpAddr::from),
        _ => None,
    }
}

fn fault(error: BusError) -> Fault {
    let transient = match &error {
        BusError::Silent => true,
        BusError::Refused(zbus::Error::MethodError(name, ..)) => name.as_str() == UNKNOWN_LINK,
        BusError::Refused(_) | BusError::Unexpected(_) => false,
    };
    Fault { reason: error.to_string(), transient }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_cross_the_wire_and_others_are_left_out() {
        for address in ["192.0.2.53", "2001:db8::53"] {
            let server = LinkServer { address: address.parse().unwrap(), port: 853, name: "dns.example".to_owned() };
            let (family, octets, port, name) = to_wire(&server);
            assert_eq!((from_wire(family, &octets), port, name), (Some(server.address), 853, "dns.example"));
        }
        for (family, octets) in [(AF_INET, &[1, 2, 3][..]), (AF_INET6, &[1; 4]), (1, &[1; 4])] {
            assert_eq!(from_wire(family, octets), None);
        }
    }
}
