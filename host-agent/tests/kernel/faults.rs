//! The real program where the kernel is busy, where its store is damaged, and where its disk is read-only from the start.

use std::fs;
use std::path::Path;

use trestle_model::Code;
use trestle_proto::host::v1::{ConnectivityCheck, Outcome};

use super::bench::Bench;
use super::disk::Disk;
use crate::{network, request};

#[tokio::test]
async fn a_nic_that_is_busy_is_told_by_the_kernels_words_and_all_is_put_back() {
    let Some(bench) = Bench::new("busy").await else { return };
    // A NIC that hands its frames to a macvlan device takes no second receiver: EBUSY, for as long as that is there.
    bench.ip("link add mac0 link nic0 type macvlan mode bridge");
    let before = bench.settled().await;
    let mut agent = bench.agent().await;
    let result = agent.set_up(request(network("192.0.2.20/24"), ConnectivityCheck::None)).await;
    assert_eq!(result.outcome(), Outcome::RolledBack, "{result:?}");
    let cause = result.cause.unwrap();
    assert_eq!(cause.code, Code::StepFailed.as_str());
    for words in ["nic0", "blue", "Device or resource busy (EBUSY)"] {
        assert!(cause.message.contains(words), "{words} is not in {}", cause.message);
    }
    bench.until(&before).await;

    bench.ip("link delete mac0");
    let result = agent.set_up(request(network("192.0.2.20/24"), ConnectivityCheck::None)).await;
    assert_eq!(result.outcome(), Outcome::Applied, "{result:?}");
    agent.terminate().await;
}

/// Damages a store of the program, and its file of commits.
type Damage = fn(&Path);

const DAMAGES: [(&str, Damage); 6] = [
    ("the database is cut", |folder| cut(&folder.join("store/db"), 4096)),
    ("the database is nonsense", |folder| fs::write(folder.join("store/db"), [0xa5; 8192]).unwrap()),
    ("the database's configuration is nonsense", |folder| fs::write(folder.join("store/conf"), [0xa5; 64]).unwrap()),
    ("the database is gone", |folder| fs::remove_dir_all(folder.join("store")).unwrap()),
    ("the count of commits is nonsense", |folder| fs::write(folder.join("commits"), "many").unwrap()),
    ("the count of commits is cut", |folder| cut(&folder.join("commits"), 10)),
];

fn cut(file: &Path, length: u64) {
    fs::OpenOptions::new().write(true).open(file).unwrap().set_len(length).unwrap();
}

#[tokio::test]
async fn a_damaged_store_stops_the_start_with_the_way_out_and_the_host_stays_as_it_is() {
    let Some(bench) = Bench::new("damaged").await else { return };
    let mut agent = bench.agent().await;
    let mut asked = request(network("192.0.2.20/24"), ConnectivityCheck::None);
    asked.commit_on_success = true;
    assert_eq!(agent.set_up(asked).await.outcome(), Outcome::Applied);
    agent.terminate().await;
    let before = bench.settled().await;
    let exported = bench.folder().with_extension("json");
    bench.run(&["export", exported.to_str().unwrap()]);
    let whole = bench.folder().with_extension("whole");
    copy(&bench.folder(), &whole);

    for (what, damage) in DAMAGES {
        fs::remove_dir_all(bench.folder()).unwrap();
        copy(&whole, &bench.folder());
        damage(&bench.folder());
        let said = bench.fail(&["run"]);
        let folder = bench.folder().display().to_string();
        for words in ["is damaged", folder.as_str(), "move the folder aside", "host-agent import FILE"] {
            assert!(said.contains(words), "{what}: {words} is not in {said}");
        }
        assert!(!said.contains("panicked"), "{what}: {said}");
        bench.until(&before).await;
    }

    // The way out that the words name.
    fs::rename(bench.folder(), bench.folder().with_extension("aside")).unwrap();
    bench.run(&["import", exported.to_str().unwrap()]);
    let mut agent = bench.agent().await;
    let capabilities = agent.capabilities().await;
    assert_eq!((capabilities.networks.len(), capabilities.dirty), (1, false));
    assert_eq!(capabilities.networks[0].drift, Vec::<String>::new());
    bench.until(&before).await;
    agent.terminate().await;
}

#[tokio::test]
async fn a_disk_that_is_read_only_stops_the_start_and_says_so() {
    let Some(bench) = Bench::new("readonly").await else { return };
    let disk = Disk::new(&bench).await;
    let mut agent = disk.agent(&bench).await;
    let result = agent.set_up(request(network("192.0.2.20/24"), ConnectivityCheck::None)).await;
    assert_eq!(result.outcome(), Outcome::Applied, "{result:?}");
    agent.terminate().await;
    let before = bench.settled().await;

    disk.become_read_only();
    let said = bench.fail_within(&disk.entered());
    let folder = bench.folder().display().to_string();
    for words in ["cannot be used", folder.as_str(), "Read-only file system"] {
        assert!(said.contains(words), "{words} is not in {said}");
    }
    bench.until(&before).await;

    disk.become_writable();
    let mut agent = disk.agent(&bench).await;
    assert_eq!(agent.capabilities().await.networks.len(), 1);
    agent.terminate().await;
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let place = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &place)
        } else {
            drop(fs::copy(entry.path(), place))
        }
    }
}
