//! Events: who changed what, as pages and as a stream.

mod build;
mod tail;
mod wanted;

use std::ops::{ControlFlow, RangeInclusive};

use prost::Message as _;
use prost_types::Timestamp;
use tonic::{Request, Response, Status};
use tracing::error;
use trestle_model::{Code, Finding};
use trestle_proto::engine::v1 as wire;
use trestle_proto::engine::v1::event_service_server::EventService;
use trestle_proto::page::{self, Page};
use trestle_proto::status::Refusal;
use trestle_store::{Order, Store, StoreError};
use trestle_telemetry::chain;

use super::PAGE_BYTES;
use tail::{EventNews, Tail};
use wanted::Wanted;

const COLLECTION: &str = "events/";
/// How many events one page or one turn of a stream looks at: what is wanted may be rare.
const SEEN_AT_ONCE: usize = 2000;

/// Serves `EventService`.
#[derive(Debug, Clone)]
pub struct Events(pub Store);

#[tonic::async_trait]
impl EventService for Events {
    type WatchEventsStream = EventNews;

    async fn get_event(
        &self,
        request: Request<wire::GetEventRequest>,
    ) -> Result<Response<wire::GetEventResponse>, Status> {
        super::require_user(&request)?;
        let revision = parse_name(&request.get_ref().name)?;
        let event = reading(&self.0, move |store| {
            let mut found = None;
            store.visit_events(revision..=revision, Order::OldestFirst, |event| {
                found = Some(build::event(event));
                ControlFlow::Break(())
            })?;
            Ok(found)
        });
        let event = event.await?.ok_or_else(|| {
            let finding = Finding::error(Code::NotFound, "name", format!("there is no {COLLECTION}{revision}"));
            Refusal::from(finding.remedy("list the events"))
        })?;
        Ok(Response::new(wire::GetEventResponse { event: Some(event) }))
    }

    async fn list_events(
        &self,
        request: Request<wire::ListEventsRequest>,
    ) -> Result<Response<wire::ListEventsResponse>, Status> {
        super::require_user(&request)?;
        let wish = request.into_inner();
        Ok(Response::new(reading(&self.0, move |store| list(store, &wish)).await??))
    }

    async fn watch_events(
        &self,
        request: Request<wire::WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        super::require_user(&request)?;
        let wish = request.into_inner();
        let wanted = Wanted::parse(&wish.resource, &wish.actor, &wish.code)?;
        Ok(Response::new(Tail::open(self.0.clone(), wish.after_revision, wanted)?))
    }
}

