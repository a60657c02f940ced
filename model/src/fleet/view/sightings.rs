//! What hosts report of guests: by domain, by MAC and by network, so that a look costs what it finds.
//!
//! Reports are whole, and almost all of one is what the one before was. Only domains that changed are taken out of the
//! indexes and put in anew; of a report of the same domains nothing in them moves.

use std::collections::{BTreeMap, BTreeSet};

use super::{Fleet, HostRecord};
use crate::fleet::Vnic;
use crate::{Domain, DomainInterface, HostName, MacAddr, MacRange, NetworkName, VmId};

/// An interface of a domain, as a host last reported it.
#[derive(Debug, Clone, Copy)]
pub struct Sighting<'a> {
    /// The host.
    pub host: &'a HostName,
    /// The domain.
    pub domain: &'a Domain,
    /// The interface.
    pub interface: &'a DomainInterface,
    /// The network that it is wired to, by what the same report says of bridges; none for anything else.
    pub network: Option<&'a NetworkName>,
}

/// Where domains and their interfaces are.
///
/// *Shape*: no empty sets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Sightings {
    /// The domain's name on each host, by which it is found in the host's report.
    domains: BTreeMap<VmId, BTreeMap<HostName, String>>,
    macs: BTreeMap<MacAddr, BTreeSet<(HostName, VmId)>>,
    networks: BTreeMap<NetworkName, BTreeSet<(HostName, VmId)>>,
    wirings: BTreeMap<HostName, Wiring>,
}

/// Which network the guests of a host are on, by what they are wired to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Wiring {
    bridges: BTreeMap<String, NetworkName>,
    networks: BTreeMap<String, NetworkName>,
}

impl Fleet {
    /// Returns a domain that `host` reported.
    pub fn domain(&self, host: &HostName, id: VmId) -> Option<&Domain> {
        let name = self.sightings.domains.get(&id)?.get(host)?;
        self.find(host, name, id)
    }

    /// Returns a virtual machine's domain on each host that reported it, ordered by host; more than one where it moves, or
    /// where a definition was left behind.
    pub fn domains_of(&self, vm: VmId) -> impl Iterator<Item = (&HostName, &Domain)> {
        let places = self.sightings.domains.get(&vm).into_iter().flatten();
        places.filter_map(move |(host, name)| Some((host, self.find(host, name, vm)?)))
    }

    /// Returns the domains that `host` reported, ordered by name.
    pub fn domains_on(&self, host: &HostName) -> &[Domain] {
        self.observed.get(host).map_or(&[], HostRecord::domains)
    }

    /// Returns the interfaces that `host` reported, ordered by domain and as its XML has them.
    pub fn interfaces_of<'a>(&'a self, host: &'a HostName) -> impl Iterator<Item = Sighting<'a>> {
        self.domains_on(host).iter().flat_map(move |domain| self.interfaces(host, domain))
    }

    /// Returns the reported interfaces that have `mac`, ordered by host and domain.
    pub fn interfaces_with(&self, mac: MacAddr) -> impl Iterator<Item = Sighting<'_>> {
        self.all(self.sightings.macs.get(&mac)).filter(move |sighting| sighting.interface.mac == mac)
    }

    /// Returns the reported interfaces that are wired to `network`, ordered by host and domain.
    pub fn interfaces_on<'a>(&'a self, network: &'a NetworkName) -> impl Iterator<Item = Sighting<'a>> {
        self.all(self.sightings.networks.get(network)).filter(move |sighting| sighting.network == Some(network))
    }

    /// Returns the vNIC that a reported interface is: of the VM with the domain's UUID, with its MAC.
    pub fn vnic_of(&self, sighting: &Sighting<'_>) -> Option<&Vnic> {
        let (vm, mac) = (VmId(sighting.domain.uuid), sighting.interface.mac);
        self.vnics_with_mac(mac).find(|vnic| vnic.vm == vm && vnic.address() == Some(mac))
    }

    /// Tells whether `host` last reported that libvirt manages the MAC table of `network`.
    pub fn is_managed_on(&self, network: &NetworkName, host: &HostName) -> bool {
        self.managed_reports.get(network).is_some_and(|hosts| hosts.contains(host))
    }

    /// Tells whether `host` last reported a bridge of `network`, which guests can be wired to.
    pub fn has_bridge(&self, host: &HostName, network: &NetworkName) -> bool {
        let wiring = self.sightings.wirings.get(host);
        wiring.and_then(|wiring| wiring.networks.get(&network.libvirt_network())) == Some(network)
    }

    /// Returns an interface of a reported domain with the network that it is wired to.
    pub fn sighting<'a>(
        &'a self,
        host: &'a HostName,
        domain: &'a Domain,
        interface: &'a DomainInterface,
    ) -> Sighting<'a> {
        let network = self.sightings.wirings.get(host).and_then(|wiring| wiring.network_of(interface));
        Sighting { host, domain, interface, network }
    }

    fn all<'a>(&'a self, places: Option<&'a BTreeSet<(HostName, VmId)>>) -> impl Iterator<Item = Sighting<'a>> {
        let places = places.into_iter().flatten();
        places
            .filter_map(|(host, id)| Some((host, self.domain(host, *id)?)))
            .flat_map(|(host, domain)| self.interfaces(host, domain))
    }

    fn interfaces<'a>(&'a self, host: &'a HostName, domain: &'a Domain) -> impl Iterator<Item = Sighting<'a>> {
        domain.interfaces.iter().map(move |interface| self.sighting(host, domain, interface))
    }

    fn find(&self, host: &HostName, name: &str, id: VmId) -> Option<&Domain> {
        let domains = self.domains_on(host);
        let place = domains.binary_search_by(|domain| (domain.name.as_str(), domain.uuid).cmp(&(name, id.0)));
        domains.get(place.ok()?)
    }
}

