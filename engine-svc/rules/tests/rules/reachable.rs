//! No sequence of accepted changes, whatever hosts report between them, reaches a fleet that contradicts itself.

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
                    // Switching off is always allowed, and gives guests nothing that was not acknowledged before.
                    if matches!(&*mutation, Mutation::Put(Entity::Network(after)) if !is_managed(after)) {
                        before.extend(free_vnics(&fleet, Warned::Counted));
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

/// What hosts' reports may bring about, and no accepted change.
fn at_odds(fleet: &Fleet) -> BTreeSet<String> {
    free_vnics(fleet, Warned::LeftOut).into_iter().chain(unheard_of(fleet)).chain(reported_spoofers(fleet)).collect()
}

/// Guests that run, as hosts report, on networks that are to be managed, and no filter keeps them from spoofing.
fn reported_spoofers(fleet: &Fleet) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for host in fleet.hosts().keys() {
        let reported = fleet.observed(host).and_then(|record| record.capabilities.as_ref());
        let domains = reported.into_iter().flat_map(|reported| &reported.domains);
        for domain in domains.filter(|domain| domain.state == DomainState::Running) {
            for interface in &domain.interfaces {
                let network = interface.bridge.as_deref().map(network_name);
                let managed = network.and_then(|name| fleet.networks().get(&name)).is_some_and(is_managed);
                let filter = interface.filter.as_ref().map(|filter| filter.name.as_str());
                if managed && filter != Some("no-mac-spoofing") {
                    found.insert(format!("{} of {host} spoofs on {:?}", domain.name, interface.bridge));
                }
            }
        }
    }
    found
}

/// What guests on managed networks are to have beside one MAC, on hosts that carry the networks and have reported that they
/// cannot give it.
fn unheard_of(fleet: &Fleet) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (host, network) in fleet.attachments().keys() {
        let reported = fleet.observed(host).and_then(|record| record.capabilities.as_ref());
        let is_unable = reported.is_some_and(|reported| !reported.features.has(Feature::GuestPorts));
        let is_managed = fleet.networks().get(network).is_some_and(is_managed);
        for vnic in fleet.vnics_on(network).filter(|_| is_unable && is_managed) {
            let profile = vnic.profile.as_ref().and_then(|profile| fleet.profiles().get(profile));
            let Some(profile) = profile.filter(|profile| !profile.is_passthrough()) else { continue };
            let lists = [
                (!vnic.extra_macs.is_empty(), "extra MACs"),
                (matches!(profile.guest_tagging, GuestTagging::List(_)), "VLANs"),
            ];
            for (_, what) in lists.into_iter().filter(|(lists, _)| *lists) {
                found.insert(format!("{}/{} lists {what} on {host}", vnic.vm, vnic.id));
            }
        }
    }
    found
}

/// What is done with vNICs whose clusters were told to warn only, as far as the fleet wants their networks managed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Warned {
    LeftOut,
    Counted,
}

/// vNICs that could spoof or tag where a host reports, or the fleet wants, that libvirt manages the MAC table.
fn free_vnics(fleet: &Fleet, which: Warned) -> BTreeSet<String> {
    let mut free = BTreeSet::new();
    for vnic in fleet.vnics().values() {
        let Some(profile) = vnic.profile.as_ref().and_then(|profile| fleet.profiles().get(profile)) else { continue };
        let Some(network) = fleet.networks().get(&profile.network).filter(|_| !profile.is_passthrough()) else {
            continue;
        };
        let observed = !fleet.hosts_managing(&network.id).is_empty();
        if !is_managed(network) && !observed {
            continue;
        }
        let mut clusters = fleet.clusters_with(&network.id).filter_map(|cluster| fleet.clusters().get(cluster));
        let only_warns = is_managed(network) && clusters.all(|c| c.mac_conflict_policy == MacConflictPolicy::Warn);
        let warned = which == Warned::LeftOut && only_warns;
        let past = vnic.bypasses_filter || fleet.vms().get(&vnic.vm).is_some_and(|vm| vm.bypasses_filters);
        let tags = profile.guest_tagging == GuestTagging::Any;
        for (is_free, freedom) in [(!stops(profile) && !warned, "spoofs"), (past, "is past its filter"), (tags, "tags")]
        {
            if is_free {
                free.insert(format!("{}/{} {freedom}", vnic.vm, vnic.id));
            }
        }
    }
    free
}

fn is_managed(network: &Network) -> bool {
    network.vm_network && network.mac_table_manager == MacTableManager::Libvirt
}

