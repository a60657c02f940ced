//! The rules of every fleet for VMs, vNICs, profiles' further fields and MAC pools.

use trestle_model::fleet::{
    Cluster, ClusterNetwork, Entity, EntityId, Fleet, GuestTagging, Host, MacConflictPolicy, MacPool, Mutation,
    Nesting, Network, NetworkFilter, Passthrough, Vm, Vnic, VnicAttachment, VnicProfile,
};
use trestle_model::{Code, Feature, MacRange, MacTableManager, NicLabel, Severity};
use trestle_rules::Fix;

use crate::fixture::{
    Told, attachment, bond, capable, cluster, cluster_network, delete, device, error, fleet, found, host, host_name,
    id, info, mac, managed, network, network_name, passthrough, pool, profile, put, report, vlan, vm, vm_id, vm_name,
    vnic, warning, without,
};

/// A cluster with a pool of four addresses, `blue` on its host, and a VM on the host with a vNIC from the pool; VM 2
/// is in a cluster without a pool.
fn ordinary() -> Fleet {
    let pooled = Vnic { mac: None, pooled_mac: Some(mac(0)), ..vnic(1, "blue", "guests") };
    fleet([
        Entity::MacPool(pool("p", 0, 3)),
        Entity::Cluster(Cluster { mac_pool: Some(id("p")), ..cluster("main") }),
        Entity::Cluster(cluster("other")),
        Entity::Network(network("blue")),
        Entity::Network(network("red")),
        Entity::ClusterNetwork(cluster_network("main", "blue")),
        Entity::ClusterNetwork(cluster_network("other", "red")),
        Entity::VnicProfile(profile("blue", "guests")),
        Entity::VnicProfile(profile("red", "guests")),
        Entity::Host(host("h1", "main")),
        Entity::NetworkAttachment(attachment("h1", "blue", "eth0")),
        Entity::Vm(Vm { host: Some(host_name("h1")), ..vm(1, "main") }),
        Entity::Vm(vm(2, "other")),
        Entity::Vm(vm(3, "main")),
        Entity::Vnic(pooled),
    ])
}

fn with(entities: impl IntoIterator<Item = Entity>) -> Fleet {
    let mut fleet = ordinary();
    for entity in entities {
        fleet.apply(Mutation::Put(entity));
    }
    fleet
}

/// A vNIC of VM 3 that takes its address from the pool.
fn from_pool(name: &str) -> Vnic {
    Vnic { id: id(name), mac: None, ..vnic(3, "blue", "guests") }
}

/// Writes what is allowed, and returns the vNIC as it is then.
fn write(fleet: &mut Fleet, vnic: Vnic) -> Result<Vnic, Vec<Told>> {
    let proposal = trestle_rules::propose(Mutation::Put(Entity::Vnic(vnic)), Fix::Leave, fleet);
    if proposal.findings.refuses(&[]) {
        return Err(put(fleet, entity_of(proposal.mutations)));
    }
    let Entity::Vnic(vnic) = entity_of(proposal.mutations) else { panic!("a vNIC was proposed") };
    fleet.apply(Mutation::Put(Entity::Vnic(vnic.clone())));
    Ok(vnic)
}

fn entity_of(mutations: Vec<Mutation>) -> Entity {
    match mutations.into_iter().next() {
        Some(Mutation::Put(entity)) => entity,
        other => panic!("{other:?} was proposed"),
    }
}

fn check(entity: Entity, expected: &[Told]) {
    assert_eq!(put(&ordinary(), entity), expected);
}

#[test]
fn accepts_every_entity_of_an_ordinary_fleet_again() {
    let fleet = ordinary();
    let ids = [
        EntityId::MacPool(id("p")),
        EntityId::Cluster(id("main")),
        EntityId::Vm(vm_id(1)),
        EntityId::Vnic(vm_id(1), id("eth0")),
    ];
    for id in ids {
        assert_eq!(put(&fleet, fleet.entity(&id).unwrap()), [], "{id}");
    }
}

