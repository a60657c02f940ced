//! Rules for networks.

use std::collections::BTreeSet;

use trestle_model::fleet::{EntityId, Fleet, Network};
use trestle_model::{
    BridgeOption, BridgeOptions, Code, Finding, HostName, IfName, Ipv6Config, Mtu, NetworkName, ResourceId, Severity,
};

use crate::labels;
use crate::layout::{Layout, Placement, bond_name, names};
use crate::matrix::{self, Fix, Incapable, Step};
use crate::network_attachment::overcommitted;
use crate::spot::{Spot, enumerate};

const VM_NETWORK: &str = "network.spec.vm_network";
const VLAN: &str = "network.spec.vlan_id";
const MTU: &str = "network.spec.mtu";
const STP: &str = "network.spec.stp";
const BRIDGE_NAME: &str = "network.spec.bridge_name";
const PORT_ISOLATION: &str = "network.spec.port_isolation";
const BRIDGE_OPTIONS: &str = "network.spec.bridge_options";
const HOST_QOS: &str = "network.spec.host_qos";
const NIC_LABEL: &str = "network.spec.nic_label";
const LOCKED: &str = "network.spec.lock_source_macs";
const MANAGED: &str = "network.spec.manage_macs_with_libvirt";

/// Evaluates a new or changed network.
///
/// With [`Fix::Profiles`] the profiles that let guests spoof are taken as already mended.
pub(crate) fn put(network: &Network, fleet: &Fleet, fix: Fix) -> Vec<Finding> {
    let spot = Spot::new(EntityId::Network(network.id.clone()));
    let before = fleet.networks().get(&network.id);
    let mut findings = bridge(network, &spot);
    findings.extend(profiles_without_bridge(network, fleet, &spot));
    findings.extend(on_hosts(network, fleet, &spot));
    findings.extend(labels::of_network(network, fleet, &spot, NIC_LABEL));
    findings.extend(network.host_qos.and_then(|qos| overcommitted(qos, HOST_QOS, &spot)));
    findings.extend(matrix::no_effect(network, before, &spot, MANAGED));
    findings.extend(matrix::multicast(network, before, &spot, MANAGED));
    if network.is_managed() {
        let step = if before.is_some_and(Network::is_managed) { Step::Within } else { Step::Into };
        findings.extend(managed(network, fleet, (step, fix), &spot));
        if step == Step::Into {
            findings.extend(switched_on(network, fleet, fix, &spot));
        }
    } else if before.is_some_and(Network::is_managed) {
        findings.extend(matrix::live_ports(fleet, network, &spot, MANAGED));
    }
    findings
}

/// Evaluates the removal of a network: refused while profiles, clusters or hosts have it.
pub(crate) fn delete(network: &NetworkName, fleet: &Fleet) -> Vec<Finding> {
    let profiles = fleet.profiles_of(network).map(|profile| EntityId::VnicProfile(network.clone(), profile.id.clone()));
    let clusters =
        fleet.clusters_with(network).map(|cluster| EntityId::ClusterNetwork(cluster.clone(), network.clone()));
    let stored = |host: &&HostName| {
        let id = (HostName::clone(host), network.clone());
        fleet.attachments().get(&id).is_some_and(|attachment| !attachment.by.is_label())
    };
    let hosts =
        fleet.hosts_with(network).filter(stored).map(|host| EntityId::NetworkAttachment(host.clone(), network.clone()));
    let users = profiles.chain(clusters).chain(hosts).map(|user| user.to_string()).collect::<Vec<_>>();
    Spot::new(EntityId::Network(network.clone())).in_use("name", users).into_iter().collect()
}

fn bridge(network: &Network, spot: &Spot) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !network.vm_network {
        let given = [
            (network.stp, STP),
            (network.bridge_name.is_some(), BRIDGE_NAME),
            (network.bridge_options != BridgeOptions::default(), BRIDGE_OPTIONS),
            (network.port_isolation, PORT_ISOLATION),
        ];
        for (_, field) in given.into_iter().filter(|(given, _)| *given) {
            findings.push(
                spot.error(Code::BridgeAttributeOnBridgeless, field, "the network has no bridge")
                    .remedy("leave the attribute out, or make it a VM network"),
            );
        }
    }
    if let Some(Err(bad)) = network.bridge_name.as_ref().map(|name| IfName::parse_bridge(name.as_str())) {
        findings.push(spot.error(Code::BridgeNameInvalid, BRIDGE_NAME, format!("the bridge name {bad}")));
    }
    findings.extend(options_out_of_range(&network.bridge_options, spot));
    findings
}

