//! What two networks cannot both have, or a network and somebody else.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use trestle_model::{
    Code, DeviceManager, Finding, HostConfig, IfName, Management, NetworkChange, NetworkSpec, Route, SetupRequest,
    Southbound, VlanId,
};

use super::{error, sub};
use crate::census::Census;
use crate::composition::{addresses, default_routes, devices, is_source_routed, static_route};
use crate::dhcp::coming_defaults;
use crate::difference::{is_advertised_default, is_automatic, is_default, is_same_path, route_change};
use crate::ownership::{self, ROUTE_PROTOCOL};
use crate::target::{AddressTarget, LinkTarget, RouteTarget, Target};

/// What a network is held against.
pub(crate) struct Rivals<'a> {
    pub(super) request: &'a SetupRequest,
    pub(super) running: &'a HostConfig,
    pub(super) desired: &'a HostConfig,
    pub(super) census: &'a Census<'a>,
    pub(super) target: &'a Target,
    /// The devices that the desired networks make.
    pub(super) devices: BTreeSet<IfName>,
    /// The devices that have the desired networks' addresses.
    tops: BTreeSet<IfName>,
    /// The desired networks by place, by bridge, by address and by what their routes claim.
    places: BTreeMap<(&'a Southbound, Option<VlanId>), Vec<&'a NetworkSpec>>,
    bridges: BTreeMap<&'a IfName, Vec<&'a NetworkSpec>>,
    addresses: BTreeMap<IpAddr, Vec<&'a NetworkSpec>>,
    routed: Vec<&'a NetworkSpec>,
    tables: BTreeMap<u32, Vec<&'a NetworkSpec>>,
}

impl<'a> Rivals<'a> {
    pub(crate) fn new(
        request: &'a SetupRequest,
        running: &'a HostConfig,
        desired: &'a HostConfig,
        census: &'a Census<'a>,
        target: &'a Target,
    ) -> Self {
        let mut places = BTreeMap::<_, Vec<&NetworkSpec>>::new();
        let mut bridges = BTreeMap::<_, Vec<&NetworkSpec>>::new();
        let mut by_address = BTreeMap::<_, Vec<&NetworkSpec>>::new();
        let mut tables = BTreeMap::<_, Vec<&NetworkSpec>>::new();
        for spec in desired.specs() {
            if is_source_routed(spec) {
                tables.entry(ownership::source_table(&spec.name)).or_default().push(spec);
            }
            if let Some(southbound) = &spec.southbound {
                places.entry((southbound, spec.vlan)).or_default().push(spec);
            }
            if let Some(bridge) = spec.bridge() {
                bridges.entry(&bridge.name).or_default().push(spec);
            }
            for address in addresses(spec) {
                by_address.entry(address.net.addr()).or_default().push(spec);
            }
        }
        Self {
            request,
            running,
            desired,
            census,
            target,
            devices: devices(desired),
            tops: desired.specs().filter_map(NetworkSpec::top_device).collect(),
            places,
            bridges,
            addresses: by_address,
            tables,
            routed: desired.specs().filter(|spec| !spec.routes.is_empty()).collect(),
        }
    }
}

pub(super) fn clashes(spec: &NetworkSpec, field: &str, rivals: &Rivals<'_>, findings: &mut Vec<Finding>) {
    place(spec, field, rivals, findings);
    managed(spec, field, rivals, findings);
    taken_addresses(spec, field, rivals, findings);
    resolver(spec, field, rivals, findings);
    routes(spec, field, rivals, findings);
    source_table(spec, field, rivals, findings);
    if spec.default_route {
        default_route(spec, field, rivals, findings);
    }
}

/// Finds who else configures the devices of the network. A restore does not ask.
fn managed(spec: &NetworkSpec, field: &str, rivals: &Rivals<'_>, findings: &mut Vec<Finding>) {
    let below = spec.southbound.as_ref().map(|southbound| match southbound {
        Southbound::Nic(nic) => ("nic", nic.clone()),
        Southbound::Bond(bond) => ("bond", bond.clone()),
    });
    let made = [spec.uplink(), spec.top_device()].into_iter().flatten().map(|device| ("name", device));
    let mut asked = BTreeSet::new();
    for (name, device) in below.into_iter().chain(made) {
        if let Some(management) = rivals.census.state.managers.get(&device).filter(|_| asked.insert(device.clone())) {
            let finding = error(spec, Code::DeviceManaged, field, name, configured(&device, management));
            findings.push(finding.related([device.to_string()]).remedy(handover(&device, management)));
        }
    }
}

/// Says who configures a device.
pub(super) fn configured(device: &IfName, management: &Management) -> String {
    let source = management.source.as_ref().map(|source| format!(", by {source}")).unwrap_or_default();
    format!("{device} is configured by {}{source}", management.manager)
}

