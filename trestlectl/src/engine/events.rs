//! The engine's events.

use tonic::{Code, Request, Status, Streaming};
use trestle_proto::engine::v1::event_service_client::EventServiceClient;
use trestle_proto::engine::v1::{Event, GetEventRequest, ListEventsRequest, WatchEventsRequest, WatchEventsResponse};
use trestle_serve::Connection;

use super::{Engine, retry};
use crate::failure::Failure;

/// The largest page that the engine gives.
const LARGEST_PAGE: usize = 1000;

impl Engine {
    /// Returns an event; none where there is none.
    ///
    /// # Errors
    /// When the engine is not reached or refuses.
    pub(crate) async fn event(&self, name: &str) -> Result<Option<Event>, Failure> {
        let answer = retry::idempotent(|| async {
            self.events_client().get_event(self.timed(GetEventRequest { name: name.to_owned() })).await
        });
        match answer.await {
            Ok(answer) => Ok(answer.into_inner().event),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(Failure::of_call(name, status)),
        }
    }

    /// Returns the first `limit` events that meet the conditions of `asked`, page by page.
    ///
    /// # Errors
    /// When the engine is not reached or refuses.
    pub(crate) async fn events(&self, mut asked: ListEventsRequest, limit: usize) -> Result<Vec<Event>, Failure> {
        let mut found = Vec::new();
        while found.len() < limit {
            asked.page_size = (limit - found.len()).min(LARGEST_PAGE).try_into().unwrap_or(i32::MAX);
            let answer =
                retry::idempotent(|| async { self.events_client().list_events(self.timed(asked.clone())).await });
            let page = answer.await.map_err(|status| Failure::of_call("events", status))?.into_inner();
            found.extend(page.events);
            asked.page_token = page.next_page_token;
            if asked.page_token.is_empty() {
                break;
            }
        }
        Ok(found)
    }

    /// Is told events as they come. The stream has no deadline of its own.
    ///
    /// # Errors
    /// The engine's status.
    pub(crate) async fn watch_events(
        &self,
        asked: &WatchEventsRequest,
    ) -> Result<Streaming<WatchEventsResponse>, Status> {
        let answer =
            retry::idempotent(|| async { self.events_client().watch_events(Request::new(asked.clone())).await });
        answer.await.map(tonic::Response::into_inner)
    }

    fn events_client(&self) -> EventServiceClient<Connection> {
        EventServiceClient::new(self.connection.clone())
    }
}
