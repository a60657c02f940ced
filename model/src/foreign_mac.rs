//! MACs that guests send from and were not given.

use serde::{Deserialize, Serialize};

use crate::{IfName, MacAddr};

/// A MAC that a bridge has learned behind a guest's port, and that is none of the guest's: it forwards for others, or
/// poses as them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignMac {
    /// The guest's port.
    pub port: IfName,
    /// The domain's name.
    pub guest: String,
    /// The MAC.
    pub mac: MacAddr,
    /// The VLAN in which it was learned; `None` where the bridge did not filter by VLAN.
    pub vlan: Option<u16>,
    /// When the agent saw it first, in milliseconds since 1970.
    pub first_seen_ms: u64,
    /// When the agent saw that it was no longer there, in milliseconds since 1970; `None` while it is.
    pub gone_ms: Option<u64>,
}

impl ForeignMac {
    /// The most that are kept of a network.
    pub const MOST: usize = 64;
}
