//! How a transaction ended.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Finding, TransactionId};

/// The end of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The host is as asked for.
    Applied,
    /// The host was as asked for already: nothing was written.
    Unchanged,
    /// The host was put back; the finding says why.
    RolledBack(Finding),
    /// The host could not be put back wholly; the finding says why it had to be, and what is left.
    RollbackFailed {
        /// Why the host had to be put back.
        cause: Finding,
        /// What differs from the state before, object by object.
        leftovers: Vec<Leftover>,
    },
}

/// An object that an undo could not restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leftover {
    /// The object, e.g. `link eth0`.
    pub object: String,
    /// The attribute that differs.
    pub field: String,
    /// What it was before the transaction.
    pub expected: String,
    /// What it is.
    pub actual: String,
}

/// The record of a finished transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransactionReport {
    /// The transaction.
    pub transaction: TransactionId,
    /// How it ended.
    pub outcome: Outcome,
    /// Steps that were performed, as one line each, in order.
    pub steps: Vec<String>,
    /// Findings that did not refuse the request.
    pub findings: Vec<Finding>,
    /// Whether the result is also the persistent configuration.
    pub committed: bool,
    /// Hash of the running configuration afterwards.
    pub running_hash: String,
}

/// A sign of life of a running transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// The request was accepted and journalled.
    Accepted {
        /// The transaction.
        transaction: TransactionId,
        /// Number of steps planned.
        steps: usize,
    },
    /// A step is done.
    Step {
        /// Its position, from 1.
        number: usize,
        /// Number of steps planned.
        of: usize,
        /// The step in one line.
        text: String,
    },
    /// All steps are done and the host was read back.
    Verified,
    /// The host waits for the confirmation.
    AwaitingConfirmation {
        /// The wait, in milliseconds.
        timeout_ms: u64,
    },
    /// The change was confirmed.
    Confirmed,
    /// The change is being undone.
    Undoing {
        /// Why.
        cause: Finding,
    },
}

impl Outcome {
    /// Tells whether the host is as asked for.
    pub const fn is_success(&self) -> bool {
        matches!(self, Self::Applied | Self::Unchanged)
    }
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: expected {}, is {}", self.object, self.field, self.expected, self.actual)
    }
}
