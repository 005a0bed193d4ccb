//! Following jobs: streams of events as server-sent events or as NDJSON.
//!
//! Invariants: a stream holds at most one page of chunks, however slow its reader: it reads the store at its reader's own
//! pace and the feed only while it has caught up; an event that many readers get at once is written once for all of them.

pub(crate) mod all;
pub(crate) mod batch;
mod body;
pub(crate) mod form;
pub(crate) mod job;

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::body::{Source, Stream};
use self::form::Form;
use super::Api;
use super::answer::NO_STORE;
use super::code::Code;
use super::problem::Problem;

/// The places for those who follow.
#[derive(Clone, Debug)]
pub(crate) struct Streams {
    free: Arc<Semaphore>,
    max: usize,
}

impl Streams {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(max)),
            max,
        }
    }

    /// How many are open now.
    pub(crate) fn open(&self) -> usize {
        self.max.saturating_sub(self.free.available_permits())
    }

    /// A place for one stream.
    ///
    /// # Errors
    /// When all are taken.
    pub(crate) fn place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        self.free.clone().try_acquire_owned().map_err(|_| {
            let detail = format!(
                "{} streams are open already, the limit; close some, or try again",
                self.max
            );
            Problem::new(Code::TooManyStreams, detail).retry_after(1)
        })
    }
}

/// The head of a stream, without a body.
pub(crate) fn head(form: Form) -> Response {
    // Proxies that gather answers before they pass them on would make a stream useless.
    const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(form.content_type()),
    );
    headers.insert(header::CACHE_CONTROL, NO_STORE);
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    headers.insert(BUFFERING, HeaderValue::from_static("no"));
    response
}

/// What a source gives, as a body.
fn body(source: impl Source) -> Body {
    Body::new(Stream::new(source))
}

/// Nothing, in a body of which nobody knows how long it will be: what a HEAD is answered with, so that it announces no
/// length that the stream would not have either.
struct Nothing;

impl Source for Nothing {
    async fn next(&mut self) -> Option<Bytes> {
        None
    }
}

/// The body of an answer to HEAD.
pub(crate) fn nothing() -> Body {
    body(Nothing)
}

/// Tells readers to come back after a while, each after another one.
fn come_back(api: &Api, form: Form) -> Bytes {
    form.retry(1_000 + api.node.pull().seed() % 4_000)
}
