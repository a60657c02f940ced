//! Every status that the layers answer with, in one place.
//!
//! Each carries `google.rpc.ErrorInfo` with a stable reason; those worth a retry carry `google.rpc.RetryInfo`. The text
//! is for people and never tells what went on inside.

use std::fmt;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// The domain of the reasons in `google.rpc.ErrorInfo`.
pub const DOMAIN: &str = "trestle.dev";

/// Tells why a layer refused or ended a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The call's deadline passed before it ended.
    DeadlineExceeded,
    /// The `grpc-timeout` header does not parse.
    DeadlineMalformed,
    /// The server is shutting down.
    ServerDraining,
    /// The server has as many calls in hand as it takes.
    ServerOverloaded,
    /// A message is larger than the server takes or sends.
    MessageTooLarge,
    /// A message is no protobuf of the kind that the method takes.
    MessageMalformed,
    /// A handler panicked: a bug of the server.
    HandlerPanicked,
    /// The peer's certificate does not say who it is in Trestle's words.
    PeerUnknown,
    /// The peer is known, and may not do this.
    PeerForbidden,
}

impl Reason {
    /// Lists all reasons, in the order of their definition.
    pub const ALL: [Self; 9] = [
        Self::DeadlineExceeded,
        Self::DeadlineMalformed,
        Self::ServerDraining,
        Self::ServerOverloaded,
        Self::MessageTooLarge,
        Self::MessageMalformed,
        Self::HandlerPanicked,
        Self::PeerUnknown,
        Self::PeerForbidden,
    ];

    /// Returns the reason as `google.rpc.ErrorInfo` spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::DeadlineMalformed => "DEADLINE_MALFORMED",
            Self::ServerDraining => "SERVER_DRAINING",
            Self::ServerOverloaded => "SERVER_OVERLOADED",
            Self::MessageTooLarge => "MESSAGE_TOO_LARGE",
            Self::MessageMalformed => "MESSAGE_MALFORMED",
            Self::HandlerPanicked => "HANDLER_PANICKED",
            Self::PeerUnknown => "PEER_UNKNOWN",
            Self::PeerForbidden => "PEER_FORBIDDEN",
        }
    }

    /// Returns the canonical code that the reason is answered with.
    #[must_use]
    pub fn code(self) -> Code {
        match self {
            Self::DeadlineExceeded => Code::DeadlineExceeded,
            Self::DeadlineMalformed | Self::MessageMalformed => Code::InvalidArgument,
            Self::ServerDraining => Code::Unavailable,
            Self::ServerOverloaded | Self::MessageTooLarge => Code::ResourceExhausted,
            Self::HandlerPanicked => Code::Internal,
            Self::PeerUnknown => Code::Unauthenticated,
            Self::PeerForbidden => Code::PermissionDenied,
        }
    }

    /// Returns after how long the same call is worth repeating; nothing where it is not.
    #[must_use]
    pub fn retry_delay(self) -> Option<Duration> {
        match self {
            Self::ServerDraining => Some(Duration::from_secs(2)),
            Self::ServerOverloaded => Some(Duration::from_secs(1)),
            Self::DeadlineExceeded
            | Self::DeadlineMalformed
            | Self::MessageTooLarge
            | Self::MessageMalformed
            | Self::HandlerPanicked
            | Self::PeerUnknown
            | Self::PeerForbidden => None,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

pub(crate) fn deadline_exceeded() -> Status {
    status(Reason::DeadlineExceeded, "deadline exceeded")
}

pub(crate) fn deadline_malformed() -> Status {
    status(Reason::DeadlineMalformed, "grpc-timeout is malformed")
}

pub(crate) fn draining() -> Status {
    status(Reason::ServerDraining, "server is shutting down")
}

pub(crate) fn overloaded() -> Status {
    status(Reason::ServerOverloaded, "server has too many calls in hand")
}

/// The text tells found and allowed sizes, and is tonic's.
pub(crate) fn too_large(text: &str) -> Status {
    status(Reason::MessageTooLarge, text)
}

/// The text tells the field, and is prost's.
pub(crate) fn malformed(text: &str) -> Status {
    status(Reason::MessageMalformed, text)
}

pub(crate) fn panicked() -> Status {
    status(Reason::HandlerPanicked, "internal error")
}

/// The text tells what the certificate lacks.
pub(crate) fn peer_unknown(text: &str) -> Status {
    status(Reason::PeerUnknown, text)
}

/// The text tells what kind of peer may make the call.
pub(crate) fn peer_forbidden(text: &str) -> Status {
    status(Reason::PeerForbidden, text)
}

fn status(reason: Reason, text: &str) -> Status {
    let mut details = ErrorDetails::with_error_info(reason.as_str(), DOMAIN, []);
    if let Some(delay) = reason.retry_delay() {
        details.set_retry_info(Some(delay));
    }
    Status::with_error_details(reason.code(), text, details)
}
