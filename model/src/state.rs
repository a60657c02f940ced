//! What a host is, as its kernel and its libvirt tell.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    Bond, BondPort, BridgeNumbers, DhcpClient, Domain, Egress, FeatureSet, ForeignDhcp, IfName, Ipv6Autoconf, MacAddr,
    MacTableManager, Management, Mtu, NicState, PortVlans, ResolverState, VlanId,
};

/// One consistent snapshot of a host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HostState {
    /// The kernel's part.
    pub kernel: KernelState,
    /// libvirt's part; `None` where the agent is told to do without libvirt.
    pub libvirt: Option<LibvirtState>,
    /// Where programs find name servers.
    #[serde(default)]
    pub resolver: ResolverState,
    /// Devices that another daemon configures.
    #[serde(default)]
    pub managers: BTreeMap<IfName, Management>,
    /// What kernel and libvirt can do.
    pub features: FeatureSet,
    /// The DHCP clients that the agent runs, ordered; at most one for each device and family.
    #[serde(default)]
    pub dhcp: Vec<DhcpClient>,
    /// DHCP clients of other programs, as far as they show; ordered, each once.
    #[serde(default)]
    pub foreign_dhcp: Vec<ForeignDhcp>,
}

/// The kernel's links, routes and bridge forwarding entries, in one network namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KernelState {
    /// Links by name.
    pub links: BTreeMap<IfName, Link>,
    /// Unicast routes, ordered by table; those of the kernel's table of local addresses (255) are left out.
    pub routes: Vec<Route>,
    /// Routing rules with Trestle's mark, ordered.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// Bridge forwarding entries of bridge ports and bridges (master entries only, not a NIC's own filter), ordered.
    pub fdb: Vec<FdbEntry>,
}

/// A network device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Name.
    pub name: IfName,
    /// Kernel's index; differs after a device is made anew.
    pub index: u32,
    /// What kind of device it is, with the kind's attributes.
    pub kind: LinkKind,
    /// Hardware address; `None` for a device without one.
    pub mac: Option<MacAddr>,
    /// Permanent hardware address, where the driver tells.
    pub permanent_mac: Option<MacAddr>,
    /// MTU.
    pub mtu: Mtu,
    /// Largest MTU that the device takes, where the kernel tells.
    pub max_mtu: Option<u32>,
    /// Whether the device is administratively up.
    pub up: bool,
    /// Whether the device has a carrier (`IFF_LOWER_UP`).
    pub carrier: bool,
    /// The bridge or bond that the device is a port of.
    pub master: Option<IfName>,
    /// Alias; Trestle's ownership mark on what it makes.
    pub alias: Option<String>,
    /// Flags as a bridge port; `None` unless the device is one.
    pub port: Option<PortFlags>,
    /// The VLANs that it is a member of as a port of a bridge that filters by VLAN; `None` of any other.
    #[serde(default)]
    pub vlans: Option<PortVlans>,
    /// What it is as a port of a bond; `None` unless the device is one.
    #[serde(default)]
    pub bond_port: Option<BondPort>,
    /// Whether IPv6 is switched off (`net.ipv6.conf.DEV.disable_ipv6`).
    pub ipv6_disabled: bool,
    /// What it makes of what IPv6 routers advertise; `None` where the kernel keeps no such settings for it.
    #[serde(default)]
    pub autoconf: Option<Ipv6Autoconf>,
    /// How often promiscuous mode was asked for.
    pub promiscuity: u32,
    /// What queues what leaves the device.
    #[serde(default)]
    pub egress: Egress,
    /// What is set on it as a NIC; empty of what is none.
    #[serde(default)]
    pub settings: NicState,
    /// Addresses, in the kernel's order within each family.
    pub addresses: Vec<Address>,
}

/// What kind of device a link is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkKind {
    /// A device without a software kind: hardware, or virtio.
    Nic,
    /// An 802.1Q VLAN device.
    Vlan {
        /// The device below.
        base: IfName,
        /// The VLAN.
        id: VlanId,
    },
    /// A bridge.
    Bridge(Bridge),
    /// A bond.
    Bond(Bond),
    /// One end of a virtual cable.
    Veth,
    /// A tap or tun device, e.g. a guest's.
    Tun,
    /// The loopback device.
    Loopback,
    /// Any other software kind, by the kernel's name.
    Other(String),
}

