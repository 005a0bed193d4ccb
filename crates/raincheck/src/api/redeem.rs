//! The answers that tell of a job: its document, and its result as it was made.
//!
//! Invariant: what a finished job answers never changes while it is kept; every row of the contract's table is one arm
//! of one match.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::StatusCode;
use http::header::{self, HeaderMap, HeaderValue};
use hyper::ext::ReasonPhrase;
use raincheck_core::content::{Header, JobResult};
use raincheck_core::id::JobId;
use raincheck_core::job::{Job, Outcome, Phase};
use raincheck_core::name::Namespace;
use raincheck_core::store::{Change, StoreError};

use super::Api;
use super::answer::{json, missing, retry_after, stamp, value};
use super::code::Code;
use super::conditional::{Asked, none_match, range, strong_tag, weak_tag};
use super::problem::Problem;
use super::sandbox;
use super::ticket::Ticket;
use super::wire::job::JobDocument;
use crate::proxy::parcel;
use crate::workers::KEPT_HEADERS;
use crate::workers::whole::SMALL;

/// The job document as an answer.
///
/// # Errors
/// When the store cannot be read.
pub(crate) async fn document(
    api: &Api,
    status: StatusCode,
    job: &Job,
    ticket: Option<Ticket>,
) -> Result<Response, StoreError> {
    let queue = api.node.queue(&job.namespace, &job.queue).await?;
    let now = api.node.store().now();
    let document = JobDocument::of(api.node.links(), job, queue.as_deref(), now).with(ticket);
    let mut response = json(status, document.render());
    describe(response.headers_mut(), job, api);
    Ok(response)
}

/// The headers of an answer whose body is, or would be, the job document.
pub(crate) fn describe(headers: &mut HeaderMap, job: &Job, api: &Api) {
    stamp(headers, job.id, job.outcome());
    headers.insert(header::ETAG, weak_tag(job.version));
    if let Some(seconds) = retry_after(job, api.node.store().now()) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
}

/// How a result is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asking<'a> {
    /// By a GET with these headers, which may hold conditions.
    Get(&'a HeaderMap),
    /// By a HEAD, which has no ranges.
    Head(&'a HeaderMap),
    /// By a submit that waited.
    Submit,
}

/// The job with its result as the store has it, where there is room for that on its way.
///
/// # Errors
/// When there is none, and when the job is missing or the store cannot be read.
pub(crate) async fn kept(api: &Api, namespace: &Namespace, id: JobId) -> Result<Change, Problem> {
    let found = api.node.store().result(namespace, id).await?;
    let mut change = found.map_err(|why| missing(why, id))?;
    if let Some(result) = &mut change.result
        && is_large(&result.body)
    {
        let body = leaving(api, result.body.clone())?;
        Arc::make_mut(result).body = body;
    }
    Ok(change)
}

const fn is_large(body: &Bytes) -> bool {
    body.len() as u64 > SMALL
}

/// A body that was read and is on its way to its client, where there is room for it: who asks for many and reads none of them fills no
/// memory.
///
/// # Errors
/// When there is none.
pub(crate) fn leaving(api: &Api, body: Bytes) -> Result<Bytes, Problem> {
    if !is_large(&body) {
        return Ok(body);
    }
    api.leaving.admit(body).map_err(|_| {
        let detail = "what others are reading takes all the memory that there is for it; try again";
        Problem::new(Code::Overloaded, detail).retry_after(1)
    })
}

/// The result of a job, or why there is none.
///
/// # Errors
/// When the store cannot be read.
pub(crate) async fn result(
    api: &Api,
    change: &Change,
    asking: Asking<'_>,
    ticket: Option<Ticket>,
) -> Result<Response, StoreError> {
    let job = &*change.job;
    let Phase::Done { outcome, .. } = &job.phase else {
        let mut response = document(api, StatusCode::ACCEPTED, job, ticket).await?;
        response.headers_mut().insert(
            header::CONTENT_LOCATION,
            value(api.node.links().job(job.id, ticket)),
        );
        return Ok(response);
    };
    let mut response = match (outcome, &change.result) {
        (Outcome::Succeeded | Outcome::Failed, Some(result)) => stored(result, asking, api.options.as_it_was),
        (Outcome::Failed, None) => failed(job).into_response(),
        (Outcome::Cancelled, _) => Problem::new(
            Code::JobCancelled,
            format!("{} was cancelled and has no result", job.id),
        )
        .into_response(),
        (Outcome::Expired, _) => {
            let detail = format!("{} was not started in time and has no result", job.id);
            Problem::new(Code::JobExpired, detail).into_response()
        }
        (Outcome::Succeeded, None) => {
            tracing::error!(job.id = %job.id, "a succeeded job has no result");
            Problem::new(Code::Internal, "the result is missing from the store").into_response()
        }
    };
    stamp(response.headers_mut(), job.id, Some(*outcome));
    Ok(response)
}

/// A job that failed without an answer of its handler.
fn failed(job: &Job) -> Problem {
    let (word, detail) = job
        .error
        .as_ref()
        .map_or(("", ""), |error| (error.code.as_str(), error.detail.as_str()));
    let code = match word {
        "timed-out" => Code::TimedOut,
        "handler-unreachable" => Code::HandlerUnreachable,
        "handler-redirected" => Code::HandlerRedirected,
        "result-too-large" => Code::ResultTooLarge,
        _ => Code::HandlerFailed,
    };
    let detail = match (word, detail) {
        ("", "") => Cow::Borrowed("the job failed"),
        (word, "") => Cow::Owned(word.to_owned()),
        (word, detail) if code == Code::HandlerFailed && word != "handler-failed" => {
            Cow::Owned(format!("{word}: {detail}"))
        }
        (_, detail) => Cow::Owned(detail.to_owned()),
    };
    Problem::new(code, detail)
}

/// Statuses whose answers have no body (RFC 9110 sections 15.3.5, 15.3.6, 15.4.5).
const fn bodiless(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
    )
}

