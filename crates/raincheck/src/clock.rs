//! The host's clock, read in this one place.
//!
//! Invariant: only the monotonic clock moves the time told. The wall is looked at once a second beside it: where somebody has
//! set it, the store is told by how much ([`Clock::set_by`]), moves what goes by the time that passes, and only then the
//! time told follows. So due times follow the wall, and a host whose time is set neither ends leases nor brings old ones back.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use raincheck_core::clock::Clock;
use raincheck_core::time::Timestamp;

/// How often the wall is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A wall that is off by less was not set: it only runs a little otherwise than the monotonic clock.
const OFF_MIN: Duration = Duration::from_secs(1);

/// The wall time at its making, and the monotonic time since then.
#[derive(Debug)]
pub struct SystemClock {
    /// Milliseconds since 1970 when `started` was.
    origin: AtomicI64,
    started: Instant,
    /// When the wall was looked at last, in milliseconds after `started`.
    looked: AtomicI64,
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the injected clock's own reading of the host"
)]
fn wall() -> i64 {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    millis(wall)
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

impl SystemClock {
    /// Reads the wall.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the injected clock's own reading of the host"
    )]
    pub fn new() -> Self {
        Self {
            origin: AtomicI64::new(wall()),
            started: Instant::now(),
            looked: AtomicI64::new(0),
        }
    }

    /// Where the time told would be, were it the wall's.
    fn off(&self, wall: i64) -> Option<i64> {
        let off = wall.saturating_sub(self.now().as_millis());
        (off.saturating_abs() >= millis(OFF_MIN)).then_some(off)
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let origin = Timestamp::from_millis(self.origin.load(Ordering::Relaxed));
        origin.plus(self.started.elapsed())
    }

    fn set_by(&self) -> Option<i64> {
        let elapsed = millis(self.started.elapsed());
        let looked = self.looked.load(Ordering::Relaxed);
        if elapsed - looked < millis(LOOK_EVERY) {
            return None;
        }
        self.looked.store(elapsed, Ordering::Relaxed);
        self.off(wall())
    }

    fn follow(&self, by_millis: i64) {
        self.origin.fetch_add(by_millis, Ordering::Relaxed);
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

    #[test]
    fn a_wall_that_was_set_is_told_by_how_much_and_followed() {
        let clock = SystemClock::new();
        let now = clock.now().as_millis();
        assert_eq!(clock.off(now + 900), None);
        let off = clock.off(now - 7_200_000).unwrap();
        assert!((-7_200_000 - 60_000..=-7_200_000).contains(&off), "{off}");
        clock.follow(-7_200_000);
        assert!(clock.now().as_millis() < now - 7_000_000);
    }
}