#[test]
fn refuses_references_to_what_does_not_exist() {
    let missing = |field: &str, name: &str| error(Code::ReferenceNotFound, field, &[name]);
    check(
        Entity::Cluster(Cluster { mac_pool: Some(id("none")), ..cluster("main") }),
        &[missing("cluster.spec.mac_pool", "macPools/none")],
    );
    check(Entity::Vm(vm(7, "nowhere")), &[missing("vm.spec.cluster", "clusters/nowhere")]);
    let lost = Vm { host: Some(host_name("h9")), ..vm(7, "main") };
    check(Entity::Vm(lost), &[missing("vm.spec.host", "hosts/h9")]);
    check(
        Entity::Vnic(vnic(7, "blue", "nothing")),
        &[missing("vnic.name", &vm_name(7)), missing("vnic.spec.profile", "networks/blue/vnicProfiles/nothing")],
    );
    check(
        Entity::VnicProfile(passthrough("blue", "fast", Some(("red", "nothing")))),
        &[missing("vnic_profile.spec.passthrough.failover", "networks/red/vnicProfiles/nothing")],
    );
}

#[test]
fn what_refers_to_nothing_is_judged_as_far_as_it_can_be() {
    let missing = |field: &str, name: &str| error(Code::ReferenceNotFound, field, &[name]);
    let mut fleet = with([
        Entity::Network(managed("blue")),
        Entity::VnicProfile(VnicProfile { filter: NetworkFilter::None, ..profile("blue", "open") }),
    ]);
    // Beside the VM: its profile lets it spoof, allows no extra MACs, and it lists its own; and somebody has it plugged.
    let own = mac(0);
    let lost = Vnic { mac: Some(own), extra_macs: vec![own], bypasses_filter: true, ..vnic(7, "blue", "open") };
    let other = format!("{}/vnics/eth0", vm_name(1));
    let told = [
        error(Code::MacSpoofBypass, "vnic.spec.bypasses_filter", &["networks/blue"]),
        error(Code::Duplicate, "vnic.spec.extra_macs", &[]),
        error(Code::ExtraMacsOverLimit, "vnic.spec.extra_macs", &["networks/blue/vnicProfiles/open"]),
        error(Code::DuplicateMac, "vnic.spec.mac", &[&other, &other]),
        missing("vnic.name", &vm_name(7)),
        error(Code::MacSpoofConflict, "vnic.spec.profile", &["networks/blue"]),
    ];
    let sorted = |mut told: Vec<Told>| {
        told.sort_by_key(|told| format!("{told:?}"));
        told
    };
    assert_eq!(sorted(put(&fleet, Entity::Vnic(lost))), sorted(told.into()));

    // Beside the network: what passthrough excludes, and a failover to nothing.
    let lost = VnicProfile { port_mirroring: true, ..passthrough("nothing", "fast", Some(("red", "nothing"))) };
    let told = [
        missing("vnic_profile.name", "networks/nothing"),
        missing("vnic_profile.spec.passthrough.failover", "networks/red/vnicProfiles/nothing"),
        error(Code::FieldConflict, "vnic_profile.spec.port_mirroring", &[]),
    ];
    assert_eq!(put(&fleet, Entity::VnicProfile(lost)), told);

    // Beside a network without a bridge: the same.
    fleet.apply(Mutation::Put(Entity::Network(Network { vm_network: false, ..network("green") })));
    let bare = VnicProfile { port_mirroring: true, ..passthrough("green", "fast", None) };
    let told = [
        error(Code::BridgeAttributeOnBridgeless, "vnic_profile.name", &["networks/green"]),
        error(Code::FieldConflict, "vnic_profile.spec.port_mirroring", &[]),
    ];
    assert_eq!(put(&fleet, Entity::VnicProfile(bare)), told);

    // Beside the cluster: a label for a port of a bond.
    fleet.apply(Mutation::Put(Entity::Bond(bond("h1", "bond0", &["eth1", "eth2"]))));
    let nic_labels = [(NicLabel::parse("front").unwrap(), device("eth1"))].into();
    let lost = Host { nic_labels, ..host("h1", "nowhere") };
    let told = [
        missing("host.spec.cluster", "clusters/nowhere"),
        error(Code::NicInUse, "host.spec.nic_labels", &["hosts/h1/bonds/bond0"]),
    ];
    assert_eq!(put(&fleet, Entity::Host(lost)), told);
}

