//! Who may do what, over mutual TLS.

use tonic::Code;
use trestle_proto::engine::v1 as wire;
use trestle_proto::session::v1::Hello;
use trestle_serve::Tls;
use trestle_store::Store;

use super::harness::{Agent, Running};
use super::pki::{ENGINE, HOST, Pki, USER};
use super::raw;

async fn start(pki: &Pki) -> Running {
    let folder = tempfile::tempdir().unwrap();
    Running::start_as(folder, Some(pki.files(&[ENGINE])), Some(pki.tls(USER))).await
}

fn hello(host: &str) -> Hello {
    Hello { host: host.to_owned(), protocol: 1, ..Default::default() }
}

async fn code_of(engine: &Running, tls: Tls, path: &str) -> Code {
    let connection = engine.connect_as(tls).await;
    let ended = async {
        let mut answers = raw::call(connection, path, vec![Vec::new()]).await?;
        answers.message().await
    };
    ended.await.map_or_else(|status| status.code(), |_| Code::Ok)
}

#[tokio::test]
async fn only_users_call_the_api_and_only_agents_open_sessions() {
    let pki = Pki::new();
    let engine = start(&pki).await;
    for method in raw::methods() {
        let is_session = method.path.contains("AgentSession");
        for (peer, is_allowed) in [(USER, !is_session), (HOST, is_session), (ENGINE, false)] {
            let code = code_of(&engine, pki.tls(peer), &method.path).await;
            assert_eq!(code != Code::PermissionDenied, is_allowed, "{peer} {}: {code:?}", method.path);
        }
    }
    let foreign = Tls::load(&pki.files(&["spiffe://elsewhere/user/ada"])).unwrap();
    // The engine is not of the client's trust domain, so that not even the handshake succeeds.
    let options = trestle_serve::ClientOptions::new(Some(foreign), trestle_serve::ServerIdentity::Engine);
    assert!(trestle_serve::connect(&engine.target(), &options).await.is_err());
}

#[tokio::test]
async fn an_agent_speaks_for_its_own_host_only() {
    let pki = Pki::new();
    let engine = start(&pki).await;
    engine.furnish("host-a", "blue", wire::NetworkSpec::default()).await;
    let connection = engine.connect_as(pki.tls(HOST)).await;
    let refused = Agent::dial_with(connection.clone(), hello("host-b")).await.err().unwrap();
    assert_eq!(refused.code(), Code::PermissionDenied);
    Agent::dial_with(connection, hello("host-a")).await.unwrap().hear().await.unwrap();
}

#[tokio::test]
async fn every_change_is_audited_under_the_name_of_its_user() {
    let pki = Pki::new();
    let engine = start(&pki).await;
    engine.create_network("blue", wire::NetworkSpec::default()).await.unwrap();
    let folder = engine.stop().await;
    let events = Store::open(&folder.path().join("engine.redb")).unwrap().events(0, 10).unwrap();
    assert_eq!(events.iter().map(|event| event.actor.as_str()).collect::<Vec<_>>(), ["user/ada"]);
}
