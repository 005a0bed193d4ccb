//! The decisions under tables and properties.
//!
//! Tables say what each decision makes of a job, written in one line by [`show`]; properties say what holds of all of
//! them, whatever came before.

mod batch;
mod bulk;
mod cancel;
mod claim;
mod clock;
mod delivery;
mod emit;
mod expire;
mod host;
mod key;
mod patch;
mod properties;
mod reclaim;
mod renew;
mod retry;
mod secret;
mod settle;
mod submit;
mod unique;

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use super::{Claimer, NewJob, Settlement, claim as claim_job, submit as submit_job};
use crate::content::JobResult;
use crate::id::{JobId, LeaseId, Nonce};
use crate::job::{Failure, Job, Options, Phase};
use crate::lease::WorkerKind;
use crate::name::{Namespace, QueueName, WorkerName};
use crate::queue::Policy;
use crate::retry::Backoff;
use crate::time::{Timestamp, format_duration};

/// The instant at which every job of these tests is accepted.
const START: i64 = 1_767_225_600_000;
/// The nonce of every lease of these tests.
const NONCE: Nonce = Nonce([7; 12]);

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// So many seconds after the start.
fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(START).plus(s(seconds))
}

fn id(n: u64) -> JobId {
    JobId::from_parts((START.cast_unsigned() << 12) + n, 0)
}

/// Rules without jitter: a job that failed is due again at once, unless its handler asks for more.
fn policy() -> Policy {
    Policy {
        timeout: s(300),
        cancel_grace: s(20),
        max_attempts: 3,
        backoff: Backoff::Constant { base: Duration::ZERO },
        keep: s(1_000),
        keep_failed: s(2_000),
    }
}

fn new_job(options: Options) -> NewJob {
    NewJob {
        id: id(1),
        namespace: Namespace::default(),
        queue: QueueName::new("q").unwrap(),
        group: None,
        priority: 5,
        run_at: None,
        delay: None,
        options: options.into(),
        retry_of: None,
        member: None,
    }
}

fn claimer() -> Claimer {
    Claimer {
        worker: WorkerName::new("w").unwrap(),
        kind: WorkerKind::Pull,
        term: s(30),
        claim_id: None,
    }
}

/// A job that waits from the start.
fn waiting_with(options: Options) -> Job {
    submit_job(&new_job(options))
}

fn waiting() -> Job {
    waiting_with(Options::default())
}

/// A job that was claimed at the start.
fn running_with(options: Options) -> Job {
    claim_job(&waiting_with(options), &claimer(), NONCE, &policy(), at(0)).unwrap()
}

fn running() -> Job {
    running_with(Options::default())
}

/// A running job that was asked to stop at ten seconds.
fn asked() -> Job {
    let super::Cancelled::Asked(job) = super::cancel(&running(), &policy(), at(10)) else {
        panic!("a running job is asked to stop");
    };
    job
}

/// A job that was finished in this way at ten seconds.
fn done(settlement: Settlement) -> Job {
    settled(&running(), settlement, 10)
}

/// The job after this settlement.
fn settled(job: &Job, settlement: Settlement, now: u64) -> Job {
    match super::settle(job, &lease(job), settlement, [1; 16], &policy(), 0, at(now)) {
        Ok(super::SettleStep::Moved { job, .. }) => Arc::unwrap_or_clone(job),
        other => panic!("the lease is held, got {other:?}"),
    }
}

fn lease(job: &Job) -> LeaseId {
    job.lease_id().unwrap()
}

fn result() -> JobResult {
    JobResult::new(200, None, Vec::new(), bytes::Bytes::from_static(b"yes"))
}

fn succeed() -> Settlement {
    Settlement::succeed(result())
}

fn fail(retry: Option<Duration>) -> Settlement {
    Settlement::Fail {
        failure: Failure::new("handler-failed", "no"),
        retry,
        result: Some(Arc::new(result())),
        timed_out: false,
    }
}

fn release(delay: u64, interrupted: bool) -> Settlement {
    Settlement::Release {
        delay: s(delay),
        interrupted,
        why: None,
    }
}

/// How long after the start, or before it.
fn after(instant: Timestamp) -> String {
    let sign = if instant < at(0) { "-" } else { "" };
    format!(
        "{sign}{}",
        format_duration(instant.since(at(0)).max(at(0).since(instant)))
    )
}

/// A job in one line: where it stands, version, attempts charged, fence; when it is due, its lease ends or it ends and
/// is kept until; whether it is to stop; why it failed; how its attempts ended.
fn show(job: &Job) -> String {
    let mut text = match &job.phase {
        Phase::Waiting => format!("waits for {}", after(job.run_at)),
        Phase::Running(lease) => {
            let mut text = format!(
                "runs until {} of {}",
                after(lease.expires_at),
                after(lease.attempt_deadline)
            );
            if let Some(by) = lease.cancel_by {
                write!(text, " or {}", after(by)).unwrap();
            }
            text
        }
        Phase::Done {
            outcome,
            finished_at,
            expires_at,
        } => {
            format!(
                "{} at {} kept until {}",
                outcome.as_str(),
                after(*finished_at),
                after(*expires_at)
            )
        }
    };
    write!(text, ", v{} a{} f{}", job.version, job.attempt, job.fence).unwrap();
    if job.cancel_requested {
        text.push_str(", to stop");
    }
    if let Some(error) = &job.error {
        write!(text, ", {}", error.code).unwrap();
    }
    for attempt in &job.attempts {
        write!(text, ", {}:{:?}", attempt.n, attempt.outcome).unwrap();
    }
    text
}
