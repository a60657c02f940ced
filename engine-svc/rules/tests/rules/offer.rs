//! Which hosts a virtual machine is offered.

use trestle_model::fleet::{
    Cluster, ClusterNetwork, Entity, EntityId, Fleet, GuestTagging, Host, HostRecord, Mutation, Network, NetworkFilter,
    SwitchType, Vm, Vnic, VnicProfile,
};
use trestle_model::{
    Capabilities, Code, DriftKind, Feature, FilterEffects, MacTableManager, NetworkReport, NicReport, Repair,
    RepairState, Severity, SourceMacs, VirtualFunction, VirtualFunctions,
};
use trestle_rules::{Contact, Guest, Standing, not_offered, obstacles};

use crate::fixture::{
    attachment, cluster, cluster_network, device, domain, fleet, host, host_name, id, mac, managed, network,
    network_name, obedient, passthrough, profile, vlan, vm, vm_id, vm_name, vnic, without,
};

/// `blue`, managed, and `red` on the NICs of h1; a VM that does not run, with a vNIC on `blue`.
fn ordinary() -> Fleet {
    let mut fleet = fleet([
        Entity::Cluster(cluster("main")),
        Entity::Cluster(cluster("other")),
        Entity::Network(managed("blue")),
        Entity::Network(network("red")),
        Entity::ClusterNetwork(cluster_network("main", "blue")),
        Entity::ClusterNetwork(cluster_network("main", "red")),
        Entity::VnicProfile(profile("blue", "guests")),
        Entity::Host(host("h1", "main")),
        Entity::NetworkAttachment(attachment("h1", "blue", "eth0")),
        Entity::NetworkAttachment(attachment("h1", "red", "eth1")),
        Entity::Vm(vm(1, "main")),
        Entity::Vnic(vnic(1, "blue", "guests")),
    ]);
    fleet.observe(host_name("h1"), obedient(&fleet, "h1"));
    fleet
}

fn put(fleet: &mut Fleet, entity: Entity) {
    fleet.apply(Mutation::Put(entity));
}

/// The ordinary fleet with one more entity, and a host that has heard of it.
fn with(entity: Entity) -> Fleet {
    let mut fleet = ordinary();
    put(&mut fleet, entity);
    fleet.observe(host_name("h1"), obedient(&fleet, "h1"));
    fleet
}

/// The ordinary fleet with another report of its host.
fn reporting(change: impl Fn(&mut Capabilities)) -> Fleet {
    reporting_of(ordinary(), change)
}

fn reporting_of(mut fleet: Fleet, change: impl Fn(&mut Capabilities)) -> Fleet {
    let mut record: HostRecord = obedient(&fleet, "h1");
    change(record.capabilities.as_mut().unwrap());
    fleet.observe(host_name("h1"), record);
    fleet
}

fn blue(capabilities: &mut Capabilities) -> &mut NetworkReport {
    let is_blue = |report: &&mut NetworkReport| report.configured.spec.name == network_name("blue");
    capabilities.networks.iter_mut().find(is_blue).unwrap()
}

fn told(fleet: &Fleet, standing: &Standing) -> Vec<(Severity, Code)> {
    let (vm, h1) = (fleet.vms().get(&vm_id(1)).unwrap(), fleet.hosts().get(&host_name("h1")).unwrap());
    let found = obstacles(&Guest::of(vm, fleet), h1, fleet, standing);
    for finding in &found {
        assert_eq!((finding.subject.as_str(), finding.field.as_str()), ("hosts/h1", ""), "{finding:?}");
        assert!(!finding.message.is_empty() && !finding.remedy.is_empty(), "{finding:?}");
    }
    found.into_iter().map(|finding| (finding.severity, finding.code)).collect()
}

fn check(fleet: &Fleet, codes: &[Code]) {
    let errors: Vec<_> = codes.iter().map(|code| (Severity::Error, *code)).collect();
    assert_eq!(told(fleet, &Standing::default()), errors);
}

#[test]
fn a_host_that_runs_the_networks_is_offered() {
    check(&ordinary(), &[]);
}

#[test]
fn a_host_is_not_offered_where_a_network_of_the_vm_is_not() {
    let mut fleet = ordinary();
    fleet.apply(Mutation::Delete(EntityId::NetworkAttachment(host_name("h1"), network_name("blue"))));
    check(&fleet, &[Code::NetworkNotOnHost]);
    check(
        &reporting(|host| host.networks.retain(|r| r.configured.spec.name == network_name("red"))),
        &[Code::NetworkOutOfSync],
    );
    check(&reporting(|host| blue(host).configured.spec.vlan = Some(vlan(9))), &[Code::NetworkOutOfSync]);
    check(&reporting(|host| host.nics[0].carrier = false), &[Code::UplinkDown]);
    check(&reporting(|host| host.nics[1].carrier = false), &[]);
    check(&reporting(|host| host.networks.retain(|r| r.configured.spec.name == network_name("blue"))), &[]);
}

