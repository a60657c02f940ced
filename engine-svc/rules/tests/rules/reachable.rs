//! No sequence of accepted changes, whatever hosts report between them, reaches a fleet that contradicts itself.

mod contradictions;
mod drawn;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, RandomState};

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use trestle_model::fleet::{
    Bond, Cluster, ClusterNetwork, Entity, EntityId, Fleet, GuestTagging, Host, MacConflictPolicy, MacPool, Mutation,
    Network, NetworkAttachment, NetworkFilter, Passthrough, SwitchType, Vm, Vnic, VnicAttachment, VnicProfile,
};
use trestle_model::{
    BondMode, BondOptions, BridgeOptions, Code, Domain, DomainState, Feature, HostName, MacTableManager, NetworkName,
    NicLabel, Southbound,
};
use trestle_rules::Fix;

use self::contradictions::{Warned, at_odds, contradictions, free_vnics, is_managed};
use self::drawn::happening;
use crate::fixture::{
    attachment, bond, capable, cluster, cluster_network, device, domain, found, host, host_name, hosting, id, mac,
    managed, network, network_name, passthrough, pool, profile, vlan, vm, vnic, without,
};

const CLUSTERS: [&str; 2] = ["main", "other"];
const NETWORKS: [&str; 3] = ["blue", "red", "green"];
const PROFILES: [&str; 2] = ["guests", "open"];
const HOSTS: [&str; 2] = ["h1", "h2"];
const NICS: [&str; 2] = ["eth0", "eth1"];
const BONDS: [&str; 2] = ["bond0", "bond1"];
const POOLS: [&str; 2] = ["p", "q"];
const VMS: std::ops::Range<u128> = 1..4;
const VNICS: [&str; 2] = ["eth0", "eth1"];

#[derive(Debug, Clone)]
enum Happening {
    Change(Box<Mutation>, Fix),
    /// A host reports: what it lacks, the networks that it finds managed, and its guests.
    Report(&'static str, Option<Feature>, Vec<&'static str>, Vec<Domain>),
}

/// What the fleet is before anything happens.
#[derive(Debug, Clone, Copy)]
enum Start {
    Empty,
    Furnished,
    Crowded,
}

/// How many changes and reports are tried, in sequences of up to 80; more by `TRESTLE_REACHABLE`. Each run draws a seed of its
/// own unless it is given one. A million, in a minute or two:
///
/// ```sh
/// CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 TRESTLE_REACHABLE=1000000 \
///     cargo test --release --package trestle-rules --test rules reachable -- --nocapture
/// ```
const TRIED: u64 = 20_000;
/// How long a sequence is on average.
const SEQUENCE: u64 = 40;

#[test]
fn accepted_changes_never_reach_a_contradiction() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let tried = number("TRESTLE_REACHABLE").unwrap_or(TRIED);
    let seed = number("PROPTEST_RNG_SEED").unwrap_or_else(|| RandomState::new().hash_one(0));
    let again = format!("to repeat it: PROPTEST_RNG_SEED={seed} TRESTLE_REACHABLE={tried}");
    eprintln!("{again}");
    let cases = u32::try_from(tried.div_ceil(SEQUENCE)).unwrap();
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let (happened, accepted, placed) = (Cell::new(0_u64), Cell::new(0_u64), Cell::new(0_u64));
    let starts = prop_oneof![2 => Just(Start::Empty), 2 => Just(Start::Furnished), 1 => Just(Start::Crowded)];
    let sequences = prop::collection::vec(happening(), 1..80);
    let outcome = runner.run(&(starts, sequences), |(start, happenings)| {
        let mut fleet = match start {
            Start::Empty => Fleet::default(),
            Start::Furnished => furnished(),
            Start::Crowded => crowded(),
        };
        for happening in happenings {
            happened.set(happened.get() + 1);
            // What hosts report may give guests a freedom that nobody asked for; no accepted change does.
            let before = match happening {
                Happening::Report(host, lacks, managed, domains) => {
                    observe(&mut fleet, host, lacks, &managed, domains);
                    at_odds(&fleet)
                }
                Happening::Change(mutation, fix) => {
                    let mut before = at_odds(&fleet);
                    // Switching off is always allowed, and gives guests of that network nothing that was not acknowledged before.
                    if let Mutation::Put(Entity::Network(after)) = &*mutation
                        && !is_managed(after)
                    {
                        before.extend(free_vnics(&fleet, Warned::CountedOn(&after.id)));
                    }
                    // Every warning is acknowledged.
                    let proposal = trestle_rules::propose(*mutation, fix, &fleet);
                    if !proposal.findings.refuses(Code::ALL) {
                        proposal.mutations.into_iter().for_each(|mutation| fleet.apply(mutation));
                        accepted.set(accepted.get() + 1);
                    }
                    before
                }
            };
            let grown: Vec<String> = at_odds(&fleet).difference(&before).cloned().collect();
            prop_assert_eq!(grown, Vec::<String>::new());
            prop_assert_eq!(contradictions(&fleet), Vec::<String>::new());
        }
        placed.set(placed.get() + u64::try_from(fleet.vnics().len()).unwrap());
        Ok(())
    });
    let (happened, accepted, placed) = (happened.get(), accepted.get(), placed.get());
    eprintln!("{accepted} of {happened} happenings were accepted changes, {placed} vNICs stood at the ends");
    if let Err(failed) = outcome {
        panic!("{failed}\n{again}");
    }
    assert!(accepted > tried / 20 && placed > tried / 400, "too little was reached; {again}");
}

