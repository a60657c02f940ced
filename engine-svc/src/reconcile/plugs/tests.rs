//! What a host is asked for, what the engine keeps to itself, and that what was asked for ends the asking.

use trestle_model::fleet::{
    Cluster, Entity, Host, Mutation, Network, NetworkFilter, Passthrough, VnicAttachment, VnicModel, VnicProfile,
};
use trestle_model::{Bandwidth, BandwidthRate, DomainInterface, FilterReference, HostName, MacTableManager};

use super::*;
use crate::fixture::{
    attachment, cluster, cluster_network, domain, fleet, host, host_name, hosting, mac, network, profile, vm, vnic,
};

/// VM 1 on `h1`, with a vNIC on `blue`, and the domain that `h1` reports.
fn world(domain: Domain) -> Fleet {
    let mut fleet = fleet([
        Entity::Cluster(cluster("main")),
        Entity::Network(network("blue")),
        Entity::ClusterNetwork(cluster_network("main", "blue")),
        Entity::VnicProfile(profile("blue", "guests")),
        Entity::Host(host("h1", "main")),
        Entity::Host(host("h2", "main")),
        Entity::NetworkAttachment(attachment("h1", "blue", "eth0")),
        Entity::Vm(Vm { host: Some(host_name("h1")), ..vm(1, "main") }),
        Entity::Vnic(vnic(1, "blue", "guests")),
    ]);
    report(&mut fleet, domain);
    fleet
}

fn report(fleet: &mut Fleet, domain: Domain) {
    let mut record = hosting(&["blue"], vec![domain]);
    record.capabilities.as_mut().unwrap().libvirt.connected = true;
    fleet.observe(host_name("h1"), record);
}

fn web() -> Domain {
    domain(1, "blue", mac(1), Some("no-mac-spoofing"))
}

fn bare() -> Domain {
    Domain { interfaces: Vec::new(), ..web() }
}

fn put(fleet: &mut Fleet, entity: Entity) {
    fleet.apply(Mutation::Put(entity));
}

fn owed(fleet: &Fleet) -> Option<PlugRequest> {
    let mut owed = owed_plugs(fleet, &host_name("h1"));
    assert!(owed.len() <= 1);
    owed.pop().map(|owed| owed.request())
}

fn wanted(fleet: &Fleet) -> WantedInterface {
    let request = owed(fleet).expect("something is owed");
    assert!(request.remove.is_empty() && request.replug == Replug::Refuse && !request.validate_only);
    let [wanted] = request.set.try_into().expect("one interface");
    wanted
}

/// The code of the finding for which nothing is asked.
fn withheld(fleet: &Fleet) -> Code {
    assert_eq!(owed(fleet), None);
    let place = places_on(fleet, &HOST).next().unwrap();
    match place.aim(fleet, fleet.vnics().values().next().unwrap()) {
        Aim::Withheld(finding) => finding.code,
        aim @ (Aim::Keep | Aim::Set(_) | Aim::Remove(_)) => panic!("{aim:?}"),
    }
}

static HOST: std::sync::LazyLock<HostName> = std::sync::LazyLock::new(|| host_name("h1"));

/// The interface as libvirt tells it after it was set so.
fn as_set(wanted: &WantedInterface) -> DomainInterface {
    let mut interface = web().interfaces.remove(0);
    interface.mac = wanted.mac;
    interface.filter = wanted.filter.clone();
    interface.model = Some(wanted.model.clone());
    interface.linked = wanted.linked;
    interface.mtu = wanted.mtu.map(u32::from);
    interface.bandwidth = wanted.bandwidth;
    interface.isolated = wanted.isolated;
    interface
}

#[test]
fn what_is_as_wanted_is_not_asked_for() {
    assert_eq!(owed(&world(web())), None);
}

