//! What is refused, with which code, and where.

use trestle_fake_host::World;
use trestle_model::{Code, DeviceManager, Feature, LinkKind, MacTableManager, NetworkChange, Severity};
use trestle_plan::{plan, validate};

use super::scene::{Net, Scene, if_name, net, remove, request};

fn world() -> World {
    World::default()
        .nic("eth0")
        .nic("eth1")
        .address("eth1", "203.0.113.5/24")
        .default_route("eth1", "203.0.113.1", 0)
        .foreign_bridge("virbr0")
        .nic("eth2")
        .port("virbr0", "eth2")
        .foreign_vlan("old77", "eth0", 77)
        .foreign_vlan("eth0.78", "eth0", 78)
        .device("tun0", LinkKind::Tun)
        .device("wg0", LinkKind::Other("wireguard".to_owned()))
        .foreign_network("hand-made", "shared", MacTableManager::Kernel)
        .foreign_network("trestle-taken", "elsewhere", MacTableManager::Kernel)
}

/// Checks the errors and warnings of a request on top of network `base`, which is VLAN 5 of eth0 and on 198.51.100.5.
async fn check(world: World, changes: impl IntoIterator<Item = NetworkChange>, expected: &[(Code, &str)]) {
    let mut scene = Scene::new(world);
    scene.apply(&request([net("base").on("eth0").vlan(5).ipv4(&["198.51.100.5/24"], None).set()])).await;
    let request = request(changes);
    let state = scene.host.state();
    let findings = validate(&request, &scene.running, &state);
    let found: Vec<(Code, &str)> = findings
        .0
        .iter()
        .filter(|finding| finding.severity != Severity::Info)
        .map(|finding| (finding.code, finding.field.as_str()))
        .collect();
    assert_eq!(found, expected, "{findings:#?}");
    for finding in findings.0.iter().filter(|finding| finding.severity == Severity::Error) {
        assert!(
            !finding.remedy.is_empty() && !finding.message.is_empty() && !finding.subject.is_empty(),
            "{finding:?}"
        );
        assert!(plan(&request, &scene.running, &state).is_err());
    }
}

fn options(net: Net, change: impl FnOnce(&mut trestle_model::BridgeOptions)) -> Net {
    net.bridge(|bridge| change(&mut bridge.options))
}

#[tokio::test]
async fn a_network_that_fits_is_accepted() {
    check(world(), [net("n").on("eth0").set()], &[]).await;
}

#[tokio::test]
async fn a_network_without_a_nic_can_only_be_a_bridge() {
    check(world(), [net("n").set()], &[]).await;
    check(world(), [net("n").bridgeless().set()], &[(Code::BridgelessWithoutSouthbound, "networks[0].nic")]).await;
    check(world(), [net("n").vlan(3).set()], &[(Code::VlanWithoutSouthbound, "networks[0].vlan_id")]).await;
}

#[tokio::test]
async fn what_carries_no_network_is_refused_as_a_nic() {
    for nic in ["absent", "lo", "virbr0", "tun0", "wg0", "old77", "base", "eth0.5"] {
        check(world(), [net("n").on(nic).set()], &[(Code::NicNotFound, "networks[0].nic")]).await;
    }
    check(world(), [net("n").on("eth2").set()], &[(Code::NicInUse, "networks[0].nic")]).await;
}

#[tokio::test]
async fn places_names_and_addresses_are_taken_once() {
    let clash = [net("n").on("eth0").vlan(5).ipv4(&["198.51.100.9/24", "198.51.100.5/25"], None).set()];
    let expected =
        [(Code::AddressTaken, "networks[0].ipv4.addresses[1]"), (Code::SouthboundTaken, "networks[0].vlan_id")];
    check(world(), clash, &expected).await;
    let twice = [net("a").on("eth0").set(), net("b").on("eth0").bridgeless().set()];
    let expected = [(Code::SouthboundTaken, "networks[0].nic"), (Code::SouthboundTaken, "networks[1].nic")];
    check(world(), twice, &expected).await;
    let bridge = net("n").bridge(|bridge| bridge.name = if_name("base"));
    check(world(), [bridge.set()], &[(Code::BridgeNameTaken, "networks[0].bridge_name")]).await;
    let foreign = net("n").on("eth0").ipv4(&["203.0.113.5/24"], None);
    check(world(), [foreign.set()], &[(Code::AddressTaken, "networks[0].ipv4.addresses[0]")]).await;
    let adopted = net("n").on("eth1").ipv4(&["203.0.113.5/24"], None);
    check(world(), [adopted.set()], &[]).await;
    let exchanged = [remove("base"), net("n").on("eth0").vlan(5).ipv4(&["198.51.100.5/24"], None).set()];
    check(world(), exchanged, &[]).await;
}

