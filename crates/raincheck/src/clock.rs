//! The host's clock, read in this one place.
//!
//! Invariant: the time told never runs backwards. The wall is read once, at the start; from then on only the
//! monotonic clock moves it, so that a host whose time is set while it runs neither ends leases nor brings old
//! ones back.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use raincheck_core::clock::Clock;
use raincheck_core::time::Timestamp;

/// The wall time at its making, and the monotonic time since then.
#[derive(Debug)]
pub struct SystemClock {
    origin: Timestamp,
    started: Instant,
}

impl SystemClock {
    /// Reads the wall once.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the injected clock's own reading of the host"
    )]
    pub fn new() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            origin: Timestamp::from_millis(0).plus(wall),
            started: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        self.origin.plus(self.started.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_tells_this_century_and_never_goes_back() {
        let clock = SystemClock::new();
        let mut last = clock.now();
        assert!(last > Timestamp::from_millis(1_700_000_000_000), "{last}");
        for _ in 0..1000 {
            let now = clock.now();
            assert!(now >= last);
            last = now;
        }
    }
}
