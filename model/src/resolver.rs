//! Name servers and search domains, and where programs find them: in a file, or through systemd-resolved.

mod search;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::IfName;

pub use search::{BadSearchDomain, SearchDomain};

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

/// What programs resolve names with. What is empty is not said: the host keeps what it has of that.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ResolverNames {
    /// Name servers, best first.
    pub servers: Vec<NameServer>,
    /// Domains in which short names are searched, in order.
    pub search: Vec<SearchDomain>,
}

/// The host's resolver configuration: `resolv.conf`, or what systemd-resolved has where it keeps that file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ResolverState {
    /// Who else keeps the name servers, for people; `None` where they may be changed.
    pub keeper: Option<String>,
    /// The file's text; `None` where there is none, or where somebody else keeps it.
    pub text: Option<String>,
    /// The name servers that leases and routers have put in the place of the configured ones, for as long as they are in
    /// force.
    #[serde(default)]
    pub leased: Vec<NameServer>,
    /// The search domains that leases and routers have put in the place of the configured ones.
    #[serde(default)]
    pub leased_search: Vec<SearchDomain>,
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

impl ResolverNames {
    /// Tells whether nothing is said.
    pub const fn is_empty(&self) -> bool {
        self.servers.is_empty() && self.search.is_empty()
    }
}

impl LinkNames {
    /// Returns what a device has whose name servers are asked for all names, and whose domains are searched.
    ///
    /// *Source*: `Domains=` in `systemd.network(5)`: the routing-only domain `~.` outweighs every other device's default.
    pub fn for_all_names(names: &ResolverNames) -> Self {
        let server = |server: &NameServer| LinkServer { address: server.address, port: 0, name: String::new() };
        let everything = LinkDomain { domain: ".".to_owned(), route_only: true };
        let searched = names.search.iter().map(searched);
        Self { servers: names.servers.iter().map(server).collect(), domains: searched.chain([everything]).collect() }
    }

    /// Returns the same with these names in the place of those that it has; what they do not say stays.
    #[must_use]
    pub fn with(&self, names: &ResolverNames) -> Self {
        let given = Self::for_all_names(names);
        let servers = if names.servers.is_empty() { self.servers.clone() } else { given.servers };
        let is_for_all = |domain: &&LinkDomain| domain.domain == "." && domain.route_only;
        let mut domains: Vec<LinkDomain> = if names.search.is_empty() {
            self.domains.iter().filter(|domain| !is_for_all(domain)).cloned().collect()
        } else {
            names.search.iter().map(searched).collect()
        };
        let of_all = if names.servers.is_empty() { &self.domains } else { &given.domains };
        domains.extend(of_all.iter().find(is_for_all).cloned());
        Self { servers, domains }
    }

    /// Tells whether its name servers are asked for all names.
    pub fn are_for_all(&self) -> bool {
        self.domains.iter().any(|domain| domain.domain == "." && domain.route_only)
    }

