//! The one task that listens, and the handle that tells what it heard.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::debug;
use trestle_model::{IfName, LldpNeighbor};

use crate::frame;
use crate::neighbors::{Change, Neighbors};
use crate::socket::Frames;

/// Longer than any frame of LLDP, which fits one of Ethernet.
const LARGEST: usize = 9216;

/// What was heard; clones share it.
#[derive(Debug, Clone)]
pub struct Lldp {
    neighbors: Arc<Mutex<Neighbors>>,
    told: watch::Receiver<u64>,
}

/// Listens on NICs; made by [`Listener::open`].
#[derive(Debug)]
pub struct Listener {
    frames: Frames,
    neighbors: Arc<Mutex<Neighbors>>,
    told: watch::Sender<u64>,
    /// The NICs at which the group is let through, by index.
    joined: BTreeMap<u32, IfName>,
}

/// Says that the kernel gives no socket for LLDP. The operator must act: it takes `CAP_NET_RAW`.
#[derive(Debug, thiserror::Error)]
#[error("kernel gives no socket for LLDP")]
pub struct OpenError(#[source] pub io::Error);

impl Lldp {
    /// Returns the handle of a host on which nobody listens.
    pub fn deaf() -> Self {
        Self { neighbors: Arc::default(), told: watch::channel(0).1 }
    }

    /// Returns the neighbours by NIC, each ordered by chassis and port; NICs without any are left out.
    pub fn neighbors(&self) -> BTreeMap<IfName, Vec<LldpNeighbor>> {
        lock(&self.neighbors).told()
    }

    /// Returns a count that goes up whenever [`Self::neighbors`] differs from before; it closes with its listener.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.told.clone()
    }
}

impl Listener {
    /// Opens the socket, in the network namespace of the calling thread.
    ///
    /// *Errors*: [`OpenError`]. *Panics*: outside of a tokio runtime with I/O.
    pub fn open() -> Result<(Lldp, Self), OpenError> {
        let frames = Frames::open().map_err(OpenError)?;
        let (told, heard) = watch::channel(0);
        let neighbors = Arc::default();
        let listener = Self { frames, neighbors: Arc::clone(&neighbors), told, joined: BTreeMap::new() };
        Ok((Lldp { neighbors, told: heard }, listener))
    }

    /// Listens on the NICs that `nics` names, by index, until `stop` is cancelled.
    ///
    /// *Cancel safety*: safe.
    pub async fn run(mut self, mut nics: watch::Receiver<BTreeMap<u32, IfName>>, stop: CancellationToken) {
        let mut payload = vec![0; LARGEST];
        nics.mark_changed();
        loop {
            let end = lock(&self.neighbors).next_end();
            // Cancel safety: all arms are.
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Ok(()) = nics.changed() => {
                    let wanted = nics.borrow_and_update().clone();
                    self.listen_on(wanted);
                }
                () = at(end) => {
                    let change = lock(&self.neighbors).forget(Instant::now());
                    self.tell(change);
                }
                arrived = self.frames.next(&mut payload) => match arrived {
                    Ok((index, length)) => self.hear(index, payload.get(..length).unwrap_or_default()),
                    Err(error) => debug!(%error, "frame of LLDP not received"),
                },
            }
        }
    }

    fn listen_on(&mut self, wanted: BTreeMap<u32, IfName>) {
        for (index, nic) in &self.joined {
            if !wanted.contains_key(index)
                && let Err(error) = self.frames.leave(*index)
            {
                debug!(%nic, %error, "group of LLDP not left");
            }
        }
        for (index, nic) in &wanted {
            if !self.joined.contains_key(index)
                && let Err(error) = self.frames.join(*index)
            {
                debug!(%nic, %error, "group of LLDP not joined");
            }
        }
        let change = lock(&self.neighbors).set_nics(&wanted);
        self.joined = wanted;
        self.tell(change);
    }

    fn hear(&self, index: u32, payload: &[u8]) {
        match frame::parse(payload) {
            Ok(frame) => {
                let change = lock(&self.neighbors).hear(index, frame, Instant::now());
                self.tell(change);
            }
            Err(error) => debug!(index, %error, "frame of LLDP passed over"),
        }
    }

    fn tell(&self, change: Change) {
        if change == Change::Differs {
            self.told.send_modify(|count| *count += 1);
        }
    }
}

fn lock(neighbors: &Mutex<Neighbors>) -> MutexGuard<'_, Neighbors> {
    neighbors.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn at(end: Option<Instant>) {
    match end {
        Some(end) => sleep_until(end).await,
        None => std::future::pending().await,
    }
}
