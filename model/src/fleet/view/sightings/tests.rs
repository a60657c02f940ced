use std::collections::BTreeMap;

use uuid::Uuid;

use super::*;
use crate::fleet::{Entity, EntityId, Host, MacPool, Meta, Mutation};
use crate::{
    Bandwidth, BridgeSpec, Capabilities, DomainPersistence, DomainState, IfName, NetworkEntry, NetworkReport,
    NetworkSpec, Origin, ResourceId, Topology,
};

/// SplitMix64: a seed makes the same fleet every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }

    fn interface(&mut self) -> DomainInterface {
        let name = ["blue", "red", "green"][usize::try_from(self.roll(3)).unwrap()];
        let (bridge, network) = match self.roll(4) {
            0 => (Some(name.to_owned()), None),
            1 => (None, Some(format!("trestle-{name}"))),
            2 => (Some(name.to_owned()), Some("trestle-red".to_owned())),
            _ => (None, None),
        };
        DomainInterface { bridge, network, ..interface(self.roll(6)) }
    }

    fn domain(&mut self, number: u64) -> Domain {
        let count = self.roll(4);
        // Now and then two of one name, or of one UUID: no libvirt has them, and a report may.
        let name = format!("guest-{}", if self.roll(9) == 0 { 0 } else { number });
        let uuid = Uuid::from_u128(u128::from(if self.roll(9) == 0 { 0 } else { number }));
        domain(&name, uuid, (0..count).map(|_| self.interface()).collect())
    }

    /// Another report, in which most is as it was.
    fn report(&mut self, before: Option<&HostRecord>) -> HostRecord {
        let mut reported = before.and_then(|record| record.capabilities.clone()).unwrap_or_default();
        for _ in 0..=self.roll(3) {
            let number = self.roll(8);
            reported.domains.retain(|domain| domain.name != format!("guest-{number}"));
            if self.roll(3) > 0 {
                reported.domains.insert(0, self.domain(number));
            }
        }
        if self.roll(5) == 0 {
            reported.networks = ["blue", "red"].into_iter().filter(|_| self.roll(2) == 0).map(network).collect();
        }
        HostRecord { capabilities: (self.roll(20) > 0).then_some(reported), reported_ms: self.roll(9) }
    }
}

fn interface(number: u64) -> DomainInterface {
    DomainInterface {
        mac: MacAddr::from_number(0x5254_0000_0000 + number).unwrap(),
        attachment: "bridge".to_owned(),
        network: None,
        bridge: None,
        tap: None,
        filter: None,
        model: None,
        mtu: None,
        linked: true,
        alias: None,
        isolated: false,
        bandwidth: Bandwidth::default(),
    }
}

fn domain(name: &str, uuid: Uuid, interfaces: Vec<DomainInterface>) -> Domain {
    let (state, persistence) = (DomainState::Running, DomainPersistence::Persistent);
    Domain { name: name.to_owned(), uuid, state, persistence, interfaces }
}

fn network(name: &str) -> NetworkReport {
    let bridge = BridgeSpec { name: IfName::parse(name).unwrap(), stp: false, options: Default::default() };
    let spec = NetworkSpec {
        name: NetworkName::parse(name).unwrap(),
        southbound: None,
        vlan: None,
        mtu: crate::Mtu::ETHERNET,
        topology: Topology::Bridged(bridge),
        mac_table_manager: Default::default(),
        ipv4: crate::Ipv4Config::None,
        ipv6: crate::Ipv6Config::None,
        default_route: false,
        routes: Vec::new(),
        nameservers: Vec::new(),
        search_domains: Vec::new(),
        port_isolation: false,
        guest_ports: Default::default(),
        host_qos: None,
        custom: BTreeMap::new(),
    };
    NetworkReport::absent(NetworkEntry { spec, origin: Origin::Engine })
}

fn host(number: u64) -> HostName {
    HostName::parse(&format!("h{number}")).unwrap()
}

fn pool(first: u64, last: u64) -> MacPool {
    MacPool {
        id: ResourceId::parse("p").unwrap(),
        meta: Meta::default(),
        description: String::new(),
        ranges: vec![MacRange::new(interface(first).mac, interface(last).mac).unwrap()],
        allow_duplicates: false,
    }
}

/// What is free of a pool of ten addresses is what nobody is seen with.
fn check_free(fleet: &Fleet) {
    let id = ResourceId::parse("p").unwrap();
    let free: Vec<MacAddr> = (0..10).map(|n| interface(n).mac).filter(|mac| !fleet.sightings.has_mac(*mac)).collect();
    assert_eq!(fleet.free_macs.of(&id).collect::<Vec<_>>(), free);
    assert_eq!(fleet.free_macs(&id), u64::try_from(free.len()).unwrap());
}

