//! Legal bonds, and reports of bonds.

use std::net::Ipv4Addr;

use proptest::option;
use proptest::prelude::*;
use trestle_model::{
    Bond, BondEntry, BondMode, BondOption, BondOptions, BondPort, BondPortLink, BondPortReport, BondReport, BondSpec,
    BondState, IfName, Lacp, MacAddr, Origin,
};

use super::report::{addresses, egress, mac, repairs};
use super::spec::{if_name, mtu};

fn station() -> impl Strategy<Value = MacAddr> {
    any::<[u8; 5]>().prop_map(|[a, b, c, d, e]| MacAddr::new([2, a, b, c, d, e]))
}

/// Options of any mode without a fault, some of them not given.
fn options() -> impl Strategy<Value = BondOptions> {
    let words = proptest::collection::vec(option::of(any::<u32>()), BondOption::ALL.len());
    let rest = (option::of(if_name()), proptest::collection::btree_set(1_u8..200, 0..3), option::of(station()));
    (proptest::sample::select(BondMode::ALL.to_vec()), words, rest).prop_map(
        |(mode, words, (primary, targets, system))| {
            let mut options = BondOptions::of(mode);
            for (option, word) in BondOption::ALL.into_iter().zip(words) {
                let Some(word) = word.filter(|_| option.applies_to(mode)) else { continue };
                let (low, high) = option.range();
                options.numbers.insert(option, low + word % (high - low + 1));
            }
            options.primary = primary.filter(|_| mode.has_primary());
            options.ad_actor_system = system.filter(|_| mode == BondMode::Lacp);
            options.arp_ip_targets = targets.into_iter().map(|host| Ipv4Addr::new(192, 0, 2, host)).collect();
            while let Some(fault) = options.faults().first().cloned() {
                options.numbers.retain(|option, _| option.name() != fault.option);
                if fault.option == "arp_ip_targets" {
                    options.arp_ip_targets.clear();
                    options.numbers.remove(&BondOption::ArpInterval);
                }
            }
            options
        },
    )
}

pub(crate) fn bond_spec() -> impl Strategy<Value = BondSpec> {
    let name = "bond[0-9]{1,4}".prop_map(|text| IfName::parse_bond(&text).unwrap());
    let nics = proptest::collection::btree_set(if_name(), 0..4);
    (name, nics, options(), option::of(station())).prop_map(|(name, nics, options, hwaddr)| BondSpec {
        name,
        nics: nics.into_iter().collect(),
        options,
        hwaddr,
    })
}

fn port() -> impl Strategy<Value = BondPortReport> {
    let link =
        [BondPortLink::Up, BondPortLink::Failing, BondPortLink::Down, BondPortLink::Returning].map(Just).to_vec();
    let lacp = (option::of(any::<u16>()), option::of(any::<u32>()), option::of(any::<u32>()));
    (if_name(), any::<bool>(), proptest::strategy::Union::new(link), any::<u32>(), option::of(mac()), lacp).prop_map(
        |(device, active, link, failures, permanent_mac, (aggregator, actor_state, partner_state))| BondPortReport {
            device,
            port: BondPort { active, link, failures, permanent_mac, aggregator, actor_state, partner_state },
        },
    )
}

fn state() -> impl Strategy<Value = BondState> {
    let device = (option::of(mac()), mtu(68), any::<[bool; 2]>(), option::of(if_name()), addresses());
    let lacp = (any::<[u16; 4]>(), mac()).prop_map(|([aggregator, ports, actor_key, partner_key], partner_mac)| Lacp {
        aggregator,
        ports,
        actor_key,
        partner_key,
        partner_mac,
    });
    let bond = (options(), option::of(if_name()), option::of(lacp)).prop_map(|(options, active_port, lacp)| Bond {
        options,
        active_port,
        lacp,
    });
    (device, bond, proptest::collection::vec(port(), 0..3), egress()).prop_map(
        |((mac, mtu, [up, carrier], master, addresses), bond, ports, egress)| BondState {
            mac,
            mtu,
            up,
            carrier,
            master,
            addresses,
            bond,
            ports,
            egress,
        },
    )
}

pub(crate) fn bond_report() -> impl Strategy<Value = BondReport> {
    let origin = prop_oneof![Just(Origin::Engine), Just(Origin::Local)];
    let entry =
        (bond_spec(), origin, option::of(mac())).prop_map(|(spec, origin, mac)| BondEntry { spec, origin, mac });
    (if_name(), option::of(entry), option::of(state()), proptest::collection::vec(".{0,20}", 0..3), repairs()).prop_map(
        |(name, configured, observed, drift, repairs)| BondReport { name, configured, observed, drift, repairs },
    )
}
