//! Devices: made, set, removed, and refused.

use trestle_model::{Bridge, BridgeNumber, BridgeNumbers, Feature, LinkKind, Mtu, PortFlags, VlanId};
use trestle_plan::sample::other_value;
use trestle_plan::{BridgeChange, KernelStep, PortChange};

use crate::scene::{create_bridge, delete, has, in_namespace, name, run, set_master, set_up, told};

#[test]
fn makes_a_bridge_with_mac_and_mark() {
    in_namespace(async |scene| {
        let mac = "52:54:00:00:00:07".parse().unwrap();
        scene
            .perform(&[KernelStep::CreateBridge {
                name: name("br0"),
                mac: Some(mac),
                alias: "trestle:blue".to_owned(),
            }])
            .await;
        let link = scene.link("br0").await;
        assert_eq!(link.mac, Some(mac));
        assert_eq!(link.alias.as_deref(), Some("trestle:blue"));
        assert!(!link.up && !link.carrier && !link.ipv6_disabled);
        assert_eq!((link.mtu, &link.master, link.port, link.promiscuity), (Mtu::ETHERNET, &None, None, 0));
        let bridge = link.bridge().unwrap();
        assert!(!bridge.stp && bridge.multicast_snooping && !bridge.multicast_querier && !bridge.vlan_filtering);
        assert_eq!((bridge.ageing_time_cs, bridge.forward_delay_cs, bridge.priority), (30_000, 1_500, 32_768));
        if let Some(told) = told("ip -d -j link show dev br0") {
            assert_eq!(told[0]["address"], "52:54:00:00:00:07");
            assert_eq!(told[0]["ifalias"], "trestle:blue");
            assert_eq!(told[0]["ifindex"], link.index);
            assert_eq!(told[0]["linkinfo"]["info_kind"], "bridge");
            assert_eq!(told[0]["max_mtu"].as_u64(), link.max_mtu.map(u64::from));
        }
    });
}

#[test]
fn marks_a_bridge_that_is_there_and_leaves_it_as_it_is() {
    in_namespace(async |scene| {
        scene.try_perform(&[create_bridge("br0"), set_up("br0", true)]).await.unwrap();
        let before = scene.link("br0").await;
        let other = "52:54:00:00:00:08".parse().unwrap();
        scene
            .perform(&[KernelStep::CreateBridge {
                name: name("br0"),
                mac: Some(other),
                alias: "trestle:red".to_owned(),
            }])
            .await;
        let after = scene.link("br0").await;
        assert_eq!(after.alias.as_deref(), Some("trestle:red"));
        assert_eq!((after.index, after.mac, after.up), (before.index, before.mac, true));
    });
}

#[test]
fn refuses_to_take_another_device_for_a_bridge() {
    in_namespace(async |scene| {
        scene.cable("br0", "peer").await;
        let failure = scene.refused(create_bridge("br0")).await;
        assert_eq!(failure.reason, "create bridge br0: br0 exists and is a veth device");
        assert!(!failure.transient);
        if run("ip link property add dev peer altname br1").is_some() {
            let failure = scene.refused(create_bridge("br1")).await;
            assert!(failure.reason.starts_with("create bridge br1: File exists (EEXIST)"), "{}", failure.reason);
            let failure = scene.refused(set_up("br1", true)).await;
            assert_eq!(failure.reason, "set br1 up: device br1: No such device (ENODEV)");
        }
    });
}

