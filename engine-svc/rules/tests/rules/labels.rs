//! Labels that attach networks to hosts.

use trestle_model::fleet::{
    AttachedBy, Bond, ClusterNetwork, Entity, EntityId, Fleet, Host, Mutation, Network, NetworkAttachment, Vm,
};
use trestle_model::{BondMode, BondOptions, Code, NicLabel, Southbound};
use trestle_rules::Fix;

use crate::fixture::{
    Told, attachment, bond, cluster, cluster_network, delete, device, error, fleet, host, host_name, id, network,
    network_name, profile, put, vlan, vm, vm_name, vnic, warning,
};

const NIC_LABELS: &str = "host.spec.nic_labels";
const NIC_LABEL: &str = "network.spec.nic_label";
const BLUE: &str = "hosts/h1/networkAttachments/blue";
const RED: &str = "hosts/h1/networkAttachments/red";

fn label(text: &str) -> NicLabel {
    NicLabel::parse(text).unwrap()
}

fn labelled(name: &str, text: &str) -> Network {
    Network { nic_label: Some(label(text)), ..network(name) }
}

fn with_labels(name: &str, labels: &[(&str, &str)]) -> Host {
    let nic_labels = labels.iter().map(|(text, nic)| (label(text), device(nic))).collect();
    Host { nic_labels, ..host(name, "main") }
}

/// `blue` with the label `guests` in `main`, whose h1 has it on eth1; `red` without label there; h2 in `other`.
fn furnished() -> Fleet {
    fleet([
        Entity::Cluster(cluster("main")),
        Entity::Cluster(cluster("other")),
        Entity::Network(labelled("blue", "guests")),
        Entity::Network(network("red")),
        Entity::ClusterNetwork(cluster_network("main", "blue")),
        Entity::ClusterNetwork(cluster_network("main", "red")),
        Entity::Host(with_labels("h1", &[("guests", "eth1")])),
        Entity::Host(Host { cluster: id("other"), ..with_labels("h2", &[("guests", "eth1")]) }),
    ])
}

/// What is attached to hosts by labels: the host, the network and the device.
fn by_label(fleet: &Fleet) -> Vec<String> {
    let by_label = fleet.attachments().values().filter(|attachment| attachment.by.is_label());
    let text = |attachment: &NetworkAttachment| {
        let device = match &attachment.southbound {
            Some(Southbound::Nic(nic)) => nic.to_string(),
            Some(Southbound::Bond(bond)) => format!("bond {bond}"),
            None => "nothing".to_owned(),
        };
        format!("{} {} {device}", attachment.host, attachment.network)
    };
    by_label.map(text).collect()
}

#[test]
fn a_label_attaches_a_network_as_long_as_host_network_and_cluster_say_so() {
    let blue = || Mutation::Put(Entity::Network(labelled("blue", "guests")));
    let h1 = || Mutation::Put(Entity::Host(with_labels("h1", &[("guests", "eth1")])));
    let place = || Mutation::Put(Entity::ClusterNetwork(cluster_network("main", "blue")));
    let gone_place = || Mutation::Delete(EntityId::ClusterNetwork(id("main"), network_name("blue")));
    let mut fleet = furnished();
    let mut after = |mutation: Mutation, expected: &[&str]| {
        fleet.apply(mutation);
        assert_eq!(by_label(&fleet), expected);
        // Rules and hosts see it like any other.
        let on_host: Vec<_> = fleet.hosts_with(&network_name("blue")).map(ToString::to_string).collect();
        let desired = fleet.desired_networks(&host_name("h1")).len();
        assert_eq!((on_host.len(), desired), (expected.len(), expected.iter().filter(|e| e.starts_with("h1")).count()));
        assert_eq!(fleet.entity(&EntityId::NetworkAttachment(host_name("h1"), network_name("blue"))), None);
    };
    after(h1(), &["h1 blue eth1"]);
    after(Mutation::Put(Entity::Network(network("blue"))), &[]);
    after(blue(), &["h1 blue eth1"]);
    after(Mutation::Put(Entity::Host(with_labels("h1", &[("guests", "eth2")]))), &["h1 blue eth2"]);
    after(Mutation::Put(Entity::Bond(bond("h1", "eth2", &["eth3", "eth4"]))), &["h1 blue bond eth2"]);
    after(Mutation::Delete(EntityId::Bond(host_name("h1"), device("eth2"))), &["h1 blue eth2"]);
    after(gone_place(), &[]);
    after(place(), &["h1 blue eth2"]);
    after(Mutation::Put(Entity::ClusterNetwork(cluster_network("other", "blue"))), &["h1 blue eth2", "h2 blue eth1"]);
    after(Mutation::Delete(EntityId::Host(host_name("h2"))), &["h1 blue eth2"]);
    after(Mutation::Delete(EntityId::Network(network_name("blue"))), &[]);
    after(blue(), &["h1 blue eth2"]);
    after(Mutation::Put(Entity::Host(Host { cluster: id("other"), ..host("h1", "main") })), &[]);
}

