//! The machine's end of the command line: takes scripts from the virtio-serial port and answers with their output.
//!
//! One JSON object a line in each direction. Scripts run side by side; answers come in the order in which they end.
//! Started by `integration-tests/lab/guest-init`, never on the machine that runs the tests.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::script::{self, Output};

/// Name of the virtio-serial port, as QEMU is told.
pub(super) const PORT_NAME: &str = "trestle.lab";

/// A script to run in the machine.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    /// Number that the answer bears; chosen by the asking side, unique on the line.
    pub(super) id: u64,
    /// Text given to `bash -c`.
    pub(super) script: String,
    /// What the script reads on standard input.
    pub(super) stdin: String,
    /// When the script is killed, in milliseconds from its start.
    pub(super) limit_ms: u64,
}

/// What the machine says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// The machine is up and takes scripts; the first line of every boot.
    Ready,
    /// A script ended.
    Ended {
        /// The request's number.
        id: u64,
        /// What it left, or why it could not be run.
        outcome: Result<Output, String>,
    },
}

/// Serves the port until its other end closes it.
pub async fn respond() -> Result<()> {
    let port = OpenOptions::new().read(true).write(true).open(port_path()?)?;
    let answers = Arc::new(Mutex::new(port.try_clone()?));
    let (requests, mut incoming) = mpsc::channel(64);
    std::thread::spawn(move || read_requests(port, &requests));
    write_answer(&answers, &Answer::Ready)?;
    let mut running = JoinSet::new();
    loop {
        tokio::select! {
            request = incoming.recv() => match request {
                Some(request) => { running.spawn(answer(request, Arc::clone(&answers))); }
                None => return Ok(()),
            },
            Some(ended) = running.join_next() => ended??,
        }
    }
}

/// Runs one script and writes its answer.
async fn answer(request: Request, answers: Arc<Mutex<File>>) -> Result<()> {
    let mut command = Command::new("bash");
    command.args(["-c", &request.script]);
    let limit = Duration::from_millis(request.limit_ms);
    let outcome = script::run(command, &request.stdin, limit).await.map_err(|error| format!("{error:#}"));
    write_answer(&answers, &Answer::Ended { id: request.id, outcome })
}

/// Reads requests until the port is closed or the receiver is gone.
fn read_requests(port: File, requests: &mpsc::Sender<Request>) {
    for line in BufReader::new(port).lines() {
        let Ok(line) = line else { return };
        match serde_json::from_str(&line) {
            Ok(request) => {
                if requests.blocking_send(request).is_err() {
                    return;
                }
            }
            Err(error) => eprintln!("lab: not a request: {error}"),
        }
    }
}

/// Writes one answer as one line.
fn write_answer(answers: &Mutex<File>, answer: &Answer) -> Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    answers.lock().expect("no writer panics").write_all(&line).context("cannot write to the port")
}

/// The device of the port with our name; there is no udev that would make a link.
fn port_path() -> Result<PathBuf> {
    for entry in fs::read_dir("/sys/class/virtio-ports").context("no virtio-serial device")? {
        let entry = entry?;
        let name = fs::read_to_string(entry.path().join("name")).unwrap_or_default();
        if name.trim() == PORT_NAME {
            return Ok(PathBuf::from("/dev").join(entry.file_name()));
        }
    }
    anyhow::bail!("no virtio-serial port is named {PORT_NAME}")
}
