//! The domains of a host's libvirt: virtual machines with their network interfaces, whoever defined them.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Bandwidth, IfName, MacAddr};

/// A libvirt domain, as far as networking is concerned with it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Domain {
    /// Its name; unique on the host.
    pub name: String,
    /// Its UUID.
    pub uuid: Uuid,
    /// What it does.
    pub state: DomainState,
    /// Whether it outlives its run.
    pub persistence: DomainPersistence,
    /// Its network interfaces, in the order of its XML: of one that runs or is paused those that it has now, else those
    /// that it will start with.
    pub interfaces: Vec<DomainInterface>,
}

/// What a domain does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DomainState {
    /// Its CPUs run.
    Running,
    /// Its CPUs stand still.
    Paused,
    /// It is not there but for its definition.
    ShutOff,
    /// It is there, and neither runs nor is paused: it shuts down, has crashed, or sleeps.
    Other,
}

impl DomainState {
    /// Tells whether the domain does more than lie defined: its guest may send, now or in a moment.
    pub const fn is_live(self) -> bool {
        match self {
            Self::Running | Self::Paused | Self::Other => true,
            Self::ShutOff => false,
        }
    }
}

/// Whether a domain outlives its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DomainPersistence {
    /// libvirt keeps its definition.
    Persistent,
    /// It is gone when it stops.
    Transient,
}

/// A network interface of a domain, as its XML tells.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DomainInterface {
    /// Its MAC.
    pub mac: MacAddr,
    /// How it is attached, in libvirt's word: `network`, `bridge`, `direct`, `hostdev` and others. One on a libvirt network
    /// that stands on a bridge is told as `bridge` while the domain runs.
    pub attachment: String,
    /// The libvirt network that it is wired to.
    pub network: Option<String>,
    /// The bridge that it is wired to, as far as the XML tells.
    pub bridge: Option<String>,
    /// The tap on the host; none while the domain is stopped.
    pub tap: Option<IfName>,
    /// The filter in front of it.
    pub filter: Option<FilterReference>,
    /// The device that the guest sees, in libvirt's word; none where that is the hypervisor's choice.
    pub model: Option<String>,
    /// MTU in bytes that the XML asks for; none where it asks for none.
    pub mtu: Option<u32>,
    /// Whether its cable is in.
    pub linked: bool,
    /// libvirt's alias of the device; none while the domain is stopped.
    pub alias: Option<String>,
    /// Whether libvirt isolates its port from other isolated ones.
    pub isolated: bool,
    /// How fast it may receive and send.
    #[serde(default)]
    pub bandwidth: Bandwidth,
}

/// A reference to a libvirt network filter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FilterReference {
    /// The filter's name.
    pub name: String,
    /// Its parameters by name, in the order of the XML; a name comes more than once where a parameter is a list.
    pub parameters: Vec<(String, String)>,
}

/// Tells whether two references say the same: libvirt prints a filter's parameters in an order of its own; only the values of one
/// name have an order.
pub fn same_filter(one: Option<&FilterReference>, other: Option<&FilterReference>) -> bool {
    let ordered = |filter: &FilterReference| {
        let mut parameters = filter.parameters.clone();
        parameters.sort_by(|(a, _), (b, _)| a.cmp(b));
        (filter.name.clone(), parameters)
    };
    one.map(ordered) == other.map(ordered)
}
