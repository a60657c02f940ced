//! The one comparison of wanted and observed, attribute by attribute.
//!
//! Planning asks it what to change, verification what differs; both get the same answer.

mod bond;
mod egress;
mod settings;

use std::borrow::Borrow;

use ipnet::IpNet;
use trestle_model::{
    Address, AddressOrigin, Bridge, DhcpClientSpec, FdbEntry, FdbState, Feature, FeatureSet, IfName, LibvirtNetwork,
    Link, LinkKind, LinkNames, NameServer, PortFlags, PortVlans, ResolverMechanism, ResolverNames, ResolverState,
    Route, Rule, VlanRange, same_time,
};

pub(crate) use self::bond::{active_change, bond_change};
pub(crate) use self::egress::{EgressChange, egress_change};
pub(crate) use self::settings::{SettingsChange, settings_change, without_effect};
use crate::dhcp::LEASE_PROTOCOL;
use crate::ownership::{ROUTE_PROTOCOL, is_planned};
use crate::target::{
    AddressTarget, DefinitionTarget, DhcpTarget, FdbTarget, KindTarget, LinkWanted, NamesTarget, ResolverTarget,
    RouteTarget, RulesTarget, VlansTarget,
};
use crate::{AutoconfChange, BridgeChange, PortChange, ResolverStep};

/// The protocol number of routes that the kernel makes for addresses.
const PROTOCOL_KERNEL: u8 = 2;
/// The protocol number of routes that routers advertise.
const PROTOCOL_ADVERTISED: u8 = 9;
/// The metric of IPv6 routes that the kernel makes for addresses.
const METRIC_IPV6_PREFIX: u32 = 256;

/// What has to go and what has to come, each in the order in which to do it; removals first.
#[derive(Debug)]
pub(crate) struct Change<T> {
    pub(crate) remove: Vec<T>,
    pub(crate) add: Vec<T>,
}

impl<T> Change<T> {
    pub(crate) const fn none() -> Self {
        Self { remove: Vec::new(), add: Vec::new() }
    }
}

/// Tells whether a device can never become what is wanted, so that it has to be made anew.
pub(crate) fn is_another_kind(wanted: &KindTarget, link: &Link) -> bool {
    match (wanted, &link.kind) {
        (KindTarget::Found | KindTarget::Guest, _) => false,
        (KindTarget::Vlan { base, id }, LinkKind::Vlan { base: is_base, id: is_id }) => base != is_base || id != is_id,
        (KindTarget::Bridge(_), kind) => !matches!(kind, LinkKind::Bridge(_)),
        (KindTarget::Bond(_), kind) => !matches!(kind, LinkKind::Bond(_)),
        (KindTarget::Vlan { .. }, _) => true,
    }
}

/// Returns the bridge attributes that differ; those that the kernel cannot have never do.
pub(crate) fn bridge_change(wanted: &Bridge, is: &Bridge, features: &FeatureSet) -> BridgeChange {
    let filters = features.has(Feature::BridgeVlanFiltering);
    BridgeChange {
        stp: differing(wanted.stp, is.stp),
        ageing_time_cs: differing_time(wanted.ageing_time_cs, is.ageing_time_cs),
        forward_delay_cs: differing_time(wanted.forward_delay_cs, is.forward_delay_cs),
        hello_time_cs: differing_time(wanted.hello_time_cs, is.hello_time_cs),
        max_age_cs: differing_time(wanted.max_age_cs, is.max_age_cs),
        priority: differing(wanted.priority, is.priority),
        multicast_snooping: differing(wanted.multicast_snooping, is.multicast_snooping),
        multicast_querier: differing(wanted.multicast_querier, is.multicast_querier),
        group_fwd_mask: differing(wanted.group_fwd_mask, is.group_fwd_mask),
        vlan_filtering: differing(wanted.vlan_filtering, is.vlan_filtering).filter(|_| filters),
        default_pvid: differing(wanted.default_pvid, is.default_pvid).filter(|_| filters),
        numbers: wanted.numbers.change(&is.numbers),
    }
}