#[test]
fn a_host_joins_where_guests_have_what_they_list() {
    let everywhere = |required| ClusterNetwork { required, ..cluster_network("other", "blue") };
    let fleet = |required, attached: bool| {
        let mut fleet = with([
            Entity::Network(managed("blue")),
            Entity::ClusterNetwork(everywhere(required)),
            Entity::VnicProfile(VnicProfile {
                extra_macs_allowed: 1,
                guest_tagging: GuestTagging::List(vec![vlan(7)]),
                ..profile("blue", "guests")
            }),
            Entity::Vnic(Vnic { extra_macs: vec![mac(99)], ..vnic(3, "blue", "guests") }),
            Entity::Host(host("h2", "main")),
        ]);
        if attached {
            fleet.apply(Mutation::Put(Entity::NetworkAttachment(attachment("h2", "blue", "eth0"))));
        }
        fleet.observe(host_name("h2"), report(without(Feature::GuestPorts), Vec::new()));
        fleet
    };
    let field = "host.spec.cluster";
    let refused = [
        error(Code::ExtraMacsUnsupported, field, &["hosts/h2", &format!("{}/vnics/eth0", vm_name(3))]),
        error(Code::GuestVlansUnsupported, field, &["hosts/h2", "networks/blue/vnicProfiles/guests"]),
    ];
    let moves = || Entity::Host(host("h2", "other"));
    assert_eq!(put(&fleet(false, false), moves()), []);
    assert_eq!(put(&fleet(true, false), moves()), refused);
    assert_eq!(put(&fleet(false, true), moves()), refused);
    // From the other sides: the network is required, and the vNIC comes to it.
    let refused = refused.map(|told| Told { field: "cluster_network.spec.required".to_owned(), ..told });
    let mut there = fleet(false, false);
    there.apply(Mutation::Put(Entity::Host(host("h2", "other"))));
    assert_eq!(put(&there, Entity::ClusterNetwork(everywhere(true))), refused);
    there.apply(Mutation::Put(Entity::ClusterNetwork(everywhere(true))));
    let told = put(&there, there.entity(&EntityId::Vnic(vm_id(3), id("eth0"))).unwrap());
    assert_eq!(told.iter().map(|told| told.code).collect::<Vec<_>>(), refused.map(|told| told.code));
}

#[test]
fn a_profile_comes_to_a_managed_bridge_with_nested_vms_and_virtual_macs_told() {
    let fleet = |nesting| {
        with([
            Entity::Network(managed("blue")),
            Entity::VnicProfile(passthrough("blue", "fast", None)),
            Entity::Vm(Vm { nesting, ..vm(3, "main") }),
            Entity::Vnic(Vnic { virtual_macs: true, ..vnic(3, "blue", "fast") }),
        ])
    };
    let change = Entity::VnicProfile(profile("blue", "fast"));
    let names = [format!("{}/vnics/eth0", vm_name(3))];
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let field = "vnic_profile.spec.passthrough";
    let drops = || warning(Code::VirtualMac, field, &names);
    assert_eq!(put(&fleet(Nesting::None), change.clone()), [drops()]);
    let nested = warning(Code::NestedVirtNoNetwork, field, &[&vm_name(3), names[0]]);
    assert_eq!(put(&fleet(Nesting::Routed), change.clone()), [nested.clone(), drops()]);
    let nested = Told { severity: Severity::Error, ..nested };
    assert_eq!(put(&fleet(Nesting::Bridged), change), [nested, drops()]);
}

#[test]
fn refuses_to_remove_what_is_in_use_and_names_the_users() {
    let fleet = with([Entity::VnicProfile(passthrough("red", "fast", Some(("blue", "guests"))))]);
    let vnic = format!("{}/vnics/eth0", vm_name(1));
    let check = |id: EntityId, expected: &[&str]| {
        assert_eq!(delete(&fleet, id), [error(Code::InUse, "name", expected)]);
    };
    check(EntityId::MacPool(id("p")), &["clusters/main"]);
    check(EntityId::Cluster(id("main")), &["clusters/main/clusterNetworks/blue", "hosts/h1", &vm_name(1), &vm_name(3)]);
    check(EntityId::Host(host_name("h1")), &["hosts/h1/networkAttachments/blue", &vm_name(1)]);
    check(EntityId::Vm(vm_id(1)), &[&vnic]);
    check(EntityId::VnicProfile(network_name("blue"), id("guests")), &["networks/red/vnicProfiles/fast", &vnic]);
    check(EntityId::NetworkAttachment(host_name("h1"), network_name("blue")), &[&vnic]);
    let carried = error(Code::NetworkNotInCluster, "name", &["hosts/h1/networkAttachments/blue"]);
    let used = error(Code::InUse, "name", &[&vnic]);
    assert_eq!(delete(&fleet, EntityId::ClusterNetwork(id("main"), network_name("blue"))), [used, carried]);
    assert_eq!(delete(&fleet, EntityId::Vnic(vm_id(1), id("eth0"))), []);
}

