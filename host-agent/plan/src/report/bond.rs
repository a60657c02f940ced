//! What a host says of its bonds.

use std::collections::{BTreeMap, BTreeSet};

use trestle_model::{BondPortReport, BondReport, BondState, HostConfig, HostState, IfName, Link};

use crate::Target;
use crate::census::Census;
use crate::composition::{Ground, compose_bond};
use crate::drift::verify_on;

/// Reports every bond of a configuration and of the host, ordered by name.
pub fn bond_reports(config: &HostConfig, observed: &HostState) -> Vec<BondReport> {
    let census = Census::of(observed);
    let ground = Ground::of(config, &census);
    let links = &observed.kernel.links;
    let is_bond = |name: &&IfName| links.get(*name).is_some_and(|link| link.bond().is_some());
    let names: BTreeSet<&IfName> = config.bonds.keys().chain(links.keys().filter(is_bond)).collect();
    let report = |name: &IfName| BondReport {
        name: name.clone(),
        configured: config.bonds.get(name).cloned(),
        observed: links.get(name).and_then(|link| state(link, &census)),
        drift: drift(config, &ground, name),
        repairs: Vec::new(),
    };
    names.into_iter().map(report).collect()
}

/// Returns what of the bond and its ports differs; what stands on it has a report of its own.
fn drift(config: &HostConfig, ground: &Ground<'_>, name: &IfName) -> Vec<String> {
    let Some(entry) = config.bonds.get(name) else { return Vec::new() };
    let is_port = |link: &IfName| ground.census.ports(name).iter().any(|port| port.name == *link);
    let of_bond = |link: &IfName| link == name || entry.spec.nics.contains(link) || is_port(link);
    let links: BTreeMap<_, _> =
        compose_bond(config, ground, name).links.into_iter().filter(|(link, _)| of_bond(link)).collect();
    verify_on(&Target { links, ..Target::default() }, ground.census).iter().map(ToString::to_string).collect()
}

fn state(link: &Link, census: &Census<'_>) -> Option<BondState> {
    let port = |port: &&Link| Some(BondPortReport { device: port.name.clone(), port: port.bond_port.clone()? });
    Some(BondState {
        mac: link.mac,
        mtu: link.mtu,
        up: link.up,
        carrier: link.carrier,
        master: link.master.clone(),
        addresses: link.addresses.clone(),
        bond: link.bond()?.clone(),
        egress: link.egress.clone(),
        ports: census.ports(&link.name).iter().filter_map(port).collect(),
    })
}
