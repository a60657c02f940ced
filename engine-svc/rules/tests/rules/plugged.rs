//! What hosts report of guests: in the way of writes, and told of what is plugged.

use trestle_model::fleet::{
    Cluster, Entity, Fleet, MacConflictPolicy, MacPool, Mutation, Network, NetworkFilter, Vm, Vnic, VnicProfile,
};
use trestle_model::{Code, Domain, DomainInterface, DomainState, FilterEffects, Finding, Severity};
use trestle_rules::Fix;

use crate::fixture::{
    Told, attachment, cluster, cluster_network, domain, error, fleet, host, host_name, hosting, id, mac, managed,
    network, pool, profile, put, vm, vnic, warning,
};

const FILTER: &str = "vnic_profile.spec.network_filter";
const MANAGED: &str = "network.spec.manage_macs_with_libvirt";
const MAC: &str = "vnic.spec.mac";
const VNIC: &str = "vms/00000000-0000-0000-0000-000000000001/vnics/eth0";

/// VM 1 on `h1`, with a vNIC on `blue`, and what the host reports.
fn reporting(blue: Network, domains: Vec<Domain>) -> Fleet {
    let mut fleet = fleet([
        Entity::Cluster(cluster("main")),
        Entity::Network(blue),
        Entity::Network(network("red")),
        Entity::ClusterNetwork(cluster_network("main", "blue")),
        Entity::VnicProfile(profile("blue", "guests")),
        Entity::Host(host("h1", "main")),
        Entity::NetworkAttachment(attachment("h1", "blue", "eth0")),
        Entity::Vm(Vm { host: Some(host_name("h1")), ..vm(1, "main") }),
        Entity::Vnic(vnic(1, "blue", "guests")),
    ]);
    fleet.observe(host_name("h1"), hosting(&["blue", "red"], domains));
    fleet
}

/// Severity, code, subject and related resources of everything that guests of `h1` break.
fn broken(fleet: &Fleet) -> Vec<(Severity, Code, String, Vec<String>)> {
    let name = host_name("h1");
    let findings = fleet.interfaces_of(&name).flat_map(|sighting| trestle_rules::violations(fleet, &sighting));
    findings.map(|Finding { severity, code, subject, related, .. }| (severity, code, subject, related)).collect()
}

fn breaks(severity: Severity, code: Code, subject: &str, related: &str) -> (Severity, Code, String, Vec<String>) {
    (severity, code, subject.to_owned(), vec![related.to_owned()])
}

fn on_interface(domain: Domain, change: impl Fn(&mut DomainInterface)) -> Domain {
    let mut domain = domain;
    domain.interfaces.iter_mut().for_each(change);
    domain
}

#[test]
fn a_guest_of_nobodys_breaks_rules_on_a_managed_network_alone() {
    let stranger = || domain(9, "blue", mac(9), None);
    let spoofs = |severity| breaks(severity, Code::MacSpoofConflict, "hosts/h1", "networks/blue");
    assert_eq!(broken(&reporting(network("blue"), vec![stranger()])), []);
    assert_eq!(broken(&reporting(managed("blue"), vec![stranger()])), [spoofs(Severity::Error)]);
    let stopped = Domain { state: DomainState::ShutOff, ..stranger() };
    assert_eq!(broken(&reporting(managed("blue"), vec![stopped])), [spoofs(Severity::Warning)]);
    let past = on_interface(stranger(), |interface| interface.network = None);
    assert_eq!(
        broken(&reporting(managed("blue"), vec![past])),
        [spoofs(Severity::Error), breaks(Severity::Warning, Code::GuestWiredPastLibvirt, "hosts/h1", "networks/blue")]
    );
    assert_eq!(broken(&reporting(managed("blue"), vec![domain(9, "red", mac(9), None)])), []);
}

#[test]
fn filters_are_judged_by_what_they_stop() {
    for (filter, stops) in [
        ("no-mac-spoofing", true),
        ("clean-traffic", true),
        ("clean-traffic-gateway", true),
        ("no-arp-spoofing", false),
        ("no-other-l2-traffic", false),
        ("ours", false),
        ("", false),
    ] {
        let found = broken(&reporting(managed("blue"), vec![domain(9, "blue", mac(9), Some(filter))]));
        assert_eq!(found.is_empty(), stops, "{filter}: {found:?}");
    }
}

