//! The queue document: every setting with the value in force and where it comes from, and what is in the queue.
//!
//! Invariant: what a PUT takes, the document shows under the same name.

use std::collections::BTreeMap;
use std::time::Duration;

use raincheck_core::delivery::Callback;
use raincheck_core::group::GroupSpec;
use raincheck_core::job::Options;
use raincheck_core::limit::Rate;
use raincheck_core::name::QueueName;
use raincheck_core::queue::{ByteSize, Queue, QueueSpec, Worker};
use raincheck_core::retry::Backoff;
use raincheck_core::store::{Counts, QueueStatus};
use raincheck_core::time::{Timestamp, text};
use serde::Serialize;
use utoipa::ToSchema;

use super::group::GroupSettings;

/// A queue: its settings in force, where each comes from, and what is in it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Queue)]
pub(crate) struct QueueDocument<'a> {
    /// Its name.
    #[schema(value_type = String, example = "thumbs")]
    name: &'a QueueName,
    /// How it is worked.
    #[schema(value_type = QueueWorker)]
    worker: Worker,
    /// At most so many jobs run at once, and so many programs are kept alive; null where there is no bound.
    #[schema(example = 8)]
    concurrency: Option<u32>,
    /// At most so many jobs start in so much time; null where there is no bound.
    #[schema(value_type = Option<String>, example = "50/s")]
    rate: Option<Rate>,
    /// So many of them may start at once after a pause; null without a rate.
    #[schema(example = 50)]
    burst: Option<u32>,
    /// At most so many jobs wait.
    #[schema(example = 1_000_000)]
    depth: u64,
    /// The inputs of those that wait have at most so many bytes together; null where there is no bound.
    #[schema(value_type = Option<String>, example = "1GiB")]
    depth_bytes: Option<ByteSize>,
    /// What bounds each group that has no limits of its own, or null.
    #[schema(value_type = Option<GroupSettings>)]
    group_defaults: Option<GroupSpec>,
    /// Whether groups take turns; if not, all jobs stand in one order.
    fair: bool,
    /// The largest input.
    #[schema(value_type = String, example = "1MiB")]
    body_max: ByteSize,
    /// The largest result.
    #[schema(value_type = String, example = "16MiB")]
    result_max: ByteSize,
    /// The content type of what a process prints; null: that of the input.
    result_type: Option<&'a str>,
    /// Whether what push endpoints answer and processes print is emitted as output while it comes (and is the result as
    /// well, stored once); a process's stderr is emitted as log then.
    stream: bool,
    /// One attempt's time.
    #[serde(with = "text")]
    #[schema(value_type = String, example = "5m")]
    timeout: Duration,
    /// How long a worker holds a job without renewing.
    #[serde(with = "text")]
    #[schema(value_type = String, example = "30s")]
    lease_for: Duration,
    /// How long a worker that was told to cancel may go on.
    #[serde(with = "text")]
    #[schema(value_type = String, example = "30s")]
    cancel_grace: Duration,
    /// How often a job is attempted.
    #[schema(example = 5)]
    max_attempts: u32,
    /// How long a job waits after a failed attempt.
    #[schema(value_type = String, example = "exponential;base=2s;cap=10m")]
    backoff: Backoff,
    /// How long a finished job stays.
    #[serde(with = "text")]
    #[schema(value_type = String, example = "24h")]
    keep: Duration,
    /// How long a failed job stays.
    #[serde(with = "text")]
    #[schema(value_type = String, example = "7d")]
    keep_failed: Duration,
    /// The webhook that tells of the ends of its jobs, or null.
    #[schema(value_type = Option<QueueCallback>)]
    callback: Option<&'a Callback>,
    /// Since when its receiver wants nothing more (410), or null: nothing is sent until the next PUT.
    #[schema(value_type = Option<String>, format = DateTime)]
    callback_gone: Option<Timestamp>,
    /// Where each setting comes from: `set`, `config` (the server's flags or file) or `default`.
    origin: BTreeMap<&'static str, &'static str>,
    /// How many jobs stand where; may be a moment old.
    counts: CountsDocument,
    /// Since when it is paused, or null.
    #[schema(value_type = Option<String>, format = DateTime)]
    paused: Option<Timestamp>,
    /// Whether the server's flags or a file define it, so that the API may not.
    managed: bool,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

