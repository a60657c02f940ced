//! Numbers with a range and a unit.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Says that a number lies outside its range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value} is out of range {low}..{high}")]
pub struct OutOfRange {
    /// The number that was given.
    pub value: u32,
    /// Smallest legal value.
    pub low: u32,
    /// Largest legal value.
    pub high: u32,
}

impl OutOfRange {
    /// Returns a number that is within its range, both ends included.
    ///
    /// *Errors*: itself.
    pub(crate) const fn check(value: u32, (low, high): (u32, u32)) -> Result<u32, Self> {
        if value < low || value > high { Err(Self { value, low, high }) } else { Ok(value) }
    }
}

/// A VLAN id as a device can carry it: 0 to 4094; 0 is a priority tag.
///
/// *Source*: IEEE 802.1Q-2018, 9.6; 4095 is reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct VlanId(u16);

impl VlanId {
    /// Returns the id as a number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl TryFrom<u32> for VlanId {
    type Error = OutOfRange;

    fn try_from(value: u32) -> Result<Self, OutOfRange> {
        match u16::try_from(value) {
            Ok(id) if id <= 4094 => Ok(Self(id)),
            _ => Err(OutOfRange { value, low: 0, high: 4094 }),
        }
    }
}

impl From<VlanId> for u32 {
    fn from(id: VlanId) -> Self {
        Self::from(id.0)
    }
}

impl fmt::Display for VlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A maximum transmission unit, in bytes of layer-3 payload: 68 to 65535.
///
/// *Source*: RFC 791 (68 is the least that IPv4 allows); RFC 8200 asks for 1280 where IPv6 is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Mtu(u32);

impl Mtu {
    /// The Ethernet default, 1500 bytes.
    pub const ETHERNET: Self = Self(1500);
    /// The least MTU on which IPv6 runs, 1280 bytes.
    pub const IPV6_LEAST: Self = Self(1280);

    /// Returns the MTU in bytes.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for Mtu {
    type Error = OutOfRange;

    fn try_from(value: u32) -> Result<Self, OutOfRange> {
        match value {
            68..=65_535 => Ok(Self(value)),
            _ => Err(OutOfRange { value, low: 68, high: 65_535 }),
        }
    }
}

impl From<Mtu> for u32 {
    fn from(mtu: Mtu) -> Self {
        mtu.0
    }
}

impl fmt::Display for Mtu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_the_edges_of_a_range_and_refuses_what_lies_beyond() {
        assert!(VlanId::try_from(0).is_ok() && VlanId::try_from(4094).is_ok());
        assert!(VlanId::try_from(4095).is_err() && VlanId::try_from(70_000).is_err());
        assert!(Mtu::try_from(68).is_ok() && Mtu::try_from(65_535).is_ok());
        assert!(Mtu::try_from(67).is_err() && Mtu::try_from(65_536).is_err());
    }
}
