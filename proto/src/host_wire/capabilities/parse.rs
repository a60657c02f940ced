//! Reads a report.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use trestle_model::{
    Address, AddressOrigin, Bridge, Capabilities, Code, FdbEntry, FdbState, Feature, FeatureSet, Finding, Findings,
    GuestPort, IfName, KernelInfo, LibvirtInfo, MacTableManager, MacTableReport, NetworkEntry, NetworkName,
    NetworkReport, Origin, PortFlags, PortReport, PortVlans, ResolverReport, Route, Support, UncommittedChange,
    VlanRange,
};

use super::super::bridge::read_numbers;
use super::super::network::read_network;
use super::bond;
use super::devices::{read_bridge_device, read_nic, read_vlan_device};
use super::dhcp::read_client;
use super::{daemons, domains, filters, foreign_mac, keeping, uplink};
use crate::form::{Form, quoted};
use crate::host::v1 as wire;

/// Reads a report.
///
/// *Errors*: every violation, with the path of its field.
pub fn parse_capabilities(report: &wire::Capabilities) -> Result<Capabilities, Findings> {
    let mut form = Form::default();
    let libvirt = report.libvirt.clone().unwrap_or_default();
    let resolver = report.resolver.clone().unwrap_or_default();
    let read = Capabilities {
        networks: read_all(&mut form, "networks", &report.networks, read_report),
        nics: read_all(&mut form, "nics", &report.nics, read_nic),
        bonds: read_all(&mut form, "bonds", &report.bonds, bond::read),
        bridges: read_all(&mut form, "bridges", &report.bridges, read_bridge_device),
        vlans: read_all(&mut form, "vlans", &report.vlans, read_vlan_device),
        routes: read_all(&mut form, "routes", &report.routes, read_route),
        kernel: KernelInfo { release: report.kernel.clone().unwrap_or_default().release },
        libvirt: LibvirtInfo {
            uri: libvirt.uri,
            connected: libvirt.connected,
            version: libvirt.version,
            fault: libvirt.fault,
            filters: filters::read(&mut form, "libvirt.filters", &libvirt.filters),
        },
        features: read_features(&mut form, &report.features),
        agent_version: report.agent_version.clone(),
        boot_id: report.boot_id.clone(),
        generation: report.generation,
        dirty: report.dirty,
        running_hash: report.running_hash.clone(),
        persistent_hash: report.persistent_hash.clone(),
        resolver: ResolverReport {
            nameservers: resolver.nameservers,
            search_domains: resolver.search_domains,
            keeper: Some(resolver.keeper).filter(|keeper| !keeper.is_empty()),
            mechanism: form.known("resolver.mechanism", resolver.mechanism).and_then(daemons::read_mechanism),
        },
        managers: read_all(&mut form, "managed_devices", &report.managed_devices, daemons::read_managed)
            .into_iter()
            .collect(),
        uncommitted: read_all(&mut form, "uncommitted", &report.uncommitted, read_uncommitted_network)
            .into_iter()
            .collect(),
        uncommitted_bonds: read_all(&mut form, "uncommitted_bonds", &report.uncommitted_bonds, read_uncommitted_bond)
            .into_iter()
            .collect(),
        uncommitted_nics: read_all(&mut form, "uncommitted_nics", &report.uncommitted_nics, read_uncommitted_nic)
            .into_iter()
            .collect(),
        repairs: keeping::read_tally(report.repairs),
        domains: domains::read_domains(&mut form, &report.domains),
    };
    form.finish(Some(read))
}

fn read_uncommitted_network(
    form: &mut Form,
    path: &str,
    uncommitted: &wire::UncommittedNetwork,
) -> Option<(NetworkName, UncommittedChange)> {
    let network = form.name(&format!("{path}.network"), &uncommitted.network, Code::NameInvalid, NetworkName::parse);
    let change = read_uncommitted(form, &format!("{path}.change"), uncommitted.change);
    network.zip(change)
}

fn read_uncommitted_bond(
    form: &mut Form,
    path: &str,
    uncommitted: &wire::UncommittedBond,
) -> Option<(IfName, UncommittedChange)> {
    let bond = read_required(form, &format!("{path}.bond"), &uncommitted.bond, Code::NameInvalid);
    let change = read_uncommitted(form, &format!("{path}.change"), uncommitted.change);
    bond.zip(change)
}

