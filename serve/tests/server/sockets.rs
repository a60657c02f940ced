use std::fs;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::slice;

use tempfile::TempDir;
use trestle_serve::{BindError, Drained, ListenAddress, Listener, Reflection, ServerOptions};

use crate::harness::{Running, loopback};

struct Place {
    _directory: TempDir,
    path: PathBuf,
    address: ListenAddress,
}

fn place() -> Place {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("host.sock");
    Place { address: ListenAddress::Unix(path.clone()), path, _directory: directory }
}

async fn start(addresses: &[ListenAddress]) -> Running {
    Running::start_on(addresses, None, ServerOptions::default(), Reflection::On).await
}

#[tokio::test]
async fn a_unix_socket_serves_local_callers_of_its_group_and_goes_away() {
    let place = place();
    let mut server = start(slice::from_ref(&place.address)).await;
    assert_eq!(server.client().await.say("peer").await.unwrap(), "local");
    let metadata = fs::symlink_metadata(&place.path).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o660);
    assert_eq!(fs::read_dir(place.path.parent().unwrap()).unwrap().count(), 1);

    server.begin_drain();
    assert_eq!(server.stopped().await, Drained::Cleanly);
    assert!(!place.path.exists());
}

#[tokio::test]
async fn loopback_without_tls_serves_local_callers() {
    let server = Running::start(ServerOptions::default()).await;
    assert_eq!(server.client().await.say("peer").await.unwrap(), "local");
}

#[tokio::test]
async fn a_stale_socket_file_is_replaced() {
    let place = place();
    drop(UnixListener::bind(&place.path).unwrap());
    assert!(place.path.exists());
    let server = start(slice::from_ref(&place.address)).await;
    assert_eq!(server.client().await.say("hello").await.unwrap(), "hello");
}

#[tokio::test]
async fn a_socket_that_is_served_is_left_alone() {
    let place = place();
    let server = start(slice::from_ref(&place.address)).await;
    let refused = Listener::bind(&place.address, None).await;
    assert!(matches!(refused, Err(BindError::InUse(_))), "{refused:?}");
    assert_eq!(server.client().await.say("hello").await.unwrap(), "hello");
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_left_alone() {
    let place = place();
    fs::write(&place.path, "precious").unwrap();
    let refused = Listener::bind(&place.address, None).await;
    assert!(matches!(refused, Err(BindError::NotASocket(_))), "{refused:?}");
    assert_eq!(fs::read_to_string(&place.path).unwrap(), "precious");
}

#[tokio::test]
async fn a_listener_does_not_remove_the_socket_of_its_successor() {
    let place = place();
    let listener = Listener::bind(&place.address, None).await.unwrap();
    fs::remove_file(&place.path).unwrap();
    let successor = UnixListener::bind(&place.path).unwrap();
    drop(listener);
    assert!(place.path.exists());
    drop(successor);
}

#[tokio::test]
async fn one_server_serves_several_listeners_and_stops_on_all() {
    let place = place();
    let mut server = start(&[place.address.clone(), loopback()]).await;
    for client in server.clients().await {
        assert_eq!(client.say("peer").await.unwrap(), "local");
    }
    server.begin_drain();
    assert_eq!(server.stopped().await, Drained::Cleanly);
    assert!(!place.path.exists());
}
