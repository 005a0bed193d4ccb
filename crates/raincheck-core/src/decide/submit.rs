//! Accepting a job, and recognising one that was accepted before.

use std::time::Duration;

use crate::batch::Member;
use crate::id::{Fence, JobId};
use crate::job::{Job, JobOptions, Phase, Since};
use crate::name::{GroupName, Namespace, QueueName};
use crate::queue::Queue;
use crate::store::SubmitRefused;
use crate::time::Timestamp;

/// What a submitter asks for, checked and ready to be accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewJob {
    /// The id it will have.
    pub id: JobId,
    /// Whose it is.
    pub namespace: Namespace,
    /// The line it will wait in.
    pub queue: QueueName,
    /// Whose job it is within the queue.
    pub group: Option<GroupName>,
    /// 0 (first) to 9.
    pub priority: u8,
    /// Its earliest start, where it is a point in time.
    pub run_at: Option<Timestamp>,
    /// Its earliest start, counted from acceptance.
    pub delay: Option<Duration>,
    /// The rest of what was asked.
    pub options: JobOptions,
    /// The finished job that this one repeats.
    pub retry_of: Option<JobId>,
    /// Its place in a batch.
    pub member: Option<Member>,
}

impl NewJob {
    /// Its earliest start: what was asked, counted from the instant its id was made and never before it.
    #[must_use]
    pub fn starts_at(&self) -> Timestamp {
        self.starts_from(self.id.created_at())
    }

    fn starts_from(&self, from: Timestamp) -> Timestamp {
        self.delay
            .map_or_else(|| self.run_at.unwrap_or(from).max(from), |delay| from.plus(delay))
    }
}

/// An id that is less ahead of the clock was made in a hurry: more than 4,096 in a millisecond borrow from the next one.
const HURRY: Duration = Duration::from_secs(1);

/// When a job was accepted whose id a store made before `now`. Ids only grow, so that after a clock was set back they are made
/// ahead of it; such a job was accepted by the clock, not when the clock will have come to its id.
#[must_use]
pub fn accepted_at(id: JobId, now: Timestamp) -> Timestamp {
    let made = id.created_at();
    if made > now.plus(HURRY) { now } else { made }
}

/// The job as a store accepts it at `now`: by the clock, though its id is [ahead](accepted_at) of it.
#[must_use]
pub fn submit_at(new: &NewJob, now: Timestamp) -> Job {
    let created_at = accepted_at(new.id, now);
    Job {
        created_at,
        run_at: new.starts_from(created_at.min(now)),
        ..submit(new)
    }
}

/// The job as it is accepted. It is accepted at the instant its id was made.
#[must_use]
pub fn submit(new: &NewJob) -> Job {
    Job {
        id: new.id,
        namespace: new.namespace.clone(),
        queue: new.queue.clone(),
        group: new.group.clone(),
        priority: new.priority,
        options: new.options.clone(),
        created_at: new.id.created_at(),
        run_at: new.starts_at(),
        since: Since::default(),
        started_at: None,
        phase: Phase::Waiting,
        version: 1,
        attempt: 0,
        fence: Fence(0),
        cancel_requested: false,
        attempts: Vec::new(),
        error: None,
        settled: None,
        retry_of: new.retry_of,
        retried_as: None,
        member: new.member,
    }
}

/// A SHA-256 over a submission as it was sent: content type, bytes and options.
pub type Fingerprint = [u8; 32];

/// What an idempotency key that is known says of a request that repeats it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdempotencyMatch {
    /// The same request: answer with the job it made.
    Replay,
    /// Another request under the same key: refuse.
    Mismatch,
}

/// Compares a repeated request with the one that first used the key.
#[must_use]
pub fn idempotency(kept: &Fingerprint, sent: &Fingerprint) -> IdempotencyMatch {
    if kept == sent {
        IdempotencyMatch::Replay
    } else {
        IdempotencyMatch::Mismatch
    }
}

/// What waits in a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// So many jobs.
    pub jobs: u64,
    /// Whose inputs have so many bytes; to be known only where the queue bounds them.
    pub bytes: u64,
}

/// Whether the queue has room for one more job with an input of so many bytes. One that takes the place of another that
/// waits, with so many bytes, needs none of its own.
///
/// # Errors
/// The bound that it would pass.
pub fn admit(
    queue: &Queue,
    waiting: Backlog,
    replaced: Option<u64>,
    input: u64,
) -> Result<(), SubmitRefused> {
    let depth = queue.depth();
    if replaced.is_none() && waiting.jobs >= depth {
        return Err(SubmitRefused::QueueFull { depth });
    }
    if let Some(depth_bytes) = queue.depth_bytes() {
        let others = waiting.bytes.saturating_sub(replaced.unwrap_or(0));
        if others.saturating_add(input) > depth_bytes {
            return Err(SubmitRefused::QueueBytesFull { depth_bytes });
        }
    }
    Ok(())
}
