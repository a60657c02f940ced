use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;
use trestle_model::{
    BridgeSpec, FeatureSet, Findings, GuestPorts, IfName, Ipv4Config, Ipv6Config, MacTableManager, Mtu, NetworkEntry,
    Southbound, Topology,
};

use super::*;
use crate::session::LastCommand;

fn spec(name: &str) -> NetworkSpec {
    let name = NetworkName::parse(name).unwrap();
    NetworkSpec {
        topology: Topology::Bridged(BridgeSpec {
            name: IfName::for_bridge(&name),
            stp: false,
            options: trestle_model::BridgeOptions::default(),
        }),
        name,
        southbound: Some(Southbound::Nic(IfName::parse("eth1").unwrap())),
        vlan: None,
        mtu: Mtu::ETHERNET,
        mac_table_manager: MacTableManager::Kernel,
        ipv4: Ipv4Config::None,
        ipv6: Ipv6Config::None,
        default_route: false,
        routes: Vec::new(),
        nameservers: Vec::new(),
        search_domains: Vec::new(),
        port_isolation: false,
        guest_ports: GuestPorts::default(),
        host_qos: None,
        custom: BTreeMap::new(),
    }
}

fn managed(name: &str) -> NetworkSpec {
    NetworkSpec { mac_table_manager: MacTableManager::Libvirt, ..spec(name) }
}

fn running(specs: &[(NetworkSpec, Origin, &[&str])]) -> Capabilities {
    let report = |(spec, origin, drift): &(NetworkSpec, Origin, &[&str])| NetworkReport {
        drift: drift.iter().map(|line| (*line).to_owned()).collect(),
        ..NetworkReport::absent(NetworkEntry { spec: spec.clone(), origin: *origin })
    };
    Capabilities {
        networks: specs.iter().map(report).collect(),
        features: FeatureSet::default(),
        agent_version: String::new(),
        boot_id: String::new(),
        generation: 0,
        dirty: false,
        running_hash: String::new(),
        persistent_hash: String::new(),
        resolver: trestle_model::ResolverReport::default(),
        uncommitted: std::collections::BTreeMap::new(),
        managers: std::collections::BTreeMap::new(),
        ..Capabilities::default()
    }
}

#[test]
fn owes_nothing_to_a_host_that_runs_what_is_desired() {
    let reported = running(&[(managed("blue"), Origin::Engine, &[])]);
    assert_eq!(owed(&[managed("blue")], &reported), []);
    assert_eq!(sync(&[managed("blue")], Some(&reported), &HostNow::default()).sync, Sync::InSync);
}

#[test]
fn owes_new_changed_and_unwanted_networks_and_leaves_local_ones() {
    let reported = running(&[
        (spec("blue"), Origin::Engine, &[]),
        (spec("green"), Origin::Engine, &[]),
        (spec("local"), Origin::Local, &[]),
    ]);
    let changes = owed(&[managed("blue"), spec("red")], &reported);
    let expected = [
        NetworkChange::Set(managed("blue")),
        NetworkChange::Remove(NetworkName::parse("green").unwrap()),
        NetworkChange::Set(spec("red")),
    ];
    assert_eq!(changes, expected);
}

#[test]
fn takes_over_a_local_network_that_becomes_desired() {
    let reported = running(&[(spec("blue"), Origin::Local, &[])]);
    assert_eq!(owed(&[spec("blue")], &reported), [NetworkChange::Set(spec("blue"))]);
}

#[test]
fn names_what_differs() {
    let reported = running(&[(spec("blue"), Origin::Engine, &[])]);
    let sync = sync(&[managed("blue")], Some(&reported), &HostNow::default());
    assert_eq!(sync.sync, Sync::Pending);
    assert_eq!(sync.networks[0].differences, ["manage_macs_with_libvirt differs"]);
}

#[test]
fn reports_drift_and_unmanaged_networks_without_owing_them() {
    let reported = running(&[
        (spec("blue"), Origin::Engine, &["link blue mtu: expected 1500, is 1400"]),
        (spec("local"), Origin::Local, &[]),
    ]);
    let sync = sync(&[spec("blue")], Some(&reported), &HostNow::default());
    assert_eq!(owed(&[spec("blue")], &reported), []);
    assert_eq!(sync.networks.iter().map(|n| n.sync).collect::<Vec<_>>(), [Sync::Drifted, Sync::Unmanaged]);
    assert_eq!(sync.sync, Sync::Drifted);
}

#[test]
fn says_failed_only_while_the_failed_changes_are_still_owed() {
    let reported = running(&[]);
    let failed = |changes| HostNow {
        last: Some(LastCommand {
            changes,
            result: None,
            refusal: Findings::default(),
            succeeded: false,
            failures: 1,
            retry_at: Instant::now() + Duration::from_secs(1),
        }),
        ..HostNow::default()
    };
    let same = failed(vec![NetworkChange::Set(spec("blue"))]);
    assert_eq!(sync(&[spec("blue")], Some(&reported), &same).sync, Sync::Failed);
    assert_eq!(sync(&[managed("blue")], Some(&reported), &same).sync, Sync::Pending);
}

#[test]
fn knows_nothing_of_a_host_that_never_reported() {
    assert_eq!(sync(&[spec("blue")], None, &HostNow::default()).sync, Sync::Unknown);
}
