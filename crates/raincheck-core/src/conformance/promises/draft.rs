//! What promises ask of a store, in few words: jobs, claims, settlements and spans of time.
//!
//! Invariant: what a promise says nothing about is the same everywhere.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::content::{Input, JobResult};
use crate::decide::Settlement;
use crate::id::LeaseId;
use crate::job::{Failure, Job, Options, PRIORITY_DEFAULT};
use crate::lease::WorkerKind;
use crate::name::QueueName;
use crate::output::{Piece, Stream};
use crate::store::{Idempotency, Settle};
use crate::time::Timestamp;

/// How long leases are that a promise says nothing about.
pub const TERM: Duration = Duration::from_secs(30);
/// The seed of every delay that a promise says nothing about.
pub const SEED: u64 = 7;

/// So many seconds.
pub const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// So many milliseconds.
pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// So many hours.
pub const fn h(hours: u64) -> Duration {
    s(hours * 3600)
}

/// A submission as a promise writes it.
#[derive(Clone, Debug)]
pub struct Draft {
    pub queue: &'static str,
    pub group: Option<&'static str>,
    pub priority: u8,
    pub run_at: Option<Timestamp>,
    pub delay: Option<Duration>,
    pub options: Options,
    pub body: Bytes,
    /// The idempotency key, and a number that stands for what is sent under it.
    pub key: Option<(&'static str, u8)>,
    pub create_queue: bool,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            queue: "q",
            group: None,
            priority: PRIORITY_DEFAULT,
            run_at: None,
            delay: None,
            options: Options::default(),
            body: Bytes::from_static(b"input"),
            key: None,
            create_queue: false,
        }
    }
}

impl Draft {
    /// A job of this group.
    pub fn of(group: &'static str) -> Self {
        Self {
            group: Some(group),
            ..Self::default()
        }
    }

    /// A job under this idempotency key.
    pub fn keyed(key: &'static str, sent: u8) -> Self {
        Self {
            key: Some((key, sent)),
            ..Self::default()
        }
    }

    /// A job with these options.
    pub fn with(options: Options) -> Self {
        Self {
            options,
            ..Self::default()
        }
    }
}

/// A claim as a promise writes it.
#[derive(Clone, Debug)]
pub struct Take {
    pub queue: &'static str,
    pub worker: &'static str,
    pub kind: WorkerKind,
    pub term: Duration,
    pub claim_id: Option<&'static str>,
    pub count: usize,
    pub running_max: Option<u32>,
    pub passing_over: &'static [&'static str],
}

impl Default for Take {
    fn default() -> Self {
        Self {
            queue: "q",
            worker: "w",
            kind: WorkerKind::Pull,
            term: TERM,
            claim_id: None,
            count: 1,
            running_max: None,
            passing_over: &[],
        }
    }
}

pub fn queue_name(name: &str) -> QueueName {
    QueueName::new(name).expect("promises name queues well")
}

pub fn key(draft: &Draft) -> Option<Idempotency> {
    draft.key.map(|(key, sent)| Idempotency {
        key: key.to_owned(),
        fingerprint: [sent; 32],
    })
}

/// The lease of a job that runs.
pub fn lease(job: &Job) -> LeaseId {
    job.lease_id().expect("the job runs")
}

pub fn input(body: &Bytes) -> Input {
    Input {
        content_type: Some("text/plain".to_owned()),
        headers: vec![("content-language".to_owned(), "de".to_owned())],
        body: body.clone(),
    }
}

pub fn settle(lease: LeaseId, settlement: Settlement) -> Settle {
    // Any digest does that tells settlements apart.
    let digest = JobResult::new(0, None, Vec::new(), format!("{settlement:?}").into()).digest;
    Settle {
        lease,
        settlement,
        digest,
        seed: SEED,
    }
}

/// A piece of output.
pub fn output(body: &'static str) -> Piece {
    Piece {
        stream: Stream::Output,
        body: Bytes::from_static(body.as_bytes()),
    }
}

/// A piece of log.
pub fn log(body: &'static str) -> Piece {
    Piece {
        stream: Stream::Log,
        ..output(body)
    }
}

pub fn succeed(body: &'static str) -> Settlement {
    Settlement::succeed(answer(body))
}

pub fn answer(body: &'static str) -> JobResult {
    let headers = vec![("x-kept".to_owned(), "yes".to_owned())];
    JobResult::new(
        201,
        Some("text/plain".to_owned()),
        headers,
        Bytes::from_static(body.as_bytes()),
    )
}

/// The handler failed; another attempt may help.
pub fn fail() -> Settlement {
    fail_after(Duration::ZERO)
}

/// The handler failed and asks for at least this delay.
pub fn fail_after(floor: Duration) -> Settlement {
    Settlement::Fail {
        failure: Failure::new("handler-failed", "it did not work"),
        retry: Some(floor),
        result: Some(Arc::new(answer("what went wrong"))),
        timed_out: false,
    }
}

/// The handler refused the job.
pub fn refuse() -> Settlement {
    Settlement::Fail {
        failure: Failure::new("handler-failed", "it will never work"),
        retry: None,
        result: Some(Arc::new(answer("why not"))),
        timed_out: false,
    }
}

pub fn release(delay: Duration) -> Settlement {
    Settlement::Release {
        delay,
        interrupted: false,
        why: None,
    }
}