#[test]
fn a_network_leaves_a_host_once_what_runs_there_is_unplugged() {
    let unplugged = Vnic { plugged: false, ..vnic(1, "blue", "guests") };
    let fleet = with([Entity::Vnic(unplugged)]);
    assert_eq!(delete(&fleet, EntityId::NetworkAttachment(host_name("h1"), network_name("blue"))), []);
}

#[test]
fn a_vm_and_its_host_are_in_one_cluster() {
    let on_host = Vm { host: Some(host_name("h1")), ..vm(2, "other") };
    check(Entity::Vm(on_host), &[error(Code::HostNotInCluster, "vm.spec.host", &["hosts/h1"])]);
    let blue = error(Code::NetworkNotInCluster, "host.spec.cluster", &["hosts/h1/networkAttachments/blue"]);
    let vms = error(Code::HostNotInCluster, "host.spec.cluster", &[&vm_name(1)]);
    check(Entity::Host(host("h1", "other")), &[blue, vms]);
}

#[test]
fn a_vm_runs_where_the_networks_of_its_plugged_vnics_are() {
    let fleet = with([Entity::Host(host("h2", "main"))]);
    let moved = Vm { host: Some(host_name("h2")), ..vm(1, "main") };
    let missing = error(Code::NetworkNotOnHost, "vm.spec.host", &["networks/blue"]);
    assert_eq!(put(&fleet, Entity::Vm(moved)), [missing]);
    let fleet = with([
        Entity::ClusterNetwork(cluster_network("main", "red")),
        Entity::Vm(Vm { host: Some(host_name("h1")), ..vm(3, "main") }),
    ]);
    let red = vnic(3, "red", "guests");
    assert_eq!(
        put(&fleet, Entity::Vnic(red.clone())),
        [error(Code::NetworkNotOnHost, "vnic.spec.profile", &["hosts/h1"])]
    );
    assert_eq!(put(&fleet, Entity::Vnic(Vnic { plugged: false, ..red })), []);
}

#[test]
fn a_vnics_network_is_in_the_cluster_of_its_vm() {
    let red = vnic(3, "red", "guests");
    check(Entity::Vnic(red), &[error(Code::NetworkNotInCluster, "vnic.spec.profile", &["clusters/main"])]);
    let moved = vm(1, "other");
    let vnic = format!("{}/vnics/eth0", vm_name(1));
    check(Entity::Vm(moved), &[error(Code::NetworkNotInCluster, "vm.spec.cluster", &[&vnic])]);
}

#[test]
fn a_pool_gives_each_vnic_the_lowest_free_address_and_says_when_it_is_low_or_exhausted() {
    let mut fleet = ordinary();
    let last = info(Code::MacPoolExhausted, "vnic.spec.mac", &["macPools/p"]);
    for (name, address) in [("eth0", 1), ("eth1", 2), ("eth2", 3)] {
        let told = put(&fleet, Entity::Vnic(from_pool(name)));
        assert_eq!(told, if address == 3 { vec![last.clone()] } else { Vec::new() });
        assert_eq!(write(&mut fleet, from_pool(name)).unwrap().address(), Some(mac(address)));
    }
    let exhausted = vec![error(Code::MacPoolExhausted, "vnic.spec.mac", &["macPools/p"])];
    assert_eq!(write(&mut fleet, from_pool("eth3")), Err(exhausted));
    fleet.apply(Mutation::Delete(EntityId::Vnic(vm_id(3), id("eth1"))));
    assert_eq!(write(&mut fleet, from_pool("eth3")).unwrap().address(), Some(mac(2)));
}

#[test]
fn a_vnic_keeps_the_address_that_the_pool_gave_until_it_names_its_own() {
    let mut fleet = ordinary();
    let given = write(&mut fleet, from_pool("eth0")).unwrap();
    let again = Vnic { description: "changed".to_owned(), ..from_pool("eth0") };
    assert_eq!(write(&mut fleet, again).unwrap().pooled_mac, given.pooled_mac);
    let own = Vnic { mac: Some(mac(500)), ..from_pool("eth0") };
    let own = write(&mut fleet, own).unwrap();
    assert_eq!((own.address(), own.pooled_mac), (Some(mac(500)), None));
    assert_eq!(fleet.free_mac(&id("p"), &[]), given.pooled_mac);
}

