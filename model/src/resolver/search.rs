//! Domains in which programs search short names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Says why a search domain is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSearchDomain {
    /// There is nothing, or nothing but a dot.
    #[error("is empty")]
    Empty,
    /// A name has at most 253 octets.
    #[error("has more than {} octets", SearchDomain::LONGEST)]
    TooLong,
    /// A part between dots is empty, longer than 63 octets, or begins or ends with a hyphen.
    #[error("has a part that is empty, has more than {LONGEST_LABEL} octets, or begins or ends with a hyphen")]
    BadLabel,
    /// Something other than letters, digits, hyphens and underscores.
    #[error("has other characters than letters, digits, hyphens, underscores and dots")]
    BadCharacter,
}

/// A domain in which programs search short names, without the final dot and in small letters.
///
/// *Source*: RFC 1035, 2.3.1; underscores are in use, too.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SearchDomain(String);

/// The longest part of a name between dots, in octets.
const LONGEST_LABEL: usize = 63;

impl SearchDomain {
    /// The most domains that all resolvers search.
    ///
    /// *Source*: `MAXDNSRCH` in `resolv.h`; C libraries of before 2017, and others, look at no more.
    pub const LIMIT: usize = 6;
    /// The longest name in octets, as it is written.
    pub const LONGEST: usize = 253;

    /// Returns the domain as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SearchDomain {
    type Err = BadSearchDomain;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.is_empty() {
            return Err(BadSearchDomain::Empty);
        }
        if name.len() > Self::LONGEST {
            return Err(BadSearchDomain::TooLong);
        }
        let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if !name.chars().all(is_legal) {
            return Err(BadSearchDomain::BadCharacter);
        }
        let is_label = |label: &str| {
            (1..=LONGEST_LABEL).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
        };
        if !name.split('.').all(is_label) {
            return Err(BadSearchDomain::BadLabel);
        }
        Ok(Self(name.to_ascii_lowercase()))
    }
}

impl TryFrom<String> for SearchDomain {
    type Error = BadSearchDomain;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<SearchDomain> for String {
    fn from(domain: SearchDomain) -> Self {
        domain.0
    }
}

impl fmt::Display for SearchDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_and_refuses_what_is_none() {
        let long = ["a"; 127].join(".");
        let longer = format!("{long}.b");
        let label = "a".repeat(64);
        for (text, expected) in [
            ("example.org", Ok("example.org")),
            ("Corp.Example.", Ok("corp.example")),
            ("_tcp.lab", Ok("_tcp.lab")),
            (long.as_str(), Ok(long.as_str())),
            ("", Err(BadSearchDomain::Empty)),
            (".", Err(BadSearchDomain::Empty)),
            (longer.as_str(), Err(BadSearchDomain::TooLong)),
            ("a..b", Err(BadSearchDomain::BadLabel)),
            ("-a.b", Err(BadSearchDomain::BadLabel)),
            (label.as_str(), Err(BadSearchDomain::BadLabel)),
            ("a b", Err(BadSearchDomain::BadCharacter)),
            ("a\nnameserver 192.0.2.1", Err(BadSearchDomain::BadCharacter)),
            ("münchen.de", Err(BadSearchDomain::BadCharacter)),
        ] {
            let read = text.parse().map(|domain: SearchDomain| domain.to_string());
            assert_eq!(read, expected.map(str::to_owned), "{text}");
        }
    }
}
