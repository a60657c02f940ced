//! The engine's configuration: one TOML file, overridden by the environment, parsed once into a typed [`Config`].
//!
//! A variable `TRESTLE_ENGINE_STORE__PATH` stands for the key `path` in the table `store`. This module reads no file and
//! no environment; the program gives it their text.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use trestle_model::ConnectivityCheck;
use trestle_serve::{ListenAddress, TlsOptions};
use trestle_settings::{Period, SettingsError, redact};
use trestle_telemetry::Settings as Telemetry;

const DEFAULT_GRACE: Duration = Duration::from_secs(60);
const LEAST_GRACE: Duration = Duration::from_secs(1);
const MOST_GRACE: Duration = Duration::from_secs(3600);

/// What the variables of the environment begin with.
const PREFIX: &str = "TRESTLE_ENGINE_";

/// What the operator says about the engine. Every key is there since 0.1.0.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where clients and agents call; in the environment, separated by commas. Default: `["127.0.0.1:7443"]`. Anything
    /// but loopback and unix sockets needs `tls`.
    #[serde(default = "default_listen", deserialize_with = "trestle_settings::list")]
    pub listen: Vec<ListenAddress>,
    /// Certificates; with them, every TCP listener speaks mutual TLS. Default: none.
    pub tls: Option<TlsOptions>,
    /// Where the desired state lies.
    pub store: Store,
    /// How hosts are changed.
    #[serde(default)]
    pub hosts: Hosts,
    /// What the engine tells about itself.
    #[serde(default)]
    pub telemetry: Telemetry,
}

/// Where the desired state lies.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// The store's file; made where it is missing. Required.
    pub path: PathBuf,
}

/// How hosts are changed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Hosts {
    /// How long a host waits for its confirmation before it puts itself back, 1 s to 600 s. Default: `"30s"`.
    pub connectivity_timeout: Period,
    /// How long a host may be without a session before it counts as silent (`NON_RESPONSIVE`), 1 s to 1 h. Default:
    /// `"60s"`.
    pub silence_grace: Period,
}

/// Says why a configuration is refused. The operator must act.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file or a variable does not parse.
    #[error(transparent)]
    Unreadable(#[from] SettingsError),
    /// An option is out of range.
    #[error("{0} must be between {1} and {2}")]
    OutOfRange(&'static str, Period, Period),
    /// Strangers could listen in.
    #[error("listen has {0}, which is not loopback and needs tls")]
    Plaintext(SocketAddr),
}

impl Config {
    /// Parses the file's text, with `variables` of the environment laid over it, and checks that the options fit.
    ///
    /// *Errors*: [`ConfigError`].
    pub fn parse(text: &str, variables: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let config: Self = trestle_settings::parse(text, PREFIX, variables)?;
        let (low, high) = (Period(ConnectivityCheck::LEAST_TIMEOUT), Period(ConnectivityCheck::MOST_TIMEOUT));
        if !(low..=high).contains(&config.hosts.connectivity_timeout) {
            return Err(ConfigError::OutOfRange("hosts.connectivity_timeout", low, high));
        }
        let (low, high) = (Period(LEAST_GRACE), Period(MOST_GRACE));
        if !(low..=high).contains(&config.hosts.silence_grace) {
            return Err(ConfigError::OutOfRange("hosts.silence_grace", low, high));
        }
        let open = config.listen.iter().find_map(|address| match address {
            ListenAddress::Tcp(address) if !address.ip().is_loopback() => Some(*address),
            ListenAddress::Tcp(_) | ListenAddress::Unix(_) => None,
        });
        match open.filter(|_| config.tls.is_none()) {
            Some(address) => Err(ConfigError::Plaintext(address)),
            None => Ok(config),
        }
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        let listen: Vec<String> = self.listen.iter().map(ListenAddress::to_string).collect();
        let mut rows = vec![("listen", listen.join(","))];
        if let Some(TlsOptions { ca, cert, key }) = &self.tls {
            rows.push(("tls", format!("ca {}, cert {}, key {}", ca.display(), cert.display(), key.display())));
        }
        rows.push(("store.path", self.store.path.display().to_string()));
        rows.push(("hosts.connectivity_timeout", self.hosts.connectivity_timeout.to_string()));
        rows.push(("hosts.silence_grace", self.hosts.silence_grace.to_string()));
        if let Some(endpoint) = &self.telemetry.otlp_endpoint {
            rows.push(("telemetry.otlp_endpoint", redact(endpoint)));
        }
        rows.push(("telemetry.log_filter", self.telemetry.log_filter.clone()));
        rows.push(("telemetry.log_format", format!("{:?}", self.telemetry.log_format).to_lowercase()));
        rows
    }
}

impl fmt::Display for Config {
    /// Shows what is in force, one `key = value` after the other, without what a URI says about users and passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (key, value)) in self.rows().iter().enumerate() {
            let gap = if number == 0 { "" } else { "\n" };
            write!(f, "{gap}{key} = {value}")?;
        }
        Ok(())
    }
}

