//! A watch over hosts: snapshots, a bookmark, then changes and progress.

use std::collections::{BTreeSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio_stream::Stream;
use tonic::Status;
use trestle_model::fleet::{EntityId, Host};
use trestle_model::{Findings, HostName};
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine::v1::watch_hosts_response::Event;
use trestle_proto::engine_wire::{self, Resource};
use trestle_proto::status::Refusal;
use trestle_store::Store;

use super::Api;
use super::hosts::{Shown, status};
use crate::session::{Board, BoardEvent};
use crate::states::HostStates;

/// The stream of a watch.
pub(super) type HostEvents = Pin<Box<dyn Stream<Item = Result<wire::WatchHostsResponse, Status>> + Send>>;

/// Opens a watch over the named hosts, or over all where none is named.
///
/// A watcher that lags behind gets snapshots anew, and another bookmark.
///
/// *Errors*: `INVALID_ARGUMENT` for a name that is no host's, `NOT_FOUND` for a host that does not exist.
pub(super) fn open(api: &Api, names: &[String]) -> Result<HostEvents, Status> {
    let (store, board, states) = (api.store.clone(), Arc::clone(&api.board), Arc::clone(&api.states));
    let wanted = wanted(&store, names)?;
    let events = board.subscribe();
    let queue = snapshots(&store, wanted.as_ref());
    let watch = Watch { store, board, states, wanted, events, queue };
    Ok(Box::pin(futures_util::stream::unfold(watch, |mut watch| async move {
        let event = watch.next().await?;
        Some((Ok(wire::WatchHostsResponse { event: Some(event) }), watch))
    })))
}

struct Watch {
    store: Store,
    board: Arc<Board>,
    states: Arc<HostStates>,
    wanted: Option<BTreeSet<HostName>>,
    events: Receiver<BoardEvent>,
    queue: VecDeque<Due>,
}

/// What is to be said before anything that happens next.
enum Due {
    /// A host, as it is when its turn comes.
    Snapshot(HostName),
    /// All snapshots were said; the revision is that of their beginning.
    Bookmark(u64),
}

impl Watch {
    /// Returns the next event; `None` when the engine stops. *Cancel safety*: safe, no event is lost.
    async fn next(&mut self) -> Option<Event> {
        loop {
            match self.queue.pop_front() {
                Some(Due::Snapshot(host)) => match snapshot(&self.store, &self.board, &self.states, &host) {
                    Some(event) => return Some(event),
                    None => continue,
                },
                Some(Due::Bookmark(generation)) => return Some(Event::Bookmark(wire::Bookmark { generation })),
                None => {}
            }
            match self.events.recv().await {
                Ok(BoardEvent::Changed(host)) if self.wants(&host) => {
                    self.queue.push_back(Due::Snapshot(host));
                }
                Ok(BoardEvent::Progress(host, event)) if self.wants(&host) => {
                    let host = EntityId::Host(host).to_string();
                    return Some(Event::Progress(wire::HostProgress { host, event: Some(*event) }));
                }
                Ok(BoardEvent::Removed(host)) if self.wants(&host) => {
                    return Some(Event::Removed(EntityId::Host(host).to_string()));
                }
                Ok(BoardEvent::Changed(_) | BoardEvent::Progress(..) | BoardEvent::Removed(_)) => {}
                Err(RecvError::Lagged(_)) => {
                    self.queue = snapshots(&self.store, self.wanted.as_ref());
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }

    fn wants(&self, host: &HostName) -> bool {
        self.wanted.as_ref().is_none_or(|wanted| wanted.contains(host))
    }
}

fn wanted(store: &Store, names: &[String]) -> Result<Option<BTreeSet<HostName>>, Refusal> {
    if names.is_empty() {
        return Ok(None);
    }
    let (mut hosts, mut faults) = (BTreeSet::new(), Vec::new());
    for (position, name) in names.iter().enumerate() {
        match engine_wire::parse_name_of::<wire::Host>(name, &format!("names[{position}]")) {
            Ok(host) => {
                hosts.insert(host);
            }
            Err(findings) => faults.extend(findings.0),
        }
    }
    if !faults.is_empty() {
        return Err(Refusal::malformed(Findings(faults)));
    }
    let missing = store.read(|fleet| hosts.iter().find(|host| !fleet.hosts().contains_key(*host)).cloned());
    match missing {
        Some(host) => Err(engine_wire::missing(&EntityId::Host(host), "names").into()),
        None => Ok(Some(hosts)),
    }
}

fn snapshots(store: &Store, wanted: Option<&BTreeSet<HostName>>) -> VecDeque<Due> {
    let generation = store.revision();
    let hosts: Vec<HostName> = match wanted {
        Some(wanted) => wanted.iter().cloned().collect(),
        None => store.read(|fleet| fleet.hosts().keys().cloned().collect()),
    };
    hosts.into_iter().map(Due::Snapshot).chain([Due::Bookmark(generation)]).collect()
}

/// Shows a host as it is now, without its capabilities; `None` for one that is gone.
fn snapshot(store: &Store, board: &Board, states: &HostStates, host: &HostName) -> Option<Event> {
    let entity: Host = store.read(|fleet| fleet.hosts().get(host).cloned())?;
    let mut shown = wire::Host::build(&entity);
    shown.status = Some(status(store, board, states, host, Shown::WithoutCapabilities));
    Some(Event::Host(shown))
}
