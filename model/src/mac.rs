//! Ethernet hardware addresses.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A 48-bit Ethernet hardware address.
///
/// *Source*: IEEE 802-2014, 8.2. Text form: six colon-separated pairs of hexadecimal digits, lower case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddr([u8; 6]);

/// Says that a text is not a MAC address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a MAC address of the form 52:54:00:12:34:56")]
pub struct BadMac(String);

impl MacAddr {
    /// Makes a MAC from its six octets.
    pub const fn new(octets: [u8; 6]) -> Self {
        Self(octets)
    }

    /// Reads a MAC from the bytes of a netlink attribute.
    ///
    /// *Errors*: [`BadMac`] unless there are exactly six bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadMac> {
        <[u8; 6]>::try_from(bytes).map(Self).map_err(|_| BadMac(format!("{bytes:02x?}")))
    }

    /// Returns the six octets in transmission order.
    pub const fn octets(self) -> [u8; 6] {
        self.0
    }

    /// Returns the address as a number, the first octet its highest.
    pub fn number(self) -> u64 {
        let [a, b, c, d, e, g] = self.0;
        u64::from_be_bytes([0, 0, a, b, c, d, e, g])
    }

    /// Makes a MAC from its number; `None` beyond 48 bits.
    pub const fn from_number(number: u64) -> Option<Self> {
        match number.to_be_bytes() {
            [0, 0, a, b, c, d, e, g] => Some(Self([a, b, c, d, e, g])),
            _ => None,
        }
    }

    /// Tells whether the group bit is set: multicast or broadcast, never a station's own address.
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 == 1
    }

    /// Tells whether this is the all-zero address.
    pub fn is_zero(self) -> bool {
        self.0 == [0; 6]
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for MacAddr {
    type Err = BadMac;

    fn from_str(text: &str) -> Result<Self, BadMac> {
        let bad = || BadMac(text.to_owned());
        let mut octets = [0; 6];
        let mut parts = text.split(':');
        for octet in &mut octets {
            let part = parts.next().filter(|p| p.len() == 2).ok_or_else(bad)?;
            *octet = u8::from_str_radix(part, 16).map_err(|_| bad())?;
        }
        match parts.next() {
            Some(_) => Err(bad()),
            None => Ok(Self(octets)),
        }
    }
}

impl TryFrom<String> for MacAddr {
    type Error = BadMac;

    fn try_from(text: String) -> Result<Self, BadMac> {
        text.parse()
    }
}

impl From<MacAddr> for String {
    fn from(mac: MacAddr) -> Self {
        mac.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_prints() {
        let mac: MacAddr = "52:54:00:AB:cd:ef".parse().unwrap();
        assert_eq!(mac.to_string(), "52:54:00:ab:cd:ef");
        assert_eq!(mac.to_string().parse::<MacAddr>().unwrap(), mac);
    }

    #[test]
    fn reads_back_from_its_number() {
        let mac: MacAddr = "52:54:00:ab:cd:ef".parse().unwrap();
        assert_eq!((mac.number(), MacAddr::from_number(mac.number())), (0x5254_00ab_cdef, Some(mac)));
        assert_eq!(MacAddr::from_number(1 << 48), None);
    }

    #[test]
    fn refuses_what_is_no_mac() {
        for bad in [
            "",
            "52:54:00:ab:cd",
            "52:54:00:ab:cd:ef:00",
            "52-54-00-ab-cd-ef",
            "5:54:00:ab:cd:ef",
            "+5:54:00:ab:cd:ef0",
        ] {
            assert!(bad.parse::<MacAddr>().is_err(), "{bad:?} was accepted");
        }
    }
}
