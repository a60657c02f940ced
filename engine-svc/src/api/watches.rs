//! A watch over the desired state: a snapshot, a bookmark, then changes as the ledger has them.
//!
//! A watch is a place, in a collection while it tells its snapshot and in the ledger from then on. It has no queue that
//! writers fill, so a slow client costs no more than what it is told next.

mod labelled;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_stream::Stream;
use tonic::{Request, Response, Status};
use trestle_model::fleet::{Entity, EntityId, Fleet};
use trestle_model::{Code, Finding};
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine::v1::watch_response::News;
use trestle_proto::engine::v1::watch_service_server::WatchService;
use trestle_proto::engine_wire;
use trestle_proto::status::Refusal;
use trestle_store::{Change, Order, Store, StoreError};

use super::events::reading;
use super::kinds::Kind;
use super::resume;
use labelled::Touched;

/// How many resources of a snapshot are copied at once.
const COPIED_AT_ONCE: usize = 64;
/// How many events are looked at in one turn.
const EVENTS_AT_ONCE: usize = 2000;
/// How many changed resources are told between two bookmarks, or those of one event.
const CHANGES_AT_ONCE: usize = 4096;

/// Serves `WatchService`.
#[derive(Debug, Clone)]
pub struct Watches(pub Store);

#[tonic::async_trait]
impl WatchService for Watches {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<wire::WatchResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<wire::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        super::require_user(&request)?;
        let wire::WatchRequest { collections, parent, resume_token } = request.into_inner();
        let scope = Scope::parse(&self.0, &collections, &parent)?;
        let watch = if resume_token.is_empty() {
            Watch::begin(self.0.clone(), scope)
        } else {
            let revision = reading(&self.0, move |store| resume::revision(store, &resume_token)).await??;
            Watch::at(self.0.clone(), scope, revision)
        };
        Ok(Response::new(Box::pin(futures_util::stream::unfold(watch, |mut watch| async move {
            let news = watch.next().await.transpose()?;
            Some((news.map(|news| wire::WatchResponse { news: Some(news) }), watch))
        }))))
    }
}

/// What is watched.
#[derive(Debug)]
struct Scope {
    kinds: BTreeSet<Kind>,
    parent: Option<EntityId>,
}

impl Scope {
    /// *Errors*: `NAME_INVALID` for a collection that there is not, and for a parent that is no name; `NOT_FOUND`.
    fn parse(store: &Store, collections: &[String], parent: &str) -> Result<Self, Refusal> {
        let mut kinds = BTreeSet::new();
        for (position, name) in collections.iter().enumerate() {
            let kind = Kind::ALL.iter().find(|kind| kind.collection() == name);
            kinds.insert(*kind.ok_or_else(|| {
                let names: Vec<_> = Kind::ALL.iter().map(|kind| kind.collection()).collect();
                Refusal::from(
                    Finding::error(Code::NameInvalid, format!("collections[{position}]"), "it is no collection")
                        .remedy(format!("give one of {}", names.join(", "))),
                )
            })?);
        }
        if kinds.is_empty() {
            kinds = Kind::ALL.iter().copied().collect();
        }
        let parent = match parent {
            "" => None,
            parent => Some(engine_wire::parse_name(parent, "parent").map_err(Refusal::malformed)?),
        };
        match &parent {
            Some(id) if store.read(|fleet| fleet.entity(id).is_none()) => {
                Err(engine_wire::missing(id, "parent").into())
            }
            Some(_) | None => Ok(Self { kinds, parent }),
        }
    }

    fn has(&self, id: &EntityId) -> bool {
        let is_below = |parent: &EntityId| {
            let name = id.to_string();
            name.strip_prefix(&parent.to_string()).is_some_and(|rest| rest.starts_with('/'))
        };
        self.kinds.contains(&Kind::of(id)) && self.parent.as_ref().is_none_or(is_below)
    }
}

struct Watch {
    store: Store,
    head: watch::Receiver<u64>,
    scope: Arc<Scope>,
    /// The kinds whose snapshots are to come, and where in the first of them it stands.
    snapshot: VecDeque<Kind>,
    copied: Option<EntityId>,
    /// What changed up to this revision was told, once what is due was.
    at: u64,
    /// The revision of the last bookmark.
    marked: Option<u64>,
    due: VecDeque<Due>,
}

/// What is to be told next.
enum Due {
    /// A resource of the snapshot.
    Resource(Box<Entity>),
    /// What last happened to a resource, among the events of one turn.
    Changed(EntityId, u64, Change),
}

impl Watch {
    fn begin(store: Store, scope: Scope) -> Self {
        let revision = store.revision();
        let snapshot = scope.kinds.iter().copied().collect();
        Self { snapshot, ..Self::at(store, scope, revision) }
    }