#[test]
fn of_a_managed_network_whatever_differs_is_in_the_way() {
    let drifted = |host: &mut Capabilities| {
        blue(host).drift = vec!["port vnet0 learns".to_owned()];
        let repair = Repair { kind: DriftKind::MacTables, state: RepairState::Due, attempts: 0, reason: String::new() };
        blue(host).repairs = vec![repair];
    };
    let by_kernel = |host: &mut Capabilities| {
        if let Some(table) = &mut blue(host).mac_table {
            table.manager = Some(MacTableManager::Kernel);
        }
    };
    check(&reporting(drifted), &[Code::NetworkOutOfSync]);
    check(&reporting(by_kernel), &[Code::NetworkOutOfSync]);
    let plain = with(Entity::Network(network("blue")));
    check(&reporting_of(plain, drifted), &[]);
    // What is left to others breaks nothing of what the network promises.
    let others = "MAC 02:00:00:00:00:01 of blue entry: expected absent, is static on vnet0, by somebody else";
    check(&reporting(|host| blue(host).left_alone = vec![others.to_owned()]), &[]);
}

#[test]
fn a_host_that_is_not_up_is_not_offered_also_for_what_the_vm_does_not_need() {
    let silent = Standing { contact: Contact::Silent, ..Standing::default() };
    assert_eq!(told(&ordinary(), &silent), [(Severity::Error, Code::HostNotUp)]);
    check(&with(Entity::Host(Host { maintenance: true, ..host("h1", "main") })), &[Code::HostNotUp]);
    let required = with(Entity::ClusterNetwork(ClusterNetwork { required: true, ..cluster_network("main", "red") }));
    check(&reporting_of(required, |host| host.nics[1].carrier = false), &[Code::HostNotUp]);
}

#[test]
fn a_capability_that_is_lost_stops_placement() {
    let lost = |feature| move |host: &mut Capabilities| host.features = without(feature);
    check(&reporting(lost(Feature::BridgeVlanFiltering)), &[Code::HostUnsupported]);
    check(&reporting(lost(Feature::LibvirtMacTableManager)), &[Code::HostUnsupported]);
    let mut lists = with(Entity::VnicProfile(VnicProfile { extra_macs_allowed: 1, ..profile("blue", "guests") }));
    put(&mut lists, Entity::Vnic(Vnic { extra_macs: vec![mac(99)], ..vnic(1, "blue", "guests") }));
    check(&lists, &[]);
    check(&reporting_of(lists, lost(Feature::GuestPorts)), &[Code::ExtraMacsUnsupported]);
    let tags = VnicProfile { guest_tagging: GuestTagging::List(vec![vlan(7)]), ..profile("blue", "guests") };
    check(&reporting_of(with(Entity::VnicProfile(tags)), lost(Feature::GuestPorts)), &[Code::GuestVlansUnsupported]);
    let locks = Network { source_macs: SourceMacs::Locked, ..managed("blue") };
    check(&reporting_of(with(Entity::Network(locks)), lost(Feature::PortLocked)), &[Code::HostUnsupported]);
    let plain = with(Entity::Network(network("blue")));
    check(&reporting_of(plain, lost(Feature::LibvirtMacTableManager)), &[]);
}

#[test]
fn a_filter_that_somebody_weakened_on_a_host_is_in_the_way() {
    let changed = |name: &str, stops_mac_spoofing| {
        let name = name.to_owned();
        move |host: &mut Capabilities| {
            let effects = FilterEffects { stops_mac_spoofing, stops_guest_tags: false, lets_guest_send: true };
            host.libvirt.filters.insert(name.clone(), effects);
        }
    };
    check(&reporting(changed("no-mac-spoofing", true)), &[]);
    check(&reporting(changed("no-mac-spoofing", false)), &[Code::MacSpoofConflict]);
    check(&reporting(changed("clean-traffic", false)), &[]);
    let plain = with(Entity::Network(network("blue")));
    check(&reporting_of(plain, changed("no-mac-spoofing", false)), &[]);
    let named = NetworkFilter::Named("clean-traffic".to_owned());
    let named = with(Entity::VnicProfile(VnicProfile { filter: named, ..profile("blue", "guests") }));
    check(&reporting_of(named, changed("clean-traffic", false)), &[Code::MacSpoofConflict]);
}

#[test]
fn a_host_of_another_cluster_or_of_open_vswitch_is_not_offered() {
    let mut fleet = ordinary();
    put(&mut fleet, Entity::Host(host("h1", "other")));
    check(&fleet, &[Code::HostNotInCluster]);
    let ovs = with(Entity::Cluster(Cluster { switch_type: SwitchType::Ovs, ..cluster("main") }));
    check(&ovs, &[Code::SwitchTypeUnsupported]);
}

