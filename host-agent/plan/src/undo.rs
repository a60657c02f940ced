//! The way back: what a plan touches as it was, and the target that says so.
//!
//! The snapshot is journalled before the first change. It holds the whole of every object that the plan touches and,
//! for each, which of its attributes the plan can change, also by what the kernel does on its own. An undo restores
//! those, and leaves alone what others did to the rest in the meantime.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use trestle_model::{
    DhcpClientSpec, Egress, FdbEntry, FdbState, HostState, IfName, LibvirtNetwork, Link, LinkKind, LinkNames, MacAddr,
    Mtu, NicState, NicValues, PortFlags, PortVlans, ResolverState, RingSizes, Route, Rule, Settable, VirtualFunctions,
};

use crate::difference::{bond_change, is_another_kind, is_automatic, settled};
use crate::ownership::is_planned;
use crate::target::{
    AddressTarget, AliasTarget, DefinitionTarget, DhcpTarget, EgressTarget, FdbTarget, KindTarget, LibvirtTarget,
    LibvirtWanted, LinkTarget, LinkWanted, MasterTarget, NamesTarget, ResolverTarget, RouteTarget, RulesTarget,
    SettingsTarget, Target, VlansTarget,
};
use crate::{AutoconfChange, PortChange};

const WHY: &str = "undo";

/// Everything that a plan touches, as it was before the first change.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Snapshot {
    /// Devices by name.
    pub links: BTreeMap<IfName, LinkBefore>,
    /// Routes through those devices that do not come by themselves, ordered.
    pub routes: Vec<Route>,
    /// Rules by the table that they lead to.
    #[serde(default)]
    pub rules: BTreeMap<u32, Vec<Rule>>,
    /// Static forwarding entries, ordered by bridge, MAC and VLAN.
    pub fdb: Vec<EntryBefore>,
    /// The name servers as they were; `None` where the plan leaves them alone.
    #[serde(default)]
    pub resolver: Option<ResolverState>,
    /// libvirt networks by name; `None` where there was none.
    pub libvirt: BTreeMap<String, Option<LibvirtNetwork>>,
}

/// A device as it was, and what the plan may change of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkBefore {
    /// The device; `None` where there was none.
    pub link: Option<Link>,
    /// The attributes that the plan can change.
    pub touched: BTreeSet<Aspect>,
    /// Whether it is a guest's port, which may be gone by now.
    pub of_guest: bool,
    /// The DHCP clients that ran on it. Their leases are not part of it: they come and go with them.
    #[serde(default)]
    pub dhcp: Vec<DhcpClientSpec>,
    /// The VLANs that the plan may make it a member of while its own are not told, since its bridge has yet to filter.
    #[serde(default)]
    pub new_vlans: BTreeSet<u16>,
}

/// An attribute of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aspect {
    /// Its being there, and its kind's attributes.
    Kind,
    /// Hardware address.
    Mac,
    /// MTU.
    Mtu,
    /// Administrative state.
    Up,
    /// Alias.
    Alias,
    /// What it is a port of.
    Master,
    /// Whether IPv6 is switched off.
    Ipv6Disabled,
    /// What it makes of what IPv6 routers advertise.
    Autoconf,
    /// Flags as a port.
    Port,
    /// VLANs as a port.
    Vlans,
    /// Addresses.
    Addresses,
    /// Routes.
    Routes,
    /// DHCP clients.
    Dhcp,
    /// What queues what leaves it.
    Egress,
    /// What is set on it as a NIC.
    Settings,
}

/// A forwarding entry's place, and the static entry that was there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EntryBefore {
    /// The bridge.
    pub bridge: IfName,
    /// The address.
    pub mac: MacAddr,
    /// The VLAN.
    pub vlan: Option<u16>,
    /// The entry; `None` where no static one was there.
    pub entry: Option<FdbEntry>,
}

