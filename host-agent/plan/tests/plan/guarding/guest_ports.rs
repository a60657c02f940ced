//! What single guests may have beside one MAC and untagged frames.

use super::*;

pub(super) const EXTRA: &str = "02:00:00:00:00:0a";

/// Asks for a network on the same host, and returns the steps.
pub(super) async fn ask(scene: &mut Scene, network: Net) -> String {
    let network = network.on_bond("bond0").managed().ipv4(&["192.0.2.10/24"], None);
    let plan = scene.apply(&request([network.set()])).await;
    assert_eq!(lost(scene), [""; 0], "after {}", lines(&plan.steps));
    lines(&plan.steps)
}

#[tokio::test]
async fn what_a_guest_may_have_is_let_through_before_its_port_is_locked_and_goes_after_it_is_not() {
    let mut scene = guarded().await;
    let before = settled(scene.host.state());
    let steps = ask(&mut scene, net("blue").locked().allowing(VM1, &[EXTRA], &[30])).await;
    assert_eq!(
        steps,
        "make bond0 a member of VLAN 30, tagged\n\
         make vnet1 a member of VLAN 30, tagged\n\
         set FDB entry 02:00:00:00:00:0a on port vnet1 of blue\n\
         set FDB entry 02:00:00:00:00:0a on port vnet1 of blue in VLAN 1\n\
         set FDB entry 02:00:00:00:00:0a on port vnet1 of blue in VLAN 30\n\
         set FDB entry 52:54:00:00:00:01 on port vnet1 of blue in VLAN 30\n\
         set port vnet1: locked on\n\
         set port vnet2: locked on"
    );
    // One that pauses, and that libvirt manages, stays locked: its CPUs stand still.
    assert!(!scene.link("vnet3").port.unwrap().locked, "it had no entry when the rule came");
    scene.host.change(|world| ["vm1", "vm2", "vm3"].iter().for_each(|vm| world.set_running(vm, *vm == "vm3")));
    repair(&scene).await;
    let locked = |tap| scene.link(tap).port.unwrap().locked;
    assert_eq!((locked("vnet1"), locked("vnet2"), locked("vnet3")), (true, false, true));
    let of_extra = scene.host.state().kernel.fdb.into_iter().filter(|entry| entry.mac.to_string() == EXTRA).count();
    assert_eq!(of_extra, 0, "a guest that stands still has none of its MACs there");
    scene.host.change(|world| ["vm1", "vm2", "vm3"].iter().for_each(|vm| world.set_running(vm, *vm != "vm3")));
    repair(&scene).await;
    let steps = ask(&mut scene, net("blue")).await;
    assert_eq!(
        steps,
        "set port vnet1: locked off\n\
         set port vnet2: locked off\n\
         remove FDB entry 02:00:00:00:00:0a on port vnet1 of blue\n\
         remove FDB entry 02:00:00:00:00:0a on port vnet1 of blue in VLAN 1\n\
         remove FDB entry 02:00:00:00:00:0a on port vnet1 of blue in VLAN 30\n\
         remove FDB entry 52:54:00:00:00:01 on port vnet1 of blue in VLAN 30\n\
         take bond0 out of VLAN 30\n\
         take vnet1 out of VLAN 30"
    );
    scene.host.change(|world| {
        let change = PortChange { locked: Some(false), ..PortChange::default() };
        do_step(world, KernelStep::SetPort { port: if_name("vnet3"), change });
    });
    assert_eq!(settled(scene.host.state()), before);
}