fn read_uncommitted_nic(
    form: &mut Form,
    path: &str,
    uncommitted: &wire::UncommittedNic,
) -> Option<(IfName, UncommittedChange)> {
    let nic = read_required(form, &format!("{path}.nic"), &uncommitted.nic, Code::NameInvalid);
    let change = read_uncommitted(form, &format!("{path}.change"), uncommitted.change);
    nic.zip(change)
}

fn read_uncommitted(form: &mut Form, path: &str, change: i32) -> Option<UncommittedChange> {
    match form.known(path, change)? {
        wire::UncommittedChange::Added => Some(UncommittedChange::Added),
        wire::UncommittedChange::Edited => Some(UncommittedChange::Edited),
        wire::UncommittedChange::Removed => Some(UncommittedChange::Removed),
        wire::UncommittedChange::Unspecified => unsaid(form, path.to_owned()),
    }
}

fn read_report(form: &mut Form, path: &str, report: &wire::NetworkReport) -> Option<NetworkReport> {
    let configured = report.configured.clone().unwrap_or_default();
    let spec = read_network(form, &format!("{path}.configured"), &configured);
    let origin = match form.known(&format!("{path}.origin"), report.origin) {
        Some(wire::Origin::Engine) => Some(Origin::Engine),
        Some(wire::Origin::Local) => Some(Origin::Local),
        Some(wire::Origin::Unspecified) => unsaid(form, format!("{path}.origin")),
        None => None,
    };
    let device = read_text(form, &format!("{path}.device"), &report.device, Code::NameInvalid);
    let mtu = report.mtu.map(|mtu| form.mtu(&format!("{path}.mtu"), Some(mtu)));
    let addresses = read_all(form, &format!("{path}.addresses"), &report.addresses, read_address);
    let bridge = match &report.bridge {
        Some(bridge) => Some(read_bridge(form, &format!("{path}.bridge"), bridge)?),
        None => None,
    };
    let ports = read_all(form, &format!("{path}.ports"), &report.ports, read_port);
    let spec = spec?;
    // Entries are of the network's own bridge, which the wire names once.
    let on = spec.bridge().map(|bridge| &bridge.name).or(device.as_ref());
    let mac_table = match &report.mac_table {
        Some(table) => Some(read_mac_table(form, &format!("{path}.mac_table"), table, on)?),
        None => None,
    };
    Some(NetworkReport {
        configured: NetworkEntry { spec, origin: origin? },
        device,
        mtu,
        addresses,
        bridge,
        ports,
        mac_table,
        gateways: read_all(form, &format!("{path}.gateways"), &report.gateways, |form, path, gateway| {
            read_required(form, path, gateway, Code::BadAddress)
        }),
        default_route: report.default_route,
        dhcp: read_all(form, &format!("{path}.dhcp"), &report.dhcp, read_client),
        drift: report.drift.clone(),
        repairs: keeping::read_all(&report.repairs),
        foreign_macs: read_all(form, &format!("{path}.foreign_macs"), &report.foreign_macs, foreign_mac::read),
        left_alone: report.left_alone.clone(),
    })
}

pub(super) fn read_address(form: &mut Form, path: &str, address: &wire::AddressReport) -> Option<Address> {
    let net = read_required(form, &format!("{path}.address"), &address.address, Code::BadAddress);
    let origin = match form.known(&format!("{path}.origin"), address.origin) {
        Some(wire::AddressOrigin::Static) => Some(AddressOrigin::Static),
        Some(wire::AddressOrigin::Dynamic) => Some(AddressOrigin::Dynamic),
        Some(wire::AddressOrigin::Dhcp) => Some(AddressOrigin::Dhcp),
        Some(wire::AddressOrigin::Kernel) => Some(AddressOrigin::Kernel),
        Some(wire::AddressOrigin::Auto) => Some(AddressOrigin::Auto),
        Some(wire::AddressOrigin::Unspecified) => unsaid(form, format!("{path}.origin")),
        None => None,
    };
    Some(Address { net: net?, origin: origin?, broadcast: None, label: None, scope: 0, no_prefix_route: false })
}

