mod early;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use trestle_model::{ConnectivityCheck, IfName, IpFamily, Lease, MacAddr, Outcome, Scope, SetupOptions};
use trestle_plan::transaction::Phase;
use uuid::Uuid;

use super::*;
use crate::nameservers::LeasedPlace;
use crate::trial::{BOUND, reopen};

/// Set in a child process: the folder that it writes until it is killed.
const CHILD_FOLDER: &str = "TRESTLE_TEST_JOURNAL_FOLDER";

fn transaction(number: u128) -> TransactionId {
    TransactionId(Uuid::from_u128(number))
}

fn request(number: u128) -> SetupRequest {
    SetupRequest {
        changes: Vec::new(),
        bonds: Vec::new(),
        nics: Vec::new(),
        options: SetupOptions {
            transaction: transaction(number),
            origin: trestle_model::Origin::Local,
            connectivity_check: ConnectivityCheck::None,
            commit_on_success: false,
            validate_only: false,
            acknowledge: Vec::new(),
            fence: None,
            scope: Scope::Named,
            adopt: BTreeSet::new(),
        },
    }
}

fn past(number: u128) -> Past {
    let report = TransactionReport {
        transaction: transaction(number),
        outcome: Outcome::Applied,
        steps: vec!["create bridge blue".to_owned()],
        findings: Vec::new(),
        committed: false,
        running_hash: String::new(),
    };
    Past {
        actor: "local".to_owned(),
        began_ms: Some(5),
        ended_ms: 7,
        request: request(number),
        steps: Vec::new(),
        report,
    }
}

fn open(number: u128) -> Open {
    let record = Record {
        request: request(number),
        phase: Phase::Applying,
        boot_id: "boot".to_owned(),
        snapshot: trestle_plan::Snapshot::default(),
        steps: Vec::new(),
        desired: generation(5),
        findings: Vec::new(),
        cause: None,
    };
    Open { actor: "engine".to_owned(), began_ms: 3, record }
}

fn generation(generation: u64) -> HostConfig {
    HostConfig { generation, ..HostConfig::default() }
}

fn lease() -> KeptLease {
    let lease = Lease {
        address: "192.0.2.50/24".parse().unwrap(),
        server: "192.0.2.1".to_owned(),
        gateways: vec!["192.0.2.1".parse().unwrap()],
        routes: Vec::new(),
        nameservers: Vec::new(),
        search: Vec::new(),
        expires_ms: Some(5),
        lifetime_s: 3600,
        renew_s: 1800,
        preferred_s: 3600,
    };
    let segment = IfName::parse("eth0").unwrap();
    KeptLease { segment, family: IpFamily::Ipv4, mac: MacAddr::new([2, 0, 0, 0, 0, 1]), lease }
}

fn whole_change() -> Change {
    Change {
        boot_id: Some("boot".to_owned()),
        running: Some(generation(4)),
        persistent: PersistentChange::Set(generation(2)),
        fence: Some(Fence { epoch: 1, generation: 4 }),
        open: OpenChange::Set(Box::new(open(9))),
        past: Some(past(1)),
        duid: Some(Uuid::from_u128(7)),
        leases: Some(vec![lease()]),
        leased_names: Some(Some(LeasedNames {
            servers: vec!["192.0.2.53".parse().unwrap()],
            search: Vec::new(),
            place: LeasedPlace::File { beneath: None, written: "nameserver 192.0.2.53\n".to_owned() },
        })),
        durability: Durability::Disk,
    }
}

/// Makes text that cannot be packed: a linear congruential generator's, the same in every run.
fn noise(length: usize) -> String {
    let mut seed = 1_u64;
    let next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let [letter, ..] = seed.to_be_bytes();
        char::from(b'0' + (letter >> 2))
    };
    std::iter::repeat_with(next).take(length).filter(|letter| *letter != '\\').collect()
}

/// Waits until the database is nobody's: one that is dropped ends in threads of its own, and gives its lock up last.
async fn let_go(folder: &Path) {
    let lock = std::fs::File::open(folder.join("store/db")).unwrap();
    let freed = async {
        while lock.try_lock().is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(BOUND, freed).await.expect("the database is never let go of");
}

async fn damage_and_reopen(damage: impl FnOnce(&Path)) -> Result<Journal, JournalError> {
    let folder = tempfile::tempdir().unwrap();
    let journal = reopen(folder.path()).await.unwrap();
    for number in 0..20 {
        journal.write(Change { past: Some(past(number)), ..whole_change() }).await.unwrap();
    }
    drop(journal);
    // The database writes a snapshot of its own when it is opened after writes.
    drop(reopen(folder.path()).await.unwrap());
    let_go(folder.path()).await;
    damage(folder.path());
    reopen(folder.path()).await
}

#[tokio::test]
async fn a_new_store_is_empty() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(&folder.path().join("new/below")).await.unwrap();
    assert_eq!(*journal.contents(), Contents::default());
    assert_eq!(journal.past(transaction(1)).await.unwrap(), None);
}

