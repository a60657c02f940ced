use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;
use trestle_model::{
    BondMode, BondOptions, BridgeSpec, FeatureSet, Findings, GuestPorts, IfName, Ipv4Config, Ipv6Config,
    MacTableManager, Mtu, NetworkEntry, Southbound, Topology,
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

/// What is desired of a host without bonds.
fn of(networks: &[NetworkSpec]) -> Desired {
    Desired { networks: networks.to_vec(), ..Desired::default() }
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
    assert_eq!(owed(&of(&[managed("blue")]), &reported).networks, []);
    assert_eq!(sync(&of(&[managed("blue")]), Some(&reported), &HostNow::default()).sync, Sync::InSync);
}

#[test]
fn owes_new_changed_and_unwanted_networks_and_leaves_local_ones() {
    let reported = running(&[
        (spec("blue"), Origin::Engine, &[]),
        (spec("green"), Origin::Engine, &[]),
        (spec("local"), Origin::Local, &[]),
    ]);
    let changes = owed(&of(&[managed("blue"), spec("red")]), &reported).networks;
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
    assert_eq!(owed(&of(&[spec("blue")]), &reported).networks, [NetworkChange::Set(spec("blue"))]);
}

#[test]
fn names_what_differs() {
    let reported = running(&[(spec("blue"), Origin::Engine, &[])]);
    let sync = sync(&of(&[managed("blue")]), Some(&reported), &HostNow::default());
    assert_eq!(sync.sync, Sync::Pending);
    assert_eq!(sync.networks[0].differences, ["manage_macs_with_libvirt differs"]);
}

#[test]
fn reports_drift_and_unmanaged_networks_without_owing_them() {
    let reported = running(&[
        (spec("blue"), Origin::Engine, &["link blue mtu: expected 1500, is 1400"]),
        (spec("local"), Origin::Local, &[]),
    ]);
    let sync = sync(&of(&[spec("blue")]), Some(&reported), &HostNow::default());
    assert_eq!(owed(&of(&[spec("blue")]), &reported).networks, []);
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
    let same = failed(Owed { networks: vec![NetworkChange::Set(spec("blue"))], ..Owed::default() });
    assert_eq!(sync(&of(&[spec("blue")]), Some(&reported), &same).sync, Sync::Failed);
    assert_eq!(sync(&of(&[managed("blue")]), Some(&reported), &same).sync, Sync::Pending);
}

#[test]
fn knows_nothing_of_a_host_that_never_reported() {
    assert_eq!(sync(&of(&[spec("blue")]), None, &HostNow::default()).sync, Sync::Unknown);
}

fn bond(nics: &[&str]) -> BondSpec {
    BondSpec {
        name: IfName::parse("bond0").unwrap(),
        nics: nics.iter().map(|nic| IfName::parse(nic).unwrap()).collect(),
        options: BondOptions::of(BondMode::ActiveBackup),
        hwaddr: None,
    }
}

/// A host with a bond, configured by somebody or nobody.
fn bonded(configured: Option<Origin>, drift: &[&str]) -> Capabilities {
    let entry = |origin| BondEntry { spec: bond(&["eth1", "eth2"]), origin, mac: None };
    let report = BondReport {
        name: IfName::parse("bond0").unwrap(),
        configured: configured.map(entry),
        observed: None,
        drift: drift.iter().map(|line| (*line).to_owned()).collect(),
        repairs: Vec::new(),
    };
    Capabilities { bonds: vec![report], ..running(&[]) }
}

/// What is desired and reported, what is then owed, and how the bond is told of.
type Case<'a> = (&'a Desired, Capabilities, Vec<BondChange>, Option<Sync>, &'a [&'a str]);

#[test]
fn a_bond_is_owed_until_the_host_has_it_so_from_the_engine() {
    let with = |nics: &[&str]| Desired { bonds: vec![bond(nics)], ..Desired::default() };
    let (same, other, none) = (with(&["eth1", "eth2"]), with(&["eth1", "eth3"]), Desired::default());
    let set = |nics: &[&str]| vec![BondChange::Set(bond(nics))];
    let name = IfName::parse("bond0").unwrap();
    let cases: [Case<'_>; 8] = [
        (&same, running(&[]), set(&["eth1", "eth2"]), Some(Sync::Pending), &["is not on the host"]),
        (&same, bonded(None, &[]), set(&["eth1", "eth2"]), Some(Sync::Pending), &["is on the host and not configured"]),
        (&same, bonded(Some(Origin::Engine), &[]), vec![], Some(Sync::InSync), &[]),
        (&same, bonded(Some(Origin::Engine), &["it is down"]), vec![], Some(Sync::Drifted), &["it is down"]),
        (&same, bonded(Some(Origin::Local), &[]), set(&["eth1", "eth2"]), Some(Sync::Pending), &["origin differs"]),
        (&other, bonded(Some(Origin::Engine), &[]), set(&["eth1", "eth3"]), Some(Sync::Pending), &["nics differs"]),
        (
            &none,
            bonded(Some(Origin::Engine), &[]),
            vec![BondChange::Remove(name)],
            Some(Sync::Pending),
            &["is on the host and no longer wanted"],
        ),
        (&none, bonded(Some(Origin::Local), &[]), vec![], Some(Sync::Unmanaged), &[]),
    ];
    for (desired, reported, changes, expected, differences) in cases {
        assert_eq!(owed(desired, &reported), Owed { bonds: changes, networks: Vec::new() }, "{reported:?}");
        let host = sync(desired, Some(&reported), &HostNow::default());
        assert_eq!(host.bonds.first().map(|bond| bond.sync), expected, "{reported:?}");
        assert_eq!(host.bonds.first().map_or(&[][..], |bond| &bond.differences), differences, "{reported:?}");
        assert_eq!(host.sync, expected.filter(|sync| *sync != Sync::Unmanaged).unwrap_or(Sync::InSync));
    }
}

#[test]
fn every_attribute_that_differs_is_named() {
    let desired = NetworkSpec {
        southbound: Some(Southbound::Bond(IfName::parse("eth1").unwrap())),
        default_route: true,
        nameservers: vec!["192.0.2.53".parse().unwrap()],
        search_domains: vec!["lab.example".parse().unwrap()],
        port_isolation: true,
        custom: BTreeMap::from([("tier".to_owned(), "gold".to_owned())]),
        ..spec("blue")
    };
    let reported = running(&[(spec("blue"), Origin::Local, &[])]);
    let lines = &sync(&of(&[desired]), Some(&reported), &HostNow::default()).networks[0].differences;
    let expected = [
        "southbound differs",
        "default_route differs",
        "nameservers differs",
        "search_domains differs",
        "port_isolation differs",
        "custom differs",
        "origin differs",
    ];
    assert_eq!(lines, &expected);
}
