//! What network filters really stop.
//!
//! The catalogue is data: each of libvirt's stock filters with its rules and the filters that it refers to. What a filter
//! stops is computed from that, never guessed from its name: `no-arp-spoofing` stops no MAC spoofing. The computation
//! follows a frame through the rules as libvirt lays them out for `ebtables`; where a rule looks at something that the
//! guest may choose freely, both ways are followed.
//!
//! *Source*: libvirt's `formatnwfilter` page, on chains, priorities and actions.

mod catalogue;
mod passage;

use std::collections::BTreeSet;
use std::fmt;

use trestle_model::fleet::NetworkFilter;

/// One of libvirt's filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StockFilter {
    /// Its name.
    pub name: &'static str,
    /// The chain that its rules are in: `root`, or a protocol and, after a hyphen, anything.
    pub chain: &'static str,
    /// The chain's place among the others, lowest first.
    pub priority: i32,
    /// Its rules and references, in their order.
    pub entries: &'static [Entry],
}

/// A part of a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// A rule.
    Rule(FilterRule),
    /// Everything of another filter.
    Refers(&'static str),
}

/// A rule of a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilterRule {
    /// What becomes of a frame that matches.
    pub action: Action,
    /// Which frames are looked at.
    pub direction: Direction,
    /// The rule's place in its chain, lowest first; 500 where a filter does not say.
    pub priority: i32,
    /// The protocol that a frame has to be of; none takes every frame.
    pub protocol: Option<&'static str>,
    /// What it has to carry: attribute and value.
    pub matches: &'static [(&'static str, &'static str)],
}

/// What becomes of a frame that matches a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It passes the whole filter.
    Accept,
    /// It is dropped.
    Drop,
    /// It goes on after the chain.
    Return,
}

/// Which way a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To the guest.
    In,
    /// From the guest.
    Out,
    /// Either way.
    Both,
}

/// What a filter does to what its guest sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilterEffects {
    /// Every frame with a foreign source MAC is dropped, and some with the guest's own pass.
    pub stops_mac_spoofing: bool,
    /// Every frame with a VLAN tag of the guest's is dropped.
    pub stops_guest_tags: bool,
    /// Some frame of the guest's passes.
    pub lets_guest_send: bool,
}

impl StockFilter {
    /// Returns every stock filter, ordered by name.
    pub const fn all() -> &'static [Self] {
        catalogue::CATALOGUE
    }

    /// Finds a filter by its name.
    pub fn named(name: &str) -> Option<&'static Self> {
        catalogue::CATALOGUE.iter().find(|filter| filter.name == name)
    }

    /// Computes what the filter does, from its rules and those of all that it refers to.
    pub fn effects(&self) -> FilterEffects {
        passage::effects(&self.whole())
    }

    /// Returns the filter and all that it refers to, each once.
    fn whole(&self) -> Vec<&StockFilter> {
        let (mut found, mut seen, mut open) = (Vec::new(), BTreeSet::new(), vec![self]);
        while let Some(filter) = open.pop() {
            if !seen.insert(filter.name) {
                continue;
            }
            found.push(filter);
            for entry in filter.entries {
                match entry {
                    Entry::Refers(other) => open.extend(Self::named(other)),
                    Entry::Rule(_) => {}
                }
            }
        }
        found
    }

    /// Places the filter's chain.
    const fn ordered(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }
}

impl FilterRule {
    const fn at(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    const fn when(mut self, protocol: &'static str, matches: &'static [(&'static str, &'static str)]) -> Self {
        self.protocol = Some(protocol);
        self.matches = matches;
        self
    }
}

impl fmt::Display for FilterRule {
    /// Writes the rule as a line: `return out 500 mac srcmacaddr=$MAC`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let action = match self.action {
            Action::Accept => "accept",
            Action::Drop => "drop",
            Action::Return => "return",
        };
        let direction = match self.direction {
            Direction::In => "in",
            Direction::Out => "out",
            Direction::Both => "inout",
        };
        write!(f, "{action} {direction} {}", self.priority)?;
        if let Some(protocol) = self.protocol {
            write!(f, " {protocol}")?;
        }
        self.matches.iter().try_for_each(|(name, value)| write!(f, " {name}={value}"))
    }
}

