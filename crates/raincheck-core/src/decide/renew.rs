//! Extending a lease.

use std::time::Duration;

use crate::id::LeaseId;
use crate::job::{Job, Phase};
use crate::lease::{LEASE_MAX, LEASE_MIN, Lease, Progress};
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
#[must_use]
pub fn renew(
    job: &Job,
    lease: &LeaseId,
    term: Duration,
    progress: Option<&Progress>,
    now: Timestamp,
) -> Option<Renewed> {
    let Phase::Running(held) = &job.phase else {
        return None;
    };
    if job.lease_id().as_ref() != Some(lease) {
        return None;
    }
    let term = term.clamp(LEASE_MIN, LEASE_MAX);
    let mut next = held.clone();
    next.term = term;
    next.progress = progress.cloned().or(next.progress);
    next.expires_at = now.plus(term).min(next.attempt_deadline);
    Some(Renewed {
        lease: next,
        cancel_requested: job.cancel_requested,
    })
}
