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

use crate::audit::{Act, ActPage, Acts, ActsKept};
use crate::batch::{
    Batch, BatchCancelled, BatchId, BatchMissing, BatchOpened, BatchRefused, BatchStatus, Line, NewBatch,
    Results, Tended,
};
use crate::content::Input;
use crate::decide::{EmitRefused, Fingerprint, NewJob, Patch, Renewed, SettleRefused};
use crate::delivery::{Delivery, DeliveryId};
use crate::group::GroupSpec;
use crate::id::{JobId, Nonce};
use crate::job::Job;
use crate::key::{ApiKey, KeyId, KeyRefused, NewKey};
use crate::list::{Listed, Page};
use crate::name::{GroupName, Namespace, QueueName};
pub use crate::output::{Emit, Emitted, OUTPUT_PAGE_BYTES, Output};
use crate::queue::{Queue, QueueSpec};
use crate::secret::{Secret, SigningSecrets};
use crate::time::Timestamp;

mod counts;
mod lag;
mod observer;
mod outbox;
mod refused;
mod vitals;
mod work;

pub use counts::{Counts, GroupStatus, QueueStatus, Standing};
pub use lag::{Lag, LimitWaits, QueueLag};
pub use observer::{Change, Observer};
pub use outbox::{About, DueDeliveries, EndTry, Outgoing};
pub use refused::{ChangeRefused, PatchError, QueueRefused, SubmitRefused};
pub use vitals::{Histogram, Measure, Spread, Trouble, Vitals};
pub use work::{Claim, Leased, Renew, Settle};

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
    /// No space is left, or so little that it is kept for what is there; nothing was stored, finishing and deleting go on.
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

