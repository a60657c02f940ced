use std::fs;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use trestle_serve::{
    ClientOptions, ConnectError, Reason, Reflection, ServerIdentity, ServerOptions, Target, Tls, TlsError, TlsOptions,
    connect,
};

use crate::harness::{Running, assert_reason, loopback, soon};
use crate::pki::{ENGINE, HOST, Pki, USER};
use crate::probe::Client;

async fn start(tls: &Tls) -> Running {
    Running::start_on(&[loopback()], Some(tls), ServerOptions::default(), Reflection::On).await
}

async fn client(target: &Target, tls: Tls, server: ServerIdentity) -> Result<Client, ConnectError> {
    soon(connect(target, &ClientOptions::new(Some(tls), server))).await.map(Client)
}

/// Says hello over a channel of tonic's own, which trusts by host name and shows what it is told to.
async fn foreign(server: &Running, tls: ClientTlsConfig) -> Result<(), Box<dyn std::error::Error>> {
    let endpoint = Endpoint::from_shared(server.tls_target().to_string())?.tls_config(tls)?;
    let channel: Channel = soon(endpoint.connect()).await?;
    soon(HealthClient::new(channel).check(HealthCheckRequest::default())).await?;
    Ok(())
}

/// Trusts the test's authority, and shows nothing.
fn trusting(pki: &Pki) -> ClientTlsConfig {
    ClientTlsConfig::new().ca_certificate(Certificate::from_pem(fs::read(pki.ca()).unwrap()))
}

fn shown(files: &TlsOptions) -> Identity {
    Identity::from_pem(fs::read(&files.cert).unwrap(), fs::read(&files.key).unwrap())
}

