//! A watch tells of changes, and tells when it has missed some.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::FutureExt;
use trestle_model::{Address, AddressOrigin, FdbEntry, FdbState, FeatureName, Mtu};
use trestle_netlink::{Carrier, Change, Watch};
use trestle_plan::{KernelStep, PortChange};

use crate::scene::{create_bridge, in_namespace, name, set_up};

/// Waits until the watch has told `change`, and returns all that it told.
async fn until(watch: &mut Watch, change: Change) -> BTreeSet<Change> {
    let wait = async {
        let mut told = BTreeSet::new();
        while !told.contains(&change) {
            told.extend(watch.next().await.unwrap());
        }
        told
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap_or_else(|_| panic!("{change:?} was not told"))
}

#[test]
fn tells_what_changed() {
    in_namespace(async |scene| {
        let mut watch = scene.kernel.watch().unwrap();
        assert_eq!(watch.next().now_or_never(), None, "nothing has changed");
        scene.try_perform(&[create_bridge("br0")]).await.unwrap();
        until(&mut watch, Change::Links).await;
        scene.bridge_with_two_ports().await;
        let address = Address {
            net: "10.0.0.5/24".parse().unwrap(),
            origin: AddressOrigin::Static,
            broadcast: None,
            label: None,
            scope: 0,
            no_prefix_route: false,
        };
        scene.try_perform(&[KernelStep::AddAddress { link: name("br0"), address }]).await.unwrap();
        until(&mut watch, Change::Addresses).await;
        scene.try_perform(&[set_up("br0", false)]).await.unwrap();
        until(&mut watch, Change::Links).await;
        scene.try_perform(&[set_up("br0", true)]).await.unwrap();
        until(&mut watch, Change::Routes).await;
        for (state, change) in [(FdbState::Static, Change::Forwarding), (FdbState::Learned, Change::Learning)] {
            let mac = "52:54:00:00:00:01".parse().unwrap();
            let entry = FdbEntry { bridge: name("br0"), port: name("p1"), mac, vlan: None, state, sticky: false };
            scene.try_perform(&[KernelStep::ReplaceFdb { entry }]).await.unwrap();
            until(&mut watch, change).await;
        }
        // One flag of a port alone, at once: that the port begins to forward would be told only after 15 s.
        scene.try_perform(&[set_up("p1", true)]).await.unwrap();
        for learning in [false, true] {
            while watch.next().now_or_never().is_some() {}
            let change = PortChange { learning: Some(learning), ..PortChange::default() };
            scene.try_perform(&[KernelStep::SetPort { port: name("p1"), change }]).await.unwrap();
            let told = tokio::time::timeout(Duration::from_secs(2), watch.next()).await;
            assert_eq!(told.ok().flatten(), Some(BTreeSet::from([Change::Links])), "learning {learning}");
        }
    });
}

#[test]
fn tells_of_features_of_nics_where_it_is_asked_to() {
    in_namespace(async |scene| {
        scene.cable("nic0", "wire0").await;
        let mut watch = scene.kernel.watch_with_nics().await.unwrap();
        let features = BTreeMap::from([(FeatureName::try_from("tx-tcp-segmentation".to_owned()).unwrap(), false)]);
        scene.try_perform(&[KernelStep::SetFeatures { link: name("nic0"), features }]).await.unwrap();
        until(&mut watch, Change::Nics).await;
        scene.try_perform(&[set_up("nic0", true)]).await.unwrap();
        until(&mut watch, Change::Links).await;
    });
}

#[test]
fn says_that_it_missed_changes() {
    in_namespace(async |scene| {
        let mut watch = scene.kernel.watch().unwrap();
        scene.try_perform(&[create_bridge("br0")]).await.unwrap();
        let mtu = |mtu| KernelStep::SetMtu { link: name("br0"), mtu: Mtu::try_from(mtu).unwrap() };
        let steps: Vec<_> = (0..2_000).map(|i| mtu(1_400 + i % 2)).collect();
        scene.try_perform(&steps).await.unwrap();
        until(&mut watch, Change::Resync).await;
    });
}

#[test]
fn counts_the_carriers_that_came_and_went_between_two_looks() {
    in_namespace(async |scene| {
        scene.cable("nic0", "wire0").await;
        scene.try_perform(&[set_up("nic0", true), set_up("wire0", true)]).await.unwrap();
        let before = scene.kernel.carriers().await.unwrap()[&name("nic0")];
        let gone = [set_up("wire0", false)];
        let back = [set_up("wire0", true)];
        scene.try_perform(&gone).await.unwrap();
        scene.try_perform(&back).await.unwrap();
        let after = scene.kernel.carriers().await.unwrap()[&name("nic0")];
        assert_eq!(after, Carrier { times: before.times + 1, ..before });
        assert!(after.present);
        scene.try_perform(&gone).await.unwrap();
        let without = scene.kernel.carriers().await.unwrap()[&name("nic0")];
        assert_eq!(without, Carrier { present: false, ..after });
    });
}
