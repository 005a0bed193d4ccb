//! What keeps jobs: operations named by intent, batch in and batch out, each one atomic durable step.
//!
//! Contract of every writing operation: it is handed over when the method is called, not when the answer is first
//! polled; dropping the answer drops only the wait. `Ok` means that everything it reports is on stable storage (a
//! sync has returned). `Err` means that nothing was stored, but for [`StoreError::Unknown`]. The entries of a
//! batch are independent: one that is refused harms no other. The store stamps each operation once with its own
//! clock, and decides nothing itself: it calls [`decide`](crate::decide).
//!
//! Every operation on behalf of a caller takes the namespace first and sees nothing outside it. Upkeep
//! ([`Store::reclaim`], [`Store::prune`], [`Store::claim_deliveries`]) belongs to nobody and works on all.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::content::{Input, JobResult};
use crate::decide::{
    Claimer, EmitRefused, Fingerprint, NewJob, Patch, PatchRefused, Renewed, SettleRefused, Settlement,
};
use crate::delivery::{Delivery, DeliveryId};
use crate::id::{JobId, LeaseId, Nonce};
use crate::job::Job;
use crate::lease::Progress;
use crate::list::{Listed, Page};
use crate::name::{Namespace, QueueName};
use crate::output::Chunk;
pub use crate::output::{Emit, Emitted, OUTPUT_PAGE_BYTES, Output};
use crate::queue::{Queue, QueueSpec};
use crate::secret::{Secret, SigningSecrets};
use crate::time::Timestamp;

mod counts;
mod outbox;

pub use counts::{Counts, QueueStatus};
pub use outbox::{DueDeliveries, EndTry, Outgoing};

/// What an operation gives back: a future that owns all it needs.
pub type Answer<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'static>>;

/// Why an operation as a whole came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The store cannot be reached or is overloaded; nothing was stored, trying again can help.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// Whether the commit happened is not known. Repeating under an idempotency key tells.
    #[error("whether the commit happened is not known")]
    Unknown,
    /// No space is left; nothing was stored, finishing and deleting go on.
    #[error("no space is left for the store")]
    DiskFull,
    /// A write or a sync failed: the store takes nothing any more and is to be opened anew.
    #[error("the store has failed and must be opened anew: {0}")]
    Failed(String),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

/// Why a job is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// Nobody in this namespace ever got this id, or its tombstone is gone too.
    #[error("no such job")]
    Unknown,
    /// It was deleted by hand; told for 24 hours.
    #[error("the job was deleted")]
    Deleted,
    /// It outlived its retention; told for 24 hours.
    #[error("the job has outlived its retention")]
    Expired,
}

/// An idempotency key and what was sent under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// The key; its scope is namespace and queue.
    pub key: String,
    /// The digest of the request.
    pub fingerprint: Fingerprint,
}

/// One job to be accepted.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The job.
    pub job: NewJob,
    /// Its input.
    pub input: Input,
    /// The key under which a repetition is recognised.
    pub idempotency: Option<Idempotency>,
    /// Whether a queue that does not exist is created with default settings.
    pub create_queue: bool,
}

/// What became of one submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// Accepted: the job is what [`decide::submit`](crate::decide::submit) makes of the request.
    Created,
    /// The key was used before by the same request: the job it made, as it is now.
    Replayed(Result<Arc<Job>, Missing>, JobId),
    /// Nothing was made: another job holds the unique value, and the request attaches itself to that one. An
    /// idempotency key that came with the request points at it from now on.
    Attached(Arc<Job>),
}

/// Why one submission was refused; nothing of it was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitRefused {
    /// The queue does not exist.
    #[error("no such queue")]
    UnknownQueue,
    /// As many jobs wait as the queue's `depth` allows.
    #[error("the queue is full")]
    QueueFull {
        /// The queue's depth.
        depth: u64,
    },
    /// The idempotency key was used by another request.
    #[error("the idempotency key was used by another request")]
    IdempotencyMismatch,
    /// Another job of the queue holds the unique value.
    #[error("{holder} holds the unique value")]
    UniqueConflict {
        /// The job that holds it.
        holder: JobId,
    },
}

