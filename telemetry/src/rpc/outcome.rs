//! How a call ended, written into its span once: by headers, by trailers, by an error, or by its being dropped.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Frame, SizeHint};
use tonic::body::Body;
use tonic::{Code, Status};
use tracing::Span;

use crate::names;

/// Tells the two ends apart: what is an error for a client may be fine for the server.
#[derive(Clone, Copy)]
pub(super) enum Side {
    Client,
    Server,
}

/// Writes the outcome of one call into its span; a call that is dropped before it ended counts as cancelled.
pub(super) struct Outcome {
    span: Span,
    side: Side,
    pending: bool,
}

impl Outcome {
    pub(super) fn of(span: Span, side: Side) -> Self {
        Self { span, side, pending: true }
    }

    pub(super) fn failed(mut self) {
        self.record(Code::Unavailable);
    }

    /// Watches a response to its end.
    pub(super) fn watch(mut self, response: Response<Body>) -> Response<Body> {
        if let Some(status) = Status::from_header_map(response.headers()) {
            self.record(status.code());
        }
        response.map(|inner| Body::new(WatchedBody { inner, outcome: self }))
    }

    fn trailers(&mut self, trailers: &HeaderMap) {
        let code = Status::from_header_map(trailers).map_or(Code::Unknown, |status| status.code());
        self.record(code);
    }

    fn record(&mut self, code: Code) {
        if !self.pending {
            return;
        }
        self.pending = false;
        let name = name(code);
        self.span.record(names::RPC_RESPONSE_STATUS_CODE, name);
        if is_error(code, self.side) {
            self.span.record(names::ERROR_TYPE, name);
            self.span.record(names::OTEL_STATUS_CODE, "ERROR");
        }
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        self.record(Code::Cancelled);
    }
}

/// Passes a body through and notes its trailers.
struct WatchedBody {
    inner: Body,
    outcome: Outcome,
}

impl http_body::Body for WatchedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let span = self.outcome.span.clone();
        let _entered = span.enter();
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    self.outcome.trailers(trailers);
                }
            }
            Some(Err(status)) => self.outcome.record(status.code()),
            None => self.outcome.record(Code::Unknown),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Tells whether a code marks the span as failed. A client's mistake is not the server's error.
///
/// Source: OpenTelemetry semantic conventions for gRPC.
fn is_error(code: Code, side: Side) -> bool {
    match side {
        Side::Client => code != Code::Ok,
        Side::Server => matches!(
            code,
            Code::Unknown
                | Code::DeadlineExceeded
                | Code::Unimplemented
                | Code::Internal
                | Code::Unavailable
                | Code::DataLoss
        ),
    }
}

/// Returns the name of a status code as the gRPC specification spells it.
fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
