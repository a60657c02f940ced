//! `host macs`: shows the MAC tables of bridges that libvirt manages, and of others what their ports do.

use std::collections::BTreeSet;

use jiff::Timestamp;
use trestle_proto::host::v1::{
    Capabilities, FdbEntryReport, FdbState, ForeignMac, NetworkReport, PortReport, PortVlanRange, PortVlans,
    PromiscuityCause, PromiscuityCauseKind,
};
use trestle_proto::schema;

use super::capabilities::ask;
use crate::arguments::{Macs, ReportFormat};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, or_dash, yes};

/// Runs `host macs`.
pub(super) async fn run(context: &Context, arguments: Macs) -> Result<(), Failure> {
    let asked = ask(context, &arguments.agent.agent, &["networks"]).await?;
    let is_wanted = |network: &NetworkReport| match arguments.bridges.as_slice() {
        [] => network.mac_table.is_some() || !network.foreign_macs.is_empty() || !network.left_alone.is_empty(),
        named => network.bridge.is_some() && named.contains(&network.device),
    };
    let networks: Vec<NetworkReport> = asked.networks.into_iter().filter(is_wanted).collect();
    let is_missing = |bridge: &&String| !networks.iter().any(|network| network.device == **bridge);
    if let Some(missing) = arguments.bridges.iter().find(is_missing) {
        return Err(Failure::Usage(format!("the host has no bridge {missing} of a network")));
    }
    match arguments.output {
        ReportFormat::Json => {
            let report = Capabilities { networks, ..Capabilities::default() };
            output::json(&schema::dynamic("trestle.host.v1.Capabilities", &report))
        }
        ReportFormat::Table => {
            let managed = || networks.iter().filter(|network| network.mac_table.is_some());
            output::table(
                ["BRIDGE", "MAC", "VLAN", "PORT", "GUEST", "ENTRY", "LOOKED AFTER BY"],
                managed().flat_map(entries),
            )?;
            output::data("")?;
            output::table(
                ["BRIDGE", "PORT", "GUEST", "VLANS", "LEARNS", "FLOODS", "LOCKED", "PROMISCUOUS"],
                networks.iter().flat_map(ports),
            )?;
            output::data("")?;
            output::table(["BRIDGE", "UPLINK", "ADDRESSES", "PROMISCUOUS"], managed().filter_map(uplink))?;
            let left: Vec<_> = networks.iter().flat_map(left_alone).collect();
            if !left.is_empty() {
                output::data("")?;
                output::table(["BRIDGE", "LEFT ALONE"], left)?;
            }
            let foreign: Vec<_> = networks.iter().flat_map(foreign_macs).collect();
            if foreign.is_empty() {
                return Ok(());
            }
            output::data("")?;
            output::table(["BRIDGE", "FOREIGN MAC", "VLAN", "PORT", "GUEST", "FIRST SEEN", "GONE"], foreign)
        }
    }
}

/// Returns a line for each entry of a network's bridge, and one for each guest that has none.
fn entries(network: &NetworkReport) -> Vec<[String; 7]> {
    let table = network.mac_table.clone().unwrap_or_default();
    let rules = network.configured.iter().filter_map(|network| network.guest_ports.as_ref());
    let extras: BTreeSet<(&str, &str)> = rules
        .flat_map(|rules| &rules.nics)
        .flat_map(|nic| nic.extra_macs.iter().map(|extra| (nic.mac.as_str(), extra.as_str())))
        .collect();
    let line = |entry: &FdbEntryReport| {
        let port = network.ports.iter().find(|port| port.device == entry.port);
        let state = match (entry.state(), entry.sticky) {
            (FdbState::Static, true) => "static, sticky",
            (FdbState::Static, false) => "static",
            (FdbState::Learned, _) => "learned",
            (FdbState::Local, _) => "the host's own",
            (FdbState::Unspecified, _) => "unknown",
        };
        [
            network.device.clone(),
            entry.mac.clone(),
            or_dash(entry.vlan_id.map(|vlan| vlan.to_string()).unwrap_or_default()),
            entry.port.clone(),
            or_dash(port.map(|port| port.guest.clone()).unwrap_or_default()),
            state.to_owned(),
            keeper(entry, port, &extras).to_owned(),
        ]
    };
    let has_entry =
        |port: &PortReport| table.entries.iter().any(|entry| entry.mac == port.guest_mac && entry.port == port.device);
    let without = network.ports.iter().filter(|port| !port.guest.is_empty() && !has_entry(port)).map(|port| {
        let [bridge, mac] = [&network.device, &port.guest_mac].map(Clone::clone);
        [bridge, mac, "-".to_owned(), port.device.clone(), port.guest.clone(), "none".to_owned(), "-".to_owned()]
    });
    table.entries.iter().map(line).chain(without).collect()
}