#[test]
fn a_vnic_that_is_plugged_with_less_than_its_profile_says_is_told_by_its_name() {
    let plugged = |filter| vec![domain(1, "blue", mac(1), filter)];
    let spoofs = [breaks(Severity::Error, Code::MacSpoofConflict, VNIC, "networks/blue")];
    assert_eq!(broken(&reporting(managed("blue"), plugged(Some("clean-traffic")))), []);
    assert_eq!(broken(&reporting(managed("blue"), plugged(None))), spoofs);
    assert_eq!(broken(&reporting(managed("blue"), plugged(Some("allow-arp")))), spoofs);
    // What its profile allows is told of the profile.
    let mut open = reporting(managed("blue"), plugged(None));
    let profile = VnicProfile { filter: NetworkFilter::None, ..profile("blue", "guests") };
    open.apply(Mutation::Put(Entity::VnicProfile(profile)));
    assert_eq!(broken(&open), []);
}

#[test]
fn what_is_declared_of_another_network_or_of_a_vm_at_rest_counts_for_nothing() {
    let spoofs = [breaks(Severity::Error, Code::MacSpoofConflict, VNIC, "networks/blue")];
    let open = |network: &str| VnicProfile { filter: NetworkFilter::None, ..profile(network, "open") };
    let seen = |entities: Vec<Entity>| {
        let mut fleet = reporting(managed("blue"), vec![domain(1, "blue", mac(1), None)]);
        entities.into_iter().for_each(|entity| fleet.apply(Mutation::Put(entity)));
        broken(&fleet)
    };
    let of = |network: &str| Entity::Vnic(vnic(1, network, "open"));
    assert_eq!(seen(vec![Entity::VnicProfile(open("blue")), of("blue")]), []);
    assert_eq!(seen(vec![Entity::VnicProfile(open("red")), of("red")]), spoofs);
    let without = Vnic { profile: None, ..vnic(1, "blue", "open") };
    assert_eq!(seen(vec![Entity::Vnic(without)]), spoofs);
    let unplugged = Vnic { plugged: false, ..vnic(1, "blue", "open") };
    assert_eq!(seen(vec![Entity::VnicProfile(open("blue")), Entity::Vnic(unplugged)]), spoofs);
    assert_eq!(seen(vec![Entity::VnicProfile(open("blue")), of("blue"), Entity::Vm(vm(1, "main"))]), spoofs);
}

#[test]
fn a_policy_that_warns_does_not_open_a_network_under_a_guest_that_runs_undeclared() {
    let mut fleet = reporting(network("blue"), vec![domain(1, "blue", mac(1), None)]);
    let lenient = Cluster { mac_conflict_policy: MacConflictPolicy::Warn, ..cluster("main") };
    let open = VnicProfile { filter: NetworkFilter::None, ..profile("blue", "guests") };
    for entity in [Entity::Cluster(lenient), Entity::VnicProfile(open), Entity::Vm(vm(1, "main"))] {
        fleet.apply(Mutation::Put(entity));
    }
    let told = put(&fleet, Entity::Network(managed("blue")));
    let field = "network.spec.manage_macs_with_libvirt";
    assert!(told.contains(&error(Code::MacSpoofConflict, field, &[VNIC])), "{told:?}");
}

#[test]
fn a_guest_with_a_vnics_mac_on_its_network_is_a_duplicate() {
    let shares = |severity| breaks(severity, Code::DuplicateMac, "hosts/h1", VNIC);
    let other = |network| vec![domain(9, network, mac(1), Some("no-mac-spoofing"))];
    assert_eq!(broken(&reporting(network("blue"), other("blue"))), [shares(Severity::Error)]);
    assert_eq!(broken(&reporting(network("blue"), other("red"))), []);
    let mut unplugged = reporting(network("blue"), other("blue"));
    unplugged.apply(Mutation::Put(Entity::Vnic(Vnic { plugged: false, ..vnic(1, "blue", "guests") })));
    assert_eq!(broken(&unplugged), []);
    // A vNIC of another network is a stranger here; one of this network was judged when it was written.
    let second = |network: &str| {
        let mut fleet = reporting(self::network("blue"), vec![domain(2, "blue", mac(1), Some("no-mac-spoofing"))]);
        let vnic = Vnic { mac: Some(mac(1)), ..vnic(2, network, "guests") };
        for entity in [Entity::Vm(vm(2, "main")), Entity::VnicProfile(profile("red", "guests")), Entity::Vnic(vnic)] {
            fleet.apply(Mutation::Put(entity));
        }
        broken(&fleet)
    };
    let second_vnic = "vms/00000000-0000-0000-0000-000000000002/vnics/eth0";
    assert_eq!(second("red"), [breaks(Severity::Error, Code::DuplicateMac, second_vnic, VNIC)]);
    assert_eq!(second("blue"), []);
}

