//! What answers have in common: the headers that tell of a job, and the problems that stores and jobs give.
//!
//! Invariant: an answer about a stored job carries `Raincheck-Job` and `Raincheck-Outcome`; one that carries neither
//! tells that nothing is stored. A store's own words go to the log, never to the caller.

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use raincheck_core::id::JobId;
use raincheck_core::job::{Job, Outcome};
use raincheck_core::queue::ByteSize;
use raincheck_core::store::{Missing, StoreError, SubmitRefused};
use raincheck_core::time::Timestamp;
use serde::Serialize;
use tracing::{debug, error, warn};

use super::code::Code;
use super::problem::Problem;

pub(crate) const RAINCHECK_JOB: HeaderName = HeaderName::from_static("raincheck-job");
pub(crate) const RAINCHECK_OUTCOME: HeaderName = HeaderName::from_static("raincheck-outcome");
/// Tells that nothing was made: the answer is about the job that holds the unique value.
pub(crate) const RAINCHECK_ATTACHED: HeaderName = HeaderName::from_static("raincheck-attached");
pub(crate) const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

pub(crate) const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A JSON answer that nobody may keep.
pub(crate) fn json(status: StatusCode, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    // Room for what most answers say, at once instead of bit by bit.
    headers.reserve(12);
    headers.insert(header::CONTENT_TYPE, JSON);
    headers.insert(header::CACHE_CONTROL, NO_STORE);
    response
}

/// An answer that has nothing to say but that it was done, and that nobody may keep.
pub(crate) fn no_content() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(header::CACHE_CONTROL, NO_STORE);
    response
}

/// A document as JSON.
pub(crate) fn render(document: &impl Serialize) -> Vec<u8> {
    let mut body = Vec::with_capacity(640);
    serde_json::to_writer(&mut body, document).expect("a document's keys are text");
    body
}

/// Text made of ids and numbers as a header's value.
pub(crate) fn value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("ids and numbers are visible")
}

const fn outcome_word(outcome: Option<Outcome>) -> &'static str {
    match outcome {
        None => "pending",
        Some(outcome) => outcome.as_str(),
    }
}

fn shown(id: JobId) -> HeaderValue {
    HeaderValue::from_bytes(id.text().as_bytes()).expect("an id's characters are visible")
}

/// Tells which job the answer is about, and how it ended.
pub(crate) fn stamp(headers: &mut HeaderMap, id: JobId, outcome: Option<Outcome>) {
    headers.insert(RAINCHECK_JOB, shown(id));
    headers.insert(RAINCHECK_OUTCOME, HeaderValue::from_static(outcome_word(outcome)));
}

impl Problem {
    /// A problem with a stored job.
    pub(crate) fn about(self, id: JobId, outcome: Option<Outcome>) -> Self {
        self.header(RAINCHECK_JOB, shown(id))
            .header(RAINCHECK_OUTCOME, HeaderValue::from_static(outcome_word(outcome)))
    }
}

/// The longest that a caller is told to stay away from a job that is due later.
const RETRY_AFTER_MAX: u64 = 300;

/// After how many seconds it is worth asking again; `None` for a finished job.
pub(crate) fn retry_after(job: &Job, now: Timestamp) -> Option<u64> {
    (!job.done()).then(|| seconds_until(job.run_at, now))
}

/// Whole seconds until `due`, at least one and at most [`RETRY_AFTER_MAX`].
pub(crate) fn seconds_until(due: Timestamp, now: Timestamp) -> u64 {
    due.since(now)
        .as_millis()
        .div_ceil(1000)
        .clamp(1, u128::from(RETRY_AFTER_MAX))
        .try_into()
        .unwrap_or(1)
}

impl From<StoreError> for Problem {
    fn from(store_error: StoreError) -> Self {
        match store_error {
            StoreError::Unavailable(why) => {
                // Whoever found out has said so in the log: there may be very many of these.
                debug!(%why, "the store is unavailable");
                let detail = "the store does not answer; nothing was stored, try again";
                Self::new(Code::StoreUnavailable, detail).retry_after(1)
            }
            StoreError::Unknown => {
                warn!("a commit is in doubt");
                let detail = "whether the request took effect is not known; repeat it, a submit under the same \
                              Idempotency-Key";
                let unknown = HeaderValue::from_static("unknown");
                Self::new(Code::StoreUnavailable, detail)
                    .header(RAINCHECK_OUTCOME, unknown)
                    .retry_after(1)
            }
            StoreError::DiskFull => {
                // As above.
                debug!("no space is left for new jobs");
                let detail = "no space is left for new jobs; reading, finishing and deleting go on";
                Self::new(Code::DiskFull, detail).retry_after(10)
            }
            StoreError::Failed(why) => {
                error!(%why, "the store has failed");
                let detail = "the store has failed and the server must be started anew; nothing was stored";
                Self::new(Code::StoreUnavailable, detail).retry_after(5)
            }
            StoreError::Closed => draining(),
        }
    }
}

/// The server is leaving.
pub(crate) fn draining() -> Problem {
    let detail = "the server is shutting down and takes no new work; try again when it is back";
    Problem::new(Code::Draining, detail).retry_after(5)
}

/// Why a job is not there.
pub(crate) fn missing(why: Missing, id: JobId) -> Problem {
    match why {
        Missing::Unknown => unknown_job(),
        Missing::Deleted => Problem::new(
            Code::JobDeleted,
            format!("{id} was deleted; submit it again if it is needed"),
        ),
        Missing::Expired => Problem::new(
            Code::ResultExpired,
            format!(
                "{id} and its result were kept as long as asked and are gone; Raincheck-Keep asks for longer"
            ),
        ),
    }
}

/// The same for an id that was never given out and for one of another namespace.
pub(crate) fn unknown_job() -> Problem {
    Problem::new(
        Code::UnknownJob,
        "no job has this id, or it was forgotten more than 24 h ago",
    )
}

/// Why the store refused a submission.
pub(crate) fn submit_refused(why: SubmitRefused, queue: &str) -> Problem {
    match why {
        SubmitRefused::UnknownQueue => unknown_queue(queue),
        SubmitRefused::QueueFull { depth } => Problem::new(
            Code::QueueFull,
            format!("queue {queue:?} holds {depth} waiting jobs, its limit; try again in 1 s"),
        )
        .retry_after(1),
        SubmitRefused::QueueBytesFull { depth_bytes } => Problem::new(
            Code::QueueFull,
            format!(
                "with this input the jobs that wait in queue {queue:?} would hold more than {}, its depth_bytes; try again \
                 in 1 s",
                ByteSize(depth_bytes)
            ),
        )
        .retry_after(1),
        SubmitRefused::UniqueConflict { holder } => {
            let detail = format!(
                "{holder} holds the unique value and nothing was stored; on-conflict=attach gives that job instead, \
                 on-conflict=replace takes the place of one that has not started"
            );
            Problem::new(Code::UniqueConflict, detail).naming(holder)
        }
        SubmitRefused::IdempotencyMismatch => Problem::new(
            Code::IdempotencyMismatch,
            format!(
                "the Idempotency-Key was used in queue {queue:?} for another content type, body or options; nothing was \
                 stored, use a fresh key"
            ),
        ),
    }
}

/// No queue has this name.
pub(crate) fn unknown_queue(queue: &str) -> Problem {
    let queue = super::text::short(queue);
    let detail = format!("queue {queue:?} does not exist; create it with PUT /v1/queues/{queue}");
    Problem::new(Code::UnknownQueue, detail)
}
