//! Networks and bonds side by side on one host: who stands on which device.

use std::collections::BTreeSet;
use std::net::IpAddr;

use trestle_model::fleet::{Bond, EntityId, Fleet, Network, NetworkAttachment};
use trestle_model::{HostName, IfName, Ipv4Config, Ipv6Config, Southbound};

/// A network on a host.
#[derive(Clone, Copy)]
pub(crate) struct Placement<'a> {
    pub(crate) network: &'a Network,
    pub(crate) attachment: &'a NetworkAttachment,
}

/// What one host is to run.
///
/// *Shape*: networks and bonds, each ordered by name.
#[derive(Clone, Default)]
pub(crate) struct Layout<'a> {
    pub(crate) placements: Vec<Placement<'a>>,
    pub(crate) bonds: Vec<&'a Bond>,
}

impl<'a> Layout<'a> {
    /// Returns what `host` is to run as the fleet stands.
    pub(crate) fn of(fleet: &'a Fleet, host: &'a HostName) -> Self {
        let placements = fleet.attachments_of(host).filter_map(|attachment| {
            Some(Placement { network: fleet.networks().get(&attachment.network)?, attachment })
        });
        Self { placements: placements.collect(), bonds: fleet.bonds_of(host).collect() }
    }

    /// Returns the bond of that name.
    pub(crate) fn bond(&self, name: &IfName) -> Option<&'a Bond> {
        self.bonds.iter().copied().find(|bond| bond.id == *name)
    }

    /// Returns the bond that has the NIC.
    pub(crate) fn bond_with(&self, nic: &IfName) -> Option<&'a Bond> {
        self.bonds.iter().copied().find(|bond| bond.nics.contains(nic))
    }

    /// Returns the bond that the network stands on, if its mode breaks guests' traffic and the network is for guests.
    pub(crate) fn unsafe_bond(&self, placement: Placement<'_>) -> Option<&'a Bond> {
        let bond = self.bond(placement.attachment.southbound.as_ref()?.bond()?)?;
        (placement.network.vm_network && !bond.options.mode.is_safe_under_bridges()).then_some(bond)
    }

    /// Returns the networks that stand on the device, by name.
    pub(crate) fn on(&self, device: &IfName) -> impl Iterator<Item = Placement<'a>> {
        self.placements.iter().copied().filter(move |placement| placement.device() == Some(device))
    }

    /// Returns the other networks of the host, by name.
    pub(crate) fn neighbours(&self, of: Placement<'_>) -> impl Iterator<Item = Placement<'a>> {
        let own = of.network.id.clone();
        self.placements.iter().copied().filter(move |other| other.network.id != own)
    }

    /// Returns the neighbours on the same device: the same NIC or bond and VLAN, or both untagged.
    pub(crate) fn sharing_uplink(&self, placement: Placement<'_>) -> Vec<String> {
        let Some(uplink) = placement.uplink() else { return Vec::new() };
        names(self.neighbours(placement).filter(|other| other.uplink().as_ref() == Some(&uplink)))
    }

    /// Returns the networks, this one included, whose devices have the name of this one's bridge, or the other way round, and
    /// the bonds that have it, or a NIC of that name.
    pub(crate) fn sharing_bridge_name(&self, placement: Placement<'_>) -> Vec<String> {
        let bridge = placement.bridge();
        let lower = placement.lower_devices();
        let clashes = |other: &Placement<'a>| {
            let theirs = other.bridge();
            let same_bridge = bridge.is_some() && bridge == theirs;
            let on_their_device = bridge.as_ref().is_some_and(|name| other.lower_devices().contains(name));
            same_bridge || on_their_device || theirs.is_some_and(|name| lower.contains(&name))
        };
        let own = bridge.as_ref().is_some_and(|name| lower.contains(name)).then(|| placement.name());
        let has_name = |bond: &&&Bond| bridge.as_ref().is_some_and(|name| bond.id == *name || bond.nics.contains(name));
        let bonds = self.bonds.iter().filter(has_name).map(|bond| bond_name(bond));
        own.into_iter().chain(names(self.neighbours(placement).filter(clashes))).chain(bonds).collect()
    }

    /// Returns the neighbours that have an address of this one.
    pub(crate) fn sharing_address(&self, placement: Placement<'_>) -> Vec<String> {
        let mine = placement.addresses();
        names(self.neighbours(placement).filter(|other| !mine.is_disjoint(&other.addresses())))
    }

    /// Returns the neighbours whose MTU does not go with this one's: on one device, the network that is neither tagged nor
    /// bridged has the device's own MTU, and no other may have a larger one.
    pub(crate) fn outgrowing(&self, placement: Placement<'_>) -> Vec<String> {
        let Some(device) = placement.device() else { return Vec::new() };
        let outgrows = |other: &Placement<'a>| {
            let (mine, theirs) = (placement.network.mtu, other.network.mtu);
            (placement.is_bare() && theirs > mine) || (other.is_bare() && mine > theirs)
        };
        let own = placement.network.id.clone();
        names(self.on(device).filter(|other| other.network.id != own).filter(outgrows))
    }
}

impl Placement<'_> {
    /// Returns the attachment's name on the wire.
    pub(crate) fn name(&self) -> String {
        EntityId::NetworkAttachment(self.attachment.host.clone(), self.attachment.network.clone()).to_string()
    }

    /// Returns the NIC or bond that the network stands on.
    pub(crate) fn device(&self) -> Option<&IfName> {
        self.attachment.southbound.as_ref().map(Southbound::device)
    }

    /// Returns the device that carries the network's frames as they are on the wire of no VLAN.
    pub(crate) fn uplink(&self) -> Option<IfName> {
        let device = self.device()?;
        Some(match self.network.vlan {
            Some(id) => IfName::for_vlan(device, id),
            None => device.clone(),
        })
    }

    /// Returns the network's bridge.
    pub(crate) fn bridge(&self) -> Option<IfName> {
        let derived = || IfName::for_bridge(&self.network.id);
        self.network.vm_network.then(|| self.network.bridge_name.clone().unwrap_or_else(derived))
    }

    /// Tells whether the network is the NIC or bond itself.
    fn is_bare(&self) -> bool {
        !self.network.vm_network && self.network.vlan.is_none()
    }

    fn lower_devices(&self) -> BTreeSet<IfName> {
        self.device().cloned().into_iter().chain(self.uplink()).collect()
    }

    fn addresses(&self) -> BTreeSet<IpAddr> {
        let mut addresses = BTreeSet::new();
        if let Ipv4Config::Static(config) = &self.attachment.ipv4 {
            addresses.extend(config.addresses().iter().map(|net| IpAddr::V4(net.addr())));
        }
        if let Ipv6Config::Static(config) = &self.attachment.ipv6 {
            addresses.extend(config.addresses().iter().map(|net| IpAddr::V6(net.addr())));
        }
        addresses
    }
}

/// Returns the names on the wire of attachments.
pub(crate) fn names<'a>(placements: impl Iterator<Item = Placement<'a>>) -> Vec<String> {
    placements.map(|placement| placement.name()).collect()
}

/// Returns a bond's name on the wire.
pub(crate) fn bond_name(bond: &Bond) -> String {
    EntityId::Bond(bond.host.clone(), bond.id.clone()).to_string()
}