#[test]
fn an_attachment_says_more_of_what_a_label_attaches_on_the_same_device() {
    let mut fleet = furnished();
    let own = |nic: &str| Entity::NetworkAttachment(attachment("h1", "blue", nic));
    assert_eq!(put(&fleet, own("eth1")), []);
    let nic = "network_attachment.spec.nic";
    assert_eq!(put(&fleet, own("eth2")), [error(Code::LabelConflict, nic, &["hosts/h1"])]);
    fleet.apply(Mutation::Put(own("eth1")));
    assert_eq!(by_label(&fleet), Vec::<String>::new());
    let moved = Entity::Host(with_labels("h1", &[("guests", "eth2")]));
    assert_eq!(put(&fleet, moved), [error(Code::LabelConflict, NIC_LABELS, &[BLUE])]);
    fleet.apply(Mutation::Put(Entity::NetworkAttachment(attachment("h1", "red", "eth2"))));
    assert_eq!(
        put(&fleet, Entity::Network(labelled("red", "guests"))),
        [error(Code::LabelConflict, NIC_LABEL, &[RED])]
    );
    fleet.apply(Mutation::Delete(EntityId::NetworkAttachment(host_name("h1"), network_name("blue"))));
    assert_eq!(by_label(&fleet), ["h1 blue eth1"]);
}

#[test]
fn two_untagged_networks_are_not_labelled_onto_one_device() {
    let taken = |field: &str, related: &[&str]| [error(Code::SouthboundTaken, field, related)];
    let mut fleet = furnished();
    assert_eq!(put(&fleet, Entity::Network(labelled("red", "guests"))), taken(NIC_LABEL, &[BLUE, RED]));
    let tagged = Entity::Network(Network { vlan: Some(vlan(7)), ..labelled("red", "guests") });
    assert_eq!(put(&fleet, tagged), []);

    // The host joins both at once, and is told of both.
    fleet.apply(Mutation::Put(Entity::Network(labelled("red", "rest"))));
    let both = Entity::Host(with_labels("h1", &[("guests", "eth1"), ("rest", "eth1")]));
    let each = || taken(NIC_LABELS, &[BLUE, RED]);
    assert_eq!(put(&fleet, both), [each(), each()].concat());
    let apart = Entity::Host(with_labels("h1", &[("guests", "eth1"), ("rest", "eth2")]));
    assert_eq!(put(&fleet, apart), []);

    let mut late = furnished();
    late.apply(Mutation::Delete(EntityId::ClusterNetwork(id("main"), network_name("red"))));
    late.apply(Mutation::Put(Entity::Network(labelled("red", "guests"))));
    let joins = Entity::ClusterNetwork(cluster_network("main", "red"));
    assert_eq!(put(&late, joins), taken("cluster_network.name", &[BLUE, RED]));
}

