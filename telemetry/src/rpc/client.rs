//! The client's end: a span for every call that goes out, and its context in the call's headers.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tonic::body::Body;
use tower::{Layer, Service};
use tracing::field::Empty;
use tracing::{Instrument as _, Span, info_span};

use super::outcome::{Outcome, Side};
use super::{SYSTEM, method};
use crate::{names, trace_context};

/// Wraps a gRPC channel so that each call gets a client span and carries its context.
#[derive(Clone, Debug)]
pub struct ClientLayer {
    server_address: Arc<str>,
}

/// Makes calls, each in a client span; made by [`ClientLayer`].
#[derive(Clone, Debug)]
pub struct Client<S> {
    inner: S,
    server_address: Arc<str>,
}

impl ClientLayer {
    /// Makes a layer for calls to one server, which spans name as `server.address`.
    #[must_use]
    pub fn new(server_address: &str) -> Self {
        Self { server_address: server_address.into() }
    }
}

impl<S> Layer<S> for ClientLayer {
    type Service = Client<S>;

    fn layer(&self, inner: S) -> Client<S> {
        Client { inner, server_address: Arc::clone(&self.server_address) }
    }
}

impl<S> Service<Request<Body>> for Client<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Error: Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let span = span(method(request.uri().path()), &self.server_address);
        let context = trace_context::of(&span);
        if !context.is_empty() {
            context.write_headers(request.headers_mut());
        }
        let outcome = Outcome::of(span.clone(), Side::Client);
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

fn span(method: &str, server_address: &str) -> Span {
    info_span!(
        "rpc",
        { names::OTEL_NAME } = method,
        { names::OTEL_KIND } = "client",
        { names::RPC_SYSTEM_NAME } = SYSTEM,
        { names::RPC_METHOD } = method,
        { names::SERVER_ADDRESS } = server_address,
        { names::RPC_RESPONSE_STATUS_CODE } = Empty,
        { names::ERROR_TYPE } = Empty,
        { names::OTEL_STATUS_CODE } = Empty,
    )
}