/// How many jobs of a queue stand where.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Counts)]
pub(crate) struct CountsDocument {
    scheduled: u64,
    queued: u64,
    running: u64,
    succeeded: u64,
    failed: u64,
    cancelled: u64,
    expired: u64,
}

impl From<Counts> for CountsDocument {
    fn from(counts: Counts) -> Self {
        Self {
            scheduled: counts.scheduled,
            queued: counts.queued,
            running: counts.running,
            succeeded: counts.succeeded,
            failed: counts.failed,
            cancelled: counts.cancelled,
            expired: counts.expired,
        }
    }
}

/// All queues.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Queues)]
pub(crate) struct QueuesDocument<'a> {
    /// By name.
    pub(crate) queues: Vec<QueueDocument<'a>>,
}

/// What a purge did.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Purged {
    /// How many waiting jobs were cancelled.
    #[schema(example = 3)]
    pub(crate) cancelled: u64,
}

fn origins(spec: &QueueSpec, managed: bool) -> BTreeMap<&'static str, &'static str> {
    let written = if managed { "config" } else { "set" };
    let from = |is_written| if is_written { written } else { "default" };
    BTreeMap::from([
        ("worker", from(spec.worker.is_some())),
        ("concurrency", from(spec.concurrency.is_some())),
        ("rate", from(spec.rate.is_some())),
        ("burst", from(spec.burst.is_some())),
        ("depth", from(spec.depth.is_some())),
        ("depth_bytes", from(spec.depth_bytes.is_some())),
        ("group_defaults", from(spec.group_defaults.is_some())),
        ("fair", from(spec.fair.is_some())),
        ("body_max", from(spec.body_max.is_some())),
        ("result_max", from(spec.result_max.is_some())),
        ("result_type", from(spec.result_type.is_some())),
        ("stream", from(spec.stream.is_some())),
        ("timeout", from(spec.timeout.is_some())),
        ("lease_for", from(spec.lease_for.is_some())),
        ("cancel_grace", from(spec.cancel_grace.is_some())),
        ("max_attempts", from(spec.max_attempts.is_some())),
        ("backoff", from(spec.backoff.is_some())),
        ("keep", from(spec.keep.is_some())),
        ("keep_failed", from(spec.keep_failed.is_some())),
        ("callback", from(spec.callback.is_some())),
    ])
}

impl<'a> QueueDocument<'a> {
    /// The document of a queue on a node with so many cores.
    pub(crate) fn of(status: &'a QueueStatus, cores: u32) -> Self {
        let queue: &Queue = &status.queue;
        let policy = queue.policy(&Options::default());
        Self {
            name: &queue.name,
            worker: queue.worker(),
            concurrency: queue.concurrency(cores),
            rate: queue.spec.rate,
            burst: queue.burst(),
            depth: queue.depth(),
            depth_bytes: queue.spec.depth_bytes,
            group_defaults: queue.spec.group_defaults,
            fair: queue.fair(),
            body_max: ByteSize(queue.body_max()),
            result_max: ByteSize(queue.result_max()),
            result_type: queue.spec.result_type.as_deref(),
            stream: queue.stream(),
            timeout: policy.timeout,
            lease_for: queue.lease_for(),
            cancel_grace: policy.cancel_grace,
            max_attempts: policy.max_attempts,
            backoff: policy.backoff,
            keep: policy.keep,
            keep_failed: policy.keep_failed,
            callback: queue.spec.callback.as_ref(),
            callback_gone: queue.callback_gone,
            origin: origins(&queue.spec, queue.managed),
            counts: status.counts.into(),
            paused: queue.paused,
            managed: queue.managed,
            created_at: queue.created_at,
        }
    }
}

