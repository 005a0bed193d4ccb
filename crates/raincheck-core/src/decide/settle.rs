//! Ending an attempt under its live lease.
//!
//! Invariant: only the claim that holds the job can move it; a settlement that comes twice changes nothing.

use std::sync::Arc;
use std::time::Duration;

use super::{after_failure, end_attempt, finish};
use crate::content::JobResult;
use crate::id::LeaseId;
use crate::job::{AttemptOutcome, Failure, Job, Outcome, Phase, Settled};
use crate::queue::Policy;
use crate::time::Timestamp;

/// What a worker says of its attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// The handler succeeded with this result. It wins even over a cancel request.
    Succeed(Arc<JobResult>),
    /// The handler failed, could not be reached, or ran out of time.
    Fail {
        /// Why.
        failure: Failure,
        /// Whether another attempt may help, and the least delay before it.
        retry: Option<Duration>,
        /// The handler's answer, kept where no further attempt follows.
        result: Option<Arc<JobResult>>,
        /// Whether it was the attempt's time that ran out.
        timed_out: bool,
    },
    /// The worker gives the job back; the attempt is not charged.
    Release {
        /// How long the job shall wait.
        delay: Duration,
        /// Whether a drain made it do so.
        interrupted: bool,
        /// What it waits for, where that is known: the job says so until another attempt ends.
        why: Option<Failure>,
    },
    /// The worker stopped because it was told to cancel.
    Cancel,
}

impl Settlement {
    /// The handler succeeded with this result.
    #[must_use]
    pub fn succeed(result: JobResult) -> Self {
        Self::Succeed(Arc::new(result))
    }
}

/// What a settlement does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettleStep {
    /// The job moves on; `result` is to be kept with it.
    Moved {
        /// The next job.
        job: Arc<Job>,
        /// The result to keep.
        result: Option<Arc<JobResult>>,
    },
    /// The same settlement again: nothing changes.
    Repeated,
}

/// Why a settlement was refused; nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettleRefused {
    /// The lease is over.
    #[error("the lease is over")]
    LeaseLost,
    /// This lease was settled before, with other content.
    #[error("the lease was settled with other content")]
    AlreadySettled,
}

/// Settles the attempt that `lease` stands for. `digest` stands for verb and content; `seed` brings the jitter of a
/// retry's delay. A lapsed lease that nobody reclaimed settles as well.
///
/// # Errors
/// When the lease is not the one that holds the job.
pub fn settle(
    job: &Job,
    lease: &LeaseId,
    settlement: Settlement,
    digest: [u8; 16],
    policy: &Policy,
    seed: u64,
    now: Timestamp,
) -> Result<SettleStep, SettleRefused> {
    let held = match &job.phase {
        Phase::Running(held) if job.lease_id().as_ref() == Some(lease) => held,
        Phase::Waiting | Phase::Running(_) | Phase::Done { .. } => {
            return match job.settled {
                Some(settled) if settled.nonce == lease.nonce && settled.digest == digest => {
                    Ok(SettleStep::Repeated)
                }
                Some(settled) if settled.nonce == lease.nonce => Err(SettleRefused::AlreadySettled),
                Some(_) | None => Err(SettleRefused::LeaseLost),
            };
        }
    };
    let mut job = job.clone();
    job.version += 1;
    job.settled = Some(Settled {
        nonce: lease.nonce,
        digest,
    });
    let result = match settlement {
        Settlement::Succeed(result) => {
            end_attempt(&mut job, held, AttemptOutcome::Succeeded, None, now);
            job.error = None;
            finish(&mut job, Outcome::Succeeded, policy, now);
            Some(result)
        }
        Settlement::Fail {
            failure,
            retry,
            result,
            timed_out,
        } => {
            let outcome = if timed_out {
                AttemptOutcome::TimedOut
            } else {
                AttemptOutcome::Failed
            };
            end_attempt(&mut job, held, outcome, Some(failure.clone()), now);
            after_failure(&mut job, failure, retry, result, policy, seed, now)
        }
        Settlement::Release {
            delay,
            interrupted,
            why,
        } => {
            let outcome = if interrupted {
                AttemptOutcome::Interrupted
            } else {
                AttemptOutcome::Released
            };
            end_attempt(&mut job, held, outcome, why.clone(), now);
            if job.cancel_requested {
                finish(&mut job, Outcome::Cancelled, policy, now);
            } else {
                job.attempt -= 1;
                job.error = why.or(job.error);
                job.phase = Phase::Waiting;
                job.run_at = now.plus(delay);
            }
            None
        }
        Settlement::Cancel => {
            end_attempt(&mut job, held, AttemptOutcome::Cancelled, None, now);
            finish(&mut job, Outcome::Cancelled, policy, now);
            None
        }
    };
    Ok(SettleStep::Moved {
        job: Arc::new(job),
        result,
    })
}
