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
}

impl Busy {
    /// A pass may take so long.
    pub(crate) fn new(patience: Duration) -> Self {
        Self {
            opened: instant(),
            since: AtomicU64::new(0),
            patience,
        }
    }

    fn now(&self) -> u64 {
        u64::try_from((instant() - self.opened).as_millis()).unwrap_or(u64::MAX)
    }

    /// A pass begins.
    pub(crate) fn begin(&self) {
        self.since.store(self.now() + 1, Ordering::Relaxed);
    }

    /// It ended.
    pub(crate) fn end(&self) {
        self.since.store(0, Ordering::Relaxed);
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