impl HostRecord {
    /// Puts the domains into the order in which they are found again; of those with one UUID, which no libvirt has, the
    /// first stays.
    pub(super) fn in_order(mut self) -> Self {
        if let Some(reported) = &mut self.capabilities {
            reported.domains.sort_by(|one, other| (&one.name, one.uuid).cmp(&(&other.name, other.uuid)));
            let mut seen = BTreeSet::new();
            reported.domains.retain(|domain| seen.insert(domain.uuid));
        }
        self
    }

    fn domains(&self) -> &[Domain] {
        self.capabilities.as_ref().map_or(&[], |reported| &reported.domains)
    }
}

impl Sightings {
    /// Puts what `host` reports now in the place of what it reported before; each of them may be nothing. Returns the MACs of
    /// the domains that changed, before and now.
    pub(super) fn replace(
        &mut self,
        host: &HostName,
        before: Option<&HostRecord>,
        after: Option<&HostRecord>,
    ) -> BTreeSet<MacAddr> {
        let old = self.wirings.remove(host).unwrap_or_default();
        let new = after.map(Wiring::of).unwrap_or_default();
        let is_rewired = old != new;
        let (before, after) = (by_id(before), by_id(after));
        let mut moved = BTreeSet::new();
        for (id, domain) in &before {
            if is_rewired || after.get(id) != Some(domain) {
                self.take_out(host, &old, domain);
                moved.extend(domain.interfaces.iter().map(|interface| interface.mac));
            }
        }
        for (id, domain) in &after {
            if is_rewired || before.get(id) != Some(domain) {
                self.put_in(host, &new, domain);
                moved.extend(domain.interfaces.iter().map(|interface| interface.mac));
            }
        }
        if new != Wiring::default() {
            self.wirings.insert(host.clone(), new);
        }
        moved
    }

    /// Tells whether some domain has an interface with `mac`.
    pub(super) fn has_mac(&self, mac: MacAddr) -> bool {
        self.macs.contains_key(&mac)
    }

    /// Returns the MACs of a range that some domain has, ordered.
    pub(super) fn macs_in(&self, range: MacRange) -> impl Iterator<Item = MacAddr> {
        self.macs.range(range.first()..=range.last()).map(|(mac, _)| *mac)
    }

    fn put_in(&mut self, host: &HostName, wiring: &Wiring, domain: &Domain) {
        let id = VmId(domain.uuid);
        self.domains.entry(id).or_default().insert(host.clone(), domain.name.clone());
        for interface in &domain.interfaces {
            self.macs.entry(interface.mac).or_default().insert((host.clone(), id));
            if let Some(network) = wiring.network_of(interface) {
                self.networks.entry(network.clone()).or_default().insert((host.clone(), id));
            }
        }
    }

    fn take_out(&mut self, host: &HostName, wiring: &Wiring, domain: &Domain) {
        let id = VmId(domain.uuid);
        if let Some(places) = self.domains.get_mut(&id) {
            places.remove(host);
            if places.is_empty() {
                self.domains.remove(&id);
            }
        }
        let place = (host.clone(), id);
        for interface in &domain.interfaces {
            super::unlink(&mut self.macs, &interface.mac, &place);
            if let Some(network) = wiring.network_of(interface) {
                super::unlink(&mut self.networks, network, &place);
            }
        }
    }
}

impl Wiring {
    fn of(record: &HostRecord) -> Self {
        let mut wiring = Self::default();
        for report in record.capabilities.iter().flat_map(|reported| &reported.networks) {
            let spec = &report.configured.spec;
            if let Some(bridge) = spec.bridge() {
                wiring.bridges.insert(bridge.name.to_string(), spec.name.clone());
                wiring.networks.insert(spec.name.libvirt_network(), spec.name.clone());
            }
        }
        wiring
    }

    /// A bridge says more than libvirt's network, which may have been told to stand on another one meanwhile.
    fn network_of(&self, interface: &DomainInterface) -> Option<&NetworkName> {
        match (&interface.bridge, &interface.network) {
            (Some(bridge), _) => self.bridges.get(bridge),
            (None, Some(network)) => self.networks.get(network),
            (None, None) => None,
        }
    }
}

fn by_id(record: Option<&HostRecord>) -> BTreeMap<VmId, &Domain> {
    record.into_iter().flat_map(HostRecord::domains).map(|domain| (VmId(domain.uuid), domain)).collect()
}

#[cfg(test)]
mod tests;
