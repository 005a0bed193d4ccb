//! Ending what waited too long, and telling when what is finished may go.

use super::finish;
use crate::job::{Failure, Job, Outcome, Phase};
use crate::queue::Policy;
use crate::time::Timestamp;

/// Ends a waiting job that is overdue: `expired` where it was never started, else `failed` with `timed-out`, for then
/// its deadline came between two attempts. `None` where it is not overdue or does not wait.
#[must_use]
pub fn expire(job: &Job, policy: &Policy, now: Timestamp) -> Option<Job> {
    if !matches!(job.phase, Phase::Waiting) || job.overdue_at().is_none_or(|overdue| overdue > now) {
        return None;
    }
    let mut job = job.clone();
    job.version += 1;
    if job.started_at.is_some() {
        let came = "the deadline came before the job was done";
        let detail = match &job.error {
            Some(last) => format!("{came}; the last attempt: {}", last.detail),
            None => came.to_owned(),
        };
        job.error = Some(Failure::new("timed-out", detail));
        finish(&mut job, Outcome::Failed, policy, now);
    } else {
        finish(&mut job, Outcome::Expired, policy, now);
    }
    Some(job)
}

/// From when a finished job may be pruned.
#[must_use]
pub const fn expires_at(job: &Job) -> Option<Timestamp> {
    match &job.phase {
        Phase::Done { expires_at, .. } => Some(*expires_at),
        Phase::Waiting | Phase::Running(_) => None,
    }
}
