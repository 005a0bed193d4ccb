//! What the model keeps, and how it reads and replaces it.
//!
//! Invariant: a job is in `jobs` or in `gone`, never in both; a key points at one of the two; a queue that is
//! missing from `lines` has no unfinished job.

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::sync::Arc;

use super::batches::BatchRow;
use crate::audit::Recorded;
use crate::batch::{Batch, BatchId};
use crate::content::{Input, JobResult};
use crate::decide::Fingerprint;
use crate::delivery::{Delivery, DeliveryId};
use crate::group::GroupSpec;
use crate::id::JobId;
use crate::job::{Job, State};
use crate::key::ApiKey;
use crate::lease::WorkerKind;
use crate::limit::RateState;
use crate::name::{GroupName, Namespace, QueueName};
use crate::output::{Chunk, Mark};
use crate::queue::{Policy, Queue, QueueSpec};
use crate::secret::{Secret, SigningSecrets};
use crate::store::{Change, Counts, Missing};
use crate::time::Timestamp;

/// A queue's full name.
pub(in crate::conformance) type LineName = (Namespace, QueueName);

/// Everything the model knows.
#[derive(Clone, Debug, Default)]
pub(in crate::conformance) struct Model {
    pub(super) jobs: BTreeMap<JobId, Row>,
    pub(super) gone: BTreeMap<JobId, Gone>,
    pub(super) keys: BTreeMap<(Namespace, QueueName, String), Key>,
    pub(super) lines: BTreeMap<LineName, Line>,
    /// Where the rates of queues and groups stand.
    pub(super) rates: BTreeMap<(LineName, Option<GroupName>), RateState>,
    pub(super) secrets: BTreeMap<Namespace, SigningSecrets>,
    pub(super) deliveries: BTreeMap<DeliveryId, Delivery>,
    pub(super) ticket_key: Option<Secret>,
    pub(super) key_pepper: Option<Secret>,
    pub(super) api_keys: Vec<ApiKey>,
    /// The oldest first.
    pub(super) acts: Vec<Recorded>,
    /// How many acts there ever were.
    pub(super) acts_ever: u64,
    pub(super) batches: BTreeMap<BatchId, BatchRow>,
    /// Batches that changed in this operation.
    pub(super) batches_changed: Vec<BatchId>,
    /// Jobs that changed in this operation, as they are now.
    pub(super) changes: Vec<Change>,
    /// Jobs that were accepted, claimed or renewed with progress in this operation.
    pub(super) advanced: Vec<Arc<Job>>,
    /// Chunks that were kept in this operation.
    pub(super) emitted: Vec<Arc<Chunk>>,
    /// Queues that were resumed in this operation, or in which an endpoint left its place.
    pub(super) resumed: Vec<LineName>,
    /// How many jobs of each queue could be claimed when the last operation ended.
    ready: BTreeMap<LineName, u32>,
}

/// A job with what belongs to it.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) job: Arc<Job>,
    pub(super) input: Input,
    pub(super) result: Option<Arc<JobResult>>,
    pub(super) chunks: Vec<Arc<Chunk>>,
    pub(super) mark: Option<Mark>,
}

/// The tombstone of a job that is no more.
#[derive(Clone, Debug)]
pub(super) struct Gone {
    pub(super) namespace: Namespace,
    pub(super) why: Missing,
    pub(super) until: Timestamp,
}

/// An idempotency key in use.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) fingerprint: Fingerprint,
    pub(super) job: JobId,
}

/// A queue, and the ring in which its groups take turns.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) queue: Arc<Queue>,
    pub(super) ring: VecDeque<Option<GroupName>>,
    /// The limits that are written for groups.
    pub(super) groups: BTreeMap<GroupName, GroupSpec>,
}

/// What one operation has to tell the observer.
#[derive(Debug)]
pub(in crate::conformance) struct Told {
    pub(in crate::conformance) changes: Vec<Change>,
    pub(in crate::conformance) advanced: Vec<Arc<Job>>,
    pub(in crate::conformance) emitted: Vec<Arc<Chunk>>,
    pub(in crate::conformance) batches: Vec<Arc<Batch>>,
    pub(in crate::conformance) ready: Vec<LineName>,
}

impl Model {
    fn row(&self, ns: &Namespace, id: JobId) -> Result<&Row, Missing> {
        if let Some(row) = self.jobs.get(&id).filter(|row| row.job.namespace == *ns) {
            return Ok(row);
        }
        let gone = self.gone.get(&id).filter(|gone| gone.namespace == *ns);
        Err(gone.map_or(Missing::Unknown, |gone| gone.why))
    }

    /// The job as it is.
    pub(in crate::conformance) fn find(&self, ns: &Namespace, id: JobId) -> Result<Arc<Job>, Missing> {
        self.row(ns, id).map(|row| row.job.clone())
    }

    pub(in crate::conformance) fn input(&self, ns: &Namespace, id: JobId) -> Result<Input, Missing> {
        self.row(ns, id).map(|row| row.input.clone())
    }

