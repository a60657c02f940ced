//! What a client asks the interfaces of a domain to become, and what became of them.

use uuid::Uuid;

use crate::{
    Bandwidth, Domain, DomainInterface, DomainPersistence, DomainState, FilterReference, Finding, MacAddr, Mtu,
};

/// A wish for interfaces of one domain; those that it does not name stay untouched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlugRequest {
    /// The domain.
    pub domain: DomainKey,
    /// Interfaces to be exactly so, in the request's order; each MAC at most once.
    pub set: Vec<WantedInterface>,
    /// Interfaces to be gone, in the request's order; each at most once, and none of those to be set.
    pub remove: Vec<MacAddr>,
    /// What may be done to a running guest.
    pub replug: Replug,
    /// Whether only findings and actions are wanted.
    pub validate_only: bool,
}

/// How a domain is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DomainKey {
    /// By its UUID.
    Uuid(Uuid),
    /// By its name.
    Name(String),
}

/// An interface as it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedInterface {
    /// Its MAC, of a single station.
    pub mac: MacAddr,
    /// A network of Trestle's, else one of libvirt's.
    pub network: String,
    /// The device that the guest sees, in libvirt's word.
    pub model: String,
    /// MTU; none leaves it to what it is wired to.
    pub mtu: Option<Mtu>,
    /// Whether its cable is in.
    pub linked: bool,
    /// Whether libvirt isolates its port from other isolated ones.
    pub isolated: bool,
    /// How fast it may receive and send.
    pub bandwidth: Bandwidth,
    /// The filter in front of it.
    pub filter: Option<FilterReference>,
}

/// Whether an interface of a running domain may be unplugged and plugged again where libvirt cannot change it in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replug {
    /// The request is refused instead.
    Refuse,
    /// It may.
    Allow,
}

/// What is done to an interface; the weightiest, where it is more than one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PlugAction {
    /// Nothing.
    Unchanged,
    /// Changed in place.
    Updated,
    /// Wired to another network, in place.
    Rewired,
    /// New in the domain, or in one of what runs and what is defined.
    Plugged,
    /// Unplugged and plugged again.
    Replugged,
    /// Taken out of the domain.
    Unplugged,
}

/// What became of a wish, or would.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlugReport {
    /// The domain as it is now.
    pub domain: Domain,
    /// Those to be gone, then those to be set, each in the request's order.
    pub outcomes: Vec<(MacAddr, PlugAction)>,
    /// What else there is to know.
    pub findings: Vec<Finding>,
}

/// A domain in detail: what runs of it, and its definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainWiring {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: Uuid,
    /// What it does.
    pub state: DomainState,
    /// The interfaces that it has now, in the order of its XML; none while it is shut off.
    pub live: Option<Vec<WiredInterface>>,
    /// The interfaces that it will start with, in the order of its XML; none for a transient domain.
    pub defined: Option<Vec<WiredInterface>>,
}

/// An interface of a domain, with all that libvirt tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WiredInterface {
    /// What is reported of it.
    pub told: DomainInterface,
    /// Its element, in the form in which libvirt takes it back.
    pub xml: String,
}

impl PlugRequest {
    /// How many interfaces a request may set, and how many it may remove.
    pub const MOST_INTERFACES: usize = 64;
}

impl DomainWiring {
    /// Returns the domain as a report tells it.
    pub fn domain(&self) -> Domain {
        let interfaces = self.live.as_ref().or(self.defined.as_ref());
        let persistence =
            if self.defined.is_some() { DomainPersistence::Persistent } else { DomainPersistence::Transient };
        Domain {
            name: self.name.clone(),
            uuid: self.uuid,
            state: self.state,
            persistence,
            interfaces: interfaces.into_iter().flatten().map(|interface| interface.told.clone()).collect(),
        }
    }
}

impl DomainKey {
    /// Reads a key: what is a UUID in its usual form, with hyphens, is one, and anything else a name.
    pub fn parse(text: &str) -> Self {
        match Uuid::try_parse(text) {
            Ok(uuid) if text.eq_ignore_ascii_case(&uuid.to_string()) => Self::Uuid(uuid),
            Ok(_) | Err(_) => Self::Name(text.to_owned()),
        }
    }
}

impl std::fmt::Display for DomainKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Uuid(uuid) => uuid.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}
