//! Batches: a group of jobs that came in one upload, counted together, redeemed together, kept together.
//!
//! Invariants: a batch's numbers are exact: every line that was taken is either a member or rejected, and every member
//! that has ended is counted once, by the step that ended it; a batch that is done never changes.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::content::JobResult;
use crate::id::{JobId, ParseIdError};
use crate::job::{Job, Outcome};
use crate::name::Namespace;
use crate::store::{Counts, Idempotency, Submission};
use crate::time::Timestamp;

/// How many rejected lines a batch tells of, the first ones; all are counted.
pub const REFUSALS_SHOWN: usize = 100;

/// The most lines that one step adds.
pub const LINES_MAX: usize = 1_000;

/// The identity of a batch: made as a job's is, from the same generator.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(JobId);

impl BatchId {
    /// A batch's id from a fresh one of the generator.
    #[must_use]
    pub const fn new(fresh: JobId) -> Self {
        Self(fresh)
    }

    /// From its two halves, as [`JobId::from_parts`].
    #[must_use]
    pub fn from_parts(seq: u64, tail: u64) -> Self {
        Self(JobId::from_parts(seq, tail))
    }

    /// The half that grows, as [`JobId::seq`].
    #[must_use]
    pub const fn seq(self) -> u64 {
        self.0.seq()
    }

    /// The half that is hard to guess, as [`JobId::tail`].
    #[must_use]
    pub const fn tail(self) -> u64 {
        self.0.tail()
    }

    /// The instant the id was made, to the millisecond.
    #[must_use]
    pub const fn created_at(self) -> Timestamp {
        self.0.created_at()
    }
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.text();
        write!(f, "batch_{}", text.as_str().trim_start_matches("job_"))
    }
}

impl fmt::Debug for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for BatchId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix("batch_").ok_or(ParseIdError)?;
        format!("job_{digits}").parse().map(Self)
    }
}

impl Serialize for BatchId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A job's place in its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// The batch.
    pub batch: BatchId,
    /// Which of its lines the job was, from 0.
    pub index: u64,
}

/// A line that made no job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Which line, from 0.
    pub index: u64,
    /// A stable word: the code of the problem that the line alone would have been answered with.
    pub code: String,
    /// What is wrong, for people.
    pub detail: String,
}

/// One line of an upload.
#[derive(Clone, Debug)]
pub enum Line {
    /// A job to be accepted. Its place in the batch is the store's to say.
    Job(Box<Submission>),
    /// No job can be made of it.
    Bad {
        /// The problem's code.
        code: String,
        /// What is wrong, for people.
        detail: String,
    },
}

/// A batch to be opened.
#[derive(Clone, Debug)]
pub struct NewBatch {
    /// The id it will have.
    pub id: BatchId,
    /// How long it stays when it is done.
    pub keep: Option<Duration>,
    /// How long an upload that broke off may be taken up again: [`UPLOAD_TERM`](crate::decide::UPLOAD_TERM) unless said.
    pub open_for: Option<Duration>,
    /// Who is told when it is done.
    pub callback: Option<String>,
    /// The key under which a repeated upload is recognised; its scope is the namespace's batches.
    pub idempotency: Option<Idempotency>,
}

/// How far a batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Lines may come; an upload that broke off may go on until then.
    Open {
        /// When it is cancelled, unless lines come before.
        until: Timestamp,
    },
    /// The upload has ended.
    Sealed,
    /// Nothing remains.
    Done {
        /// Since when.
        finished_at: Timestamp,
        /// From when it may be pruned, with its members.
        expires_at: Timestamp,
    },
}

/// How many members have ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// Their handlers succeeded.
    pub succeeded: u64,
    /// Their attempts or their time ran out.
    pub failed: u64,
    /// Somebody cancelled them.
    pub cancelled: u64,
    /// They were not started in time.
    pub expired: u64,
}

impl Ends {
    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.succeeded + self.failed + self.cancelled + self.expired
    }

    /// The count of one outcome.
    pub const fn of(&mut self, outcome: Outcome) -> &mut u64 {
        match outcome {
            Outcome::Succeeded => &mut self.succeeded,
            Outcome::Failed => &mut self.failed,
            Outcome::Cancelled => &mut self.cancelled,
            Outcome::Expired => &mut self.expired,
        }
    }
}

