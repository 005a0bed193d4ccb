//! The job document.
//!
//! Invariant: a client tests `done`; every other field may be null.

use std::sync::LazyLock;

use raincheck_core::batch::BatchId;
use raincheck_core::id::JobId;
use raincheck_core::job::{ATTEMPTS_SHOWN, Attempt, AttemptOutcome, Failure, Job, Phase, State};
use raincheck_core::lease::Lease;
use raincheck_core::name::{GroupName, Namespace, QueueName, Tag, WorkerName};
use raincheck_core::queue::{Queue, QueueSpec};
use raincheck_core::time::Timestamp;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::pieces::Pieces;
use crate::api::ticket::Ticket;
use crate::links::Links;

/// Where a job is found; paths on this server.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
struct Urls<'a> {
    /// The job document; DELETE forgets the finished job.
    #[serde(rename = "self")]
    #[schema(value_type = String, example = "/v1/jobs/job_01jd8zq3k5e7rv2m4n6p8s0t1w")]
    own: Path<'a>,
    /// The result, once there is one.
    #[schema(value_type = String)]
    result: Path<'a>,
    /// The input as it came.
    #[schema(value_type = String)]
    input: Path<'a>,
    /// What happens to it, as a stream.
    #[schema(value_type = String)]
    events: Path<'a>,
    /// POST here to cancel.
    #[schema(value_type = String)]
    cancel: Path<'a>,
    /// POST here to submit the finished job again.
    #[schema(value_type = String)]
    retry: Path<'a>,
}

/// A path below a job's.
#[derive(Clone, Copy, Debug)]
struct Path<'a>(Links<'a>, JobId, &'static str, Option<Ticket>);

impl Serialize for Path<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(links, id, below, ticket) = *self;
        serializer.serialize_str(&links.of_job(id, below, ticket))
    }
}

impl<'a> Urls<'a> {
    /// With a ticket in each URL that it opens.
    const fn of(links: Links<'a>, id: JobId, ticket: Option<Ticket>) -> Self {
        Self {
            own: Path(links, id, "", ticket),
            result: Path(links, id, "/result", ticket),
            input: Path(links, id, "/input", ticket),
            events: Path(links, id, "/events", ticket),
            cancel: Path(links, id, "/cancel", ticket),
            retry: Path(links, id, "/retry", None),
        }
    }
}

/// A job. Test `done`, then branch on `outcome`; ignore fields you do not know.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Job)]
pub(crate) struct JobDocument<'a> {
    /// Its identity, opaque.
    #[schema(value_type = String, example = "job_01jd8zq3k5e7rv2m4n6p8s0t1w")]
    id: JobId,
    /// The line it waits in.
    #[schema(value_type = String, example = "thumbs")]
    queue: &'a QueueName,
    /// Where it stands. `queued` is a scheduled job whose `run_at` has come.
    #[schema(value_type = JobState)]
    state: State,
    /// Whether it is finished.
    done: bool,
    /// How it ended: null, then equal to the final state.
    #[schema(value_type = Option<JobState>)]
    outcome: Option<State>,
    /// Stored transitions so far; the ETag.
    #[schema(example = 1)]
    version: u32,
    /// Attempts charged so far.
    #[schema(example = 0)]
    attempt: u32,
    /// How often it is attempted at most. The answer to a submit leaves this out, and all that follows but
    /// `created_at`, `run_at` and `urls`.
    #[schema(required = false, example = 5)]
    max_attempts: u32,
    /// 0 (first) to 9 (last).
    #[schema(required = false, maximum = 9, example = 5)]
    priority: u8,
    /// Whose job it is within the queue.
    #[schema(value_type = Option<String>)]
    group: Option<&'a GroupName>,
    /// Labels to search by.
    #[schema(value_type = Vec<String>, required = false)]
    tags: &'a [Tag],
    /// When it was accepted.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// Its earliest start.
    #[schema(value_type = String, format = DateTime)]
    run_at: Timestamp,
    /// When it was first claimed.
    #[schema(value_type = Option<String>, format = DateTime)]
    started_at: Option<Timestamp>,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    finished_at: Option<Timestamp>,
    /// When the finished job will be pruned; of a member of a batch null: it goes with its batch.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// How far its worker says that the running attempt is.
    progress: Option<ProgressDocument<'a>>,
    /// Why it failed, or why its last attempt did.
    error: Option<ErrorDocument<'a>>,
    /// The last 20 attempts, the running one included.
    #[schema(required = false)]
    attempts: Vec<AttemptDocument<'a>>,
    /// Whether its worker is to stop.
    #[schema(required = false)]
    cancel_requested: bool,
    /// The batch it belongs to, or null.
    #[schema(value_type = Option<String>)]
    batch: Option<BatchId>,
    /// The finished job that this one repeats.
    #[schema(value_type = Option<String>)]
    retry_of: Option<JobId>,
    /// The job that repeats this one.
    #[schema(value_type = Option<String>)]
    retried_as: Option<JobId>,
    /// What a waiting job waits for; only on GET.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) waiting_for: Option<WaitingFor>,
    /// Its place among those who wait, 1 for the next: an estimate, null where it waits for its `run_at` or a thousand are
    /// before it; only on GET.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub(crate) position: Option<Option<u64>>,
    /// Where everything about it is found; paths on this server.
    urls: Urls<'a>,
}