#[test]
fn sets_every_option_of_a_bridge_and_back() {
    in_namespace(async |scene| {
        scene.try_perform(&[create_bridge("br0"), set_up("br0", true)]).await.unwrap();
        let before = scene.link("br0").await.bridge().unwrap().clone();
        // A kernel without VLAN filtering counts nothing by VLAN.
        let everywhere = |number: &BridgeNumber| *number != BridgeNumber::VlanStatistics;
        let numbers: BridgeNumbers = BridgeNumber::ALL.into_iter().filter(everywhere).map(other_value).collect();
        let change = BridgeChange {
            stp: Some(true),
            ageing_time_cs: Some(12_300),
            forward_delay_cs: Some(400),
            hello_time_cs: Some(100),
            max_age_cs: Some(700),
            priority: Some(4_096),
            multicast_snooping: Some(false),
            multicast_querier: Some(true),
            group_fwd_mask: Some(16_384),
            vlan_filtering: None,
            default_pvid: None,
            numbers: numbers.clone(),
        };
        scene.perform(&[KernelStep::SetBridge { bridge: name("br0"), change }]).await;
        let expected = Bridge {
            stp: true,
            ageing_time_cs: 12_300,
            forward_delay_cs: 400,
            hello_time_cs: 100,
            max_age_cs: 700,
            priority: 4_096,
            multicast_snooping: false,
            multicast_querier: true,
            group_fwd_mask: 16_384,
            numbers: numbers.clone(),
            ..before.clone()
        };
        assert_eq!(scene.link("br0").await.kind, LinkKind::Bridge(expected));
        if let Some(told) = told("ip -d -j link show dev br0") {
            let data = &told[0]["linkinfo"]["info_data"];
            assert_eq!((&data["stp_state"], &data["forward_delay"]), (&1.into(), &400.into()));
            assert_eq!((&data["ageing_time"], &data["priority"]), (&12_300.into(), &4_096.into()));
            assert_eq!((&data["mcast_snooping"], &data["mcast_querier"]), (&0.into(), &1.into()));
            assert_eq!((&data["mcast_router"], &data["mcast_query_intvl"]), (&2.into(), &25_000.into()));
            assert_eq!((&data["mcast_hash_max"], &data["nf_call_iptables"]), (&8192.into(), &1.into()));
        }
        // The spanning tree stops before a forward delay is set that it would not allow.
        let back = BridgeChange {
            stp: Some(false),
            ageing_time_cs: Some(before.ageing_time_cs),
            forward_delay_cs: Some(0),
            hello_time_cs: Some(before.hello_time_cs),
            max_age_cs: Some(before.max_age_cs),
            priority: Some(before.priority),
            multicast_snooping: Some(true),
            multicast_querier: Some(false),
            group_fwd_mask: Some(0),
            numbers: BridgeNumbers::NONE.change(&numbers),
            ..BridgeChange::default()
        };
        scene.perform(&[KernelStep::SetBridge { bridge: name("br0"), change: back }]).await;
        let expected = Bridge { forward_delay_cs: 0, ..before };
        assert_eq!(scene.link("br0").await.kind, LinkKind::Bridge(expected));
    });
}

#[test]
fn sets_every_flag_of_a_port_and_no_other() {
    in_namespace(async |scene| {
        scene.bridge_with_two_ports().await;
        let default = scene.port("p2").await;
        let expected = PortFlags {
            learning: true,
            flood: true,
            multicast_flood: true,
            broadcast_flood: true,
            isolated: false,
            locked: false,
        };
        assert_eq!(default, expected);
        let step = |change| KernelStep::SetPort { port: name("p1"), change };
        scene.perform(&[step(PortChange { learning: Some(false), ..PortChange::default() })]).await;
        assert_eq!(scene.port("p1").await, PortFlags { learning: false, ..default });
        let all = PortChange {
            learning: Some(true),
            flood: Some(false),
            multicast_flood: Some(false),
            broadcast_flood: Some(false),
            isolated: Some(true),
            locked: None,
        };
        scene.perform(&[step(all)]).await;
        let expected =
            PortFlags { flood: false, multicast_flood: false, broadcast_flood: false, isolated: true, ..default };
        assert_eq!(scene.port("p1").await, expected);
        assert_eq!(scene.port("p2").await, default);
        if let Some(told) = told("ip -d -j link show dev p1") {
            let data = &told[0]["linkinfo"]["info_slave_data"];
            assert_eq!(
                (&data["learning"], &data["flood"], &data["isolated"]),
                (&true.into(), &false.into(), &true.into())
            );
        }
        if has(Feature::PortLocked).await {
            scene.perform(&[step(PortChange { locked: Some(true), ..PortChange::default() })]).await;
            assert!(scene.port("p1").await.locked);
        }
        let failure = scene.refused(KernelStep::SetPort { port: name("g1"), change: all }).await;
        assert!(failure.reason.contains("(EOPNOTSUPP)"), "{}", failure.reason);
    });
}

