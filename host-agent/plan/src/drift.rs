//! What of a host is not as it is to be, value by value.

use std::collections::BTreeSet;
use std::fmt;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use trestle_model::{
    Address, BondOptions, Bridge, DhcpClientSpec, Egress, FdbEntry, FdbState, HostQos, HostState, IfName, Leftover,
    LibvirtNetwork, Link, LinkKind, MacAddr, NicState, ResolverState, Route, Rule, Shaping, TrafficClass,
};

use crate::ResolverStep;
use crate::census::Census;
use crate::difference::{
    EgressChange, SettingsChange, active_change, address_change, autoconf_change, bond_change, bridge_change,
    client_change, definition_change, egress_change, fdb_change, is_another_kind, learned_at, port_change,
    resolver_change, route_change, rule_change, settings_change, vlan_change, without_effect,
};
use crate::target::{
    AliasTarget, DhcpTarget, EgressTarget, FdbTarget, KindTarget, LearnedTarget, LibvirtTarget, LibvirtWanted,
    LinkTarget, LinkWanted, MasterTarget, SettingsTarget, Target,
};

/// How many MACs of a port one line tells.
const MACS_TOLD: usize = 8;

/// An attribute that is not as it is to be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Drift {
    /// The object, e.g. `link eth0`.
    pub object: String,
    /// The attribute.
    pub field: String,
    /// What it is to be.
    pub expected: String,
    /// What it is.
    pub actual: String,
}

/// Compares `observed` with `target`, value by value.
///
/// *Shape*: in the target's order; empty exactly where [`crate::steps_towards`] plans no step, but for what no step
/// can mend (a NIC that is gone).
pub fn verify(target: &Target, observed: &HostState) -> Vec<Drift> {
    verify_on(target, &Census::of(observed))
}

/// Tells whether a host is as the target says: then a plan towards it has no step.
pub(crate) fn is_reached(target: &Target, census: &Census<'_>) -> bool {
    verify_on(target, census).is_empty()
}

/// Compares as [`verify`] does, with a host whose tables are known already.
pub(crate) fn verify_on(target: &Target, census: &Census<'_>) -> Vec<Drift> {
    let mut drift = Comparison { census, observed: census.state, drift: Vec::new() };
    for (name, link) in &target.links {
        drift.link(name, link);
    }
    for entry in &target.fdb {
        drift.entry(entry);
    }
    for (table, rules) in &target.rules {
        let change = rule_change(*table, rules, &census.state.kernel.rules);
        let text = |rule: &Rule| format!("from {} priority {}", rule.source, rule.priority);
        drift.lists(Object::Table(*table), "rule", &change.add, &change.remove, text);
    }
    let resolver = &census.state.resolver;
    for step in target.resolver.iter().flat_map(|target| resolver_change(target, resolver)) {
        match step {
            ResolverStep::Write { text } => {
                let wanted = ResolverState { text, ..ResolverState::default() };
                let searched_alike = wanted.search() == resolver.search();
                if searched_alike || wanted.nameservers() != resolver.nameservers() {
                    drift.note(Object::Resolver, "name servers", servers(&wanted), servers(resolver));
                }
                if !searched_alike {
                    drift.note(Object::Resolver, "search domains", search(&wanted), search(resolver));
                }
            }
            ResolverStep::SetLink { link, names } => {
                let has = resolver.links.iter().find_map(|links| links.get(&link)).cloned().unwrap_or_default();
                drift.note(Object::Link(&link), "name servers", names.to_string(), has.to_string());
            }
        }
    }
    for (name, network) in &target.libvirt {
        drift.network(name, network);
    }
    drift.drift
}

struct Comparison<'a> {
    census: &'a Census<'a>,
    observed: &'a HostState,
    drift: Vec<Drift>,
}

/// What is compared; it becomes text only where something differs.
#[derive(Clone, Copy)]
enum Object<'a> {
    Link(&'a IfName),
    /// With the guest's domain.
    Tap(&'a IfName, &'a str),
    Table(u32),
    Resolver,
    Entry(&'a FdbTarget),
    Network(&'a str),
}

impl fmt::Display for Object<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(name) => write!(f, "link {name}"),
            Self::Tap(name, domain) => write!(f, "link {name} of guest {domain}"),
            Self::Table(table) => write!(f, "table {table}"),
            Self::Resolver => f.write_str("resolver"),
            Self::Entry(FdbTarget { mac, vlan: Some(vlan), bridge, .. }) => {
                write!(f, "MAC {mac} in VLAN {vlan} of {bridge}")
            }
            Self::Entry(FdbTarget { mac, vlan: None, bridge, .. }) => write!(f, "MAC {mac} of {bridge}"),
            Self::Network(name) => write!(f, "libvirt network {name}"),
        }
    }
}

