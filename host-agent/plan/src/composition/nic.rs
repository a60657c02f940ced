//! A NIC's part: what it carries before and after, and what it returns to.

use std::collections::BTreeSet;

use trestle_model::{HostConfig, IfName, Link, Mtu, NetworkSpec, NicBaseline};

use super::{Composition, addresses, bridged, is_hardware, make_top, routes};
use crate::ownership;
use crate::target::{AddressTarget, DhcpTarget, KindTarget, LinkTarget, LinkWanted, MasterTarget, RouteTarget};

/// What a configuration uses a NIC for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role<'a> {
    /// It carries this network's untagged frames, and perhaps VLANs of others.
    Untagged(&'a NetworkSpec),
    /// It carries VLANs only; its own addresses are nobody's business.
    Base,
    /// Nothing.
    Unused,
}

/// Returns what a NIC goes back to when the last network leaves it.
pub(super) const fn now(link: &Link) -> NicBaseline {
    NicBaseline { mtu: link.mtu, up: link.up, ipv6_disabled: link.ipv6_disabled }
}

impl Composition<'_> {
    /// Returns the NICs below touched networks, before and after, and those that are `released`.
    pub(super) fn nics(&self, released: &BTreeSet<IfName>) -> BTreeSet<IfName> {
        let specs = self.touched_of(self.running).chain(self.touched_of(self.desired));
        let below = specs.filter_map(|spec| spec.southbound.as_ref()).map(|southbound| southbound.device().clone());
        below.chain(released.iter().cloned()).collect()
    }

    pub(super) fn nic(&mut self, name: &IfName, released: bool) {
        let link = self.observed().kernel.links.get(name);
        let (before, after) = (role(self.running, name), role(self.desired, name));
        let remembered = self.running.baselines.0.get(name).cloned();
        let baseline = remembered.or_else(|| link.filter(|_| before == Role::Unused && !released).map(now));
        let mut wanted = LinkWanted::leaving_alone(KindTarget::Found, self.why_nic(name));
        wanted.mtu = self.nic_mtu(name, after, baseline.as_ref());
        wanted.up = match after {
            Role::Untagged(_) | Role::Base => Some(true),
            Role::Unused => baseline.as_ref().map(|baseline| baseline.up || self.carries_foreign_vlans(name)),
        };
        match (before, after) {
            (_, Role::Untagged(spec)) if self.is_touched(spec) => match spec.bridge() {
                Some(bridge) => bridged::make_port(&mut wanted, spec, &bridge.name),
                None => make_top(&mut wanted, spec),
            },
            // Its untagged network is not part of this: only what the VLANs above need changes.
            (_, Role::Untagged(_)) => {}
            (Role::Untagged(old), Role::Base | Role::Unused) => {
                free(&mut wanted);
                wanted.ipv6_disabled = baseline.as_ref().map(|baseline| baseline.ipv6_disabled);
                if old.bridge().is_none() {
                    wanted.addresses = AddressTarget::Without(addresses(old));
                    wanted.routes = RouteTarget::Without(routes(old));
                    wanted.dhcp = DhcpTarget::Exactly(Vec::new());
                }
            }
            (Role::Base | Role::Unused, Role::Base | Role::Unused) if released && self.is_port_of_ours(name) => {
                free(&mut wanted);
                wanted.ipv6_disabled = Some(baseline.as_ref().is_some_and(|baseline| baseline.ipv6_disabled));
            }
            (Role::Base | Role::Unused, Role::Base | Role::Unused) => {}
        }
        self.sibling(name, after, wanted.mtu);
        self.present(name.clone(), wanted);
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
            Role::Unused => Some(baseline?.mtu),
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

    fn is_port_of_ours(&self, nic: &IfName) -> bool {
        let links = &self.observed().kernel.links;
        let master = links.get(nic).filter(|link| is_hardware(&link.kind)).and_then(|link| link.master.as_ref());
        master.and_then(|master| links.get(master)).is_some_and(ownership::is_ours)
    }

    /// Returns the touched networks as one of the two configurations has them, by name.
    fn touched_of<'c>(&self, config: &'c HostConfig) -> impl Iterator<Item = &'c NetworkSpec> {
        self.touched.iter().filter_map(|name| config.networks.get(*name)).map(|entry| &entry.spec)
    }

    fn why_nic(&self, nic: &IfName) -> String {
        let on_it = |spec: &&NetworkSpec| spec.southbound.as_ref().is_some_and(|below| below.device() == nic);
        let of = |config| self.touched_of(config).find(on_it).map(super::why);
        of(self.desired).or_else(|| of(self.running)).unwrap_or_else(|| format!("NIC {nic}"))
    }
}

fn role<'a>(config: &'a HostConfig, nic: &IfName) -> Role<'a> {
    let untagged = on_nic(config, nic).find(|spec| spec.vlan.is_none());
    match untagged {
        Some(spec) => Role::Untagged(spec),
        None if on_nic(config, nic).next().is_some() => Role::Base,
        None => Role::Unused,
    }
}

fn on_nic<'a>(config: &'a HostConfig, nic: &IfName) -> impl Iterator<Item = &'a NetworkSpec> {
    config.specs().filter(move |spec| spec.southbound.as_ref().is_some_and(|southbound| southbound.device() == nic))
}

fn free(wanted: &mut LinkWanted) {
    wanted.master = MasterTarget::Free;
}