    fn at(store: Store, scope: Scope, revision: u64) -> Self {
        let (head, scope) = (store.subscribe(), Arc::new(scope));
        let (snapshot, due) = (VecDeque::new(), VecDeque::new());
        Self { store, head, scope, snapshot, copied: None, at: revision, marked: None, due }
    }

    /// Returns the next piece of news; `None` when the store is gone; an engine that stops drops the stream. *Cancel safety*: safe, nothing is lost.
    async fn next(&mut self) -> Result<Option<News>, Status> {
        loop {
            match self.due.pop_front() {
                Some(Due::Resource(entity)) => return Ok(Some(News::Resource(engine_wire::build_any(&entity)))),
                Some(Due::Changed(id, revision, change)) => match self.changed(&id, revision, change) {
                    Some(news) => return Ok(Some(news)),
                    None => continue,
                },
                None => {}
            }
            if let Some(kind) = self.snapshot.front().copied() {
                self.copy_on(kind);
            } else if self.marked != Some(self.at) {
                let at = self.at;
                let resume_token = reading(&self.store, move |store| resume::token(store, at)).await?;
                self.marked = Some(at);
                return Ok(Some(News::Bookmark(wire::WatchMark { revision: at, resume_token })));
            } else if self.at < *self.head.borrow_and_update() {
                self.read_on().await?;
            } else if self.head.changed().await.is_err() {
                return Ok(None);
            }
        }
    }

    /// Copies what comes next of the snapshot.
    fn copy_on(&mut self, kind: Kind) {
        let parent = self.scope.parent.as_ref();
        let page = self.store.read(|fleet| kind.page(fleet, parent, self.copied.as_ref(), COPIED_AT_ONCE));
        self.copied = page.last().map(Entity::id);
        if self.copied.is_none() {
            self.snapshot.pop_front();
        }
        self.due = page.into_iter().map(|entity| Due::Resource(Box::new(entity))).collect();
    }

    /// Reads what comes next in the ledger, each resource once, by what last happened to it.
    async fn read_on(&mut self) -> Result<(), Status> {
        // Not beyond: the ledger is ahead of memory for a moment.
        let (at, head, scope) = (self.at, *self.head.borrow(), Arc::clone(&self.scope));
        let (at, changes) =
            reading(&self.store, move |store| last_changes(store, at.saturating_add(1), head, &scope)).await?;
        let mut changes: Vec<_> = changes.into_iter().map(|(id, (revision, change))| (revision, id, change)).collect();
        changes.sort_by_key(|(revision, ..)| *revision);
        self.at = at;
        self.due = changes.into_iter().map(|(revision, id, change)| Due::Changed(id, revision, change)).collect();
        Ok(())
    }

    /// Tells a change as things are now; nothing where a later turn tells of the resource again.
    fn changed(&self, id: &EntityId, revision: u64, change: Change) -> Option<News> {
        match change {
            Change::Deleted => Some(match self.store.read(|fleet| attached_by_label(fleet, id)) {
                Some(attachment) => News::Resource(engine_wire::build_any(&attachment)),
                None => News::Removed(wire::RemovedResource { name: id.to_string(), revision }),
            }),
            Change::Created | Change::Updated => {
                let entity = self.store.read(|fleet| fleet.entity(id).or_else(|| attached_by_label(fleet, id)))?;
                let is_of_this_turn = entity.meta().revision <= self.at;
                is_of_this_turn.then(|| News::Resource(engine_wire::build_any(&entity)))
            }
        }
    }
}

/// What last happened to each resource.
type Changes = BTreeMap<EntityId, (u64, Change)>;

/// Gathers changes from revision `first` on, and returns how far it came.
fn last_changes(store: &Store, first: u64, head: u64, scope: &Scope) -> Result<(u64, Changes), StoreError> {
    let (mut at, mut seen, mut changes, mut touched) = (head, 0, Changes::new(), Touched::default());
    store.visit_events(first..=head, Order::OldestFirst, |event| {
        (at, seen) = (event.revision, seen + 1);
        if scope.kinds.contains(&Kind::NetworkAttachment) {
            touched.note(&event);
        }
        let wanted = event.mutations.into_iter().filter(|(id, _)| scope.has(id));
        changes.extend(wanted.map(|(id, change)| (id, (event.revision, change))));
        if seen >= EVENTS_AT_ONCE || changes.len() >= CHANGES_AT_ONCE {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    let labelled = store.read(|fleet| touched.attachments(fleet));
    for (id, change) in labelled.into_iter().filter(|(id, _)| scope.has(id)) {
        changes.entry(id).or_insert((at, change));
    }
    Ok((at, changes))
}

/// Returns a network that a label puts on a host, where no write of its own does.
fn attached_by_label(fleet: &Fleet, id: &EntityId) -> Option<Entity> {
    let EntityId::NetworkAttachment(host, network) = id else { return None };
    let attachment = fleet.attachments().get(&(host.clone(), network.clone()))?;
    attachment.by.is_label().then(|| Entity::NetworkAttachment(attachment.clone()))
}
