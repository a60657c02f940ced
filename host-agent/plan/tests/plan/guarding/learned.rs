//! What was learned behind guests' ports is forgotten.

use super::*;

/// The gateway's MAC, as somebody's guest may send it.
const GATEWAY: &str = "02:00:00:00:00:01";

/// Neither a shut port nor the uplink learns: who was learned behind a guest's port in the moment in which that learned would have
/// its traffic until it ages.
#[tokio::test]
async fn what_was_learned_behind_a_guests_port_is_forgotten() {
    let scene = guarded().await;
    let before = settled(scene.host.state());
    let spoof = |world: &mut World, port: &str| {
        for vlan in [None, Some(1)] {
            world.learn(entry(port, GATEWAY, vlan, FdbState::Learned));
        }
    };
    scene.host.change(|world| {
        world.attach_again("vnet1");
        spoof(world, "vnet1");
    });
    let steps = repair(&scene).await;
    assert!(
        steps.ends_with("set port vnet1: learning off, flood off\nforget what was learned on port vnet1"),
        "{steps}"
    );
    assert_eq!(settled(scene.host.state()), before);
    // A port that is shut already, also that of a guest that pauses and that libvirt manages.
    for (tap, guest) in [("vnet2", "vm2"), ("vnet1", "vm1")] {
        scene.host.change(|world| {
            spoof(world, tap);
            if guest == "vm1" {
                world.set_running(guest, false);
            }
        });
        let losses = losses(&scene.running, &scene.host.state());
        let told: Vec<String> = losses.iter().flat_map(|loss| &loss.drift).map(ToString::to_string).collect();
        assert_eq!(told, [format!("link {tap} of guest {guest} learned MACs: expected none, is {GATEWAY}")]);
        assert_eq!(repair(&scene).await, format!("forget what was learned on port {tap}"));
        assert!(scene.host.state().kernel.fdb.iter().all(|entry| entry.mac.to_string() != GATEWAY));
    }
    // The uplink is where the gateway is, and a paused guest's port that goes on learning may have what it learns.
    scene.host.change(|world| {
        spoof(world, "bond0");
        world.set_running("vm2", false);
    });
    repair(&scene).await;
    scene.host.change(|world| world.learn(entry("vnet2", VM2, None, FdbState::Learned)));
    assert_eq!(lost(&scene), [""; 0]);
    assert!(scene.host.state().kernel.fdb.contains(&entry("bond0", GATEWAY, Some(1), FdbState::Learned)));
}

#[tokio::test]
async fn many_macs_of_a_spoofer_are_one_line() {
    let scene = guarded().await;
    scene.host.change(|world| {
        for last in 10..99 {
            world.learn(entry("vnet1", &format!("02:00:00:00:00:{last}"), Some(1), FdbState::Learned));
        }
    });
    let losses = losses(&scene.running, &scene.host.state());
    assert_eq!(losses.len(), 1);
    let told = losses[0].drift.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(told.len(), 1);
    assert!(told[0].ends_with(", 02:00:00:00:00:17 and 81 more"), "{told:?}");
}

/// What a bridge learned while the kernel filled its table is gone when libvirt does, but for what is on the wire.
#[tokio::test]
async fn a_switch_to_managed_forgets_what_was_learned_behind_guests() {
    let mut scene = Scene::new(World::default().nic("eth0"));
    scene.apply(&request([net("blue").on("eth0").set()])).await;
    scene.host.change(|world| {
        world.start_guest("vm1", VM1, "vnet1", "blue", Some("trestle-blue"));
        for (port, mac) in [("vnet1", GATEWAY), ("vnet1", VM1), ("eth0", "02:00:00:00:00:02")] {
            world.learn(entry(port, mac, None, FdbState::Learned));
        }
    });
    let mut asked = request([net("blue").on("eth0").managed().set()]);
    asked.options.acknowledge.push(Code::GuestUsesForeignMac);
    let plan = scene.apply(&asked).await;
    assert!(lines(&plan.steps).contains("forget what was learned on port vnet1"), "{}", lines(&plan.steps));
    let learned = |entry: &FdbEntry| entry.state == FdbState::Learned;
    let left: Vec<FdbEntry> = scene.host.state().kernel.fdb.into_iter().filter(learned).collect();
    assert_eq!(left, [entry("eth0", "02:00:00:00:00:02", None, FdbState::Learned)]);
}
