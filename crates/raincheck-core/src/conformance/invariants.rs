//! What is true of every job at every moment, whichever store keeps it.
//!
//! Invariant: a rule here needs nothing but the job and what was seen of it before, so that any test which reads jobs
//! can hold a [`History`] beside it: promises, random commands, a simulation, a client's ledger.

use std::collections::BTreeMap;

use crate::decide::{ClockSet, clock_was_set, holds};
use crate::id::JobId;
use crate::job::{ATTEMPTS_SHOWN, Job, Options, Outcome, Phase};
use crate::lease::WorkerKind;

/// A rule that a job broke.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{rule}:\n  before: {before:?}\n  now: {now:?}")]
pub struct Broken {
    /// The rule, as it should have been.
    pub rule: &'static str,
    /// The job as it was seen last, where that matters.
    pub before: Option<Box<Job>>,
    /// The job that breaks the rule.
    pub now: Box<Job>,
}

/// The jobs that were seen, each as it was last. Show it jobs in the order in which the store answered.
#[derive(Clone, Debug, Default)]
pub struct History(BTreeMap<JobId, Job>);

impl History {
    /// Checks the job by itself and against what was seen of it before, and remembers it.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn see(&mut self, job: &Job) -> Result<(), Broken> {
        sound(job)?;
        if let Some(before) = self.0.get(&job.id) {
            follows(before, job)?;
        }
        self.0.insert(job.id, job.clone());
        Ok(())
    }

    /// The clock was set: what was seen before is as it would have been seen now.
    pub fn clock_was_set(&mut self, set: ClockSet) {
        for job in self.0.values_mut() {
            if let Some(next) = clock_was_set(job, set) {
                *job = next;
            }
        }
    }

    /// The jobs as they were seen last.
    pub fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.0.values()
    }
}

/// What is true of a job whatever happened before.
///
/// # Errors
/// The first rule that is broken.
pub fn sound(job: &Job) -> Result<(), Broken> {
    let rule = |ok: bool, rule: &'static str| {
        if ok {
            Ok(())
        } else {
            Err(Broken {
                rule,
                before: None,
                now: Box::new(job.clone()),
            })
        }
    };
    let claimed = job.fence.0 > 0;
    rule(job.version >= 1, "a version counts from 1")?;
    rule(
        job.created_at <= job.id.created_at(),
        "a job is accepted at the instant its id was made, or before a clock that was set back comes to it",
    )?;
    rule(
        job.attempt <= job.fence.0,
        "an attempt is charged by a claim only",
    )?;
    rule(job.version > job.fence.0, "every claim is a transition")?;
    rule(
        claimed == job.started_at.is_some(),
        "a job is started by its first claim",
    )?;
    rule(claimed || job.attempts.is_empty(), "an attempt follows a claim")?;
    rule(
        job.attempts.len() <= ATTEMPTS_SHOWN,
        "a document tells of the last attempts only",
    )?;
    let in_order = job
        .attempts
        .windows(2)
        .all(|two| two[0].ended_at <= two[1].started_at);
    rule(in_order, "an attempt begins when the one before is over")?;
    let spans = job
        .attempts
        .iter()
        .all(|attempt| attempt.started_at <= attempt.ended_at);
    rule(spans, "an attempt ends after it began")?;
    rule(
        job.retried_as.is_none() || job.done(),
        "only a finished job is repeated",
    )?;
    match &job.phase {
        Phase::Waiting => {
            rule(!job.cancel_requested, "a job that is to stop does not wait")?;
        }
        Phase::Running(lease) => {
            rule(job.attempt >= 1, "a running job's attempt is charged")?;
            rule(job.settled.is_none(), "a claim forgets the settlement before")?;
            rule(
                lease.expires_at <= lease.attempt_deadline,
                "no lease passes its attempt's deadline",
            )?;
            rule(
                job.cancel_requested == lease.cancel_by.is_some(),
                "a worker that is to stop has a grace",
            )?;
            let last = job
                .attempts
                .last()
                .is_none_or(|last| last.ended_at <= lease.started_at);
            rule(last, "one attempt runs at a time")?;
        }
        Phase::Done {
            outcome,
            finished_at,
            expires_at,
        } => {
            rule(*finished_at >= job.created_at, "a job ends after it was accepted")?;
            rule(expires_at >= finished_at, "a job is kept after it has ended")?;
            rule(
                *outcome != Outcome::Succeeded || claimed,
                "only a worker makes a job succeed",
            )?;
            rule(
                *outcome != Outcome::Expired || !claimed,
                "only a job that was never started expires",
            )?;
            rule(
                *outcome != Outcome::Failed || job.error.is_some(),
                "a failed job says why",
            )?;
        }
    }
    Ok(())
}