/// One claim of up to as many jobs as it brings nonces.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The queue.
    pub queue: QueueName,
    /// Who claims and how.
    pub claimer: Claimer,
    /// The secret parts of the leases, fresh and random.
    pub nonces: Vec<Nonce>,
    /// With those that this claim takes, at most so many jobs of the queue run, whoever runs them: the bound by which
    /// the claimer works the queue where its settings write none. What the settings write holds besides.
    pub running_max: Option<u32>,
}

/// A job in a worker's hands.
#[derive(Clone, Debug)]
pub struct Leased {
    /// The job, running.
    pub job: Arc<Job>,
    /// Its input.
    pub input: Input,
}

/// One renewal.
#[derive(Clone, Debug)]
pub struct Renew {
    /// The lease.
    pub lease: LeaseId,
    /// Its new term.
    pub term: Duration,
    /// How far the attempt is; what was told before stays where absent.
    pub progress: Option<Progress>,
    /// Whether the attempt goes on elsewhere: the lease is its endpoint's from now on, outlives the server, and runs to
    /// the attempt's deadline.
    pub defer: bool,
}

/// One settlement.
#[derive(Clone, Debug)]
pub struct Settle {
    /// The lease under which the attempt ran.
    pub lease: LeaseId,
    /// What became of it.
    pub settlement: Settlement,
    /// Stands for verb and content when the settlement is repeated.
    pub digest: [u8; 16],
    /// Brings the jitter of a retry's delay.
    pub seed: u64,
}

/// A finished job to be submitted again.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// The finished job.
    pub id: JobId,
    /// The id of the new one.
    pub new_id: JobId,
}

/// Why a retry or a deletion was refused; nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeRefused {
    /// The job is not there.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// The job is not finished.
    #[error("the job is not done")]
    NotDone,
    /// The new job was refused.
    #[error(transparent)]
    Submit(#[from] SubmitRefused),
}

/// Why a job was not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The job is not there.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// It is, but may not be changed.
    #[error(transparent)]
    Refused(#[from] PatchRefused),
}

/// Why an operation on a queue was refused; nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueueRefused {
    /// The queue does not exist.
    #[error("no such queue")]
    Unknown,
    /// Flags or a file define the queue.
    #[error("the queue is defined by the server's configuration")]
    Managed,
    /// Unfinished jobs are in it.
    #[error("the queue has {0} unfinished jobs")]
    NotEmpty(u64),
}

/// What [`Store::reclaim`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reclaimed {
    /// Leases ended and overdue jobs ended.
    pub count: u32,
    /// When the next lease lapses or the next waiting job is overdue, as far as is known now.
    pub next_at: Option<Timestamp>,
}

/// What a slice of work did, and whether another slice is due at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    /// Rows that were dealt with.
    pub count: u32,
    /// Whether more is due already.
    pub more: bool,
}

/// A job and its result: as a change was committed, or as they are read.
#[derive(Clone, Debug)]
pub struct Change {
    /// The job.
    pub job: Arc<Job>,
    /// Its result, where it is done and has one.
    pub result: Option<Arc<JobResult>>,
}

/// Is told what was committed. Called from the store's own thread, after the sync: must return quickly.
///
/// Both calls are hints for those who wait; who must know reads the store.
pub trait Observer: Debug + Send + Sync + 'static {
    /// These jobs changed (cancel requested, settled, reclaimed, expired …); acceptance and claims are not told here.
    /// What one commit has to tell comes in the order [`Observer::emitted`], [`Observer::advanced`], this.
    fn changed(&self, changes: Vec<Change>);

    /// These jobs were accepted, claimed, or renewed with progress. Told apart from other changes because hardly anybody
    /// waits for them; of a job that is settled in the same commit, [`Observer::changed`] has the newer version.
    fn advanced(&self, jobs: Vec<Arc<Job>>) {
        drop(jobs);
    }

    /// These chunks were kept, in the order of their numbers.
    fn emitted(&self, chunks: Vec<Arc<Chunk>>) {
        drop(chunks);
    }

    /// These queues have jobs to claim that they did not have before (new ones, or a place that concurrency lets
    /// them have), or were resumed.
    fn ready(&self, queues: Vec<(Namespace, QueueName)>);

    /// The store failed and takes nothing any more.
    fn failed(&self, reason: &str);
}

