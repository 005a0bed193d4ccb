//! Following the results of a batch, in the order in which its jobs end.
//!
//! Invariant: a stream holds at most one page, however slow its reader; a page that begins where the one before ended
//! leaves nothing out.

use std::pin::Pin;

use bytes::Bytes;
use raincheck_core::batch::BatchId;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep};

use super::body::Source;
use crate::api::Api;
use crate::api::caller::Caller;
use crate::api::wire::batch::ResultDocument;
use crate::batches::Following;

/// So many results are read at once.
const PAGE: u32 = 200;

/// One reader of a batch's results.
pub(crate) struct ResultsStream {
    api: Api,
    caller: Caller,
    id: BatchId,
    following: Following,
    after: u64,
    follow: bool,
    ping: Pin<Box<Sleep>>,
    over: bool,
    _place: OwnedSemaphorePermit,
}

impl ResultsStream {
    pub(crate) fn new(
        api: Api,
        caller: Caller,
        id: BatchId,
        following: Following,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let ping = Box::pin(sleep(api.options.ping));
        Self {
            api,
            caller,
            id,
            following,
            after: 0,
            follow: true,
            ping,
            over: false,
            _place: permit,
        }
    }

    /// The stream from behind this place on; where `follow` is not set, to what is there.
    pub(crate) fn body(mut self, after: u64, follow: bool) -> axum::body::Body {
        self.after = after;
        self.follow = follow;
        super::body(self)
    }

    /// What has ended since, as lines; `None` where nothing is left to come.
    async fn page(&mut self) -> Option<Vec<u8>> {
        let store = self.api.node.store();
        let page = store
            .results(&self.caller.namespace, self.id, self.after, PAGE)
            .await;
        // A store that cannot be read ends the stream; its reader comes back with `after`.
        let page = page.ok()?.ok()?;
        let mut lines = Vec::new();
        for finished in &page.finished {
            self.after = finished.place;
            if self.caller.sees(&finished.job.queue) {
                ResultDocument::of(self.api.node.links(), finished).write(&mut lines);
            }
        }
        let all = page.finished.is_empty() && (page.batch.done() || !self.follow);
        (!all).then_some(lines)
    }
}

impl Source for ResultsStream {
    async fn next(&mut self) -> Option<Bytes> {
        let drained = self.api.node.drained().clone();
        while !self.over {
            match self.page().await {
                None => self.over = true,
                Some(lines) if !lines.is_empty() => return Some(lines.into()),
                Some(_) => tokio::select! {
                    biased;
                    () = drained.cancelled() => self.over = true,
                    () = self.following.changed() => {}
                    () = self.ping.as_mut() => {
                        self.ping.as_mut().reset(Instant::now() + self.api.options.ping);
                        return Some(Bytes::from_static(b"\n"));
                    }
                },
            }
        }
        None
    }
}
