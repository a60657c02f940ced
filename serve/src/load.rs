//! Load: how many calls a server has in hand before it sends new ones away.
//!
//! A call counts until its handler has answered; a response stream does not count while it runs, since the transport
//! bounds the streams of each connection. Health checks are always let through.

use std::sync::Arc;

use http::{Request, Response};
use tokio::sync::Semaphore;
use tonic::body::Body;

use crate::around::{Around, Calls, refusal};
use crate::status;

const HEALTH: &str = "/grpc.health.v1.Health/";

/// Refuses calls beyond the limit at once, with `RESOURCE_EXHAUSTED` and a time to retry after: there is no queue.
#[derive(Clone)]
pub(crate) struct Load(Arc<Semaphore>);

impl Load {
    pub(crate) fn new(most_in_hand: usize) -> Self {
        Self(Arc::new(Semaphore::new(most_in_hand)))
    }
}

impl Around for Load {
    async fn around<S: Calls>(self, request: Request<Body>, mut inner: S) -> Response<Body> {
        if request.uri().path().starts_with(HEALTH) {
            return inner.answer(request).await;
        }
        match self.0.try_acquire() {
            Ok(_permit) => inner.answer(request).await,
            Err(_) => refusal(status::overloaded()),
        }
    }
}
