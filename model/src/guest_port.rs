//! What guests' ports on a bridge may send and get beside untagged frames of their own MACs.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{MacAddr, VlanId};

/// The rules of guests' ports in a bridge whose MAC table libvirt manages. By default nothing is allowed beyond what
/// managing brings, and nothing is enforced.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct GuestPorts {
    /// What becomes of frames from other MACs.
    pub source_macs: SourceMacs,
    /// What becomes of guests that are wired past libvirt's network.
    pub bridge_wired: BridgeWired,
    /// The NICs of guests that may have more, by MAC.
    pub nics: BTreeMap<MacAddr, GuestNic>,
}

/// What becomes of frames that a guest sends from a MAC that is neither its own nor among its further ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceMacs {
    /// They pass, and are not learned.
    #[default]
    Any,
    /// The bridge drops them.
    Locked,
}

/// What becomes of guests with `<interface type='bridge'>`, whom libvirt's network does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BridgeWired {
    /// They have entries of the agent's; while such a guest pauses, its port learns.
    #[default]
    Convert,
    /// A request that finds one on the bridge is refused; one that comes later is converted all the same.
    Refuse,
}

/// What a guest's NIC may have beside its own MAC and untagged frames.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct GuestNic {
    /// Further MACs; each once in a network.
    pub extra_macs: BTreeSet<MacAddr>,
    /// VLANs whose tagged frames pass both ways, 1..4094; not the bridge's default one.
    pub vlans: BTreeSet<VlanId>,
}

impl GuestPorts {
    /// The most NICs that may have more.
    pub const MOST_NICS: usize = 1024;
    /// The most further MACs of a NIC.
    pub const MOST_EXTRA_MACS: usize = 64;
    /// The most VLANs of a NIC.
    pub const MOST_VLANS: usize = 256;
    /// The most forwarding entries that the NICs' MACs and VLANs come to: each MAC has one in each VLAN.
    pub const MOST_ENTRIES: usize = 16_384;

    /// Tells whether nothing is said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the further MACs of a NIC.
    pub fn extra_macs(&self, nic: MacAddr) -> impl Iterator<Item = MacAddr> {
        self.nics.get(&nic).into_iter().flat_map(|nic| nic.extra_macs.iter().copied())
    }

    /// Returns the VLANs of a NIC.
    pub fn vlans(&self, nic: MacAddr) -> impl Iterator<Item = u16> {
        self.nics.get(&nic).into_iter().flat_map(|nic| nic.vlans.iter().map(|id| id.get()))
    }

    /// Returns the VLANs of all NICs, which the uplink has to be in.
    pub fn all_vlans(&self) -> BTreeSet<u16> {
        self.nics.values().flat_map(|nic| nic.vlans.iter().map(|id| id.get())).collect()
    }

    /// Returns how many forwarding entries the NICs' MACs and VLANs come to, with those outside VLANs and in the default one.
    pub fn entries(&self) -> usize {
        self.nics.values().map(|nic| (1 + nic.extra_macs.len()) * (2 + nic.vlans.len())).sum()
    }
}
