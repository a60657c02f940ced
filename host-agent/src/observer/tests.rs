mod delay;

use std::time::Duration;

use tokio::task::JoinSet;
use trestle_fake_host::{FakeHost, World};
use trestle_model::{DomainState, HostObject, MacTableReport, ObjectKey, Outcome};

use super::*;
use crate::trial::{BOUND, Bench, committed, host, managed, network, set};

/// An agent over a host in memory, its observer, and what tells it of changes.
struct Stage {
    bench: Bench<FakeHost>,
    host: FakeHost,
    watches: Watches,
    changed: watch::Sender<u64>,
    learned: watch::Sender<u64>,
    _observer: JoinSet<()>,
}

impl Stage {
    async fn new(host: FakeHost, limit: usize) -> Self {
        let bench = Bench::new(host.clone()).await;
        let ((changed, on_change), (learned, on_learning)) = (watch::channel(0), watch::channel(0));
        let notices = Notices { changed: on_change, learned: on_learning };
        let (watches, observer) = Watches::with_log(bench.agent.clone(), notices, Uuid::nil(), Log::new(limit));
        let mut tasks = JoinSet::new();
        tasks.spawn(observer.run(bench.stop.clone()));
        Self { bench, host, watches, changed, learned, _observer: tasks }
    }

    /// Changes the host, and tells of it as a kernel would.
    fn change(&self, change: impl FnOnce(&mut World)) {
        self.host.change(change);
        self.changed.send_modify(|count| *count += 1);
    }

    /// Opens a watch, and returns it behind its snapshot, with the token.
    async fn watch(&self) -> (Watcher, String) {
        let mut watcher = self.watches.open(None, None).await.unwrap();
        loop {
            if let (News::SnapshotDone, token) = next(&mut watcher).await {
                return (watcher, token.unwrap());
            }
        }
    }
}

async fn next(watcher: &mut Watcher) -> (News, Option<String>) {
    tokio::time::timeout(BOUND, watcher.next()).await.expect("nothing is told").unwrap()
}

/// Waits for news of a key; what is told of others is passed over.
async fn until(watcher: &mut Watcher, kind: ObjectKind, name: &str) -> (Option<Arc<HostObject>>, String) {
    let wanted = ObjectKey { kind, name: name.to_owned() };
    loop {
        let (news, token) = next(watcher).await;
        match news {
            News::Object(object) if object.key() == wanted => return (Some(object), token.unwrap_or_default()),
            News::Removed(key) if key == wanted => return (None, token.unwrap_or_default()),
            News::Object(_) | News::Removed(_) | News::SnapshotDone | News::Bookmark => {}
        }
    }
}

fn guest(world: &mut World) {
    world.start_guest("vm1", "52:54:00:00:00:01", "vnet0", "blue", Some("trestle-blue"));
}

#[tokio::test]
async fn tells_what_came_changed_and_went() {
    let stage = Stage::new(host(), 100).await;
    let (mut watcher, _) = stage.watch().await;
    stage.bench.apply(set(managed("blue", "eth0", "192.0.2.10/24"))).await;
    assert!(until(&mut watcher, ObjectKind::Network, "blue").await.0.is_some());

    stage.change(guest);
    let knows = |table: &MacTableReport| table.entries.iter().any(|entry| entry.mac.to_string() == "52:54:00:00:00:01");
    loop {
        let (table, _) = until(&mut watcher, ObjectKind::MacTable, "blue").await;
        let Some(HostObject::MacTable { table, .. }) = table.as_deref() else { panic!("{table:?}") };
        if knows(table) {
            break;
        }
    }
    // Keys are told in order: the port comes before the table, and is told again when it changes.
    stage.change(|world| world.stop_guest("vm1"));
    assert!(until(&mut watcher, ObjectKind::Port, "vnet0").await.0.is_none());
    stage.change(guest);
    let (port, _) = until(&mut watcher, ObjectKind::Port, "vnet0").await;
    let Some(HostObject::Port { bridge, report }) = port.as_deref() else { panic!("{port:?}") };
    assert_eq!((bridge.as_str(), report.guest.as_ref().unwrap().domain.as_str()), ("blue", "vm1"));

    stage.change(|world| world.pull("eth0"));
    assert!(until(&mut watcher, ObjectKind::Nic, "eth0").await.0.is_none());
    loop {
        let (blue, _) = until(&mut watcher, ObjectKind::Network, "blue").await;
        let Some(HostObject::Network(blue)) = blue.as_deref() else { panic!("{blue:?}") };
        assert!(blue.ports.is_empty() && blue.mac_table.is_none(), "they are objects of their own");
        if !blue.drift.is_empty() {
            break;
        }
    }
}

