//! The closed set of things that Trestle does to a host.
//!
//! Preview, journal, log, span and golden file print the same words: the step's `Display`.

mod autoconf;
mod bond;
mod guest;
mod resolver;
mod words;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use trestle_model::{
    Address, BondMode, BridgeNumbers, DhcpClientSpec, FdbEntry, FeatureName, HostQos, IfName, IpFamily, MacAddr,
    MacTableManager, Mtu, RingSizes, Route, Rule, TrafficClass, VlanId, VlanRange,
};
use uuid::Uuid;

pub use self::autoconf::AutoconfChange;
pub use self::bond::{BondTuning, Primary};
pub use self::guest::{DomainSide, GuestStep, InterfaceChange, InterfaceDefinition, InterfaceStep, InterfaceText};
pub use self::resolver::ResolverStep;
use self::words::{Words, on_off};

/// One idempotent change of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// A change of the kernel's network state.
    Kernel(KernelStep),
    /// A change of libvirt's networks.
    Libvirt(LibvirtStep),
    /// A change of the agent's DHCP clients.
    Dhcp(DhcpStep),
    /// A change of the host's name servers.
    Resolver(ResolverStep),
    /// A change of what guests are wired to; never part of a plan for networks.
    Guest(GuestStep),
}

/// A change of the kernel's network state; every device is named, never numbered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KernelStep {
    /// Makes a bridge, down, with Trestle's mark as alias. An existing bridge of that name is left as it is, but marked.
    CreateBridge {
        /// Its name.
        name: IfName,
        /// Its hardware address; none lets the kernel choose.
        mac: Option<MacAddr>,
        /// Alias: the ownership mark.
        alias: String,
    },
    /// Makes a bond without ports, down, with Trestle's mark as alias. An existing bond of that name is left as it is,
    /// but marked.
    CreateBond {
        /// Its name.
        name: IfName,
        /// Its mode.
        mode: BondMode,
        /// Its hardware address; none lets it be that of the first port.
        mac: Option<MacAddr>,
        /// Alias: the ownership mark.
        alias: String,
    },
    /// Makes an 802.1Q VLAN device, down, with Trestle's mark as alias.
    CreateVlan {
        /// Its name.
        name: IfName,
        /// The device below.
        base: IfName,
        /// The VLAN.
        id: VlanId,
        /// Alias: the ownership mark.
        alias: String,
    },
    /// Removes a device; an absent one is fine.
    DeleteLink {
        /// Its name.
        name: IfName,
    },
    /// Sets a device's alias; `None` clears it.
    SetAlias {
        /// The device.
        link: IfName,
        /// The alias.
        alias: Option<String>,
    },
    /// Sets a device's hardware address.
    SetMac {
        /// The device.
        link: IfName,
        /// The address.
        mac: MacAddr,
    },
    /// Sets a device's MTU.
    SetMtu {
        /// The device.
        link: IfName,
        /// The MTU.
        mtu: Mtu,
    },
    /// Sets a device administratively up or down.
    SetUp {
        /// The device.
        link: IfName,
        /// Whether it is to be up.
        up: bool,
    },
    /// Makes a device a port of a bridge or bond, or of none. A bond takes only a device that is down, and brings it up; it
    /// gives the device its MTU and MAC, and both back, down, when the device leaves.
    SetMaster {
        /// The device.
        link: IfName,
        /// The bridge or bond; `None` takes the device out.
        master: Option<IfName>,
    },
    /// Switches IPv6 off or on (`net.ipv6.conf.DEV.disable_ipv6`); off drops the device's IPv6 addresses.
    SetIpv6Disabled {
        /// The device.
        link: IfName,
        /// Whether IPv6 is to be off.
        disabled: bool,
    },
    /// Says what a device makes of what IPv6 routers advertise (`net.ipv6.conf.DEV`); where that becomes more, routers
    /// are asked at once.
    SetAutoconf {
        /// The device.
        link: IfName,
        /// The settings.
        change: AutoconfChange,
    },
    /// Sets a bridge's options; those that are `None` stay.
    SetBridge {
        /// The bridge.
        bridge: IfName,
        /// The options.
        change: BridgeChange,
    },
    /// Sets a bond's mode and options; those that are `None` or absent stay.
    SetBond {
        /// The bond.
        bond: IfName,
        /// The options.
        change: BondTuning,
    },
    /// Sets a bridge port's flags; those that are `None` stay.
    SetPort {
        /// The port.
        port: IfName,
        /// The flags.
        change: PortChange,
    },
    /// Makes a bridge's port a member of VLANs, in this way; it stays a member of others.
    AddVlans {
        /// The port.
        port: IfName,
        /// The VLANs.
        vlans: VlanRange,
    },
    /// Ends a port's membership of VLANs; what it is no member of is fine. Static forwarding entries in them stay, without
    /// effect and out of reach.
    RemoveVlans {
        /// The port.
        port: IfName,
        /// The first VLAN.
        first: u16,
        /// The last one.
        last: u16,
    },
    /// Adds an address; the same address on the device is replaced.
    AddAddress {
        /// The device.
        link: IfName,
        /// The address.
        address: Address,
    },
    /// Removes an address; an absent one is fine.
    RemoveAddress {
        /// The device.
        link: IfName,
        /// The address.
        address: Address,
    },
    /// Adds or refreshes an address that ends by itself; never planned, but what a lease means.
    LeaseAddress {
        /// The device.
        link: IfName,
        /// The address.
        address: Address,
        /// How long it lives, in seconds; `u32::MAX` is for ever.
        valid_s: u32,
        /// How long it may begin connections, in seconds.
        preferred_s: u32,
    },
    /// Adds a route to its table; an equal one is replaced.
    AddRoute {
        /// The route.
        route: Route,
    },
    /// Removes a route; an absent one is fine.
    RemoveRoute {
        /// The route.
        route: Route,
    },
    /// Adds a routing rule; the same rule is there once.
    AddRule {
        /// The rule.
        rule: Rule,
    },
    /// Removes a routing rule; an absent one is fine.
    RemoveRule {
        /// The rule.
        rule: Rule,
    },
    /// Sets the lengths of a NIC's rings; those that are `None` stay.
    SetRings {
        /// The NIC.
        link: IfName,
        /// The lengths.
        sizes: RingSizes,
    },
    /// Gives a NIC so many virtual functions; it has to have none before, unless it is to have none.
    SetVirtualFunctions {
        /// The NIC.
        link: IfName,
        /// How many.
        count: u32,
    },
    /// Switches features of a NIC; others follow by themselves where they need one of them.
    SetFeatures {
        /// The NIC.
        link: IfName,
        /// The features.
        features: BTreeMap<FeatureName, bool>,
    },
    /// Lets what leaves a device queue by classes, of which there is one at first; a device that does already keeps its
    /// classes. One with a queueing discipline of somebody else's is refused.
    ShapeEgress {
        /// The device.
        link: IfName,
        /// The rates of what has no class of its own.
        rest: HostQos,
    },
    /// Gives a device the kernel's queueing back; one that has no classes of Trestle's is left alone.
    UnshapeEgress {
        /// The device.
        link: IfName,
    },
    /// Makes a class of a device, or gives it other rates; one that is there loses none.
    SetTrafficClass {
        /// The device.
        link: IfName,
        /// The class.
        class: TrafficClass,
        /// Its rates.
        qos: HostQos,
    },
    /// Removes a class of a device, with what waits in it; an absent one is fine.
    RemoveTrafficClass {
        /// The device.
        link: IfName,
        /// The class.
        class: TrafficClass,
    },
    /// Sets a forwarding entry; an entry for the same address and VLAN on another port of the bridge moves here.
    ReplaceFdb {
        /// The entry.
        entry: FdbEntry,
    },
    /// Removes a forwarding entry; an absent one is fine.
    RemoveFdb {
        /// The entry.
        entry: FdbEntry,
    },
    /// Lets a bridge forget what it has learned behind a port; entries that somebody set stay.
    ForgetLearned {
        /// The port.
        port: IfName,
    },
}

