//! What a host reports of itself.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{
    Address, Bond, BondEntry, BondPort, Bridge, DhcpClient, Domain, Egress, FdbEntry, FeatureSet, FilterEffects,
    ForeignMac, IfName, LldpNeighbor, MacAddr, MacTableManager, Management, Mtu, NetworkEntry, NetworkName, NicEntry,
    NicState, PortFlags, PortVlans, Repair, RepairTally, ResolverMechanism, Route, VlanId,
};

/// A host's answer to `GetCapabilities`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Capabilities {
    /// The networks that the host runs, ordered by name, with what they are in fact.
    pub networks: Vec<NetworkReport>,
    /// Devices that a network can stand on, ordered by name.
    pub nics: Vec<NicReport>,
    /// The bonds of the host, whoever made them, ordered by name.
    #[serde(default)]
    pub bonds: Vec<BondReport>,
    /// Every bridge of the host, whoever made it, ordered by name.
    #[serde(default)]
    pub bridges: Vec<BridgeReport>,
    /// Every 802.1Q VLAN device of the host, whoever made it, ordered by name.
    #[serde(default)]
    pub vlans: Vec<VlanReport>,
    /// The domains of libvirt, whoever defined them, ordered by name.
    #[serde(default)]
    pub domains: Vec<Domain>,
    /// The routes of the main table and of those that networks have of their own.
    pub routes: Vec<Route>,
    /// The kernel.
    pub kernel: KernelInfo,
    /// libvirt.
    pub libvirt: LibvirtInfo,
    /// What kernel and libvirt can do, as probed.
    pub features: FeatureSet,
    /// The agent's version.
    pub agent_version: String,
    /// The kernel's boot id; changes at each boot.
    pub boot_id: String,
    /// The engine's generation that the running configuration answers.
    pub generation: u64,
    /// Whether running and persistent configuration differ.
    pub dirty: bool,
    /// Hash of the running configuration.
    pub running_hash: String,
    /// Hash of the persistent configuration.
    pub persistent_hash: String,
    /// Where programs of the host find name servers.
    pub resolver: ResolverReport,
    /// Devices that another daemon configures.
    pub managers: BTreeMap<IfName, Management>,
    /// Networks in which running and persistent configuration differ.
    pub uncommitted: BTreeMap<NetworkName, UncommittedChange>,
    /// Bonds in which they differ.
    #[serde(default)]
    pub uncommitted_bonds: BTreeMap<IfName, UncommittedChange>,
    /// NICs on which other settings are to be after a reboot.
    #[serde(default)]
    pub uncommitted_nics: BTreeMap<IfName, UncommittedChange>,
    /// What the agent has repaired since its start.
    #[serde(default)]
    pub repairs: RepairTally,
}

/// The host's name servers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ResolverReport {
    /// The name servers, in the order in which they are asked; none where somebody else keeps them.
    pub nameservers: Vec<String>,
    /// The domains in which short names are searched, in order; none where somebody else keeps them.
    #[serde(default)]
    pub search_domains: Vec<String>,
    /// Who else keeps them, for people; `None` where a network may name them.
    pub keeper: Option<String>,
    /// Through what a network's name servers are set; `None` where somebody else keeps them.
    pub mechanism: Option<ResolverMechanism>,
}

/// What the running configuration has changed about a network, a bond or a NIC, against the persistent one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UncommittedChange {
    /// It runs, and the persistent configuration does not have it.
    Added,
    /// It runs otherwise than the persistent configuration has it.
    Edited,
    /// It does not run, and the persistent configuration has it.
    Removed,
}

/// A network as configured and as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkReport {
    /// As configured, and by whom.
    pub configured: NetworkEntry,
    /// The device that carries the network's addresses: the bridge, VLAN device or NIC.
    pub device: Option<IfName>,
    /// The device's MTU; `None` where the device is missing.
    pub mtu: Option<Mtu>,
    /// The device's addresses.
    pub addresses: Vec<Address>,
    /// Next hops of the default routes over the device, as they are; ordered.
    #[serde(default)]
    pub gateways: Vec<IpAddr>,
    /// Whether a default route goes over the device, as it is.
    #[serde(default)]
    pub default_route: bool,
    /// The bridge's attributes; `None` without a bridge.
    pub bridge: Option<Bridge>,
    /// The bridge's ports; empty without a bridge.
    pub ports: Vec<PortReport>,
    /// The observed state of a managed MAC table; `None` where it is not managed.
    pub mac_table: Option<MacTableReport>,
    /// MACs that guests behind the bridge sent from and were not given, ordered by port, MAC and VLAN: the latest
    /// [`ForeignMac::MOST`] since the agent's start.
    #[serde(default)]
    pub foreign_macs: Vec<ForeignMac>,
    /// The DHCP clients on the device, with their leases; empty where none runs.
    #[serde(default)]
    pub dhcp: Vec<DhcpClient>,
    /// What differs from the configuration, one line each; empty where nothing does.
    pub drift: Vec<String>,
    /// What the agent does about it, by kind. What others have added is drift, too, and left to them.
    #[serde(default)]
    pub repairs: Vec<Repair>,
    /// What others do to the network's bridge that Trestle leaves to them, one line each: no difference from the configuration.
    #[serde(default)]
    pub left_alone: Vec<String>,
}