/// Keeps jobs. See the module for what holds of every operation.
pub trait Store: Debug + Send + Sync + 'static {
    /// The store's time.
    fn now(&self) -> Timestamp;

    /// A fresh job id, later than every id before it. Not durable by itself.
    fn mint(&self) -> JobId;

    /// Whom to tell of commits from now on; replaces the one before.
    fn observe(&self, observer: Arc<dyn Observer>);

    /// Accepts jobs. Once it returned `Created`, the job and its input survive any crash, and the idempotency key
    /// points at it for as long as the job or its tombstone lives. A key that is known is looked up before every
    /// refusal; twins in one batch or at the same time make one job. Then whether a unique value is free, before the
    /// queue's depth: a job that takes another's place needs none of its own.
    fn submit(&self, ns: &Namespace, batch: Vec<Submission>)
    -> Answer<Vec<Result<Submitted, SubmitRefused>>>;

    /// The job that this key made, were the request submitted now, without submitting it: `None` where the key is
    /// free. For requests that are refused for another reason unless they are repetitions.
    fn replay(
        &self,
        ns: &Namespace,
        queue: &QueueName,
        idempotency: Idempotency,
    ) -> Answer<Option<Result<Submitted, SubmitRefused>>>;

    /// Cancels jobs: a waiting one is cancelled, a running one is asked to stop, a finished one stays as it is.
    /// Gives back each job as it is then. Once returned, no new attempt of a cancelled job ever starts.
    fn cancel(&self, ns: &Namespace, ids: Vec<JobId>) -> Answer<Vec<Result<Arc<Job>, Missing>>>;

    /// Submits finished jobs again as new ones; an earlier retry that is unfinished is given back instead. A unique
    /// value is taken anew, and refused where another job holds it.
    fn retry(&self, ns: &Namespace, batch: Vec<Retry>) -> Answer<Vec<Result<Arc<Job>, ChangeRefused>>>;

    /// Forgets finished jobs with input and result; their ids answer [`Missing::Deleted`] for 24 hours.
    fn delete(&self, ns: &Namespace, ids: Vec<JobId>) -> Answer<Vec<Result<(), ChangeRefused>>>;

    /// Leases waiting jobs in the queue's order (groups in turn; then priority, `run_at`, id), as many as there are
    /// nonces, are due and the concurrency written for the queue and the claim's `running_max` allow (where none is written, the
    /// default binds those who work the queue, not the store); none where the queue is paused or unknown. Once
    /// returned, the attempts are counted. Leases of this queue that this worker claimed under the same `claim_id`
    /// and that are not over are given back as they are, instead of anything new, even where the queue is paused.
    fn claim(&self, ns: &Namespace, claim: Claim) -> Answer<Vec<Leased>>;

    /// Extends leases; `None` where a lease is over. The holder alone is told of the lease's new end: whoever reads
    /// the job may see an older one. Once a renewal that defers returned, the lease survives any crash and every opening.
    fn renew(&self, ns: &Namespace, batch: Vec<Renew>) -> Answer<Vec<Option<Renewed>>>;

    /// Keeps chunks of output and log, in the order given. Once returned they survive any crash; a repeated one is kept
    /// once. The observer is told of each.
    fn emit(&self, ns: &Namespace, batch: Vec<Emit>) -> Answer<Vec<Result<Emitted, EmitRefused>>>;

    /// What the job has emitted after chunk number `after`: at most `limit` chunks and about [`OUTPUT_PAGE_BYTES`], at
    /// least one where there is any. All of it is kept as long as the job, but for what a later attempt drops
    /// ([`decide::emit`](crate::decide::emit)).
    fn output(&self, ns: &Namespace, id: JobId, after: u64, limit: u32) -> Answer<Result<Output, Missing>>;

    /// Ends attempts. Gives back each job as it is then. Once returned, outcome and result survive any crash and
    /// never change.
    fn settle(&self, ns: &Namespace, batch: Vec<Settle>) -> Answer<Vec<Result<Arc<Job>, SettleRefused>>>;

    /// Ends at most `limit` lapsed leases and overdue waiting jobs, of all namespaces. Each job's delay comes from
    /// [`seed_for`](crate::retry::seed_for) `seed` and its id.
    fn reclaim(&self, limit: u32, seed: u64) -> Answer<Reclaimed>;

    /// Deletes at most `limit` finished jobs that outlived their retention and tombstones that are over, of all
    /// namespaces, and gives their space back. Until then a finished job is still there.
    fn prune(&self, limit: u32) -> Answer<Slice>;

    /// Changes jobs that were never started. `Err` in the entry where one was, is done, or has changed meanwhile.
    fn patch(&self, ns: &Namespace, batch: Vec<(JobId, Patch)>) -> Answer<Vec<Result<Arc<Job>, PatchError>>>;

    /// A page of jobs, newest first. The work of one call is bounded: a page may be short or empty although more follow.
    fn list(&self, ns: &Namespace, page: Page) -> Answer<Listed>;

    /// The job.
    fn get(&self, ns: &Namespace, id: JobId) -> Answer<Result<Arc<Job>, Missing>>;

    /// The job's input.
    fn input(&self, ns: &Namespace, id: JobId) -> Answer<Result<Input, Missing>>;

    /// The job and, where it has one, its result.
    fn result(&self, ns: &Namespace, id: JobId) -> Answer<Result<Change, Missing>>;

    /// Creates the queue, or replaces its settings whole. A caller who is not `managed` may not touch a queue
    /// that is. Opening a store forgets which are: the configuration that opens it says so anew, so that a queue which
    /// is named no longer becomes an ordinary one.
    fn put_queue(
        &self,
        ns: &Namespace,
        name: &QueueName,
        spec: QueueSpec,
        managed: bool,
    ) -> Answer<Result<Arc<Queue>, QueueRefused>>;

    /// The queue and its counts; counts may be a moment old.
    fn queue(&self, ns: &Namespace, name: &QueueName) -> Answer<Option<QueueStatus>>;

    /// All queues of the namespace by name; counts may be a moment old.
    fn queues(&self, ns: &Namespace) -> Answer<Vec<QueueStatus>>;

    /// All queues of all namespaces, for those who work them.
    fn all_queues(&self) -> Answer<Vec<Arc<Queue>>>;

    /// Pauses or resumes claiming. Doing it again changes nothing.
    fn pause(
        &self,
        ns: &Namespace,
        name: &QueueName,
        paused: bool,
    ) -> Answer<Result<Arc<Queue>, QueueRefused>>;

    /// Cancels at most `limit` jobs that wait in the queue.
    fn purge(&self, ns: &Namespace, name: &QueueName, limit: u32) -> Answer<Result<Slice, QueueRefused>>;

    /// Forgets the queue's settings; its finished jobs stay as long as they would have.
    fn delete_queue(&self, ns: &Namespace, name: &QueueName) -> Answer<Result<(), QueueRefused>>;

    /// Begins tries of at most `limit` webhooks that are due, of all namespaces. Each is due again
    /// [`DELIVERY_TERM`](crate::decide::DELIVERY_TERM) later, unless the try has ended. Webhooks are recorded by whatever
    /// ends a job, in the same step.
    fn claim_deliveries(&self, limit: u32) -> Answer<DueDeliveries>;

    /// Ends tries; `false` in the entry where it was over already and nothing has changed.
    fn end_tries(&self, batch: Vec<EndTry>) -> Answer<Vec<bool>>;

    /// At most `limit` webhooks of the namespace whose jobs came before that of `before`, newest first.
    fn deliveries(&self, ns: &Namespace, before: Option<DeliveryId>, limit: u32) -> Answer<Vec<Delivery>>;

    /// Has a webhook tried at once, however it stands. `None` where there is none.
    fn redeliver(&self, ns: &Namespace, id: DeliveryId) -> Answer<Option<Delivery>>;

    /// What the namespace signs its pushes and webhooks with; where it has nothing yet, `fresh` becomes its secret.
    /// Durable on return; who asks at the same time gets the same.
    fn signing_secrets(&self, ns: &Namespace, fresh: Secret) -> Answer<SigningSecrets>;

    /// Makes `fresh` the namespace's secret; the one before signs beside it for
    /// [`BOTH_SIGN`](crate::secret::BOTH_SIGN). Durable on return.
    fn rotate_secret(&self, ns: &Namespace, fresh: Secret) -> Answer<SigningSecrets>;

    /// The key that tickets for jobs are signed with, one for the whole store; where it has none yet, `fresh` becomes
    /// it. It never changes. Durable on return.
    fn ticket_key(&self, fresh: Secret) -> Answer<Secret>;

    /// Whether the store can write now.
    fn check(&self) -> Answer<()>;

    /// Finishes what was handed over and closes; every later operation answers [`StoreError::Closed`].
    fn close(&self) -> Answer<()>;
}
