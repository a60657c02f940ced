//! The agent, driven by the command line beside it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::guests::BRIDGE;
use crate::{Manager, Uplink};

/// How long the agent may take to serve.
const BOUND: Duration = Duration::from_secs(60);

/// The running program, with a folder of its own.
pub(crate) struct Agent {
    process: Child,
    pid: Pid,
    folder: TempDir,
    ctl: PathBuf,
}

impl Agent {
    /// Starts the program beside libvirt's test driver, which runs in its process and begins with `node`; waits until it serves.
    pub(crate) async fn start(program: &Path, node: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let [config, node_file, log] = ["agent.toml", "node.xml", "log"].map(|name| folder.path().join(name));
        std::fs::write(&node_file, node)?;
        let settings = format!(
            "host = \"bench\"\ndata_dir = {:?}\n[listen]\nsocket = \"unix:{}\"\n[libvirt]\nuri = \"test://{}\"\n",
            folder.path().join("data"),
            folder.path().join("sock").display(),
            node_file.display()
        );
        std::fs::write(&config, settings)?;
        let log = std::fs::File::create(log)?;
        let mut command = Command::new(program);
        command.arg("run").arg("--config").arg(config).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
        let process = command.spawn()?;
        let pid = Pid::from_raw(i32::try_from(process.id().context("ended at once")?)?);
        let agent = Self { process, pid, folder, ctl: program.with_file_name("trestlectl") };
        let serving = async {
            while agent.ctl(&["capabilities", "--fields", "boot_id"]).await.is_err() {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        if tokio::time::timeout(BOUND, serving).await.is_err() {
            bail!("the agent does not serve: {}", agent.log()?);
        }
        Ok(agent)
    }

    /// Asks for the network.
    pub(crate) async fn set_up(&self, uplink: Uplink, manager: Manager) -> Result<()> {
        let wish = self.folder.path().join("wish.yaml");
        let (nic, managed) = (uplink.device(), manager == Manager::Libvirt);
        let text = format!("networks: [{{name: {BRIDGE}, nic: {nic}, manageMacsWithLibvirt: {managed}}}]");
        std::fs::write(&wish, text)?;
        let wish = wish.display().to_string();
        let asked = self.ctl(&["setup", "-f", &wish, "--check", "none", "--commit"]).await;
        asked.map(drop).with_context(|| self.log().unwrap_or_default())
    }

    /// Returns how many repairs were done, and how many failed.
    pub(crate) async fn repairs(&self) -> Result<[u64; 2]> {
        let text = self.ctl(&["capabilities", "--fields", "repairs", "-o", "json"]).await?;
        let report: serde_json::Value = serde_json::from_str(&text)?;
        let count = |name: &str| report["repairs"][name].as_str().map_or(Ok(0), str::parse);
        Ok([count("repaired")?, count("failed")?])
    }

    /// Ends the program.
    pub(crate) async fn end(mut self) -> Result<()> {
        kill(self.pid, Signal::SIGTERM)?;
        let status = self.process.wait().await?;
        ensure!(status.success(), "the agent ended with {status}");
        Ok(())
    }

    /// The end of what it said.
    fn log(&self) -> Result<String> {
        let said = std::fs::read_to_string(self.folder.path().join("log"))?;
        let lines: Vec<&str> = said.lines().collect();
        Ok(lines[lines.len().saturating_sub(20)..].join("\n"))
    }

    async fn ctl(&self, arguments: &[&str]) -> Result<String> {
        let socket = format!("unix:{}", self.folder.path().join("sock").display());
        let mut command = Command::new(&self.ctl);
        command.arg("host").args(arguments).args(["--agent", &socket]).stdin(Stdio::null());
        let output = command.output().await?;
        let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "{arguments:?}: {said}{wrong}");
        Ok(said.into_owned())
    }
}
