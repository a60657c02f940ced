//! A check that takes many turns, and a write that comes amid it.

use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use trestle_model::fleet::Entity;
use trestle_store::{Decision, Store, Write};
use uuid::Uuid;

use super::*;
use crate::fixture;
use crate::write::HostStates;

/// How many turns the check would take if nobody wrote.
const TURNS: usize = 40;

/// What came of a write that began with the check.
#[derive(Default)]
struct Amid {
    writer: Option<JoinHandle<()>>,
    /// How many changes were judged without it, and how many with it.
    without: usize,
    with: usize,
}

/// The write is made before the last change is judged: then all are judged anew, with it.
#[test]
fn who_writes_amid_a_large_check_does_not_wait_for_its_end() {
    let (store, amid) = (Store::in_memory().unwrap(), Arc::<Mutex<Amid>>::default());
    let planned: Vec<Planned> = (0..TURNS).map(|number| slow(number, &store, &amid)).collect();
    let checked = check(&over(&store), &planned, &[]).unwrap();
    let mut amid = amid.lock().unwrap();
    amid.writer.take().unwrap().join().unwrap();
    assert!(checked.iter().all(|checked| checked.change == Some(Change::Created)));
    assert!(amid.without < TURNS, "the write waited for all of the check");
    assert_eq!(amid.with, TURNS, "not all are judged with the write");
    assert_eq!(store.read(|fleet| fleet.networks().len()), 1, "what is only checked stays");
}

/// A change that takes a turn of its own; with the first one the write begins.
fn slow(number: usize, store: &Store, amid: &Arc<Mutex<Amid>>) -> Planned {
    let (store, amid) = (store.clone(), Arc::clone(amid));
    let decide = move |fleet: &Fleet| {
        let mut amid = amid.lock().unwrap();
        let store = store.clone();
        amid.writer.get_or_insert_with(|| thread::spawn(move || write(&store)));
        if fleet.networks().contains_key(&fixture::network("written").id) {
            amid.with += 1;
        } else {
            amid.without += 1;
        }
        let end = Instant::now() + TURN;
        while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            thread::park_timeout(left);
        }
        Ok(Mutation::Put(Entity::Network(fixture::network(&format!("checked{number}")))))
    };
    Planned { decide: Box::new(decide), fix: Fix::Leave }
}

fn write(store: &Store) {
    let write = Write { request: None, now_ms: 1, uid: Uuid::from_u128(1), actor: "test".to_owned() };
    let mutations = vec![Mutation::Put(Entity::Network(fixture::network("written")))];
    store.transact(write, |_| Ok::<_, ()>(Decision { mutations, findings: Findings::default() })).unwrap();
}

fn over(store: &Store) -> Writer {
    let states = HostStates::new(store.clone(), Arc::default(), Duration::from_secs(60));
    Writer::new(store.clone(), Arc::default(), Arc::default(), Arc::new(states))
}