#[test]
fn a_pool_gives_no_address_that_the_vnic_lists_itself() {
    let limit = Entity::VnicProfile(VnicProfile { extra_macs_allowed: 1, ..profile("blue", "guests") });
    let mut fleet = with([limit]);
    let listed = |number| Vnic { extra_macs: vec![mac(number)], ..from_pool("eth0") };
    assert_eq!(write(&mut fleet, listed(1)).unwrap().address(), Some(mac(2)));
    assert_eq!(write(&mut fleet, listed(2)), Err(vec![error(Code::Duplicate, "vnic.spec.extra_macs", &[])]));
}

#[test]
fn an_address_that_is_given_by_hand_is_not_handed_out_again() {
    let mut fleet = with([Entity::Vnic(Vnic { mac: Some(mac(1)), ..vnic(2, "red", "guests") })]);
    assert_eq!(write(&mut fleet, from_pool("eth0")).unwrap().address(), Some(mac(2)));
}

#[test]
fn addresses_given_by_hand_take_from_the_pool_whose_they_are_and_say_so() {
    let mut fleet = ordinary();
    let by_hand = |name: &str, number| Vnic { mac: Some(mac(number)), ..from_pool(name) };
    assert_eq!(put(&fleet, Entity::Vnic(by_hand("eth0", 2))), []);
    write(&mut fleet, by_hand("eth0", 2)).unwrap();
    write(&mut fleet, from_pool("eth1")).unwrap();
    let last = [info(Code::MacPoolExhausted, "vnic.spec.mac", &["macPools/p"])];
    assert_eq!(put(&fleet, Entity::Vnic(by_hand("eth2", 3))), last);
    assert_eq!(put(&fleet, Entity::Vnic(by_hand("eth2", 500))), [], "an address of no pool");
    write(&mut fleet, by_hand("eth2", 3)).unwrap();
    assert_eq!(put(&fleet, Entity::Vnic(by_hand("eth2", 3))), [], "it has it already");
}

#[test]
fn a_vnic_without_a_pool_has_to_be_given_an_address() {
    let bare = Vnic { mac: None, ..vnic(2, "red", "guests") };
    check(Entity::Vnic(bare), &[error(Code::FieldMissing, "vnic.spec.mac", &["clusters/other"])]);
}

#[test]
fn a_mac_is_once_in_a_pool_that_allows_no_duplicates_and_once_plugged_on_a_network() {
    let taken = format!("{}/vnics/eth0", vm_name(1));
    let duplicate = error(Code::DuplicateMac, "vnic.spec.mac", &[&taken]);
    let same = Vnic { mac: Some(mac(0)), plugged: false, ..vnic(3, "blue", "guests") };
    check(Entity::Vnic(same.clone()), &[duplicate]);
    let extra = Vnic { mac: Some(mac(9)), extra_macs: vec![mac(0)], ..same.clone() };
    let limit = Entity::VnicProfile(VnicProfile { extra_macs_allowed: 1, ..profile("blue", "guests") });
    assert_eq!(put(&with([limit]), Entity::Vnic(extra)), [error(Code::DuplicateMac, "vnic.spec.mac", &[&taken])]);

    let allows = Entity::MacPool(MacPool { allow_duplicates: true, ..pool("p", 0, 3) });
    let fleet = with([allows]);
    assert_eq!(put(&fleet, Entity::Vnic(same.clone())), []);
    let plugged = Vnic { plugged: true, ..same };
    let warned = warning(Code::DuplicateMac, "vnic.spec.mac", &[&taken]);
    assert_eq!(put(&fleet, Entity::Vnic(plugged)), [warned]);
}

