//! A part of a target: some kinds of things alone, and nothing that takes away what others have added.

use std::collections::BTreeSet;
use std::net::IpAddr;

use trestle_model::{Address, AddressOrigin, Bridge, DriftKind, Egress, Feature, IfName, Link, Route};

use crate::census::Census;
use crate::difference::{is_another_kind, is_automatic, is_default, settled};
use crate::drift::verify_on;
use crate::ownership::ROUTE_PROTOCOL;
use crate::target::{
    AddressTarget, AliasTarget, DhcpTarget, EgressTarget, FdbTarget, KindTarget, LearnedTarget, LinkTarget, LinkWanted,
    MasterTarget, ResolverTarget, RouteTarget, SettingsTarget, Target, VlansTarget,
};
use crate::{AutoconfChange, PortChange};

/// What a part is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To say what differs, each thing once.
    Compare,
    /// To be brought about: a device that is to be made or changed is described whole, since it loses what it carries;
    /// one that is not there and is never made is left out.
    Mend,
}

/// Whose part of a MAC table is meant; nothing else is of a guest's port alone.
#[derive(Clone, Copy)]
pub(super) enum Share<'a> {
    /// The bridge's own and its uplink's, with all of the other kinds.
    Own,
    /// That of these guests' ports, and nothing of any other kind.
    Ports(&'a BTreeSet<IfName>),
}

/// Which part of a target.
pub(super) struct Narrowing<'a> {
    pub(super) kinds: &'a BTreeSet<DriftKind>,
    pub(super) purpose: Purpose,
    pub(super) share: Share<'a>,
    /// Bridges whose MAC tables libvirt manages.
    pub(super) managed: &'a BTreeSet<IfName>,
    pub(super) census: &'a Census<'a>,
}

