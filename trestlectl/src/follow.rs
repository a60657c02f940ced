//! Follows hosts while they become what is wanted.
//!
//! One watch is opened before anything is written, so that no progress is missed. Its snapshots may be older than the
//! write, so they only say when to look: what counts is what the engine answers about a host afterwards.

mod verdict;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tonic::Code;
use tracing::debug;
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine::v1::watch_hosts_response::Event;
use trestle_proto::host::v1::SetupNetworksResponse;
use trestle_proto::schema;

use crate::engine::Engine;
use crate::failure::Failure;
use crate::kind::{Kind, id_of};
use crate::progress::Progress;

use verdict::Verdict;
pub(crate) use verdict::failure;

/// How long to wait before a watch that ended is opened anew.
const REOPEN_PAUSE: Duration = Duration::from_millis(500);

/// How often the watch has said something of each host.
type News = BTreeMap<String, u64>;

/// The hosts that have not settled.
type Open = BTreeMap<String, Stand>;

/// Where a host stood when it was last looked at.
#[derive(Debug)]
struct Stand {
    /// Its news by then; none before the first look.
    heard: Option<u64>,
    text: String,
}

/// Follows hosts, from before a write until they have settled. Dropped, it stops.
#[derive(Debug)]
pub struct Follower {
    engine: Engine,
    progress: Arc<Progress>,
    patience: Patience,
    limit: Duration,
    news: watch::Receiver<News>,
    /// The one task; on cancel it is aborted, and it never fails.
    _watching: JoinSet<()>,
}

/// Which hosts count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Hosts that are not connected are owed the change and not waited for.
    Connected,
    /// All of them.
    All,
}

impl Follower {
    /// Begins to watch, and returns when the watch stands. The hosts have `limit` together, from when they are waited for.
    ///
    /// # Errors
    /// When the engine is not reached or refuses.
    pub async fn start(engine: Engine, patience: Patience, limit: Duration) -> Result<Self, Failure> {
        let stream = engine.watch(Vec::new()).await.map_err(|status| Failure::of_call("hosts", status))?;
        let progress = Arc::new(Progress::new());
        let (sender, news) = watch::channel(News::new());
        let mut watching = JoinSet::new();
        watching.spawn(listen(engine.clone(), stream, sender, Arc::clone(&progress)));
        Ok(Self { engine, progress, patience, limit, news, _watching: watching })
    }

    /// Waits until each of `hosts` is in sync, or is owed its change where that is allowed, and then each of `vnics` is
    /// plugged as wanted.
    ///
    /// # Errors
    /// [`Failure::Host`] when one failed, after all have settled; [`Failure::Timeout`] when they do not settle in time.
    pub async fn settled(mut self, hosts: Vec<String>, vnics: Vec<String>) -> Result<(), Failure> {
        let stands = |names: Vec<String>| {
            names.into_iter().map(|name| (name, Stand { heard: None, text: "not yet asked".to_owned() })).collect()
        };
        let (mut hosts, mut vnics): (Open, Open) = (stands(hosts), stands(vnics));
        let limit = self.limit;
        let settling = async {
            let mut failed = self.settle(&mut hosts).await?;
            failed.extend(self.settle_vnics(&mut vnics).await?);
            Ok::<_, Failure>(failed)
        };
        let failed = match timeout(limit, settling).await {
            Ok(failed) => failed?,
            Err(_) => {
                let hosts = hosts.iter().map(|(host, stand)| format!("\n  {}  {}", id_of(host), stand.text));
                let vnics = vnics.iter().map(|(vnic, stand)| format!("\n  {vnic}  {}", stand.text));
                let lines: String = hosts.chain(vnics).collect();
                return Err(Failure::Timeout(format!("hosts take too long:{lines}")));
            }
        };
        if failed.is_empty() { Ok(()) } else { Err(Failure::Host(format!("not in sync: {}", failed.join(", ")))) }
    }

