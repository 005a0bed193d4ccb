//! The document of a batch, and the line of one result.
//!
//! Invariant: `total` is `rejected` and all `counts` together, at any moment.

use raincheck_core::batch::{BatchId, BatchStatus, Refusal, Stage};
use raincheck_core::store::Counts;
use raincheck_core::time::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

/// A group of jobs that came in one upload.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Batch)]
pub(crate) struct BatchDocument<'a> {
    /// Its id.
    #[schema(value_type = String, example = "batch_01jd8zq3k5e7rv2m4n6p8s0t1w")]
    id: BatchId,
    /// Whether the upload has ended.
    sealed: bool,
    /// Whether it is sealed and nothing remains.
    done: bool,
    /// Whether it was cancelled: by a request, or because its upload broke off and was not taken up again.
    cancel_requested: bool,
    /// Lines so far: jobs and rejected ones.
    total: u64,
    /// Lines that made no job.
    rejected: u64,
    /// The first 100 of those.
    rejected_lines: Vec<RejectedDocument<'a>>,
    /// Where its jobs stand; one that was deleted since it ended stays counted.
    counts: CountsDocument,
    /// The part of its jobs that has ended, 0 to 1; of an open upload, of those that came so far.
    progress: f64,
    /// When it was opened.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// While it is open: when it is cancelled, unless lines come before; else null.
    #[schema(value_type = Option<String>, format = DateTime)]
    open_until: Option<Timestamp>,
    /// Since when it is done, or null.
    #[schema(value_type = Option<String>, format = DateTime)]
    finished_at: Option<Timestamp>,
    /// When it will be pruned with all its jobs, or null.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// Where it goes on.
    urls: UrlsDocument,
}

/// A line that made no job.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RejectedLine)]
struct RejectedDocument<'a> {
    /// Which line, from 0; blank ones do not count.
    index: u64,
    /// The code of the problem that it would have been answered with alone, or `already-submitted`.
    code: &'a str,
    /// What is wrong.
    detail: &'a str,
}

impl<'a> From<&'a Refusal> for RejectedDocument<'a> {
    fn from(refusal: &'a Refusal) -> Self {
        Self {
            index: refusal.index,
            code: &refusal.code,
            detail: &refusal.detail,
        }
    }
}

/// How many jobs stand where.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = BatchCounts)]
struct CountsDocument {
    scheduled: u64,
    queued: u64,
    running: u64,
    succeeded: u64,
    failed: u64,
    cancelled: u64,
    expired: u64,
}

impl From<Counts> for CountsDocument {
    fn from(counts: Counts) -> Self {
        let Counts {
            scheduled,
            queued,
            running,
            succeeded,
            failed,
            cancelled,
            expired,
        } = counts;
        Self {
            scheduled,
            queued,
            running,
            succeeded,
            failed,
            cancelled,
            expired,
        }
    }
}

/// A batch's paths.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BatchUrls)]
struct UrlsDocument {
    #[serde(rename = "self")]
    this: String,
    results: String,
    jobs: String,
    cancel: String,
}

/// The path of a batch.
pub(crate) fn batch_path(id: BatchId) -> String {
    format!("/v1/batches/{id}")
}

impl<'a> BatchDocument<'a> {
    /// The document of a batch.
    pub(crate) fn of(status: &'a BatchStatus) -> Self {
        let batch = &*status.batch;
        let (open_until, finished_at, expires_at) = match batch.stage {
            Stage::Open { until } => (Some(until), None, None),
            Stage::Sealed => (None, None, None),
            Stage::Done {
                finished_at,
                expires_at,
            } => (None, Some(finished_at), Some(expires_at)),
        };
        let path = batch_path(batch.id);
        Self {
            id: batch.id,
            sealed: batch.sealed(),
            done: batch.done(),
            cancel_requested: batch.cancel_requested,
            total: batch.lines,
            rejected: batch.rejected,
            rejected_lines: batch.refusals.iter().map(RejectedDocument::from).collect(),
            counts: status.counts.into(),
            progress: progress(batch.ends.total(), batch.members(), batch.done()),
            created_at: batch.id.created_at(),
            open_until,
            finished_at,
            expires_at,
            urls: UrlsDocument {
                results: format!("{path}/results"),
                jobs: format!("/v1/jobs?batch={}", batch.id),
                cancel: format!("{path}/cancel"),
                this: path,
            },
        }
    }
}

/// To four decimals, rounded down, so that 1 means all.
#[expect(clippy::cast_precision_loss, reason = "at most 10,000")]
fn progress(ended: u64, members: u64, done: bool) -> f64 {
    match (done, members) {
        (true, _) => 1.0,
        (false, 0) => 0.0,
        (false, members) => (u128::from(ended) * 10_000 / u128::from(members)) as f64 / 10_000.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_a_part_of_the_jobs_that_came() {
        for (ended, members, done, told) in [
            (0, 0, false, 0.0),
            (0, 0, true, 1.0),
            (1, 3, false, 0.3333),
            (2, 2, false, 1.0),
            (999_999, 1_000_000, false, 0.9999),
        ] {
            assert!(
                (progress(ended, members, done) - told).abs() < 1e-9,
                "{ended} {members}"
            );
        }
    }
}
