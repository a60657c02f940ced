//! Drain: what becomes of calls when the server shuts down.
//!
//! Response streams are ended with `UNAVAILABLE` a short grace after the drain began; a call that has no response yet
//! may finish until it is abandoned. So no client can hold the server up by keeping a stream open.

use std::time::Duration;

use http::{Request, Response};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;

use crate::around::{Around, Calls, refusal};
use crate::ending::end_when;
use crate::status;

/// Ends calls when the server drains.
#[derive(Clone)]
pub(crate) struct Drain {
    /// Cancelled when the drain begins.
    pub(crate) begun: CancellationToken,
    /// Cancelled when unanswered calls have had their time.
    pub(crate) abandoned: CancellationToken,
    /// How long streams go on after the drain began.
    pub(crate) stream_grace: Duration,
}

impl Around for Drain {
    async fn around<S: Calls>(self, request: Request<Body>, mut inner: S) -> Response<Body> {
        // Cancel safety: a call that loses is dropped, and over then.
        tokio::select! {
            biased;
            response = inner.answer(request) => end_when(response, async move {
                self.begun.cancelled().await;
                sleep(self.stream_grace).await;
                status::draining()
            }),
            () = self.abandoned.cancelled() => refusal(status::draining()),
        }
    }
}