impl Narrowing<'_> {
    /// Returns the part.
    ///
    /// What the MAC table of a bridge is made of that libvirt does not manage is in none: forwarding entries, and the
    /// flags of ports but for isolation.
    pub(super) fn of(&self, target: &Target) -> Target {
        let has = |kind| self.kinds.contains(&kind);
        let links = target.links.iter().filter_map(|(name, wanted)| Some((name.clone(), self.link(name, wanted)?)));
        Target {
            links: links.collect(),
            fdb: target.fdb.iter().filter(|entry| self.has_entry(entry)).cloned().collect(),
            rules: if has(DriftKind::Routing) { target.rules.clone() } else { Default::default() },
            resolver: target.resolver.clone().filter(|_| has(DriftKind::NameServers)),
            libvirt: if has(DriftKind::LibvirtNetworks) { target.libvirt.clone() } else { Default::default() },
        }
    }

    fn has_entry(&self, target: &FdbTarget) -> bool {
        let is_own = |port: &IfName| match self.share {
            Share::Own => port == &target.bridge,
            Share::Ports(ports) => ports.contains(port),
        };
        self.has_tables_of(&target.bridge) && entry_port(target, self.census).is_some_and(is_own)
    }

    fn has_tables_of(&self, bridge: &IfName) -> bool {
        self.kinds.contains(&DriftKind::MacTables) && self.managed.contains(bridge)
    }

    fn link(&self, name: &IfName, target: &LinkTarget) -> Option<LinkTarget> {
        if let Share::Ports(ports) = self.share {
            return Some(name).filter(|name| ports.contains(name)).and_then(|name| self.guest_port(name, target));
        }
        let devices = self.kinds.contains(&DriftKind::Devices);
        let wanted = match target {
            LinkTarget::Absent { .. } => return devices.then(|| target.clone()),
            LinkTarget::Present(wanted) => wanted,
        };
        let link = self.census.state.kernel.links.get(name);
        let Some(link) = link.filter(|link| !is_another_kind(&wanted.kind, link)) else {
            let is_made = !matches!(wanted.kind, KindTarget::Found | KindTarget::Guest);
            let is_told = devices && (is_made || self.purpose == Purpose::Compare);
            return is_told.then(|| target.clone());
        };
        let device = self.device(wanted, link);
        let changes = || {
            let links = [(name.clone(), LinkTarget::Present(device.clone()))].into();
            !verify_on(&Target { links, ..Target::default() }, self.census).is_empty()
        };
        // What a guest's port has is no loss of the tap's, but of its place in a MAC table.
        if devices && self.purpose == Purpose::Mend && wanted.kind != KindTarget::Guest && changes() {
            let kind = self.kind(wanted, link);
            let whole = LinkWanted { kind, settings: device.settings, ..wanted.clone() };
            return Some(LinkTarget::Present(self.with_what_others_added(whole, link)));
        }
        let carried = self.with_what_others_added(wanted.clone(), link);
        let bare = LinkWanted::leaving_alone(KindTarget::Found, wanted.why.clone());
        let mut part = if devices { device } else { bare };
        part.kind = self.kind(wanted, link);
        if wanted.kind != KindTarget::Guest {
            self.add_flags(&mut part, wanted, link);
        }
        if self.kinds.contains(&DriftKind::Addresses) {
            part.addresses = carried.addresses;
            part.dhcp = carried.dhcp;
            part.ipv6_disabled = carried.ipv6_disabled;
            part.autoconf = carried.autoconf;
        }
        if self.kinds.contains(&DriftKind::Routing) {
            part.routes = carried.routes;
        }
        Some(LinkTarget::Present(part))
    }

    /// Returns the part of a guest's port, where it is one now.
    fn guest_port(&self, name: &IfName, target: &LinkTarget) -> Option<LinkTarget> {
        let (LinkTarget::Present(wanted), Some(link)) = (target, self.census.state.kernel.links.get(name)) else {
            return None;
        };
        if wanted.kind != KindTarget::Guest {
            return None;
        }
        let mut part = LinkWanted::leaving_alone(KindTarget::Guest, wanted.why.clone());
        let bridge = match &wanted.master {
            MasterTarget::PortOf(bridge) => Some(bridge),
            MasterTarget::Leave | MasterTarget::Free => link.master.as_ref(),
        };
        if bridge.is_some_and(|bridge| self.has_tables_of(bridge)) {
            part.master = wanted.master.clone();
            part.port = PortChange { isolated: None, ..wanted.port };
            part.vlans = wanted.vlans.clone();
            part.learned = wanted.learned;
        }
        Some(LinkTarget::Present(part))
    }

    /// Wants what a port in its place is to learn and to flood.
    fn add_flags(&self, part: &mut LinkWanted, wanted: &LinkWanted, link: &Link) {
        let in_place = match &wanted.master {
            MasterTarget::Leave | MasterTarget::Free => link.master.as_ref(),
            MasterTarget::PortOf(master) => link.master.as_ref().filter(|is| *is == master),
        };
        if in_place.is_some_and(|bridge| self.has_tables_of(bridge)) {
            part.port = PortChange { isolated: part.port.isolated, ..wanted.port };
            part.vlans = wanted.vlans.clone();
        }
    }

    /// Returns what a device is to be, as far as the kinds go: filtering by VLAN is the MAC table's where libvirt manages it.
    fn kind(&self, wanted: &LinkWanted, link: &Link) -> KindTarget {
        let devices = self.kinds.contains(&DriftKind::Devices);
        if let (KindTarget::Bridge(bridge), Some(is)) = (&wanted.kind, link.bridge())
            && self.managed.contains(&link.name)
        {
            let table = if self.has_tables_of(&link.name) { bridge } else { is };
            let rest = if devices { bridge } else { is };
            let (vlan_filtering, default_pvid) = (table.vlan_filtering, table.default_pvid);
            return KindTarget::Bridge(Bridge { vlan_filtering, default_pvid, ..rest.clone() });
        }
        if devices || wanted.kind == KindTarget::Guest { wanted.kind.clone() } else { KindTarget::Found }
    }

    /// Returns what a device is to be, without what it carries.
    fn device(&self, wanted: &LinkWanted, link: &Link) -> LinkWanted {
        let kind = self.kind(wanted, link);
        // Somebody else's queueing is told as drift, and is no loss that could be mended.
        let features = &self.census.state.features;
        let can_be_shaped = features.has(Feature::EgressShaping) && !matches!(link.egress, Egress::Foreign(_));
        LinkWanted {
            kind,
            port: PortChange { isolated: wanted.port.isolated, ..PortChange::default() },
            vlans: VlansTarget::Leave,
            learned: LearnedTarget::Leave,
            // So is the place of a guest's tap the MAC table's.
            master: if wanted.kind == KindTarget::Guest { MasterTarget::Leave } else { wanted.master.clone() },
            ipv6_disabled: None,
            autoconf: AutoconfChange::default(),
            addresses: AddressTarget::Leave,
            routes: RouteTarget::Leave,
            dhcp: DhcpTarget::Leave,
            egress: if can_be_shaped { wanted.egress.clone() } else { EgressTarget::Leave },
            settings: self.settings(&wanted.settings),
            ..wanted.clone()
        }
    }

    /// Leaves out what no step brings about: that a feature is in force which needs another.
    fn settings(&self, wanted: &SettingsTarget) -> SettingsTarget {
        match self.purpose {
            Purpose::Compare => wanted.clone(),
            Purpose::Mend => SettingsTarget { in_force: BTreeSet::new(), ..wanted.clone() },
        }
    }

    /// Wants what others have added to a device, too; not on one that has yet to come to its place, where what it carried
    /// before has no business, and nothing of IPv6 where that is to be off, with which it goes.
    fn with_what_others_added(&self, wanted: LinkWanted, link: &Link) -> LinkWanted {
        let in_place = match &wanted.master {
            MasterTarget::Leave => true,
            MasterTarget::Free => link.master.is_none(),
            MasterTarget::PortOf(master) => link.master.as_ref() == Some(master),
        };
        if !in_place {
            return wanted;
        }
        let can_stay = |address: IpAddr| !(address.is_ipv6() && wanted.ipv6_disabled == Some(true));
        let addresses = match wanted.addresses {
            AddressTarget::Exactly(wanted) => AddressTarget::Exactly(beside(wanted, link, can_stay)),
            left @ (AddressTarget::Leave | AddressTarget::Without(_)) => left,
        };
        let there = || self.routes(link).filter(|route| can_stay(route.destination.addr()));
        let routes = match wanted.routes {
            RouteTarget::Network(mut routes) => {
                let added = there().filter(|route| is_default(route) && route.protocol != ROUTE_PROTOCOL);
                let added: Vec<Route> = added.filter(|route| !is_in_the_way(route, &routes)).cloned().collect();
                routes.extend(added);
                RouteTarget::Network(routes)
            }
            RouteTarget::Exactly(mut routes) => {
                let added: Vec<Route> = there().filter(|route| !routes.contains(route)).cloned().collect();
                routes.extend(added);
                RouteTarget::Exactly(routes)
            }
            left @ (RouteTarget::Leave | RouteTarget::Without(_)) => left,
        };
        LinkWanted { addresses, routes, ..wanted }
    }

    fn routes<'l>(&'l self, link: &'l Link) -> impl Iterator<Item = &'l Route> {
        self.census.routes(&link.name).iter().copied().filter(|route| !is_automatic(route, link))
    }
}

