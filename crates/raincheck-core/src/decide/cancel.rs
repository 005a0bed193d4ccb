//! Asking a job to stop.

use super::finish;
use crate::job::{Job, Outcome, Phase};
use crate::queue::Policy;
use crate::time::Timestamp;

/// What a cancel request does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// The job waited and is cancelled now.
    Ended(Job),
    /// The job runs; its worker is to be told and has until the lease's `cancel_by`.
    Asked(Job),
    /// Nothing to do: it is done, or was asked before.
    Already,
}

/// Cancels a waiting job, or asks the worker of a running one to stop. Asking again changes nothing: the grace
/// counts from the first request.
#[must_use]
pub fn cancel(job: &Job, policy: &Policy, now: Timestamp) -> Cancelled {
    match &job.phase {
        Phase::Done { .. } => Cancelled::Already,
        Phase::Running(_) if job.cancel_requested => Cancelled::Already,
        Phase::Running(lease) => {
            let mut lease = lease.clone();
            lease.cancel_by = Some(now.plus(policy.cancel_grace));
            let mut job = job.clone();
            job.version += 1;
            job.cancel_requested = true;
            job.phase = Phase::Running(lease);
            Cancelled::Asked(job)
        }
        Phase::Waiting => {
            let mut job = job.clone();
            job.version += 1;
            job.cancel_requested = true;
            finish(&mut job, Outcome::Cancelled, policy, now);
            Cancelled::Ended(job)
        }
    }
}
