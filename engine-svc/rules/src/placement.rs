//! Networks side by side on one host: who stands on which device.

use std::collections::BTreeSet;
use std::net::IpAddr;

use trestle_model::fleet::{EntityId, Fleet, Network, NetworkAttachment};
use trestle_model::{HostName, IfName, Ipv4Config, Ipv6Config};

/// A network on a host.
#[derive(Clone, Copy)]
pub(crate) struct Placement<'a> {
    pub(crate) network: &'a Network,
    pub(crate) attachment: &'a NetworkAttachment,
}

/// Returns the networks that `host` is to run, by name.
pub(crate) fn of_host<'a>(fleet: &'a Fleet, host: &'a HostName) -> impl Iterator<Item = Placement<'a>> {
    fleet
        .attachments_of(host)
        .filter_map(|attachment| Some(Placement { network: fleet.networks().get(&attachment.network)?, attachment }))
}

impl<'a> Placement<'a> {
    /// Returns the attachment's name on the wire.
    pub(crate) fn name(&self) -> String {
        EntityId::NetworkAttachment(self.attachment.host.clone(), self.attachment.network.clone()).to_string()
    }

    /// Returns the other networks of the host, by name.
    pub(crate) fn neighbours(self, fleet: &'a Fleet) -> impl Iterator<Item = Placement<'a>> {
        of_host(fleet, &self.attachment.host).filter(move |other| other.network.id != self.network.id)
    }

    /// Returns the neighbours on the same device: the same NIC and VLAN, or both untagged.
    pub(crate) fn sharing_uplink(self, fleet: &'a Fleet) -> Vec<String> {
        let Some(uplink) = self.uplink() else { return Vec::new() };
        self.neighbours(fleet)
            .filter(|other| other.uplink().as_ref() == Some(&uplink))
            .map(|other| other.name())
            .collect()
    }

    /// Returns the networks, this one included, whose devices have the name of this one's bridge, or the other way round.
    pub(crate) fn sharing_bridge_name(self, fleet: &'a Fleet) -> Vec<String> {
        let bridge = self.bridge();
        let lower = self.lower_devices();
        let clashes = |other: &Placement<'a>| {
            let theirs = other.bridge();
            let same_bridge = bridge.is_some() && bridge == theirs;
            let on_their_device = bridge.as_ref().is_some_and(|name| other.lower_devices().contains(name));
            same_bridge || on_their_device || theirs.is_some_and(|name| lower.contains(&name))
        };
        let own = bridge.as_ref().is_some_and(|name| lower.contains(name)).then(|| self.name());
        own.into_iter().chain(self.neighbours(fleet).filter(clashes).map(|other| other.name())).collect()
    }

    /// Returns the neighbours that have an address of this one.
    pub(crate) fn sharing_address(self, fleet: &'a Fleet) -> Vec<String> {
        let mine = self.addresses();
        self.neighbours(fleet).filter(|other| !mine.is_disjoint(&other.addresses())).map(|other| other.name()).collect()
    }

    fn uplink(&self) -> Option<IfName> {
        let nic = self.attachment.nic.as_ref()?;
        Some(match self.network.vlan {
            Some(id) => IfName::for_vlan(nic, id),
            None => nic.clone(),
        })
    }

    fn bridge(&self) -> Option<IfName> {
        let derived = || IfName::for_bridge(&self.network.id);
        self.network.vm_network.then(|| self.network.bridge_name.clone().unwrap_or_else(derived))
    }

    fn lower_devices(&self) -> BTreeSet<IfName> {
        self.attachment.nic.clone().into_iter().chain(self.uplink()).collect()
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
