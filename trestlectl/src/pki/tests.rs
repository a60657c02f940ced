use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use clap::Parser as _;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use trestle_serve::{
    ClientOptions, ConnectError, ListenAddress, Listener, Reflection, Server, ServerIdentity, ServerOptions, Services,
    Tls, TlsOptions, connect,
};
use x509_parser::pem::parse_x509_pem;

use super::*;
use crate::arguments::{Arguments, Command};

fn now() -> Timestamp {
    Timestamp::now()
}

fn pki(dir: &Path, arguments: &[&str]) -> Result<(), Failure> {
    let folder = dir.to_str().unwrap();
    let words = ["trestlectl", "pki"].into_iter().chain(arguments.iter().copied()).chain(["--dir", folder]);
    let Command::Pki(command) = Arguments::try_parse_from(words).unwrap().command else { panic!("no pki command") };
    run(command, now())
}

fn installation() -> TempDir {
    let dir = TempDir::new().unwrap();
    pki(dir.path(), &["init", "--trust-domain", "trestle.local"]).unwrap();
    pki(dir.path(), &["issue", "engine", "--dns", "engine.example.org", "--ip", "127.0.0.1"]).unwrap();
    pki(dir.path(), &["issue", "host", "host-a"]).unwrap();
    pki(dir.path(), &["issue", "user", "ada", "--days", "30"]).unwrap();
    dir
}

fn tls(dir: &Path, name: &str) -> Tls {
    let file = |file: &str| dir.join(file);
    let options =
        TlsOptions { ca: file("ca.crt"), cert: file(&format!("{name}.crt")), key: file(&format!("{name}.key")) };
    Tls::load(&options).unwrap()
}

#[test]
fn certificates_name_their_holders_and_keys_are_private() {
    let dir = installation();
    let check = |name: &str, id: &str| assert_eq!(tls(dir.path(), name).identity().to_string(), id);
    check("engine", "spiffe://trestle.local/engine");
    check("host-a", "spiffe://trestle.local/host/host-a");
    check("ada", "spiffe://trestle.local/user/ada");
    for name in ["ca", "engine", "host-a", "ada"] {
        let mode = fs::metadata(dir.path().join(format!("{name}.key"))).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn certificates_say_what_they_are_for_and_how_long() {
    let dir = installation();
    let check = |name: &str, days: i64, server: bool| {
        let pem = fs::read(dir.path().join(format!("{name}.crt"))).unwrap();
        let (_, pem) = parse_x509_pem(&pem).unwrap();
        let certificate = pem.parse_x509().unwrap();
        let usage = certificate.extended_key_usage().unwrap().unwrap().value;
        assert_eq!((usage.server_auth, usage.client_auth), (server, true), "{name}");
        let validity = certificate.validity();
        let lasts = (validity.not_after.timestamp() - validity.not_before.timestamp()) / 86_400;
        assert_eq!(lasts, days + 1, "{name}");
        assert!(validity.is_valid(), "{name}");
        assert!(!certificate.is_ca(), "{name}");
    };
    check("engine", 365, true);
    check("host-a", 365, true);
    check("ada", 30, false);
}

#[tokio::test]
async fn a_user_reaches_the_engine_and_nobody_else_by_the_certificates() {
    let dir = installation();
    let any: ListenAddress = "127.0.0.1:0".parse().unwrap();
    let listener = Listener::bind(&any, Some(&tls(dir.path(), "engine"))).await.unwrap();
    let target = format!("https://{}", listener.address()).parse().unwrap();
    let services = Services::new(&[], Reflection::Off).unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(Server::new(services, ServerOptions::default()).run(vec![listener], CancellationToken::new()));

    let user = ClientOptions::new(Some(tls(dir.path(), "ada")), ServerIdentity::Engine);
    connect(&target, &user).await.unwrap();
    let mistaken = ClientOptions::new(Some(tls(dir.path(), "ada")), ServerIdentity::AnyHost);
    assert!(matches!(connect(&target, &mistaken).await, Err(ConnectError::Unreachable(..))));
    let foreign = installation();
    let stranger = ClientOptions::new(Some(tls(foreign.path(), "ada")), ServerIdentity::Engine);
    assert!(matches!(connect(&target, &stranger).await, Err(ConnectError::Unreachable(..))));
}

#[test]
fn nothing_is_replaced_unless_forced() {
    let dir = installation();
    let before = fs::read(dir.path().join("engine.key")).unwrap();
    assert!(matches!(pki(dir.path(), &["issue", "engine"]), Err(Failure::Usage(_))));
    assert!(matches!(pki(dir.path(), &["init", "--trust-domain", "trestle.local"]), Err(Failure::Usage(_))));
    assert_eq!(fs::read(dir.path().join("engine.key")).unwrap(), before);
    pki(dir.path(), &["issue", "engine", "--force"]).unwrap();
    assert_ne!(fs::read(dir.path().join("engine.key")).unwrap(), before);
}

#[test]
fn files_go_where_they_are_wanted_with_the_authoritys_certificate_only() {
    let dir = installation();
    let out = dir.path().join("out");
    pki(dir.path(), &["issue", "host", "host-b", "--out", out.to_str().unwrap()]).unwrap();
    let mut files: Vec<_> = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, ["ca.crt", "host-b.crt", "host-b.key"]);
}

#[test]
fn refuses_illegal_names_and_certificates_that_outlive_their_authority() {
    let dir = installation();
    for arguments in [
        &["issue", "host", "a/b"][..],
        &["issue", "user", ".."],
        &["issue", "user", "ca"],
        &["issue", "user", "eve", "--days", "9999"],
    ] {
        assert!(matches!(pki(dir.path(), arguments), Err(Failure::Usage(_))), "{arguments:?}");
    }
    let empty = TempDir::new().unwrap();
    assert!(matches!(pki(empty.path(), &["issue", "engine"]), Err(Failure::File(..))));
    assert!(matches!(pki(empty.path(), &["init", "--trust-domain", "Not Legal"]), Err(Failure::Usage(_))));
    assert_eq!(fs::read_dir(empty.path()).unwrap().count(), 0);
}
