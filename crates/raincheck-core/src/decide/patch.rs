//! Changing a job that has not started.

use crate::job::{Job, Phase};
use crate::name::Tag;
use crate::time::Timestamp;

/// What is to change; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patch {
    /// 0 (first) to 9.
    pub priority: Option<u8>,
    /// The earliest start.
    pub run_at: Option<Timestamp>,
    /// All tags.
    pub tags: Option<Vec<Tag>>,
    /// The version that the caller saw; any where absent.
    pub if_version: Option<u32>,
}

/// Why a job was not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchRefused {
    /// It was started before, or is done.
    #[error("the job has started")]
    Started,
    /// It has changed since the caller saw it.
    #[error("the job has changed")]
    Changed,
}

/// The job as it is to be; `None` where that is what it is already.
///
/// # Errors
/// When the job was ever claimed, is finished, or is not of the version asked for.
pub fn patch(job: &Job, patch: &Patch) -> Result<Option<Job>, PatchRefused> {
    if patch.if_version.is_some_and(|version| version != job.version) {
        return Err(PatchRefused::Changed);
    }
    if job.started_at.is_some() || !matches!(job.phase, Phase::Waiting) {
        return Err(PatchRefused::Started);
    }
    let mut next = job.clone();
    next.priority = patch.priority.unwrap_or(job.priority);
    next.run_at = patch
        .run_at
        .map_or(job.run_at, |run_at| run_at.max(job.created_at));
    if next.run_at != job.run_at {
        next.since.due = None;
    }
    if let Some(tags) = &patch.tags {
        next.options.tags.clone_from(tags);
    }
    if next == *job {
        return Ok(None);
    }
    next.version += 1;
    Ok(Some(next))
}
