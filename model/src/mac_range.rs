//! Ranges of Ethernet hardware addresses.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::MacAddr;

/// A range of station addresses, both ends included: 1 to 2^32 addresses, none of them multicast.
///
/// Two stations' addresses with a multicast one between them are more than 2^40 apart, so a range that begins and ends
/// with a station's has no other between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "(MacAddr, MacAddr)", into = "(MacAddr, MacAddr)")]
pub struct MacRange {
    first: MacAddr,
    last: MacAddr,
}

/// Says why two addresses are no range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadMacRange {
    /// An end is no station's address.
    #[error("{0} is no address of a single station")]
    NotUnicast(MacAddr),
    /// The ends are the wrong way round.
    #[error("{first} comes after {last}")]
    Reversed {
        /// The first address.
        first: MacAddr,
        /// The last one.
        last: MacAddr,
    },
    /// There are too many addresses between them.
    #[error("has more than {} addresses", MacRange::LARGEST)]
    TooLarge,
}

impl MacRange {
    /// The most addresses of a range.
    pub const LARGEST: u64 = 1 << 32;

    /// Checks both ends and makes them a range.
    ///
    /// *Errors*: [`BadMacRange`].
    pub fn new(first: MacAddr, last: MacAddr) -> Result<Self, BadMacRange> {
        if let Some(bad) = [first, last].into_iter().find(|mac| mac.is_multicast() || mac.is_zero()) {
            return Err(BadMacRange::NotUnicast(bad));
        }
        match last.number().checked_sub(first.number()) {
            None => Err(BadMacRange::Reversed { first, last }),
            Some(distance) if distance >= Self::LARGEST => Err(BadMacRange::TooLarge),
            Some(_) => Ok(Self { first, last }),
        }
    }

    /// Returns the first address.
    pub const fn first(self) -> MacAddr {
        self.first
    }

    /// Returns the last address.
    pub const fn last(self) -> MacAddr {
        self.last
    }

    /// Returns how many addresses there are.
    pub fn size(self) -> u64 {
        self.last.number() - self.first.number() + 1
    }

    /// Tells whether the address is in the range.
    pub fn contains(self, mac: MacAddr) -> bool {
        (self.first..=self.last).contains(&mac)
    }

    /// Tells whether an address is in both ranges.
    pub fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

impl fmt::Display for MacRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.first, self.last)
    }
}

impl TryFrom<(MacAddr, MacAddr)> for MacRange {
    type Error = BadMacRange;

    fn try_from((first, last): (MacAddr, MacAddr)) -> Result<Self, BadMacRange> {
        Self::new(first, last)
    }
}

impl From<MacRange> for (MacAddr, MacAddr) {
    fn from(range: MacRange) -> Self {
        (range.first, range.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: &str, last: &str) -> Result<MacRange, BadMacRange> {
        MacRange::new(first.parse().unwrap(), last.parse().unwrap())
    }

    #[test]
    fn a_range_has_stations_addresses_only() {
        assert_eq!(range("52:54:00:00:00:00", "52:54:00:00:00:00").unwrap().size(), 1);
        assert_eq!(range("52:54:00:00:00:00", "52:54:ff:ff:ff:ff").unwrap().size(), MacRange::LARGEST);
        for (first, last) in [
            ("52:54:00:00:00:01", "52:54:00:00:00:00"),
            ("52:ff:ff:ff:ff:ff", "53:00:00:00:00:00"),
            ("01:00:5e:00:00:01", "01:00:5e:00:00:02"),
            ("00:00:00:00:00:00", "00:00:00:00:00:01"),
            ("52:ff:ff:ff:ff:ff", "54:00:00:00:00:00"),
            ("52:54:00:00:00:00", "52:55:00:00:00:00"),
        ] {
            assert!(range(first, last).is_err(), "{first} to {last} was accepted");
        }
    }

    #[test]
    fn ranges_overlap_where_they_share_an_address() {
        let low = range("52:54:00:00:00:00", "52:54:00:00:00:ff").unwrap();
        let touching = range("52:54:00:00:00:ff", "52:54:00:00:01:00").unwrap();
        let beyond = range("52:54:00:00:01:00", "52:54:00:00:01:ff").unwrap();
        assert!(low.overlaps(touching) && touching.overlaps(low) && touching.overlaps(beyond));
        assert!(!low.overlaps(beyond) && !beyond.overlaps(low));
    }
}