#[test]
fn a_missing_interface_is_asked_for_whole_and_nothing_more_once_it_is_there() {
    let mut fleet = world(bare());
    let vnic = Vnic { model: VnicModel::E1000e, linked: false, ..vnic(1, "blue", "guests") };
    put(&mut fleet, Entity::Vnic(vnic));
    let asked = wanted(&fleet);
    let guard = FilterReference { name: "no-mac-spoofing".to_owned(), parameters: Vec::new() };
    let expected = WantedInterface {
        mac: mac(1),
        network: "blue".to_owned(),
        model: "e1000e".to_owned(),
        mtu: None,
        linked: false,
        isolated: false,
        bandwidth: Bandwidth::default(),
        filter: Some(guard),
    };
    assert_eq!(asked, expected);
    report(&mut fleet, Domain { interfaces: vec![as_set(&asked)], ..web() });
    assert_eq!(owed(&fleet), None);
}

#[test]
fn what_is_acceptable_is_asked_for_as_it_is_seen() {
    let mut domain = web();
    let seen = &mut domain.interfaces[0];
    (seen.mtu, seen.linked) = (Some(1500), false);
    let filter = seen.filter.clone();
    let asked = wanted(&world(domain));
    assert_eq!((asked.mtu.map(u32::from), asked.filter, asked.linked), (Some(1500), filter, true));
}

/// Its profile had a filter of one address, and has the default now.
#[test]
fn a_filter_that_stops_more_than_the_default_is_not_kept() {
    let mut domain = domain(1, "blue", mac(1), Some("clean-traffic"));
    domain.interfaces[0].filter.as_mut().unwrap().parameters = vec![("IP".to_owned(), "192.0.2.5".to_owned())];
    let guard = FilterReference { name: "no-mac-spoofing".to_owned(), parameters: Vec::new() };
    let mut fleet = world(domain);
    let asked = wanted(&fleet);
    assert_eq!(asked.filter, Some(guard));
    report(&mut fleet, Domain { interfaces: vec![as_set(&asked)], ..web() });
    assert_eq!(owed(&fleet), None);
}

#[test]
fn extra_macs_pass_the_default_filter_and_are_followed() {
    let mut fleet = world(web());
    let listed = |macs: &[u64]| FilterReference {
        name: "trestle-listed-macs".to_owned(),
        parameters: macs.iter().map(|number| ("EXTRA_MAC".to_owned(), mac(*number).to_string())).collect(),
    };
    for (listing, expected) in [(vec![9], vec![9]), (vec![9, 8], vec![8, 9]), (vec![8], vec![8])] {
        let extra_macs = listing.iter().map(|number| mac(*number)).collect();
        put(&mut fleet, Entity::Vnic(Vnic { extra_macs, ..vnic(1, "blue", "guests") }));
        let asked = wanted(&fleet);
        assert_eq!(asked.filter, Some(listed(&expected)));
        report(&mut fleet, Domain { interfaces: vec![as_set(&asked)], ..web() });
        assert_eq!(owed(&fleet), None);
    }
    put(&mut fleet, Entity::Vnic(vnic(1, "blue", "guests")));
    assert_eq!(wanted(&fleet).filter, web().interfaces[0].filter);
}

#[test]
fn a_network_that_isolates_ports_has_its_guests_isolated_until_it_does_not() {
    for state in [DomainState::Running, DomainState::ShutOff] {
        let mut fleet = world(Domain { state, ..web() });
        if state == DomainState::ShutOff {
            put(&mut fleet, Entity::Vm(Vm { host: None, ..vm(1, "main") }));
        }
        assert_eq!(owed(&fleet), None);
        put(&mut fleet, Entity::Network(Network { port_isolation: true, ..network("blue") }));
        let asked = wanted(&fleet);
        assert!(asked.isolated);
        report(&mut fleet, Domain { state, interfaces: vec![as_set(&asked)], ..web() });
        assert_eq!(owed(&fleet), None);
        put(&mut fleet, Entity::Network(network("blue")));
        let asked = wanted(&fleet);
        assert!(!asked.isolated);
        report(&mut fleet, Domain { state, interfaces: vec![as_set(&asked)], ..web() });
        assert_eq!(owed(&fleet), None);
    }
}

