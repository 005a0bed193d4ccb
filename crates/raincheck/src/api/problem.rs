//! A refusal as the caller sees it: `application/problem+json` (RFC 9457).
//!
//! Invariant: a detail names the thing, the limit and the way out, and never holds an input, a secret, SQL or a path
//! of the server. The body is written by the [gate](super::gate), which knows the request's id.

use std::borrow::Cow;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use raincheck_core::id::JobId;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::code::Code;
use crate::links::Links;

/// The media type of a problem.
pub(crate) const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Why a request was refused.
#[derive(Debug)]
pub(crate) struct Problem(Box<Inner>);

#[derive(Debug)]
struct Inner {
    code: Code,
    detail: Cow<'static, str>,
    errors: Vec<Flaw>,
    job: Option<JobId>,
    headers: HeaderMap,
}

/// One flaw of a request.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Flaw {
    /// Where, as a JSON pointer (RFC 6901) into the body.
    #[schema(example = "/priority")]
    pub(crate) pointer: String,
    /// What is wrong with it.
    pub(crate) detail: String,
}

/// Why a request was refused (RFC 9457). Branch on `code`, which never changes its meaning.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemDocument<'a> {
    /// The URL of the code's page.
    #[serde(rename = "type")]
    #[schema(value_type = String, example = "/problems/queue-full")]
    kind: Page<'a>,
    /// The same for every occurrence of the code.
    #[schema(example = "The queue is full")]
    title: &'static str,
    /// The HTTP status.
    #[schema(example = 429)]
    status: u16,
    /// What happened this time and what to do.
    #[schema(example = "queue \"thumbs\" holds 100000 jobs, its limit; try again in 3 s")]
    detail: &'a str,
    /// The stable code.
    #[schema(example = "queue-full")]
    code: &'static str,
    /// Names this request in the server's log; left out of a problem that stands inside a list.
    #[serde(skip_serializing_if = "str::is_empty")]
    request_id: &'a str,
    /// The flaws of the request one by one, where there are several places to look at.
    #[serde(skip_serializing_if = "<[Flaw]>::is_empty")]
    #[schema(required = false)]
    errors: &'a [Flaw],
    /// The job that stands in the way (`unique-conflict`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, required = false)]
    job: Option<JobId>,
}

/// Where a code's page is.
struct Page<'a>(Links<'a>, Code);

impl Serialize for Page<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.path(self.1.url()))
    }
}

impl Problem {
    pub(crate) fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            job: None,
            headers: HeaderMap::new(),
        }))
    }

    /// A request that breaks the rules.
    pub(crate) fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::BadRequest, detail)
    }

    /// Points at the place in a JSON body.
    pub(crate) fn at(mut self, pointer: impl Into<String>) -> Self {
        let detail = self.0.detail.clone().into_owned();
        self.0.errors.push(Flaw {
            pointer: pointer.into(),
            detail,
        });
        self
    }

    /// Names another job, which stands in the way. Nothing of the request itself was stored, so the headers that tell
    /// of a stored job stay away.
    pub(crate) fn naming(mut self, job: JobId) -> Self {
        self.0.job = Some(job);
        self
    }

    /// Says after how many seconds trying again can help.
    pub(crate) fn retry_after(self, seconds: u64) -> Self {
        self.header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// Sends this header with the answer.
    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    /// Whether the commit that it tells of may have happened nevertheless.
    pub(crate) fn in_doubt(&self) -> bool {
        self.0
            .headers
            .get(super::answer::RAINCHECK_OUTCOME)
            .is_some_and(|outcome| outcome == "unknown")
    }

    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }

    pub(crate) fn code(&self) -> Code {
        self.0.code
    }

    /// The body, once the request's id is known.
    pub(crate) fn render(&self, links: Links<'_>, request_id: &str) -> Vec<u8> {
        serde_json::to_vec(&self.document(links, request_id)).expect("a problem is plain text and numbers")
    }

    /// The problem as it stands in its answer, or inside a list.
    pub(crate) fn document<'a>(&'a self, links: Links<'a>, request_id: &'a str) -> ProblemDocument<'a> {
        let code = self.0.code;
        ProblemDocument {
            kind: Page(links, code),
            title: code.title(),
            status: code.status().as_u16(),
            detail: &self.0.detail,
            code: code.as_str(),
            request_id,
            errors: &self.0.errors,
            job: self.0.job,
        }
    }
}

/// A problem whose body is still to be written; travels in the response's extensions.
#[derive(Clone, Debug)]
pub(crate) struct Unwritten(pub(crate) std::sync::Arc<Problem>);

impl IntoResponse for Problem {
    fn into_response(mut self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.0.code.status();
        *response.headers_mut() = std::mem::take(&mut self.0.headers);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, PROBLEM_JSON);
        headers
            .entry(header::CACHE_CONTROL)
            .or_insert(HeaderValue::from_static("no-store"));
        response
            .extensions_mut()
            .insert(Unwritten(std::sync::Arc::new(self)));
        response
    }
}
