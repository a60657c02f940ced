//! The command line of a user on this machine.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::process::Command;

use super::certificates::Party;
use super::program;
use crate::lab::script::{self, Output, Status};

const LIMIT: Duration = Duration::from_secs(180);

/// trestlectl with a context file that names an engine and a user's certificates.
#[derive(Clone, Debug)]
pub struct Ctl {
    program: PathBuf,
    context: PathBuf,
}

impl Ctl {
    /// Writes the context file `file`, with the address of the engine and the files of `party`.
    pub fn write(file: &Path, engine: SocketAddr, party: &Party, collector: Option<SocketAddr>) -> Result<Self> {
        let Party { ca, cert, key } = party;
        let mut text = format!("server = \"https://{engine}\"\nca = {ca:?}\ncert = {cert:?}\nkey = {key:?}\n");
        if let Some(collector) = collector {
            text += &format!("otlp = \"http://{collector}\"\n");
        }
        std::fs::write(file, text)?;
        Ok(Self { program: program::built("trestlectl")?, context: file.to_owned() })
    }

    /// Runs a command, whatever becomes of it.
    pub async fn exec(&self, words: &[&str]) -> Result<Output> {
        self.exec_with_input(words, "").await
    }

    /// Runs a command that reads `input`, whatever becomes of it.
    pub async fn exec_with_input(&self, words: &[&str], input: &str) -> Result<Output> {
        let mut command = Command::new(&self.program);
        command.arg("--context").arg(&self.context).args(words).current_dir(crate::lab::workspace());
        script::run(command, input, LIMIT).await.with_context(|| format!("trestlectl {}", words.join(" ")))
    }

    /// Runs a command that must succeed, and yields its output.
    pub async fn run(&self, words: &[&str]) -> Result<String> {
        self.exec(words).await?.success().with_context(|| format!("trestlectl {}", words.join(" ")))
    }

    /// Applies a document that must be accepted, and waits until all hosts have it, also those that are yet to connect.
    pub async fn apply(&self, document: &str) -> Result<String> {
        self.apply_with(document, &["--wait", "--require-all"]).await
    }

    /// Applies a document that must be accepted.
    pub async fn apply_with(&self, document: &str, flags: &[&str]) -> Result<String> {
        let words: Vec<&str> = ["apply", "-f", "-"].into_iter().chain(flags.iter().copied()).collect();
        self.exec_with_input(&words, document).await?.success().with_context(|| format!("apply of\n{document}"))
    }

    /// Applies a document that must be refused, and yields all that was said.
    pub async fn refused(&self, document: &str) -> Result<String> {
        let output = self.exec_with_input(&["apply", "-f", "-"], document).await?;
        let said = format!("{}{}", output.stdout, output.stderr);
        ensure!(output.status != Status::Exited(0), "accepted:\n{document}\n{said}");
        Ok(said)
    }

    /// Runs a command with JSON as its output.
    pub async fn json(&self, words: &[&str]) -> Result<Value> {
        let words: Vec<&str> = words.iter().copied().chain(["--output", "json"]).collect();
        let text = self.run(&words).await?;
        serde_json::from_str(&text).with_context(|| format!("trestlectl {} said {text}", words.join(" ")))
    }
}
