//! What is set on NICs themselves.

use std::collections::BTreeSet;

use trestle_fake_host::World;
use trestle_model::{Code, LinkKind, NicChange, NicSpec, NicState, Offload, Presence, RingSizes, SetupRequest};
use trestle_plan::sample::{Change, request as changes, set_nic, set_vfs, unset_nic};
use trestle_plan::{
    KernelStep, Thing, losses, nic_reports, plan, repair_plan, restore_plan, steps_towards, undo_target, verify,
};

use super::scene::{Scene, if_name, lines, net};

fn world() -> World {
    World::default().nic("eth0").nic("eth1")
}

fn request(nics: impl IntoIterator<Item = NicChange>) -> SetupRequest {
    changes(nics)
}

fn settings(scene: &Scene, name: &str) -> NicState {
    scene.link(name).settings
}

/// Returns the features that are in force, of those that `names` says.
fn active(scene: &Scene, names: &[&str]) -> Vec<bool> {
    let features = settings(scene, "eth0").features;
    names.iter().map(|wanted| features.iter().any(|(name, state)| name.as_str() == *wanted && state.active)).collect()
}

#[tokio::test]
async fn settings_are_made_edited_undone_and_given_back() {
    let mut scene = Scene::new(world());
    let before = settings(&scene, "eth0");
    let set = scene.apply(&request([set_nic("eth0", Some(512), None, &[("rx-gro", false)])])).await;
    assert_eq!(lines(&set.steps), "set rings of eth0: rx 512\nswitch features of eth0: rx-gro off");
    let undone = scene.fork();
    undone.perform(&steps_towards(&undo_target(&set.snapshot), &undone.host.state())).await;
    assert_eq!(settings(&undone, "eth0"), before);

    // What is no longer named returns to what it was, and what is still named stays.
    let edited = scene.apply(&request([set_nic("eth0", None, Some(128), &[("rx-gro", false)])])).await;
    assert_eq!(lines(&edited.steps), "set rings of eth0: rx 256, tx 128");
    let removed = scene.apply(&request([unset_nic("eth0")])).await;
    assert_eq!(lines(&removed.steps), "set rings of eth0: tx 256\nswitch features of eth0: rx-gro on");
    assert_eq!((settings(&scene, "eth0"), scene.running.nics.len()), (before, 0));
}

#[tokio::test]
async fn an_edit_returns_to_what_was_there_first_and_not_to_what_was_asked_in_between() {
    let mut scene = Scene::new(world());
    for length in [512, 64, 1024] {
        scene.apply(&request([set_nic("eth0", Some(length), None, &[])])).await;
    }
    scene.apply(&request([unset_nic("eth0")])).await;
    assert_eq!(settings(&scene, "eth0").rings.unwrap().rx, 256);
}

#[tokio::test]
async fn a_group_of_features_is_switched_whole_and_has_to_be_in_force() {
    let offloads = |list: &[(Offload, bool)]| {
        let offloads = list.iter().cloned().collect();
        request([NicChange::Set(NicSpec { name: if_name("eth0"), rings: RingSizes::default(), vfs: None, offloads })])
    };
    let names = ["tx-checksum-ip-generic", "tx-tcp-segmentation"];
    let mut scene = Scene::new(world());
    scene.apply(&offloads(&[(Offload::TxChecksum, false)])).await;
    // The segmentation is asked for still, and cannot be without checksums.
    assert_eq!(active(&scene, &names), [false, false]);
    let both = scene.plan(&offloads(&[(Offload::TxChecksum, false), (Offload::TcpSegmentation, true)]));
    scene.perform(&both.steps).await;
    let drift: Vec<String> = verify(&both.target, &scene.host.state()).iter().map(ToString::to_string).collect();
    assert_eq!(drift, ["link eth0 feature tx-tcp-segmentation: expected on, is not in force: it needs another"]);
}

#[tokio::test]
async fn the_number_of_virtual_functions_goes_by_none_and_is_undone_and_given_back() {
    let count = |scene: &Scene| settings(scene, "eth0").vfs.unwrap().count();
    let mut scene = Scene::new(world());
    let made = scene.apply(&request([set_vfs("eth0", 4)])).await;
    assert_eq!(lines(&made.steps), "set virtual functions of eth0: 4");
    let fewer = scene.apply(&request([set_vfs("eth0", 3)])).await;
    assert_eq!(lines(&fewer.steps), "set virtual functions of eth0: 0\nset virtual functions of eth0: 3");
    let undone = scene.fork();
    undone.perform(&steps_towards(&undo_target(&fewer.snapshot), &undone.host.state())).await;
    assert_eq!((count(&scene), count(&undone)), (3, 4));
    let removed = scene.apply(&request([unset_nic("eth0")])).await;
    assert_eq!((lines(&removed.steps).as_str(), count(&scene)), ("set virtual functions of eth0: 0", 0));
}