/// A fleet in which every vNIC has somewhere to go.
fn furnished() -> Fleet {
    let mut fleet = Fleet::default();
    let clusters = CLUSTERS.map(|name| Entity::Cluster(Cluster { mac_pool: Some(id("p")), ..cluster(name) }));
    let networks = NETWORKS.map(|name| Entity::Network(network(name)));
    let attached = CLUSTERS.iter().flat_map(|c| NETWORKS.map(|n| Entity::ClusterNetwork(cluster_network(c, n))));
    let profiles = NETWORKS.iter().flat_map(|n| PROFILES.map(|p| Entity::VnicProfile(profile(n, p))));
    let hosts = HOSTS.map(|name| Entity::Host(host(name, "main")));
    let carried = HOSTS.iter().flat_map(|h| [("blue", "eth0"), ("red", "eth1")].map(|(n, nic)| attachment(h, n, nic)));
    let entities = [Entity::MacPool(pool("p", 0, 9))].into_iter().chain(clusters).chain(networks).chain(attached);
    let entities = entities.chain(profiles).chain(hosts).chain(carried.map(Entity::NetworkAttachment));
    for entity in entities.chain(VMS.map(|number| Entity::Vm(vm(number, "main")))) {
        assert!(trestle_rules::evaluate(&Mutation::Put(entity.clone()), &fleet).0.is_empty(), "{entity:?}");
        fleet.apply(Mutation::Put(entity));
    }
    fleet
}

/// The same, with one MAC for all, on a managed network over the bridge and past it.
fn crowded() -> Fleet {
    let mut fleet = furnished();
    let entities = [Entity::MacPool(MacPool { allow_duplicates: true, ..pool("p", 0, 9) })].into_iter();
    let past = NETWORKS.map(|name| Entity::VnicProfile(passthrough(name, "open", None)));
    let vnics = VMS.zip([("blue", "guests"), ("blue", "open"), ("red", "open")]);
    let vnics = vnics.map(|(number, (network, profile))| Vnic { mac: Some(mac(1)), ..vnic(number, network, profile) });
    let on = [Entity::Network(managed("blue"))];
    for entity in entities.chain(past).chain(vnics.map(Entity::Vnic)).chain(on) {
        let findings = trestle_rules::evaluate(&Mutation::Put(entity.clone()), &fleet);
        assert!(!findings.refuses(Code::ALL), "{entity:?}: {findings:?}");
        fleet.apply(Mutation::Put(entity));
    }
    fleet
}

/// A host with a bridge of every network.
fn observe(fleet: &mut Fleet, name: &str, lacks: Option<Feature>, managed: &[&str], domains: Vec<Domain>) {
    if fleet.hosts().contains_key(&host_name(name)) {
        let mut record = hosting(&NETWORKS, domains);
        if let Some(reported) = &mut record.capabilities {
            reported.features = lacks.map_or_else(capable, without);
            for network in managed {
                let mut places = reported.networks.iter_mut();
                let place = places.find(|place| place.configured.spec.name.as_str() == *network).unwrap();
                place.mac_table = found(network, MacTableManager::Libvirt).mac_table;
            }
        }
        fleet.observe(host_name(name), record);
    }
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
