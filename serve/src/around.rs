//! The plumbing that all layers of this crate share: one thing done around every call.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tower::Service;

/// A gRPC service, or what is left of the stack below a layer.
pub(crate) trait Calls:
    Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send + 'static> + Clone + Send + 'static
{
    /// Makes the call; these services have no failure but a status in the response.
    fn answer(&mut self, request: Request<Body>) -> impl Future<Output = Response<Body>> + Send + use<Self> {
        self.call(request).map(|result| match result {
            Ok(response) => response,
            Err(never) => match never {},
        })
    }
}

impl<S> Calls for S where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send + 'static>
        + Clone
        + Send
        + 'static
{
}

/// What a layer does around one call.
pub(crate) trait Around: Clone + Send + 'static {
    /// Answers a request, usually by way of the inner service, in the span of the call.
    fn around<S: Calls>(
        self,
        request: Request<Body>,
        inner: S,
    ) -> impl Future<Output = Response<Body>> + Send + use<Self, S>;
}

/// A service with something done around each of its calls.
#[derive(Clone)]
pub(crate) struct Layered<A, S> {
    around: A,
    inner: S,
}

impl<A, S> Layered<A, S> {
    pub(crate) fn new(around: A, inner: S) -> Self {
        Self { around, inner }
    }
}

impl<A: Around, S: Calls> Service<Request<Body>> for Layered<A, S> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The clone that was polled ready must be the one that is called.
        let unready = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, unready);
        Box::pin(self.around.clone().around(request, ready).map(Ok))
    }
}

/// Makes the response that consists of a status alone.
pub(crate) fn refusal(status: Status) -> Response<Body> {
    status.into_http()
}
