//! Builds a report.

use trestle_model::{
    Address, AddressOrigin, Bridge, BridgeReport, Capabilities, Duplex, FdbEntry, FdbState, Feature, IfName,
    KernelInfo, LibvirtInfo, MacTableManager, MacTableReport, NetworkName, NetworkReport, NicReport, Origin, Owner,
    PortReport, PortVlans, Presence, Route, Support, UncommittedChange, VlanRange, VlanReport,
};

use super::super::bridge::build_numbers;
use super::super::nic::{build_nic_spec, build_settings};
use super::super::{build_egress, build_network};
use super::bond;
use super::dhcp::build_client;
use super::domains::build_domain;
use super::lldp::build_neighbor;
use super::{daemons, filters, foreign_mac, keeping, uplink};
use crate::host::v1 as wire;

/// Builds the wire's form of a report.
pub fn build_capabilities(report: &Capabilities) -> wire::Capabilities {
    wire::Capabilities {
        networks: report.networks.iter().map(build_report).collect(),
        nics: report.nics.iter().map(build_nic).collect(),
        bonds: report.bonds.iter().map(bond::build).collect(),
        routes: report.routes.iter().map(build_route).collect(),
        kernel: Some(build_kernel(&report.kernel)),
        libvirt: Some(build_libvirt(&report.libvirt)),
        features: report.features.0.iter().map(|(feature, support)| build_feature(*feature, support)).collect(),
        agent_version: report.agent_version.clone(),
        boot_id: report.boot_id.clone(),
        generation: report.generation,
        dirty: report.dirty,
        running_hash: report.running_hash.clone(),
        persistent_hash: report.persistent_hash.clone(),
        bridges: report.bridges.iter().map(build_bridge_device).collect(),
        vlans: report.vlans.iter().map(build_vlan_device).collect(),
        resolver: Some(wire::ResolverReport {
            nameservers: report.resolver.nameservers.clone(),
            search_domains: report.resolver.search_domains.clone(),
            keeper: report.resolver.keeper.clone().unwrap_or_default(),
            mechanism: daemons::build_mechanism(report.resolver.mechanism).into(),
        }),
        managed_devices: report.managers.iter().map(daemons::build_managed).collect(),
        uncommitted: report.uncommitted.iter().map(uncommitted_network).collect(),
        uncommitted_bonds: report.uncommitted_bonds.iter().map(uncommitted_bond).collect(),
        uncommitted_nics: report.uncommitted_nics.iter().map(uncommitted_nic).collect(),
        repairs: Some(keeping::build_tally(report.repairs)),
        domains: report.domains.iter().map(build_domain).collect(),
    }
}

fn uncommitted_network((network, change): (&NetworkName, &UncommittedChange)) -> wire::UncommittedNetwork {
    wire::UncommittedNetwork { network: network.to_string(), change: build_uncommitted(*change).into() }
}

fn uncommitted_bond((bond, change): (&IfName, &UncommittedChange)) -> wire::UncommittedBond {
    wire::UncommittedBond { bond: bond.to_string(), change: build_uncommitted(*change).into() }
}

fn uncommitted_nic((nic, change): (&IfName, &UncommittedChange)) -> wire::UncommittedNic {
    wire::UncommittedNic { nic: nic.to_string(), change: build_uncommitted(*change).into() }
}

const fn build_uncommitted(change: UncommittedChange) -> wire::UncommittedChange {
    match change {
        UncommittedChange::Added => wire::UncommittedChange::Added,
        UncommittedChange::Edited => wire::UncommittedChange::Edited,
        UncommittedChange::Removed => wire::UncommittedChange::Removed,
    }
}

pub(in crate::host_wire) fn build_kernel(kernel: &KernelInfo) -> wire::KernelInfo {
    wire::KernelInfo { release: kernel.release.clone() }
}

pub(in crate::host_wire) fn build_libvirt(libvirt: &LibvirtInfo) -> wire::LibvirtInfo {
    wire::LibvirtInfo {
        uri: libvirt.uri.clone(),
        connected: libvirt.connected,
        version: libvirt.version.clone(),
        fault: libvirt.fault.clone(),
        filters: filters::build(&libvirt.filters),
    }
}