/// A finished job to be submitted again.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// The finished job.
    pub id: JobId,
    /// The id of the new one.
    pub new_id: JobId,
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

    /// Leases waiting jobs in the queue's order, as many as there are nonces, are due and the limits that are written and the
    /// claim's `running_max` allow (where no concurrency is written, the default binds those who work the queue, not the
    /// store); none where the queue is paused or unknown. The order: groups in turn, without those that are at a limit of
    /// their own; within a group priority, `run_at`, id, and so for the whole queue where it is not `fair`. Once returned,
    /// the attempts are counted, and so are the starts that rates bound: no crash forgets them. Where rates keep jobs
    /// back, the observer is told when the next may start. Leases of this queue that this worker claimed under the same `claim_id`
    /// and that are not over are given back as they are, instead of anything new, even where the queue is paused.
    fn claim(&self, ns: &Namespace, claim: Claim) -> Answer<Vec<Leased>>;

    /// Whether [`claim_when_ready`](Self::claim_when_ready) waits.
    fn holds_claims(&self) -> bool {
        false
    }

    /// The same, and where there is nothing to claim it waits in the store: the very step that makes a job claimable hands
    /// it out, and whoever submitted it and whoever claims it are answered together. Those who wait for one queue are
    /// served in the order in which they came. Nothing may be given back at any time, at the latest when the claim is
    /// [withdrawn](Self::withdraw); a store that [does not hold claims](Self::holds_claims) does so at once. An answer that
    /// nobody waits for any more takes no more jobs, but for those that were on their way.
    fn claim_when_ready(&self, ns: &Namespace, claim: Claim) -> Answer<Vec<Leased>> {
        self.claim(ns, claim)
    }

    /// Has the claim of this queue that brought this nonce as its first answered, where it waits.
    fn withdraw(&self, _ns: &Namespace, _queue: &QueueName, _first: Nonce) {}

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
    /// namespaces, and gives their space back. Until then a finished job is still there. Members of a batch outlive
    /// theirs with their batch, which goes after the last of them.
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

    /// Makes a queue an ordinary one, which anybody may change: the configuration that managed it names it no more. Its
    /// settings, its jobs and whether it is paused stay. One that is ordinary already stays as it is. Durable on return.
    fn release_queue(&self, ns: &Namespace, name: &QueueName) -> Answer<Result<Arc<Queue>, QueueRefused>>;

    /// The queue and its counts; counts may be a moment old.
    fn queue(&self, ns: &Namespace, name: &QueueName) -> Answer<Option<QueueStatus>>;

    /// How a job of the namespace, as it was read, stands in its queue; `None` where that does not exist. May be a moment old.
    fn standing(&self, ns: &Namespace, job: &Job) -> Answer<Option<Standing>>;

    /// All queues of the namespace by name; counts may be a moment old.
    fn queues(&self, ns: &Namespace) -> Answer<Vec<QueueStatus>>;

    /// All queues of all namespaces, for those who work them.
    fn all_queues(&self) -> Answer<Vec<Arc<Queue>>>;

    /// How far behind its work is, for those who watch it. May be a moment old.
    fn lag(&self) -> Answer<Lag>;

    /// A group of the queue and what bounds it, whether or not it has jobs; `None` where the queue does not exist.
    fn group(&self, ns: &Namespace, queue: &QueueName, group: &GroupName) -> Answer<Option<GroupStatus>>;

    /// Writes limits for one group in place of those that were written, or forgets them. In force for the next claim,
    /// durable on return; they end with the queue.
    fn put_group(
        &self,
        ns: &Namespace,
        queue: &QueueName,
        group: &GroupName,
        spec: Option<GroupSpec>,
    ) -> Answer<Result<GroupStatus, QueueRefused>>;

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

    /// Opens a batch: it takes lines from then on. Durable on return. Under an idempotency key that is known nothing is
    /// opened; the key lives as long as the batch and its tombstone.
    fn open_batch(&self, ns: &Namespace, new: NewBatch) -> Answer<Result<BatchOpened, BatchRefused>>;

    /// Takes lines, at most [`LINES_MAX`](crate::batch::LINES_MAX), of which the first has the index `first`; those that
    /// were taken before are skipped, so that the same call can be repeated. Each line that is taken makes a job, a
    /// member of the batch, as [`Store::submit`] would, or is counted as rejected. Once returned, jobs and counts survive
    /// any crash, all together.
    fn add_lines(
        &self,
        ns: &Namespace,
        id: BatchId,
        first: u64,
        lines: Vec<Line>,
    ) -> Answer<Result<Arc<Batch>, BatchRefused>>;

    /// Ends the upload, which had so many lines. Where nothing remains the batch is done by it. Durable on return;
    /// again it changes nothing.
    fn seal_batch(
        &self,
        ns: &Namespace,
        id: BatchId,
        lines: u64,
    ) -> Answer<Result<BatchStatus, BatchRefused>>;

    /// Cancels a batch: it takes no more lines, and its members are cancelled in slices of which this call does one, of
    /// at most `limit` members. Once returned, the wish survives any crash: [`Store::tend_batches`] does the rest. Again
    /// it does the next slice; a batch that is done stays as it is.
    fn cancel_batch(
        &self,
        ns: &Namespace,
        id: BatchId,
        limit: u32,
    ) -> Answer<Result<BatchCancelled, BatchMissing>>;

    /// The batch with exact counts.
    fn batch(&self, ns: &Namespace, id: BatchId) -> Answer<Result<BatchStatus, BatchMissing>>;

    /// Members that have ended, in that order, after this place: at most `limit` and about [`OUTPUT_PAGE_BYTES`] of
    /// results. A member that was deleted is left out.
    fn results(
        &self,
        ns: &Namespace,
        id: BatchId,
        after: u64,
        limit: u32,
    ) -> Answer<Result<Results, BatchMissing>>;

    /// Upkeep of batches, of all namespaces: cancels those whose upload broke off too long ago, and goes on cancelling
    /// members where that was begun, at most `limit` of them.
    fn tend_batches(&self, limit: u32) -> Answer<Tended>;

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

    /// What API keys are hashed with, one for the whole store; where there is nothing yet, `fresh` becomes it. It never
    /// changes. Durable on return.
    fn key_pepper(&self, fresh: Secret) -> Answer<Secret>;

    /// Makes a key of the namespace. Durable on return.
    fn create_key(&self, ns: &Namespace, new: NewKey) -> Answer<Result<ApiKey, KeyRefused>>;

    /// The namespace's keys, the oldest first, also those that are good no longer.
    fn keys(&self, ns: &Namespace) -> Answer<Vec<ApiKey>>;

    /// All keys of all namespaces, for those who check them.
    fn all_keys(&self) -> Answer<Vec<ApiKey>>;

    /// Forgets a key of the namespace. Durable on return.
    fn revoke_key(&self, ns: &Namespace, id: KeyId) -> Answer<Result<(), KeyRefused>>;

    /// Notes when keys were used last; what is noted already and later stays. Keys that are gone are passed over.
    fn touch_keys(&self, used: Vec<(KeyId, Timestamp)>) -> Answer<()>;

    /// This store as an administrator acts on it. Every operation through it that changes a queue, a group, a key, a
    /// secret or a delivery, or that cancels, retries or deletes jobs, keeps the act's row in its own transaction, unless it
    /// was refused; an act that takes several operations has one row.
    fn recording(&self, act: Act) -> Arc<dyn Store>;

    /// Keeps the row of an act that no operation has kept: one that was refused, with the code that says why, or one that
    /// changed nothing. An act that has its row keeps that. Durable on return.
    fn record(&self, act: Act, refused: Option<String>) -> Answer<()>;

    /// A page of the namespace's acts, newest first. The work of one call is bounded: a page may be short or empty although
    /// more follow.
    fn acts(&self, ns: &Namespace, page: ActPage) -> Answer<Acts>;

    /// Forgets at most `limit` acts of all namespaces that are kept no longer, the oldest first.
    fn prune_acts(&self, kept: ActsKept, limit: u32) -> Answer<Slice>;

    /// Whose a job is, or was while its tombstone lasts: for callers who hold no key but something that names the job, its
    /// lease or a ticket.
    fn home(&self, id: JobId) -> Answer<Option<Namespace>>;

    /// The store's numbers for those who watch it; `None` where it keeps none.
    fn vitals(&self) -> Option<Arc<Vitals>> {
        None
    }

    /// Whether the store can take new work now: `Err` says why not.
    fn check(&self) -> Answer<()>;

    /// Finishes what was handed over and closes; every later operation answers [`StoreError::Closed`].
    fn close(&self) -> Answer<()>;
}
