//! The document of a batch, and the line of one result.
//!
//! Invariant: `total` is `rejected` and all `counts` together, at any moment.

use std::borrow::Cow;

use http::header::CONTENT_ENCODING;
use raincheck_core::batch::{BatchId, BatchStatus, Finished, Refusal, Stage};
use raincheck_core::id::JobId;
use raincheck_core::job::Outcome;
use raincheck_core::store::Counts;
use raincheck_core::time::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::content::{Shown, shown};
use crate::fetch::fetched;
use crate::links::Links;

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

impl<'a> BatchDocument<'a> {
    /// The document of a batch.
    pub(crate) fn of(links: Links<'_>, status: &'a BatchStatus) -> Self {
        let batch = &*status.batch;
        let (open_until, finished_at, expires_at) = match batch.stage {
            Stage::Open { until } => (Some(until), None, None),
            Stage::Sealed => (None, None, None),
            Stage::Done {
                finished_at,
                expires_at,
            } => (None, Some(finished_at), Some(expires_at)),
        };
        let path = links.batch(batch.id);
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
            created_at: batch.created_at,
            open_until,
            finished_at,
            expires_at,
            urls: UrlsDocument {
                results: format!("{path}/results"),
                jobs: format!("{}/v1/jobs?batch={}", links.base(), batch.id),
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

/// The result of one job of a batch: one of `json`, `text`, `base64` and `url` where it has an answer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BatchResult)]
pub(crate) struct ResultDocument<'a> {
    /// Its place in the order in which the batch's jobs ended, from 1.
    seq: u64,
    /// The job.
    #[schema(value_type = String)]
    id: JobId,
    /// Which line of the upload it was, from 0; blank ones do not count.
    index: u64,
    /// How it ended.
    #[schema(value_type = String, example = "succeeded")]
    outcome: Option<&'static str>,
    /// The status of the answer, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// The content type of the answer, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'a str>,
    /// Of a URL that was fetched: `url`, `final_url` where redirects led elsewhere, `headers` of the answer, `attempts`, `bytes`,
    /// and `revalidated` where an earlier answer still holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    fetched: Option<&'a RawValue>,
    /// The answer, where it is JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    json: Option<Cow<'a, RawValue>>,
    /// The answer, where it is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    /// The answer as base64 (RFC 4648 section 4), where it is neither or has a content coding.
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
    /// Where the answer is, when it has more than 64 KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<FailureDocument<'a>>,
}

/// Why a job of a batch failed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BatchResultError)]
struct FailureDocument<'a> {
    /// A stable word.
    #[schema(example = "timed-out")]
    code: &'a str,
    /// What happened, for people.
    detail: &'a str,
}

impl<'a> ResultDocument<'a> {
    /// The result of a job that has ended.
    pub(crate) fn of(links: Links<'_>, finished: &'a Finished) -> Self {
        let job = &finished.job;
        let mut document = Self {
            seq: finished.place,
            id: job.id,
            index: job.member.map_or(0, |member| member.index),
            outcome: job.outcome().map(Outcome::as_str),
            status: None,
            content_type: None,
            fetched: None,
            json: None,
            text: None,
            base64: None,
            url: None,
            error: job.error.as_ref().map(|error| FailureDocument {
                code: &error.code,
                detail: &error.detail,
            }),
        };
        if let Some(result) = &finished.result {
            document.status = Some(result.status);
            document.content_type = result.content_type.as_deref();
            document.fetched = fetched(result);
            let coded = |(name, _): &(String, String)| name == CONTENT_ENCODING.as_str();
            let coded = result.headers.iter().any(coded);
            match shown(document.content_type, coded, &result.body) {
                Shown::Json(json) => document.json = Some(in_one_line(json)),
                Shown::Text(text) => document.text = Some(text),
                Shown::Base64(base64) => document.base64 = Some(base64),
                Shown::TooLarge => document.url = Some(links.result(job.id, None)),
            }
        }
        document
    }

    /// Writes the document as a line.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        serde_json::to_writer(&mut *out, self).expect("a document's keys are text");
        out.push(b'\n');
    }
}

/// The same JSON without line breaks: they only ever stand between its parts.
pub(crate) fn in_one_line(json: &RawValue) -> Cow<'_, RawValue> {
    if !json.get().contains(['\n', '\r']) {
        return Cow::Borrowed(json);
    }
    let line = json.get().replace(['\n', '\r'], " ");
    RawValue::from_string(line).map_or(Cow::Borrowed(json), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_of_several_lines_stands_in_one() {
        let json: Box<RawValue> = serde_json::from_str("{\n \"a\": \"b\\n\",\r\n \"c\": 1e3}").unwrap();
        let line = in_one_line(&json);
        assert_eq!(line.get(), "{  \"a\": \"b\\n\",   \"c\": 1e3}");
        let json: Box<RawValue> = serde_json::from_str("[ 1,2 ]").unwrap();
        assert_eq!(in_one_line(&json).get(), "[ 1,2 ]");
    }

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
