//! A logical network as one host is asked to have it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    BridgeSpec, GuestPorts, HostQos, IfName, Ipv4Config, Ipv6Config, Mtu, NameServer, NetworkName, ResolverNames,
    SearchDomain, StaticRoute, VlanId,
};

/// A network on a host, described whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSpec {
    /// Logical name, unique on the host.
    pub name: NetworkName,
    /// Where the network leaves the host; none makes a bridge without an uplink.
    pub southbound: Option<Southbound>,
    /// The VLAN on the southbound device; none is untagged. Needs a southbound.
    pub vlan: Option<VlanId>,
    /// MTU of the network's devices.
    pub mtu: Mtu,
    /// Whether guests attach to a bridge, or only the host uses the network.
    pub topology: Topology,
    /// Who manages the bridge's MAC table. Kept, and without effect, where there is no bridge.
    pub mac_table_manager: MacTableManager,
    /// IPv4 on the network's top device.
    pub ipv4: Ipv4Config,
    /// IPv6 on the network's top device.
    pub ipv6: Ipv6Config,
    /// Whether the network's gateway is the host's default route.
    pub default_route: bool,
    /// Routes through the network beside the default one, in the order given; each destination and metric once.
    #[serde(default)]
    pub routes: Vec<StaticRoute>,
    /// Name servers of the host, in order; empty keeps what the host has. Only with the default route.
    #[serde(default)]
    pub nameservers: Vec<NameServer>,
    /// Domains in which the host searches short names, in order; empty keeps what the host has. Only with the default
    /// route.
    #[serde(default)]
    pub search_domains: Vec<SearchDomain>,
    /// Whether guests' ports are isolated from one another.
    #[serde(default)]
    pub port_isolation: bool,
    /// What guests' ports may send and get beside untagged frames of their own MACs; only where libvirt manages the MAC table.
    #[serde(default, skip_serializing_if = "GuestPorts::is_default")]
    pub guest_ports: GuestPorts,
    /// What the network is given of its southbound device; `None` leaves it to the others, where one of them has it, and
    /// to the kernel otherwise.
    #[serde(default)]
    pub host_qos: Option<HostQos>,
    /// Values that are kept and reported, for hooks.
    #[serde(default)]
    pub custom: BTreeMap<String, String>,
}

/// What a network stands on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Southbound {
    /// A network interface of the host.
    Nic(IfName),
    /// A bond: one that the host is asked to have, or one that it has and that is adopted as it is.
    Bond(IfName),
}

/// Whether a network has a bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topology {
    /// Guests attach to this bridge.
    Bridged(BridgeSpec),
    /// The host's addresses sit on the NIC or VLAN device itself.
    Bridgeless,
}

/// Who manages a bridge's forwarding database (MAC table).
///
/// *Source*: libvirt, "Network XML format", `macTableManager`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, PartialOrd, Ord)]
#[serde(rename_all = "snake_case")]
pub enum MacTableManager {
    /// The kernel learns addresses and floods unknown ones.
    #[default]
    Kernel,
    /// libvirt adds a static entry for each guest; guests' ports neither learn nor flood.
    Libvirt,
}

impl NetworkSpec {
    /// Returns the bridge's description, if the network has a bridge.
    pub const fn bridge(&self) -> Option<&BridgeSpec> {
        match &self.topology {
            Topology::Bridged(bridge) => Some(bridge),
            Topology::Bridgeless => None,
        }
    }

    /// Tells whether libvirt is to manage a MAC table here: asked for, and there is a bridge.
    pub const fn is_managed(&self) -> bool {
        matches!((&self.topology, self.mac_table_manager), (Topology::Bridged(_), MacTableManager::Libvirt))
    }

    /// Returns what the network says of the host's resolver.
    pub fn resolver_names(&self) -> ResolverNames {
        ResolverNames { servers: self.nameservers.clone(), search: self.search_domains.clone() }
    }

    /// Returns the device below the bridge: the VLAN device or the southbound itself.
    pub fn uplink(&self) -> Option<IfName> {
        let base = self.southbound.as_ref()?.device();
        Some(match self.vlan {
            Some(id) => IfName::for_vlan(base, id),
            None => base.clone(),
        })
    }

    /// Returns the device that carries the network's addresses: the bridge, else the uplink.
    pub fn top_device(&self) -> Option<IfName> {
        match &self.topology {
            Topology::Bridged(bridge) => Some(bridge.name.clone()),
            Topology::Bridgeless => self.uplink(),
        }
    }
}

impl Southbound {
    /// Returns the device's name.
    pub const fn device(&self) -> &IfName {
        match self {
            Self::Nic(name) | Self::Bond(name) => name,
        }
    }

    /// Returns the bond's name, if it is a bond.
    pub const fn bond(&self) -> Option<&IfName> {
        match self {
            Self::Nic(_) => None,
            Self::Bond(name) => Some(name),
        }
    }
}

impl fmt::Display for MacTableManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kernel => "kernel",
            Self::Libvirt => "libvirt",
        })
    }
}