/// Says how the device is handed over.
pub(super) fn handover(device: &IfName, management: &Management) -> String {
    match management.manager {
        DeviceManager::NetworkManager => format!("run: nmcli device set {device} managed no"),
        DeviceManager::SystemdNetworkd => format!(
            "write \"[Match] Name={device}\" and \"[Link] Unmanaged=yes\" into /etc/systemd/network/00-trestle.network, and run: \
             networkctl reload"
        ),
    }
}

fn place(spec: &NetworkSpec, field: &str, rivals: &Rivals<'_>, findings: &mut Vec<Finding>) {
    let others = |found: Option<&Vec<&NetworkSpec>>| -> Vec<String> {
        let found = found.into_iter().flatten().filter(|other| other.name != spec.name);
        found.map(|other| other.name.to_string()).collect()
    };
    if let Some(southbound) = &spec.southbound {
        let taken = others(rivals.places.get(&(southbound, spec.vlan)));
        if !taken.is_empty() {
            let place = match spec.vlan {
                Some(vlan) => format!("VLAN {vlan} of {}", southbound.device()),
                None => format!("{} without a VLAN", southbound.device()),
            };
            let message = format!("{place} is used by {}", taken.join(", "));
            let name = match (spec.vlan, southbound) {
                (Some(_), _) => "vlan_id",
                (None, Southbound::Nic(_)) => "nic",
                (None, Southbound::Bond(_)) => "bond",
            };
            let finding = error(spec, Code::SouthboundTaken, field, name, message).related(taken);
            findings
                .push(finding.remedy("choose another VLAN or NIC, or remove the other network in the same request"));
        }
    }
    if let Some(bridge) = spec.bridge() {
        let taken = others(rivals.bridges.get(&bridge.name));
        if !taken.is_empty() {
            let message = format!("bridge {} is that of {}", bridge.name, taken.join(", "));
            let finding = error(spec, Code::BridgeNameTaken, field, "bridge_name", message).related(taken);
            findings.push(finding.remedy("choose another bridge name"));
        }
    }
}

fn taken_addresses(spec: &NetworkSpec, field: &str, rivals: &Rivals<'_>, findings: &mut Vec<Finding>) {
    let mut positions = [0_usize; 2];
    for address in addresses(spec) {
        let host = address.net.addr();
        let [ipv4, ipv6] = &mut positions;
        let (family, position) = if host.is_ipv4() { ("ipv4", ipv4) } else { ("ipv6", ipv6) };
        let name = format!("{family}.addresses[{position}]");
        *position += 1;
        let holders = holders(spec, host, rivals);
        if !holders.is_empty() {
            let message =
                format!("address {host} is that of {}", holders.iter().cloned().collect::<Vec<_>>().join(", "));
            let finding = error(spec, Code::AddressTaken, field, &name, message).related(holders);
            findings.push(finding.remedy("choose another address, or free it first"));
        }
    }
}

/// Returns the other networks, and the devices that the change leaves alone, that have the address.
fn holders(spec: &NetworkSpec, host: IpAddr, rivals: &Rivals<'_>) -> BTreeSet<String> {
    let others = rivals.addresses.get(&host).into_iter().flatten().filter(|other| other.name != spec.name);
    let networks = others.map(|other| format!("network {}", other.name));
    let devices = rivals.census.holders(host).iter();
    let devices = devices
        .filter(|link| !rivals.tops.contains(&link.name) && !loses_addresses(rivals.target, &link.name))
        .map(|link| format!("device {}", link.name));
    networks.chain(devices).collect()
}

fn default_route(spec: &NetworkSpec, field: &str, rivals: &Rivals<'_>, findings: &mut Vec<Finding>) {
    let claims = |change: &NetworkChange| match change {
        NetworkChange::Set(other) => (other.default_route && other.name != spec.name).then(|| other.name.to_string()),
        NetworkChange::Remove(_) => None,
    };
    let claimants: Vec<String> = rivals.request.changes.iter().filter_map(claims).collect();
    if !claimants.is_empty() {
        let message = format!("the default route is also claimed by {}", claimants.join(", "));
        let finding = error(spec, Code::DefaultRouteTaken, field, "default_route", message).related(claimants);
        findings.push(finding.remedy("let one network claim it"));
    }
    let named = |other: &NetworkSpec| rivals.request.changes.iter().any(|change| change.network() == &other.name);
    for owner in rivals.running.specs().filter(|other| other.default_route && !named(other)) {
        let message = format!("the default route moves here from network {}", owner.name);
        let finding = Finding::info(Code::DefaultRouteTaken, sub(field, "default_route"), message);
        findings.push(finding.about(&spec.name).related([owner.name.to_string()]));
    }
    let tops: BTreeSet<IfName> =
        rivals.running.specs().chain(rivals.desired.specs()).filter_map(NetworkSpec::top_device).collect();
    let statics = default_routes(spec).into_iter().map(|route| (route.destination, route.metric));
    for (destination, metric) in statics.chain(coming_defaults(spec)) {
        let rival = rivals.census.state.kernel.routes.iter().find(|route| {
            is_default(route)
                && route.destination == destination
                && route.metric == metric
                && !tops.contains(&route.device)
                && !loses_defaults(rivals.target, &route.device)
        });
        if let Some(rival) = rival.filter(|rival| is_advertised_default(rival)) {
            // It comes and goes by itself, perhaps only later: to refuse would keep nobody from having two.
            let message = format!("a router advertises a default route through {}, too", rival.device);
            let finding = Finding::info(Code::DefaultRouteTaken, sub(field, "default_route"), message);
            findings.push(finding.about(&spec.name).related([rival.device.to_string()]));
        } else if let Some(rival) = rival {
            let message = format!("the host has a default route through {}, which is not Trestle's", rival.device);
            let finding = error(spec, Code::DefaultRouteTaken, field, "default_route", message);
            let remedy = "remove that route, give it another metric, or put the network on that NIC";
            findings.push(finding.related([rival.device.to_string()]).remedy(remedy));
        }
    }
}

