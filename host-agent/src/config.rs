//! The agent's configuration: one TOML file, overridden by the environment, parsed once into a typed [`Config`].
//!
//! An unknown key is an error. A variable `TRESTLE_HOST_AGENT_ENGINE__ENDPOINT` stands for the key `endpoint` in the
//! table `engine`: the prefix, then the path in upper case with `__` between tables. This module reads no file and no
//! environment; the program gives it their text.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use trestle_model::{DriftKind, HostName};
use trestle_serve::{ListenAddress, Target, TlsOptions};
use trestle_settings::{Period, SettingsError, redact};
use trestle_telemetry::Settings as Telemetry;

/// What the variables of the environment begin with.
const PREFIX: &str = "TRESTLE_HOST_AGENT_";

/// What the operator says about the agent. Every key is there since 0.1.0.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The host's name in the fleet; the agent's certificate must name it too. Required.
    pub host: HostName,
    /// The folder of the agent's store. Default: `/var/lib/trestle/host-agent`.
    #[serde(default = "default_data_dir")]
    pub data_dir: PathBuf,
    /// The file in which programs find their name servers. Default: `/etc/resolv.conf`.
    #[serde(default = "default_resolv_conf")]
    pub resolv_conf: PathBuf,
    /// The folder in which NetworkManager and systemd-networkd tell which devices they configure. Default: `/run`.
    #[serde(default = "default_daemons_dir")]
    pub daemons_dir: PathBuf,
    /// How long the agent may take to stop; what is not finished then is undone at the next start. Default: `"20s"`.
    #[serde(default = "default_stop_timeout")]
    pub stop_timeout: Period,
    /// Where the local service listens.
    #[serde(default)]
    pub listen: Listen,
    /// The engine; without it the agent serves local clients only.
    pub engine: Option<Engine>,
    /// libvirt.
    #[serde(default)]
    pub libvirt: Libvirt,
    /// The operator's own programs around each transaction.
    #[serde(default)]
    pub hooks: Hooks,
    /// What is kept as agreed between requests.
    #[serde(default)]
    pub keeper: Keeper,
    /// What the agent tells about itself.
    #[serde(default)]
    pub telemetry: Telemetry,
}

/// Where the local service listens.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Listen {
    /// The unix socket: `unix:/path`. Default: `unix:/run/trestle/host-agent.sock`.
    pub socket: ListenAddress,
    /// An address and port for clients on other machines, `"[::]:7444"`; needs `tls`. Default: none.
    pub tcp: Option<ListenAddress>,
    /// Certificates for `tcp`. Default: none.
    pub tls: Option<TlsOptions>,
}

/// The engine, and how to reach it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Engine {
    /// Where it is: `https://host:port`, or without TLS `http://127.0.0.1:port`. Required.
    pub endpoint: Target,
    /// The agent's certificates; required for `https`.
    pub tls: Option<TlsOptions>,
    /// How often the agent reports although nothing has changed. Default: `"60s"`.
    #[serde(default = "default_report_period")]
    pub report_period: Period,
}

/// libvirt, and how to reach it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Libvirt {
    /// libvirt's URI, or `"none"` to do without. Default: `"qemu:///system"`.
    pub uri: LibvirtUri,
    /// How long one call of libvirt may take. Default: `"10s"`.
    pub call_timeout: Period,
    /// How often libvirt is asked what has changed, beside what it tells by itself. While it tells nothing, it is asked each
    /// second. Default: `"1s"`.
    pub poll_period: Period,
}

/// The operator's own programs, which are asked before each transaction and told after it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Hooks {
    /// The folder of their sockets, in `before` and `after`; none where it is missing. Default: `/run/trestle/hooks`.
    pub folder: PathBuf,
    /// How long one hook may take for its answer. Default: `"10s"`.
    pub timeout: Period,
}

/// What the agent brings back when others take it away or alter it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keeper {
    /// The kinds of things that are repaired: `devices`, `addresses`, `routing`, `name_servers`, `libvirt_networks`. What is
    /// not named is told as drift and left as it is. Default: all.
    #[serde(deserialize_with = "trestle_settings::list")]
    pub repair: BTreeSet<DriftKind>,
    /// How often the host is compared with what was agreed although no event came. Default: `"60s"`.
    pub period: Period,
}

/// Whether there is a libvirt, and where.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum LibvirtUri {
    /// The agent does without.
    None,
    /// libvirt is at this URI.
    At(String),
}

/// Says why a configuration is refused. The operator must act.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file or a variable does not parse.
    #[error(transparent)]
    Unreadable(#[from] SettingsError),
    /// Options contradict each other or lack one another.
    #[error("configuration makes no sense: {}", .0.join("; "))]
    Contradictory(Vec<String>),
}

