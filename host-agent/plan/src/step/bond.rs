//! Mode and options of a bond that a step sets.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use trestle_model::{BondMode, BondOption, IfName, MacAddr, Settable};

use super::Words;

/// Mode and options to set on a bond.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BondTuning {
    /// Mode; the bond must be down and have no ports.
    pub mode: Option<BondMode>,
    /// Options that are numbers.
    pub numbers: BTreeMap<BondOption, u32>,
    /// The preferred port.
    pub primary: Option<Primary>,
    /// Addresses that ARP monitoring asks for; an empty list clears them.
    pub arp_ip_targets: Option<Vec<Ipv4Addr>>,
    /// LACP system address; zero is the bond's own MAC.
    pub ad_actor_system: Option<MacAddr>,
    /// The port to use from now on, until its link fails; the link has to be up.
    #[serde(default)]
    pub active_port: Option<IfName>,
}

/// Which port a bond is to prefer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Primary {
    /// None.
    Nobody,
    /// This one.
    Port(IfName),
}

impl BondTuning {
    /// Tells whether there is nothing to set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns what the bond has to be like while this is set.
    pub fn settable(&self) -> Settable {
        let mode = self.mode.map(|_| Settable::Portless);
        let numbers = self.numbers.keys().map(|option| option.settable());
        numbers.chain(mode).max().unwrap_or(Settable::Always)
    }
}

impl Primary {
    /// Returns the port, if there is one.
    pub const fn port(&self) -> Option<&IfName> {
        match self {
            Self::Nobody => None,
            Self::Port(port) => Some(port),
        }
    }
}

impl fmt::Display for BondTuning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Words::new(f);
        words.add("mode", self.mode)?;
        for (option, number) in &self.numbers {
            words.add(option.name(), Some(number))?;
        }
        match &self.primary {
            Some(Primary::Port(port)) => words.add("primary", Some(port))?,
            Some(Primary::Nobody) => words.add("primary", Some("none"))?,
            None => {}
        }
        if let Some(targets) = &self.arp_ip_targets {
            let texts: Vec<String> = targets.iter().map(ToString::to_string).collect();
            words.add("arp_ip_targets", Some(if texts.is_empty() { "none".to_owned() } else { texts.join(" ") }))?;
        }
        words.add("ad_actor_system", self.ad_actor_system)?;
        words.add("active_port", self.active_port.as_ref())
    }
}
