//! Who holds a unique value, and what comes of a second job with it.
//!
//! Invariant: a job holds its value from acceptance on and never again once it has let go; so of the jobs with one
//! value in a queue at most one holds it, and the claim is a function of the jobs.

use super::cancel::{Cancelled, cancel};
use super::submit::NewJob;
use crate::id::JobId;
use crate::job::{Failure, Job, Outcome};
use crate::queue::Policy;
use crate::time::Timestamp;
use crate::unique::{Hold, OnConflict};

/// The error code of a job whose place another one took.
pub const REPLACED: &str = "replaced";

/// Whether the job holds its unique value.
#[must_use]
pub fn holds(job: &Job) -> bool {
    match job.options.unique.as_ref().map(|unique| unique.hold) {
        None => false,
        Some(Hold::Queued) => job.started_at.is_none() && !job.done(),
        Some(Hold::Active) => !job.done(),
        // A retry by hand takes the value with it.
        Some(Hold::Kept) => !replaced(job) && job.retried_as.is_none(),
    }
}

/// Whether another job took this one's place. No handler can have said so: the job was never started.
fn replaced(job: &Job) -> bool {
    job.outcome() == Some(Outcome::Cancelled)
        && job.started_at.is_none()
        && job.error.as_ref().is_some_and(|error| error.code == REPLACED)
}

/// What comes of a job whose unique value another one holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contest {
    /// It is refused.
    Refused(JobId),
    /// Nothing is made; its submitter is given the holder.
    Attached,
    /// It takes the place of the holder, which has ended like this.
    Replaced(Box<Job>),
    /// It is the holder's own retry, and takes the value over.
    TakenOver,
}

/// Judges a new job whose value `holder` holds. A retry by hand takes the value from the job that it repeats and is
/// refused by any other.
#[must_use]
pub fn contest(holder: &Job, new: &NewJob, policy: &Policy, now: Timestamp) -> Contest {
    let refused = Contest::Refused(holder.id);
    let wanted = new.options.unique.as_ref().map(|unique| unique.on_conflict);
    match (new.retry_of, wanted.unwrap_or_default()) {
        (Some(repeated), _) if repeated == holder.id => Contest::TakenOver,
        (Some(_), _) | (None, OnConflict::Reject) => refused,
        (None, OnConflict::Attach) => Contest::Attached,
        (None, OnConflict::Replace) if holder.started_at.is_some() => refused,
        (None, OnConflict::Replace) => match cancel(holder, policy, now) {
            Cancelled::Ended(mut ended) => {
                ended.error = Some(Failure::new(REPLACED, format!("{} took its place", new.id)));
                Contest::Replaced(Box::new(ended))
            }
            Cancelled::Asked(_) | Cancelled::Already => refused,
        },
    }
}
