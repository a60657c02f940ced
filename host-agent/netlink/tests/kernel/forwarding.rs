//! Forwarding entries: set, moved, removed.

use std::slice::from_ref;

use trestle_model::{FdbEntry, FdbState, Feature};
use trestle_plan::KernelStep;

use crate::scene::{Scene, has, in_namespace, name, set_master, told};

fn entry(port: &str, state: FdbState, sticky: bool) -> FdbEntry {
    FdbEntry {
        bridge: name("br0"),
        port: name(port),
        mac: "52:54:00:00:00:01".parse().unwrap(),
        vlan: None,
        state,
        sticky,
    }
}

fn replace(entry: &FdbEntry) -> KernelStep {
    KernelStep::ReplaceFdb { entry: entry.clone() }
}

fn remove(entry: &FdbEntry) -> KernelStep {
    KernelStep::RemoveFdb { entry: entry.clone() }
}

/// Returns all entries for the MAC that the scenarios use.
async fn all_entries(scene: &Scene) -> Vec<FdbEntry> {
    let mac = entry("p1", FdbState::Static, false).mac;
    scene.state().await.fdb.into_iter().filter(|entry| entry.mac == mac).collect()
}

/// Returns those outside of VLANs: a kernel with VLAN filtering makes one more for each VLAN that the port has.
async fn entries(scene: &Scene) -> Vec<FdbEntry> {
    all_entries(scene).await.into_iter().filter(|entry| entry.vlan.is_none()).collect()
}

#[test]
fn sets_a_static_entry_and_moves_it() {
    in_namespace(async |scene| {
        scene.bridge_with_two_ports().await;
        let first = entry("p1", FdbState::Static, false);
        scene.perform(&[replace(&first)]).await;
        assert_eq!(entries(&scene).await, from_ref(&first));
        if let Some(told) = told("bridge -j fdb show br br0 brport p1") {
            let told = told.as_array().unwrap().iter().find(|e| e["mac"] == "52:54:00:00:00:01").unwrap().clone();
            assert_eq!((&told["state"], &told["master"]), (&"static".into(), &"br0".into()));
        }
        let second = entry("p2", FdbState::Static, false);
        scene.perform(&[replace(&second)]).await;
        assert_eq!(entries(&scene).await, from_ref(&second));
        // An entry that is elsewhere is not this one.
        scene.perform(&[remove(&first)]).await;
        assert_eq!(entries(&scene).await, from_ref(&second));
        scene.perform(&[remove(&second)]).await;
        assert_eq!(entries(&scene).await, []);
    });
}

#[test]
fn takes_over_a_learned_entry() {
    in_namespace(async |scene| {
        scene.bridge_with_two_ports().await;
        let learned = entry("p2", FdbState::Learned, false);
        scene.perform(&[replace(&learned)]).await;
        assert_eq!(entries(&scene).await, [learned]);
        let wanted = entry("p1", FdbState::Static, false);
        scene.perform(&[replace(&wanted)]).await;
        assert_eq!(entries(&scene).await, [wanted]);
    });
}

#[test]
fn makes_an_entry_sticky_and_not() {
    in_namespace(async |scene| {
        if !has(Feature::FdbSticky).await {
            return;
        }
        scene.bridge_with_two_ports().await;
        for sticky in [true, false] {
            let wanted = entry("p1", FdbState::Static, sticky);
            scene.perform(&[replace(&wanted)]).await;
            assert_eq!(entries(&scene).await, [wanted]);
        }
    });
}

#[test]
fn tells_the_hosts_own_addresses_as_local() {
    in_namespace(async |scene| {
        scene.bridge_with_two_ports().await;
        let own = scene.link("p1").await.mac.unwrap();
        let found: Vec<_> = scene.state().await.fdb.into_iter().filter(|entry| entry.mac == own).collect();
        assert!(!found.is_empty() && found.iter().all(|entry| entry.state == FdbState::Local), "{found:?}");
        let local = entry("br0", FdbState::Local, false);
        scene.perform(&[replace(&local)]).await;
        assert_eq!(entries(&scene).await, from_ref(&local));
        scene.perform(&[remove(&local)]).await;
        assert_eq!(entries(&scene).await, []);
    });
}

#[test]
fn never_touches_an_entry_of_another_bridge() {
    in_namespace(async |scene| {
        scene.bridge_with_two_ports().await;
        let wanted = entry("p1", FdbState::Static, false);
        scene.try_perform(&[replace(&wanted), set_master("p1", None), remove(&wanted)]).await.unwrap();
        let failure = scene.refused(replace(&wanted)).await;
        assert_eq!(failure.reason, "set FDB entry 52:54:00:00:00:01 on port p1 of br0: p1 is not a port of br0");
        assert_eq!(entries(&scene).await, []);
        let gone = FdbEntry { port: name("eth9"), ..wanted };
        scene.perform(&[remove(&gone)]).await;
    });
}

#[test]
fn keeps_entries_of_a_vlan_apart() {
    in_namespace(async |scene| {
        if !has(Feature::BridgeVlanFiltering).await {
            return;
        }
        scene.bridge_with_two_ports().await;
        let tagged = FdbEntry { vlan: Some(1), ..entry("p1", FdbState::Static, false) };
        scene.perform(&[replace(&tagged)]).await;
        assert_eq!(all_entries(&scene).await, from_ref(&tagged));
        // Without a VLAN the kernel sets it for the port's VLANs and for none.
        let untagged = entry("p1", FdbState::Static, false);
        scene.perform(&[replace(&untagged)]).await;
        assert_eq!(all_entries(&scene).await, [untagged.clone(), tagged.clone()]);
        scene.perform(&[remove(&tagged)]).await;
        assert_eq!(all_entries(&scene).await, [untagged]);
    });
}
