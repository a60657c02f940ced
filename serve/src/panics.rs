//! Panics in handlers: caught, logged, answered `INTERNAL` without a word of what happened.
//!
//! The panic's own text is logged by the process's panic hook. A panic in a task of the program is another matter: the
//! program stops then.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;
use tracing::error;

use crate::around::{Around, Calls, refusal};
use crate::ending::trailers;
use crate::status;

/// Catches the panics of handlers, in calls and in response streams.
#[derive(Clone)]
pub(crate) struct CatchPanics;

impl Around for CatchPanics {
    async fn around<S: Calls>(self, request: Request<Body>, mut inner: S) -> Response<Body> {
        let answer = async move { inner.answer(request).await };
        // The service's clone goes away with the panic; what handlers share must be sound by itself.
        match AssertUnwindSafe(answer).catch_unwind().await {
            Ok(response) => response.map(|inner| Body::new(CaughtBody { inner: Some(inner) })),
            Err(_payload) => {
                error!("handler panicked");
                refusal(status::panicked())
            }
        }
    }
}

struct CaughtBody {
    /// Absent after a panic.
    inner: Option<Body>,
}

impl http_body::Body for CaughtBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        match catch_unwind(AssertUnwindSafe(|| Pin::new(inner).poll_frame(context))) {
            Ok(frame) => frame,
            Err(_payload) => {
                error!("handler panicked in its response stream");
                self.inner = None;
                Poll::Ready(Some(Ok(trailers(&status::panicked()))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), http_body::Body::size_hint)
    }
}
