//! The way into a running demo: `demo exec HOST COMMAND` asks the demo that owns the machines.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use integration_tests::fleet::Fleet;
use integration_tests::fleet::program;
use integration_tests::lab::script::Output;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

/// How long one command may take.
const LIMIT: Duration = Duration::from_secs(600);

#[derive(Debug, Serialize, Deserialize)]
struct Question {
    host: String,
    command: String,
}

/// The running demo's place: a link to its folder, at a path that does not change.
#[derive(Debug)]
pub(crate) struct Place {
    link: PathBuf,
    listener: UnixListener,
}

impl Place {
    /// Claims the place for the demo whose folder is `folder`.
    ///
    /// *Errors*: another demo holds it.
    pub(crate) fn claim(folder: &Path) -> Result<Self> {
        let link = link()?;
        if std::os::unix::net::UnixStream::connect(link.join("control")).is_ok() {
            bail!("a demo is running already; stop it first, or talk to it: demo exec host-a 'ip link'");
        }
        let _ = std::fs::remove_file(&link);
        let listener = UnixListener::bind(folder.join("control"))?;
        std::os::unix::fs::symlink(folder, &link).with_context(|| format!("cannot make {}", link.display()))?;
        Ok(Self { link, listener })
    }

    /// The place, as a user would type it.
    pub(crate) fn typed(&self) -> String {
        program::typed(&self.link)
    }

    /// The same file as a user would type it, when it lies in the demo's folder.
    pub(crate) fn typed_words(&self, folder: &Path, text: &str) -> String {
        text.replace(&folder.display().to_string(), &self.typed())
    }

    /// Answers one question after the other, for ever.
    pub(crate) async fn serve(&self, fleet: &Fleet) -> Result<()> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            if let Err(error) = answer(stream, fleet).await {
                eprintln!("demo: {error:#}");
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.link);
    }
}

async fn answer(mut stream: UnixStream, fleet: &Fleet) -> Result<()> {
    let mut text = Vec::new();
    stream.read_to_end(&mut text).await?;
    let question: Question = serde_json::from_slice(&text)?;
    let outcome = match [&fleet.a, &fleet.b].into_iter().find(|host| host.name() == question.host) {
        Some(host) => host.exec(&question.command, LIMIT).await.map_err(|error| format!("{error:#}")),
        None => Err(format!("no host is named {}; there are host-a and host-b", question.host)),
    };
    stream.write_all(&serde_json::to_vec(&outcome)?).await?;
    Ok(())
}

/// Asks the running demo to run a command in a host.
pub(crate) async fn ask(host: &str, command: &str) -> Result<Output> {
    let mut stream = UnixStream::connect(link()?.join("control")).await.context("no demo is running: make demo")?;
    let question = Question { host: host.to_owned(), command: command.to_owned() };
    stream.write_all(&serde_json::to_vec(&question)?).await?;
    stream.shutdown().await?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text).await?;
    let outcome: Result<Output, String> = serde_json::from_slice(&text).context("the demo ended")?;
    outcome.map_err(anyhow::Error::msg)
}

fn link() -> Result<PathBuf> {
    let own = program::built("demo")?;
    let target = own.ancestors().nth(2).context("the program lies in no target folder")?;
    Ok(target.join("demo"))
}
