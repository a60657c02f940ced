//! The certificates of one fleet, made as an operator makes them: by `trestlectl pki`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::process::Command;
use tokio::sync::Mutex;

use super::program;
use crate::lab::script;

const LIMIT: Duration = Duration::from_secs(60);
/// The user in whose name stories and the demo call.
pub const USER: &str = "ada";

/// An authority and its folder.
#[derive(Clone, Debug)]
pub struct Certificates {
    folder: PathBuf,
    /// Held while something is issued: several may want the user's at once.
    turn: Arc<Mutex<()>>,
}

/// The files of one holder.
#[derive(Clone, Debug)]
pub struct Party {
    /// The authority's certificate.
    pub ca: PathBuf,
    /// The own certificate.
    pub cert: PathBuf,
    /// The own key.
    pub key: PathBuf,
}

impl Certificates {
    /// Makes an authority in `folder`.
    pub async fn make(folder: &Path) -> Result<Self> {
        let made = Self { folder: folder.to_owned(), turn: Arc::default() };
        made.pki(&["init", "--trust-domain", "lab"]).await?;
        Ok(made)
    }

    /// The engine's, for the addresses at which this machine and the lab's machines reach it.
    pub async fn engine(&self) -> Result<Party> {
        self.issue("engine", &["engine", "--ip", "127.0.0.1", "--ip", "10.0.2.2"]).await
    }

    /// A host's; also for 127.0.0.1, where its agent's port is forwarded to.
    pub async fn host(&self, name: &str) -> Result<Party> {
        self.issue(name, &["host", name, "--ip", "127.0.0.1"]).await
    }

    /// The user's.
    pub async fn user(&self) -> Result<Party> {
        self.issue(USER, &["user", USER]).await
    }

    /// Issues what is not there yet.
    async fn issue(&self, file: &str, words: &[&str]) -> Result<Party> {
        let place = |name: &str| self.folder.join(name);
        let party =
            Party { ca: place("ca.crt"), cert: place(&format!("{file}.crt")), key: place(&format!("{file}.key")) };
        let _turn = self.turn.lock().await;
        if !party.cert.exists() {
            let words: Vec<&str> = ["issue"].iter().chain(words).copied().collect();
            self.pki(&words).await?;
        }
        Ok(party)
    }

    async fn pki(&self, words: &[&str]) -> Result<()> {
        let mut command = Command::new(program::built("trestlectl")?);
        command.arg("pki").args(words).arg("--dir").arg(&self.folder);
        let output = script::run(command, "", LIMIT).await?;
        output.success().with_context(|| format!("trestlectl pki {}", words.join(" ")))?;
        Ok(())
    }
}
