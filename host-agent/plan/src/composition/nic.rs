//! A NIC's part, or a bond's as what networks stand on: what it carries before and after, and what it returns to.

use std::collections::BTreeSet;

use trestle_model::{Baselines, HostConfig, HostState, IfName, Link, Mtu, NetworkSpec, NicBaseline};

use super::bond::{self, bond_with, why_bond};
use super::{Composition, addresses, is_hardware, routes};
use crate::target::{AddressTarget, DhcpTarget, KindTarget, LinkTarget, LinkWanted, MasterTarget, RouteTarget};
use crate::{AutoconfChange, ownership};

/// What a configuration uses a NIC for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role<'a> {
    /// It carries this network's untagged frames, and perhaps VLANs of others.
    Untagged(&'a NetworkSpec),
    /// It carries VLANs only; its own addresses are nobody's business.
    Base,
    /// It is a port of a bond.
    Member,
    /// Nothing.
    Unused,
}

/// Returns what a NIC goes back to when the last network leaves it.
pub(super) const fn now(link: &Link) -> NicBaseline {
    NicBaseline { mtu: link.mtu, up: link.up, ipv6_disabled: link.ipv6_disabled, autoconf: link.autoconf }
}

/// Returns how each NIC and bond that `desired` uses is without it: what `running` remembers, else what it is now.
pub(crate) fn baselines(running: &HostConfig, desired: &HostConfig, observed: &HostState) -> Baselines {
    let links = &observed.kernel.links;
    let southbounds = desired.specs().filter_map(|spec| spec.southbound.as_ref()).map(|southbound| southbound.device());
    let used = southbounds.chain(desired.bonds.values().flat_map(|entry| &entry.spec.nics));
    let remembered = |name: &IfName| running.baselines.0.get(name).cloned();
    let nics = used
        .filter(|name| !desired.bonds.contains_key(*name))
        .filter_map(|nic| Some((nic.clone(), remembered(nic).or_else(|| links.get(nic).map(now))?)));
    let bonds = desired.bonds.keys();
    let bonds = bonds.filter_map(|bond| Some((bond.clone(), bond::baseline(running, observed, bond)?)));
    Baselines(nics.chain(bonds).collect())
}

