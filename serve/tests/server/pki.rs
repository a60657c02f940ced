//! A certificate authority for one test.

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    SanType,
};
use tempfile::TempDir;
use trestle_serve::{Tls, TlsOptions};

pub(crate) const ENGINE: &str = "spiffe://trestle/engine";
pub(crate) const HOST: &str = "spiffe://trestle/host/host-a";
pub(crate) const USER: &str = "spiffe://trestle/user/ada";

/// Issues certificates, whose files live as long as it does.
pub(crate) struct Pki {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: TempDir,
    issued: AtomicU32,
}

impl Pki {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let directory = TempDir::new().unwrap();
        fs::write(directory.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, directory, issued: AtomicU32::new(0) }
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// Issues a certificate with these URIs among its names, and returns its files.
    pub(crate) fn files(&self, uris: &[&str]) -> TlsOptions {
        self.issue(uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect())
    }

    /// Issues a certificate that names loopback, too, for clients that trust by address.
    pub(crate) fn addressed(&self, uri: &str) -> TlsOptions {
        let loopback = Ipv4Addr::LOCALHOST.into();
        self.issue(vec![SanType::URI(uri.try_into().unwrap()), SanType::IpAddress(loopback)])
    }

    fn issue(&self, names: Vec<SanType>) -> TlsOptions {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let number = self.issued.fetch_add(1, Ordering::Relaxed);
        let file = |kind: &str| self.directory.path().join(format!("{kind}-{number}.pem"));
        fs::write(file("cert"), certificate.pem()).unwrap();
        fs::write(file("key"), key.serialize_pem()).unwrap();
        TlsOptions { ca: self.ca(), cert: file("cert"), key: file("key") }
    }

    pub(crate) fn tls(&self, uri: &str) -> Tls {
        Tls::load(&self.files(&[uri])).unwrap()
    }
}