impl Snapshot {
    /// Takes from `observed` what a plan towards `target` touches.
    pub fn of(observed: &HostState, target: &Target) -> Self {
        let links: BTreeMap<IfName, LinkBefore> = target
            .links
            .iter()
            .filter_map(|(name, wanted)| {
                let link = observed.kernel.links.get(name);
                let (of_guest, is_found) = match wanted {
                    LinkTarget::Present(wanted) => (wanted.kind == KindTarget::Guest, wanted.kind == KindTarget::Found),
                    LinkTarget::Absent { .. } => (false, false),
                };
                // What was not there and is never made cannot be touched.
                let is_touched = link.is_some() || !(of_guest || is_found);
                let clients = observed.dhcp.iter().map(|client| &client.spec).filter(|spec| &spec.link == name);
                let dhcp = clients.cloned().collect();
                let before = LinkBefore {
                    link: link.map(|link| without_others(link, wanted)),
                    touched: touched(wanted, link),
                    of_guest,
                    dhcp,
                    new_vlans: new_vlans(wanted, link),
                };
                is_touched.then(|| (name.clone(), before))
            })
            .collect();
        let mut routes: Vec<Route> = observed
            .kernel
            .routes
            .iter()
            .filter(|route| {
                let before = links.get(&route.device).filter(|before| before.touched.contains(&Aspect::Routes));
                before.and_then(|before| before.link.as_ref()).is_some_and(|link| !is_automatic(route, link))
            })
            .cloned()
            .collect();
        routes.sort();
        let leading = |table: &u32| {
            observed.kernel.rules.iter().filter(|rule| rule.table == *table && is_planned(rule)).cloned().collect()
        };
        let rules = target.rules.keys().map(|table| (*table, leading(table))).collect();
        let fdb = entries(observed, target, &links);
        let libvirt = target
            .libvirt
            .keys()
            .map(|name| {
                let network = observed.libvirt.as_ref().and_then(|libvirt| libvirt.networks.get(name));
                (name.clone(), network.cloned())
            })
            .collect();
        let resolver = resolver_before(target, &observed.resolver);
        Self { links, routes, rules, fdb, resolver, libvirt }
    }
}

/// Takes the file, or what systemd-resolved has for the devices that the plan tells it of, also where that is nothing, and
/// for those with which it may go.
fn resolver_before(target: &Target, observed: &ResolverState) -> Option<ResolverState> {
    let Some(has) = &observed.links else { return target.resolver.as_ref().map(|_| observed.clone()) };
    let told = target.resolver.iter().flat_map(|target| target.names.devices());
    let mortal = target.links.iter().filter(|(name, wanted)| is_made(wanted) && has.contains_key(*name));
    let devices = told.chain(mortal.map(|(name, _)| name));
    let links: BTreeMap<IfName, LinkNames> =
        devices.map(|device| (device.clone(), has.get(device).cloned().unwrap_or_default())).collect();
    (!links.is_empty()).then(|| ResolverState { links: Some(links), ..observed.clone() })
}

/// Tells whether a plan makes the device, or takes it away.
const fn is_made(target: &LinkTarget) -> bool {
    match target {
        LinkTarget::Absent { .. } => true,
        LinkTarget::Present(wanted) => match wanted.kind {
            KindTarget::Found | KindTarget::Guest => false,
            KindTarget::Vlan { .. } | KindTarget::Bridge(_) | KindTarget::Bond(_) => true,
        },
    }
}

