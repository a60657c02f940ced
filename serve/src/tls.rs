//! Mutual TLS: the files, checked once at start, and what they become for servers and for clients.
//!
//! There is one private CA; both ends show a certificate of it, and each is named by its SPIFFE id. The trust domain is
//! that of the own certificate. Certificates are read once: new files need a restart.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{RootCertStore, ServerConfig};
use serde::Deserialize;
use tokio_rustls::TlsAcceptor;
use tonic::transport::{ClientTlsConfig, Identity};

use crate::spiffe::{SpiffeError, SpiffeId};

mod verifier;

pub use verifier::ServerIdentity;
pub(crate) use verifier::SpiffeVerifier;

/// The protocol that both ends agree on in the handshake.
const ALPN_HTTP2: &[u8] = b"h2";

/// Names the files of mutual TLS, all in PEM form.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsOptions {
    /// The certificates of the CA that peers are trusted by.
    pub ca: PathBuf,
    /// The own certificate, followed by its intermediates if there are any.
    pub cert: PathBuf,
    /// The private key of the own certificate.
    pub key: PathBuf,
}

/// Holds checked certificates and key; cheap to clone.
#[derive(Clone)]
pub struct Tls {
    identity: SpiffeId,
    roots: Arc<RootCertStore>,
    client: Identity,
    server: Arc<ServerConfig>,
}

/// Says which file of mutual TLS is not usable, and why. The operator must act.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{} cannot be read", .0.display())]
    Read(PathBuf, #[source] std::io::Error),
    /// A file is no PEM file, or not of the right kind.
    #[error("{} is no PEM file of the expected kind", .0.display())]
    Pem(PathBuf, #[source] pem::Error),
    /// A file holds no certificate.
    #[error("{} holds no certificate", .0.display())]
    Empty(PathBuf),
    /// A certificate of the CA cannot be trusted.
    #[error("{} holds a certificate that cannot be a root of trust", .0.display())]
    Root(PathBuf, #[source] rustls::Error),
    /// The certificates of the CA cannot vouch for clients.
    #[error("{} cannot vouch for clients", .0.display())]
    Authority(PathBuf, #[source] VerifierBuilderError),
    /// The key is not usable, or not the key of the certificate.
    #[error("{} is not the key of the certificate", .0.display())]
    Key(PathBuf, #[source] rustls::Error),
    /// The own certificate does not name a party of Trestle's.
    #[error("{} does not say whose certificate it is", .0.display())]
    Identity(PathBuf, #[source] SpiffeError),
}

impl Tls {
    /// Reads and checks the files. Blocks on the file system, so it belongs to a program's start.
    ///
    /// # Errors
    /// When a file is missing or malformed, the key does not fit, or the certificate has no SPIFFE id.
    pub fn load(options: &TlsOptions) -> Result<Self, TlsError> {
        let (ca, cert, key) = (read(&options.ca)?, read(&options.cert)?, read(&options.key)?);
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&options.ca, &ca)? {
            roots.add(certificate).map_err(|error| TlsError::Root(options.ca.clone(), error))?;
        }
        let chain = certificates(&options.cert, &cert)?;
        let leaf = chain.first().ok_or_else(|| TlsError::Empty(options.cert.clone()))?;
        let identity =
            SpiffeId::from_certificate(leaf).map_err(|error| TlsError::Identity(options.cert.clone(), error))?;
        let private = PrivateKeyDer::from_pem_slice(&key).map_err(|error| TlsError::Pem(options.key.clone(), error))?;
        let roots = Arc::new(roots);
        let provider = Arc::new(ring::default_provider());
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
            .build()
            .map_err(|error| TlsError::Authority(options.ca.clone(), error))?;
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map(|builder| builder.with_client_cert_verifier(clients))
            .and_then(|builder| builder.with_single_cert(chain, private))
            .map_err(|error| TlsError::Key(options.key.clone(), error))?;
        server.alpn_protocols.push(ALPN_HTTP2.to_vec());
        Ok(Self { identity, roots, client: Identity::from_pem(&cert, &key), server: Arc::new(server) })
    }

    /// Returns whom the own certificate names.
    #[must_use]
    pub fn identity(&self) -> &SpiffeId {
        &self.identity
    }

    /// Makes the server's side: a client without a certificate of the CA does not get through the handshake.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        Arc::clone(&self.server).into()
    }

    /// Makes the client's side; whom to trust is the verifier's part.
    pub(crate) fn client(&self) -> ClientTlsConfig {
        ClientTlsConfig::new().identity(self.client.clone())
    }

    /// Makes the verifier of a server's certificate.
    pub(crate) fn verifier(&self, expected: ServerIdentity) -> SpiffeVerifier {
        SpiffeVerifier::new(Arc::clone(&self.roots), self.identity.trust_domain.clone(), expected)
    }
}

impl fmt::Debug for Tls {
    /// Shows whose certificate it is, and nothing of the key.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tls").field("identity", &self.identity).finish_non_exhaustive()
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|error| TlsError::Read(path.to_owned(), error))
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| TlsError::Pem(path.to_owned(), error))?;
    if certificates.is_empty() { Err(TlsError::Empty(path.to_owned())) } else { Ok(certificates) }
}