#[tokio::test]
async fn virtual_functions_that_are_used_keep_their_number() {
    let used = |world: World, changes: SetupRequest, expected: &[&str]| {
        let scene = Scene::new(world);
        let findings = plan(&changes, &scene.running, &scene.host.state()).unwrap_err().0;
        let found: Vec<_> = findings.iter().map(|found| (found.code, found.field.as_str())).collect();
        assert_eq!(found, [(Code::VfsInUse, "nics[0].sriov_vfs")]);
        assert_eq!(findings[0].related, expected);
    };
    let passed_on = |driver: &str| world().passed_on_function("eth0", driver);
    used(passed_on("vfio-pci"), request([set_vfs("eth0", 2)]), &["a guest, of function 0 at somewhere"]);
    let others = ["whoever has it by uio_pci_generic, of function 0 at somewhere"];
    used(passed_on("uio_pci_generic"), request([set_vfs("eth0", 2)]), &others);
    let with_device = || world().virtual_function("eth0", "eth0v0");
    let tapped = with_device().upper_of_function("eth0", "macvtap0");
    used(tapped, request([set_vfs("eth0", 0)]), &["device macvtap0"]);
    let bridged = with_device().foreign_bridge("br9").port("br9", "eth0v0");
    used(bridged, request([set_vfs("eth0", 0)]), &["device br9"]);
    used(with_device().foreign_vlan("eth0v0.7", "eth0v0", 7), request([set_vfs("eth0", 0)]), &["device eth0v0.7"]);
    let addressed = with_device().address("eth0v0", "192.0.2.7/24").default_route("eth0v0", "192.0.2.1", 0);
    let own = ["address 192.0.2.7/24 of eth0v0", "route to 0.0.0.0/0 through eth0v0"];
    used(addressed, request([set_vfs("eth0", 0)]), &own);
    let both = changes([Change::from(net("blue").on("eth0v0").set()), Change::from(set_vfs("eth0", 2))]);
    used(with_device(), both, &["network blue"]);

    // Free ones go, and so do their devices.
    let mut scene = Scene::new(with_device());
    scene.apply(&request([set_vfs("eth0", 2)])).await;
    assert!(scene.try_link("eth0v0").is_none());
}

#[tokio::test]
async fn virtual_functions_that_a_guest_has_are_neither_restored_nor_kept() {
    let mut scene = Scene::new(world());
    scene.apply(&request([set_vfs("eth0", 4)])).await;
    let other =
        Scene { host: Scene::new(world().passed_on_function("eth0", "vfio-pci")).host, running: scene.running.clone() };
    let restoration = restore_plan(&other.running, &other.host.state());
    let skipped: Vec<_> = restoration.skipped.iter().map(|found| (found.code, found.subject.as_str())).collect();
    assert_eq!((skipped, lines(&restoration.steps).as_str()), (vec![(Code::VfsInUse, "eth0")], ""));
    let losses = losses(&other.running, &other.host.state());
    assert_eq!(losses.len(), 1);
    assert_eq!(losses[0].obstacle.as_deref(), Some("virtual functions of eth0 are used"));
}