#[tokio::test]
async fn everything_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let journal = reopen(folder.path()).await.unwrap();
    journal.write(whole_change()).await.unwrap();
    let before = journal.contents();
    assert_eq!((before.running.generation, before.persistent.generation), (4, 2));
    assert_eq!(before.open, Some(open(9)));
    drop(journal);
    let journal = reopen(folder.path()).await.unwrap();
    assert_eq!(journal.contents(), before);
    assert_eq!(journal.past(transaction(1)).await.unwrap(), Some(past(1)));

    let close = Change { persistent: PersistentChange::Running, open: OpenChange::Clear, ..Change::default() };
    journal.write(close).await.unwrap();
    drop(journal);
    let journal = reopen(folder.path()).await.unwrap();
    assert_eq!(journal.contents().open, None);
    assert_eq!(journal.contents().persistent, generation(4));
}

#[tokio::test]
async fn a_record_larger_than_a_segment_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let journal = reopen(folder.path()).await.unwrap();
    let mut large = open(9);
    large.actor = noise(6_000_000);
    for _ in 0..3 {
        let change = Change { open: OpenChange::Set(Box::new(large.clone())), ..Change::default() };
        journal.write(change).await.unwrap();
    }
    drop(journal);
    let journal = reopen(folder.path()).await.unwrap();
    assert_eq!(journal.contents().open, Some(large));
    assert!(folder.path().join("store/blobs").read_dir().unwrap().next().is_some(), "it fits into a segment");
}

#[tokio::test]
async fn a_result_alone_leaves_what_is_kept_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path()).await.unwrap();
    let mut kept = journal.watch();
    let known = Arc::clone(&kept.borrow());
    journal.write(Change { past: Some(past(1)), ..Change::default() }).await.unwrap();
    assert!(kept.has_changed().unwrap(), "watchers are not told of a result");
    {
        let mut waiting = std::pin::pin!(another(&mut kept, &known));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        journal.write(Change { running: Some(generation(3)), ..Change::default() }).await.unwrap();
        let now = tokio::time::timeout(BOUND, waiting).await.unwrap().unwrap();
        assert_eq!(now.running, generation(3));
    }
}

#[tokio::test]
async fn only_the_latest_results_are_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let journal = reopen(folder.path()).await.unwrap();
    let count = u128::from(HISTORY_LIMIT) + 5;
    let history = (0..count).map(past).collect();
    journal.import(Archive::new(Contents::default(), history)).await.unwrap();
    journal.write(Change { past: Some(past(count)), ..Change::default() }).await.unwrap();
    drop(journal);
    let journal = reopen(folder.path()).await.unwrap();
    assert_eq!(journal.past(transaction(5)).await.unwrap(), None);
    assert_eq!(journal.past(transaction(6)).await.unwrap(), Some(past(6)));
    assert_eq!(journal.past(transaction(count)).await.unwrap(), Some(past(count)));
    assert_eq!(journal.export().await.unwrap().history.len(), 1000);
}

#[tokio::test]
async fn the_history_is_read_newest_first_and_page_by_page() {
    let folder = tempfile::tempdir().unwrap();
    let journal = reopen(folder.path()).await.unwrap();
    assert_eq!(journal.history(None, 10).await.unwrap(), HistoryPage::default());
    for number in 0..7 {
        journal.write(Change { past: Some(past(number)), ..Change::default() }).await.unwrap();
    }
    let (mut numbers, mut before) = (Vec::new(), None);
    loop {
        let page = journal.history(before, 3).await.unwrap();
        assert!(page.past.len() <= 3);
        numbers.extend(page.past.into_iter().map(|past| past.report.transaction));
        before = page.more_before;
        if before.is_none() {
            break;
        }
        // What ends meanwhile is on no later page.
        journal.write(Change { past: Some(past(100)), ..Change::default() }).await.unwrap();
    }
    assert_eq!(numbers, (0..7).rev().map(transaction).collect::<Vec<_>>());
    assert_eq!(journal.history(Some(0), 3).await.unwrap(), HistoryPage::default());
    assert_eq!(journal.history(Some(u64::MAX), 1).await.unwrap().past, [past(100)]);
}

