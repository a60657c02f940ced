//! How a client makes sure of the server: a certificate of the CA, and the SPIFFE id of the party it wants to talk to.
//!
//! Host names and addresses play no part, as SPIFFE has it: the engine may move, an agent may be reached by any address.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme};

use crate::spiffe::{Party, SpiffeId};

/// Says whom a client expects to reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerIdentity {
    /// The engine.
    Engine,
    /// The agent of the host with this id.
    Host(String),
    /// The agent of any host.
    AnyHost,
}

/// Accepts a server by CA and SPIFFE id.
#[derive(Debug)]
pub(crate) struct SpiffeVerifier {
    roots: Arc<RootCertStore>,
    trust_domain: String,
    expected: ServerIdentity,
    algorithms: WebPkiSupportedAlgorithms,
}

/// The server is a party of the installation, but not the expected one.
#[derive(Debug, thiserror::Error)]
#[error("server is {found}, not {expected} of {trust_domain}")]
struct WrongServer {
    found: SpiffeId,
    expected: ServerIdentity,
    trust_domain: String,
}

impl SpiffeVerifier {
    pub(super) fn new(roots: Arc<RootCertStore>, trust_domain: String, expected: ServerIdentity) -> Self {
        let algorithms = ring::default_provider().signature_verification_algorithms;
        Self { roots, trust_domain, expected, algorithms }
    }
}

impl ServerIdentity {
    fn is(&self, party: &Party) -> bool {
        match (self, party) {
            (Self::Engine, Party::Engine) | (Self::AnyHost, Party::Host(_)) => true,
            (Self::Host(expected), Party::Host(found)) => expected == found,
            (Self::Engine | Self::Host(_) | Self::AnyHost, Party::Engine | Party::Host(_) | Party::User(_)) => false,
        }
    }
}

impl fmt::Display for ServerIdentity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine => formatter.write_str("the engine"),
            Self::Host(id) => write!(formatter, "host {id}"),
            Self::AnyHost => formatter.write_str("a host"),
        }
    }
}

impl ServerCertVerifier for SpiffeVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&certificate, &self.roots, intermediates, now, algorithms)?;
        let found = SpiffeId::from_certificate(end_entity).map_err(refused)?;
        if found.trust_domain == self.trust_domain && self.expected.is(&found.party) {
            return Ok(ServerCertVerified::assertion());
        }
        let (expected, trust_domain) = (self.expected.clone(), self.trust_domain.clone());
        Err(refused(WrongServer { found, expected, trust_domain }))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn refused(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
}