fn options_out_of_range(options: &BridgeOptions, spot: &Spot) -> Vec<Finding> {
    let given = [
        ("ageing_time_cs", BridgeOption::AgeingTime, options.ageing_time_cs),
        ("forward_delay_cs", BridgeOption::ForwardDelay, options.forward_delay_cs),
        ("hello_time_cs", BridgeOption::HelloTime, options.hello_time_cs),
        ("max_age_cs", BridgeOption::MaxAge, options.max_age_cs),
        ("priority", BridgeOption::Priority, options.priority.map(u32::from)),
        ("group_fwd_mask", BridgeOption::GroupFwdMask, options.group_fwd_mask.map(u32::from)),
        ("default_pvid", BridgeOption::DefaultPvid, options.default_pvid.map(u32::from)),
    ];
    let check = |(name, option, value): (&str, BridgeOption, Option<u32>)| {
        let bad = option.check(value?).err()?;
        Some(spot.error(Code::BridgeOptionOutOfRange, &format!("{BRIDGE_OPTIONS}.{name}"), bad.to_string()))
    };
    let numbers = options.numbers.iter().filter_map(|(number, value)| {
        let bad = number.check(value).err()?;
        let field = format!("{BRIDGE_OPTIONS}.{number}");
        Some(spot.error(Code::BridgeOptionOutOfRange, &field, bad.to_string()))
    });
    given.into_iter().filter_map(check).chain(numbers).collect()
}

/// Profiles are for guests, and guests need a bridge.
fn profiles_without_bridge(network: &Network, fleet: &Fleet, spot: &Spot) -> Option<Finding> {
    if network.vm_network {
        return None;
    }
    let profiles = fleet.profiles_of(&network.id);
    let names = profiles.map(|profile| EntityId::VnicProfile(network.id.clone(), profile.id.clone()).to_string());
    spot.in_use(VM_NETWORK, names.collect::<Vec<_>>())
}

/// What the network would be on the hosts that carry it: one error a rule, naming every attachment in the way.
fn on_hosts(network: &Network, fleet: &Fleet, spot: &Spot) -> Vec<Finding> {
    let carried = |host| Some((fleet.attachments().get(&(HostName::clone(host), network.id.clone()))?, host));
    let placements: Vec<(Placement<'_>, Layout<'_>)> = fleet
        .hosts_with(&network.id)
        .filter_map(carried)
        .map(|(attachment, host)| (Placement { network, attachment }, Layout::of(fleet, host)))
        .collect();
    let which = |fits: &dyn Fn(&Placement<'_>) -> bool| -> Vec<String> {
        names(placements.iter().map(|(placement, _)| *placement).filter(|placement| fits(placement)))
    };
    let among = |others: fn(&Layout<'_>, Placement<'_>) -> Vec<String>| -> Vec<String> {
        placements.iter().flat_map(|(placement, layout)| others(layout, *placement)).collect()
    };
    let mut findings = Vec::new();
    let mut report = |code: Code, field: &str, names: Vec<String>, what: &str| {
        if !names.is_empty() {
            findings.push(spot.error(code, field, format!("{what} {}", enumerate(&names))).related(names));
        }
    };

    let without_nic = which(&|placement| placement.attachment.southbound.is_none());
    if network.vlan.is_some() {
        report(Code::VlanWithoutSouthbound, VLAN, without_nic.clone(), "a VLAN needs a NIC or bond, there is none in");
    }
    if !network.vm_network {
        let what = "a network without a bridge needs a NIC or bond, there is none in";
        report(Code::BridgelessWithoutSouthbound, VM_NETWORK, without_nic, what);
    }
    if network.mtu < Mtu::IPV6_LEAST {
        let with_ipv6 = which(&|placement| placement.attachment.ipv6 != Ipv6Config::None);
        let what = format!("IPv6 needs an MTU of {}, and is configured in", Mtu::IPV6_LEAST);
        report(Code::MtuOutOfRange, MTU, with_ipv6, &what);
    }
    let uplinks = among(|layout, placement| layout.sharing_uplink(placement));
    report(Code::SouthboundTaken, VLAN, uplinks, "on the same device, in the same VLAN or untagged too, is");
    let bridges = among(|layout, placement| layout.sharing_bridge_name(placement));
    report(Code::BridgeNameTaken, BRIDGE_NAME, bridges, "the bridge would have the name of another device of");
    let outgrowing = among(|layout, placement| layout.outgrowing(placement));
    let what = "of the networks on a device, one without VLAN and bridge has the largest MTU; that does not go with";
    report(Code::MtuOutOfRange, MTU, outgrowing, what);
    let unsafe_bonds = among(|layout, placement| layout.unsafe_bond(placement).map(bond_name).into_iter().collect());
    report(Code::BondModeUnsafe, VM_NETWORK, unsafe_bonds, "guests' traffic breaks on the mode of");
    findings
}