#[tokio::test]
async fn whatever_a_guest_may_have_comes_back() {
    let mut scene = guarded().await;
    ask(&mut scene, net("blue").locked().allowing(VM1, &[EXTRA], &[30])).await;
    let before = settled(scene.host.state());
    type Tampering<'a> = (&'a str, Box<dyn Fn(&mut World) + 'a>, &'a [&'a str]);
    let leave = |port| {
        move |world: &mut World| {
            do_step(world, KernelStep::RemoveVlans { port: if_name(port), first: 30, last: 30 });
        }
    };
    let unlock = PortChange { locked: Some(false), ..PortChange::default() };
    let cases: [Tampering<'_>; 5] = [
        ("the port's VLAN", Box::new(leave("vnet1")), &[PORT1]),
        ("the uplink's VLAN", Box::new(leave("bond0")), &[NETWORK]),
        (
            "the lock",
            Box::new(|w| do_step(w, KernelStep::SetPort { port: if_name("vnet1"), change: unlock })),
            &[PORT1],
        ),
        (
            "the further MAC's entry",
            Box::new(|w| {
                do_step(w, KernelStep::RemoveFdb { entry: entry("vnet1", EXTRA, Some(30), FdbState::Static) })
            }),
            &[PORT1],
        ),
        ("a tap attached again", Box::new(|w| w.attach_again("vnet1")), &[PORT1]),
    ];
    for (what, tamper, expected) in cases {
        let scene = scene.fork();
        scene.host.change(|world| tamper(world));
        assert_eq!(lost(&scene), expected, "{what}");
        let steps = repair(&scene).await;
        assert_eq!(settled(scene.host.state()), before, "{what}: {steps}");
    }
}

/// A further MAC that is another running guest's own is that guest's.
#[tokio::test]
async fn a_further_mac_is_never_taken_from_the_guest_whose_own_it_is() {
    let mut scene = guarded().await;
    ask(&mut scene, net("blue").allowing(VM1, &[VM2], &[])).await;
    let fdb = scene.host.state().kernel.fdb;
    assert!(fdb.contains(&entry("vnet2", VM2, Some(1), FdbState::Static)), "{fdb:?}");
}

#[tokio::test]
async fn rules_that_contradict_themselves_or_the_host_are_refused() {
    let scene = guarded().await;
    let blue = || net("blue").on_bond("bond0").managed().ipv4(&["192.0.2.10/24"], None);
    let refuse = |network: Net| {
        let findings = plan(&request([network.set()]), &scene.running, &scene.host.state()).unwrap_err().0;
        let told = findings.iter().filter(|finding| finding.severity == Severity::Error);
        told.map(|finding| format!("{} {}", finding.code, finding.field)).collect::<Vec<_>>()
    };
    let mut bad = net("red").on("eth0").locked();
    assert_eq!(refuse(bad.clone()), ["GUEST_PORTS_UNMANAGED networks[0].guest_ports"]);
    bad = blue().allowing(VM1, &[EXTRA, VM2], &[1]).allowing(VM2, &[EXTRA], &[]);
    assert_eq!(
        refuse(bad),
        [
            "DUPLICATE networks[0].guest_ports.nics[0].extra_macs",
            "VLAN_OUT_OF_RANGE networks[0].guest_ports.nics[0].vlan_ids",
            "DUPLICATE networks[0].guest_ports.nics[1].extra_macs",
        ]
    );
    let mut strict = blue();
    strict.0.guest_ports.bridge_wired = BridgeWired::Refuse;
    assert_eq!(refuse(strict), ["GUEST_WIRED_PAST_LIBVIRT networks[0].guest_ports.bridge_wired"]);
    let findings = plan(&request([blue().set()]), &scene.running, &scene.host.state()).unwrap().findings.0;
    let told: Vec<_> = findings.iter().map(|finding| (finding.code, finding.severity)).collect();
    assert_eq!(told, [(Code::GuestWiredPastLibvirt, Severity::Info)]);
    assert_eq!(findings[0].related, ["vm2"]);
    let lacking = Scene::new(World::default().nic("eth0").without(Feature::PortLocked, "too old"));
    let asked = request([net("n").on("eth0").managed().locked().set()]);
    let findings = plan(&asked, &lacking.running, &lacking.host.state()).unwrap_err().0;
    assert_eq!(findings[0].field, "networks[0].guest_ports.lock_source_macs");
    assert_eq!(findings[0].code, Code::KernelLacksFeature);
}
