//! The words that both ends of Trestle share.
//!
//! Typed names, addresses and numbers; what an operator wants ([`NetworkSpec`], [`SetupRequest`]), what a host is
//! ([`HostState`]), what the engine keeps ([`fleet`]), and how a rule answers ([`Finding`]).
//! A value of these types is already checked: the wire is parsed into them once, at the edge, and trusted from there on.
//!
//! This crate never does I/O, never waits, and never reads a clock, a file, the environment or a random number.

pub mod fleet;
mod guest_port;

mod address;
mod advertisement;
mod autoconf;
mod bandwidth;
mod bond;
mod bridge;
mod capabilities;
mod config;
mod dhcp;
mod domain;
mod feature;
mod finding;
mod foreign_mac;
mod keeping;
mod lldp;
mod mac;
mod mac_range;
mod management;
mod name;
mod network;
mod nic;
mod number;
mod nwfilter;
mod object;
mod outcome;
mod pairs;
mod plugging;
mod qos;
mod request;
mod resolver;
mod route;
mod state;
mod statistics;

pub use address::{BadIpConfig, Ipv4Config, Ipv6Config, StaticIpv4, StaticIpv6};
pub use advertisement::{Advertised, RouterPreference};
pub use autoconf::{AcceptRa, AddrGenMode, Ipv6Autoconf};
pub use bandwidth::{Bandwidth, BandwidthRate};
pub use bond::{
    BadBondOption, Bond, BondMode, BondOption, BondOptions, BondPort, BondPortLink, BondSpec, Lacp, Settable,
};
pub use bridge::{
    BridgeNumber, BridgeNumbers, BridgeOption, BridgeOptions, BridgeSpec, Contradiction, PortVlans, VlanRange,
    same_time,
};
pub use capabilities::{
    BondPortReport, BondReport, BondState, BridgeReport, Capabilities, Duplex, GuestPort, KernelInfo, LibvirtInfo,
    MacTableReport, NetworkReport, NicHardware, NicReport, Owner, PortReport, Presence, PromiscuityCause,
    ResolverReport, UncommittedChange, UplinkReport, VlanReport,
};
pub use config::{Baselines, BondEntry, HostConfig, NetworkEntry, NicBaseline, NicEntry, Origin};
pub use dhcp::{DhcpClient, DhcpClientSpec, DhcpState, ForeignDhcp, IpFamily, KeptLease, Lease, LeaseRoute};
pub use domain::{Domain, DomainInterface, DomainPersistence, DomainState, FilterReference, same_filter};
pub use feature::{Feature, FeatureSet, Support};
pub use finding::{Code, Finding, Findings, Severity};
pub use foreign_mac::ForeignMac;
pub use guest_port::{BridgeWired, GuestNic, GuestPorts, SourceMacs};
pub use keeping::{BadDriftKind, DriftKind, Repair, RepairState, RepairTally};
pub use lldp::{LldpCapability, LldpId, LldpIdKind, LldpNeighbor};
pub use mac::{BadMac, MacAddr};
pub use mac_range::{BadMacRange, MacRange};
pub use management::{DeviceManager, Management};
pub use name::{BadName, HostName, IfName, NetworkName, NicLabel, ResourceId, TransactionId, VmId};
pub use network::{MacTableManager, NetworkSpec, Southbound, Topology};
pub use nic::{
    BadFeatureName, FeatureName, FeatureState, FunctionLink, FunctionSettings, FunctionTag, FunctionVlan, NicSpec,
    NicState, NicValues, Offload, RingSizes, Rings, VirtualFunction, VirtualFunctions,
};
pub use number::{Mtu, OutOfRange, VlanId};
pub use nwfilter::{
    FilterAction, FilterDirection, FilterEffects, FilterEntry, FilterRule, NwFilter, OwnFilter, Polarity,
    chain_priority, filter_effects,
};
pub use object::{HostObject, ObjectKey, ObjectKind, Standing, TransactionStage, TransactionState};
pub use outcome::{Leftover, Outcome, Progress, TransactionReport};
pub use plugging::{
    DomainKey, DomainWiring, PlugAction, PlugReport, PlugRequest, Replug, WantedInterface, WiredInterface,
};
pub use qos::{BadRate, BitRate, Egress, HostQos, Shaping, TrafficClass};
pub use request::{BondChange, ConnectivityCheck, Fence, NetworkChange, NicChange, Scope, SetupOptions, SetupRequest};
pub use resolver::{
    BadNameServer, BadSearchDomain, LinkDomain, LinkNames, LinkServer, NameServer, ResolverMechanism, ResolverNames,
    ResolverState, SearchDomain,
};
pub use route::{BadRoute, StaticRoute};
pub use state::{
    Address, AddressOrigin, Bridge, FdbEntry, FdbState, GuestInterface, HostState, KernelState, LibvirtNetwork,
    LibvirtState, Link, LinkKind, NetworkForm, PortFlags, Route, Rule,
};
pub use statistics::{Counters, LinkStatistics};