#[tokio::test]
async fn what_is_not_trestles_is_never_planned_over() {
    let names = [
        (net("virbr0"), "networks[0].bridge_name"),
        (net("eth1"), "networks[0].bridge_name"),
        (net("n").on("eth0").vlan(77), "networks[0].vlan_id"),
        (net("n").on("eth0").vlan(78), "networks[0].vlan_id"),
        (net("taken"), "networks[0].name"),
        (net("shared").managed(), "networks[0].manage_macs_with_libvirt"),
    ];
    for (net, field) in names {
        check(world(), [net.set()], &[(Code::ForeignDevice, field)]).await;
    }
}

#[tokio::test]
async fn one_network_has_the_default_route_and_it_has_a_gateway() {
    let gateway = |name, nic, net_, via| net(name).on(nic).ipv4(&[net_], Some(via)).default_route();
    let none = net("n").on("eth0").ipv4(&["192.0.2.10/24"], None).default_route();
    check(world(), [none.set()], &[(Code::DefaultRouteWithoutGateway, "networks[0].default_route")]).await;
    let of_its_own = net("n").on("eth0").ipv4(&["192.0.2.10/24"], Some("192.0.2.1"));
    check(world(), [of_its_own.set()], &[]).await;
    // The host's own default route goes through eth1: it may be replaced by what adopts eth1, and by nothing else.
    let other = gateway("n", "eth0", "192.0.2.10/24", "192.0.2.1");
    check(world(), [other.clone().set()], &[(Code::DefaultRouteTaken, "networks[0].default_route")]).await;
    let adopting = gateway("n", "eth1", "203.0.113.5/24", "203.0.113.1");
    check(world(), [adopting.clone().set()], &[]).await;
    let expected = [
        (Code::DefaultRouteTaken, "networks[0].default_route"),
        (Code::DefaultRouteTaken, "networks[1].default_route"),
    ];
    let second = gateway("m", "eth0", "192.0.2.10/24", "192.0.2.1");
    check(world(), [adopting.set(), second.set()], &expected).await;
}

#[tokio::test]
async fn an_mtu_fits_the_nic_and_ipv6() {
    check(world(), [net("n").on("eth0").mtu(9217).set()], &[(Code::MtuOutOfRange, "networks[0].mtu")]).await;
    check(world(), [net("n").on("eth0").mtu(9216).set()], &[]).await;
    let six = net("n").on("eth0").mtu(1279).ipv6(&["2001:db8::1/64"], None);
    check(world(), [six.set()], &[(Code::MtuOutOfRange, "networks[0].mtu")]).await;
}

#[tokio::test]
async fn a_missing_feature_is_named_with_its_reason() {
    let lacking = |feature| world().without(feature, "not built in");
    let managed = || [net("n").on("eth0").managed().set()];
    let field = "networks[0].manage_macs_with_libvirt";
    check(lacking(Feature::BridgeVlanFiltering), managed(), &[(Code::KernelLacksFeature, field)]).await;
    check(lacking(Feature::LibvirtMacTableManager), managed(), &[(Code::LibvirtLacksFeature, field)]).await;
    check(world().without_libvirt(), managed(), &[(Code::LibvirtLacksFeature, field)]).await;
    let filtering = options(net("n"), |options| options.vlan_filtering = Some(true));
    let expected = [(Code::KernelLacksFeature, "networks[0].bridge_options.vlan_filtering")];
    check(lacking(Feature::BridgeVlanFiltering), [filtering.set()], &expected).await;
    let state =
        Scene::new(World::default().nic("eth0").without(Feature::VlanDevices, "module 8021q is missing")).host.state();
    let findings = validate(&request([net("n").on("eth0").vlan(2).set()]), &Default::default(), &state);
    assert_eq!(findings.0.len(), 1);
    assert!(findings.0[0].message.contains("vlan_devices: module 8021q is missing"), "{findings:?}");
}

