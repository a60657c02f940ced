//! The thread that owns the connection.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use tokio::sync::watch;
use trestle_libvirt_events::Notice;

use crate::Changes;
use crate::connection::{Connection, now};
use crate::fingerprint::Poll;

/// How many calls may wait; a further one is turned away.
const QUEUE: usize = 32;
/// How often libvirt is asked at least while it tells of nothing by itself: it cannot be reached, or knows no events.
const UNTOLD_PERIOD: Duration = Duration::from_secs(1);

/// Something to do on the owner's thread.
pub(crate) type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// Passes on what libvirt tells by itself; called on the thread of libvirt's events.
#[derive(Clone)]
pub(crate) struct Teller {
    changes: watch::Sender<Changes>,
    /// Weak, so that it does not keep the owner's thread.
    jobs: Weak<SyncSender<Job>>,
}

impl Teller {
    pub(crate) fn tell(&self, notice: Notice) {
        match notice {
            Notice::Domains => self.changes.send_modify(|changes| changes.guests += 1),
            Notice::Networks => self.changes.send_modify(|changes| changes.networks += 1),
            Notice::Closed => {
                // Makes the owner look whether a poll is due by now; one that is at work will, anyway.
                if let Some(jobs) = self.jobs.upgrade() {
                    let _full = jobs.try_send(Box::new(|_| {}));
                }
            }
        }
    }

    #[cfg(test)]
    pub(crate) const fn counting(changes: watch::Sender<Changes>) -> Self {
        Self { changes, jobs: Weak::new() }
    }
}

/// Starts the thread; it ends when the returned sender is dropped, and its end closes the returned receiver.
pub(crate) fn start(
    uri: String,
    poll_period: Duration,
) -> io::Result<(Arc<SyncSender<Job>>, watch::Receiver<Changes>)> {
    let (jobs, waiting) = sync_channel(QUEUE);
    let jobs = Arc::new(jobs);
    let (changes, seen) = watch::channel(Changes::default());
    let connection = Connection::new(uri, Teller { changes: changes.clone(), jobs: Arc::downgrade(&jobs) });
    thread::Builder::new().name("libvirt".to_owned()).spawn(move || {
        run(&waiting, connection, poll_period, &changes);
    })?;
    Ok((jobs, seen))
}

fn run(waiting: &Receiver<Job>, mut connection: Connection, period: Duration, changes: &watch::Sender<Changes>) {
    let mut poll = Poll::default();
    let mut polled = now();
    loop {
        let is_told = connection.is_told() && poll.knows(&connection);
        let due = polled + if is_told { period } else { period.min(UNTOLD_PERIOD) };
        match waiting.recv_timeout(due.saturating_duration_since(now())) {
            Ok(job) => job(&mut connection),
            Err(RecvTimeoutError::Timeout) => {
                // One receiver is the handle's own.
                if changes.receiver_count() <= 1 {
                    poll = Poll::default();
                } else if poll.run(&mut connection, changes, now()) {
                    connection.subscribe_anew();
                }
                polled = now();
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
