//! `host capabilities`: shows what a host is and can do.

use std::collections::BTreeSet;

use prost_types::FieldMask;
use trestle_proto::host::v1::{
    AddressReport, BondMode, BondReport, BridgeDevice, Capabilities, FeatureReport, GetCapabilitiesRequest, LldpId,
    LldpIdKind, LldpNeighbor, NetworkReport, NicReport, Owner, RepairTally, Support, VlanDevice,
};
use trestle_proto::schema;

use super::{connect, domain, drift, nic, timed};
use crate::arguments::{self, ReportFormat};
use crate::context::Context;
use crate::engine::retry;
use crate::failure::Failure;
use crate::output::{self, or_dash, yes};

/// Runs `host capabilities`.
pub(super) async fn run(context: &Context, arguments: arguments::Capabilities) -> Result<(), Failure> {
    let fields: Vec<&str> = arguments.fields.iter().map(String::as_str).collect();
    let capabilities = ask(context, &arguments.agent.agent, &fields).await?;
    match arguments.output {
        ReportFormat::Json => output::json(&schema::dynamic("trestle.host.v1.Capabilities", &capabilities)),
        ReportFormat::Table => table(&capabilities),
    }
}

/// Asks an agent for some fields of its capabilities, or for all where none are given.
pub(super) async fn ask(context: &Context, agent: &str, fields: &[&str]) -> Result<Capabilities, Failure> {
    let client = connect(context, agent).await?;
    let paths = fields.iter().map(|&field| field.to_owned()).collect();
    let request = GetCapabilitiesRequest { read_mask: (!fields.is_empty()).then_some(FieldMask { paths }) };
    let answer = retry::idempotent(|| async { client.clone().get_capabilities(timed(context, request.clone())).await });
    let answer = answer.await.map_err(|status| Failure::of_call("capabilities", status))?.into_inner();
    Ok(answer.capabilities.unwrap_or_default())
}

fn table(capabilities: &Capabilities) -> Result<(), Failure> {
    facts(capabilities)?;
    if !capabilities.networks.is_empty() {
        output::data("")?;
        let heads = ["NETWORK", "DEVICE", "BRIDGED", "MTU", "MACS BY LIBVIRT", "ADDRESSES", "DRIFT"];
        output::table(heads, capabilities.networks.iter().map(network))?;
    }
    let present: Vec<_> = capabilities.nics.iter().filter(|nic| !nic.missing).collect();
    if !present.is_empty() {
        output::data("")?;
        let heads = ["NIC", "MAC", "MTU", "UP", "CARRIER", "MBIT/S", "DRIVER", "BUS", "MASTER", "WIRED TO"];
        output::table(heads, present.into_iter().map(device))?;
    }
    let tuned: Vec<_> = capabilities.nics.iter().filter_map(nic::row).collect();
    if !tuned.is_empty() {
        output::data("")?;
        output::table(nic::HEADS, tuned)?;
    }
    let functions: Vec<_> = capabilities.nics.iter().flat_map(nic::functions).collect();
    if !functions.is_empty() {
        output::data("")?;
        output::table(nic::FUNCTION_HEADS, functions)?;
    }
    if !capabilities.bonds.is_empty() {
        output::data("")?;
        let heads = ["BOND", "MODE", "MTU", "UP", "CARRIER", "PORTS", "ACTIVE", "PARTNER", "DRIFT"];
        output::table(heads, capabilities.bonds.iter().map(bond))?;
    }
    if !capabilities.bridges.is_empty() {
        output::data("")?;
        let heads = ["BRIDGE", "OF", "UP", "STP", "VLAN FILTER", "PORTS", "GUESTS", "ADDRESSES"];
        output::table(heads, capabilities.bridges.iter().map(bridge))?;
    }
    if !capabilities.vlans.is_empty() {
        output::data("")?;
        let heads = ["VLAN", "OF", "BASE", "ID", "UP", "MASTER", "ADDRESSES"];
        output::table(heads, capabilities.vlans.iter().map(vlan))?;
    }
    let domains: Vec<_> = capabilities.domains.iter().flat_map(domain::rows).collect();
    if !domains.is_empty() {
        output::data("")?;
        output::table(domain::HEADS, domains)?;
    }
    if !capabilities.features.is_empty() {
        output::data("")?;
        output::table(["FEATURE", "SUPPORT", "REASON"], capabilities.features.iter().map(feature))?;
    }
    Ok(())
}

