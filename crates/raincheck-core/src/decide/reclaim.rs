//! Ending leases that their holders will not end: lapsed ones, and those of a process that is gone.

use std::time::Duration;

use super::{after_failure, end_attempt};
use crate::job::{AttemptOutcome, Failure, Job, Phase};
use crate::lease::WorkerKind;
use crate::queue::Policy;
use crate::time::Timestamp;

/// Ends a lapsed lease: the attempt was charged, the job is tried again after a backoff, or ends. `None` where the job
/// does not run or its lease has not lapsed.
#[must_use]
pub fn reclaim(job: &Job, policy: &Policy, seed: u64, now: Timestamp) -> Option<Job> {
    let lease = job.lease().filter(|lease| lease.ends_at() <= now)?;
    let (outcome, failure) = if lease.attempt_deadline <= now {
        (
            AttemptOutcome::TimedOut,
            Failure::new("timed-out", "the attempt did not end within its time"),
        )
    } else {
        (
            AttemptOutcome::LeaseLost,
            Failure::new("lease-lost", "the worker stopped renewing its lease"),
        )
    };
    Some(end(job, outcome, failure, policy, seed, now))
}

/// Called for every running job when an embedded store opens: attempts that the former process itself ran are over,
/// counted; pull leases live on with their full term, those of endpoints that settle later to the attempt's deadline.
/// The last attempt of a fetch is not counted, for the server's end says nothing of the URL and asking again changes nothing there;
/// two in a row are, so that what ends the server does not do so for ever. `None` where nothing is to change.
#[must_use]
pub fn interrupt_on_open(job: &Job, policy: &Policy, seed: u64, now: Timestamp) -> Option<Job> {
    let lease = job.lease()?;
    if lease.kind.dies_with_server() {
        let failure = Failure::new("lease-lost", "the server stopped while the attempt ran");
        let spared = asked_once_more(job, lease.kind, policy);
        let policy = Policy {
            max_attempts: policy.max_attempts + u32::from(spared),
            ..*policy
        };
        let mut next = end(job, AttemptOutcome::LeaseLost, failure, &policy, seed, now);
        if spared && matches!(next.phase, Phase::Waiting) {
            next.attempt -= 1;
        }
        return Some(next);
    }
    let mut lease = lease.clone();
    lease.expires_at = match lease.kind {
        WorkerKind::Deferred => lease.attempt_deadline,
        WorkerKind::Push
        | WorkerKind::Process
        | WorkerKind::Function
        | WorkerKind::Fetch
        | WorkerKind::Pull => now.plus(lease.term).min(lease.attempt_deadline),
    };
    let mut job = job.clone();
    job.phase = Phase::Running(lease);
    Some(job)
}

/// Whether an attempt that ended with the server is not counted.
fn asked_once_more(job: &Job, kind: WorkerKind, policy: &Policy) -> bool {
    let before = job.attempts.last().map(|attempt| attempt.outcome);
    kind == WorkerKind::Fetch
        && job.attempt == policy.max_attempts
        && before != Some(AttemptOutcome::LeaseLost)
}

fn end(
    job: &Job,
    outcome: AttemptOutcome,
    failure: Failure,
    policy: &Policy,
    seed: u64,
    now: Timestamp,
) -> Job {
    let mut next = job.clone();
    next.version += 1;
    if let Phase::Running(lease) = &job.phase {
        let outcome = if job.cancel_requested {
            AttemptOutcome::Cancelled
        } else {
            outcome
        };
        end_attempt(&mut next, lease, outcome, Some(failure.clone()), now);
    }
    after_failure(&mut next, failure, Some(Duration::ZERO), None, policy, seed, now);
    next
}
