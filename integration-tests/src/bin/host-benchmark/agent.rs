//! The agent itself: the program, driven over its socket as any client drives it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::Instant;
use trestle_proto::host::v1 as wire;
use trestle_proto::host::v1::host_agent_client::HostAgentClient;
use trestle_proto::host::v1::setup_networks_response::Event;
use trestle_serve::{ClientOptions, Connection, ServerIdentity, Target, connect};

use crate::measure::{Cost, Measured, Start, Whose, quiet};
use crate::scene::{Scene, batch};

/// How often what is cheap is measured.
const REPEATS: usize = 5;
/// How long the agent rests before its memory counts.
const REST: Duration = Duration::from_secs(2);
/// How long the agent may take to serve.
const BOUND: Duration = Duration::from_secs(120);
/// The largest answer that a client takes.
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// The program with a folder of its own.
struct Bench {
    program: PathBuf,
    folder: TempDir,
}

/// The running program.
struct Agent {
    process: Child,
    pid: Pid,
    client: HostAgentClient<Connection>,
    /// How long it took to serve.
    serving: Duration,
}

/// Measures the agent in this namespace.
pub(crate) async fn measure(scene: &Scene, program: &Path) -> Result<Measured> {
    scene.prepare()?;
    let bench = Bench { program: program.to_owned(), folder: tempfile::tempdir()? };
    bench.configure()?;
    let mut measured = Measured::new();

    let mut agent = bench.start().await?;
    measured.insert("memory, idle".to_owned(), Cost::size(agent.megabytes("VmRSS")?));
    quiet().await?;
    let start = agent.begin()?;
    let outcome = agent.set_up(scene.request()).await?;
    measured.insert("apply".to_owned(), start.stop()?);
    ensure!(outcome == wire::Outcome::Applied, "applied: {outcome:?}");
    measured.insert("memory, most".to_owned(), Cost::size(agent.megabytes("VmHWM")?));

    quiet().await?;
    for repeat in 0..REPEATS {
        let start = agent.begin()?;
        let outcome = agent.set_up(scene.request()).await?;
        measured.insert(format!("apply again {repeat}"), start.stop()?);
        ensure!(outcome == wire::Outcome::Unchanged, "applied again: {outcome:?}");
        let start = agent.begin()?;
        let networks = agent.capabilities().await?.networks;
        measured.insert(format!("capabilities {repeat}"), start.stop()?);
        ensure!(networks.len() == scene.count, "{} networks", networks.len());
        let drift = networks.iter().flat_map(|network| &network.drift).next();
        ensure!(drift.is_none(), "drift: {drift:?}");
    }
    // What a change needed for a moment goes back within a second or two.
    tokio::time::sleep(REST).await;
    measured.insert("memory".to_owned(), Cost::size(agent.megabytes("VmRSS")?));
    measured.insert("memory, private".to_owned(), Cost::size(agent.megabytes("RssAnon")?));
    agent.end().await?;

    // What a start costs that owes nothing, then one after a boot.
    let agent = bench.start().await?;
    let started = agent.since_its_start()?;
    agent.end().await?;
    bench.reboot(scene).await?;
    quiet().await?;
    let mut agent = bench.start().await?;
    let restored = agent.since_its_start()?;
    let cost = Cost { wall: restored.wall - started.wall, cpu: restored.cpu - started.cpu };
    measured.insert("restore".to_owned(), cost);
    let networks = agent.capabilities().await?.networks;
    ensure!(networks.iter().all(|network| network.drift.is_empty()), "not restored");
    agent.end().await?;
    Ok(measured)
}

impl Bench {
    fn configure(&self) -> Result<()> {
        let config = format!(
            "host = \"host-a\"\ndata_dir = {:?}\n[listen]\nsocket = \"unix:{}\"\n[libvirt]\nuri = \"none\"\n",
            self.folder.path().join("data"),
            self.socket().display()
        );
        Ok(std::fs::write(self.config(), config)?)
    }

    /// Starts the program and waits until it serves.
    async fn start(&self) -> Result<Agent> {
        let log = std::fs::File::create(self.folder.path().join("log"))?;
        let begun = Instant::now();
        let mut command = self.command("run");
        let process = command.stdout(log.try_clone()?).stderr(log).kill_on_drop(true).spawn()?;
        let pid = Pid::from_raw(i32::try_from(process.id().context("ended at once")?)?);
        let target = Target::Unix(self.socket());
        let options = ClientOptions::new(None, ServerIdentity::AnyHost);
        loop {
            if let Ok(connection) = connect(&target, &options).await {
                let client = HostAgentClient::new(connection)
                    .max_decoding_message_size(MOST_BYTES)
                    .max_encoding_message_size(MOST_BYTES);
                return Ok(Agent { process, pid, client, serving: begun.elapsed() });
            }
            ensure!(begun.elapsed() < BOUND, "the agent does not serve");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Makes the namespace and the store what they are after a boot: the kernel has nothing, and the store is of
    /// another boot.
    async fn reboot(&self, scene: &Scene) -> Result<()> {
        let exported = self.command("export").output().await?;
        ensure!(exported.status.success(), "export: {}", String::from_utf8_lossy(&exported.stderr));
        let mut archive: serde_json::Value = serde_json::from_slice(&exported.stdout)?;
        let boot_id = archive.pointer_mut("/contents/boot_id").context("the export has no boot id")?;
        *boot_id = "another".into();
        let file = self.folder.path().join("archive.json");
        std::fs::write(&file, archive.to_string())?;
        std::fs::remove_dir_all(self.folder.path().join("data"))?;
        let imported = self.command("import").arg(&file).output().await?;
        ensure!(imported.status.success(), "import: {}", String::from_utf8_lossy(&imported.stderr));
        batch(&scene.removal())
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--config").arg(self.config()).arg(verb);
        command
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("host-agent.toml")
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("agent.sock")
    }
}

impl Agent {
    fn begin(&self) -> Result<Start> {
        Start::now(Whose::Process(self.pid))
    }

    /// Returns what the program has cost from its start until it served.
    fn since_its_start(&self) -> Result<Cost> {
        Ok(Cost { wall: self.serving.as_secs_f64() * 1e3, cpu: Whose::Process(self.pid).cpu()?.as_secs_f64() * 1e3 })
    }

    async fn set_up(&mut self, request: wire::SetupNetworksRequest) -> Result<wire::Outcome> {
        let mut events = self.client.setup_networks(request).await?.into_inner();
        while let Some(message) = events.message().await? {
            if let Some(Event::Result(result)) = message.event {
                if result.outcome() == wire::Outcome::RolledBack {
                    eprintln!("{:?}", result.cause);
                }
                return Ok(result.outcome());
            }
        }
        bail!("no result came")
    }

    async fn capabilities(&mut self) -> Result<wire::Capabilities> {
        let answer = self.client.get_capabilities(wire::GetCapabilitiesRequest::default()).await?.into_inner();
        answer.capabilities.context("no capabilities")
    }

    /// Returns a line of the process's status in megabytes (10^6 bytes).
    fn megabytes(&self, name: &str) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let kibibytes: f64 = line.and_then(|line| line.split_whitespace().next()).context("no such line")?.parse()?;
        Ok(kibibytes * 1024.0 / 1e6)
    }

    async fn end(mut self) -> Result<()> {
        kill(self.pid, Signal::SIGTERM)?;
        let status = self.process.wait().await?;
        ensure!(status.success(), "the agent ended with {status}");
        Ok(())
    }
}
