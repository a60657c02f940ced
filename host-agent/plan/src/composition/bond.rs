//! A bond's part: what it is made of, and what becomes of those that come and go.

use std::collections::BTreeSet;

use trestle_model::{BondEntry, BondSpec, HostConfig, HostState, IfName, Link, MacAddr, NicBaseline, Origin, Settable};

use super::{Composition, is_hardware};
use crate::difference::{bond_change, is_automatic, settled};
use crate::ownership;
use crate::target::{
    AddressTarget, AliasTarget, DhcpTarget, EgressTarget, KindTarget, LinkTarget, LinkWanted, MasterTarget, RouteTarget,
};

/// What a bond of Trestle's own is like when no network stands on it.
pub(super) const NEW_BASELINE: NicBaseline =
    NicBaseline { mtu: trestle_model::Mtu::ETHERNET, up: true, ipv6_disabled: true, autoconf: None };

/// Completes a configuration's bonds by what the host is: one that a network stands on and that is not configured is
/// adopted as it is, and each has the MAC that it keeps from here on.
pub(crate) fn resolve(mut config: HostConfig, origin: Origin, observed: &HostState) -> HostConfig {
    let links = &observed.kernel.links;
    let below: BTreeSet<IfName> = config.specs().filter_map(|spec| spec.southbound.as_ref()?.bond()).cloned().collect();
    for name in below.into_iter().filter(|name| !config.bonds.contains_key(name)).collect::<Vec<_>>() {
        if let Some(spec) = links.get(&name).and_then(|link| as_it_is(link, observed)) {
            let mac = spec.hwaddr;
            config.bonds.insert(name, BondEntry { spec: BondSpec { hwaddr: None, ..spec }, origin, mac });
        }
    }
    for (name, entry) in &mut config.bonds {
        if entry.spec.options.follows_active_mac() {
            entry.mac = None;
        } else if entry.mac.is_none() {
            let is_there = links.get(name).filter(|link| link.bond().is_some()).and_then(|link| link.mac);
            let of_first = || entry.spec.nics.iter().find_map(|nic| own_mac(links.get(nic)?));
            entry.mac = entry.spec.hwaddr.or(is_there).or_else(of_first);
        }
    }
    config
}

/// Describes a bond as it is; its MAC is given where it does not follow the active port's.
fn as_it_is(link: &Link, observed: &HostState) -> Option<BondSpec> {
    let options = link.bond()?.options.clone();
    Some(BondSpec {
        name: link.name.clone(),
        nics: ports(observed, &link.name).map(|port| port.name.clone()).collect(),
        hwaddr: link.mac.filter(|_| !options.follows_active_mac()),
        options,
    })
}

/// Returns the MAC that a NIC has by itself, also while it is a port of a bond.
pub(super) fn own_mac(nic: &Link) -> Option<MacAddr> {
    nic.bond_port.as_ref().and_then(|port| port.permanent_mac).or(nic.mac)
}

/// Returns the ports of a bond, by name.
fn ports<'a>(observed: &'a HostState, bond: &'a IfName) -> impl Iterator<Item = &'a Link> {
    observed.kernel.links.values().filter(move |link| link.master.as_ref() == Some(bond))
}

/// Returns the bond of a configuration that a NIC is to be in.
pub(super) fn bond_with<'a>(config: &'a HostConfig, nic: &IfName) -> Option<&'a BondEntry> {
    config.bonds.values().find(|entry| entry.spec.nics.contains(nic))
}

pub(super) fn why_bond(name: &IfName) -> String {
    format!("bond {name}")
}

