//! DHCP clients in plans: where they run, what is left to their leases, and the way back.

use trestle_fake_host::World;
use trestle_model::{AddressOrigin, Code, DhcpState, Ipv6Config};
use trestle_plan::{missing_leases, plan, resumption, steps_towards, undo_target, verify};

use super::scene::{Scene, lines, net, remove, request, settled};

fn world() -> World {
    World::default().nic("eth0").nic("eth1").dhcp_server("eth0", "192.0.2.50/24")
}

#[tokio::test]
async fn a_lease_brings_its_address_and_the_default_route_where_it_is_asked_for() {
    let mut scene = Scene::new(world().dhcp_server("eth1", "198.51.100.50/24"));
    let both = [net("mgmt").on("eth0").bridgeless().dhcp().default_route(), net("lan").on("eth1").dhcp()];
    scene.apply(&request(both.map(|net| net.set()))).await;
    assert_eq!(
        (scene.addresses("eth0"), scene.addresses("lan")),
        (vec!["192.0.2.50/24".to_owned()], vec!["198.51.100.50/24".to_owned()])
    );
    assert_eq!(scene.defaults(), ["192.0.2.1 dev eth0"]);
    assert_eq!(scene.link("eth0").addresses[0].origin, AddressOrigin::Dhcp);
}

#[tokio::test]
async fn a_lease_stays_the_same_from_a_nic_to_the_bridge_above_it() {
    let mut scene = Scene::new(world());
    scene.apply(&request([net("mgmt").on("eth0").bridgeless().dhcp().default_route().set()])).await;
    let plan = scene.apply(&request([net("mgmt").on("eth0").dhcp().default_route().set()])).await;
    let mac = scene.link("eth0").mac.unwrap();
    assert_eq!(
        lines(&plan.steps),
        format!(
            "create bridge mgmt with MAC {mac}\n\
             switch IPv6 off on mgmt\n\
             set mgmt up\n\
             define libvirt network trestle-mgmt on bridge mgmt, MAC table managed by kernel\n\
             let libvirt start network trestle-mgmt by itself\n\
             start libvirt network trestle-mgmt\n\
             stop IPv4 DHCP client on eth0\n\
             make eth0 a port of mgmt\n\
             start IPv4 DHCP client on mgmt for the default route"
        )
    );
    assert_eq!((scene.addresses("eth0"), scene.addresses("mgmt")), (vec![], vec!["192.0.2.50/24".to_owned()]));
    assert_eq!(scene.defaults(), ["192.0.2.1 dev mgmt"]);
}

#[tokio::test]
async fn static_follows_dhcp_and_an_undo_brings_the_lease_back() {
    let mut scene = Scene::new(world());
    scene.apply(&request([net("mgmt").on("eth0").dhcp().default_route().set()])).await;
    let before = settled(scene.host.state());
    let fixed = net("mgmt").on("eth0").ipv4(&["192.0.2.9/24"], Some("192.0.2.254")).default_route();
    let plan = scene.apply(&request([fixed.set()])).await;
    assert_eq!(
        lines(&plan.steps),
        "stop IPv4 DHCP client on mgmt\n\
         add address 192.0.2.9/24 to mgmt\n\
         add route 0.0.0.0/0 via 192.0.2.254 dev mgmt"
    );
    assert!(scene.host.state().dhcp.is_empty());
    let target = undo_target(&plan.snapshot);
    scene.perform(&steps_towards(&target, &scene.host.state())).await;
    assert_eq!(verify(&target, &scene.host.state()), []);
    assert_eq!(settled(scene.host.state()), before);
}

#[tokio::test]
async fn a_foreign_lease_makes_way_and_comes_back() {
    let world = world().leased_address("eth0", "192.0.2.77/24").default_route("eth0", "192.0.2.1", 100);
    let mut scene = Scene::new(world);
    let before = settled(scene.host.state());
    let plan = scene.apply(&request([net("mgmt").on("eth0").dhcp().default_route().set()])).await;
    assert_eq!(scene.addresses("mgmt"), ["192.0.2.50/24"]);
    let target = undo_target(&plan.snapshot);
    scene.perform(&steps_towards(&target, &scene.host.state())).await;
    assert_eq!(settled(scene.host.state()), before);
}

#[tokio::test]
async fn the_default_route_moves_between_leases_and_statics() {
    let mut scene = Scene::new(world().dhcp_server("eth1", "198.51.100.50/24"));
    let leased = |on: &str| net(&format!("n-{on}")).on(on).dhcp();
    scene.apply(&request([leased("eth0").default_route().set(), leased("eth1").set()])).await;
    assert_eq!(scene.defaults(), ["192.0.2.1 dev n-eth0"]);
    let plan = scene.apply(&request([leased("eth1").default_route().set()])).await;
    assert_eq!(
        lines(&plan.steps),
        "start IPv4 DHCP client on n-eth0\nstart IPv4 DHCP client on n-eth1 for the default route"
    );
    assert_eq!(scene.defaults(), ["198.51.100.1 dev n-eth1"]);
    let fixed = net("n-eth0").on("eth0").ipv4(&["192.0.2.9/24"], Some("192.0.2.254")).default_route();
    scene.apply(&request([fixed.set()])).await;
    assert_eq!(scene.defaults(), ["192.0.2.254 dev n-eth0"]);
}

