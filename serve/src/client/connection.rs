//! A client's connection: a channel whose calls have spans, and whose own timeouts say `DEADLINE_EXCEEDED`.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use http::{Request, Response};
use tonic::TimeoutExpired;
use tonic::body::Body;
use tonic::transport::{self, Channel};
use tower::{Layer as _, Service};
use trestle_telemetry::rpc;

use super::Target;
use crate::status;

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, transport::Error>> + Send>>;

/// A connection to a server, for generated clients to be made of; cheap to clone.
#[derive(Clone, Debug)]
pub struct Connection {
    inner: rpc::Client<Timely>,
}

impl Connection {
    pub(super) fn new(channel: Channel, target: &Target) -> Self {
        Self { inner: rpc::ClientLayer::new(&target.to_string()).layer(Timely { channel }) }
    }
}

impl Service<Request<Body>> for Connection {
    type Response = Response<Body>;
    type Error = transport::Error;
    type Future = Answer;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), transport::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        self.inner.call(request)
    }
}

/// Answers a call whose deadline passes on this end as a server would; tonic's own answer is `CANCELLED`.
#[derive(Clone, Debug)]
struct Timely {
    channel: Channel,
}

impl Service<Request<Body>> for Timely {
    type Response = Response<Body>;
    type Error = transport::Error;
    type Future = Answer;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), transport::Error>> {
        self.channel.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        Box::pin(self.channel.call(request).map(|answer| match answer {
            Err(error) if is_timeout(&error) => Ok(status::deadline_exceeded().into_http()),
            Ok(_) | Err(_) => answer,
        }))
    }
}

fn is_timeout(error: &(dyn Error + 'static)) -> bool {
    std::iter::successors(Some(error), |&error| error.source()).any(|error| error.is::<TimeoutExpired>())
}