#[tokio::test]
async fn refuses_what_the_driver_does_not_take() {
    let world = || world().device("br9", LinkKind::Tun).device("veth9", LinkKind::Veth);
    let unsupported = Code::NicOptionUnsupported;
    let cases: [(NicChange, Code, &str); 9] = [
        (set_vfs("eth0", 8), unsupported, "nics[0].sriov_vfs"),
        (set_vfs("veth9", 1), unsupported, "nics[0].sriov_vfs"),
        (set_nic("eth9", None, None, &[]), Code::NicNotFound, "nics[0].name"),
        (set_nic("br9", None, None, &[]), Code::NicNotFound, "nics[0].name"),
        (set_nic("eth0", Some(1025), None, &[]), unsupported, "nics[0].rings.rx"),
        (set_nic("eth0", None, Some(0), &[]), unsupported, "nics[0].rings.tx"),
        (
            set_nic("eth0", None, None, &[("tx-nocache-copy", true)]),
            unsupported,
            "nics[0].offloads.features[tx-nocache-copy]",
        ),
        (
            NicChange::Set(NicSpec {
                name: if_name("eth0"),
                rings: RingSizes::default(),
                vfs: None,
                offloads: [(Offload::LargeReceive, false)].into(),
            }),
            unsupported,
            "nics[0].offloads.large_receive",
        ),
        (unset_nic("eth0"), Code::NicNotFound, "nics[0].name"),
    ];
    for (change, code, field) in cases {
        let scene = Scene::new(world());
        let findings = plan(&request([change]), &scene.running, &scene.host.state()).unwrap_err().0;
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!((findings[0].code, findings[0].field.as_str()), (code, field));
        assert!(!findings[0].remedy.is_empty() && !findings[0].subject.is_empty());
    }
}

#[tokio::test]
async fn a_reboot_brings_settings_back_and_passes_over_a_nic_that_is_missing() {
    let mut scene = Scene::new(world());
    let nics = [set_nic("eth0", Some(512), None, &[("rx-gro", false)]), set_nic("eth1", Some(64), None, &[])];
    scene.apply(&request(nics)).await;
    let was = settings(&scene, "eth0");
    let rebooted = Scene { host: Scene::new(World::default().nic("eth0")).host, running: scene.running.clone() };
    let restoration = restore_plan(&scene.running, &rebooted.host.state());
    let skipped: Vec<_> = restoration.skipped.iter().map(|found| (found.code, found.subject.as_str())).collect();
    assert_eq!(skipped, [(Code::NicNotFound, "eth1")]);
    rebooted.perform(&restoration.steps).await;
    assert_eq!(settings(&rebooted, "eth0"), was);
    assert_eq!(verify(&restoration.target, &rebooted.host.state()), []);
    // What it returns to is what it was, however often the host starts anew.
    assert_eq!(restoration.desired.nics, scene.running.nics);
}

#[tokio::test]
async fn what_somebody_alters_is_told_and_comes_back() {
    let mut scene = Scene::new(world());
    let checksum = ("tx-checksum-ip-generic", true);
    let nics = [set_nic("eth0", Some(512), None, &[("rx-gro", false), ("tx-tcp-segmentation", true), checksum])];
    scene.apply(&request(nics)).await;
    scene.apply(&changes([net("blue").on("eth0").set()])).await;
    let rings = RingSizes { rx: Some(300), tx: Some(200) };
    let steps = [KernelStep::SetRings { link: if_name("eth0"), sizes: rings }];
    scene.host.change(|world| steps.iter().for_each(|step| world.perform(&step.clone().into()).unwrap()));
    let things = |scene: &Scene| -> BTreeSet<Thing> {
        losses(&scene.running, &scene.host.state()).into_iter().map(|loss| loss.thing).collect()
    };
    let told: Vec<String> = things(&scene).iter().map(ToString::to_string).collect();
    assert_eq!(told, ["devices of NIC eth0"]);
    let reports = nic_reports(&scene.running, &scene.host.state(), &Default::default(), &Default::default());
    assert_eq!(reports[0].drift, ["link eth0 rx ring: expected 512, is 300"]);
    let repair = repair_plan(&scene.running, &scene.host.state(), &things(&scene));
    scene.perform(&repair.steps).await;
    // What Trestle was not told of is left as others have set it.
    assert_eq!(lines(&repair.steps), "set rings of eth0: rx 512");
    assert_eq!(things(&scene), BTreeSet::new());
}

#[tokio::test]
async fn what_is_to_be_set_on_a_missing_nic_is_told_of() {
    let mut scene = Scene::new(world());
    scene.apply(&request([set_vfs("eth0", 2)])).await;
    let gone = Scene::new(World::default().nic("eth7")).host.state();
    let reports = nic_reports(&scene.running, &gone, &Default::default(), &Default::default());
    let told: Vec<_> = reports.iter().map(|report| (report.name.as_str(), report.presence)).collect();
    assert_eq!(told, [("eth7", Presence::Present), ("eth0", Presence::Missing)]);
    let vfs = reports[1].configured.as_ref().map(|entry| entry.spec.vfs);
    assert_eq!((vfs, reports[1].drift.len()), (Some(Some(2)), 1), "{:?}", reports[1].drift);
}