#[tokio::test]
async fn a_page_of_large_results_is_short() {
    let folder = tempfile::tempdir().unwrap();
    let journal = reopen(folder.path()).await.unwrap();
    for number in 0..4 {
        let large = Past { actor: "a".repeat(700_000), ..past(number) };
        journal.write(Change { past: Some(large), ..Change::default() }).await.unwrap();
    }
    let page = journal.history(None, 50).await.unwrap();
    assert_eq!((page.past.len(), page.more_before), (2, Some(2)));
    assert_eq!(journal.history(page.more_before, 50).await.unwrap().past.len(), 2);
}

#[tokio::test]
async fn an_export_fills_an_empty_store_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(&folder.path().join("old")).await.unwrap();
    journal.write(whole_change()).await.unwrap();
    let json = journal.export().await.unwrap().to_json().unwrap();
    let archive = Archive::from_json(&json).unwrap();

    let other = Journal::open(&folder.path().join("new")).await.unwrap();
    other.import(archive.clone()).await.unwrap();
    assert_eq!(other.contents(), journal.contents());
    assert_eq!(other.past(transaction(1)).await.unwrap(), Some(past(1)));
    assert_eq!(other.history(None, 50).await.unwrap(), journal.history(None, 50).await.unwrap());
    assert_eq!(other.export().await.unwrap(), archive);
    assert!(matches!(other.import(archive).await, Err(JournalError::NotEmpty(_))));
    assert!(matches!(Archive::from_json("{}"), Err(JournalError::NotAnArchive(_))));
    assert!(matches!(Archive::from_json("[1"), Err(JournalError::NotAnArchive(_))));
    // Also where nothing else of it makes sense to this version.
    for future in [json.replacen("\"format\": 1", "\"format\": 2", 1), "{\"format\": 2, \"tables\": []}".to_owned()] {
        let error = Archive::from_json(&future).unwrap_err();
        assert!(matches!(error, JournalError::OtherFormat { found: 2, read: 1 }), "{error}");
    }
    let strange = json.replacen("\"format\": 1", "\"format\": 1, \"extra\": true", 1);
    assert!(matches!(Archive::from_json(&strange), Err(JournalError::NotAnArchive(_))));
}

#[tokio::test]
async fn a_second_opener_is_told_that_the_store_is_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let journal = reopen(folder.path()).await.unwrap();
    assert!(matches!(Journal::open(folder.path()).await, Err(JournalError::InUse(_))));
    drop(journal);
    reopen(folder.path()).await.unwrap();
}

#[tokio::test]
async fn a_database_that_was_emptied_is_noticed() {
    let reopened = damage_and_reopen(|folder| std::fs::remove_dir_all(folder.join("store")).unwrap()).await;
    let error = reopened.unwrap_err();
    assert!(matches!(error, JournalError::Damaged { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("0 of 20 commits") && text.contains("host-agent import"), "{text}");
}

#[tokio::test]
async fn a_database_that_was_put_back_in_time_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let (store, copy) = (folder.path().join("store"), folder.path().join("copy"));
    let journal = reopen(folder.path()).await.unwrap();
    journal.write(whole_change()).await.unwrap();
    drop(journal);
    let_go(folder.path()).await;
    assert!(Command::new("cp").args(["-r"]).args([&store, &copy]).status().unwrap().success());
    let journal = reopen(folder.path()).await.unwrap();
    journal.write(Change { past: Some(past(2)), ..Change::default() }).await.unwrap();
    drop(journal);
    let_go(folder.path()).await;
    std::fs::remove_dir_all(&store).unwrap();
    std::fs::rename(&copy, &store).unwrap();
    let error = reopen(folder.path()).await.unwrap_err().to_string();
    assert!(error.contains("1 of 2 commits"), "{error}");
}

#[tokio::test]
async fn a_truncated_snapshot_of_the_database_is_damage() {
    let reopened = damage_and_reopen(|folder| {
        let mut cut = 0;
        for entry in std::fs::read_dir(folder.join("store")).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap().to_string_lossy().starts_with("snap") {
                std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(0).unwrap();
                cut += 1;
            }
        }
        assert!(cut > 0, "there is no snapshot to truncate");
    })
    .await;
    assert!(matches!(reopened, Err(JournalError::Damaged { .. })), "{reopened:?}");
}

