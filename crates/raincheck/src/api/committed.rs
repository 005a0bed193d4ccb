//! The type-state behind "a 202 is sent only after the job is on stable storage".
//!
//! Invariant: a [`Committed`] exists only where the store has said so, and the answers that promise a stored job take
//! one. A submission is handed to the store before anything is awaited, so a client that goes away takes back only
//! its wait.

use std::future::Future;
use std::sync::Arc;

use raincheck_core::id::JobId;
use raincheck_core::job::Job;
use raincheck_core::name::{Namespace, QueueName};
use raincheck_core::store::{
    Idempotency, Missing, Retry, Store, StoreError, Submission, SubmitRefused, Submitted,
};

use crate::intake::{Intake, IntakeRefused};

use super::answer::{draining, missing, submit_refused};
use super::code::Code;
use super::problem::Problem;
use crate::bound::in_time;

/// Something that is on stable storage.
#[derive(Debug)]
pub(crate) struct Committed<T>(T);

impl Committed<JobId> {
    /// The id of a job that was read from the store.
    pub(crate) fn read(job: &Job) -> Self {
        Self(job.id)
    }
}

impl<T> Committed<T> {
    pub(crate) fn get(&self) -> &T {
        &self.0
    }
}

/// What became of a submission that was not refused.
#[derive(Debug)]
pub(crate) enum Accepted {
    /// It made a new job.
    New(Committed<JobId>),
    /// It repeats one that made this job, as it is now.
    Replayed(Committed<Arc<Job>>),
    /// It attached itself to this job, as it is now, which holds its unique value.
    Attached(Committed<Arc<Job>>),
}

/// Hands a submission to the store; the future only waits for its word.
pub(crate) fn submit<'a>(
    store: &'a dyn Store,
    intake: &Intake,
    namespace: &'a Namespace,
    submission: Submission,
) -> impl Future<Output = Result<Accepted, Problem>> + Send + use<'a> {
    let id = submission.job.id;
    let queue = submission.job.queue.clone();
    let key = submission.idempotency.clone();
    let handed_over = intake.submit(namespace, submission);
    async move {
        match handed_over.await {
            Ok(Ok(submitted)) => accepted(submitted, id),
            Ok(Err(IntakeRefused::Draining)) => Err(draining()),
            Ok(Err(IntakeRefused::Refused(why))) => Err(submit_refused(why, queue.as_str())),
            Err(StoreError::DiskFull) => replay(store, namespace, &queue, key, id).await,
            Err(error) => Err(error.into()),
        }
    }
}

/// Hands many submissions to the store as one batch; the future only waits for its word on each.
pub(crate) fn submit_many<'a>(
    store: &'a dyn Store,
    intake: &Intake,
    namespace: &'a Namespace,
    batch: Vec<Submission>,
) -> impl Future<Output = Vec<Result<Accepted, Problem>>> + Send + use<'a> {
    let heads: Vec<_> = batch
        .iter()
        .map(|one| (one.job.id, one.job.queue.clone(), one.idempotency.clone()))
        .collect();
    let handed_over = intake.submit_many(namespace, batch);
    async move {
        let heads = heads.into_iter();
        match handed_over.await {
            Ok(answers) => heads
                .zip(answers)
                .map(|((id, queue, _), answer)| match answer {
                    Ok(submitted) => accepted(submitted, id),
                    Err(IntakeRefused::Draining) => Err(draining()),
                    Err(IntakeRefused::Refused(why)) => Err(submit_refused(why, queue.as_str())),
                })
                .collect(),
            Err(error) => {
                let mut fates = Vec::with_capacity(heads.len());
                for (id, queue, key) in heads {
                    fates.push(if error == StoreError::DiskFull {
                        replay(store, namespace, &queue, key, id).await
                    } else {
                        Err(error.clone().into())
                    });
                }
                fates
            }
        }
    }
}

fn accepted(submitted: Submitted, id: JobId) -> Result<Accepted, Problem> {
    match submitted {
        Submitted::Created => Ok(Accepted::New(Committed(id))),
        Submitted::Replayed(Ok(job), _) => Ok(Accepted::Replayed(Committed(job))),
        Submitted::Attached(job) => Ok(Accepted::Attached(Committed(job))),
        Submitted::Replayed(Err(why), id) => Err(forgotten(why, id)),
    }
}

/// The key is known, the job it made is not any more: it never runs again.
fn forgotten(why: Missing, id: JobId) -> Problem {
    match why {
        Missing::Deleted | Missing::Expired => missing(why, id),
        // The key outlives the tombstone by no more than a moment.
        Missing::Unknown => missing(Missing::Expired, id),
    }
}

/// A full disk takes nothing new, but a repetition needs nothing new.
async fn replay(
    store: &dyn Store,
    namespace: &Namespace,
    queue: &QueueName,
    key: Option<Idempotency>,
    id: JobId,
) -> Result<Accepted, Problem> {
    if let Some(key) = key {
        match in_time(store.replay(namespace, queue, key)).await? {
            Some(Ok(submitted)) => return accepted(submitted, id),
            Some(Err(why)) => return Err(submit_refused(why, queue.as_str())),
            None => {}
        }
    }
    Err(StoreError::DiskFull.into())
}

/// Submits a finished job again.
pub(crate) async fn retry(
    store: &dyn Store,
    namespace: &Namespace,
    retry: Retry,
) -> Result<Committed<Arc<Job>>, Problem> {
    use raincheck_core::store::ChangeRefused as Refused;

    let answer = store.retry(namespace, vec![retry]).await?.pop();
    match answer.expect("a store answers each entry of a batch") {
        Ok(job) => Ok(Committed(job)),
        Err(Refused::Missing(why)) => Err(missing(why, retry.id)),
        Err(Refused::NotDone) => Err(not_done(retry.id, "it can be retried once it is")),
        Err(Refused::Submit(SubmitRefused::UnknownQueue)) => {
            let detail = format!(
                "the queue of {} does not exist any more; create it again",
                retry.id
            );
            Err(Problem::new(Code::UnknownQueue, detail))
        }
        Err(Refused::Submit(why)) => Err(submit_refused(why, "of the job")),
    }
}

/// The job is not finished.
pub(crate) fn not_done(id: JobId, way_out: &str) -> Problem {
    let detail = format!("{id} is not finished; {way_out}, or cancel it first");
    Problem::new(Code::JobNotDone, detail).about(id, None)
}
