//! Virtual machines and their virtual NICs.

use serde::{Deserialize, Serialize};

use super::{Meta, ProfileId};
use crate::{HostName, MacAddr, ResourceId, VmId};

/// A virtual machine, as far as networking is concerned with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vm {
    /// The UUID of its libvirt domain.
    pub id: VmId,
    /// Common part.
    pub meta: Meta,
    /// Name, for people.
    pub display_name: String,
    /// Description, for people.
    pub description: String,
    /// The cluster that it belongs to.
    pub cluster: ResourceId,
    /// The host that it runs on; none where it does not run.
    pub host: Option<HostName>,
    /// What it is declared to run itself.
    pub nesting: Nesting,
    /// Whether its vNICs are plugged past their filters, as by a hook of the host's.
    pub bypasses_filters: bool,
}

/// What a virtual machine is declared to do with virtual machines of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Nesting {
    /// It has none.
    #[default]
    None,
    /// It has some, behind addresses of its own.
    Routed,
    /// It has some, which send through its vNICs with MACs of their own.
    Bridged,
}

/// A virtual NIC of a virtual machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vnic {
    /// The virtual machine.
    pub vm: VmId,
    /// Name, unique in the virtual machine.
    pub id: ResourceId,
    /// Common part.
    pub meta: Meta,
    /// Description, for people.
    pub description: String,
    /// The MAC that was asked for; none takes one from the pool of the cluster.
    pub mac: Option<MacAddr>,
    /// The MAC that the pool gave, where none was asked for. Never a client's to set.
    pub pooled_mac: Option<MacAddr>,
    /// The profile, and with it the network; none leaves the vNIC without a network.
    pub profile: Option<ProfileId>,
    /// What the guest sees.
    pub model: VnicModel,
    /// Whether it is in the virtual machine.
    pub plugged: bool,
    /// Whether its cable is in.
    pub linked: bool,
    /// Further MACs that the guest sends with, as for bonds, VRRP or guests of its own.
    pub extra_macs: Vec<MacAddr>,
    /// Parameters of the filter, instead of the profile's of the same name.
    #[serde(default)]
    pub filter_parameters: Vec<(String, String)>,
    /// Whether it is plugged past its filter.
    pub bypasses_filter: bool,
    /// Whether the guest is declared to bond its vNICs, or to run VRRP or CARP.
    pub virtual_macs: bool,
}

/// The device that a guest sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VnicModel {
    /// virtio-net.
    #[default]
    Virtio,
    /// Intel 82574L.
    E1000e,
    /// Intel 82540EM.
    E1000,
    /// Realtek RTL8139.
    Rtl8139,
}

impl Vnic {
    /// Returns the MAC that it has: the one that was asked for, or the pool's; none before the pool has given one.
    pub fn address(&self) -> Option<MacAddr> {
        self.mac.or(self.pooled_mac)
    }

    /// Returns every MAC that the guest may send with.
    pub fn addresses(&self) -> impl Iterator<Item = MacAddr> {
        self.address().into_iter().chain(self.extra_macs.iter().copied())
    }
}
