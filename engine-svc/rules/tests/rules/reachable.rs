//! No sequence of accepted changes, whatever hosts report between them, reaches a fleet that contradicts itself.

use std::collections::BTreeSet;

use proptest::prelude::*;
use trestle_model::fleet::{
    Cluster, ClusterNetwork, Entity, EntityId, Fleet, GuestTagging, Host, Mutation, Network, NetworkAttachment,
    NetworkFilter, SwitchType, VnicProfile,
};
use trestle_model::{BridgeOptions, Code, Feature, MacTableManager};

use crate::fixture::{
    attachment, capable, cluster, cluster_network, device, found, host, host_name, id, network, network_name, profile,
    report, vlan, without,
};

const CLUSTERS: [&str; 2] = ["main", "other"];
const NETWORKS: [&str; 3] = ["blue", "red", "green"];
const PROFILES: [&str; 2] = ["guests", "open"];
const HOSTS: [&str; 2] = ["h1", "h2"];
const NICS: [&str; 2] = ["eth0", "eth1"];

#[derive(Debug, Clone)]
enum Happening {
    Change(Mutation),
    /// A host reports: whether it is capable, and the networks that it finds managed.
    Report(&'static str, bool, Vec<&'static str>),
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn accepted_changes_never_reach_a_contradiction(happenings in prop::collection::vec(happening(), 1..80)) {
        let mut fleet = Fleet::default();
        for happening in happenings {
            match happening {
                Happening::Report(host, capable, managed) => observe(&mut fleet, host, capable, &managed),
                Happening::Change(mutation) => {
                    // Every warning is acknowledged.
                    if !trestle_rules::evaluate(&mutation, &fleet).refuses(Code::ALL) {
                        fleet.apply(mutation);
                    }
                }
            }
            prop_assert_eq!(contradictions(&fleet), Vec::<String>::new());
        }
    }
}

fn observe(fleet: &mut Fleet, name: &str, is_capable: bool, managed: &[&str]) {
    if fleet.hosts().contains_key(&host_name(name)) {
        let features = if is_capable { capable() } else { without(Feature::LibvirtMacTableManager) };
        let networks = managed.iter().map(|network| found(network, MacTableManager::Libvirt)).collect();
        fleet.observe(host_name(name), report(features, networks));
    }
}

/// What must never be, found the slow way: by looking at everything.
fn contradictions(fleet: &Fleet) -> Vec<String> {
    let mut found = Vec::new();
    let managed = |network: &Network| network.vm_network && network.mac_table_manager == MacTableManager::Libvirt;
    for profile in fleet.profiles().values() {
        let name = format!("profile {} of {}", profile.id, profile.network);
        match fleet.networks().get(&profile.network) {
            None => found.push(format!("{name} has no network")),
            Some(network) if !network.vm_network => found.push(format!("{name} has no bridge")),
            Some(network) if managed(network) => {
                let stops = match &profile.filter {
                    NetworkFilter::Default => true,
                    NetworkFilter::None => false,
                    NetworkFilter::Named(name) => name == "clean-traffic",
                };
                if !stops {
                    found.push(format!("{name} spoofs"));
                }
                if matches!(profile.guest_tagging, GuestTagging::Any | GuestTagging::List(_)) {
                    found.push(format!("{name} tags"));
                }
            }
            Some(_) => {}
        }
    }
    for ((cluster, network), place) in fleet.cluster_networks() {
        let name = format!("network {network} in cluster {cluster}");
        match (fleet.clusters().get(cluster), fleet.networks().get(network)) {
            (Some(cluster), Some(network)) => {
                if managed(network) && cluster.switch_type == SwitchType::Ovs {
                    found.push(format!("{name} is managed in an OVS cluster"));
                }
            }
            _ => found.push(format!("{name} refers to nothing")),
        }
        let others = fleet.cluster_networks().values().filter(|other| other.cluster == *cluster && other.management);
        if place.management && others.count() > 1 {
            found.push(format!("{name} is one of several management networks"));
        }
    }
    found.extend(contradictions_on_hosts(fleet));
    found
}

fn contradictions_on_hosts(fleet: &Fleet) -> Vec<String> {
    let mut found = Vec::new();
    let (mut uplinks, mut bridges, mut routed) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for ((host, network), attachment) in fleet.attachments() {
        let name = format!("network {network} on host {host}");
        let in_cluster = fleet
            .hosts()
            .get(host)
            .is_some_and(|host| fleet.cluster_networks().contains_key(&(host.cluster.clone(), network.clone())));
        if !in_cluster {
            found.push(format!("{name} is not in its cluster"));
        }
        let Some(network) = fleet.networks().get(network) else { continue };
        if let Some(nic) = &attachment.nic
            && !uplinks.insert((host, nic, network.vlan))
        {
            found.push(format!("{name} shares its NIC and VLAN"));
        }
        if attachment.nic.is_none() && (network.vlan.is_some() || !network.vm_network) {
            found.push(format!("{name} has no NIC"));
        }
        let bridge = network.bridge_name.clone().unwrap_or_else(|| device(network.id.as_str()));
        if network.vm_network && !bridges.insert((host, bridge)) {
            found.push(format!("{name} shares its bridge's name"));
        }
        if attachment.default_route && !routed.insert(host) {
            found.push(format!("{name} has a second default route"));
        }
    }
    found
}

fn happening() -> impl Strategy<Value = Happening> {
    let reports = prop::sample::subsequence(NETWORKS.to_vec(), 0..=1);
    prop_oneof![
        6 => entity().prop_map(|entity| Happening::Change(Mutation::Put(entity))),
        1 => entity().prop_map(|entity| Happening::Change(Mutation::Delete(entity.id()))),
        1 => (one_of(&HOSTS), any::<bool>(), reports).prop_map(|(host, able, on)| Happening::Report(host, able, on)),
    ]
}

