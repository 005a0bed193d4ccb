//! How long the writer has been at one pass: on a disk that stalls, new work is refused before it fills the memory.
//!
//! Invariant: it costs those who ask nothing while the writer waits for work, and one look at a clock while it does not.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// See the module.
#[derive(Debug)]
pub(crate) struct Busy {
    opened: Instant,
    /// Milliseconds from then to the beginning of the pass under way, plus one; 0 where there is none.
    since: AtomicU64,
    patience: Duration,
    /// So much was refused during the pass under way.
    refused: AtomicU64,
}

impl Busy {
    /// A pass may take so long.
    pub(crate) fn new(patience: Duration) -> Self {
        Self {
            opened: instant(),
            since: AtomicU64::new(0),
            patience,
            refused: AtomicU64::new(0),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from((instant() - self.opened).as_millis()).unwrap_or(u64::MAX)
    }

    /// A pass begins.
    pub(crate) fn begin(&self) {
        self.since.store(self.now() + 1, Ordering::Relaxed);
    }

    /// It ended; gives back how much was refused meanwhile.
    pub(crate) fn end(&self) -> u64 {
        self.since.store(0, Ordering::Relaxed);
        match self.refused.load(Ordering::Relaxed) {
            0 => 0,
            _ => self.refused.swap(0, Ordering::Relaxed),
        }
    }

    /// Something is refused because of it; whether it is the first.
    pub(crate) fn refuse(&self) -> bool {
        self.refused.fetch_add(1, Ordering::Relaxed) == 0
    }

    /// Whether the pass under way takes longer than one may.
    pub(crate) fn stalled(&self) -> bool {
        let since = self.since.load(Ordering::Relaxed);
        since != 0 && Duration::from_millis((self.now() + 1).saturating_sub(since)) > self.patience
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long a disk takes is no store's time; nothing that is kept depends on it"
)]
fn instant() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_begins_and_ends_once_however_much_is_refused() {
        let busy = Busy::new(Duration::ZERO);
        assert_eq!(busy.end(), 0, "nothing was refused");
        busy.begin();
        let first: Vec<bool> = (0..3).map(|_| busy.refuse()).collect();
        assert_eq!(first, [true, false, false]);
        assert_eq!(busy.end(), 3);
        assert_eq!(busy.end(), 0);
        assert!(busy.refuse(), "the next is another");
    }
}
