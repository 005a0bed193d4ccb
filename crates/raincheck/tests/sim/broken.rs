//! Stores with one thing wrong each, to show that the checker sees it.
//!
//! Invariant: without a bug every function here is the store's own.

use std::collections::BTreeMap;
use std::sync::Arc;

use raincheck_core::content::JobResult;
use raincheck_core::decide::{SettleRefused, SettleStep, settle as decide_settle};
use raincheck_core::id::{Fence, JobId};
use raincheck_core::job::{Job, Outcome, Phase};
use raincheck_core::lease::Lease;
use raincheck_core::name::{Namespace, QueueName};
use raincheck_core::queue::{Queue, QueueSpec};
use raincheck_core::store::{
    Answer, Change, Claim, Leased, Missing, QueueRefused, Reclaimed, Settle, Store, Submission,
    SubmitRefused, Submitted,
};

use crate::world::World;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// A settlement under a lease that is over is answered as if it counted.
    TakesOldLeases,
    /// A settlement is answered, and not kept.
    ForgetsSettlements,
    /// A claim gives out a job that was cancelled.
    RunsCancelledJobs,
    /// A submission is answered, and not kept.
    ForgetsSubmissions,
    /// A key is not looked at.
    IgnoresKeys,
    /// A result is not what it was.
    ChangesResults,
    /// A queue's concurrency is not kept.
    IgnoresConcurrency,
    /// A lease that lapsed is never ended.
    NeverReclaims,
}

impl Bug {
    pub(crate) const ALL: [Self; 8] = [
        Self::TakesOldLeases,
        Self::ForgetsSettlements,
        Self::RunsCancelledJobs,
        Self::ForgetsSubmissions,
        Self::IgnoresKeys,
        Self::ChangesResults,
        Self::IgnoresConcurrency,
        Self::NeverReclaims,
    ];
}

/// Jobs that a broken store knows of beside itself.
pub(crate) type Known = BTreeMap<JobId, (Arc<Job>, raincheck_core::time::Timestamp)>;

fn ready<T: Send + 'static>(answer: T) -> Answer<T> {
    Box::pin(std::future::ready(Ok(answer)))
}

pub(crate) fn submit(
    bug: Option<Bug>,
    store: &dyn Store,
    ns: &Namespace,
    mut batch: Vec<Submission>,
) -> Answer<Vec<Result<Submitted, SubmitRefused>>> {
    match bug {
        Some(Bug::ForgetsSubmissions) if batch[0].job.id.tail().is_multiple_of(5) => {
            ready(vec![Ok(Submitted::Created); batch.len()])
        }
        Some(Bug::IgnoresKeys) => {
            for submission in &mut batch {
                submission.idempotency = None;
            }
            store.submit(ns, batch)
        }
        _ => store.submit(ns, batch),
    }
}

/// A cancelled job to be given out, where that is the bug.
pub(crate) fn cancelled(bug: Option<Bug>, world: &World) -> Option<Arc<Job>> {
    if bug != Some(Bug::RunsCancelledJobs) {
        return None;
    }
    let state = world.state();
    let mut jobs = state.checker.jobs.values().map(|shadow| &shadow.job);
    jobs.find(|job| job.outcome() == Some(Outcome::Cancelled))
        .cloned()
}

pub(crate) fn claim(
    bug: Option<Bug>,
    store: &dyn Store,
    ns: &Namespace,
    claim: Claim,
    cancelled: Option<Arc<Job>>,
) -> Answer<Vec<Leased>> {
    let Some(job) = cancelled.filter(|_| bug == Some(Bug::RunsCancelledJobs)) else {
        return store.claim(ns, claim);
    };
    let now = store.now();
    let mut job = Job::clone(&job);
    job.version += 1;
    job.attempt += 1;
    job.fence = Fence(job.fence.0 + 1);
    job.started_at.get_or_insert(now);
    job.cancel_requested = false;
    job.phase = Phase::Running(Lease {
        nonce: claim.nonces[0],
        worker: claim.claimer.worker,
        kind: claim.claimer.kind,
        started_at: now,
        term: claim.claimer.term,
        expires_at: now.plus(claim.claimer.term),
        attempt_deadline: now.plus(claim.claimer.term),
        cancel_by: None,
        progress: None,
        claim_id: None,
    });
    ready(vec![Leased {
        job: Arc::new(job),
        input: raincheck_core::content::Input::default(),
    }])
}

