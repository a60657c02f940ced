//! How a network's device gets its addresses.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

/// Says why an address configuration is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadIpConfig {
    /// A static configuration names no address.
    #[error("a static configuration needs at least one address")]
    NoAddress,
    /// An address is one that no interface can have.
    #[error("{0} cannot be an interface's address")]
    NotAnInterfaceAddress(String),
    /// An address is given twice.
    #[error("{0} is given twice")]
    Twice(String),
    /// The gateway cannot be reached directly from any of the addresses.
    #[error("gateway {0} is in none of the addresses' prefixes")]
    GatewayNotOnLink(String),
}

/// IPv4 on a network's device.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ipv4Config {
    /// No IPv4 address.
    #[default]
    None,
    /// Addresses given by the operator.
    Static(StaticIpv4),
    /// An address leased from a DHCP server.
    Dhcp,
}

/// IPv6 on a network's device.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ipv6Config {
    /// IPv6 is switched off on the device: not even a link-local address.
    #[default]
    None,
    /// Addresses given by the operator, beside the link-local one. Routers are not listened to.
    Static(StaticIpv6),
    /// Addresses that the kernel makes of what routers advertise (SLAAC).
    Auto,
    /// An address leased from a DHCPv6 server; what is on the link, and the default router, is what routers say.
    Dhcp,
    /// Both.
    AutoAndDhcp,
}

impl Ipv6Config {
    /// Tells whether the device listens to routers.
    pub const fn hears_routers(&self) -> bool {
        match self {
            Self::None | Self::Static(_) => false,
            Self::Auto | Self::Dhcp | Self::AutoAndDhcp => true,
        }
    }

    /// Tells whether the kernel makes addresses of what routers advertise.
    pub const fn makes_addresses(&self) -> bool {
        match self {
            Self::None | Self::Static(_) | Self::Dhcp => false,
            Self::Auto | Self::AutoAndDhcp => true,
        }
    }

    /// Tells whether an address is leased from a server.
    pub const fn leases(&self) -> bool {
        match self {
            Self::None | Self::Static(_) | Self::Auto => false,
            Self::Dhcp | Self::AutoAndDhcp => true,
        }
    }
}

/// Static IPv4 addresses: one or more, each once, and a gateway on one of their links.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaticIpv4 {
    addresses: Vec<Ipv4Net>,
    gateway: Option<Ipv4Addr>,
}

impl StaticIpv4 {
    /// Checks and keeps the addresses in the order given; the first is the primary one.
    ///
    /// *Errors*: every [`BadIpConfig`], in the order found.
    pub fn new(addresses: Vec<Ipv4Net>, gateway: Option<Ipv4Addr>) -> Result<Self, Vec<BadIpConfig>> {
        let mut bad = Vec::new();
        if addresses.is_empty() {
            bad.push(BadIpConfig::NoAddress);
        }
        for (position, net) in addresses.iter().enumerate() {
            let host = net.addr();
            let edge = net.prefix_len() < 31 && (host == net.network() || host == net.broadcast());
            if host.is_unspecified()
                || host.is_multicast()
                || host.is_broadcast()
                || host.is_loopback()
                || edge
                || net.prefix_len() == 0
            {
                bad.push(BadIpConfig::NotAnInterfaceAddress(net.to_string()));
            }
            if addresses.iter().take(position).any(|earlier| earlier.addr() == host) {
                bad.push(BadIpConfig::Twice(net.to_string()));
            }
        }
        if let Some(gateway) = gateway.filter(|gateway| !reaches_ipv4(&addresses, *gateway)) {
            bad.push(BadIpConfig::GatewayNotOnLink(gateway.to_string()));
        }
        if bad.is_empty() { Ok(Self { addresses, gateway }) } else { Err(bad) }
    }

    /// Returns the addresses with their prefix lengths, primary first.
    pub fn addresses(&self) -> &[Ipv4Net] {
        &self.addresses
    }

    /// Returns the gateway, if any.
    pub const fn gateway(&self) -> Option<Ipv4Addr> {
        self.gateway
    }

