//! What a client asks a host to become.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{BondSpec, Code, IfName, NetworkName, NetworkSpec, NicSpec, Origin, TransactionId};

/// One request to change a host's networks: one transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetupRequest {
    /// Changes, in the request's order; each network at most once. What is not named stays untouched.
    pub changes: Vec<NetworkChange>,
    /// Changes of bonds, in the request's order; each bond at most once.
    #[serde(default)]
    pub bonds: Vec<BondChange>,
    /// Changes of NICs' own settings, in the request's order; each NIC at most once.
    #[serde(default)]
    pub nics: Vec<NicChange>,
    /// How to carry it out.
    pub options: SetupOptions,
}

/// What happens to one network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "a request has few removals, and lives briefly")]
pub enum NetworkChange {
    /// The network is to be exactly so, whether it exists or not.
    Set(NetworkSpec),
    /// The network is to go.
    Remove(NetworkName),
}

/// What happens to one bond.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BondChange {
    /// The bond is to be exactly so, whether it exists or not.
    Set(BondSpec),
    /// The bond is to go.
    Remove(IfName),
}

/// What happens to one NIC's settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NicChange {
    /// The NIC is to be set exactly so.
    Set(NicSpec),
    /// Everything that was set returns to what it was before.
    Remove(IfName),
}

/// How a transaction is carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetupOptions {
    /// The transaction's id; a repeated one returns the first result.
    pub transaction: TransactionId,
    /// Who asks.
    pub origin: Origin,
    /// Whether somebody has to confirm that the host can still be reached.
    pub connectivity_check: ConnectivityCheck,
    /// Whether the running configuration becomes the persistent one in the same transaction.
    pub commit_on_success: bool,
    /// Whether only findings and plan are wanted.
    pub validate_only: bool,
    /// Warning codes that do not stop the request.
    pub acknowledge: Vec<Code>,
    /// The engine's place in time; `None` for a local client.
    pub fence: Option<Fence>,
    /// What the request is about beside the networks that it names.
    #[serde(default)]
    pub scope: Scope,
    /// Devices of somebody else's that may become Trestle's where a network needs them.
    #[serde(default)]
    pub adopt: BTreeSet<IfName>,
}

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// What it names; the rest stays untouched.
    #[default]
    Named,
    /// The whole host: what it does not name goes.
    Everything,
    /// The whole host, which is to be as the persistent configuration says; it names nothing.
    Persistent,
}

/// Who confirms a change, and how long the host waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectivityCheck {
    /// The engine, over a connection that was made after the change; measured on a monotonic clock.
    Engine(Duration),
    /// The local client that asked for the change, by `ConfirmNetworks`.
    Local(Duration),
    /// Nobody: said explicitly.
    None,
}

/// Where in the engine's history a command stands; an agent refuses what is older than what it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Fence {
    /// The engine's fencing epoch: grows at each start of an engine.
    pub epoch: u64,
    /// The desired state's generation for this host.
    pub generation: u64,
}

impl ConnectivityCheck {
    /// The wait where a request does not say one.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
    /// The shortest wait that can be asked for.
    pub const LEAST_TIMEOUT: Duration = Duration::from_secs(1);
    /// The longest wait that can be asked for.
    pub const MOST_TIMEOUT: Duration = Duration::from_secs(600);

    /// Returns how long the host waits, or `None` where nobody has to confirm.
    pub const fn timeout(self) -> Option<Duration> {
        match self {
            Self::Engine(timeout) | Self::Local(timeout) => Some(timeout),
            Self::None => None,
        }
    }
}

impl NetworkChange {
    /// Returns the name of the network that the change is about.
    pub const fn network(&self) -> &NetworkName {
        match self {
            Self::Set(spec) => &spec.name,
            Self::Remove(name) => name,
        }
    }
}

impl NicChange {
    /// Returns the name of the NIC that the change is about.
    pub const fn nic(&self) -> &IfName {
        match self {
            Self::Set(spec) => &spec.name,
            Self::Remove(name) => name,
        }
    }
}

impl BondChange {
    /// Returns the name of the bond that the change is about.
    pub const fn bond(&self) -> &IfName {
        match self {
            Self::Set(spec) => &spec.name,
            Self::Remove(name) => name,
        }
    }
}
