//! Submitting a finished job again, by hand.

use super::submit::NewJob;
use crate::id::JobId;
use crate::job::Job;

/// Why a job cannot be retried or deleted: it is not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the job is not done")]
pub struct NotDone;

/// The new job that repeats a finished one: same queue, group, priority and options, due at once, of no batch; and the finished
/// one, which gains `retried_as`. The caller shows the new job instead where an earlier retry is unfinished.
///
/// # Errors
/// When the job is not finished.
pub fn retry(job: &Job, id: JobId) -> Result<(NewJob, Job), NotDone> {
    if !job.done() {
        return Err(NotDone);
    }
    let new = NewJob {
        id,
        namespace: job.namespace.clone(),
        queue: job.queue.clone(),
        group: job.group.clone(),
        priority: job.priority,
        run_at: None,
        delay: None,
        options: job.options.clone(),
        retry_of: Some(job.id),
        member: None,
    };
    let mut job = job.clone();
    job.version += 1;
    job.retried_as = Some(id);
    Ok((new, job))
}