impl Comparison<'_> {
    fn note(&mut self, object: Object<'_>, field: &str, expected: impl fmt::Display, actual: impl fmt::Display) {
        self.drift.push(Drift {
            object: object.to_string(),
            field: field.to_owned(),
            expected: expected.to_string(),
            actual: actual.to_string(),
        });
    }

    /// Notes a field whose wanted value, if there is one, is another than it has.
    fn compare<T: PartialEq + fmt::Display>(&mut self, object: Object<'_>, field: &str, wanted: Option<T>, is: T) {
        if let Some(wanted) = wanted.filter(|wanted| *wanted != is) {
            self.note(object, field, wanted, is);
        }
    }

    /// Compares a field that may have no value.
    fn compare_optional<T: PartialEq + fmt::Display>(
        &mut self,
        object: Object<'_>,
        field: &str,
        wanted: Option<Option<T>>,
        is: Option<T>,
    ) {
        if let Some(wanted) = wanted.filter(|wanted| *wanted != is) {
            let text = |value: Option<T>| value.map_or_else(|| "none".to_owned(), |value| value.to_string());
            self.note(object, field, text(wanted), text(is));
        }
    }

    fn link(&mut self, name: &IfName, target: &LinkTarget) {
        let object = self.census.guest(name).map_or(Object::Link(name), |guest| Object::Tap(name, &guest.domain));
        match (target, self.observed.kernel.links.get(name)) {
            (LinkTarget::Absent { .. }, None) => {}
            (LinkTarget::Absent { .. }, Some(_)) => self.note(object, "presence", "absent", "present"),
            (LinkTarget::Present(wanted), None) => {
                if wanted.kind != KindTarget::Guest {
                    self.note(object, "presence", "present", "absent");
                }
            }
            (LinkTarget::Present(wanted), Some(link)) if is_another_kind(&wanted.kind, link) => {
                self.note(object, "kind", kind_wanted(&wanted.kind), kind(&link.kind));
            }
            (LinkTarget::Present(wanted), Some(link)) => self.present_link(object, wanted, link),
        }
        let none = DhcpTarget::Exactly(Vec::new());
        let wanted = match target {
            LinkTarget::Present(wanted) => &wanted.dhcp,
            LinkTarget::Absent { .. } => &none,
        };
        let has: Vec<&DhcpClientSpec> = self.census.clients(name).iter().map(|client| &client.spec).collect();
        let clients = client_change(wanted, &has);
        self.lists(object, "DHCP client", &clients.add, &clients.remove, client_text);
    }

    fn present_link(&mut self, object: Object<'_>, wanted: &LinkWanted, link: &Link) {
        self.compare_optional(object, "mac", wanted.mac.map(Some), link.mac);
        self.compare(object, "mtu", wanted.mtu, link.mtu);
        self.compare(object, "up", wanted.up, link.up);
        let alias = match &wanted.alias {
            AliasTarget::Leave => None,
            AliasTarget::Clear => Some(None),
            AliasTarget::Exactly(alias) => Some(Some(alias)),
        };
        self.compare_optional(object, "alias", alias, link.alias.as_ref());
        let master = match &wanted.master {
            MasterTarget::Leave => None,
            MasterTarget::Free => Some(None),
            MasterTarget::PortOf(bridge) => Some(Some(bridge)),
        };
        self.compare_optional(object, "master", master, link.master.as_ref());
        self.compare(object, "ipv6_disabled", wanted.ipv6_disabled, link.ipv6_disabled);
        let change = autoconf_change(&wanted.autoconf, link);
        let is = link.autoconf;
        let (accept_ra, defrtr) = (is.map(|is| is.accept_ra), is.map(|is| is.accept_ra_defrtr));
        self.compare_optional(object, "accept_ra", change.accept_ra.map(Some), accept_ra);
        self.compare_optional(object, "autoconf", change.autoconf.map(Some), is.map(|is| is.autoconf));
        self.compare_optional(object, "accept_ra_defrtr", change.accept_ra_defrtr.map(Some), defrtr);
        self.compare_optional(object, "addr_gen_mode", change.addr_gen_mode.map(Some), is.map(|is| is.addr_gen_mode));
        if let (KindTarget::Bridge(bridge), Some(has)) = (&wanted.kind, link.bridge()) {
            self.bridge(object, bridge, has);
        }
        if let (KindTarget::Bond(wanted), Some(bond)) = (&wanted.kind, link.bond()) {
            self.bond(object, wanted, &bond.options, &link.name);
        }
        let port = wanted.active_port.as_ref().and_then(|port| self.observed.kernel.links.get(port));
        if let Some(wanted) = active_change(wanted.active_port.as_ref(), link, port) {
            let active = link.bond().and_then(|bond| bond.active_port.as_ref());
            self.note(object, "active port", wanted, active.map_or_else(|| "none".to_owned(), ToString::to_string));
        }
        if let Some(flags) = &link.port {
            let change = port_change(&wanted.port, flags);
            self.compare(object, "learning", change.learning, flags.learning);
            self.compare(object, "flood", change.flood, flags.flood);
            self.compare(object, "multicast_flood", change.multicast_flood, flags.multicast_flood);
            self.compare(object, "broadcast_flood", change.broadcast_flood, flags.broadcast_flood);
            self.compare(object, "isolated", change.isolated, flags.isolated);
            self.compare(object, "locked", change.locked, flags.locked);
        }
        if wanted.learned == LearnedTarget::Nothing {
            self.learned(object, link);
        }
        if let Some(vlans) = &link.vlans {
            let change = vlan_change(&wanted.vlans, vlans);
            let way = |id: u16| vlans.membership(id).map_or_else(|| "absent".to_owned(), |is| is.way().to_owned());
            for range in &change.add {
                self.note(object, &format!("VLAN {}", range.numbers()), range.way(), way(range.first));
            }
            for range in &change.remove {
                self.note(object, &format!("VLAN {}", range.numbers()), "absent", range.way());
            }
        }
        self.egress(object, &wanted.egress, &link.egress);
        self.settings(object, &wanted.settings, &link.settings);
        let addresses = address_change(wanted, link);
        self.lists(object, "address", &addresses.add, &addresses.remove, |address: &Address| address.net.to_string());
        let routes = route_change(wanted, link, self.census.routes(&link.name));
        self.lists(object, "route", &routes.add, &routes.remove, route_text);
    }

    /// Notes what a bridge has learned behind a port, in one line: whoever spoofs may make it much.
    fn learned(&mut self, object: Object<'_>, link: &Link) {
        let Some(bridge) = &link.master else { return };
        let macs: BTreeSet<MacAddr> =
            learned_at(&link.name, self.census.entries(bridge)).map(|entry| entry.mac).collect();
        if macs.is_empty() {
            return;
        }
        let mut told = macs.iter().take(MACS_TOLD).map(ToString::to_string).collect::<Vec<_>>().join(", ");
        if let Some(more @ 1..) = macs.len().checked_sub(MACS_TOLD) {
            told = format!("{told} and {more} more");
        }
        self.note(object, "learned MACs", "none", told);
    }

    /// Notes what is missing and what is too much; something that is there in another form is told in one line.
    fn lists<T>(&mut self, object: Object<'_>, field: &str, missing: &[T], surplus: &[T], text: impl Fn(&T) -> String) {
        let surplus: Vec<String> = surplus.iter().map(&text).collect();
        for wanted in missing.iter().map(&text) {
            let actual = if surplus.contains(&wanted) { "in another place or form" } else { "absent" };
            self.note(object, field, &wanted, actual);
        }
        let missing: Vec<String> = missing.iter().map(&text).collect();
        for extra in surplus.iter().filter(|extra| !missing.contains(extra)) {
            self.note(object, field, "absent", extra);
        }
    }

    fn bridge(&mut self, object: Object<'_>, wanted: &Bridge, has: &Bridge) {
        let change = bridge_change(wanted, has, &self.observed.features);
        self.compare(object, "stp", change.stp, has.stp);
        self.compare(object, "ageing_time_cs", change.ageing_time_cs, has.ageing_time_cs);
        self.compare(object, "forward_delay_cs", change.forward_delay_cs, has.forward_delay_cs);
        self.compare(object, "hello_time_cs", change.hello_time_cs, has.hello_time_cs);
        self.compare(object, "max_age_cs", change.max_age_cs, has.max_age_cs);
        self.compare(object, "priority", change.priority, has.priority);
        self.compare(object, "multicast_snooping", change.multicast_snooping, has.multicast_snooping);
        self.compare(object, "multicast_querier", change.multicast_querier, has.multicast_querier);
        self.compare(object, "group_fwd_mask", change.group_fwd_mask, has.group_fwd_mask);
        self.compare(object, "vlan_filtering", change.vlan_filtering, has.vlan_filtering);
        self.compare(object, "default_pvid", change.default_pvid, has.default_pvid);
        for (number, wanted) in change.numbers.iter() {
            self.compare(object, number.name(), Some(wanted), has.numbers.value(number));
        }
    }

    fn bond(&mut self, object: Object<'_>, wanted: &BondOptions, has: &BondOptions, name: &IfName) {
        let links = self.observed.kernel.links.values();
        let ports: Vec<&IfName> =
            links.filter(|link| link.master.as_ref() == Some(name)).map(|link| &link.name).collect();
        let change = bond_change(wanted, has, &ports);
        self.compare(object, "mode", change.mode, has.mode);
        for (option, wanted) in &change.numbers {
            // The delays, which are set together with the interval, may be right already.
            if let Some(is) = has.numbers.get(option) {
                self.compare(object, option.name(), Some(*wanted), *is);
            }
        }
        let text = |name: Option<&IfName>| name.map_or_else(|| "none".to_owned(), ToString::to_string);
        if let Some(primary) = &change.primary {
            self.note(object, "primary", text(primary.port()), text(has.primary.as_ref()));
        }
        let targets = |targets: &[Ipv4Addr]| targets.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        if let Some(wanted) = &change.arp_ip_targets {
            self.note(object, "arp_ip_targets", targets(wanted), targets(&has.arp_ip_targets));
        }
        if let Some(wanted) = change.ad_actor_system {
            let has = has.ad_actor_system.map_or_else(|| "none".to_owned(), |mac| mac.to_string());
            self.note(object, "ad_actor_system", wanted, has);
        }
    }

    fn settings(&mut self, object: Object<'_>, wanted: &SettingsTarget, has: &NicState) {
        let SettingsChange { rings, vfs, features } = settings_change(wanted, has);
        if let Some(is) = has.rings {
            self.compare(object, "rx ring", rings.rx, is.rx);
            self.compare(object, "tx ring", rings.tx, is.tx);
        }
        if let Some(is) = &has.vfs {
            self.compare(object, "virtual functions", vfs, is.count());
        }
        let text = |on: bool| if on { "on" } else { "off" };
        for (name, on) in features {
            self.note(object, &format!("feature {name}"), text(on), text(!on));
        }
        for (name, on) in without_effect(wanted, has) {
            self.note(object, &format!("feature {name}"), text(on), "not in force: it needs another");
        }
    }

    fn egress(&mut self, object: Object<'_>, wanted: &EgressTarget, has: &Egress) {
        let none = Shaping::default();
        let is = match has {
            Egress::Shaped(is) => is,
            Egress::Kernels | Egress::Foreign(_) => &none,
        };
        let text = |qos: Option<&HostQos>| qos.map_or_else(|| "none".to_owned(), ToString::to_string);
        match egress_change(wanted, has) {
            EgressChange::None => {}
            EgressChange::Unshape => self.note(object, "queueing", "the kernel's", "by classes"),
            EgressChange::Obstructed => {
                let kind = if let Egress::Foreign(kind) = has { kind.as_str() } else { "another" };
                self.note(object, "queueing", "by classes", format!("{kind} of somebody else's"));
            }
            EgressChange::Shape(rest, classes) => {
                for (class, qos) in std::iter::once((TrafficClass::Rest, rest)).chain(classes) {
                    self.note(object, &format!("class of {class}"), qos, "none");
                }
            }
            EgressChange::Classes(remove, set) => {
                let goes = remove.iter().filter(|class| !set.iter().any(|(set, _)| set == *class));
                for class in goes {
                    self.note(object, &format!("class of {class}"), "none", text(is.0.get(class)));
                }
                for (class, qos) in set {
                    self.note(object, &format!("class of {class}"), qos, text(is.0.get(&class)));
                }
            }
        }
    }

    fn entry(&mut self, target: &FdbTarget) {
        // An entry cannot be on a port that has gone with its guest.
        let port_is_there = target.entry.as_ref().is_none_or(|entry| {
            let port = self.observed.kernel.links.get(&entry.port);
            port.is_some_and(|port| entry.port == entry.bridge || port.master.as_ref() == Some(&entry.bridge))
        });
        let Some(change) = fdb_change(target, self.census.entries(&target.bridge)).filter(|_| port_is_there) else {
            return;
        };
        let text = |entry: &FdbEntry| match (entry.state, self.census.guest(&entry.port)) {
            (FdbState::Local, _) => "the host's own".to_owned(),
            (state, None) => format!("{} on {}", entry_word(state, entry.sticky), entry.port),
            (state, Some(guest)) => {
                format!("{} on {} of guest {}", entry_word(state, entry.sticky), entry.port, guest.domain)
            }
        };
        let entries = self.census.entries(&target.bridge).iter();
        let has = entries.copied().find(|entry| target.is_place_of(entry)).map_or_else(|| "absent".to_owned(), text);
        self.note(Object::Entry(target), "entry", change.add.first().map_or_else(|| "absent".to_owned(), text), has);
    }

    fn network(&mut self, name: &str, target: &LibvirtTarget) {
        let object = Object::Network(name);
        let has = self.observed.libvirt.as_ref().and_then(|libvirt| libvirt.networks.get(name));
        match (target, has) {
            (LibvirtTarget::Absent { .. }, None) => {}
            (LibvirtTarget::Absent { .. }, Some(_)) => self.note(object, "presence", "absent", "present"),
            (LibvirtTarget::Present(_), None) => self.note(object, "presence", "present", "absent"),
            (LibvirtTarget::Present(wanted), Some(has)) => self.present_network(object, wanted, has),
        }
    }

    fn present_network(&mut self, object: Object<'_>, wanted: &LibvirtWanted, has: &LibvirtNetwork) {
        for (field, wanted, is) in definition_change(&wanted.definition, has) {
            self.note(object, field, wanted, is);
        }
        self.compare(object, "active", Some(wanted.active), has.active);
        self.compare(object, "autostart", Some(wanted.autostart), has.autostart);
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: expected {}, is {}", self.object, self.field, self.expected, self.actual)
    }
}

