//! What is on the disk, and what becomes of a file that is not as it was.

use std::error::Error;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::{Database, TableDefinition};
use tempfile::TempDir;
use trestle_model::fleet::{Fleet, Mutation, NetworkAttachment};
use trestle_model::{IfName, Southbound};
use trestle_store::{OpenError, Store};
use uuid::Uuid;

use crate::fixture::{NOW_MS, cluster, commit, everything, host_name, one_of_each, put, record, requested, write};

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep/er/engine.redb");
    (directory, path)
}

/// A store with something of everything, closed again.
fn filled(path: &Path) -> Fleet {
    let store = Store::open(path).unwrap();
    let mutations = one_of_each().into_iter().map(Mutation::Put).collect();
    commit(&store, requested(1, "d", NOW_MS), mutations).unwrap();
    store.record(&host_name("h1"), record(1)).unwrap();
    store.read(Clone::clone)
}

fn refusal(path: &Path) -> (OpenError, String) {
    let error = Store::open(path).expect_err("a store was opened that should not be");
    let text = error.to_string();
    assert!(text.contains(path.to_str().unwrap()), "{text} does not name the file");
    (error, text)
}

#[test]
fn everything_is_there_again_after_a_reopening() {
    let (_directory, path) = place();
    let before = filled(&path);
    let store = Store::open(&path).unwrap();
    assert_eq!(store.read(everything), everything(&before));
    assert_eq!(store.read(|fleet| fleet.observed(&host_name("h1")).cloned()), Some(record(1)));
    assert_eq!((store.revision(), store.fencing_epoch()), (1, 2));
    assert_eq!(store.events(0, 10).unwrap().len(), 1);
    let answer = store.replay(Uuid::from_u128(1), "d").unwrap().unwrap();
    assert_eq!(answer.entities, everything(&before));
    assert_eq!(put(&store, cluster("other", "")).revision, 2);
}

