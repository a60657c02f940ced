//! What a host's kernel and libvirt can do, as found by trying.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A thing that some kernels or libvirts cannot do; each has a stable name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feature {
    /// Bridges exist at all.
    Bridge,
    /// Bridges filter by VLAN (`CONFIG_BRIDGE_VLAN_FILTERING`); libvirt's MAC table management needs it.
    BridgeVlanFiltering,
    /// 802.1Q VLAN devices.
    VlanDevices,
    /// Bonding devices.
    Bonding,
    /// FDB entries that cannot roam (`NTF_STICKY`, kernel 4.20).
    FdbSticky,
    /// Bridge ports that accept only known source addresses (`IFLA_BRPORT_LOCKED`, kernel 5.18).
    PortLocked,
    /// Guests' ports may have more than untagged frames of one MAC: the agent knows `guest_ports`, and the kernel keeps a port in
    /// further VLANs and has entries there.
    GuestPorts,
    /// Routing rules and tables beside the main one (`CONFIG_IP_MULTIPLE_TABLES`).
    PolicyRouting,
    /// Queueing by classes (`CONFIG_NET_SCH_HFSC`, `CONFIG_NET_SCH_FQ_CODEL`, `CONFIG_NET_CLS_FLOWER`).
    EgressShaping,
    /// libvirt networks with `macTableManager` (libvirt 1.2.11).
    LibvirtMacTableManager,
    /// libvirt networks with VLAN tags on standard bridges (libvirt 11.0).
    LibvirtBridgeVlan,
    /// Interfaces of domains can be set: the agent knows `SetDomainInterfaces`, and libvirt answers.
    DomainInterfaces,
}

/// Whether a feature is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Support {
    /// It was tried and works.
    Present,
    /// It was tried and does not work, and why.
    Absent(String),
    /// It could not be tried, and why.
    Unknown(String),
}

/// The probed features of a host; one that is not listed was never probed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FeatureSet(pub BTreeMap<Feature, Support>);

impl Feature {
    /// Every feature, in the order reported.
    pub const ALL: [Self; 12] = [
        Self::Bridge,
        Self::BridgeVlanFiltering,
        Self::VlanDevices,
        Self::Bonding,
        Self::FdbSticky,
        Self::PortLocked,
        Self::GuestPorts,
        Self::PolicyRouting,
        Self::EgressShaping,
        Self::LibvirtMacTableManager,
        Self::LibvirtBridgeVlan,
        Self::DomainInterfaces,
    ];

    /// Returns the feature's stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::BridgeVlanFiltering => "bridge_vlan_filtering",
            Self::VlanDevices => "vlan_devices",
            Self::Bonding => "bonding",
            Self::FdbSticky => "fdb_sticky",
            Self::PortLocked => "port_locked",
            Self::GuestPorts => "guest_ports",
            Self::PolicyRouting => "policy_routing",
            Self::EgressShaping => "egress_shaping",
            Self::LibvirtMacTableManager => "libvirt_mac_table_manager",
            Self::LibvirtBridgeVlan => "libvirt_bridge_vlan",
            Self::DomainInterfaces => "domain_interfaces",
        }
    }

    /// Tells whether the feature is libvirt's rather than the kernel's.
    pub const fn is_of_libvirt(self) -> bool {
        matches!(self, Self::LibvirtMacTableManager | Self::LibvirtBridgeVlan | Self::DomainInterfaces)
    }
}

impl FeatureSet {
    /// Returns what is known of `feature`; one that was never probed is unknown.
    pub fn support(&self, feature: Feature) -> Support {
        self.0.get(&feature).cloned().unwrap_or_else(|| Support::Unknown("not probed".to_owned()))
    }

    /// Tells whether `feature` was tried and works.
    pub fn has(&self, feature: Feature) -> bool {
        matches!(self.0.get(&feature), Some(Support::Present))
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
