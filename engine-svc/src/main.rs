//! The engine's program.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, io};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use engine_svc::config::Config;
use engine_svc::server::Engine;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};
use trestle_serve::Supervisor;
use trestle_telemetry::{Options, chain};
use uuid::Uuid;

/// Keeps the desired state of a fleet's host networking and streams commands to its hosts' agents.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The configuration file.
    #[arg(long, global = true, env = "TRESTLE_ENGINE_CONFIG", default_value = "/etc/trestle/engine-svc.toml")]
    config: PathBuf,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Verb {
    /// Runs the engine until SIGTERM or SIGINT.
    Run,
    /// Checks the configuration and prints what is in force.
    CheckConfig,
}

#[tokio::main]
async fn main() -> ExitCode {
    match Box::pin(carry_out(Arguments::parse())).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _closed = writeln!(io::stderr(), "engine-svc: {}", chain(failure.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn read_config(path: &Path) -> anyhow::Result<Config> {
    let text = fs::read_to_string(path).with_context(|| format!("{} not read", path.display()))?;
    Config::parse(&text, env::vars()).with_context(|| path.display().to_string())
}

async fn carry_out(arguments: Arguments) -> anyhow::Result<()> {
    let config = read_config(&arguments.config)?;
    match arguments.verb {
        Verb::Run => run(config).await,
        Verb::CheckConfig => writeln!(io::stdout(), "{config}").context("standard output is closed"),
    }
}

async fn run(config: Config) -> anyhow::Result<()> {
    let telemetry = trestle_telemetry::init(Options {
        service_name: "engine-svc",
        service_version: env!("CARGO_PKG_VERSION"),
        instance_id: Uuid::now_v7().to_string(),
        host_id: None,
        log_format: config.telemetry.log_format,
        filter: config.telemetry.log_filter.clone(),
        otlp_endpoint: config.telemetry.otlp_endpoint.clone(),
    })?;
    for line in config.to_string().lines() {
        info!(option = line, "configured");
    }
    let cancel = CancellationToken::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let supervisor = Supervisor::at(env::var_os(Supervisor::VARIABLE));
    let engine = Engine::bind(&config, cancel.clone()).await?;
    // Calls that come from now on wait for an answer, and get one.
    supervisor.ready();
    let running = engine.run();
    tokio::pin!(running);
    // Cancel safety: the arms only wait; the engine itself is awaited to its end below.
    let ended = tokio::select! {
        ended = &mut running => ended,
        _ = terminate.recv() => { supervisor.stopping(); cancel.cancel(); running.await }
        _ = interrupt.recv() => { supervisor.stopping(); cancel.cancel(); running.await }
    };
    if let Err(failure) = &ended {
        error!(error = %chain(failure), "engine failed");
    }
    telemetry.shutdown().await;
    ended.map_err(Into::into)
}
