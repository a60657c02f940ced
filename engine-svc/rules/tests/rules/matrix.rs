//! The matrix of `matrix.md`, line by line and column by column.

use trestle_model::fleet::{
    Cluster, ClusterNetwork, Entity, Fleet, GuestTagging, Host, HostRecord, Mutation, Network, NetworkAttachment,
    NetworkFilter, SwitchType, VnicProfile,
};
use trestle_model::{BridgeOptions, Feature, FeatureSet, MacTableManager, Severity, Support};

use crate::fixture::{
    attachment, capable, cluster, cluster_network, evaluate, host, managed, profile, report, vlan, without,
};

const TABLE: &str = include_str!("matrix.md");
const CHANGES: [Change; 10] = [
    Change::On,
    Change::Bridged,
    Change::Off,
    Change::Add,
    Change::Update,
    Change::Cluster,
    Change::Type,
    Change::Joins,
    Change::Carries,
    Change::Active,
];

#[derive(Debug, Clone, Copy)]
enum Change {
    On,
    Bridged,
    Off,
    Add,
    Update,
    Cluster,
    Type,
    Joins,
    Carries,
    Active,
}

/// The completed fleet of a case.
struct Case {
    network: Network,
    profile: Option<VnicProfile>,
    cluster: Cluster,
    cluster_network: ClusterNetwork,
    host: Host,
    attachment: Option<NetworkAttachment>,
    record: Option<HostRecord>,
}

