//! MAC tables of bridges that libvirt manages: what is lost of them, and its way back.

mod guest_ports;
mod learned;
mod left_alone;

use std::collections::BTreeSet;

use trestle_fake_host::World;
use trestle_model::{
    BondMode, BridgeWired, Code, DriftKind, FdbEntry, FdbState, Feature, PromiscuityCause, Severity, VlanRange,
};
use trestle_plan::sample::{Net, bond, name, with_bonds};
use trestle_plan::{
    BridgeChange, KernelStep, PortChange, Thing, losses, network_reports, plan, repair_plan, restore_plan, sightings,
    verify,
};

use self::guest_ports::{EXTRA, ask};
use super::scene::{Scene, if_name, lines, net, request, settled};

const VM1: &str = "52:54:00:00:00:01";
const VM2: &str = "52:54:00:00:00:02";
const VM3: &str = "52:54:00:00:00:03";

/// A managed network on a bond and one that is not, each with guests: `vm1` as libvirt connects it, `vm2` wired past
/// libvirt's network, `vm3` paused.
async fn guarded() -> Scene {
    let mut scene = Scene::new(World::default().nic("eth0").nic("eth1").nic("eth2"));
    let networks = [net("blue").on_bond("bond0").managed().ipv4(&["192.0.2.10/24"], None), net("red").on("eth0")];
    let bonds = [bond("bond0", BondMode::ActiveBackup, &["eth1", "eth2"]).set()];
    scene.apply(&with_bonds(request(networks.map(|net| net.set())), bonds)).await;
    scene.host.change(|world| {
        world.start_guest("vm1", VM1, "vnet1", "blue", Some("trestle-blue"));
        world.start_guest("vm2", VM2, "vnet2", "blue", None);
        world.start_guest("vm3", VM3, "vnet3", "blue", Some("trestle-blue"));
        world.set_running("vm3", false);
        world.start_guest("red1", "52:54:00:00:00:09", "vnet9", "red", Some("trestle-red"));
    });
    assert_eq!(lost(&scene), ["mac_tables of port vnet2 of network blue"], "a guest that nobody manages is converted");
    repair(&scene).await;
    scene
}

fn things(scene: &Scene) -> BTreeSet<Thing> {
    let losses = losses(&scene.running, &scene.host.state()).into_iter();
    losses.inspect(|loss| assert_eq!(loss.obstacle, None)).map(|loss| loss.thing).collect()
}

fn lost(scene: &Scene) -> Vec<String> {
    things(scene).iter().map(ToString::to_string).collect()
}

/// Repairs all that is lost, and returns the steps.
async fn repair(scene: &Scene) -> String {
    let plan = repair_plan(&scene.running, &scene.host.state(), &things(scene));
    scene.perform(&plan.steps).await;
    assert_eq!(verify(&plan.target, &scene.host.state()), [], "after {}", lines(&plan.steps));
    assert_eq!(lost(scene), [""; 0], "after {}", lines(&plan.steps));
    lines(&plan.steps)
}

fn entry(port: &str, mac: &str, vlan: Option<u16>, state: FdbState) -> FdbEntry {
    let (bridge, port) = (if_name("blue"), if_name(port));
    FdbEntry { bridge, port, mac: mac.parse().unwrap(), vlan, state, sticky: false }
}

/// The kernel refuses to remove an entry in a VLAN that its port has left, and does not tell so while the bridge does not
/// filter.
#[tokio::test]
async fn an_entry_of_a_paused_guest_goes_when_its_port_is_in_the_default_vlan_again() {
    let scene = guarded().await;
    let change = BridgeChange { vlan_filtering: Some(false), default_pvid: Some(0), ..BridgeChange::default() };
    scene.host.change(|world| {
        world.set_running("vm2", false);
        do_step(world, KernelStep::SetBridge { bridge: if_name("blue"), change });
    });
    let stale = entry("vnet2", VM2, Some(1), FdbState::Static);
    assert!(scene.host.state().kernel.fdb.contains(&stale));
    repair(&scene).await;
    assert!(!scene.host.state().kernel.fdb.contains(&stale));
}