fn facts(capabilities: &Capabilities) -> Result<(), Failure> {
    let kernel = capabilities.kernel.clone().unwrap_or_default().release;
    let filters = capabilities.libvirt.iter().flat_map(|libvirt| &libvirt.filters);
    let stopping: Vec<_> =
        filters.filter(|filter| filter.stops_mac_spoofing).map(|filter| filter.name.as_str()).collect();
    let filters = match stopping.as_slice() {
        [] => String::new(),
        names => format!("MAC spoofing is stopped by {}", names.join(", ")),
    };
    let libvirt = match &capabilities.libvirt {
        Some(libvirt) if libvirt.connected => libvirt.version.clone(),
        Some(libvirt) if !libvirt.fault.is_empty() => format!("not connected: {}", libvirt.fault),
        Some(_) => "not connected".to_owned(),
        None => String::new(),
    };
    let persistent = if capabilities.persistent_hash.is_empty() {
        String::new()
    } else if capabilities.dirty {
        "differs from the running configuration".to_owned()
    } else {
        "is the running configuration".to_owned()
    };
    let repairs = match capabilities.repairs {
        Some(tally) if tally != RepairTally::default() => format!("{} done, {} failed", tally.repaired, tally.failed),
        Some(_) | None => String::new(),
    };
    let facts = [
        ("agent", capabilities.agent_version.clone()),
        ("kernel", kernel),
        ("libvirt", libvirt),
        ("filters", filters),
        ("persistent", persistent),
        ("repairs", repairs),
    ];
    facts
        .iter()
        .filter(|(_, fact)| !fact.is_empty())
        .try_for_each(|(name, fact)| output::data(format_args!("{name:<10}  {fact}")))
}

fn network(report: &NetworkReport) -> [String; 7] {
    let configured = report.configured.clone().unwrap_or_default();
    let macs = match (report.manage_macs_with_libvirt, &report.mac_table) {
        (false, _) => "no".to_owned(),
        (true, Some(table)) if table.manager == "libvirt" && table.active => "yes".to_owned(),
        (true, Some(_)) => "yes, not in effect".to_owned(),
        (true, None) => "yes, no effect".to_owned(),
    };
    [
        configured.name,
        or_dash(report.device.clone()),
        yes(configured.bridged.unwrap_or(true)),
        or_dash(report.mtu.map(|mtu| mtu.to_string()).unwrap_or_default()),
        macs,
        or_dash(network_addresses(report)),
        or_dash(drift::beside(drift::described(&report.drift, &report.repairs), &report.left_alone)),
    ]
}

/// Returns a network's addresses, and what its DHCP clients do that have none.
fn network_addresses(report: &NetworkReport) -> String {
    let waiting =
        report.dhcp.iter().filter(|client| client.lease.is_none()).map(|client| match client.problem.as_str() {
            "" => "DHCP is searching".to_owned(),
            problem => format!("DHCP is searching: {problem}"),
        });
    let addresses = Some(addresses(&report.addresses)).filter(|addresses| !addresses.is_empty());
    addresses.into_iter().chain(waiting).collect::<Vec<_>>().join("; ")
}

fn device(report: &NicReport) -> [String; 10] {
    let wired_to: Vec<String> = report.lldp_neighbors.iter().map(neighbor).collect();
    [
        report.name.clone(),
        or_dash(report.mac.clone()),
        report.mtu.to_string(),
        yes(report.up),
        yes(report.carrier),
        or_dash(report.speed_mbps.map(|speed| speed.to_string()).unwrap_or_default()),
        or_dash(report.driver.clone()),
        or_dash(report.bus_address.clone()),
        or_dash(report.master.clone()),
        or_dash(wired_to.join("; ")),
    ]
}

