//! Steps that change where programs find their name servers.

use std::fmt;

use serde::{Deserialize, Serialize};
use trestle_model::{IfName, LinkNames, ResolverState};

use super::Step;

/// A change of where programs find their name servers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResolverStep {
    /// Gives `resolv.conf` this text, in one go.
    Write {
        /// The text; `None` takes the file away.
        text: Option<String>,
    },
    /// Tells systemd-resolved what it asks through a device.
    SetLink {
        /// The device.
        link: IfName,
        /// Its name servers and domains.
        names: LinkNames,
    },
}

impl From<ResolverStep> for Step {
    fn from(step: ResolverStep) -> Self {
        Self::Resolver(step)
    }
}

impl fmt::Display for ResolverStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Write { text: None } => return f.write_str("take the file of name servers away"),
            Self::Write { text } => text.clone(),
            Self::SetLink { link, names } => return write!(f, "set name servers of {link} to {names}"),
        };
        let state = ResolverState { text, ..ResolverState::default() };
        let (servers, search) = (state.nameservers(), state.search());
        if servers.is_empty() {
            f.write_str("set no name servers")?;
        } else {
            write!(f, "set name servers to {}", servers.join(", "))?;
        }
        if search.is_empty() { Ok(()) } else { write!(f, " and search {}", search.join(", ")) }
    }
}