/// A change of libvirt's networks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LibvirtStep {
    /// Defines a network, or defines it again under its UUID; a running one keeps its old definition until it restarts.
    Define(NetworkDefinition),
    /// Defines a network again from XML that libvirt itself printed: an undo's step.
    DefineXml {
        /// The network's name.
        name: String,
        /// The XML, with its UUID.
        xml: String,
    },
    /// Starts a network; a running one is fine.
    Start {
        /// The network's name.
        name: String,
    },
    /// Stops a network (libvirt's "destroy"); a stopped or absent one is fine. Guests' taps stay where they are.
    Stop {
        /// The network's name.
        name: String,
    },
    /// Removes a network's definition; an absent one is fine.
    Undefine {
        /// The network's name.
        name: String,
    },
    /// Says whether libvirt starts a network by itself.
    SetAutostart {
        /// The network's name.
        name: String,
        /// Whether it does.
        autostart: bool,
    },
}

/// A change of the agent's DHCP clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DhcpStep {
    /// Starts a client; one that runs for the same segment goes on, with what is told anew.
    Start(DhcpClientSpec),
    /// Stops a client and takes away what its lease brought; an absent one is fine. The lease is remembered.
    Stop {
        /// The device.
        link: IfName,
        /// The family.
        family: IpFamily,
    },
}

