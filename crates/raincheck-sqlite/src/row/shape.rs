//! The JSON of a job's lease and history.
//!
//! Invariant: what the other columns of the row say is left out, and read from them; what an earlier version wrote has all of it.

use std::time::Duration;

use raincheck_core::id::{JobId, Nonce};
use raincheck_core::job::{Attempt, AttemptOutcome, Failure, Job, Phase};
use raincheck_core::lease::{Lease, Progress, WorkerKind};
use raincheck_core::name::WorkerName;
use raincheck_core::time::Timestamp;
use serde::{Deserialize, Serialize};

/// What other columns of a row say of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Said {
    /// When the job was first claimed.
    pub(super) started_at: Option<Timestamp>,
    /// When it ended.
    pub(super) finished_at: Option<Timestamp>,
}

impl Said {
    /// What the row of an attempt may leave out: nothing before the job has ended, for until then columns change without it.
    pub(super) fn of(job: &Job) -> Self {
        let finished_at = match &job.phase {
            Phase::Done { finished_at, .. } => Some(*finished_at),
            Phase::Waiting | Phase::Running(_) => None,
        };
        Self {
            started_at: job.started_at.filter(|_| finished_at.is_some()),
            finished_at,
        }
    }
}

/// An instant, where the column does not say it.
fn unsaid(at: Timestamp, said: Option<Timestamp>) -> Option<i64> {
    (said != Some(at)).then(|| at.as_millis())
}

/// An instant: as written, or else as the column says.
fn at(written: Option<i64>, said: Option<Timestamp>) -> Option<Timestamp> {
    written.map(Timestamp::from_millis).or(said)
}

/// A lease.
#[derive(Serialize, Deserialize)]
pub(super) struct LeaseRow {
    #[serde(with = "nonce")]
    pub(super) nonce: Nonce,
    pub(super) worker: WorkerName,
    pub(super) kind: WorkerKind,
    /// Left out where it is the job's start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) started: Option<i64>,
    pub(super) term: u64,
    /// Left out where it is a term after the start, or the deadline where that is earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) expires: Option<i64>,
    pub(super) deadline: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cancel_by: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    claim_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    progress: Option<Progress>,
}

impl LeaseRow {
    /// What the text says of this lease but for the names, of a job that was first claimed then.
    pub(super) fn numbers(
        lease: &Lease,
        started_at: Option<Timestamp>,
    ) -> (Option<i64>, u64, Option<i64>, i64) {
        let term = u64::try_from(lease.term.as_millis()).unwrap_or(u64::MAX);
        let until = granted(lease.started_at, term, lease.attempt_deadline);
        (
            unsaid(lease.started_at, started_at),
            term,
            unsaid(lease.expires_at, Some(until)),
            lease.attempt_deadline.as_millis(),
        )
    }

    pub(super) fn new(lease: &Lease, started_at: Option<Timestamp>) -> Self {
        let (started, term, expires, deadline) = Self::numbers(lease, started_at);
        Self {
            nonce: lease.nonce,
            worker: lease.worker.clone(),
            kind: lease.kind,
            started,
            term,
            expires,
            deadline,
            cancel_by: lease.cancel_by.map(Timestamp::as_millis),
            claim_id: lease.claim_id.clone(),
            progress: lease.progress.clone(),
        }
    }

    /// The lease of a job that was first claimed then; `None` where nothing says when it began.
    pub(super) fn read(self, said: Option<Timestamp>) -> Option<Lease> {
        let started_at = at(self.started, said)?;
        let attempt_deadline = Timestamp::from_millis(self.deadline);
        let granted = granted(started_at, self.term, attempt_deadline);
        Some(Lease {
            nonce: self.nonce,
            worker: self.worker,
            kind: self.kind,
            started_at,
            term: Duration::from_millis(self.term),
            expires_at: self.expires.map_or(granted, Timestamp::from_millis),
            attempt_deadline,
            cancel_by: self.cancel_by.map(Timestamp::from_millis),
            claim_id: self.claim_id,
            progress: self.progress,
        })
    }
}