/// How a queue is worked: `"pull"`, `{"push": ["http://…"]}` or, only from the server's flags, `{"process": [..]}`; or,
/// only by an application that the server is part of, `"function"`.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(
    dead_code,
    reason = "describes raincheck_core's Worker, which knows nothing of OpenAPI"
)]
pub(crate) enum QueueWorker {
    /// Workers ask for jobs, or a function of the application has them.
    Word(WorkerWord),
    /// The server sends each job to one of these URLs, in turn.
    Push {
        /// The URLs.
        #[schema(min_items = 1, max_items = 100)]
        push: Vec<String>,
    },
    /// The server starts this command for each job; or, with `keep_alive`, keeps it running as often as `concurrency`
    /// says, and it asks for jobs as any other worker does.
    Process {
        /// The program and its arguments.
        process: Vec<String>,
        /// Whether it is kept running; false unless given.
        keep_alive: Option<bool>,
    },
}

/// The word for a queue whose workers ask for jobs, or whose application works them itself.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[expect(
    dead_code,
    reason = "describes raincheck_core's Worker, which knows nothing of OpenAPI"
)]
pub(crate) enum WorkerWord {
    /// `pull`.
    Pull,
    /// `function`.
    Function,
}

/// Where a webhook is sent, and of which ends it tells: `succeeded`, `failed`, `cancelled`, `expired`; all unless given.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "describes raincheck_core's Callback, which knows nothing of OpenAPI"
)]
pub(crate) struct QueueCallback {
    /// Where.
    url: String,
    /// Of which ends.
    events: Option<Vec<String>>,
}

/// A queue's settings; what is left out has its default. A PUT replaces the whole.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "describes raincheck_core's QueueSpec, which knows nothing of OpenAPI"
)]
pub(crate) struct QueueSettings {
    /// How it is worked: `pull` unless given.
    worker: Option<QueueWorker>,
    /// At most so many jobs run at once, 1 to 100,000: unless given the cores for process, 16 for push, no bound for
    /// pull.
    #[schema(minimum = 1, maximum = 100_000)]
    concurrency: Option<u32>,
    /// At most so many jobs start in so much time, such as `50/s`, `10/m`, `1000/h` or `7/d`: no bound unless given.
    rate: Option<String>,
    /// So many of them may start at once after a pause, 1 to 1,000,000: one second of `rate` unless given.
    #[schema(minimum = 1, maximum = 1_000_000)]
    burst: Option<u32>,
    /// At most so many jobs wait; beyond it a submit is refused: 1,000,000 unless given.
    #[schema(minimum = 1)]
    depth: Option<u64>,
    /// The inputs of those that wait have at most so many bytes together, such as `1GiB`, at least `body_max`; beyond it a
    /// submit is refused: no bound unless given.
    depth_bytes: Option<String>,
    /// What bounds each group that has no limits of its own: nothing unless given. Jobs without a group are not bound by it.
    group_defaults: Option<GroupSettings>,
    /// Whether groups take turns; if not, all jobs stand in one order by priority, start and age: true unless given.
    fair: Option<bool>,
    /// The largest input, at most `16MiB`: `1MiB` unless given.
    body_max: Option<String>,
    /// The largest result, at most `16MiB`, which it is unless given.
    result_max: Option<String>,
    /// The content type of what a process prints: that of the input unless given.
    result_type: Option<String>,
    /// Whether what push endpoints answer and processes print is emitted as output while it comes: false unless given.
    stream: Option<bool>,
    /// One attempt's time: `5m` unless given.
    timeout: Option<String>,
    /// How long a worker holds a job without renewing, `1s` to `12h`: `30s` unless given.
    lease_for: Option<String>,
    /// How long a worker that was told to cancel may go on: `30s` unless given.
    cancel_grace: Option<String>,
    /// How often a job is attempted, 1 to 100: 5 unless given.
    #[schema(minimum = 1, maximum = 100)]
    max_attempts: Option<u32>,
    /// How long a job waits after a failed attempt: `exponential;base=2s;cap=10m` unless given.
    backoff: Option<String>,
    /// How long a finished job stays: `24h` unless given.
    keep: Option<String>,
    /// How long a failed job stays: `7d` unless given.
    keep_failed: Option<String>,
    /// A webhook that tells of the ends of its jobs: none unless given.
    callback: Option<QueueCallback>,
}
