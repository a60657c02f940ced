//! What a bond becomes, and what becomes of its NICs.

use trestle_fake_host::World;
use trestle_model::{BondMode, BondOption, BondSpec, Code, LinkKind, NetworkChange};
use trestle_plan::{BondTuning, Host, KernelStep, Step, restore_plan, steps_towards, undo_target, verify};

use trestle_plan::sample::{Bonded, bond, remove_bond, with_bonds};

use super::scene::{Scene, if_name, lines, name, net, remove, request, settled};

fn world() -> World {
    World::default().nic("eth0").nic("eth1").nic("eth2").address("eth1", "203.0.113.5/24")
}

fn ports(scene: &Scene, bond: &str) -> Vec<String> {
    let links = scene.host.state().kernel.links;
    links.values().filter(|link| link.master == Some(if_name(bond))).map(|link| link.name.to_string()).collect()
}

#[tokio::test]
async fn a_bond_with_a_bridge_and_a_vlan_comes_and_goes_without_a_trace() {
    let mut scene = Scene::new(world());
    let before = settled(scene.host.state());
    let mac = scene.link("eth0").mac;
    let lacp = bond("bond0", BondMode::Lacp, &["eth0", "eth1"]).option(BondOption::LacpRate, 1);
    let networks = [net("blue").on_bond("bond0").mtu(4000).set(), net("red").on_bond("bond0").vlan(10).mtu(9000).set()];
    scene.apply(&with_bonds(request(networks), [lacp.set()])).await;
    assert_eq!(ports(&scene, "bond0"), ["eth0", "eth1"]);
    assert_eq!(scene.link("bond0").master, Some(if_name("blue")));
    assert_eq!(scene.link("bond0.10").master, Some(if_name("red")));
    for device in ["bond0", "eth0", "eth1", "blue", "red", "bond0.10"] {
        assert_eq!(scene.link(device).mac, mac, "{device}");
    }
    for device in ["bond0", "eth0", "eth1"] {
        assert_eq!(scene.link(device).mtu.get(), 9000, "{device}");
    }
    assert_eq!(scene.addresses("eth1"), [""; 0]);
    let LinkKind::Bond(bond) = scene.link("bond0").kind else { panic!("no bond") };
    assert_eq!(bond.options.number(BondOption::LacpRate), 1);
    assert_eq!(bond.options.number(BondOption::Miimon), 100);
    scene.apply(&with_bonds(request([remove("blue"), remove("red")]), [remove_bond("bond0")])).await;
    let mut after = settled(scene.host.state());
    // The address that nobody asked Trestle for went with the NIC's taking over.
    after.kernel.links.get_mut(&if_name("eth1")).unwrap().addresses =
        before.kernel.links[&if_name("eth1")].addresses.clone();
    after.kernel.routes.clone_from(&before.kernel.routes);
    assert_eq!(after, before);
    assert_eq!(scene.running.baselines.0.len(), 0);
}

