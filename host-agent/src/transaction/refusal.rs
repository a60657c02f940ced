//! Why a request is not carried out; nothing was changed then, or it was put back.

use trestle_model::{Code, Fence, Finding, Findings, TransactionId};
use trestle_plan::ObserveError;
use trestle_telemetry::chain;

use crate::journal::JournalError;

/// Says why a request is not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The request cannot be carried out on this host as it is. The caller must act.
    #[error("request is refused by {} findings", .0.0.len())]
    Findings(Findings),
    /// Interfaces were not changed as asked: what was done is put back, but for what the findings name. The caller must act.
    #[error("interfaces are not changed: {} findings", .0.0.len())]
    NotPlugged(Findings),
    /// Another transaction runs and enough others wait. Worth a retry.
    #[error("another transaction runs, and the queue is full")]
    Busy,
    /// The request is older than what the host has. The caller lost a race.
    #[error("request of epoch {} generation {} is older than the host's {} and {}", asked.epoch, asked.generation, held.epoch, held.generation)]
    Stale {
        /// The request's place in the engine's history.
        asked: Fence,
        /// The host's.
        held: Fence,
    },
    /// The request's id was used for another request. The caller must act.
    #[error("request id {0} was used for another request")]
    RequestIdReused(TransactionId),
    /// The request's turn did not come in time, or the host was not read in time. Worth a retry.
    #[error("deadline passed before anything was changed")]
    Deadline,
    /// Kernel or libvirt cannot be read. Worth a retry.
    #[error("host cannot be observed")]
    Unobservable(#[from] ObserveError),
    /// The agent's store failed. The operator must act.
    #[error("store failed")]
    Store(#[from] JournalError),
    /// The agent is shutting down. Worth a retry.
    #[error("agent is shutting down")]
    Stopping,
    /// No transaction of this id waits for a confirmation. The caller must act.
    #[error("transaction {0} does not wait for a confirmation")]
    NotWaiting(TransactionId),
    /// The transaction has to be confirmed by somebody else. The caller must act.
    #[error("transaction {0} has to be confirmed by whoever asked for it")]
    WrongConfirmer(TransactionId),
    /// What came after the token of a watch is not known any more. The caller must begin again.
    #[error("what came after this place in the watch is not known any more: watch again without a token")]
    ResumeTokenExpired,
    /// As many watch as may. The caller must end a watch.
    #[error("too many watches over the host stand")]
    WatchLimit,
}

impl Refusal {
    /// Returns the refusal as findings; empty where there is no rule behind it: the deadline, or the shutdown.
    pub fn findings(&self) -> Findings {
        let finding = |code| Findings(vec![Finding::error(code, "", self.to_string())]);
        match self {
            Self::Findings(findings) | Self::NotPlugged(findings) => findings.clone(),
            Self::Busy => finding(Code::Busy),
            Self::Stale { .. } => finding(Code::StaleGeneration),
            Self::RequestIdReused(_) => finding(Code::RequestIdReused),
            Self::Unobservable(error) => Findings(vec![Finding::error(Code::HostUnobservable, "", error.to_string())]),
            Self::Store(error) => Findings(vec![store_failed(error)]),
            Self::NotWaiting(_) => finding(Code::TransactionNotFound),
            Self::ResumeTokenExpired => finding(Code::ResumeTokenExpired),
            Self::WatchLimit => finding(Code::WatchLimit),
            Self::WrongConfirmer(_) => finding(Code::ConfirmationRefused),
            Self::Deadline | Self::Stopping => Findings::default(),
        }
    }
}

/// Says what the disk said, and what it is about: the one who reads it has to act there.
pub(super) fn store_failed(error: &JournalError) -> Finding {
    Finding::error(Code::StoreFailed, "", chain(error).to_string())
}