#[tokio::test]
async fn a_handler_sees_who_calls() {
    let pki = Pki::new();
    let server = start(&pki.tls(ENGINE)).await;
    for (uri, peer) in [(USER, "user/ada"), (HOST, "host/host-a"), (ENGINE, "engine")] {
        let client = client(&server.tls_target(), pki.tls(uri), ServerIdentity::Engine).await.unwrap();
        assert_eq!(client.say("peer").await.unwrap(), peer);
    }
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused_and_one_with_it_is_not() {
    let pki = Pki::new();
    let server = start(&Tls::load(&pki.addressed(ENGINE)).unwrap()).await;
    foreign(&server, trusting(&pki)).await.unwrap_err();
    foreign(&server, trusting(&pki).identity(shown(&pki.files(&[USER])))).await.unwrap();
}

#[tokio::test]
async fn a_client_of_another_ca_is_refused() {
    let (pki, stranger) = (Pki::new(), Pki::new());
    let server = start(&Tls::load(&pki.addressed(ENGINE)).unwrap()).await;
    foreign(&server, trusting(&pki).identity(shown(&stranger.files(&[USER])))).await.unwrap_err();
}

#[tokio::test]
async fn a_server_of_another_ca_is_refused() {
    let (pki, stranger) = (Pki::new(), Pki::new());
    let server = start(&stranger.tls(ENGINE)).await;
    let refused = client(&server.tls_target(), pki.tls(USER), ServerIdentity::Engine).await;
    assert!(matches!(refused, Err(ConnectError::Unreachable(..))));
}

#[tokio::test]
async fn a_certificate_that_names_nobody_is_refused() {
    let pki = Pki::new();
    let server = start(&Tls::load(&pki.addressed(ENGINE)).unwrap()).await;
    let cases: [&[&str]; 4] = [
        &[],
        &["https://example.org/"],
        &["spiffe://trestle/robot/r2"],
        &["spiffe://trestle/user/ada", "spiffe://trestle/engine"],
    ];
    for uris in cases {
        let error = foreign(&server, trusting(&pki).identity(shown(&pki.files(uris)))).await.unwrap_err();
        assert_reason(error.downcast_ref().unwrap(), Reason::PeerUnknown);
    }
}

#[tokio::test]
async fn a_certificate_of_another_trust_domain_is_refused() {
    let pki = Pki::new();
    let server = start(&Tls::load(&pki.addressed(ENGINE)).unwrap()).await;
    let files = pki.files(&["spiffe://elsewhere/engine"]);
    let error = foreign(&server, trusting(&pki).identity(shown(&files))).await.unwrap_err();
    assert_reason(error.downcast_ref().unwrap(), Reason::PeerUnknown);
}

#[tokio::test]
async fn a_client_takes_only_the_server_that_it_expects() {
    let pki = Pki::new();
    let engine = start(&pki.tls(ENGINE)).await;
    let host = start(&pki.tls(HOST)).await;
    let elsewhere = start(&pki.tls("spiffe://elsewhere/engine")).await;
    let user = start(&pki.tls(USER)).await;
    let named = |name: &str| ServerIdentity::Host(name.to_owned());
    let cases = [
        (&engine, ServerIdentity::Engine, true),
        (&engine, ServerIdentity::AnyHost, false),
        (&engine, named("host-a"), false),
        (&host, ServerIdentity::Engine, false),
        (&host, ServerIdentity::AnyHost, true),
        (&host, named("host-a"), true),
        (&host, named("host-b"), false),
        (&elsewhere, ServerIdentity::Engine, false),
        (&user, ServerIdentity::Engine, false),
        (&user, ServerIdentity::AnyHost, false),
    ];
    for (server, expected, taken) in cases {
        let connected = client(&server.tls_target(), pki.tls(USER), expected.clone()).await;
        assert_eq!(connected.is_ok(), taken, "{expected}: {:?}", connected.err());
    }
}

#[tokio::test]
async fn plaintext_gets_nowhere_on_a_tls_listener() {
    let pki = Pki::new();
    let server = start(&pki.tls(ENGINE)).await;
    let connected = soon(connect(&server.target(), &ClientOptions::new(None, ServerIdentity::Engine))).await;
    // The connection itself may come up before the server has looked at it.
    if let Ok(connection) = connected {
        soon(Client(connection).say("peer")).await.unwrap_err();
    }
}

#[tokio::test]
async fn a_handshake_that_does_not_go_on_is_broken_off() {
    let pki = Pki::new();
    let options = ServerOptions { handshake_timeout: Duration::from_millis(50), ..ServerOptions::default() };
    let server = Running::start_on(&[loopback()], Some(&pki.tls(ENGINE)), options, Reflection::On).await;
    let mut mute = TcpStream::connect(server.tcp()).await.unwrap();
    assert_eq!(soon(mute.read_to_end(&mut Vec::new())).await.unwrap(), 0);
}

#[test]
fn files_that_do_not_fit_together_are_refused_with_their_names() {
    let pki = Pki::new();
    let (good, other, nobody) = (pki.files(&[ENGINE]), pki.files(&[ENGINE]), pki.files(&[]));
    let missing = pki.ca().with_file_name("missing.pem");
    assert_eq!(Tls::load(&good).unwrap().identity().to_string(), ENGINE);

    let load = |options: TlsOptions| Tls::load(&options).unwrap_err();
    let with = |change: fn(&mut TlsOptions, &TlsOptions)| {
        let mut options = good.clone();
        change(&mut options, &other);
        load(options)
    };
    assert!(matches!(with(|options, other| options.key.clone_from(&other.key)), TlsError::Key(..)));
    assert!(matches!(with(|options, _| options.cert.clone_from(&options.key)), TlsError::Empty(_)));
    assert!(matches!(with(|options, _| options.key.clone_from(&options.cert)), TlsError::Pem(..)));
    assert!(matches!(load(TlsOptions { ca: missing.clone(), ..good.clone() }), TlsError::Read(..)));
    assert!(matches!(load(nobody), TlsError::Identity(..)));
    let error = load(TlsOptions { ca: missing.clone(), ..good.clone() }).to_string();
    assert!(error.contains(&missing.display().to_string()), "{error}");
}

#[test]
fn the_key_is_not_printed() {
    let pki = Pki::new();
    let files = pki.files(&[ENGINE]);
    let printed = format!("{:?}", Tls::load(&files).unwrap());
    assert!(printed.contains("Engine") && !printed.contains("KEY") && printed.len() < 200, "{printed}");
}