pub(in crate::host_wire) fn build_report(report: &NetworkReport) -> wire::NetworkReport {
    let spec = &report.configured.spec;
    let origin = match report.configured.origin {
        Origin::Engine => wire::Origin::Engine,
        Origin::Local => wire::Origin::Local,
    };
    wire::NetworkReport {
        configured: Some(build_network(spec)),
        origin: origin.into(),
        manage_macs_with_libvirt: spec.mac_table_manager == MacTableManager::Libvirt,
        device: text_of(report.device.as_ref()),
        mtu: report.mtu.map(u32::from),
        addresses: report.addresses.iter().map(build_address).collect(),
        bridge: report.bridge.as_ref().map(build_bridge),
        ports: report.ports.iter().map(build_port).collect(),
        mac_table: report.mac_table.as_ref().map(build_mac_table),
        drift: report.drift.clone(),
        gateways: report.gateways.iter().map(ToString::to_string).collect(),
        default_route: report.default_route,
        dhcp: report.dhcp.iter().map(build_client).collect(),
        repairs: report.repairs.iter().map(keeping::build).collect(),
        foreign_macs: report.foreign_macs.iter().map(foreign_mac::build).collect(),
        left_alone: report.left_alone.clone(),
    }
}

pub(super) fn build_address(address: &Address) -> wire::AddressReport {
    let origin = match address.origin {
        AddressOrigin::Static => wire::AddressOrigin::Static,
        AddressOrigin::Dynamic => wire::AddressOrigin::Dynamic,
        AddressOrigin::Dhcp => wire::AddressOrigin::Dhcp,
        AddressOrigin::Kernel => wire::AddressOrigin::Kernel,
        AddressOrigin::Auto => wire::AddressOrigin::Auto,
    };
    wire::AddressReport { address: address.net.to_string(), origin: origin.into() }
}

fn build_bridge(bridge: &Bridge) -> wire::BridgeReport {
    wire::BridgeReport {
        stp: bridge.stp,
        ageing_time_cs: bridge.ageing_time_cs,
        forward_delay_cs: bridge.forward_delay_cs,
        hello_time_cs: bridge.hello_time_cs,
        max_age_cs: bridge.max_age_cs,
        priority: bridge.priority.into(),
        multicast_snooping: bridge.multicast_snooping,
        multicast_querier: bridge.multicast_querier,
        group_fwd_mask: bridge.group_fwd_mask.into(),
        vlan_filtering: bridge.vlan_filtering,
        default_pvid: bridge.default_pvid.into(),
        options: (!bridge.numbers.is_empty()).then(|| build_numbers(&bridge.numbers)),
    }
}

pub(in crate::host_wire) fn build_port(port: &PortReport) -> wire::PortReport {
    wire::PortReport {
        device: port.device.to_string(),
        learning: port.flags.learning,
        flood: port.flags.flood,
        multicast_flood: port.flags.multicast_flood,
        broadcast_flood: port.flags.broadcast_flood,
        isolated: port.flags.isolated,
        locked: port.flags.locked,
        promiscuity: port.promiscuity,
        guest: port.guest.as_ref().map(|guest| guest.domain.clone()).unwrap_or_default(),
        guest_mac: text_of(port.guest.as_ref().map(|guest| guest.mac)),
        guest_mac_table_manager: text_of(port.guest.as_ref().map(|guest| guest.mac_table_manager)),
        vlans: port.vlans.as_ref().map(build_port_vlans),
    }
}

fn build_port_vlans(vlans: &PortVlans) -> wire::PortVlans {
    let range = |range: &VlanRange| wire::PortVlanRange {
        first: range.first.into(),
        last: range.last.into(),
        pvid: range.pvid,
        untagged: range.untagged,
    };
    wire::PortVlans { ranges: vlans.ranges().map(range).collect() }
}

pub(in crate::host_wire) fn build_mac_table(table: &MacTableReport) -> wire::MacTableReport {
    wire::MacTableReport {
        manager: text_of(table.manager),
        active: table.active,
        entries: table.entries.iter().map(build_entry).collect(),
        uplink: table.uplink.as_ref().map(uplink::build),
    }
}

fn build_entry(entry: &FdbEntry) -> wire::FdbEntryReport {
    let state = match entry.state {
        FdbState::Learned => wire::FdbState::Learned,
        FdbState::Static => wire::FdbState::Static,
        FdbState::Local => wire::FdbState::Local,
    };
    wire::FdbEntryReport {
        mac: entry.mac.to_string(),
        port: entry.port.to_string(),
        vlan_id: entry.vlan.map(u32::from),
        state: state.into(),
        sticky: entry.sticky,
    }
}