#[test]
fn a_label_does_not_leave_a_plugged_vnic_behind() {
    let mut fleet = furnished();
    let used = |field: &str| [error(Code::InUse, field, &[&format!("{}/vnics/eth0", vm_name(1))])];
    for entity in [
        Entity::VnicProfile(profile("blue", "guests")),
        Entity::Vm(Vm { host: Some(host_name("h1")), ..vm(1, "main") }),
        Entity::Vnic(vnic(1, "blue", "guests")),
    ] {
        fleet.apply(Mutation::Put(entity));
    }
    assert_eq!(put(&fleet, Entity::Host(host("h1", "main"))), used(NIC_LABELS));
    assert_eq!(put(&fleet, Entity::Network(network("blue"))), used(NIC_LABEL));
    let own = Entity::NetworkAttachment(attachment("h1", "blue", "eth1"));
    fleet.apply(Mutation::Put(own));
    assert_eq!(put(&fleet, Entity::Host(host("h1", "main"))), []);
    // The label puts the network back where the attachment was.
    let attached = EntityId::NetworkAttachment(host_name("h1"), network_name("blue"));
    let mut unlabelled = fleet.clone();
    assert_eq!(delete(&fleet, attached.clone()), []);
    unlabelled.apply(Mutation::Put(Entity::Host(host("h1", "main"))));
    assert_eq!(delete(&unlabelled, attached.clone()), used("name"));
    fleet.apply(Mutation::Put(Entity::ClusterNetwork(ClusterNetwork {
        display: true,
        ..cluster_network("main", "blue")
    })));
    let bare = error(Code::RoleWithoutAddress, "name", &["clusters/main/clusterNetworks/blue"]);
    assert_eq!(delete(&fleet, attached), [bare]);
}

#[test]
fn labels_of_nics_move_onto_their_bond_with_the_networks() {
    let mut fleet = furnished();
    let formed = bond("h1", "bond0", &["eth1", "eth2"]);
    assert_eq!(put(&fleet, Entity::Bond(formed.clone())), [warning(Code::NicInUse, "bond.spec.nics", &[BLUE])]);
    let proposal = trestle_rules::propose(Mutation::Put(Entity::Bond(formed.clone())), Fix::Leave, &fleet);
    let moved = Entity::Host(with_labels("h1", &[("guests", "bond0")]));
    assert_eq!(proposal.mutations, [Entity::Bond(formed.clone()), moved].map(Mutation::Put));
    proposal.mutations.into_iter().for_each(|mutation| fleet.apply(mutation));
    assert_eq!(by_label(&fleet), ["h1 blue bond bond0"]);

    let port = Entity::Host(with_labels("h1", &[("guests", "eth2")]));
    let bond0 = ["hosts/h1/bonds/bond0"];
    let told = put(&fleet, port);
    let expected = error(Code::NicInUse, NIC_LABELS, &bond0);
    assert!(told.contains(&expected), "{told:?}");
    let options = BondOptions::of(BondMode::BalanceRr);
    let told = put(&fleet, Entity::Bond(Bond { options, ..formed }));
    assert_eq!(told, [error(Code::BondModeUnsafe, "bond.spec.mode", &[BLUE])]);
    let bond0 = EntityId::Bond(host_name("h1"), device("bond0"));
    assert_eq!(delete(&fleet, bond0), [error(Code::InUse, "name", &["hosts/h1", BLUE])]);
}

#[test]
fn what_labels_attach_holds_nothing_back() {
    let free = |id: EntityId, expected: &[Told]| assert_eq!(delete(&furnished(), id), expected);
    free(EntityId::Host(host_name("h1")), &[]);
    free(EntityId::ClusterNetwork(id("main"), network_name("blue")), &[]);
    let place = ["clusters/main/clusterNetworks/blue"];
    free(EntityId::Network(network_name("blue")), &[error(Code::InUse, "name", &place)]);
    let leaves = Entity::Host(Host { cluster: id("other"), ..with_labels("h1", &[("guests", "eth1")]) });
    assert_eq!(put(&furnished(), leaves), []);
}

#[test]
fn a_network_with_a_role_needs_more_than_a_label() {
    let shown = ClusterNetwork { display: true, ..cluster_network("main", "blue") };
    let told = put(&furnished(), Entity::ClusterNetwork(shown));
    assert_eq!(told.iter().map(|told| told.code).collect::<Vec<_>>(), [Code::RoleWithoutAddress]);
    assert_eq!(AttachedBy::default(), AttachedBy::Operator);
}
