//! Making a result of an answer.
//!
//! Invariant: the bytes are kept as they came, with the coding that they have.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Response};
use raincheck_core::content::{Header, JobResult};
use raincheck_core::decide::{FetchAnswer, fetch_answer};
use raincheck_core::host::HostAnswer;
use raincheck_core::job::Failure;

use super::body::{Bodies, Unread, read_body};
use super::{AttemptEnd, Ctx};
use crate::fetch::Told;
use crate::outward::places::Answered;
use crate::outward::retry_after;
use crate::workers::KEPT_HEADERS;

fn failure(code: &str, detail: String, status: u16) -> Failure {
    Failure {
        status: Some(status),
        ..Failure::new(code, detail)
    }
}

/// Reads the answer whole; what it means, what it tells of its host, and how many bytes came.
pub(super) async fn read(
    response: Response<Answered>,
    ctx: &Ctx,
    mut told: Told,
    max: Option<u64>,
    bodies: Option<&Bodies>,
) -> (AttemptEnd, HostAnswer, u64) {
    let (head, body) = response.into_parts();
    let status = head.status.as_u16();
    let asked = retry_after(&head.headers, ctx.store.now());
    let host = HostAnswer::of(status, asked);
    let again = fetch_answer(status, false, false) == FetchAnswer::Again;
    let bodies = bodies.filter(|_| !again);
    let most = match bodies {
        // A file may be larger than a result.
        Some(_) => max.unwrap_or(u64::MAX),
        None => max.unwrap_or(u64::MAX).min(ctx.queue.result_max()),
    };
    let content_type = content_type(&head.headers);
    let file = bodies.map(|bodies| bodies.file(&told.url, content_type.as_deref()));
    let (body, bytes) = match read_body(body, most, &ctx.room, file).await {
        Ok(read) => (read.body, read.bytes),
        Err(Unread::TooLarge) => {
            let end = if again {
                AttemptEnd::Failed {
                    failure: answered(status),
                    retry: Some(asked),
                    result: None,
                }
            } else {
                let detail = format!("the answer is larger than {most} bytes, the limit");
                AttemptEnd::for_good(failure("result-too-large", detail, status))
            };
            return (end, host, 0);
        }
        Err(Unread::BrokenOff { after, why }) => {
            let detail = format!("the answer broke off after {after} bytes: {why}");
            let end = AttemptEnd::retry(failure("handler-unreachable", detail, status));
            return (end, HostAnswer::BROKEN, after);
        }
        Err(Unread::Unwritten(why)) => {
            let detail = format!("the body could not be written: {why}");
            return (
                AttemptEnd::retry(failure("handler-failed", detail, status)),
                host,
                0,
            );
        }
    };
    told.bytes = bytes;
    told.file = bodies.map(|bodies| bodies.name(&told.url, content_type.as_deref()));
    let mut headers = kept(&head.headers);
    headers.push(told.header());
    let result = JobResult::new(status, content_type, headers, body);
    let end = if again {
        AttemptEnd::Failed {
            failure: answered(status),
            retry: Some(asked),
            result: Some(result),
        }
    } else {
        AttemptEnd::Succeeded(result)
    };
    (end, host, bytes)
}

/// The earlier answer as this one: the server says that it still holds (RFC 9110 section 15.4.5), and may have more to say of it
/// (RFC 9111 section 4.3.4).
pub(super) fn unchanged(
    response: &Response<Answered>,
    ctx: &Ctx,
    earlier: &JobResult,
    told: &Told,
) -> JobResult {
    let mut told = told.clone();
    told.headers.extend(Told::shown(response.headers()));
    told.attempts = ctx.job.attempt;
    told.revalidated = true;
    let mut headers = earlier.headers.clone();
    headers.retain(|(name, _)| name != crate::fetch::FETCHED);
    headers.push(told.header());
    JobResult::new(
        earlier.status,
        earlier.content_type.clone(),
        headers,
        earlier.body.clone(),
    )
}

fn answered(status: u16) -> Failure {
    failure("handler-failed", format!("the server answered {status}"), status)
}

fn content_type(headers: &HeaderMap) -> Option<String> {
    Some(headers.get(CONTENT_TYPE)?.to_str().ok()?.to_owned())
}

fn kept(headers: &HeaderMap) -> Vec<Header> {
    // Most answers have none of them.
    if !headers.keys().any(|name| KEPT_HEADERS.contains(&name.as_str())) {
        return Vec::new();
    }
    let named = |name: &'static str| {
        let values = headers.get_all(name).iter();
        values.filter_map(move |value| Some((name.to_owned(), value.to_str().ok()?.to_owned())))
    };
    let there = |name: &&'static str| headers.keys().any(|key| key.as_str() == *name);
    KEPT_HEADERS.into_iter().filter(there).flat_map(named).collect()
}
