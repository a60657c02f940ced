//! The probe tells what is so, and leaves nothing behind.

use std::process::Command;

use trestle_model::{Feature, Support};
use trestle_netlink::probe;

use crate::scene::in_namespace;

#[test]
fn probes_every_feature_of_the_kernel_and_leaves_nothing() {
    in_namespace(async |scene| {
        let before = scene.state().await;
        let found = probe().await;
        assert_eq!(scene.state().await, before);
        let expected: Vec<_> = Feature::ALL.into_iter().filter(|feature| !feature.is_of_libvirt()).collect();
        assert_eq!(found.keys().copied().collect::<Vec<_>>(), expected);
        assert_eq!(found[&Feature::Bridge], Support::Present);
        for (feature, support) in found {
            eprintln!("{feature}: {support:?}");
            let Support::Absent(reason) = support else { continue };
            assert!(!reason.is_empty());
        }
    });
}

#[test]
fn agrees_with_iproute2() {
    in_namespace(async |_| {
        let found = probe().await;
        let cases = [
            (Feature::BridgeVlanFiltering, "link add b0 type bridge vlan_filtering 1"),
            (Feature::PolicyRouting, "rule add from 192.0.2.1 lookup 1000"),
            (Feature::VlanDevices, "link add link b1 name v1 type vlan id 10"),
        ];
        let ip = |command: &str| Command::new("ip").args(command.split_whitespace()).output();
        if let Err(error) = ip("link add b1 type bridge") {
            eprintln!("skipped: ip: {error}");
            return;
        }
        for (feature, command) in cases {
            let works = ip(command).unwrap().status.success();
            assert_eq!(found[&feature] == Support::Present, works, "{feature}: {:?}", found[&feature]);
        }
    });
}
