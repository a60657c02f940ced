//! The host as a planner and an executor need it.

use std::future::Future;

use trestle_model::HostState;

use crate::Step;

/// A host that can be read and changed: the real one (kernel and libvirt), or a fake.
///
/// Implementations never decide: they read one snapshot, or perform steps as given.
pub trait Host: Send + Sync + 'static {
    /// What performs steps of one plan, one after another.
    type Performer<'a>: Performer
    where
        Self: 'a;

    /// Reads one consistent snapshot.
    ///
    /// *Errors*: [`ObserveError`]; nothing was changed. *Cancel safety*: safe, reading has no effect.
    fn observe(&self) -> impl Future<Output = Result<HostState, ObserveError>> + Send;

    /// Begins to perform the steps of one plan.
    fn performer(&self) -> Self::Performer<'_>;

    /// Performs `steps` in order and stops at the first that fails.
    ///
    /// *Errors*: [`StepFailure`], with the position of the step; those before it are done, those after it are not.
    /// *Cancel safety*: none; the caller runs it in a task that finishes or undoes.
    fn perform(&self, steps: &[Step]) -> impl Future<Output = Result<(), StepFailure>> + Send {
        async {
            let mut performer = self.performer();
            for (position, step) in steps.iter().enumerate() {
                performer.perform(step).await.map_err(|failure| StepFailure { position, ..failure })?;
            }
            Ok(())
        }
    }
}

/// Performs steps one after another, and keeps in between what it has learned of the host.
///
/// What it keeps can never make a step fail that would succeed without it.
pub trait Performer: Send {
    /// Performs one step.
    ///
    /// Every step is idempotent: performing one whose effect is there already succeeds and changes nothing.
    ///
    /// *Errors*: [`StepFailure`], at position 0. *Cancel safety*: none; the caller runs it in a task that finishes or
    /// undoes.
    fn perform(&mut self, step: &Step) -> impl Future<Output = Result<(), StepFailure>> + Send;
}

/// Says why a host could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ObserveError {
    /// The kernel did not answer, or its answer made no sense.
    #[error("kernel state unreadable: {0}")]
    Kernel(String),
    /// libvirt did not answer, or its answer made no sense.
    #[error("libvirt state unreadable: {0}")]
    Libvirt(String),
    /// The resolver's file could not be read.
    #[error("resolver configuration unreadable: {0}")]
    Resolver(String),
}

/// Says which step failed and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("step {} failed: {reason}", position + 1)]
pub struct StepFailure {
    /// Position in the steps given, from 0.
    pub position: usize,
    /// What kernel or libvirt said.
    pub reason: String,
    /// Whether the same step may succeed when it is tried again (busy, interrupted, connection lost).
    pub transient: bool,
}