/// How far an attempt is, as its worker tells.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Progress)]
pub(crate) struct ProgressDocument<'a> {
    /// From 0 to 1.
    #[schema(minimum = 0, maximum = 1, example = 0.4)]
    fraction: Option<f64>,
    /// For people.
    #[schema(example = "page 4")]
    message: Option<&'a str>,
}

impl<'a> ProgressDocument<'a> {
    pub(crate) fn of(lease: &'a Lease) -> Option<Self> {
        let progress = lease.progress.as_ref()?;
        Some(Self {
            fraction: progress.fraction,
            message: progress.message.as_deref(),
        })
    }
}

/// What a waiting job waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WaitingFor {
    /// For a worker.
    Worker,
    /// For its `run_at`.
    RunAt,
    /// For running jobs of its queue to end.
    Concurrency,
    /// For time to go by: as many jobs of its queue as its `rate` allows have started.
    Rate,
    /// For running jobs of its group to end.
    GroupConcurrency,
    /// For time to go by: as many jobs of its group as that one's rate allows have started.
    GroupRate,
    /// For time to go by: the host that it would be pushed to or fetched from does not answer, or only by 502, 503 or 504, and is left
    /// alone; or no connection to the service behind a proxy can be made.
    Circuit,
    /// For requests to the host that it would be pushed to to end.
    HostConcurrency,
    /// For time to go by: the host that it would be pushed to or fetched from asked for it, by `Retry-After`.
    HostPause,
    /// For its queue to be resumed.
    Pause,
}

/// Where a job stands.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(
    dead_code,
    reason = "describes raincheck_core's State, which knows nothing of OpenAPI"
)]
pub(crate) enum JobState {
    Scheduled,
    Queued,
    Running,
    Succeeded,
    Failed,
    Cancelled,
    Expired,
}

/// Why a job or an attempt failed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = JobError)]
pub(crate) struct ErrorDocument<'a> {
    /// A stable word: `handler-failed`, `timed-out`, `handler-unreachable`, `handler-redirected`, `result-too-large`,
    /// `lease-lost`, or the handler's own.
    #[schema(example = "handler-failed")]
    code: &'a str,
    /// What happened, for people.
    detail: &'a str,
    /// The handler's HTTP status, where there was one.
    status: Option<u16>,
}

impl<'a> ErrorDocument<'a> {
    fn of(failure: &'a Failure) -> Self {
        Self {
            code: &failure.code,
            detail: &failure.detail,
            status: failure.status,
        }
    }
}

/// One counted run.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Attempt)]
pub(crate) struct AttemptDocument<'a> {
    /// Which run, from 1.
    n: u32,
    /// Who ran it.
    #[schema(value_type = String)]
    worker: &'a WorkerName,
    /// When it was claimed.
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
    /// When it was over; null while it runs.
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
    /// `succeeded`, `failed`, `timed_out`, `cancelled`, `released`, `interrupted` or `lease_lost`; null while it runs.
    #[schema(value_type = Option<String>)]
    outcome: Option<AttemptOutcome>,
    /// Why, where it failed.
    error: Option<ErrorDocument<'a>>,
}

impl<'a> AttemptDocument<'a> {
    fn of(attempt: &'a Attempt) -> Self {
        Self {
            n: attempt.n,
            worker: &attempt.worker,
            started_at: attempt.started_at,
            ended_at: Some(attempt.ended_at),
            outcome: Some(attempt.outcome),
            error: attempt.error.as_ref().map(ErrorDocument::of),
        }
    }
}

