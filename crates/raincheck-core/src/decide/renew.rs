//! Extending a lease.

use std::time::Duration;

use crate::id::LeaseId;
use crate::job::{Job, Phase};
use crate::lease::{LEASE_MAX, LEASE_MIN, Lease, Progress, WorkerKind};
use crate::time::Timestamp;

/// A lease after its renewal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// The lease with its new end.
    pub lease: Lease,
    /// Whether the worker is to stop.
    pub cancel_requested: bool,
}

/// Extends the lease to `term` from now, never past the attempt's deadline nor the grace after a cancel request. A
/// lapsed lease that nobody reclaimed is extended as well. `None` where the lease is over.
///
/// A lease that the server itself renews is never shortened, for its endpoint may renew it too. With `defer` the lease
/// is its endpoint's alone from now on: it outlives the server and runs to the attempt's deadline, whatever term later
/// renewals ask for. A pull worker's lease is its own already, so there `defer` changes nothing.
#[must_use]
pub fn renew(
    job: &Job,
    lease: &LeaseId,
    term: Duration,
    progress: Option<&Progress>,
    defer: bool,
    now: Timestamp,
) -> Option<Renewed> {
    let Phase::Running(held) = &job.phase else {
        return None;
    };
    if job.lease_id().as_ref() != Some(lease) {
        return None;
    }
    let mut next = held.clone();
    next.progress = progress.cloned().or(next.progress);
    let deadline = next.attempt_deadline;
    let term = term.clamp(LEASE_MIN, LEASE_MAX);
    let end = now.plus(term).min(deadline);
    match held.kind {
        WorkerKind::Deferred => next.expires_at = deadline,
        WorkerKind::Push | WorkerKind::Process | WorkerKind::Function if defer => {
            next.kind = WorkerKind::Deferred;
            next.term = deadline.since(now);
            next.expires_at = deadline;
        }
        WorkerKind::Push | WorkerKind::Process | WorkerKind::Function | WorkerKind::Fetch => {
            next.term = term;
            next.expires_at = end.max(held.expires_at);
        }
        WorkerKind::Pull => {
            next.term = term;
            next.expires_at = end;
        }
    }
    Some(Renewed {
        lease: next,
        cancel_requested: job.cancel_requested,
    })
}
