//! What is new of jobs that somebody follows: one ring of events for each such job, and one for all jobs.
//!
//! ```text
//! Observer ─► Feeds::{emitted, advanced, changed} ─► the job's ring ─► each reader at its own pace
//!                                                  └► the ring of all
//! ```
//!
//! Invariants: a reader gets every event that is committed after it was registered, in order, or is told that it has
//! lagged behind; a ring is bounded in events and in bytes, however slow its readers; a job that nobody follows costs
//! nothing. Events are hints: what they say is committed, but who must have all of it reads the store.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use raincheck_core::id::JobId;
use raincheck_core::job::Job;
use raincheck_core::output::Chunk;
use raincheck_core::store::Change;
use tokio::sync::Notify;

use crate::sharded::{Sharded, locked};

/// Events of one job that wait for its readers; who is further behind reads the store. Some seconds of tokens.
const EVENTS_MAX: usize = 512;
/// Bytes of one job's chunks that wait for its readers.
const BYTES_MAX: usize = 1 << 20;
/// Events of all jobs that wait for their readers.
const ALL_EVENTS_MAX: usize = 4_096;

/// What happened.
#[derive(Debug)]
pub(crate) enum What {
    /// The job moved, or told of its progress.
    Job(Arc<Job>),
    /// The job emitted.
    Chunk(Arc<Chunk>),
}

/// So many forms in which an event is written.
pub(crate) const FORMS: usize = 2;

/// An event, and the bytes that its readers share.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) what: What,
    /// The job's version when this was told, as far as this feed had heard; 0 where it had not.
    pub(crate) version: u32,
    written: [OnceLock<Bytes>; FORMS],
}

impl Event {
    /// The event in one of its forms, written by the first reader that needs it.
    pub(crate) fn written(&self, form: usize, write: impl FnOnce() -> Bytes) -> Bytes {
        match self.written.get(form) {
            Some(written) => written.get_or_init(write).clone(),
            None => write(),
        }
    }

    fn size(&self) -> usize {
        match &self.what {
            What::Chunk(chunk) => chunk.piece.body.len(),
            What::Job(_) => 0,
        }
    }
}

#[derive(Default)]
struct State {
    events: VecDeque<Arc<Event>>,
    /// How many events came before the first of `events`.
    gone: u64,
    bytes: usize,
    version: u32,
}

/// One ring.
struct Ring {
    state: Mutex<State>,
    told: Notify,
    events_max: usize,
}

impl Ring {
    fn new(events_max: usize) -> Self {
        Self {
            state: Mutex::default(),
            told: Notify::new(),
            events_max,
        }
    }

    fn push(&self, what: What) {
        let mut state = locked(&self.state);
        if let What::Job(job) = &what {
            state.version = state.version.max(job.version);
        }
        let event = Arc::new(Event {
            what,
            version: state.version,
            written: Default::default(),
        });
        state.bytes += event.size();
        state.events.push_back(event);
        while state.events.len() > self.events_max || (state.bytes > BYTES_MAX && state.events.len() > 1) {
            if let Some(event) = state.events.pop_front() {
                state.bytes -= event.size();
                state.gone += 1;
            }
        }
    }

    fn end(&self) -> u64 {
        let state = locked(&self.state);
        state.gone + state.events.len() as u64
    }
}

struct Entry {
    ring: Arc<Ring>,
    readers: usize,
}

struct Shards {
    jobs: Sharded<Entry>,
    /// Readers of single jobs.
    readers: AtomicUsize,
    all: Arc<Ring>,
    /// Readers of all jobs.
    all_readers: AtomicUsize,
}

/// All rings. Cloning gives another handle.
#[derive(Clone)]
pub(crate) struct Feeds(Arc<Shards>);

impl fmt::Debug for Feeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feeds").field("readers", &self.readers()).finish()
    }
}

impl Default for Feeds {
    fn default() -> Self {
        Self(Arc::new(Shards {
            jobs: Sharded::default(),
            readers: AtomicUsize::new(0),
            all: Arc::new(Ring::new(ALL_EVENTS_MAX)),
            all_readers: AtomicUsize::new(0),
        }))
    }
}

impl Feeds {
    /// Registers a reader of one job from the moment of this call, so: follow, then read the store, then the feed.
    pub(crate) fn follow(&self, id: JobId) -> Following {
        // Counted before it is entered, so that whoever tells never skips a reader that is there already.
        self.0.readers.fetch_add(1, Ordering::SeqCst);
        let mut shard = self.0.jobs.of(id);
        let entry = shard.entry(id).or_insert_with(|| Entry {
            ring: Arc::new(Ring::new(EVENTS_MAX)),
            readers: 0,
        });
        entry.readers += 1;
        let ring = entry.ring.clone();
        let next = ring.end();
        drop(shard);
        Following {
            job: Some(id),
            ring,
            next,
            feeds: self.clone(),
        }
    }