    /// Looks at each host whenever there is news of it, until none is open; returns those that failed.
    async fn settle(&mut self, open: &mut Open) -> Result<Vec<String>, Failure> {
        let mut failed = Vec::new();
        loop {
            let news = self.news.borrow_and_update().clone();
            for host in open.keys().cloned().collect::<Vec<_>>() {
                let heard = Some(news.get(&host).copied().unwrap_or_default());
                if open.get(&host).is_some_and(|stand| stand.heard == heard) {
                    continue;
                }
                let verdict = self.engine.host(&host).await?.as_ref().map_or(Verdict::Gone, Verdict::of);
                if self.waits_for(&verdict) {
                    open.insert(host, Stand { heard, text: verdict.text() });
                    continue;
                }
                self.progress.settle(id_of(&host), &verdict.text());
                open.remove(&host);
                if matches!(verdict, Verdict::Failed(_)) {
                    failed.push(id_of(&host).to_owned());
                }
            }
            if open.is_empty() {
                return Ok(failed);
            }
            self.more_news().await?;
        }
    }

    /// Looks at each vNIC whenever there is news of any host, until none is open; returns those that failed.
    async fn settle_vnics(&mut self, open: &mut Open) -> Result<Vec<String>, Failure> {
        let mut failed = Vec::new();
        loop {
            self.news.mark_unchanged();
            for vnic in open.keys().cloned().collect::<Vec<_>>() {
                let found = self.engine.get(Kind::Vnic, &vnic).await?;
                let verdict = found.as_ref().map_or(Verdict::Gone, |found| Verdict::of_vnic(&schema::typed(found)));
                if self.waits_for(&verdict) {
                    open.insert(vnic, Stand { heard: None, text: verdict.text() });
                    continue;
                }
                open.remove(&vnic);
                self.progress.settle(&vnic, &verdict.text());
                if matches!(verdict, Verdict::Failed(_)) {
                    failed.push(vnic);
                }
            }
            if open.is_empty() {
                return Ok(failed);
            }
            self.more_news().await?;
        }
    }

    async fn more_news(&mut self) -> Result<(), Failure> {
        // The listener ends only when the engine does not let it listen.
        let ended = |_| Failure::Host("the engine does not let its hosts be watched any more".to_owned());
        self.news.changed().await.map_err(ended)
    }

    fn waits_for(&self, verdict: &Verdict) -> bool {
        match verdict {
            Verdict::Waiting(_) => true,
            Verdict::Owed(_) => self.patience == Patience::All,
            Verdict::InSync | Verdict::Gone | Verdict::Failed(_) => false,
        }
    }
}

/// Shows progress and counts news, until aborted; opens the watch anew when it ends.
async fn listen(
    engine: Engine,
    mut stream: tonic::Streaming<wire::WatchHostsResponse>,
    news: watch::Sender<News>,
    progress: Arc<Progress>,
) {
    loop {
        let ended = loop {
            match stream.message().await {
                Ok(Some(response)) => heard(response.event, &news, &progress),
                Ok(None) => break None,
                Err(status) => break Some(status),
            }
        };
        debug!(status = ?ended, "watch ended");
        if ended.is_some_and(|status| matches!(status.code(), Code::PermissionDenied | Code::Unimplemented)) {
            return;
        }
        stream = loop {
            sleep(REOPEN_PAUSE).await;
            if let Ok(stream) = engine.watch(Vec::new()).await {
                break stream;
            }
        };
    }
}

fn heard(event: Option<Event>, news: &watch::Sender<News>, progress: &Progress) {
    match event {
        Some(Event::Host(wire::Host { name, .. }) | Event::Removed(name)) => {
            news.send_modify(|news| *news.entry(name).or_default() += 1);
        }
        Some(Event::Progress(step)) => {
            if let Some(SetupNetworksResponse { event: Some(event) }) = step.event {
                progress.event(id_of(&step.host), &event);
            }
        }
        Some(Event::Bookmark(_)) | None => {}
    }
}
