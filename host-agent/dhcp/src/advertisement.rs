//! A router's advertisement, as it comes in.
//!
//! *Source*: RFC 4861, 4.2 and 4.6; RFC 4191, 2.2; RFC 8106, 5. An option that is not known, or says nothing legal, is passed
//! over; one without a length ends the message.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;
use trestle_model::{RouterPreference, SearchDomain};

/// An advertisement, as far as it is looked at. Times are seconds; [`FOREVER`] never ends, 0 ends at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Advertisement {
    pub(crate) preference: RouterPreference,
    /// For how long it is a default router.
    pub(crate) lifetime_s: u32,
    pub(crate) prefixes: Vec<Prefix>,
    pub(crate) nameservers: Vec<(Ipv6Addr, u32)>,
    pub(crate) search: Vec<(SearchDomain, u32)>,
}

/// A prefix of the link, or of its hosts' addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Prefix {
    pub(crate) net: Ipv6Net,
    pub(crate) on_link: bool,
    pub(crate) autonomous: bool,
    pub(crate) valid_s: u32,
}

/// The time that never ends.
pub(crate) const FOREVER: u32 = u32::MAX;

/// ICMPv6's type of router advertisements.
pub(crate) const KIND: u8 = 134;
/// Octets before the options.
const HEADER: usize = 16;
/// What options are a multiple of, in octets.
const UNIT: usize = 8;
const PREFIX_INFORMATION: u8 = 3;
const NAME_SERVERS: u8 = 25;
const SEARCH_LIST: u8 = 31;
const ON_LINK: u8 = 0x80;
const AUTONOMOUS: u8 = 0x40;

/// Reads an ICMPv6 message; `None` for what is no advertisement.
pub(crate) fn parse(message: &[u8]) -> Option<Advertisement> {
    let (header, mut rest) = message.split_first_chunk::<HEADER>()?;
    let [KIND, 0, _, _, _, flags, high, low, ..] = *header else { return None };
    let mut read = Advertisement {
        preference: match flags >> 3 & 0b11 {
            0b01 => RouterPreference::High,
            0b11 => RouterPreference::Low,
            _ => RouterPreference::Medium,
        },
        lifetime_s: u16::from_be_bytes([high, low]).into(),
        prefixes: Vec::new(),
        nameservers: Vec::new(),
        search: Vec::new(),
    };
    while let [kind, units, ..] = *rest {
        let length = usize::from(units) * UNIT;
        let Some((option, following)) = rest.split_at_checked(length).filter(|_| length > 0) else { break };
        rest = following;
        match kind {
            PREFIX_INFORMATION => read.prefixes.extend(prefix(option)),
            NAME_SERVERS => read.nameservers.extend(lasting(option, nameservers)),
            SEARCH_LIST => read.search.extend(lasting(option, domains)),
            _ => {}
        }
    }
    Some(read)
}

fn prefix(option: &[u8]) -> Option<Prefix> {
    let (head, rest) = option.split_first_chunk::<8>()?;
    let [_, _, length, flags, valid @ ..] = *head;
    let address = rest.get(8..24).and_then(|octets| <[u8; 16]>::try_from(octets).ok())?;
    let net = Ipv6Net::new(address.into(), length).ok()?.trunc();
    // RFC 4861, 6.3.4: the link-local prefix is not told.
    let is_told = !net.addr().is_unicast_link_local() && !net.addr().is_multicast();
    let (on_link, autonomous) = (flags & ON_LINK != 0, flags & AUTONOMOUS != 0);
    is_told.then(|| Prefix { net, on_link, autonomous, valid_s: u32::from_be_bytes(valid) })
}

/// Reads an option that gives everything in it one lifetime.
fn lasting<T>(option: &[u8], read: impl Fn(&[u8]) -> Vec<T>) -> Vec<(T, u32)> {
    let Some((head, rest)) = option.split_first_chunk::<8>() else { return Vec::new() };
    let [_, _, _, _, lifetime @ ..] = *head;
    read(rest).into_iter().map(|value| (value, u32::from_be_bytes(lifetime))).collect()
}

fn nameservers(octets: &[u8]) -> Vec<Ipv6Addr> {
    let (addresses, _) = octets.as_chunks::<16>();
    let can_be_asked =
        |address: &Ipv6Addr| !address.is_unspecified() && !address.is_multicast() && !address.is_loopback();
    addresses.iter().copied().map(Ipv6Addr::from).filter(can_be_asked).collect()
}

