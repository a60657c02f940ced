//! Events as they come: a place in the ledger, so that a slow client costs no memory.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;

use prost::Message as _;
use tokio::sync::watch;
use tokio_stream::Stream;
use tonic::Status;
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine::v1::watch_events_response::News;
use trestle_proto::status::Refusal;
use trestle_store::{Order, Store};

use super::wanted::Wanted;
use super::{PAGE_BYTES, SEEN_AT_ONCE, build, reading};
use crate::api::resume;

/// The stream of a watch.
pub(super) type EventNews = Pin<Box<dyn Stream<Item = Result<wire::WatchEventsResponse, Status>> + Send>>;

/// A client's place in the ledger.
pub(super) struct Tail {
    store: Store,
    revision: watch::Receiver<u64>,
    wanted: Arc<Wanted>,
    /// Every wanted event up to it was told or is due.
    at: u64,
    /// The last bookmark or event that was told.
    told: Option<u64>,
    due: VecDeque<wire::Event>,
}

impl Tail {
    /// Opens a stream of the wanted events after revision `after`, or of those that come.
    ///
    /// *Errors*: `RESUME_TOKEN_EXPIRED` for a revision that the store has not come to.
    pub(super) fn open(store: Store, after: Option<u64>, wanted: Wanted) -> Result<EventNews, Refusal> {
        let revision = store.subscribe();
        let head = store.revision();
        let at = after.unwrap_or(head);
        if at > head {
            return Err(resume::ahead("after_revision", at, head));
        }
        let tail = Self { store, revision, wanted: wanted.into(), at, told: None, due: VecDeque::new() };
        Ok(Box::pin(futures_util::stream::unfold(tail, |mut tail| async move {
            let news = tail.next().await.transpose()?;
            Some((news.map(|news| wire::WatchEventsResponse { news: Some(news) }), tail))
        })))
    }

    /// Returns the next piece of news; `None` when the store is gone; an engine that stops drops the stream. *Cancel safety*: safe, nothing is lost.
    async fn next(&mut self) -> Result<Option<News>, Status> {
        loop {
            if let Some(event) = self.due.pop_front() {
                self.told = Some(event.revision);
                return Ok(Some(News::Event(event)));
            }
            if self.at < *self.revision.borrow_and_update() {
                self.read_on().await?;
            } else if self.told != Some(self.at) {
                self.told = Some(self.at);
                return Ok(Some(News::Bookmark(self.at)));
            } else if self.revision.changed().await.is_err() {
                return Ok(None);
            }
        }
    }

    /// Reads what comes next: no more than a message's worth.
    async fn read_on(&mut self) -> Result<(), Status> {
        let (at, wanted) = (self.at, Arc::clone(&self.wanted));
        let (at, due) = reading(&self.store, move |store| {
            let (mut at, mut due, mut seen, mut bytes) = (at, VecDeque::new(), 0, 0);
            store.visit_events(at.saturating_add(1)..=u64::MAX, Order::OldestFirst, |event| {
                (at, seen) = (event.revision, seen + 1);
                if wanted.has(&event) {
                    let event = build::event(event);
                    bytes += event.encoded_len();
                    due.push_back(event);
                }
                if seen >= SEEN_AT_ONCE || bytes >= PAGE_BYTES {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })?;
            Ok((at, due))
        })
        .await?;
        (self.at, self.due) = (at, due);
        Ok(())
    }
}
