//! Following one job: its newest state, then every chunk after the place where the reader stopped, then what happens.
//!
//! ```text
//! Reading ─(a page, told)─► Reading … ─(no more)─► Caught ─► Live ─(a gap, a lag, the end)─► Reading
//!                                                    └─(the job is done)─► Over
//! ```
//!
//! Invariants: chunks are told in the order of their numbers, none left out, none twice; `done` is told after a read of
//! the store that found no further chunk of a finished job; a new attempt is told before its first chunk.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use raincheck_core::id::{Fence, JobId};
use raincheck_core::job::Job;
use raincheck_core::lease::Progress;
use raincheck_core::name::Namespace;
use raincheck_core::output::Chunk;
use raincheck_core::store::Output;
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep};

use super::body::Source;
use super::form::{Form, Place};
use super::{body, come_back};
use crate::api::Api;
use crate::api::answer::render;
use crate::api::wire::job::{JobDocument, ProgressDocument};
use crate::feed::{Event, Following, What};

/// So many chunks are read at once.
pub(crate) const PAGE: u32 = 256;

#[derive(Serialize)]
struct ResetDocument {
    attempt: u32,
}

#[derive(Serialize)]
struct DoneDocument {
    outcome: Option<&'static str>,
}

/// What a reader asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// The place where it stopped.
    pub(crate) after: Option<Place>,
    /// Whether it wants what is to come as well.
    pub(crate) follow: bool,
}

/// What the stream is about to do, once what is written has been sent.
enum Phase {
    /// Tell what was read, after the state where it is the first page.
    First(Output),
    /// Read the store.
    Reading,
    /// Look at the job as it was read with the last chunk.
    Caught(Arc<Job>),
    /// Wait for what happens.
    Live,
    Over,
}

/// One reader of one job.
pub(crate) struct JobStream {
    api: Api,
    namespace: Namespace,
    id: JobId,
    form: Form,
    following: Following,
    phase: Phase,
    /// Written, not sent.
    written: VecDeque<Bytes>,
    /// Read, not written.
    chunks: VecDeque<Arc<Chunk>>,
    /// The number of the last chunk that was told.
    n: u64,
    /// The last version that was told.
    version: u32,
    progress: Option<Progress>,
    /// Whose output the reader has; `None` where it has none.
    shown: Option<Fence>,
    /// When the line is to be kept open by a comment.
    ping: Pin<Box<Sleep>>,
    /// Whether it goes on when it has caught up.
    follow: bool,
    /// Whether the feed told anything since the last one.
    heard: bool,
    _place: OwnedSemaphorePermit,
}

impl JobStream {
    /// A stream that begins with this page, read after the feed was joined, from where the reader stopped on.
    pub(crate) fn body(
        api: Api,
        form: Form,
        following: Following,
        page: Output,
        asked: Asked,
        permit: OwnedSemaphorePermit,
    ) -> axum::body::Body {
        let n = asked.after.map_or(0, |place| place.n);
        // A reader whose last chunk is gone has the output of an attempt that is over.
        let shown = (n > 0).then(|| page.before.unwrap_or_default());
        let ping = Box::pin(sleep(api.options.ping));
        body(Self {
            api,
            namespace: page.job.namespace.clone(),
            id: page.job.id,
            form,
            following,
            phase: Phase::First(page),
            written: VecDeque::new(),
            chunks: VecDeque::new(),
            n,
            version: 0,
            progress: None,
            shown,
            ping,
            follow: asked.follow,
            heard: false,
            _place: permit,
        })
    }

    fn say(&mut self, name: &str, data: &impl Serialize) {
        let id = Place {
            version: self.version,
            n: self.n,
        };
        self.written.push_back(self.form.say(name, Some(id), data));
    }

    /// Tells the job as it is.
    async fn state(&mut self, job: &Job) {
        self.version = job.version;
        self.progress = progress(job).cloned();
        // A queue that cannot be read is one of which the defaults are shown.
        let queue = self
            .api
            .node
            .queue(&self.namespace, &job.queue)
            .await
            .ok()
            .flatten();
        let document = render(&JobDocument::of(
            self.api.node.links(),
            job,
            queue.as_deref(),
            self.api.node.store().now(),
        ));
        let id = Place {
            version: self.version,
            n: self.n,
        };
        self.written
            .push_back(self.form.event("state", Some(id), &document));
    }

