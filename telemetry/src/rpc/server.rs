//! The server's end: a span for every call that comes in.

use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use tonic::body::Body;
use tower::{Layer, Service};
use tracing::field::Empty;
use tracing::{Instrument as _, Span, info_span};

use super::outcome::{Outcome, Side};
use super::{SYSTEM, method};
use crate::names;
use crate::trace_context::{self, TraceContext};

/// Wraps a gRPC service so that each call gets a server span.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServerLayer;

/// Serves calls, each in a server span; made by [`ServerLayer`].
#[derive(Clone, Debug)]
pub struct Server<S> {
    inner: S,
}

impl<S> Layer<S> for ServerLayer {
    type Service = Server<S>;

    fn layer(&self, inner: S) -> Server<S> {
        Server { inner }
    }
}

impl<S> Service<Request<Body>> for Server<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let span = span(method(request.uri().path()));
        trace_context::set_parent(&span, &TraceContext::from_headers(request.headers()));
        let outcome = Outcome::of(span.clone(), Side::Server);
        let response = span.in_scope(|| self.inner.call(request));
        Box::pin(
            async move {
                match response.await {
                    Ok(response) => Ok(outcome.watch(response)),
                    Err(error) => {
                        outcome.failed();
                        Err(error)
                    }
                }
            }
            .instrument(span),
        )
    }
}

fn span(method: &str) -> Span {
    info_span!(
        "rpc",
        { names::OTEL_NAME } = method,
        { names::OTEL_KIND } = "server",
        { names::RPC_SYSTEM_NAME } = SYSTEM,
        { names::RPC_METHOD } = method,
        { names::RPC_RESPONSE_STATUS_CODE } = Empty,
        { names::ERROR_TYPE } = Empty,
        { names::OTEL_STATUS_CODE } = Empty,
        { names::REQUEST_ID } = Empty,
        { names::PEER } = Empty,
    )
}