impl Config {
    /// Parses the file's text, with `variables` of the environment laid over it, and checks that the options fit.
    ///
    /// *Errors*: [`ConfigError`].
    pub fn parse(text: &str, variables: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let config: Self = trestle_settings::parse(text, PREFIX, variables)?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let mut faults = Vec::new();
        if matches!(self.listen.socket, ListenAddress::Tcp(_)) {
            faults.push("listen.socket is no unix socket".to_owned());
        }
        if let Some(tcp) = &self.listen.tcp {
            match (tcp, &self.listen.tls) {
                (ListenAddress::Unix(_), _) => faults.push("listen.tcp is no address with a port".to_owned()),
                (ListenAddress::Tcp(_), None) => faults.push("listen.tcp needs listen.tls".to_owned()),
                (ListenAddress::Tcp(_), Some(_)) => {}
            }
        }
        if let Some(Engine { endpoint: Target::Tls(_), tls: None, .. }) = &self.engine {
            faults.push("engine.endpoint with https needs engine.tls".to_owned());
        }
        for (key, period) in self.periods() {
            if period.0 < Duration::from_millis(10) {
                faults.push(format!("{key} is below 10ms"));
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(ConfigError::Contradictory(faults)) }
    }

    fn periods(&self) -> impl Iterator<Item = (&'static str, Period)> {
        let report = self.engine.as_ref().map(|engine| ("engine.report_period", engine.report_period));
        [
            ("stop_timeout", self.stop_timeout),
            ("libvirt.call_timeout", self.libvirt.call_timeout),
            ("libvirt.poll_period", self.libvirt.poll_period),
            ("hooks.timeout", self.hooks.timeout),
            ("keeper.period", self.keeper.period),
        ]
        .into_iter()
        .chain(report)
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        let mut rows = vec![
            ("host", self.host.to_string()),
            ("data_dir", self.data_dir.display().to_string()),
            ("resolv_conf", self.resolv_conf.display().to_string()),
            ("daemons_dir", self.daemons_dir.display().to_string()),
            ("stop_timeout", self.stop_timeout.to_string()),
            ("listen.socket", self.listen.socket.to_string()),
        ];
        if let Some(tcp) = &self.listen.tcp {
            rows.push(("listen.tcp", tcp.to_string()));
        }
        if let Some(tls) = &self.listen.tls {
            rows.push(("listen.tls", tls_row(tls)));
        }
        if let Some(engine) = &self.engine {
            rows.push(("engine.endpoint", redact(&engine.endpoint.to_string())));
            rows.push(("engine.report_period", engine.report_period.to_string()));
            if let Some(tls) = &engine.tls {
                rows.push(("engine.tls", tls_row(tls)));
            }
        }
        rows.push(("libvirt.uri", redact(&self.libvirt.uri.to_string())));
        rows.push(("libvirt.call_timeout", self.libvirt.call_timeout.to_string()));
        rows.push(("libvirt.poll_period", self.libvirt.poll_period.to_string()));
        rows.push(("hooks.folder", self.hooks.folder.display().to_string()));
        rows.push(("hooks.timeout", self.hooks.timeout.to_string()));
        let repaired: Vec<&str> = self.keeper.repair.iter().map(|kind| kind.name()).collect();
        rows.push(("keeper.repair", repaired.join(",")));
        rows.push(("keeper.period", self.keeper.period.to_string()));
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

impl From<String> for LibvirtUri {
    fn from(text: String) -> Self {
        if text == "none" { Self::None } else { Self::At(text) }
    }
}

impl fmt::Display for LibvirtUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::At(uri) => f.write_str(uri),
        }
    }
}

impl Default for Listen {
    fn default() -> Self {
        Self { socket: ListenAddress::Unix(PathBuf::from("/run/trestle/host-agent.sock")), tcp: None, tls: None }
    }
}

impl Default for Libvirt {
    fn default() -> Self {
        Self {
            uri: LibvirtUri::At("qemu:///system".to_owned()),
            call_timeout: Period(Duration::from_secs(10)),
            poll_period: Period(Duration::from_secs(1)),
        }
    }
}

impl Default for Hooks {
    fn default() -> Self {
        Self { folder: PathBuf::from("/run/trestle/hooks"), timeout: Period(Duration::from_secs(10)) }
    }
}

impl Default for Keeper {
    fn default() -> Self {
        Self { repair: DriftKind::ALL.into(), period: Period(Duration::from_secs(60)) }
    }
}

fn default_resolv_conf() -> PathBuf {
    PathBuf::from(crate::resolver::RESOLV_CONF)
}

fn default_daemons_dir() -> PathBuf {
    PathBuf::from(crate::other_daemons::PUBLISHED)
}

fn default_data_dir() -> PathBuf {
    PathBuf::from("/var/lib/trestle/host-agent")
}

const fn default_stop_timeout() -> Period {
    Period(Duration::from_secs(20))
}

const fn default_report_period() -> Period {
    Period(Duration::from_secs(60))
}

fn tls_row(tls: &TlsOptions) -> String {
    format!("ca {}, cert {}, key {}", tls.ca.display(), tls.cert.display(), tls.key.display())
}

#[cfg(test)]
mod tests;