/// What is true of all jobs at one moment: at most one of them holds a unique value of its queue.
///
/// # Errors
/// The second job that holds a value.
pub fn one_holder<'a>(jobs: impl Iterator<Item = &'a Job>) -> Result<(), Broken> {
    let mut holders = BTreeMap::new();
    for job in jobs.filter(|job| holds(job)) {
        let value = job.options.unique.as_ref().map(|unique| &unique.value);
        if let Some(other) = holders.insert((&job.namespace, &job.queue, value), job) {
            return Err(Broken {
                rule: "a unique value has one holder",
                before: Some(Box::new(other.clone())),
                now: Box::new(job.clone()),
            });
        }
    }
    Ok(())
}

/// What is true of two states of one job, the second seen after the first.
///
/// # Errors
/// The first rule that is broken.
pub fn follows(before: &Job, now: &Job) -> Result<(), Broken> {
    let rule = |ok: bool, rule: &'static str| {
        if ok {
            Ok(())
        } else {
            let before = Some(Box::new(before.clone()));
            Err(Broken {
                rule,
                before,
                now: Box::new(now.clone()),
            })
        }
    };
    rule(now.version >= before.version, "a version never goes back")?;
    if now.version == before.version {
        rule(
            *now == renewed_like(before, now),
            "what changes without a version is the term, the progress and the endpoint of the lease only",
        )?;
    }
    rule(
        asked(before) == asked(now),
        "what a submitter asked stays as it was",
    )?;
    rule(
        before.started_at.is_none() || open(before) == open(now),
        "a job that has started is not patched",
    )?;
    rule(now.fence >= before.fence, "a fence never goes back")?;
    let claims = now.fence.0 - before.fence.0;
    rule(
        claims <= now.version - before.version,
        "every claim is a transition",
    )?;
    let returned = |job: &Job| job.fence.0 - job.attempt;
    rule(
        returned(now) >= returned(before),
        "an attempt that was given back is not charged again",
    )?;
    let started = before.started_at.is_none() || before.started_at == now.started_at;
    rule(started, "a job is started once")?;
    rule(
        now.cancel_requested || !before.cancel_requested,
        "a cancel request is not taken back",
    )?;
    if before.done() {
        let mut same = before.clone();
        same.version = now.version;
        same.retried_as = now.retried_as;
        rule(
            same == *now,
            "a finished job never changes, but for being repeated",
        )?;
    }
    Ok(())
}

/// What a job's submitter decided for good.
fn asked(job: &Job) -> impl PartialEq + '_ {
    let options = Options {
        tags: Vec::new(),
        ..Options::clone(&job.options)
    };
    (
        &job.namespace,
        &job.queue,
        &job.group,
        options,
        job.created_at,
        job.retry_of,
    )
}

/// What a submitter may change until the job is started.
fn open(job: &Job) -> impl PartialEq + '_ {
    (job.priority, &job.options.tags)
}

/// `before` as renewals may have made it.
fn renewed_like(before: &Job, now: &Job) -> Job {
    let mut job = before.clone();
    if let (Phase::Running(lease), Some(renewed)) = (&mut job.phase, now.lease()) {
        lease.term = renewed.term;
        lease.expires_at = renewed.expires_at;
        lease.progress.clone_from(&renewed.progress);
        if lease.kind != WorkerKind::Pull && renewed.kind == WorkerKind::Deferred {
            lease.kind = renewed.kind;
        }
    }
    job
}
