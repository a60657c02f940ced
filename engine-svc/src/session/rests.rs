//! How long what failed rests until it is tried again.

use std::time::Duration;

/// The rest after the first failure, doubled after each further one up to the longest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rests {
    pub(super) first: Duration,
    pub(super) longest: Duration,
}

impl Rests {
    /// Returns the rest after a failure before which the same had failed `earlier` times in a row.
    pub(super) fn after(self, earlier: u32) -> Duration {
        self.first.saturating_mul(1 << earlier.min(16)).min(self.longest)
    }
}