/// Reads names in the form of RFC 1035, 3.1, without compression, and zeros behind the last one.
fn domains(mut octets: &[u8]) -> Vec<SearchDomain> {
    let mut read = Vec::new();
    let mut labels: Vec<&str> = Vec::new();
    while let Some((length, rest)) = octets.split_first() {
        if *length == 0 {
            read.extend(std::mem::take(&mut labels).join(".").parse().ok());
            octets = rest;
            continue;
        }
        let Some((label, following)) = rest.split_at_checked(usize::from(*length)) else { break };
        let Ok(label) = std::str::from_utf8(label) else { break };
        // A dot within a label would make two of it.
        labels.push(if label.contains('.') { "" } else { label });
        octets = following;
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(flags: u8, lifetime_s: u16, options: &[&[u8]]) -> Vec<u8> {
        let mut message = vec![KIND, 0, 0, 0, 64, flags];
        message.extend(lifetime_s.to_be_bytes());
        message.extend([0; 8]);
        options.iter().for_each(|option| message.extend(*option));
        message
    }

    fn option(kind: u8, head: [u8; 2], lifetime_s: u32, rest: &[u8]) -> Vec<u8> {
        let mut option = vec![kind, 0];
        option.extend(head);
        option.extend(lifetime_s.to_be_bytes());
        option.extend(rest);
        option.resize(option.len().next_multiple_of(UNIT), 0);
        option[1] = u8::try_from(option.len() / UNIT).unwrap();
        option
    }

    fn address(text: &str) -> [u8; 16] {
        text.parse::<Ipv6Addr>().unwrap().octets()
    }

    #[test]
    fn reads_routers_prefixes_name_servers_and_domains() {
        let net = |text: &str| [vec![0; 8], address(text).to_vec()].concat();
        let servers = ["2001:db8::53", "fe80::53", "ff02::1", "::"].map(address).concat();
        let message = message(
            0b0000_1000,
            1800,
            &[
                &[1, 1, 2, 0, 0, 0, 0, 1],
                &option(PREFIX_INFORMATION, [64, ON_LINK | AUTONOMOUS], 86_400, &net("2001:db8:5::1")),
                &option(PREFIX_INFORMATION, [64, AUTONOMOUS], 86_400, &net("fe80::")),
                &option(PREFIX_INFORMATION, [200, AUTONOMOUS], 86_400, &net("2001:db8:6::")),
                &option(NAME_SERVERS, [0, 0], 600, &servers),
                &option(SEARCH_LIST, [0, 0], FOREVER, b"\x03lab\x07example\0\x04corp\0\x03a b\0\x03a.b\0\x09cut"),
            ],
        );
        let read = parse(&message).unwrap();
        assert_eq!((read.preference, read.lifetime_s), (RouterPreference::High, 1800));
        let prefix =
            Prefix { net: "2001:db8:5::/64".parse().unwrap(), on_link: true, autonomous: true, valid_s: 86_400 };
        assert_eq!(read.prefixes, [prefix]);
        assert_eq!(read.nameservers, [("2001:db8::53".parse().unwrap(), 600), ("fe80::53".parse().unwrap(), 600)]);
        let domains: Vec<_> = read.search.iter().map(|(domain, time)| (domain.as_str(), *time)).collect();
        assert_eq!(domains, [("lab.example", FOREVER), ("corp", FOREVER)]);
    }

    #[test]
    fn what_breaks_off_says_nothing_more_and_what_is_none_nothing() {
        let whole = option(NAME_SERVERS, [0, 0], 600, &address("2001:db8::53"));
        for (options, expected) in [
            (whole.clone(), 1),
            (whole[..whole.len() - 1].to_vec(), 0),
            ([vec![1, 0, 0, 0, 0, 0, 0, 0], whole.clone()].concat(), 0),
            (vec![NAME_SERVERS], 0),
            (vec![NAME_SERVERS, 1, 0, 0, 0, 0, 0, 1], 0),
        ] {
            let read = parse(&message(0, 0, &[&options])).unwrap();
            assert_eq!((read.nameservers.len(), read.preference), (expected, RouterPreference::Medium), "{options:?}");
        }
        let mut solicitation = message(0, 0, &[]);
        solicitation[0] = 133;
        assert_eq!(parse(&solicitation), None);
        assert_eq!(parse(&message(0, 0, &[])[..15]), None);
        assert_eq!(parse(&[]), None);
    }
}