#[test]
fn sets_a_device_and_undoes_it() {
    in_namespace(async |scene| {
        scene.cable("v0.5", "peer").await;
        scene.try_perform(&[create_bridge("br0")]).await.unwrap();
        let before = scene.state().await;
        let old = scene.link("v0.5").await;
        assert_eq!((&old.kind, old.up, old.carrier, &old.alias), (&LinkKind::Veth, false, false, &None));
        let link = name("v0.5");
        let mac = "52:54:00:00:00:09".parse().unwrap();
        scene
            .perform(&[
                KernelStep::SetAlias { link: link.clone(), alias: Some("mine".to_owned()) },
                KernelStep::SetMac { link: link.clone(), mac },
                KernelStep::SetMtu { link: link.clone(), mtu: Mtu::try_from(9000).unwrap() },
                KernelStep::SetIpv6Disabled { link: link.clone(), disabled: true },
                set_master("v0.5", Some("br0")),
                set_up("v0.5", true),
                set_up("peer", true),
                set_up("br0", true),
            ])
            .await;
        let state = scene.until(|state| state.links[&name("v0.5")].carrier).await;
        let now = state.links[&name("v0.5")].clone();
        assert_eq!((now.alias.as_deref(), now.mac, now.mtu.get()), (Some("mine"), Some(mac), 9000));
        assert!(now.ipv6_disabled && now.up && now.port.is_some());
        assert_eq!((now.master, now.promiscuity, now.max_mtu), (Some(name("br0")), 1, Some(65_535)));
        assert!(now.addresses.is_empty(), "IPv6 is off: {:?}", now.addresses);
        scene
            .perform(&[
                set_up("br0", false),
                set_up("peer", false),
                set_up("v0.5", false),
                set_master("v0.5", None),
                KernelStep::SetIpv6Disabled { link: link.clone(), disabled: false },
                KernelStep::SetMtu { link: link.clone(), mtu: old.mtu },
                KernelStep::SetMac { link: link.clone(), mac: old.mac.unwrap() },
                KernelStep::SetAlias { link, alias: None },
                KernelStep::SetMtu { link: name("br0"), mtu: Mtu::ETHERNET },
            ])
            .await;
        let mut after = scene.until(|state| !state.links[&name("v0.5")].carrier).await;
        // A bridge takes a port's MAC, and draws a new one when the last port has gone.
        after.links.get_mut(&name("br0")).unwrap().mac = before.links[&name("br0")].mac;
        after.fdb.retain(|entry| entry.bridge != name("br0"));
        let mut before = before;
        before.fdb.retain(|entry| entry.bridge != name("br0"));
        assert_eq!(after, before);
    });
}

#[test]
fn removes_a_device_and_finds_an_absent_one_fine() {
    in_namespace(async |scene| {
        scene.try_perform(&[create_bridge("br0")]).await.unwrap();
        scene.cable("v0", "v1").await;
        // The other end of the cable goes with this one.
        scene.perform(&[delete("br0"), delete("v0"), delete("v1"), delete("never")]).await;
        let links: Vec<_> = scene.state().await.links.into_keys().collect();
        assert_eq!(links, [name("lo")]);
    });
}