/// Says who sees to it that an entry is there while it is to be.
///
/// `extras` are the further MACs that guests' NICs may have, each with the NIC's own.
fn keeper(entry: &FdbEntryReport, port: Option<&PortReport>, extras: &BTreeSet<(&str, &str)>) -> &'static str {
    let is_guests = port.is_some_and(|port| port.guest_mac == entry.mac);
    let is_extra = port.is_some_and(|port| extras.contains(&(port.guest_mac.as_str(), entry.mac.as_str())));
    match entry.state() {
        FdbState::Learned => "nobody, it ages",
        FdbState::Static if is_guests => match port.map(|port| port.guest_mac_table_manager.as_str()) {
            Some("kernel") => "the agent",
            Some(_) | None => "libvirt and the agent",
        },
        FdbState::Static if is_extra => "the agent, a further MAC",
        FdbState::Local => "the agent",
        FdbState::Static | FdbState::Unspecified => "somebody else",
    }
}

fn ports(network: &NetworkReport) -> Vec<[String; 8]> {
    let line = |port: &PortReport| {
        [
            network.device.clone(),
            port.device.clone(),
            or_dash(port.guest.clone()),
            or_dash(port.vlans.as_ref().map(vlans).unwrap_or_default()),
            yes(port.learning),
            yes(port.flood),
            yes(port.locked),
            yes(port.promiscuity > 0),
        ]
    };
    network.ports.iter().map(line).collect()
}

/// Returns how many addresses an uplink is to receive, and why it receives more.
fn uplink(network: &NetworkReport) -> Option<[String; 4]> {
    let uplink = network.mac_table.as_ref()?.uplink.as_ref()?;
    let cause = |cause: &PromiscuityCause| match cause.kind() {
        PromiscuityCauseKind::NotFiltering => "the bridge does not filter by VLAN".to_owned(),
        PromiscuityCauseKind::Bridge => "the bridge is, for a capture or what stands on it".to_owned(),
        PromiscuityCauseKind::Port => format!("{} learns or floods", cause.port),
        PromiscuityCauseKind::Device => "it cannot filter, or somebody asked for it".to_owned(),
        PromiscuityCauseKind::Unspecified => "for a reason that is not said".to_owned(),
    };
    let causes: Vec<String> = uplink.causes.iter().map(cause).collect();
    let why = if causes.is_empty() { String::new() } else { format!(": {}", causes.join(", ")) };
    let [bridge, device] = [&network.device, &uplink.device].map(Clone::clone);
    let is_promiscuous = format!("{}{why}", yes(uplink.promiscuity > 0));
    Some([bridge, device, uplink.unicast_addresses.to_string(), is_promiscuous])
}

/// Returns a line for each thing that others do and that is left to them.
fn left_alone(network: &NetworkReport) -> Vec<[String; 2]> {
    network.left_alone.iter().map(|line| [network.device.clone(), line.clone()]).collect()
}

/// Returns a line for each MAC that a guest sent from and was not given, also of bridges that are not managed.
fn foreign_macs(network: &NetworkReport) -> Vec<[String; 7]> {
    let time = |at: Option<prost_types::Timestamp>| {
        or_dash(at.and_then(|at| Timestamp::from_second(at.seconds).ok()).map(|at| at.to_string()).unwrap_or_default())
    };
    let line = |seen: &ForeignMac| {
        [
            network.device.clone(),
            seen.mac.clone(),
            or_dash(seen.vlan_id.map(|vlan| vlan.to_string()).unwrap_or_default()),
            seen.port.clone(),
            seen.guest.clone(),
            time(seen.first_seen_time),
            time(seen.gone_time),
        ]
    };
    network.foreign_macs.iter().map(line).collect()
}

