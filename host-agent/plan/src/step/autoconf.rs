//! What a step changes of how a device configures IPv6 by itself.

use std::fmt;

use serde::{Deserialize, Serialize};
use trestle_model::{AcceptRa, AddrGenMode, Ipv6Autoconf};

use super::{Words, on_off};

/// Settings of a device's own IPv6 configuration to set; those that are `None` stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AutoconfChange {
    /// Whether routers are listened to.
    pub accept_ra: Option<AcceptRa>,
    /// Whether addresses are made of what they advertise.
    pub autoconf: Option<bool>,
    /// Whether they become default routers.
    pub accept_ra_defrtr: Option<bool>,
    /// How the host's part of an address is made.
    pub addr_gen_mode: Option<AddrGenMode>,
}

impl AutoconfChange {
    /// Makes a change to exactly these settings.
    pub const fn to(settings: Ipv6Autoconf) -> Self {
        Self {
            accept_ra: Some(settings.accept_ra),
            autoconf: Some(settings.autoconf),
            accept_ra_defrtr: Some(settings.accept_ra_defrtr),
            addr_gen_mode: Some(settings.addr_gen_mode),
        }
    }

    /// Returns what `settings` are after the change.
    pub fn of(self, settings: Ipv6Autoconf) -> Ipv6Autoconf {
        Ipv6Autoconf {
            accept_ra: self.accept_ra.unwrap_or(settings.accept_ra),
            autoconf: self.autoconf.unwrap_or(settings.autoconf),
            accept_ra_defrtr: self.accept_ra_defrtr.unwrap_or(settings.accept_ra_defrtr),
            addr_gen_mode: self.addr_gen_mode.unwrap_or(settings.addr_gen_mode),
            forwarding: settings.forwarding,
        }
    }

    /// Tells whether nothing changes.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the part of the change that takes less of what routers say.
    pub(crate) fn closing(self) -> Self {
        Self {
            accept_ra: self.accept_ra.filter(|accept_ra| *accept_ra != AcceptRa::Always),
            autoconf: self.autoconf.filter(|on| !on),
            accept_ra_defrtr: self.accept_ra_defrtr.filter(|on| !on),
            addr_gen_mode: None,
        }
    }

    /// Tells whether the device hears, or makes, more than before, so that a router is to be asked.
    pub fn opens(&self) -> bool {
        self.accept_ra.is_some_and(|accept_ra| accept_ra != AcceptRa::Never)
            || self.autoconf == Some(true)
            || self.accept_ra_defrtr == Some(true)
    }
}

impl fmt::Display for AutoconfChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Words::new(f);
        words.add("accept_ra", self.accept_ra)?;
        words.add("autoconf", self.autoconf.map(on_off))?;
        words.add("accept_ra_defrtr", self.accept_ra_defrtr.map(on_off))?;
        words.add("addr_gen_mode", self.addr_gen_mode)
    }
}