pub(in crate::host_wire) fn build_bridge_device(bridge: &BridgeReport) -> wire::BridgeDevice {
    let (owner, network) = build_owner(&bridge.owner);
    wire::BridgeDevice {
        name: bridge.name.to_string(),
        owner: owner.into(),
        network,
        mac: text_of(bridge.mac),
        mtu: bridge.mtu.get(),
        up: bridge.up,
        carrier: bridge.carrier,
        options: Some(build_bridge(&bridge.options)),
        ports: bridge.ports.iter().map(build_port).collect(),
        addresses: bridge.addresses.iter().map(build_address).collect(),
    }
}

pub(in crate::host_wire) fn build_vlan_device(vlan: &VlanReport) -> wire::VlanDevice {
    let (owner, network) = build_owner(&vlan.owner);
    wire::VlanDevice {
        name: vlan.name.to_string(),
        owner: owner.into(),
        network,
        base: vlan.base.to_string(),
        vlan_id: vlan.id.into(),
        mac: text_of(vlan.mac),
        mtu: vlan.mtu.get(),
        up: vlan.up,
        carrier: vlan.carrier,
        master: text_of(vlan.master.as_ref()),
        addresses: vlan.addresses.iter().map(build_address).collect(),
    }
}

fn build_owner(owner: &Owner) -> (wire::Owner, String) {
    match owner {
        Owner::Network(network) => (wire::Owner::Trestle, network.to_string()),
        Owner::Trestle => (wire::Owner::Trestle, String::new()),
        Owner::Foreign => (wire::Owner::Foreign, String::new()),
    }
}

pub(in crate::host_wire) fn build_nic(nic: &NicReport) -> wire::NicReport {
    wire::NicReport {
        name: nic.name.to_string(),
        mac: text_of(nic.mac),
        permanent_mac: text_of(nic.permanent_mac),
        mtu: nic.mtu.get(),
        max_mtu: nic.max_mtu,
        up: nic.up,
        carrier: nic.carrier,
        master: text_of(nic.master.as_ref()),
        addresses: nic.addresses.iter().map(build_address).collect(),
        speed_mbps: nic.hardware.speed_mbps,
        duplex: build_duplex(nic.hardware.duplex).into(),
        driver: nic.hardware.driver.clone().unwrap_or_default(),
        bus_address: nic.hardware.bus_address.clone().unwrap_or_default(),
        lldp_neighbors: nic.lldp_neighbors.iter().map(build_neighbor).collect(),
        egress: build_egress(&nic.egress),
        configured: nic.configured.as_ref().map(|entry| build_nic_spec(&entry.spec)),
        origin: match nic.configured.as_ref().map(|entry| entry.origin) {
            None => wire::Origin::Unspecified,
            Some(Origin::Engine) => wire::Origin::Engine,
            Some(Origin::Local) => wire::Origin::Local,
        }
        .into(),
        settings: build_settings(&nic.settings),
        drift: nic.drift.clone(),
        repairs: nic.repairs.iter().map(keeping::build).collect(),
        missing: nic.presence == Presence::Missing,
    }
}

const fn build_duplex(duplex: Option<Duplex>) -> wire::Duplex {
    match duplex {
        Some(Duplex::Half) => wire::Duplex::Half,
        Some(Duplex::Full) => wire::Duplex::Full,
        None => wire::Duplex::Unspecified,
    }
}

fn build_route(route: &Route) -> wire::RouteReport {
    wire::RouteReport {
        destination: route.destination.to_string(),
        gateway: text_of(route.gateway),
        device: route.device.to_string(),
        metric: route.metric,
        protocol: route.protocol.into(),
        preferred_source: text_of(route.preferred_source),
        scope: route.scope.into(),
        table: route.table,
    }
}

fn build_feature(feature: Feature, support: &Support) -> wire::FeatureReport {
    let (support, reason) = match support {
        Support::Present => (wire::Support::Present, ""),
        Support::Absent(reason) => (wire::Support::Absent, reason.as_str()),
        Support::Unknown(reason) => (wire::Support::Unknown, reason.as_str()),
    };
    wire::FeatureReport { name: feature.name().to_owned(), support: support.into(), reason: reason.to_owned() }
}

/// Returns a value's text; the wire says none by an empty one.
pub(super) fn text_of(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}