#[tokio::test]
async fn a_record_of_another_schema_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    drop(reopen(folder.path()).await.unwrap());
    let_go(folder.path()).await;
    let database = sled::open(folder.path().join("store")).unwrap();
    database.insert("running", b"\x00\x63nonsense".as_slice()).unwrap();
    drop(database);
    let error = reopen(folder.path()).await.unwrap_err().to_string();
    assert!(error.contains("running: record is of schema 99"), "{error}");
}

/// From where on the child numbers what it does not wait for.
const SOON: u128 = 1 << 64;

/// Runs in a child process of the next test; alone, it does nothing.
#[tokio::test]
async fn child_writes_until_it_is_killed() {
    let Some(folder) = std::env::var_os(CHILD_FOLDER) else { return };
    let journal = Journal::open(Path::new(&folder)).await.unwrap();
    for number in 1..=1_000_000 {
        let change = Change {
            running: Some(generation(number)),
            persistent: PersistentChange::Running,
            past: Some(past(u128::from(number))),
            ..Change::default()
        };
        journal.write(change).await.unwrap();
        writeln!(std::io::stdout(), "kept {number}").unwrap();
        // What need not be kept is in nobody's way.
        let soon = Some(past(SOON + u128::from(number)));
        journal.write(Change { past: soon, durability: Durability::Soon, ..Change::default() }).await.unwrap();
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    for lines in [3, 17, 40] {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "journal::tests::child_writes_until_it_is_killed", "--nocapture"])
            .env(CHILD_FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut kept = 0;
        let acknowledged = output
            .lines()
            .map(Result::unwrap)
            .filter_map(|line| line.split_once("kept ").map(|(_, number)| number.parse::<u64>().unwrap()));
        for number in acknowledged.take(lines) {
            kept = number;
        }
        child.kill().unwrap();
        child.wait().unwrap();

        let journal = reopen(folder.path()).await.unwrap();
        let contents = journal.contents();
        assert!(contents.running.generation >= kept, "{} of {kept}", contents.running.generation);
        assert_eq!(contents.running, contents.persistent, "a torn commit");
        let last = u128::from(contents.running.generation);
        assert_eq!(journal.past(transaction(last)).await.unwrap(), Some(past(last)), "a torn commit");
        assert_eq!(journal.past(transaction(last + 1)).await.unwrap(), None, "a torn commit");
        let before = SOON + last - 1;
        assert_eq!(
            journal.past(transaction(before)).await.unwrap(),
            Some(past(before)),
            "the next commit took it along"
        );
    }
}

/// Opens copies of a store, each with its database damaged in one way, and tells how each ended: a panic ends the test.
async fn verdicts(damages: impl Iterator<Item = (String, Vec<u8>)>, whole: &Path, kept: &Contents) -> BTreeSet<bool> {
    let mut verdicts = BTreeSet::new();
    for (damage, database) in damages {
        let copy = tempfile::tempdir().unwrap();
        let folder = copy.path().join("copy");
        assert!(Command::new("cp").arg("-r").args([whole, &folder]).status().unwrap().success());
        std::fs::write(folder.join("store/db"), database).unwrap();
        let opened = Journal::open(&folder).await;
        match &opened {
            Ok(journal) => assert_eq!(*journal.contents(), *kept, "{damage} changed what is kept"),
            Err(JournalError::Damaged { .. } | JournalError::Io { .. }) => {}
            Err(other) => panic!("{damage}: {other}"),
        }
        verdicts.insert(opened.is_ok());
    }
    verdicts
}

#[tokio::test]
async fn a_database_that_is_cut_or_changed_anywhere_is_whole_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let journal = reopen(folder.path()).await.unwrap();
    for number in 0..6 {
        journal.write(Change { past: Some(past(number)), ..whole_change() }).await.unwrap();
    }
    let kept = journal.contents();
    drop(journal);
    let_go(folder.path()).await;
    let database = std::fs::read(folder.path().join("store/db")).unwrap();
    let places = || (0..40).map(|place| database.len() * place / 40);

    let cut = |length: usize| (format!("a cut after {length} octets"), database[..length].to_vec());
    let verdicts_of_cuts = verdicts(places().map(cut), folder.path(), &kept).await;
    assert_eq!(verdicts_of_cuts, [false].into(), "a shorter database is noticed");

    let changed = |place: usize| {
        let mut changed = database.clone();
        changed[place] ^= 0x55;
        (format!("another octet {place}"), changed)
    };
    assert!(verdicts(places().map(changed), folder.path(), &kept).await.contains(&false), "nothing was noticed");
}
