//! The rarer bridge options, which are fields of the same message.
//!
//! An enum's number on the wire is the kernel's number and one, since the wire keeps 0 for what is not said.

use trestle_model::{BridgeNumber, BridgeNumbers, Code, Finding};

use crate::form::Form;
use crate::host::v1 as wire;

/// Reads what is given, whatever its range.
pub(in crate::host_wire) fn read_numbers(form: &mut Form, path: &str, given: &wire::BridgeOptions) -> BridgeNumbers {
    let mut read = |number: BridgeNumber| {
        let value = match field(number, given) {
            Field::Number(value) => value?,
            Field::Switch(on) => on?.into(),
            Field::Router(router) => {
                form.known::<wire::MulticastRouter>(&format!("{path}.{}", number.name()), router?)?;
                u32::try_from(router?).ok()?.checked_sub(1)?
            }
        };
        Some((number, value))
    };
    BridgeNumber::ALL.into_iter().filter_map(&mut read).collect()
}

/// Notes each value that is out of its range.
pub(super) fn check_ranges(form: &mut Form, path: &str, numbers: &BridgeNumbers) {
    for (number, value) in numbers.iter() {
        if let Err(bad) = number.check(value) {
            let (low, high) = number.range();
            let message = format!("{number} {bad}");
            let finding = Finding::error(Code::BridgeOptionOutOfRange, format!("{path}.{number}"), message);
            form.note(finding.remedy(format!("give {low} to {high}, or leave it out for the kernel's default")));
        }
    }
}

/// Builds the fields of the values that are given; all others are absent.
pub(in crate::host_wire) fn build_numbers(numbers: &BridgeNumbers) -> wire::BridgeOptions {
    let number = |number| numbers.given(number);
    let switch = |number| numbers.given(number).map(|value| value != 0);
    let router = |value: u32| i32::try_from(value.saturating_add(1)).unwrap_or_default();
    wire::BridgeOptions {
        multicast_router: numbers.given(BridgeNumber::MulticastRouter).map(router),
        multicast_query_use_ifaddr: switch(BridgeNumber::MulticastQueryUseIfaddr),
        multicast_hash_max: number(BridgeNumber::MulticastHashMax),
        multicast_last_member_count: number(BridgeNumber::MulticastLastMemberCount),
        multicast_startup_query_count: number(BridgeNumber::MulticastStartupQueryCount),
        multicast_last_member_interval_cs: number(BridgeNumber::MulticastLastMemberInterval),
        multicast_membership_interval_cs: number(BridgeNumber::MulticastMembershipInterval),
        multicast_querier_interval_cs: number(BridgeNumber::MulticastQuerierInterval),
        multicast_query_interval_cs: number(BridgeNumber::MulticastQueryInterval),
        multicast_query_response_interval_cs: number(BridgeNumber::MulticastQueryResponseInterval),
        multicast_startup_query_interval_cs: number(BridgeNumber::MulticastStartupQueryInterval),
        multicast_statistics: switch(BridgeNumber::MulticastStatistics),
        multicast_igmp_version: number(BridgeNumber::MulticastIgmpVersion),
        multicast_mld_version: number(BridgeNumber::MulticastMldVersion),
        vlan_statistics: switch(BridgeNumber::VlanStatistics),
        nf_call_iptables: switch(BridgeNumber::NfCallIptables),
        nf_call_ip6tables: switch(BridgeNumber::NfCallIp6tables),
        nf_call_arptables: switch(BridgeNumber::NfCallArptables),
        ..wire::BridgeOptions::default()
    }
}

/// An option's field on the wire.
enum Field {
    Number(Option<u32>),
    Switch(Option<bool>),
    Router(Option<i32>),
}

const fn field(number: BridgeNumber, given: &wire::BridgeOptions) -> Field {
    match number {
        BridgeNumber::MulticastRouter => Field::Router(given.multicast_router),
        BridgeNumber::MulticastQueryUseIfaddr => Field::Switch(given.multicast_query_use_ifaddr),
        BridgeNumber::MulticastHashMax => Field::Number(given.multicast_hash_max),
        BridgeNumber::MulticastLastMemberCount => Field::Number(given.multicast_last_member_count),
        BridgeNumber::MulticastStartupQueryCount => Field::Number(given.multicast_startup_query_count),
        BridgeNumber::MulticastLastMemberInterval => Field::Number(given.multicast_last_member_interval_cs),
        BridgeNumber::MulticastMembershipInterval => Field::Number(given.multicast_membership_interval_cs),
        BridgeNumber::MulticastQuerierInterval => Field::Number(given.multicast_querier_interval_cs),
        BridgeNumber::MulticastQueryInterval => Field::Number(given.multicast_query_interval_cs),
        BridgeNumber::MulticastQueryResponseInterval => Field::Number(given.multicast_query_response_interval_cs),
        BridgeNumber::MulticastStartupQueryInterval => Field::Number(given.multicast_startup_query_interval_cs),
        BridgeNumber::MulticastStatistics => Field::Switch(given.multicast_statistics),
        BridgeNumber::MulticastIgmpVersion => Field::Number(given.multicast_igmp_version),
        BridgeNumber::MulticastMldVersion => Field::Number(given.multicast_mld_version),
        BridgeNumber::VlanStatistics => Field::Switch(given.vlan_statistics),
        BridgeNumber::NfCallIptables => Field::Switch(given.nf_call_iptables),
        BridgeNumber::NfCallIp6tables => Field::Switch(given.nf_call_ip6tables),
        BridgeNumber::NfCallArptables => Field::Switch(given.nf_call_arptables),
    }
}