/// Finds who else keeps the name servers. A restore does not ask: it brings the network up without them.
fn resolver(spec: &NetworkSpec, field: &str, rivals: &Rivals<'_>, findings: &mut Vec<Finding>) {
    if let Some(keeper) = rivals.census.state.resolver.keeper.as_ref().filter(|_| !spec.resolver_names().is_empty()) {
        let message = format!("the host's name servers are kept by another: {keeper}");
        let name = if spec.nameservers.is_empty() { "search_domains" } else { "nameservers" };
        let finding = error(spec, Code::ResolverKept, field, name, message);
        findings.push(finding.remedy("configure them there and leave them out here, or make resolv.conf a plain file"));
    }
}

fn routes(spec: &NetworkSpec, field: &str, rivals: &Rivals<'_>, findings: &mut Vec<Finding>) {
    for (position, given) in spec.routes.iter().enumerate() {
        let others = rivals.routed.iter().filter(|other| other.name != spec.name);
        let mut taken: BTreeSet<String> = others
            .filter(|other| other.routes.iter().any(|other| other.rivals(given)))
            .map(|other| format!("network {}", other.name))
            .collect();
        let Some(wanted) = static_route(spec, given) else { continue };
        let foreign = rivals.census.state.kernel.routes.iter().filter(|route| {
            (route.table, route.destination, route.metric) == (wanted.table, wanted.destination, wanted.metric)
                && route.protocol != ROUTE_PROTOCOL
                && !is_same_path(route, &wanted)
                && stays(route, rivals)
        });
        taken.extend(foreign.map(|route| format!("a route through {}", route.device)));
        if !taken.is_empty() {
            let names = taken.iter().cloned().collect::<Vec<_>>().join(", ");
            let message = format!("{} with metric {} is that of {names}", wanted.destination, wanted.metric);
            let name = format!("routes[{position}].destination");
            let finding = error(spec, Code::RouteTaken, field, &name, message).related(taken);
            findings.push(finding.remedy("give another metric, or remove the other route first"));
        }
    }
}

fn source_table(spec: &NetworkSpec, field: &str, rivals: &Rivals<'_>, findings: &mut Vec<Finding>) {
    let table = ownership::source_table(&spec.name);
    let others = rivals.tables.get(&table).into_iter().flatten().filter(|other| other.name != spec.name);
    let taken: Vec<String> = others.map(|other| other.name.to_string()).collect();
    if is_source_routed(spec) && !taken.is_empty() {
        let message = format!("routing table {table} is that of {}", taken.join(", "));
        let finding = error(spec, Code::TableTaken, field, "name", message).related(taken);
        findings.push(finding.remedy("choose another name for the network"));
    }
}

/// Tells whether a route that somebody made is there after the change, too.
fn stays(route: &Route, rivals: &Rivals<'_>) -> bool {
    let Some(link) = rivals.census.state.kernel.links.get(&route.device) else { return false };
    if is_automatic(route, link) {
        return false;
    }
    match rivals.target.links.get(&route.device) {
        Some(LinkTarget::Absent { .. }) => false,
        Some(LinkTarget::Present(wanted)) => {
            !route_change(wanted, link, rivals.census.routes(&link.name)).remove.contains(route)
        }
        None => true,
    }
}

fn loses_addresses(target: &Target, link: &IfName) -> bool {
    match target.links.get(link) {
        Some(LinkTarget::Absent { .. }) => true,
        Some(LinkTarget::Present(wanted)) => wanted.addresses != AddressTarget::Leave,
        None => false,
    }
}

fn loses_defaults(target: &Target, link: &IfName) -> bool {
    match target.links.get(link) {
        Some(LinkTarget::Absent { .. }) => true,
        Some(LinkTarget::Present(wanted)) => wanted.routes != RouteTarget::Leave,
        None => false,
    }
}
