//! The rests between attempts to find a server.

use std::time::Duration;

use uuid::Uuid;

const RESTS_S: [u64; 7] = [1, 2, 4, 8, 16, 32, 60];

/// Growing rests with jitter: half to the whole of each step; the last one is repeated.
#[derive(Debug, Default)]
pub(crate) struct Rests {
    attempt: usize,
}

impl Rests {
    pub(crate) fn next(&mut self) -> Duration {
        let longest = RESTS_S.get(self.attempt).or(RESTS_S.last()).copied().unwrap_or_default();
        self.attempt = self.attempt.saturating_add(1);
        let longest = Duration::from_secs(longest);
        let [random, ..] = Uuid::new_v4().into_bytes();
        longest / 2 + longest / 2 * u32::from(random) / 255
    }

    pub(crate) const fn reset(&mut self) {
        self.attempt = 0;
    }

    /// Tells how many rests there were since the last reset.
    pub(crate) const fn taken(&self) -> usize {
        self.attempt
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_grow_to_a_cap_and_start_over() {
        let mut rests = Rests::default();
        for longest in RESTS_S.into_iter().chain([60, 60]) {
            let (rest, longest) = (rests.next(), Duration::from_secs(longest));
            assert!(rest >= longest / 2 && rest <= longest, "{rest:?} for {longest:?}");
        }
        assert_eq!(rests.taken(), 9);
        rests.reset();
        assert!(rests.next() <= Duration::from_secs(1));
    }
}
