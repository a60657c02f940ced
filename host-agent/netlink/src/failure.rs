//! Why the kernel did not do as it was asked.

use std::io;

use nix::errno::Errno;
use trestle_model::IfName;

/// Why a request had no success.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// The kernel refused, with its error number and sometimes with words of its own.
    #[error("{}{}", errno_words(*code), explanation.as_ref().map_or_else(String::new, |words| format!(": {words}")))]
    Refused { code: i32, explanation: Option<String> },
    /// A device that the step names is not there.
    #[error("device {0}: {words}", words = errno_words(ENODEV))]
    Missing(IfName),
    /// What the step names is there, but is something else.
    #[error("{0}")]
    Mismatch(String),
    /// What the step needs is there, but is not ready yet.
    #[error("{0}")]
    Unready(String),
    /// Dumps were interrupted by changes again and again.
    #[error("the kernel's tables changed while they were read, {0} times in a row")]
    Unsteady(u32),
    /// The kernel did not answer within the deadline.
    #[error("the kernel did not answer within {0} s")]
    Silent(u64),
    /// The kernel's answer cannot be read: a bug.
    #[error("the kernel's answer makes no sense: {0}")]
    Garbled(String),
}

/// `ENODEV` as a raw error number; the same on every architecture that Linux has.
const ENODEV: i32 = 19;

impl Failure {
    /// Makes a refusal of an error of the operating system.
    pub(crate) fn of_io(error: &io::Error) -> Self {
        Self::Refused { code: error.raw_os_error().unwrap_or(0), explanation: None }
    }

    /// Returns the kernel's error, if the kernel refused.
    pub(crate) fn errno(&self) -> Option<Errno> {
        match self {
            Self::Refused { code, .. } => Some(Errno::from_raw(*code)),
            Self::Missing(_) => Some(Errno::ENODEV),
            Self::Mismatch(_) | Self::Unready(_) | Self::Unsteady(_) | Self::Silent(_) | Self::Garbled(_) => None,
        }
    }

    /// Tells whether the same request may succeed when it is made again.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Refused { code, .. } => {
                matches!(Errno::from_raw(*code), Errno::EBUSY | Errno::EAGAIN | Errno::EINTR | Errno::ENOBUFS)
            }
            Self::Missing(_) | Self::Mismatch(_) | Self::Garbled(_) => false,
            Self::Unready(_) | Self::Unsteady(_) | Self::Silent(_) => true,
        }
    }
}

/// Turns a refusal with one of `errors` into success: what the step wants is so already.
pub(crate) fn tolerate(result: Result<(), Failure>, errors: &[Errno]) -> Result<(), Failure> {
    match result {
        Err(failure) if failure.errno().is_some_and(|errno| errors.contains(&errno)) => Ok(()),
        other => other,
    }
}

/// Returns an error number's words and name: `Operation not supported (EOPNOTSUPP)`.
fn errno_words(code: i32) -> String {
    let text = io::Error::from_raw_os_error(code).to_string();
    let words = text.split_once(" (os error").map_or(text.as_str(), |(words, _)| words);
    let errno = Errno::from_raw(code);
    if errno == Errno::UnknownErrno { format!("{words} (errno {code})") } else { format!("{words} ({errno:?})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_an_error_by_words_and_symbol() {
        let refused = |code, explanation: Option<&str>| {
            Failure::Refused { code, explanation: explanation.map(ToOwned::to_owned) }.to_string()
        };
        assert_eq!(refused(95, None), "Operation not supported (EOPNOTSUPP)");
        assert_eq!(refused(22, Some("mtu too big")), "Invalid argument (EINVAL): mtu too big");
        assert_eq!(refused(524, None), "Unknown error 524 (errno 524)");
        let missing = Failure::Missing(IfName::parse("eth9").unwrap());
        assert_eq!(missing.to_string(), "device eth9: No such device (ENODEV)");
    }

    #[test]
    fn calls_only_passing_conditions_transient() {
        for (code, transient) in [(16, true), (11, true), (4, true), (105, true), (95, false), (17, false)] {
            assert_eq!(Failure::Refused { code, explanation: None }.is_transient(), transient, "errno {code}");
        }
        assert!(Failure::Silent(1).is_transient() && !Failure::Garbled(String::new()).is_transient());
        assert!(!Failure::Mismatch(String::new()).is_transient());
    }
}
