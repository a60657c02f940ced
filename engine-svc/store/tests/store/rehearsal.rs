//! What is rehearsed leaves no trace.

use trestle_model::fleet::{Entity, EntityId, Fleet, HostRecord, Mutation};
use trestle_model::{Bandwidth, Domain, DomainInterface, DomainPersistence, DomainState, HostName, NetworkName};
use trestle_store::{Change, Store};
use uuid::Uuid;

use crate::fixture::{cluster, cluster_id, commit, everything, host, mac, one_of_each, put, record, vm, vnic, write};

fn first_host(fleet: &Fleet) -> HostName {
    fleet.hosts().keys().next().unwrap().clone()
}

/// Everything that memory holds, indexes included.
fn memory(store: &Store) -> String {
    store.read(|fleet| format!("{fleet:?}"))
}

fn furnished() -> Store {
    let store = Store::in_memory().unwrap();
    commit(&store, write(), one_of_each().into_iter().map(Mutation::Put).collect()).unwrap();
    let hosts: Vec<_> = store.read(|fleet| fleet.hosts().keys().cloned().collect());
    for host in hosts {
        store.record(&host, with_guest(record(1))).unwrap();
    }
    store
}

/// A host with a guest that has an address of the pool, which is taken for as long as it is reported.
fn with_guest(mut record: HostRecord) -> HostRecord {
    let interface = DomainInterface {
        mac: mac(5),
        attachment: "network".to_owned(),
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
    };
    let domain = Domain {
        name: "guest".to_owned(),
        uuid: Uuid::from_u128(9),
        state: DomainState::Running,
        persistence: DomainPersistence::Persistent,
        interfaces: vec![interface],
    };
    record.capabilities.as_mut().unwrap().domains = vec![domain];
    record
}

#[test]
fn a_rehearsal_sees_its_own_changes_and_nobody_else_does() {
    let store = furnished();
    let (before, revision, events) = (memory(&store), store.revision(), store.events(0, 99).unwrap());
    let told = store.rehearse(|rehearsal| {
        let mut told = rehearsal.apply(vec![Mutation::Put(cluster("new", ""))]);
        assert!(rehearsal.fleet().entity(&cluster_id("new")).is_some());
        told.extend(
            rehearsal.apply(vec![Mutation::Put(cluster("new", "other")), Mutation::Delete(cluster_id("none"))]),
        );
        told.extend(rehearsal.apply(vec![Mutation::Put(cluster("new", "other"))]));
        told.extend(rehearsal.apply(vec![Mutation::Delete(cluster_id("new"))]));
        told
    });
    let new = || cluster_id("new");
    assert_eq!(told, [(new(), Change::Created), (new(), Change::Updated), (new(), Change::Deleted)]);
    assert_eq!(memory(&store), before);
    assert_eq!((store.revision(), store.events(0, 99).unwrap()), (revision, events));
}

#[test]
fn every_kind_is_taken_back_with_its_indexes_whatever_was_done() {
    let store = furnished();
    let commanded_host = store.read(first_host);
    store.command(&commanded_host, |commanded| commanded.managed.extend([NetworkName::parse("blue").unwrap()]));
    let before = memory(&store);
    let entities = store.read(everything);
    let ids: Vec<EntityId> = entities.iter().map(Entity::id).collect();
    // Also addresses that are there twice, as a warning lets them be.
    let more = [vnic(1, "again", 1), vnic(2, "third", 1), vm(2, "other"), host("h9", "other"), cluster("other", "")];
    let mut dice = 7_u64;
    let mut roll = |sides: usize| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(dice >> 33).unwrap() % sides
    };
    for _ in 0..200 {
        store.rehearse(|rehearsal| {
            for _ in 0..roll(12) {
                let mutation = match roll(3) {
                    0 => Mutation::Delete(ids[roll(ids.len())].clone()),
                    1 => Mutation::Put(entities[roll(entities.len())].clone()),
                    _ => Mutation::Put(more[roll(more.len())].clone()),
                };
                rehearsal.apply(vec![mutation]);
            }
        });
        let after = memory(&store);
        let differs = after.bytes().zip(before.bytes()).position(|(left, right)| left != right);
        let place = differs.unwrap_or(0).saturating_sub(200);
        assert!(after == before, "is {:.400} and was {:.400}", &after[place..], &before[place..]);
    }
}

#[test]
fn a_rehearsal_that_panics_is_taken_back_and_writes_go_on() {
    let store = furnished();
    let before = memory(&store);
    let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        store.rehearse(|rehearsal| {
            let host = first_host(rehearsal.fleet());
            rehearsal.apply(vec![Mutation::Delete(EntityId::Host(host))]);
            panic!("a rule is wrong");
        })
    }));
    assert!(died.is_err());
    assert_eq!(memory(&store), before);
    put(&store, cluster("after", ""));
    assert_eq!(store.read(|fleet| fleet.clusters().len()), 2);
}