#[test]
fn every_cell_of_the_matrix_holds() {
    let mut tried = 0;
    let mut wrong = Vec::new();
    for line in TABLE.lines().filter(|line| line.starts_with("| ")).skip(1) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [_, name, verdicts @ .., code] = cells.as_slice() else { panic!("{line}") };
        assert_eq!(verdicts.len(), CHANGES.len(), "{line}");
        for (change, verdict) in CHANGES.into_iter().zip(verdicts).filter(|(_, verdict)| !verdict.is_empty()) {
            let (fleet, mutation) = before(case(name), change);
            let told: Vec<String> = evaluate(&fleet, &mutation)
                .into_iter()
                .map(|told| format!("{} {}", letter(told.severity), told.code))
                .collect();
            let expected = if *verdict == "ok" { Vec::new() } else { vec![format!("{verdict} {code}")] };
            if told != expected {
                wrong.push(format!("{name}, {change:?}: expected {expected:?}, told {told:?}"));
            }
            tried += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(tried > 200, "only {tried} cells were read");
}

fn letter(severity: Severity) -> char {
    match severity {
        Severity::Error => 'E',
        Severity::Warning => 'W',
        Severity::Info => 'I',
    }
}

fn case(name: &str) -> Case {
    let mut case = Case {
        network: managed("blue"),
        profile: Some(profile("blue", "guests")),
        cluster: cluster("main"),
        cluster_network: cluster_network("main", "blue"),
        host: host("h1", "main"),
        attachment: Some(attachment("h1", "blue", "eth0")),
        record: Some(report(capable(), Vec::new())),
    };
    let options = |options| Network { bridge_options: options, ..managed("blue") };
    let filter = |filter| Some(VnicProfile { filter, ..profile("blue", "guests") });
    let tagging = |guest_tagging| Some(VnicProfile { guest_tagging, ..profile("blue", "guests") });
    let old = || Some(report(without(Feature::LibvirtMacTableManager), Vec::new()));
    match name {
        "ordinary" => {}
        "no filter" => case.profile = filter(NetworkFilter::None),
        named if named.starts_with("filter ") => {
            case.profile = filter(NetworkFilter::Named(named.trim_start_matches("filter ").to_owned()));
        }
        "tagging any" => case.profile = tagging(GuestTagging::Any),
        "tagging list" => case.profile = tagging(GuestTagging::List(vec![vlan(7)])),
        "tagging unspecified" => case.profile = tagging(GuestTagging::Unspecified),
        "not bridged" => {
            case.network.vm_network = false;
            case.profile = None;
        }
        "open vswitch" => case.cluster.switch_type = SwitchType::Ovs,
        "libvirt too old" => case.record = old(),
        "kernel without filtering" => {
            case.record = Some(report(without(Feature::BridgeVlanFiltering), Vec::new()));
        }
        "libvirt not reached" => {
            let mut features = capable();
            features.0.insert(Feature::LibvirtMacTableManager, Support::Unknown("no connection".to_owned()));
            case.record = Some(report(features, Vec::new()));
        }
        "agent silent about it" => case.record = Some(report(FeatureSet::default(), Vec::new())),
        "libvirt too old, required" => {
            case.record = old();
            case.cluster_network.required = true;
        }
        "libvirt too old, maintenance" => {
            case.record = old();
            case.host.maintenance = true;
        }
        "libvirt too old, not carrying" => {
            case.record = old();
            case.attachment = None;
        }
        "host never reported" => case.record = None,
        "management network" => case.cluster_network.management = true,
        "vlan_filtering off" => {
            case.network = options(BridgeOptions { vlan_filtering: Some(false), ..BridgeOptions::default() });
        }
        "default_pvid 0" => {
            case.network = options(BridgeOptions { default_pvid: Some(0), ..BridgeOptions::default() });
        }
        "ageing changed" => {
            case.network = options(BridgeOptions { ageing_time_cs: Some(100), ..BridgeOptions::default() });
        }
        "harmless options" => {
            case.network = options(BridgeOptions {
                ageing_time_cs: Some(30_000),
                vlan_filtering: Some(true),
                default_pvid: Some(1),
                forward_delay_cs: Some(200),
                multicast_snooping: Some(false),
                ..BridgeOptions::default()
            });
        }
        unknown => panic!("the table has a case {unknown:?} that nobody knows"),
    }
    case
}

/// The fleet before the change, and the change that completes it.
fn before(mut case: Case, change: Change) -> (Fleet, Mutation) {
    let entity = match change {
        Change::On => {
            let after = case.network.clone();
            case.network.mac_table_manager = MacTableManager::Kernel;
            Entity::Network(after)
        }
        Change::Bridged => {
            let after = case.network.clone();
            case.network.vm_network = false;
            Entity::Network(after)
        }
        Change::Off => Entity::Network(Network { mac_table_manager: MacTableManager::Kernel, ..case.network.clone() }),
        Change::Add => Entity::VnicProfile(case.profile.take().expect("the case has a profile")),
        Change::Update => {
            let ordinary = profile("blue", "guests");
            Entity::VnicProfile(case.profile.replace(ordinary).expect("the case has a profile"))
        }
        Change::Cluster => {
            case.attachment = None;
            let entity = Entity::ClusterNetwork(case.cluster_network.clone());
            return (case.fleet(false), Mutation::Put(entity));
        }
        Change::Type => {
            let after = case.cluster.clone();
            case.cluster.switch_type = SwitchType::LinuxBridge;
            Entity::Cluster(after)
        }
        Change::Joins => {
            case.attachment = None;
            let after = case.host.clone();
            case.host = Host { maintenance: after.maintenance, ..host("h1", "elsewhere") };
            Entity::Host(after)
        }
        Change::Carries => Entity::NetworkAttachment(case.attachment.take().expect("the case has an attachment")),
        Change::Active => {
            let after = case.host.clone();
            case.host.maintenance = true;
            Entity::Host(after)
        }
    };
    (case.fleet(true), Mutation::Put(entity))
}

impl Case {
    fn fleet(self, attached: bool) -> Fleet {
        let name = self.host.id.clone();
        let entities =
            [Entity::Cluster(cluster("elsewhere")), Entity::Cluster(self.cluster), Entity::Network(self.network)]
                .into_iter()
                .chain(self.profile.map(Entity::VnicProfile))
                .chain(attached.then_some(Entity::ClusterNetwork(self.cluster_network)))
                .chain([Entity::Host(self.host)])
                .chain(self.attachment.map(Entity::NetworkAttachment));
        let mut fleet = crate::fixture::fleet(entities);
        if let Some(record) = self.record {
            fleet.observe(name, record);
        }
        fleet
    }
}
