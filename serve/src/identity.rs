//! Who is at the other end of a call.
//!
//! Over TLS the peer's certificate, which the handshake has verified, says it by a SPIFFE id; a certificate without one
//! is refused. Without TLS there are only unix sockets and loopback, where the peer is local. Handlers say which kind of
//! peer they serve with the `require_` functions; what a peer may do beyond that is not decided here.

use std::fmt;
use std::sync::Arc;

use http::{Request, Response};
use rustls::pki_types::CertificateDer;
use tonic::Status;
use tonic::body::Body;
use tracing::{Span, warn};
use trestle_telemetry::{chain, names};

use crate::around::{Around, Calls, refusal};
use crate::spiffe::{Party, SpiffeId};
use crate::status;

/// Lists who can call; found in the extensions of every request that reaches a handler.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// The engine, by certificate.
    Engine,
    /// The agent of the host with this id, by certificate.
    Host(String),
    /// A user of the API, by certificate.
    User(String),
    /// Someone on this machine, by unix socket or plaintext on loopback.
    Local,
}

/// Puts the peer of a connection into the extensions of each of its requests; refuses them all when it is unknown.
#[derive(Clone)]
pub(crate) struct Identify(Arc<Result<Peer, Status>>);

/// Returns who makes a call.
///
/// # Errors
/// `PERMISSION_DENIED` when the request did not come through a [`crate::Server`], and so has no peer.
pub fn peer<T>(request: &tonic::Request<T>) -> Result<&Peer, Status> {
    let unknown = || status::peer_forbidden("call comes from nowhere");
    request.extensions().get::<Peer>().ok_or_else(unknown)
}

impl Peer {
    /// Lets the engine pass.
    ///
    /// # Errors
    /// `PERMISSION_DENIED` for anyone else.
    pub fn require_engine(&self) -> Result<(), Status> {
        match self {
            Self::Engine => Ok(()),
            Self::Host(_) | Self::User(_) | Self::Local => Err(status::peer_forbidden("only the engine may do this")),
        }
    }

    /// Lets host agents pass, and returns the id of the host.
    ///
    /// # Errors
    /// `PERMISSION_DENIED` for anyone else.
    pub fn require_host(&self) -> Result<&str, Status> {
        match self {
            Self::Host(id) => Ok(id),
            Self::Engine | Self::User(_) | Self::Local => Err(status::peer_forbidden("only a host agent may do this")),
        }
    }

    /// Lets the agent of one host pass: an agent speaks for its own host only.
    ///
    /// # Errors
    /// `PERMISSION_DENIED` for anyone else.
    pub fn require_host_named(&self, expected: &str) -> Result<(), Status> {
        if self.require_host()? == expected {
            Ok(())
        } else {
            Err(status::peer_forbidden("an agent speaks for its own host only"))
        }
    }

    /// Lets users and local callers pass, as callers of the API.
    ///
    /// # Errors
    /// `PERMISSION_DENIED` for the engine and for host agents.
    pub fn require_user(&self) -> Result<(), Status> {
        match self {
            Self::User(_) | Self::Local => Ok(()),
            Self::Engine | Self::Host(_) => Err(status::peer_forbidden("only a user may do this")),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine => formatter.write_str("engine"),
            Self::Host(id) => write!(formatter, "host/{id}"),
            Self::User(name) => write!(formatter, "user/{name}"),
            Self::Local => formatter.write_str("local"),
        }
    }
}

impl From<Party> for Peer {
    fn from(party: Party) -> Self {
        match party {
            Party::Engine => Self::Engine,
            Party::Host(id) => Self::Host(id),
            Party::User(name) => Self::User(name),
        }
    }
}

impl Identify {
    /// Knows the peer of a plaintext connection: listeners have those on this machine only.
    pub(crate) fn local() -> Self {
        Self(Arc::new(Ok(Peer::Local)))
    }

    /// Knows the peer of a TLS connection by the certificate that the handshake verified.
    pub(crate) fn by_certificate(certificate: Option<&CertificateDer<'_>>, trust_domain: &str) -> Self {
        Self(Arc::new(named(certificate, trust_domain)))
    }
}

fn named(certificate: Option<&CertificateDer<'_>>, trust_domain: &str) -> Result<Peer, Status> {
    let certificate = certificate.ok_or_else(|| status::peer_unknown("peer has no certificate"))?;
    let id = SpiffeId::from_certificate(certificate).map_err(|error| {
        warn!(error = %chain(&error), "peer's certificate has no usable name");
        status::peer_unknown("certificate has no SPIFFE id of an engine, a host or a user")
    })?;
    if id.trust_domain == trust_domain {
        Ok(id.party.into())
    } else {
        Err(status::peer_unknown("certificate is of another trust domain"))
    }
}

impl Around for Identify {
    async fn around<S: Calls>(self, mut request: Request<Body>, mut inner: S) -> Response<Body> {
        match &*self.0 {
            Ok(peer) => {
                Span::current().record(names::PEER, tracing::field::display(peer));
                request.extensions_mut().insert(peer.clone());
                inner.answer(request).await
            }
            Err(status) => refusal(status.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Code;

    #[test]
    fn each_requirement_lets_its_own_peers_pass_only() {
        let host = || Peer::Host("a".to_owned());
        let user = || Peer::User("ada".to_owned());
        let cases = [
            (Peer::Engine, true, false, false, false),
            (host(), false, true, true, false),
            (Peer::Host("b".to_owned()), false, true, false, false),
            (user(), false, false, false, true),
            (Peer::Local, false, false, false, true),
        ];
        for (peer, engine, any_host, host_a, user) in cases {
            assert_eq!(peer.require_engine().is_ok(), engine, "{peer}");
            assert_eq!(peer.require_host().is_ok(), any_host, "{peer}");
            assert_eq!(peer.require_host_named("a").is_ok(), host_a, "{peer}");
            assert_eq!(peer.require_user().is_ok(), user, "{peer}");
        }
    }

    #[test]
    fn a_request_that_passed_no_server_has_no_peer() {
        assert_eq!(peer(&tonic::Request::new(())).unwrap_err().code(), Code::PermissionDenied);
    }
}