#[test]
fn a_vnic_with_the_mac_of_a_reported_guest_is_warned_of_where_nothing_is_managed() {
    let fleet = reporting(network("blue"), vec![domain(9, "blue", mac(2), None)]);
    let second = Vnic { id: id("eth1"), mac: Some(mac(2)), ..vnic(1, "blue", "guests") };
    let told = |vnic| put(&fleet, Entity::Vnic(vnic));
    assert_eq!(told(second.clone()), [warning(Code::DuplicateMac, MAC, &["hosts/h1"])]);
    assert_eq!(told(Vnic { plugged: false, ..second.clone() }), Vec::<Told>::new());
    let extra = Vnic { mac: Some(mac(3)), extra_macs: vec![mac(2)], ..second };
    assert!(told(extra).contains(&warning(Code::DuplicateMac, MAC, &["hosts/h1"])));
    // The vNIC's own domain, wherever it is found, is no other guest.
    let mut moving = reporting(network("blue"), vec![domain(1, "blue", mac(1), None)]);
    moving.observe(host_name("h2"), hosting(&["blue"], vec![domain(1, "blue", mac(1), None)]));
    moving.apply(Mutation::Delete(trestle_model::fleet::EntityId::Vnic(vnic(1, "blue", "guests").vm, id("eth0"))));
    assert_eq!(put(&moving, Entity::Vnic(vnic(1, "blue", "guests"))), Vec::<Told>::new());
}

#[test]
fn profiles_that_are_mended_mend_no_guest_that_runs() {
    let mut fleet = reporting(network("blue"), vec![domain(1, "blue", mac(1), None)]);
    let open = VnicProfile { filter: NetworkFilter::None, ..profile("blue", "guests") };
    fleet.apply(Mutation::Put(Entity::VnicProfile(open)));
    let findings =
        trestle_rules::propose(Mutation::Put(Entity::Network(managed("blue"))), Fix::Profiles, &fleet).findings;
    let spoofing: Vec<_> = findings.0.iter().filter(|finding| finding.code == Code::MacSpoofConflict).collect();
    let [finding] = spoofing.as_slice() else { panic!("{findings:?}") };
    assert_eq!((finding.severity, finding.related.as_slice()), (Severity::Error, [VNIC.to_owned()].as_slice()));
}

#[test]
fn a_pool_passes_over_what_guests_have() {
    let mut fleet = reporting(network("blue"), vec![domain(8, "red", mac(10), None), domain(9, "red", mac(11), None)]);
    fleet.apply(Mutation::Put(Entity::MacPool(MacPool { ..pool("p", 10, 12) })));
    let with_pool = Cluster { mac_pool: Some(id("p")), ..cluster("main") };
    fleet.apply(Mutation::Put(Entity::Cluster(with_pool)));
    let wish = Vnic { id: id("eth1"), mac: None, ..vnic(1, "blue", "guests") };
    let proposal = trestle_rules::propose(Mutation::Put(Entity::Vnic(wish)), Fix::Leave, &fleet);
    let Some(Mutation::Put(Entity::Vnic(made))) = proposal.mutations.first() else { panic!("{proposal:?}") };
    assert_eq!(made.pooled_mac, Some(mac(12)));
}