impl AttemptDocument<'_> {
    fn write(&self, pieces: &mut Pieces<'_>) {
        pieces.raw(r#"{"n":"#).json(&self.n);
        pieces.raw(r#","worker":"#).json(self.worker);
        pieces.raw(r#","started_at":"#).time(Some(self.started_at));
        pieces.raw(r#","ended_at":"#).time(self.ended_at);
        pieces.raw(r#","outcome":"#).json(&self.outcome);
        pieces.raw(r#","error":"#).json(&self.error).raw("}");
    }
}

fn attempts(job: &Job) -> Vec<AttemptDocument<'_>> {
    let running = job.lease().map(|lease| AttemptDocument {
        n: job.attempt,
        worker: &lease.worker,
        started_at: lease.started_at,
        ended_at: None,
        outcome: None,
        error: None,
    });
    let mut attempts: Vec<_> = job
        .attempts
        .iter()
        .map(AttemptDocument::of)
        .chain(running)
        .collect();
    let surplus = attempts.len().saturating_sub(ATTEMPTS_SHOWN);
    attempts.drain(..surplus);
    attempts
}

/// The settings of a queue that is gone: the defaults.
static NO_QUEUE: LazyLock<Queue> = LazyLock::new(|| {
    let name = QueueName::new("gone").expect("letters are a name");
    Queue::new(
        Namespace::default(),
        name,
        QueueSpec::default(),
        Timestamp::default(),
    )
});

impl JobDocument<'_> {
    /// With the ticket in its URLs.
    pub(crate) fn with(mut self, ticket: Option<Ticket>) -> Self {
        self.urls = Urls::of(self.urls.own.0, self.id, ticket);
        self
    }

    /// The document as JSON.
    pub(crate) fn render(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1024);
        self.write(&mut out);
        out
    }

    /// Appends the document as JSON.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let mut pieces = Pieces(out);
        pieces.raw(r#"{"id":""#).raw(self.id.text().as_bytes());
        pieces.raw(r#"","queue":""#).raw(self.queue.as_str());
        pieces.raw(r#"","state":""#).raw(self.state.as_str());
        pieces.raw(r#"","done":"#).bool(self.done);
        pieces.raw(r#","outcome":"#).word(self.outcome.map(State::as_str));
        pieces.raw(r#","version":"#).json(&self.version);
        pieces.raw(r#","attempt":"#).json(&self.attempt);
        pieces.raw(r#","max_attempts":"#).json(&self.max_attempts);
        pieces.raw(r#","priority":"#).json(&self.priority);
        pieces.raw(r#","group":"#).json(&self.group);
        pieces.raw(r#","tags":"#).json(self.tags);
        pieces.raw(r#","created_at":"#).time(Some(self.created_at));
        pieces.raw(r#","run_at":"#).time(Some(self.run_at));
        pieces.raw(r#","started_at":"#).time(self.started_at);
        pieces.raw(r#","finished_at":"#).time(self.finished_at);
        pieces.raw(r#","expires_at":"#).time(self.expires_at);
        pieces.raw(r#","progress":"#).json(&self.progress);
        pieces.raw(r#","error":"#).json(&self.error);
        pieces.raw(r#","attempts":"#);
        for (index, attempt) in self.attempts.iter().enumerate() {
            pieces.raw(if index == 0 { "[" } else { "," });
            attempt.write(&mut pieces);
        }
        pieces.raw(if self.attempts.is_empty() { "[]" } else { "]" });
        pieces.raw(r#","cancel_requested":"#).bool(self.cancel_requested);
        pieces.raw(r#","batch":"#).json(&self.batch);
        pieces.raw(r#","retry_of":"#).json(&self.retry_of);
        pieces.raw(r#","retried_as":"#).json(&self.retried_as);
        if let Some(waiting_for) = &self.waiting_for {
            pieces.raw(r#","waiting_for":"#).json(waiting_for);
        }
        if let Some(position) = &self.position {
            pieces.raw(r#","position":"#).json(position);
        }
        pieces
            .raw(r#","urls":"#)
            .urls(self.urls.own.0, self.id, self.urls.own.3.as_ref())
            .raw("}");
    }
}

impl<'a> JobDocument<'a> {
    /// The document of `job` as it stands at `now`.
    pub(crate) fn of(links: Links<'a>, job: &'a Job, queue: Option<&Queue>, now: Timestamp) -> Self {
        let (finished_at, expires_at) = match &job.phase {
            Phase::Done {
                finished_at,
                expires_at,
                ..
            } => (Some(*finished_at), job.member.is_none().then_some(*expires_at)),
            Phase::Waiting | Phase::Running(_) => (None, None),
        };
        Self {
            id: job.id,
            queue: &job.queue,
            state: job.state(now),
            done: job.done(),
            outcome: job.outcome().map(State::from),
            version: job.version,
            attempt: job.attempt,
            max_attempts: queue.unwrap_or(&NO_QUEUE).policy(&job.options).max_attempts,
            priority: job.priority,
            group: job.group.as_ref(),
            tags: &job.options.tags,
            created_at: job.created_at,
            run_at: job.run_at,
            started_at: job.started_at,
            finished_at,
            expires_at,
            progress: job.lease().and_then(ProgressDocument::of),
            error: job.error.as_ref().map(ErrorDocument::of),
            attempts: attempts(job),
            cancel_requested: job.cancel_requested,
            batch: job.member.map(|member| member.batch),
            retry_of: job.retry_of,
            retried_as: job.retried_as,
            waiting_for: None,
            position: None,
            urls: Urls::of(links, job.id, None),
        }
    }
}
