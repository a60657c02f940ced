//! How a command fails, and what the shell learns of it.

use std::process::ExitCode;

use tonic::{Code, Status};
use trestle_proto::finding::v1::{Finding, Severity};
use trestle_proto::status::findings_of;
use trestle_serve::{ConnectError, TargetError, TlsError};

use crate::document::{Malformed, Unreadable};

/// What `--help` says of exit codes.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  refused: by a rule, a missing resource, a lost race, or missing rights
  2  wrong usage, or a file that is malformed
  3  engine or agent not reached
  4  a host did not become what was wanted: its change failed or was put back
  5  took too long";

/// Says why a command did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line or the environment is wrong. The caller must act.
    #[error("{0}")]
    Usage(String),
    /// A file cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// Files are malformed; nothing was sent.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The target is no target.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The certificates are not usable.
    #[error(transparent)]
    Certificates(#[from] TlsError),
    /// A file cannot be written or read.
    #[error("{0}")]
    File(String, #[source] Box<dyn std::error::Error + Send + Sync>),
    /// There is no connection.
    #[error("no connection")]
    NotConnected(#[source] Box<ConnectError>),
    /// The server went away, or cannot serve now. Worth a retry.
    #[error("{what}: {}", .status.message())]
    NotReached {
        /// What was asked for.
        what: String,
        /// The answer.
        status: Box<Status>,
    },
    /// The server refused.
    #[error("{what}: refused")]
    Refused {
        /// What was asked for.
        what: String,
        /// The answer.
        status: Box<Status>,
    },
    /// Findings of a check would refuse the request.
    #[error("{0}")]
    Findings(String),
    /// A host is not what was wanted.
    #[error("{0}")]
    Host(String),
    /// It took too long.
    #[error("{0}")]
    Timeout(String),
    /// Standard output is closed: whoever read it has enough.
    #[error("output is closed")]
    OutputClosed,
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        Self::NotConnected(Box::new(error))
    }
}

impl Failure {
    /// Judges the answer to a call.
    #[must_use]
    pub fn of_call(what: impl Into<String>, status: Status) -> Self {
        let (what, status) = (what.into(), Box::new(status));
        match status.code() {
            Code::Unavailable | Code::Cancelled => Self::NotReached { what, status },
            Code::DeadlineExceeded => Self::Timeout(format!("{what}: no answer in time")),
            Code::Ok
            | Code::Unknown
            | Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Internal
            | Code::DataLoss
            | Code::Unauthenticated => Self::Refused { what, status },
        }
    }

    /// Returns the code that the shell gets, as [`EXIT_CODES`] has it.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::OutputClosed => ExitCode::SUCCESS,
            Self::Refused { .. } | Self::Findings(_) => ExitCode::from(1),
            Self::Usage(_)
            | Self::Unreadable(_)
            | Self::Malformed(_)
            | Self::Target(_)
            | Self::Certificates(_)
            | Self::File(..) => ExitCode::from(2),
            Self::NotConnected(error) if !error.is_retriable() => ExitCode::from(2),
            Self::NotConnected(_) | Self::NotReached { .. } => ExitCode::from(3),
            Self::Host(_) => ExitCode::from(4),
            Self::Timeout(_) => ExitCode::from(5),
        }
    }

    /// Returns what people read: the failure, its causes, and every finding.
    #[must_use]
    pub fn explain(&self) -> String {
        match self {
            Self::Refused { what, status } => {
                format!("{what}: {}\n{}", code_text(status.code()), findings_text(&findings_of(status)))
            }
            Self::OutputClosed => String::new(),
            Self::NotReached { .. }
            | Self::Usage(_)
            | Self::Unreadable(_)
            | Self::Malformed(_)
            | Self::Target(_)
            | Self::Certificates(_)
            | Self::File(..)
            | Self::NotConnected(_)
            | Self::Findings(_)
            | Self::Host(_)
            | Self::Timeout(_) => format!("{}\n", trestle_telemetry::chain(self)),
        }
    }
}

/// Spells findings for people, one paragraph each, every line ended.
#[must_use]
pub fn findings_text(findings: &[Finding]) -> String {
    findings.iter().map(finding_text).collect()
}

fn finding_text(finding: &Finding) -> String {
    let (severity, acknowledge) = match finding.severity() {
        Severity::Error => ("error", String::new()),
        Severity::Warning => ("warning", format!("--acknowledge {}", finding.code)),
        Severity::Info => ("note", String::new()),
        Severity::Unspecified => ("finding", String::new()),
    };
    let mut text = format!("  {severity} {}: {}\n", finding.code, finding.message);
    let parts = [
        ("subject", &finding.subject),
        ("field", &finding.field),
        ("related", &finding.related.join(", ")),
        ("remedy", &finding.remedy),
        ("or", &acknowledge),
    ];
    for (name, value) in parts.into_iter().filter(|(_, value)| !value.is_empty()) {
        text.push_str(&format!("    {name:<8} {value}\n"));
    }
    text
}

fn code_text(code: Code) -> &'static str {
    match code {
        Code::InvalidArgument => "not valid",
        Code::NotFound => "not found",
        Code::AlreadyExists => "exists already",
        Code::PermissionDenied => "not permitted",
        Code::Unauthenticated => "caller not known",
        Code::Aborted => "lost a race",
        Code::ResourceExhausted => "too much",
        Code::Unimplemented => "not known to the server",
        Code::FailedPrecondition => "refused",
        Code::Internal | Code::Unknown | Code::DataLoss => "the server failed",
        Code::Ok | Code::Cancelled | Code::DeadlineExceeded | Code::OutOfRange | Code::Unavailable => "failed",
    }
}