#[tokio::test]
async fn tells_of_domains_that_start_pause_and_stop() {
    let stage = Stage::new(host(), 100).await;
    stage.bench.apply(set(network("blue", "eth0"))).await;
    let (mut watcher, _) = stage.watch().await;
    stage.change(guest);
    let (domain, _) = until(&mut watcher, ObjectKind::Domain, "vm1").await;
    let Some(HostObject::Domain(domain)) = domain.as_deref() else { panic!("{domain:?}") };
    let [interface] = domain.interfaces.as_slice() else { panic!("{domain:?}") };
    assert_eq!((domain.state, interface.mac.to_string().as_str()), (DomainState::Running, "52:54:00:00:00:01"));
    assert_eq!((interface.bridge.as_deref(), interface.tap.as_ref().unwrap().as_str()), (Some("blue"), "vnet0"));

    stage.change(|world| world.set_running("vm1", false));
    let (domain, _) = until(&mut watcher, ObjectKind::Domain, "vm1").await;
    let Some(HostObject::Domain(domain)) = domain.as_deref() else { panic!("{domain:?}") };
    assert_eq!(domain.state, DomainState::Paused);
    stage.change(|world| world.stop_guest("vm1"));
    let (domain, _) = until(&mut watcher, ObjectKind::Domain, "vm1").await;
    let Some(HostObject::Domain(domain)) = domain.as_deref() else { panic!("{domain:?}") };
    assert_eq!((domain.state, &domain.interfaces[0].tap), (DomainState::ShutOff, &None));
}

#[tokio::test]
async fn tells_of_transactions_and_of_where_the_host_stands() {
    let stage = Stage::new(host(), 100).await;
    let (mut watcher, _) = stage.watch().await;
    let report = stage.bench.apply(set(network("blue", "eth0"))).await;
    // One look may fall between the two, so that either comes first.
    let (mut is_dirty, mut has_ended) = (false, false);
    while !(is_dirty && has_ended) {
        let (News::Object(object), _) = next(&mut watcher).await else { continue };
        if let HostObject::Host(standing) = object.as_ref() {
            is_dirty = standing.dirty;
        }
        if let HostObject::Transaction(state) = object.as_ref() {
            assert_eq!((state.transaction, state.actor.as_str()), (report.transaction, "local"));
            has_ended = state.stage == TransactionStage::Ended(Outcome::Applied);
        }
    }
    stage.bench.apply(committed(set(network("blue", "eth0")))).await;
    let (clean, _) = until(&mut watcher, ObjectKind::Host, "").await;
    let Some(HostObject::Host(standing)) = clean.as_deref() else { panic!("{clean:?}") };
    assert!(!standing.dirty);
}

#[tokio::test]
async fn resumes_with_what_happened_while_nobody_watched() {
    let stage = Stage::new(host(), 100).await;
    let (watcher, token) = stage.watch().await;
    drop(watcher);
    let looks = stage.host.observations();
    for _ in 0..10 {
        stage.change(|_| {});
        tokio::task::yield_now().await;
    }
    stage.change(|world| world.pull("eth1"));
    assert_eq!(stage.host.observations(), looks, "nobody watches");
    let mut watcher = stage.watches.open(Some(&token), None).await.unwrap();
    let (gone, token) = until(&mut watcher, ObjectKind::Nic, "eth1").await;
    assert_eq!(gone, None);
    // A watch over one kind passes over the others.
    let kinds = Some([ObjectKind::Transaction].into());
    let mut other = stage.watches.open(Some(&token), kinds).await.unwrap();
    let report = stage.bench.apply(set(network("blue", "eth0"))).await;
    let (state, _) = until(&mut other, ObjectKind::Transaction, &report.transaction.to_string()).await;
    assert!(state.is_some());
}

