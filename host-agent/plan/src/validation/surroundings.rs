//! What the host cannot do, or has given to somebody else.

use std::collections::{BTreeMap, BTreeSet};

use trestle_model::{
    BridgeNumber, Code, Feature, Finding, ForeignDhcp, HostConfig, HostState, IfName, Ipv4Config, LibvirtNetwork, Link,
    LinkKind, NetworkSpec, Route, SourceMacs, Southbound, Support,
};

use super::error;
use crate::census::Census;
use crate::composition::{is_hardware, is_source_routed};
use crate::dhcp::{LEASE_PROTOCOL, clients};
use crate::ownership;

/// Judges a network against the host alone; a restore asks this of every network, too.
///
/// Devices in `adopt` may become Trestle's.
pub(crate) fn surroundings(
    spec: &NetworkSpec,
    field: &str,
    desired: &HostConfig,
    census: &Census<'_>,
    adopt: &BTreeSet<IfName>,
    findings: &mut Vec<Finding>,
) {
    let observed = census.state;
    match &spec.southbound {
        Some(Southbound::Nic(name)) => nic(spec, name, field, desired, observed, adopt, findings),
        Some(Southbound::Bond(name)) => bond(spec, name, field, desired, observed, findings),
        None => {}
    }
    devices(spec, field, census, adopt, findings);
    libvirt_networks(spec, field, census, findings);
    source_table(spec, field, observed, findings);
    foreign_clients(spec, field, observed, findings);
    features(spec, field, observed, findings);
}

fn bond(
    spec: &NetworkSpec,
    name: &IfName,
    field: &str,
    desired: &HostConfig,
    observed: &HostState,
    findings: &mut Vec<Finding>,
) {
    let links = &observed.kernel.links;
    let Some(entry) = desired.bonds.get(name) else {
        let message = match links.get(name) {
            Some(_) => format!("{name} is no bond"),
            None => format!("the host has no bond {name}, and the request makes none"),
        };
        let bonds = links.values().filter(|link| link.bond().is_some()).map(|link| link.name.to_string());
        let finding = error(spec, Code::BondNotFound, field, "bond", message).related(bonds);
        findings.push(finding.remedy("name a bond of the host, or describe the bond in the same request"));
        return;
    };
    let foreign = links.get(name).and_then(|link| link.master.as_ref());
    if let Some(master) = foreign.filter(|master| !links.get(*master).is_some_and(ownership::is_ours)) {
        let finding = error(spec, Code::NicInUse, field, "bond", format!("{name} is a port of {master}"));
        findings.push(finding.related([master.to_string()]).remedy(format!("take {name} out of {master} first")));
    }
    for nic in &entry.spec.nics {
        let limit = links.get(nic).and_then(|link| link.max_mtu).filter(|limit| *limit > 0);
        if let Some(limit) = limit.filter(|limit| spec.mtu.get() > *limit) {
            let message = format!("MTU {} is above the {limit} that {nic} in {name} takes", spec.mtu);
            let finding = error(spec, Code::MtuOutOfRange, field, "mtu", message).related([nic.to_string()]);
            findings.push(finding.remedy(format!("use at most {limit}")));
        }
    }
}

fn nic(
    spec: &NetworkSpec,
    name: &IfName,
    field: &str,
    desired: &HostConfig,
    observed: &HostState,
    adopt: &BTreeSet<IfName>,
    findings: &mut Vec<Finding>,
) {
    if let Some(entry) = super::bond::bond_of(desired, name) {
        let bond = entry.spec.name.to_string();
        let finding = error(spec, Code::NicInUse, field, "nic", format!("{name} is in bond {bond}"));
        findings.push(finding.related([bond]).remedy("let the network stand on the bond, or take the NIC out of it"));
        return;
    }
    let links = &observed.kernel.links;
    let nics = || links.values().filter(|link| is_hardware(&link.kind)).map(|link| link.name.to_string());
    let not_found = |message: String| error(spec, Code::NicNotFound, field, "nic", message).related(nics());
    let Some(link) = links.get(name) else {
        findings.push(not_found(format!("the host has no NIC {name}")).remedy("name a NIC of the host"));
        return;
    };
    if !is_hardware(&link.kind) {
        let what = match &link.kind {
            LinkKind::Vlan { .. } => "a VLAN device; name the NIC below it and the VLAN",
            LinkKind::Bridge(_) => "a bridge",
            LinkKind::Bond(_) => "a bond; name it as bond",
            LinkKind::Loopback => "the loopback device",
            LinkKind::Tun => "a tap",
            LinkKind::Nic | LinkKind::Veth | LinkKind::Other(_) => "of a kind that carries no network",
        };
        findings.push(not_found(format!("{name} is {what}")).remedy("name a NIC of the host"));
        return;
    }
    let is_adopted =
        |master: &IfName| adopt.contains(master) && spec.bridge().is_some_and(|bridge| bridge.name == *master);
    let foreign = link.master.as_ref().filter(|master| !links.get(master).is_some_and(ownership::is_ours));
    let foreign = foreign.filter(|master| !is_adopted(master));
    if let Some(master) = foreign {
        let finding = error(spec, Code::NicInUse, field, "nic", format!("{name} is a port of {master}"));
        findings.push(finding.related([master.to_string()]).remedy(format!("take {name} out of {master} first")));
    }
    if let Some(limit) = link.max_mtu.filter(|limit| *limit > 0 && spec.mtu.get() > *limit) {
        let message = format!("MTU {} is above the {limit} that {name} takes", spec.mtu);
        findings.push(error(spec, Code::MtuOutOfRange, field, "mtu", message).remedy(format!("use at most {limit}")));
    }
}