#[test]
fn duplicates_are_in_the_way_of_a_pool_that_forbids_them() {
    let twice = Entity::Vnic(Vnic { mac: Some(mac(0)), plugged: false, ..vnic(3, "blue", "guests") });
    let allows = MacPool { allow_duplicates: true, ..pool("p", 0, 3) };
    let fleet = with([Entity::MacPool(allows), twice]);
    let vnics = [format!("{}/vnics/eth0", vm_name(1)), format!("{}/vnics/eth0", vm_name(3))];
    let names: Vec<&str> = vnics.iter().map(String::as_str).collect();
    assert_eq!(
        put(&fleet, Entity::MacPool(pool("p", 0, 3))),
        [error(Code::DuplicateMac, "mac_pool.spec.allow_duplicates", &names)]
    );
    let mut bare = fleet.clone();
    bare.apply(Mutation::Put(Entity::Cluster(cluster("main"))));
    bare.apply(Mutation::Put(Entity::MacPool(pool("p", 0, 3))));
    assert_eq!(
        put(&bare, Entity::Cluster(Cluster { mac_pool: Some(id("p")), ..cluster("main") })),
        [error(Code::DuplicateMac, "cluster.spec.mac_pool", &names)]
    );
}

#[test]
fn a_moving_vm_brings_no_duplicate_into_the_pool_of_its_new_cluster() {
    let fleet = with([Entity::Vnic(Vnic { mac: Some(mac(0)), profile: None, ..vnic(2, "red", "guests") })]);
    let taken = format!("{}/vnics/eth0", vm_name(1));
    assert_eq!(put(&fleet, Entity::Vm(vm(2, "main"))), [error(Code::DuplicateMac, "vm.spec.cluster", &[&taken])]);
}

#[test]
fn ranges_overlap_neither_in_a_pool_nor_between_pools() {
    let range = |first, last| MacRange::new(mac(first), mac(last)).unwrap();
    let twice = MacPool { ranges: vec![range(10, 19), range(19, 20)], ..pool("q", 0, 0) };
    check(Entity::MacPool(twice), &[error(Code::MacPoolOverlap, "mac_pool.spec.ranges[1]", &[])]);
    check(Entity::MacPool(pool("q", 3, 9)), &[error(Code::MacPoolOverlap, "mac_pool.spec.ranges[0]", &["macPools/p"])]);
    check(Entity::MacPool(pool("q", 4, 9)), &[]);
}

#[test]
fn a_vnic_lists_as_many_extra_macs_as_its_profile_allows() {
    let limit = |allowed| Entity::VnicProfile(VnicProfile { extra_macs_allowed: allowed, ..profile("blue", "guests") });
    let two = Entity::Vnic(Vnic { extra_macs: vec![mac(100), mac(101)], ..vnic(3, "blue", "guests") });
    let over = error(Code::ExtraMacsOverLimit, "vnic.spec.extra_macs", &["networks/blue/vnicProfiles/guests"]);
    assert_eq!(put(&with([limit(1)]), two.clone()), [over]);
    assert_eq!(put(&with([limit(2)]), two.clone()), []);
    let vnic = format!("{}/vnics/eth0", vm_name(3));
    assert_eq!(
        put(&with([limit(2), two]), limit(1)),
        [error(Code::ExtraMacsOverLimit, "vnic_profile.spec.extra_macs_allowed", &[&vnic])]
    );
}

#[test]
fn passthrough_excludes_what_needs_a_port() {
    let fast = VnicProfile {
        filter: NetworkFilter::Named("clean-traffic".to_owned()),
        port_mirroring: true,
        ..passthrough("blue", "fast", None)
    };
    check(
        Entity::VnicProfile(fast),
        &[
            error(Code::FieldConflict, "vnic_profile.spec.network_filter", &[]),
            error(Code::FieldConflict, "vnic_profile.spec.port_mirroring", &[]),
        ],
    );
}

#[test]
fn a_failover_has_a_bridge_is_another_profile_and_takes_vms_that_migrate() {
    const FIELD: &str = "vnic_profile.spec.passthrough.failover";
    let (fast, guests) = ("networks/blue/vnicProfiles/fast", "networks/blue/vnicProfiles/guests");
    let itself = passthrough("blue", "fast", Some(("blue", "fast")));
    check(Entity::VnicProfile(itself), &[error(Code::FailoverInvalid, FIELD, &[fast])]);
    let failover = Some((network_name("blue"), id("guests")));
    let stays = VnicAttachment::Passthrough(Passthrough { migratable: false, failover });
    let stays = VnicProfile { attachment: stays, ..profile("blue", "fast") };
    check(Entity::VnicProfile(stays), &[error(Code::FailoverInvalid, FIELD, &[guests])]);
    let fleet = with([Entity::VnicProfile(passthrough("blue", "fast", Some(("blue", "guests"))))]);
    let onto = passthrough("blue", "faster", Some(("blue", "fast")));
    assert_eq!(put(&fleet, Entity::VnicProfile(onto)), [error(Code::FailoverInvalid, FIELD, &[fast])]);
    let becomes = passthrough("blue", "guests", None);
    assert_eq!(
        put(&fleet, Entity::VnicProfile(becomes)),
        [error(Code::FailoverInvalid, "vnic_profile.spec.passthrough", &[fast])]
    );
}

