//! Random numbers that a printed seed brings back.
//!
//! Invariant: the stream is a function of the seed alone.

use std::time::Duration;

use raincheck_core::retry::mix;

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    /// A stream of its own for somebody.
    pub(crate) fn fork(&mut self) -> Self {
        Self::new(self.next())
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// From 0 to below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// From `low` to `high`, both among them.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True in so many of a hundred cases.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// A time from `low` to `high` milliseconds.
    pub(crate) fn ms(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.between(low, high))
    }

    /// One of these.
    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let place = usize::try_from(self.below(from.len() as u64)).expect("a place in a slice");
        &from[place]
    }

    /// The secret part of a lease.
    pub(crate) fn nonce(&mut self) -> raincheck_core::id::Nonce {
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&self.next().to_be_bytes());
        raincheck_core::id::Nonce(nonce)
    }
}
