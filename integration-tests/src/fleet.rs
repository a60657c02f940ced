//! A fleet in the lab: the engine as a process of this machine, hosts with their agents in virtual machines.
//!
//! Stories and the demo share it. It works through what a user has: programs, configuration files, certificates and
//! sockets; nothing of the programs under test is linked. Everything ends with the values.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::time::Instant;

pub mod alone;
pub mod call;
pub mod certificates;
pub mod ctl;
pub mod engine;
pub mod facts;
pub mod foreign;
pub mod host;
pub mod picture;
pub mod program;
pub mod story;

use call::Caller;
use certificates::Certificates;
use ctl::Ctl;
use engine::Engine;
use host::{Cables, Host};

use crate::lab::Lab;

const PERIOD: Duration = Duration::from_millis(300);

/// What a story may choose of its fleet.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long a host waits for its confirmation before it puts itself back; whole seconds.
    pub connectivity_timeout: Duration,
    /// Where spans are sent; an address on this machine's loopback.
    pub collector: Option<SocketAddr>,
}

/// An engine and two hosts that know how to reach it.
#[derive(Debug)]
pub struct Fleet {
    /// The first host.
    pub a: Host,
    /// The second host.
    pub b: Host,
    /// The engine.
    pub engine: Engine,
    /// Everybody's certificates.
    pub certificates: Certificates,
    /// The command line, as the user.
    pub ctl: Ctl,
    /// The cables between the hosts.
    pub cables: Cables,
}

impl Fleet {
    /// Starts an engine and boots two hosts; libvirt and the agents are not started yet.
    pub async fn boot(lab: &Arc<Lab>, options: &Options) -> Result<Self> {
        let certificates = Certificates::make(&lab.folder().join("pki")).await?;
        let engine = Engine::start(&lab.folder().join("engine"), &certificates.engine().await?, options).await?;
        let cables = Cables::lay(lab)?;
        let host = |name| Host::boot(lab, name, &cables, &certificates, engine.address(), options);
        let (a, b) = tokio::try_join!(Box::pin(host("host-a")), Box::pin(host("host-b")))?;
        let ctl = Ctl::write(
            &lab.folder().join("ctl.toml"),
            engine.address(),
            &certificates.user().await?,
            options.collector,
        )?;
        Ok(Self { a, b, engine, certificates, ctl, cables })
    }

    /// Starts libvirt and the agents, and waits until all answer.
    pub async fn start_hosts(&mut self) -> Result<()> {
        tokio::try_join!(Box::pin(self.a.start()), Box::pin(self.b.start()))?;
        Ok(())
    }

    /// A foreign client of the engine, as the user.
    pub async fn caller(&self) -> Result<Caller> {
        let user = self.certificates.user().await?;
        Ok(Caller::with_certificates(self.engine.address(), user.ca, user.cert, user.key))
    }

    /// What the engine says of a host.
    pub async fn status(&self, host: &str) -> Result<Value> {
        let request = json!({"name": format!("hosts/{host}")});
        let mut answer = self.caller().await?.call("trestle.engine.v1.HostService/GetHost", &request).await?;
        Ok(answer["host"]["status"].take())
    }

    /// Waits until what the engine says of a host satisfies a condition, and yields it.
    ///
    /// *Errors*: it does not within `limit`; the error quotes the last answer.
    pub async fn until(&self, host: &str, limit: Duration, holds: impl Fn(&Value) -> bool) -> Result<Value> {
        let deadline = Instant::now() + limit;
        let mut tick = tokio::time::interval(PERIOD);
        loop {
            tick.tick().await;
            let status = self.status(host).await;
            match status {
                Ok(status) if holds(&status) => return Ok(status),
                last if Instant::now() > deadline => {
                    let mut last = last?;
                    last["capabilities"].take();
                    anyhow::bail!("{host} is not as awaited within {limit:?}: {last:#}");
                }
                // An engine that is just being restarted does not answer.
                Ok(_) | Err(_) => {}
            }
        }
    }

    /// Waits until a host is connected and runs what the engine wants.
    pub async fn until_in_sync(&self, host: &str, limit: Duration) -> Result<Value> {
        self.until(host, limit, is_in_sync).await
    }

    /// Waits until both hosts are connected and run what the engine wants.
    pub async fn until_all_in_sync(&self, limit: Duration) -> Result<()> {
        tokio::try_join!(self.until_in_sync("host-a", limit), self.until_in_sync("host-b", limit))?;
        Ok(())
    }
}

/// Whether a host's status says that it is connected and runs what the engine wants.
pub fn is_in_sync(status: &Value) -> bool {
    status["connection"] == "CONNECTION_CONNECTED" && status["sync"] == "SYNC_IN_SYNC"
}

/// Finds a network in a list of `networks` of a status or of capabilities.
pub fn network<'a>(reported: &'a Value, name: &str) -> Option<&'a Value> {
    let all = reported["networks"].as_array()?;
    all.iter().find(|network| network["configured"]["name"] == name || network["network"] == format!("networks/{name}"))
}

/// The text of a file of the checkout.
pub fn example(path: &str) -> Result<String> {
    let path = crate::lab::workspace().join(path);
    std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// A file of the checkout.
pub fn in_checkout(path: &str) -> std::path::PathBuf {
    crate::lab::workspace().join(Path::new(path))
}
