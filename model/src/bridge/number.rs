//! The rarer options of bridges, all numbers: one table says all there is to know of each.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::OutOfRange;

/// A bridge option that is a number, a switch, or a word with a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BridgeNumber {
    /// Whether multicast routers are behind the bridge itself: 0 never, 1 as heard, 2 always.
    MulticastRouter,
    /// Whether queries come from the bridge's own address, not from 0.0.0.0.
    MulticastQueryUseIfaddr,
    /// The most groups that are known at a time.
    MulticastHashMax,
    /// How many queries ask for the last member of a group.
    MulticastLastMemberCount,
    /// How many queries there are at the start.
    MulticastStartupQueryCount,
    /// How long there is between queries for the last member, centiseconds.
    MulticastLastMemberInterval,
    /// How long a member counts that does not report again, centiseconds.
    MulticastMembershipInterval,
    /// How long another querier counts that does not query again, centiseconds.
    MulticastQuerierInterval,
    /// How long there is between general queries, centiseconds.
    MulticastQueryInterval,
    /// How long members may take to answer a general query, centiseconds.
    MulticastQueryResponseInterval,
    /// How long there is between queries at the start, centiseconds.
    MulticastStartupQueryInterval,
    /// Whether IGMP and MLD messages are counted.
    MulticastStatistics,
    /// Version of IGMP.
    MulticastIgmpVersion,
    /// Version of MLD.
    MulticastMldVersion,
    /// Whether frames are counted for each VLAN.
    VlanStatistics,
    /// Whether IPv4 passes iptables.
    NfCallIptables,
    /// Whether IPv6 passes ip6tables.
    NfCallIp6tables,
    /// Whether ARP passes arptables.
    NfCallArptables,
}

/// Values of some options.
///
/// *Shape*: in a specification those that are given; observed, wanted and compared, those that are not as the kernel makes
/// them. Empty on most bridges, and then it takes no memory.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BridgeNumbers(BTreeMap<BridgeNumber, u32>);

/// What there is to know of an option.
struct Facts {
    name: &'static str,
    range: (u32, u32),
    default: u32,
}

/// The kernel takes shorter ones for one second.
const SECOND: u32 = 100;

impl BridgeNumber {
    /// Every option, in order.
    pub const ALL: [Self; 18] = [
        Self::MulticastRouter,
        Self::MulticastQueryUseIfaddr,
        Self::MulticastHashMax,
        Self::MulticastLastMemberCount,
        Self::MulticastStartupQueryCount,
        Self::MulticastLastMemberInterval,
        Self::MulticastMembershipInterval,
        Self::MulticastQuerierInterval,
        Self::MulticastQueryInterval,
        Self::MulticastQueryResponseInterval,
        Self::MulticastStartupQueryInterval,
        Self::MulticastStatistics,
        Self::MulticastIgmpVersion,
        Self::MulticastMldVersion,
        Self::VlanStatistics,
        Self::NfCallIptables,
        Self::NfCallIp6tables,
        Self::NfCallArptables,
    ];

    /// Returns the option's name on the wire.
    pub const fn name(self) -> &'static str {
        self.facts().name
    }

    /// Returns the smallest and the largest legal value.
    pub const fn range(self) -> (u32, u32) {
        self.facts().range
    }

    /// Checks that `value` is legal for this option.
    ///
    /// *Errors*: [`OutOfRange`].
    pub fn check(self, value: u32) -> Result<u32, OutOfRange> {
        OutOfRange::check(value, self.range())
    }

    /// Returns the value of a new bridge.
    pub const fn default_value(self) -> u32 {
        self.facts().default
    }

    /// Tells whether the option is a time, in centiseconds.
    pub const fn is_time(self) -> bool {
        matches!(
            self,
            Self::MulticastLastMemberInterval
                | Self::MulticastMembershipInterval
                | Self::MulticastQuerierInterval
                | Self::MulticastQueryInterval
                | Self::MulticastQueryResponseInterval
                | Self::MulticastStartupQueryInterval
        )
    }

    /// Tells whether two values are the same to the kernel.
    pub const fn same(self, one: u32, other: u32) -> bool {
        if self.is_time() { same_time(one, other) } else { one == other }
    }

    /// *Source*: `br_multicast_ctx_init` and `br_multicast_set_query_intvl` in the kernel's `net/bridge/br_multicast.c`,
    /// `br_dev_newlink` and `br_changelink` in its `net/bridge/br_netlink.c`.
    const fn facts(self) -> Facts {
        const ANY: (u32, u32) = (0, u32::MAX);
        const SWITCH: (u32, u32) = (0, 1);
        match self {
            Self::MulticastRouter => facts("multicast_router", (0, 2), 1),
            Self::MulticastQueryUseIfaddr => facts("multicast_query_use_ifaddr", SWITCH, 0),
            Self::MulticastHashMax => facts("multicast_hash_max", (1, u32::MAX), 4096),
            Self::MulticastLastMemberCount => facts("multicast_last_member_count", ANY, 2),
            Self::MulticastStartupQueryCount => facts("multicast_startup_query_count", ANY, 2),
            Self::MulticastLastMemberInterval => facts("multicast_last_member_interval_cs", ANY, 100),
            Self::MulticastMembershipInterval => facts("multicast_membership_interval_cs", ANY, 26_000),
            Self::MulticastQuerierInterval => facts("multicast_querier_interval_cs", ANY, 25_500),
            Self::MulticastQueryInterval => facts("multicast_query_interval_cs", (SECOND, u32::MAX), 12_500),
            Self::MulticastQueryResponseInterval => facts("multicast_query_response_interval_cs", ANY, 1000),
            Self::MulticastStartupQueryInterval => {
                facts("multicast_startup_query_interval_cs", (SECOND, u32::MAX), 3125)
            }
            Self::MulticastStatistics => facts("multicast_statistics", SWITCH, 0),
            Self::MulticastIgmpVersion => facts("multicast_igmp_version", (2, 3), 2),
            Self::MulticastMldVersion => facts("multicast_mld_version", (1, 2), 1),
            Self::VlanStatistics => facts("vlan_statistics", SWITCH, 0),
            Self::NfCallIptables => facts("nf_call_iptables", SWITCH, 0),
            Self::NfCallIp6tables => facts("nf_call_ip6tables", SWITCH, 0),
            Self::NfCallArptables => facts("nf_call_arptables", SWITCH, 0),
        }
    }
}

