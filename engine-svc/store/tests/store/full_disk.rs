//! A full disk: writes fail with a reason, nothing changes, and space makes the store whole again.

use std::env;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::Command;

use trestle_model::NetworkName;
use trestle_model::fleet::Mutation;
use trestle_store::{Store, StoreError, TransactError};

use crate::fixture::{cluster, commit, everything, host, host_name, put, record, write};

const DIRECTORY_OF_CHILD: &str = "TRESTLE_STORE_TEST_SMALL_DISK";
const NAME: &str = "full_disk::a_full_disk_refuses_writes_and_changes_nothing";

/// Runs twice: as the test, and as its child on a small disk in a mount namespace of its own.
#[test]
fn a_full_disk_refuses_writes_and_changes_nothing() {
    if let Some(directory) = env::var_os(DIRECTORY_OF_CHILD) {
        return fill(Path::new(&directory));
    }
    let directory = tempfile::tempdir().unwrap();
    let mount = "mount -t tmpfs -o size=4m none \"$0\"";
    let alone = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-ec", script]).arg(directory.path()).arg(env::current_exe().unwrap());
        command
    };
    match alone(mount).output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => return eprintln!("skipped: no small disk: {}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => return eprintln!("skipped: no small disk: {error}"),
    }
    let output = alone(&format!("{mount}; exec \"$1\" --exact {NAME} --nocapture"))
        .env(DIRECTORY_OF_CHILD, directory.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn fill(directory: &Path) {
    let path = directory.join("engine.redb");
    let store = Store::open(&path).unwrap();
    put(&store, host("h1", "main"));
    let blue = NetworkName::parse("blue").unwrap();
    for known_or_gone in ["h1", "h2"] {
        store.command(&host_name(known_or_gone), |commanded| commanded.managed.extend([blue.clone()]));
    }
    let ballast = directory.join("ballast");
    fs::write(&ballast, vec![0; 2 << 20]).unwrap();
    let seen = store.subscribe();

    let description = "x".repeat(64 << 10);
    let mut before = store.read(everything);
    let mut number = 0;
    let failure = loop {
        number += 1;
        assert!(number < 1000, "the disk never fills");
        match commit(&store, write(), vec![Mutation::Put(cluster(&format!("c{number}"), &description))]) {
            Ok(_) => before = store.read(everything),
            Err(failure) => break failure,
        }
    };
    assert!(matches!(&failure, TransactError::Store(StoreError::NotWritten(_))), "{failure:?}");
    assert!(chain(&failure).contains("No space left"), "{}", chain(&failure));
    assert_eq!(store.read(everything), before);
    assert_eq!(store.revision(), number);
    assert_eq!(*seen.borrow(), number);
    // Larger than the write that found no room: an event has the entity once more.
    assert!(store.record(&host_name("h1"), record_of(&description.repeat(4))).is_err());
    assert_eq!(store.read(|fleet| fleet.observed(&host_name("h1")).cloned()), None);

    fs::remove_file(&ballast).unwrap();
    let committed = commit(&store, write(), vec![Mutation::Put(cluster("after", &description))]).unwrap();
    assert_eq!(committed.revision, number + 1);
    // The file was opened again; what hosts are just being told was never in it.
    let managing = store.read(|fleet| fleet.hosts_managing(&blue).into_iter().cloned().collect::<Vec<_>>());
    assert_eq!(managing, [host_name("h1")]);
    store.record(&host_name("h1"), record(1)).unwrap();
    before = store.read(everything);
    drop(store);
    assert_eq!(Store::open(&path).unwrap().read(everything), before);
}

fn record_of(text: &str) -> trestle_model::fleet::HostRecord {
    let mut record = record(1);
    if let Some(capabilities) = &mut record.capabilities {
        capabilities.libvirt.fault = text.to_owned();
    }
    record
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