/// A batch as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Its identity.
    pub id: BatchId,
    /// Whose it is.
    pub namespace: Namespace,
    /// When it was opened. Its id may say later: ids never go back, also where the clock was set back.
    pub created_at: Timestamp,
    /// How long it stays when it is done, where that was said.
    pub keep: Option<Duration>,
    /// How long an upload that broke off may be taken up again, where that was said.
    pub open_for: Option<Duration>,
    /// Who is told when it is done.
    pub callback: Option<String>,
    /// How far it is.
    pub stage: Stage,
    /// Whether everything of it is to stop.
    pub cancel_requested: bool,
    /// Lines that were taken: the index of the next one.
    pub lines: u64,
    /// Those of them that made no job.
    pub rejected: u64,
    /// The first of those.
    pub refusals: Vec<Refusal>,
    /// Members that have ended.
    pub ends: Ends,
}

impl Batch {
    /// Jobs that it has.
    #[must_use]
    pub const fn members(&self) -> u64 {
        self.lines - self.rejected
    }

    /// Members that have not ended.
    #[must_use]
    pub const fn remaining(&self) -> u64 {
        self.members() - self.ends.total()
    }

    /// Whether the upload has ended.
    #[must_use]
    pub const fn sealed(&self) -> bool {
        !matches!(self.stage, Stage::Open { .. })
    }

    /// Whether nothing remains and nothing will come.
    #[must_use]
    pub const fn done(&self) -> bool {
        matches!(self.stage, Stage::Done { .. })
    }
}

/// A batch and where its members stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchStatus {
    /// The batch.
    pub batch: Arc<Batch>,
    /// Its members, including those that were deleted since they ended.
    pub counts: Counts,
}

/// What became of a request to open a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BatchOpened {
    /// It is there, and takes lines.
    Created(Arc<Batch>),
    /// The key was used before by the same request: the batch that it opened, as it is now.
    Replayed(BatchStatus),
}

/// Why a batch is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchMissing {
    /// Nobody in this namespace ever got this id, or its tombstone is gone too.
    #[error("no such batch")]
    Unknown,
    /// It outlived its retention; told for 24 hours.
    #[error("the batch has outlived its retention")]
    Expired,
}

/// Why a batch takes no lines or is not sealed; nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchRefused {
    /// The batch is not there.
    #[error(transparent)]
    Missing(#[from] BatchMissing),
    /// The key was used by another request.
    #[error("the idempotency key was used by another request")]
    IdempotencyMismatch,
    /// It was cancelled.
    #[error("the batch was cancelled")]
    Cancelled,
    /// It was sealed with so many lines.
    #[error("the batch was sealed with {lines} lines")]
    Sealed {
        /// How many.
        lines: u64,
    },
    /// Lines between are missing, or fewer came than were taken before.
    #[error("the batch has {lines} lines so far")]
    Gap {
        /// How many it has.
        lines: u64,
    },
}

/// What cancelling a batch has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchCancelled {
    /// The batch as it is now.
    pub status: BatchStatus,
    /// Whether members are left that were not told yet.
    pub more: bool,
}

/// A member that has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// Its place in the order in which members ended, from 1.
    pub place: u64,
    /// The job.
    pub job: Arc<Job>,
    /// Its result, where it has one.
    pub result: Option<Arc<JobResult>>,
}

/// Members that have ended, in that order.
#[derive(Clone, Debug, PartialEq)]
pub struct Results {
    /// Those after the place that was asked for; fewer than there are where they are many or large, none only where
    /// there are none.
    pub finished: Vec<Finished>,
    /// The batch as it was then; whether it is done counts, its numbers may be a moment old.
    pub batch: Arc<Batch>,
}

/// What [`Store::tend_batches`](crate::store::Store::tend_batches) did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tended {
    /// Members and batches that were dealt with.
    pub count: u32,
    /// Whether more is due already.
    pub more: bool,
    /// When the next upload that broke off is over, as far as is known now.
    pub next_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batchs_id_reads_back_and_is_no_jobs() {
        let id = BatchId::from_parts(1_795_227_064_120 << 12 | 77, 9);
        let text = id.to_string();
        assert!(text.starts_with("batch_01"), "{text}");
        assert_eq!(text.len(), 32);
        assert_eq!(text.parse(), Ok(id));
        assert!(text.parse::<JobId>().is_err());
        for wrong in ["", "batch_", "batch_7", "job_01h455vb4pex5vsknk084sn02q"] {
            assert_eq!(wrong.parse::<BatchId>(), Err(ParseIdError), "{wrong:?}");
        }
    }
}
