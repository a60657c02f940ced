//! Installs the process's one subscriber: log lines to standard error, spans to an OTLP collector.
//!
//! Logs and spans are filtered apart: a quiet log does not cut a trace. The exporter sits behind a bounded queue that
//! drops spans when it is full, so that a collector that is slow or gone never slows a call.

use std::io;
use std::panic;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use serde::Deserialize;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::SetGlobalDefaultError;
use tracing::{Level, Metadata, Subscriber, error, warn};
use tracing_subscriber::filter::{EnvFilter, ParseError, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, fmt};

use crate::{chain, names};

const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// Says who the process is and what it tells where.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program's name, `service.name` of every span.
    pub service_name: &'static str,
    /// The program's version, `service.version`.
    pub service_version: &'static str,
    /// An id of this run of the program, `service.instance.id`.
    pub instance_id: String,
    /// The host that the program runs for, `host.id`; absent where there is none.
    pub host_id: Option<String>,
    /// The shape of log lines.
    pub log_format: LogFormat,
    /// Which log lines are written, in the notation of `tracing_subscriber::EnvFilter`: `info,host_agent=debug`.
    pub filter: String,
    /// The address of an OTLP gRPC collector, such as `http://127.0.0.1:4317`; without it spans are not exported, but
    /// their context still travels.
    pub otlp_endpoint: Option<String>,
}

/// What an operator says about a program's telling: a table of its configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Address of an OTLP gRPC collector, `http://127.0.0.1:4317`. Default: none.
    pub otlp_endpoint: Option<String>,
    /// Which log lines are written, as in `info,host_agent=debug`. Default: `"info"`.
    pub log_filter: String,
    /// The form of log lines, `"text"` or `"json"`. Default: `"text"`.
    pub log_format: LogFormat,
}

impl Default for Settings {
    fn default() -> Self {
        Self { otlp_endpoint: None, log_filter: "info".to_owned(), log_format: LogFormat::Text }
    }
}

/// Lists the shapes of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One line for people, without colours.
    Text,
    /// One JSON object a line.
    Json,
}

/// Says why telemetry could not be set up. The operator must act on all but `AlreadyInstalled`, which is a bug.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The filter does not parse.
    #[error("log filter is malformed")]
    Filter(#[source] ParseError),
    /// The OTLP endpoint is not usable as an address.
    #[error("span exporter not built")]
    Exporter(#[source] ExporterBuildError),
    /// An exporter was asked for outside of a Tokio runtime.
    #[error("span exporter needs a running Tokio runtime")]
    NoRuntime(#[source] tokio::runtime::TryCurrentError),
    /// The process has a subscriber already.
    #[error("subscriber is installed already")]
    AlreadyInstalled(#[source] SetGlobalDefaultError),
}

/// Holds what must be flushed before the process exits.
#[must_use = "spans are lost unless it is shut down before exit"]
#[derive(Debug)]
pub struct Telemetry {
    provider: SdkTracerProvider,
}

/// Installs logging and tracing for the whole process; to be called once, by a binary, inside its Tokio runtime.
///
/// Panics of any thread are logged from then on.
///
/// # Errors
/// When the filter or the endpoint is malformed, or a subscriber is installed already.
pub fn init(options: Options) -> Result<Telemetry, InitError> {
    let filter = EnvFilter::try_new(&options.filter).map_err(InitError::Filter)?;
    let provider = provider(&options)?;
    let subscriber = tracing_subscriber::registry()
        .with(log_layer(options.log_format).with_filter(filter))
        .with(span_layer(&provider, options.service_name));
    tracing::subscriber::set_global_default(subscriber).map_err(InitError::AlreadyInstalled)?;
    panic::set_hook(Box::new(log_panic));
    Ok(Telemetry { provider })
}

impl Telemetry {
    /// Exports what is queued and stops, within two seconds. A collector that is away is logged, not returned.
    ///
    /// Cancel safety: when dropped, the flush goes on in its own thread and its outcome is not logged.
    pub async fn shutdown(self) {
        let flush = move || self.provider.shutdown_with_timeout(FLUSH_TIMEOUT);
        match tokio::task::spawn_blocking(flush).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(error = %chain(&error), "spans not flushed"),
            Err(error) => error!(error = %chain(&error), "flush of spans failed"),
        }
    }
}

fn provider(options: &Options) -> Result<SdkTracerProvider, InitError> {
    let mut builder = SdkTracerProvider::builder().with_resource(resource(options));
    if let Some(endpoint) = &options.otlp_endpoint {
        tokio::runtime::Handle::try_current().map_err(InitError::NoRuntime)?;
        let exporter = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .with_timeout(EXPORT_TIMEOUT)
            .build()
            .map_err(InitError::Exporter)?;
        builder = builder.with_batch_exporter(exporter);
    }
    Ok(builder.build())
}

fn resource(options: &Options) -> Resource {
    let mut attributes = vec![
        KeyValue::new(names::SERVICE_VERSION, options.service_version),
        KeyValue::new(names::SERVICE_INSTANCE_ID, options.instance_id.clone()),
    ];
    if let Some(host) = &options.host_id {
        attributes.push(KeyValue::new(names::HOST_ID, host.clone()));
    }
    Resource::builder().with_service_name(options.service_name).with_attributes(attributes).build()
}

fn log_layer<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let lines = fmt::layer().with_writer(io::stderr).with_ansi(false);
    match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    }
}

/// Turns spans of level INFO and above into OpenTelemetry's, whatever the log filter says.
pub(crate) fn span_layer<S>(provider: &SdkTracerProvider, scope: &'static str) -> impl Layer<S> + Send + Sync
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    let filter = filter_fn(is_exported).with_max_level_hint(LevelFilter::INFO);
    tracing_opentelemetry::layer().with_tracer(provider.tracer(scope)).with_filter(filter)
}

/// Keeps out the spans of the transport itself: exporting them would make more of them.
fn is_exported(metadata: &Metadata<'_>) -> bool {
    const TRANSPORT: [&str; 6] = ["h2", "hyper", "hyper_util", "tonic", "tower", "opentelemetry"];
    let root = metadata.target().split("::").next().unwrap_or_default();
    *metadata.level() <= Level::INFO && !TRANSPORT.contains(&root)
}

fn log_panic(panic: &panic::PanicHookInfo<'_>) {
    let location = panic.location().map(ToString::to_string).unwrap_or_default();
    let payload = panic.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let message = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("not text");
    error!(panic.location = location, panic.message = message, "thread panicked");
}
