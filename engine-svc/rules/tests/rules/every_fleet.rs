//! The rules of every fleet.

use trestle_model::fleet::{
    ClusterNetwork, Entity, EntityId, Fleet, GuestTagging, Host, Mutation, Network, NetworkAttachment, NetworkFilter,
    VnicProfile,
};
use trestle_model::{BridgeOptions, Code, Feature, Ipv4Config, Ipv6Config};

use crate::fixture::{
    Told, attachment, cluster, cluster_network, delete, device, error, fleet, host, host_name, id, ipv4, ipv6, managed,
    mtu, network, network_name, profile, put, report, vlan, warning, without,
};

/// Two clusters; `blue` and `red` in the first, on h1's two NICs; a profile on `blue`.
fn ordinary() -> Fleet {
    fleet([
        Entity::Cluster(cluster("main")),
        Entity::Cluster(cluster("other")),
        Entity::Network(network("blue")),
        Entity::Network(network("red")),
        Entity::ClusterNetwork(ClusterNetwork { management: true, ..cluster_network("main", "blue") }),
        Entity::ClusterNetwork(cluster_network("main", "red")),
        Entity::VnicProfile(profile("blue", "guests")),
        Entity::Host(host("h1", "main")),
        Entity::NetworkAttachment(NetworkAttachment {
            ipv4: ipv4("192.0.2.10/24", Some("192.0.2.1")),
            default_route: true,
            ..attachment("h1", "blue", "eth0")
        }),
        Entity::NetworkAttachment(attachment("h1", "red", "eth1")),
    ])
}

/// The ordinary fleet with one more entity.
fn with(entity: Entity) -> Fleet {
    let mut fleet = ordinary();
    fleet.apply(Mutation::Put(entity));
    fleet
}

fn check(entity: Entity, expected: &[Told]) {
    assert_eq!(put(&ordinary(), entity), expected);
}

fn check_delete(id: EntityId, expected: &[Told]) {
    assert_eq!(delete(&ordinary(), id), expected);
}

#[test]
fn accepts_every_entity_of_an_ordinary_fleet_again() {
    let fleet = ordinary();
    let ids = [
        EntityId::Cluster(id("main")),
        EntityId::Network(network_name("blue")),
        EntityId::ClusterNetwork(id("main"), network_name("blue")),
        EntityId::VnicProfile(network_name("blue"), id("guests")),
        EntityId::Host(host_name("h1")),
        EntityId::NetworkAttachment(host_name("h1"), network_name("blue")),
    ];
    for id in ids {
        assert_eq!(put(&fleet, fleet.entity(&id).unwrap()), [], "{id}");
    }
}

#[test]
fn refuses_references_to_what_does_not_exist() {
    let missing = |field: &str, name: &str| error(Code::ReferenceNotFound, field, &[name]);
    check(Entity::Host(host("h2", "nowhere")), &[missing("host.spec.cluster", "clusters/nowhere")]);
    check(Entity::VnicProfile(profile("nothing", "p")), &[missing("vnic_profile.name", "networks/nothing")]);
    check(
        Entity::ClusterNetwork(cluster_network("nowhere", "nothing")),
        &[missing("cluster_network.name", "clusters/nowhere"), missing("cluster_network.name", "networks/nothing")],
    );
    check(
        Entity::NetworkAttachment(attachment("nobody", "nothing", "eth0")),
        &[missing("network_attachment.name", "hosts/nobody"), missing("network_attachment.name", "networks/nothing")],
    );
}

#[test]
fn refuses_to_remove_what_is_in_use_and_names_the_users() {
    check_delete(
        EntityId::Network(network_name("blue")),
        &[error(
            Code::InUse,
            "name",
            &[
                "clusters/main/clusterNetworks/blue",
                "hosts/h1/networkAttachments/blue",
                "networks/blue/vnicProfiles/guests",
            ],
        )],
    );
    check_delete(
        EntityId::Cluster(id("main")),
        &[error(
            Code::InUse,
            "name",
            &["clusters/main/clusterNetworks/blue", "clusters/main/clusterNetworks/red", "hosts/h1"],
        )],
    );
    check_delete(
        EntityId::Host(host_name("h1")),
        &[error(Code::InUse, "name", &["hosts/h1/networkAttachments/blue", "hosts/h1/networkAttachments/red"])],
    );
}

#[test]
fn removes_what_nobody_uses() {
    check_delete(EntityId::Cluster(id("other")), &[]);
    check_delete(EntityId::VnicProfile(network_name("blue"), id("guests")), &[]);
    check_delete(EntityId::NetworkAttachment(host_name("h1"), network_name("blue")), &[]);
    check_delete(EntityId::ClusterNetwork(id("other"), network_name("blue")), &[]);
}

