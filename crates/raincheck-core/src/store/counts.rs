//! What is in a queue, as a store counts it.

use std::sync::Arc;

use crate::group::GroupSpec;
use crate::limit::Held;
use crate::queue::Queue;

/// How many jobs of a queue stand where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Waiting for their `run_at`.
    pub scheduled: u64,
    /// Waiting to be claimed.
    pub queued: u64,
    /// In a worker's hands.
    pub running: u64,
    /// Finished and kept.
    pub succeeded: u64,
    /// Finished and kept.
    pub failed: u64,
    /// Finished and kept.
    pub cancelled: u64,
    /// Finished and kept.
    pub expired: u64,
}

impl Counts {
    /// Jobs that wait: what `depth` bounds.
    #[must_use]
    pub const fn waiting(&self) -> u64 {
        self.scheduled + self.queued
    }

    /// Jobs that are not finished.
    #[must_use]
    pub const fn unfinished(&self) -> u64 {
        self.waiting() + self.running
    }
}

/// How a job stands among those that wait in its queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The queue and what is in it.
    pub status: QueueStatus,
    /// How many jobs would be claimed before it if no more came: `None` where it does not wait to be claimed, or so many
    /// are before it that counting them would be dear.
    pub ahead: Option<u64>,
    /// Which limit of the queue keeps its jobs back now.
    pub held: Option<Held>,
    /// Which limit of the job's group keeps that group's jobs back now.
    pub group_held: Option<Held>,
}

/// A group and what bounds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupStatus {
    /// Its queue, with the defaults.
    pub queue: Arc<Queue>,
    /// What is written for the group itself.
    pub written: Option<GroupSpec>,
}

/// A queue and what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueStatus {
    /// The queue.
    pub queue: Arc<Queue>,
    /// What is in it.
    pub counts: Counts,
}
