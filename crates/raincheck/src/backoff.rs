//! How long to leave alone what just failed: a store, a server, a program.
//!
//! Invariant: never zero and never above the cap, so that what fails is neither hammered nor forgotten.

use std::time::Duration;

use raincheck_core::retry::mix;

use crate::random::Randomness;

/// The ceiling of the first pause.
const BASE: Duration = Duration::from_millis(50);
/// The ceiling of every pause.
const CAP: Duration = Duration::from_secs(5);

/// Pauses that grow with each failure in a row, with jitter so that those who failed together do not return together.
#[derive(Debug)]
pub struct Backoff {
    failures: u32,
    random: Randomness,
}

impl Backoff {
    /// No failure yet; `random` brings the jitter.
    #[must_use]
    pub const fn new(random: Randomness) -> Self {
        Self { failures: 0, random }
    }

    /// The next pause.
    #[expect(
        clippy::should_implement_trait,
        reason = "it is a state, not a sequence to go through"
    )]
    pub fn next(&mut self) -> Duration {
        self.failures = (self.failures + 1).min(16);
        pause(self.failures, self.random.bits())
    }

    /// It worked again.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }
}

/// Between half and the whole of a ceiling that doubles with each failure.
fn pause(failures: u32, seed: u64) -> Duration {
    let ceiling = BASE
        .saturating_mul(1 << failures.saturating_sub(1).min(16))
        .min(CAP);
    let half = ceiling / 2;
    let millis = u64::try_from(half.as_millis()).unwrap_or(u64::MAX);
    half + Duration::from_millis(mix(seed) % (millis + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_the_cap_and_are_never_zero() {
        for seed in 0..100 {
            assert!(pause(1, seed) >= Duration::from_millis(25) && pause(1, seed) <= BASE);
            assert!(pause(u32::MAX, seed) >= CAP / 2 && pause(u32::MAX, seed) <= CAP);
        }
        let mut backoff = Backoff::new(Randomness::default());
        let grown = (0..10).map(|_| backoff.next()).last();
        assert!(grown > Some(BASE));
        backoff.reset();
        assert!(backoff.next() <= BASE);
    }
}
