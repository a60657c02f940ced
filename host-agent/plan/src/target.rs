//! The wanted state of the objects that a transaction touches, in the host's own words.
//!
//! A target says nothing about any other object, and for each of its objects nothing about what it leaves alone.
//! A request, a restore at boot and an undo all become one; [`crate::steps_towards`] and [`crate::verify`] know
//! nothing of where it came from.

use std::collections::{BTreeMap, BTreeSet};

use trestle_model::{
    Address, BondOptions, Bridge, DhcpClientSpec, FdbEntry, FeatureName, IfName, MacAddr, Mtu, NicValues, PortVlans,
    ResolverNames, ResolverState, Route, Rule, Shaping, VlanId,
};

use crate::{AutoconfChange, NetworkDefinition, PortChange};

/// The wanted state of some objects of a host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Target {
    /// Devices by name.
    pub links: BTreeMap<IfName, LinkTarget>,
    /// Forwarding entries, ordered; each bridge, address and VLAN once.
    pub fdb: Vec<FdbTarget>,
    /// Routing rules by the table that they lead to.
    pub rules: BTreeMap<u32, RulesTarget>,
    /// The host's name servers; `None` leaves them alone.
    pub resolver: Option<ResolverTarget>,
    /// libvirt networks by libvirt's name.
    pub libvirt: BTreeMap<String, LibvirtTarget>,
}

/// The wanted state of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "few devices go at once, and a target lives briefly")]
pub enum LinkTarget {
    /// The device is not there.
    Absent {
        /// Why, for people.
        why: String,
    },
    /// The device is there.
    Present(LinkWanted),
}

/// A device that is to be there; `None` and `Leave` say that an attribute stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkWanted {
    /// Why, for people: `network blue`.
    pub why: String,
    /// What the device is.
    pub kind: KindTarget,
    /// Hardware address.
    pub mac: Option<MacAddr>,
    /// MTU.
    pub mtu: Option<Mtu>,
    /// Whether it is administratively up.
    pub up: Option<bool>,
    /// Alias.
    pub alias: AliasTarget,
    /// The bridge or bond that it is a port of.
    pub master: MasterTarget,
    /// Whether IPv6 is switched off.
    pub ipv6_disabled: Option<bool>,
    /// What it makes of what IPv6 routers advertise. What it is not to make goes: addresses of the origin
    /// [`trestle_model::AddressOrigin::Auto`], and routes.
    pub autoconf: AutoconfChange,
    /// Flags as a port; only of a device that is, or is to be, one.
    pub port: PortChange,
    /// VLANs as a port of a bridge that filters by VLAN, or is to.
    pub vlans: VlansTarget,
    /// What its bridge has learned behind it.
    pub learned: LearnedTarget,
    /// Addresses.
    pub addresses: AddressTarget,
    /// Routes through it.
    pub routes: RouteTarget,
    /// DHCP clients on it.
    pub dhcp: DhcpTarget,
    /// What queues what leaves it.
    pub egress: EgressTarget,
    /// The port that a bond is to use, as long as that port's link is up; `None` leaves it to the kernel.
    pub active_port: Option<IfName>,
    /// What is set on it as a NIC.
    pub settings: SettingsTarget,
}

/// What a device is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KindTarget {
    /// Whatever is there, a NIC above all; never made and never removed.
    Found,
    /// A guest's tap: it comes and goes with its guest, so its absence is no difference.
    Guest,
    /// A VLAN device; made where it is missing, and made anew where another device of Trestle's has its name.
    Vlan {
        /// The device below.
        base: IfName,
        /// The VLAN.
        id: VlanId,
    },
    /// A bridge with exactly these attributes; made like a VLAN device.
    Bridge(Bridge),
    /// A bond with exactly these options; made like a VLAN device, but one of others is taken as it is.
    Bond(Box<BondOptions>),
}

/// The alias that a device is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AliasTarget {
    /// Whatever it is.
    Leave,
    /// None.
    Clear,
    /// This one.
    Exactly(String),
}

/// What a device is to be a port of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MasterTarget {
    /// Whatever it is.
    Leave,
    /// Nothing.
    Free,
    /// This bridge or bond.
    PortOf(IfName),
}

/// The VLANs that a port is to be a member of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VlansTarget {
    /// Whatever they are.
    Leave,
    /// These, and none of those that are named without being among them; any other stays as it is.
    Having {
        /// Those that it is to be a member of.
        these: PortVlans,
        /// Those that it is not to be a member of.
        without: BTreeSet<u16>,
    },
    /// These, and no others.
    Exactly(PortVlans),
}

/// What a bridge is to have learned behind a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LearnedTarget {
    /// Whatever it has.
    Leave,
    /// Nothing, also of what it learns while the port still does.
    Nothing,
}

/// The addresses that a device is to have. The kernel's own (IPv6 link-local, and those made of what routers advertise)
/// never count, nor do those of leases of the agent's own DHCP clients, nor IPv6 addresses with a lifetime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddressTarget {
    /// Whatever they are.
    Leave,
    /// Whatever they are, but not these.
    Without(Vec<Address>),
    /// These, and no others; IPv4 in this order, as far as the kernel keeps it.
    Exactly(Vec<Address>),
}

/// The routes that are to go through a device. Those that the kernel makes for addresses, those that routers
/// advertise, and those of leases in force never count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteTarget {
    /// Whatever they are.
    Leave,
    /// Whatever they are, but not these.
    Without(Vec<Route>),
    /// These, and no other default route or route of Trestle's; any other route is left alone.
    Network(Vec<Route>),
    /// These, and no others.
    Exactly(Vec<Route>),
}

