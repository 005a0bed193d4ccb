//! Why a store refuses what was asked of it.
//!
//! Invariant: nothing was stored, or has changed, by what was refused.

use super::Missing;
use crate::decide::PatchRefused;
use crate::id::JobId;

/// Why one submission was refused; nothing of it was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitRefused {
    /// The queue does not exist.
    #[error("no such queue")]
    UnknownQueue,
    /// As many jobs wait as the queue's `depth` allows.
    #[error("the queue is full")]
    QueueFull {
        /// The queue's depth.
        depth: u64,
    },
    /// With this input, those that wait would have more bytes than the queue's `depth_bytes` allows.
    #[error("the queue holds too many bytes")]
    QueueBytesFull {
        /// The queue's bound.
        depth_bytes: u64,
    },
    /// The idempotency key was used by another request.
    #[error("the idempotency key was used by another request")]
    IdempotencyMismatch,
    /// Another job of the queue holds the unique value.
    #[error("{holder} holds the unique value")]
    UniqueConflict {
        /// The job that holds it.
        holder: JobId,
    },
}

/// Why a retry or a deletion was refused; nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeRefused {
    /// The job is not there.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// The job is not finished.
    #[error("the job is not done")]
    NotDone,
    /// The new job was refused.
    #[error(transparent)]
    Submit(#[from] SubmitRefused),
}

/// Why a job was not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The job is not there.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// It is, but may not be changed.
    #[error(transparent)]
    Refused(#[from] PatchRefused),
}

/// Why an operation on a queue was refused; nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueueRefused {
    /// The queue does not exist.
    #[error("no such queue")]
    Unknown,
    /// Flags or a file define the queue.
    #[error("the queue is defined by the server's configuration")]
    Managed,
    /// Unfinished jobs are in it.
    #[error("the queue has {0} unfinished jobs")]
    NotEmpty(u64),
}
