//! Drift, and what a host's agent does about it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A kind of thing that others can take from a host or alter on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DriftKind {
    /// Bridges, VLAN devices and bonds, what is a port of what, and the attributes of all these.
    Devices,
    /// Addresses, DHCP clients, and whether IPv6 is switched off.
    Addresses,
    /// Routes and routing rules.
    Routing,
    /// The host's name servers.
    NameServers,
    /// libvirt's networks.
    LibvirtNetworks,
    /// MAC tables of bridges that libvirt manages: VLAN filtering, forwarding entries, and what ports learn and flood.
    MacTables,
}

/// Says that a text names no kind of drift.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is none of devices, addresses, routing, name_servers, libvirt_networks, mac_tables")]
pub struct BadDriftKind(pub String);

/// What the agent does about one kind of drift of a network or a bond.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repair {
    /// What differs.
    pub kind: DriftKind,
    /// What is done about it.
    pub state: RepairState,
    /// Repairs that were tried since it was last in order for long.
    pub attempts: u32,
    /// Why nothing is done, or why the last repair failed, for people; empty where nothing went wrong.
    pub reason: String,
}

/// What is done about drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RepairState {
    /// It is repaired next, or after a rest.
    Due,
    /// It was repaired too often or in vain; nothing is done until something changes.
    Suspended,
    /// The agent is told to leave this kind alone.
    LeftAlone,
    /// It cannot be repaired now: a device is missing, or belongs to somebody else.
    Impossible,
}

/// What the agent has repaired since its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RepairTally {
    /// Transactions that mended drift.
    pub repaired: u64,
    /// Transactions that tried to and were undone or refused.
    pub failed: u64,
}

impl DriftKind {
    /// Every kind.
    pub const ALL: [Self; 6] =
        [Self::Devices, Self::Addresses, Self::Routing, Self::NameServers, Self::LibvirtNetworks, Self::MacTables];

    /// Returns the kind's name, as a configuration has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Devices => "devices",
            Self::Addresses => "addresses",
            Self::Routing => "routing",
            Self::NameServers => "name_servers",
            Self::LibvirtNetworks => "libvirt_networks",
            Self::MacTables => "mac_tables",
        }
    }
}

impl fmt::Display for DriftKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for DriftKind {
    type Err = BadDriftKind;

    fn from_str(text: &str) -> Result<Self, BadDriftKind> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| BadDriftKind(text.to_owned()))
    }
}