#[test]
fn a_network_full_of_guests_names_a_hundred_hosts_at_most_and_tells_how_many_guests_there_are() {
    let mut fleet = reporting(network("blue"), Vec::new());
    for number in 0..150 {
        let domains = vec![domain(1000 + number, "blue", mac(9), None)];
        fleet.observe(host_name(&format!("x{number}")), hosting(&["blue"], domains));
    }
    let change = Mutation::Put(Entity::Network(managed("blue")));
    let findings = trestle_rules::propose(change, Fix::Leave, &fleet).findings;
    let finding = findings.0.iter().find(|finding| finding.code == Code::MacSpoofConflict).unwrap();
    assert_eq!(finding.related.len(), 100);
    assert!(finding.message.contains(" and 147 more"), "{}", finding.message);
}

/// `h1` reports what its filters do.
fn filtering(fleet: &mut Fleet, filters: &[(&str, bool)]) {
    let mut record = fleet.observed(&host_name("h1")).cloned().unwrap();
    let effects =
        |stops_mac_spoofing| FilterEffects { stops_mac_spoofing, stops_guest_tags: false, lets_guest_send: true };
    let filters = filters.iter().map(|(name, stops)| ((*name).to_owned(), effects(*stops)));
    record.capabilities.as_mut().unwrap().libvirt.filters = filters.collect();
    fleet.observe(host_name("h1"), record);
}

fn conflicts(findings: &[Finding]) -> Vec<(&str, Vec<String>)> {
    let of_code = findings.iter().filter(|finding| finding.code == Code::MacSpoofConflict);
    of_code.map(|finding| (finding.field.as_str(), finding.related.clone())).collect()
}

#[test]
fn a_filter_that_a_host_has_changed_counts_as_the_host_has_it() {
    let mut fleet = reporting(network("blue"), Vec::new());
    let on = || Mutation::Put(Entity::Network(managed("blue")));
    filtering(&mut fleet, &[("no-mac-spoofing", true)]);
    assert_eq!(conflicts(&trestle_rules::evaluate(&on(), &fleet).0), []);
    // Somebody has taken its rules away on the host.
    filtering(&mut fleet, &[("no-mac-spoofing", false)]);
    let findings = trestle_rules::evaluate(&on(), &fleet).0;
    let weak_there = |field| vec![(field, vec!["hosts/h1".to_owned()])];
    assert_eq!(conflicts(&findings), weak_there(MANAGED));
    // The default filter mends nothing there.
    let open = VnicProfile { filter: NetworkFilter::None, ..profile("blue", "guests") };
    fleet.apply(Mutation::Put(Entity::VnicProfile(open)));
    let proposal = trestle_rules::propose(on(), Fix::Profiles, &fleet);
    assert_eq!(conflicts(&proposal.findings.0), weak_there(MANAGED));
    // Of a network that is managed already, what comes is judged, and nothing else.
    let mut fleet = reporting(managed("blue"), Vec::new());
    filtering(&mut fleet, &[("no-mac-spoofing", false)]);
    let evaluated = |entity| trestle_rules::evaluate(&Mutation::Put(entity), &fleet).0;
    assert_eq!(conflicts(&evaluated(Entity::VnicProfile(profile("blue", "more")))), weak_there(FILTER));
    assert_eq!(conflicts(&evaluated(Entity::VnicProfile(profile("blue", "guests")))), []);
    let second = Vnic { id: id("eth1"), mac: Some(mac(2)), ..vnic(1, "blue", "guests") };
    assert_eq!(conflicts(&evaluated(Entity::Vnic(second))), weak_there("vnic.spec.profile"));
    assert_eq!(conflicts(&evaluated(Entity::Vnic(vnic(1, "blue", "guests")))), []);
    assert_eq!(conflicts(&evaluated(Entity::Network(managed("blue")))), []);
    // What is plugged is told.
    let weak = domain(1, "blue", mac(1), Some("no-mac-spoofing"));
    let mut fleet = reporting(managed("blue"), vec![weak]);
    assert_eq!(broken(&fleet), []);
    filtering(&mut fleet, &[("no-mac-spoofing", false)]);
    assert_eq!(broken(&fleet), [breaks(Severity::Error, Code::MacSpoofConflict, VNIC, "networks/blue")]);
}

