//! A host without a fleet: a machine with the agent, asked by the command line over the agent's socket.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::program;
use crate::lab::vm::{Daemon, Vm};

/// How long a host may take for what it is waited for.
pub const LIMIT: Duration = Duration::from_secs(60);
/// The agent's socket in the machine.
pub const SOCKET: &str = "/run/trestle/host-agent.sock";
const CONFIG: &str = "/etc/trestle/alone.toml";

/// A machine and its agent.
pub struct Alone {
    /// The machine.
    pub machine: Vm,
    agent: Option<Daemon>,
}

impl Alone {
    /// Lays the settings of an agent without libvirt out in a machine; the agent does not run yet.
    pub async fn on(machine: Vm) -> Result<Self> {
        Self::configured(machine, "[libvirt]\nuri = \"none\"\n").await
    }

    /// As [`Alone::on`], for an agent beside the machine's libvirt, which does not run yet either.
    pub async fn beside_libvirt(machine: Vm) -> Result<Self> {
        Self::configured(machine, "").await
    }

    async fn configured(machine: Vm, libvirt: &str) -> Result<Self> {
        let name = machine.name();
        let config = format!(
            "host = \"{name}\"\ndata_dir = \"/var/lib/trestle/{name}\"\n[listen]\nsocket = \"unix:{SOCKET}\"\n{libvirt}"
        );
        machine.write(CONFIG, &config).await?;
        Ok(Self { machine, agent: None })
    }

    /// Starts the agent and waits until it answers.
    pub async fn start_agent(&mut self) -> Result<()> {
        self.launch_agent().await?;
        self.await_agent().await
    }

    /// Starts the agent without waiting for it.
    pub async fn launch_agent(&mut self) -> Result<()> {
        let agent = program::built("host-agent")?.display().to_string();
        self.machine.run("mkdir -p /run/trestle").await?;
        let command = format!("{agent} run --config {CONFIG}");
        self.agent = Some(self.machine.start_daemon(&command, "/var/log/agent.log").await?);
        Ok(())
    }

    /// Waits until the agent answers.
    pub async fn await_agent(&self) -> Result<()> {
        self.machine.wait_until(&self.ctl("capabilities --fields boot_id")?, LIMIT).await
    }

    /// Ends the agent in order.
    pub async fn stop_agent(&mut self) -> Result<()> {
        let pid = self.agent.take().context("the agent does not run")?.pid;
        self.machine.run(&format!("kill {pid}")).await?;
        self.machine.wait_until(&format!("! kill -0 {pid} 2>/dev/null"), LIMIT).await
    }

    /// Returns the command line that asks the agent, for a script in the machine.
    pub fn ctl(&self, arguments: &str) -> Result<String> {
        Ok(format!("{} host {arguments} --agent unix:{SOCKET}", program::built("trestlectl")?.display()))
    }

    /// Asks for a change and returns what the command line said.
    pub async fn set_up(&self, wish: &Value, flags: &str) -> Result<String> {
        self.machine.write("/run/wish.yaml", &wish.to_string()).await?;
        self.machine.run(&self.ctl(&format!("setup -f /run/wish.yaml {flags}"))?).await
    }

    /// Asks for a change over gRPC that nobody confirms, and returns the answer's text.
    pub async fn set_up_unconfirmed(&self, wish: &Value) -> Result<String> {
        let grpcurl = program::grpcurl()?.display().to_string();
        let mut asked = wish.clone();
        asked["connectivityTimeout"] = Value::from("2s");
        self.machine.write("/run/wish.json", &asked.to_string()).await?;
        let command = format!(
            "{grpcurl} -plaintext -unix -authority localhost -d @ {SOCKET} trestle.host.v1.HostAgent/SetupNetworks </run/wish.json"
        );
        self.machine.run(&command).await
    }

    /// Returns what the agent reports under one field.
    pub async fn report(&self, field: &str) -> Result<Value> {
        let text = self.machine.run(&self.ctl(&format!("capabilities --fields {field} -o json"))?).await?;
        let report: Value = serde_json::from_str(&text)?;
        report.get(field).cloned().with_context(|| format!("no {field} are reported: {text}"))
    }

    /// Returns a device as `ip` shows it.
    pub async fn link(&self, name: &str) -> Result<Value> {
        let links: Value = serde_json::from_str(&self.machine.run(&format!("ip -d -j link show dev {name}")).await?)?;
        links.get(0).cloned().with_context(|| format!("no {name}"))
    }
}
