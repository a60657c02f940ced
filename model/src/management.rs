//! Other daemons that configure devices of a host.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A daemon that configures devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceManager {
    /// NetworkManager.
    NetworkManager,
    /// systemd-networkd.
    SystemdNetworkd,
}

/// Who configures a device, and by what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Management {
    /// The daemon.
    pub manager: DeviceManager,
    /// The file that says so, where the daemon tells.
    pub source: Option<String>,
}

impl fmt::Display for DeviceManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NetworkManager => "NetworkManager",
            Self::SystemdNetworkd => "systemd-networkd",
        })
    }
}
