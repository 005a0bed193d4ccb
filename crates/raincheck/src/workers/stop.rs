//! Telling an attempt to stop: why, and how long it may take to wind down.
//!
//! Invariant: patience only gets shorter, and the first reason stays, unless the lease is over or settled: then nothing
//! that comes of the attempt counts.

use std::time::Duration;

use tokio::time::Instant;

use super::word::Word;

/// How long an attempt may wind down when its time is over. Its lease has lapsed then; for attempts of this process
/// upkeep leaves it alone for a little longer than this (`upkeep::reclaim`).
pub const TIMED_OUT_GRACE: Duration = Duration::from_millis(500);
/// How long it may wind down where the lease is over and nobody waits for it.
pub const OVER_GRACE: Duration = Duration::from_secs(1);

/// Why an attempt is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// Somebody asked for the job to be cancelled; a success still counts.
    Cancelled,
    /// The attempt's time is over.
    TimedOut,
    /// Whoever runs it leaves.
    Draining,
    /// The job was settled over its lease: whatever comes of the attempt counts for nothing.
    Settled,
    /// The lease is over: whatever comes of the attempt counts for nothing.
    LeaseOver,
}

/// Tells an attempt to wind down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// Why.
    pub reason: StopReason,
    /// When patience ends; soon after it the attempt is cut.
    pub by: Instant,
}

impl Stop {
    /// To wind down within `grace` from now.
    #[must_use]
    pub fn within(reason: StopReason, grace: Duration) -> Self {
        Self {
            reason,
            by: Instant::now() + grace,
        }
    }

    /// What holds when an attempt that is stopping is told to stop for another reason.
    pub(super) fn tightened(self, next: Self) -> Self {
        let reason = match next.reason {
            StopReason::LeaseOver | StopReason::Settled => next.reason,
            StopReason::Cancelled | StopReason::TimedOut | StopReason::Draining => self.reason,
        };
        Self {
            reason,
            by: self.by.min(next.by),
        }
    }
}

/// The line on which an attempt is told to stop: who tells and who is told hold the same. Cloning gives another handle.
#[derive(Clone, Debug)]
pub struct Stops(Word<Option<Stop>>);

impl Default for Stops {
    fn default() -> Self {
        Self(Word::new(None))
    }
}

impl Stops {
    /// Tells it to stop, or to be quicker.
    pub fn tell(&self, stop: Stop) {
        self.0.say(Some(stop));
    }

    /// Waits until the attempt is to stop.
    ///
    /// # Cancel safety
    /// Safe: what was told stays.
    pub async fn told(&self) -> Stop {
        match self.0.until(|stop| stop.is_some()).await {
            Some(stop) => stop,
            None => std::future::pending().await,
        }
    }

    /// What was told so far.
    pub(crate) fn now(&self) -> Option<Stop> {
        self.0.now()
    }

    /// Waits until patience has ended. Meanwhile it may become shorter.
    pub(crate) async fn out_of_patience(&self) {
        let mut stop = self.told().await;
        loop {
            tokio::select! {
                biased;
                tighter = self.0.until(|told| told != Some(stop)) => stop = tighter.unwrap_or(stop),
                () = tokio::time::sleep_until(stop.by) => return,
            }
        }
    }
}
