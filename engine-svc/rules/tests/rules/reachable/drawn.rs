//! What may happen, drawn at random: any change, sensible or not, and any report.

use super::*;

pub(super) fn happening() -> impl Strategy<Value = Happening> {
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