    pub(in crate::conformance) fn result(&self, ns: &Namespace, id: JobId) -> Result<Change, Missing> {
        self.row(ns, id).map(|row| Change {
            job: row.job.clone(),
            result: row.result.clone(),
        })
    }

    /// All jobs, oldest first.
    pub(in crate::conformance) fn jobs(&self) -> impl Iterator<Item = &Arc<Job>> {
        self.jobs.values().map(|row| &row.job)
    }

    /// The jobs that the present operation has changed so far.
    pub(in crate::conformance) fn changed(&self) -> Vec<Change> {
        self.changes.clone()
    }

    /// Whether a tombstone is over.
    pub(in crate::conformance) fn tombstone_due(&self, now: Timestamp) -> bool {
        self.gone.values().any(|gone| gone.until <= now)
    }

    /// Takes the job as another store has it.
    pub(in crate::conformance) fn adopt(&mut self, job: Job) {
        self.keep(job);
    }

    /// All jobs of one queue, oldest first.
    pub(super) fn jobs_of<'a>(
        &'a self,
        ns: &'a Namespace,
        queue: &'a QueueName,
    ) -> impl Iterator<Item = &'a Arc<Job>> {
        self.jobs
            .values()
            .map(|row| &row.job)
            .filter(move |job| job.namespace == *ns && job.queue == *queue)
    }

    /// The rules that the job follows: of its queue, or the defaults where a finished job outlived its queue.
    pub(in crate::conformance) fn policy(&self, job: &Job) -> Policy {
        let name = (job.namespace.clone(), job.queue.clone());
        match self.lines.get(&name) {
            Some(line) => line.queue.policy(&job.options),
            None => Queue::new(name.0, name.1, QueueSpec::default(), job.created_at).policy(&job.options),
        }
    }

    pub(super) fn counts(&self, ns: &Namespace, queue: &QueueName, now: Timestamp) -> Counts {
        let mut counts = Counts::default();
        for job in self.jobs_of(ns, queue) {
            let count = match job.state(now) {
                State::Scheduled => &mut counts.scheduled,
                State::Queued => &mut counts.queued,
                State::Running => &mut counts.running,
                State::Succeeded => &mut counts.succeeded,
                State::Failed => &mut counts.failed,
                State::Cancelled => &mut counts.cancelled,
                State::Expired => &mut counts.expired,
            };
            *count += 1;
        }
        counts
    }

    /// Puts the job in the place of its former self, without telling, and records what it makes by ending.
    pub(super) fn keep(&mut self, job: Job) -> Arc<Job> {
        let job = Arc::new(job);
        let row = self
            .jobs
            .get_mut(&job.id)
            .expect("only a job that is there changes");
        let ended = !row.job.done() && job.done();
        row.job = job.clone();
        if ended {
            self.record(&job);
            self.member_ended(&job);
        }
        job
    }

    /// Puts the job in the place of its former self and tells the observer: of a place, too, that an endpoint leaves,
    /// for those who work the queue keep bounds that are not written.
    pub(super) fn change(&mut self, job: Job) -> Arc<Job> {
        let before = self.jobs[&job.id].job.lease().map(|lease| lease.kind);
        if before == Some(WorkerKind::Deferred) && job.lease().is_none() {
            self.resumed.push((job.namespace.clone(), job.queue.clone()));
        }
        let job = self.keep(job);
        let result = self.jobs[&job.id].result.clone();
        self.changes.push(Change {
            job: job.clone(),
            result,
        });
        job
    }

    /// Ends an operation: what the observer is to be told of it. A queue is ready when more of its jobs can be
    /// claimed than when the operation before ended.
    pub(in crate::conformance) fn tell(&mut self, now: Timestamp) -> Told {
        let mut ready = mem::take(&mut self.resumed);
        let mut counts = BTreeMap::new();
        for (name, line) in &self.lines {
            let due = self.startable_of_groups(name, now);
            let count = if line.queue.paused.is_some() {
                0
            } else {
                self.free(&line.queue, None, due, now)
            };
            if count > self.ready.get(name).copied().unwrap_or(0) && !ready.contains(name) {
                ready.push(name.clone());
            }
            counts.insert(name.clone(), count);
        }
        for name in counts.keys() {
            self.turn_ring(name, now);
        }
        self.ready = counts;
        Told {
            changes: mem::take(&mut self.changes),
            advanced: mem::take(&mut self.advanced),
            emitted: mem::take(&mut self.emitted),
            batches: self.told_batches(),
            ready,
        }
    }

    /// The greatest [`JobId::seq`] that was used.
    pub(in crate::conformance) fn last_seq(&self) -> u64 {
        let ids = self.jobs.keys().chain(self.gone.keys());
        let batches = self.batches.keys().map(|id| id.seq());
        ids.map(|id| id.seq()).chain(batches).max().unwrap_or(0)
    }
}
