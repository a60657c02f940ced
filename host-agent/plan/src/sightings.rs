//! MACs that bridges have learned behind guests' ports, and that the guests were not given.
//!
//! *Source*: a bridge learns the source address of what a port that learns sends (`br_fdb_update` in the kernel's
//! `net/bridge/br_fdb.c`). A managed port does not learn, so there it is told only while somebody has switched that on again.

use std::collections::{BTreeMap, BTreeSet};

use trestle_model::{
    FdbEntry, FdbState, GuestInterface, HostConfig, HostState, IfName, MacAddr, NetworkName, NetworkSpec,
};

/// One such MAC, as of one look.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sighting {
    /// The network of the bridge.
    pub network: NetworkName,
    /// The guest's port.
    pub port: IfName,
    /// The MAC.
    pub mac: MacAddr,
    /// The VLAN in which it was learned.
    pub vlan: Option<u16>,
    /// The domain's name.
    pub guest: String,
}

/// Returns what is to be seen on the bridges of a configuration.
pub fn sightings(running: &HostConfig, observed: &HostState) -> BTreeSet<Sighting> {
    let mut behind = BTreeMap::<&IfName, Vec<&GuestInterface>>::new();
    for guest in observed.libvirt.iter().flat_map(|libvirt| &libvirt.guests) {
        if let Some(tap) = &guest.tap {
            behind.entry(tap).or_default().push(guest);
        }
    }
    if behind.is_empty() {
        return BTreeSet::new();
    }
    let specs = running.networks.values().map(|entry| &entry.spec);
    let bridged: BTreeMap<&IfName, &NetworkSpec> =
        specs.filter_map(|spec| Some((&spec.bridge()?.name, spec))).collect();
    let sighting = |entry: &FdbEntry| {
        let spec = bridged.get(&entry.bridge)?;
        let guest = stranger_to(entry, behind.get(&entry.port)?, spec)?;
        Some(Sighting {
            network: spec.name.clone(),
            port: entry.port.clone(),
            mac: entry.mac,
            vlan: entry.vlan,
            guest: guest.domain.clone(),
        })
    };
    observed.kernel.fdb.iter().filter_map(sighting).collect()
}

/// Returns the guest behind an entry's port, where the entry was learned of it and its MAC is not one that it may have.
pub(crate) fn stranger_to<'g>(
    entry: &FdbEntry,
    behind: &[&'g GuestInterface],
    spec: &NetworkSpec,
) -> Option<&'g GuestInterface> {
    let may_have = |guest: &&GuestInterface| {
        let nic = spec.guest_ports.nics.get(&guest.mac);
        guest.mac == entry.mac || nic.is_some_and(|nic| nic.extra_macs.contains(&entry.mac))
    };
    let guest = behind.first().copied()?;
    (entry.state == FdbState::Learned && !behind.iter().any(may_have)).then_some(guest)
}
