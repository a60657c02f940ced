//! Why a call of libvirt did not do what it was to do.

use std::time::Duration;

use virt::error::{ErrorDomain, ErrorNumber};

/// Says why a call of libvirt failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No connection could be made; libvirt's own words.
    #[error("libvirt at {uri} is not reachable: {reason}")]
    Unreachable {
        /// Where it was looked for.
        uri: String,
        /// What libvirt's client library said.
        reason: String,
    },
    /// The connection broke, and broke again when the call was repeated on a new one.
    #[error("connection to libvirt lost: {0}")]
    Lost(String),
    /// libvirt did not answer in time. A step that had begun may still take effect.
    #[error("libvirt did not answer within {0:?}")]
    Deadline(Duration),
    /// Too many calls are waiting for libvirt already.
    #[error("too many calls are waiting for libvirt")]
    Busy,
    /// The handle was shut down, or its thread has failed.
    #[error("the connection to libvirt was shut down")]
    Ended,
    /// libvirt could not do it now, by its own words: another operation holds the object, or took too long.
    #[error("{0}")]
    Hindered(String),
    /// libvirt refused, by its own words.
    #[error("{0}")]
    Refused(String),
    /// A text cannot be put in libvirt's XML, or libvirt's XML could not be read.
    #[error("{0}")]
    Xml(String),
}

impl Fault {
    /// Tells whether the same call may succeed when it is tried again.
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Lost(_) | Self::Deadline(_) | Self::Busy | Self::Hindered(_) => true,
            Self::Ended | Self::Refused(_) | Self::Xml(_) => false,
        }
    }
}

impl From<virt::error::Error> for Fault {
    fn from(error: virt::error::Error) -> Self {
        let reason = error.message().to_owned();
        // Whatever breaks a connection is reported by the RPC layer of the client library.
        if error.domain() == ErrorDomain::Rpc {
            return Self::Lost(reason);
        }
        if matches!(error.code(), ErrorNumber::OperationTimeout | ErrorNumber::ResourceBusy) {
            return Self::Hindered(reason);
        }
        Self::Refused(reason)
    }
}
