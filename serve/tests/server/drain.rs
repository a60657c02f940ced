use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic::Request;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use trestle_serve::{ClientOptions, Drained, Reason, ServerIdentity, ServerOptions, connect};

use crate::harness::{Running, assert_reason, soon};

/// A drain that would fail its test if anything waited for it to run out.
const ENDLESS: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(100);

#[tokio::test]
async fn open_streams_are_told_and_ended_and_hold_nothing_up() {
    let mut server = Running::start(ServerOptions { drain_timeout: ENDLESS, ..ServerOptions::default() }).await;
    let client = server.client().await;
    let mut health = HealthClient::new(client.0.clone());
    let request = HealthCheckRequest { service: "test.v1.Probe".to_owned() };
    let mut watch = health.watch(request).await.unwrap().into_inner();
    let mut silent = client.watch(Request::new("silent".to_owned())).await.unwrap();
    let mut flood = client.watch(Request::new("flood".to_owned())).await.unwrap();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    assert!(silent.message().await.unwrap().is_some());

    server.begin_drain();
    assert_eq!(soon(watch.message()).await.unwrap().unwrap().status(), ServingStatus::NotServing);
    assert_reason(&soon(watch.message()).await.unwrap_err(), Reason::ServerDraining);
    assert_reason(&soon(silent.message()).await.unwrap_err(), Reason::ServerDraining);
    let ended = soon(async {
        loop {
            if let Err(status) = flood.message().await {
                return status;
            }
        }
    });
    assert_reason(&ended.await, Reason::ServerDraining);
    assert_eq!(server.stopped().await, Drained::Cleanly);
}

#[tokio::test]
async fn a_call_in_hand_is_finished() {
    let mut server = Running::start(ServerOptions { drain_timeout: ENDLESS, ..ServerOptions::default() }).await;
    let client = server.client().await;
    let mut calls = JoinSet::new();
    calls.spawn(async move { client.say("hold").await });
    server.probe.await_call().await;
    server.begin_drain();
    server.probe.gate.add_permits(1);
    assert_eq!(soon(calls.join_next()).await.unwrap().unwrap().unwrap(), "held");
    assert_eq!(server.stopped().await, Drained::Cleanly);
}

#[tokio::test]
async fn a_call_that_never_ends_is_abandoned_in_time() {
    let mut server = Running::start(ServerOptions { drain_timeout: SHORT, ..ServerOptions::default() }).await;
    let client = server.client().await;
    let mut calls = JoinSet::new();
    calls.spawn(async move { client.say("hang").await });
    server.probe.await_call().await;
    server.begin_drain();
    assert_eq!(server.stopped().await, Drained::ByForce);
    assert_reason(&soon(calls.join_next()).await.unwrap().unwrap().unwrap_err(), Reason::ServerDraining);
}

#[tokio::test]
async fn a_connection_that_never_speaks_is_broken_off_in_time() {
    let mut server = Running::start(ServerOptions { drain_timeout: SHORT, ..ServerOptions::default() }).await;
    let mut mute = TcpStream::connect(server.tcp()).await.unwrap();
    // A call that is answered shows that the earlier connection was accepted.
    server.client().await.say("hello").await.unwrap();
    server.begin_drain();
    server.stopped().await;
    soon(mute.read_to_end(&mut Vec::new())).await.ok();
}

#[tokio::test]
async fn a_client_that_stops_reading_is_broken_off_in_time() {
    let mut server = Running::start(ServerOptions { drain_timeout: SHORT, ..ServerOptions::default() }).await;
    let client = server.client().await;
    let mut flood = client.watch(Request::new("flood".to_owned())).await.unwrap();
    assert!(flood.message().await.unwrap().is_some());
    server.begin_drain();
    server.stopped().await;
    drop(flood);
}

#[tokio::test]
async fn nobody_gets_in_once_the_drain_has_begun() {
    let mut server = Running::start(ServerOptions { drain_timeout: ENDLESS, ..ServerOptions::default() }).await;
    let target = server.target();
    server.client().await.say("hello").await.unwrap();
    server.begin_drain();
    assert_eq!(server.stopped().await, Drained::Cleanly);
    connect(&target, &ClientOptions::new(None, ServerIdentity::Engine)).await.unwrap_err();
}
