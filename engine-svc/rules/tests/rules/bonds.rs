//! Bonds of hosts.

use trestle_model::fleet::{Bond, Entity, EntityId, Fleet, Mutation, Network, NetworkAttachment};
use trestle_model::{BondMode, BondOption, BondOptions, Code, Southbound};
use trestle_rules::Fix;

use crate::fixture::{
    Told, attachment, bond, bonded, cluster, cluster_network, delete, device, error, fleet, host, host_name, mac,
    network, network_name, put, vlan, warning,
};

const BLUE: [&str; 1] = ["hosts/h1/networkAttachments/blue"];

/// `blue` on h1's eth0, `red` (VLAN 7) on its bond of eth2 and eth3; `green` and bridgeless `bare` nowhere.
fn furnished() -> Fleet {
    let networks = [
        network("blue"),
        Network { vlan: Some(vlan(7)), ..network("red") },
        network("green"),
        Network { vm_network: false, ..network("bare") },
    ];
    let attached = ["blue", "red", "green", "bare"].map(|n| Entity::ClusterNetwork(cluster_network("main", n)));
    let entities = [Entity::Cluster(cluster("main")), Entity::Host(host("h1", "main"))];
    let carried = [
        Entity::Bond(bond("h1", "bond0", &["eth2", "eth3"])),
        Entity::NetworkAttachment(attachment("h1", "blue", "eth0")),
        Entity::NetworkAttachment(bonded("h1", "red", "bond0")),
    ];
    fleet(entities.into_iter().chain(networks.map(Entity::Network)).chain(attached).chain(carried))
}

fn check(entity: Entity, expected: &[Told]) {
    assert_eq!(put(&furnished(), entity), expected);
}

#[test]
fn a_bond_has_two_nics_and_fitting_options() {
    let plain = || bond("h1", "bond1", &["eth4", "eth5"]);
    let options = |change: &dyn Fn(&mut BondOptions)| {
        let mut bond = plain();
        change(&mut bond.options);
        Entity::Bond(bond)
    };
    check(Entity::Bond(plain()), &[]);
    let few = error(Code::BondTooFewNics, "bond.spec.nics", &[]);
    check(Entity::Bond(bond("h1", "bond1", &["eth4"])), &[few]);
    let twice = error(Code::Duplicate, "bond.spec.nics[1]", &[]);
    check(Entity::Bond(bond("h1", "bond1", &["eth4", "eth4"])), &[twice]);
    let wrong = |option: &str| [error(Code::BondOptionInvalid, &format!("bond.spec.{option}"), &[])];
    check(options(&|options| options.primary = Some(device("eth9"))), &wrong("options.primary"));
    check(options(&|options| options.numbers.extend([(BondOption::LacpRate, 1)])), &wrong("options.lacp_rate"));
    let mut following = Bond { hwaddr: Some(mac(1)), ..plain() };
    following.options.numbers.insert(BondOption::FailOverMac, 1);
    check(Entity::Bond(following), &wrong("hwaddr"));
    let nobody = error(Code::ReferenceNotFound, "bond.name", &["hosts/h9"]);
    check(Entity::Bond(bond("h9", "bond1", &["eth4", "eth5"])), &[nobody]);
}

#[test]
fn a_nic_is_in_one_bond_and_a_bond_in_none() {
    let bond0 = ["hosts/h1/bonds/bond0"];
    let taken = |position: usize| [error(Code::NicInUse, &format!("bond.spec.nics[{position}]"), &bond0)];
    check(Entity::Bond(bond("h1", "bond1", &["eth4", "eth3"])), &taken(1));
    check(Entity::Bond(bond("h1", "bond1", &["bond0", "eth4"])), &taken(0));
    check(Entity::Bond(bond("h1", "bond0", &["eth3", "eth4"])), &[]);
    let named = |related: &[&str]| [error(Code::BridgeNameTaken, "bond.name", related)];
    check(Entity::Bond(bond("h1", "blue", &["eth4", "eth5"])), &named(&BLUE));
    check(Entity::Bond(bond("h1", "eth2", &["eth4", "eth5"])), &named(&bond0));
}

#[test]
fn networks_on_a_bonds_nics_move_onto_it_once_that_is_acknowledged() {
    let fleet = furnished();
    let formed = bond("h1", "bond1", &["eth0", "eth1"]);
    assert_eq!(put(&fleet, Entity::Bond(formed.clone())), [warning(Code::NicInUse, "bond.spec.nics", &BLUE)]);
    let proposal = trestle_rules::propose(Mutation::Put(Entity::Bond(formed.clone())), Fix::Leave, &fleet);
    let moved = [Entity::Bond(formed), Entity::NetworkAttachment(bonded("h1", "blue", "bond1"))].map(Mutation::Put);
    assert_eq!(proposal.mutations, moved);
}

