//! The certificate authority: made once, loaded for each certificate.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _, civil};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use x509_parser::extensions::GeneralName;
use x509_parser::pem::parse_x509_pem;

use super::files::Pair;
use super::{failed, ia5};
use crate::failure::Failure;

const SCHEME: &str = "spiffe://";

/// The authority with its key.
pub(super) struct Authority {
    trust_domain: String,
    until: Timestamp,
    issuer: Issuer<'static, KeyPair>,
}

/// From when until when a certificate is valid: whole days, of which the first is yesterday, so that a clock that is
/// late does not refuse it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) from: civil::Date,
    pub(super) until: civil::Date,
}

/// Makes an authority: its key, and its certificate as PEM.
pub(super) fn make(trust_domain: &str, days: u32, now: Timestamp) -> Result<(KeyPair, String), Failure> {
    let validity = Validity::new(days, now)?;
    let key = KeyPair::generate().map_err(|error| failed("key cannot be made", error))?;
    let mut params = CertificateParams::default();
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, format!("Trestle CA of {trust_domain}"));
    params.subject_alt_names.push(SanType::URI(ia5(&format!("{SCHEME}{trust_domain}"))?));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    validity.put(&mut params);
    let certificate = params.self_signed(&key).map_err(|error| failed("certificate cannot be made", error))?;
    Ok((key, certificate.pem()))
}

impl Authority {
    /// Reads the authority's files.
    pub(super) fn load(pair: &Pair) -> Result<Self, Failure> {
        let (certificate, key) = pair.read()?;
        let unfit = |why: &str| Failure::Usage(format!("{} {why}", pair.certificate.display()));
        let (_, pem) = parse_x509_pem(certificate.as_bytes()).map_err(|_| unfit("is no certificate"))?;
        let parsed = pem.parse_x509().map_err(|_| unfit("is no certificate"))?;
        let names = parsed.subject_alternative_name().ok().flatten();
        let names = names.into_iter().flat_map(|names| &names.value.general_names);
        let mut uris = names.filter_map(|name| if let GeneralName::URI(uri) = name { Some(*uri) } else { None });
        let uri = uris.find_map(|uri| uri.strip_prefix(SCHEME));
        let trust_domain = uri.ok_or_else(|| unfit("names no trust domain: was it made by pki init?"))?.to_owned();
        let until = Timestamp::from_second(parsed.validity().not_after.timestamp()).map_err(|_| unfit("never ends"))?;
        let key = KeyPair::from_pem(&key)
            .map_err(|error| failed(&format!("{} is no private key", pair.key.display()), error))?;
        let issuer = Issuer::from_ca_cert_pem(&certificate, key)
            .map_err(|error| failed(&format!("{} is no authority", pair.certificate.display()), error))?;
        Ok(Self { trust_domain, until, issuer })
    }

    pub(super) fn trust_domain(&self) -> &str {
        &self.trust_domain
    }

    /// Returns the validity of a certificate for so many days, which the authority must outlive.
    pub(super) fn validity(&self, days: u32, now: Timestamp) -> Result<Validity, Failure> {
        let validity = Validity::new(days, now)?;
        let end = self.until.to_zoned(TimeZone::UTC).date();
        if validity.until <= end {
            return Ok(validity);
        }
        Err(Failure::Usage(format!("the authority is valid until {end}: give fewer --days, or make a new authority")))
    }

    /// Returns the signed certificate as PEM.
    pub(super) fn sign(&self, params: &CertificateParams, key: &KeyPair) -> Result<String, Failure> {
        let signed = params.signed_by(key, &self.issuer);
        signed.map(|certificate| certificate.pem()).map_err(|error| failed("certificate cannot be made", error))
    }
}

impl Validity {
    pub(super) fn new(days: u32, now: Timestamp) -> Result<Self, Failure> {
        let today = now.to_zoned(TimeZone::UTC).date();
        let from = today.checked_sub(1.day());
        let until = today.checked_add(i64::from(days).days());
        match (from, until) {
            (Ok(from), Ok(until)) => Ok(Self { from, until }),
            (Ok(_) | Err(_), Ok(_) | Err(_)) => {
                Err(Failure::Usage("that many days lie outside of the calendar".to_owned()))
            }
        }
    }

    pub(super) fn put(self, params: &mut CertificateParams) {
        let midnight = |date: civil::Date| {
            date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
        };
        params.not_before = midnight(self.from);
        params.not_after = midnight(self.until);
    }
}
