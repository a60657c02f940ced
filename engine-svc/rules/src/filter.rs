//! What libvirt's network filters stop: its stock filters, as a catalogue, and those that hosts report.
//!
//! The catalogue is data: each of libvirt's stock filters with its rules and the filters that it refers to. What hosts report of
//! their own filters outweighs it.

mod catalogue;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use trestle_model::fleet::{Fleet, NetworkFilter, Vnic};
use trestle_model::{
    FilterEffects, FilterReference, HostName, MacAddr, NetworkName, NwFilter, OwnFilter, filter_effects,
};

static STOCK: LazyLock<Vec<NwFilter>> = LazyLock::new(catalogue::all);
static EFFECTS: LazyLock<BTreeMap<String, FilterEffects>> = LazyLock::new(|| {
    let filters: Vec<NwFilter> = STOCK.iter().cloned().chain([OwnFilter::ListedMacs.definition()]).collect();
    filter_effects(&filters)
});

/// Returns libvirt's stock filters, ordered by name.
pub fn stock_filters() -> &'static [NwFilter] {
    &STOCK
}

/// Returns what one of libvirt's stock filters, or of Trestle's, does.
pub fn stock_effects(name: &str) -> Option<FilterEffects> {
    EFFECTS.get(name).copied()
}

/// Tells whether a filter in front of an interface with `mac` on `host` keeps its guest from sending with a foreign MAC: by what
/// the host reports of it, else by the catalogue. A filter that neither knows does not; nor does one whose parameter `MAC` gives
/// another address than the interface's own, which libvirt takes instead, or whose [`OwnFilter::EXTRA_MAC`] has one that is
/// not among the `extra` ones that it may send from.
pub(crate) fn stops_mac_spoofing_on(
    fleet: &Fleet,
    host: &HostName,
    filter: &FilterReference,
    mac: MacAddr,
    extra: &[MacAddr],
) -> bool {
    let is_foreign = |(name, value): &(String, String)| match name.as_str() {
        "MAC" => value.parse() != Ok(mac),
        OwnFilter::EXTRA_MAC => value.parse().map_or(true, |given| given != mac && !extra.contains(&given)),
        _ => false,
    };
    if filter.parameters.iter().any(is_foreign) {
        return false;
    }
    let effects = reported(fleet, host, &filter.name).or_else(|| stock_effects(&filter.name));
    effects.is_some_and(|effects| effects.stops_mac_spoofing)
}

/// Tells whether a profile's `filter` is meant to keep guests of `network` from sending with a foreign MAC: one of libvirt's by
/// the catalogue, any other by the hosts that carry the network, where one reports that it does.
pub(crate) fn stops_mac_spoofing(fleet: &Fleet, network: &NetworkName, filter: &NetworkFilter) -> bool {
    filter_name(filter).is_some_and(|name| match stock_effects(name) {
        Some(effects) => effects.stops_mac_spoofing,
        None => {
            let mut reported = fleet.hosts_with(network).filter_map(|host| reported(fleet, host, name));
            reported.any(|effects| effects.stops_mac_spoofing)
        }
    })
}

/// Tells whether the filter `name` lets guests spoof on `host`, as it reports.
pub(crate) fn lets_spoof_on(fleet: &Fleet, host: &HostName, name: &str) -> bool {
    reported(fleet, host, name).is_some_and(|effects| !effects.stops_mac_spoofing)
}

/// Returns the name of libvirt's filter; none for no filter.
pub(crate) fn filter_name(filter: &NetworkFilter) -> Option<&str> {
    match filter {
        NetworkFilter::Default => Some(OwnFilter::NoMacSpoofing.name()),
        NetworkFilter::None => None,
        NetworkFilter::Named(name) => Some(name),
    }
}

/// Returns the filter that stands in front of a vNIC that lists extra MACs or does not; none for no filter. It is that which the
/// reconciler asks for.
pub(crate) fn in_front<'a>(filter: &'a NetworkFilter, vnic: &Vnic) -> Option<&'a str> {
    match filter {
        NetworkFilter::Default if !vnic.extra_macs.is_empty() => Some(OwnFilter::ListedMacs.name()),
        NetworkFilter::Default | NetworkFilter::None | NetworkFilter::Named(_) => filter_name(filter),
    }
}

/// Tells whether `host` reports its libvirt's filters and has none of that name; agents define Trestle's own where they lack.
pub(crate) fn is_missing_on(fleet: &Fleet, host: &HostName, name: &str) -> bool {
    let filters = || Some(&fleet.observed(host)?.capabilities.as_ref()?.libvirt.filters);
    OwnFilter::named(name).is_none() && filters().is_some_and(|known| !known.is_empty() && !known.contains_key(name))
}

fn reported(fleet: &Fleet, host: &HostName, name: &str) -> Option<FilterEffects> {
    fleet.observed(host)?.capabilities.as_ref()?.libvirt.filters.get(name).copied()
}

#[cfg(test)]
mod tests {
    use trestle_model::FilterEntry;

    use super::*;

    fn with(which: impl Fn(FilterEffects) -> bool) -> Vec<&'static str> {
        EFFECTS.iter().filter(|(_, effects)| which(**effects)).map(|(name, _)| name.as_str()).collect()
    }

    #[test]
    fn only_three_stock_filters_and_ours_stop_mac_spoofing() {
        let stopping = with(|effects| effects.stops_mac_spoofing);
        assert_eq!(stopping, ["clean-traffic", "clean-traffic-gateway", "no-mac-spoofing", "trestle-listed-macs"]);
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
    fn every_reference_is_in_the_catalogue() {
        for entry in STOCK.iter().flat_map(|stock| &stock.entries) {
            if let FilterEntry::Refers(reference) = entry {
                assert!(stock_effects(reference).is_some(), "{reference} is missing");
            }
        }
    }
}
