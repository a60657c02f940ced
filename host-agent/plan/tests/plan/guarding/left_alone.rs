//! What others do to a managed table, and to the VLANs of ports: told, and left to them.

use super::*;

const FOREIGN: &str = "02:00:00:00:00:01";

/// Returns what the report of `blue` tells as left alone; it tells nothing as drift.
fn told(scene: &Scene) -> Vec<String> {
    let reports = network_reports(&scene.running, &scene.host.state());
    let report = reports.into_iter().find(|report| report.configured.spec.name == name("blue")).unwrap();
    assert_eq!(report.drift, [""; 0]);
    report.left_alone
}

fn in_vlan_10(world: &mut World, port: &str) {
    do_step(world, KernelStep::AddVlans { port: if_name(port), vlans: VlanRange::tagged(10) });
}

/// Who put ports into VLANs counts on their being kept apart: the filter stays as long as one is in such a VLAN.
#[tokio::test]
async fn the_filter_stays_on_for_the_vlans_of_others() {
    let blue = || net("blue").on_bond("bond0").ipv4(&["192.0.2.10/24"], None);
    let filters = |scene: &Scene| scene.link("blue").bridge().unwrap().vlan_filtering;
    let mut scene = guarded().await;
    scene.host.change(|world| in_vlan_10(world, "vnet1"));
    let findings = scene.apply(&request([blue().set()])).await.findings.0;
    let kept: Vec<_> = findings.iter().filter(|finding| finding.code == Code::VlanFilteringKept).collect();
    assert_eq!(
        (kept.len(), kept[0].severity, kept[0].related.as_slice()),
        (1, Severity::Info, &["vnet1".to_owned()][..])
    );
    assert!(filters(&scene));
    assert_eq!(told(&scene), ["link blue vlan_filtering: expected false, is true, for the VLANs of vnet1"]);
    assert_eq!(lost(&scene), [""; 0]);
    // The last one that leaves its VLAN takes the filter along.
    scene.host.change(|world| do_step(world, KernelStep::RemoveVlans { port: if_name("vnet1"), first: 10, last: 10 }));
    assert_eq!(repair(&scene).await, "set bridge blue: vlan_filtering off");
    assert_eq!(told(&scene), [""; 0]);
}

#[tokio::test]
async fn the_filter_stays_on_for_the_vlan_of_a_domains_xml_and_goes_with_those_of_the_network() {
    let blue = || net("blue").on_bond("bond0").ipv4(&["192.0.2.10/24"], None);
    let filters = |scene: &Scene| scene.link("blue").bridge().unwrap().vlan_filtering;
    let scene = guarded().await;
    let mut tagged = scene.fork();
    tagged.host.change(|world| world.tag_guest("vm1", [VlanRange::untagged(20)].into_iter().collect()));
    tagged.apply(&request([blue().set()])).await;
    assert!(filters(&tagged));
    let mut ruled = scene.fork();
    ask(&mut ruled, net("blue").allowing(VM1, &[], &[30])).await;
    ruled.apply(&request([blue().set()])).await;
    assert!(!filters(&ruled), "the network has taken its own VLANs back");
}

#[tokio::test]
async fn what_is_said_of_the_filter_holds_whatever_ports_have() {
    for wanted in [true, false] {
        let mut scene = guarded().await;
        scene.host.change(|world| in_vlan_10(world, "vnet1"));
        let mut blue = net("blue").on_bond("bond0").ipv4(&["192.0.2.10/24"], None);
        if let trestle_model::Topology::Bridged(bridge) = &mut blue.0.topology {
            bridge.options.vlan_filtering = Some(wanted);
        }
        let findings = scene.apply(&request([blue.set()])).await.findings.0;
        assert!(findings.iter().all(|finding| finding.code != Code::VlanFilteringKept), "{findings:?}");
        assert_eq!(scene.link("blue").bridge().unwrap().vlan_filtering, wanted);
        assert_eq!(told(&scene), [""; 0]);
    }
}

/// What others set in a managed table takes nothing from ours, so it stays; but it is told.
#[tokio::test]
async fn static_entries_of_others_are_told_and_left() {
    let mut scene = guarded().await;
    ask(&mut scene, net("blue").allowing(VM1, &[EXTRA], &[])).await;
    assert_eq!(told(&scene), [""; 0], "neither guests' entries nor the host's nor those allowed are foreign");
    let foreign = entry("vnet1", FOREIGN, Some(1), FdbState::Static);
    scene.host.change(|world| world.learn(foreign.clone()));
    let expected =
        "MAC 02:00:00:00:00:01 of blue entry: expected absent, is static on vnet1 of guest vm1, by somebody else";
    assert_eq!(told(&scene), [expected]);
    assert_eq!(lost(&scene), [""; 0]);
    scene.host.change(|world| {
        for last in 10..20 {
            world.learn(entry("bond0", &format!("02:00:00:00:01:{last}"), Some(1), FdbState::Static));
        }
    });
    assert_eq!(told(&scene).len(), 9);
    assert_eq!(told(&scene)[8], "link blue static entries: expected none, is 3 more by somebody else");
}