#[tokio::test]
async fn an_undo_puts_the_port_back_that_was_in_use() {
    let mut scene = Scene::new(world());
    let of = |mode, nics: &[&str]| request([bond("bond0", mode, nics).set()]);
    scene.apply(&of(BondMode::ActiveBackup, &["eth0", "eth1"])).await;
    let active = |port: &str| BondTuning { active_port: Some(if_name(port)), ..BondTuning::default() };
    let used = KernelStep::SetBond { bond: if_name("bond0"), change: active("eth1") };
    scene.host.change(|world| world.perform(&used.into()).unwrap());
    let in_use = |scene: &Scene| scene.link("bond0").bond().unwrap().active_port.clone();
    // Another mode takes all ports out, and so does the way back; without eth1 another port is used meanwhile.
    for change in [of(BondMode::Lacp, &["eth0", "eth1"]), of(BondMode::ActiveBackup, &["eth0"])] {
        let plan = scene.plan(&change);
        let undone = scene.fork();
        undone.perform(&plan.steps).await;
        assert_ne!(in_use(&undone), Some(if_name("eth1")));
        let target = undo_target(&plan.snapshot);
        undone.perform(&steps_towards(&target, &undone.host.state())).await;
        assert_eq!(verify(&target, &undone.host.state()), []);
        assert_eq!(in_use(&undone), Some(if_name("eth1")));
    }
    // A port whose cable is out cannot be used, and is not asked for.
    let plan = scene.plan(&of(BondMode::ActiveBackup, &["eth0"]));
    scene.perform(&plan.steps).await;
    let mut state = scene.host.state();
    let back = undo_target(&plan.snapshot);
    scene.perform(&steps_towards(&back, &state)).await;
    state = scene.host.state();
    let bond_port = state.kernel.links.get_mut(&if_name("eth1")).unwrap().bond_port.as_mut().unwrap();
    bond_port.link = trestle_model::BondPortLink::Down;
    if let LinkKind::Bond(bond) = &mut state.kernel.links.get_mut(&if_name("bond0")).unwrap().kind {
        bond.active_port = Some(if_name("eth0"));
    }
    assert_eq!((verify(&back, &state), lines(&steps_towards(&back, &state))), (vec![], String::new()));
}

#[tokio::test]
async fn editing_members_neither_flaps_the_others_nor_changes_the_mac() {
    let mut scene = Scene::new(world());
    let of = |nics: &[&str]| request([bond("bond0", BondMode::ActiveBackup, nics).set()]);
    scene.apply(&with_bonds(request([net("blue").on_bond("bond0").set()]), of(&["eth0", "eth1"]).bonds)).await;
    let mac = scene.link("bond0").mac;
    // The first leaves and another comes: the second must not notice.
    let plan = scene.apply(&of(&["eth2", "eth1"])).await;
    let steps = lines(&plan.steps);
    assert!(!steps.contains("eth1") && !steps.contains("bond0 down"), "{steps}");
    assert_eq!((scene.link("bond0").mac, scene.link("blue").mac), (mac, mac));
    assert_eq!(ports(&scene, "bond0"), ["eth1", "eth2"]);
    // All are replaced: the bond is never empty.
    let plan = scene.apply(&of(&["eth0"])).await;
    assert!(lines(&plan.steps).find("make eth0").unwrap() < lines(&plan.steps).find("take eth1").unwrap());
    assert_eq!(scene.link("bond0").mac, mac);
    // Order says nothing.
    scene.apply(&of(&["eth0", "eth2"])).await;
    assert!(scene.plan(&of(&["eth2", "eth0"])).is_empty());
}

#[tokio::test]
async fn options_are_set_live_where_the_kernel_allows_it() {
    let mut scene = Scene::new(world());
    let nics = &["eth0", "eth1"];
    scene.apply(&request([bond("bond0", BondMode::Lacp, nics).set()])).await;
    let asked = |bond: Bonded| request([bond.set()]);
    let live = bond("bond0", BondMode::Lacp, nics).option(BondOption::XmitHashPolicy, 1).option(BondOption::Miimon, 50);
    let plan = scene.apply(&asked(live.clone().option(BondOption::Updelay, 100))).await;
    assert_eq!(lines(&plan.steps), "set bond bond0: miimon_ms 50, updelay_ms 100, downdelay_ms 0, xmit_hash_policy 1");
    let plan = scene.apply(&asked(live.clone().option(BondOption::LacpRate, 1))).await;
    let steps = lines(&plan.steps);
    assert!(steps.starts_with("set bond0 down\nset bond bond0: ") && steps.ends_with("set bond0 up"), "{steps}");
    assert!(!steps.contains("take"), "{steps}");
    // Another mode: the ports go out and come back, and the MAC stays.
    let mac = scene.link("bond0").mac;
    let index = scene.link("bond0").index;
    scene.apply(&asked(bond("bond0", BondMode::ActiveBackup, nics).primary("eth1"))).await;
    let LinkKind::Bond(now) = scene.link("bond0").kind else { panic!("no bond") };
    assert_eq!((now.options.mode, now.active_port), (BondMode::ActiveBackup, Some(if_name("eth1"))));
    assert_eq!((scene.link("bond0").mac, scene.link("bond0").index), (mac, index));
    assert_eq!(ports(&scene, "bond0"), ["eth0", "eth1"]);
}

