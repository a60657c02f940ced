//! `host list`: the host's networks, bonds and settings of NICs, who asked for them, and whether a reboot keeps them.

use std::collections::BTreeMap;

use trestle_proto::host::v1::network::Southbound;
use trestle_proto::host::v1::{
    Bond, BondReport, Capabilities, Network, NetworkReport, Nic, NicReport, Origin, SetupNetworksRequest,
    UncommittedChange,
};
use trestle_proto::schema;

use super::capabilities::{ask, mode};
use super::{drift, nic};
use crate::arguments::{List, ListFormat};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{self, or_dash, yes};

const HEADS: [&str; 9] =
    ["NETWORK", "ORIGIN", "BRIDGE", "UPLINK", "VLAN", "MACS BY LIBVIRT", "ADDRESSES", "PERSISTENT", "IN ORDER"];
const BOND_HEADS: [&str; 6] = ["BOND", "ORIGIN", "MODE", "NICS", "PERSISTENT", "IN ORDER"];
const NIC_HEADS: [&str; 5] = ["NIC", "ORIGIN", "SET", "PERSISTENT", "IN ORDER"];
const FIELDS: [&str; 6] = ["networks", "uncommitted", "bonds", "uncommitted_bonds", "nics", "uncommitted_nics"];
/// What is persistent and does not run.
const GONE: &str = "yes, does not run";

/// Runs `host list`.
pub(super) async fn run(context: &Context, arguments: List) -> Result<(), Failure> {
    let capabilities = ask(context, &arguments.agent.agent, &FIELDS).await?;
    match arguments.output {
        ListFormat::Table => tables(&capabilities),
        ListFormat::Yaml => file(capabilities),
    }
}

/// Prints what runs as a file that `host setup` takes.
fn file(capabilities: Capabilities) -> Result<(), Failure> {
    let asked = SetupNetworksRequest {
        networks: capabilities.networks.into_iter().filter_map(|report| report.configured).collect(),
        bonds: capabilities.bonds.into_iter().filter_map(|report| report.configured).collect(),
        nics: capabilities.nics.into_iter().filter_map(|report| report.configured).collect(),
        ..SetupNetworksRequest::default()
    };
    output::yaml(&schema::dynamic("trestle.host.v1.SetupNetworksRequest", &asked))
}

fn tables(capabilities: &Capabilities) -> Result<(), Failure> {
    output::table(HEADS, rows(capabilities))?;
    let bonds = bond_rows(capabilities);
    if !bonds.is_empty() {
        output::data("")?;
        output::table(BOND_HEADS, bonds)?;
    }
    let nics = nic_rows(capabilities);
    if !nics.is_empty() {
        output::data("")?;
        output::table(NIC_HEADS, nics)?;
    }
    Ok(())
}

fn rows(capabilities: &Capabilities) -> Vec<[String; 9]> {
    let uncommitted: BTreeMap<&str, UncommittedChange> =
        capabilities.uncommitted.iter().map(|network| (network.network.as_str(), network.change())).collect();
    let mut rows: Vec<[String; 9]> = capabilities.networks.iter().map(|report| running(report, &uncommitted)).collect();
    rows.extend(gone(&uncommitted).map(|name| {
        let [_, origin, bridge, uplink, vlan, macs, addresses, _, order] = [(); 9].map(|()| "-".to_owned());
        [name.to_owned(), origin, bridge, uplink, vlan, macs, addresses, GONE.to_owned(), order]
    }));
    rows.sort();
    rows
}

/// Returns the bonds that are Trestle's, or are to be after a reboot.
fn bond_rows(capabilities: &Capabilities) -> Vec<[String; 6]> {
    let uncommitted: BTreeMap<&str, UncommittedChange> =
        capabilities.uncommitted_bonds.iter().map(|bond| (bond.bond.as_str(), bond.change())).collect();
    let mut rows: Vec<[String; 6]> = capabilities
        .bonds
        .iter()
        .filter_map(|report| Some(running_bond(report, report.configured.as_ref()?, &uncommitted)))
        .collect();
    rows.extend(gone(&uncommitted).map(|name| {
        let [_, origin, mode, nics, _, order] = [(); 6].map(|()| "-".to_owned());
        [name.to_owned(), origin, mode, nics, GONE.to_owned(), order]
    }));
    rows.sort();
    rows
}

/// Returns the NICs on which Trestle sets something, or is to after a reboot.
fn nic_rows(capabilities: &Capabilities) -> Vec<[String; 5]> {
    let uncommitted: BTreeMap<&str, UncommittedChange> =
        capabilities.uncommitted_nics.iter().map(|nic| (nic.nic.as_str(), nic.change())).collect();
    let mut rows: Vec<[String; 5]> = capabilities
        .nics
        .iter()
        .filter_map(|report| Some(running_nic(report, report.configured.as_ref()?, &uncommitted)))
        .collect();
    rows.extend(gone(&uncommitted).map(|name| {
        let [_, origin, set, _, order] = [(); 5].map(|()| "-".to_owned());
        [name.to_owned(), origin, set, GONE.to_owned(), order]
    }));
    rows.sort();
    rows
}