impl From<Drift> for Leftover {
    fn from(drift: Drift) -> Self {
        Self { object: drift.object, field: drift.field, expected: drift.expected, actual: drift.actual }
    }
}

const fn entry_word(state: FdbState, sticky: bool) -> &'static str {
    match (state, sticky) {
        (FdbState::Learned, _) => "learned",
        (FdbState::Static, true) => "sticky",
        (FdbState::Static, false) => "static",
        (FdbState::Local, _) => "local",
    }
}

fn client_text(client: &DhcpClientSpec) -> String {
    let default_route = if client.default_route { " for the default route" } else { "" };
    format!("{} for {}{default_route}", client.family, client.segment)
}

fn servers(resolver: &ResolverState) -> String {
    let servers = resolver.nameservers();
    match (&resolver.text, servers.is_empty()) {
        (None, _) => "no file".to_owned(),
        (Some(_), true) => "none".to_owned(),
        (Some(_), false) => servers.join(", "),
    }
}

fn search(resolver: &ResolverState) -> String {
    let domains = resolver.search();
    if domains.is_empty() { "none".to_owned() } else { domains.join(" ") }
}

fn route_text(route: &Route) -> String {
    let gateway = route.gateway.map(|gateway| format!(" via {gateway}")).unwrap_or_default();
    let table = if route.is_main() { String::new() } else { format!(" in table {}", route.table) };
    format!("{}{gateway} metric {}{table}", route.destination, route.metric)
}

fn kind_wanted(wanted: &KindTarget) -> String {
    match wanted {
        KindTarget::Found | KindTarget::Guest => "any".to_owned(),
        KindTarget::Vlan { base, id } => format!("VLAN {id} on {base}"),
        KindTarget::Bridge(_) => "bridge".to_owned(),
        KindTarget::Bond(_) => "bond".to_owned(),
    }
}

fn kind(kind: &LinkKind) -> String {
    match kind {
        LinkKind::Nic => "NIC".to_owned(),
        LinkKind::Vlan { base, id } => format!("VLAN {id} on {base}"),
        LinkKind::Bridge(_) => "bridge".to_owned(),
        LinkKind::Bond(_) => "bond".to_owned(),
        LinkKind::Veth => "virtual cable".to_owned(),
        LinkKind::Tun => "tap".to_owned(),
        LinkKind::Loopback => "loopback".to_owned(),
        LinkKind::Other(name) => name.clone(),
    }
}
