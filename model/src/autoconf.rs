//! What a device makes of what IPv6 routers advertise.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a device configures IPv6 by itself.
///
/// *Source*: `net.ipv6.conf.DEV` in the kernel's `Documentation/networking/ip-sysctl.rst`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ipv6Autoconf {
    /// Whether routers are listened to (`accept_ra`).
    pub accept_ra: AcceptRa,
    /// Whether addresses are made of the prefixes that they advertise (`autoconf`).
    pub autoconf: bool,
    /// Whether they become default routers (`accept_ra_defrtr`).
    pub accept_ra_defrtr: bool,
    /// How the host's part of an address is made (`addr_gen_mode`).
    pub addr_gen_mode: AddrGenMode,
    /// Whether the device forwards (`forwarding`), which Trestle never sets.
    pub forwarding: bool,
}

/// Whether a device listens to routers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AcceptRa {
    /// It does not.
    Never,
    /// It does while it does not forward itself.
    UnlessForwarding,
    /// It does, also while it forwards.
    Always,
}

/// How the host's part of a link-local or advertised address is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AddrGenMode {
    /// Of the hardware address.
    Eui64,
    /// Not at all: no such address is made, and none that is link-local.
    None,
    /// Of a secret of the host's and the device's name (RFC 7217).
    StablePrivacy,
    /// As before, with a secret that is drawn anew.
    Random,
}

impl Ipv6Autoconf {
    /// A new device's, on a host whose defaults nobody has changed.
    pub const NEW: Self = Self {
        accept_ra: AcceptRa::UnlessForwarding,
        autoconf: true,
        accept_ra_defrtr: true,
        addr_gen_mode: AddrGenMode::Eui64,
        forwarding: false,
    };
}

impl AcceptRa {
    /// Reads the kernel's number; `None` for one that means nothing.
    pub const fn of_kernel(number: i32) -> Option<Self> {
        match number {
            0 => Some(Self::Never),
            1 => Some(Self::UnlessForwarding),
            2 => Some(Self::Always),
            _ => None,
        }
    }

    /// Tells whether a device listens to routers that forwards itself, or does not.
    pub const fn hears(self, forwarding: bool) -> bool {
        match self {
            Self::Never => false,
            Self::UnlessForwarding => !forwarding,
            Self::Always => true,
        }
    }

    /// Returns the kernel's number.
    pub const fn number(self) -> u8 {
        match self {
            Self::Never => 0,
            Self::UnlessForwarding => 1,
            Self::Always => 2,
        }
    }
}

impl AddrGenMode {
    /// Reads the kernel's number; `None` for one that means nothing here.
    pub const fn of_kernel(number: i32) -> Option<Self> {
        match number {
            0 => Some(Self::Eui64),
            1 => Some(Self::None),
            2 => Some(Self::StablePrivacy),
            3 => Some(Self::Random),
            _ => None,
        }
    }

    /// Returns the kernel's number.
    pub const fn number(self) -> u8 {
        match self {
            Self::Eui64 => 0,
            Self::None => 1,
            Self::StablePrivacy => 2,
            Self::Random => 3,
        }
    }
}

impl fmt::Display for AcceptRa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}

impl fmt::Display for AddrGenMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Eui64 => "eui64",
            Self::None => "none",
            Self::StablePrivacy => "stable_privacy",
            Self::Random => "random",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_numbers_are_read_as_they_are_written() {
        for number in 0..5 {
            if let Some(accept_ra) = AcceptRa::of_kernel(number) {
                assert_eq!(i32::from(accept_ra.number()), number);
            }
            if let Some(mode) = AddrGenMode::of_kernel(number) {
                assert_eq!(i32::from(mode.number()), number);
            }
        }
        assert_eq!((AcceptRa::of_kernel(3), AddrGenMode::of_kernel(4)), (None, None));
    }
}
