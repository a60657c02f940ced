//! A killed process: what was acknowledged is on the disk.

use std::env;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use trestle_model::fleet::Mutation;
use trestle_store::Store;

use crate::fixture::{cluster, cluster_id, commit, put, write};

const FILE_OF_CHILD: &str = "TRESTLE_STORE_TEST_FILE";
const ROUNDS: u64 = 5;

/// Runs twice: as the test, and, where the environment names a file, as the child that the test kills.
#[test]
fn no_acknowledged_write_is_lost_when_the_process_is_killed() {
    if let Some(path) = env::var_os(FILE_OF_CHILD) {
        write_until_killed(Path::new(&path));
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("engine.redb");
    let mut last = 0;
    for round in 1..=ROUNDS {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "crash::no_acknowledged_write_is_lost_when_the_process_is_killed", "--nocapture"])
            .env(FILE_OF_CHILD, &path)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut acknowledged = 0;
        while acknowledged < last + 20 + round {
            let line = told.next().expect("the child writes until it is killed").unwrap();
            acknowledged = line.parse().unwrap_or_else(|_| panic!("the child said {line:?}"));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What the child had told before it died, and nobody had read.
        acknowledged = told.map_while(Result::ok).filter_map(|line| line.parse().ok()).last().unwrap_or(acknowledged);

        let store = Store::open(&path).unwrap();
        assert!(store.revision() >= acknowledged, "{acknowledged} was acknowledged, {} kept", store.revision());
        assert!(store.revision() <= acknowledged + 1, "only one write was under way");
        let kept = store.read(|fleet| fleet.entity(&cluster_id(&format!("c{}", store.revision()))));
        assert_eq!(kept.map(|entity| entity.meta().revision), Some(store.revision()));
        assert_eq!(store.events(0, usize::MAX).unwrap().len(), usize::try_from(store.revision()).unwrap());
        assert_eq!(store.fencing_epoch(), 2 * round);
        last = store.revision();
    }
}

#[test]
fn a_store_that_was_never_closed_opens_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("engine.redb");
    let store = Store::open(&path).unwrap();
    put(&store, cluster("main", ""));
    // A copy of the file while it is open is what a power cut leaves.
    let copy = directory.path().join("copy.redb");
    std::fs::copy(&path, &copy).unwrap();
    assert_eq!(Store::open(&copy).unwrap().read(|fleet| fleet.clusters().len()), 1);
}

fn write_until_killed(path: &Path) -> ! {
    let store = Store::open(path).unwrap();
    loop {
        let next = store.revision() + 1;
        let committed = commit(&store, write(), vec![Mutation::Put(cluster(&format!("c{next}"), ""))]).unwrap();
        writeln!(std::io::stderr(), "{}", committed.revision).unwrap();
    }
}
