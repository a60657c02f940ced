//! Golden plans: which steps, in which order, and why.

use trestle_fake_host::World;

use super::scene::{Scene, lines, net, remove, request};

#[tokio::test]
async fn a_management_nic_moves_into_a_bridge_in_one_go_at_the_end() {
    let world = World::default().nic("eth0").address("eth0", "192.0.2.10/24").default_route("eth0", "192.0.2.1", 100);
    let mut scene = Scene::new(world);
    let mgmt = net("mgmt").on("eth0").managed().ipv4(&["192.0.2.10/24"], Some("192.0.2.1")).default_route();
    let plan = scene.apply(&request([mgmt.set()])).await;
    let mac = scene.link("eth0").mac.unwrap();
    assert_eq!(
        lines(&plan.steps),
        format!(
            "create bridge mgmt with MAC {mac}\n\
             switch IPv6 off on mgmt\n\
             set bridge mgmt: vlan_filtering on\n\
             set mgmt up\n\
             define libvirt network trestle-mgmt on bridge mgmt, MAC table managed by libvirt\n\
             let libvirt start network trestle-mgmt by itself\n\
             start libvirt network trestle-mgmt\n\
             remove route 0.0.0.0/0 via 192.0.2.1 dev eth0 metric 100\n\
             remove address 192.0.2.10/24 from eth0\n\
             switch IPv6 off on eth0\n\
             make eth0 a port of mgmt\n\
             set port eth0: learning off\n\
             add address 192.0.2.10/24 to mgmt\n\
             add route 0.0.0.0/0 via 192.0.2.1 dev mgmt"
        )
    );
    let disrupting: Vec<usize> =
        plan.steps.iter().enumerate().filter(|(_, step)| step.disrupts).map(|(position, _)| position).collect();
    assert_eq!(disrupting, [7, 8, 9, 10], "only the move itself interrupts traffic");
    assert_eq!(plan.steps[0].reason, "network mgmt: bridge is missing");
}

#[tokio::test]
async fn a_vlan_is_made_on_its_base_and_goes_before_the_base_is_released() {
    let mut scene = Scene::new(World::default().idle_nic("eth0"));
    let both = [net("storage").on("eth0").mtu(9000).vlan(20), net("plain").on("eth0")];
    let plan = scene.apply(&request(both.map(|net| net.set()))).await;
    let mac = scene.link("eth0").mac.unwrap();
    assert_eq!(
        lines(&plan.steps),
        format!(
            "set MTU of eth0 to 9000\n\
             set eth0 up\n\
             create VLAN device eth0.20 for VLAN 20 on eth0\n\
             switch IPv6 off on eth0.20\n\
             set eth0.20 up\n\
             create bridge plain with MAC {mac}\n\
             switch IPv6 off on plain\n\
             set plain up\n\
             create bridge storage with MAC {mac}\n\
             switch IPv6 off on storage\n\
             set MTU of storage to 9000\n\
             set storage up\n\
             define libvirt network trestle-plain on bridge plain, MAC table managed by kernel\n\
             let libvirt start network trestle-plain by itself\n\
             start libvirt network trestle-plain\n\
             define libvirt network trestle-storage on bridge storage, MAC table managed by kernel\n\
             let libvirt start network trestle-storage by itself\n\
             start libvirt network trestle-storage\n\
             switch IPv6 off on eth0\n\
             make eth0 a port of plain\n\
             make eth0.20 a port of storage\n\
             set MTU of plain to 1500"
        )
    );
    let plan = scene.apply(&request([remove("plain"), remove("storage")])).await;
    assert_eq!(
        lines(&plan.steps),
        "stop libvirt network trestle-plain\n\
         undefine libvirt network trestle-plain\n\
         stop libvirt network trestle-storage\n\
         undefine libvirt network trestle-storage\n\
         delete device eth0.20\n\
         take eth0 out of what it is a port of\n\
         delete device plain\n\
         delete device storage\n\
         set MTU of eth0 to 1500\n\
         set eth0 down\n\
         switch IPv6 on on eth0"
    );
}

#[tokio::test]
async fn guests_ports_get_their_entries_before_they_stop_learning_and_lose_them_after_they_learn_again() {
    let mut scene = Scene::new(World::default().nic("eth0"));
    scene.apply(&request([net("blue").on("eth0").set()])).await;
    scene.host.change(|world| world.start_guest("vm1", "52:54:00:00:00:01", "vnet0", "blue", Some("trestle-blue")));
    let plan = scene.apply(&request([net("blue").on("eth0").managed().set()])).await;
    assert_eq!(
        lines(&plan.steps),
        "set bridge blue: vlan_filtering on\n\
         make eth0 a member of VLAN 1, untagged\n\
         make vnet0 a member of VLAN 1, untagged\n\
         set port eth0: learning off\n\
         stop libvirt network trestle-blue\n\
         define libvirt network trestle-blue on bridge blue, MAC table managed by libvirt\n\
         start libvirt network trestle-blue\n\
         set FDB entry 52:54:00:00:00:01 on port vnet0 of blue\n\
         set FDB entry 52:54:00:00:00:01 on port vnet0 of blue in VLAN 1\n\
         set port vnet0: learning off, flood off\n\
         forget what was learned on port vnet0"
    );
    for step in plan.steps.iter().filter(|planned| planned.step.to_string().contains("vnet0")) {
        assert_eq!(step.guests, ["vm1"], "{}", step.step);
    }
    let plan = scene.apply(&request([net("blue").on("eth0").set()])).await;
    assert_eq!(
        lines(&plan.steps),
        "set port vnet0: learning on, flood on\n\
         remove FDB entry 52:54:00:00:00:01 on port vnet0 of blue\n\
         remove FDB entry 52:54:00:00:00:01 on port vnet0 of blue in VLAN 1\n\
         stop libvirt network trestle-blue\n\
         define libvirt network trestle-blue on bridge blue, MAC table managed by kernel\n\
         start libvirt network trestle-blue\n\
         set port eth0: learning on\n\
         set bridge blue: vlan_filtering off"
    );
}

#[tokio::test]
async fn a_network_changes_its_nic_without_losing_its_bridge() {
    let mut scene = Scene::new(World::default().nic("eth0").nic("eth1"));
    scene.apply(&request([net("blue").on("eth0").ipv4(&["192.0.2.10/24"], None).set()])).await;
    let index = scene.link("blue").index;
    scene.apply(&request([net("blue").on("eth1").ipv4(&["192.0.2.10/24"], None).set()])).await;
    assert_eq!(scene.link("blue").index, index, "the bridge is the same device");
    assert_eq!(scene.link("eth0").master, None);
    assert_eq!(scene.link("eth1").master, Some(super::scene::if_name("blue")));
    assert_eq!(scene.link("blue").mac, scene.link("eth1").mac);
    assert_eq!(scene.addresses("blue"), ["192.0.2.10/24"]);
}
