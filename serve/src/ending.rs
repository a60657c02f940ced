//! A response body that ends early, with a status, when something happens first.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Body as _, Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;

/// Resolves to the status that a response is to end with.
type End = Pin<Box<dyn Future<Output = Status> + Send>>;

/// Lets a response stream run until `end` resolves, then ends it with that status and drops what is left of it.
///
/// A response without a body is returned as it is.
pub(crate) fn end_when(response: Response<Body>, end: impl Future<Output = Status> + Send + 'static) -> Response<Body> {
    if response.body().is_end_stream() {
        return response;
    }
    response.map(|inner| Body::new(Ending { inner: Some(inner), end: Box::pin(end) }))
}

/// Makes the trailers that end a response with a status.
pub(crate) fn trailers(status: &Status) -> Frame<Bytes> {
    let mut trailers = HeaderMap::new();
    if let Err(unprintable) = status.add_header(&mut trailers) {
        // The text cannot be a header: the code alone still ends the call rightly.
        trailers.clear();
        let code = Status::new(unprintable.code(), "");
        drop(code.add_header(&mut trailers));
    }
    Frame::trailers(trailers)
}

struct Ending {
    /// Absent once the response has ended.
    inner: Option<Body>,
    end: End,
}

impl http_body::Body for Ending {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
        // The end comes first: a stream that always has something to say must not outrun it.
        if let Poll::Ready(status) = this.end.as_mut().poll(context) {
            this.inner = None;
            return Poll::Ready(Some(Ok(trailers(&status))));
        }
        Pin::new(inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), http_body::Body::size_hint)
    }
}