/// Returns the target that says what `snapshot` says.
///
/// The undo is the plan from a fresh observation towards it; what [`crate::verify`] finds afterwards is left over.
pub fn undo_target(snapshot: &Snapshot) -> Target {
    let links = snapshot.links.iter().map(|(name, before)| {
        let target = match &before.link {
            None => LinkTarget::Absent { why: WHY.to_owned() },
            Some(link) => LinkTarget::Present(as_before(link, before, &snapshot.routes)),
        };
        (name.clone(), target)
    });
    let fdb = snapshot.fdb.iter().map(|before| FdbTarget {
        bridge: before.bridge.clone(),
        mac: before.mac,
        vlan: before.vlan,
        entry: before.entry.clone(),
    });
    let libvirt = snapshot.libvirt.iter().map(|(name, before)| {
        let target = match before {
            None => LibvirtTarget::Absent { why: WHY.to_owned() },
            Some(network) => LibvirtTarget::Present(LibvirtWanted {
                why: WHY.to_owned(),
                definition: DefinitionTarget::AsBefore(Box::new(network.clone())),
                active: network.active,
                autostart: network.autostart,
            }),
        };
        (name.clone(), target)
    });
    let rules =
        snapshot.rules.iter().map(|(table, rules)| (*table, RulesTarget { why: WHY.to_owned(), rules: rules.clone() }));
    let resolver = snapshot.resolver.as_ref().map(|before| {
        let names = NamesTarget::AsBefore(before.clone());
        ResolverTarget { why: WHY.to_owned(), names }
    });
    Target { links: links.collect(), fdb: fdb.collect(), rules: rules.collect(), resolver, libvirt: libvirt.collect() }
}

fn as_before(link: &Link, before: &LinkBefore, routes: &[Route]) -> LinkWanted {
    let has = |aspect| before.touched.contains(&aspect);
    let kind = match &link.kind {
        _ if before.of_guest => KindTarget::Guest,
        LinkKind::Bridge(bridge) if has(Aspect::Kind) => KindTarget::Bridge(bridge.clone()),
        LinkKind::Vlan { base, id } if has(Aspect::Kind) => KindTarget::Vlan { base: base.clone(), id: *id },
        LinkKind::Bond(bond) if has(Aspect::Kind) => KindTarget::Bond(Box::new(bond.options.clone())),
        LinkKind::Bridge(_)
        | LinkKind::Bond(_)
        | LinkKind::Vlan { .. }
        | LinkKind::Nic
        | LinkKind::Veth
        | LinkKind::Tun
        | LinkKind::Loopback
        | LinkKind::Other(_) => KindTarget::Found,
    };
    let through = || routes.iter().filter(|route| route.device == link.name).cloned().collect();
    LinkWanted {
        // A bond that has the active port's MAC gets it back with the port.
        mac: link
            .mac
            .filter(|_| has(Aspect::Mac) && !link.bond().is_some_and(|bond| bond.options.follows_active_mac())),
        mtu: Some(link.mtu).filter(|_| has(Aspect::Mtu)),
        up: Some(link.up).filter(|_| has(Aspect::Up)),
        alias: match &link.alias {
            _ if !has(Aspect::Alias) => AliasTarget::Leave,
            None => AliasTarget::Clear,
            Some(alias) => AliasTarget::Exactly(alias.clone()),
        },
        master: match &link.master {
            _ if !has(Aspect::Master) => MasterTarget::Leave,
            None => MasterTarget::Free,
            Some(master) => MasterTarget::PortOf(master.clone()),
        },
        ipv6_disabled: Some(link.ipv6_disabled).filter(|_| has(Aspect::Ipv6Disabled)),
        autoconf: link.autoconf.filter(|_| has(Aspect::Autoconf)).map(AutoconfChange::to).unwrap_or_default(),
        port: link.port.filter(|_| has(Aspect::Port)).map(every_flag).unwrap_or_default(),
        vlans: match &link.vlans {
            Some(vlans) if has(Aspect::Vlans) => VlansTarget::Exactly(vlans.clone()),
            None if !before.new_vlans.is_empty() => {
                VlansTarget::Having { these: PortVlans::default(), without: before.new_vlans.clone() }
            }
            Some(_) | None => VlansTarget::Leave,
        },
        addresses: if has(Aspect::Addresses) {
            AddressTarget::Exactly(settled(link).cloned().collect())
        } else {
            AddressTarget::Leave
        },
        routes: if has(Aspect::Routes) { RouteTarget::Exactly(through()) } else { RouteTarget::Leave },
        settings: if has(Aspect::Settings) { settings_before(link) } else { SettingsTarget::default() },
        egress: match &link.egress {
            _ if !has(Aspect::Egress) => EgressTarget::Leave,
            Egress::Kernels => EgressTarget::Unshaped,
            Egress::Shaped(shaping) => EgressTarget::Shaped(shaping.clone()),
            Egress::Foreign(_) => EgressTarget::Leave,
        },
        active_port: link
            .bond()
            .filter(|bond| has(Aspect::Kind) && bond.options.primary.is_none())
            .and_then(|bond| bond.active_port.clone()),
        dhcp: if has(Aspect::Dhcp) { DhcpTarget::Exactly(before.dhcp.clone()) } else { DhcpTarget::Leave },
        ..LinkWanted::leaving_alone(kind, WHY)
    }
}