impl Composition<'_> {
    /// Returns the devices that belong to touched bonds, before and after, and the ports of the bonds that carry touched
    /// networks.
    pub(super) fn bond_devices(&self, bases: &BTreeSet<IfName>) -> BTreeSet<IfName> {
        let mut devices = BTreeSet::new();
        for name in &self.touched.bonds {
            let entries = [self.running, self.desired].into_iter().filter_map(|config| config.bonds.get(*name));
            devices.extend(entries.flat_map(|entry| entry.spec.nics.iter().cloned()));
            if self.desired.bonds.contains_key(*name) {
                devices.insert((*name).clone());
            }
        }
        let bonds = bases.iter().chain(self.touched.bonds.iter().copied());
        devices.extend(
            bonds
                .flat_map(|bond| ports(self.observed(), bond))
                .filter(|port| is_bond_port(self, port))
                .map(|port| port.name.clone()),
        );
        devices
    }

    /// Makes a base the bond that is asked for.
    pub(super) fn shape_bond(&self, wanted: &mut LinkWanted, entry: &BondEntry) {
        let name = &entry.spec.name;
        let links = &self.observed().kernel.links;
        let mut options = entry.spec.options.complete();
        options.primary = options.primary.filter(|primary| links.contains_key(primary));
        wanted.mac = entry.mac;
        wanted.alias = AliasTarget::Exactly(ownership::bond_mark(name));
        wanted.ipv6_disabled = wanted.ipv6_disabled.or_else(|| Some(self.baseline_of_bond(name).ipv6_disabled));
        if let Some(link) = links.get(name)
            && let Some(bond) = link.bond()
            && bond_change(&options, &bond.options, &[]).settable() > Settable::Always
        {
            // Going down takes routes and IPv6 addresses along, which are to be there afterwards.
            if wanted.addresses == AddressTarget::Leave {
                wanted.addresses = AddressTarget::Exactly(settled(link).cloned().collect());
            }
            if wanted.routes == RouteTarget::Leave {
                let routes = self.observed().kernel.routes.iter();
                let through = routes.filter(|route| route.device == *name && !is_automatic(route, link));
                wanted.routes = RouteTarget::Exactly(through.cloned().collect());
            }
        }
        wanted.kind = KindTarget::Bond(Box::new(options));
    }

    /// Makes a NIC a port of a bond: it carries nothing of its own, and what the bond carries.
    pub(super) fn member(&mut self, nic: &IfName, bond: &IfName) {
        let mut wanted = LinkWanted::leaving_alone(KindTarget::Found, why_bond(bond));
        wanted.mtu = self.base_mtu(bond);
        if self.touched.bonds.contains(bond) {
            wanted.up = Some(true);
            wanted.master = MasterTarget::PortOf(bond.clone());
            wanted.ipv6_disabled = Some(true);
            wanted.addresses = AddressTarget::Exactly(Vec::new());
            wanted.routes = RouteTarget::Exactly(Vec::new());
            wanted.dhcp = DhcpTarget::Exactly(Vec::new());
            wanted.egress = EgressTarget::Unshaped;
        }
        self.target.links.insert(nic.clone(), LinkTarget::Present(wanted));
    }

    pub(super) fn baseline_of_bond(&self, name: &IfName) -> NicBaseline {
        baseline(self.running, self.observed(), name).unwrap_or(NEW_BASELINE)
    }
}

/// Returns what a bond returns to that was there before Trestle used it.
///
/// One of Trestle's own in the making, as where a change was broken off, is down until it is made.
pub(super) fn baseline(running: &HostConfig, observed: &HostState, name: &IfName) -> Option<NicBaseline> {
    let was_there = observed.kernel.links.get(name).filter(|link| {
        let is_adopted = link.bond().is_some() && !running.bonds.contains_key(name);
        is_adopted && (link.up || !ownership::is_ours(link))
    });
    running.baselines.0.get(name).cloned().or_else(|| was_there.map(super::nic::now))
}

fn is_bond_port(composition: &Composition<'_>, port: &Link) -> bool {
    let master = port.master.as_ref().and_then(|master| composition.observed().kernel.links.get(master));
    is_hardware(&port.kind) && master.is_some_and(|master| master.bond().is_some())
}