/// A guest that was paused with an entry of ours leaves it to the other one with its MAC.
#[tokio::test]
async fn an_entry_goes_from_a_paused_guest_to_the_running_one_with_its_mac() {
    let scene = guarded().await;
    scene.host.change(|world| {
        world.set_running("vm2", false);
        world.start_guest("twin", VM2, "vnet4", "blue", Some("trestle-blue"));
        for vlan in [None, Some(1)] {
            let entry = entry("vnet2", VM2, vlan, FdbState::Static);
            do_step(world, KernelStep::ReplaceFdb { entry });
        }
    });
    repair(&scene).await;
    let fdb = scene.host.state().kernel.fdb;
    for vlan in [None, Some(1)] {
        assert!(fdb.contains(&entry("vnet4", VM2, vlan, FdbState::Static)), "{fdb:?}");
    }
}

fn do_step(world: &mut World, step: KernelStep) {
    world.perform(&step.into()).unwrap();
}

fn open(world: &mut World, port: &str) {
    let change = PortChange { learning: Some(true), flood: Some(true), ..PortChange::default() };
    do_step(world, KernelStep::SetPort { port: if_name(port), change });
}

fn leave_vlan(world: &mut World, port: &str) {
    do_step(world, KernelStep::RemoveVlans { port: if_name(port), first: 1, last: 1 });
}

fn set_blue(world: &mut World, change: BridgeChange) {
    do_step(world, KernelStep::SetBridge { bridge: if_name("blue"), change });
}

const NETWORK: &str = "mac_tables of network blue";
const PORT1: &str = "mac_tables of port vnet1 of network blue";
const PORT2: &str = "mac_tables of port vnet2 of network blue";