/// Finds devices of others where the network's own have to be.
///
/// A bridge, or the VLAN device itself, is in nobody's way where it is to be adopted.
fn devices(
    spec: &NetworkSpec,
    field: &str,
    census: &Census<'_>,
    adopt: &BTreeSet<IfName>,
    findings: &mut Vec<Finding>,
) {
    let fits = |link: &Link| match &link.kind {
        LinkKind::Bridge(_) => spec.bridge().is_some_and(|bridge| bridge.name == link.name),
        LinkKind::Vlan { base, id } => {
            spec.southbound.as_ref().is_some_and(|southbound| southbound.device() == base) && spec.vlan == Some(*id)
        }
        LinkKind::Nic
        | LinkKind::Bond(_)
        | LinkKind::Veth
        | LinkKind::Tun
        | LinkKind::Loopback
        | LinkKind::Other(_) => false,
    };
    let foreign = |name: &IfName| {
        let link = census.state.kernel.links.get(name).filter(|link| !ownership::is_ours(link))?;
        (!adopt.contains(name) || !fits(link)).then_some(link)
    };
    let mut refuse = |name: &str, link: &Link, how: &str| {
        let message = format!("device {} {how} and is not Trestle's", link.name);
        let finding = error(spec, Code::ForeignDevice, field, name, message).related([link.name.to_string()]);
        let remedy = "name it in adopt_devices, where it is to become Trestle's, remove or rename it, or choose another name or VLAN";
        findings.push(finding.remedy(remedy));
    };
    if let Some(link) = spec.bridge().and_then(|bridge| foreign(&bridge.name)) {
        refuse("bridge_name", link, "has the bridge's name");
    }
    let (Some(southbound), Some(vlan), Some(uplink)) = (&spec.southbound, spec.vlan, spec.uplink()) else { return };
    if let Some(link) = foreign(&uplink) {
        refuse("vlan_id", link, "has the VLAN device's name");
    }
    let same_vlan = |link: &&Link| match &link.kind {
        LinkKind::Vlan { base, id } => base == southbound.device() && *id == vlan && link.name != uplink,
        LinkKind::Nic
        | LinkKind::Bridge(_)
        | LinkKind::Bond(_)
        | LinkKind::Veth
        | LinkKind::Tun
        | LinkKind::Loopback
        | LinkKind::Other(_) => false,
    };
    for link in
        census.vlans(southbound.device()).iter().copied().filter(|link| !ownership::is_ours(link)).filter(same_vlan)
    {
        refuse("vlan_id", link, &format!("is VLAN {vlan} of {}", southbound.device()));
    }
}

/// Finds libvirt networks of others in the place of the network's own, or with another mind about its bridge.
fn libvirt_networks(spec: &NetworkSpec, field: &str, census: &Census<'_>, findings: &mut Vec<Finding>) {
    let (Some(libvirt), Some(bridge)) = (&census.state.libvirt, spec.bridge()) else { return };
    let own_name = ownership::libvirt_name(&spec.name);
    let candidates: BTreeMap<&str, &LibvirtNetwork> = libvirt
        .networks
        .get(&own_name)
        .into_iter()
        .chain(census.networks(&bridge.name).iter().copied())
        .map(|network| (network.name.as_str(), network))
        .collect();
    for network in candidates.into_values().filter(|network| network.owner.as_deref() != Some(spec.name.as_str())) {
        let on_bridge = network.bridge.as_deref() == Some(bridge.name.as_str());
        let contradicts =
            on_bridge && network.mac_table_manager != spec.mac_table_manager && !ownership::is_our_network(network);
        let (name, message) = if network.name == own_name {
            ("name", format!("libvirt network {own_name} exists and is not this network's"))
        } else if contradicts {
            let message = format!(
                "libvirt network {} is on the same bridge, with {} as the manager of its MAC table",
                network.name, network.mac_table_manager
            );
            ("manage_macs_with_libvirt", message)
        } else {
            continue;
        };
        let finding = error(spec, Code::ForeignDevice, field, name, message).related([network.name.clone()]);
        findings.push(finding.remedy("remove that libvirt network, or choose another name"));
    }
}