pub(super) fn read_bridge(form: &mut Form, path: &str, bridge: &wire::BridgeReport) -> Option<Bridge> {
    let priority = read_number(form, &format!("{path}.priority"), bridge.priority, Code::BridgeOptionOutOfRange);
    let group_fwd_mask =
        read_number(form, &format!("{path}.group_fwd_mask"), bridge.group_fwd_mask, Code::BridgeOptionOutOfRange);
    let default_pvid =
        read_number(form, &format!("{path}.default_pvid"), bridge.default_pvid, Code::BridgeOptionOutOfRange);
    let given = bridge.options.unwrap_or_default();
    let numbers = read_numbers(form, &format!("{path}.options"), &given).unusual();
    Some(Bridge {
        stp: bridge.stp,
        ageing_time_cs: bridge.ageing_time_cs,
        forward_delay_cs: bridge.forward_delay_cs,
        hello_time_cs: bridge.hello_time_cs,
        max_age_cs: bridge.max_age_cs,
        priority: priority?,
        multicast_snooping: bridge.multicast_snooping,
        multicast_querier: bridge.multicast_querier,
        group_fwd_mask: group_fwd_mask?,
        vlan_filtering: bridge.vlan_filtering,
        default_pvid: default_pvid?,
        numbers,
    })
}

pub(super) fn read_port(form: &mut Form, path: &str, port: &wire::PortReport) -> Option<PortReport> {
    let device = read_required(form, &format!("{path}.device"), &port.device, Code::NameInvalid);
    let manager = read_manager(form, &format!("{path}.guest_mac_table_manager"), &port.guest_mac_table_manager);
    let guest = match port.guest.as_str() {
        "" => None,
        domain => read_required(form, &format!("{path}.guest_mac"), &port.guest_mac, Code::BadAddress)
            .map(|mac| GuestPort { domain: domain.to_owned(), mac, mac_table_manager: manager.unwrap_or_default() }),
    };
    let vlans = match &port.vlans {
        Some(vlans) => Some(read_port_vlans(form, &format!("{path}.vlans"), vlans)?),
        None => None,
    };
    Some(PortReport {
        device: device?,
        flags: PortFlags {
            learning: port.learning,
            flood: port.flood,
            multicast_flood: port.multicast_flood,
            broadcast_flood: port.broadcast_flood,
            isolated: port.isolated,
            locked: port.locked,
        },
        promiscuity: port.promiscuity,
        vlans,
        guest,
    })
}

fn read_port_vlans(form: &mut Form, path: &str, vlans: &wire::PortVlans) -> Option<PortVlans> {
    let ranges = read_all(form, &format!("{path}.ranges"), &vlans.ranges, |form, path, range| {
        let id = |form: &mut Form, field: &str, value: u32| {
            let path = format!("{path}.{field}");
            match u16::try_from(value) {
                Ok(id) if (1..4095).contains(&id) => Some(id),
                Ok(_) | Err(_) => {
                    let message = format!("{value} is no VLAN, 1..4094");
                    form.note(Finding::error(Code::VlanOutOfRange, path, message));
                    None
                }
            }
        };
        let (first, last) = (id(form, "first", range.first), id(form, "last", range.last));
        let (first, last) = (first?, last?);
        if last < first || (range.pvid && first != last) {
            let message = format!("{first} to {last} is no range of VLANs of this kind");
            form.note(Finding::error(Code::VlanOutOfRange, format!("{path}.last"), message));
            return None;
        }
        Some(VlanRange { first, last, pvid: range.pvid, untagged: range.untagged })
    });
    Some(ranges.into_iter().collect())
}

fn read_mac_table(
    form: &mut Form,
    path: &str,
    table: &wire::MacTableReport,
    bridge: Option<&IfName>,
) -> Option<MacTableReport> {
    let manager = read_manager(form, &format!("{path}.manager"), &table.manager);
    let entries = read_all(form, &format!("{path}.entries"), &table.entries, |form, path, entry| {
        read_entry(form, path, entry, bridge)
    });
    let uplink = match &table.uplink {
        Some(told) => Some(uplink::read(form, &format!("{path}.uplink"), told)?),
        None => None,
    };
    Some(MacTableReport { manager, active: table.active, entries, uplink })
}

fn read_manager(form: &mut Form, path: &str, text: &str) -> Option<MacTableManager> {
    match text {
        "" => None,
        "libvirt" => Some(MacTableManager::Libvirt),
        "kernel" => Some(MacTableManager::Kernel),
        other => {
            let message = format!("{} is no known manager of a MAC table", quoted(other));
            form.note(Finding::error(Code::EnumUnknown, path, message));
            None
        }
    }
}

