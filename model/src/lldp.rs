//! What neighbours of a NIC tell of themselves by LLDP.
//!
//! *Source*: IEEE 802.1AB-2016 clause 8; the organizationally specific parts are of IEEE 802.1Q-2018 annex D and IEEE
//! 802.3-2018 clause 79.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::VlanId;

/// A neighbour of a NIC, in its own words; nothing that it says is checked by anybody.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LldpNeighbor {
    /// Which device it is.
    pub chassis: LldpId,
    /// Which of its ports the cable ends at.
    pub port: LldpId,
    /// The port, for people.
    pub port_description: Option<String>,
    /// The device's name.
    pub system_name: Option<String>,
    /// The device, for people.
    pub system_description: Option<String>,
    /// What the device can be.
    pub capabilities: BTreeSet<LldpCapability>,
    /// What of that it is.
    pub enabled_capabilities: BTreeSet<LldpCapability>,
    /// Where the device is managed, in the order in which it tells.
    pub management_addresses: Vec<IpAddr>,
    /// The VLAN of frames without a tag on that port; `None` where it has none or does not tell.
    pub port_vlan: Option<VlanId>,
    /// The VLANs of that port, with their names, as far as it tells.
    pub vlans: BTreeMap<VlanId, String>,
    /// The largest frame that the port takes, in bytes, with header and checksum; `None` where it does not tell.
    pub max_frame_size: Option<u16>,
}

impl LldpNeighbor {
    /// Makes a neighbour that says no more than it has to.
    pub const fn new(chassis: LldpId, port: LldpId) -> Self {
        Self {
            chassis,
            port,
            port_description: None,
            system_name: None,
            system_description: None,
            capabilities: BTreeSet::new(),
            enabled_capabilities: BTreeSet::new(),
            management_addresses: Vec::new(),
            port_vlan: None,
            vlans: BTreeMap::new(),
            max_frame_size: None,
        }
    }
}

/// The identity of a device or of a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LldpId {
    /// What the value is.
    pub kind: LldpIdKind,
    /// The value as text; bytes that are no text are told in hexadecimal, with colons.
    pub value: String,
}

/// What an identity is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LldpIdKind {
    /// The name of a part of a chassis.
    ChassisComponent,
    /// The alias of an interface.
    InterfaceAlias,
    /// The name of a port or a backplane.
    PortComponent,
    /// A hardware address.
    MacAddress,
    /// An address of a network, most often of IP.
    NetworkAddress,
    /// The name of an interface.
    InterfaceName,
    /// A circuit of a relay agent.
    AgentCircuitId,
    /// Whatever the vendor chose.
    Local,
}

/// What a device can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LldpCapability {
    /// Something else.
    Other,
    /// A repeater.
    Repeater,
    /// A MAC bridge: a switch.
    Bridge,
    /// A WLAN access point.
    WlanAccessPoint,
    /// A router.
    Router,
    /// A telephone.
    Telephone,
    /// A DOCSIS cable device.
    DocsisCableDevice,
    /// Nothing but a station.
    StationOnly,
    /// The C-VLAN component of a VLAN bridge.
    CVlanComponent,
    /// The S-VLAN component of a VLAN bridge.
    SVlanComponent,
    /// A two-port MAC relay.
    TwoPortMacRelay,
}

impl LldpCapability {
    /// Every capability, in the order of its bit; the first is bit 0.
    pub const ALL: [Self; 11] = [
        Self::Other,
        Self::Repeater,
        Self::Bridge,
        Self::WlanAccessPoint,
        Self::Router,
        Self::Telephone,
        Self::DocsisCableDevice,
        Self::StationOnly,
        Self::CVlanComponent,
        Self::SVlanComponent,
        Self::TwoPortMacRelay,
    ];
}
