use std::convert::Infallible;
use std::sync::Arc;
use std::sync::Mutex;

use http::{HeaderMap, HeaderValue, Request, Response};
use opentelemetry::trace::{SpanKind, Status as SpanStatus};
use opentelemetry_sdk::trace::SpanData;
use tonic::Status;
use tonic::body::Body;
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::{Layer as _, Service, ServiceExt as _, service_fn};
use tracing::{Instrument as _, info_span};

use super::*;
use crate::recording::Recording;
use crate::{names, trace_context};

const CHECK: &str = "grpc.health.v1.Health/Check";

/// Makes a client whose calls reach tonic's health service through both layers, without a socket.
async fn client() -> HealthClient<
    Client<impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send + 'static> + Clone>,
> {
    let (reporter, service) = tonic_health::server::health_reporter();
    reporter.set_service_status("known", ServingStatus::Serving).await;
    HealthClient::new(ClientLayer::new("here").layer(ServerLayer.layer(service)))
}

fn attribute(span: &SpanData, name: &str) -> Option<String> {
    span.attributes.iter().find(|pair| pair.key.as_str() == name).map(|pair| pair.value.to_string())
}

fn of_kind(recording: &Recording, kind: SpanKind) -> SpanData {
    let mut spans: Vec<_> = recording.spans().into_iter().filter(|span| span.span_kind == kind).collect();
    assert_eq!(spans.len(), 1, "{kind:?}");
    spans.remove(0)
}

#[tokio::test]
async fn one_call_is_one_trace_from_the_caller_to_the_server() {
    let recording = Recording::start();
    let caller = info_span!("caller");
    let request = HealthCheckRequest { service: "known".to_owned() };
    client().await.check(request).instrument(caller.clone()).await.unwrap();
    drop(caller);

    let caller = recording.span("caller");
    let client = of_kind(&recording, SpanKind::Client);
    let server = of_kind(&recording, SpanKind::Server);
    assert_eq!(client.parent_span_id, caller.span_context.span_id());
    assert_eq!(server.parent_span_id, client.span_context.span_id());
    assert_eq!(server.span_context.trace_id(), caller.span_context.trace_id());
    for span in [&client, &server] {
        assert_eq!(span.name, CHECK);
        assert_eq!(attribute(span, names::RPC_SYSTEM_NAME).as_deref(), Some("grpc"));
        assert_eq!(attribute(span, names::RPC_METHOD).as_deref(), Some(CHECK));
        assert_eq!(attribute(span, names::RPC_RESPONSE_STATUS_CODE).as_deref(), Some("OK"));
        assert_eq!(attribute(span, names::ERROR_TYPE), None);
        assert_eq!(span.status, SpanStatus::Unset);
    }
    assert_eq!(attribute(&client, names::SERVER_ADDRESS).as_deref(), Some("here"));
}

#[tokio::test]
async fn a_clients_mistake_fails_the_clients_span_only() {
    let recording = Recording::start();
    let request = HealthCheckRequest { service: "unknown".to_owned() };
    client().await.check(request).await.unwrap_err();

    let client = of_kind(&recording, SpanKind::Client);
    let server = of_kind(&recording, SpanKind::Server);
    for span in [&client, &server] {
        assert_eq!(attribute(span, names::RPC_RESPONSE_STATUS_CODE).as_deref(), Some("NOT_FOUND"));
    }
    assert_eq!(attribute(&client, names::ERROR_TYPE).as_deref(), Some("NOT_FOUND"));
    assert_eq!(attribute(&server, names::ERROR_TYPE), None);
    assert_eq!(server.status, SpanStatus::Unset);
    assert!(matches!(client.status, SpanStatus::Error { .. }));
}

#[tokio::test]
async fn a_stream_that_the_client_leaves_is_cancelled() {
    let recording = Recording::start();
    let request = HealthCheckRequest { service: "known".to_owned() };
    let mut updates = client().await.watch(request).await.unwrap().into_inner();
    assert!(updates.message().await.unwrap().is_some());
    assert!(recording.spans().is_empty(), "a span ended before its stream");
    drop(updates);
    let server = of_kind(&recording, SpanKind::Server);
    assert_eq!(attribute(&server, names::RPC_RESPONSE_STATUS_CODE).as_deref(), Some("CANCELLED"));
}

#[tokio::test]
async fn a_servers_error_fails_the_servers_span() {
    let recording = Recording::start();
    let service =
        service_fn(|_: Request<Body>| async { Ok::<_, Infallible>(Status::internal("broken").into_http::<Body>()) });
    let request = Request::builder().uri("/a.B/C").body(Body::empty()).unwrap();
    drop(ServerLayer.layer(service).oneshot(request).await.unwrap());
    let server = recording.span("a.B/C");
    assert_eq!(attribute(&server, names::ERROR_TYPE).as_deref(), Some("INTERNAL"));
    assert!(matches!(server.status, SpanStatus::Error { .. }));
}

#[tokio::test]
async fn a_handler_sees_the_servers_span_as_the_current_one() {
    let recording = Recording::start();
    let seen = Arc::new(Mutex::new(None));
    let sink = Arc::clone(&seen);
    let service = service_fn(move |_: Request<Body>| {
        let sink = Arc::clone(&sink);
        async move {
            *sink.lock().unwrap() = Some(trace_context::current());
            Ok::<_, Infallible>(Status::ok("").into_http::<Body>())
        }
    });
    let mut headers = HeaderMap::new();
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    headers.insert("traceparent", HeaderValue::from_static(parent));
    let mut request = Request::builder().uri("/a.B/C").body(Body::empty()).unwrap();
    *request.headers_mut() = headers;
    drop(ServerLayer.layer(service).oneshot(request).await.unwrap());

    let server = recording.span("a.B/C");
    assert_eq!(server.parent_span_id.to_string(), "b7ad6b7169203331");
    let seen = seen.lock().unwrap().clone().unwrap();
    let expected = format!("00-0af7651916cd43dd8448eb211c80319c-{}-01", server.span_context.span_id());
    assert_eq!(seen.traceparent, expected);
}

#[test]
fn a_method_is_the_path_without_its_slash() {
    let long = format!("/a.B/{}", "C".repeat(LONGEST_METHOD));
    let cases = [
        ("/a.v1.B/C", "a.v1.B/C"),
        ("a.B/C", UNKNOWN_METHOD),
        ("/a.B", UNKNOWN_METHOD),
        ("/a.B/C/D", UNKNOWN_METHOD),
        ("/", UNKNOWN_METHOD),
        ("", UNKNOWN_METHOD),
        (long.as_str(), UNKNOWN_METHOD),
    ];
    for (path, expected) in cases {
        assert_eq!(method(path), expected, "{path}");
    }
}