/// Returns the attributes that a plan towards `target` can change, by its own steps or by what they entail.
fn touched(target: &LinkTarget, link: Option<&Link>) -> BTreeSet<Aspect> {
    let LinkTarget::Present(wanted) = target else { return everything() };
    let Some(link) = link.filter(|link| !is_another_kind(&wanted.kind, link)) else { return everything() };
    let mut touched = BTreeSet::new();
    let mut touch = |aspect, does| {
        if does {
            touched.insert(aspect);
        }
    };
    let drops_ipv6 = wanted.ipv6_disabled.is_some()
        || wanted.up == Some(false)
        || wanted.mtu.is_some_and(|mtu| mtu < Mtu::IPV6_LEAST)
        || goes_down(&wanted.kind, link);
    let addresses = wanted.addresses != AddressTarget::Leave || drops_ipv6 || !wanted.autoconf.is_empty();
    touch(Aspect::Kind, matches!(wanted.kind, KindTarget::Bridge(_) | KindTarget::Bond(_) | KindTarget::Vlan { .. }));
    // A bond whose ports have to leave gets a MAC of the kernel's choice.
    touch(Aspect::Mac, wanted.mac.is_some() || matches!(wanted.kind, KindTarget::Bond(_)));
    touch(Aspect::Mtu, wanted.mtu.is_some());
    touch(Aspect::Up, wanted.up.is_some());
    touch(Aspect::Alias, wanted.alias != AliasTarget::Leave);
    touch(Aspect::Master, wanted.master != MasterTarget::Leave);
    touch(Aspect::Ipv6Disabled, wanted.ipv6_disabled.is_some());
    // Below the least MTU of IPv6 the kernel forgets the settings.
    touch(Aspect::Autoconf, !wanted.autoconf.is_empty() || wanted.mtu.is_some_and(|mtu| mtu < Mtu::IPV6_LEAST));
    // A port that leaves its bridge comes back with the kernel's flags.
    touch(
        Aspect::Port,
        wanted.port != PortChange::default() || (wanted.master != MasterTarget::Leave && link.port.is_some()),
    );
    // So does its membership of VLANs.
    touch(
        Aspect::Vlans,
        wanted.vlans != VlansTarget::Leave || (wanted.master != MasterTarget::Leave && link.port.is_some()),
    );
    touch(Aspect::Addresses, addresses);
    touch(Aspect::Routes, addresses || wanted.routes != RouteTarget::Leave);
    touch(Aspect::Dhcp, wanted.dhcp != DhcpTarget::Leave);
    touch(Aspect::Settings, wanted.settings != SettingsTarget::default());
    touch(Aspect::Egress, wanted.egress != EgressTarget::Leave);
    touched
}

