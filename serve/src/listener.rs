//! Where a server listens: TCP with mutual TLS, TCP on loopback, or a unix socket.
//!
//! Plaintext is for unix sockets and loopback only; anything else is refused before it is bound.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use tokio::net::{TcpListener, UnixListener};
use tokio::time::sleep;
use tracing::warn;
use trestle_telemetry::chain;

use crate::tls::Tls;

mod socket_file;
mod stream;

use socket_file::SocketFile;
pub(crate) use stream::Stream;

/// How long accepting rests after it failed: most often the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Says where to listen: `unix:/path`, or an IP address with a port, such as `[::]:7443`. Port 0 takes a free one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum ListenAddress {
    /// An address and port.
    Tcp(SocketAddr),
    /// The path of a socket file.
    Unix(PathBuf),
}

/// A text that is no address to listen on.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither unix:/path nor an IP address with a port")]
pub struct ListenAddressError(String);

/// A bound socket, not yet served.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    tls: Option<Tls>,
}

/// Says why an address cannot be listened on. The operator must act.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address is reachable from elsewhere, and no certificates are configured.
    #[error("{0} is not loopback, and plaintext is served on loopback and unix sockets only")]
    PlaintextRefused(SocketAddr),
    /// The system refused the address.
    #[error("{0} cannot be listened on")]
    Bind(ListenAddress, #[source] io::Error),
    /// Another process serves the unix socket.
    #[error("{} is served by another process", .0.display())]
    InUse(PathBuf),
    /// Something that is no socket has the path of the unix socket.
    #[error("{} exists and is no socket", .0.display())]
    NotASocket(PathBuf),
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener, SocketAddr),
    Unix(UnixListener, SocketFile),
}

impl Listener {
    /// Binds an address. TCP is served with mutual TLS if `tls` is given; a unix socket never is.
    ///
    /// A unix socket gets mode 0660, replaces a stale socket file of its name, and is removed when serving ends.
    ///
    /// Cancel safety: nothing stays bound when dropped.
    ///
    /// # Errors
    /// When the address may not be served in plaintext, or the system does not give it.
    pub async fn bind(address: &ListenAddress, tls: Option<&Tls>) -> Result<Self, BindError> {
        let failed = |error| BindError::Bind(address.clone(), error);
        match address {
            ListenAddress::Tcp(address) => {
                if tls.is_none() && !address.ip().is_loopback() {
                    return Err(BindError::PlaintextRefused(*address));
                }
                let listener = TcpListener::bind(address).await.map_err(failed)?;
                let bound = listener.local_addr().map_err(failed)?;
                Ok(Self { socket: Socket::Tcp(listener, bound), tls: tls.cloned() })
            }
            ListenAddress::Unix(path) => {
                let (listener, file) = socket_file::bind(path)?;
                Ok(Self { socket: Socket::Unix(listener, file), tls: None })
            }
        }
    }

    /// Returns the address that is bound, with the port that was found for port 0.
    #[must_use]
    pub fn address(&self) -> ListenAddress {
        match &self.socket {
            Socket::Tcp(_, bound) => ListenAddress::Tcp(*bound),
            Socket::Unix(_, file) => ListenAddress::Unix(file.path().to_owned()),
        }
    }

    pub(crate) fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// Accepts the next connection, however long it takes.
    ///
    /// Cancel safety: no connection is lost when dropped.
    pub(crate) async fn accept(&self) -> Stream {
        loop {
            match self.socket.accept().await {
                Ok(stream) => return stream,
                Err(error) => {
                    warn!(error = %chain(&error), "connection not accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

impl Socket {
    async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener, _) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                Ok(Stream::Unix(stream))
            }
        }
    }
}

impl FromStr for ListenAddress {
    type Err = ListenAddressError;

    fn from_str(text: &str) -> Result<Self, ListenAddressError> {
        let malformed = || ListenAddressError(text.to_owned());
        match text.strip_prefix("unix:") {
            Some(path) if path.starts_with('/') => Ok(Self::Unix(path.into())),
            Some(_) => Err(malformed()),
            None => text.parse().map(Self::Tcp).map_err(|_| malformed()),
        }
    }
}

impl TryFrom<String> for ListenAddress {
    type Error = ListenAddressError;

    fn try_from(text: String) -> Result<Self, ListenAddressError> {
        text.parse()
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(formatter),
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written_alike() {
        for text in ["127.0.0.1:0", "[::]:7443", "unix:/run/trestle/host.sock"] {
            assert_eq!(text.parse::<ListenAddress>().unwrap().to_string(), text);
        }
        for text in ["", "localhost:1", "127.0.0.1", "unix:", "unix:host.sock", "/run/host.sock"] {
            assert_eq!(text.parse::<ListenAddress>(), Err(ListenAddressError(text.to_owned())));
        }
    }

    #[tokio::test]
    async fn refuses_plaintext_beyond_loopback_before_it_binds() {
        for text in ["0.0.0.0:0", "[::]:0", "192.0.2.1:7443"] {
            let refused = Listener::bind(&text.parse().unwrap(), None).await;
            assert!(matches!(refused, Err(BindError::PlaintextRefused(_))), "{text}: {refused:?}");
        }
    }
}
