//! The thread that owns the connection.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::Changes;
use crate::connection::{Connection, now};
use crate::fingerprint::Poll;

/// How many calls may wait; a further one is turned away.
const QUEUE: usize = 32;

/// Something to do on the owner's thread.
pub(crate) type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// Starts the thread; it ends when the returned sender is dropped, and its end closes the returned receiver.
pub(crate) fn start(
    connection: Connection,
    poll_period: Duration,
) -> io::Result<(SyncSender<Job>, watch::Receiver<Changes>)> {
    let (jobs, waiting) = sync_channel(QUEUE);
    let (changes, seen) = watch::channel(Changes::default());
    thread::Builder::new().name("libvirt".to_owned()).spawn(move || {
        run(&waiting, connection, poll_period, &changes);
    })?;
    Ok((jobs, seen))
}

fn run(waiting: &Receiver<Job>, mut connection: Connection, period: Duration, changes: &watch::Sender<Changes>) {
    let mut poll = Poll::default();
    let mut due = now() + period;
    loop {
        match waiting.recv_timeout(due.saturating_duration_since(now())) {
            Ok(job) => job(&mut connection),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if is_due(due) {
            // One receiver is the handle's own.
            if changes.receiver_count() > 1 {
                poll.run(&mut connection, changes)
            } else {
                poll = Poll::default()
            }
            due = now() + period;
        }
    }
}

fn is_due(due: Instant) -> bool {
    due <= now()
}