#[tokio::test]
async fn whatever_a_managed_bridge_loses_is_told_by_port_and_comes_back() {
    let off = || BridgeChange { vlan_filtering: Some(false), ..BridgeChange::default() };
    let no_pvid = || BridgeChange { default_pvid: Some(0), ..off() };
    let deaf = PortChange { flood: Some(false), ..PortChange::default() };
    type Tampering<'a> = (&'a str, Box<dyn Fn(&mut World) + 'a>, &'a [&'a str], &'a str);
    let cases: [Tampering<'_>; 14] = [
        (
            "filtering off",
            Box::new(|w| set_blue(w, off())),
            &[NETWORK],
            "set bridge blue: vlan_filtering on\nmake bond0 a member of VLAN 1, untagged",
        ),
        (
            "no default VLAN",
            Box::new(|w| set_blue(w, no_pvid())),
            &[NETWORK],
            "set bridge blue: vlan_filtering on, default_pvid 1\nmake bond0 a member of VLAN 1, untagged",
        ),
        ("an uplink that learns", Box::new(|w| open(w, "bond0")), &[NETWORK], "set port bond0: learning off"),
        (
            "an uplink that does not flood",
            Box::new(|w| do_step(w, KernelStep::SetPort { port: if_name("bond0"), change: deaf })),
            &[NETWORK],
            "set port bond0: flood on",
        ),
        (
            "a guest's port outside the default VLAN",
            Box::new(|w| leave_vlan(w, "vnet2")),
            &[PORT2],
            "make vnet2 a member of VLAN 1, untagged",
        ),
        (
            "a paused guest's port outside the default VLAN",
            Box::new(|w| leave_vlan(w, "vnet3")),
            &["mac_tables of port vnet3 of network blue"],
            "make vnet3 a member of VLAN 1, untagged",
        ),
        (
            "an uplink outside the default VLAN",
            Box::new(|w| leave_vlan(w, "bond0")),
            &[NETWORK],
            "make bond0 a member of VLAN 1, untagged",
        ),
        (
            "a guest's port",
            Box::new(|w| open(w, "vnet1")),
            &[PORT1],
            "set port vnet1: learning off, flood off\nforget what was learned on port vnet1",
        ),
        (
            "a tap that was attached again",
            Box::new(|w| w.attach_again("vnet1")),
            &[PORT1],
            "set FDB entry 52:54:00:00:00:01 on port vnet1 of blue\n\
             set FDB entry 52:54:00:00:00:01 on port vnet1 of blue in VLAN 1\n\
             set port vnet1: learning off, flood off\n\
             forget what was learned on port vnet1",
        ),
        (
            "a tap that was taken out",
            Box::new(|w| do_step(w, KernelStep::SetMaster { link: if_name("vnet1"), master: None })),
            &[PORT1],
            "make vnet1 a port of blue\n\
             set port vnet1: learning off, flood off\n\
             forget what was learned on port vnet1\n\
             set FDB entry 52:54:00:00:00:01 on port vnet1 of blue\n\
             set FDB entry 52:54:00:00:00:01 on port vnet1 of blue in VLAN 1",
        ),
        (
            "a MAC that moved to the uplink",
            Box::new(|w| w.learn(entry("bond0", VM1, Some(1), FdbState::Static))),
            &[PORT1],
            "set FDB entry 52:54:00:00:00:01 on port vnet1 of blue in VLAN 1",
        ),
        (
            "a MAC that was learned on the uplink",
            Box::new(|w| w.learn(entry("bond0", VM2, Some(1), FdbState::Learned))),
            &[PORT2],
            "set FDB entry 52:54:00:00:00:02 on port vnet2 of blue in VLAN 1",
        ),
        (
            "an entry that ages",
            Box::new(|w| w.learn(entry("vnet1", VM1, None, FdbState::Learned))),
            &[PORT1],
            "set FDB entry 52:54:00:00:00:01 on port vnet1 of blue",
        ),
        ("all entries", Box::new(|w| w.flush_entries("blue")), &[NETWORK, PORT1, PORT2], ""),
    ];
    let scene = guarded().await;
    let before = settled(scene.host.state());
    for (what, tamper, expected, mended_by) in cases {
        let scene = scene.fork();
        scene.host.change(|world| tamper(world));
        assert_eq!(lost(&scene), expected, "{what}");
        let steps = repair(&scene).await;
        if !mended_by.is_empty() {
            assert_eq!(steps, mended_by, "{what}");
        }
        assert_eq!(settled(scene.host.state()), before, "{what}: {steps}");
    }
}

#[tokio::test]
async fn the_hosts_own_address_comes_back_after_a_flush() {
    let scene = guarded().await;
    let own = |scene: &Scene| {
        let mac = scene.link("blue").mac.unwrap();
        let fdb = scene.host.state().kernel.fdb.into_iter();
        let of_host = fdb.filter(|has| has.bridge == if_name("blue") && has.mac == mac && has.state == FdbState::Local);
        of_host.map(|entry| entry.vlan).collect::<Vec<_>>()
    };
    assert_eq!(own(&scene), [None, Some(1)]);
    scene.host.change(|world| world.flush_entries("blue"));
    assert_eq!(own(&scene), []);
    repair(&scene).await;
    assert_eq!(own(&scene), [None, Some(1)]);
}

#[tokio::test]
async fn a_guest_whose_cpus_stand_still_has_no_entry_whoever_manages_it() {
    let scene = guarded().await;
    let entries = |mac: &str| {
        let fdb = scene.host.state().kernel.fdb.into_iter();
        fdb.filter(|has| has.mac.to_string() == mac && has.state == FdbState::Static).count()
    };
    assert_eq!((entries(VM1), entries(VM2), entries(VM3)), (2, 2, 0));
    // libvirt takes away what it has added, and leaves alone what it has not.
    scene.host.change(|world| ["vm1", "vm2"].iter().for_each(|vm| world.set_running(vm, false)));
    assert_eq!((entries(VM1), entries(VM2)), (0, 2));
    assert_eq!(lost(&scene), [PORT2]);
    repair(&scene).await;
    assert_eq!(entries(VM2), 0);
    assert!(scene.link("vnet2").port.unwrap().learning, "until it is seen to run, it is reached by learning");
    assert!(!scene.link("vnet1").port.unwrap().learning, "libvirt adds the entry at once");
    scene.host.change(|world| ["vm1", "vm2", "vm3"].iter().for_each(|vm| world.set_running(vm, true)));
    assert_eq!(lost(&scene), [PORT2]);
    repair(&scene).await;
    assert_eq!((entries(VM1), entries(VM2), entries(VM3)), (2, 2, 2));
}

