//! Roles of a cluster's networks.

use trestle_model::fleet::{
    ClusterNetwork, Entity, EntityId, Fleet, Mutation, NetworkAttachment, NetworkRole, RoleHolder,
};
use trestle_model::{Code, Ipv4Config};
use trestle_rules::Fix;

use crate::fixture::{
    attachment, cluster, cluster_network, delete, error, fleet, host, host_name, id, ipv4, network, network_name, put,
    vlan, warning,
};

const MGMT: &str = "clusters/main/clusterNetworks/mgmt";

/// `mgmt` with all roles but that of migration, which `fast` has; `plain` has none. `h1` carries them, with an address on each but the last.
fn ordinary() -> Fleet {
    let addressed = |network: &str, nic: &str, address: &str| NetworkAttachment {
        ipv4: ipv4(address, None),
        ..attachment("h1", network, nic)
    };
    let tagged = |name: &str, number| {
        Entity::Network(trestle_model::fleet::Network { vlan: Some(vlan(number)), ..network(name) })
    };
    fleet([
        Entity::Cluster(cluster("main")),
        Entity::Cluster(cluster("other")),
        Entity::Network(network("mgmt")),
        tagged("fast", 2),
        tagged("plain", 3),
        Entity::ClusterNetwork(ClusterNetwork { management: true, ..cluster_network("main", "mgmt") }),
        Entity::ClusterNetwork(ClusterNetwork { migration: true, ..cluster_network("main", "fast") }),
        Entity::ClusterNetwork(cluster_network("main", "plain")),
        Entity::Host(host("h1", "main")),
        Entity::NetworkAttachment(NetworkAttachment {
            ipv4: ipv4("192.0.2.10/24", Some("192.0.2.1")),
            default_route: true,
            ..attachment("h1", "mgmt", "eth0")
        }),
        Entity::NetworkAttachment(addressed("fast", "eth0", "198.51.100.10/24")),
        Entity::NetworkAttachment(attachment("h1", "plain", "eth0")),
    ])
}

fn with_roles(network: &str, roles: &[NetworkRole]) -> ClusterNetwork {
    ClusterNetwork {
        management: roles.contains(&NetworkRole::Management),
        migration: roles.contains(&NetworkRole::Migration),
        display: roles.contains(&NetworkRole::Display),
        default_route: roles.contains(&NetworkRole::DefaultRoute),
        ..cluster_network("main", network)
    }
}

fn field(role: NetworkRole) -> String {
    format!("cluster_network.spec.{}", role.name())
}

#[test]
fn each_role_is_taken_from_its_holder_in_the_same_write() {
    for role in NetworkRole::ALL {
        let mut fleet = ordinary();
        fleet.apply(Mutation::Put(Entity::ClusterNetwork(with_roles("mgmt", &[NetworkRole::Management, role]))));
        if role == NetworkRole::Migration {
            fleet.apply(Mutation::Put(Entity::ClusterNetwork(with_roles("fast", &[]))));
        }
        let change = Mutation::Put(Entity::ClusterNetwork(with_roles("fast", &[role])));
        let proposal = trestle_rules::propose(change, Fix::Leave, &fleet);
        let told: Vec<_> = proposal.findings.0.iter().filter(|finding| finding.code == Code::RoleTaken).collect();
        assert_eq!(told.len(), 1, "{role}: {:?}", proposal.findings);
        assert_eq!((told[0].field.as_str(), told[0].related.as_slice()), (&*field(role), &[MGMT.to_owned()][..]));
        assert!(!proposal.findings.refuses(&[Code::RoleTaken, Code::DefaultRouteElsewhere]), "{role}");
        proposal.mutations.into_iter().for_each(|mutation| fleet.apply(mutation));
        let holders: Vec<_> = fleet.cluster_networks().values().filter(|network| network.has(role)).collect();
        assert_eq!(holders.iter().map(|holder| holder.network.as_str()).collect::<Vec<_>>(), ["fast"], "{role}");
        let kept = fleet.cluster_networks().get(&(id("main"), network_name("mgmt"))).unwrap();
        assert_eq!(kept.has(NetworkRole::Management), role != NetworkRole::Management, "{role}");
    }
}

#[test]
fn a_role_that_stays_or_that_nobody_has_is_no_news() {
    let again = with_roles("fast", &[NetworkRole::Migration]);
    assert_eq!(put(&ordinary(), Entity::ClusterNetwork(again)), []);
    let more = with_roles("fast", &[NetworkRole::Migration, NetworkRole::Display]);
    assert_eq!(put(&ordinary(), Entity::ClusterNetwork(more)), []);
    let elsewhere = ClusterNetwork { migration: true, ..cluster_network("other", "fast") };
    assert_eq!(put(&ordinary(), Entity::ClusterNetwork(elsewhere)), []);
}