#[test]
fn a_filter_of_ones_own_stops_spoofing_where_every_host_says_so() {
    let ours = VnicProfile { filter: NetworkFilter::Named("ours".to_owned()), ..profile("blue", "guests") };
    let mut fleet = reporting(managed("blue"), Vec::new());
    let weakened = |fleet: &Fleet| {
        conflicts(&trestle_rules::evaluate(&Mutation::Put(Entity::VnicProfile(ours.clone())), fleet).0).len()
    };
    assert_eq!(weakened(&fleet), 1, "nobody knows what it does");
    filtering(&mut fleet, &[("ours", true)]);
    assert_eq!(weakened(&fleet), 0);
    fleet.apply(Mutation::Put(Entity::Host(host("h2", "main"))));
    fleet.apply(Mutation::Put(Entity::NetworkAttachment(attachment("h2", "blue", "eth0"))));
    assert_eq!(weakened(&fleet), 0, "the other has not told");
    let mut record = fleet.observed(&host_name("h1")).cloned().unwrap();
    record.capabilities.as_mut().unwrap().libvirt.filters.values_mut().for_each(|it| it.stops_mac_spoofing = false);
    fleet.observe(host_name("h2"), record);
    assert_eq!(weakened(&fleet), 1, "the other says otherwise");
}

#[test]
fn a_managed_network_does_not_come_to_a_host_whose_filter_lets_spoof() {
    let mut fleet = reporting(managed("blue"), Vec::new());
    filtering(&mut fleet, &[("no-mac-spoofing", false)]);
    fleet.apply(Mutation::Delete(trestle_model::fleet::EntityId::NetworkAttachment(
        host_name("h1"),
        network("blue").id,
    )));
    let joins = Mutation::Put(Entity::NetworkAttachment(attachment("h1", "blue", "eth0")));
    let findings = trestle_rules::evaluate(&joins, &fleet).0;
    assert_eq!(conflicts(&findings), [("network_attachment.name", vec!["hosts/h1".to_owned()])]);
}

#[test]
fn a_filter_that_is_given_another_mac_stops_nothing() {
    let with = |given: &str| {
        let parameters = vec![("MAC".to_owned(), given.to_owned())];
        let told = on_interface(domain(9, "blue", mac(9), Some("no-mac-spoofing")), |interface| {
            interface.filter.as_mut().unwrap().parameters.clone_from(&parameters);
        });
        broken(&reporting(managed("blue"), vec![told])).len()
    };
    assert_eq!((with(&mac(9).to_string()), with(&mac(8).to_string()), with("$MAC")), (0, 1, 1));
}

#[test]
fn a_filter_of_listed_macs_stops_those_that_are_not_the_vnics() {
    let seen = |number, listed: &[u64]| {
        on_interface(domain(number, "blue", mac(1), Some("trestle-listed-macs")), |interface| {
            let parameter = |number: &u64| ("EXTRA_MAC".to_owned(), mac(*number).to_string());
            interface.filter.as_mut().unwrap().parameters = listed.iter().map(parameter).collect();
        })
    };
    let codes = |fleet: &Fleet| broken(fleet).into_iter().map(|(_, code, ..)| code).collect::<Vec<_>>();
    let of_vnic = |listed: &[u64], extra: &[u64], network: &str| {
        let mut fleet = reporting(managed("blue"), vec![seen(1, listed)]);
        let allows = VnicProfile { extra_macs_allowed: 2, ..profile(network, "guests") };
        let extra_macs = extra.iter().map(|number| mac(*number)).collect();
        let vnic = Vnic { extra_macs, ..vnic(1, network, "guests") };
        for entity in [Entity::VnicProfile(allows), Entity::Vnic(vnic)] {
            fleet.apply(Mutation::Put(entity));
        }
        codes(&fleet)
    };
    assert_eq!(of_vnic(&[8, 9], &[9, 8], "blue"), []);
    assert_eq!(of_vnic(&[8, 1], &[9, 8], "blue"), []);
    assert_eq!(of_vnic(&[8, 9], &[8], "blue"), [Code::MacSpoofConflict]);
    assert_eq!(of_vnic(&[8], &[8], "red"), [Code::MacSpoofConflict], "they are given on another network");
    let of_nobody = |listed: &[u64]| {
        let mut stranger = seen(9, listed);
        stranger.interfaces[0].mac = mac(7);
        codes(&reporting(managed("blue"), vec![stranger]))
    };
    assert_eq!(of_nobody(&[]), []);
    assert_eq!(of_nobody(&[8]), [Code::MacSpoofConflict]);
}