#[test]
fn a_network_leaves_a_cluster_only_after_its_hosts() {
    let carried = error(Code::NetworkNotInCluster, "name", &["hosts/h1/networkAttachments/red"]);
    check_delete(EntityId::ClusterNetwork(id("main"), network_name("red")), &[carried]);
}

#[test]
fn the_management_network_stays_while_the_cluster_has_hosts() {
    let mut fleet = ordinary();
    fleet.apply(Mutation::Delete(EntityId::NetworkAttachment(host_name("h1"), network_name("blue"))));
    let id = EntityId::ClusterNetwork(id("main"), network_name("blue"));
    assert_eq!(delete(&fleet, id), [error(Code::InUse, "name", &["hosts/h1"])]);
}

#[test]
fn a_cluster_has_one_management_network() {
    let second = ClusterNetwork { management: true, ..cluster_network("main", "red") };
    let field = "cluster_network.spec.management";
    let told = [
        error(Code::RoleWithoutAddress, field, &["hosts/h1/networkAttachments/red"]),
        warning(Code::RoleTaken, field, &["clusters/main/clusterNetworks/blue"]),
    ];
    let mut found = put(&ordinary(), Entity::ClusterNetwork(second));
    found.sort_by_key(|told| std::cmp::Reverse(told.severity));
    assert_eq!(found, told);
    let elsewhere = ClusterNetwork { management: true, ..cluster_network("other", "red") };
    check(Entity::ClusterNetwork(elsewhere), &[]);
}

#[test]
fn a_host_carries_only_networks_of_its_cluster() {
    let fleet = with(Entity::Network(Network { vlan: Some(vlan(7)), ..network("green") }));
    let told = put(&fleet, Entity::NetworkAttachment(attachment("h1", "green", "eth0")));
    assert_eq!(told, [error(Code::NetworkNotInCluster, "network_attachment.name", &["clusters/main"])]);
}

#[test]
fn a_host_moves_only_to_a_cluster_with_its_networks() {
    let carried = ["hosts/h1/networkAttachments/blue", "hosts/h1/networkAttachments/red"];
    check(Entity::Host(host("h1", "other")), &[error(Code::NetworkNotInCluster, "host.spec.cluster", &carried)]);
}

/// `green` is a third network of the cluster, not yet on h1.
fn with_green(green: Network) -> Fleet {
    let mut fleet = with(Entity::Network(green));
    fleet.apply(Mutation::Put(Entity::ClusterNetwork(cluster_network("main", "green"))));
    fleet
}

#[test]
fn a_nic_carries_one_untagged_network_and_each_vlan_once() {
    let taken = |name: &str| [error(Code::SouthboundTaken, "network_attachment.spec.nic", &[name])];
    let untagged = with_green(network("green"));
    let green = |nic: &str| Entity::NetworkAttachment(attachment("h1", "green", nic));
    assert_eq!(put(&untagged, green("eth0")), taken("hosts/h1/networkAttachments/blue"));
    assert_eq!(put(&untagged, green("eth2")), []);

    let mut tagged = with_green(Network { vlan: Some(vlan(7)), ..network("green") });
    assert_eq!(put(&tagged, green("eth0")), []);
    tagged.apply(Mutation::Put(Entity::Network(Network { vlan: Some(vlan(7)), ..network("red") })));
    assert_eq!(put(&tagged, green("eth1")), taken("hosts/h1/networkAttachments/red"));
    assert_eq!(put(&tagged, green("eth0")), []);
}

#[test]
fn a_vlan_device_by_name_is_the_same_device() {
    let mut fleet = with_green(Network { vlan: Some(vlan(7)), ..network("green") });
    fleet.apply(Mutation::Put(Entity::NetworkAttachment(attachment("h1", "red", "eth0.7"))));
    let told = put(&fleet, Entity::NetworkAttachment(attachment("h1", "green", "eth0")));
    let red = ["hosts/h1/networkAttachments/red"];
    assert_eq!(told, [error(Code::SouthboundTaken, "network_attachment.spec.nic", &red)]);
}

#[test]
fn a_network_changes_its_vlan_only_where_its_nics_are_free() {
    let mut fleet = with_green(Network { vlan: Some(vlan(7)), ..network("green") });
    fleet.apply(Mutation::Put(Entity::NetworkAttachment(attachment("h1", "green", "eth0"))));
    let blue = ["hosts/h1/networkAttachments/blue"];
    assert_eq!(
        put(&fleet, Entity::Network(network("green"))),
        [error(Code::SouthboundTaken, "network.spec.vlan_id", &blue)]
    );
    assert_eq!(put(&fleet, Entity::Network(Network { vlan: Some(vlan(8)), ..network("green") })), []);
}