fn stops(profile: &VnicProfile) -> bool {
    match &profile.filter {
        NetworkFilter::Default => true,
        NetworkFilter::None => false,
        NetworkFilter::Named(name) => name == "clean-traffic",
    }
}

/// What must never be of VMs, vNICs and pools.
fn contradictions_of_vms(fleet: &Fleet) -> Vec<String> {
    let mut found = Vec::new();
    let (mut pooled, mut plugged) = (BTreeSet::new(), BTreeSet::new());
    for vm in fleet.vms().values() {
        let name = format!("VM {}", vm.id);
        let Some(cluster) = fleet.clusters().get(&vm.cluster) else {
            found.push(format!("{name} has no cluster"));
            continue;
        };
        let host = vm.host.as_ref().map(|host| fleet.hosts().get(host));
        if host.is_some_and(|host| host.is_none_or(|host| host.cluster != vm.cluster)) {
            found.push(format!("{name} is on a host elsewhere"));
        }
        let pool = cluster.mac_pool.as_ref().map(|pool| fleet.mac_pools().get(pool));
        if pool == Some(None) {
            found.push(format!("cluster {} has no pool", cluster.id));
        }
        for vnic in fleet.vnics_of(vm.id) {
            let name = format!("vNIC {} of {name}", vnic.id);
            if vnic.address().is_none() {
                found.push(format!("{name} has no address"));
            }
            if let Some(Some(pool)) = pool
                && !pool.allow_duplicates
                && !vnic.addresses().all(|mac| pooled.insert((&pool.id, mac)))
            {
                found.push(format!("{name} has a MAC that is in its pool twice"));
            }
            let Some((network, profile)) = &vnic.profile else { continue };
            match fleet.profiles().get(&(network.clone(), profile.clone())) {
                None => found.push(format!("{name} has no profile")),
                Some(profile) if usize::try_from(profile.extra_macs_allowed).unwrap() < vnic.extra_macs.len() => {
                    found.push(format!("{name} lists more MACs than its profile allows"));
                }
                Some(_) => {}
            }
            if !fleet.cluster_networks().contains_key(&(vm.cluster.clone(), network.clone())) {
                found.push(format!("{name} is on a network of another cluster"));
            }
            let carried = |host: &HostName| fleet.attachments().contains_key(&(host.clone(), network.clone()));
            if vnic.plugged && vm.host.as_ref().is_some_and(|host| !carried(host)) {
                found.push(format!("{name} is plugged where its network is not"));
            }
            let managed = fleet.networks().get(network).is_some_and(is_managed);
            let passes_by =
                fleet.profiles().get(&(network.clone(), profile.clone())).is_some_and(|p| p.is_passthrough());
            if vnic.plugged && managed && !passes_by && !vnic.addresses().all(|mac| plugged.insert((network, mac))) {
                found.push(format!("{name} has a MAC that is plugged twice on a managed network"));
            }
        }
    }
    for profile in fleet.profiles().values() {
        let target = profile.failover().map(|target| (target, fleet.profiles().get(target)));
        match target {
            Some((_, Some(onto))) if onto.is_passthrough() => {
                found.push(format!("{} fails over to itself", profile.id))
            }
            Some((target, Some(_))) if fleet.networks().get(&target.0).is_some_and(is_managed) => {
                found.push(format!("{} fails over onto a managed network", profile.id));
            }
            Some((_, None)) => found.push(format!("{} fails over to nothing", profile.id)),
            Some((_, Some(_))) | None => {}
        }
    }
    found
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

/// What must never be, found the slow way: by looking at everything.
fn contradictions(fleet: &Fleet) -> Vec<String> {
    let mut found = Vec::new();
    let warned = |network: &Network| {
        let mut clusters =
            fleet.clusters_with(&network.id).filter_map(|cluster| fleet.clusters().get(cluster)).peekable();
        clusters.peek().is_none() || clusters.all(|cluster| cluster.mac_conflict_policy == MacConflictPolicy::Warn)
    };
    for network in fleet.networks().values() {
        if network.port_isolation && !network.vm_network {
            found.push(format!("network {} isolates ports of no bridge", network.id));
        }
        if is_managed(network) && network.bridge_options.vlan_filtering == Some(false) {
            found.push(format!("network {} is managed and does not filter", network.id));
        }
    }
    for profile in fleet.profiles().values() {
        let name = format!("profile {} of {}", profile.id, profile.network);
        match fleet.networks().get(&profile.network) {
            None => found.push(format!("{name} has no network")),
            Some(network) if !network.vm_network => found.push(format!("{name} has no bridge")),
            Some(network) if is_managed(network) && !profile.is_passthrough() => {
                if !stops(profile) && !warned(network) {
                    found.push(format!("{name} spoofs"));
                }
                if profile.guest_tagging == GuestTagging::Any {
                    found.push(format!("{name} tags"));
                }
                if matches!(&profile.guest_tagging, GuestTagging::List(vlans) if vlans.contains(&vlan(1))) {
                    found.push(format!("{name} tags with the bridge's own VLAN"));
                }
            }
            Some(_) => {}
        }
    }
    for ((cluster, network), place) in fleet.cluster_networks() {
        let name = format!("network {network} in cluster {cluster}");
        match (fleet.clusters().get(cluster), fleet.networks().get(network)) {
            (Some(cluster), Some(network)) => {
                if is_managed(network) && cluster.switch_type == SwitchType::Ovs {
                    found.push(format!("{name} is managed in an OVS cluster"));
                }
            }
            _ => found.push(format!("{name} refers to nothing")),
        }
        for role in place.roles() {
            let others = fleet.cluster_networks().values().filter(|other| other.cluster == *cluster && other.has(role));
            if others.count() > 1 {
                found.push(format!("{name} is one of several {role} networks"));
            }
        }
    }
    found.extend(contradictions_on_hosts(fleet));
    found.extend(contradictions_of_vms(fleet));
    found
}

fn contradictions_on_hosts(fleet: &Fleet) -> Vec<String> {
    let mut found = Vec::new();
    for host in fleet.hosts().values() {
        for (network, _) in fleet.networks().iter().filter(|(network, _)| {
            fleet.cluster_networks().contains_key(&(host.cluster.clone(), NetworkName::clone(network)))
        }) {
            let wanted = fleet.networks().get(network).and_then(|network| fleet.labelled(host, network));
            let has = fleet.attachments().get(&(host.id.clone(), network.clone()));
            match (wanted, has) {
                (Some(wanted), Some(has)) if wanted.southbound == has.southbound => {}
                (Some(_), _) => found.push(format!("network {network} is not where its label is on {}", host.id)),
                (None, Some(has)) if has.by.is_label() => found.push(format!("{network} has no label on {}", host.id)),
                (None, _) => {}
            }
        }
    }
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
        let place = fleet
            .hosts()
            .get(host)
            .and_then(|host| fleet.cluster_networks().get(&(host.cluster.clone(), network.clone())));
        if place.is_some_and(|place| place.roles().next().is_some()) && !attachment.has_address() {
            found.push(format!("{name} has a role and no address"));
        }
        let Some(network) = fleet.networks().get(network) else { continue };
        if let Some(southbound) = &attachment.southbound
            && !uplinks.insert((host, southbound, network.vlan))
        {
            found.push(format!("{name} shares its NIC and VLAN"));
        }
        match &attachment.southbound {
            Some(Southbound::Bond(bond)) => match fleet.bonds().get(&(host.clone(), bond.clone())) {
                None => found.push(format!("{name} has no bond")),
                Some(bond) if network.vm_network && !bond.options.mode.is_safe_under_bridges() => {
                    found.push(format!("{name} is bridged to a bond that breaks guests' traffic"));
                }
                Some(_) => {}
            },
            Some(Southbound::Nic(nic))
                if fleet.bonds_of(host).any(|bond| bond.nics.contains(nic) || bond.id == *nic) =>
            {
                found.push(format!("{name} stands on a port of a bond, or on a bond as a NIC"));
            }
            Some(Southbound::Nic(_)) | None => {}
        }
        if attachment.southbound.is_none() && (network.vlan.is_some() || !network.vm_network) {
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
    let mut ports = BTreeSet::new();
    for ((host, name), bond) in fleet.bonds() {
        if bond.nics.len() < 2 || !bond.nics.iter().all(|nic| ports.insert((host, nic))) {
            found.push(format!("bond {name} of {host} has too few NICs, or another's"));
        }
    }
    found
}

fn happening() -> impl Strategy<Value = Happening> {
    let reports = prop::sample::subsequence(NETWORKS.to_vec(), 0..=1);
    let lacking = prop_oneof![
        2 => Just(None),
        1 => Just(Some(Feature::LibvirtMacTableManager)),
        1 => Just(Some(Feature::GuestPorts)),
    ];
    let fixes = prop_oneof![Just(Fix::Leave), Just(Fix::Profiles)];
    let puts = (entity(), fixes).prop_map(|(entity, fix)| Happening::Change(Box::new(Mutation::Put(entity)), fix));
    let deletes = entity().prop_map(|entity| Happening::Change(Box::new(Mutation::Delete(entity.id())), Fix::Leave));
    let domains = prop::collection::vec(a_domain(), 0..3);
    let reports = (one_of(&HOSTS), lacking, reports, domains)
        .prop_map(|(host, lacks, on, domains)| Happening::Report(host, lacks, on, domains));
    prop_oneof![6 => puts, 1 => deletes, 1 => reports]
}

/// A guest of a VM of the fleet, or of nobody's.
fn a_domain() -> impl Strategy<Value = Domain> {
    let filters = prop_oneof![1 => Just(None), 1 => Just(Some("no-arp-spoofing")), 2 => Just(Some("no-mac-spoofing"))];
    let states = prop_oneof![3 => Just(DomainState::Running), 1 => Just(DomainState::ShutOff)];
    (VMS.start..VMS.end + 1, one_of(&NETWORKS), 0..12_u64, filters, states).prop_map(
        |(number, network, address, filter, state)| Domain { state, ..domain(number, network, mac(address), filter) },
    )
}

fn entity() -> impl Strategy<Value = Entity> {
    prop_oneof![
        1 => a_cluster().prop_map(Entity::Cluster),
        3 => a_network().prop_map(Entity::Network),
        2 => a_cluster_network().prop_map(Entity::ClusterNetwork),
        3 => a_profile().prop_map(Entity::VnicProfile),
        1 => a_host().prop_map(Entity::Host),
        3 => an_attachment().prop_map(Entity::NetworkAttachment),
        1 => a_bond().prop_map(Entity::Bond),
        1 => a_pool().prop_map(Entity::MacPool),
        2 => a_vm().prop_map(Entity::Vm),
        5 => a_vnic().prop_map(Entity::Vnic),
    ]
}

fn a_cluster() -> impl Strategy<Value = Cluster> {
    let types = prop_oneof![3 => Just(SwitchType::LinuxBridge), 1 => Just(SwitchType::Ovs)];
    let pools = prop_oneof![2 => one_of(&POOLS).prop_map(Some), 1 => Just(None)];
    let policies = prop_oneof![2 => Just(MacConflictPolicy::Prevent), 1 => Just(MacConflictPolicy::Warn)];
    (one_of(&CLUSTERS), types, pools, policies).prop_map(|(name, switch_type, pool, mac_conflict_policy)| Cluster {
        switch_type,
        mac_pool: pool.map(id),
        mac_conflict_policy,
        ..cluster(name)
    })
}

fn a_network() -> impl Strategy<Value = Network> {
    let managers = prop_oneof![Just(MacTableManager::Kernel), Just(MacTableManager::Libvirt)];
    let options = prop_oneof![
        4 => Just(BridgeOptions::default()),
        1 => Just(BridgeOptions { vlan_filtering: Some(false), ..BridgeOptions::default() }),
    ];
    let bridges = prop_oneof![4 => Just(None), 1 => Just(Some(device("br7")))];
    let vlans = prop_oneof![Just(None), Just(Some(vlan(7)))];
    let more = (prop::bool::weighted(0.2), prop::option::weighted(0.2, a_label()));
    (one_of(&NETWORKS), prop::bool::weighted(0.8), vlans, bridges, options, managers, more).prop_map(
        |(name, vm_network, vlan, bridge_name, bridge_options, mac_table_manager, (port_isolation, nic_label))| {
            Network {
                vm_network,
                port_isolation,
                vlan,
                bridge_name,
                bridge_options,
                mac_table_manager,
                nic_label,
                ..network(name)
            }
        },
    )
}

fn a_cluster_network() -> impl Strategy<Value = ClusterNetwork> {
    (one_of(&CLUSTERS), one_of(&NETWORKS), any::<bool>(), any::<[bool; 4]>()).prop_map(
        |(cluster, network, required, [management, migration, display, default_route])| ClusterNetwork {
            required,
            management,
            migration,
            display,
            default_route,
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
        1 => (0..2_usize).prop_map(|more| GuestTagging::List([7, 1].map(vlan)[..=more].to_vec())),
        1 => Just(GuestTagging::Any),
        1 => Just(GuestTagging::Unspecified),
    ];
    let failover = prop::option::of((one_of(&NETWORKS), one_of(&PROFILES)));
    let attachments = prop_oneof![
        4 => Just(VnicAttachment::Bridge),
        1 => failover.prop_map(|failover| {
            let failover = failover.map(|(network, profile)| (network_name(network), id(profile)));
            VnicAttachment::Passthrough(Passthrough { migratable: true, failover })
        }),
    ];
    (one_of(&NETWORKS), one_of(&PROFILES), filters, tagging, attachments, 0..2_u32).prop_map(
        |(network, name, filter, guest_tagging, attachment, extra_macs_allowed)| VnicProfile {
            filter,
            guest_tagging,
            attachment,
            extra_macs_allowed,
            ..profile(network, name)
        },
    )
}

fn a_pool() -> impl Strategy<Value = MacPool> {
    (0..POOLS.len(), 0..4_u64, any::<bool>()).prop_map(|(number, first, allow_duplicates)| {
        let first = u64::try_from(number).unwrap() * 3 + first;
        MacPool { allow_duplicates, ..pool(POOLS[number], first, first + 2) }
    })
}

fn a_vm() -> impl Strategy<Value = Vm> {
    let hosts = prop_oneof![1 => Just(None), 1 => one_of(&HOSTS).prop_map(Some)];
    (VMS, one_of(&CLUSTERS), hosts, prop::bool::weighted(0.1)).prop_map(|(number, cluster, host, bypasses_filters)| {
        Vm { host: host.map(host_name), bypasses_filters, ..vm(number, cluster) }
    })
}

fn a_vnic() -> impl Strategy<Value = Vnic> {
    let macs = prop_oneof![2 => Just(None), 1 => (0..12_u64).prop_map(|number| Some(mac(number)))];
    let places = prop::option::weighted(0.9, (one_of(&NETWORKS), one_of(&PROFILES)));
    let extra = prop::collection::vec((0..12_u64).prop_map(mac), 0..2);
    let flags = (prop::bool::weighted(0.8), prop::bool::weighted(0.1));
    (VMS, one_of(&VNICS), macs, places, extra, flags).prop_map(|(number, name, mac, place, extra_macs, flags)| Vnic {
        id: id(name),
        mac,
        profile: place.map(|(network, profile)| (network_name(network), id(profile))),
        plugged: flags.0,
        bypasses_filter: flags.1,
        extra_macs: extra_macs.into_iter().filter(|extra| Some(*extra) != mac).collect(),
        ..vnic(number, "blue", "guests")
    })
}

fn a_host() -> impl Strategy<Value = Host> {
    let labels = prop::collection::btree_map(a_label(), one_of(&["eth0", "eth1", "bond0"]).prop_map(device), 0..2);
    (one_of(&HOSTS), one_of(&CLUSTERS), any::<bool>(), labels)
        .prop_map(|(name, cluster, maintenance, nic_labels)| Host { maintenance, nic_labels, ..host(name, cluster) })
}

fn a_label() -> impl Strategy<Value = NicLabel> {
    one_of(&["guests", "rest"]).prop_map(|text| NicLabel::parse(text).unwrap())
}

fn a_bond() -> impl Strategy<Value = Bond> {
    let modes = prop_oneof![3 => Just(BondMode::ActiveBackup), 1 => Just(BondMode::BalanceRr)];
    let nics = prop::sample::subsequence(vec!["eth0", "eth1", "eth2"], 1..=3);
    (one_of(&HOSTS), one_of(&BONDS), nics, modes)
        .prop_map(|(host, name, nics, mode)| Bond { options: BondOptions::of(mode), ..bond(host, name, &nics) })
}

fn an_attachment() -> impl Strategy<Value = NetworkAttachment> {
    let nics = prop_oneof![
        3 => one_of(&NICS).prop_map(|nic| Some(Southbound::Nic(device(nic)))),
        1 => one_of(&BONDS).prop_map(|bond| Some(Southbound::Bond(device(bond)))),
        1 => Just(None),
    ];
    let routes = prop_oneof![3 => Just(None), 1 => Just(Some("192.0.2.1"))];
    let lasts = prop_oneof![3 => (2..250_u8).prop_map(Some), 1 => Just(None)];
    (one_of(&HOSTS), one_of(&NETWORKS), nics, routes, lasts).prop_map(|(host, network, southbound, gateway, last)| {
        let gateway = gateway.filter(|_| last.is_some());
        let address = |last| crate::fixture::ipv4(&format!("192.0.2.{last}/24"), gateway);
        NetworkAttachment {
            southbound,
            ipv4: last.map_or(trestle_model::Ipv4Config::None, address),
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
