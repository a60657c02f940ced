//! Name servers, and where programs find them: in a file, or through systemd-resolved.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::IfName;

/// Says why a name server is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadNameServer {
    /// The text is no address.
    #[error("is no IP address")]
    NotAnAddress,
    /// Nobody answers at such an address.
    #[error("is no address of a name server")]
    NotAServer,
    /// An IPv6 link-local address says nothing without its device.
    #[error("is link-local and names no device")]
    NoZone,
    /// Only an IPv6 link-local address has a zone, and the zone is a device's name.
    #[error("has a zone that is no device, or that its address does not need")]
    BadZone,
}

/// A name server's address, an IPv6 link-local one with its device.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NameServer {
    address: IpAddr,
    zone: Option<IfName>,
}

/// The host's resolver configuration: `resolv.conf`, or what systemd-resolved has where it keeps that file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ResolverState {
    /// Who else keeps the name servers, for people; `None` where they may be changed.
    pub keeper: Option<String>,
    /// The file's text; `None` where there is none, or where somebody else keeps it.
    pub text: Option<String>,
    /// The name servers that leases have put in the place of those in the text, for as long as they are in force.
    #[serde(default)]
    pub leased: Vec<NameServer>,
    /// What systemd-resolved asks through each device that has something of its own; `None` where it does not keep the name
    /// servers, or does not answer.
    #[serde(default)]
    pub links: Option<BTreeMap<IfName, LinkNames>>,
}

/// What systemd-resolved asks through one device.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LinkNames {
    /// The name servers, in order.
    pub servers: Vec<LinkServer>,
    /// The domains whose names are asked there.
    pub domains: Vec<LinkDomain>,
}

/// A name server of a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkServer {
    /// Its address; an IPv6 link-local one is on that device.
    pub address: IpAddr,
    /// Its port; 0 is that of DNS.
    pub port: u16,
    /// Its name for TLS; empty for none.
    pub name: String,
}

/// A domain of a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkDomain {
    /// The domain; `.` stands for all names.
    pub domain: String,
    /// Whether it only says where its names are asked, and completes no short names.
    pub route_only: bool,
}

/// Through what the host's name servers are set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResolverMechanism {
    /// `resolv.conf`.
    File,
    /// systemd-resolved.
    SystemdResolved,
}

impl NameServer {
    /// The most name servers that resolvers look at.
    ///
    /// *Source*: `MAXNS` in `resolv.conf(5)`.
    pub const LIMIT: usize = 3;

    /// Returns the device of an IPv6 link-local address.
    pub const fn zone(&self) -> Option<&IfName> {
        self.zone.as_ref()
    }
}

impl LinkNames {
    /// Returns what a device has whose name servers are asked for all names.
    ///
    /// *Source*: `Domains=` in `systemd.network(5)`: the routing-only domain `~.` outweighs every other device's default.
    pub fn for_all_names(servers: &[NameServer]) -> Self {
        let server = |server: &NameServer| LinkServer { address: server.address, port: 0, name: String::new() };
        let everything = LinkDomain { domain: ".".to_owned(), route_only: true };
        Self { servers: servers.iter().map(server).collect(), domains: vec![everything] }
    }

    /// Tells whether its name servers are asked for all names.
    pub fn are_for_all(&self) -> bool {
        self.domains.iter().any(|domain| domain.domain == "." && domain.route_only)
    }
}

impl ResolverState {
    /// Returns through what name servers are set; `None` where somebody else keeps them.
    pub fn mechanism(&self) -> Option<ResolverMechanism> {
        match (&self.keeper, &self.links) {
            (Some(_), _) => None,
            (None, Some(_)) => Some(ResolverMechanism::SystemdResolved),
            (None, None) => Some(ResolverMechanism::File),
        }
    }

    /// Returns the name servers that programs ask: those of leases, else those that are configured.
    pub fn in_force(&self) -> Vec<String> {
        if self.leased.is_empty() { self.nameservers() } else { self.leased.iter().map(ToString::to_string).collect() }
    }

    /// Returns the name servers that are configured, in order; one that is written in another way is told as the model
    /// writes it.
    ///
    /// *Shape*: of systemd-resolved, those that are asked for all names, else those of all devices.
    pub fn nameservers(&self) -> Vec<String> {
        if let Some(links) = &self.links {
            let exclusive = links.values().any(LinkNames::are_for_all);
            let asked = links.iter().filter(|(_, names)| names.are_for_all() || !exclusive);
            return asked.flat_map(|(link, names)| names.servers.iter().map(|server| server.text_on(link))).collect();
        }
        let given = self.text.iter().flat_map(|text| text.lines()).filter_map(nameserver);
        given.map(|text| NameServer::from_str(text).map_or_else(|_| text.to_owned(), |s| s.to_string())).collect()
    }

    /// Returns the text with these name servers in the place of the old ones, and every other line as it is.
    pub fn with_nameservers(&self, servers: &[NameServer]) -> String {
        let lines: String = servers.iter().map(|server| format!("nameserver {server}\n")).collect();
        let mut text = String::new();
        let mut pending = Some(lines);
        for line in self.text.iter().flat_map(|text| text.split_inclusive('\n')) {
            if nameserver(line).is_some() {
                text.extend(pending.take());
            } else {
                text.push_str(line);
            }
        }
        if let Some(lines) = pending {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(&lines);
        }
        text
    }
}