fn differing_time(wanted: u32, is: u32) -> Option<u32> {
    Some(wanted).filter(|wanted| !same_time(*wanted, is))
}

/// Returns the port flags that are wanted and differ.
pub(crate) fn port_change(wanted: &PortChange, is: &PortFlags) -> PortChange {
    let wrong = |wanted: Option<bool>, is: bool| wanted.filter(|wanted| *wanted != is);
    PortChange {
        learning: wrong(wanted.learning, is.learning),
        flood: wrong(wanted.flood, is.flood),
        multicast_flood: wrong(wanted.multicast_flood, is.multicast_flood),
        broadcast_flood: wrong(wanted.broadcast_flood, is.broadcast_flood),
        isolated: wrong(wanted.isolated, is.isolated),
        locked: wrong(wanted.locked, is.locked),
    }
}

/// Returns how a port's memberships of VLANs have to change.
pub(crate) fn vlan_change(target: &VlansTarget, is: &PortVlans) -> Change<VlanRange> {
    match target {
        VlansTarget::Leave => Change::none(),
        VlansTarget::Having { these, without } => {
            let unwanted: PortVlans = without.iter().map(|id| VlanRange::tagged(*id)).collect();
            let unwanted: PortVlans = unwanted.surplus_over(these).into_iter().collect();
            let kept: PortVlans = is.surplus_over(&unwanted).into_iter().collect();
            Change { remove: is.surplus_over(&kept), add: these.missing_from(is) }
        }
        VlansTarget::Exactly(these) => Change { remove: is.surplus_over(these), add: these.missing_from(is) },
    }
}

/// Returns the settings of a device's own IPv6 configuration that are wanted and differ; all that are wanted, where the
/// kernel keeps none.
pub(crate) fn autoconf_change(wanted: &AutoconfChange, link: &Link) -> AutoconfChange {
    let Some(is) = link.autoconf else { return *wanted };
    AutoconfChange {
        accept_ra: wanted.accept_ra.and_then(|wanted| differing(wanted, is.accept_ra)),
        autoconf: wanted.autoconf.and_then(|wanted| differing(wanted, is.autoconf)),
        accept_ra_defrtr: wanted.accept_ra_defrtr.and_then(|wanted| differing(wanted, is.accept_ra_defrtr)),
        addr_gen_mode: wanted.addr_gen_mode.and_then(|wanted| differing(wanted, is.addr_gen_mode)),
    }
}

/// Returns how a device's addresses have to change.
pub(crate) fn address_change(wanted: &LinkWanted, link: &Link) -> Change<Address> {
    let mut change = wished_change(&wanted.addresses, link);
    let makes_none = is_deaf(&wanted.autoconf, link) || wanted.autoconf.autoconf == Some(false);
    let made = link.addresses.iter().filter(|address| makes_none && address.origin == AddressOrigin::Auto);
    change.remove.extend(made.cloned());
    change
}

fn wished_change(target: &AddressTarget, link: &Link) -> Change<Address> {
    match target {
        AddressTarget::Leave => Change::none(),
        AddressTarget::Without(unwanted) => {
            let is_unwanted = |has: &&Address| unwanted.iter().any(|address| address.net == has.net);
            Change { remove: settled(link).filter(is_unwanted).rev().cloned().collect(), add: Vec::new() }
        }
        AddressTarget::Exactly(wanted) => {
            let mut change = ipv4_change(wanted, link);
            let ipv6 = ipv6_change(wanted, link);
            change.remove.extend(ipv6.remove);
            change.add.extend(ipv6.add);
            change
        }
    }
}

/// Returns how the routes through `link` have to change.
///
/// `routes` are those through it.
pub(crate) fn route_change<R: Borrow<Route>>(wanted: &LinkWanted, link: &Link, routes: &[R]) -> Change<Route> {
    let mut change = wished_routes(&wanted.routes, link, routes);
    let unheard = routes.iter().map(Borrow::borrow).filter(|route| is_unheard(route, &wanted.autoconf, link));
    change.remove.splice(0..0, unheard.cloned());
    change
}