#[tokio::test]
async fn of_two_guests_with_one_mac_the_one_that_has_the_entry_keeps_it() {
    let scene = guarded().await;
    scene.host.change(|world| world.start_guest("a-vm", VM1, "vnet4", "blue", Some("trestle-blue")));
    assert_eq!(lost(&scene), [""; 0]);
    scene.host.change(|world| world.stop_guest("vm1"));
    assert_eq!(lost(&scene), ["mac_tables of port vnet4 of network blue"]);
    repair(&scene).await;
}

#[tokio::test]
async fn the_table_of_a_bridge_that_libvirt_does_not_manage_is_left_alone() {
    let scene = guarded().await;
    scene.host.change(|world| {
        let quiet = PortChange { learning: Some(false), flood: Some(false), ..PortChange::default() };
        for port in ["vnet9", "eth0"] {
            do_step(world, KernelStep::SetPort { port: if_name(port), change: quiet });
        }
        world.flush_entries("red");
    });
    assert_eq!(lost(&scene), [""; 0]);
}

#[tokio::test]
async fn one_port_is_repaired_alone_and_a_drift_line_names_its_guest() {
    let scene = guarded().await;
    scene.host.change(|world| {
        open(world, "vnet1");
        world.flush_entries("blue");
    });
    let loss = losses(&scene.running, &scene.host.state()).into_iter().find(|loss| loss.thing.to_string() == PORT1);
    let loss = loss.expect("the port is lost");
    assert_eq!(loss.drift[0].to_string(), "link vnet1 of guest vm1 learning: expected false, is true");
    let entry = "MAC 52:54:00:00:00:01 of blue entry: expected static on vnet1 of guest vm1, is absent";
    assert!(loss.drift.iter().any(|drift| drift.to_string() == entry), "{:?}", loss.drift);
    let plan = repair_plan(&scene.running, &scene.host.state(), &[loss.thing].into());
    scene.perform(&plan.steps).await;
    assert_eq!(lost(&scene), [NETWORK, PORT2]);
}

#[tokio::test]
async fn a_bridge_that_is_made_anew_is_made_whole() {
    let scene = guarded().await;
    scene.host.change(|world| do_step(world, KernelStep::DeleteLink { name: if_name("blue") }));
    let only_devices = things(&scene).into_iter().filter(|thing| thing.kind == DriftKind::Devices).collect();
    let plan = repair_plan(&scene.running, &scene.host.state(), &only_devices);
    scene.perform(&plan.steps).await;
    let blue = scene.link("blue");
    assert!(blue.bridge().unwrap().vlan_filtering, "{blue:?}");
    assert!(!scene.link("bond0").port.unwrap().learning);
    repair(&scene).await;
    for tap in ["vnet1", "vnet2", "vnet3"] {
        assert_eq!(scene.link(tap).master, Some(if_name("blue")), "{tap}");
    }
    assert!(scene.host.state().kernel.fdb.contains(&entry("vnet1", VM1, Some(1), FdbState::Static)));
}

/// libvirt starts its networks and guests when it starts itself: their bridge has to be there by then.
#[tokio::test]
async fn a_managed_bridge_comes_up_at_boot_before_libvirt_does() {
    let nics = || World::default().nic("eth0").nic("eth1").nic("eth2");
    let running = guarded().await.running;
    let rebooted = Scene::new(nics().without_libvirt());
    let restoration = restore_plan(&running, &rebooted.host.state());
    assert_eq!(restoration.skipped, []);
    rebooted.perform(&restoration.steps).await;
    assert!(rebooted.link("blue").bridge().unwrap().vlan_filtering);
    assert!(!rebooted.link("bond0").port.unwrap().learning);
    assert_eq!(restore_plan(&running, &rebooted.host.state()).bare_steps(), []);
}

