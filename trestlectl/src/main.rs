//! The binary: reads the command line and the environment, runs one command in one span, and says how it ended.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser as _;
use jiff::Timestamp;
use tracing::{Instrument as _, info_span};
use trestle_telemetry::{LogFormat, Options, names};
use trestlectl::arguments::Arguments;
use trestlectl::context::Context;
use trestlectl::failure::Failure;
use trestlectl::output;
use uuid::Uuid;

fn main() -> ExitCode {
    let Arguments { global, command } = Arguments::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return ended(Err(Failure::File("runtime cannot be started".to_owned(), error.into()))),
    };
    let outcome =
        Context::new(global, context_file().as_deref()).and_then(|context| runtime.block_on(traced(command, &context)));
    // What still runs, such as a read of standard input, must not keep the process.
    runtime.shutdown_background();
    ended(outcome)
}

/// Runs the command in a span of its own, the root of everything that it causes.
async fn traced(command: trestlectl::arguments::Command, context: &Context) -> Result<(), Failure> {
    let telemetry = trestle_telemetry::init(Options {
        service_name: "trestlectl",
        service_version: env!("CARGO_PKG_VERSION"),
        instance_id: Uuid::now_v7().to_string(),
        host_id: None,
        log_format: LogFormat::Text,
        filter: std::env::var("TRESTLE_LOG").unwrap_or_else(|_| "warn".to_owned()),
        otlp_endpoint: context.otlp.clone(),
    })
    .map_err(|error| Failure::File("telemetry cannot be set up".to_owned(), error.into()))?;
    let span = info_span!(
        "command",
        { names::OTEL_NAME } = command.name(),
        { names::OTEL_KIND } = "internal",
        { names::OTEL_STATUS_CODE } = tracing::field::Empty,
    );
    let outcome = trestlectl::run(command, context, Timestamp::now()).instrument(span.clone()).await;
    if outcome.is_err() {
        span.record(names::OTEL_STATUS_CODE, "ERROR");
    }
    drop(span);
    telemetry.shutdown().await;
    outcome
}

fn ended(outcome: Result<(), Failure>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let text = failure.explain();
            if !text.is_empty() {
                output::notes(&format!("trestlectl: {text}"));
            }
            failure.exit_code()
        }
    }
}

/// Source: the XDG base directory specification.
fn context_file() -> Option<PathBuf> {
    let home = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = home("XDG_CONFIG_HOME").or_else(|| home("HOME").map(|home| home.join(".config")))?;
    Some(folder.join("trestle").join("ctl.toml"))
}
