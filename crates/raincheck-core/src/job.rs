//! One request for work: what it is, where it stands, what happened to it.
//!
//! Invariants: a finished job never changes but for gaining `retried_as`; `version` grows with every stored
//! transition; `queued` is derived from `run_at`, never written.

use serde::{Deserialize, Serialize};

use crate::batch::Member;
use crate::id::{Fence, JobId, LeaseId, Nonce};
use crate::lease::Lease;
use crate::name::{GroupName, Namespace, QueueName, WorkerName};
use crate::time::Timestamp;

mod options;

pub use options::{JobOptions, Options, TAGS_MAX};

/// How many attempts a job document tells of, the last ones.
pub const ATTEMPTS_SHOWN: usize = 20;

/// The priority of a job that does not say: 0 is first, 9 last.
pub const PRIORITY_DEFAULT: u8 = 5;

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Its handler succeeded.
    Succeeded,
    /// Its attempts or its time ran out, or its handler refused it for good.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
    /// It was not started in time.
    Expired,
}

impl Outcome {
    /// The outcome's name, as documents and headers write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }
}

/// Where a job stands, as clients see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It waits for its `run_at`.
    Scheduled,
    /// It waits to be claimed.
    Queued,
    /// A worker holds it.
    Running,
    /// Final.
    Succeeded,
    /// Final.
    Failed,
    /// Final.
    Cancelled,
    /// Final.
    Expired,
}

impl State {
    /// The state's name, as documents write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }
}

impl From<Outcome> for State {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Succeeded => Self::Succeeded,
            Outcome::Failed => Self::Failed,
            Outcome::Cancelled => Self::Cancelled,
            Outcome::Expired => Self::Expired,
        }
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptOutcome {
    /// The handler succeeded.
    Succeeded,
    /// The handler failed, or could not be reached.
    Failed,
    /// Its time was over.
    TimedOut,
    /// It was stopped by a cancel request.
    Cancelled,
    /// The worker gave it back; not charged.
    Released,
    /// A drain stopped it; not charged.
    Interrupted,
    /// The worker stopped renewing, or died.
    LeaseLost,
}

impl AttemptOutcome {
    /// The outcome's name, as documents and logs write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
            Self::Released => "released",
            Self::Interrupted => "interrupted",
            Self::LeaseLost => "lease_lost",
        }
    }
}

/// Why a job or an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// A stable word: `handler-failed`, `timed-out`, `handler-unreachable` … or the handler's own.
    pub code: String,
    /// What happened, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// The handler's HTTP status, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

impl Failure {
    /// So long a handler's own word may be, in bytes.
    pub const CODE_MAX: usize = 64;
    /// So much of a handler's text is kept, in bytes.
    pub const DETAIL_MAX: usize = 4 << 10;

    /// A failure without a status.
    pub fn new(code: &str, detail: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            detail: detail.into(),
            status: None,
        }
    }

    /// What a handler says of itself. Of a long text the beginning is kept: last words are not refused for their number.
    #[must_use]
    pub fn of_handler(code: &str, mut detail: String) -> Self {
        if detail.len() > Self::DETAIL_MAX {
            detail.truncate(detail.floor_char_boundary(Self::DETAIL_MAX));
            detail.push('…');
        }
        Self::new(code, detail)
    }

    /// Whether a handler may say this word: 1 to 64 visible ASCII characters.
    #[must_use]
    pub fn takes_code(code: &str) -> bool {
        (1..=Self::CODE_MAX).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_graphic())
    }
}

/// One counted run that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Which run, from 1.
    pub n: u32,
    /// Who ran it.
    pub worker: WorkerName,
    /// When it was claimed.
    pub started_at: Timestamp,
    /// When it was settled.
    pub ended_at: Timestamp,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// Why, where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
}

/// The last settlement that a job took, so that settling again with the same content is harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The claim that was settled.
    pub nonce: Nonce,
    /// A digest of verb and content.
    pub digest: [u8; 16],
}

/// Where a job stands, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It waits to be claimed, from `run_at` on.
    Waiting,
    /// A worker holds it.
    Running(Lease),
    /// It is finished.
    Done {
        /// How.
        outcome: Outcome,
        /// When.
        finished_at: Timestamp,
        /// From when it may be pruned; [`Timestamp::MAX`] where that is its batch's to say.
        expires_at: Timestamp,
    },
}

/// From when the limits of a job count where its other times do not say, because the clock was set since: limits go by the time that
/// passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Since {
    /// When it was accepted, by the clock as it is now; [`Job::created_at`] where absent.
    pub accepted: Option<Timestamp>,
    /// When it became due, by the clock as it is now; [`Job::run_at`] where absent.
    pub due: Option<Timestamp>,
}