#[test]
fn a_filter_has_the_vnic_s_parameters_instead_of_the_profile_s() {
    let pairs =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect::<Vec<_>>();
    let mut fleet = world(web());
    put(
        &mut fleet,
        Entity::VnicProfile(VnicProfile {
            filter: NetworkFilter::Named("clean-traffic".to_owned()),
            filter_parameters: pairs(&[("DHCPSERVER", "192.0.2.1"), ("IP", "192.0.2.9")]),
            ..profile("blue", "guests")
        }),
    );
    let own = pairs(&[("IP", "192.0.2.7"), ("IP", "192.0.2.8")]);
    put(&mut fleet, Entity::Vnic(Vnic { filter_parameters: own, ..vnic(1, "blue", "guests") }));
    let asked = wanted(&fleet);
    let filter = asked.filter.clone().unwrap();
    assert_eq!(filter.name, "clean-traffic");
    assert_eq!(filter.parameters, pairs(&[("DHCPSERVER", "192.0.2.1"), ("IP", "192.0.2.7"), ("IP", "192.0.2.8")]));
    report(&mut fleet, Domain { interfaces: vec![as_set(&asked)], ..web() });
    assert_eq!(owed(&fleet), None);
}

#[test]
fn a_profiles_limits_are_asked_for_and_taken_away() {
    let limit = BandwidthRate { average: 1000, peak: Some(2000), burst: None };
    let bandwidth = Bandwidth { inbound: None, outbound: Some(limit) };
    let mut fleet = world(web());
    put(&mut fleet, Entity::VnicProfile(VnicProfile { bandwidth, ..profile("blue", "guests") }));
    let asked = wanted(&fleet);
    assert_eq!(asked.bandwidth, bandwidth);
    report(&mut fleet, Domain { interfaces: vec![as_set(&asked)], ..web() });
    assert_eq!(owed(&fleet), None);
    put(&mut fleet, Entity::VnicProfile(profile("blue", "guests")));
    assert_eq!(wanted(&fleet).bandwidth, Bandwidth::default());
}

#[test]
fn what_libvirt_names_anew_makes_no_other_domain() {
    let mut fleet = world(web());
    put(&mut fleet, Entity::Vnic(Vnic { linked: false, ..vnic(1, "blue", "guests") }));
    let before = owed_plugs(&fleet, &host_name("h1"));
    let mut again = web();
    again.interfaces[0].tap = Some(crate::fixture::device("vnet7"));
    again.interfaces[0].alias = Some("net7".to_owned());
    report(&mut fleet, again);
    assert_eq!(owed_plugs(&fleet, &host_name("h1")), before);
}

#[test]
fn a_filter_with_a_foreign_mac_is_no_default() {
    let mut domain = web();
    let filter = domain.interfaces[0].filter.as_mut().unwrap();
    filter.parameters = vec![("MAC".to_owned(), mac(9).to_string())];
    let guard = FilterReference { name: "no-mac-spoofing".to_owned(), parameters: Vec::new() };
    assert_eq!(wanted(&world(domain)).filter, Some(guard));
}

#[test]
fn a_vnic_that_is_not_plugged_goes_and_one_without_a_network_has_its_cable_out() {
    let mut fleet = world(web());
    put(&mut fleet, Entity::Vnic(Vnic { plugged: false, ..vnic(1, "blue", "guests") }));
    let request = owed(&fleet).unwrap();
    assert_eq!((request.set, request.remove), (Vec::new(), vec![mac(1)]));
    report(&mut fleet, bare());
    assert_eq!(owed(&fleet), None);

    let mut fleet = world(web());
    put(&mut fleet, Entity::Vnic(Vnic { profile: None, ..vnic(1, "blue", "guests") }));
    let asked = wanted(&fleet);
    assert_eq!((asked.network.as_str(), asked.linked), ("blue", false));
    report(&mut fleet, Domain { interfaces: vec![as_set(&asked)], ..web() });
    assert_eq!(owed(&fleet), None);
    report(&mut fleet, bare());
    assert_eq!(owed(&fleet), None, "there is nothing to plug it to");
}

