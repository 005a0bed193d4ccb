//! What is held open for a key ends with the key: requests that wait, and streams.
//!
//! Invariant: from the moment at which a key is revoked or over nobody who came with it is told anything more, but the answer
//! to what he had changed by then: it was done, and another answer would deny it. A submit that waits for its result is told that its
//! job was accepted, and no more.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{Method, Request};
use http_body::{Body as _, Frame, SizeHint};
use raincheck_core::time::Timestamp;
use tokio::time::Instant;

use super::door::Admitted;
use crate::keys::Kept;

type Over = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Until when somebody may be told something.
pub(crate) struct Until {
    key: Arc<Kept>,
    expires: Option<Instant>,
    /// Made once somebody waits.
    over: Option<Over>,
}

impl Until {
    /// Of a request that came with a key and may be held open without having changed anything: a reader, or a worker that
    /// waits for jobs, which gives back what it was to get.
    pub(crate) fn of<B>(request: &Request<B>, now: Timestamp) -> Option<Self> {
        let reads = *request.method() == Method::GET;
        if !reads && !request.uri().path().ends_with("/claim") {
            return None;
        }
        let Some(Admitted::Key(key)) = request.extensions().get() else {
            return None;
        };
        Some(Self::of_key(key, now))
    }

    /// Of somebody who has this key.
    pub(crate) fn of_key(key: &Arc<Kept>, now: Timestamp) -> Self {
        Self {
            expires: key.expires_at().map(|end| Instant::now() + end.since(now)),
            key: key.clone(),
            over: None,
        }
    }

    /// Waits until the key opens nothing any more.
    ///
    /// # Cancel safety
    /// Safe: nothing is lost.
    pub(crate) async fn over(&mut self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    /// Ready once the key opens nothing any more.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let over = self.over.get_or_insert_with(|| {
            let (revoked, expires) = (self.key.revoked().clone(), self.expires);
            Box::pin(async move {
                match expires {
                    None => revoked.cancelled().await,
                    Some(expires) => {
                        // Which of both it was makes no difference.
                        let _ = tokio::time::timeout_at(expires, revoked.cancelled()).await;
                    }
                }
            })
        });
        over.as_mut().poll(cx)
    }

    /// The answer, of which nothing more comes once the key opens nothing; what is whole already stays so.
    pub(crate) fn hold_to(self, response: Response) -> Response {
        response.map(|body| match body.size_hint().exact() {
            Some(_) => body,
            None => Body::new(Held {
                body: Some(body),
                until: self,
            }),
        })
    }
}

impl std::fmt::Debug for Until {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Until")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// A stream for somebody with a key.
struct Held {
    /// Gone with the key.
    body: Option<Body>,
    until: Until,
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.until.poll(cx).is_ready() {
            self.body = None;
        }
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::new, Body::size_hint)
    }
}
