//! Handing a waiting job to a worker: which, and how many the limits let start.
//!
//! Invariant: limits are asked and charged here only, once for each job that starts.

use std::time::Duration;

use crate::id::{Fence, Nonce};
use crate::job::{Job, Phase};
use crate::lease::{LEASE_MAX, LEASE_MIN, Lease, WorkerKind};
use crate::limit::{Held, HeldBy, Limits, RateState, Used, grant_concurrency, grant_rate};
use crate::name::WorkerName;
use crate::queue::Policy;
use crate::time::Timestamp;

/// Who claims, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimer {
    /// The worker's name.
    pub worker: WorkerName,
    /// How it runs attempts.
    pub kind: WorkerKind,
    /// The term of the lease; cut to 1 s to 12 h.
    pub term: Duration,
    /// What the worker calls this claim.
    pub claim_id: Option<String>,
}

/// Whether the job may be claimed now: it waits, its `run_at` has come, and it is not overdue, for then it is to be
/// ended by [`expire`](super::expire()).
#[must_use]
pub fn claimable(job: &Job, now: Timestamp) -> bool {
    matches!(job.phase, Phase::Waiting)
        && job.run_at <= now
        && job.overdue_at().is_none_or(|overdue| overdue > now)
}

/// How many may start, and what holds the others back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// How many of those that are wanted may start now.
    pub count: u32,
    /// Why not all.
    pub held: Option<Held>,
}

/// How many of `wanted` jobs these limits let start now.
#[must_use]
pub fn room(limits: &Limits, used: Used, wanted: u32, now: Timestamp) -> Room {
    let places = grant_concurrency(limits.concurrency, used.running, wanted).count;
    let mut room = Room {
        count: places,
        held: (places < wanted).then_some(Held {
            by: HeldBy::Concurrency,
            until: None,
        }),
    };
    // Where no place is free, the time of the next token tells nobody when to come again.
    if let Some((rate, burst)) = limits.rate.filter(|_| places > 0) {
        let (grant, _) = grant_rate(used.rate, rate, burst, places, now);
        if grant.count < places {
            room = Room {
                count: grant.count,
                held: Some(Held {
                    by: HeldBy::Rate,
                    until: grant.retry_at,
                }),
            };
        }
    }
    room
}

/// Where the rate stands once so many have started; `None` where there is no rate, so that nothing is to be kept.
#[must_use]
pub fn charge(limits: &Limits, used: Used, started: u32, now: Timestamp) -> Option<RateState> {
    let (rate, burst) = limits.rate.filter(|_| started > 0)?;
    Some(grant_rate(used.rate, rate, burst, started, now).1)
}

/// Leases a [`claimable`] job. The attempt is counted here, before the work begins, so that a job which kills its
/// worker runs out of attempts. `None` where it may not be claimed now.
#[must_use]
pub fn claim(job: &Job, claimer: &Claimer, nonce: Nonce, policy: &Policy, now: Timestamp) -> Option<Job> {
    if !claimable(job, now) {
        return None;
    }
    let term = claimer.term.clamp(LEASE_MIN, LEASE_MAX);
    let timeout = now.plus(policy.timeout);
    let attempt_deadline = job
        .deadline_at()
        .map_or(timeout, |deadline| deadline.min(timeout));
    let mut job = job.clone();
    job.attempt += 1;
    job.fence = Fence(job.fence.0 + 1);
    job.version += 1;
    job.started_at.get_or_insert(now);
    job.settled = None;
    job.phase = Phase::Running(Lease {
        nonce,
        worker: claimer.worker.clone(),
        kind: claimer.kind,
        started_at: now,
        term,
        expires_at: now.plus(term).min(attempt_deadline),
        attempt_deadline,
        cancel_by: None,
        progress: None,
        claim_id: claimer.claim_id.clone(),
    });
    Some(job)
}