/// Until when a lease is that was not renewed.
fn granted(started_at: Timestamp, term: u64, deadline: Timestamp) -> Timestamp {
    started_at.plus(Duration::from_millis(term)).min(deadline)
}

pub(in crate::row) use nonce::digits_of;

/// A nonce as 24 hexadecimal digits.
mod nonce {
    use std::borrow::Cow;

    use raincheck_core::id::Nonce;
    use serde::de::{Deserialize, Deserializer, Error};
    use serde::ser::Serializer;

    pub(in crate::row) fn digits_of(nonce: &Nonce) -> [u8; 24] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 24];
        for (pair, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(nonce.0) {
            *pair = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
        }
        text
    }

    pub(super) fn serialize<S: Serializer>(nonce: &Nonce, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(std::str::from_utf8(&digits_of(nonce)).unwrap_or_default())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Nonce, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        let number = u128::from_str_radix(&text, 16).ok().filter(|_| text.len() == 24);
        let number = number.ok_or_else(|| D::Error::custom("not a nonce"))?;
        let mut nonce = Nonce([0; 12]);
        nonce.0.copy_from_slice(&number.to_be_bytes()[4..]);
        Ok(nonce)
    }
}

/// An attempt that is over.
#[derive(Serialize, Deserialize)]
pub(super) struct AttemptRow {
    /// Left out of the first.
    #[serde(default = "first", skip_serializing_if = "is_first")]
    n: u32,
    worker: WorkerName,
    /// Left out where it is the start of a job that has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    started: Option<i64>,
    /// Left out where it is that job's end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended: Option<i64>,
    /// Left out where it succeeded.
    #[serde(default = "success", skip_serializing_if = "is_success")]
    outcome: AttemptOutcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<Failure>,
}

const fn first() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
pub(super) const fn is_first(n: &u32) -> bool {
    *n == first()
}

const fn success() -> AttemptOutcome {
    AttemptOutcome::Succeeded
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
pub(super) const fn is_success(outcome: &AttemptOutcome) -> bool {
    matches!(outcome, AttemptOutcome::Succeeded)
}

impl AttemptRow {
    /// The attempt's start and end, where they are written.
    pub(super) fn times(attempt: &Attempt, said: Said) -> (Option<i64>, Option<i64>) {
        (
            unsaid(attempt.started_at, said.started_at),
            unsaid(attempt.ended_at, said.finished_at),
        )
    }

    pub(super) fn new(attempt: &Attempt, said: Said) -> Self {
        let (started, ended) = Self::times(attempt, said);
        Self {
            n: attempt.n,
            worker: attempt.worker.clone(),
            started,
            ended,
            outcome: attempt.outcome,
            error: attempt.error.clone(),
        }
    }

    /// The attempt; `None` where nothing says when it was.
    pub(super) fn read(self, said: Said) -> Option<Attempt> {
        Some(Attempt {
            n: self.n,
            worker: self.worker,
            started_at: at(self.started, said.started_at)?,
            ended_at: at(self.ended, said.finished_at)?,
            outcome: self.outcome,
            error: self.error,
        })
    }
}

/// What a job has behind it.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct History {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) attempts: Vec<AttemptRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<Failure>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) retry_of: Option<JobId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) retried_as: Option<JobId>,
    /// When it was accepted, where its id does not say: it was made ahead of a clock that was set back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) created: Option<i64>,
    /// From when its limits count, where the clock was set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) accepted_since: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) due_since: Option<i64>,
}

impl History {
    pub(super) fn new(job: &Job) -> Self {
        let said = Said::of(job);
        Self {
            attempts: job
                .attempts
                .iter()
                .map(|attempt| AttemptRow::new(attempt, said))
                .collect(),
            error: job.error.clone(),
            retry_of: job.retry_of,
            retried_as: job.retried_as,
            created: (job.created_at != job.id.created_at()).then(|| job.created_at.as_millis()),
            accepted_since: job.since.accepted.map(Timestamp::as_millis),
            due_since: job.since.due.map(Timestamp::as_millis),
        }
    }
}