/// A bridge port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortReport {
    /// The port's device.
    pub device: IfName,
    /// Its flags.
    pub flags: PortFlags,
    /// How often promiscuous mode was asked for.
    pub promiscuity: u32,
    /// The VLANs that it is a member of; `None` where its bridge does not filter by VLAN.
    #[serde(default)]
    pub vlans: Option<PortVlans>,
    /// The guest behind it, where libvirt knows one.
    pub guest: Option<GuestPort>,
}

/// The guest behind a port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestPort {
    /// The domain's name.
    pub domain: String,
    /// The interface's MAC.
    pub mac: MacAddr,
    /// Who manages the bridge's MAC table for it, as libvirt has held it since the guest connected.
    pub mac_table_manager: MacTableManager,
}

/// A managed MAC table as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MacTableReport {
    /// Who manages it, as libvirt's network says; `None` where there is no such network.
    pub manager: Option<MacTableManager>,
    /// Whether libvirt's network runs.
    pub active: bool,
    /// The bridge's forwarding entries, without those of its ports' own addresses.
    pub entries: Vec<FdbEntry>,
    /// The uplink; `None` where there is none, or it is no port of the bridge.
    #[serde(default)]
    pub uplink: Option<UplinkReport>,
}

/// What a managed bridge's uplink receives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UplinkReport {
    /// The device.
    pub device: IfName,
    /// How often promiscuous mode was asked for on it; 0 where it receives only what is for the host and its guests, as far as
    /// it can filter.
    pub promiscuity: u32,
    /// Why it is promiscuous, ordered; empty where it is not.
    pub causes: Vec<PromiscuityCause>,
    /// How many unicast addresses the bridge asks it to receive beside its own.
    ///
    /// The kernel does not tell how many a NIC can filter (virtio-net: 64); with more it receives everything, and still does not
    /// count as promiscuous.
    pub unicast_addresses: u32,
}

/// Why an uplink is promiscuous.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromiscuityCause {
    /// The bridge does not filter by VLAN.
    NotFiltering,
    /// The bridge itself is promiscuous: somebody captures frames on it, or something stands on it.
    Bridge,
    /// This other port learns or floods.
    Port(IfName),
    /// Nothing of the bridge's: the device cannot filter unicast frames, or somebody else asked for it.
    Device,
}

/// A device that a network can stand on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NicReport {
    /// Name.
    pub name: IfName,
    /// Hardware address.
    pub mac: Option<MacAddr>,
    /// Permanent hardware address, where the driver tells.
    pub permanent_mac: Option<MacAddr>,
    /// MTU.
    pub mtu: Mtu,
    /// Largest MTU, where the kernel tells.
    pub max_mtu: Option<u32>,
    /// Administratively up.
    pub up: bool,
    /// Carrier.
    pub carrier: bool,
    /// The bridge or bond that it is a port of.
    pub master: Option<IfName>,
    /// Addresses.
    pub addresses: Vec<Address>,
    /// What hardware and driver tell.
    #[serde(default)]
    pub hardware: NicHardware,
    /// Whom it is wired to, as they tell by LLDP, ordered by chassis and port.
    #[serde(default)]
    pub lldp_neighbors: Vec<LldpNeighbor>,
    /// What queues what leaves it.
    #[serde(default)]
    pub egress: Egress,
    /// What Trestle is told to set on it, and by whom; `None` where nothing is.
    #[serde(default)]
    pub configured: Option<NicEntry>,
    /// What is set on it.
    #[serde(default)]
    pub settings: NicState,
    /// What differs from what is to be set, one line each; empty where nothing does.
    #[serde(default)]
    pub drift: Vec<String>,
    /// What is done about that, by kind.
    #[serde(default)]
    pub repairs: Vec<Repair>,
    /// Whether the host has it.
    #[serde(default)]
    pub presence: Presence,
}

/// Whether a host has a NIC that is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// It has.
    #[default]
    Present,
    /// It has not: only what is to be set on it is known, and the rest says nothing.
    Missing,
}

