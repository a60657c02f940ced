//! `host list`: the host's networks, who asked for them, and whether a reboot keeps them.

use std::collections::BTreeMap;

use trestle_proto::host::v1::network::Southbound;
use trestle_proto::host::v1::{Capabilities, Network, NetworkReport, Origin, UncommittedChange};

use super::capabilities::{ask, or_dash, yes};
use crate::arguments::List;
use crate::context::Context;
use crate::failure::Failure;
use crate::output;

const HEADS: [&str; 9] =
    ["NETWORK", "ORIGIN", "BRIDGE", "UPLINK", "VLAN", "MACS BY LIBVIRT", "ADDRESSES", "PERSISTENT", "IN ORDER"];

/// Runs `host list`.
pub(super) async fn run(context: &Context, arguments: List) -> Result<(), Failure> {
    let capabilities = ask(context, &arguments.agent.agent, &["networks", "uncommitted"]).await?;
    output::table(HEADS, rows(&capabilities))
}

fn rows(capabilities: &Capabilities) -> Vec<[String; 9]> {
    let uncommitted: BTreeMap<&str, UncommittedChange> =
        capabilities.uncommitted.iter().map(|network| (network.network.as_str(), network.change())).collect();
    let mut rows: Vec<[String; 9]> = capabilities.networks.iter().map(|report| running(report, &uncommitted)).collect();
    let removed = uncommitted.iter().filter(|(_, change)| **change == UncommittedChange::Removed);
    rows.extend(removed.map(|(name, _)| {
        let [_, origin, bridge, uplink, vlan, macs, addresses, _, order] = [(); 9].map(|()| "-".to_owned());
        let persistent = "yes, does not run".to_owned();
        [(*name).to_owned(), origin, bridge, uplink, vlan, macs, addresses, persistent, order]
    }));
    rows.sort();
    rows
}

fn running(report: &NetworkReport, uncommitted: &BTreeMap<&str, UncommittedChange>) -> [String; 9] {
    let Network { name, bridge_name, southbound, vlan_id, bridged, .. } = report.configured.clone().unwrap_or_default();
    let persistent = match uncommitted.get(name.as_str()) {
        None => "yes",
        Some(UncommittedChange::Added) => "no",
        Some(UncommittedChange::Edited | UncommittedChange::Removed | UncommittedChange::Unspecified) => "otherwise",
    };
    let origin = match report.origin() {
        Origin::Engine => "engine",
        Origin::Local => "local",
        Origin::Unspecified => "-",
    };
    let addresses: Vec<&str> = report.addresses.iter().map(|address| address.address.as_str()).collect();
    [
        name,
        origin.to_owned(),
        or_dash(if bridged.unwrap_or(true) { bridge_name } else { String::new() }),
        or_dash(southbound.map(device).unwrap_or_default()),
        or_dash(vlan_id.map(|id| id.to_string()).unwrap_or_default()),
        yes(report.manage_macs_with_libvirt),
        or_dash(addresses.join(",")),
        persistent.to_owned(),
        yes(report.drift.is_empty()),
    ]
}

fn device(southbound: Southbound) -> String {
    match southbound {
        Southbound::Nic(name) | Southbound::Bond(name) => name,
    }
}

#[cfg(test)]
mod tests {
    use trestle_proto::host::v1::UncommittedNetwork;

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
}