/// Makes a filter; its chain is where libvirt puts the protocol's chains.
const fn filter(name: &'static str, chain: &'static str, entries: &'static [Entry]) -> StockFilter {
    let priority = match chain.as_bytes() {
        b"mac" => -810,
        b"ipv4" => -700,
        b"ipv6" => -600,
        b"arp" => -500,
        b"rarp" => -400,
        _ => 0,
    };
    StockFilter { name, chain, priority, entries }
}

const fn rule(action: Action, direction: Direction) -> FilterRule {
    FilterRule { action, direction, priority: 500, protocol: None, matches: &[] }
}

const fn accept(direction: Direction) -> FilterRule {
    rule(Action::Accept, direction)
}

const fn drop(direction: Direction) -> FilterRule {
    rule(Action::Drop, direction)
}

const fn give_back(direction: Direction) -> FilterRule {
    rule(Action::Return, direction)
}

/// Tells whether `filter` keeps a guest from sending with a foreign MAC.
///
/// Trestle's default filter does. A named filter that is not in the catalogue does not count: its rules are not known.
pub fn stops_mac_spoofing(filter: &NetworkFilter) -> bool {
    match filter {
        NetworkFilter::Default => true,
        NetworkFilter::None => false,
        NetworkFilter::Named(name) => StockFilter::named(name).is_some_and(|stock| stock.effects().stops_mac_spoofing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(which: impl Fn(FilterEffects) -> bool) -> Vec<&'static str> {
        StockFilter::all().iter().filter(|stock| which(stock.effects())).map(|stock| stock.name).collect()
    }

    #[test]
    fn only_three_stock_filters_stop_mac_spoofing() {
        let stopping = with(|effects| effects.stops_mac_spoofing);
        assert_eq!(stopping, ["clean-traffic", "clean-traffic-gateway", "no-mac-spoofing"]);
    }

    #[test]
    fn tags_to_the_gateway_pass_the_gateways_filter() {
        assert_eq!(with(|effects| effects.stops_guest_tags), ["clean-traffic", "no-other-l2-traffic"]);
    }

    #[test]
    fn what_drops_everything_protects_nobody() {
        assert_eq!(with(|effects| !effects.lets_guest_send), ["no-other-l2-traffic"]);
    }

    #[test]
    fn a_rule_before_the_others_takes_the_protection_away() {
        const OPENED: &[Entry] = &[
            Entry::Refers("no-mac-spoofing"),
            Entry::Rule(accept(Direction::Out).at(-900).when("mac", &[("protocolid", "arp")])),
        ];
        const LATER: &[Entry] = &[
            Entry::Refers("no-mac-spoofing"),
            Entry::Rule(accept(Direction::Out).when("mac", &[("protocolid", "arp")])),
        ];
        assert!(!filter("opened", "root", OPENED).effects().stops_mac_spoofing);
        assert!(filter("later", "root", LATER).effects().stops_mac_spoofing);
    }

    #[test]
    fn every_reference_is_in_the_catalogue() {
        for entry in StockFilter::all().iter().flat_map(|stock| stock.entries) {
            if let Entry::Refers(reference) = entry {
                assert!(StockFilter::named(reference).is_some(), "{reference} is missing");
            }
        }
    }

    #[test]
    fn an_unknown_filter_does_not_count_as_stopping() {
        assert!(!stops_mac_spoofing(&NetworkFilter::Named("no-mac-spoofing-of-ours".to_owned())));
        assert!(!stops_mac_spoofing(&NetworkFilter::Named(String::new())));
    }
}