fn wished_routes<R: Borrow<Route>>(target: &RouteTarget, link: &Link, routes: &[R]) -> Change<Route> {
    let through = || routes.iter().map(Borrow::borrow).filter(|route| !is_automatic(route, link));
    let (wanted, has): (&[Route], Vec<&Route>) = match target {
        RouteTarget::Leave => return Change::none(),
        RouteTarget::Without(unwanted) => {
            let is_unwanted = |route: &&Route| unwanted.iter().any(|unwanted| is_same_path(unwanted, route));
            (&[], through().filter(is_unwanted).collect())
        }
        RouteTarget::Network(wanted) => {
            // A route in the place of a wanted one makes way, whoever made it.
            let in_place = |route: &Route| wanted.iter().any(|wanted| is_same_path(wanted, route));
            let is_ours = |route: &&Route| is_default(route) || route.protocol == ROUTE_PROTOCOL || in_place(route);
            (wanted, through().filter(is_ours).collect())
        }
        RouteTarget::Exactly(wanted) => (wanted, through().collect()),
    };
    let mut add: Vec<Route> = wanted.iter().filter(|route| !has.contains(route)).cloned().collect();
    // A gateway has to be reachable when its route comes: what is on the link goes first, default routes go last.
    add.sort_by_key(|route| (route.gateway.is_some(), u8::MAX - route.destination.prefix_len()));
    let mut remove: Vec<Route> = has.into_iter().filter(|route| !wanted.contains(route)).cloned().collect();
    remove.sort_by_key(|route| (route.gateway.is_none(), route.destination.prefix_len()));
    Change { remove, add }
}

/// Returns how the rules that lead to `table` have to change.
pub(crate) fn rule_change(table: u32, target: &RulesTarget, rules: &[Rule]) -> Change<Rule> {
    let has = || rules.iter().filter(|rule| rule.table == table && is_planned(rule));
    Change {
        remove: has().filter(|rule| !target.rules.contains(rule)).cloned().collect(),
        add: target.rules.iter().filter(|rule| !rules.contains(rule)).cloned().collect(),
    }
}

/// Returns how the DHCP clients on a device have to change; one that is only told anew does not stop.
///
/// `has` are those on the device.
pub(crate) fn client_change<C: Borrow<DhcpClientSpec>>(target: &DhcpTarget, has: &[C]) -> Change<DhcpClientSpec> {
    let DhcpTarget::Exactly(wanted) = target else { return Change::none() };
    let has = || has.iter().map(Borrow::borrow);
    let goes_on =
        |has: &DhcpClientSpec| wanted.iter().any(|wanted| wanted.rivals(has) && wanted.segment == has.segment);
    Change {
        remove: has().filter(|has| !goes_on(has)).cloned().collect(),
        add: wanted.iter().filter(|wanted| !has().any(|has| has == *wanted)).cloned().collect(),
    }
}

/// Returns how the resolver has to change: the file at once, systemd-resolved device by device. Nothing where somebody else
/// keeps the name servers, or where they were kept otherwise before.
pub(crate) fn resolver_change(target: &ResolverTarget, is: &ResolverState) -> Vec<ResolverStep> {
    match (is.mechanism(), &target.names) {
        (Some(ResolverMechanism::File), NamesTarget::Naming { names, .. }) if !are_in(names, is) => {
            vec![ResolverStep::Write { text: Some(is.with_names(names)) }]
        }
        (Some(ResolverMechanism::File), NamesTarget::AsBefore(before))
            if before.links.is_none() && before.text != is.text =>
        {
            vec![ResolverStep::Write { text: before.text.clone() }]
        }
        (Some(ResolverMechanism::SystemdResolved), names) => {
            names.devices().into_iter().filter_map(|link| link_change(names, link, is)).collect()
        }
        (Some(ResolverMechanism::File) | None, _) => Vec::new(),
    }
}

