//! What network filters really stop.
//!
//! What a filter stops is computed from its rules and those of the filters that it refers to, never guessed from its name:
//! `no-arp-spoofing` stops no MAC spoofing. The computation follows a frame through the rules as libvirt lays them out for
//! `ebtables`; where a rule looks at something that the guest may choose freely, both ways are followed.
//!
//! *Source*: libvirt's `formatnwfilter` page, on chains, priorities and actions.

mod own;
mod passage;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::own::OwnFilter;

/// One of libvirt's filters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NwFilter {
    /// Its name.
    pub name: String,
    /// The chain that its rules are in: `root`, or a protocol and, after a hyphen, anything.
    pub chain: String,
    /// The chain's place among the others, lowest first.
    pub priority: i32,
    /// Its rules and references, in their order.
    pub entries: Vec<FilterEntry>,
}

/// A part of a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilterEntry {
    /// A rule.
    Rule(FilterRule),
    /// Everything of another filter.
    Refers(String),
}

/// A rule of a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterRule {
    /// What becomes of a frame that matches.
    pub action: FilterAction,
    /// Which frames are looked at.
    pub direction: FilterDirection,
    /// The rule's place in its chain, lowest first; 500 where a filter does not say.
    pub priority: i32,
    /// The protocol that a frame has to be of; none takes every frame.
    pub protocol: Option<String>,
    /// Whether a frame has to carry what follows, or must not.
    pub polarity: Polarity,
    /// What it has to carry: attribute and value.
    pub matches: Vec<(String, String)>,
}

/// Whether a frame has to carry what a rule names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Polarity {
    /// It has to carry all of it.
    Carries,
    /// It must carry none of it: `match='no'`.
    Lacks,
}

/// What becomes of a frame that matches a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilterAction {
    /// It passes the whole filter.
    Accept,
    /// It is dropped, silently or with an answer.
    Drop,
    /// It goes on after the chain.
    Return,
    /// It goes on with the next rule.
    Continue,
}

/// Which way a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilterDirection {
    /// To the guest.
    In,
    /// From the guest.
    Out,
    /// Either way.
    Both,
}

/// What a filter does to what its guest sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FilterEffects {
    /// Every frame with a foreign source MAC is dropped, and some with the guest's own pass. Those that the parameter
    /// [`OwnFilter::EXTRA_MAC`] lists are no foreign ones: who gives it answers for them.
    pub stops_mac_spoofing: bool,
    /// Every frame with a VLAN tag of the guest's is dropped.
    pub stops_guest_tags: bool,
    /// Some frame of the guest's passes.
    pub lets_guest_send: bool,
}

/// Computes what each of `filters` does, from its rules and those of all that it refers to among them.
pub fn filter_effects(filters: &[NwFilter]) -> BTreeMap<String, FilterEffects> {
    let by_name: BTreeMap<&str, &NwFilter> = filters.iter().map(|filter| (filter.name.as_str(), filter)).collect();
    filters.iter().map(|filter| (filter.name.clone(), passage::effects(&whole(filter, &by_name)))).collect()
}

/// Returns a filter and all that it refers to, each once.
fn whole<'a>(filter: &'a NwFilter, by_name: &BTreeMap<&str, &'a NwFilter>) -> Vec<&'a NwFilter> {
    let (mut found, mut seen, mut open) = (Vec::new(), BTreeSet::new(), vec![filter]);
    while let Some(filter) = open.pop() {
        if !seen.insert(filter.name.as_str()) {
            continue;
        }
        found.push(filter);
        for entry in &filter.entries {
            match entry {
                FilterEntry::Refers(other) => open.extend(by_name.get(other.as_str()).copied()),
                FilterEntry::Rule(_) => {}
            }
        }
    }
    found
}

/// Returns where libvirt puts the rules of a chain that says nothing of it.
pub fn chain_priority(chain: &str) -> i32 {
    match chain {
        "mac" => -810,
        "ipv4" => -700,
        "ipv6" => -600,
        "arp" => -500,
        "rarp" => -400,
        _ => 0,
    }
}

impl NwFilter {
    /// Makes a filter whose chain is where libvirt puts it.
    pub fn new(name: &str, chain: &str, entries: &[FilterEntry]) -> Self {
        let priority = chain_priority(chain);
        Self { name: name.to_owned(), chain: chain.to_owned(), priority, entries: entries.to_vec() }
    }

    /// Places the filter's chain.
    #[must_use]
    pub fn ordered(self, priority: i32) -> Self {
        Self { priority, ..self }
    }
}

impl FilterEntry {
    /// Makes a reference.
    pub fn refers(filter: &str) -> Self {
        Self::Refers(filter.to_owned())
    }
}

impl FilterRule {
    /// A rule's place in its chain where its filter does not say.
    pub const PRIORITY: i32 = 500;

    /// Makes a rule that takes every frame.
    pub const fn new(action: FilterAction, direction: FilterDirection) -> Self {
        Self {
            action,
            direction,
            priority: Self::PRIORITY,
            protocol: None,
            polarity: Polarity::Carries,
            matches: Vec::new(),
        }
    }

    /// Places the rule in its chain.
    #[must_use]
    pub fn at(self, priority: i32) -> Self {
        Self { priority, ..self }
    }

    /// Lets the rule take only frames of `protocol` that carry what `matches` names.
    #[must_use]
    pub fn when(self, protocol: &str, matches: &[(&str, &str)]) -> Self {
        let matches = matches.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { protocol: Some(protocol.to_owned()), matches, ..self }
    }
}

impl fmt::Display for FilterRule {
    /// Writes the rule as a line: `return out 500 mac srcmacaddr=$MAC`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let action = match self.action {
            FilterAction::Accept => "accept",
            FilterAction::Drop => "drop",
            FilterAction::Return => "return",
            FilterAction::Continue => "continue",
        };
        let direction = match self.direction {
            FilterDirection::In => "in",
            FilterDirection::Out => "out",
            FilterDirection::Both => "inout",
        };
        write!(f, "{action} {direction} {}", self.priority)?;
        if let Some(protocol) = &self.protocol {
            write!(f, " {protocol}")?;
        }
        match self.polarity {
            Polarity::Carries => {}
            Polarity::Lacks => f.write_str(" match=no")?,
        }
        self.matches.iter().try_for_each(|(name, value)| write!(f, " {name}={value}"))
    }
}

#[cfg(test)]
mod tests;
