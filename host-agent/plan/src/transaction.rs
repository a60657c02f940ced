//! The transaction's phases as data: what the journal keeps, what may follow what, and what a start after a crash owes.

use serde::{Deserialize, Serialize};
use trestle_model::{Finding, HostConfig, SetupRequest};

use crate::{PlannedStep, Snapshot};

/// Where a journalled transaction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Journalled; any number of its steps may be done.
    Applying,
    /// All steps are done and verified; nobody has confirmed yet.
    AwaitingConfirmation,
    /// It is being undone; any number of the undo's steps may be done.
    Undoing,
    /// It succeeded; the running configuration (and, if asked for, the persistent one) may not say so yet.
    Adopting,
    /// Nothing is owed.
    Closed,
}

/// What happens to a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// Every step is done and the host was read back as planned; a confirmation is to come.
    VerifiedUnconfirmed,
    /// Every step is done and the host was read back as planned; nobody has to confirm.
    Verified,
    /// The confirmation came in time, from whom it has to come.
    Confirmed,
    /// A step failed, the verification failed, or the confirmation did not come.
    Failed,
    /// The undo ended, whether or not it could restore everything.
    Undone,
    /// The configuration says what the host is.
    Adopted,
}

/// What a starting agent does about a journalled transaction, before anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// Nothing is owed.
    Nothing,
    /// Observe, and go back to the journalled snapshot.
    UndoToSnapshot,
    /// Write the configuration that the host has already, then close the record.
    FinishAdoption,
    /// Close the record as rolled back: the reboot has undone the kernel's part, and the restore at boot, which comes
    /// next, does the rest.
    LeaveToRestore,
}

/// What the journal keeps of a transaction; written and flushed before the first change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// As asked for; its options carry the transaction's id.
    pub request: SetupRequest,
    /// Where it stands.
    pub phase: Phase,
    /// The kernel's boot id when it was journalled.
    pub boot_id: String,
    /// Everything that the plan touches, as it was.
    pub snapshot: Snapshot,
    /// The plan.
    pub steps: Vec<PlannedStep>,
    /// The configuration that a success adopts.
    pub desired: HostConfig,
    /// Findings that did not refuse the request.
    pub findings: Vec<Finding>,
    /// Why it is being undone; `None` before that.
    pub cause: Option<Finding>,
}

/// Says that an event cannot happen in a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{event:?} cannot happen to a transaction that is {phase:?}")]
pub struct OutOfPlace {
    /// The phase.
    pub phase: Phase,
    /// The event.
    pub event: Event,
}

impl Phase {
    /// Returns the phase after `event`.
    ///
    /// *Errors*: [`OutOfPlace`], a bug in the caller.
    pub const fn after(self, event: Event) -> Result<Self, OutOfPlace> {
        match (self, event) {
            (Self::Applying, Event::VerifiedUnconfirmed) => Ok(Self::AwaitingConfirmation),
            (Self::Applying, Event::Verified) | (Self::AwaitingConfirmation, Event::Confirmed) => Ok(Self::Adopting),
            (Self::Applying | Self::AwaitingConfirmation, Event::Failed) => Ok(Self::Undoing),
            (Self::Undoing, Event::Undone) | (Self::Adopting, Event::Adopted) => Ok(Self::Closed),
            (phase, event) => Err(OutOfPlace { phase, event }),
        }
    }
}

/// Says what is owed to a transaction that the journal holds in `phase` when an agent starts.
///
/// `same_boot`: whether the kernel has run without a break since the transaction was journalled.
pub const fn recover(phase: Phase, same_boot: bool) -> Recovery {
    match (phase, same_boot) {
        (Phase::Closed, _) => Recovery::Nothing,
        (Phase::Adopting, _) => Recovery::FinishAdoption,
        (Phase::Applying | Phase::AwaitingConfirmation | Phase::Undoing, true) => Recovery::UndoToSnapshot,
        (Phase::Applying | Phase::AwaitingConfirmation | Phase::Undoing, false) => Recovery::LeaveToRestore,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_before_adoption_is_undone_and_one_after_is_finished() {
        for phase in [Phase::Applying, Phase::AwaitingConfirmation, Phase::Undoing] {
            assert_eq!(recover(phase, true), Recovery::UndoToSnapshot, "{phase:?}");
            assert_eq!(recover(phase, false), Recovery::LeaveToRestore, "{phase:?}");
        }
        assert_eq!(recover(Phase::Adopting, true), Recovery::FinishAdoption);
        assert_eq!(recover(Phase::Adopting, false), Recovery::FinishAdoption);
        assert_eq!(recover(Phase::Closed, true), Recovery::Nothing);
    }

    #[test]
    fn every_way_through_ends_closed() {
        let ways: [&[Event]; 4] = [
            &[Event::Verified, Event::Adopted],
            &[Event::VerifiedUnconfirmed, Event::Confirmed, Event::Adopted],
            &[Event::Failed, Event::Undone],
            &[Event::VerifiedUnconfirmed, Event::Failed, Event::Undone],
        ];
        for way in ways {
            let end = way.iter().try_fold(Phase::Applying, |phase, event| phase.after(*event));
            assert_eq!(end, Ok(Phase::Closed), "{way:?}");
        }
    }

    #[test]
    fn a_late_confirmation_cannot_stop_an_undo() {
        assert!(Phase::Undoing.after(Event::Confirmed).is_err());
        assert!(Phase::Closed.after(Event::Confirmed).is_err());
    }
}