/// The jobs of a batch, for a store that does not look itself.
pub(crate) fn known(bug: Option<Bug>, world: &World, batch: &[Settle]) -> Known {
    let looks = matches!(bug, Some(Bug::TakesOldLeases | Bug::ForgetsSettlements));
    let now = world.now();
    let state = world.state();
    let jobs = batch.iter().filter(|_| looks).filter_map(|settle| {
        let shadow = state.checker.jobs.get(&settle.lease.job)?;
        Some((settle.lease.job, (shadow.job.clone(), now)))
    });
    jobs.collect()
}

pub(crate) fn settle(
    bug: Option<Bug>,
    store: &dyn Store,
    ns: &Namespace,
    batch: Vec<Settle>,
    known: Known,
) -> Answer<Vec<Result<Arc<Job>, SettleRefused>>> {
    match bug {
        Some(Bug::TakesOldLeases) => {
            let ids: Vec<JobId> = batch.iter().map(|settle| settle.lease.job).collect();
            let answer = store.settle(ns, batch);
            Box::pin(async move {
                let answers = answer.await?.into_iter().zip(ids);
                let accept = |(answer, id): (Result<Arc<Job>, SettleRefused>, JobId)| match known.get(&id) {
                    Some((job, _)) => answer.or_else(|_| Ok(job.clone())),
                    None => answer,
                };
                Ok(answers.map(accept).collect())
            })
        }
        Some(Bug::ForgetsSettlements) if batch[0].lease.job.tail().is_multiple_of(3) => {
            let answers = batch.into_iter().map(|sent| {
                let (job, now) = known.get(&sent.lease.job).ok_or(SettleRefused::LeaseLost)?;
                let queue = Queue::new(
                    ns.clone(),
                    job.queue.clone(),
                    QueueSpec::default(),
                    job.created_at,
                );
                let policy = queue.policy(&job.options);
                match decide_settle(
                    job,
                    &sent.lease,
                    sent.settlement,
                    sent.digest,
                    &policy,
                    sent.seed,
                    *now,
                )? {
                    SettleStep::Moved { job, .. } => Ok(job),
                    SettleStep::Repeated => Ok(job.clone()),
                }
            });
            ready(answers.collect())
        }
        _ => store.settle(ns, batch),
    }
}

pub(crate) fn reclaim(bug: Option<Bug>, store: &dyn Store, limit: u32, seed: u64) -> Answer<Reclaimed> {
    match bug {
        Some(Bug::NeverReclaims) => ready(Reclaimed::default()),
        _ => store.reclaim(limit, seed),
    }
}

pub(crate) fn result(
    bug: Option<Bug>,
    store: &dyn Store,
    ns: &Namespace,
    id: JobId,
) -> Answer<Result<Change, Missing>> {
    let answer = store.result(ns, id);
    if bug != Some(Bug::ChangesResults) {
        return answer;
    }
    Box::pin(async move {
        Ok(answer.await?.map(|mut change| {
            change.result = change
                .result
                .map(|result| Arc::new(JobResult::new(result.status, None, Vec::new(), "another".into())));
            change
        }))
    })
}

pub(crate) fn put_queue(
    bug: Option<Bug>,
    store: &dyn Store,
    ns: &Namespace,
    name: &QueueName,
    spec: QueueSpec,
    managed: bool,
) -> Answer<Result<Arc<Queue>, QueueRefused>> {
    if bug != Some(Bug::IgnoresConcurrency) {
        return store.put_queue(ns, name, spec, managed);
    }
    let loose = QueueSpec {
        concurrency: None,
        ..spec.clone()
    };
    let answer = store.put_queue(ns, name, loose, managed);
    Box::pin(async move {
        Ok(answer.await?.map(|queue| {
            let mut queue = Queue::clone(&queue);
            queue.spec = spec;
            Arc::new(queue)
        }))
    })
}