#[tokio::test]
async fn a_nic_goes_into_a_bond_while_its_network_moves_along() {
    let mut scene = Scene::new(world());
    let blue = net("blue").ipv4(&["192.0.2.10/24"], Some("192.0.2.1")).default_route().managed();
    scene.apply(&request([blue.clone().on("eth0").set(), net("red").on("eth0").vlan(5).set()])).await;
    let mac = scene.link("blue").mac;
    scene.host.change(|world| world.start_guest("vm1", "52:54:00:00:00:01", "vnet0", "blue", Some("trestle-blue")));
    let moved = [blue.clone().on_bond("bond0").set(), net("red").on_bond("bond0").vlan(5).set()];
    let plan = scene
        .apply(&with_bonds(request(moved), [bond("bond0", BondMode::ActiveBackup, &["eth0", "eth1"]).set()]))
        .await;
    let steps = lines(&plan.steps);
    assert!(!steps.contains("address 192") && !steps.contains("blue down"), "{steps}");
    assert_eq!(scene.link("blue").mac, mac);
    assert_eq!(scene.link("vnet0").master, Some(if_name("blue")));
    assert_eq!(scene.link("bond0").master, Some(if_name("blue")));
    assert_eq!(scene.defaults(), ["192.0.2.1 dev blue"]);
    assert!(scene.try_link("eth0.5").is_none());
    // And back again, with another VLAN, while the bond goes.
    let back = [blue.on("eth0").set(), net("red").on("eth1").vlan(6).set()];
    scene.apply(&with_bonds(request(back), [remove_bond("bond0")])).await;
    assert_eq!(scene.link("blue").mac, mac);
    assert_eq!(scene.link("eth1.6").master, Some(if_name("red")));
    assert!(scene.try_link("bond0").is_none());
}

#[tokio::test]
async fn a_bond_of_others_that_a_network_names_is_adopted_as_it_is_and_stays() {
    let world = World::default().nic("eth0").nic("eth1").foreign_bond("bond7", &["eth0", "eth1"]);
    let mut scene = Scene::new(world);
    let before = scene.link("bond7");
    let plan = scene.apply(&request([net("blue").on_bond("bond7").vlan(3).set()])).await;
    let adopted: &BondSpec = &plan.desired.bonds[&if_name("bond7")].spec;
    assert_eq!(adopted.nics, [if_name("eth0"), if_name("eth1")]);
    assert_eq!(scene.link("bond7").kind, before.kind);
    assert_eq!((scene.link("bond7").mac, scene.link("bond7").index), (before.mac, before.index));
    let steps = lines(&plan.steps);
    assert!(
        !steps.contains(" down") && !steps.contains("port of bond7") && !steps.contains("set bond bond7"),
        "{steps}"
    );
    scene.apply(&request([remove("blue")])).await;
    assert_eq!(scene.link("bond7").kind, before.kind, "it is never removed as surplus");
    // Described, it is Trestle's like any other; one NIC is enough.
    scene.apply(&request([bond("bond7", BondMode::BalanceXor, &["eth0"]).set()])).await;
    assert_eq!(ports(&scene, "bond7"), ["eth0"]);
    scene.apply(&request([remove_bond("bond7")])).await;
    assert!(scene.try_link("bond7").is_none());
}