#[test]
fn stops_at_the_first_step_that_fails() {
    in_namespace(async |scene| {
        let steps = [create_bridge("br0"), set_up("br0", true), set_master("eth9", Some("br0")), create_bridge("br1")];
        let failure = scene.try_perform(&steps).await.unwrap_err();
        assert_eq!(failure.position, 2);
        assert_eq!(failure.reason, "make eth9 a port of br0: device eth9: No such device (ENODEV)");
        assert!(!failure.transient);
        let state = scene.state().await;
        assert!(state.links[&name("br0")].up, "the steps before it are done");
        assert!(!state.links.contains_key(&name("br1")), "the steps behind it are not");
    });
}

#[test]
fn passes_on_the_kernels_own_words() {
    in_namespace(async |scene| {
        scene.try_perform(&[create_bridge("br0"), create_bridge("br1")]).await.unwrap();
        let failure = scene.refused(set_master("br1", Some("br0"))).await;
        assert_eq!(
            failure.reason,
            "make br1 a port of br0: Too many levels of symbolic links (ELOOP): Can not enslave a bridge to a bridge"
        );
        let failure = scene.refused(KernelStep::SetAlias { link: name("br0"), alias: Some("x".repeat(300)) }).await;
        assert!(failure.reason.contains("(E"), "{}", failure.reason);
        let mac = "01:00:5e:00:00:01".parse().unwrap();
        let failure = scene.refused(KernelStep::SetMac { link: name("br0"), mac }).await;
        assert!(failure.reason.contains("Cannot assign requested address (EADDRNOTAVAIL)"), "{}", failure.reason);
        let failure = scene.refused(KernelStep::SetIpv6Disabled { link: name("eth9"), disabled: true }).await;
        assert_eq!(failure.reason, "switch IPv6 off on eth9: device eth9: No such device (ENODEV)");
    });
}

#[test]
fn makes_a_vlan_device() {
    in_namespace(async |scene| {
        if !has(Feature::VlanDevices).await {
            return;
        }
        scene.cable("eth0", "wire").await;
        let vlan = |vlan: &str, id| KernelStep::CreateVlan {
            name: name(vlan),
            base: name("eth0"),
            id: VlanId::try_from(id).unwrap(),
            alias: "trestle:blue".to_owned(),
        };
        scene.perform(&[vlan("eth0.10", 10), set_up("eth0", true), set_up("eth0.10", true)]).await;
        let link = scene.link("eth0.10").await;
        assert_eq!(link.kind, LinkKind::Vlan { base: name("eth0"), id: VlanId::try_from(10).unwrap() });
        assert_eq!((link.alias.as_deref(), link.up), (Some("trestle:blue"), true));
        let failure = scene.refused(vlan("eth0.10", 11)).await;
        assert!(failure.reason.ends_with("eth0.10 exists and is for another VLAN or on another device"));
        let failure = scene.refused(vlan("other", 10)).await;
        assert!(failure.reason.contains("(EEXIST)"), "{}", failure.reason);
        let failure = scene.refused(vlan("wire", 12)).await;
        assert!(failure.reason.ends_with("wire exists and is a veth device"), "{}", failure.reason);
        scene.perform(&[delete("eth0.10")]).await;
    });
}

#[test]
fn filters_by_vlan_or_says_why_not() {
    in_namespace(async |scene| {
        scene.try_perform(&[create_bridge("br0")]).await.unwrap();
        let change = BridgeChange { vlan_filtering: Some(true), default_pvid: Some(7), ..BridgeChange::default() };
        let step = KernelStep::SetBridge { bridge: name("br0"), change: change.clone() };
        if has(Feature::BridgeVlanFiltering).await {
            scene.perform(&[step]).await;
            let link = scene.link("br0").await;
            let bridge = link.bridge().unwrap();
            assert!(bridge.vlan_filtering);
            assert_eq!(bridge.default_pvid, 7);
        } else {
            let change = BridgeChange { default_pvid: None, ..change };
            let failure = scene.refused(KernelStep::SetBridge { bridge: name("br0"), change }).await;
            assert_eq!(failure.reason, "set bridge br0: vlan_filtering on: Operation not supported (EOPNOTSUPP)");
            assert!(!scene.link("br0").await.bridge().unwrap().vlan_filtering);
        }
    });
}