fn entity() -> impl Strategy<Value = Entity> {
    prop_oneof![
        1 => a_cluster().prop_map(Entity::Cluster),
        3 => a_network().prop_map(Entity::Network),
        2 => a_cluster_network().prop_map(Entity::ClusterNetwork),
        3 => a_profile().prop_map(Entity::VnicProfile),
        1 => a_host().prop_map(Entity::Host),
        3 => an_attachment().prop_map(Entity::NetworkAttachment),
    ]
}

fn a_cluster() -> impl Strategy<Value = Cluster> {
    let types = prop_oneof![3 => Just(SwitchType::LinuxBridge), 1 => Just(SwitchType::Ovs)];
    (one_of(&CLUSTERS), types).prop_map(|(name, switch_type)| Cluster { switch_type, ..cluster(name) })
}

fn a_network() -> impl Strategy<Value = Network> {
    let managers = prop_oneof![Just(MacTableManager::Kernel), Just(MacTableManager::Libvirt)];
    let options = prop_oneof![
        4 => Just(BridgeOptions::default()),
        1 => Just(BridgeOptions { vlan_filtering: Some(false), ..BridgeOptions::default() }),
    ];
    let bridges = prop_oneof![4 => Just(None), 1 => Just(Some(device("br7")))];
    let vlans = prop_oneof![Just(None), Just(Some(vlan(7)))];
    (one_of(&NETWORKS), prop::bool::weighted(0.8), vlans, bridges, options, managers).prop_map(
        |(name, vm_network, vlan, bridge_name, bridge_options, mac_table_manager)| Network {
            vm_network,
            vlan,
            bridge_name,
            bridge_options,
            mac_table_manager,
            ..network(name)
        },
    )
}

fn a_cluster_network() -> impl Strategy<Value = ClusterNetwork> {
    (one_of(&CLUSTERS), one_of(&NETWORKS), any::<bool>(), any::<bool>()).prop_map(
        |(cluster, network, required, management)| ClusterNetwork {
            required,
            management,
            ..cluster_network(cluster, network)
        },
    )
}

fn a_profile() -> impl Strategy<Value = VnicProfile> {
    let filters = prop_oneof![
        2 => Just(NetworkFilter::Default),
        1 => Just(NetworkFilter::None),
        1 => Just(NetworkFilter::Named("clean-traffic".to_owned())),
        1 => Just(NetworkFilter::Named("no-arp-spoofing".to_owned())),
    ];
    let tagging = prop_oneof![
        3 => Just(GuestTagging::None),
        1 => Just(GuestTagging::List(vec![vlan(7)])),
        1 => Just(GuestTagging::Any),
        1 => Just(GuestTagging::Unspecified),
    ];
    (one_of(&NETWORKS), one_of(&PROFILES), filters, tagging).prop_map(|(network, name, filter, guest_tagging)| {
        VnicProfile { filter, guest_tagging, ..profile(network, name) }
    })
}

fn a_host() -> impl Strategy<Value = Host> {
    (one_of(&HOSTS), one_of(&CLUSTERS), any::<bool>())
        .prop_map(|(name, cluster, maintenance)| Host { maintenance, ..host(name, cluster) })
}

fn an_attachment() -> impl Strategy<Value = NetworkAttachment> {
    let nics = prop_oneof![4 => one_of(&NICS).prop_map(Some), 1 => Just(None)];
    let routes = prop_oneof![3 => Just(None), 1 => Just(Some("192.0.2.1"))];
    (one_of(&HOSTS), one_of(&NETWORKS), nics, routes, 2..250_u8).prop_map(|(host, network, nic, gateway, last)| {
        NetworkAttachment {
            nic: nic.map(device),
            ipv4: crate::fixture::ipv4(&format!("192.0.2.{last}/24"), gateway),
            default_route: gateway.is_some(),
            ..attachment(host, network, "eth0")
        }
    })
}

fn one_of(names: &'static [&'static str]) -> impl Strategy<Value = &'static str> + Clone {
    prop::sample::select(names)
}

/// Holds the generator to its purpose: the contradictions that it looks for can be built from what it makes.
#[test]
fn the_slow_look_finds_what_rules_refuse() {
    let mut fleet = Fleet::default();
    for entity in [
        Entity::Cluster(Cluster { switch_type: SwitchType::Ovs, ..cluster("main") }),
        Entity::Network(Network { mac_table_manager: MacTableManager::Libvirt, ..network("blue") }),
        Entity::Network(network("red")),
        Entity::ClusterNetwork(cluster_network("main", "blue")),
        Entity::VnicProfile(VnicProfile {
            filter: NetworkFilter::None,
            guest_tagging: GuestTagging::Any,
            ..profile("blue", "open")
        }),
        Entity::Host(host("h1", "main")),
        Entity::NetworkAttachment(attachment("h1", "blue", "eth0")),
        Entity::NetworkAttachment(attachment("h1", "red", "eth0")),
    ] {
        fleet.apply(Mutation::Put(entity));
    }
    assert_eq!(
        contradictions(&fleet),
        [
            "profile open of blue spoofs",
            "profile open of blue tags",
            "network blue in cluster main is managed in an OVS cluster",
            "network red on host h1 is not in its cluster",
            "network red on host h1 shares its NIC and VLAN",
        ]
    );
    fleet.apply(Mutation::Delete(EntityId::VnicProfile(network_name("blue"), id("open"))));
    assert_eq!(contradictions(&fleet).len(), 3);
}