impl LinkServer {
    /// Returns the address as a name server's is written, of an IPv6 link-local one with its device.
    fn text_on(&self, link: &IfName) -> String {
        let is_local = matches!(self.address, IpAddr::V6(address) if address.is_unicast_link_local());
        if is_local { format!("{}%{link}", self.address) } else { self.address.to_string() }
    }
}

impl fmt::Display for LinkNames {
    /// Shows the name servers and domains: `192.0.2.53 for ~.`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers: Vec<String> = self.servers.iter().map(|server| server.address.to_string()).collect();
        let mark = |domain: &LinkDomain| format!("{}{}", if domain.route_only { "~" } else { "" }, domain.domain);
        let domains: Vec<String> = self.domains.iter().map(mark).collect();
        f.write_str(&if servers.is_empty() { "none".to_owned() } else { servers.join(", ") })?;
        if domains.is_empty() { Ok(()) } else { write!(f, " for {}", domains.join(", ")) }
    }
}

impl FromStr for NameServer {
    type Err = BadNameServer;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, zone) = match text.split_once('%') {
            Some((address, zone)) => (address, Some(IfName::parse(zone).map_err(|_| BadNameServer::BadZone)?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| BadNameServer::NotAnAddress)?;
        let is_broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
        if address.is_unspecified() || address.is_multicast() || is_broadcast {
            return Err(BadNameServer::NotAServer);
        }
        let is_link_local = matches!(address, IpAddr::V6(address) if Ipv6Addr::is_unicast_link_local(&address));
        match (is_link_local, &zone) {
            (true, None) => Err(BadNameServer::NoZone),
            (false, Some(_)) => Err(BadNameServer::BadZone),
            (true, Some(_)) | (false, None) => Ok(Self { address, zone }),
        }
    }
}

impl fmt::Display for NameServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.zone {
            Some(zone) => write!(f, "{}%{zone}", self.address),
            None => self.address.fmt(f),
        }
    }
}

/// Returns the name server that a line of the file gives.
///
/// *Source*: `resolv.conf(5)`: the keyword begins in the first column, and white space follows.
fn nameserver(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("nameserver")?;
    rest.starts_with([' ', '\t']).then(|| rest.split_whitespace().next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_addresses_and_zones() {
        for (text, expected) in [
            ("192.0.2.53", Ok("192.0.2.53")),
            ("2001:DB8::53", Ok("2001:db8::53")),
            ("fe80::53%blue", Ok("fe80::53%blue")),
            ("127.0.0.1", Ok("127.0.0.1")),
            ("fe80::53", Err(BadNameServer::NoZone)),
            ("192.0.2.53%blue", Err(BadNameServer::BadZone)),
            ("fe80::53%not/a/device", Err(BadNameServer::BadZone)),
            ("0.0.0.0", Err(BadNameServer::NotAServer)),
            ("ff02::53", Err(BadNameServer::NotAServer)),
            ("dns.example", Err(BadNameServer::NotAnAddress)),
            ("192.0.2.53/24", Err(BadNameServer::NotAnAddress)),
        ] {
            assert_eq!(
                text.parse().map(|server: NameServer| server.to_string()),
                expected.map(str::to_owned),
                "{text}"
            );
        }
    }

    #[test]
    fn keeps_every_other_line_in_its_place() {
        let servers = ["192.0.2.53".parse().unwrap(), "2001:db8::53".parse().unwrap()];
        let new = "nameserver 192.0.2.53\nnameserver 2001:db8::53\n";
        for (before, after) in [
            (None, new.to_owned()),
            (Some("search example.org"), format!("search example.org\n{new}")),
            (
                Some("# mine\nnameserver 198.51.100.1\nsearch example.org\nnameserver\t198.51.100.2 \noptions edns0"),
                format!("# mine\n{new}search example.org\noptions edns0"),
            ),
            (Some("nameservers 1\n"), format!("nameservers 1\n{new}")),
        ] {
            let state = ResolverState { text: before.map(str::to_owned), ..ResolverState::default() };
            let text = state.with_nameservers(&servers);
            assert_eq!(text, after);
            let state = ResolverState { text: Some(text), ..ResolverState::default() };
            assert_eq!(state.nameservers(), ["192.0.2.53", "2001:db8::53"]);
        }
    }

    #[test]
    fn of_systemd_resolved_those_asked_for_all_names_count() {
        let [eth0, eth1] = ["eth0", "eth1"].map(|name| IfName::parse(name).unwrap());
        let usual = LinkNames { domains: Vec::new(), ..LinkNames::for_all_names(&["192.0.2.1".parse().unwrap()]) };
        let mut links = BTreeMap::from([(eth0, usual)]);
        let state = |links: &BTreeMap<_, _>| ResolverState { links: Some(links.clone()), ..ResolverState::default() };
        assert_eq!(state(&links).nameservers(), ["192.0.2.1"]);
        links.insert(eth1, LinkNames::for_all_names(&["fe80::1%eth1".parse().unwrap()]));
        assert_eq!(state(&links).nameservers(), ["fe80::1%eth1"]);
    }
}