/// Finds other programs that ask for addresses where the network's own clients are to. A restore does not ask.
fn foreign_clients(spec: &NetworkSpec, field: &str, observed: &HostState, findings: &mut Vec<Finding>) {
    let own = clients(spec);
    let Some(client) = own.first() else { return };
    let base = spec.southbound.as_ref().map(Southbound::device);
    let is_near = |link: &IfName| [&client.link, &client.segment].contains(&link) || base == Some(link);
    for ForeignDhcp { link, program } in observed.foreign_dhcp.iter().filter(|foreign| is_near(&foreign.link)) {
        let name = if spec.ipv4 == Ipv4Config::Dhcp { "ipv4" } else { "ipv6" };
        let message = format!("{program} asks for addresses on {link}, too");
        let finding = Finding::warning(Code::DhcpClientForeign, super::sub(field, name), message);
        let remedy = format!("stop {program} on {link} or tell it to leave the device alone, or acknowledge it");
        findings.push(finding.about(&spec.name).related([program.clone()]).remedy(remedy));
    }
}

/// Finds routes of others in the table that the network has for its own addresses.
fn source_table(spec: &NetworkSpec, field: &str, observed: &HostState, findings: &mut Vec<Finding>) {
    let table = ownership::source_table(&spec.name);
    let is_foreign =
        |route: &&Route| route.table == table && ![ownership::ROUTE_PROTOCOL, LEASE_PROTOCOL].contains(&route.protocol);
    if is_source_routed(spec)
        && let Some(route) = observed.kernel.routes.iter().find(is_foreign)
    {
        let message = format!("routing table {table} has a route through {} that is not Trestle's", route.device);
        let finding = error(spec, Code::TableTaken, field, "name", message).related([route.device.to_string()]);
        findings.push(finding.remedy("remove that route, or choose another name for the network"));
    }
}

fn features(spec: &NetworkSpec, field: &str, observed: &HostState, findings: &mut Vec<Finding>) {
    let options = spec.bridge().map(|bridge| bridge.options.clone()).unwrap_or_default();
    let filters = options.vlan_filtering == Some(true);
    let locks = spec.is_managed() && spec.guest_ports.source_macs == SourceMacs::Locked;
    let gives_more = spec.is_managed() && !spec.guest_ports.nics.is_empty();
    let counts = options.numbers.value(BridgeNumber::VlanStatistics) != 0;
    let other_pvid = options.default_pvid.is_some_and(|pvid| pvid != 1);
    let needs = [
        (spec.bridge().is_some(), Feature::Bridge, "bridged"),
        (is_source_routed(spec), Feature::PolicyRouting, "default_route"),
        (spec.vlan.is_some(), Feature::VlanDevices, "vlan_id"),
        (spec.is_managed(), Feature::BridgeVlanFiltering, "manage_macs_with_libvirt"),
        (spec.is_managed(), Feature::LibvirtMacTableManager, "manage_macs_with_libvirt"),
        (locks, Feature::PortLocked, "guest_ports.lock_source_macs"),
        (gives_more, Feature::GuestPorts, "guest_ports.nics"),
        (filters, Feature::BridgeVlanFiltering, "bridge_options.vlan_filtering"),
        (other_pvid, Feature::BridgeVlanFiltering, "bridge_options.default_pvid"),
        (counts, Feature::BridgeVlanFiltering, "bridge_options.vlan_statistics"),
    ];
    for (_, feature, name) in needs.into_iter().filter(|(needed, ..)| *needed) {
        let without_libvirt = feature.is_of_libvirt() && observed.libvirt.is_none();
        let reason = match observed.features.support(feature) {
            _ if without_libvirt => "the agent is told to do without libvirt".to_owned(),
            Support::Present => continue,
            Support::Absent(reason) | Support::Unknown(reason) => reason,
        };
        let (code, who) = if feature.is_of_libvirt() {
            (Code::LibvirtLacksFeature, "libvirt")
        } else {
            (Code::KernelLacksFeature, "the kernel")
        };
        let finding = error(spec, code, field, name, format!("{who} lacks {feature}: {reason}"));
        findings.push(
            finding.related([feature.to_string()]).remedy(format!("use a host that has {feature}, or do without")),
        );
    }
}
