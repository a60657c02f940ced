//! The program `host-agent`: reads the command line, the configuration and the environment, and runs the library.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, io};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use host_agent::capabilities::AGENT_VERSION;
use host_agent::config::Config;
use host_agent::daemon::{self, Surroundings};
use host_agent::journal::{Archive, Journal};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};
use trestle_proto::adoption::Wanted;
use trestle_proto::host::v1::{Scope, SetupNetworksRequest};
use trestle_serve::Supervisor;
use trestle_telemetry::{chain, init};
use uuid::Uuid;

mod console;

use console::{Consent, print};

/// Gives back what a change of many networks needed for a moment (D-0022).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Trestle's agent on a host.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The configuration file.
    #[arg(long, global = true, env = "TRESTLE_HOST_AGENT_CONFIG", default_value = "/etc/trestle/host-agent.toml")]
    config: PathBuf,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Runs the agent until SIGTERM or SIGINT.
    Run,
    /// Checks the configuration and prints what is in force.
    CheckConfig,
    /// Prints the store as JSON, or writes it to a file. The agent must not run.
    Export {
        /// The file to write; standard output without one.
        file: Option<PathBuf>,
    },
    /// Fills an empty store from an export. The agent must not run.
    Import {
        /// The file that an export wrote.
        file: PathBuf,
    },
    /// Asks the running agent what the host is and can do, and prints it as JSON.
    Capabilities,
    /// Asks the running agent for the host's networks, and prints them with who asked for them and whether a reboot keeps them.
    List,
    /// Lets the running agent make a bridge of somebody else's, as it is, the bridge of a network.
    Adopt {
        /// The bridge.
        bridge: String,
        /// The network's name [default: the bridge's].
        #[arg(long = "as", value_name = "NETWORK")]
        network: Option<String>,
        /// The port that is the way out, where there are several that could be.
        #[arg(long, value_name = "DEVICE")]
        uplink: Option<String>,
        /// Make it persistent, too, so that a reboot keeps it.
        #[arg(long)]
        commit: bool,
        /// Carry the plan out; without it the plan is only shown.
        #[arg(long)]
        yes: bool,
    },
    /// Lets the running agent go back to the persistent configuration, without a reboot.
    Restore {
        /// Carry the plan out; without it the plan is only shown.
        #[arg(long)]
        yes: bool,
    },
    /// Lets the running agent remove every network of Trestle's.
    Clear {
        /// Carry the plan out; without it the plan is only shown.
        #[arg(long)]
        yes: bool,
    },
}

// Three, however many processors the host has: they are the guests', and the agent waits most of the time. While somebody
// holds the kernel's RTNL lock, one can stand still in a netlink message and one in a socket of LLDP's that joins a group; the
// third goes on answering.
#[tokio::main(worker_threads = 3)]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match Box::pin(carry_out(arguments)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _closed = writeln!(io::stderr(), "host-agent: {}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

async fn carry_out(arguments: Arguments) -> anyhow::Result<()> {
    let config = read_config(&arguments.config)?;
    match arguments.verb {
        Verb::Run => run(config).await,
        Verb::CheckConfig => print(&config.to_string()),
        Verb::Export { file } => {
            let json = Journal::open(&config.data_dir).await?.export().await?.to_json()?;
            match file {
                Some(file) => fs::write(&file, json).with_context(|| format!("{} not written", file.display())),
                None => print(&json),
            }
        }
        Verb::Import { file } => {
            let json = fs::read_to_string(&file).with_context(|| format!("{} not read", file.display()))?;
            let archive = Archive::from_json(&json)?;
            Ok(Journal::open(&config.data_dir).await?.import(archive).await?)
        }
        Verb::Capabilities => console::capabilities(&config).await,
        Verb::List => console::list(&config).await,
        Verb::Adopt { bridge, network, uplink, commit, yes } => {
            let wanted = Wanted { bridge: &bridge, network: network.as_deref(), uplink: uplink.as_deref() };
            let request = SetupNetworksRequest { commit_on_success: commit, ..SetupNetworksRequest::default() };
            console::adopt(&config, wanted, request, consent(yes)).await
        }
        Verb::Restore { yes } => console::set_up(&config, whole(Scope::Persistent), consent(yes)).await,
        Verb::Clear { yes } => console::set_up(&config, whole(Scope::Everything), consent(yes)).await,
    }
}

async fn run(config: Config) -> anyhow::Result<()> {
    let telemetry = init(trestle_telemetry::Options {
        service_name: "host-agent",
        service_version: AGENT_VERSION,
        instance_id: Uuid::now_v7().to_string(),
        host_id: Some(config.host.to_string()),
        log_format: config.telemetry.log_format,
        filter: config.telemetry.log_filter.clone(),
        otlp_endpoint: config.telemetry.otlp_endpoint.clone(),
    })?;
    for line in config.to_string().lines() {
        info!(option = line, "configured");
    }
    let surroundings = Surroundings {
        boot_id: kernel_line("/proc/sys/kernel/random/boot_id")?,
        kernel_release: kernel_line("/proc/sys/kernel/osrelease")?,
        supervisor: Supervisor::at(env::var_os(Supervisor::VARIABLE)),
    };
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM not handled")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT not handled")?;
    let stopping = stop.clone();
    // Cancel safety: the daemon is never cut short; the signals only cancel its token.
    let signalled = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        info!("told to stop");
        stopping.cancel();
        std::future::pending::<()>().await;
    };
    let ended = tokio::select! {
        ended = Box::pin(daemon::run(config, surroundings, stop)) => ended,
        () = signalled => Ok(()),
    };
    if let Err(error) = &ended {
        error!(error = %chain(error), "agent failed");
    }
    telemetry.shutdown().await;
    Ok(ended?)
}

fn consent(yes: bool) -> Consent {
    if yes { Consent::Given } else { Consent::Missing }
}

fn whole(scope: Scope) -> SetupNetworksRequest {
    SetupNetworksRequest { scope: scope.into(), ..SetupNetworksRequest::default() }
}

fn read_config(path: &Path) -> anyhow::Result<Config> {
    let text = fs::read_to_string(path).with_context(|| format!("{} not read", path.display()))?;
    Config::parse(&text, env::vars()).with_context(|| path.display().to_string())
}

fn kernel_line(path: &str) -> anyhow::Result<String> {
    let text = fs::read_to_string(path).with_context(|| format!("{path} not read"))?;
    Ok(text.trim().to_owned())
}