/// Returns the wanted addresses and those that others have added and that can stay; where there are such, all in the order in
/// which they are, so that none of theirs has to go and come again.
fn beside(wanted: Vec<Address>, link: &Link, can_stay: impl Fn(IpAddr) -> bool) -> Vec<Address> {
    let is_wanted = |address: &&Address| wanted.iter().any(|wanted| wanted.net == address.net);
    let is_added = |address: &&Address| {
        address.origin == AddressOrigin::Static
            && can_stay(address.net.addr())
            && !wanted.iter().any(|wanted| wanted.net.addr() == address.net.addr())
    };
    if !settled(link).any(|address| is_added(&address)) {
        return wanted;
    }
    let there = settled(link).filter(|address| is_wanted(address) || is_added(address));
    let mut addresses: Vec<Address> = there
        .map(|address| wanted.iter().find(|wanted| wanted.net == address.net).unwrap_or(address).clone())
        .collect();
    let missing: Vec<Address> = wanted.iter().filter(|wanted| !addresses.contains(wanted)).cloned().collect();
    addresses.extend(missing);
    addresses
}

/// Tells whether a route is where a wanted one is to be.
fn is_in_the_way(route: &Route, wanted: &[Route]) -> bool {
    let place = |route: &Route| (route.table, route.destination, route.metric);
    wanted.iter().any(|wanted| place(wanted) == place(route))
}

