//! What is remembered of MACs that guests sent from and were not given.

use trestle_model::{FdbEntry, FdbState, ForeignMac, MacAddr};
use trestle_plan::Sighting;

use super::super::sightings::Sightings;
use super::*;

fn mac(number: u8) -> MacAddr {
    MacAddr::new([2, 0, 0, 0, 0, number])
}

fn of(network: &str, number: u8) -> Sighting {
    let (network, port) = (name(network), device("vnet1"));
    Sighting { network, port, mac: mac(number), vlan: None, guest: "vm1".to_owned() }
}

#[tokio::test(start_paused = true)]
async fn a_foreign_mac_is_told_with_its_guest_and_stays_told_when_it_is_gone() {
    let stage = Stage::new(DriftKind::ALL).await;
    stage.bench.apply(set(network("green", "eth0"))).await;
    let learned = FdbEntry {
        bridge: device("green"),
        port: device("vnet1"),
        mac: mac(9),
        vlan: None,
        state: FdbState::Learned,
        sticky: false,
    };
    stage.change(|world| {
        world.start_guest("vm1", "52:54:00:00:00:01", "vnet1", "green", Some("trestle-green"));
        world.learn(learned);
    });
    let until = async |expected: fn(&ForeignMac) -> bool| -> ForeignMac {
        for _ in 0..100 {
            let report = stage.bench.capabilities().await;
            let green = report.networks.into_iter().find(|network| network.configured.spec.name == name("green"));
            if let Some(seen) = green.unwrap().foreign_macs.into_iter().find(expected) {
                return seen;
            }
            tokio::time::sleep(SETTLE).await;
        }
        panic!("not told");
    };
    let seen = until(|seen| seen.gone_ms.is_none()).await;
    assert_eq!((seen.port, seen.guest.as_str(), seen.mac, seen.vlan), (device("vnet1"), "vm1", mac(9), None));
    stage.change(|world| world.flush_entries("green"));
    let gone = until(|seen| seen.gone_ms.is_some()).await;
    assert_eq!(gone.first_seen_ms, seen.first_seen_ms);
    assert!(gone.gone_ms >= Some(seen.first_seen_ms));
}

#[tokio::test(start_paused = true)]
async fn what_has_been_gone_for_the_longest_makes_room() {
    let mut sightings = Sightings::default();
    let green = |range: std::ops::Range<u8>| range.map(|number| of("green", number));
    let numbers = |sightings: &Sightings| -> Vec<u8> {
        sightings.of(&name("green")).iter().map(|seen| seen.mac.octets()[5]).collect()
    };
    sightings.note(green(0..64).collect(), 1);
    // All are there still: one on top is not kept, and another network has room of its own.
    sightings.note(green(0..65).chain([of("red", 1)]).collect(), 2);
    assert_eq!(numbers(&sightings), Vec::from_iter(0..64));
    assert_eq!(sightings.of(&name("red")).len(), 1);
    sightings.note(green(0..64).filter(|seen| seen.mac != mac(7)).collect(), 3);
    sightings.note(green(8..64).collect(), 4);
    sightings.note(green(8..65).collect(), 5);
    assert_eq!(numbers(&sightings), Vec::from_iter((0..65).filter(|number| *number != 7)));
    let gone: Vec<_> = sightings.of(&name("green")).iter().filter_map(|seen| seen.gone_ms).collect();
    assert_eq!(gone, [4; 7]);
}
