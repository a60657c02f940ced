//! The engine: a process of this machine, on a loopback port, with its store in the lab's folder.

use std::fs::{File, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::certificates::Party;
use super::{Options, program};
use crate::lab::keeper;

const START_LIMIT: Duration = Duration::from_secs(30);
const STOP_LIMIT: Duration = Duration::from_secs(30);
const PERIOD: Duration = Duration::from_millis(50);

/// An engine; the process ends with the value.
#[derive(Debug)]
pub struct Engine {
    process: Option<Child>,
    folder: PathBuf,
    port: u16,
}

impl Engine {
    /// Writes the engine's configuration below `folder` and starts it.
    ///
    /// *Errors*: it ends or does not listen within half a minute; the error quotes its log.
    pub async fn start(folder: &Path, party: &Party, options: &Options) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        // Chosen once, so that agents find a restarted engine where it was.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut engine = Self { process: None, folder: folder.to_owned(), port };
        let Party { ca, cert, key } = party;
        let mut config = format!(
            "listen = [\"127.0.0.1:{port}\"]\n\n[tls]\nca = {ca:?}\ncert = {cert:?}\nkey = {key:?}\n\n\
             [store]\npath = {:?}\n\n[hosts]\nconnectivity_timeout = \"{}s\"\n\n[telemetry]\nlog_filter = \"info\"\n",
            folder.join("engine.redb"),
            options.connectivity_timeout.as_secs(),
        );
        if let Some(endpoint) = &options.collector {
            config += &format!("otlp_endpoint = \"http://{endpoint}\"\n");
        }
        std::fs::write(engine.config(), config)?;
        engine.resume().await?;
        Ok(engine)
    }

    /// Where clients on this machine call it.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder.join("engine-svc.toml")
    }

    /// What it wrote, over all its starts.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().and_then(Child::id)
    }

    /// Starts it again after [`Engine::stop`] or [`Engine::kill`], on the same port and store.
    pub async fn resume(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "the engine runs");
        let log = self.log_file()?;
        let mut command = keeper::mortal(program::pinned(&self.folder.join("bin"), "engine-svc")?);
        command.arg("run").arg("--config").arg(self.config());
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut process = keeper::start(command).await?;
        let address = self.address();
        let listens = async {
            let mut tick = tokio::time::interval(PERIOD);
            while TcpStream::connect(address).await.is_err() {
                tick.tick().await;
            }
        };
        tokio::select! {
            waited = tokio::time::timeout(START_LIMIT, listens) => {
                waited.with_context(|| format!("the engine does not listen\n{}", self.log()))?;
            }
            ended = process.wait() => bail!("the engine ended: {ended:?}\n{}", self.log()),
        }
        self.process = Some(process);
        Ok(())
    }

    /// Ends it in order, by SIGTERM.
    ///
    /// *Errors*: it does not end with success within half a minute.
    pub async fn stop(&mut self) -> Result<()> {
        let mut process = self.process.take().context("the engine does not run")?;
        let pid = process.id().context("the engine has ended by itself")?;
        Command::new("kill").args(["-TERM", &pid.to_string()]).status().await?;
        let ended = tokio::time::timeout(STOP_LIMIT, process.wait()).await.context("the engine does not stop")??;
        ensure!(ended.success(), "the engine stopped with {ended}\n{}", self.log());
        Ok(())
    }

    /// Ends it by force.
    pub async fn kill(&mut self) -> Result<()> {
        self.process.take().context("the engine does not run")?.kill().await?;
        Ok(())
    }

    fn log_file(&self) -> Result<File> {
        Ok(OpenOptions::new().create(true).append(true).open(self.log_path())?)
    }

    fn log_path(&self) -> PathBuf {
        self.folder.join("engine-svc.log")
    }
}
