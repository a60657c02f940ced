//! Runs the binary, and the servers that it talks to.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use trestle_serve::{Drained, ListenAddress, Listener, Reflection, Server, ServerError, ServerOptions, Services};

/// Longer than anything here takes, on a machine however busy.
const SOON: Duration = Duration::from_secs(60);

/// How a run of the program ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A server that breaks off when dropped.
pub(crate) struct Running {
    pub(crate) address: ListenAddress,
    _tasks: JoinSet<Result<Drained, ServerError>>,
}

/// Serves on an address of loopback or on a unix socket.
pub(crate) async fn serve(address: &str, add: impl FnOnce(Services) -> Services) -> Running {
    let listener = Listener::bind(&address.parse().unwrap(), None).await.unwrap();
    let address = listener.address();
    let services = add(Services::new(&[], Reflection::Off).unwrap());
    let mut tasks = JoinSet::new();
    tasks.spawn(Server::new(services, ServerOptions::default()).run(vec![listener], CancellationToken::new()));
    Running { address, _tasks: tasks }
}

/// Runs the program with words, standard input and a home of its own.
pub(crate) async fn run_in(home: &Path, server: &str, words: &[&str], input: &str) -> Ran {
    let mut child = Command::new(env!("CARGO_BIN_EXE_trestlectl"))
        .args(words)
        .env_clear()
        .env("HOME", home)
        .env("TRESTLE_SERVER", server)
        .current_dir(home)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A program that refuses its words does not read its input.
    drop(stdin.write_all(input.as_bytes()).await);
    drop(stdin);
    let output = timeout(SOON, child.wait_with_output()).await.expect("the program ends").unwrap();
    let ran = Ran {
        code: output.status.code().expect("the program exits by itself"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    };
    eprintln!("{words:?} -> {ran:?}");
    ran
}

pub(crate) async fn run(server: &str, words: &[&str], input: &str) -> Ran {
    run_in(TempDir::new().unwrap().path(), server, words, input).await
}
