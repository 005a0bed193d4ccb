//! What a run can ask of a store.

use std::time::Duration;

use crate::decide::Patch;
use crate::group::GroupSpec;
use crate::id::JobId;
use crate::list::Filter;
use crate::name::{GroupName, Namespace, QueueName};
use crate::queue::QueueSpec;
use crate::store::{Claim, Emit, Idempotency, Renew, Retry, Settle, Submission};

/// One step of a run.
#[derive(Clone, Debug)]
pub(super) enum Command {
    Submit(Namespace, Vec<Submission>),
    Replay(Namespace, QueueName, Idempotency),
    Cancel(Namespace, Vec<JobId>),
    Retry(Namespace, Vec<Retry>),
    Delete(Namespace, Vec<JobId>),
    Claim(Namespace, Claim),
    Renew(Namespace, Vec<Renew>),
    Settle(Namespace, Vec<Settle>),
    Emit(Namespace, Vec<Emit>),
    Patch(Namespace, Vec<(JobId, Patch)>),
    /// In slices of this size, until nothing is due.
    Reclaim(u32, u64),
    /// In slices of this size, until nothing is due.
    Prune(u32),
    /// The job, its input, its result and its output.
    Read(Namespace, JobId),
    /// In pages of this size, to the end.
    List(Namespace, Filter, u32),
    PutQueue(Namespace, QueueName, Box<QueueSpec>, bool),
    ReleaseQueue(Namespace, QueueName),
    PutGroup(Namespace, QueueName, GroupName, Option<GroupSpec>),
    Pause(Namespace, QueueName, bool),
    /// In slices of this size, until nothing waits.
    Purge(Namespace, QueueName, u32),
    DeleteQueue(Namespace, QueueName),
    Queues(Namespace),
    Advance(Duration),
    Reopen,
}
