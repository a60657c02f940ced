//! The static routes of a network.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Says why a static route is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRoute {
    /// The destination is everything.
    #[error("{0} is the default destination")]
    DefaultDestination(IpNet),
    /// The destination has bits beyond its prefix length.
    #[error("destination {0} has host bits; its network is {net}", net = .0.trunc())]
    HostBits(IpNet),
    /// The destination is none that a unicast route can have.
    #[error("{0} is no destination of a unicast route")]
    NotADestination(IpNet),
    /// The next hop is none that a router can have.
    #[error("{0} is no router's address")]
    NotANextHop(IpAddr),
    /// Destination and next hop are of different families.
    #[error("destination {0} and next hop {1} are of different families")]
    MixedFamilies(IpNet, IpAddr),
}

/// A route of one network: where to, through which router.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StaticRoute {
    destination: IpNet,
    next_hop: IpAddr,
    metric: u32,
}

/// The metric of an IPv6 route for which none is asked.
///
/// *Source*: `IP6_RT_PRIO_USER` in the kernel's `include/net/ip6_route.h`.
const METRIC_IPV6: u32 = 1024;

impl StaticRoute {
    /// Checks and keeps a route; metric 0 asks for the kernel's own.
    ///
    /// *Errors*: every [`BadRoute`], in the order of the fields.
    pub fn new(destination: IpNet, next_hop: IpAddr, metric: u32) -> Result<Self, Vec<BadRoute>> {
        let mut bad = Vec::new();
        let network = destination.addr();
        if destination.prefix_len() == 0 {
            bad.push(BadRoute::DefaultDestination(destination));
        } else if destination.trunc() != destination {
            bad.push(BadRoute::HostBits(destination));
        } else if network.is_multicast() || network.is_loopback() || is_ipv6_link_local(network) {
            bad.push(BadRoute::NotADestination(destination));
        }
        let is_broadcast = matches!(next_hop, IpAddr::V4(hop) if hop.is_broadcast());
        if next_hop.is_unspecified() || next_hop.is_multicast() || next_hop.is_loopback() || is_broadcast {
            bad.push(BadRoute::NotANextHop(next_hop));
        }
        if network.is_ipv4() != next_hop.is_ipv4() {
            bad.push(BadRoute::MixedFamilies(destination, next_hop));
        }
        if bad.is_empty() { Ok(Self { destination, next_hop, metric }) } else { Err(bad) }
    }

    /// Returns where the route leads to.
    pub const fn destination(&self) -> IpNet {
        self.destination
    }

    /// Returns the router.
    pub const fn next_hop(&self) -> IpAddr {
        self.next_hop
    }

    /// Returns the metric as the kernel has it: an IPv6 route for which none was asked has 1024, an IPv4 one 0.
    pub const fn metric(&self) -> u32 {
        match (self.destination, self.metric) {
            (IpNet::V6(_), 0) => METRIC_IPV6,
            (IpNet::V4(_) | IpNet::V6(_), metric) => metric,
        }
    }

    /// Tells whether the next hop is an IPv6 link-local address, which is on every link with IPv6.
    pub fn is_through_link_local(&self) -> bool {
        is_ipv6_link_local(self.next_hop)
    }

    /// Tells whether two routes cannot both be: the kernel would use one of them only.
    pub fn rivals(&self, other: &Self) -> bool {
        self.destination == other.destination && self.metric() == other.metric()
    }
}

const fn is_ipv6_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(destination: &str, next_hop: &str, metric: u32) -> Result<StaticRoute, Vec<BadRoute>> {
        StaticRoute::new(destination.parse().unwrap(), next_hop.parse().unwrap(), metric)
    }

    #[test]
    fn refuses_what_no_route_can_be() {
        for (destination, next_hop, faults) in [
            ("198.51.100.0/24", "192.0.2.1", 0),
            ("2001:db8::/32", "fe80::1", 0),
            ("198.51.100.7/32", "192.0.2.1", 0),
            ("0.0.0.0/0", "192.0.2.1", 1),
            ("::/0", "fe80::1", 1),
            ("198.51.100.7/24", "192.0.2.1", 1),
            ("224.0.0.0/4", "192.0.2.1", 1),
            ("fe80::/64", "2001:db8::1", 1),
            ("198.51.100.0/24", "0.0.0.0", 1),
            ("198.51.100.0/24", "2001:db8::1", 1),
            ("198.51.100.7/24", "ff02::1", 3),
        ] {
            let bad = route(destination, next_hop, 0).err().unwrap_or_default();
            assert_eq!(bad.len(), faults, "{destination} via {next_hop}: {bad:?}");
        }
    }

    #[test]
    fn knows_the_kernels_own_metric() {
        let asked = route("2001:db8::/32", "fe80::1", 1024).unwrap();
        assert!(route("2001:db8::/32", "fe80::2", 0).unwrap().rivals(&asked));
        assert_eq!(route("198.51.100.0/24", "192.0.2.1", 0).unwrap().metric(), 0);
    }
}