#[test]
fn a_store_of_before_bonds_keeps_its_nics() {
    let stored = |southbound: &str| {
        let text = format!(
            r#"{{"host": "h1", "network": "blue", "meta": {{"uid": "00000000-0000-0000-0000-000000000000",
            "revision": 1, "created_ms": 1, "updated_ms": 1, "labels": {{}}}}, {southbound},
            "ipv4": "none", "ipv6": "none", "default_route": false}}"#
        );
        serde_json::from_str::<NetworkAttachment>(&text).map(|attachment| attachment.southbound)
    };
    let eth0 = IfName::parse("eth0").unwrap();
    assert_eq!(stored(r#""nic": "eth0""#).unwrap(), Some(Southbound::Nic(eth0.clone())));
    assert_eq!(stored(r#""nic": null"#).unwrap(), None);
    assert_eq!(stored(r#""southbound": {"bond": "eth0"}"#).unwrap(), Some(Southbound::Bond(eth0)));
    assert!(stored(r#""southbound": {"bond": ""}"#).is_err());
}

#[test]
fn each_opening_has_a_higher_fencing_epoch() {
    let (_directory, path) = place();
    let epochs: Vec<u64> = (0..3).map(|_| Store::open(&path).unwrap().fencing_epoch()).collect();
    assert_eq!(epochs, [1, 2, 3]);
}

#[test]
fn a_second_opening_is_refused_while_the_first_lives() {
    let (_directory, path) = place();
    let store = Store::open(&path).unwrap();
    let (error, text) = refusal(&path);
    assert!(matches!(error, OpenError::Locked { .. }), "{error:?}");
    assert!(text.contains("stop that engine"), "{text}");
    drop(store);
    assert_eq!(Store::open(&path).unwrap().fencing_epoch(), 2);
}

#[test]
fn what_is_no_store_is_refused_and_left_as_it_is() {
    let (directory, _) = place();
    for (name, content) in [("text", &b"# not a store\n"[..]), ("zeros", &[0; 65_536]), ("ones", &[0xff; 65_536])] {
        let path = directory.path().join(name);
        fs::write(&path, content).unwrap();
        let (error, text) = refusal(&path);
        assert!(matches!(error, OpenError::Damaged { .. }), "{name}: {error:?}");
        assert!(text.contains("restore it from a backup"), "{text}");
        assert_eq!(fs::read(&path).unwrap(), content, "{name}");
    }
}

#[test]
fn another_programs_database_is_refused() {
    let (directory, _) = place();
    let path = directory.path().join("other.redb");
    let transaction = Database::create(&path).unwrap().begin_write().unwrap();
    transaction.open_table(TableDefinition::<u64, u64>::new("theirs")).unwrap();
    transaction.commit().unwrap();
    let (error, _) = refusal(&path);
    assert_eq!(error.source().unwrap().to_string(), "it is a database of something else");
}

#[test]
fn a_newer_versions_file_is_refused() {
    let (_directory, path) = place();
    filled(&path);
    let transaction = Database::create(&path).unwrap().begin_write().unwrap();
    transaction.open_table(TableDefinition::<&str, u64>::new("state")).unwrap().insert("format", 2).unwrap();
    transaction.commit().unwrap();
    let (error, text) = refusal(&path);
    assert!(matches!(error, OpenError::Newer { found: 2, known: 1, .. }), "{error:?}");
    assert!(text.contains("run the version that wrote it"), "{text}");
}

#[test]
fn a_value_that_does_not_decode_is_named() {
    let (_directory, path) = place();
    filled(&path);
    let transaction = Database::create(&path).unwrap().begin_write().unwrap();
    let hosts = TableDefinition::<&str, &[u8]>::new("hosts");
    transaction.open_table(hosts).unwrap().insert("hosts/h1", &b"\x01{}"[..]).unwrap();
    transaction.commit().unwrap();
    let (error, _) = refusal(&path);
    assert_eq!(error.source().unwrap().to_string(), "hosts/h1 does not decode");
}

/// Each damage is either repaired without loss, from the redundant part of the file, or refused; never a panic, and
/// never another fleet.
#[test]
fn a_damaged_file_is_never_read_as_another_fleet() {
    let (directory, path) = place();
    let before = everything(&filled(&path));
    let sound = fs::read(&path).unwrap();
    let mut refused = 0;
    let step = 509;
    let flips = (0..sound.len()).step_by(step).map(|at| {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x5a;
        (format!("byte {at} flipped"), bytes)
    });
    let cuts = (1..8).map(|eighths| {
        let length = sound.len() * eighths / 8;
        (format!("cut to {length} bytes"), sound[..length].to_vec())
    });
    let path = directory.path().join("damaged.redb");
    for (damage, bytes) in flips.chain(cuts) {
        fs::write(&path, bytes).unwrap();
        match catch_unwind(AssertUnwindSafe(|| Store::open(&path))) {
            Ok(Ok(store)) => assert_eq!(store.read(everything), before, "{damage}"),
            Ok(Err(error)) => {
                assert!(matches!(error, OpenError::Damaged { .. } | OpenError::Io { .. }), "{damage}: {error:?}");
                refused += 1;
            }
            Err(_) => panic!("{damage}: opening panicked"),
        }
    }
    assert!(refused > 7, "only {refused} damages were found");
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let (directory, _) = place();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Store::open(&file.join("engine.redb")).expect_err("a file is no directory");
    assert!(matches!(error, OpenError::Directory { .. }), "{error:?}");
}

#[test]
fn a_report_that_says_nothing_new_is_not_written() {
    let (_directory, path) = place();
    filled(&path);
    let store = Store::open(&path).unwrap();
    let length = || fs::metadata(&path).unwrap().modified().unwrap();
    let before = length();
    let later = trestle_model::fleet::HostRecord { reported_ms: NOW_MS + 5, ..record(1) };
    store.record(&host_name("h1"), later.clone()).unwrap();
    assert_eq!(length(), before);
    assert_eq!(store.read(|fleet| fleet.observed(&host_name("h1")).cloned()), Some(later));
    commit(&store, write(), vec![]).unwrap();
    assert_eq!(length(), before);
}