#[test]
fn a_host_has_one_default_route_with_a_gateway() {
    const FIELD: &str = "network_attachment.spec.default_route";
    let red = attachment("h1", "red", "eth1");
    let routed = NetworkAttachment { default_route: true, ..red.clone() };
    check(
        Entity::NetworkAttachment(routed),
        &[
            error(Code::DefaultRouteTaken, FIELD, &["hosts/h1/networkAttachments/blue"]),
            error(Code::DefaultRouteWithoutGateway, FIELD, &[]),
        ],
    );
    let unused = NetworkAttachment {
        ipv4: ipv4("198.51.100.2/24", Some("198.51.100.1")),
        ipv6: ipv6("2001:db8::2/64", Some("fe80::1")),
        ..red
    };
    check(
        Entity::NetworkAttachment(unused),
        &[
            error(Code::GatewayWithoutDefaultRoute, "network_attachment.spec.ipv4.static.gateway", &[]),
            error(Code::GatewayWithoutDefaultRoute, "network_attachment.spec.ipv6.static.gateway", &[]),
        ],
    );
}

#[test]
fn an_address_is_configured_once_on_a_host() {
    let twice = NetworkAttachment { ipv4: ipv4("192.0.2.10/25", None), ..attachment("h1", "red", "eth1") };
    let blue = ["hosts/h1/networkAttachments/blue"];
    check(Entity::NetworkAttachment(twice), &[error(Code::AddressTaken, "network_attachment.spec.ipv4", &blue)]);
}

#[test]
fn a_network_without_bridge_or_with_a_vlan_needs_a_nic() {
    let bare = Network { vm_network: false, vlan: Some(vlan(7)), ..network("green") };
    let floating = NetworkAttachment { southbound: None, ..attachment("h1", "green", "eth0") };
    let nic = "network_attachment.spec.nic";
    assert_eq!(
        put(&with_green(bare.clone()), Entity::NetworkAttachment(floating.clone())),
        [error(Code::BridgelessWithoutSouthbound, nic, &[]), error(Code::VlanWithoutSouthbound, nic, &[])]
    );
    let mut bridged = with_green(network("green"));
    assert_eq!(put(&bridged, Entity::NetworkAttachment(floating.clone())), []);

    bridged.apply(Mutation::Put(Entity::NetworkAttachment(floating)));
    let green = ["hosts/h1/networkAttachments/green"];
    assert_eq!(
        put(&bridged, Entity::Network(bare)),
        [
            error(Code::VlanWithoutSouthbound, "network.spec.vlan_id", &green),
            error(Code::BridgelessWithoutSouthbound, "network.spec.vm_network", &green),
        ]
    );
}

#[test]
fn a_network_without_bridge_has_no_bridge_attributes() {
    let attributes = Network {
        vm_network: false,
        stp: true,
        port_isolation: true,
        bridge_name: Some(device("br7")),
        bridge_options: BridgeOptions { priority: Some(1), ..BridgeOptions::default() },
        ..network("green")
    };
    let refused = |field: &str| error(Code::BridgeAttributeOnBridgeless, field, &[]);
    check(
        Entity::Network(attributes),
        &["bridge_name", "bridge_options", "port_isolation", "stp"]
            .map(|field| refused(&format!("network.spec.{field}"))),
    );
}

#[test]
fn a_network_keeps_its_bridge_while_profiles_use_it_and_gets_none_without() {
    let bare = |name: &str| Network { vm_network: false, ..network(name) };
    let profiles = ["networks/blue/vnicProfiles/guests"];
    check(Entity::Network(bare("blue")), &[error(Code::InUse, "network.spec.vm_network", &profiles)]);
    check(Entity::Network(bare("red")), &[]);
    let told = put(&with(Entity::Network(bare("red"))), Entity::VnicProfile(profile("red", "guests")));
    assert_eq!(told, [error(Code::BridgeAttributeOnBridgeless, "vnic_profile.name", &["networks/red"])]);
}

#[test]
fn bridge_options_have_ranges_and_bridge_names_a_form() {
    let wrong = Network {
        bridge_name: Some(device("br.7")),
        bridge_options: BridgeOptions {
            forward_delay_cs: Some(199),
            default_pvid: Some(4095),
            ..BridgeOptions::default()
        },
        ..network("green")
    };
    check(
        Entity::Network(wrong),
        &[
            error(Code::BridgeNameInvalid, "network.spec.bridge_name", &[]),
            error(Code::BridgeOptionOutOfRange, "network.spec.bridge_options.default_pvid", &[]),
            error(Code::BridgeOptionOutOfRange, "network.spec.bridge_options.forward_delay_cs", &[]),
        ],
    );
}