fn gone<'a>(uncommitted: &BTreeMap<&'a str, UncommittedChange>) -> impl Iterator<Item = &'a str> {
    uncommitted.iter().filter(|(_, change)| **change == UncommittedChange::Removed).map(|(name, _)| *name)
}

fn running(report: &NetworkReport, uncommitted: &BTreeMap<&str, UncommittedChange>) -> [String; 9] {
    let Network { name, bridge_name, southbound, vlan_id, bridged, .. } = report.configured.clone().unwrap_or_default();
    let persistent = persistent(uncommitted.get(name.as_str()).copied());
    let addresses: Vec<&str> = report.addresses.iter().map(|address| address.address.as_str()).collect();
    [
        name,
        origin(report.origin()),
        or_dash(if bridged.unwrap_or(true) { bridge_name } else { String::new() }),
        or_dash(southbound.map(device).unwrap_or_default()),
        or_dash(vlan_id.map(|id| id.to_string()).unwrap_or_default()),
        yes(report.manage_macs_with_libvirt),
        or_dash(addresses.join(",")),
        persistent,
        drift::in_order(&report.drift, &report.repairs).to_owned(),
    ]
}

fn running_bond(report: &BondReport, bond: &Bond, uncommitted: &BTreeMap<&str, UncommittedChange>) -> [String; 6] {
    [
        report.name.clone(),
        origin(report.origin()),
        mode(bond.mode()),
        or_dash(bond.nics.join(",")),
        persistent(uncommitted.get(report.name.as_str()).copied()),
        drift::in_order(&report.drift, &report.repairs).to_owned(),
    ]
}

fn running_nic(report: &NicReport, nic: &Nic, uncommitted: &BTreeMap<&str, UncommittedChange>) -> [String; 5] {
    [
        report.name.clone(),
        origin(report.origin()),
        or_dash(nic::described(nic)),
        persistent(uncommitted.get(report.name.as_str()).copied()),
        drift::in_order(&report.drift, &report.repairs).to_owned(),
    ]
}

fn persistent(change: Option<UncommittedChange>) -> String {
    let text = match change {
        None => "yes",
        Some(UncommittedChange::Added) => "no",
        Some(UncommittedChange::Edited | UncommittedChange::Removed | UncommittedChange::Unspecified) => "otherwise",
    };
    text.to_owned()
}

fn origin(origin: Origin) -> String {
    let text = match origin {
        Origin::Engine => "engine",
        Origin::Local => "local",
        Origin::Unspecified => "-",
    };
    text.to_owned()
}

fn device(southbound: Southbound) -> String {
    match southbound {
        Southbound::Nic(name) | Southbound::Bond(name) => name,
    }
}

#[cfg(test)]
mod tests {
    use trestle_proto::host::v1::{BondMode, UncommittedBond, UncommittedNetwork};

    use super::*;

    #[test]
    fn a_network_that_a_reboot_brings_back_is_listed_too() {
        let configured =
            Network { name: "blue".to_owned(), bridge_name: "blue".to_owned(), vlan_id: Some(7), ..Network::default() };
        let mut blue = NetworkReport { configured: Some(configured), ..NetworkReport::default() };
        blue.set_origin(Origin::Local);
        let mut gone = UncommittedNetwork { network: "amber".to_owned(), ..UncommittedNetwork::default() };
        gone.set_change(UncommittedChange::Removed);
        let mut added = UncommittedNetwork { network: "blue".to_owned(), ..UncommittedNetwork::default() };
        added.set_change(UncommittedChange::Added);
        let capabilities =
            Capabilities { networks: vec![blue], uncommitted: vec![gone, added], ..Capabilities::default() };
        let rows: Vec<String> = rows(&capabilities).iter().map(|row| row.join(" ")).collect();
        assert_eq!(rows, ["amber - - - - - - yes, does not run -", "blue local blue - 7 no - no yes"]);
    }

    #[test]
    fn bonds_of_trestles_are_listed_with_those_that_a_reboot_brings_back() {
        let mut bond = Bond { nics: vec!["eth1".to_owned(), "eth2".to_owned()], ..Bond::default() };
        bond.set_mode(BondMode::ActiveBackup);
        let mut ours = BondReport { name: "bond0".to_owned(), configured: Some(bond), ..BondReport::default() };
        ours.set_origin(Origin::Local);
        let foreign = BondReport { name: "bond7".to_owned(), ..BondReport::default() };
        let uncommitted = |bond: &str, change| {
            let mut uncommitted = UncommittedBond { bond: bond.to_owned(), ..UncommittedBond::default() };
            uncommitted.set_change(change);
            uncommitted
        };
        let capabilities = Capabilities {
            bonds: vec![ours, foreign],
            uncommitted_bonds: vec![
                uncommitted("bond0", UncommittedChange::Edited),
                uncommitted("bond9", UncommittedChange::Removed),
            ],
            ..Capabilities::default()
        };
        let rows: Vec<String> = bond_rows(&capabilities).iter().map(|row| row.join(" ")).collect();
        assert_eq!(rows, ["bond0 local active-backup eth1,eth2 otherwise yes", "bond9 - - - yes, does not run -"]);
    }
}