/// A bridge's own attributes; times in centiseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bridge {
    /// Whether the spanning tree protocol runs.
    pub stp: bool,
    /// Ageing time.
    pub ageing_time_cs: u32,
    /// Forward delay.
    pub forward_delay_cs: u32,
    /// Hello time.
    pub hello_time_cs: u32,
    /// Maximum message age.
    pub max_age_cs: u32,
    /// Priority.
    pub priority: u16,
    /// Multicast snooping.
    pub multicast_snooping: bool,
    /// Multicast querier.
    pub multicast_querier: bool,
    /// Mask of link-local groups that are forwarded.
    pub group_fwd_mask: u16,
    /// VLAN filtering.
    pub vlan_filtering: bool,
    /// VLAN of untagged frames when filtering; 0 is none.
    pub default_pvid: u16,
    /// The rarer ones that are not as the kernel makes them.
    #[serde(default, skip_serializing_if = "BridgeNumbers::is_empty")]
    pub numbers: BridgeNumbers,
}

/// A bridge port's flags.
///
/// *Source*: `bridge(8)`, "bridge link set".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortFlags {
    /// Learns source addresses.
    pub learning: bool,
    /// Receives frames to unknown unicast addresses.
    pub flood: bool,
    /// Receives multicast frames without a known listener.
    pub multicast_flood: bool,
    /// Receives broadcast frames.
    pub broadcast_flood: bool,
    /// Cannot reach other isolated ports.
    pub isolated: bool,
    /// Accepts only source addresses that have an entry.
    pub locked: bool,
}

/// An address on a link.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Address {
    /// The address and its prefix length.
    pub net: IpNet,
    /// How it came there.
    pub origin: AddressOrigin,
    /// IPv4 broadcast address, where one is set.
    pub broadcast: Option<IpAddr>,
    /// Label of an IPv4 address, where it is not the device's name.
    pub label: Option<String>,
    /// Kernel's scope: 0 universe, 253 link, 254 host.
    pub scope: u8,
    /// Whether the kernel makes no prefix route for it.
    pub no_prefix_route: bool,
}

/// How an address came to a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AddressOrigin {
    /// Set by somebody, for ever.
    Static,
    /// Set with a lifetime by somebody else, such as another program's DHCP.
    Dynamic,
    /// Leased by one of the agent's own DHCP clients.
    Dhcp,
    /// Made by the kernel: IPv6 link-local.
    Kernel,
    /// Made by the kernel, of what an IPv6 router advertises.
    Auto,
}

/// A unicast route.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Route {
    /// The routing table.
    #[serde(default = "main_table")]
    pub table: u32,
    /// Destination; the zero prefix is the default route.
    pub destination: IpNet,
    /// Next hop; none for a directly connected destination.
    pub gateway: Option<IpAddr>,
    /// Outgoing device.
    pub device: IfName,
    /// Metric; 0 where the kernel has none.
    pub metric: u32,
    /// Preferred source address.
    pub preferred_source: Option<IpAddr>,
    /// Who made it: the kernel's protocol number (2 kernel, 3 boot, 4 static).
    pub protocol: u8,
    /// Scope: 0 universe, 253 link, 254 host.
    pub scope: u8,
}

/// A routing rule: what leaves from a source is looked up in a table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Rule {
    /// The source.
    pub source: IpNet,
    /// The table.
    pub table: u32,
    /// Priority; the lowest comes first.
    pub priority: u32,
    /// Who made it: a protocol number, as for routes.
    pub protocol: u8,
}

/// An entry of a bridge's forwarding database.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FdbEntry {
    /// The bridge.
    pub bridge: IfName,
    /// The port; the bridge itself for a local entry.
    pub port: IfName,
    /// The address.
    pub mac: MacAddr,
    /// The VLAN; none for an entry outside VLANs.
    pub vlan: Option<u16>,
    /// What kind of entry it is.
    pub state: FdbState,
    /// Whether the entry cannot roam to another port.
    pub sticky: bool,
}

/// What kind of forwarding entry it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FdbState {
    /// Learned from traffic; ages.
    Learned,
    /// Set by somebody; does not age.
    Static,
    /// The host's own address (`permanent`): frames to it are delivered to the host.
    Local,
}