#[test]
fn profiles_are_fixed_in_the_same_write() {
    let open = |name| VnicProfile { filter: NetworkFilter::None, ..profile("blue", name) };
    let fleet = with([Entity::VnicProfile(open("open")), Entity::VnicProfile(passthrough("blue", "fast", None))]);
    let on = Mutation::Put(Entity::Network(managed("blue")));
    let proposal = trestle_rules::propose(on, Fix::Profiles, &fleet);
    let names: Vec<String> = proposal.mutations.iter().map(|mutation| mutation.id().to_string()).collect();
    assert_eq!(names, ["networks/blue", "networks/blue/vnicProfiles/open"]);
    let codes: Vec<Code> = proposal.findings.0.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, [Code::PassthroughNotManaged, Code::LivePortsPending]);
    let mut after = fleet.clone();
    proposal.mutations.into_iter().for_each(|mutation| after.apply(mutation));
    assert_eq!(put(&after, Entity::Network(managed("blue"))), []);

    let stays = trestle_rules::propose(Mutation::Put(Entity::Network(network("blue"))), Fix::Profiles, &fleet);
    assert_eq!(stays.mutations.len(), 1);
}

#[test]
fn a_cluster_becomes_strict_only_once_nobody_spoofs_on_its_managed_networks() {
    let warns = Cluster { mac_conflict_policy: MacConflictPolicy::Warn, ..cluster("other") };
    let fleet = with([
        Entity::Cluster(warns.clone()),
        Entity::Network(managed("red")),
        Entity::VnicProfile(VnicProfile { filter: NetworkFilter::None, ..profile("red", "guests") }),
    ]);
    let guests = ["networks/red/vnicProfiles/guests"];
    assert_eq!(
        put(&fleet, Entity::Cluster(cluster("other"))),
        [error(Code::MacSpoofConflict, "cluster.spec.mac_conflict_policy", &guests)]
    );
    assert_eq!(put(&fleet, Entity::Cluster(Cluster { description: "new".to_owned(), ..warns })), []);
}

#[test]
fn a_network_in_two_clusters_follows_the_stricter_one() {
    let fleet = with([
        Entity::Cluster(Cluster { mac_conflict_policy: MacConflictPolicy::Warn, ..cluster("other") }),
        Entity::Network(managed("red")),
        Entity::VnicProfile(VnicProfile { filter: NetworkFilter::None, ..profile("red", "guests") }),
    ]);
    let guests = ["networks/red/vnicProfiles/guests"];
    assert_eq!(
        put(&fleet, Entity::ClusterNetwork(cluster_network("main", "red"))),
        [error(Code::MacSpoofConflict, "cluster_network.name", &guests)]
    );
}

/// `blue` is not to be managed, h1 still reports it so.
fn still_managed() -> Fleet {
    let mut fleet = with([Entity::VnicProfile(VnicProfile { filter: NetworkFilter::None, ..profile("blue", "open") })]);
    fleet.observe(host_name("h1"), report(capable(), vec![found("blue", MacTableManager::Libvirt)]));
    fleet
}

#[test]
fn no_guest_gets_a_freedom_while_a_host_reports_its_network_managed() {
    let fleet = still_managed();
    let still = |field: &str| [error(Code::StillManaged, field, &["hosts/h1"])];
    assert_eq!(put(&fleet, Entity::Vnic(vnic(3, "blue", "open"))), still("vnic.spec.profile"));
    let past = Vnic { bypasses_filter: true, ..vnic(3, "blue", "guests") };
    assert_eq!(put(&fleet, Entity::Vnic(past)), still("vnic.spec.bypasses_filter"));
    let past = Vm { bypasses_filters: true, host: Some(host_name("h1")), ..vm(1, "main") };
    assert_eq!(put(&fleet, Entity::Vm(past)), still("vm.spec.bypasses_filters"));
    assert_eq!(put(&fleet, Entity::Vnic(vnic(3, "blue", "guests"))), []);
}