/// Returns what systemd-resolved has to be told about a device.
fn link_change(target: &NamesTarget, link: &IfName, is: &ResolverState) -> Option<ResolverStep> {
    let has = is.links.as_ref().and_then(|links| links.get(link)).cloned().unwrap_or_default();
    let names = match target {
        NamesTarget::Naming { names, device, .. } if device == link && names.servers.is_empty() => has.with(names),
        NamesTarget::Naming { names, device, .. } if device == link => LinkNames::for_all_names(names),
        NamesTarget::Naming { names, .. } if names.servers.is_empty() => return None,
        NamesTarget::Naming { .. } | NamesTarget::NotThrough(_) if has.are_for_all() => LinkNames::default(),
        NamesTarget::Naming { .. } | NamesTarget::NotThrough(_) => return None,
        NamesTarget::AsBefore(before) => before.links.as_ref()?.get(link)?.clone(),
    };
    (names != has).then(|| ResolverStep::SetLink { link: link.clone(), names })
}

/// Tells whether a file says these names; what they do not say may be anything.
fn are_in(names: &ResolverNames, is: &ResolverState) -> bool {
    let texts = |given: &[NameServer]| given.iter().map(ToString::to_string).collect::<Vec<_>>();
    let domains: Vec<String> = names.search.iter().map(ToString::to_string).collect();
    (names.servers.is_empty() || texts(&names.servers) == is.nameservers())
        && (domains.is_empty() || domains == is.search())
}

/// Returns the forwarding entry that has to go, or the one that has to come; `None` where nothing differs.
///
/// `entries` are those of the bridge.
pub(crate) fn fdb_change<E: Borrow<FdbEntry>>(target: &FdbTarget, entries: &[E]) -> Option<Change<FdbEntry>> {
    let state = target.entry.as_ref().map_or(FdbState::Static, |wanted| wanted.state);
    let has = entries.iter().map(Borrow::borrow).find(|entry| target.is_place_of(entry) && entry.state == state);
    match (&target.entry, has) {
        (Some(wanted), Some(has)) if wanted == has || state == FdbState::Local => None,
        (Some(wanted), _) => Some(Change { remove: Vec::new(), add: vec![wanted.clone()] }),
        (None, Some(has)) => Some(Change { remove: vec![has.clone()], add: Vec::new() }),
        (None, None) => None,
    }
}

/// Returns what a bridge, whose entries these are, has learned behind a port.
pub(crate) fn learned_at<'e, E: Borrow<FdbEntry> + 'e>(
    port: &IfName,
    entries: &'e [E],
) -> impl Iterator<Item = &'e FdbEntry> {
    let is_it = |entry: &&FdbEntry| entry.state == FdbState::Learned && entry.port == *port;
    entries.iter().map(Borrow::borrow).filter(is_it)
}

/// Returns what of a libvirt network's definition differs: each attribute's name, the wanted and the observed value.
pub(crate) fn definition_change(wanted: &DefinitionTarget, is: &LibvirtNetwork) -> Vec<(&'static str, String, String)> {
    let text = |value: Option<&str>| value.unwrap_or("none").to_owned();
    let (bridge, forward, manager, owner) = match wanted {
        DefinitionTarget::Trestles(own) => {
            (Some(own.bridge.as_str()), "bridge", own.mac_table_manager, Some(own.owner.as_str()))
        }
        DefinitionTarget::AsBefore(before) => {
            (before.bridge.as_deref(), before.forward.as_str(), before.mac_table_manager, before.owner.as_deref())
        }
    };
    let mut differing = vec![
        ("bridge", text(bridge), text(is.bridge.as_deref())),
        ("forward mode", forward.to_owned(), is.forward.clone()),
        ("macTableManager", manager.to_string(), is.mac_table_manager.to_string()),
        ("owner", text(owner), text(is.owner.as_deref())),
        ("persistent", true.to_string(), is.persistent.to_string()),
    ];
    if let (DefinitionTarget::Trestles(_), Some(next)) = (wanted, &is.redefined) {
        differing.extend([
            ("bridge at the next start", text(bridge), text(next.bridge.as_deref())),
            ("forward mode at the next start", forward.to_owned(), next.forward.clone()),
            ("macTableManager at the next start", manager.to_string(), next.mac_table_manager.to_string()),
        ]);
    }
    if let DefinitionTarget::AsBefore(before) = wanted {
        differing.push(("uuid", before.uuid.to_string(), is.uuid.to_string()));
        // A definition that was replaced under a running network shows in its XML only.
        let definition = if before.xml == is.xml { "as before" } else { "replaced" };
        differing.push(("definition", "as before".to_owned(), definition.to_owned()));
    }
    differing.retain(|(_, wanted, is)| wanted != is);
    differing
}