/// One request for work, without its input and result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its identity.
    pub id: JobId,
    /// Whose it is.
    pub namespace: Namespace,
    /// The line it waits in.
    pub queue: QueueName,
    /// Whose job it is within the queue.
    pub group: Option<GroupName>,
    /// 0 (first) to 9.
    pub priority: u8,
    /// What its submitter asked.
    pub options: JobOptions,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// Its earliest start.
    pub run_at: Timestamp,
    /// From when its limits count, where the clock was set.
    pub since: Since,
    /// When it was first claimed.
    pub started_at: Option<Timestamp>,
    /// Where it stands.
    pub phase: Phase,
    /// Stored transitions so far, from 1.
    pub version: u32,
    /// Attempts charged so far.
    pub attempt: u32,
    /// Grows with every claim.
    pub fence: Fence,
    /// Whether its worker is to stop.
    pub cancel_requested: bool,
    /// Attempts that are over, the last [`ATTEMPTS_SHOWN`].
    pub attempts: Vec<Attempt>,
    /// Why it failed, or why its last attempt did.
    pub error: Option<Failure>,
    /// The last settlement, until the next claim.
    pub settled: Option<Settled>,
    /// The finished job that this one repeats.
    pub retry_of: Option<JobId>,
    /// The job that repeats this one.
    pub retried_as: Option<JobId>,
    /// Its place in a batch, with which it is kept.
    pub member: Option<Member>,
}

impl Job {
    /// Where the job stands at `now`.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> State {
        match &self.phase {
            Phase::Waiting if self.run_at > now => State::Scheduled,
            Phase::Waiting => State::Queued,
            Phase::Running(_) => State::Running,
            Phase::Done { outcome, .. } => (*outcome).into(),
        }
    }

    /// The attempt that the transition to this state ended, where one did: for those who are told of transitions. `None` of
    /// a job that runs, or that was cancelled or expired while it waited.
    #[must_use]
    pub fn just_ended(&self) -> Option<&Attempt> {
        let last = self.attempts.last()?;
        match &self.phase {
            Phase::Waiting => Some(last),
            Phase::Running(_) => None,
            Phase::Done { finished_at, .. } => (last.ended_at == *finished_at).then_some(last),
        }
    }

    /// Whether its last attempt was given back with a reason: nobody was there whom it could be sent to.
    #[must_use]
    pub fn met_nobody(&self) -> bool {
        let last = self.attempts.last();
        last.is_some_and(|last| last.outcome == AttemptOutcome::Released && last.error.is_some())
    }

    /// How the job ended, once it has.
    #[must_use]
    pub const fn outcome(&self) -> Option<Outcome> {
        match &self.phase {
            Phase::Done { outcome, .. } => Some(*outcome),
            Phase::Waiting | Phase::Running(_) => None,
        }
    }

    /// Whether the job is finished.
    #[must_use]
    pub const fn done(&self) -> bool {
        self.outcome().is_some()
    }

    /// The lease of a running job.
    #[must_use]
    pub const fn lease(&self) -> Option<&Lease> {
        match &self.phase {
            Phase::Running(lease) => Some(lease),
            Phase::Waiting | Phase::Done { .. } => None,
        }
    }

    /// The id of a running job's lease.
    #[must_use]
    pub fn lease_id(&self) -> Option<LeaseId> {
        self.lease().map(|lease| LeaseId {
            job: self.id,
            fence: self.fence,
            nonce: lease.nonce,
        })
    }

    /// From when its deadline counts.
    #[must_use]
    pub fn accepted_since(&self) -> Timestamp {
        self.since.accepted.unwrap_or(self.created_at)
    }

    /// From when its start-before counts.
    #[must_use]
    pub fn due_since(&self) -> Timestamp {
        self.since.due.unwrap_or(self.run_at)
    }

    /// When the time for all attempts is over.
    #[must_use]
    pub fn deadline_at(&self) -> Option<Timestamp> {
        self.options
            .deadline
            .map(|deadline| self.accepted_since().plus(deadline))
    }

    /// From when a waiting job is to be ended instead of claimed: its deadline, or, where it was never started,
    /// its start-before if that is earlier.
    #[must_use]
    pub fn overdue_at(&self) -> Option<Timestamp> {
        let start_by = self
            .options
            .start_before
            .filter(|_| self.started_at.is_none())
            .map(|d| self.due_since().plus(d));
        match (start_by, self.deadline_at()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
}