#[test]
fn the_management_network_stays_until_another_one_takes_over() {
    let refused = [error(Code::InUse, "cluster_network.spec.management", &["hosts/h1"])];
    assert_eq!(put(&ordinary(), Entity::ClusterNetwork(with_roles("mgmt", &[]))), refused);
    let mut empty = ordinary();
    for network in ["mgmt", "fast", "plain"] {
        empty.apply(Mutation::Delete(EntityId::NetworkAttachment(host_name("h1"), network_name(network))));
    }
    let id = EntityId::ClusterNetwork(id("main"), network_name("mgmt"));
    assert_eq!(delete(&empty, id.clone()), [error(Code::InUse, "name", &["hosts/h1"])]);
    empty.apply(Mutation::Delete(EntityId::Host(host_name("h1"))));
    assert_eq!(put(&empty, Entity::ClusterNetwork(with_roles("mgmt", &[]))), []);
    assert_eq!(delete(&empty, id), []);
}

#[test]
fn the_management_network_is_required_and_has_the_roles_that_nobody_was_given() {
    let (fleet, main, other) = (ordinary(), id("main"), id("other"));
    let holder = |role| fleet.role_holder(&main, role).unwrap();
    let name = |holder| match holder {
        RoleHolder::Given(network) => (network.network.to_string(), false),
        RoleHolder::ByDefault(network) => (network.network.to_string(), true),
    };
    assert_eq!(name(holder(NetworkRole::Management)), ("mgmt".to_owned(), false));
    assert_eq!(name(holder(NetworkRole::Migration)), ("fast".to_owned(), false));
    assert_eq!(name(holder(NetworkRole::Display)), ("mgmt".to_owned(), true));
    assert_eq!(name(holder(NetworkRole::DefaultRoute)), ("mgmt".to_owned(), true));
    assert_eq!(fleet.role_holder(&other, NetworkRole::Display), None);
    let required =
        |name: &str| fleet.cluster_networks().get(&(main.clone(), network_name(name))).unwrap().is_required();
    assert!(required("mgmt") && !required("fast"));
}

#[test]
fn a_network_with_a_role_needs_an_address_on_each_host() {
    let plain = "hosts/h1/networkAttachments/plain";
    for role in [NetworkRole::Migration, NetworkRole::Display] {
        let told = put(&ordinary(), Entity::ClusterNetwork(with_roles("plain", &[role])));
        assert!(told.contains(&error(Code::RoleWithoutAddress, &field(role), &[plain])), "{role}: {told:?}");
    }
    let bare = |network: &str| Entity::NetworkAttachment(attachment("h1", network, "eth0"));
    let refused = |name: &str| {
        [error(
            Code::RoleWithoutAddress,
            "network_attachment.spec.ipv4",
            &[&format!("clusters/main/clusterNetworks/{name}")],
        )]
    };
    assert_eq!(put(&ordinary(), bare("mgmt")), refused("mgmt"));
    assert_eq!(put(&ordinary(), bare("fast")), refused("fast"));
    assert_eq!(put(&ordinary(), bare("plain")), []);
    let leased = NetworkAttachment { ipv4: Ipv4Config::Dhcp, ..attachment("h1", "fast", "eth0") };
    assert_eq!(put(&ordinary(), Entity::NetworkAttachment(leased)), []);
}

#[test]
fn a_host_comes_to_a_cluster_with_addresses_on_its_networks_with_roles() {
    let mut fleet = ordinary();
    for place in ["mgmt", "fast"] {
        fleet.apply(Mutation::Put(Entity::ClusterNetwork(cluster_network("other", place))));
    }
    let display = ClusterNetwork { display: true, ..cluster_network("other", "plain") };
    fleet.apply(Mutation::Put(Entity::ClusterNetwork(display)));
    let names = ["clusters/other/clusterNetworks/plain", "hosts/h1/networkAttachments/plain"];
    let refused = [error(Code::RoleWithoutAddress, "host.spec.cluster", &names)];
    assert_eq!(put(&fleet, Entity::Host(host("h1", "other"))), refused);
}

#[test]
fn default_routes_belong_on_the_network_that_was_given_them() {
    let moved = with_roles("fast", &[NetworkRole::Migration, NetworkRole::DefaultRoute]);
    let stays =
        warning(Code::DefaultRouteElsewhere, &field(NetworkRole::DefaultRoute), &["hosts/h1/networkAttachments/mgmt"]);
    assert_eq!(put(&ordinary(), Entity::ClusterNetwork(moved.clone())), [stays]);

    let mut fleet = ordinary();
    let mgmt = fleet.attachments().get(&(host_name("h1"), network_name("mgmt"))).cloned().unwrap();
    assert_eq!(put(&fleet, Entity::NetworkAttachment(mgmt.clone())), [], "nobody said where");
    fleet.apply(Mutation::Put(Entity::ClusterNetwork(moved)));
    assert_eq!(put(&fleet, Entity::NetworkAttachment(mgmt.clone())), [], "it was there before");
    fleet.apply(Mutation::Put(Entity::NetworkAttachment(NetworkAttachment { default_route: false, ..mgmt.clone() })));
    let elsewhere = ["clusters/main/clusterNetworks/fast"];
    let told = [warning(Code::DefaultRouteElsewhere, "network_attachment.spec.default_route", &elsewhere)];
    assert_eq!(put(&fleet, Entity::NetworkAttachment(mgmt)), told);
}
