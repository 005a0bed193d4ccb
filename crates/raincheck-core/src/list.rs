//! Which jobs a listing shows, and how it goes on.
//!
//! Invariant: jobs come newest first by id, so that a page goes on exactly where the one before ended, whatever was
//! submitted, finished or pruned in between.

use std::sync::Arc;

use crate::batch::BatchId;
use crate::job::{Job, State};
use crate::name::{GroupName, QueueName, Tag};
use crate::time::Timestamp;

/// The most jobs on one page.
pub const PAGE_MAX: u32 = 200;

/// What a job must be to be listed; what is absent does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// In this queue.
    pub queue: Option<QueueName>,
    /// In this state when it is looked at.
    pub state: Option<State>,
    /// With this tag.
    pub tag: Option<Tag>,
    /// Of this group.
    pub group: Option<GroupName>,
    /// Of this batch.
    pub batch: Option<BatchId>,
    /// Accepted after this instant.
    pub submitted_after: Option<Timestamp>,
    /// Accepted before this instant.
    pub submitted_before: Option<Timestamp>,
}

impl Filter {
    /// Whether the job is to be listed at `now`.
    #[must_use]
    pub fn matches(&self, job: &Job, now: Timestamp) -> bool {
        self.queue.as_ref().is_none_or(|queue| *queue == job.queue)
            && self.state.is_none_or(|state| state == job.state(now))
            && self.tag.as_ref().is_none_or(|tag| job.options.tags.contains(tag))
            && (self.group.is_none() || self.group == job.group)
            && self
                .batch
                .is_none_or(|batch| job.member.is_some_and(|member| member.batch == batch))
            && self.submitted_after.is_none_or(|after| job.created_at > after)
            && self.submitted_before.is_none_or(|before| job.created_at < before)
    }
}

/// One page that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Which jobs.
    pub filter: Filter,
    /// The cursor of the page before; `None` begins with the newest job.
    pub cursor: Option<u64>,
    /// At most so many jobs; callers from outside are held to [`PAGE_MAX`].
    pub limit: u32,
}

/// One page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// Jobs, newest first. There may be fewer than asked for, even none, although more follow.
    pub jobs: Vec<Arc<Job>>,
    /// Where the next page begins; `None` where nothing follows.
    pub cursor: Option<u64>,
}