#[tokio::test]
async fn of_many_ports_some_are_told_of_and_the_others_counted() {
    let scene = guarded().await;
    scene.host.change(|world| {
        for guest in 10..30 {
            let (domain, tap) = (format!("more{guest}"), format!("vnet{guest}"));
            world.start_guest(&domain, &format!("52:54:00:00:01:{guest}"), &tap, "blue", None);
        }
    });
    let things = things(&scene);
    assert_eq!(things.len(), 20);
    let plan = repair_plan(&scene.running, &scene.host.state(), &things);
    let told: Vec<&str> = plan.findings.0.iter().map(|finding| finding.subject.as_str()).collect();
    assert_eq!((told.len(), told[0]), (9, "port vnet10 of network blue"));
    let last = plan.findings.0.last().unwrap();
    assert_eq!((last.subject.as_str(), last.message.as_str()), ("network blue", "mac_tables: and 12 more ports"));
    scene.perform(&plan.steps).await;
    assert_eq!(lost(&scene), [""; 0], "all of them are repaired");
}

/// Somebody made the port a member of another VLAN: that stays, and the guest is found there too.
#[tokio::test]
async fn a_guest_is_found_in_every_vlan_of_its_port() {
    let scene = guarded().await;
    scene.host.change(|world| {
        let vlans = VlanRange { last: 11, ..VlanRange::tagged(10) };
        do_step(world, KernelStep::AddVlans { port: if_name("vnet1"), vlans });
    });
    assert_eq!(lost(&scene), [PORT1]);
    let steps = repair(&scene).await;
    assert_eq!(
        steps,
        "set FDB entry 52:54:00:00:00:01 on port vnet1 of blue in VLAN 10\n\
         set FDB entry 52:54:00:00:00:01 on port vnet1 of blue in VLAN 11"
    );
    assert_eq!(scene.link("vnet1").vlans.unwrap().to_string(), "1 untagged, 10-11 tagged");
}

/// A port is in the VLANs that the domain's own XML gives it, and no longer in the default one.
#[tokio::test]
async fn what_a_domains_xml_says_of_vlans_holds_for_its_port() {
    let scene = guarded().await;
    scene.host.change(|world| {
        let vlans = [VlanRange::untagged(20), VlanRange::tagged(21)].into_iter().collect();
        world.tag_guest("vm1", vlans);
    });
    assert_eq!(lost(&scene), [""; 0], "libvirt has set the port up");
    scene.host.change(|world| world.attach_again("vnet1"));
    assert_eq!(lost(&scene), [PORT1]);
    let steps = repair(&scene).await;
    assert!(steps.contains("take vnet1 out of VLAN 1\n"), "{steps}");
    assert_eq!(scene.link("vnet1").vlans.unwrap().to_string(), "20 untagged, 21 tagged");
    let fdb = scene.host.state().kernel.fdb;
    for vlan in [None, Some(20), Some(21)] {
        assert!(fdb.contains(&entry("vnet1", VM1, vlan, FdbState::Static)), "{fdb:?}");
    }
    assert!(!fdb.contains(&entry("vnet1", VM1, Some(1), FdbState::Static)), "{fdb:?}");
}

#[tokio::test]
async fn a_promiscuous_uplink_is_told_with_its_cause() {
    let scene = guarded().await;
    let uplink = |scene: &Scene| {
        let reports = network_reports(&scene.running, &scene.host.state());
        let blue = reports.into_iter().find(|report| report.configured.spec.name == name("blue")).unwrap();
        blue.mac_table.unwrap().uplink.unwrap()
    };
    let told = uplink(&scene);
    assert_eq!((told.device, told.promiscuity, told.causes), (if_name("bond0"), 0, Vec::new()));
    // Two guests with their taps' own, that of the paused one's tap, and the bridge's, which the uplink shares.
    assert_eq!(told.unicast_addresses, 5);
    scene.host.change(|world| open(world, "vnet2"));
    assert_eq!(uplink(&scene).causes, [PromiscuityCause::Port(if_name("vnet2"))]);
    scene.host.change(|world| set_blue(world, BridgeChange { vlan_filtering: Some(false), ..BridgeChange::default() }));
    let causes = [PromiscuityCause::NotFiltering, PromiscuityCause::Port(if_name("vnet2"))];
    assert_eq!(uplink(&scene).causes, causes);
}