/// Tells whether two times in centiseconds are the same to the kernel, which counts in ticks of its own: one of 250 a second
/// gives back 200 where 201 was set.
pub const fn same_time(one: u32, other: u32) -> bool {
    one.abs_diff(other) <= 1
}

const fn facts(name: &'static str, range: (u32, u32), default: u32) -> Facts {
    Facts { name, range, default }
}

impl BridgeNumbers {
    /// None.
    pub const NONE: Self = Self(BTreeMap::new());

    /// Returns the value of an option, where there is one.
    pub fn given(&self, number: BridgeNumber) -> Option<u32> {
        self.0.get(&number).copied()
    }

    /// Returns the value of an option; what is not listed is as the kernel makes it.
    pub fn value(&self, number: BridgeNumber) -> u32 {
        self.given(number).unwrap_or_else(|| number.default_value())
    }

    /// Returns the options with a value, in order.
    pub fn iter(&self) -> impl Iterator<Item = (BridgeNumber, u32)> {
        self.0.iter().map(|(number, value)| (*number, *value))
    }

    /// Tells whether no option has a value.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns those that are not as the kernel makes them.
    pub fn unusual(&self) -> Self {
        self.iter().filter(|(number, value)| !number.same(*value, number.default_value())).collect()
    }

    /// Returns what has to be set where this is wanted and `is` is there; both list what is not as the kernel makes it.
    pub fn change(&self, is: &Self) -> Self {
        let listed: BTreeSet<BridgeNumber> = self.0.keys().chain(is.0.keys()).copied().collect();
        let differs = |number: &BridgeNumber| !number.same(self.value(*number), is.value(*number));
        listed.into_iter().filter(differs).map(|number| (number, self.value(number))).collect()
    }

    /// Sets options; the rest stays.
    pub fn set(&mut self, change: &Self) {
        self.0.extend(&change.0);
        *self = self.unusual();
    }
}

impl FromIterator<(BridgeNumber, u32)> for BridgeNumbers {
    fn from_iter<T: IntoIterator<Item = (BridgeNumber, u32)>>(values: T) -> Self {
        Self(values.into_iter().collect())
    }
}

impl fmt::Display for BridgeNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_rounds_is_no_difference() {
        let numbers = |values: &[(BridgeNumber, u32)]| BridgeNumbers::from_iter(values.iter().copied());
        let wanted = numbers(&[(BridgeNumber::MulticastQueryInterval, 12_301), (BridgeNumber::MulticastHashMax, 513)]);
        let is = numbers(&[(BridgeNumber::MulticastQueryInterval, 12_300), (BridgeNumber::MulticastHashMax, 512)]);
        assert_eq!(wanted.change(&is), numbers(&[(BridgeNumber::MulticastHashMax, 513)]));
        assert_eq!(numbers(&[(BridgeNumber::MulticastStartupQueryInterval, 3124)]).unusual(), BridgeNumbers::NONE);
    }

    #[test]
    fn what_is_wanted_no_more_returns_to_the_kernels_value() {
        let is = BridgeNumbers::from_iter([(BridgeNumber::MulticastRouter, 2)]);
        let change = BridgeNumbers::NONE.change(&is);
        assert_eq!(change, BridgeNumbers::from_iter([(BridgeNumber::MulticastRouter, 1)]));
        let mut set = is;
        set.set(&change);
        assert_eq!(set, BridgeNumbers::NONE);
    }

    #[test]
    fn every_default_is_legal() {
        for number in BridgeNumber::ALL {
            let (low, high) = number.range();
            assert!((low..=high).contains(&number.default_value()), "{number}");
        }
    }
}