#[tokio::test]
async fn options_that_contradict_management_are_refused_and_a_setting_without_effect_is_warned_about() {
    let conflicting = options(net("n").managed(), |options| {
        options.vlan_filtering = Some(false);
        options.default_pvid = Some(0);
        options.ageing_time_cs = Some(100);
    });
    let expected = ["ageing_time_cs", "default_pvid", "vlan_filtering"]
        .map(|option| (Code::BridgeOptsConflict, format!("networks[0].bridge_options.{option}")));
    let expected: Vec<(Code, &str)> = expected.iter().map(|(code, field)| (*code, field.as_str())).collect();
    check(world(), [conflicting.set()], &expected).await;
    let bridgeless = net("n").on("eth0").bridgeless().managed();
    let expected = [(Code::NoEffectNotBridged, "networks[0].manage_macs_with_libvirt")];
    check(world(), [bridgeless.clone().set()], &expected).await;
    let mut unacknowledged = request([bridgeless.set()]);
    unacknowledged.options.acknowledge.clear();
    assert!(plan(&unacknowledged, &Default::default(), &Scene::new(world()).host.state()).is_err());
}

#[tokio::test]
async fn a_removal_names_what_is_there_and_what_nobody_uses() {
    check(world(), [remove("absent")], &[(Code::NetworkNotFound, "networks[0].name")]).await;
    check(world(), [net("n").set(), net("n").set()], &[(Code::Duplicate, "networks[1].name")]).await;
    let mut scene = Scene::new(world());
    scene.apply(&request([net("blue").on("eth0").set()])).await;
    scene.host.change(|world| world.start_guest("vm1", "52:54:00:00:00:01", "vnet0", "blue", None));
    for change in [remove("blue"), net("blue").on("eth0").bridgeless().set()] {
        let findings = validate(&request([change]), &scene.running, &scene.host.state());
        assert_eq!(findings.0.len(), 1, "{findings:?}");
        assert_eq!(
            (findings.0[0].code, findings.0[0].related.as_slice()),
            (Code::GuestsAttached, &["vm1".to_owned()][..])
        );
    }
}

#[tokio::test]
async fn every_fault_is_told_at_once() {
    let changes = [
        net("a").bridgeless().vlan(3).set(),
        remove("absent"),
        net("b").on("eth2").mtu(1000).ipv6(&["2001:db8::1/64"], Some("fe80::1")).set(),
    ];
    let expected = [
        (Code::BridgelessWithoutSouthbound, "networks[0].nic"),
        (Code::VlanWithoutSouthbound, "networks[0].vlan_id"),
        (Code::NetworkNotFound, "networks[1].name"),
        (Code::MtuOutOfRange, "networks[2].mtu"),
        (Code::NicInUse, "networks[2].nic"),
    ];
    check(world(), changes, &expected).await;
}

#[test]
fn refuses_devices_that_another_daemon_configures() {
    let world = || {
        World::default()
            .nic("eth0")
            .nic("eth1")
            .nic("eth2")
            .managed("eth0", DeviceManager::NetworkManager)
            .managed("eth1", DeviceManager::SystemdNetworkd)
            .managed("blue", DeviceManager::SystemdNetworkd)
    };
    let red = || net("red").on("eth1").vlan(5);
    let cases = [
        (request([red().set()]), "networks[0].nic", "eth1 is configured by systemd-networkd", "networkctl reload"),
        (
            request([net("green").on("eth0").set()]),
            "networks[0].nic",
            "eth0 is configured by NetworkManager",
            "nmcli device set eth0 managed no",
        ),
        (
            request([net("blue").on("eth2").set()]),
            "networks[0].name",
            "blue is configured by systemd-networkd",
            "Name=blue",
        ),
    ];
    for (request, field, message, remedy) in cases {
        let scene = Scene::new(world());
        let findings = plan(&request, &scene.running, &scene.host.state()).unwrap_err();
        let [finding] = findings.0.as_slice() else { panic!("{findings:?}") };
        assert_eq!(
            (finding.code, finding.field.as_str(), finding.message.as_str()),
            (Code::DeviceManaged, field, message)
        );
        assert!(finding.remedy.contains(remedy), "{}", finding.remedy);
    }
}
