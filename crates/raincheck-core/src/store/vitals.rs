//! What a store tells of its own health: numbers for those who watch it.
//!
//! Invariant: counting takes no lock, but for what hardly ever happens, and never fails; nothing decides by these numbers.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::id::JobId;

/// How many of something were so large: counts below rising bounds.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    /// One more than bounds: the last is for what lies above all of them.
    counts: Box<[AtomicU64]>,
    /// In millionths.
    sum: AtomicU64,
}

/// A [`Histogram`] as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Spread {
    /// Each upper bound, and how many lie between the bound before and it. The last bound is [`f64::INFINITY`].
    pub buckets: Vec<(f64, u64)>,
    /// All of them together.
    pub sum: f64,
    /// How many they are.
    pub count: u64,
}

impl Histogram {
    /// Empty; the bounds rise.
    #[must_use]
    pub fn new(bounds: &'static [f64]) -> Self {
        Self {
            bounds,
            counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
        }
    }

    /// Counts one; less than nought counts as nought.
    pub fn observe(&self, value: f64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "`as` saturates"
        )]
        self.sum.fetch_add((value * 1e6) as u64, Ordering::Relaxed);
    }

    /// As it is now; what is counted meanwhile may be in it or not.
    #[must_use]
    pub fn read(&self) -> Spread {
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<_> = bounds.zip(counts).collect();
        #[expect(clippy::cast_precision_loss, reason = "a sum for people")]
        let sum = self.sum.load(Ordering::Relaxed) as f64 / 1e6;
        let count = buckets.iter().map(|(_, count)| count).sum();
        Spread { buckets, sum, count }
    }
}

/// What can go wrong in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// An operation could not be applied; it changed nothing.
    Apply,
    /// There was no space for it.
    Full,
    /// A commit failed: the store takes nothing any more.
    Commit,
    /// A job's row was not as it was written: it was set aside.
    Damaged,
}

impl Trouble {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Apply, "apply"),
        (Self::Full, "full"),
        (Self::Commit, "commit"),
        (Self::Damaged, "damaged"),
    ];
}

/// Bounds of commits' times, in seconds: a fast disk's to a stalled one's.
const COMMIT_SECONDS: &[f64] = &[
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];
/// Bounds of transitions in one commit.
const COMMIT_JOBS: &[f64] = &[
    0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0,
];

/// A store's numbers since it was opened.
#[derive(Debug)]
pub struct Vitals {
    /// How long commits took, in seconds, sync included.
    pub commit_seconds: Histogram,
    /// How many transitions of jobs were in one commit.
    pub commit_jobs: Histogram,
    troubles: [AtomicU64; Trouble::ALL.len()],
    damaged: Mutex<BTreeSet<JobId>>,
    kind: &'static str,
    size: Box<dyn Measure>,
}

/// Measures what a store takes on disk, in bytes; `None` where that cannot be told.
pub trait Measure: Debug + Send + Sync {
    /// As it is now.
    fn size_bytes(&self) -> Option<u64>;
}

impl Vitals {
    /// Nothing has happened yet to a store of this kind: `sqlite`.
    #[must_use]
    pub fn new(kind: &'static str, size: Box<dyn Measure>) -> Self {
        Self {
            kind,
            commit_seconds: Histogram::new(COMMIT_SECONDS),
            commit_jobs: Histogram::new(COMMIT_JOBS),
            troubles: Default::default(),
            damaged: Mutex::default(),
            size,
        }
    }

    /// What kind of store it is.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        self.kind
    }

    /// Counts something that went wrong.
    pub fn count(&self, trouble: Trouble) {
        self.troubles[trouble as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts and remembers a job that was set aside because its row is not as it was written.
    pub fn set_aside(&self, id: JobId) {
        self.count(Trouble::Damaged);
        self.damaged
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id);
    }

    /// The jobs that are set aside, oldest first: at most `limit` of them, and how many there are in all.
    #[must_use]
    pub fn damaged(&self, limit: usize) -> (Vec<JobId>, usize) {
        let damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
        (damaged.iter().take(limit).copied().collect(), damaged.len())
    }

    /// How often each thing went wrong, by its name.
    pub fn errors(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.troubles.iter().map(|count| count.load(Ordering::Relaxed));
        Trouble::ALL.iter().map(|(_, name)| *name).zip(counts)
    }

    /// What the store takes on disk, in bytes; `None` where that cannot be told.
    #[must_use]
    pub fn size_bytes(&self) -> Option<u64> {
        self.size.size_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_counted_below_the_first_bound_that_is_not_less() {
        let histogram = Histogram::new(&[1.0, 2.0]);
        for value in [-1.0, 0.5, 1.0, 1.5, 2.0, 2.5, 1e9] {
            histogram.observe(value);
        }
        let spread = histogram.read();
        assert_eq!(spread.buckets, [(1.0, 3), (2.0, 2), (f64::INFINITY, 2)]);
        assert_eq!(spread.count, 7);
        assert!((spread.sum - 1_000_000_007.5).abs() < 1e-3, "{}", spread.sum);
    }

    #[derive(Debug)]
    struct Nowhere;

    impl Measure for Nowhere {
        fn size_bytes(&self) -> Option<u64> {
            None
        }
    }

    #[test]
    fn troubles_are_counted_by_name() {
        let vitals = Vitals::new("nowhere", Box::new(Nowhere));
        for (trouble, _) in Trouble::ALL {
            vitals.count(trouble);
        }
        vitals.count(Trouble::Full);
        assert_eq!(
            vitals.errors().collect::<Vec<_>>(),
            [("apply", 1), ("full", 2), ("commit", 1), ("damaged", 1)]
        );
    }
}