    /// Tells whether it says nothing.
    pub const fn is_empty(&self) -> bool {
        self.servers.is_empty() && self.domains.is_empty()
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

    /// Returns the name servers that programs ask: those of leases and routers, else those that are configured.
    pub fn in_force(&self) -> Vec<String> {
        if self.leased.is_empty() { self.nameservers() } else { self.leased.iter().map(ToString::to_string).collect() }
    }

    /// Returns the domains that programs search: those of leases and routers, else those that are configured.
    pub fn search_in_force(&self) -> Vec<String> {
        let leased = &self.leased_search;
        if leased.is_empty() { self.search() } else { leased.iter().map(ToString::to_string).collect() }
    }

    /// Returns the name servers that are configured, in order; one that is written in another way is told as the model
    /// writes it.
    ///
    /// *Shape*: of systemd-resolved, those that are asked for all names, else those of all devices.
    pub fn nameservers(&self) -> Vec<String> {
        if let Some(links) = &self.links {
            return asked(links).flat_map(|(link, names)| names.servers.iter().map(|s| s.text_on(link))).collect();
        }
        let given = self.text.iter().flat_map(|text| text.lines()).filter_map(nameserver);
        given.map(|text| NameServer::from_str(text).map_or_else(|_| text.to_owned(), |s| s.to_string())).collect()
    }

    /// Returns the search domains that are configured, in order, as the model writes them.
    ///
    /// *Shape*: of systemd-resolved, those of the devices whose name servers are told; of the file, those of the last line
    /// that gives some, which outweighs the others.
    pub fn search(&self) -> Vec<String> {
        let written = |text: &str| text.parse().map_or_else(|_| text.to_owned(), |d: SearchDomain| d.to_string());
        if let Some(links) = &self.links {
            let domains = asked(links).flat_map(|(_, names)| &names.domains).filter(|domain| !domain.route_only);
            return domains.map(|domain| written(&domain.domain)).collect();
        }
        let last = self.text.iter().flat_map(|text| text.lines()).filter_map(search_list).next_back();
        last.into_iter().flat_map(str::split_whitespace).map(written).collect()
    }

    /// Returns the text with these names in the place of the old ones, and every other line as it is; what is not said
    /// stays, too.
    pub fn with_names(&self, names: &ResolverNames) -> String {
        let mut text = self.text.clone().unwrap_or_default();
        if !names.search.is_empty() {
            let domains: Vec<&str> = names.search.iter().map(SearchDomain::as_str).collect();
            text = replaced(&text, |line| search_list(line).is_some(), format!("search {}\n", domains.join(" ")));
        }
        if !names.servers.is_empty() {
            let lines = names.servers.iter().map(|server| format!("nameserver {server}\n")).collect();
            text = replaced(&text, |line| nameserver(line).is_some(), lines);
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

/// Returns what systemd-resolved has for the devices whose name servers are asked for all names, else for all devices.
fn asked(links: &BTreeMap<IfName, LinkNames>) -> impl Iterator<Item = (&IfName, &LinkNames)> {
    let exclusive = links.values().any(LinkNames::are_for_all);
    links.iter().filter(move |(_, names)| names.are_for_all() || !exclusive)
}

fn searched(domain: &SearchDomain) -> LinkDomain {
    LinkDomain { domain: domain.to_string(), route_only: false }
}

/// Returns a text with `lines` where the first of the old ones stood, else at the end, and without the old ones.
fn replaced(before: &str, is_old: impl Fn(&str) -> bool, lines: String) -> String {
    let mut text = String::new();
    let mut pending = Some(lines);
    for line in before.split_inclusive('\n') {
        if is_old(line) {
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

/// Returns the search list that a line of the file gives.
///
/// *Source*: `resolv.conf(5)`: `domain` gives a list of one.
fn search_list(line: &str) -> Option<&str> {
    ["search", "domain"]
        .into_iter()
        .find_map(|keyword| line.strip_prefix(keyword).filter(|rest| rest.starts_with([' ', '\t'])))
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
            let text = state.with_names(&ResolverNames { servers: servers.to_vec(), search: Vec::new() });
            assert_eq!(text, after);
            let state = ResolverState { text: Some(text), ..ResolverState::default() };
            assert_eq!(state.nameservers(), ["192.0.2.53", "2001:db8::53"]);
        }
    }

    #[test]
    fn of_systemd_resolved_those_asked_for_all_names_count() {
        let [eth0, eth1] = ["eth0", "eth1"].map(|name| IfName::parse(name).unwrap());
        let names = |server: &str| ResolverNames { servers: vec![server.parse().unwrap()], search: Vec::new() };
        let usual = LinkNames { domains: Vec::new(), ..LinkNames::for_all_names(&names("192.0.2.1")) };
        let mut links = BTreeMap::from([(eth0, usual)]);
        let state = |links: &BTreeMap<_, _>| ResolverState { links: Some(links.clone()), ..ResolverState::default() };
        assert_eq!(state(&links).nameservers(), ["192.0.2.1"]);
        links.insert(eth1, LinkNames::for_all_names(&names("fe80::1%eth1")));
        assert_eq!(state(&links).nameservers(), ["fe80::1%eth1"]);
    }

    #[test]
    fn search_domains_take_the_place_of_those_that_count() {
        let names = ResolverNames {
            servers: Vec::new(),
            search: vec!["corp.example".parse().unwrap(), "lab".parse().unwrap()],
        };
        for (before, was, after) in [
            (None, vec![], "search corp.example lab\n"),
            (
                Some("domain example.org\nnameserver 192.0.2.1\nsearch a.example B.example.\n"),
                vec!["a.example", "b.example"],
                "search corp.example lab\nnameserver 192.0.2.1\n",
            ),
            (Some("searching x"), vec![], "searching x\nsearch corp.example lab\n"),
        ] {
            let state = ResolverState { text: before.map(str::to_owned), ..ResolverState::default() };
            assert_eq!(state.search(), was);
            let text = state.with_names(&names);
            assert_eq!(text, after);
            let state = ResolverState { text: Some(text), ..ResolverState::default() };
            assert_eq!(state.search(), ["corp.example", "lab"]);
        }
    }

    #[test]
    fn what_is_not_said_of_a_device_stays() {
        let names = |servers: &[&str], search: &[&str]| ResolverNames {
            servers: servers.iter().map(|server| server.parse().unwrap()).collect(),
            search: search.iter().map(|domain| domain.parse().unwrap()).collect(),
        };
        let has = LinkNames::for_all_names(&names(&["192.0.2.1"], &["a.example"]));
        for (given, expected) in [
            (names(&[], &[]), "192.0.2.1 for a.example, ~."),
            (names(&["192.0.2.2"], &[]), "192.0.2.2 for a.example, ~."),
            (names(&[], &["b.example"]), "192.0.2.1 for b.example, ~."),
            (names(&["192.0.2.2"], &["b.example"]), "192.0.2.2 for b.example, ~."),
        ] {
            assert_eq!(has.with(&given).to_string(), expected);
        }
        assert_eq!(LinkNames::default().with(&names(&[], &["b.example"])).to_string(), "none for b.example");
    }
}
