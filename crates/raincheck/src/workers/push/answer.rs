//! What a handler's answer means.
//!
//! | answer | the attempt |
//! |---|---|
//! | 202 with `Raincheck-Complete: later` | goes on: the endpoint settles it over its lease |
//! | any other 2xx, whole | succeeded, the answer is the result |
//! | 408, 425, 429, 5xx | failed, another attempt, not before `Retry-After`; the last answer is the result |
//! | other 4xx | failed for good, the answer is the result |
//! | 3xx, 1xx | failed for good, `handler-redirected` |
//! | broken off | failed, another attempt |
//! | larger than the queue's limit | failed for good, `result-too-large` |
//!
//! Invariant: what an answer means is decided here and nowhere else.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Response, StatusCode};
use hyper::body::Incoming;
use raincheck_core::content::JobResult;
use raincheck_core::host::HostAnswer;
use raincheck_core::job::Failure;
use raincheck_core::output::Stream;
use raincheck_core::time::Timestamp;

use super::AttemptEnd;
use crate::outward::retry_after;
use crate::room::Room;
use crate::workers::KEPT_HEADERS;
use crate::workers::emit::Emitter;
use crate::workers::whole::{self, Unread};

/// Whether the endpoint settles the job later. The body of such an answer says nothing.
pub(super) fn deferred(response: &Response<Incoming>) -> bool {
    let later = response.headers().get("raincheck-complete");
    response.status() == StatusCode::ACCEPTED
        && later.is_some_and(|later| later.as_bytes().trim_ascii().eq_ignore_ascii_case(b"later"))
}

/// Reads the answer whole and says what it means, and what it tells of its host; a success is emitted while it comes.
pub(super) async fn read(
    response: Response<Incoming>,
    result_max: u64,
    room: &Room,
    now: Timestamp,
    emitter: Option<Emitter>,
) -> (AttemptEnd, HostAnswer) {
    let (head, body) = response.into_parts();
    let status = head.status;
    let asked = retry_after(&head.headers, now);
    let told = HostAnswer::of(status.as_u16(), asked);
    if status.is_redirection() || status.is_informational() {
        let detail = format!("the handler answered {status}; redirects are not followed");
        return (
            AttemptEnd::for_good(failure("handler-redirected", detail, status)),
            told,
        );
    }
    let retry = retriable(status).then_some(asked);
    let emitter = emitter.filter(|_| status.is_success());
    let shown = |data: &[u8]| {
        if let Some(emitter) = &emitter {
            emitter.push(Stream::Output, data);
        }
    };
    let body = match whole::read(body, result_max, room, shown).await {
        Ok(body) => body,
        Err(Unread::TooLarge) if retry.is_none() => {
            let detail = format!("the handler's answer is larger than {result_max} bytes, the queue's limit");
            let end = AttemptEnd::for_good(failure("result-too-large", detail, status));
            return (end, told);
        }
        Err(Unread::TooLarge) => {
            let end = AttemptEnd::Failed {
                failure: answered(status),
                retry,
                result: None,
            };
            return (end, told);
        }
        Err(Unread::BrokenOff { after, why }) => {
            let detail = format!("the handler's answer broke off after {after} bytes: {why}");
            let end = AttemptEnd::retry(failure("handler-unreachable", detail, status));
            return (end, HostAnswer::BROKEN);
        }
    };
    let result = JobResult::new(
        status.as_u16(),
        content_type(&head.headers),
        kept(&head.headers),
        body,
    );
    let end = if status.is_success() {
        AttemptEnd::Succeeded(result)
    } else {
        AttemptEnd::Failed {
            failure: answered(status),
            retry,
            result: Some(result),
        }
    };
    (end, told)
}

fn failure(code: &str, detail: String, status: StatusCode) -> Failure {
    Failure {
        status: Some(status.as_u16()),
        ..Failure::new(code, detail)
    }
}

fn answered(status: StatusCode) -> Failure {
    failure("handler-failed", format!("the handler answered {status}"), status)
}

fn retriable(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429)
}

fn content_type(headers: &HeaderMap) -> Option<String> {
    Some(headers.get(CONTENT_TYPE)?.to_str().ok()?.to_owned())
}

fn kept(headers: &HeaderMap) -> Vec<(String, String)> {
    let named = |name: &'static str| {
        let values = headers.get_all(name).iter();
        values.filter_map(move |value| Some((name.to_owned(), value.to_str().ok()?.to_owned())))
    };
    KEPT_HEADERS.into_iter().flat_map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_kept_header_speaks_for_an_origin() {
        for name in KEPT_HEADERS {
            assert!(
                name.starts_with("content-") || name.ends_with("-digest"),
                "{name}"
            );
            assert_ne!(name, "content-security-policy");
        }
    }
}