#[test]
fn a_mac_that_is_on_the_network_already_is_in_the_way_or_told() {
    let mut twice = ordinary();
    put(&mut twice, Entity::Vm(vm(2, "main")));
    put(&mut twice, Entity::Vnic(Vnic { mac: Some(mac(1)), ..vnic(2, "blue", "guests") }));
    check(&twice, &[Code::DuplicateMac]);
    let unmanaged = reporting_of(
        {
            put(&mut twice, Entity::Network(network("blue")));
            twice
        },
        |_| {},
    );
    assert_eq!(told(&unmanaged, &Standing::default()), [(Severity::Warning, Code::DuplicateMac)], "offered, and told");
    let reported = |number| {
        move |host: &mut Capabilities| {
            let mut report = domain(number, "blue", mac(1), Some("no-mac-spoofing"));
            report.interfaces[0].bridge = None;
            host.domains = vec![report];
        }
    };
    check(&reporting(reported(9)), &[Code::DuplicateMac]);
    check(&reporting(reported(1)), &[]);
}

#[test]
fn passthrough_needs_a_free_virtual_function_of_the_networks_nic() {
    let function = |device_name: Option<&str>, uppers: &[&str]| VirtualFunction {
        driver: Some("vf".to_owned()),
        device: device_name.map(device),
        uppers: uppers.iter().map(|name| (*name).to_owned()).collect(),
        ..VirtualFunction::default()
    };
    let functions = |nic: &mut NicReport, functions: Vec<VirtualFunction>| {
        nic.settings.vfs = Some(VirtualFunctions { most: 4, functions });
    };
    let fleet = || with(Entity::VnicProfile(passthrough("blue", "guests", None)));
    let of = |list: Vec<VirtualFunction>| reporting_of(fleet(), move |host| functions(&mut host.nics[0], list.clone()));
    check(&of(vec![function(None, &[]), function(Some("eth0v1"), &[])]), &[]);
    check(&of(vec![function(None, &[]), function(Some("eth0v1"), &["macvtap0"])]), &[Code::NoFreeVf]);
    check(&of(Vec::new()), &[Code::NoFreeVf]);
    check(&reporting_of(fleet(), |_| {}), &[Code::NoFreeVf]);
    let mut there = of(Vec::new());
    put(&mut there, Entity::Vm(Vm { host: Some(host_name("h1")), ..vm(1, "main") }));
    check(&there, &[]);
}

#[test]
fn what_is_not_plugged_or_has_no_network_needs_nothing() {
    let unplugged = Vnic { plugged: false, ..vnic(1, "blue", "guests") };
    let gone = |entity| reporting_of(with(entity), |host| host.networks.clear());
    check(&gone(Entity::Vnic(unplugged)), &[]);
    check(&gone(Entity::Vnic(Vnic { profile: None, ..vnic(1, "blue", "guests") })), &[]);
}

#[test]
fn one_that_does_not_exist_yet_is_offered_hosts_of_its_cluster() {
    let fleet = ordinary();
    let h1 = fleet.hosts().get(&host_name("h1")).unwrap();
    let found = |cluster: &str, vnics: Vec<Vnic>| {
        let guest = Guest { vm: None, cluster: id(cluster), vnics };
        let found = obstacles(&guest, h1, &fleet, &Standing::default());
        found.into_iter().map(|finding| finding.code).collect::<Vec<_>>()
    };
    let new = |mac| Vnic { vm: vm_id(0), mac, ..vnic(0, "blue", "guests") };
    assert_eq!(found("main", vec![new(None)]), []);
    assert_eq!(found("main", vec![new(Some(mac(1)))]), [Code::DuplicateMac]);
    assert_eq!(found("other", vec![new(None)]), [Code::NetworkNotInCluster, Code::HostNotInCluster]);
}

#[test]
fn who_says_where_a_vm_runs_is_told_that_the_host_was_not_offered() {
    let here = Vm { host: Some(host_name("h1")), ..vm(1, "main") };
    let told = |fleet: &Fleet, contact| not_offered(&here, fleet, |_| Standing { contact, ..Standing::default() });
    assert_eq!(told(&ordinary(), Contact::Heard), None);
    let finding = told(&ordinary(), Contact::Silent).unwrap();
    assert_eq!((finding.severity, finding.code), (Severity::Info, Code::HostNotOffered));
    assert_eq!((finding.subject, finding.field.as_str()), (vm_name(1), "vm.spec.host"));
    assert_eq!(finding.related, ["hosts/h1"]);
    let mut there = ordinary();
    put(&mut there, Entity::Vm(here.clone()));
    assert_eq!(told(&there, Contact::Silent), None, "it is there already");
    let mut refused = ordinary();
    refused.apply(Mutation::Delete(EntityId::NetworkAttachment(host_name("h1"), network_name("blue"))));
    assert_eq!(told(&refused, Contact::Heard), None, "rules refuse it");
}