    /// Registers a reader of all jobs.
    pub(crate) fn follow_all(&self) -> Following {
        self.0.all_readers.fetch_add(1, Ordering::SeqCst);
        let ring = self.0.all.clone();
        let next = ring.end();
        Following {
            job: None,
            ring,
            next,
            feeds: self.clone(),
        }
    }

    /// How many follow single jobs now, or all.
    pub(crate) fn readers(&self) -> usize {
        self.0.readers.load(Ordering::SeqCst) + self.0.all_readers.load(Ordering::SeqCst)
    }

    fn ring(&self, id: JobId) -> Option<Arc<Ring>> {
        let shard = self.0.jobs.of(id);
        shard.get(&id).map(|entry| entry.ring.clone())
    }

    /// Passes on what was emitted. Called, as the others, after the sync; what one commit did
    /// comes in the order of these three.
    pub(crate) fn emitted(&self, chunks: &[Arc<Chunk>]) {
        if self.0.readers.load(Ordering::SeqCst) == 0 {
            return;
        }
        for run in chunks.chunk_by(|a, b| a.job == b.job) {
            let Some(ring) = run.first().and_then(|chunk| self.ring(chunk.job)) else {
                continue;
            };
            for chunk in run {
                ring.push(What::Chunk(chunk.clone()));
            }
            ring.told.notify_waiters();
        }
    }

    /// Passes on that jobs were accepted, claimed or renewed with progress.
    pub(crate) fn advanced(&self, jobs: &[Arc<Job>]) {
        self.moved(jobs.iter());
    }

    /// Passes on that jobs changed.
    pub(crate) fn changed(&self, changes: &[Change]) {
        self.moved(changes.iter().map(|change| &change.job));
    }

    fn moved<'a>(&self, jobs: impl Iterator<Item = &'a Arc<Job>> + Clone) {
        if self.0.readers.load(Ordering::SeqCst) > 0 {
            for job in jobs.clone() {
                if let Some(ring) = self.ring(job.id) {
                    ring.push(What::Job(job.clone()));
                    ring.told.notify_waiters();
                }
            }
        }
        if self.0.all_readers.load(Ordering::SeqCst) > 0 {
            for job in jobs {
                self.0.all.push(What::Job(job.clone()));
            }
            self.0.all.told.notify_waiters();
        }
    }
}

/// Events were missed: the reader was too slow for the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lagged;

/// One reader; registered until it is dropped.
pub(crate) struct Following {
    job: Option<JobId>,
    ring: Arc<Ring>,
    next: u64,
    feeds: Feeds,
}

impl fmt::Debug for Following {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Following")
            .field("job", &self.job)
            .finish_non_exhaustive()
    }
}

impl Following {
    /// The next event; where some were missed that is told once, and then it goes on with the oldest that is there.
    ///
    /// # Errors
    /// When events were missed.
    ///
    /// # Cancel safety
    /// Safe: an event that was not given back is given back by the next call.
    pub(crate) async fn next(&mut self) -> Result<Arc<Event>, Lagged> {
        loop {
            // Made before the look at the ring: it wakes for whatever is told from here on.
            let told = self.ring.told.notified();
            {
                let state = locked(&self.ring.state);
                if self.next < state.gone {
                    self.next = state.gone;
                    return Err(Lagged);
                }
                let place = usize::try_from(self.next - state.gone).unwrap_or(usize::MAX);
                if let Some(event) = state.events.get(place) {
                    self.next += 1;
                    return Ok(event.clone());
                }
            }
            told.await;
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let shards = &self.feeds.0;
        let Some(id) = self.job else {
            if shards.all_readers.fetch_sub(1, Ordering::SeqCst) == 1 {
                // Nobody is left to read them; a reader that comes meanwhile begins at the end anyway.
                let mut state = locked(&shards.all.state);
                state.gone += state.events.len() as u64;
                state.events.clear();
            }
            return;
        };
        let mut shard = shards.jobs.of(id);
        if let Some(entry) = shard.get_mut(&id) {
            entry.readers -= 1;
            if entry.readers == 0 {
                shard.remove(&id);
            }
        }
        drop(shard);
        shards.readers.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests;