#[test]
fn the_first_address_that_is_looked_at_is_free_however_many_are_reported() {
    const REPORTED: u64 = 50_000;
    let id = ResourceId::parse("p").unwrap();
    let domains = (0..REPORTED).map(|n| domain(&format!("g{n:05}"), Uuid::from_u128(n.into()), vec![interface(n)]));
    let reported = Capabilities { domains: domains.collect(), ..Capabilities::default() };
    let record = HostRecord { capabilities: Some(reported), reported_ms: 1 };
    let mut before = Fleet::default();
    before.apply(Mutation::Put(Entity::MacPool(pool(0, 65_535))));
    before.observe(host(1), record.clone());
    let mut after = Fleet::default();
    after.observe(host(1), record);
    after.apply(Mutation::Put(Entity::MacPool(pool(0, 65_535))));
    for fleet in [&mut before, &mut after] {
        let seen = fleet.free_macs.of(&id).take_while(|mac| fleet.sightings.has_mac(*mac)).count();
        assert_eq!(seen, 0, "reported addresses were looked at one by one");
        assert_eq!(fleet.free_mac(&id, &[]), Some(interface(REPORTED).mac));
        assert_eq!(fleet.free_macs(&id), 65_536 - REPORTED);
        fleet.observe(host(1), HostRecord::default());
        assert_eq!((fleet.free_mac(&id, &[]), fleet.free_macs(&id)), (Some(interface(0).mac), 65_536));
    }
}

fn from_scratch(fleet: &Fleet) -> Sightings {
    let mut sightings = Sightings::default();
    for (host, record) in &fleet.observed {
        sightings.replace(host, None, Some(record));
    }
    sightings
}

fn shown(sighting: &Sighting<'_>) -> String {
    format!("{sighting:?}")
}

/// What the indexes lead to is what a walk over all reports finds.
fn check_lookups(fleet: &Fleet) {
    let all: Vec<Sighting<'_>> = fleet.observed.keys().flat_map(|host| fleet.interfaces_of(host)).collect();
    let sorted = |mut found: Vec<String>| {
        found.sort();
        found
    };
    for number in 0..6 {
        let mac = interface(number).mac;
        let walked = all.iter().filter(|sighting| sighting.interface.mac == mac).map(shown).collect();
        assert_eq!(sorted(fleet.interfaces_with(mac).map(|s| shown(&s)).collect()), sorted(walked));
    }
    for name in ["blue", "red", "green"] {
        let name = NetworkName::parse(name).unwrap();
        let walked = all.iter().filter(|sighting| sighting.network == Some(&name)).map(shown).collect();
        assert_eq!(sorted(fleet.interfaces_on(&name).map(|s| shown(&s)).collect()), sorted(walked));
    }
    for number in 0..8 {
        let id = VmId(Uuid::from_u128(number));
        let walked = fleet
            .observed
            .iter()
            .filter_map(|(host, record)| Some((host, record.domains().iter().find(|domain| domain.uuid == id.0)?)));
        assert_eq!(fleet.domains_of(id).collect::<Vec<_>>(), walked.collect::<Vec<_>>());
    }
}

#[test]
fn the_indexes_are_what_a_look_at_all_reports_makes_whatever_came_before() {
    for seed in 0..40 {
        let (mut dice, mut fleet) = (Dice(seed), Fleet::default());
        fleet.apply(Mutation::Put(Entity::MacPool(pool(0, 9))));
        for _ in 0..60 {
            let name = host(dice.roll(3));
            match dice.roll(10) {
                0 => fleet.apply(Mutation::Delete(EntityId::Host(name))),
                1 => fleet.apply(Mutation::Put(Entity::Host(Host {
                    id: name,
                    meta: Meta::default(),
                    cluster: ResourceId::parse("main").unwrap(),
                    description: String::new(),
                    maintenance: false,
                    nic_labels: BTreeMap::new(),
                }))),
                _ => {
                    let record = dice.report(fleet.observed(&name));
                    fleet.observe(name, record);
                }
            }
            assert_eq!(fleet.sightings, from_scratch(&fleet), "seed {seed}");
            check_free(&fleet);
            check_lookups(&fleet);
        }
        for number in 0..3 {
            fleet.apply(Mutation::Delete(EntityId::Host(host(number))));
        }
        assert_eq!(fleet.sightings, Sightings::default(), "seed {seed}");
    }
}

#[test]
fn of_two_domains_with_one_uuid_the_first_stays() {
    let mut fleet = Fleet::default();
    let twice = ["a", "b"].map(|name| domain(name, Uuid::from_u128(1), vec![interface(1)]));
    let reported = Capabilities { domains: twice.into_iter().rev().collect(), ..Capabilities::default() };
    fleet.observe(host(1), HostRecord { capabilities: Some(reported), reported_ms: 1 });
    let names: Vec<_> = fleet.domains_of(VmId(Uuid::from_u128(1))).map(|(_, domain)| domain.name.as_str()).collect();
    assert_eq!(names, ["a"]);
}

#[test]
fn a_bridge_counts_for_more_than_the_libvirt_network_beside_it() {
    let mut fleet = Fleet::default();
    let wired = [
        DomainInterface { bridge: Some("blue".to_owned()), network: Some("trestle-red".to_owned()), ..interface(1) },
        DomainInterface { network: Some("trestle-red".to_owned()), ..interface(2) },
        DomainInterface { bridge: Some("br0".to_owned()), ..interface(3) },
        DomainInterface { network: Some("default".to_owned()), ..interface(4) },
    ];
    let reported = Capabilities {
        networks: ["blue", "red"].map(network).into(),
        domains: vec![domain("a", Uuid::from_u128(1), wired.into())],
        ..Capabilities::default()
    };
    fleet.observe(host(1), HostRecord { capabilities: Some(reported), reported_ms: 1 });
    let name = host(1);
    let networks: Vec<_> =
        fleet.interfaces_of(&name).map(|sighting| sighting.network.map(ToString::to_string)).collect();
    assert_eq!(networks, [Some("blue".to_owned()), Some("red".to_owned()), None, None]);
}