#[tokio::test]
async fn many_watchers_cost_one_look_and_no_more_than_may_watch() {
    let stage = Stage::new(host(), 100).await;
    let mut watchers = Vec::new();
    for _ in 0..WATCHERS {
        watchers.push(stage.watch().await.0);
    }
    let refused = stage.watches.open(None, None).await;
    assert!(matches!(refused, Err(Refusal::WatchLimit)), "{refused:?}");
    let looks = stage.host.observations();
    stage.change(|world| world.pull("eth1"));
    for watcher in &mut watchers {
        assert_eq!(until(watcher, ObjectKind::Nic, "eth1").await.0, None);
    }
    assert_eq!(stage.host.observations(), looks + 1);
    watchers.clear();
    stage.watch().await;
}

#[tokio::test]
async fn a_watcher_that_falls_behind_is_told_so_and_begins_again() {
    let foreign = FakeHost::new(World::default().nic("eth0").foreign_bridge("virbr0"));
    let stage = Stage::new(foreign, 4).await;
    let (mut slow, token) = stage.watch().await;
    let (mut quick, _) = stage.watch().await;
    for round in 0..8 {
        let tap = format!("tap{round}");
        stage.change(|world| world.start_guest("vm1", "52:54:00:00:00:01", &tap, "virbr0", None));
        until(&mut quick, ObjectKind::Port, &format!("tap{round}")).await;
    }
    for _ in 0..10 {
        let dead = slow.next().await;
        assert!(matches!(dead, Err(Refusal::ResumeTokenExpired)), "{dead:?}");
        let old = stage.watches.open(Some(&token), None).await;
        assert!(matches!(old, Err(Refusal::ResumeTokenExpired)), "{old:?}");
    }
    for token in ["", "x", "x.1", "00000000000000000000000000000000.99", "00000000000000000000000000000000.-1"] {
        let other = stage.watches.open(Some(token), None).await;
        assert!(matches!(other, Err(Refusal::ResumeTokenExpired)), "{token}");
    }
    stage.watch().await;
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_changes_makes_one_look_and_learning_few() {
    let stage = Stage::new(host(), 100).await;
    stage.bench.apply(set(managed("blue", "eth0", "192.0.2.10/24"))).await;
    let (mut watcher, _) = stage.watch().await;
    tokio::time::sleep(LEARNING_REST).await;
    let looks = stage.host.observations();
    for _ in 0..1000 {
        stage.changed.send_modify(|count| *count += 1);
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(SETTLE * 3).await;
    assert_eq!(stage.host.observations(), looks + 1);

    // A minute in which bridges learn and forget a hundred times a second.
    for _ in 0..6000 {
        stage.learned.send_modify(|count| *count += 1);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let learned = stage.host.observations() - looks - 1;
    assert!((11..=13).contains(&learned), "{learned} looks");
    assert_eq!(watcher.next().await.unwrap().0, News::Bookmark, "nothing has changed in fact");
    let told = tokio::time::timeout(Duration::from_secs(29), watcher.next()).await;
    assert!(told.is_err(), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn learning_is_of_no_interest_without_a_managed_network() {
    let stage = Stage::new(host(), 100).await;
    let (_watcher, _) = stage.watch().await;
    let looks = stage.host.observations();
    for _ in 0..100 {
        stage.learned.send_modify(|count| *count += 1);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(stage.host.observations(), looks);
}

#[tokio::test]
async fn a_watch_ends_with_the_observer() {
    let stage = Stage::new(host(), 100).await;
    let (mut watcher, _) = stage.watch().await;
    stage.bench.stop.cancel();
    let ended = tokio::time::timeout(BOUND, watcher.next()).await.unwrap();
    assert!(matches!(ended, Err(Refusal::Stopping)), "{ended:?}");
    let late = stage.watches.open(None, None).await;
    assert!(matches!(late, Err(Refusal::Stopping)), "{late:?}");
}
