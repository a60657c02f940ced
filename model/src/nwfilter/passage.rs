//! A frame's way through the rules of a filter.
//!
//! libvirt puts the rules of every filter of the chain `root` into one chain, and a jump to each other chain at that
//! chain's priority; a chain named after a protocol is entered by frames of that protocol only. What no rule decides
//! passes.

use std::collections::BTreeMap;

use super::{FilterAction, FilterDirection, FilterEffects, FilterEntry, FilterRule, NwFilter, Polarity};

/// A frame that the guest sends, as far as rules can tell it from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Frame {
    source: Source,
    kind: &'static str,
}

/// Whose source MAC a frame has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Own,
    Foreign,
}

/// What frames carry: each protocol that a chain or rule of libvirt's can ask for, and one that none does.
const KINDS: [&str; 8] = ["ipv4", "ipv6", "arp", "rarp", "vlan", "stp", "0x835", "0x88b5"];

/// The source of frames that whoever gives the parameter [`super::OwnFilter::EXTRA_MAC`] answers for.
const LISTED: &str = "$EXTRA_MAC";

/// Whether a rule takes a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    Yes,
    No,
    /// The guest decides by what it sends.
    GuestDecides,
}

/// What may become of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fate {
    may_pass: bool,
    may_go_on: bool,
}

/// Something at a place of the root chain.
enum Stop<'a> {
    Rule(&'a FilterRule),
    Chain(&'a str, Vec<&'a FilterRule>),
}

pub(super) fn effects(filters: &[&NwFilter]) -> FilterEffects {
    let stops = laid_out(filters);
    let passes = |source, kind| passes(&stops, Frame { source, kind });
    let lets_guest_send = KINDS.into_iter().any(|kind| passes(Source::Own, kind));
    FilterEffects {
        stops_mac_spoofing: lets_guest_send && !KINDS.into_iter().any(|kind| passes(Source::Foreign, kind)),
        stops_guest_tags: !passes(Source::Own, "vlan"),
        lets_guest_send,
    }
}

/// Lays the rules out as libvirt does: by priority, those of one chain together.
fn laid_out<'a>(filters: &[&'a NwFilter]) -> Vec<Stop<'a>> {
    let mut stops: Vec<(i32, Stop<'a>)> = Vec::new();
    let mut chains: BTreeMap<&str, (i32, Vec<&FilterRule>)> = BTreeMap::new();
    for filter in filters {
        let rules = filter.entries.iter().filter_map(|entry| match entry {
            FilterEntry::Rule(rule) => Some(rule),
            FilterEntry::Refers(_) => None,
        });
        if filter.chain == "root" {
            stops.extend(rules.map(|rule| (rule.priority, Stop::Rule(rule))));
        } else {
            chains.entry(&filter.chain).or_insert((filter.priority, Vec::new())).1.extend(rules);
        }
    }
    for (chain, (priority, mut rules)) in chains {
        rules.sort_by_key(|rule| rule.priority);
        stops.push((priority, Stop::Chain(chain, rules)));
    }
    stops.sort_by_key(|(priority, _)| *priority);
    stops.into_iter().map(|(_, stop)| stop).collect()
}

fn passes(stops: &[Stop<'_>], frame: Frame) -> bool {
    for stop in stops {
        let fate = match stop {
            // What returns from there leaves the filter.
            Stop::Rule(rule) if rule.action == FilterAction::Return && taken(rule, frame) != Taken::No => return true,
            Stop::Rule(rule) => through(&[rule], frame),
            Stop::Chain(chain, rules) if enters(chain, frame) => through(rules, frame),
            Stop::Chain(..) => continue,
        };
        if fate.may_pass {
            return true;
        }
        if !fate.may_go_on {
            return false;
        }
    }
    true
}

fn enters(chain: &str, frame: Frame) -> bool {
    let protocol = chain.split('-').next().unwrap_or(chain);
    protocol == "mac" || protocol == frame.kind
}

fn through(rules: &[&FilterRule], frame: Frame) -> Fate {
    let mut returns = false;
    for rule in rules {
        let taken = taken(rule, frame);
        if taken == Taken::No || rule.action == FilterAction::Continue {
            continue;
        }
        match rule.action {
            FilterAction::Accept => return Fate { may_pass: true, may_go_on: true },
            FilterAction::Return => returns = true,
            FilterAction::Drop | FilterAction::Continue => {}
        }
        if taken == Taken::Yes {
            return Fate { may_pass: false, may_go_on: returns };
        }
    }
    Fate { may_pass: false, may_go_on: true }
}

fn taken(rule: &FilterRule, frame: Frame) -> Taken {
    match rule.direction {
        FilterDirection::In => return Taken::No,
        FilterDirection::Out | FilterDirection::Both => {}
    }
    let of_protocol = match rule.protocol.as_deref() {
        None | Some("mac") => true,
        Some("ip") => frame.kind == "ipv4",
        Some(protocol) => frame.kind == protocol,
    };
    if !of_protocol {
        return Taken::No;
    }
    let mut taken = Taken::Yes;
    for carried in rule.matches.iter().map(|(attribute, value)| carries(rule, attribute, value, frame)) {
        match (carried, rule.polarity) {
            (Taken::Yes, Polarity::Carries) | (Taken::No, Polarity::Lacks) => {}
            (Taken::No, Polarity::Carries) | (Taken::Yes, Polarity::Lacks) => return Taken::No,
            (Taken::GuestDecides, _) => taken = Taken::GuestDecides,
        }
    }
    taken
}

/// Tells whether a frame carries what a rule names. Of a part of an address, a guest's own has it, and others may.
fn carries(rule: &FilterRule, attribute: &str, value: &str, frame: Frame) -> Taken {
    if attribute == "srcmacaddr" && rule.direction == FilterDirection::Both {
        // On the guest's side libvirt swaps source and destination of such a rule, and compares the destination.
        return Taken::GuestDecides;
    }
    let is_part = || rule.matches.iter().any(|(name, _)| name == "srcmacmask");
    match (attribute, value, frame.source) {
        ("srcmacmask", ..) => match frame.source {
            Source::Own => Taken::Yes,
            Source::Foreign => Taken::GuestDecides,
        },
        ("srcmacaddr", "$MAC", Source::Own) => Taken::Yes,
        ("srcmacaddr", "$MAC" | LISTED, Source::Foreign) if is_part() => Taken::GuestDecides,
        ("srcmacaddr", "$MAC", Source::Foreign) => Taken::No,
        // A rule is made of it for each value, so that one which drops the rest of the world drops the other values, too.
        ("srcmacaddr", LISTED, Source::Foreign) if rule.polarity == Polarity::Carries => Taken::No,
        ("protocolid", kind, _) if kind == frame.kind => Taken::Yes,
        ("protocolid", kind, _) if KINDS.contains(&kind) => Taken::No,
        _ => Taken::GuestDecides,
    }
}
