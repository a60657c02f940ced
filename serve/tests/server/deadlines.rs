use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use h2::client;
use http::HeaderMap;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic::{Code, Request, Status};
use trestle_serve::deadline::Limits;
use trestle_serve::{Reason, ServerOptions};

use crate::harness::{Running, assert_reason, soon};
use crate::probe::{CALL, WATCH};

const SHORT: Duration = Duration::from_millis(80);

fn options(limits: Limits) -> ServerOptions {
    ServerOptions { deadlines: limits, ..ServerOptions::default() }
}

/// What a call brought, read off the wire: tonic's client would time out by itself.
struct Raw {
    headers: HeaderMap,
    messages: usize,
    status: Status,
}

/// Makes one call with the given `grpc-timeout` and reads it to its end.
async fn raw(server: &Running, path: &str, text: &str, grpc_timeout: &str) -> Raw {
    soon(raw_call(server.tcp(), path, text, grpc_timeout)).await
}

async fn raw_call(address: SocketAddr, path: &str, text: &str, grpc_timeout: &str) -> Raw {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = client::handshake(stream).await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    let request = http::Request::post(format!("http://{address}{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", grpc_timeout)
        .body(())
        .unwrap();
    let (response, mut body) = sender.ready().await.unwrap().send_request(request, false).unwrap();
    let length = u8::try_from(text.len()).unwrap();
    // A gRPC frame around a message whose field 1 is the text.
    let mut frame = vec![0, 0, 0, 0, length + 2, 0x0a, length];
    frame.extend(text.as_bytes());
    body.send_data(Bytes::from(frame), true).unwrap();

    let (head, mut body) = response.await.unwrap().into_parts();
    let mut messages = 0;
    while let Some(data) = body.data().await {
        body.flow_control().release_capacity(data.unwrap().len()).unwrap();
        messages += 1;
    }
    let trailers = body.trailers().await.unwrap();
    let status = trailers.as_ref().and_then(Status::from_header_map);
    let status = status.or_else(|| Status::from_header_map(&head.headers)).unwrap();
    Raw { headers: head.headers, messages, status }
}

#[tokio::test]
async fn the_clients_timeout_is_answered_deadline_exceeded_every_time() {
    let server = Running::start(ServerOptions::default()).await;
    for milliseconds in 1..40 {
        let answer = raw(&server, CALL, "hang", &format!("{milliseconds}m")).await;
        assert_reason(&answer.status, Reason::DeadlineExceeded);
        assert_eq!(answer.headers["content-type"], "application/grpc");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_timeouts_at_once_are_answered_alike() {
    let server = Running::start(ServerOptions::default()).await;
    let mut calls = JoinSet::new();
    for _ in 0..200 {
        calls.spawn(raw_call(server.tcp(), CALL, "hang", "100m"));
    }
    while let Some(answer) = soon(calls.join_next()).await {
        assert_reason(&answer.unwrap().status, Reason::DeadlineExceeded);
    }
}

#[tokio::test]
async fn the_clients_timeout_ends_a_stream_silent_or_not() {
    let server = Running::start(ServerOptions::default()).await;
    let silent = raw(&server, WATCH, "silent", "80m").await;
    assert_reason(&silent.status, Reason::DeadlineExceeded);
    assert_eq!(silent.messages, 1);
    let flood = raw(&server, WATCH, "flood", "80m").await;
    assert_reason(&flood.status, Reason::DeadlineExceeded);
    assert!(flood.messages > 1);
}

#[tokio::test]
async fn a_call_without_a_timeout_gets_the_servers_default() {
    let limits = Limits { default: SHORT, ..Limits::default() };
    let server = Running::start(options(limits)).await;
    let client = server.client().await;
    assert_reason(&soon(client.say("hang")).await.unwrap_err(), Reason::DeadlineExceeded);
    let mut stream = client.watch(Request::new("silent".to_owned())).await.unwrap();
    assert_eq!(stream.message().await.unwrap().as_deref(), Some("first"));
    assert_reason(&soon(stream.message()).await.unwrap_err(), Reason::DeadlineExceeded);
    assert_eq!(client.say("still here").await.unwrap(), "still here");
}

#[tokio::test]
async fn a_long_lived_method_is_spared_the_default_and_the_cap() {
    let long_lived = BTreeSet::from([WATCH.to_owned()]);
    let server = Running::start(options(Limits { default: SHORT, cap: SHORT, long_lived })).await;
    let client = server.client().await;
    let mut stream = client.watch(Request::new("hold".to_owned())).await.unwrap();
    assert_eq!(stream.message().await.unwrap().as_deref(), Some("first"));
    assert_reason(&soon(client.say("hang")).await.unwrap_err(), Reason::DeadlineExceeded);
    server.probe.gate.add_permits(1);
    assert_eq!(soon(stream.message()).await.unwrap().as_deref(), Some("held"));

    let told = raw(&server, WATCH, "silent", "50m").await;
    assert_reason(&told.status, Reason::DeadlineExceeded);
}

#[tokio::test]
async fn a_client_cannot_ask_for_more_than_the_cap() {
    let limits = Limits { cap: SHORT, ..Limits::default() };
    let server = Running::start(options(limits)).await;
    let answer = raw(&server, CALL, "hang", "1H").await;
    assert_reason(&answer.status, Reason::DeadlineExceeded);
}

#[tokio::test]
async fn a_malformed_timeout_is_an_invalid_argument() {
    let server = Running::start(ServerOptions::default()).await;
    for grpc_timeout in ["soon", "1s", "123456789S"] {
        let answer = raw(&server, CALL, "hang", grpc_timeout).await;
        assert_reason(&answer.status, Reason::DeadlineMalformed);
    }
}

#[tokio::test]
async fn a_handler_is_told_what_time_remains() {
    let server = Running::start(ServerOptions::default()).await;
    let client = server.client().await;
    let mut request = Request::new("remaining".to_owned());
    request.set_timeout(Duration::from_secs(7));
    let remaining: u64 = client.call(request).await.unwrap().into_inner().parse().unwrap();
    assert!((1..=7_000).contains(&remaining), "{remaining}");
}

#[tokio::test]
async fn a_client_whose_server_says_nothing_times_out_with_the_same_code() {
    let server = Running::start(ServerOptions::default()).await;
    let client = server.client().await;
    for _ in 0..20 {
        let mut request = Request::new("hang".to_owned());
        request.set_timeout(Duration::from_millis(20));
        let status = soon(client.call(request)).await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    }
}