/// What a NIC's hardware and its driver tell; each is none where they do not.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NicHardware {
    /// The driver's name, e.g. `virtio_net`.
    pub driver: Option<String>,
    /// Where the device is on its bus, e.g. `0000:00:03.0` on PCI.
    pub bus_address: Option<String>,
    /// Speed of the link in Mbit/s; none without a carrier.
    pub speed_mbps: Option<u32>,
    /// Duplex of the link; none without a carrier.
    pub duplex: Option<Duplex>,
}

/// Whether both ends of a link may send at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Duplex {
    /// One at a time.
    Half,
    /// Both.
    Full,
}

/// Whose a device is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// Trestle's, for this network.
    Network(NetworkName),
    /// Trestle's, by its mark, for a network that the host is no longer asked for.
    Trestle,
    /// Somebody else's.
    Foreign,
}

/// A bridge as it is, whoever made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BridgeReport {
    /// Name.
    pub name: IfName,
    /// Whose it is.
    pub owner: Owner,
    /// Hardware address.
    pub mac: Option<MacAddr>,
    /// MTU.
    pub mtu: Mtu,
    /// Administratively up.
    pub up: bool,
    /// Carrier: some port has one.
    pub carrier: bool,
    /// Attributes.
    pub options: Bridge,
    /// Ports, ordered by name.
    pub ports: Vec<PortReport>,
    /// Addresses.
    pub addresses: Vec<Address>,
}

/// An 802.1Q VLAN device as it is, whoever made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VlanReport {
    /// Name.
    pub name: IfName,
    /// Whose it is.
    pub owner: Owner,
    /// The device below.
    pub base: IfName,
    /// The VLAN.
    pub id: VlanId,
    /// Hardware address.
    pub mac: Option<MacAddr>,
    /// MTU.
    pub mtu: Mtu,
    /// Administratively up.
    pub up: bool,
    /// Carrier.
    pub carrier: bool,
    /// The bridge that it is a port of.
    pub master: Option<IfName>,
    /// Addresses.
    pub addresses: Vec<Address>,
}

/// A bond as configured and as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BondReport {
    /// Name.
    pub name: IfName,
    /// As configured, and by whom; `None` for a bond that is not Trestle's.
    pub configured: Option<BondEntry>,
    /// As the kernel tells of it; `None` where it is missing.
    pub observed: Option<BondState>,
    /// What differs from the configuration, one line each; empty where nothing does.
    pub drift: Vec<String>,
    /// What the agent does about it, by kind. What others have added is drift, too, and left to them.
    #[serde(default)]
    pub repairs: Vec<Repair>,
}

/// A bond as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BondState {
    /// Hardware address.
    pub mac: Option<MacAddr>,
    /// MTU.
    pub mtu: Mtu,
    /// Administratively up.
    pub up: bool,
    /// Carrier.
    pub carrier: bool,
    /// The bridge that it is a port of.
    pub master: Option<IfName>,
    /// Addresses.
    pub addresses: Vec<Address>,
    /// Mode, options, active port and LACP.
    pub bond: Bond,
    /// What queues what leaves it.
    #[serde(default)]
    pub egress: Egress,
    /// The ports, ordered by name.
    pub ports: Vec<BondPortReport>,
}

/// A port of a bond as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BondPortReport {
    /// The port's device.
    pub device: IfName,
    /// What it is as a port.
    pub port: BondPort,
}

/// The kernel.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KernelInfo {
    /// Release, e.g. `6.1.0-56-amd64`.
    pub release: String,
}

/// libvirt, as far as the agent can see.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LibvirtInfo {
    /// The URI that the agent connects to; empty where it is told to do without libvirt.
    pub uri: String,
    /// Whether a connection stands.
    pub connected: bool,
    /// The daemon's version, `major.minor.release`; empty where not connected.
    pub version: String,
    /// Why no connection stands; empty where one does.
    pub fault: String,
    /// What its network filters do, by name; empty where not connected, and of agents that do not tell.
    #[serde(default)]
    pub filters: BTreeMap<String, FilterEffects>,
}

impl NetworkReport {
    /// Reports a network of which nothing is there.
    pub const fn absent(configured: NetworkEntry) -> Self {
        Self {
            configured,
            device: None,
            mtu: None,
            addresses: Vec::new(),
            gateways: Vec::new(),
            default_route: false,
            bridge: None,
            ports: Vec::new(),
            mac_table: None,
            foreign_macs: Vec::new(),
            dhcp: Vec::new(),
            drift: Vec::new(),
            repairs: Vec::new(),
            left_alone: Vec::new(),
        }
    }

    /// Tells whether libvirt manages the MAC table here: so configured, or so found.
    pub fn is_managed(&self) -> bool {
        let found = self.mac_table.as_ref().and_then(|table| table.manager);
        self.configured.spec.is_managed() || found == Some(MacTableManager::Libvirt)
    }
}
