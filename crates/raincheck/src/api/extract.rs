//! What routes take out of a request's head.
//!
//! Invariant: a path names a job or a queue in exactly one spelling; any other names none.

use std::borrow::Cow;

use axum::extract::{FromRequest, FromRequestParts, Request};
use bytes::Bytes;
use http::header::{self, HeaderMap};
use http::request::Parts;
use raincheck_core::batch::BatchId;
use raincheck_core::id::{JobId, LeaseId};
use raincheck_core::name::{GroupName, QueueName};

use crate::server::{BodyError, read_body};

use super::Api;
use super::answer::{unknown_job, unknown_queue};
use super::code::Code;
use super::problem::Problem;
use super::query::no_query;
use super::text;
use super::wire::lease::unknown_lease;
use super::wire::submit::fields;

/// The path's third segment: `/v1/jobs/{this}`, `/v1/batches/{this}`, `/v1/queues/{this}` and
/// `/v1/leases/{this}`. Names and ids hold only characters that a
/// path holds as they are, so nothing is to be decoded.
pub(crate) fn named(parts: &Parts) -> &str {
    parts.uri.path().split('/').nth(3).unwrap_or_default()
}

/// The job that the path names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JobPath(pub(crate) JobId);

impl FromRequestParts<Api> for JobPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        named(parts).parse().map(Self).map_err(|_| unknown_job())
    }
}

/// The batch that the path names; `None` where it can be none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchPath(pub(crate) Option<BatchId>);

impl FromRequestParts<Api> for BatchPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        Ok(Self(named(parts).parse().ok()))
    }
}

/// The queue that the path names.
#[derive(Clone, Debug)]
pub(crate) struct QueuePath(pub(crate) QueueName);

impl FromRequestParts<Api> for QueuePath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        Self::of(parts)
    }
}

impl QueuePath {
    /// The queue that a path names.
    ///
    /// # Errors
    /// When it can be none.
    pub(crate) fn of(parts: &Parts) -> Result<Self, Problem> {
        QueueName::new(named(parts))
            .map(Self)
            .map_err(|_| unknown_queue(named(parts)))
    }
}

/// The lease that the path names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LeasePath(pub(crate) LeaseId);

impl FromRequestParts<Api> for LeasePath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        named(parts).parse().map(Self).map_err(|_| unknown_lease())
    }
}

/// The group that the path names, and its queue: `/v1/queues/{queue}/groups/{group}`.
#[derive(Clone, Debug)]
pub(crate) struct GroupPath(pub(crate) QueueName, pub(crate) GroupName);

impl FromRequestParts<Api> for GroupPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let QueuePath(queue) = QueuePath::from_request_parts(parts, api).await?;
        let group = parts.uri.path().split('/').nth(5).unwrap_or_default();
        // In a path a plus is a plus.
        let decoded = text::form_decoded(&group.replace('+', "%2B")).map(Cow::into_owned);
        let group = decoded.ok_or_else(|| Problem::bad_request("the group is not percent-encoded UTF-8"))?;
        let group = GroupName::new(&group).map_err(|why| Problem::bad_request(why.to_string()))?;
        Ok(Self(queue, group))
    }
}

/// A request with a JSON document and without a query; the document is not read yet.
#[derive(Debug)]
pub(crate) struct JsonRequest {
    pub(crate) parts: Parts,
    pub(crate) content: axum::body::Body,
}

impl FromRequest<Api> for JsonRequest {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &Api) -> Result<Self, Problem> {
        let (parts, content) = request.into_parts();
        no_query(&parts)?;
        json_only(&parts.headers)?;
        Ok(Self { parts, content })
    }
}

/// A request whose path says all: nothing stands in its body, or an object without fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoBody;

impl FromRequest<Api> for NoBody {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        Self::read(api, request.into_body()).await
    }
}

