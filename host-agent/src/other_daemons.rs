//! The other daemons that configure devices of the host: who has which.
//!
//! What they publish about each device is read, by its index; nothing is told to them.
//!
//! *Source*: `sd_network_link_get_setup_state` of libsystemd reads the same files of systemd-networkd, which go when it stops;
//! NetworkManager keeps its own for its next start, so it is asked for on the bus whether it runs (measured: D-0037).

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use trestle_model::{DeviceManager, IfName, Link, LinkKind, Management};

use crate::bus::{Bus, Object};

/// Where the daemons publish.
pub const PUBLISHED: &str = "/run";

const NETWORKD: &str = "systemd/netif/links";
const NETWORK_MANAGER: &str = "NetworkManager/devices";
const NETWORK_MANAGER_NAME: &str = "org.freedesktop.NetworkManager";
const BUS: Object =
    Object { service: "org.freedesktop.DBus", path: "/org/freedesktop/DBus", interface: "org.freedesktop.DBus" };

/// The daemons of a host.
#[derive(Debug, Clone)]
pub struct OtherDaemons {
    folder: PathBuf,
    bus: Bus,
}

impl OtherDaemons {
    /// Makes the edge: the daemons publish beneath `folder`.
    pub const fn new(folder: PathBuf, bus: Bus) -> Self {
        Self { folder, bus }
    }

    /// Tells which of the devices another daemon configures. Of guests' ports, cables into containers and the like no daemon is
    /// asked, and NetworkManager of none that Trestle has made: it shows such a one as connected, and changes nothing.
    ///
    /// *Cancel safety*: safe, reading has no effect.
    pub(crate) async fn observe(&self, links: &BTreeMap<IfName, Link>) -> BTreeMap<IfName, Management> {
        let folder = |name: &str| Some(self.folder.join(name)).filter(|folder| folder.is_dir());
        let (networkd, network_manager) = (folder(NETWORKD), folder(NETWORK_MANAGER));
        let runs = network_manager.is_some() && runs(&self.bus).await;
        let folders = Folders { networkd, network_manager: network_manager.filter(|_| runs) };
        if folders.networkd.is_none() && folders.network_manager.is_none() {
            return BTreeMap::new();
        }
        let candidates: Vec<Candidate> = links.values().filter_map(candidate).collect();
        let read = tokio::task::spawn_blocking(move || folders.read(candidates)).await;
        read.unwrap_or_default()
    }
}

/// Where the daemons that run publish.
struct Folders {
    networkd: Option<PathBuf>,
    network_manager: Option<PathBuf>,
}

/// A device that a daemon may configure.
struct Candidate {
    name: IfName,
    index: u32,
    is_ours: bool,
}

/// What one daemon publishes: a file for each device that it knows, named by the device's index.
struct Published<'a> {
    folder: &'a Path,
    /// Names of the files: most devices of a host with many have none, and a list costs less than to look for each.
    files: BTreeSet<OsString>,
}

impl Folders {
    fn read(&self, candidates: Vec<Candidate>) -> BTreeMap<IfName, Management> {
        let by_networkd = self.networkd.as_deref().map(Published::list);
        let by_network_manager = self.network_manager.as_deref().map(Published::list);
        let managed = |device: Candidate| {
            let text = |published: Option<&Published<'_>>| published?.about(device.index);
            let management = text(by_networkd.as_ref()).and_then(|text| networkd(&text)).or_else(|| {
                let asked = by_network_manager.as_ref().filter(|_| !device.is_ours);
                text(asked).and_then(|text| network_manager(&text))
            });
            management.map(|management| (device.name, management))
        };
        candidates.into_iter().filter_map(managed).collect()
    }
}

impl<'a> Published<'a> {
    /// Lists a folder; one that cannot be read has nothing.
    fn list(folder: &'a Path) -> Self {
        let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|file| file.file_name()).collect();
        Self { folder, files }
    }

    fn about(&self, index: u32) -> Option<String> {
        let file = self.files.get(OsStr::new(&index.to_string()))?;
        fs::read_to_string(self.folder.join(file)).ok()
    }
}

fn candidate(link: &Link) -> Option<Candidate> {
    match link.kind {
        LinkKind::Nic | LinkKind::Vlan { .. } | LinkKind::Bridge(_) | LinkKind::Bond(_) => {
            let is_ours = trestle_plan::ownership::is_ours(link);
            Some(Candidate { name: link.name.clone(), index: link.index, is_ours })
        }
        LinkKind::Veth | LinkKind::Tun | LinkKind::Loopback | LinkKind::Other(_) => None,
    }
}

/// Reads what systemd-networkd says of a device; one that no file of its configuration is about is unmanaged.
fn networkd(text: &str) -> Option<Management> {
    let state = value(text, "ADMIN_STATE")?;
    let configures = ["configuring", "configured", "failed"].contains(&state);
    let source = value(text, "NETWORK_FILE").map(str::to_owned);
    configures.then_some(Management { manager: DeviceManager::SystemdNetworkd, source })
}

/// Reads what NetworkManager says of a device.
fn network_manager(text: &str) -> Option<Management> {
    let is_managed = value(text, "managed") == Some("true");
    is_managed.then_some(Management { manager: DeviceManager::NetworkManager, source: None })
}

fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
}

/// Tells whether NetworkManager runs; one that cannot be asked for does not.
async fn runs(bus: &Bus) -> bool {
    let answer = bus.call(BUS, "NameHasOwner", &NETWORK_MANAGER_NAME).await;
    answer.is_ok_and(|answer| answer.body().deserialize().unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_daemons_publish() {
        let file = "/etc/systemd/network/50-eth1.network";
        let of =
            |state: &str| networkd(&format!("# private\nADMIN_STATE={state}\nOPER_STATE=up\nNETWORK_FILE={file}\n"));
        let configured = Management { manager: DeviceManager::SystemdNetworkd, source: Some(file.to_owned()) };
        for state in ["configuring", "configured", "failed"] {
            assert_eq!(of(state), Some(configured.clone()), "{state}");
        }
        for state in ["unmanaged", "pending", "initialized", "linger"] {
            assert_eq!(of(state), None, "{state}");
        }
        for (text, manages) in
            [("managed=true\nnm-owned=false\n", true), ("managed=false\n", false), ("nm-owned=false\n", false)]
        {
            assert_eq!(network_manager(&format!("[device]\n{text}")).is_some(), manages, "{text}");
        }
    }

    #[test]
    fn a_device_of_trestles_is_networkds_only_where_that_configures_it() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        for daemon in ["networkd", "nm"] {
            fs::create_dir(place(daemon)).unwrap();
        }
        for index in ["1", "2"] {
            fs::write(place("nm").join(index), "[device]\nmanaged=true\n").unwrap();
        }
        fs::write(place("networkd").join("3"), "ADMIN_STATE=configured\n").unwrap();
        let folders = Folders { networkd: Some(place("networkd")), network_manager: Some(place("nm")) };
        let device = |name: &str, index, is_ours| Candidate { name: IfName::parse(name).unwrap(), index, is_ours };
        let read = folders.read(vec![device("eth0", 1, false), device("blue", 2, true), device("red", 3, true)]);
        let managers: Vec<_> = read.iter().map(|(name, management)| (name.as_str(), management.manager)).collect();
        assert_eq!(managers, [("eth0", DeviceManager::NetworkManager), ("red", DeviceManager::SystemdNetworkd)]);
    }
}
