//! Rows 13, 15, 22, 23 and 25: the bridge below a managed network.

use trestle_model::fleet::{Cluster, EntityId, Network, SwitchType};
use trestle_model::{Code, Contradiction, Finding, MacTableManager};

use crate::spot::{Spot, enumerate};

/// Row 13: the flag is kept, and does nothing, where there is no bridge.
pub(crate) fn no_effect(network: &Network, before: Option<&Network>, spot: &Spot, field: &str) -> Option<Finding> {
    let idle = |network: &Network| !network.vm_network && network.mac_table_manager == MacTableManager::Libvirt;
    (idle(network) && !before.is_some_and(idle)).then(|| {
        let message = format!("network {} has no bridge: MAC table management is stored and has no effect", network.id);
        spot.warning(Code::NoEffectNotBridged, field, message)
            .remedy("make it a VM network, or leave MAC table management off")
    })
}

/// Row 15: managed `networks` meet a cluster that switches with something else than the kernel's bridge.
pub(crate) fn switch_type<'a>(
    clusters: impl IntoIterator<Item = &'a Cluster>,
    networks: impl IntoIterator<Item = &'a Network>,
    spot: &Spot,
    field: &str,
) -> Option<Finding> {
    let clusters: Vec<String> = clusters
        .into_iter()
        .filter(|cluster| match cluster.switch_type {
            SwitchType::Ovs => true,
            SwitchType::LinuxBridge => false,
        })
        .map(|cluster| EntityId::Cluster(cluster.id.clone()).to_string())
        .collect();
    let networks: Vec<String> = networks.into_iter().map(name_of).collect();
    if clusters.is_empty() || networks.is_empty() {
        return None;
    }
    let message = format!(
        "hosts of {} switch with Open vSwitch, which has no MAC tables that libvirt could manage for {}",
        enumerate(&clusters),
        enumerate(&networks)
    );
    let finding = spot.error(Code::SwitchTypeUnsupported, field, message).related(clusters.into_iter().chain(networks));
    Some(finding.remedy("switch MAC table management off, or use a cluster with Linux bridges"))
}

/// Row 22: the management network's bridge changes how it forwards.
pub(crate) fn management(network: &Network, clusters: Vec<String>, spot: &Spot, field: &str) -> Option<Finding> {
    let message = format!(
        "network {} is the management network of {}: its bridge changes how it forwards, and hosts confirm the change",
        network.id,
        enumerate(&clusters)
    );
    (!clusters.is_empty()).then(|| {
        spot.warning(Code::MgmtBridgeChange, field, message)
            .related(clusters)
            .remedy("hosts that do not reach the engine afterwards undo it by themselves")
    })
}

/// Row 25 for a network that becomes managed, or stops flooding multicast while it is.
pub(crate) fn multicast(network: &Network, before: Option<&Network>, spot: &Spot, field: &str) -> Option<Finding> {
    let is_at_risk = |network: &Network| network.is_managed() && network.bridge_options.stops_multicast_flooding();
    (is_at_risk(network) && !before.is_some_and(is_at_risk)).then(|| {
        let message = format!("the bridges of network {} flood neither unknown nor multicast frames: guests get only groups that they report", network.id);
        spot.warning(Code::MulticastRisk, field, message)
            .remedy("leave multicast_querier out, switch multicast_snooping off, or acknowledge it")
    })
}

/// Row 23 where the network itself changes: one error for each option that contradicts.
pub(crate) fn contradicting_options(network: &Network, spot: &Spot) -> Vec<Finding> {
    let finding = |Contradiction { option, reason }| {
        let field = format!("network.spec.bridge_options.{option}");
        spot.error(Code::BridgeOptsConflict, &field, format!("{option} contradicts MAC table management: {reason}"))
            .remedy(format!("leave {option} unset, or MAC table management off"))
    };
    network.bridge_options.contradictions().map(finding).collect()
}

/// Row 23 where managed `networks` meet a cluster or a host: one error that names them.
pub(crate) fn contradicting_networks<'a>(
    networks: impl IntoIterator<Item = &'a Network>,
    spot: &Spot,
    field: &str,
) -> Option<Finding> {
    let names: Vec<String> = networks
        .into_iter()
        .filter(|network| network.bridge_options.contradictions().next().is_some())
        .map(name_of)
        .collect();
    let message = format!("bridge options of {} contradict their MAC table management", enumerate(&names));
    (!names.is_empty()).then(|| {
        spot.error(Code::BridgeOptsConflict, field, message)
            .related(names)
            .remedy("unset vlan_filtering, default_pvid and ageing_time_cs of the networks")
    })
}

fn name_of(network: &Network) -> String {
    EntityId::Network(network.id.clone()).to_string()
}
