use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use super::*;

const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(30);

fn handle(call_timeout: Duration) -> Libvirt {
    Libvirt::start(Options { uri: "test:///default".to_owned(), call_timeout, poll_period: LONG }).unwrap()
}

/// Holds the owner's thread until the returned sender is dropped.
async fn hold(libvirt: &Libvirt) -> mpsc::SyncSender<()> {
    loop {
        let (release, held) = mpsc::sync_channel::<()>(0);
        let (begin, mut begun) = oneshot::channel();
        let outcome = libvirt.call(move |_, _| begin.send(()).is_ok() && held.recv().is_err()).await;
        assert_eq!(outcome, Err(Fault::Deadline(SHORT)));
        // On a busy machine the deadline may pass before the thread gets to the call, which is then left out.
        if begun.try_recv().is_ok() {
            return release;
        }
    }
}

#[tokio::test]
async fn call_beyond_its_deadline_fails_and_is_not_performed_later() {
    let libvirt = handle(SHORT);
    let release = hold(&libvirt).await;

    let performed = Arc::new(AtomicBool::new(false));
    let mark = Arc::clone(&performed);
    let late = libvirt.call(move |_, _| mark.store(true, Ordering::SeqCst)).await;
    assert_eq!(late, Err(Fault::Deadline(SHORT)));
    let info = libvirt.info().await;
    assert!(!info.connected);
    assert_eq!(info.fault, "libvirt did not answer within 50ms");

    drop(release);
    let next = timeout(LONG, async { while libvirt.call(|_, _| ()).await.is_err() {} }).await;
    assert!(next.is_ok(), "the thread works again");
    assert!(!performed.load(Ordering::SeqCst));
}

#[tokio::test]
async fn call_is_turned_away_when_too_many_wait() {
    let libvirt = handle(SHORT);
    let _release = hold(&libvirt).await;
    let mut turned_away = None;
    // Each waiting call is abandoned at once, but keeps its place in the queue.
    for waiting in 0..1000 {
        match timeout(Duration::ZERO, libvirt.call(|_, _| ())).await {
            Ok(Err(Fault::Busy)) => {
                turned_away = Some(waiting);
                break;
            }
            Ok(other) => panic!("{other:?}"),
            Err(_) => {}
        }
    }
    assert_eq!(turned_away, Some(32));
    assert!(Fault::Busy.is_transient());
}

#[tokio::test]
async fn shutdown_ends_the_thread_for_every_clone() {
    let libvirt = handle(LONG);
    let mut changes = libvirt.watch();
    libvirt.clone().shutdown().await;
    assert!(changes.changed().await.is_err(), "the channel of changes is closed");
    assert_eq!(libvirt.perform(&LibvirtStep::Stop { name: "blue".to_owned() }).await, Err(Fault::Ended));
    assert!(!Fault::Ended.is_transient());
}

#[tokio::test]
async fn shutdown_returns_though_libvirt_holds_the_thread() {
    let libvirt = handle(SHORT);
    let _release = hold(&libvirt).await;
    assert!(timeout(LONG, libvirt.shutdown()).await.is_ok());
}

#[tokio::test]
async fn dropping_the_last_clone_ends_the_thread() {
    let libvirt = handle(LONG);
    let mut changes = libvirt.watch();
    drop(libvirt.clone());
    assert!(libvirt.info().await.connected, "one clone is left");
    drop(libvirt);
    assert!(timeout(LONG, async { while changes.changed().await.is_ok() {} }).await.is_ok());
}