/// Returns the port that a place in a MAC table is about: that of the wanted entry, else that of the one that is there.
pub(super) fn entry_port<'t>(target: &'t FdbTarget, census: &'t Census<'_>) -> Option<&'t IfName> {
    let there = || census.entries(&target.bridge).iter().find(|entry| target.is_place_of(entry));
    target.entry.as_ref().map(|entry| &entry.port).or_else(|| there().map(|entry| &entry.port))
}

/// Puts the parts of several things together: what one of them leaves alone another may want.
pub(super) fn merged(parts: impl Iterator<Item = Target>) -> Target {
    let mut whole = Target::default();
    for part in parts {
        for (name, target) in part.links {
            let target = match (whole.links.remove(&name), target) {
                (Some(LinkTarget::Present(one)), LinkTarget::Present(other)) => LinkTarget::Present(both(one, other)),
                (_, target) => target,
            };
            whole.links.insert(name, target);
        }
        whole.fdb.extend(part.fdb);
        whole.rules.extend(part.rules);
        whole.resolver = ResolverTarget::of_both(whole.resolver, part.resolver);
        whole.libvirt.extend(part.libvirt);
    }
    whole
}

/// Wants of a device what either of two targets of the same configuration wants; first the one that describes it, since the
/// other may only hold an MTU that would follow a port's.
fn both(one: LinkWanted, other: LinkWanted) -> LinkWanted {
    let (one, other) = if one.kind == KindTarget::Found { (other, one) } else { (one, other) };
    LinkWanted {
        why: one.why,
        kind: one.kind,
        mac: one.mac.or(other.mac),
        mtu: one.mtu.or(other.mtu),
        up: one.up.or(other.up),
        alias: if one.alias == AliasTarget::Leave { other.alias } else { one.alias },
        master: if one.master == MasterTarget::Leave { other.master } else { one.master },
        ipv6_disabled: one.ipv6_disabled.or(other.ipv6_disabled),
        autoconf: if one.autoconf.is_empty() { other.autoconf } else { one.autoconf },
        port: PortChange {
            learning: one.port.learning.or(other.port.learning),
            flood: one.port.flood.or(other.port.flood),
            multicast_flood: one.port.multicast_flood.or(other.port.multicast_flood),
            broadcast_flood: one.port.broadcast_flood.or(other.port.broadcast_flood),
            isolated: one.port.isolated.or(other.port.isolated),
            locked: one.port.locked.or(other.port.locked),
        },
        vlans: if one.vlans == VlansTarget::Leave { other.vlans } else { one.vlans },
        learned: if one.learned == LearnedTarget::Leave { other.learned } else { one.learned },
        addresses: if one.addresses == AddressTarget::Leave { other.addresses } else { one.addresses },
        routes: if one.routes == RouteTarget::Leave { other.routes } else { one.routes },
        dhcp: if one.dhcp == DhcpTarget::Leave { other.dhcp } else { one.dhcp },
        egress: if one.egress == EgressTarget::Leave { other.egress } else { one.egress },
        settings: if one.settings == SettingsTarget::default() { other.settings } else { one.settings },
        active_port: one.active_port.or(other.active_port),
    }
}