/// Returns the tagged VLANs that a plan wants of a port whose own are not told.
fn new_vlans(target: &LinkTarget, link: Option<&Link>) -> BTreeSet<u16> {
    match (target, link) {
        (LinkTarget::Present(LinkWanted { vlans: VlansTarget::Having { these, .. }, .. }), Some(link))
            if link.vlans.is_none() =>
        {
            these.ids().filter(|id| these.membership(*id).is_some_and(|range| !range.pvid)).collect()
        }
        (LinkTarget::Present(_) | LinkTarget::Absent { .. }, _) => BTreeSet::new(),
    }
}

/// Tells whether a bond has to go down on its way to what is wanted.
fn goes_down(wanted: &KindTarget, link: &Link) -> bool {
    match (wanted, link.bond()) {
        (KindTarget::Bond(wanted), Some(bond)) => bond_change(wanted, &bond.options, &[]).settable() > Settable::Always,
        _ => false,
    }
}

fn everything() -> BTreeSet<Aspect> {
    [
        Aspect::Kind,
        Aspect::Mac,
        Aspect::Mtu,
        Aspect::Up,
        Aspect::Alias,
        Aspect::Master,
        Aspect::Ipv6Disabled,
        Aspect::Autoconf,
        Aspect::Port,
        Aspect::Vlans,
        Aspect::Addresses,
        Aspect::Routes,
        Aspect::Dhcp,
        Aspect::Egress,
        Aspect::Settings,
    ]
    .into()
}

/// Returns the static entries that a plan can change: those it is about, and those that go with a port or a bridge.
fn entries(observed: &HostState, target: &Target, links: &BTreeMap<IfName, LinkBefore>) -> Vec<EntryBefore> {
    let is_static = |entry: &&FdbEntry| entry.state == FdbState::Static;
    let mut places: BTreeMap<(IfName, MacAddr, Option<u16>), Option<FdbEntry>> =
        target.fdb.iter().map(|target| ((target.bridge.clone(), target.mac, target.vlan), None)).collect();
    let may_go = |name: &IfName, aspect| links.get(name).is_some_and(|before| before.touched.contains(&aspect));
    for entry in observed.kernel.fdb.iter().filter(is_static) {
        let place = (entry.bridge.clone(), entry.mac, entry.vlan);
        let goes_along = may_go(&entry.port, Aspect::Master)
            || matches!(target.links.get(&entry.bridge), Some(LinkTarget::Absent { .. }));
        if goes_along || places.contains_key(&place) {
            places.insert(place, Some(entry.clone()));
        }
    }
    places.into_iter().map(|((bridge, mac, vlan), entry)| EntryBefore { bridge, mac, vlan, entry }).collect()
}

/// Returns a device with those of its settings that the plan can change: what others did to the rest is theirs.
fn without_others(link: &Link, target: &LinkTarget) -> Link {
    let mut link = link.clone();
    if let LinkTarget::Present(wanted) = target {
        link.settings.features.retain(|name, _| wanted.settings.values.features.contains_key(name));
        link.settings.rings = link.settings.rings.filter(|_| wanted.settings.values.rings != RingSizes::default());
        link.settings.vfs = link.settings.vfs.filter(|_| wanted.settings.values.vfs.is_some());
    }
    link
}

fn settings_before(link: &Link) -> SettingsTarget {
    let NicState { rings, features, vfs } = &link.settings;
    let rings = RingSizes { rx: rings.map(|rings| rings.rx), tx: rings.map(|rings| rings.tx) };
    let features = features.iter().map(|(name, state)| (name.clone(), state.requested)).collect();
    SettingsTarget {
        values: NicValues { rings, vfs: vfs.as_ref().map(VirtualFunctions::count), features },
        in_force: BTreeSet::new(),
    }
}

const fn every_flag(flags: PortFlags) -> PortChange {
    PortChange {
        learning: Some(flags.learning),
        flood: Some(flags.flood),
        multicast_flood: Some(flags.multicast_flood),
        broadcast_flood: Some(flags.broadcast_flood),
        isolated: Some(flags.isolated),
        locked: Some(flags.locked),
    }
}
