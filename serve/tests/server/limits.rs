use std::time::Duration;

use tokio::task::JoinSet;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use trestle_serve::{MAX_RECEIVE_BYTES, Reason, ServerOptions};

use crate::harness::{Running, assert_code, assert_reason, soon};

#[tokio::test]
async fn a_panic_is_answered_without_its_words_and_the_server_goes_on() {
    let server = Running::start(ServerOptions::default()).await;
    let client = server.client().await;
    for _ in 0..2 {
        let status = client.say("panic").await.unwrap_err();
        assert_reason(&status, Reason::HandlerPanicked);
        assert_eq!(status.message(), "internal error");
        assert_eq!(client.say("still here").await.unwrap(), "still here");
    }
}

#[tokio::test]
async fn a_panic_in_a_stream_ends_the_stream_only() {
    let server = Running::start(ServerOptions::default()).await;
    let client = server.client().await;
    let mut other = client.watch(Request::new("hold".to_owned())).await.unwrap();
    assert_eq!(other.message().await.unwrap().as_deref(), Some("first"));
    let mut stream = client.watch(Request::new("panic".to_owned())).await.unwrap();
    assert_eq!(stream.message().await.unwrap().as_deref(), Some("first"));
    let status = soon(stream.message()).await.unwrap_err();
    assert_reason(&status, Reason::HandlerPanicked);
    assert_eq!(status.message(), "internal error");
    server.probe.gate.add_permits(1);
    assert_eq!(soon(other.message()).await.unwrap().as_deref(), Some("held"));
}

#[tokio::test]
async fn a_message_over_the_limit_exhausts_resources() {
    let server = Running::start(ServerOptions::default()).await;
    let client = server.client().await;
    // A text of this length makes a message a few bytes longer.
    let status = client.say(&"x".repeat(MAX_RECEIVE_BYTES)).await.unwrap_err();
    assert_reason(&status, Reason::MessageTooLarge);
    let fitting = "x".repeat(MAX_RECEIVE_BYTES - 100);
    assert_eq!(client.say(&fitting).await.unwrap(), fitting);
}

#[tokio::test]
async fn a_message_that_does_not_decode_is_an_invalid_argument() {
    let server = Running::start(ServerOptions::default()).await;
    let client = server.client().await;
    // A field of bytes that are no text, where the method takes a text.
    assert_reason(&client.say_bytes(vec![0xff, 0xff]).await.unwrap_err(), Reason::MessageMalformed);
    assert_eq!(client.say_bytes(b"plain".to_vec()).await.unwrap().into_inner(), "plain");
}

#[tokio::test]
async fn a_handlers_own_out_of_range_stays_what_it_is() {
    let server = Running::start(ServerOptions::default()).await;
    let status = server.client().await.say("out of range").await.unwrap_err();
    assert_code(&status, Code::OutOfRange);
    assert_eq!(status.message(), "the handler's own words");
}

#[tokio::test]
async fn a_call_too_many_is_refused_at_once_and_may_come_back() {
    let server = Running::start(ServerOptions { most_calls: 1, ..ServerOptions::default() }).await;
    let client = server.client().await;
    let mut held = JoinSet::new();
    let holder = client.clone();
    held.spawn(async move { holder.say("hold").await });
    server.probe.await_call().await;

    assert_reason(&soon(client.say("hello")).await.unwrap_err(), Reason::ServerOverloaded);
    let mut health = HealthClient::new(client.0.clone());
    health.check(HealthCheckRequest::default()).await.expect("health is checked under load");

    server.probe.gate.add_permits(1);
    soon(held.join_next()).await.unwrap().unwrap().unwrap();
    assert_eq!(client.say("hello").await.unwrap(), "hello");
}

#[tokio::test]
async fn an_open_stream_takes_no_place_among_the_calls_in_hand() {
    let server = Running::start(ServerOptions { most_calls: 1, ..ServerOptions::default() }).await;
    let client = server.client().await;
    let mut stream = client.watch(Request::new("silent".to_owned())).await.unwrap();
    assert!(stream.message().await.unwrap().is_some());
    assert_eq!(client.say("hello").await.unwrap(), "hello");
}

#[tokio::test]
async fn a_usable_request_id_is_echoed_and_any_other_is_replaced() {
    let server = Running::start(ServerOptions::default()).await;
    let client = server.client().await;
    let long = "x".repeat(200);
    let cases = [(Some("mine-1"), true), (Some("has space"), false), (Some(long.as_str()), false), (None, false)];
    for (sent, kept) in cases {
        let mut request = Request::new("request id".to_owned());
        if let Some(sent) = sent {
            request.metadata_mut().insert("x-request-id", sent.parse().unwrap());
        }
        let answer = client.call(request).await.unwrap();
        let echoed = answer.metadata().get("x-request-id").unwrap().to_str().unwrap();
        assert_eq!(answer.get_ref(), echoed);
        assert_eq!(Some(echoed) == sent, kept, "{sent:?} became {echoed}");
    }
}

#[tokio::test]
async fn a_refusal_carries_a_request_id_too() {
    let server = Running::start(ServerOptions::default()).await;
    let mut request = Request::new("panic".to_owned());
    request.set_timeout(Duration::from_secs(10));
    request.metadata_mut().insert("x-request-id", "mine-2".parse().unwrap());
    let status = server.client().await.call(request).await.unwrap_err();
    assert_eq!(status.metadata().get("x-request-id").unwrap(), "mine-2");
}

#[tokio::test]
async fn a_connection_too_many_waits_until_another_ends() {
    let server = Running::start(ServerOptions { most_connections: 1, ..ServerOptions::default() }).await;
    let first = server.client().await;
    first.say("hello").await.unwrap();
    let second = server.client().await;
    let mut request = Request::new("hello".to_owned());
    request.set_timeout(Duration::from_millis(100));
    assert_code(&soon(second.call(request)).await.unwrap_err(), Code::DeadlineExceeded);
    drop(first);
    assert_eq!(soon(second.say("hello")).await.unwrap(), "hello");
}
