//! One attempt from its claim to its settlement, the same for every kind of worker.
//!
//! ```text
//!            ┌── Hold: renewals, cancel, time-out, drain ── Stop ──┐
//! claimed ───┤                                                     ▼
//!            └── Runner: push, process … ──────── AttemptEnd ── settlement ── Settler ── the slot is free
//! ```
//!
//! Invariants: whatever the runner does, even a panic, ends in one settlement at most; an attempt holds its slot
//! until that is committed, or until it ends where the store counts what is not settled yet; an attempt whose lease is over settles nothing.

use std::sync::Arc;
use std::time::Duration;

use raincheck_core::decide::Settlement;
use raincheck_core::id::LeaseId;
use raincheck_core::job::Phase;
use raincheck_core::name::Namespace;
use raincheck_core::queue::Queue;
use raincheck_core::store::{Leased, Renew, StoreError};
use raincheck_core::time::Timestamp;
use tokio::time::Instant;
use tracing::{Instrument, debug, error, error_span, info, warn};

use super::hold::Hold;
use super::supervise::{settlement, supervise};
use super::{AttemptEnd, Ctx, Place, Runner, Shop, StopReason, Stops};
use crate::backoff::Backoff;
use crate::dispatch::Slot;
use crate::tasks::TaskKind;

/// One attempt that is about to begin.
pub(crate) struct Attempt {
    pub(crate) leased: Leased,
    pub(crate) queue: Arc<Queue>,
    pub(crate) runner: Arc<dyn Runner>,
    /// When the claim was asked for: the lease's term counts from no earlier than that.
    pub(crate) asked: Instant,
    pub(crate) slot: Slot,
    /// Where it goes, for a runner that reserved that.
    pub(crate) place: Option<Place>,
}

/// Starts an attempt in a task of its own.
pub(crate) fn start(shop: &Arc<Shop>, attempt: Attempt) {
    let job = &attempt.leased.job;
    // The second part of a traceparent (W3C Trace Context).
    let parent = shop.traces.traceparent(job);
    let trace_id = parent.as_deref().and_then(|parent| parent.split('-').nth(1));
    // Whatever is logged: its lines tell whose they are.
    let span = error_span!("attempt", job.id = %job.id, queue = %job.queue, attempt = job.attempt, trace_id);
    let task = run(shop.clone(), attempt).instrument(span);
    shop.attempts.spawn(TaskKind::Attempt, task);
}

/// Whether attempts of this queue give back their slots when they end, and not only when that is settled: where the store counts
/// until then, the job that follows comes with the commit that settles, and the core that runs attempts need not wait for it.
pub(crate) fn leaves_early(shop: &Shop, queue: &Queue, runner: &dyn Runner) -> bool {
    runner.leaves_early() && queue.limits().concurrency.is_some() && shop.store.holds_claims()
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
            why: None,
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
        place,
    } = attempt;
    let job = leased.job.clone();
    let (Phase::Running(lease), Some(id)) = (&job.phase, job.lease_id()) else {
        error!("the store gave out a job that does not run");
        return;
    };
    let early = leaves_early(&shop, &queue, &*runner);
    let mut hold = Hold::new(&shop, &job.namespace, id, lease, asked);
    let stops = Stops::default();
    let ctx = Ctx {
        job: job.clone(),
        input: leased.input,
        queue: queue.clone(),
        deadline: lease.attempt_deadline,
        traceparent: shop.traces.traceparent(&job),
        stops: stops.clone(),
        store: shop.store.clone(),
        room: shop.room.clone(),
        place,
    };
    let (end, stop) = supervise(&mut hold, || runner.clone().run(ctx), &stops).await;
    let (until, timing_out) = hold.leave();
    let slot = if early {
        slot.leave(&shop, &queue, &*runner);
        None
    } else {
        Some(slot)
    };
    let reason = stop.map(|stop| stop.reason);
    let counts = !matches!(reason, Some(StopReason::LeaseOver | StopReason::Settled));
    let time = lease.attempt_deadline.since(lease.started_at);
    if end == AttemptEnd::Deferred && counts {
        hand_over(&shop, id, &job.namespace, until).await;
    } else if let Some(settlement) = settlement(end, reason, time) {
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
        let last = job.attempts.last();
        let outcome = last.map(|attempt| attempt.outcome.as_str());
        let run_ms = last.map(|attempt| attempt.ended_at.as_millis() - attempt.started_at.as_millis());
        if job.met_nobody() {
            // Each job of a service that is away comes back again and again; that it is away is told once.
            debug!(outcome, state, run_ms, "attempt settled");
        } else {
            info!(outcome, state, run_ms, "attempt settled");
        }
    }
}

#[cfg(test)]
mod tests;
