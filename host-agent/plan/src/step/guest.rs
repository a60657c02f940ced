//! Steps that change what guests are wired to.

use std::fmt;

use serde::{Deserialize, Serialize};
use trestle_model::{Bandwidth, FilterReference, MacAddr, Mtu, OwnFilter};
use uuid::Uuid;

use super::Step;

/// A change of libvirt's domains, or of what their interfaces refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "almost every step is of the larger kind")]
pub enum GuestStep {
    /// Defines a filter of ours; one of that name that is there stays as it is.
    DefineFilter(OwnFilter),
    /// Changes an interface.
    Interface(InterfaceStep),
}

/// A change of one interface of a domain, in what runs or in the definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceStep {
    /// The domain.
    pub domain: Uuid,
    /// The domain's name, for people.
    pub name: String,
    /// What of the domain.
    pub side: DomainSide,
    /// The interface.
    pub mac: MacAddr,
    /// What happens to it.
    pub change: InterfaceChange,
}

/// What of a domain: libvirt changes the two apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DomainSide {
    /// What it will start with.
    Definition,
    /// What it has while it runs.
    Live,
}

/// What happens to an interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InterfaceChange {
    /// It comes, unless one of its MAC is there.
    Attach(InterfaceText),
    /// It changes in place; libvirt refuses what it cannot change so.
    Update(InterfaceText),
    /// It is asked to go. From what runs it is gone when the guest has released it, which the step does not wait for.
    Detach {
        /// Its element.
        xml: String,
    },
}

/// How libvirt is told what an interface is to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InterfaceText {
    /// As it is wanted.
    Wanted(InterfaceDefinition),
    /// As it was.
    AsWas {
        /// Its element.
        xml: String,
    },
}

/// An interface on a libvirt network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceDefinition {
    /// The libvirt network.
    pub network: String,
    /// The device that the guest sees.
    pub model: String,
    /// MTU; none leaves it to the network.
    pub mtu: Option<Mtu>,
    /// Whether its cable is in.
    pub linked: bool,
    /// Whether libvirt isolates its port from other isolated ones.
    pub isolated: bool,
    /// How fast it may receive and send.
    #[serde(default)]
    pub bandwidth: Bandwidth,
    /// The filter in front of it.
    pub filter: Option<FilterReference>,
    /// The element of the interface that it is made of; what is not said above stays as it is there.
    pub base: Option<String>,
}

impl From<GuestStep> for Step {
    fn from(step: GuestStep) -> Self {
        Self::Guest(step)
    }
}

impl fmt::Display for GuestStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DefineFilter(filter) => write!(f, "define filter {}", filter.name()),
            Self::Interface(step) => step.fmt(f),
        }
    }
}

impl fmt::Display for InterfaceStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { domain: _, name, side, mac, change } = self;
        let place = match side {
            DomainSide::Definition => format!("the definition of {name}"),
            DomainSide::Live => format!("running {name}"),
        };
        match change {
            InterfaceChange::Attach(text) => write!(f, "plug {mac} into {place}{text}"),
            InterfaceChange::Update(text) => write!(f, "change {mac} in {place}{text}"),
            InterfaceChange::Detach { .. } => write!(f, "unplug {mac} from {place}"),
        }
    }
}

impl fmt::Display for InterfaceText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wanted(definition) => definition.fmt(f),
            Self::AsWas { .. } => f.write_str(", as it was"),
        }
    }
}

impl fmt::Display for InterfaceDefinition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ": {} on network {}", self.model, self.network)?;
        if let Some(mtu) = self.mtu {
            write!(f, ", MTU {mtu}")?;
        }
        if !self.linked {
            f.write_str(", link down")?;
        }
        if self.isolated {
            f.write_str(", isolated")?;
        }
        for (rate, which) in [(self.bandwidth.inbound, "inbound"), (self.bandwidth.outbound, "outbound")] {
            if let Some(rate) = rate {
                write!(f, ", {which} {rate}")?;
            }
        }
        match &self.filter {
            Some(filter) => write!(f, ", filter {}", filter.name),
            None => Ok(()),
        }
    }
}