/// The handler's answer as it was kept: status, bytes, content type and headers; one of an upstream `as_it_was`, where it may
/// speak for the origin.
fn stored(result: &JobResult, asking: Asking<'_>, as_it_was: bool) -> Response {
    let answer = parcel::is_answer(result);
    let as_it_was = as_it_was && answer;
    let status = StatusCode::from_u16(result.status)
        .ok()
        .filter(|status| !status.is_informational())
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let own_tag = result
        .headers
        .iter()
        .find(|(name, _)| as_it_was && name == "etag");
    let tag = own_tag.map_or_else(|| strong_tag(&result.digest), |(_, tag)| tag.clone());
    let mut response = Response::new(Body::empty());
    let part = match asking {
        Asking::Get(headers) | Asking::Head(headers) if status.is_success() && none_match(headers, &tag) => {
            None
        }
        Asking::Get(headers) if status == StatusCode::OK => Some(range(headers, &tag, result.body.len())),
        Asking::Get(_) | Asking::Head(_) | Asking::Submit => Some(Asked::Whole),
    };
    *response.status_mut() = match &part {
        None => StatusCode::NOT_MODIFIED,
        Some(Asked::Whole) => status,
        Some(Asked::Part(_)) => StatusCode::PARTIAL_CONTENT,
        Some(Asked::Outside) => return outside(result, tag),
    };
    if status.canonical_reason().is_none() {
        // Else hyper makes words for it.
        response.extensions_mut().insert(ReasonPhrase::from_static(b""));
    }
    let headers = response.headers_mut();
    headers.reserve(14);
    if as_it_was {
        parcel::answer_headers(result, headers);
    } else if answer {
        sandbox::describe(
            headers,
            result.content_type.as_deref(),
            &described(&result.headers),
        );
    } else {
        sandbox::describe(headers, result.content_type.as_deref(), &result.headers);
    }
    if let (Asking::Head(_) | Asking::Submit, Some(length)) = (asking, parcel::length_of_head(result)) {
        headers.insert(header::CONTENT_LENGTH, length);
    }
    if let Ok(tag) = HeaderValue::try_from(tag) {
        headers.insert(header::ETAG, tag);
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("private, no-cache"));
    if status == StatusCode::OK {
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    }
    match part {
        Some(Asked::Part(part)) => {
            let (first, last, len) = (part.start, part.end - 1, result.body.len());
            headers.insert(
                header::CONTENT_RANGE,
                value(format!("bytes {first}-{last}/{len}")),
            );
            *response.body_mut() = Body::from(result.body.slice(part));
        }
        Some(_) if !bodiless(status) => *response.body_mut() = Body::from(result.body.clone()),
        Some(_) | None => {}
    }
    response
}

/// Of the headers of an upstream's answer those that only say how to read its bytes.
fn described(headers: &[Header]) -> Vec<Header> {
    let kept = headers
        .iter()
        .filter(|(name, _)| KEPT_HEADERS.contains(&name.as_str()));
    kept.cloned().collect()
}

/// A range outside the bytes.
fn outside(result: &JobResult, tag: String) -> Response {
    let len = result.body.len();
    let problem = Problem::new(Code::RangeNotSatisfiable, format!("the result has {len} bytes"))
        .header(header::CONTENT_RANGE, value(format!("bytes */{len}")));
    match HeaderValue::try_from(tag) {
        Ok(tag) => problem.header(header::ETAG, tag).into_response(),
        Err(_) => problem.into_response(),
    }
}
