//! Snapshots hold while the kernel's tables change.

use std::collections::BTreeSet;

use trestle_model::{KernelState, LinkKind, NicHardware};
use trestle_netlink::{Kernel, Table};

use crate::scene::{create_bridge, delete, in_namespace, name, told};

#[test]
fn shows_an_empty_namespace_as_one_loopback() {
    in_namespace(async |scene| {
        let KernelState { links, routes, rules, fdb } = scene.state().await;
        assert_eq!(links.len(), 1);
        let lo = &links[&name("lo")];
        assert_eq!((&lo.kind, lo.mac, lo.mtu.get(), lo.up), (&LinkKind::Loopback, None, 65_535, false));
        assert!(lo.addresses.is_empty() && routes.is_empty() && rules.is_empty() && fdb.is_empty());
    });
}

#[test]
fn misses_no_device_while_others_come_and_go() {
    in_namespace(async |scene| {
        let steady: Vec<_> = (0..60).map(|i| create_bridge(&format!("steady{i}"))).collect();
        scene.try_perform(&steady).await.unwrap();
        let other = Kernel::connect().unwrap();
        let change = async {
            let (come, go) = (create_bridge("passing"), delete("passing"));
            for _ in 0..40 {
                other.perform(&[&come, &go]).await.unwrap();
            }
        };
        let watch = async {
            for _ in 0..40 {
                let links = scene.state().await.links;
                let steady = links.keys().filter(|link| link.as_str().starts_with("steady")).count();
                assert_eq!(steady, 60);
            }
        };
        tokio::join!(change, watch);
    });
}

#[test]
fn are_read_side_by_side() {
    in_namespace(async |scene| {
        let steady: Vec<_> = (0..60).map(|i| create_bridge(&format!("steady{i}"))).collect();
        scene.try_perform(&steady).await.unwrap();
        for _ in 0..10 {
            let (one, other, third) =
                tokio::join!(scene.kernel.observe(), scene.kernel.observe(), scene.kernel.observe());
            assert_eq!(one.unwrap().links.len(), 61);
            assert!(other.is_ok() && third.is_ok());
        }
    });
}

#[test]
fn hold_only_the_tables_that_are_asked_for() {
    in_namespace(async |scene| {
        scene.bridge_with_two_ports().await;
        let whole = scene.state().await;
        let look = scene.kernel.look(&BTreeSet::new()).await.unwrap();
        assert_eq!(look.state.links.keys().collect::<Vec<_>>(), whole.links.keys().collect::<Vec<_>>());
        assert!(look.state.fdb.is_empty() && look.state.routes.is_empty() && look.hardware.is_empty());
        assert!(look.state.links.values().all(|link| link.addresses.is_empty()));
        let look = scene.kernel.look(&[Table::Forwarding, Table::Hardware].into()).await.unwrap();
        assert!(!look.state.fdb.is_empty());
        // The thread's /sys shows another namespace, whose devices of the same name are not believed.
        assert_eq!(look.hardware.get(&name("p1")), Some(&NicHardware::default()));
        assert!(!look.hardware.contains_key(&name("br0")));
    });
}

#[test]
fn counters_are_those_that_iproute2_tells() {
    in_namespace(async |scene| {
        scene.bridge_with_two_ports().await;
        let read = async |names: Option<&BTreeSet<_>>| scene.kernel.statistics(names).await.unwrap();
        assert_eq!(read(None).await.len(), 6);
        assert_eq!(read(Some(&[name("gone")].into())).await, []);
        let before = read(Some(&[name("p1")].into())).await[0].counters;
        let Some(told) = told("ip -s -j link show dev p1") else { return };
        let after = read(Some(&[name("p1")].into())).await[0].counters;
        let sent = told[0]["stats64"]["tx"]["bytes"].as_u64().unwrap();
        assert!((before.tx_bytes..=after.tx_bytes).contains(&sent), "{before:?} {sent} {after:?}");
    });
}
