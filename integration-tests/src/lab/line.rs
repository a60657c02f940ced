//! The harness's end of the command line into a machine. Knows nothing of QEMU but the socket.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::responder::{Answer, Request};
use super::script::Output;

/// How much longer than the script's own limit the machine's answer may take.
const ANSWER_SLACK: Duration = Duration::from_secs(20);

/// The socket that QEMU will connect to, bound before QEMU starts.
#[derive(Debug)]
pub(super) struct Socket(UnixListener);

/// A line to a machine that has said that it is ready.
#[derive(Debug)]
pub(super) struct Line {
    requests: mpsc::Sender<Request>,
    waiting: Arc<Mutex<Waiting>>,
    next: AtomicU64,
    _tasks: JoinSet<()>,
}

/// Who waits for which answer; `None` once the machine has hung up.
type Waiting = Option<BTreeMap<u64, oneshot::Sender<Result<Output, String>>>>;

impl Socket {
    /// Binds the socket, over the one of an earlier boot if there is one.
    pub(super) fn bind(path: &Path) -> Result<Self> {
        let _ = std::fs::remove_file(path);
        Ok(Self(UnixListener::bind(path).with_context(|| format!("cannot bind {}", path.display()))?))
    }

    /// Waits until the machine is up; the caller bounds the wait.
    pub(super) async fn ready(self) -> Result<Line> {
        let (stream, _) = self.0.accept().await?;
        let (reading, writing) = UnixStream::into_split(stream);
        let mut lines = BufReader::new(reading).lines();
        let first = lines.next_line().await?.context("QEMU hung up before the machine was ready")?;
        ensure!(matches!(serde_json::from_str(&first)?, Answer::Ready), "the machine began with {first}");

        let waiting = Arc::new(Mutex::new(Some(BTreeMap::new())));
        let (requests, queue) = mpsc::channel(64);
        let mut tasks = JoinSet::new();
        tasks.spawn(write_requests(queue, writing));
        tasks.spawn(read_answers(lines, Arc::clone(&waiting)));
        Ok(Line { requests, waiting, next: AtomicU64::new(1), _tasks: tasks })
    }
}

impl Line {
    /// Runs a script in the machine. *Cancel safety*: a dropped call leaves the script running until its own limit.
    pub(super) async fn run(&self, script: &str, stdin: &str, limit: Duration) -> Result<Output> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        match self.waiting.lock().expect("no holder panics").as_mut() {
            Some(waiting) => waiting.insert(id, answer),
            None => bail!("the machine has hung up"),
        };
        let limit_ms = u64::try_from(limit.as_millis())?;
        let request = Request { id, script: script.to_owned(), stdin: stdin.to_owned(), limit_ms };
        let exchange = async {
            self.requests.send(request).await.context("the machine has hung up")?;
            answered.await.context("the machine hung up before it answered")
        };
        let outcome =
            tokio::time::timeout(limit + ANSWER_SLACK, exchange).await.context("the machine does not answer")??;
        outcome.map_err(anyhow::Error::msg)
    }
}

async fn write_requests(mut queue: mpsc::Receiver<Request>, mut writing: OwnedWriteHalf) {
    while let Some(request) = queue.recv().await {
        let mut line = serde_json::to_vec(&request).expect("a request is plain text and numbers");
        line.push(b'\n');
        if writing.write_all(&line).await.is_err() {
            return;
        }
    }
}

async fn read_answers(mut lines: Lines<BufReader<OwnedReadHalf>>, waiting: Arc<Mutex<Waiting>>) {
    while let Ok(Some(line)) = lines.next_line().await {
        if let Ok(Answer::Ended { id, outcome }) = serde_json::from_str(&line) {
            let asker = waiting.lock().expect("no holder panics").as_mut().and_then(|all| all.remove(&id));
            if let Some(asker) = asker {
                let _ = asker.send(outcome);
            }
        }
    }
    *waiting.lock().expect("no holder panics") = None;
}
