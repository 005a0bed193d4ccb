//! One queue, as the writer keeps it in RAM.
//!
//! Invariant: its numbers follow each transition; only the memory above changes them.

use std::sync::Arc;

use raincheck_core::job::Outcome;
use raincheck_core::queue::Queue;
use raincheck_core::store::{Counts, LimitWaits};

use super::groups::Groups;
use crate::ready::Ready;

/// One queue's part.
#[derive(Debug)]
pub(crate) struct QueueMemory {
    /// The settings; `None` once the queue was deleted, while finished jobs of it are kept.
    pub(crate) queue: Option<Arc<Queue>>,
    pub(crate) ready: Ready,
    /// Jobs that wait for their `run_at`.
    pub(super) scheduled: u64,
    /// Jobs that become ready with the commit that is under way.
    pub(super) staged: u64,
    /// Jobs that are due and overdue: nobody may claim them, a reclaim will end them.
    pub(super) aside: u64,

    pub(super) running: u32,
    pub(super) finished: [u64; 4],
    pub(crate) groups: Groups,
    /// How often its limits and those of its groups kept jobs back, since this was built.
    pub(crate) waits: LimitWaits,
    /// How many bytes the inputs of waiting jobs have; counted where the queue bounds them.
    pub(crate) bytes: Option<u64>,
}

impl QueueMemory {
    pub(super) fn new(queue: Option<Arc<Queue>>) -> Self {
        Self {
            queue,
            ready: Ready::default(),
            scheduled: 0,
            staged: 0,
            aside: 0,
            running: 0,
            finished: [0; 4],
            groups: Groups::default(),
            waits: LimitWaits::default(),
            bytes: None,
        }
    }

    pub(crate) const fn running(&self) -> u32 {
        self.running
    }

    pub(crate) fn counts(&self) -> Counts {
        let [succeeded, failed, cancelled, expired] = self.finished;
        Counts {
            scheduled: self.scheduled,
            queued: self.ready.len() + self.staged + self.aside,
            running: u64::from(self.running),
            succeeded,
            failed,
            cancelled,
            expired,
        }
    }
}

/// The place of an outcome among the counts.
pub(super) const fn slot(outcome: Outcome) -> usize {
    match outcome {
        Outcome::Succeeded => 0,
        Outcome::Failed => 1,
        Outcome::Cancelled => 2,
        Outcome::Expired => 3,
    }
}