fn read_entry(form: &mut Form, path: &str, entry: &wire::FdbEntryReport, bridge: Option<&IfName>) -> Option<FdbEntry> {
    let mac = read_required(form, &format!("{path}.mac"), &entry.mac, Code::BadAddress);
    let port = read_required(form, &format!("{path}.port"), &entry.port, Code::NameInvalid);
    let vlan = form.vlan(&format!("{path}.vlan_id"), entry.vlan_id).map(|vlan| vlan.get());
    let state = match form.known(&format!("{path}.state"), entry.state) {
        Some(wire::FdbState::Learned) => Some(FdbState::Learned),
        Some(wire::FdbState::Static) => Some(FdbState::Static),
        Some(wire::FdbState::Local) => Some(FdbState::Local),
        Some(wire::FdbState::Unspecified) => unsaid(form, format!("{path}.state")),
        None => None,
    };
    if bridge.is_none() {
        form.note(Finding::error(Code::FieldConflict, path, "a forwarding entry is reported without a bridge"));
    }
    Some(FdbEntry { bridge: bridge?.clone(), port: port?, mac: mac?, vlan, state: state?, sticky: entry.sticky })
}

fn read_route(form: &mut Form, path: &str, route: &wire::RouteReport) -> Option<Route> {
    let destination = read_required(form, &format!("{path}.destination"), &route.destination, Code::BadAddress);
    let gateway = read_text(form, &format!("{path}.gateway"), &route.gateway, Code::BadAddress);
    let device = read_required(form, &format!("{path}.device"), &route.device, Code::NameInvalid);
    let preferred_source =
        read_text(form, &format!("{path}.preferred_source"), &route.preferred_source, Code::BadAddress);
    let protocol = read_number(form, &format!("{path}.protocol"), route.protocol, Code::EnumUnknown);
    let scope = read_number(form, &format!("{path}.scope"), route.scope, Code::EnumUnknown);
    Some(Route {
        table: if route.table == 0 { Route::MAIN } else { route.table },
        destination: destination?,
        gateway,
        device: device?,
        metric: route.metric,
        preferred_source,
        protocol: protocol?,
        scope: scope?,
    })
}

fn read_features(form: &mut Form, features: &[wire::FeatureReport]) -> FeatureSet {
    let mut read = BTreeMap::new();
    for (position, report) in features.iter().enumerate() {
        let path = format!("features[{position}].support");
        let support = match form.known(&path, report.support) {
            Some(wire::Support::Present) => Support::Present,
            Some(wire::Support::Absent) => Support::Absent(report.reason.clone()),
            Some(wire::Support::Unknown) => Support::Unknown(report.reason.clone()),
            Some(wire::Support::Unspecified) => match unsaid(form, path) {
                Some(support) => support,
                None => continue,
            },
            None => continue,
        };
        if let Some(feature) = Feature::ALL.into_iter().find(|feature| feature.name() == report.name) {
            read.insert(feature, support);
        }
    }
    FeatureSet(read)
}

/// Reads each of `items` under its own path.
pub(super) fn read_all<W, T>(
    form: &mut Form,
    path: &str,
    items: &[W],
    read: impl Fn(&mut Form, &str, &W) -> Option<T>,
) -> Vec<T> {
    let indexed = items.iter().enumerate();
    indexed.filter_map(|(position, item)| read(form, &format!("{path}[{position}]"), item)).collect()
}

/// Reads a text that has to be there; an illegal one is noted as `code`.
pub(super) fn read_required<T: FromStr<Err: Display>>(
    form: &mut Form,
    path: &str,
    text: &str,
    code: Code,
) -> Option<T> {
    if text.is_empty() {
        form.missing(path, "");
        return None;
    }
    read_text(form, path, text, code)
}

/// Reads a text; an empty one is none, and an illegal one is noted as `code`.
pub(super) fn read_text<T: FromStr<Err: Display>>(form: &mut Form, path: &str, text: &str, code: Code) -> Option<T> {
    if text.is_empty() {
        return None;
    }
    text.parse().map_err(|bad| form.note(Finding::error(code, path, format!("{}: {bad}", quoted(text))))).ok()
}

/// Reads a number into a narrower type; one that does not fit is noted as `code`.
pub(super) fn read_number<T: TryFrom<u32>>(form: &mut Form, path: &str, number: u32, code: Code) -> Option<T> {
    T::try_from(number).map_err(|_| form.note(Finding::error(code, path, format!("{number} is out of range")))).ok()
}

/// Notes an enum field that says nothing.
pub(super) fn unsaid<T>(form: &mut Form, path: String) -> Option<T> {
    form.note(Finding::error(Code::EnumUnknown, path, "the field says nothing"));
    None
}
