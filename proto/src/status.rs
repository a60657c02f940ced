//! The one mapping between refusals and gRPC statuses.
//!
//! A status tells the same three times, each for its own reader: a message for people; `google.rpc` details for tools
//! that know no Trestle; and the findings themselves, as `trestle.finding.v1.Finding`, for Trestle's own clients.
//!
//! *Source*: AIP-193.

mod canonical;
mod details;

#[cfg(test)]
mod tests;

use std::error::Error;
use std::fmt;
use std::time::Duration;

use tonic::{Code as Status, Status as GrpcStatus};
use trestle_model::{Code, Finding, Findings, Severity};

use crate::finding_wire;
use crate::session::v1 as session;

pub use canonical::canonical;
pub use details::{findings_of, reason_of, retry_delay_of};

/// A request that is refused, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The canonical code.
    pub code: Status,
    /// Why, rule by rule; findings that alone would not have refused the request are among them.
    pub findings: Findings,
    /// When it is worth to try again; `None` where that is not known.
    pub retry: Option<Duration>,
    /// The current etag of the resource, for who lost a race; `None` for other refusals, and for a resource that is gone.
    pub etag: Option<String>,
}

impl Refusal {
    /// When to come back to a host that is busy.
    pub const BUSY_DELAY: Duration = Duration::from_secs(1);

    /// Refuses a request that could never be valid, whatever the host or the fleet is.
    pub const fn malformed(findings: Findings) -> Self {
        Self { code: Status::InvalidArgument, findings, retry: None, etag: None }
    }

    /// Refuses a write of another version than `current`, which is empty for a resource that is gone.
    pub fn outdated(finding: Finding, current: String) -> Self {
        Self { etag: Some(current).filter(|etag| !etag.is_empty()), ..Self::from(finding) }
    }

    /// Refuses a well-formed request that does not fit the host or the fleet as it is now.
    ///
    /// A code of form, such as `MTU_OUT_OF_RANGE` for a device that takes less, is then an unmet condition.
    pub fn refused(findings: Findings) -> Self {
        let mut refusal = Self::from(findings);
        if refusal.code == Status::InvalidArgument {
            refusal.code = Status::FailedPrecondition;
        }
        refusal
    }

    /// Says when it is worth to try again.
    #[must_use]
    pub const fn retry_after(mut self, delay: Duration) -> Self {
        self.retry = Some(delay);
        self
    }

    /// Returns the finding that weighs most: of the gravest severity, and with the refusal's own canonical code where
    /// there is one; the first of those.
    pub fn worst(&self) -> Option<&Finding> {
        let gravest = self.findings.0.iter().map(|finding| finding.severity).max()?;
        let mut candidates = self.findings.0.iter().filter(|finding| finding.severity == gravest);
        let first = candidates.clone().next();
        candidates.find(|finding| canonical(finding.code) == self.code).or(first)
    }

    /// Reads a refusal from a status.
    ///
    /// A finding of a newer peer keeps its code as text; a status without details becomes one finding of its message.
    pub fn from_status(status: &GrpcStatus) -> Self {
        Self {
            code: status.code(),
            findings: finding_wire::parse_all(&findings_of(status)),
            retry: retry_delay_of(status),
            etag: details::etag_of(status),
        }
    }

    /// Builds the refusal of a command, as an agent's session carries it; when to retry is left out.
    pub fn build_session(&self) -> session::Refusal {
        session::Refusal {
            code: i32::from(self.code),
            message: self.to_string(),
            findings: finding_wire::build_all(&self.findings.0),
        }
    }

    /// Reads the refusal of a command.
    pub fn parse_session(refusal: &session::Refusal) -> Self {
        let mut findings = finding_wire::parse_all(&refusal.findings);
        let code = Status::from(refusal.code);
        if findings.0.is_empty() {
            findings.0.push(finding_wire::parse(&details::plain_finding(code, &refusal.message)));
        }
        Self { code, findings, retry: None, etag: None }
    }
}

impl From<Finding> for Refusal {
    fn from(finding: Finding) -> Self {
        let retry = (finding.code == Code::Busy).then_some(Self::BUSY_DELAY);
        Self { code: canonical(finding.code), findings: Findings(vec![finding]), retry, etag: None }
    }
}

impl From<Findings> for Refusal {
    /// Refuses with the canonical code that says most to a caller; see [`canonical`].
    fn from(findings: Findings) -> Self {
        let refusing = |least: Severity| {
            let weighed = findings.0.iter().filter(move |finding| finding.severity >= least);
            weighed.map(|finding| canonical(finding.code)).min_by_key(|code| canonical::precedence(*code))
        };
        let code = refusing(Severity::Error)
            .or_else(|| refusing(Severity::Warning).map(|_| Status::FailedPrecondition))
            .unwrap_or(Status::FailedPrecondition);
        let busy = findings.0.iter().any(|finding| finding.code == Code::Busy);
        Self { code, findings, retry: busy.then_some(Self::BUSY_DELAY), etag: None }
    }
}

impl From<&Refusal> for GrpcStatus {
    fn from(refusal: &Refusal) -> Self {
        details::build(refusal)
    }
}

impl From<Refusal> for GrpcStatus {
    fn from(refusal: Refusal) -> Self {
        details::build(&refusal)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(worst) = self.worst() else { return f.write_str("refused without a finding") };
        write!(f, "{worst}")?;
        match self.findings.0.len() - 1 {
            0 => Ok(()),
            more => write!(f, " (and {more} more)"),
        }
    }
}

impl Error for Refusal {}
