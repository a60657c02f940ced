//! A host: a virtual machine with libvirt and the agent in it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::call::Caller;
use super::certificates::{Certificates, Party};
use super::picture::Picture;
use super::{Options, program};
use crate::lab::Lab;
use crate::lab::nic::Nic;
use crate::lab::script::Output;
use crate::lab::segment::Segment;
use crate::lab::vm::{Daemon, Vm, quote};

/// The port of the agent's service in the machine.
const AGENT_PORT: u16 = 7444;
/// Where clients on the host find the agent.
pub const SOCKET: &str = "/run/trestle/host-agent.sock";
/// The agent's output; it goes when the machine does.
const LOG: &str = "/var/log/trestle/host-agent.log";
const CONFIG: &str = "/etc/trestle/host-agent.toml";
/// How the machine reaches this machine's loopback.
const LOOPBACK_FROM_INSIDE: &str = "10.0.2.2";

const READY_LIMIT: Duration = Duration::from_secs(90);
const END_LIMIT: Duration = Duration::from_secs(40);
const SCRIPT_LIMIT: Duration = Duration::from_secs(120);

/// A host; everything in it ends with the value.
///
/// Its cards: `eth0` is the way to the engine, `eth1` and `eth2` are shared with the other hosts.
#[derive(Debug)]
pub struct Host {
    /// The machine.
    pub machine: Vm,
    agent: Option<Daemon>,
    /// Where the machine finds Trestle's programs.
    programs: PathBuf,
    user: Party,
}

/// The cables between the hosts.
#[derive(Debug)]
pub struct Cables {
    /// The cable of `eth1`.
    pub first: Segment,
    /// The cable of `eth2`.
    pub second: Segment,
}

impl Cables {
    /// Lays them.
    pub fn lay(lab: &Lab) -> Result<Self> {
        Ok(Self { first: lab.segment("first")?, second: lab.segment("second")? })
    }
}

impl Host {
    /// Boots a machine and puts the agent's configuration and certificates into it; starts neither libvirt nor agent.
    pub async fn boot(
        lab: &Arc<Lab>,
        name: &str,
        cables: &Cables,
        certificates: &Certificates,
        engine: SocketAddr,
        options: &Options,
    ) -> Result<Self> {
        let machine = lab
            .vm(name)
            .nic(Nic::User { guest_ports: vec![AGENT_PORT] })
            .nic(Nic::segment(&cables.first))
            .nic(Nic::segment(&cables.second))
            .start()
            .await?;
        let party = certificates.host(name).await?;
        for (file, path) in [("ca.pem", &party.ca), ("agent.pem", &party.cert), ("agent-key.pem", &party.key)] {
            machine.write(&format!("/etc/trestle/{file}"), &std::fs::read_to_string(path)?).await?;
        }
        let programs = lab.folder().join("bin");
        program::pinned(&programs, "trestlectl")?;
        program::pinned(&programs, "host-agent")?;
        let host = Self { machine, agent: None, programs, user: certificates.user().await? };
        host.machine.write(CONFIG, &configuration(name, engine.port(), options)).await?;
        Ok(host)
    }

    /// The host's name.
    pub fn name(&self) -> &str {
        self.machine.name()
    }

    /// Starts libvirt and then the agent, and waits until both answer.
    pub async fn start(&mut self) -> Result<()> {
        self.machine.start_libvirt().await?;
        self.start_agent().await
    }

    /// Starts the agent and waits until it answers.
    ///
    /// *Errors*: it does not answer within a minute and a half; see [`Host::agent_log`].
    pub async fn start_agent(&mut self) -> Result<()> {
        self.launch_agent().await?;
        self.await_agent().await
    }

    /// Starts the agent without waiting for it.
    pub async fn launch_agent(&mut self) -> Result<()> {
        let command = format!("{}/host-agent run --config {CONFIG}", self.programs.display());
        // The unit's RuntimeDirectory.
        self.machine.run("mkdir -p /run/trestle").await?;
        self.agent = Some(self.machine.start_daemon(&command, LOG).await?);
        Ok(())
    }

    /// Waits until the agent answers on its socket.
    pub async fn await_agent(&self) -> Result<()> {
        let pid = self.agent.as_ref().context("the agent was not started")?.pid;
        let health = self.typed_in_machine("-connect-timeout 5 -max-time 10", "grpc.health.v1.Health/Check")?;
        let condition = format!("! kill -0 {pid} 2>/dev/null || {health} 2>&1 | grep -q '\"SERVING\"'");
        self.machine.wait_until(&condition, READY_LIMIT).await?;
        self.machine.run(&format!("kill -0 {pid}")).await.context("the agent has ended")?;
        Ok(())
    }

    /// Ends the agent in order, by SIGTERM.
    pub async fn stop_agent(&mut self) -> Result<()> {
        self.end_agent("TERM").await
    }

    /// Ends the agent by force.
    pub async fn kill_agent(&mut self) -> Result<()> {
        self.end_agent("KILL").await
    }

    /// What the agent wrote since the machine's boot.
    pub async fn agent_log(&self) -> String {
        let output = self.machine.exec(&format!("cat {LOG}"), SCRIPT_LIMIT).await;
        output.map_or_else(|error| error.to_string(), |output| output.stdout)
    }

    /// Shuts the machine down and boots it; libvirt and agent are not started.
    pub async fn reboot(&mut self) -> Result<()> {
        self.agent = None;
        self.machine.reboot().await
    }

    /// Pulls the machine's plug and boots it; libvirt and agent are not started.
    pub async fn power_cycle(&mut self) -> Result<()> {
        self.agent = None;
        self.machine.power_cut().await?;
        self.machine.boot().await
    }

