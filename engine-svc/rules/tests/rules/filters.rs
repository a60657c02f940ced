//! Filters as hosts report them: those that a host lacks, and those that somebody weakened there.

use trestle_model::fleet::{Entity, Fleet, Mutation, NetworkFilter, Vm, Vnic, VnicProfile};
use trestle_model::{Code, FilterEffects, Severity};
use trestle_rules::{Guest, Standing, obstacles};

use crate::fixture::{
    attachment, cluster, cluster_network, error, fleet, host, host_name, mac, managed, network, obedient, profile, put,
    vm, vm_id, vnic, warning,
};

const FILTER: &str = "vnic_profile.spec.network_filter";

/// `blue` on h1 and not on h2; VM 1 runs on h1 with a vNIC behind the default filter.
fn ordinary() -> Fleet {
    fleet([
        Entity::Cluster(cluster("main")),
        Entity::Network(network("blue")),
        Entity::ClusterNetwork(cluster_network("main", "blue")),
        Entity::VnicProfile(VnicProfile { extra_macs_allowed: 1, ..profile("blue", "guests") }),
        Entity::Host(host("h1", "main")),
        Entity::Host(host("h2", "main")),
        Entity::NetworkAttachment(attachment("h1", "blue", "eth0")),
        Entity::Vm(Vm { host: Some(host_name("h1")), ..vm(1, "main") }),
        Entity::Vnic(vnic(1, "blue", "guests")),
    ])
}

/// Both hosts run what is wanted, and report filters: whether each stops spoofing.
fn reporting(mut fleet: Fleet, filters: &[(&str, bool)]) -> Fleet {
    for name in ["h1", "h2"] {
        let mut record = obedient(&fleet, name);
        let effects =
            |stops| FilterEffects { stops_mac_spoofing: stops, stops_guest_tags: false, lets_guest_send: true };
        let told = filters.iter().map(|(name, stops)| ((*name).to_owned(), effects(*stops)));
        record.capabilities.as_mut().unwrap().libvirt.filters = told.collect();
        fleet.observe(host_name(name), record);
    }
    fleet
}

fn with(mut fleet: Fleet, entity: Entity) -> Fleet {
    fleet.apply(Mutation::Put(entity));
    fleet
}

fn named(name: &str) -> Entity {
    let filter = NetworkFilter::Named(name.to_owned());
    Entity::VnicProfile(VnicProfile { filter, extra_macs_allowed: 1, ..profile("blue", "guests") })
}

fn placed(fleet: &Fleet, host: &str) -> Vec<(Severity, Code)> {
    let guest = Guest::of(&fleet.vms()[&vm_id(1)], fleet);
    let found = obstacles(&guest, &fleet.hosts()[&host_name(host)], fleet, &Standing::default());
    found.into_iter().map(|finding| (finding.severity, finding.code)).collect()
}

#[test]
fn a_filter_that_a_carrier_lacks_is_warned_of_and_in_the_way_of_placement() {
    let known = [("no-mac-spoofing", true), ("acme", true)];
    let lacks = |field: &str| [warning(Code::FilterNotFound, field, &["hosts/h1"])];
    let fleet = reporting(ordinary(), &known);
    assert_eq!(put(&fleet, named("nothing")), lacks(FILTER));
    assert_eq!(put(&fleet, named("acme")), []);
    // What agents define themselves is never missing, and of hosts that do not tell nothing is known.
    assert_eq!(put(&fleet, named("trestle-listed-macs")), []);
    assert_eq!(put(&reporting(ordinary(), &[]), named("nothing")), []);

    let fleet = reporting(with(ordinary(), named("nothing")), &known);
    let other =
        Vnic { mac: Some(mac(2)), id: trestle_model::ResourceId::parse("eth1").unwrap(), ..vnic(1, "blue", "guests") };
    assert_eq!(put(&fleet, Entity::Vnic(other)), lacks("vnic.spec.profile"));
    let carried = Entity::NetworkAttachment(attachment("h2", "blue", "eth0"));
    let [told] = put(&fleet, carried).try_into().unwrap();
    assert_eq!(told, warning(Code::FilterNotFound, "network_attachment.name", &["hosts/h2"]));
    assert_eq!(placed(&fleet, "h1"), [(Severity::Error, Code::FilterNotFound)]);
    assert_eq!(placed(&reporting(with(ordinary(), named("acme")), &known), "h1"), []);
}

#[test]
fn the_filter_of_listed_macs_is_in_the_way_where_somebody_weakened_it_and_vnics_list_macs() {
    let known = [("no-mac-spoofing", true), ("trestle-listed-macs", false)];
    let lists = || Entity::Vnic(Vnic { extra_macs: vec![mac(99)], ..vnic(1, "blue", "guests") });
    let conflict = |field: &str| error(Code::MacSpoofConflict, field, &["hosts/h1"]);
    let on = || Entity::Network(managed("blue"));
    let errors = |fleet: &Fleet, entity: Entity| {
        let told = put(fleet, entity).into_iter();
        told.filter(|told| told.severity == Severity::Error).collect::<Vec<_>>()
    };
    assert_eq!(errors(&reporting(ordinary(), &known), on()), []);
    let fleet = reporting(with(ordinary(), lists()), &known);
    assert_eq!(errors(&fleet, on()), [conflict("network.spec.manage_macs_with_libvirt")]);

    // The network is managed, and the vNIC comes to list MACs.
    let fleet = reporting(with(ordinary(), on()), &known);
    assert_eq!(errors(&fleet, lists()), [conflict("vnic.spec.profile")]);
    assert_eq!(placed(&reporting(with(fleet, lists()), &known), "h1"), [(Severity::Error, Code::MacSpoofConflict)]);
}