fn list(
    store: &Store,
    wish: &wire::ListEventsRequest,
) -> Result<Result<wire::ListEventsResponse, Refusal>, StoreError> {
    let asked = Wanted::parse(&wish.resource, &wish.actor, &wish.code).and_then(|wanted| {
        let order = order(wish)?;
        let query = query(wish, order);
        let page = Page::parse(wish.page_size, &wish.page_token, &query).map_err(Refusal::malformed)?;
        Ok((wanted.between(ms(wish.start_time.as_ref()), ms(wish.end_time.as_ref())), order, query, page))
    });
    let (wanted, order, query, page) = match asked {
        Ok(asked) => asked,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let after = page.after.as_deref().and_then(|revision| revision.parse().ok());
    let Some(revisions) = revisions(store, &wanted, order, after)? else { return Ok(Ok(Default::default())) };
    let mut answer = wire::ListEventsResponse::default();
    let (mut seen, mut bytes) = (0, 0);
    store.visit_events(revisions, order, |event| {
        let revision = event.revision;
        seen += 1;
        let mut is_full = seen >= SEEN_AT_ONCE;
        if wanted.has(&event) {
            let event = build::event(event);
            bytes += event.encoded_len();
            // An event that no longer fits is the next page's first.
            if bytes > PAGE_BYTES && !answer.events.is_empty() {
                return ControlFlow::Break(());
            }
            answer.events.push(event);
            is_full |= answer.events.len() >= page.size;
        }
        answer.next_page_token = page::next_token(&query, &revision.to_string());
        if is_full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    let is_short = seen < SEEN_AT_ONCE && answer.events.len() < page.size && bytes <= PAGE_BYTES;
    if is_short {
        answer.next_page_token.clear();
    }
    Ok(Ok(answer))
}

/// Returns the revisions that a list goes over from `after` on; none where there are none.
fn revisions(
    store: &Store,
    wanted: &Wanted,
    order: Order,
    after: Option<u64>,
) -> Result<Option<RangeInclusive<u64>>, StoreError> {
    let mut first = wanted.since_ms.map_or(Ok(Some(0)), |since| store.first_event_since(since))?;
    let mut last = Some(u64::MAX);
    if let Some(until) = wanted.until_ms
        && let Some(beyond) = store.first_event_since(until)?
    {
        last = beyond.checked_sub(1);
    }
    match (order, after) {
        (Order::OldestFirst, Some(after)) => first = first.map(|first| first.max(after.saturating_add(1))),
        (Order::NewestFirst, Some(after)) => last = last.and_then(|last| Some(last.min(after.checked_sub(1)?))),
        (Order::OldestFirst | Order::NewestFirst, None) => {}
    }
    Ok(first.zip(last).filter(|(first, last)| first <= last).map(|(first, last)| first..=last))
}

fn order(wish: &wire::ListEventsRequest) -> Result<Order, Refusal> {
    match wire::EventOrder::try_from(wish.order) {
        Ok(wire::EventOrder::Unspecified | wire::EventOrder::NewestFirst) => Ok(Order::NewestFirst),
        Ok(wire::EventOrder::OldestFirst) => Ok(Order::OldestFirst),
        Err(_) => {
            let finding = Finding::error(Code::EnumUnknown, "order", format!("{} is no known value", wish.order));
            Err(finding.remedy("give one of the values in the API reference").into())
        }
    }
}

/// Spells all conditions, so that a page's token fits its own question only.
fn query(wish: &wire::ListEventsRequest, order: Order) -> String {
    let wire::ListEventsRequest { resource, actor, start_time, end_time, code, .. } = wish;
    format!("{COLLECTION}{order:?} {resource:?} {actor:?} {start_time:?} {end_time:?} {code:?}")
}

fn parse_name(name: &str) -> Result<u64, Refusal> {
    let revision = name.strip_prefix(COLLECTION).and_then(|revision| revision.parse::<u64>().ok());
    revision.filter(|revision| format!("{COLLECTION}{revision}") == name).ok_or_else(|| {
        let finding = Finding::error(Code::NameInvalid, "name", "it is not the name of an event");
        finding.remedy("write it as events/{revision}").into()
    })
}

/// Milliseconds since the Unix epoch; a time before it is 0.
fn ms(time: Option<&Timestamp>) -> Option<u64> {
    let time = time?;
    let whole = u64::try_from(time.seconds).unwrap_or_default().saturating_mul(1000);
    // What begins within a millisecond begins at its end.
    let nanos = u64::try_from(time.nanos).unwrap_or_default();
    Some(whole.saturating_add(nanos.div_ceil(1_000_000)))
}

/// Reads the disk on the blocking pool. *Cancel safety*: safe.
pub(super) async fn reading<R: Send + 'static>(
    store: &Store,
    read: impl FnOnce(&Store) -> Result<R, StoreError> + Send + 'static,
) -> Result<R, Status> {
    let store = store.clone();
    match tokio::task::spawn_blocking(move || read(&store)).await {
        Ok(read) => Ok(read.map_err(|failed| unread(&failed))?),
        Err(died) => {
            error!(error = %chain(&died), "reading of events died");
            Err(Status::internal("reading of events died"))
        }
    }
}

fn unread(failed: &StoreError) -> Refusal {
    error!(error = %chain(failed), "store failed");
    Finding::error(Code::StoreFailed, "", "the store cannot be read")
        .remedy("look at the engine's log, and try again")
        .into()
}