    /// A client of the agent on this machine, over mutual TLS, as the user.
    pub fn caller(&self) -> Result<Caller> {
        self.caller_as(&self.user)
    }

    /// A client of the agent on this machine, over mutual TLS.
    pub fn caller_as(&self, party: &Party) -> Result<Caller> {
        let address = self.machine.forwarded(AGENT_PORT).context("the agent's port is not forwarded")?;
        Ok(Caller::with_certificates(address, party.ca.clone(), party.cert.clone(), party.key.clone()))
    }

    /// Calls the agent on its unix socket with grpcurl, inside the machine.
    pub async fn call_inside(&self, method: &str) -> Result<Value> {
        let text = self.machine.run(&self.typed_in_machine("-max-time 50 -emit-defaults", method)?).await?;
        serde_json::from_str(&text).with_context(|| format!("{method} answered {text}"))
    }

    /// A line of shell that puts Trestle's programs and grpcurl on the path of a script in the machine.
    pub fn path(&self) -> Result<String> {
        let grpcurl = program::grpcurl()?;
        let grpcurl = grpcurl.parent().context("grpcurl lies in no folder")?;
        Ok(format!("PATH={}:{}:$PATH", self.programs.display(), grpcurl.display()))
    }

    /// Runs a script in the machine in which `trestlectl` and `grpcurl` are known, whatever becomes of it.
    pub async fn exec(&self, script: &str, limit: Duration) -> Result<Output> {
        self.machine.exec(&format!("{}\n{script}", self.path()?), limit).await
    }

    /// Runs such a script that must succeed, and yields its output.
    pub async fn run(&self, script: &str) -> Result<String> {
        let output = self.exec(script, SCRIPT_LIMIT).await?;
        output.success().with_context(|| format!("{}: {script}", self.name()))
    }

    /// Asks `ip -d -j` or `bridge -d -j` and yields what it says.
    pub async fn asked(&self, command: &str) -> Result<Value> {
        let text = self.machine.run(command).await?;
        serde_json::from_str(&text).with_context(|| format!("{}: {command}: {text}", self.name()))
    }

    /// What `ip -d -j link` says of one link.
    ///
    /// *Errors*: there is no such link.
    pub async fn link(&self, link: &str) -> Result<Value> {
        let links = self.asked(&format!("ip -d -j link show dev {link}")).await?;
        Ok(links[0].clone())
    }

    /// Whether there is a link of that name.
    pub async fn has_link(&self, link: &str) -> Result<bool> {
        let answer = self.machine.run(&format!("test -e /sys/class/net/{link} && echo there || echo absent")).await?;
        Ok(answer.trim() == "there")
    }

    /// What `ip -d -j` says of the whole host, once the kernel has probed new IPv6 addresses for duplicates.
    pub async fn picture(&self) -> Result<Picture> {
        Picture::taken(&self.machine).await
    }

    /// What the kernel tells of links, addresses and routes while a scene is played.
    pub async fn events_during(&self, scene: impl Future<Output = Result<()>>) -> Result<String> {
        let log = "/run/lab/monitor";
        self.machine.run(&format!("rm -f {log}")).await?;
        let monitor = self.machine.start_daemon("ip monitor link address route", log).await?;
        scene.await?;
        self.machine.run(&format!("kill {}", monitor.pid)).await?;
        self.machine.read(log).await
    }

    /// Plays a scene, and succeeds when the kernel has nothing to tell of it.
    ///
    /// What came before may still echo, so a scene that was not quiet is played again, at most three times.
    ///
    /// *Errors*: it never was quiet; the error quotes what the kernel told last.
    pub async fn is_quiet_during<Playing>(&self, scene: impl Fn() -> Playing) -> Result<()>
    where
        Playing: Future<Output = Result<()>>,
    {
        let mut told = String::new();
        for _ in 0..3 {
            told = self.events_during(scene()).await?;
            if told.is_empty() {
                return Ok(());
            }
        }
        bail!("the kernel of {} was written to:\n{told}", self.name())
    }

    fn typed_in_machine(&self, flags: &str, method: &str) -> Result<String> {
        let grpcurl = quote(&program::grpcurl()?.display().to_string());
        Ok(format!("{grpcurl} {flags} -plaintext -unix -authority localhost {SOCKET} {method}"))
    }

    async fn end_agent(&mut self, signal: &str) -> Result<()> {
        let pid = self.agent.take().context("the agent does not run")?.pid;
        self.machine.run(&format!("kill -{signal} {pid}")).await?;
        self.machine.wait_until(&format!("! kill -0 {pid} 2>/dev/null"), END_LIMIT).await
    }
}

fn configuration(name: &str, engine_port: u16, options: &Options) -> String {
    let tls = "tls = { ca = \"/etc/trestle/ca.pem\", cert = \"/etc/trestle/agent.pem\", key = \"/etc/trestle/agent-key.pem\" }";
    let mut text = format!(
        "host = \"{name}\"\n\n[listen]\nsocket = \"unix:{SOCKET}\"\ntcp = \"0.0.0.0:{AGENT_PORT}\"\n{tls}\n\n\
         [engine]\nendpoint = \"https://{LOOPBACK_FROM_INSIDE}:{engine_port}\"\n{tls}\nreport_period = \"10s\"\n\n\
         [telemetry]\nlog_filter = \"info\"\n"
    );
    if let Some(collector) = &options.collector {
        text += &format!("otlp_endpoint = \"http://{LOOPBACK_FROM_INSIDE}:{}\"\n", collector.port());
    }
    text
}
