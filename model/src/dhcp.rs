//! DHCP clients, and the leases that servers give them.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{AddressOrigin, HostState, IfName, MacAddr};

/// A family of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IpFamily {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

/// A DHCP client that is to run, or runs: at most one for each device and family.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DhcpClientSpec {
    /// The device whose address it is to get.
    pub link: IfName,
    /// The family.
    pub family: IpFamily,
    /// The device by which the network leaves the host: a lease is one of this place, so that it stays the same when
    /// the address moves from a NIC to the bridge above it.
    pub segment: IfName,
    /// Whether the network owns the host's default route: the lease's gateway, where it brings one, becomes it.
    pub default_route: bool,
    /// The routing table for what leaves from the leased address, where the network does not own the default route.
    #[serde(default)]
    pub source_table: Option<u32>,
    /// Whether the lease's name servers become the host's: the network owns the default route, and names none itself.
    #[serde(default)]
    pub nameservers: bool,
    /// Whether the lease's search domains become the host's: the network owns the default route, and names none itself.
    #[serde(default)]
    pub search_domains: bool,
}

/// A DHCP client as it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DhcpClient {
    /// What it was told.
    pub spec: DhcpClientSpec,
    /// What it does.
    pub state: DhcpState,
    /// The lease that is in force.
    pub lease: Option<Lease>,
    /// What last went wrong, for people; `None` while nothing does.
    pub problem: Option<String>,
}

/// What a DHCP client does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DhcpState {
    /// It has no lease and asks for one.
    Searching,
    /// It uses a lease that it remembers, and asks whether it still has it.
    Verifying,
    /// It has a lease.
    Bound,
    /// It has a lease, and asks for more time.
    Renewing,
}

/// What a server gave a client for some time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Lease {
    /// The address; an IPv6 one has all its bits as prefix, since routers tell what is on the link.
    pub address: IpNet,
    /// The server: its address, or its DUID in hexadecimal for IPv6. Empty where it did not say.
    pub server: String,
    /// Gateways, best first.
    pub gateways: Vec<IpAddr>,
    /// Routes by destination; where there are any, they stand for the gateways, too (RFC 3442).
    pub routes: Vec<LeaseRoute>,
    /// Name servers, best first.
    pub nameservers: Vec<IpAddr>,
    /// Domains to search names in.
    pub search: Vec<String>,
    /// When it ends, milliseconds since 1970; `None` for one that never does.
    pub expires_ms: Option<u64>,
    /// Time from its being given to its end, in seconds.
    pub lifetime_s: u32,
    /// Time from its being given to the first wish for more time, in seconds.
    pub renew_s: u32,
    /// Time for which the address may begin connections, in seconds from its being given.
    pub preferred_s: u32,
}

/// A route that comes with a lease.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LeaseRoute {
    /// Destination; the zero prefix is the default route.
    pub destination: IpNet,
    /// Next hop; `None` for a destination on the link.
    pub next_hop: Option<IpAddr>,
}

/// A DHCP client of another program.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ForeignDhcp {
    /// The device that it asks for addresses on.
    pub link: IfName,
    /// The program's name.
    pub program: String,
}

/// A lease that is kept beyond the client that got it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeptLease {
    /// Where it was given.
    pub segment: IfName,
    /// The family.
    pub family: IpFamily,
    /// The hardware address that it was given to.
    pub mac: MacAddr,
    /// The lease.
    pub lease: Lease,
}

impl IpFamily {
    /// Returns the family of an address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }
}

impl DhcpClientSpec {
    /// Tells whether two clients cannot run beside each other: one device, one family.
    pub fn rivals(&self, other: &Self) -> bool {
        (&self.link, self.family) == (&other.link, other.family)
    }
}

impl HostState {
    /// Says of the addresses that leases of this host's clients are about that they are theirs.
    ///
    /// The kernel alone cannot tell them from what others have put there for a time.
    pub fn mark_leases(&mut self) {
        for client in &self.dhcp {
            let (Some(lease), Some(link)) = (&client.lease, self.kernel.links.get_mut(&client.spec.link)) else {
                continue;
            };
            let leased =
                |address: &&mut crate::Address| address.net == lease.address && address.origin != AddressOrigin::Kernel;
            link.addresses.iter_mut().filter(leased).for_each(|address| address.origin = AddressOrigin::Dhcp);
        }
    }
}

impl fmt::Display for IpFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        })
    }
}

impl fmt::Display for DhcpState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Searching => "searching",
            Self::Verifying => "verifying",
            Self::Bound => "bound",
            Self::Renewing => "renewing",
        })
    }
}
