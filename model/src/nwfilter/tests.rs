//! What rules do to frames, however they are written.

use super::*;

fn out(action: FilterAction) -> FilterRule {
    FilterRule::new(action, FilterDirection::Out)
}

/// Returns to whoever has its own MAC, and drops the rest.
fn guard() -> Vec<FilterEntry> {
    let own = out(FilterAction::Return).when("mac", &[("srcmacaddr", "$MAC")]);
    vec![FilterEntry::Rule(own), FilterEntry::Rule(out(FilterAction::Drop).when("mac", &[]))]
}

fn effects_of(name: &str, filters: &[NwFilter]) -> FilterEffects {
    filter_effects(filters)[name]
}

/// What a filter with these rules does, all of them in the chain `mac`.
fn of(rules: &[FilterRule]) -> FilterEffects {
    let entries: Vec<_> = rules.iter().cloned().map(FilterEntry::Rule).collect();
    effects_of("it", &[NwFilter::new("it", "mac", &entries)])
}

#[test]
fn a_guard_stops_spoofing_and_so_does_what_refers_to_it() {
    let mac_guard = NwFilter::new("guard", "mac", &guard()).ordered(-800);
    let ours = NwFilter::new("ours", "root", &[FilterEntry::refers("guard"), FilterEntry::refers("nowhere")]);
    let all = [mac_guard, ours];
    for name in ["guard", "ours"] {
        let effects = effects_of(name, &all);
        assert!(effects.stops_mac_spoofing && effects.lets_guest_send && !effects.stops_guest_tags, "{name}");
    }
}

#[test]
fn a_rule_before_the_others_takes_the_protection_away() {
    let guard = NwFilter::new("guard", "mac", &guard()).ordered(-800);
    let arp = |priority| out(FilterAction::Accept).at(priority).when("mac", &[("protocolid", "arp")]);
    let with = |priority| {
        let entries = [FilterEntry::refers("guard"), FilterEntry::Rule(arp(priority))];
        effects_of("it", &[guard.clone(), NwFilter::new("it", "root", &entries)]).stops_mac_spoofing
    };
    assert!(!with(-900));
    assert!(with(FilterRule::PRIORITY));
}

#[test]
fn what_must_not_be_carried_is_dropped_all_the_same() {
    let lacks =
        |action, matches: &[(&str, &str)]| FilterRule { polarity: Polarity::Lacks, ..out(action).when("mac", matches) };
    assert!(of(&[lacks(FilterAction::Drop, &[("srcmacaddr", "$MAC")])]).stops_mac_spoofing);
    assert!(!of(&[out(FilterAction::Drop).when("mac", &[("srcmacaddr", "$MAC")])]).lets_guest_send);
    assert!(of(&[lacks(FilterAction::Drop, &[("protocolid", "arp")])]).lets_guest_send);
}

#[test]
fn a_part_of_an_address_is_no_address() {
    let part = [("srcmacaddr", "$MAC"), ("srcmacmask", "ff:ff:ff:00:00:00")];
    let effects = of(&[out(FilterAction::Return).when("mac", &part), out(FilterAction::Drop)]);
    assert!(!effects.stops_mac_spoofing && effects.lets_guest_send);
}

#[test]
fn what_only_goes_on_and_what_is_for_the_guest_stop_nothing() {
    let goes_on = out(FilterAction::Continue).when("mac", &[]);
    assert!(!of(&[goes_on]).stops_mac_spoofing);
    let inward = FilterRule::new(FilterAction::Drop, FilterDirection::In);
    assert!(!of(&[inward]).stops_mac_spoofing);
    assert!(!of(&[]).stops_mac_spoofing);
}

#[test]
fn what_the_judge_does_not_know_is_taken_for_a_way_through() {
    let with = |rule: FilterRule| {
        let mut rules = vec![rule.at(100)];
        rules.extend(guard().into_iter().filter_map(|entry| match entry {
            FilterEntry::Rule(rule) => Some(rule),
            FilterEntry::Refers(_) => None,
        }));
        of(&rules).stops_mac_spoofing
    };
    assert!(!with(out(FilterAction::Accept).when("mac", &[("protocolid", "0x88cc")])), "any ethertype");
    assert!(with(out(FilterAction::Drop).when("mac", &[("protocolid", "0x88cc")])));
    let lacks =
        FilterRule { polarity: Polarity::Lacks, ..out(FilterAction::Drop).when("mac", &[("protocolid", "0x88cc")]) };
    assert!(!of(&[lacks]).stops_mac_spoofing);
    let both = |action| FilterRule::new(action, FilterDirection::Both).when("mac", &[("srcmacaddr", "$MAC")]);
    assert!(
        !of(&[both(FilterAction::Return), out(FilterAction::Drop)]).stops_mac_spoofing,
        "it compares the destination"
    );
}

#[test]
fn what_returns_from_the_root_leaves_the_filter() {
    let rules = |action| {
        let first = out(action).at(100);
        let rest =
            FilterRule { polarity: Polarity::Lacks, ..out(FilterAction::Drop).when("mac", &[("srcmacaddr", "$MAC")]) };
        let entries = [FilterEntry::Rule(first), FilterEntry::Rule(rest)];
        effects_of("it", &[NwFilter::new("it", "root", &entries)]).stops_mac_spoofing
    };
    assert!(rules(FilterAction::Continue));
    assert!(!rules(FilterAction::Return));
}

#[test]
fn filters_of_ours_stop_all_but_what_is_given_them() {
    for own in OwnFilter::ALL {
        let effects = effects_of(own.name(), &[own.definition()]);
        assert!(effects.stops_mac_spoofing && effects.lets_guest_send && !effects.stops_guest_tags, "{own:?}");
    }
    let listed = |value: &str, action| {
        let first = out(action).when("mac", &[("srcmacaddr", value)]);
        of(&[first, out(FilterAction::Drop).at(1000)]).stops_mac_spoofing
    };
    // Any other parameter is nobody's to answer for.
    assert!(!listed("$OTHER", FilterAction::Return) && !listed("52:54:00:00:00:09", FilterAction::Return));
    let lacks = FilterRule {
        polarity: Polarity::Lacks,
        ..out(FilterAction::Drop).when("mac", &[("srcmacaddr", "$EXTRA_MAC")])
    };
    assert!(!of(&[lacks]).stops_mac_spoofing, "of a list, each value has such a rule");
}