/// Returns a port's VLANs: untagged ones with a mark, e.g. `1u 10-19`.
fn vlans(vlans: &PortVlans) -> String {
    let range = |range: &PortVlanRange| {
        let numbers =
            if range.first == range.last { range.first.to_string() } else { format!("{}-{}", range.first, range.last) };
        let mark = match (range.pvid, range.untagged) {
            (true, true) => "u",
            (true, false) => "u-in",
            (false, true) => "u-out",
            (false, false) => "",
        };
        format!("{numbers}{mark}")
    };
    vlans.ranges.iter().map(range).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use trestle_proto::host::v1::{GuestNic, GuestPorts, MacTableReport, Network, UplinkReport};

    use super::*;

    fn guest(tap: &str, guest: &str, mac: &str, manager: &str) -> PortReport {
        PortReport {
            device: tap.to_owned(),
            guest: guest.to_owned(),
            guest_mac: mac.to_owned(),
            guest_mac_table_manager: manager.to_owned(),
            ..PortReport::default()
        }
    }

    fn entry(port: &str, mac: &str, vlan: Option<u32>, state: FdbState) -> FdbEntryReport {
        let (port, mac) = (port.to_owned(), mac.to_owned());
        FdbEntryReport { port, mac, vlan_id: vlan, state: state.into(), sticky: false }
    }

    #[test]
    fn each_entry_says_whose_it_is_and_a_guest_without_one_is_told() {
        let ports = vec![
            PortReport {
                device: "eth0".to_owned(),
                flood: true,
                promiscuity: 1,
                vlans: Some(PortVlans {
                    ranges: vec![
                        PortVlanRange { first: 1, last: 1, pvid: true, untagged: true },
                        PortVlanRange { first: 10, last: 19, pvid: false, untagged: false },
                    ],
                }),
                ..PortReport::default()
            },
            guest("vnet0", "web", "52:54:00:00:00:01", "libvirt"),
            guest("vnet1", "db", "52:54:00:00:00:02", "kernel"),
            guest("vnet2", "idle", "52:54:00:00:00:03", "libvirt"),
        ];
        let table = [
            entry("vnet0", "52:54:00:00:00:01", Some(1), FdbState::Static),
            entry("vnet1", "52:54:00:00:00:02", None, FdbState::Static),
            entry("eth0", "52:54:00:00:00:03", Some(1), FdbState::Learned),
            entry("vnet0", "02:00:00:00:00:09", Some(1), FdbState::Static),
            entry("vnet1", "02:00:00:00:00:0a", Some(1), FdbState::Static),
        ];
        let cause = PromiscuityCause { kind: PromiscuityCauseKind::Port.into(), port: "vnet2".to_owned() };
        let uplink =
            UplinkReport { device: "eth0".to_owned(), promiscuity: 1, causes: vec![cause], unicast_addresses: 7 };
        let mac_table =
            Some(MacTableReport { entries: table.to_vec(), uplink: Some(uplink), ..MacTableReport::default() });
        let nic = GuestNic {
            mac: "52:54:00:00:00:02".to_owned(),
            extra_macs: vec!["02:00:00:00:00:0a".to_owned()],
            ..GuestNic::default()
        };
        let guest_ports = Some(GuestPorts { nics: vec![nic], ..GuestPorts::default() });
        let configured = Some(Network { guest_ports, ..Network::default() });
        let network =
            NetworkReport { device: "blue".to_owned(), configured, ports, mac_table, ..NetworkReport::default() };
        let lines: Vec<String> = entries(&network).into_iter().map(|line| line.join(" ")).collect();
        assert_eq!(
            lines,
            [
                "blue 52:54:00:00:00:01 1 vnet0 web static libvirt and the agent",
                "blue 52:54:00:00:00:02 - vnet1 db static the agent",
                "blue 52:54:00:00:00:03 1 eth0 - learned nobody, it ages",
                "blue 02:00:00:00:00:09 1 vnet0 web static somebody else",
                "blue 02:00:00:00:00:0a 1 vnet1 db static the agent, a further MAC",
                "blue 52:54:00:00:00:03 - vnet2 idle none -",
            ]
        );
        let told = super::uplink(&network).unwrap().join(" ");
        assert_eq!(told, "blue eth0 7 yes: vnet2 learns or floods");
        assert_eq!(super::ports(&network)[0].join(" "), "blue eth0 - 1u 10-19 no yes no yes");
    }
}
