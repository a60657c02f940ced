//! What a host has been told to be.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{BondSpec, IfName, Ipv6Autoconf, MacAddr, Mtu, NetworkName, NetworkSpec, NicSpec, NicValues};

/// A host's whole configuration: running, or persistent.
///
/// *Shape*: one entry a network and one a bond, ordered by name; empty on a host that Trestle has not touched.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HostConfig {
    /// The networks.
    pub networks: BTreeMap<NetworkName, NetworkEntry>,
    /// The bonds.
    #[serde(default)]
    pub bonds: BTreeMap<IfName, BondEntry>,
    /// What is set on NICs themselves.
    #[serde(default)]
    pub nics: BTreeMap<IfName, NicEntry>,
    /// How NICs were before Trestle first used them; what they return to.
    pub baselines: Baselines,
    /// The engine's generation that this configuration answers; 0 before the first.
    pub generation: u64,
    /// The engine's fencing epoch last seen; an older one is refused.
    pub fencing_epoch: u64,
}

/// A network of a configuration, and who asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkEntry {
    /// The network.
    pub spec: NetworkSpec,
    /// Who asked for it last.
    pub origin: Origin,
}

/// A bond of a configuration, who asked for it, and the MAC that it keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BondEntry {
    /// The bond.
    pub spec: BondSpec,
    /// Who asked for it last.
    pub origin: Origin,
    /// The MAC that the bond keeps, whatever becomes of its ports and their order; none where it follows the active
    /// port's, and where it is not known yet.
    pub mac: Option<MacAddr>,
}

/// What is set on a NIC, who asked for it, and what it returns to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NicEntry {
    /// The settings.
    pub spec: NicSpec,
    /// Who asked for them last.
    pub origin: Origin,
    /// What those settings were before Trestle first set them.
    pub before: NicValues,
}

/// Who asked for a network or a bond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The engine; it removes the network when it is no longer desired.
    Engine,
    /// A client on the host; the engine reports the network and leaves it alone.
    Local,
}

/// How each NIC, and each bond that was not Trestle's, was before Trestle first used it, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Baselines(pub BTreeMap<IfName, NicBaseline>);

/// What a NIC returns to when its last network leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NicBaseline {
    /// MTU.
    pub mtu: Mtu,
    /// Whether the NIC was administratively up.
    pub up: bool,
    /// Whether IPv6 was switched off on it.
    pub ipv6_disabled: bool,
    /// What it made of what routers advertise; `None` where that is not known.
    #[serde(default)]
    pub autoconf: Option<Ipv6Autoconf>,
}

impl HostConfig {
    /// Returns the specifications, ordered by name.
    pub fn specs(&self) -> impl Iterator<Item = &NetworkSpec> {
        self.networks.values().map(|entry| &entry.spec)
    }
}
