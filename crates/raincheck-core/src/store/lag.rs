//! How far behind a store's work is, for those who watch it.
//!
//! Invariant: finding it out costs nobody else anything; nothing decides by it.

use crate::limit::HeldBy;
use crate::name::{Namespace, QueueName};
use crate::time::Timestamp;

/// How often limits kept a claim from a job that waited, since the store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitWaits {
    /// The queue's concurrency.
    pub concurrency: u64,
    /// The queue's rate.
    pub rate: u64,
    /// A group's concurrency: so often a group with jobs was taken out of the turns.
    pub group_concurrency: u64,
    /// A group's rate: so often a group with jobs was taken out of the turns.
    pub group_rate: u64,
}

impl LimitWaits {
    /// Counts one for the queue's limit.
    pub const fn of_queue(&mut self, by: HeldBy) {
        match by {
            HeldBy::Concurrency => self.concurrency += 1,
            HeldBy::Rate => self.rate += 1,
        }
    }

    /// Counts one for a group's limit.
    pub const fn of_group(&mut self, by: HeldBy) {
        match by {
            HeldBy::Concurrency => self.group_concurrency += 1,
            HeldBy::Rate => self.group_rate += 1,
        }
    }

    /// Each with the name of its limit.
    #[must_use]
    pub const fn named(&self) -> [(&'static str, u64); 4] {
        [
            ("concurrency", self.concurrency),
            ("rate", self.rate),
            ("group_concurrency", self.group_concurrency),
            ("group_rate", self.group_rate),
        ]
    }
}

/// How far behind a queue is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueLag {
    /// Whose queue it is.
    pub namespace: Namespace,
    /// Its name.
    pub queue: QueueName,
    /// Since when the oldest of its jobs could have been claimed that has not been: its `run_at`. `None` where none waits.
    pub due_since: Option<Timestamp>,
    /// What its limits held back; a store may not count that.
    pub waits: LimitWaits,
}

/// How far behind the work of all queues is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// All queues, by namespace and name.
    pub queues: Vec<QueueLag>,
    /// Webhooks that are to be sent, now or later.
    pub webhooks: u64,
}