#[tokio::test]
async fn an_edit_is_undone_with_members_options_and_mac() {
    let mut scene = Scene::new(world());
    let first = bond("bond0", BondMode::Lacp, &["eth0", "eth1"]).hwaddr("06:00:00:00:00:aa");
    let networks = [net("blue").on_bond("bond0").set(), net("red").on_bond("bond0").vlan(7).bridgeless().set()];
    scene.apply(&with_bonds(request(networks), [first.set()])).await;
    let before = settled(scene.host.state());
    let edits = [
        bond("bond0", BondMode::Lacp, &["eth2"]),
        bond("bond0", BondMode::ActiveBackup, &["eth2", "eth1"]).primary("eth2").option(BondOption::FailOverMac, 2),
        bond("bond0", BondMode::Lacp, &["eth0", "eth1"]).option(BondOption::AdSelect, 2).hwaddr("06:00:00:00:00:bb"),
    ];
    for edit in edits {
        let plan = scene.plan(&request([edit.set()]));
        let tried = scene.fork();
        tried.perform(&plan.steps).await;
        assert_eq!(verify(&plan.target, &tried.host.state()), [], "after {}", lines(&plan.steps));
        let target = undo_target(&serde_json::from_str(&serde_json::to_string(&plan.snapshot).unwrap()).unwrap());
        let steps = steps_towards(&target, &tried.host.state());
        tried.perform(&steps).await;
        assert_eq!(settled(tried.host.state()), before, "{}\nundone by\n{}", lines(&plan.steps), lines(&steps));
    }
}

#[tokio::test]
async fn a_bond_is_restored_with_the_nics_that_are_left_and_its_mac() {
    let mut scene = Scene::new(world());
    let of = bond("bond0", BondMode::ActiveBackup, &["eth0", "eth1"]).primary("eth0");
    let lone = bond("bond1", BondMode::ActiveBackup, &["eth2", "eth3"]);
    scene.host.change(|world| world.plug_nic("eth3"));
    let networks = [net("blue").on_bond("bond0").set(), net("red").on_bond("bond1").set()];
    scene.apply(&with_bonds(request(networks), [of.set(), lone.set()])).await;
    let mac = scene.link("bond0").mac;
    scene.host.reboot();
    scene.host.change(|world| ["eth0", "eth2", "eth3"].into_iter().for_each(|nic| world.pull(nic)));
    let restoration = restore_plan(&scene.running, &scene.host.state());
    scene.perform(&restoration.steps).await;
    assert_eq!(verify(&restoration.target, &scene.host.state()), []);
    assert_eq!(lines(&restore_plan(&scene.running, &scene.host.state()).steps), "");
    assert_eq!(ports(&scene, "bond0"), ["eth1"]);
    assert_eq!((scene.link("bond0").mac, scene.link("blue").mac), (mac, mac));
    assert!(scene.try_link("bond1").is_none());
    let told: Vec<(Code, &str)> =
        restoration.skipped.iter().map(|finding| (finding.code, finding.subject.as_str())).collect();
    assert!(told.contains(&(Code::NicNotFound, "bond0")) && told.contains(&(Code::BondNotFound, "red")), "{told:?}");
    assert_eq!(restoration.desired.bonds, scene.running.bonds, "the configuration keeps the missing NIC");
}

#[tokio::test]
async fn what_others_did_to_a_bond_is_mended_when_it_is_named() {
    let mut scene = Scene::new(world());
    let of = || request([bond("bond0", BondMode::ActiveBackup, &["eth0", "eth1"]).set()]);
    scene.apply(&of()).await;
    let steps: [Step; 2] = [
        KernelStep::SetMaster { link: if_name("eth1"), master: None }.into(),
        KernelStep::SetMtu { link: if_name("eth0"), mtu: 1400.try_into().unwrap() }.into(),
    ];
    scene.host.perform(&steps).await.unwrap();
    let plan = scene.plan(&of());
    scene.perform(&plan.steps).await;
    assert_eq!(lines(&plan.steps), "set bond bond0: primary none\nset MTU of eth0 to 1500\nmake eth1 a port of bond0");
    assert_eq!(verify(&plan.target, &scene.host.state()), []);
}

/// Each of the cases is refused with these findings, code and field.
async fn refused(
    scene: &Scene,
    changes: Vec<NetworkChange>,
    bonds: Vec<trestle_model::BondChange>,
    expected: &[(Code, &str)],
) {
    let request = with_bonds(request(changes), bonds);
    let findings = trestle_plan::plan(&request, &scene.running, &scene.host.state()).expect_err("it is refused");
    let told: Vec<(Code, &str)> = findings.0.iter().map(|finding| (finding.code, finding.field.as_str())).collect();
    assert_eq!(told, expected, "{findings:#?}");
}

