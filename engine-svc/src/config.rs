//! The engine's configuration: one TOML file, parsed once, checked whole.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use trestle_model::ConnectivityCheck;
use trestle_serve::{ListenAddress, TlsOptions};
use trestle_telemetry::LogFormat;

/// The engine's options. Every option has a default but `store.path`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where clients and agents call. Default: `["127.0.0.1:7443"]`. Anything but loopback and unix sockets needs `tls`.
    #[serde(default = "default_listen")]
    pub listen: Vec<ListenText>,
    /// Certificates; with them, every TCP listener speaks mutual TLS. Default: none.
    pub tls: Option<TlsOptions>,
    /// Where the desired state lies.
    pub store: StoreOptions,
    /// How hosts are changed.
    #[serde(default)]
    pub hosts: HostOptions,
    /// What the engine tells of itself.
    #[serde(default)]
    pub telemetry: TelemetryOptions,
}

/// Where the desired state lies.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreOptions {
    /// The store's file; made where it is missing. No default.
    pub path: PathBuf,
}

/// How hosts are changed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HostOptions {
    /// How long a host waits for its confirmation before it puts itself back, 1 s to 600 s. Default: `"30s"`.
    #[serde(deserialize_with = "seconds")]
    pub connectivity_timeout: Duration,
}

/// What the engine tells of itself.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryOptions {
    /// Which log lines are written, as `tracing_subscriber::EnvFilter` has it. Default: `"info"`.
    pub filter: String,
    /// `"text"` or `"json"`. Default: `"text"`.
    pub format: LogFormat,
    /// An OTLP gRPC collector, e.g. `"http://127.0.0.1:4317"`. Default: none.
    pub otlp_endpoint: Option<String>,
}

/// A listen address in its text form: `127.0.0.1:7443` or `unix:/run/trestle/engine.sock`.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct ListenText(pub ListenAddress);

/// Says why there is no configuration. The operator must act.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{} cannot be read", .0.display())]
    Read(PathBuf, #[source] std::io::Error),
    /// The file is no TOML of the expected shape.
    #[error("{} is malformed", .0.display())]
    Malformed(PathBuf, #[source] toml::de::Error),
    /// An option is out of range.
    #[error("{0} must be between {1:?} and {2:?}")]
    OutOfRange(&'static str, Duration, Duration),
}

impl Config {
    /// Reads and checks the file at `path`.
    ///
    /// *Errors*: [`ConfigError`].
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|e| ConfigError::Read(path.to_owned(), e))?;
        let config: Self = toml::from_str(&text).map_err(|e| ConfigError::Malformed(path.to_owned(), e))?;
        let (low, high) = (ConnectivityCheck::LEAST_TIMEOUT, ConnectivityCheck::MOST_TIMEOUT);
        if !(low..=high).contains(&config.hosts.connectivity_timeout) {
            return Err(ConfigError::OutOfRange("hosts.connectivity_timeout", low, high));
        }
        Ok(config)
    }
}

impl Default for HostOptions {
    fn default() -> Self {
        Self { connectivity_timeout: ConnectivityCheck::DEFAULT_TIMEOUT }
    }
}

impl Default for TelemetryOptions {
    fn default() -> Self {
        Self { filter: "info".to_owned(), format: LogFormat::Text, otlp_endpoint: None }
    }
}

impl TryFrom<String> for ListenText {
    type Error = trestle_serve::ListenAddressError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

fn default_listen() -> Vec<ListenText> {
    vec![ListenText(ListenAddress::Tcp(std::net::SocketAddr::from(([127, 0, 0, 1], 7443))))]
}

/// Reads a duration with its unit: `"30s"`, `"1500ms"`, `"5m"`.
fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    let malformed =
        || serde::de::Error::custom(format!("{text:?} is no duration such as \"30s\", \"1500ms\" or \"5m\""));
    let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(malformed)?;
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().map_err(|_| malformed())?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs).ok_or_else(malformed),
        _ => Err(malformed()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn has_a_default_for_all_but_the_store() {
        let config = parse("[store]\npath = \"/var/lib/trestle/engine.redb\"").unwrap();
        assert_eq!(config.hosts.connectivity_timeout, Duration::from_secs(30));
        assert_eq!(config.listen.len(), 1);
        assert!(parse("").is_err());
    }

    #[test]
    fn the_sample_is_read_and_says_what_is_the_default() {
        let sample = parse(include_str!("../../deploy/config/engine-svc.toml")).unwrap();
        assert!(sample.tls.is_some());
        assert_eq!(sample.hosts.connectivity_timeout, HostOptions::default().connectivity_timeout);
        assert_eq!(sample.telemetry.filter, TelemetryOptions::default().filter);
    }

    #[test]
    fn refuses_unknown_options_and_durations_without_unit() {
        assert!(parse("stor = 1\n[store]\npath = \"x\"").is_err());
        assert!(parse("[store]\npath = \"x\"\n[hosts]\nconnectivity_timeout = \"30\"").is_err());
        assert!(parse("[store]\npath = \"x\"\n[hosts]\nconnectivity_timeout = \"30s\"").is_ok());
    }
}