impl Composition<'_> {
    /// Returns the devices below touched networks and those of touched bonds, before and after, and those that are
    /// `released`.
    pub(super) fn bases(&self, released: &BTreeSet<IfName>) -> BTreeSet<IfName> {
        let specs = self.touched_of(self.running).chain(self.touched_of(self.desired));
        let below = specs.filter_map(|spec| spec.southbound.as_ref()).map(|southbound| southbound.device().clone());
        let mut bases: BTreeSet<IfName> = below.chain(released.iter().cloned()).collect();
        bases.extend(self.bond_devices(&bases));
        bases
    }

    pub(super) fn base(&mut self, name: &IfName, released: bool) {
        let is_going = matches!(self.target.links.get(name), Some(LinkTarget::Absent { .. }));
        match bond_with(self.desired, name).map(|entry| entry.spec.name.clone()) {
            _ if is_going => {}
            Some(bond) => self.member(name, &bond),
            None => self.nic(name, released),
        }
    }

    fn nic(&mut self, name: &IfName, released: bool) {
        let link = self.observed().kernel.links.get(name);
        let bond = self.desired.bonds.get(name);
        let (before, after) = (role(self.running, name), role(self.desired, name));
        let baseline = match bond {
            Some(_) => Some(self.baseline_of_bond(name)),
            None => {
                let remembered = self.running.baselines.0.get(name).cloned();
                // What a port of somebody else's bond was like before nobody knows: it stays as the kernel leaves it.
                let is_own = |link: &&Link| link.bond_port.is_none() && before == Role::Unused && !released;
                remembered.or_else(|| link.filter(is_own).map(now))
            }
        };
        let mut wanted = LinkWanted::leaving_alone(KindTarget::Found, self.why_nic(name));
        wanted.mtu = self.nic_mtu(name, after, baseline.as_ref());
        wanted.up = match after {
            Role::Untagged(_) | Role::Base | Role::Member => Some(true),
            Role::Unused if bond.is_some() => Some(true),
            Role::Unused => baseline.as_ref().map(|baseline| baseline.up || self.carries_foreign_vlans(name)),
        };
        match (before, after) {
            (_, Role::Untagged(spec)) if self.is_touched(spec) => match spec.bridge() {
                Some(bridge) => self.make_port(&mut wanted, spec, bridge),
                None => self.make_top(&mut wanted, spec),
            },
            // Its untagged network is not part of this: only what the VLANs above need changes.
            (_, Role::Untagged(_)) => {}
            (Role::Untagged(old), Role::Base | Role::Unused | Role::Member) => {
                free(&mut wanted);
                return_ipv6(&mut wanted, baseline.as_ref());
                if old.bridge().is_none() {
                    wanted.addresses = AddressTarget::Without(addresses(old));
                    wanted.routes = RouteTarget::Without(routes(old));
                    wanted.dhcp = DhcpTarget::Exactly(Vec::new());
                }
            }
            (Role::Member, Role::Base | Role::Unused) => {
                free(&mut wanted);
                return_ipv6(&mut wanted, baseline.as_ref());
            }
            (Role::Base | Role::Unused, Role::Base | Role::Unused) if self.is_to_leave(name, released) => {
                free(&mut wanted);
                match &baseline {
                    Some(_) => return_ipv6(&mut wanted, baseline.as_ref()),
                    None => wanted.ipv6_disabled = released.then_some(false),
                }
            }
            (Role::Base | Role::Unused | Role::Member, Role::Base | Role::Unused | Role::Member) => {}
        }
        wanted.egress = self.egress(name);
        if let Some(entry) = bond.filter(|_| self.touched.bonds.contains(name)) {
            self.shape_bond(&mut wanted, entry);
        }
        self.sibling(name, after, wanted.mtu);
        self.present(name.clone(), wanted);
    }

    /// Returns the MTU that what networks stand on needs.
    pub(super) fn base_mtu(&self, bond: &IfName) -> Option<Mtu> {
        self.nic_mtu(bond, role(self.desired, bond), Some(&self.baseline_of_bond(bond)))
    }

    /// Holds the MTU of an untagged network's bridge that is not touched otherwise: the kernel lets it follow its
    /// port's until somebody sets it, and may have done so in a change that was broken off.
    fn sibling(&mut self, nic: &IfName, role: Role<'_>, mtu: Option<Mtu>) {
        let Role::Untagged(spec) = role else { return };
        let Some(bridge) = spec.bridge().filter(|_| !self.is_touched(spec)) else { return };
        let links = &self.observed().kernel.links;
        let Some(has) = links.get(&bridge.name).filter(|link| ownership::is_ours(link)) else { return };
        let has_followed = Some(has.mtu) == mtu;
        if has_followed || links.get(nic).is_some_and(|link| Some(link.mtu) != mtu) {
            let mut wanted = LinkWanted::leaving_alone(KindTarget::Found, super::why(spec));
            wanted.mtu = Some(if has_followed { spec.mtu } else { has.mtu });
            self.target.links.entry(bridge.name.clone()).or_insert(LinkTarget::Present(wanted));
        }
    }

    /// Returns the MTU that a NIC needs: the largest of what stands on it, and of its own use where nothing takes it
    /// over.
    fn nic_mtu(&self, name: &IfName, role: Role<'_>, baseline: Option<&NicBaseline>) -> Option<Mtu> {
        let networks = on_nic(self.desired, name).map(|spec| spec.mtu).max();
        let foreign = self.foreign_vlans(name).map(|vlan| vlan.mtu).max();
        let own = match role {
            Role::Untagged(_) => None,
            Role::Base => baseline.map(|baseline| baseline.mtu),
            Role::Unused | Role::Member => Some(baseline?.mtu),
        };
        networks.max(foreign).max(own)
    }

    fn foreign_vlans(&self, nic: &IfName) -> impl Iterator<Item = &Link> {
        let vlans = self.ground.census.vlans(nic).iter().copied();
        vlans.filter(|link| !ownership::is_ours(link))
    }

    fn carries_foreign_vlans(&self, nic: &IfName) -> bool {
        self.foreign_vlans(nic).any(|vlan| vlan.up)
    }

    /// Tells whether a NIC is in something that it does not belong in: a bridge or bond of Trestle's that goes, or a bond
    /// that is to be without it.
    fn is_to_leave(&self, nic: &IfName, released: bool) -> bool {
        let links = &self.observed().kernel.links;
        let master = links.get(nic).filter(|link| is_hardware(&link.kind)).and_then(|link| link.master.as_ref());
        master.is_some_and(|master| {
            (released && links.get(master).is_some_and(ownership::is_ours))
                || (self.touched.bonds.contains(master) && self.desired.bonds.contains_key(master))
        })
    }

    /// Returns the touched networks as one of the two configurations has them, by name.
    fn touched_of<'c>(&self, config: &'c HostConfig) -> impl Iterator<Item = &'c NetworkSpec> {
        self.touched.networks.iter().filter_map(|name| config.networks.get(*name)).map(|entry| &entry.spec)
    }

    fn why_nic(&self, nic: &IfName) -> String {
        let on_it = |spec: &&NetworkSpec| spec.southbound.as_ref().is_some_and(|below| below.device() == nic);
        let of = |config| self.touched_of(config).find(on_it).map(super::why);
        let bond = || {
            let named = self.desired.bonds.get(nic).map(|entry| &entry.spec.name);
            named.or_else(|| bond_with(self.running, nic).map(|entry| &entry.spec.name)).map(why_bond)
        };
        let network = of(self.desired).or_else(|| of(self.running));
        network.or_else(bond).unwrap_or_else(|| format!("NIC {nic}"))
    }
}

fn role<'a>(config: &'a HostConfig, nic: &IfName) -> Role<'a> {
    let untagged = on_nic(config, nic).find(|spec| spec.vlan.is_none());
    match untagged {
        Some(spec) => Role::Untagged(spec),
        None if on_nic(config, nic).next().is_some() => Role::Base,
        None if bond_with(config, nic).is_some() => Role::Member,
        None => Role::Unused,
    }
}

pub(super) fn on_nic<'a>(config: &'a HostConfig, nic: &IfName) -> impl Iterator<Item = &'a NetworkSpec> {
    config.specs().filter(move |spec| spec.southbound.as_ref().is_some_and(|southbound| southbound.device() == nic))
}

/// Gives a NIC IPv6 as it had it.
fn return_ipv6(wanted: &mut LinkWanted, baseline: Option<&NicBaseline>) {
    wanted.ipv6_disabled = baseline.map(|baseline| baseline.ipv6_disabled);
    wanted.autoconf = baseline.and_then(|baseline| baseline.autoconf).map(AutoconfChange::to).unwrap_or_default();
}

fn free(wanted: &mut LinkWanted) {
    wanted.master = MasterTarget::Free;
}
