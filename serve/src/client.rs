//! How clients reach a server: the target, the checks, the channel.
//!
//! A connection reconnects by itself when it breaks; it never repeats a call.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use serde::Deserialize;
use tokio::time::timeout;
use tonic::transport::{self, Endpoint};

use crate::tls::{ServerIdentity, Tls};

mod connection;

pub use connection::Connection;

/// Says where a server is: `https://host:port`, `http://127.0.0.1:port`, or `unix:/path`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Target {
    /// TCP with mutual TLS.
    Tls(Uri),
    /// TCP without TLS, on loopback.
    Loopback(Uri),
    /// A unix socket.
    Unix(PathBuf),
}

/// Says why a text is no target.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// The text has no form of a target.
    #[error("{0:?} is neither https://host:port, nor http://loopback:port, nor unix:/path")]
    Malformed(String),
    /// The text asks for plaintext to an address that is not loopback.
    #[error("{0:?} is not loopback, and plaintext is for loopback and unix sockets only")]
    PlaintextRefused(String),
}

/// Says how a client connects.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// The client's certificates; needed for a target with TLS, not used for others.
    pub tls: Option<Tls>,
    /// Whom the client expects to reach; verified by certificate where there is TLS.
    pub server: ServerIdentity,
    /// How long connecting may take, TLS included.
    pub connect_timeout: Duration,
    /// How often the connection is probed, also while no call is open.
    pub keepalive_interval: Duration,
    /// How long a probe may go unanswered before the connection counts as broken.
    pub keepalive_timeout: Duration,
}

/// Says why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The target wants TLS, and the client has no certificates. The operator must act.
    #[error("{0} needs certificates, and none are configured")]
    NoCertificates(Target),
    /// The target or the certificates are not usable. The operator must act.
    #[error("{0} cannot be a target")]
    Unusable(Target, #[source] transport::Error),
    /// The server is not reached, or is not the expected one.
    #[error("{0} not reached")]
    Unreachable(Target, #[source] transport::Error),
    /// The server does not answer in time. Worth a retry.
    #[error("{0} does not answer in time")]
    Timeout(Target),
}

/// Connects to a server, and returns when the connection is up.
///
/// Cancel safety: dropped, it leaves nothing behind.
///
/// # Errors
/// When the options do not fit the target, the server is not reached in time, or is not the expected one.
pub async fn connect(target: &Target, options: &ClientOptions) -> Result<Connection, ConnectError> {
    let connecting = endpoint(target, options)?;
    match timeout(options.connect_timeout, connecting.connect()).await {
        Ok(Ok(channel)) => Ok(Connection::new(channel, target)),
        Ok(Err(error)) => Err(ConnectError::Unreachable(target.clone(), error)),
        Err(_) => Err(ConnectError::Timeout(target.clone())),
    }
}

/// Makes a connection that comes up with its first call. To be called inside a Tokio runtime.
///
/// # Errors
/// When the options do not fit the target.
pub fn connect_lazy(target: &Target, options: &ClientOptions) -> Result<Connection, ConnectError> {
    Ok(Connection::new(endpoint(target, options)?.connect_lazy(), target))
}

impl ConnectError {
    /// Tells whether connecting again later can succeed without anyone acting.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::NoCertificates(_) | Self::Unusable(..) => false,
            Self::Unreachable(..) | Self::Timeout(_) => true,
        }
    }
}

impl ClientOptions {
    /// Makes options with five seconds to connect, and a broken connection noticed within fifteen.
    #[must_use]
    pub fn new(tls: Option<Tls>, server: ServerIdentity) -> Self {
        Self {
            tls,
            server,
            connect_timeout: Duration::from_secs(5),
            keepalive_interval: Duration::from_secs(10),
            keepalive_timeout: Duration::from_secs(5),
        }
    }
}

fn endpoint(target: &Target, options: &ClientOptions) -> Result<Endpoint, ConnectError> {
    let unusable = |error| ConnectError::Unusable(target.clone(), error);
    let endpoint = Endpoint::from_shared(target.to_string())
        .map_err(unusable)?
        .connect_timeout(options.connect_timeout)
        .http2_keep_alive_interval(options.keepalive_interval)
        .keep_alive_timeout(options.keepalive_timeout)
        .keep_alive_while_idle(true);
    match target {
        Target::Tls(_) => {
            let tls = options.tls.as_ref().ok_or_else(|| ConnectError::NoCertificates(target.clone()))?;
            let verifier = Arc::new(tls.verifier(options.server.clone()));
            endpoint.tls_config_with_verifier(tls.client().timeout(options.connect_timeout), verifier).map_err(unusable)
        }
        Target::Loopback(_) | Target::Unix(_) => Ok(endpoint),
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let malformed = || TargetError::Malformed(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.starts_with('/') { Ok(Self::Unix(path.into())) } else { Err(malformed()) };
        }
        let uri: Uri = text.parse().map_err(|_| malformed())?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(malformed)?;
        let bare = uri.path_and_query().is_none_or(|path| path == "/");
        if uri.port_u16().is_none() || !bare {
            return Err(malformed());
        }
        match uri.scheme_str() {
            Some("https") => Ok(Self::Tls(uri)),
            Some("http") if is_loopback(host) => Ok(Self::Loopback(uri)),
            Some("http") => Err(TargetError::PlaintextRefused(text.to_owned())),
            None | Some(_) => Err(malformed()),
        }
    }
}

/// A name is not trusted to be loopback, whatever the resolver says, but for the one that must be.
fn is_loopback(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host == "localhost" || address.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

impl TryFrom<String> for Target {
    type Error = TargetError;

    fn try_from(text: String) -> Result<Self, TargetError> {
        text.parse()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tls(uri) | Self::Loopback(uri) => uri.fmt(formatter),
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_told_apart() {
        let check = |text: &str, expected: fn(&Target) -> bool| {
            let target: Target = text.parse().unwrap();
            assert!(expected(&target), "{text} is {target:?}");
        };
        check("https://engine.example.org:7443", |target| matches!(target, Target::Tls(_)));
        check("https://[2001:db8::1]:7443/", |target| matches!(target, Target::Tls(_)));
        check("http://127.0.0.1:7443", |target| matches!(target, Target::Loopback(_)));
        check("http://[::1]:7443", |target| matches!(target, Target::Loopback(_)));
        check("http://localhost:7443", |target| matches!(target, Target::Loopback(_)));
        check("unix:/run/trestle/host.sock", |target| matches!(target, Target::Unix(_)));
    }

    #[test]
    fn refuses_plaintext_beyond_loopback() {
        for text in ["http://192.0.2.1:7443", "http://engine:7443", "http://[2001:db8::1]:7443"] {
            assert_eq!(text.parse::<Target>(), Err(TargetError::PlaintextRefused(text.to_owned())));
        }
    }

    #[test]
    fn refuses_what_is_no_target() {
        for text in ["", "engine:7443", "https://engine", "https://engine:7443/path", "ftp://engine:1", "unix:sock"] {
            assert_eq!(text.parse::<Target>(), Err(TargetError::Malformed(text.to_owned())));
        }
    }

    #[test]
    fn a_tls_target_needs_certificates() {
        let target = "https://127.0.0.1:1".parse().unwrap();
        let refused = endpoint(&target, &ClientOptions::new(None, ServerIdentity::Engine));
        assert!(matches!(refused, Err(ConnectError::NoCertificates(_))));
    }
}