#[tokio::test]
async fn only_the_default_routes_lease_names_the_hosts_servers_unless_the_network_does() {
    const TEXT: &str = "nameserver 198.51.100.53\n";
    let mut scene = Scene::new(world().resolv_conf(TEXT));
    let mgmt = || net("mgmt").on("eth0").dhcp();
    let in_force = |scene: &Scene| scene.host.state().resolver.in_force();
    scene.apply(&request([mgmt().set()])).await;
    assert_eq!(in_force(&scene), ["198.51.100.53"]);
    let rules = scene.host.state().kernel.rules;
    assert_eq!(rules.iter().map(|rule| rule.source.to_string()).collect::<Vec<_>>(), ["192.0.2.50/32"]);

    let plan = scene.apply(&request([mgmt().default_route().set()])).await;
    assert_eq!((in_force(&scene), scene.host.state().kernel.rules), (vec!["192.0.2.1".to_owned()], vec![]));
    assert_eq!(scene.host.state().resolver.text.as_deref(), Some(TEXT), "a lease is nothing to plan over");
    let undone = scene.fork();
    undone.perform(&steps_towards(&undo_target(&plan.snapshot), &undone.host.state())).await;
    assert_eq!(in_force(&undone), ["198.51.100.53"]);
    assert_eq!(undone.host.state().kernel.rules, rules);

    let plan = scene.apply(&request([mgmt().default_route().nameserver("192.0.2.53").set()])).await;
    assert_eq!(
        lines(&plan.steps),
        "start IPv4 DHCP client on mgmt for the default route\nset name servers to 192.0.2.53"
    );
    assert_eq!(in_force(&scene), ["192.0.2.53"]);
    let undone = scene.fork();
    undone.perform(&steps_towards(&undo_target(&plan.snapshot), &undone.host.state())).await;
    assert_eq!(
        (in_force(&undone), undone.host.state().resolver.text.unwrap()),
        (vec!["192.0.2.1".to_owned()], TEXT.to_owned())
    );
    scene.apply(&request([remove("mgmt")])).await;
    assert_eq!(scene.host.state().kernel.rules, []);
}

#[tokio::test]
async fn a_lease_that_changes_or_ends_is_no_drift() {
    let mut scene = Scene::new(world());
    let mgmt = request([net("mgmt").on("eth0").dhcp().default_route().set()]);
    let plan = scene.apply(&mgmt).await;
    assert_eq!(missing_leases(&plan.target, &scene.host.state()), []);
    scene.host.change(|world| {
        world.serve_dhcp("eth0", "192.0.2.60/24");
        world.renew_dhcp();
    });
    assert_eq!(scene.addresses("mgmt"), ["192.0.2.60/24"]);
    scene.apply(&mgmt).await;
    scene.host.change(|world| {
        world.silence_dhcp("eth0");
        world.renew_dhcp();
    });
    assert_eq!((scene.addresses("mgmt"), scene.defaults()), (vec![], vec![]));
    scene.apply(&mgmt).await;
    let missing = missing_leases(&plan.target, &scene.host.state());
    assert_eq!(missing.len(), 1, "{missing:?}");
    assert_eq!(scene.host.state().dhcp[0].state, DhcpState::Searching);
}

#[test]
fn another_programs_client_has_to_be_acknowledged() {
    let world = world().foreign_dhcp("eth0", "dhclient").foreign_dhcp("eth1", "udhcpc");
    let scene = Scene::new(world);
    let warned = |net: super::scene::Net| {
        let mut request = request([net.set()]);
        request.options.acknowledge = vec![Code::DhcpClientForeign];
        let findings = scene.plan(&request).findings.0;
        findings.iter().map(|finding| format!("{} {}", finding.field, finding.message)).collect::<Vec<_>>()
    };
    let told = "dhclient asks for addresses on eth0, too";
    assert_eq!(warned(net("mgmt").on("eth0").dhcp()), [format!("networks[0].ipv4 {told}")]);
    let vlan = net("mgmt").on("eth0").vlan(10).ipv6_by(Ipv6Config::AutoAndDhcp);
    assert_eq!(warned(vlan), [format!("networks[0].ipv6 {told}")]);
    assert_eq!(warned(net("mgmt").on("eth0").ipv6_by(Ipv6Config::Auto)), Vec::<String>::new());
    let refused = plan(&request([net("mgmt").on("eth0").dhcp().set()]), &scene.running, &scene.host.state());
    assert_eq!(refused.unwrap_err().0.len(), 1);
}

#[tokio::test]
async fn a_removed_network_takes_its_client_along() {
    let mut scene = Scene::new(world());
    for topology in [net("mgmt").on("eth0").dhcp(), net("mgmt").on("eth0").bridgeless().dhcp()] {
        scene.apply(&request([topology.set()])).await;
        scene.apply(&request([remove("mgmt")])).await;
        assert!(scene.host.state().dhcp.is_empty());
        assert_eq!(scene.addresses("eth0"), Vec::<String>::new());
    }
}

#[tokio::test]
async fn clients_are_resumed_where_their_device_is_there() {
    let mut scene = Scene::new(world());
    scene.apply(&request([net("mgmt").on("eth0").dhcp().set(), net("lan").on("eth1").dhcp().set()])).await;
    let mut state = scene.host.state();
    assert_eq!(resumption(&scene.running, &state), []);
    state.dhcp.clear();
    let all: Vec<String> = resumption(&scene.running, &state).iter().map(ToString::to_string).collect();
    assert_eq!(all, ["start IPv4 DHCP client on lan", "start IPv4 DHCP client on mgmt"]);
    state.kernel.links.remove(&super::scene::if_name("lan"));
    assert_eq!(resumption(&scene.running, &state).len(), 1);
}
