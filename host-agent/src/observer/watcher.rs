//! One who watches: a snapshot, or a place in the log, and then what comes.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::timeout;
use trestle_model::{HostObject, ObjectKey, ObjectKind};
use uuid::Uuid;

use super::Shared;
use super::log::Expired;
use crate::transaction::Refusal;

/// How long a watcher hears nothing before it is told where it stands.
const BOOKMARK: Duration = Duration::from_secs(30);

/// A watch over the host.
#[derive(Debug)]
pub struct Watcher {
    shared: Arc<Shared>,
    _seat: OwnedSemaphorePermit,
    head: watch::Receiver<u64>,
    kinds: Option<BTreeSet<ObjectKind>>,
    /// What is left of the snapshot; none after its end was told.
    snapshot: Option<VecDeque<Arc<HostObject>>>,
    /// The revision up to which everything was told.
    at: u64,
}

/// What a watcher is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// Within the snapshot, an object that is there; after it, one that came or changed.
    Object(Arc<HostObject>),
    /// An object is gone.
    Removed(ObjectKey),
    /// The snapshot is whole.
    SnapshotDone,
    /// Nothing has happened for a while.
    Bookmark,
}

impl Watcher {
    pub(super) fn new(
        shared: Arc<Shared>,
        seat: OwnedSemaphorePermit,
        head: watch::Receiver<u64>,
        resume: Option<&str>,
        kinds: Option<BTreeSet<ObjectKind>>,
    ) -> Result<Self, Refusal> {
        let log = shared.log();
        let (at, snapshot) = match resume {
            Some(token) => {
                let at = revision(token, shared.run).ok_or(Refusal::ResumeTokenExpired)?;
                log.after(at).map_err(|Expired| Refusal::ResumeTokenExpired)?;
                (at, None)
            }
            None => (log.head(), Some(log.objects().values().cloned().collect())),
        };
        drop(log);
        Ok(Self { shared, _seat: seat, head, kinds, snapshot, at })
    }

    /// Waits for what there is to tell, and returns it with the token that a later watch goes on from; none within a
    /// snapshot.
    ///
    /// *Errors*: [`Refusal::ResumeTokenExpired`] for a watcher that fell behind too far; [`Refusal::Stopping`]. The
    /// watch has ended then. *Cancel safety*: safe, nothing is lost.
    pub async fn next(&mut self) -> Result<(News, Option<String>), Refusal> {
        while let Some(snapshot) = &mut self.snapshot {
            match snapshot.pop_front() {
                Some(object) if self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&object.key().kind)) => {
                    return Ok((News::Object(object), None));
                }
                Some(_) => {}
                None => {
                    self.snapshot = None;
                    return Ok((News::SnapshotDone, Some(self.token())));
                }
            }
        }
        loop {
            let delta = self.shared.log().after(self.at).map_err(|Expired| Refusal::ResumeTokenExpired)?;
            let Some(delta) = delta else {
                match timeout(BOOKMARK, self.head.changed()).await {
                    Ok(Ok(())) => continue,
                    Ok(Err(_)) => return Err(Refusal::Stopping),
                    Err(_) => return Ok((News::Bookmark, Some(self.token()))),
                }
            };
            self.at += 1;
            if self.kinds.as_ref().is_some_and(|kinds| !kinds.contains(&delta.key.kind)) {
                continue;
            }
            let news = match &delta.value {
                Some(object) => News::Object(Arc::clone(object)),
                None => News::Removed(delta.key.clone()),
            };
            return Ok((news, Some(self.token())));
        }
    }

    fn token(&self) -> String {
        format!("{}.{}", self.shared.run.simple(), self.at)
    }
}

/// Reads a token of this run; none for any other text.
fn revision(token: &str, run: Uuid) -> Option<u64> {
    let (of, revision) = token.split_once('.')?;
    (of == run.simple().to_string()).then(|| revision.parse().ok()).flatten()
}
