//! The engine's program.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use engine_svc::config::Config;
use engine_svc::server::Engine;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};
use trestle_telemetry::{Options, chain};
use uuid::Uuid;

/// Keeps the desired state of a fleet's host networking and streams commands to its hosts' agents.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The configuration file.
    #[arg(long, env = "TRESTLE_ENGINE_CONFIG", default_value = "/etc/trestle/engine-svc.toml")]
    config: PathBuf,
    /// Only checks the configuration, and prints it.
    #[arg(long)]
    check_config: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("engine-svc: {failure:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let config = Config::load(&arguments.config)?;
    if arguments.check_config {
        eprintln!("{config:#?}");
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("runtime not started")?;
    runtime.block_on(serve(config))
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let telemetry = trestle_telemetry::init(Options {
        service_name: "engine-svc",
        service_version: env!("CARGO_PKG_VERSION"),
        instance_id: Uuid::now_v7().to_string(),
        host_id: None,
        log_format: config.telemetry.format,
        filter: config.telemetry.filter.clone(),
        otlp_endpoint: config.telemetry.otlp_endpoint.clone(),
    })?;
    info!(?config, "engine starts");
    let cancel = CancellationToken::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let engine = Engine::bind(&config, cancel.clone()).await?;
    let running = engine.run();
    tokio::pin!(running);
    // Cancel safety: the arms only wait; the engine itself is awaited to its end below.
    let ended = tokio::select! {
        ended = &mut running => ended,
        _ = terminate.recv() => { cancel.cancel(); running.await }
        _ = interrupt.recv() => { cancel.cancel(); running.await }
    };
    if let Err(failure) = &ended {
        error!(error = %chain(failure), "engine failed");
    }
    telemetry.shutdown().await;
    ended.map_err(Into::into)
}