#[test]
fn an_interface_past_libvirts_network_is_wired_anew_only_where_libvirt_manages_the_macs() {
    let mut domain = web();
    domain.interfaces[0].network = None;
    let mut fleet = world(domain);
    assert_eq!(owed(&fleet), None);
    let managed = Network { mac_table_manager: MacTableManager::Libvirt, ..network("blue") };
    put(&mut fleet, Entity::Network(managed));
    assert_eq!(wanted(&fleet).network, "blue");
}

#[test]
fn what_the_engine_keeps_to_itself_is_told() {
    let unlinked = || Vnic { linked: false, ..vnic(1, "blue", "guests") };
    let changed = |entities: Vec<Entity>| {
        let mut fleet = world(web());
        put(&mut fleet, Entity::Vnic(unlinked()));
        entities.into_iter().for_each(|entity| put(&mut fleet, entity));
        fleet
    };
    assert!(owed(&changed(Vec::new())).is_some());
    let reports = Cluster { vnic_policy: VnicPolicy::Report, ..cluster("main") };
    assert_eq!(withheld(&changed(vec![Entity::Cluster(reports)])), Code::VnicNotPluggable);
    let left_alone = Host { maintenance: true, ..host("h1", "main") };
    assert_eq!(withheld(&changed(vec![Entity::Host(left_alone)])), Code::VnicNotPluggable);
    let elsewhere = Vm { host: Some(host_name("h2")), ..vm(1, "main") };
    assert_eq!(withheld(&changed(vec![Entity::Vm(elsewhere)])), Code::VnicNotPluggable);
    let nowhere = Vm { host: None, ..vm(1, "main") };
    assert_eq!(withheld(&changed(vec![Entity::Vm(nowhere.clone())])), Code::VnicNotPluggable, "it runs all the same");
    let past = VnicAttachment::Passthrough(Passthrough { migratable: false, failover: None });
    let past = VnicProfile { attachment: past, ..profile("blue", "guests") };
    assert_eq!(withheld(&changed(vec![Entity::VnicProfile(past)])), Code::VnicNotPluggable);

    // Defined and not to run: its definition changes.
    let mut fleet = changed(vec![Entity::Vm(nowhere)]);
    report(&mut fleet, Domain { state: DomainState::ShutOff, ..web() });
    assert!(!wanted(&fleet).linked);

    let other_model = Vnic { model: VnicModel::E1000, ..vnic(1, "blue", "guests") };
    let mut fleet = changed(vec![Entity::Vnic(other_model)]);
    assert_eq!(withheld(&fleet), Code::ReplugNeeded);
    report(&mut fleet, Domain { state: DomainState::ShutOff, ..web() });
    assert_eq!(wanted(&fleet).model, "e1000");

    // Known by their MAC alone, two would take the interface from each other.
    let second = Vnic { id: crate::fixture::id("old"), plugged: false, ..vnic(1, "blue", "guests") };
    let mut fleet = changed(vec![Entity::Vnic(second.clone())]);
    assert_eq!(owed(&fleet), None);
    put(&mut fleet, Entity::Vnic(Vnic { mac: Some(mac(2)), ..second }));
    assert!(owed(&fleet).is_some());

    let mut twice = web();
    twice.interfaces.push(twice.interfaces[0].clone());
    assert_eq!(withheld(&world(twice)), Code::DuplicateMac);

    let mut fleet = world(bare());
    let mut record = hosting(&[], vec![bare()]);
    record.capabilities.as_mut().unwrap().libvirt.connected = true;
    fleet.observe(host_name("h1"), record.clone());
    assert_eq!(withheld(&fleet), Code::NetworkNotOnHost);
    let mut record = hosting(&["blue"], vec![bare()]);
    record.capabilities.as_mut().unwrap().features.0.remove(&Feature::DomainInterfaces);
    fleet.observe(host_name("h1"), record);
    assert_eq!(withheld(&fleet), Code::HostUnsupported);
}