#[tokio::test]
async fn guests_that_share_a_mac_are_told() {
    let scene = guarded().await;
    scene.host.change(|world| world.start_guest("a-vm", VM1, "vnet4", "blue", Some("trestle-blue")));
    assert_eq!(told(&scene), ["MAC 52:54:00:00:00:01 of blue guests: expected one, is a-vm on vnet4 and vm1 on vnet1"]);
    // One that pauses, as while it moves to another host, is no rival.
    scene.host.change(|world| world.set_running("a-vm", false));
    assert_eq!(told(&scene), [""; 0]);
}

/// A guest that came past libvirt after the policy is told; it is in the way only of who asks for the policy.
#[tokio::test]
async fn a_late_guest_past_libvirt_is_told_and_refuses_nothing_else() {
    let strict = |mtu| {
        let mut blue = net("blue").on_bond("bond0").managed().ipv4(&["192.0.2.10/24"], None);
        blue.0.guest_ports.bridge_wired = BridgeWired::Refuse;
        blue.0.mtu = trestle_model::Mtu::try_from(mtu).unwrap();
        blue.set()
    };
    let mut scene = guarded().await;
    scene.host.change(|world| world.stop_guest("vm2"));
    scene.apply(&request([strict(1500)])).await;
    assert_eq!(told(&scene), [""; 0]);
    scene.host.change(|world| world.start_guest("late", VM2, "vnet2", "blue", None));
    repair(&scene).await;
    assert_eq!(
        told(&scene),
        ["link vnet2 of guest late wiring: expected libvirt network trestle-blue, is past it, on blue"]
    );
    let findings = scene.apply(&request([strict(1400)])).await.findings.0;
    let told: Vec<_> = findings.iter().map(|finding| (finding.code, finding.severity)).collect();
    assert_eq!(told, [(Code::GuestWiredPastLibvirt, Severity::Info)]);
    scene.apply(&request([net("blue").on_bond("bond0").managed().ipv4(&["192.0.2.10/24"], None).set()])).await;
    let refused = plan(&request([strict(1500)]), &scene.running, &scene.host.state()).unwrap_err().0;
    assert_eq!(refused[0].field, "networks[0].guest_ports.bridge_wired", "the policy is newly asked for");
}

#[tokio::test]
async fn promiscuity_of_an_uplink_that_can_filter_is_told_and_left() {
    let scene = guarded().await;
    let uplink = |times| {
        move |world: &mut World| {
            world.capture("bond0", times);
        }
    };
    scene.host.change(uplink(2));
    assert_eq!(told(&scene), ["link bond0 promiscuity: expected 0, is 2 (somebody asked bond0 for it)"]);
    // Once alone may also be a NIC that cannot filter.
    scene.host.change(uplink(1));
    assert_eq!(told(&scene), [""; 0]);
    let causes = |scene: &Scene| {
        let reports = network_reports(&scene.running, &scene.host.state());
        let blue = reports.into_iter().find(|report| report.configured.spec.name == name("blue")).unwrap();
        blue.mac_table.unwrap().uplink.unwrap().causes
    };
    assert_eq!(causes(&scene), [PromiscuityCause::Device]);
    scene.host.change(uplink(0));
    scene.host.change(|world| world.capture("blue", 1));
    let expected = "link bond0 promiscuity: expected 0, is 1 (the bridge is, for a capture or what stands on it)";
    assert_eq!((told(&scene), causes(&scene)), (vec![expected.to_owned()], vec![PromiscuityCause::Bridge]));
    assert_eq!(lost(&scene), [""; 0]);
    // A port that is to learn while its guest pauses is no fault.
    scene.host.change(|world| {
        world.capture("blue", 0);
        world.set_running("vm2", false);
    });
    repair(&scene).await;
    assert_eq!((told(&scene), causes(&scene)), (Vec::new(), vec![PromiscuityCause::Port(if_name("vnet2"))]));
}

/// The host's own entries are kept, and shown; those of ports are the kernel's affair.
#[tokio::test]
async fn the_hosts_own_entries_are_shown() {
    let scene = guarded().await;
    let reports = network_reports(&scene.running, &scene.host.state());
    let blue = reports.into_iter().find(|report| report.configured.spec.name == name("blue")).unwrap();
    let own = scene.link("blue").mac.unwrap();
    let local: Vec<_> = blue.mac_table.unwrap().entries.into_iter().filter(|e| e.state == FdbState::Local).collect();
    assert!(!local.is_empty() && local.iter().all(|entry| entry.mac == own), "{local:?}");
}