/// The DHCP clients that are to run on a device. What their leases bring comes and goes with them, and never counts as
/// an address or route of the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DhcpTarget {
    /// Whatever they are.
    Leave,
    /// These, and no others; at most one for each family.
    Exactly(Vec<DhcpClientSpec>),
}

/// What is to be set on a NIC; what it does not speak of stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SettingsTarget {
    /// The values.
    pub values: NicValues,
    /// The features that are to be in force, and not only asked for.
    pub in_force: BTreeSet<FeatureName>,
}

/// What is to queue what leaves a device. A queueing discipline of somebody else's is never replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EgressTarget {
    /// Whatever does.
    Leave,
    /// Whatever does, but no classes of Trestle's.
    Unshaped,
    /// These classes.
    Shaped(Shaping),
}

/// A lasting forwarding entry that is, or is not, to be there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FdbTarget {
    /// The bridge.
    pub bridge: IfName,
    /// The address.
    pub mac: MacAddr,
    /// The VLAN; none for an entry outside VLANs.
    pub vlan: Option<u16>,
    /// The entry; `None` where no static one is to be there. One of the host's own may be at any port.
    pub entry: Option<FdbEntry>,
}

impl FdbTarget {
    /// Tells whether this is the place of an entry.
    pub(crate) fn is_place_of(&self, entry: &FdbEntry) -> bool {
        (&entry.bridge, entry.mac, entry.vlan) == (&self.bridge, self.mac, self.vlan)
    }
}

/// What the host's name servers are to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolverTarget {
    /// Why, for people.
    pub why: String,
    /// The name servers.
    pub names: NamesTarget,
}

/// The wanted name servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamesTarget {
    /// These, in this order. Every other line of `resolv.conf` stays as it is.
    Naming {
        /// The name servers and search domains.
        names: ResolverNames,
        /// The device through which systemd-resolved asks them, for all names.
        device: IfName,
        /// Other devices of Trestle's networks: what an earlier owner of the default route left there for all names goes.
        others: BTreeSet<IfName>,
    },
    /// Through these devices none are asked for all names: those of another network are.
    NotThrough(BTreeSet<IfName>),
    /// As they were: the file byte for byte, or what systemd-resolved had for each of these devices.
    AsBefore(ResolverState),
}

impl ResolverTarget {
    /// Returns what two parts of a configuration want: who names name servers speaks for all devices.
    pub(crate) fn of_both(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        let (one, other) = match (one, other) {
            (Some(one), Some(other)) => (one, other),
            (one, other) => return one.or(other),
        };
        Some(match (one.names, other.names) {
            (NamesTarget::NotThrough(some), NamesTarget::NotThrough(more)) => {
                Self { why: one.why, names: NamesTarget::NotThrough(some.into_iter().chain(more).collect()) }
            }
            (NamesTarget::NotThrough(_), names) => Self { why: other.why, names },
            (names, _) => Self { why: one.why, names },
        })
    }
}

impl NamesTarget {
    /// Returns the devices for which systemd-resolved may have to be told something.
    pub fn devices(&self) -> BTreeSet<&IfName> {
        match self {
            Self::Naming { device, others, .. } => others.iter().chain([device]).collect(),
            Self::NotThrough(devices) => devices.iter().collect(),
            Self::AsBefore(state) => state.links.iter().flat_map(BTreeMap::keys).collect(),
        }
    }
}

/// The rules that are to lead to a table: these, and no others of Trestle's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RulesTarget {
    /// Why, for people.
    pub why: String,
    /// The rules.
    pub rules: Vec<Rule>,
}

/// The wanted state of a libvirt network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LibvirtTarget {
    /// The network is not there.
    Absent {
        /// Why, for people.
        why: String,
    },
    /// The network is there.
    Present(LibvirtWanted),
}

/// A libvirt network that is to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LibvirtWanted {
    /// Why, for people.
    pub why: String,
    /// Its definition.
    pub definition: DefinitionTarget,
    /// Whether it runs.
    pub active: bool,
    /// Whether libvirt starts it by itself.
    pub autostart: bool,
}

/// How a libvirt network is to be defined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DefinitionTarget {
    /// As Trestle defines a network on a bridge; a UUID that exists is kept.
    Trestles(NetworkDefinition),
    /// As it was: an undo's.
    AsBefore(Box<trestle_model::LibvirtNetwork>),
}

impl LinkWanted {
    /// Makes a target that leaves every attribute alone.
    pub fn leaving_alone(kind: KindTarget, why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            kind,
            mac: None,
            mtu: None,
            up: None,
            alias: AliasTarget::Leave,
            master: MasterTarget::Leave,
            ipv6_disabled: None,
            autoconf: AutoconfChange::default(),
            port: PortChange::default(),
            vlans: VlansTarget::Leave,
            learned: LearnedTarget::Leave,
            addresses: AddressTarget::Leave,
            routes: RouteTarget::Leave,
            dhcp: DhcpTarget::Leave,
            egress: EgressTarget::Leave,
            active_port: None,
            settings: SettingsTarget::default(),
        }
    }
}

impl Target {
    /// Returns the devices that are to be there, by name.
    pub fn present(&self) -> impl Iterator<Item = (&IfName, &LinkWanted)> {
        self.links.iter().filter_map(|(name, target)| match target {
            LinkTarget::Present(wanted) => Some((name, wanted)),
            LinkTarget::Absent { .. } => None,
        })
    }

    /// Returns the devices that are not to be there, by name, each with the reason.
    pub fn absent(&self) -> impl Iterator<Item = (&IfName, &str)> {
        self.links.iter().filter_map(|(name, target)| match target {
            LinkTarget::Absent { why } => Some((name, why.as_str())),
            LinkTarget::Present(_) => None,
        })
    }
}
