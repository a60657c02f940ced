//! A small service whose calls do what the request's text says, and its client.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::stream::{self, BoxStream, StreamExt as _};
use http::uri::PathAndQuery;
use tokio::sync::Semaphore;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use tower::{Service, service_fn};
use trestle_serve::deadline::Deadline;
use trestle_serve::request_id::RequestId;
use trestle_serve::{Connection, identity};

pub(crate) const CALL: &str = "/test.v1.Probe/Call";
pub(crate) const WATCH: &str = "/test.v1.Probe/Watch";

/// Answers `Call` with one text and `Watch` with a stream of them.
#[derive(Clone)]
pub(crate) struct Probe {
    /// Gets a permit whenever a call of the text `hang` or `hold` has reached its handler.
    pub(crate) reached: Arc<Semaphore>,
    /// A permit lets one `hold` go on.
    pub(crate) gate: Arc<Semaphore>,
}

impl Probe {
    pub(crate) fn new() -> Self {
        Self { reached: Arc::new(Semaphore::new(0)), gate: Arc::new(Semaphore::new(0)) }
    }

    /// Waits until a call has reached its handler.
    pub(crate) async fn await_call(&self) {
        let reached = self.reached.acquire();
        crate::harness::soon(reached).await.unwrap().forget();
    }

    async fn call(self, request: Request<String>) -> Result<Response<String>, Status> {
        let answer = match request.get_ref().as_str() {
            "peer" => identity::peer(&request)?.to_string(),
            "request id" => request.extensions().get::<RequestId>().unwrap().0.clone(),
            "remaining" => {
                let deadline = request.extensions().get::<Deadline>().copied();
                deadline.unwrap().remaining().as_millis().to_string()
            }
            "hang" => {
                self.reached.add_permits(1);
                std::future::pending().await
            }
            "hold" => {
                self.reached.add_permits(1);
                self.gate.acquire().await.unwrap().forget();
                "held".to_owned()
            }
            "panic" => panic!("the handler's own words"),
            "out of range" => return Err(Status::out_of_range("the handler's own words")),
            other => other.to_owned(),
        };
        Ok(Response::new(answer))
    }

    async fn watch(
        self,
        request: Request<String>,
    ) -> Result<Response<BoxStream<'static, Result<String, Status>>>, Status> {
        let first = stream::iter([Ok("first".to_owned())]);
        Ok(Response::new(match request.get_ref().as_str() {
            "silent" => first.chain(stream::pending()).boxed(),
            "flood" => stream::repeat_with(|| Ok("more".to_owned())).boxed(),
            "panic" => first.chain(stream::once(panic_later())).boxed(),
            "hold" => {
                first.chain(stream::once(async move { self.call(request).await.map(Response::into_inner) })).boxed()
            }
            other => return Err(Status::invalid_argument(other)),
        }))
    }
}

/// Panics in a poll of its own: tonic holds what it got in the same one.
async fn panic_later() -> Result<String, Status> {
    tokio::task::yield_now().await;
    panic!("the stream's own words")
}

impl NamedService for Probe {
    const NAME: &'static str = "test.v1.Probe";
}

impl Service<http::Request<Body>> for Probe {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let probe = self.clone();
        let mut grpc = tonic::server::Grpc::new(ProstCodec::<String, String>::default());
        Box::pin(async move {
            Ok(match request.uri().path() {
                CALL => grpc.unary(service_fn(move |request| probe.clone().call(request)), request).await,
                WATCH => grpc.server_streaming(service_fn(move |request| probe.clone().watch(request)), request).await,
                other => Status::unimplemented(other).into_http(),
            })
        })
    }
}

/// Calls a probe.
#[derive(Clone)]
pub(crate) struct Client(pub(crate) Connection);

impl Client {
    pub(crate) async fn call(&self, request: impl Into<Request<String>>) -> Result<Response<String>, Status> {
        let mut grpc = tonic::client::Grpc::new(self.0.clone());
        grpc.ready().await.unwrap();
        grpc.unary(request.into(), PathAndQuery::from_static(CALL), ProstCodec::default()).await
    }

    pub(crate) async fn say(&self, text: &str) -> Result<String, Status> {
        self.call(Request::new(text.to_owned())).await.map(Response::into_inner)
    }

    /// Sends bytes where the method takes a text.
    pub(crate) async fn say_bytes(&self, bytes: Vec<u8>) -> Result<Response<String>, Status> {
        let mut grpc = tonic::client::Grpc::new(self.0.clone());
        grpc.ready().await.unwrap();
        let codec = ProstCodec::<Vec<u8>, String>::default();
        grpc.unary(Request::new(bytes), PathAndQuery::from_static(CALL), codec).await
    }

    pub(crate) async fn watch(&self, request: impl Into<Request<String>>) -> Result<Streaming<String>, Status> {
        let mut grpc = tonic::client::Grpc::new(self.0.clone());
        grpc.ready().await.unwrap();
        let codec = ProstCodec::default();
        let answer = grpc.server_streaming(request.into(), PathAndQuery::from_static(WATCH), codec).await;
        answer.map(Response::into_inner)
    }
}