#[test]
fn what_moves_onto_a_bond_fits_together_there() {
    let mut fleet = furnished();
    fleet.apply(Mutation::Put(Entity::NetworkAttachment(attachment("h1", "green", "eth1"))));
    let both = ["hosts/h1/networkAttachments/blue", "hosts/h1/networkAttachments/green"];
    assert_eq!(
        put(&fleet, Entity::Bond(bond("h1", "bond1", &["eth0", "eth1"]))),
        [error(Code::SouthboundTaken, "bond.spec.nics", &both), warning(Code::NicInUse, "bond.spec.nics", &both)]
    );
    let options = BondOptions::of(BondMode::BalanceRr);
    assert_eq!(
        put(&fleet, Entity::Bond(Bond { options, ..bond("h1", "bond1", &["eth0", "eth4"]) })),
        [error(Code::BondModeUnsafe, "bond.spec.mode", &BLUE), warning(Code::NicInUse, "bond.spec.nics", &BLUE)]
    );
}

#[test]
fn guests_are_not_put_on_modes_that_break_their_traffic() {
    let (red, bond1) = (["hosts/h1/networkAttachments/red"], ["hosts/h1/bonds/bond1"]);
    for mode in BondMode::ALL {
        let is_unsafe = matches!(mode, BondMode::BalanceRr | BondMode::BalanceTlb | BondMode::BalanceAlb);
        let told = |field: &str, related: &[&str]| {
            if is_unsafe { vec![error(Code::BondModeUnsafe, field, related)] } else { Vec::new() }
        };
        let moded = |name: &str, nics: &[&str]| Bond { options: BondOptions::of(mode), ..bond("h1", name, nics) };
        let below_red = put(&furnished(), Entity::Bond(moded("bond0", &["eth2", "eth3"])));
        assert_eq!(below_red, told("bond.spec.mode", &red), "{mode:?}");
        let mut fleet = furnished();
        fleet.apply(Mutation::Put(Entity::Bond(moded("bond1", &["eth4", "eth5"]))));
        let green = put(&fleet, Entity::NetworkAttachment(bonded("h1", "green", "bond1")));
        assert_eq!(green, told("network_attachment.spec.bond", &bond1), "{mode:?}");
        assert_eq!(put(&fleet, Entity::NetworkAttachment(bonded("h1", "bare", "bond1"))), []);
        fleet.apply(Mutation::Put(Entity::NetworkAttachment(bonded("h1", "bare", "bond1"))));
        let bridged = put(&fleet, Entity::Network(network("bare")));
        assert_eq!(bridged, told("network.spec.vm_network", &bond1), "{mode:?}");
    }
}

#[test]
fn an_attachment_stands_on_a_bond_that_is_there_and_on_no_port_of_one() {
    let green = |southbound| {
        let southbound = Some(southbound);
        Entity::NetworkAttachment(NetworkAttachment { southbound, ..attachment("h1", "green", "eth9") })
    };
    let (nic, on_bond) = ("network_attachment.spec.nic", "network_attachment.spec.bond");
    let bond0 = ["hosts/h1/bonds/bond0"];
    check(green(Southbound::Bond(device("bond0"))), &[]);
    let missing = error(Code::ReferenceNotFound, on_bond, &["hosts/h1/bonds/bond9"]);
    check(green(Southbound::Bond(device("bond9"))), &[missing]);
    check(green(Southbound::Nic(device("eth2"))), &[error(Code::NicInUse, nic, &bond0)]);
    check(green(Southbound::Nic(device("bond0"))), &[error(Code::NicNotFound, nic, &bond0)]);
    let named = Network { bridge_name: Some(device("bond0")), ..network("blue") };
    let taken = ["hosts/h1/bonds/bond0", "hosts/h1/networkAttachments/red"];
    check(Entity::Network(named), &[error(Code::BridgeNameTaken, "network.spec.bridge_name", &taken)]);
}

#[test]
fn a_bond_goes_after_the_networks_on_it_and_before_its_host() {
    let id = || EntityId::Bond(host_name("h1"), device("bond0"));
    let mut fleet = furnished();
    assert_eq!(delete(&fleet, id()), [error(Code::InUse, "name", &["hosts/h1/networkAttachments/red"])]);
    for network in ["red", "blue"] {
        fleet.apply(Mutation::Delete(EntityId::NetworkAttachment(host_name("h1"), network_name(network))));
    }
    assert_eq!(delete(&fleet, id()), []);
    let host = || EntityId::Host(host_name("h1"));
    assert_eq!(delete(&fleet, host()), [error(Code::InUse, "name", &["hosts/h1/bonds/bond0"])]);
    fleet.apply(Mutation::Delete(id()));
    assert_eq!(delete(&fleet, host()), []);
}