/// A libvirt network of `forward mode='bridge'` on an existing bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkDefinition {
    /// libvirt's name for it.
    pub name: String,
    /// Its UUID where it exists already; `None` takes that of a network of the same name, else libvirt makes one.
    pub uuid: Option<Uuid>,
    /// The bridge.
    pub bridge: IfName,
    /// Who manages the bridge's MAC table.
    pub mac_table_manager: MacTableManager,
    /// The logical network that it serves; kept in `<metadata>` as the ownership mark.
    pub owner: String,
}

/// Bridge options to set; times in centiseconds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BridgeChange {
    /// Spanning tree protocol.
    pub stp: Option<bool>,
    /// Ageing time.
    pub ageing_time_cs: Option<u32>,
    /// Forward delay.
    pub forward_delay_cs: Option<u32>,
    /// Hello time.
    pub hello_time_cs: Option<u32>,
    /// Maximum message age.
    pub max_age_cs: Option<u32>,
    /// Priority.
    pub priority: Option<u16>,
    /// Multicast snooping.
    pub multicast_snooping: Option<bool>,
    /// Multicast querier.
    pub multicast_querier: Option<bool>,
    /// Mask of link-local groups to forward.
    pub group_fwd_mask: Option<u16>,
    /// VLAN filtering.
    pub vlan_filtering: Option<bool>,
    /// VLAN of untagged frames.
    pub default_pvid: Option<u16>,
    /// The rarer ones.
    #[serde(default, skip_serializing_if = "BridgeNumbers::is_empty")]
    pub numbers: BridgeNumbers,
}

/// Port flags to set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PortChange {
    /// Learning of source addresses.
    pub learning: Option<bool>,
    /// Flooding of unknown unicast.
    pub flood: Option<bool>,
    /// Flooding of multicast.
    pub multicast_flood: Option<bool>,
    /// Flooding of broadcast.
    pub broadcast_flood: Option<bool>,
    /// Isolation.
    pub isolated: Option<bool>,
    /// Locking.
    pub locked: Option<bool>,
}

/// A step of a plan, and why it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedStep {
    /// The step.
    pub step: Step,
    /// Why, for people: `network blue: bridge is missing`.
    pub reason: String,
    /// Whether traffic of a device may be interrupted.
    pub disrupts: bool,
    /// Guests whose ports it touches.
    pub guests: Guests,
}

/// Names of domains, ordered, each once.
pub type Guests = Vec<String>;

impl LibvirtStep {
    /// Returns libvirt's name of the network that the step is about.
    pub fn network(&self) -> &str {
        match self {
            Self::Define(definition) => &definition.name,
            Self::DefineXml { name, .. }
            | Self::Start { name }
            | Self::Stop { name }
            | Self::Undefine { name }
            | Self::SetAutostart { name, .. } => name,
        }
    }
}

impl From<KernelStep> for Step {
    fn from(step: KernelStep) -> Self {
        Self::Kernel(step)
    }
}

impl From<DhcpStep> for Step {
    fn from(step: DhcpStep) -> Self {
        Self::Dhcp(step)
    }
}

impl From<LibvirtStep> for Step {
    fn from(step: LibvirtStep) -> Self {
        Self::Libvirt(step)
    }
}