/// libvirt's networks and the interfaces of its domains.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LibvirtState {
    /// Networks by name.
    pub networks: BTreeMap<String, LibvirtNetwork>,
    /// Interfaces of running and stopped domains, ordered by domain and MAC.
    pub guests: Vec<GuestInterface>,
    /// The domains, ordered by name.
    #[serde(default)]
    pub domains: Vec<Domain>,
}

/// A libvirt network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LibvirtNetwork {
    /// Name.
    pub name: String,
    /// UUID; kept when the network is defined again.
    pub uuid: Uuid,
    /// The bridge it stands on; none for other kinds of network. This, the forward mode and the manager are those in force
    /// where it runs.
    pub bridge: Option<String>,
    /// Forward mode, e.g. `bridge`; empty for an isolated network.
    pub forward: String,
    /// Who manages the bridge's MAC table.
    pub mac_table_manager: MacTableManager,
    /// Whether it runs.
    pub active: bool,
    /// Whether libvirt starts it by itself.
    pub autostart: bool,
    /// Whether it has a persistent definition.
    pub persistent: bool,
    /// Whether it carries Trestle's mark, and for which network.
    pub owner: Option<String>,
    /// What it becomes at its next start, where it was defined anew since it was started.
    #[serde(default)]
    pub redefined: Option<NetworkForm>,
    /// Its inactive XML, as libvirt prints it; what an undo defines again.
    pub xml: String,
}

/// What of a libvirt network takes effect when it starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkForm {
    /// The bridge it stands on; none for other kinds of network.
    pub bridge: Option<String>,
    /// Forward mode.
    pub forward: String,
    /// Who manages the bridge's MAC table.
    pub mac_table_manager: MacTableManager,
}

/// A guest's network interface, as its domain's XML tells.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GuestInterface {
    /// The domain's name.
    pub domain: String,
    /// The domain's UUID.
    pub domain_uuid: Uuid,
    /// The interface's MAC.
    pub mac: MacAddr,
    /// The libvirt network that it is wired to, for `type='network'`.
    pub network: Option<String>,
    /// The bridge that it is wired to, as far as the XML tells.
    pub bridge: Option<String>,
    /// The tap on the host; none while the domain is stopped.
    pub tap: Option<IfName>,
    /// Whether the domain's CPUs run: only then it has a forwarding entry.
    pub running: bool,
    /// Who manages the bridge's MAC table for this interface, as libvirt has held it since the guest connected.
    #[serde(default)]
    pub mac_table_manager: MacTableManager,
    /// The VLANs that its domain's XML gives its port (libvirt 11); empty where it speaks of none.
    #[serde(default)]
    pub vlans: PortVlans,
}

const fn main_table() -> u32 {
    Route::MAIN
}

impl Route {
    /// The main table.
    pub const MAIN: u32 = 254;
    /// The tables that networks may have of their own: beyond the kernel's (253 to 255) and what people number by hand.
    pub const SOURCE_TABLES: Range<u32> = 0x4000_0000..0x8000_0000;

    /// Tells whether the route is in the main table.
    pub const fn is_main(&self) -> bool {
        self.table == Self::MAIN
    }
}

impl Link {
    /// Returns the bridge's attributes, if the link is a bridge.
    pub const fn bridge(&self) -> Option<&Bridge> {
        match &self.kind {
            LinkKind::Bridge(bridge) => Some(bridge),
            LinkKind::Nic
            | LinkKind::Vlan { .. }
            | LinkKind::Bond(_)
            | LinkKind::Veth
            | LinkKind::Tun
            | LinkKind::Loopback
            | LinkKind::Other(_) => None,
        }
    }

    /// Returns what the kernel tells of a bond, if the link is one.
    pub const fn bond(&self) -> Option<&Bond> {
        match &self.kind {
            LinkKind::Bond(bond) => Some(bond),
            LinkKind::Nic
            | LinkKind::Vlan { .. }
            | LinkKind::Bridge(_)
            | LinkKind::Veth
            | LinkKind::Tun
            | LinkKind::Loopback
            | LinkKind::Other(_) => None,
        }
    }
}