impl Default for Hosts {
    fn default() -> Self {
        Self { connectivity_timeout: Period(ConnectivityCheck::DEFAULT_TIMEOUT), silence_grace: Period(DEFAULT_GRACE) }
    }
}

fn default_listen() -> Vec<ListenAddress> {
    vec![ListenAddress::Tcp(SocketAddr::from(([127, 0, 0, 1], 7443)))]
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "[store]\npath = \"/var/lib/trestle/engine.redb\"\n";

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(text, [])
    }

    #[test]
    fn has_a_default_for_all_but_the_store() {
        let config = parse(LEAST).unwrap();
        assert_eq!(config.hosts.connectivity_timeout.0, Duration::from_secs(30));
        assert_eq!(config.hosts.silence_grace.0, Duration::from_secs(60));
        assert_eq!(config.listen.len(), 1);
        assert!(parse("").is_err());
    }

    #[test]
    fn the_sample_is_read_and_says_what_is_the_default() {
        let sample = parse(include_str!("../../deploy/config/engine-svc.toml")).unwrap();
        assert!(sample.tls.is_some());
        assert_eq!(sample.hosts, Hosts::default());
        assert_eq!(sample.telemetry.log_filter, Telemetry::default().log_filter);
    }

    #[test]
    fn refuses_unknown_options_and_periods_without_unit_or_out_of_range() {
        assert!(parse(&format!("stor = 1\n{LEAST}")).is_err());
        for (period, accepted) in [("30", false), ("30s", true), ("1500ms", true), ("100ms", false), ("1h", false)] {
            let text = format!("{LEAST}[hosts]\nconnectivity_timeout = \"{period}\"");
            assert_eq!(parse(&text).is_ok(), accepted, "{period}");
        }
        for (period, accepted) in [("60", false), ("1s", true), ("1h", true), ("999ms", false), ("2h", false)] {
            let text = format!("{LEAST}[hosts]\nsilence_grace = \"{period}\"");
            assert_eq!(parse(&text).is_ok(), accepted, "{period}");
        }
    }

    #[test]
    fn refuses_plaintext_beyond_loopback() {
        let text = |address: &str| format!("listen = [\"{address}\"]\n{LEAST}");
        assert!(matches!(parse(&text("0.0.0.0:7443")), Err(ConfigError::Plaintext(_))));
        assert!(matches!(parse(&text("[2001:db8::1]:7443")), Err(ConfigError::Plaintext(_))));
        assert!(parse(&text("[::1]:7443")).is_ok());
        assert!(parse(&text("unix:/run/engine.sock")).is_ok());
    }

    #[test]
    fn the_environment_outweighs_the_file_also_for_lists() {
        let variables = [
            ("TRESTLE_ENGINE_LISTEN", "127.0.0.1:1, unix:/run/e.sock"),
            ("TRESTLE_ENGINE_STORE__PATH", "/srv/e.redb"),
            ("TRESTLE_ENGINE_CONFIG", "/etc/e.toml"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let config = Config::parse(LEAST, variables).unwrap();
        assert_eq!(config.listen.len(), 2);
        assert_eq!(config.store.path, PathBuf::from("/srv/e.redb"));
    }
}