/// What never holds together with a managed MAC table.
fn managed(network: &Network, fleet: &Fleet, how: (Step, Fix), spot: &Spot) -> Vec<Finding> {
    let mut findings = matrix::unsafe_profiles(fleet, network, None, how, spot, MANAGED);
    findings.extend(matrix::bypassing(fleet, network, spot, MANAGED));
    findings.extend(matrix::failing_over(fleet, network, spot, MANAGED));
    let hosts = || matrix::hosts_of(fleet, network);
    findings.extend(matrix::extra_macs(fleet, network, fleet.vnics_on(&network.id), hosts(), spot, MANAGED));
    findings.extend(matrix::guest_vlans(fleet, network, fleet.profiles_of(&network.id), hosts(), spot, MANAGED));
    findings.extend(matrix::locked(fleet, network, fleet.hosts_with(&network.id), spot, LOCKED));
    let clusters = fleet.clusters_with(&network.id).filter_map(|cluster| fleet.clusters().get(cluster));
    findings.extend(matrix::switch_type(clusters, [network], spot, MANAGED));
    findings.extend(matrix::contradicting_options(network, spot));
    findings
}

/// What is told once, when the MAC table becomes managed.
fn switched_on(network: &Network, fleet: &Fleet, fix: Fix, spot: &Spot) -> Vec<Finding> {
    let mut findings: Vec<Finding> = matrix::tagging_unknown(fleet, network, spot, MANAGED).into_iter().collect();
    findings.extend(matrix::passthrough(fleet, network, spot, MANAGED));
    findings.extend(matrix::mirroring(fleet, network, spot, MANAGED));
    findings.extend(matrix::nested(fleet, network, spot, MANAGED));
    findings.extend(matrix::live_ports(fleet, network, spot, MANAGED));
    findings.extend(matrix::plugged_twice(fleet, network, spot, MANAGED));
    let filters = matrix::filters_of(fleet, network, fix);
    findings.extend(matrix::weak_filters(fleet, filters, fleet.hosts_with(&network.id), spot, MANAGED));
    findings.extend(matrix::reported_spoofers(fleet, network, (|_: &HostName| true, fix), spot, MANAGED));
    findings.extend(matrix::reported_duplicates(fleet, network, |_| true, spot, MANAGED));
    findings.extend(matrix::duplicates_possible(fleet, fleet.clusters_with(&network.id), spot, MANAGED));
    findings.extend(matrix::virtual_macs(fleet, network, spot, MANAGED));

    let is_up = |host: &&HostName| fleet.hosts().get(*host).is_some_and(|host| !host.maintenance);
    let running: BTreeSet<&HostName> = fleet.hosts_with(&network.id).filter(is_up).collect();
    let carriers = fleet.hosts_with(&network.id);
    let reachable = fleet.clusters_with(&network.id).flat_map(|cluster| fleet.hosts_in(cluster));
    let others: BTreeSet<&HostName> = carriers.chain(reachable).filter(|host| !running.contains(host)).collect();
    findings.extend(Incapable::among(fleet, running).finding(Severity::Error, spot, MANAGED, &[]));
    findings.extend(Incapable::among(fleet, others).finding(Severity::Warning, spot, MANAGED, &[]));

    let has_management = |cluster: &&ResourceId| {
        let id = ((*cluster).clone(), network.id.clone());
        fleet.cluster_networks().get(&id).is_some_and(|attachment| attachment.management)
    };
    let clusters = fleet.clusters_with(&network.id).filter(has_management);
    let clusters = clusters.map(|cluster| EntityId::Cluster(cluster.clone()).to_string()).collect();
    findings.extend(matrix::management(network, clusters, spot, MANAGED));
    findings
}
