//! Where a store gets the time from, and the clock that tests turn by hand.
//!
//! Invariant: a [`Clock`] never runs backwards by itself: only where the host's time was set, and then when the store says so,
//! which has moved what goes by the time that passes. A store stamps each operation once with it.

use std::fmt::Debug;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::time::Timestamp;

/// Tells the time.
pub trait Clock: Debug + Send + Sync + 'static {
    /// The present instant.
    fn now(&self) -> Timestamp;

    /// By how many milliseconds the host's time has been set since this clock followed it last: forwards, or, where negative,
    /// back. Cheap enough to be asked often; it may look only now and then.
    fn set_by(&self) -> Option<i64> {
        None
    }

    /// Follows the host's time, by what [`set_by`](Self::set_by) gave.
    fn follow(&self, _by_millis: i64) {}
}

/// A clock that stands still until it is advanced.
#[derive(Debug)]
pub struct ManualClock {
    now: AtomicI64,
    set_by: AtomicI64,
}

impl ManualClock {
    /// A clock that stands at `start`.
    #[must_use]
    pub const fn new(start: Timestamp) -> Self {
        Self {
            now: AtomicI64::new(start.as_millis()),
            set_by: AtomicI64::new(0),
        }
    }

    /// Sets the host's time, forwards or back, which the clock follows when it is told to.
    pub fn set(&self, by_millis: i64) {
        self.set_by.fetch_add(by_millis, Ordering::SeqCst);
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let millis = i64::try_from(by.as_millis()).unwrap_or(i64::MAX / 2);
        self.now.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Default for ManualClock {
    /// Stands at the start of 2026, so that written instants look like instants.
    fn default() -> Self {
        Self::new(Timestamp::from_millis(1_767_225_600_000))
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now.load(Ordering::SeqCst))
    }

    fn set_by(&self) -> Option<i64> {
        Some(self.set_by.load(Ordering::SeqCst)).filter(|by| *by != 0)
    }

    fn follow(&self, by_millis: i64) {
        self.set_by.fetch_sub(by_millis, Ordering::SeqCst);
        self.now.fetch_add(by_millis, Ordering::SeqCst);
    }
}
