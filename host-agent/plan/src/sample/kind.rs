//! Each kind of plan once: what tests go through that look at every place where a plan can be broken off.

use trestle_model::{BondChange, BondMode, Ipv6Config, NetworkChange, NicChange};

use super::{Change, Net, bond, net, remove, remove_bond, set_nic, set_vfs, unset_nic};

/// A kind of plan, on a host with the NICs `eth0`, `eth1` and `eth2`. A new kind is one more line in [`kinds`].
#[derive(Debug, Clone)]
pub struct Kind {
    /// What is done, in words.
    pub name: &'static str,
    /// What the host is before.
    pub before: Vec<Change>,
    /// The network on whose bridge a guest then runs, if any.
    pub guest: Option<&'static str>,
    /// What is asked for.
    pub asked: Vec<Change>,
}

/// The MAC of the guest that then runs.
pub const GUEST_MAC: &str = "52:54:00:00:00:01";

/// Returns every kind of plan.
#[rustfmt::skip]
pub fn kinds() -> Vec<Kind> {
    let addressed = || net("n0").on("eth0").ipv4(&["192.0.2.10/24", "192.0.2.11/24"], None);
    let routed = || net("n0").on("eth0").ipv4(&["192.0.2.10/24"], Some("192.0.2.1")).default_route();
    let allowed = || net("n0").on("eth0").managed().locked().allowing(GUEST_MAC, &["02:00:00:00:00:0a", "02:00:00:00:00:0b"], &[30, 31]);
    let other = || net("n1").on("eth1").ipv4(&["198.51.100.10/24"], None);
    let claiming = || net("n1").on("eth1").ipv4(&["198.51.100.10/24"], Some("198.51.100.1")).default_route();
    let isolated = |mut network: Net| { network.0.port_isolation = true; network };
    let six = |network: Net| network.ipv6(&["2001:db8:7::1/64"], None);
    let by_itself = || other().bridgeless().ipv6_by(Ipv6Config::Auto);
    let lacp = |nics: &[&str]| bond("bond0", BondMode::Lacp, nics);
    let spare = |nics: &[&str]| bond("bond0", BondMode::ActiveBackup, nics);
    let stp = |network: Net| network.bridge(|bridge| { bridge.stp = true; bridge.options.priority = Some(4096); });
    vec![
        kind("create a bridge on nothing", [], [net("n0").set()]),
        kind("create a network on a NIC, and take its address over", [], [addressed().set()]),
        kind("create a network in a VLAN", [], [six(net("n0").on("eth0").vlan(10).mtu(1400)).set()]),
        kind("create a network without a bridge", [], [six(addressed().bridgeless()).set()]),
        kind("create a network without a bridge in a VLAN", [], [other().vlan(10).bridgeless().mtu(9000).set()]),
        kind("create a managed network", [], [addressed().managed().set()]),
        kind("create a managed network in a VLAN", [], [net("n0").on("eth0").vlan(10).managed().set()]),
        kind("switch management on with a guest", [net("n0").on("eth0").set()], [net("n0").on("eth0").managed().set()]).with_guest("n0"),
        kind("switch management off with a guest", [net("n0").on("eth0").managed().set()], [net("n0").on("eth0").set()]).with_guest("n0"),
        kind("allow a guest more, and lock its port", [net("n0").on("eth0").managed().set()], [allowed().set()]).with_guest("n0"),
        kind("allow a guest less", [allowed().set()], [net("n0").on("eth0").managed().allowing(GUEST_MAC, &["02:00:00:00:00:0b"], &[31]).set()]).with_guest("n0"),
        kind("switch management off with rules of guests' ports", [allowed().set()], [net("n0").on("eth0").set()]).with_guest("n0"),
        kind("change an MTU", [addressed().set()], [addressed().mtu(4000).set()]),
        kind("change a base's MTU with its VLAN's", [other().set()], [net("n0").on("eth1").vlan(10).mtu(9000).set()]),
        kind("change the spanning tree and the priority", [addressed().set()], [stp(addressed()).set()]),
        kind("change addresses", [six(addressed()).set()], [net("n0").on("eth0").ipv4(&["192.0.2.11/24", "192.0.2.12/24"], None).set()]),
        kind("let IPv6 come by itself", [six(addressed()).set()], [addressed().ipv6_by(Ipv6Config::AutoAndDhcp).set()]),
        kind("give up what came by itself", [by_itself().set()], [six(other().bridgeless()).set()]),
        kind("remove a network to which IPv6 comes by itself", [by_itself().set()], [remove("n1")]),
        kind("change routes", [addressed().route("198.18.0.0/16", "192.0.2.1", 0).set()], [addressed().route("198.19.0.0/16", "192.0.2.2", 7).set()]),
        kind("give a network a gateway of its own", [addressed().set()], [net("n0").on("eth0").ipv4(&["192.0.2.10/24"], Some("192.0.2.1")).set()]),
        kind("take a network's own gateway away", [net("n0").on("eth0").bridgeless().ipv4(&["192.0.2.10/24"], Some("192.0.2.1")).set()], [remove("n0")]),
        kind("give a network a share and a limit", [other().set()], [net("n0").on("eth1").vlan(10).qos(1000, Some(9000), Some(500)).set()]),
        kind("change the rates of a network", [addressed().qos(1000, Some(9000), None).set()], [addressed().qos(2000, None, Some(500)).set(), net("n2").on("eth0").vlan(20).set()]),
        kind("take the rates of networks away", [addressed().qos(1000, Some(9000), None).set(), net("n2").on("eth0").vlan(20).set()], [addressed().set()]),
        kind("set rings and features of a NIC", [addressed().set()], []).with_nics([], [set_nic("eth0", None, None, &[("rx-gro", false), ("tx-tcp-segmentation", false)])]),
        kind("change the number of virtual functions", [other().set()], []).with_nics([set_vfs("eth0", 2)], [set_vfs("eth0", 3)]),
        kind("return a NIC to what it was", [other().set()], []).with_nics([set_nic("eth1", None, None, &[("rx-gro", false)])], [unset_nic("eth1")]),
        kind("set name servers", [], [addressed().ipv4(&["192.0.2.10/24"], Some("192.0.2.1")).default_route().nameserver("192.0.2.53").set()]),
        kind("set search domains", [], [addressed().ipv4(&["192.0.2.10/24"], Some("192.0.2.1")).default_route().search("lab.example").search("example.org").set()]),
        kind("move the default route", [routed().set(), other().set()], [claiming().set()]),
        kind("move a network to another NIC", [addressed().set()], [addressed().on("eth1").set()]),
        kind("tag a network", [other().set()], [other().vlan(10).set()]),
        kind("take a bridge away", [routed().set()], [routed().bridgeless().set()]),
        kind("remove a network", [routed().set()], [remove("n0")]),
        kind("remove a managed network in a VLAN", [six(net("n0").on("eth0").vlan(10).managed()).set()], [remove("n0")]),
        kind("swap the NICs of two networks", [addressed().set(), other().managed().set()], [addressed().on("eth1").set(), other().managed().on("eth0").set()]),
        kind("create a bond", [], [net("n0").on_bond("bond0").set()]).with_bonds([], [lacp(&["eth0", "eth1"]).set()]),
        kind("move a network into a bond with its NIC", [routed().set()], [routed().on_bond("bond0").set()]).with_bonds([], [spare(&["eth0", "eth1"]).set()]),
        kind("change the members of a bond", [addressed().on_bond("bond0").set()], []).with_bonds([spare(&["eth0", "eth1"]).set()], [spare(&["eth1", "eth2"]).set()]),
        kind("change the mode of a bond", [addressed().on_bond("bond0").set()], []).with_bonds([spare(&["eth0", "eth1"]).set()], [lacp(&["eth0", "eth1"]).set()]),
        kind("remove a bond", [addressed().on_bond("bond0").vlan(10).set()], [addressed().set()]).with_bonds([lacp(&["eth0", "eth1"]).set()], [remove_bond("bond0")]),
        kind("add, change and remove at once", [addressed().set(), other().vlan(20).set()], [remove("n0"), stp(other().vlan(20).mtu(1400)).set(), net("n2").on("eth0").managed().set()]),
        kind("create a network of priority tags", [], [other().vlan(0).set()]),
        kind("isolate guests' ports", [addressed().set()], [isolated(addressed()).set()]).with_guest("n0"),
    ]
}

fn kind<const BEFORE: usize, const ASKED: usize>(
    name: &'static str,
    before: [NetworkChange; BEFORE],
    asked: [NetworkChange; ASKED],
) -> Kind {
    let changes = |changes: Vec<NetworkChange>| changes.into_iter().map(Change::Network).collect();
    Kind { name, before: changes(before.into()), guest: None, asked: changes(asked.into()) }
}

impl Kind {
    fn with_bonds<const BEFORE: usize, const ASKED: usize>(
        mut self,
        before: [BondChange; BEFORE],
        asked: [BondChange; ASKED],
    ) -> Self {
        self.before.extend(before.map(Change::Bond));
        self.asked.extend(asked.map(Change::Bond));
        self
    }

    fn with_nics<const BEFORE: usize, const ASKED: usize>(
        mut self,
        before: [NicChange; BEFORE],
        asked: [NicChange; ASKED],
    ) -> Self {
        self.before.extend(before.map(Change::Nic));
        self.asked.extend(asked.map(Change::Nic));
        self
    }

    fn with_guest(self, network: &'static str) -> Self {
        Self { guest: Some(network), ..self }
    }
}