    /// Tells whether another host's address is on the link of one of the addresses.
    pub fn reaches(&self, host: Ipv4Addr) -> bool {
        reaches_ipv4(&self.addresses, host)
    }
}

/// Static IPv6 addresses: one or more, each once, and a gateway on one of their links or link-local.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaticIpv6 {
    addresses: Vec<Ipv6Net>,
    gateway: Option<Ipv6Addr>,
}

impl StaticIpv6 {
    /// Checks and keeps the addresses in the order given.
    ///
    /// *Errors*: every [`BadIpConfig`], in the order found.
    pub fn new(addresses: Vec<Ipv6Net>, gateway: Option<Ipv6Addr>) -> Result<Self, Vec<BadIpConfig>> {
        let mut bad = Vec::new();
        if addresses.is_empty() {
            bad.push(BadIpConfig::NoAddress);
        }
        for (position, net) in addresses.iter().enumerate() {
            let host = net.addr();
            if host.is_unspecified() || host.is_multicast() || host.is_loopback() || net.prefix_len() == 0 {
                bad.push(BadIpConfig::NotAnInterfaceAddress(net.to_string()));
            }
            if addresses.iter().take(position).any(|earlier| earlier.addr() == host) {
                bad.push(BadIpConfig::Twice(net.to_string()));
            }
        }
        if let Some(gateway) = gateway.filter(|gateway| !reaches_ipv6(&addresses, *gateway)) {
            bad.push(BadIpConfig::GatewayNotOnLink(gateway.to_string()));
        }
        if bad.is_empty() { Ok(Self { addresses, gateway }) } else { Err(bad) }
    }

    /// Returns the addresses with their prefix lengths.
    pub fn addresses(&self) -> &[Ipv6Net] {
        &self.addresses
    }

    /// Returns the gateway, if any.
    pub const fn gateway(&self) -> Option<Ipv6Addr> {
        self.gateway
    }

    /// Tells whether another host's address is on the link of one of the addresses, or link-local.
    pub fn reaches(&self, host: Ipv6Addr) -> bool {
        reaches_ipv6(&self.addresses, host)
    }
}

fn reaches_ipv4(addresses: &[Ipv4Net], host: Ipv4Addr) -> bool {
    let is_edge = |net: &Ipv4Net| net.prefix_len() < 31 && (host == net.network() || host == net.broadcast());
    addresses.iter().any(|net| net.contains(&host) && !is_edge(net)) && addresses.iter().all(|net| net.addr() != host)
}

fn reaches_ipv6(addresses: &[Ipv6Net], host: Ipv6Addr) -> bool {
    host.is_unicast_link_local()
        || (addresses.iter().any(|net| net.contains(&host)) && addresses.iter().all(|net| net.addr() != host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_a_gateway_off_link() {
        let net: Ipv4Net = "192.0.2.10/24".parse().unwrap();
        assert!(StaticIpv4::new(vec![net], Some("192.0.2.1".parse().unwrap())).is_ok());
        let bad = StaticIpv4::new(vec![net], Some("198.51.100.1".parse().unwrap())).unwrap_err();
        assert_eq!(bad, [BadIpConfig::GatewayNotOnLink("198.51.100.1".to_owned())]);
    }

    #[test]
    fn reports_every_fault_at_once() {
        let nets = ["0.0.0.0/8", "192.0.2.0/24", "192.0.2.1/24", "192.0.2.1/25"].map(|n| n.parse().unwrap());
        assert_eq!(StaticIpv4::new(nets.to_vec(), None).unwrap_err().len(), 3);
    }

    #[test]
    fn accepts_a_link_local_ipv6_gateway() {
        let net: Ipv6Net = "2001:db8::2/64".parse().unwrap();
        assert!(StaticIpv6::new(vec![net], Some("fe80::1".parse().unwrap())).is_ok());
        assert!(StaticIpv6::new(vec![net], Some("2001:db8:1::1".parse().unwrap())).is_err());
    }
}
