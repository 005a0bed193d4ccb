//! What follows where the host's clock was set under a store that is open.
//!
//! Invariant: what counts from something that has happened goes by the time that passes, so it moves along with the clock; a due
//! time that has not come is a time of the day and stays where it is.

use crate::batch::{Batch, Stage};
use crate::job::{Job, Phase};
use crate::lease::Lease;
use crate::time::Timestamp;

/// A clock that was set: what time it was by it, and what time that is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockSet {
    /// The time before.
    pub was: Timestamp,
    /// The same moment afterwards.
    pub now: Timestamp,
}

impl ClockSet {
    /// By how many milliseconds: forwards, or, where negative, back.
    #[must_use]
    pub const fn by_millis(self) -> i64 {
        self.now.as_millis() - self.was.as_millis()
    }

    /// The instant that is as far from now as this one was; what has no end has none.
    #[must_use]
    pub fn moved(self, at: Timestamp) -> Timestamp {
        if at == Timestamp::MAX {
            return at;
        }
        Timestamp::from_millis(at.as_millis().saturating_add(self.by_millis()))
    }
}

/// Called for every job. A lease and the wait for another attempt end when they would have ended; `start_before` counts from when
/// the job became due, though it was the clock that made it so, and `deadline` from when it was accepted; a finished job stays as
/// long. What was due stays due. `None` where nothing is to change.
#[must_use]
pub fn clock_was_set(job: &Job, set: ClockSet) -> Option<Job> {
    let mut next = job.clone();
    match &mut next.phase {
        Phase::Running(lease) => move_lease(lease, set),
        Phase::Waiting => next.run_at = due(job, set),
        Phase::Done { expires_at, .. } => *expires_at = set.moved(*expires_at),
    }
    if !job.done() {
        move_limits(job, &mut next, set);
    }
    (next != *job).then_some(next)
}

fn move_lease(lease: &mut Lease, set: ClockSet) {
    lease.started_at = set.moved(lease.started_at);
    lease.expires_at = set.moved(lease.expires_at);
    lease.attempt_deadline = set.moved(lease.attempt_deadline);
    lease.cancel_by = lease.cancel_by.map(|at| set.moved(at));
}

/// When a waiting job is due.
fn due(job: &Job, set: ClockSet) -> Timestamp {
    if job.fence.0 > 0 {
        // Who was claimed before waits for a while after that, not for an hour of the day.
        set.moved(job.run_at)
    } else if job.run_at <= set.was {
        job.run_at.min(set.now)
    } else {
        job.run_at
    }
}

fn move_limits(job: &Job, next: &mut Job, set: ClockSet) {
    if job.options.deadline.is_some() {
        next.since.accepted = Some(set.moved(job.accepted_since())).filter(|at| *at != next.created_at);
    }
    if job.options.start_before.is_some() && job.started_at.is_none() {
        let due = if job.run_at <= set.was {
            set.moved(job.due_since())
        } else {
            next.run_at.max(set.now)
        };
        next.since.due = Some(due).filter(|at| *at != next.run_at);
    }
}

/// The same for a batch: an upload that broke off may be taken up again for as long, and a batch that is done stays as long.
/// Whether it changed.
pub fn batch_clock_was_set(batch: &mut Batch, set: ClockSet) -> bool {
    match &mut batch.stage {
        Stage::Open { until } => *until = set.moved(*until),
        Stage::Sealed => return false,
        Stage::Done { expires_at, .. } => *expires_at = set.moved(*expires_at),
    }
    true
}
