//! How much of a device a network may send, and how much it is sure of.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::VlanId;

/// A rate in bit/s: 1000 to 34 359 738 000, and a multiple of 1000.
///
/// *Source*: the kernel's `struct tc_service_curve` (`uapi/linux/pkt_sched.h`) counts bytes in 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct BitRate(u64);

/// Says that a number is no rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRate {
    /// It is too little or too much.
    #[error("{0} bit/s is out of range {low}..{high}", low = BitRate::LEAST.0, high = BitRate::MOST.0)]
    OutOfRange(u64),
    /// It is no whole number of kilobits.
    #[error("{0} bit/s is no multiple of 1000")]
    NotWhole(u64),
}

/// What a network is given of the device below it, on the way out. What comes in is never shaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HostQos {
    /// How what is left of the device is divided among those that want more than they are sure of: in proportion.
    pub link_share: BitRate,
    /// The most that it sends; none leaves it to the device.
    pub upper_limit: Option<BitRate>,
    /// What it can always send; none promises nothing.
    pub committed_rate: Option<BitRate>,
}

/// A kind of traffic that leaves a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrafficClass {
    /// What has no tag, or the tag of no network.
    Rest,
    /// What has this VLAN's tag.
    Vlan(VlanId),
}

/// What queues what leaves a device.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Egress {
    /// What the kernel gives a device by itself.
    #[default]
    Kernels,
    /// Trestle's classes, as far as they are whole.
    Shaped(Shaping),
    /// A queueing discipline of somebody else's, by its kind.
    Foreign(String),
}

/// The classes of a device that Trestle shapes, each with its rates.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shaping(#[serde(with = "crate::pairs")] pub BTreeMap<TrafficClass, HostQos>);

impl BitRate {
    /// The least rate.
    pub const LEAST: Self = Self(1000);
    /// The highest rate.
    pub const MOST: Self = Self(34_359_738_000);

    /// Returns the rate in bit/s.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Returns the rate in bytes a second.
    pub fn bytes_per_second(self) -> u32 {
        u32::try_from(self.0 / 8).expect("the highest rate has 32 bits in bytes")
    }

    /// Reads a rate in bytes a second; `None` for one that cannot be asked for.
    pub fn of_bytes(bytes_per_second: u32) -> Option<Self> {
        Self::try_from(u64::from(bytes_per_second) * 8).ok()
    }
}

impl HostQos {
    /// Tells whether one that has these rates can get those of `wanted` as it is: the kernel gives a class a rate more, and
    /// another value of one, but does not take one away.
    pub const fn can_become(&self, wanted: &Self) -> bool {
        let loses_limit = self.upper_limit.is_some() && wanted.upper_limit.is_none();
        let loses_promise = self.committed_rate.is_some() && wanted.committed_rate.is_none();
        !(loses_limit || loses_promise)
    }
}

impl TryFrom<u64> for BitRate {
    type Error = BadRate;

    fn try_from(value: u64) -> Result<Self, BadRate> {
        if !(Self::LEAST.0..=Self::MOST.0).contains(&value) {
            return Err(BadRate::OutOfRange(value));
        }
        if value.is_multiple_of(1000) { Ok(Self(value)) } else { Err(BadRate::NotWhole(value)) }
    }
}

impl From<BitRate> for u64 {
    fn from(rate: BitRate) -> Self {
        rate.0
    }
}

impl fmt::Display for BitRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bits if bits.is_multiple_of(1_000_000) => write!(f, "{} Mbit/s", bits / 1_000_000),
            bits => write!(f, "{} kbit/s", bits / 1000),
        }
    }
}

impl fmt::Display for HostQos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "share {}", self.link_share)?;
        if let Some(limit) = self.upper_limit {
            write!(f, ", at most {limit}")?;
        }
        if let Some(rate) = self.committed_rate {
            write!(f, ", at least {rate}")?;
        }
        Ok(())
    }
}

impl fmt::Display for TrafficClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rest => f.write_str("untagged and other traffic"),
            Self::Vlan(id) => write!(f, "VLAN {id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_whole_kilobits_that_the_kernel_can_count() {
        for good in [1000, 34_359_738_000] {
            let rate = BitRate::try_from(good).unwrap();
            assert_eq!(BitRate::of_bytes(rate.bytes_per_second()), Some(rate));
        }
        for bad in [0, 999, 1001, 34_359_739_000, u64::MAX] {
            assert!(BitRate::try_from(bad).is_err(), "{bad}");
        }
        assert_eq!(BitRate::of_bytes(3), None);
    }

    #[test]
    fn loses_no_rate_without_being_made_anew() {
        let rate = |kilobits: u64| BitRate::try_from(kilobits * 1000).unwrap();
        let bare = HostQos { link_share: rate(1), upper_limit: None, committed_rate: None };
        let limited = HostQos { upper_limit: Some(rate(9)), ..bare };
        assert!(bare.can_become(&limited) && limited.can_become(&HostQos { link_share: rate(2), ..limited }));
        assert!(!limited.can_become(&bare));
    }
}
