//! The rests between attempts to reach the engine.

use std::time::Duration;

use uuid::Uuid;

/// The longest rest before each attempt; the last one is repeated.
const RESTS_MS: [u64; 8] = [0, 100, 250, 1000, 2000, 4000, 8000, 15_000];

/// Growing rests with jitter, the first of none: half to the whole of each step.
#[derive(Debug)]
pub(super) struct Backoff {
    attempt: usize,
}

impl Backoff {
    pub(super) const fn new() -> Self {
        Self { attempt: 0 }
    }

    /// Starts over: the next rest is short, but not none.
    pub(super) const fn reset(&mut self) {
        self.attempt = 1;
    }

    /// Goes on with the longest rest.
    pub(super) const fn exhaust(&mut self) {
        self.attempt = RESTS_MS.len();
    }

    pub(super) fn next(&mut self) -> Duration {
        let longest = RESTS_MS.get(self.attempt).or(RESTS_MS.last()).copied().unwrap_or_default();
        self.attempt = self.attempt.saturating_add(1);
        jittered(Duration::from_millis(longest))
    }
}

/// Returns a random length between half of `longest` and all of it.
pub(super) fn jittered(longest: Duration) -> Duration {
    let [random, ..] = Uuid::new_v4().into_bytes();
    longest / 2 + longest / 2 * u32::from(random) / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_grow_to_a_cap_and_start_over() {
        let mut backoff = Backoff::new();
        assert_eq!(backoff.next(), Duration::ZERO);
        for longest in RESTS_MS.into_iter().skip(1).chain([15_000, 15_000]) {
            let rest = backoff.next();
            let longest = Duration::from_millis(longest);
            assert!(rest >= longest / 2 && rest <= longest, "{rest:?} for {longest:?}");
        }
        backoff.reset();
        assert!(backoff.next() <= Duration::from_millis(100));
        backoff.exhaust();
        assert!(backoff.next() >= Duration::from_millis(7500));
    }
}
