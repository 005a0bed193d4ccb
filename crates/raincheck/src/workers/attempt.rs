//! One attempt from its claim to its settlement, the same for every kind of worker.
//!
//! ```text
//!            ┌── Hold: renewals, cancel, time-out, drain ── Stop ──┐
//! claimed ───┤                                                     ▼
//!            └── Runner: push, process … ──────── AttemptEnd ── settlement ── Settler ── the slot is free
//! ```
//!
//! Invariants: whatever the runner does, even a panic, ends in one settlement at most; an attempt holds its slot
//! until that is committed; an attempt whose lease is over settles nothing.

use std::sync::Arc;
use std::time::Duration;

use raincheck_core::decide::Settlement;
use raincheck_core::id::LeaseId;
use raincheck_core::job::{Failure, Phase};
use raincheck_core::lease::Lease;
use raincheck_core::name::Namespace;
use raincheck_core::queue::Queue;
use raincheck_core::store::{Leased, Renew, StoreError};
use raincheck_core::time::{Timestamp, format_duration};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::{Instrument, debug, error, info, info_span, warn};

use super::hold::Hold;
use super::{AttemptEnd, Ctx, Runner, Shop, Stop, StopReason, Stops};
use crate::backoff::Backoff;
use crate::dispatch::Slot;
use crate::tasks::{CatchPanic, TaskKind};

/// How much longer than its patience a runner that was told to stop may take before its future is dropped.
const FORCE_AFTER: Duration = Duration::from_secs(1);

/// One attempt that is about to begin.
pub(crate) struct Attempt {
    pub(crate) leased: Leased,
    pub(crate) queue: Arc<Queue>,
    pub(crate) runner: Arc<dyn Runner>,
    /// When the claim was asked for: the lease's term counts from no earlier than that.
    pub(crate) asked: Instant,
    pub(crate) slot: Slot,
}

/// Starts an attempt in a task of its own.
pub(crate) fn start(shop: &Arc<Shop>, attempt: Attempt) {
    let job = &attempt.leased.job;
    let span = info_span!("attempt", job.id = %job.id, queue = %job.queue, attempt = job.attempt);
    let task = run(shop.clone(), attempt).instrument(span);
    shop.attempts.spawn(TaskKind::Attempt, task);
}

/// Gives back a job that was claimed but will not be begun; its attempt is not charged.
pub(crate) fn give_back(shop: &Arc<Shop>, leased: &Leased, interrupted: bool, slot: Slot) {
    let job = leased.job.clone();
    let (Some(id), Some(lease)) = (job.lease_id(), job.lease()) else {
        return;
    };
    let until = lease.expires_at;
    let settler = shop.settler.clone();
    shop.attempts.spawn(TaskKind::Attempt, async move {
        let release = Settlement::Release {
            delay: Duration::ZERO,
            interrupted,
        };
        settler.settle(job.namespace.clone(), id, release, until).await;
        drop(slot);
    });
}

async fn run(shop: Arc<Shop>, attempt: Attempt) {
    let Attempt {
        leased,
        queue,
        runner,
        asked,
        slot,
    } = attempt;
    let job = leased.job.clone();
    let (Phase::Running(lease), Some(id)) = (&job.phase, job.lease_id()) else {
        error!("the store gave out a job that does not run");
        return;
    };
    let mut hold = Hold::new(&shop, &job.namespace, id, lease, asked);
    let (tell, stops) = Stops::channel();
    let ctx = Ctx {
        job: job.clone(),
        input: leased.input,
        queue,
        deadline: lease.attempt_deadline,
        stops,
        store: shop.store.clone(),
    };
    let (end, stop) = supervise(&mut hold, runner, ctx, &tell).await;
    let (until, timing_out) = hold.leave();
    let reason = stop.map(|stop| stop.reason);
    let counts = !matches!(reason, Some(StopReason::LeaseOver | StopReason::Settled));
    if end == AttemptEnd::Deferred && counts {
        hand_over(&shop, id, &job.namespace, until).await;
    } else if let Some(settlement) = settlement(end, reason, lease) {
        settle(&shop, id, settlement, job.namespace.clone(), until).await;
    }
    drop((timing_out, slot));
}