#[tokio::test]
async fn refuses_what_cannot_be_and_says_where() {
    use BondMode::{ActiveBackup, BalanceAlb, BalanceRr, BalanceTlb, Lacp};
    let world = world().foreign_bridge("virbr0").nic("eth9").port("virbr0", "eth9").foreign_vlan("lan", "eth2", 9);
    let mut scene = Scene::new(world.nic("eth3").nic("eth4").nic("eth5"));
    let own = bond("own", ActiveBackup, &["eth3", "eth4"]).set();
    scene.apply(&with_bonds(request([net("top").on_bond("own").set()]), [own])).await;
    let of = |mode, nics: &[&str]| bond("bond0", mode, nics).set();
    for mode in [BalanceRr, BalanceTlb, BalanceAlb] {
        let bridged = vec![net("blue").on_bond("bond0").set()];
        let both = vec![of(mode, &["eth0", "eth1"])];
        refused(&scene, bridged, both, &[(Code::BondModeUnsafe, "bonds[0].mode")]).await;
    }
    refused(&scene, vec![], vec![of(Lacp, &["eth0"])], &[(Code::BondTooFewNics, "bonds[0].nics")]).await;
    refused(
        &scene,
        vec![],
        vec![bond("bond0", ActiveBackup, &["eth0", "eth1"]).option(BondOption::LacpRate, 1).primary("eth5").set()],
        &[
            (Code::BondOptionInvalid, "bonds[0].options.lacp_rate"),
            (Code::BondOptionInvalid, "bonds[0].options.primary"),
        ],
    )
    .await;
    let in_use = [
        (Code::NicInUse, "bonds[0].nics[0]"),
        (Code::NicInUse, "bonds[0].nics[1]"),
        (Code::NicInUse, "bonds[0].nics[2]"),
        (Code::NicNotFound, "bonds[0].nics[3]"),
    ];
    refused(&scene, vec![], vec![of(Lacp, &["eth3", "eth9", "eth2", "eth7"])], &in_use).await;
    refused(
        &scene,
        vec![net("blue").on("eth0").set()],
        vec![of(Lacp, &["eth0", "eth1"])],
        &[(Code::NicInUse, "bonds[0].nics[0]"), (Code::NicInUse, "networks[0].nic")],
    )
    .await;
    refused(&scene, vec![net("blue").on("eth3").set()], vec![], &[(Code::NicInUse, "networks[0].nic")]).await;
    refused(&scene, vec![net("blue").on_bond("none").set()], vec![], &[(Code::BondNotFound, "networks[0].bond")]).await;
    refused(&scene, vec![net("blue").on("own").vlan(2).set()], vec![], &[(Code::NicNotFound, "networks[0].nic")]).await;
    refused(&scene, vec![], vec![remove_bond("none")], &[(Code::BondNotFound, "bonds[0].name")]).await;
    refused(&scene, vec![], vec![remove_bond("own")], &[(Code::BondInUse, "bonds[0].name")]).await;
    refused(
        &scene,
        vec![],
        vec![bond("virbr0", Lacp, &["eth0", "eth1"]).set()],
        &[(Code::ForeignDevice, "bonds[0].name")],
    )
    .await;
    let huge = vec![net("top").on_bond("own").mtu(9500).set()];
    refused(&scene, huge, vec![], &[(Code::MtuOutOfRange, "networks[0].mtu"); 2]).await;
    let lacking =
        Scene::new(World::default().nic("eth0").nic("eth1").without(trestle_model::Feature::Bonding, "no module"));
    refused(&lacking, vec![], vec![of(Lacp, &["eth0", "eth1"])], &[(Code::KernelLacksFeature, "bonds[0].name")]).await;
    assert!(scene.running.networks.contains_key(&name("top")));
}