#[test]
fn a_bridges_name_is_its_own_on_every_host() {
    let same = Network { bridge_name: Some(device("blue")), ..network("red") };
    let blue = ["hosts/h1/networkAttachments/blue"];
    check(Entity::Network(same.clone()), &[error(Code::BridgeNameTaken, "network.spec.bridge_name", &blue)]);
    let elsewhere = Network { bridge_name: Some(device("blue")), ..network("green") };
    check(Entity::Network(elsewhere.clone()), &[]);
    let told = put(&with_green(elsewhere), Entity::NetworkAttachment(attachment("h1", "green", "eth2")));
    assert_eq!(told, [error(Code::BridgeNameTaken, "network_attachment.spec.nic", &blue)]);
}

#[test]
fn a_bridge_is_not_named_like_a_nic_that_networks_stand_on() {
    let told = |name: &str| {
        put(
            &with_green(network(name)),
            Entity::Network(Network { bridge_name: Some(device("eth0")), ..network("red") }),
        )
    };
    let blue = ["hosts/h1/networkAttachments/blue"];
    assert_eq!(told("green"), [error(Code::BridgeNameTaken, "network.spec.bridge_name", &blue)]);

    let fleet = with_green(Network { bridge_name: Some(device("eth5")), ..network("green") });
    let own = ["hosts/h1/networkAttachments/green"];
    assert_eq!(
        put(&fleet, Entity::NetworkAttachment(attachment("h1", "green", "eth5"))),
        [error(Code::BridgeNameTaken, "network_attachment.spec.nic", &own)]
    );
}

#[test]
fn ipv6_needs_an_mtu_of_1280() {
    let red = NetworkAttachment { ipv6: ipv6("2001:db8::2/64", None), ..attachment("h1", "red", "eth1") };
    let small = Network { mtu: mtu(1279), ..network("red") };
    let told = put(&with(Entity::Network(small.clone())), Entity::NetworkAttachment(red.clone()));
    assert_eq!(told, [error(Code::MtuOutOfRange, "network_attachment.spec.ipv6", &["networks/red"])]);
    let told = put(&with(Entity::NetworkAttachment(red)), Entity::Network(small.clone()));
    assert_eq!(told, [error(Code::MtuOutOfRange, "network.spec.mtu", &["hosts/h1/networkAttachments/red"])]);
    check(Entity::Network(small), &[]);
}

#[test]
fn every_finding_is_told_not_only_the_first() {
    let mut fleet = with(Entity::VnicProfile(VnicProfile {
        filter: NetworkFilter::None,
        guest_tagging: GuestTagging::Any,
        ..profile("blue", "open")
    }));
    fleet.observe(host_name("h1"), report(without(Feature::LibvirtMacTableManager), Vec::new()));
    let on = Network {
        bridge_options: BridgeOptions { vlan_filtering: Some(false), ..BridgeOptions::default() },
        ..managed("blue")
    };
    let (field, open) = ("network.spec.manage_macs_with_libvirt", ["networks/blue/vnicProfiles/open"]);
    assert_eq!(
        put(&fleet, Entity::Network(on)),
        [
            error(Code::BridgeOptsConflict, "network.spec.bridge_options.vlan_filtering", &[]),
            error(Code::MacSpoofConflict, field, &open),
            error(Code::GuestTaggingConflict, field, &open),
            error(Code::HostUnsupported, field, &["hosts/h1"]),
            warning(Code::MgmtBridgeChange, field, &["clusters/main"]),
        ]
    );
}

#[test]
fn a_managed_network_changes_otherwise_without_new_acknowledgements() {
    let mut fleet = with(Entity::Network(managed("blue")));
    fleet.observe(host_name("h1"), report(without(Feature::LibvirtMacTableManager), Vec::new()));
    let described = Network { description: "new".to_owned(), ..managed("blue") };
    assert_eq!(put(&fleet, Entity::Network(described)), []);
    let renumbered = NetworkAttachment {
        ipv4: ipv4("192.0.2.11/24", Some("192.0.2.1")),
        default_route: true,
        ..attachment("h1", "blue", "eth0")
    };
    assert_eq!(put(&fleet, Entity::NetworkAttachment(renumbered)), []);
    assert_eq!(put(&fleet, Entity::Host(Host { description: "new".to_owned(), ..host("h1", "main") })), []);
}

#[test]
fn an_attachment_without_addresses_is_ordinary() {
    let plain = attachment("h1", "red", "eth1");
    assert_eq!((&plain.ipv4, &plain.ipv6), (&Ipv4Config::None, &Ipv6Config::None));
    check(Entity::NetworkAttachment(plain), &[]);
}

#[test]
fn a_host_isolates_ports_where_the_network_says_so() {
    let isolated = |fleet: &Fleet| {
        let networks = fleet.desired_networks(&host_name("h1")).into_iter();
        networks.filter(|spec| spec.port_isolation).map(|spec| spec.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(isolated(&ordinary()), Vec::<String>::new());
    assert_eq!(isolated(&with(Entity::Network(Network { port_isolation: true, ..network("red") }))), ["red"]);
}
