//! Following all jobs: their documents as they change, for those who show them.
//!
//! Invariant: a reader that was too slow is told to list the jobs anew; nothing is kept for it.

use std::pin::Pin;

use bytes::Bytes;
use raincheck_core::job::Job;
use raincheck_core::name::QueueName;
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep};

use super::body::Source;
use super::form::Form;
use super::{body, come_back};
use crate::api::Api;
use crate::api::answer::render;
use crate::api::caller::Caller;
use crate::api::wire::job::JobDocument;
use crate::feed::{Event, Following, What};

#[derive(Serialize)]
struct RelistDocument {
    url: String,
}

/// One reader of all jobs of a namespace, or of one of its queues.
pub(crate) struct AllStream {
    api: Api,
    caller: Caller,
    queue: Option<QueueName>,
    form: Form,
    following: Following,
    ping: Pin<Box<Sleep>>,
    over: bool,
    _place: OwnedSemaphorePermit,
}

impl AllStream {
    /// A stream from now on.
    pub(crate) fn body(
        api: Api,
        caller: Caller,
        queue: Option<QueueName>,
        form: Form,
        permit: OwnedSemaphorePermit,
    ) -> axum::body::Body {
        let following = api.node.feeds().follow_all();
        let ping = Box::pin(sleep(api.options.ping));
        body(Self {
            api,
            caller,
            queue,
            form,
            following,
            ping,
            over: false,
            _place: permit,
        })
    }

    async fn written(&self, event: &Event, job: &Job) -> Bytes {
        let queue = self
            .api
            .node
            .queue(&self.caller.namespace, &job.queue)
            .await
            .ok()
            .flatten();
        event.written(self.form.index(), || {
            let now = self.api.node.store().now();
            let document = render(&JobDocument::of(
                self.api.node.links(),
                job,
                queue.as_deref(),
                now,
            ));
            self.form.event("state", None, &document)
        })
    }
}

impl Source for AllStream {
    async fn next(&mut self) -> Option<Bytes> {
        if self.over {
            return None;
        }
        let drained = self.api.node.drained().clone();
        loop {
            let event = tokio::select! {
                biased;
                event = self.following.next() => event,
                () = drained.cancelled() => {
                    self.over = true;
                    return Some(come_back(&self.api, self.form));
                }
                () = self.ping.as_mut() => {
                    self.ping.as_mut().reset(Instant::now() + self.api.options.ping);
                    return Some(self.form.ping());
                }
            };
            let Ok(event) = event else {
                let url = self.api.node.links().path("/v1/jobs");
                return Some(self.form.say("relist", None, &RelistDocument { url }));
            };
            if let What::Job(job) = &event.what
                && job.namespace == self.caller.namespace
                && self.caller.sees(&job.queue)
                && self.queue.as_ref().is_none_or(|queue| *queue == job.queue)
            {
                return Some(self.written(&event, job).await);
            }
        }
    }
}