#[test]
fn a_network_keeps_its_bridge_while_vnics_are_on_it() {
    let bare = Network { vm_network: false, ..network("blue") };
    let profiles = ["networks/blue/vnicProfiles/guests"];
    check(Entity::Network(bare), &[error(Code::InUse, "network.spec.vm_network", &profiles)]);
}

#[test]
fn a_profile_comes_to_a_managed_bridge_only_where_hosts_have_entries_for_its_vnics() {
    let allows = |profile| VnicProfile { extra_macs_allowed: 1, ..profile };
    let mut fleet = with([
        Entity::Network(managed("blue")),
        Entity::VnicProfile(allows(passthrough("blue", "guests", None))),
        Entity::Vnic(Vnic { extra_macs: vec![mac(99)], ..vnic(1, "blue", "guests") }),
    ]);
    let change = Entity::VnicProfile(allows(profile("blue", "guests")));
    let refused = |fleet: &Fleet| {
        let told = put(fleet, change.clone()).into_iter();
        told.filter(|told| told.severity == Severity::Error).collect::<Vec<_>>()
    };
    assert_eq!(refused(&fleet), []);
    fleet.observe(host_name("h1"), report(without(Feature::GuestPorts), Vec::new()));
    let names = ["hosts/h1", &format!("{}/vnics/eth0", vm_name(1))];
    assert_eq!(refused(&fleet), [error(Code::ExtraMacsUnsupported, "vnic_profile.spec.passthrough", &names)]);
}

#[test]
fn a_profile_comes_to_a_managed_bridge_only_where_nobody_has_the_macs_of_its_vnics() {
    let twice = |plugged| Vnic { mac: Some(mac(0)), plugged, ..vnic(3, "blue", "fast") };
    let fleet = |plugged| {
        with([
            Entity::MacPool(MacPool { allow_duplicates: true, ..pool("p", 0, 3) }),
            Entity::Network(managed("blue")),
            Entity::VnicProfile(passthrough("blue", "fast", None)),
            Entity::Vnic(twice(plugged)),
        ])
    };
    let change = Entity::VnicProfile(profile("blue", "fast"));
    let vnics = [1, 3].map(|number| format!("{}/vnics/eth0", vm_name(number)));
    let names: Vec<&str> = vnics.iter().map(String::as_str).collect();
    assert_eq!(put(&fleet(true), change.clone()), [error(Code::DuplicateMac, "vnic_profile.spec.passthrough", &names)]);
    assert_eq!(put(&fleet(false), change.clone()), []);

    // Two of its own, none of which was on the bridge.
    let mut both = fleet(true);
    both.apply(Mutation::Put(Entity::Vnic(Vnic { mac: Some(mac(0)), ..vnic(1, "blue", "fast") })));
    let told = [
        info(Code::LivePortsPending, "vnic_profile.name", &names[..1]),
        error(Code::DuplicateMac, "vnic_profile.spec.passthrough", &names),
    ];
    assert_eq!(put(&both, change), told);
}

#[test]
fn a_pool_that_comes_to_allow_duplicates_warns_of_managed_networks() {
    let allows = Entity::MacPool(MacPool { allow_duplicates: true, ..pool("p", 0, 3) });
    assert_eq!(put(&ordinary(), allows.clone()), []);
    let fleet = with([Entity::Network(managed("blue")), Entity::Network(managed("red"))]);
    let field = "mac_pool.spec.allow_duplicates";
    assert_eq!(put(&fleet, allows.clone()), [warning(Code::DuplicateMacPossible, field, &["networks/blue"])]);
    let shared = Entity::Cluster(Cluster { mac_pool: Some(id("p")), ..cluster("other") });
    let two = with([
        Entity::Network(managed("blue")),
        Entity::Network(managed("red")),
        Entity::ClusterNetwork(cluster_network("other", "blue")),
        shared,
    ]);
    let both = ["networks/blue", "networks/red"];
    assert_eq!(put(&two, allows.clone()), [warning(Code::DuplicateMacPossible, field, &both)]);
    let described = MacPool { description: "new".to_owned(), allow_duplicates: true, ..pool("p", 0, 3) };
    let mut allowed = two;
    allowed.apply(Mutation::Put(allows));
    assert_eq!(put(&allowed, Entity::MacPool(described)), []);
}