#[tokio::test]
async fn a_bridge_that_somebody_removes_comes_back_with_its_guests() {
    let scene = guarded().await;
    // The port of a guest that pauses gets its flags when it runs.
    scene.host.change(|world| world.stop_guest("vm3"));
    let before = settled(scene.host.state());
    scene.host.change(|world| do_step(world, KernelStep::DeleteLink { name: if_name("blue") }));
    repair(&scene).await;
    assert_eq!(settled(scene.host.state()), before);
}

/// What is left in a VLAN that the port has left is out of the kernel's reach, and no loss.
#[tokio::test]
async fn an_entry_in_a_vlan_that_its_port_has_left_is_let_be() {
    let mut scene = guarded().await;
    ask(&mut scene, net("blue").allowing(VM2, &[EXTRA], &[30])).await;
    scene.host.change(|world| {
        do_step(world, KernelStep::RemoveVlans { port: if_name("vnet2"), first: 30, last: 30 });
        world.set_running("vm2", false);
    });
    let steps = ask(&mut scene, net("blue")).await;
    assert!(steps.contains("take bond0 out of VLAN 30") && !steps.contains("in VLAN 30"), "{steps}");
}

/// What a guest sent from besides its own MAC is told, on managed bridges and others, and warned of where nobody will find it there
/// any more.
#[tokio::test]
async fn macs_that_guests_were_not_given_are_told() {
    const STRANGER: &str = "02:00:00:00:00:99";
    let mut scene = guarded().await;
    ask(&mut scene, net("blue").allowing(VM1, &[EXTRA], &[])).await;
    let seen = |scene: &Scene| {
        let seen = sightings(&scene.running, &scene.host.state()).into_iter();
        seen.map(|s| format!("{} {} {} {} {:?}", s.network, s.port, s.guest, s.mac, s.vlan)).collect::<Vec<_>>()
    };
    assert_eq!(seen(&scene), [""; 0]);
    scene.host.change(|world| {
        for (port, mac) in [("vnet1", VM1), ("vnet1", EXTRA), ("vnet1", STRANGER), ("bond0", "02:00:00:00:00:98")] {
            world.learn(entry(port, mac, Some(1), FdbState::Learned));
        }
        world.learn(FdbEntry { bridge: if_name("red"), ..entry("vnet9", STRANGER, None, FdbState::Learned) });
    });
    let expected = ["blue vnet1 vm1 02:00:00:00:00:99 Some(1)", "red vnet9 red1 02:00:00:00:00:99 None"];
    assert_eq!(seen(&scene), expected);

    let told = |wish: Net| {
        let findings =
            plan(&request([wish.set()]), &scene.running, &scene.host.state()).map_or_else(|f| f.0, |p| p.findings.0);
        let told = findings.iter().filter(|finding| finding.code == Code::GuestUsesForeignMac);
        told.map(|finding| format!("{:?} {} {:?}", finding.severity, finding.field, finding.related))
            .collect::<Vec<_>>()
    };
    let red = || net("red").on("eth0").managed();
    assert_eq!(told(red()), ["Warning networks[0].manage_macs_with_libvirt [\"red1\"]"]);
    assert_eq!(told(red().allowing("52:54:00:00:00:09", &[STRANGER], &[])), [""; 0]);
    // What is managed already loses nothing by the request.
    assert_eq!(told(net("blue").on_bond("bond0").managed().ipv4(&["192.0.2.10/24"], None)), [""; 0]);
}
