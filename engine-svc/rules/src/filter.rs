//! What network filters really stop.
//!
//! The catalogue is data: each of libvirt's stock filters with what its own rules drop and the filters that it refers
//! to. What a filter stops is computed from that, never guessed from its name: `no-arp-spoofing` stops no MAC spoofing.
//!
//! *Source*: the filters that libvirt 9.0 installs as `nwfilter/*.xml`.

use trestle_model::fleet::NetworkFilter;

/// A stock filter.
struct Stock {
    name: &'static str,
    own_rules: OwnRules,
    refers_to: &'static [&'static str],
}

/// What a filter's own rules do about frames with a foreign source MAC.
#[derive(PartialEq, Eq)]
enum OwnRules {
    /// Each such frame is dropped, whatever it carries.
    DropForeignSource,
    /// Some or all of them pass.
    Other,
}

const fn stock(name: &'static str) -> Stock {
    Stock { name, own_rules: OwnRules::Other, refers_to: &[] }
}

const CATALOGUE: &[Stock] = &[
    stock("allow-arp"),
    stock("allow-dhcp"),
    stock("allow-dhcp-server"),
    stock("allow-dhcpv6"),
    stock("allow-dhcpv6-server"),
    stock("allow-incoming-ipv4"),
    stock("allow-incoming-ipv6"),
    stock("allow-ipv4"),
    stock("allow-ipv6"),
    Stock {
        refers_to: &[
            "no-mac-spoofing",
            "no-ip-spoofing",
            "allow-incoming-ipv4",
            "no-arp-spoofing",
            "no-other-l2-traffic",
            "qemu-announce-self",
        ],
        ..stock("clean-traffic")
    },
    Stock {
        refers_to: &[
            "no-mac-spoofing",
            "no-ip-spoofing",
            "no-arp-spoofing",
            "no-other-l2-traffic",
            "qemu-announce-self",
        ],
        ..stock("clean-traffic-gateway")
    },
    stock("no-arp-ip-spoofing"),
    stock("no-arp-mac-spoofing"),
    Stock { refers_to: &["no-arp-mac-spoofing", "no-arp-ip-spoofing"], ..stock("no-arp-spoofing") },
    stock("no-ip-multicast"),
    stock("no-ip-spoofing"),
    stock("no-ipv6-multicast"),
    stock("no-ipv6-spoofing"),
    stock("no-mac-broadcast"),
    Stock { own_rules: OwnRules::DropForeignSource, ..stock("no-mac-spoofing") },
    stock("no-other-l2-traffic"),
    stock("no-other-rarp-traffic"),
    Stock { refers_to: &["qemu-announce-self-rarp", "no-other-rarp-traffic"], ..stock("qemu-announce-self") },
    stock("qemu-announce-self-rarp"),
];

/// Tells whether `filter` keeps a guest from sending with a foreign MAC.
///
/// Trestle's default filter does. A named filter that is not in the catalogue does not count: its rules are not known.
pub fn stops_mac_spoofing(filter: &NetworkFilter) -> bool {
    match filter {
        NetworkFilter::Default => true,
        NetworkFilter::None => false,
        NetworkFilter::Named(name) => stock_stops(name),
    }
}

/// Follows the references; the catalogue has no cycles.
fn stock_stops(name: &str) -> bool {
    CATALOGUE.iter().find(|stock| stock.name == name).is_some_and(|stock| {
        stock.own_rules == OwnRules::DropForeignSource || stock.refers_to.iter().any(|other| stock_stops(other))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_three_stock_filters_stop_mac_spoofing() {
        let stopping: Vec<&str> = CATALOGUE.iter().map(|stock| stock.name).filter(|name| stock_stops(name)).collect();
        assert_eq!(stopping, ["clean-traffic", "clean-traffic-gateway", "no-mac-spoofing"]);
    }

    #[test]
    fn every_reference_is_in_the_catalogue() {
        for reference in CATALOGUE.iter().flat_map(|stock| stock.refers_to) {
            assert!(CATALOGUE.iter().any(|stock| stock.name == *reference), "{reference} is missing");
        }
    }

    #[test]
    fn an_unknown_filter_does_not_count_as_stopping() {
        assert!(!stops_mac_spoofing(&NetworkFilter::Named("no-mac-spoofing-of-ours".to_owned())));
        assert!(!stops_mac_spoofing(&NetworkFilter::Named(String::new())));
    }
}