    /// Tells what is new of the job: its state, or its progress, and that a new attempt has begun.
    async fn job(&mut self, job: &Job) {
        if job.version > self.version {
            self.state(job).await;
        } else if job.version == self.version && progress(job) != self.progress.as_ref() {
            self.progress = progress(job).cloned();
            if let Some(told) = job.lease().and_then(ProgressDocument::of) {
                self.written.push_back(self.form.say("progress", None, &told));
            }
        }
        if job.version >= self.version && job.fence > Fence::default() {
            self.attempt(job.fence, job.attempt);
        }
    }

    /// What comes next is of this claim.
    fn attempt(&mut self, fence: Fence, attempt: u32) {
        if self.shown.is_some_and(|shown| shown != fence) {
            self.say("reset", &ResetDocument { attempt });
        }
        self.shown = Some(fence);
    }

    /// Tells a chunk, in the bytes that are shared with others where it came as an event.
    fn chunk(&mut self, chunk: &Chunk, event: Option<&Event>) {
        self.attempt(chunk.fence, chunk.attempt);
        self.n = chunk.n;
        let written = match event {
            Some(event) => event.written(self.form.index(), || self.form.chunk(chunk, event.version)),
            None => self.form.chunk(chunk, self.version),
        };
        self.written.push_back(written);
    }

    /// A page was read.
    fn take(&mut self, page: Output) {
        let last = page.chunks.last().map_or(self.n, |chunk| chunk.n);
        self.chunks.extend(page.chunks);
        self.phase = if last < page.last {
            Phase::Reading
        } else {
            Phase::Caught(page.job)
        };
    }

    async fn read(&mut self) {
        let store = self.api.node.store();
        match store.output(&self.namespace, self.id, self.n, PAGE).await {
            Ok(Ok(page)) => self.take(page),
            Ok(Err(_)) => self.phase = Phase::Over,
            // The store is out of reach: the reader comes back to where it is.
            Err(_) => self.leave(),
        }
    }

    /// Ends the stream before the job has; the reader comes back to where it is.
    fn leave(&mut self) {
        self.written.push_back(come_back(&self.api, self.form));
        self.phase = Phase::Over;
    }

    async fn caught(&mut self, job: &Job) {
        self.job(job).await;
        if job.done() {
            self.n += 1;
            let outcome = job.outcome().map(raincheck_core::job::Outcome::as_str);
            self.say("done", &DoneDocument { outcome });
            self.phase = Phase::Over;
        } else if !self.follow {
            self.phase = Phase::Over;
        } else {
            self.phase = Phase::Live;
        }
    }

    async fn live(&mut self) {
        let drained = self.api.node.drained().clone();
        let event = tokio::select! {
            biased;
            event = self.following.next() => event,
            () = drained.cancelled() => return self.leave(),
            () = self.ping.as_mut() => {
                self.written.push_back(self.form.ping());
                self.ping.as_mut().reset(Instant::now() + self.api.options.ping);
                // Hints may be lost: a line that was silent looks for itself.
                if !std::mem::take(&mut self.heard) {
                    self.phase = Phase::Reading;
                }
                return;
            }
        };
        self.heard = true;
        let Ok(event) = event else {
            self.phase = Phase::Reading;
            return;
        };
        match &event.what {
            What::Chunk(chunk) if chunk.n == self.n + 1 => self.chunk(chunk, Some(&event)),
            What::Chunk(chunk) if chunk.n <= self.n => {}
            What::Chunk(_) => self.phase = Phase::Reading,
            What::Job(job) if job.done() => self.phase = Phase::Reading,
            What::Job(job) => self.job(job).await,
        }
    }
}

fn progress(job: &Job) -> Option<&Progress> {
    job.lease().and_then(|lease| lease.progress.as_ref())
}

impl Source for JobStream {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(written) = self.written.pop_front() {
                return Some(written);
            }
            if let Some(chunk) = self.chunks.pop_front() {
                self.chunk(&chunk, None);
                continue;
            }
            match std::mem::replace(&mut self.phase, Phase::Live) {
                Phase::First(page) => {
                    let job = page.job.clone();
                    self.take(page);
                    self.state(&job).await;
                }
                Phase::Reading => self.read().await,
                Phase::Caught(job) => self.caught(&job).await,
                Phase::Live => self.live().await,
                Phase::Over => {
                    self.phase = Phase::Over;
                    return None;
                }
            }
        }
    }
}
