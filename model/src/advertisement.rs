//! What IPv6 routers advertise, as far as it is in force and the kernel makes nothing of it.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

use crate::{IfName, SearchDomain};

/// What one router has told one device of this host, without what is over.
///
/// *Source*: RFC 4861, 4.2; RFC 8106.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertised {
    /// The device that heard it.
    pub link: IfName,
    /// The router: a link-local address on that device.
    pub router: Ipv6Addr,
    /// How much it wants to be the default router; `None` where it is none.
    pub preference: Option<RouterPreference>,
    /// Prefixes whose hosts are reached directly, ordered.
    pub on_link: Vec<Ipv6Net>,
    /// Prefixes that hosts make addresses of by themselves, ordered.
    pub autonomous: Vec<Ipv6Net>,
    /// Name servers, best first.
    pub nameservers: Vec<Ipv6Addr>,
    /// Domains in which short names are searched, in order.
    pub search: Vec<SearchDomain>,
}

/// How much a router wants to be the default router, least first.
///
/// *Source*: RFC 4191, 2.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RouterPreference {
    /// Others come first.
    Low,
    /// As most routers.
    Medium,
    /// It comes first.
    High,
}