/// Tells whether a running network has to start anew to become what is wanted; if not, its definition alone is wrong.
pub(crate) fn needs_restart(differing: &[(&'static str, String, String)]) -> bool {
    differing.iter().any(|(field, ..)| matches!(*field, "bridge" | "forward mode" | "macTableManager" | "uuid"))
}

/// Tells whether a router advertised a route.
pub(crate) const fn is_advertised(route: &Route) -> bool {
    route.protocol == PROTOCOL_ADVERTISED
}

/// Tells whether a route is a default route of the host.
pub(crate) fn is_default(route: &Route) -> bool {
    route.is_main() && route.destination.prefix_len() == 0
}

/// Tells whether two routes lead the same way to the same destination, so that only one of them can be.
pub(crate) fn is_same_path(one: &Route, other: &Route) -> bool {
    (one.table, one.destination, one.gateway, &one.device, one.metric)
        == (other.table, other.destination, other.gateway, &other.device, other.metric)
}

/// Tells whether a route comes and goes by itself: the kernel made it for an address, a router advertised it, or it is
/// one of a lease in force, or of a router in its network's own table.
pub(crate) fn is_automatic(route: &Route, link: &Link) -> bool {
    match (route.protocol, route.destination) {
        (PROTOCOL_ADVERTISED, _) => true,
        (LEASE_PROTOCOL, IpNet::V6(_)) if Route::SOURCE_TABLES.contains(&route.table) => true,
        (LEASE_PROTOCOL, _) => link.addresses.iter().any(|address| address.origin == AddressOrigin::Dhcp),
        (PROTOCOL_KERNEL, IpNet::V6(_)) => route.metric == METRIC_IPV6_PREFIX,
        (PROTOCOL_KERNEL, IpNet::V4(_)) => {
            route.metric == 0
                && route.gateway.is_none()
                && link.addresses.iter().any(|a| !a.no_prefix_route && a.net.trunc() == route.destination)
        }
        _ => false,
    }
}

/// Tells whether a device is not to listen to routers.
fn is_deaf(wanted: &AutoconfChange, link: &Link) -> bool {
    let forwards = link.autoconf.is_some_and(|settings| settings.forwarding);
    wanted.accept_ra.is_some_and(|accept_ra| !accept_ra.hears(forwards))
}

/// Tells whether a route is one that routers advertise and that the device is not to listen to.
fn is_unheard(route: &Route, wanted: &AutoconfChange, link: &Link) -> bool {
    let is_heard_of =
        !is_deaf(wanted, link) && (wanted.accept_ra_defrtr != Some(false) || route.destination.prefix_len() > 0);
    route.protocol == PROTOCOL_ADVERTISED && !is_heard_of
}

/// Tells whether a route is a default route that a router advertises.
pub(crate) fn is_advertised_default(route: &Route) -> bool {
    is_default(route) && route.protocol == PROTOCOL_ADVERTISED
}

/// Tells whether two addresses of a device are one network's, so that the later one is secondary.
pub(crate) fn is_secondary_of(address: &Address, earlier: &Address) -> bool {
    address.net.prefix_len() == earlier.net.prefix_len()
        && address.net.trunc() == earlier.net.trunc()
        && address.scope == earlier.scope
}

/// Returns the addresses that are somebody's wish: not those that the kernel makes, and not those of leases.
pub(crate) fn settled(link: &Link) -> impl DoubleEndedIterator<Item = &Address> {
    let is_settled = |address: &&Address| match address.origin {
        AddressOrigin::Static | AddressOrigin::Dynamic => true,
        AddressOrigin::Dhcp | AddressOrigin::Kernel | AddressOrigin::Auto => false,
    };
    link.addresses.iter().filter(is_settled)
}

fn ipv4_change(wanted: &[Address], link: &Link) -> Change<Address> {
    let wanted = in_kernel_order(wanted.iter().filter(|address| is_ipv4(address)));
    let has: Vec<&Address> = settled(link).filter(|address| is_ipv4(address)).collect();
    let stays = |address: &&Address| wanted.iter().any(|wanted| is_same(wanted, address));
    let kept: Vec<&Address> = has.iter().copied().filter(stays).collect();
    let in_place = kept.iter().zip(&wanted).all(|(kept, wanted)| is_same(wanted, kept));
    // The kernel may drop secondary addresses with their primary one.
    let stranded = has.iter().enumerate().any(|(position, address)| {
        !stays(address) && has.iter().skip(position + 1).any(|later| stays(later) && is_secondary_of(later, address))
    });
    let common = if in_place && !stranded {
        kept.len()
    } else {
        has.iter().zip(&wanted).take_while(|(has, wanted)| is_same(wanted, has)).count()
    };
    let survivors: Vec<&Address> =
        if in_place && !stranded { kept } else { has.iter().copied().take(common).collect() };
    Change {
        remove: has.iter().rev().filter(|address| !survivors.contains(*address)).map(|a| (*a).clone()).collect(),
        add: wanted.into_iter().skip(common).cloned().collect(),
    }
}

fn ipv6_change(wanted: &[Address], link: &Link) -> Change<Address> {
    let wanted: Vec<&Address> = wanted.iter().filter(|address| !is_ipv4(address)).collect();
    let has: Vec<&Address> = settled(link).filter(|address| !is_ipv4(address)).collect();
    let is_wanted = |address: &&&Address| wanted.iter().any(|wanted| is_same(wanted, address));
    // What has a lifetime goes by itself, except where it stands in the way of a wish.
    let is_passing = |address: &Address| {
        address.origin == AddressOrigin::Dynamic && !wanted.iter().any(|wanted| wanted.net.addr() == address.net.addr())
    };
    let remove = has.iter().filter(|a| !is_wanted(a) && !is_passing(a)).map(|a| (*a).clone()).collect();
    // The kernel lists the newest first.
    let add = wanted
        .iter()
        .rev()
        .filter(|wanted| !has.iter().any(|address| is_same(wanted, address)))
        .map(|a| (*a).clone())
        .collect();
    Change { remove, add }
}

/// Puts IPv4 addresses into the order in which the kernel lists them: the primary ones, then the secondary ones.
fn in_kernel_order<'a>(addresses: impl Iterator<Item = &'a Address>) -> Vec<&'a Address> {
    let (mut primary, mut secondary): (Vec<&Address>, Vec<&Address>) = (Vec::new(), Vec::new());
    for address in addresses {
        if primary.iter().any(|earlier| is_secondary_of(address, earlier)) {
            secondary.push(address);
        } else {
            primary.push(address);
        }
    }
    primary.extend(secondary);
    primary
}

/// Tells whether an address is there as wanted. One with a lifetime is no fulfilment of a wish for ever, but one for
/// ever fulfils the wish for one with a lifetime: a lease's remaining time cannot be given back.
fn is_same(wanted: &Address, has: &Address) -> bool {
    wanted.net == has.net
        && wanted.broadcast == has.broadcast
        && wanted.label == has.label
        && wanted.scope == has.scope
        && wanted.no_prefix_route == has.no_prefix_route
        && (wanted.origin == has.origin || wanted.origin == AddressOrigin::Dynamic)
}

const fn is_ipv4(address: &Address) -> bool {
    matches!(address.net, IpNet::V4(_))
}

fn differing<T: PartialEq>(wanted: T, is: T) -> Option<T> {
    (wanted != is).then_some(wanted)
}