/// Makes the lease its endpoint's, durably, so that no drain and no restart ends it. The slot of this node is free then;
/// the job keeps its place in the queue's concurrency until it is settled or its time is over.
async fn hand_over(shop: &Shop, lease: LeaseId, ns: &Namespace, until: Timestamp) {
    let mut backoff = Backoff::new(shop.random.clone());
    loop {
        let renew = Renew {
            lease,
            term: Duration::ZERO,
            progress: None,
            defer: true,
        };
        match shop.store.renew(ns, vec![renew]).await {
            Ok(answers) if answers.iter().any(Option::is_some) => {
                info!("handed over to its endpoint, which settles it later");
                return;
            }
            // The endpoint was faster than its own answer, or somebody else ended the lease.
            Ok(_) => {
                debug!("the lease was over before the attempt could be handed over");
                return;
            }
            Err(StoreError::Failed(_) | StoreError::Closed) => return,
            Err(error) if shop.store.now() < until => {
                warn!(%error, "an attempt could not be handed over to its endpoint yet");
                tokio::time::sleep(backoff.next()).await;
            }
            Err(error) => {
                warn!(%error, "an attempt is dropped: its lease lapsed before it could be handed over");
                return;
            }
        }
    }
}

async fn settle(shop: &Shop, id: LeaseId, settlement: Settlement, ns: Namespace, until: Timestamp) {
    if let Some(job) = shop.settler.settle(ns, id, settlement, until).await {
        let state = job.state(shop.store.now()).as_str();
        let outcome = job.attempts.last().map(|attempt| attempt.outcome.as_str());
        info!(outcome, state, "attempt settled");
    }
}

/// Lets the runner run until it ends, telling it of what is to stop it; cuts it where it does not listen.
async fn supervise(
    hold: &mut Hold,
    runner: Arc<dyn Runner>,
    ctx: Ctx,
    tell: &watch::Sender<Option<Stop>>,
) -> (AttemptEnd, Option<Stop>) {
    // A cancel request may have overtaken the claim's answer: then the work is not begun.
    if let Some(stop) = at_once(hold).await {
        return (AttemptEnd::Stopped, Some(stop));
    }
    let mut running = CatchPanic(runner.run(ctx));
    let mut stopped: Option<Stop> = None;
    loop {
        let force_at = stopped.map(|stop| stop.by + FORCE_AFTER);
        tokio::select! {
            biased;
            end = &mut running => {
                let end = end.unwrap_or_else(|panic| {
                    error!(%panic, "an attempt panicked");
                    AttemptEnd::retry(Failure::new("handler-failed", "the handler panicked"))
                });
                return (end, stopped);
            }
            next = hold.next() => {
                let stop = stopped.map_or(next, |before| tightened(before, next));
                stopped = Some(stop);
                tell.send_replace(stopped);
            }
            () = sleep_until(force_at.unwrap_or_else(Instant::now)), if force_at.is_some() => {
                warn!("an attempt did not stop when it was told to and is cut");
                return (AttemptEnd::Stopped, stopped);
            }
        }
    }
}

/// What is to stop the attempt already, where there is something.
async fn at_once(hold: &mut Hold) -> Option<Stop> {
    tokio::select! {
        biased;
        stop = hold.next() => Some(stop),
        () = std::future::ready(()) => None,
    }
}

/// What holds when an attempt that is stopping is told to stop for another reason: the first reason stays, unless the
/// lease is over, and patience only gets shorter.
fn tightened(before: Stop, next: Stop) -> Stop {
    let reason = match next.reason {
        StopReason::LeaseOver | StopReason::Settled => next.reason,
        StopReason::Cancelled | StopReason::TimedOut | StopReason::Draining => before.reason,
    };
    Stop {
        reason,
        by: before.by.min(next.by),
    }
}

/// What to settle. What the runner says of an attempt that ended by itself counts, though it was being stopped; but
/// after a cancel request only a success does.
fn settlement(end: AttemptEnd, stopped: Option<StopReason>, lease: &Lease) -> Option<Settlement> {
    match (end, stopped) {
        (_, Some(StopReason::LeaseOver | StopReason::Settled)) | (AttemptEnd::Deferred, _) => None,
        (AttemptEnd::Succeeded(result), _) => Some(Settlement::Succeed(result)),
        (AttemptEnd::Failed { .. } | AttemptEnd::Stopped, Some(StopReason::Cancelled)) => {
            Some(Settlement::Cancel)
        }
        (
            AttemptEnd::Failed {
                failure,
                retry,
                result,
            },
            _,
        ) => Some(Settlement::Fail {
            failure,
            retry,
            result,
            timed_out: false,
        }),
        (AttemptEnd::Stopped, Some(StopReason::TimedOut)) => {
            let time = format_duration(lease.attempt_deadline.since(lease.started_at));
            Some(Settlement::Fail {
                failure: Failure::new("timed-out", format!("the attempt did not end within {time}")),
                retry: Some(Duration::ZERO),
                result: None,
                timed_out: true,
            })
        }
        (AttemptEnd::Stopped, Some(StopReason::Draining) | None) => Some(Settlement::Release {
            delay: Duration::ZERO,
            interrupted: true,
        }),
    }
}

#[cfg(test)]
mod tests;
