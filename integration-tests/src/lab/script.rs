//! Runs one shell script with a limit, and says how it ended. Shared by the machines' responder and the namespaces.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use tokio::process::Command;

/// How a script ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// It ended by itself with this code.
    Exited(i32),
    /// A signal ended it.
    Signalled(i32),
    /// It reached its limit and was killed with its process group.
    TimedOut,
}

/// What a script left: its ending and everything it wrote until then (lossy UTF-8).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// How it ended.
    pub status: Status,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Output {
    /// Yields standard output, or an error that quotes the rest when the script did not exit with 0.
    pub fn success(self) -> Result<String> {
        if self.status != Status::Exited(0) {
            bail!("{:?}\nstdout: {}\nstderr: {}", self.status, self.stdout.trim_end(), self.stderr.trim_end());
        }
        Ok(self.stdout)
    }
}

/// Runs `command` in a process group of its own, with `stdin` as its input, and kills the group at the limit.
///
/// Output goes through files, so a daemon that the script leaves behind neither blocks the answer nor loses its output's
/// other end.
pub async fn run(mut command: Command, stdin: &str, limit: Duration) -> Result<Output> {
    let mut input = tempfile::tempfile()?;
    input.write_all(stdin.as_bytes())?;
    input.seek(SeekFrom::Start(0))?;
    let (stdout, stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
    command
        .stdin(Stdio::from(input))
        .stdout(Stdio::from(stdout.try_clone()?))
        .stderr(Stdio::from(stderr.try_clone()?))
        .process_group(0)
        .kill_on_drop(true);
    let mut child = command.spawn().context("cannot start the script")?;
    let group = child.id().context("the script has no process id")?;
    let status = match tokio::time::timeout(limit, child.wait()).await {
        Ok(ended) => {
            let ended = ended?;
            match (ended.code(), ended.signal()) {
                (Some(code), _) => Status::Exited(code),
                (None, signal) => Status::Signalled(signal.unwrap_or_default()),
            }
        }
        Err(_) => {
            let kill = format!("kill -KILL -- -{group}");
            Command::new("bash").args(["-c", &kill]).status().await?;
            child.wait().await?;
            Status::TimedOut
        }
    };
    Ok(Output { status, stdout: read_back(stdout)?, stderr: read_back(stderr)? })
}

/// Reads a file from its start.
fn read_back(mut file: File) -> Result<String> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
