//! SPIFFE ids as Trestle uses them: `spiffe://<trust-domain>/engine`, `/host/<id>`, `/user/<name>`.
//!
//! Source: the SPIFFE-ID and X509-SVID standards; a certificate names its holder by exactly one URI among its subject
//! alternative names.

use std::fmt;
use std::str::FromStr;

use x509_parser::error::X509Error;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

const SCHEME: &str = "spiffe://";
const LONGEST: usize = 2048;

/// Names a party of a Trestle installation, in one trust domain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiffeId {
    /// The installation, such as `trestle` or `net.example.org`.
    pub trust_domain: String,
    /// The party.
    pub party: Party,
}

/// Lists the parties that a SPIFFE id can name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Party {
    /// The engine.
    Engine,
    /// The agent of the host with this id.
    Host(String),
    /// A person or a program that uses the API, by name.
    User(String),
}

/// Says why a text or a certificate does not name a party.
#[derive(Debug, thiserror::Error)]
pub enum SpiffeError {
    /// The certificate is not X.509.
    #[error("certificate does not parse")]
    Certificate(#[source] x509_parser::asn1_rs::Err<X509Error>),
    /// An extension of the certificate is malformed.
    #[error("certificate's alternative names do not parse")]
    AlternativeNames(#[source] X509Error),
    /// The certificate has no URI among its names.
    #[error("certificate has no SPIFFE id")]
    Missing,
    /// The certificate has several URIs among its names.
    #[error("certificate has more than one URI among its names")]
    Ambiguous,
    /// The text is no SPIFFE id of Trestle's.
    #[error("{0:?} is no SPIFFE id of an engine, a host or a user")]
    Malformed(String),
}

impl SpiffeId {
    /// Reads the id from a certificate in DER form.
    ///
    /// # Errors
    /// When the certificate does not parse, or does not hold exactly one URI, which is an id of Trestle's.
    pub fn from_certificate(der: &[u8]) -> Result<Self, SpiffeError> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(SpiffeError::Certificate)?;
        let names = certificate.subject_alternative_name().map_err(SpiffeError::AlternativeNames)?;
        let mut uris = names
            .iter()
            .flat_map(|names| &names.value.general_names)
            .filter_map(|name| if let GeneralName::URI(uri) = name { Some(*uri) } else { None });
        let uri = uris.next().ok_or(SpiffeError::Missing)?;
        if uris.next().is_some() {
            return Err(SpiffeError::Ambiguous);
        }
        uri.parse()
    }
}

impl FromStr for SpiffeId {
    type Err = SpiffeError;

    fn from_str(text: &str) -> Result<Self, SpiffeError> {
        parse(text).ok_or_else(|| SpiffeError::Malformed(text.chars().take(LONGEST).collect()))
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{SCHEME}{}/{}", self.trust_domain, self.party)
    }
}

impl fmt::Display for Party {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine => formatter.write_str("engine"),
            Self::Host(id) => write!(formatter, "host/{id}"),
            Self::User(name) => write!(formatter, "user/{name}"),
        }
    }
}

fn parse(text: &str) -> Option<SpiffeId> {
    if text.len() > LONGEST {
        return None;
    }
    let (trust_domain, path) = text.strip_prefix(SCHEME)?.split_once('/')?;
    if !is_trust_domain(trust_domain) {
        return None;
    }
    let party = match path.split_once('/') {
        None if path == "engine" => Party::Engine,
        Some(("host", id)) if is_segment(id) => Party::Host(id.to_owned()),
        Some(("user", name)) if is_segment(name) => Party::User(name.to_owned()),
        None | Some(_) => return None,
    };
    Some(SpiffeId { trust_domain: trust_domain.to_owned(), party })
}

/// Source: SPIFFE-ID, section 2.1.
pub(crate) fn is_trust_domain(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_');
    !text.is_empty() && text.len() <= 255 && text.bytes().all(allowed)
}

/// Source: SPIFFE-ID, section 2.2.
fn is_segment(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    !text.is_empty() && text != "." && text != ".." && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_and_written_alike() {
        let cases = [
            ("spiffe://trestle/engine", "trestle", Party::Engine),
            ("spiffe://net.example.org/host/h-1", "net.example.org", Party::Host("h-1".to_owned())),
            ("spiffe://trestle/user/Ada.L", "trestle", Party::User("Ada.L".to_owned())),
        ];
        for (text, trust_domain, party) in cases {
            let id = SpiffeId { trust_domain: trust_domain.to_owned(), party };
            assert_eq!(text.parse::<SpiffeId>().unwrap(), id);
            assert_eq!(id.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_id_of_ours_is_refused() {
        let cases = [
            "",
            "https://trestle/engine",
            "spiffe://trestle",
            "spiffe://trestle/",
            "spiffe:///engine",
            "spiffe://TRESTLE/engine",
            "spiffe://trestle/engine/",
            "spiffe://trestle/host",
            "spiffe://trestle/host/",
            "spiffe://trestle/host/a/b",
            "spiffe://trestle/host/..",
            "spiffe://trestle/host/a%20b",
            "spiffe://trestle/user/a@b",
            "spiffe://trestle/robot/a",
            "spiffe://user@trestle/engine",
            "spiffe://trestle:1/engine",
        ];
        for text in cases {
            assert!(matches!(text.parse::<SpiffeId>(), Err(SpiffeError::Malformed(_))), "{text}");
        }
    }

    #[test]
    fn a_certificate_that_is_none_is_refused() {
        assert!(matches!(SpiffeId::from_certificate(b"nonsense"), Err(SpiffeError::Certificate(_))));
    }
}
