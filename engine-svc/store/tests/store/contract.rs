//! What every back end holds; each fact is tried on each of them.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::mpsc;
use std::thread;

use tempfile::TempDir;
use trestle_model::fleet::{Commanded, Entity, EntityId, Fleet, Mutation};
use trestle_model::{Code, Finding, Findings, NetworkName};
use trestle_store::{
    Change, Committed, Decision, Event, Order, RequestIdReused, Store, TransactError, Transition, Write,
};
use uuid::Uuid;

use crate::fixture::{
    NOW_MS, UID, cluster, cluster_id, commit, decision, delete, everything, host, host_name, id, mac, mac_pool,
    one_of_each, put, record, requested, vnic, write,
};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// A store, and what has to outlive it.
struct Bench {
    store: Store,
    _directory: Option<TempDir>,
}

fn in_memory() -> Bench {
    Bench { store: Store::in_memory().unwrap(), _directory: None }
}

fn on_disk() -> Bench {
    let directory = tempfile::tempdir().unwrap();
    Bench { store: Store::open(&directory.path().join("engine.redb")).unwrap(), _directory: Some(directory) }
}

macro_rules! contract {
    ($($fact:ident)*) => {
        mod memory {
            $(#[test] fn $fact() { super::$fact(&super::in_memory().store); })*
        }
        mod disk {
            $(#[test] fn $fact() { super::$fact(&super::on_disk().store); })*
        }
    };
}

contract! {
    starts_empty
    keeps_every_kind_of_entity
    fills_in_the_common_part
    keeps_uid_and_creation_over_an_update_and_gives_new_ones_after_a_removal
    gives_each_created_entity_a_uid_of_its_own
    putting_the_same_again_changes_nothing
    a_changed_label_is_a_change
    removing_what_is_not_there_changes_nothing
    later_mutations_of_a_write_see_the_earlier
    a_refused_decision_changes_nothing
    a_panicking_decision_changes_nothing
    who_notes_a_command_sees_what_was_decided_without_it
    a_repeated_request_gets_the_first_answer
    a_request_that_changed_nothing_is_remembered_too
    a_request_id_for_another_request_is_refused
    answers_are_remembered_for_a_day
    tells_each_revision_to_watchers
    audits_who_changed_what_and_acknowledged
    audits_the_request_and_each_entity_before_and_after
    pages_through_events
    reads_events_of_a_range_in_either_order_until_told_to_stop
    finds_the_first_event_of_a_time
    an_events_digest_is_its_own_for_ever
    keeps_reports_beside_the_desired_state
    ignores_reports_of_unknown_hosts
    forgets_a_removed_hosts_report
    concurrent_writers_lose_nothing
    takes_macs_of_vnics_from_pools_and_gives_them_back
}

fn starts_empty(store: &Store) {
    assert_eq!((store.revision(), store.fencing_epoch()), (0, 1));
    assert_eq!(store.read(everything), []);
    assert_eq!(store.events(0, 10).unwrap(), []);
}

fn keeps_every_kind_of_entity(store: &Store) {
    let mutations = one_of_each().into_iter().map(Mutation::Put).collect();
    let committed = commit(store, write(), mutations).unwrap();
    assert_eq!((committed.revision, committed.replayed), (1, false));
    assert_eq!(committed.entities.len(), 10);
    assert_eq!(store.read(everything), committed.entities);
    for id in committed.entities.iter().rev().map(Entity::id) {
        delete(store, id);
    }
    assert_eq!(store.read(everything), []);
    assert_eq!(store.revision(), 11);
}

fn takes_macs_of_vnics_from_pools_and_gives_them_back(store: &Store) {
    let lowest = || store.read(|fleet| (fleet.free_mac(&id("p"), &[]), fleet.free_macs(&id("p"))));
    put(store, vnic(1, "eth0", 0));
    put(store, mac_pool("p"));
    assert_eq!(lowest(), (Some(mac(1)), 255));
    put(store, vnic(1, "eth1", 1));
    assert_eq!(lowest(), (Some(mac(2)), 254));
    delete(store, vnic(1, "eth0", 0).id());
    assert_eq!(lowest(), (Some(mac(0)), 255));
    put(store, vnic(1, "eth1", 7));
    assert_eq!(lowest(), (Some(mac(0)), 255));
    delete(store, vnic(1, "eth1", 7).id());
    assert_eq!(lowest(), (Some(mac(0)), 256));
}

fn fills_in_the_common_part(store: &Store) {
    let mut given = cluster("main", "");
    given.meta_mut().uid = Uuid::from_u128(99);
    given.meta_mut().revision = 99;
    given.meta_mut().labels.insert("rack".to_owned(), "7".to_owned());
    let committed = put(store, given);
    let meta = committed.entities[0].meta();
    assert_eq!((meta.uid, meta.revision, meta.created_ms, meta.updated_ms), (UID, 1, NOW_MS, NOW_MS));
    assert_eq!(meta.labels["rack"], "7");
}

fn keeps_uid_and_creation_over_an_update_and_gives_new_ones_after_a_removal(store: &Store) {
    put(store, cluster("main", "first"));
    let later = |uid| Write { now_ms: NOW_MS + 5, uid: Uuid::from_u128(uid), ..write() };
    let updated = commit(store, later(7), vec![Mutation::Put(cluster("main", "second"))]).unwrap();
    let meta = updated.entities[0].meta();
    assert_eq!((meta.uid, meta.revision, meta.created_ms, meta.updated_ms), (UID, 2, NOW_MS, NOW_MS + 5));
    delete(store, cluster_id("main"));
    let again = commit(store, later(8), vec![Mutation::Put(cluster("main", "second"))]).unwrap();
    let meta = again.entities[0].meta();
    assert_eq!((meta.uid, meta.revision, meta.created_ms), (Uuid::from_u128(8), 4, NOW_MS + 5));
}

fn gives_each_created_entity_a_uid_of_its_own(store: &Store) {
    let mutations = vec![Mutation::Put(cluster("a", "")), Mutation::Put(cluster("b", ""))];
    let committed = commit(store, write(), mutations).unwrap();
    let uids: Vec<u128> = committed.entities.iter().map(|entity| entity.meta().uid.as_u128()).collect();
    assert_eq!(uids, [UID.as_u128(), UID.as_u128() + 1]);
}

fn putting_the_same_again_changes_nothing(store: &Store) {
    let first = put(store, cluster("main", ""));
    let seen = store.subscribe();
    let again =
        commit(store, Write { now_ms: NOW_MS + 5, ..write() }, vec![Mutation::Put(cluster("main", ""))]).unwrap();
    assert_eq!(again, first);
    assert_eq!(store.revision(), 1);
    assert!(!seen.has_changed().unwrap());
    assert_eq!(store.events(0, 10).unwrap().len(), 1);
}

fn a_changed_label_is_a_change(store: &Store) {
    put(store, cluster("main", ""));
    let mut labelled = cluster("main", "");
    labelled.meta_mut().labels.insert("rack".to_owned(), "7".to_owned());
    assert_eq!(put(store, labelled).revision, 2);
    assert_eq!(put(store, cluster("main", "")).revision, 3);
}

fn removing_what_is_not_there_changes_nothing(store: &Store) {
    assert_eq!(delete(store, cluster_id("main")).revision, 0);
    assert_eq!(store.events(0, 10).unwrap(), []);
}

fn later_mutations_of_a_write_see_the_earlier(store: &Store) {
    put(store, cluster("main", "first"));
    let mutations = vec![
        Mutation::Delete(cluster_id("main")),
        Mutation::Put(cluster("main", "second")),
        Mutation::Put(cluster("main", "third")),
        Mutation::Put(cluster("main", "third")),
    ];
    let second_uid = Uuid::from_u128(7);
    let committed = commit(store, Write { uid: second_uid, ..write() }, mutations).unwrap();
    assert_eq!(committed.entities.len(), 3);
    let kept = store.read(|fleet| fleet.entity(&cluster_id("main"))).unwrap();
    assert_eq!(Some(&kept), committed.entities.last());
    assert_eq!((kept.meta().uid, kept.meta().revision), (second_uid, 2));
    let changes: Vec<Change> = store.events(1, 10).unwrap()[0].mutations.iter().map(|(_, change)| *change).collect();
    assert_eq!(changes, [Change::Deleted, Change::Created, Change::Updated]);
}

fn a_refused_decision_changes_nothing(store: &Store) {
    let refused = store.transact(requested(1, "d", NOW_MS), |_| Err("no"));
    assert!(matches!(refused, Err(TransactError::Decided("no"))), "{refused:?}");
    assert_eq!(store.revision(), 0);
    assert_eq!(store.replay(Uuid::from_u128(1), "d"), Ok(None));
}

fn a_panicking_decision_changes_nothing(store: &Store) {
    let writer = store.clone();
    let panicked = thread::spawn(move || {
        let _ = writer.transact::<Infallible>(write(), |_| panic!("on purpose"));
    });
    assert!(panicked.join().is_err());
    assert_eq!(put(store, cluster("main", "")).revision, 1);
}

fn who_notes_a_command_sees_what_was_decided_without_it(store: &Store) {
    put(store, host("h1", "main"));
    let mut second_look = None;
    let decide = |fleet: &Fleet| {
        assert_eq!(fleet.commanded(&host_name("h1")), &Commanded::default());
        let (reconciler, (begin, begun)) = (store.clone(), mpsc::channel());
        second_look = Some(thread::spawn(move || {
            begin.send(()).unwrap();
            reconciler.command(&host_name("h1"), |commanded| commanded.managed.extend([blue()]));
            reconciler.read(|fleet| fleet.entity(&cluster_id("main")).is_some())
        }));
        begun.recv().unwrap();
        let mutations = vec![Mutation::Put(cluster("main", ""))];
        Ok::<_, Infallible>(Decision { mutations, findings: Findings::default() })
    };
    store.transact(write(), decide).unwrap();
    let sees = second_look.unwrap().join().unwrap();
    assert!(sees, "neither the decision nor the second look sees the other");
    assert_eq!(store.read(|fleet| fleet.commanded(&host_name("h1")).managed.clone()), [blue()].into());
}

fn blue() -> NetworkName {
    NetworkName::parse("blue").unwrap()
}

fn a_repeated_request_gets_the_first_answer(store: &Store) {
    let findings = Findings(vec![Finding::info(Code::HostUnsupported, "f", "m")]);
    let decide = |description: &str| {
        let mutations = vec![Mutation::Put(cluster("main", description))];
        Ok::<_, Infallible>(Decision { mutations, findings: findings.clone() })
    };
    let first = store.transact(requested(1, "d", NOW_MS), |_| decide("first")).unwrap();
    put(store, cluster("main", "second"));
    let again = store.transact(requested(1, "d", NOW_MS), |_| -> Result<Decision, Infallible> {
        panic!("a remembered request is decided again")
    });
    let expected = Committed { replayed: true, ..first };
    assert_eq!(again.unwrap(), expected);
    assert_eq!(store.replay(Uuid::from_u128(1), "d"), Ok(Some(expected)));
    assert_eq!(store.replay(Uuid::from_u128(2), "d"), Ok(None));
    assert_eq!(store.revision(), 2);
}

fn a_request_that_changed_nothing_is_remembered_too(store: &Store) {
    let first = put(store, cluster("main", "first"));
    let mutations = || vec![Mutation::Put(cluster("main", "first"))];
    assert_eq!(commit(store, requested(1, "d", NOW_MS), mutations()).unwrap().revision, 1);
    put(store, cluster("main", "second"));
    let again = commit(store, requested(1, "d", NOW_MS), mutations()).unwrap();
    assert_eq!(again, Committed { replayed: true, ..first });
    assert_eq!(store.revision(), 2);
}

fn a_request_id_for_another_request_is_refused(store: &Store) {
    commit(store, requested(1, "d", NOW_MS), vec![Mutation::Put(cluster("main", ""))]).unwrap();
    let reused = commit(store, requested(1, "other", NOW_MS), vec![Mutation::Put(cluster("main", "x"))]);
    assert!(matches!(reused, Err(TransactError::RequestIdReused)), "{reused:?}");
    assert_eq!(store.replay(Uuid::from_u128(1), "other"), Err(RequestIdReused));
    assert_eq!(store.revision(), 1);
}

fn answers_are_remembered_for_a_day(store: &Store) {
    let put = |id: u128, now_ms: u64| {
        let mutation = Mutation::Put(cluster(&format!("c{id}"), ""));
        commit(store, requested(id, "d", now_ms), vec![mutation]).unwrap();
    };
    let is_remembered = |id: u128| store.replay(Uuid::from_u128(id), "d").unwrap().is_some();
    put(1, NOW_MS);
    put(2, NOW_MS + DAY_MS);
    assert!(is_remembered(1) && is_remembered(2));
    put(3, NOW_MS + DAY_MS + 1);
    assert!(!is_remembered(1) && is_remembered(2) && is_remembered(3));
}

fn tells_each_revision_to_watchers(store: &Store) {
    let mut seen = store.subscribe();
    put(store, cluster("main", ""));
    assert!(seen.has_changed().unwrap());
    assert_eq!(*seen.borrow_and_update(), 1);
    store.record(&host_name("h1"), record(1)).unwrap();
    assert!(!seen.has_changed().unwrap());
}

fn audits_who_changed_what_and_acknowledged(store: &Store) {
    let findings = Findings(vec![
        Finding::warning(Code::MgmtBridgeChange, "f", "m"),
        Finding::warning(Code::HostUnsupported, "f", "m"),
        Finding::warning(Code::HostUnsupported, "g", "m"),
        Finding::info(Code::NoEffectNotBridged, "f", "m"),
    ]);
    let mutations = vec![Mutation::Put(cluster("main", ""))];
    store.transact(write(), |_| Ok::<_, Infallible>(Decision { mutations, findings })).unwrap();
    let expected = Event {
        revision: 1,
        at_ms: NOW_MS,
        actor: "ann".to_owned(),
        mutations: vec![(cluster_id("main"), Change::Created)],
        acknowledged: vec![Code::HostUnsupported, Code::MgmtBridgeChange],
        told: vec![Code::NoEffectNotBridged],
        request_id: None,
        transitions: vec![Transition { before: None, after: store.read(|fleet| fleet.entity(&cluster_id("main"))) }],
    };
    assert_eq!(store.events(0, 10).unwrap(), [expected]);
}

fn audits_the_request_and_each_entity_before_and_after(store: &Store) {
    let first = put(store, cluster("main", "first")).entities.remove(0);
    let both = vec![Mutation::Put(cluster("main", "second")), Mutation::Put(cluster("other", ""))];
    let written = commit(store, requested(7, "d", NOW_MS), both).unwrap().entities;
    delete(store, cluster_id("main"));
    let transitions: Vec<_> = store.events(0, 10).unwrap().into_iter().map(|event| event.transitions).collect();
    let change =
        |before: Option<&Entity>, after: Option<&Entity>| Transition { before: before.cloned(), after: after.cloned() };
    let expected = [
        vec![change(None, Some(&first))],
        vec![change(Some(&first), Some(&written[0])), change(None, Some(&written[1]))],
        vec![change(Some(&written[0]), None)],
    ];
    assert_eq!(transitions, expected);
    let ids: Vec<_> = store.events(0, 10).unwrap().into_iter().map(|event| event.request_id).collect();
    assert_eq!(ids, [None, Some(Uuid::from_u128(7)), None]);
}

fn reads_events_of_a_range_in_either_order_until_told_to_stop(store: &Store) {
    for name in ["a", "b", "c", "d", "e"] {
        put(store, cluster(name, ""));
    }
    let check = |revisions, order, most, expected: &[u64]| {
        let mut seen = Vec::new();
        let visited = store.visit_events(revisions, order, |event| {
            seen.push(event.revision);
            // A visitor may write: it holds nobody up.
            put(store, cluster("z", &format!("{}", seen.len())));
            if seen.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        visited.unwrap();
        assert_eq!(seen, expected);
    };
    check(2..=4, Order::OldestFirst, 9, &[2, 3, 4]);
    check(2..=4, Order::NewestFirst, 9, &[4, 3, 2]);
    check(1..=5, Order::NewestFirst, 2, &[5, 4]);
    check(u64::MAX..=u64::MAX, Order::OldestFirst, 9, &[]);
}

fn finds_the_first_event_of_a_time(store: &Store) {
    assert_eq!(store.first_event_since(0).unwrap(), None);
    for (name, now_ms) in [("a", 10), ("b", 20), ("c", 20), ("d", 30)] {
        commit(store, Write { now_ms, ..write() }, vec![Mutation::Put(cluster(name, ""))]).unwrap();
    }
    for (at_ms, expected) in [(0, Some(1)), (10, Some(1)), (11, Some(2)), (20, Some(2)), (30, Some(4)), (31, None)] {
        assert_eq!(store.first_event_since(at_ms).unwrap(), expected, "{at_ms}");
    }
}

fn pages_through_events(store: &Store) {
    for name in ["a", "b", "c"] {
        put(store, cluster(name, ""));
    }
    let revisions = |after, limit| -> Vec<u64> {
        store.events(after, limit).unwrap().into_iter().map(|event| event.revision).collect()
    };
    assert_eq!(revisions(0, 2), [1, 2]);
    assert_eq!(revisions(2, 2), [3]);
    assert!(revisions(3, 2).is_empty() && revisions(u64::MAX, 2).is_empty());
}

fn an_events_digest_is_its_own_for_ever(store: &Store) {
    let mut digests = BTreeSet::new();
    for name in ["a", "b", "c"] {
        let revision = put(store, cluster(name, "")).revision;
        digests.insert(store.event_digest(revision).unwrap().unwrap());
    }
    assert_eq!(digests.len(), 3);
    let again: BTreeSet<_> = (1..=3).map(|revision| store.event_digest(revision).unwrap().unwrap()).collect();
    assert_eq!((again, store.event_digest(4).unwrap()), (digests, None));
}

fn keeps_reports_beside_the_desired_state(store: &Store) {
    put(store, host("h1", "main"));
    store.record(&host_name("h1"), record(1)).unwrap();
    store.record(&host_name("h1"), record(2)).unwrap();
    assert_eq!(store.read(|fleet| fleet.observed(&host_name("h1")).cloned()), Some(record(2)));
    assert_eq!(store.revision(), 1);
}

fn ignores_reports_of_unknown_hosts(store: &Store) {
    store.record(&host_name("h1"), record(1)).unwrap();
    assert_eq!(store.read(|fleet| fleet.observed(&host_name("h1")).cloned()), None);
}

fn forgets_a_removed_hosts_report(store: &Store) {
    put(store, host("h1", "main"));
    store.record(&host_name("h1"), record(1)).unwrap();
    delete(store, EntityId::Host(host_name("h1")));
    put(store, host("h1", "main"));
    assert_eq!(store.read(|fleet| fleet.observed(&host_name("h1")).cloned()), None);
}

fn concurrent_writers_lose_nothing(store: &Store) {
    const WRITERS: usize = 4;
    const WRITES: usize = 25;
    put(store, cluster("counter", "0"));
    let count = |fleet: &trestle_model::fleet::Fleet| match fleet.entity(&cluster_id("counter")) {
        Some(Entity::Cluster(cluster)) => cluster.description.parse::<usize>().unwrap(),
        other => panic!("{other:?}"),
    };
    thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                for _ in 0..WRITES {
                    let added = store.transact(write(), |fleet| {
                        let next = (count(fleet) + 1).to_string();
                        Ok::<_, Infallible>(decision(vec![Mutation::Put(cluster("counter", &next))]))
                    });
                    added.unwrap();
                }
            });
        }
        scope.spawn(|| {
            let mut last = 0;
            while last < WRITERS * WRITES {
                let now = store.read(count);
                assert!(now >= last, "{now} was read after {last}");
                last = now;
                thread::yield_now();
            }
        });
    });
    assert_eq!(store.read(count), WRITERS * WRITES);
    let revisions: Vec<u64> = store.events(0, usize::MAX).unwrap().into_iter().map(|event| event.revision).collect();
    assert_eq!(revisions, (1..=101).collect::<Vec<u64>>());
}