/// Names a neighbour as the label on its front would.
fn neighbor(neighbor: &LldpNeighbor) -> String {
    let id = |id: &Option<LldpId>| id.clone().unwrap_or_default().value;
    let named = |name: &String, otherwise| if name.is_empty() { otherwise } else { name.clone() };
    let port = neighbor.port.clone().unwrap_or_default();
    let port = match port.kind() {
        // The vendor's number, or the MAC of the port: its description says more.
        LldpIdKind::MacAddress | LldpIdKind::Local => named(&neighbor.port_description, port.value),
        LldpIdKind::Unspecified
        | LldpIdKind::ChassisComponent
        | LldpIdKind::InterfaceAlias
        | LldpIdKind::PortComponent
        | LldpIdKind::NetworkAddress
        | LldpIdKind::InterfaceName
        | LldpIdKind::AgentCircuitId => port.value,
    };
    format!("{} {port}", named(&neighbor.system_name, id(&neighbor.chassis)))
}

fn bridge(report: &BridgeDevice) -> [String; 8] {
    let options = report.options.unwrap_or_default();
    let guests: BTreeSet<&str> =
        report.ports.iter().map(|port| port.guest.as_str()).filter(|guest| !guest.is_empty()).collect();
    [
        report.name.clone(),
        owner(report.owner(), &report.network),
        yes(report.up),
        yes(options.stp),
        yes(options.vlan_filtering),
        or_dash(joined(report.ports.iter().map(|port| port.device.as_str()))),
        or_dash(joined(guests)),
        or_dash(addresses(&report.addresses)),
    ]
}

fn vlan(report: &VlanDevice) -> [String; 7] {
    [
        report.name.clone(),
        owner(report.owner(), &report.network),
        report.base.clone(),
        report.vlan_id.to_string(),
        yes(report.up),
        or_dash(report.master.clone()),
        or_dash(addresses(&report.addresses)),
    ]
}

fn owner(owner: Owner, network: &str) -> String {
    match owner {
        Owner::Trestle if network.is_empty() => "Trestle".to_owned(),
        Owner::Trestle => network.to_owned(),
        Owner::Foreign | Owner::Unspecified => "foreign".to_owned(),
    }
}

fn addresses(addresses: &[AddressReport]) -> String {
    joined(addresses.iter().map(|address| address.address.as_str()))
}

fn joined<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().collect::<Vec<_>>().join(",")
}

fn bond(report: &BondReport) -> [String; 9] {
    let state = report.observed.clone().unwrap_or_default();
    let ports: Vec<&str> = state.ports.iter().map(|port| port.device.as_str()).collect();
    let mode = mode(state.mode());
    let is_there = report.observed.is_some();
    let when_there = |text: String| if is_there { text } else { "-".to_owned() };
    [
        report.name.clone(),
        when_there(mode),
        when_there(state.mtu.to_string()),
        when_there(yes(state.up)),
        when_there(yes(state.carrier)),
        or_dash(ports.join(",")),
        or_dash(state.active_port.clone()),
        or_dash(state.lacp.clone().unwrap_or_default().partner_mac),
        or_dash(drift::described(&report.drift, &report.repairs)),
    ]
}

/// Returns the mode's own word, and nothing of the enum's name.
pub(crate) fn mode(mode: BondMode) -> String {
    mode.as_str_name().trim_start_matches("BOND_MODE_").to_lowercase().replace('_', "-")
}

fn feature(report: &FeatureReport) -> [String; 3] {
    let support = match report.support() {
        Support::Present => "present",
        Support::Absent => "absent",
        Support::Unknown | Support::Unspecified => "unknown",
    };
    [report.name.clone(), support.to_owned(), or_dash(report.reason.clone())]
}
