//! What a request is about beside what it names.

use trestle_fake_host::World;
use trestle_model::{BondMode, HostConfig, NetworkChange, Origin, Scope, SetupRequest, UncommittedChange};
use trestle_plan::sample::{bond, remove_bond};
use trestle_plan::{plan_back, spell_out, uncommitted, uncommitted_bonds, verify};

use super::scene::{Scene, name, net, remove, request};

fn of(scope: Scope, changes: impl IntoIterator<Item = NetworkChange>) -> SetupRequest {
    let mut request = request(changes);
    request.options.scope = scope;
    request
}

/// Runs `kept`, `edited` and `added`; `kept`, `edited` before its edit, and `removed` are persistent.
async fn scene() -> (Scene, HostConfig) {
    let mut scene = Scene::new(World::default().nic("eth0"));
    let vlan = |name, id| net(name).on("eth0").vlan(id);
    let mut request = request([vlan("kept", 1).set(), vlan("edited", 2).set(), vlan("removed", 3).set()]);
    request.options.origin = Origin::Engine;
    scene.apply(&request).await;
    let persistent = scene.running.clone();
    let now = [vlan("edited", 2).mtu(1400).set(), vlan("added", 4).set(), remove("removed")];
    scene.apply(&super::scene::request(now)).await;
    (scene, persistent)
}

#[tokio::test]
async fn the_named_networks_are_all_by_default() {
    let (scene, persistent) = scene().await;
    let named = of(Scope::Named, [remove("added")]);
    assert_eq!(spell_out(&named, &scene.running, &persistent), named);
}

#[tokio::test]
async fn everything_takes_in_what_runs_and_is_not_named() {
    let (scene, persistent) = scene().await;
    let kept = net("kept").on("eth0").vlan(1).set();
    let spelled = spell_out(&of(Scope::Everything, [kept.clone()]), &scene.running, &persistent);
    assert_eq!(spelled, of(Scope::Named, [kept, remove("added"), remove("edited")]));
    let cleared = spell_out(&of(Scope::Everything, []), &scene.running, &persistent);
    assert_eq!(cleared.changes, [remove("added"), remove("edited"), remove("kept")]);
}

/// Goes back to the persistent configuration, and returns what runs then.
async fn go_back(scene: &Scene, persistent: &HostConfig) -> HostConfig {
    let request = spell_out(&of(Scope::Persistent, []), &scene.running, persistent);
    let plan = plan_back(&request, &scene.running, persistent, &scene.host.state()).unwrap();
    scene.perform(&plan.steps).await;
    assert_eq!(verify(&plan.target, &scene.host.state()), []);
    plan.desired
}

#[tokio::test]
async fn a_bond_comes_back_with_the_mac_that_it_had() {
    let mut scene = Scene::new(World::default().nic("eth0").nic("eth1"));
    let of = |nics: &[&str]| request([bond("bond0", BondMode::ActiveBackup, nics).set()]);
    scene.apply(&of(&["eth0", "eth1"])).await;
    let mac = scene.link("bond0").mac;
    scene.apply(&of(&["eth1", "eth0"])).await;
    let persistent = scene.running.clone();
    scene.apply(&request([remove_bond("bond0")])).await;
    let told = uncommitted_bonds(&scene.running, &persistent);
    assert_eq!(told.into_values().collect::<Vec<_>>(), [UncommittedChange::Removed]);
    let running = go_back(&scene, &persistent).await;
    assert_eq!((scene.link("bond0").mac, &running.bonds), (mac, &persistent.bonds));

    // Also where the bond runs with another one.
    let mut scene = Scene { host: scene.host, running };
    let other = bond("bond0", BondMode::ActiveBackup, &["eth1", "eth0"]).hwaddr("06:00:00:00:00:aa");
    scene.apply(&request([other.set()])).await;
    let told = uncommitted_bonds(&scene.running, &persistent);
    assert_eq!(told.into_values().collect::<Vec<_>>(), [UncommittedChange::Edited]);
    go_back(&scene, &persistent).await;
    assert_eq!(scene.link("bond0").mac, mac);
}

#[tokio::test]
async fn the_persistent_configuration_comes_back_whole_and_with_who_asked_for_it() {
    let (scene, persistent) = scene().await;
    let restored = go_back(&scene, &persistent).await;
    assert_eq!(restored.networks, persistent.networks);
    assert!(scene.try_link("removed").is_some() && scene.try_link("added").is_none());
    assert_eq!(u32::from(scene.link("edited").mtu), 1500);
}

#[tokio::test]
async fn what_a_reboot_would_change_is_told() {
    let (scene, persistent) = scene().await;
    let expected = [
        (name("added"), UncommittedChange::Added),
        (name("edited"), UncommittedChange::Edited),
        (name("removed"), UncommittedChange::Removed),
    ];
    assert_eq!(uncommitted(&scene.running, &persistent).into_iter().collect::<Vec<_>>(), expected);
    assert!(uncommitted(&persistent, &persistent).is_empty());
}