impl NoBody {
    /// Reads what must hold nothing.
    ///
    /// # Errors
    /// When it holds something.
    pub(crate) async fn read(api: &Api, content: axum::body::Body) -> Result<Self, Problem> {
        if http_body::Body::is_end_stream(&content) {
            return Ok(Self);
        }
        let content = body(api, content, SETTINGS_BYTES_MAX, "actions").await?;
        if content.trim_ascii().is_empty() {
            return Ok(Self);
        }
        match fields(&content)?.first() {
            None => Ok(Self),
            Some((name, _)) => {
                let name = text::short(name);
                let detail =
                    format!("the field {name:?}: there is no such field; this takes none, its path says all");
                Err(Problem::bad_request(detail).at(format!("/{name}")))
            }
        }
    }
}

/// Reads a body that may be at most so large; `whose` limit it is, for the detail.
///
/// # Errors
/// When it is larger, too slow or broken off. The connection is then closed.
pub(crate) async fn body<B>(api: &Api, body: B, limit: u64, whose: &str) -> Result<Bytes, Problem>
where
    B: http_body::Body<Data = Bytes>,
{
    let read = read_body(body, limit, api.options.body_pace, &api.room).await;
    read.map_err(|error| match error {
        BodyError::TooLarge { limit } => closing(Problem::new(
            Code::BodyTooLarge,
            format!("the body is larger than {limit} bytes, the limit of {whose}"),
        )),
        BodyError::TooSlow | BodyError::Broken | BodyError::NoRoom => body_problem(api, &error),
    })
}

/// A body that was not read to its end. The connection is then closed.
pub(crate) fn body_problem(api: &Api, error: &BodyError) -> Problem {
    closing(match error {
        BodyError::TooLarge { limit } => {
            let detail = format!("the body is larger than {limit} bytes");
            Problem::new(Code::BodyTooLarge, detail)
        }
        BodyError::TooSlow => {
            let pace = api.options.body_pace;
            let (rate, grace) = (pace.bytes_per_second, pace.grace.as_secs());
            let detail = format!("the body came slower than {rate} bytes per second after {grace} s");
            Problem::new(Code::RequestTimeout, detail)
        }
        BodyError::NoRoom => {
            let detail = "bodies that others are sending take all the memory that there is for them; nothing was stored, try again";
            Problem::new(Code::Overloaded, detail).retry_after(1)
        }
        BodyError::Broken => Problem::bad_request("the body broke off or is not well-formed"),
    })
}

/// The rest of the body stays unread.
pub(crate) fn closing(problem: Problem) -> Problem {
    problem.header(header::CONNECTION, http::HeaderValue::from_static("close"))
}

/// The largest JSON body that is not a submission.
pub(crate) const SETTINGS_BYTES_MAX: u64 = 64 << 10;

/// Takes JSON or NDJSON, uncompressed; tells whether it is NDJSON.
///
/// # Errors
/// When the head announces anything else.
pub(crate) fn json_or_lines(headers: &HeaderMap) -> Result<bool, Problem> {
    let lines = headers.get(header::CONTENT_TYPE).is_some_and(|kind| {
        let kind = kind.as_bytes().split(|b| *b == b';').next().unwrap_or_default();
        let kind = kind.trim_ascii();
        kind.eq_ignore_ascii_case(b"application/x-ndjson") || kind.eq_ignore_ascii_case(b"application/jsonl")
    });
    if lines && !headers.contains_key(header::CONTENT_ENCODING) {
        return Ok(true);
    }
    json_only(headers).map(|()| false)
}

/// Takes JSON only, uncompressed.
///
/// # Errors
/// When the head announces anything else.
pub(crate) fn json_only(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.contains_key(header::CONTENT_ENCODING) {
        let detail = "a JSON body is taken only without Content-Encoding; the raw form, POST /v1/queues/{queue}/jobs, \
                      takes any coding and keeps it";
        return Err(Problem::new(Code::UnsupportedMediaType, detail));
    }
    let Some(kind) = headers.get(header::CONTENT_TYPE) else {
        return Ok(());
    };
    let kind = kind
        .to_str()
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    if kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json")) {
        return Ok(());
    }
    let detail = if kind == "application/x-ndjson" || kind == "application/jsonl" {
        "NDJSON is not taken here; send one JSON object per request"
    } else {
        "this path takes JSON: send Content-Type: application/json (with curl: --json)"
    };
    Err(Problem::new(Code::UnsupportedMediaType, detail))
}
