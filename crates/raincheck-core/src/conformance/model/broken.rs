//! The model with one fault each, so that the suite can show that it would notice.
//!
//! Invariant: a broken store differs from the model in the one way its fault names.

mod at_open;
mod behind;
mod claims;
mod fault;
mod not_unique;

use std::sync::Arc;

use self::behind::{each_job, with_queues};
pub(in crate::conformance) use self::fault::Fault;
use super::ModelStore;
use super::state::Row;
use crate::audit::{Act, ActPage, Acts, ActsKept};
use crate::batch::{
    Batch, BatchCancelled, BatchId, BatchMissing, BatchOpened, BatchRefused, BatchStatus, Line, NewBatch,
    Results, Tended,
};
use crate::content::Input;
use crate::decide::{EmitRefused, Patch, Renewed, SettleRefused, Settlement, submit};
use crate::delivery::{Delivery, DeliveryId};
use crate::group::GroupSpec;
use crate::id::{Fence, JobId};
use crate::job::{Job, Outcome, Phase};
use crate::key::{ApiKey, KeyId, KeyRefused, NewKey};
use crate::list::{Listed, Page};
use crate::name::{GroupName, Namespace, QueueName};
use crate::queue::{Queue, QueueSpec};
use crate::secret::{Secret, SigningSecrets};
use crate::store::{
    Answer, Change, ChangeRefused, Claim, DueDeliveries, Emit, Emitted, EndTry, GroupStatus, Idempotency,
    Lag, Leased, Missing, Observer, Output, PatchError, QueueRefused, QueueStatus, Reclaimed, Renew, Retry,
    Settle, Slice, Standing, Store, Submission, SubmitRefused, Submitted,
};
use crate::time::Timestamp;

/// A store with a fault.
#[derive(Debug)]
pub(in crate::conformance) struct Broken {
    store: ModelStore,
    fault: Fault,
}

/// Operations that no fault touches.
macro_rules! as_it_should_be {
    ($(fn $name:ident($($arg:ident: $type:ty),*) -> $answer:ty;)*) => {
        $(fn $name(&self, $($arg: $type),*) -> $answer {
            self.store.$name($($arg),*)
        })*
    };
}

impl Broken {
    pub(in crate::conformance) fn new(store: ModelStore, fault: Fault) -> Self {
        Self { store, fault }
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }
}

impl Store for Broken {
    as_it_should_be! {
        fn now() -> Timestamp;
        fn mint() -> JobId;
        fn replay(ns: &Namespace, queue: &QueueName, sent: Idempotency) -> Answer<Option<Result<Submitted, SubmitRefused>>>;
        fn renew(ns: &Namespace, batch: Vec<Renew>) -> Answer<Vec<Option<Renewed>>>;
        fn output(ns: &Namespace, id: JobId, after: u64, limit: u32) -> Answer<Result<Output, Missing>>;
        fn input(ns: &Namespace, id: JobId) -> Answer<Result<Input, Missing>>;
        fn result(ns: &Namespace, id: JobId) -> Answer<Result<Change, Missing>>;
        fn put_queue(ns: &Namespace, name: &QueueName, spec: QueueSpec, managed: bool) -> Answer<Result<Arc<Queue>, QueueRefused>>;
        fn release_queue(ns: &Namespace, name: &QueueName) -> Answer<Result<Arc<Queue>, QueueRefused>>;
        fn queue(ns: &Namespace, name: &QueueName) -> Answer<Option<QueueStatus>>;
        fn standing(ns: &Namespace, job: &Job) -> Answer<Option<Standing>>;
        fn queues(ns: &Namespace) -> Answer<Vec<QueueStatus>>;
        fn all_queues() -> Answer<Vec<Arc<Queue>>>;
        fn lag() -> Answer<Lag>;
        fn group(ns: &Namespace, queue: &QueueName, group: &GroupName) -> Answer<Option<GroupStatus>>;
        fn put_group(ns: &Namespace, queue: &QueueName, group: &GroupName, spec: Option<GroupSpec>) -> Answer<Result<GroupStatus, QueueRefused>>;
        fn pause(ns: &Namespace, name: &QueueName, paused: bool) -> Answer<Result<Arc<Queue>, QueueRefused>>;
        fn purge(ns: &Namespace, name: &QueueName, limit: u32) -> Answer<Result<Slice, QueueRefused>>;
        fn open_batch(ns: &Namespace, new: NewBatch) -> Answer<Result<BatchOpened, BatchRefused>>;
        fn batch(ns: &Namespace, id: BatchId) -> Answer<Result<BatchStatus, BatchMissing>>;
        fn results(ns: &Namespace, id: BatchId, after: u64, limit: u32) -> Answer<Result<Results, BatchMissing>>;
        fn seal_batch(ns: &Namespace, id: BatchId, lines: u64) -> Answer<Result<BatchStatus, BatchRefused>>;
        fn cancel_batch(ns: &Namespace, id: BatchId, limit: u32) -> Answer<Result<BatchCancelled, BatchMissing>>;
        fn claim_deliveries(limit: u32) -> Answer<DueDeliveries>;
        fn end_tries(batch: Vec<EndTry>) -> Answer<Vec<bool>>;
        fn deliveries(ns: &Namespace, before: Option<DeliveryId>, limit: u32) -> Answer<Vec<Delivery>>;
        fn redeliver(ns: &Namespace, id: DeliveryId) -> Answer<Option<Delivery>>;
        fn signing_secrets(ns: &Namespace, fresh: Secret) -> Answer<SigningSecrets>;
        fn ticket_key(fresh: Secret) -> Answer<Secret>;
        fn rotate_secret(ns: &Namespace, fresh: Secret) -> Answer<SigningSecrets>;
        fn key_pepper(fresh: Secret) -> Answer<Secret>;
        fn create_key(ns: &Namespace, new: NewKey) -> Answer<Result<ApiKey, KeyRefused>>;
        fn keys(ns: &Namespace) -> Answer<Vec<ApiKey>>;
        fn all_keys() -> Answer<Vec<ApiKey>>;
        fn revoke_key(ns: &Namespace, id: KeyId) -> Answer<Result<(), KeyRefused>>;
        fn touch_keys(used: Vec<(KeyId, Timestamp)>) -> Answer<()>;
        fn recording(act: Act) -> Arc<dyn Store>;
        fn record(act: Act, refused: Option<String>) -> Answer<()>;
        fn acts(ns: &Namespace, page: ActPage) -> Answer<Acts>;
        fn prune_acts(kept: ActsKept, limit: u32) -> Answer<Slice>;
        fn home(id: JobId) -> Answer<Option<Namespace>>;
        fn check() -> Answer<()>;
    }

    fn observe(&self, observer: Arc<dyn Observer>) {
        if !self.has(Fault::TellsNobody) {
            self.store.observe(observer);
        }
    }

    fn submit(
        &self,
        ns: &Namespace,
        batch: Vec<Submission>,
    ) -> Answer<Vec<Result<Submitted, SubmitRefused>>> {
        let fault = self.fault;
        self.store.run(|model, now| {
            let mut answers: Vec<Result<Submitted, SubmitRefused>> = Vec::new();
            for mut submission in batch {
                match &mut submission.idempotency {
                    key if fault == Fault::ForgetsKeys => *key = None,
                    Some(key) if fault == Fault::TakesAnyFingerprint => key.fingerprint = [0; 32],
                    _ => {}
                }
                if let (Fault::StopsAtABadEntry, Some(Err(refused))) = (fault, answers.last()) {
                    answers.push(Err(*refused));
                    continue;
                }
                let (new, input) = (submission.job.clone(), submission.input.clone());
                let answer = if fault == Fault::OverfillsQueues {
                    with_queues(
                        model,
                        |queue| queue.spec.depth = None,
                        |model| model.submit(ns, submission, now),
                    )
                } else if fault == Fault::IgnoresDepthBytes {
                    with_queues(
                        model,
                        |queue| queue.spec.depth_bytes = None,
                        |model| model.submit(ns, submission, now),
                    )
                } else {
                    not_unique::submit(model, fault, ns, submission, now)
                };
                if fault == Fault::LosesJobs && answer == Ok(Submitted::Created) && new.delay.is_some() {
                    model.jobs.remove(&new.id);
                }
                if fault == Fault::KeepsRefusedJobs && matches!(answer, Err(SubmitRefused::QueueFull { .. }))
                {
                    let job = Arc::new(submit(&new));
                    model.jobs.insert(
                        new.id,
                        Row {
                            job,
                            input,
                            result: None,
                            chunks: Vec::new(),
                            mark: None,
                        },
                    );
                }
                answers.push(answer);
            }
            answers
        })
    }

    fn cancel(&self, ns: &Namespace, ids: Vec<JobId>) -> Answer<Vec<Result<Arc<Job>, Missing>>> {
        let fault = self.fault;
        self.store.run(|model, now| {
            if fault == Fault::ChangesFinalJobs {
                each_job(model, |job| {
                    if let Phase::Done { outcome, .. } = &mut job.phase
                        && ids.contains(&job.id)
                    {
                        *outcome = Outcome::Cancelled;
                        job.version += 1;
                    }
                });
            }
            ids.into_iter().map(|id| model.cancel(ns, id, now)).collect()
        })
    }

    fn retry(&self, ns: &Namespace, batch: Vec<Retry>) -> Answer<Vec<Result<Arc<Job>, ChangeRefused>>> {
        let forgets = self.has(Fault::ForgetsRetries);
        self.store.run(|model, now| {
            let retry = |wanted: Retry| {
                let before = model.find(ns, wanted.id).ok().filter(|_| forgets);
                let answer = model.retry(ns, wanted, now);
                if let Some(job) = before {
                    model.keep(Job::clone(&job));
                }
                answer
            };
            batch.into_iter().map(retry).collect()
        })
    }

    fn delete(&self, ns: &Namespace, ids: Vec<JobId>) -> Answer<Vec<Result<(), ChangeRefused>>> {
        if self.has(Fault::DeletesUnfinishedJobs) {
            return self.store.run(|model, now| {
                let delete = |id| {
                    model.find(ns, id)?;
                    model.forget(ns, id, Missing::Deleted, now);
                    Ok(())
                };
                ids.into_iter().map(delete).collect()
            });
        }
        self.store.delete(ns, ids)
    }

    fn claim(&self, ns: &Namespace, mut wanted: Claim) -> Answer<Vec<Leased>> {
        if self.has(Fault::RepeatsNoClaim) {
            wanted.claimer.claim_id = None;
        }
        if self.has(Fault::IgnoresTheClaimersBound) {
            wanted.running_max = None;
        }
        if self.has(Fault::PassesNobodyOver) {
            wanted.passing_over.clear();
        }
        self.store.run(|model, now| {
            let mut leased = match self.fault {
                Fault::IgnoresTurns
                | Fault::IgnoresPriority
                | Fault::StartsEarly
                | Fault::StartsOverdueJobs => self.claim_by_fault(model, ns, &wanted, now),
                Fault::IgnoresPause => with_queues(
                    model,
                    |queue| queue.paused = None,
                    |model| model.claim(ns, &wanted, now),
                ),
                Fault::IgnoresConcurrency => with_queues(
                    model,
                    |queue| queue.spec.concurrency = None,
                    |model| model.claim(ns, &wanted, now),
                ),
                Fault::IgnoresGroupLimits => with_queues(
                    model,
                    |queue| queue.spec.group_defaults = None,
                    |model| model.claim(ns, &wanted, now),
                ),
                Fault::IgnoresRates => with_queues(
                    model,
                    |queue| queue.spec.rate = None,
                    |model| model.claim(ns, &wanted, now),
                ),
                _ => model.claim(ns, &wanted, now),
            };
            for leased in &mut leased {
                let mut job = Job::clone(&leased.job);
                match self.fault {
                    Fault::ForgetsTheAttempt => job.attempt = job.attempt.saturating_sub(1),
                    Fault::LeavesTheFence if job.fence.0 > 1 => job.fence = Fence(job.fence.0 - 1),
                    _ => {}
                }
                leased.job = model.keep(job);
            }
            leased
        })
    }

    fn emit(&self, ns: &Namespace, batch: Vec<Emit>) -> Answer<Vec<Result<Emitted, EmitRefused>>> {
        let fault = self.fault;
        self.store.run(|model, now| {
            let emit = |wanted: Emit| {
                let answer = model.emit(ns, &wanted, now);
                let n = model.mark(wanted.lease.job).map_or(0, |mark| mark.n);
                let kept = Emitted {
                    n,
                    cancel_requested: false,
                };
                match (fault, &answer) {
                    (Fault::LosesOutput, Ok(_)) => {
                        if let Some(row) = model.jobs.get_mut(&wanted.lease.job) {
                            row.chunks.truncate(1);
                        }
                        answer
                    }
                    (Fault::AcceptsOldEmissions, Err(EmitRefused::LeaseLost))
                    | (Fault::TakesAnyChunk, Err(EmitRefused::Mismatch)) => Ok(kept),
                    _ => answer,
                }
            };
            batch.into_iter().map(emit).collect()
        })
    }

    fn settle(&self, ns: &Namespace, batch: Vec<Settle>) -> Answer<Vec<Result<Arc<Job>, SettleRefused>>> {
        let fault = self.fault;
        self.store.run(|model, now| {
            let settle = |mut wanted: Settle| {
                let Ok(before) = model.find(ns, wanted.lease.job) else {
                    return Err(SettleRefused::LeaseLost);
                };
                let mut job = Job::clone(&before);
                match (fault, job.lease_id()) {
                    (Fault::ObeysOldLeases, Some(held)) => wanted.lease = held,
                    (Fault::LetsCancelBeatSuccess, Some(_)) if job.cancel_requested => {
                        wanted.settlement = Settlement::Cancel;
                    }
                    (Fault::ForgetsCancelRequests, Some(_)) => job.cancel_requested = false,
                    (Fault::RetriesForEver, Some(_)) => job.options.max_attempts = Some(100),
                    _ => {}
                }
                model.keep(job);
                let released = matches!(wanted.settlement, Settlement::Release { .. });
                let moved = model.settle(ns, wanted, now);
                let mut job = match moved {
                    Err(SettleRefused::LeaseLost) if fault == Fault::AcceptsOldLeases => return Ok(before),
                    Err(refused) => return Err(refused),
                    Ok(job) => Job::clone(&job),
                };
                match fault {
                    Fault::SettlesTwice if job.version == before.version => job.version += 1,
                    Fault::ChargesReleasedAttempts if released && !job.done() => job.attempt += 1,
                    Fault::RetriesForEver => job.options.max_attempts = before.options.max_attempts,
                    Fault::LosesResults => {
                        if let Some(row) = model.jobs.get_mut(&job.id) {
                            row.result = None;
                        }
                    }
                    _ => {}
                }
                Ok(model.keep(job))
            };
            batch.into_iter().map(settle).collect()
        })
    }

    fn reclaim(&self, limit: u32, seed: u64) -> Answer<Reclaimed> {
        let fault = self.fault;
        self.store.run(|model, now| match fault {
            Fault::ReclaimsEarly => model.reclaim(limit, seed, now.plus(std::time::Duration::from_secs(1))),
            Fault::NeverReclaims => Reclaimed::default(),
            _ => model.reclaim(limit, seed, now),
        })
    }

    fn prune(&self, limit: u32) -> Answer<Slice> {
        let early = self.has(Fault::PrunesEarly);
        let ahead = std::time::Duration::from_secs(if early { 600 } else { 0 });
        self.store.run(|model, now| model.prune(limit, now.plus(ahead)))
    }

    fn add_lines(
        &self,
        ns: &Namespace,
        id: BatchId,
        first: u64,
        lines: Vec<Line>,
    ) -> Answer<Result<Arc<Batch>, BatchRefused>> {
        let fault = self.fault;
        self.store.run(|model, now| {
            let taken = model.batch(ns, id, now)?.batch.lines;
            let first = if fault == Fault::TakesLinesAgain {
                taken
            } else {
                first
            };
            model.add_lines(ns, id, first, lines, now)?;
            let lines = model.batch(ns, id, now)?.batch.lines;
            if fault == Fault::SealsByItself {
                model.seal_batch(ns, id, lines, now)?;
            }
            Ok(model.batch(ns, id, now)?.batch)
        })
    }

    fn tend_batches(&self, limit: u32) -> Answer<Tended> {
        if self.has(Fault::NeverTendsBatches) {
            return Box::pin(std::future::ready(Ok(Tended::default())));
        }
        self.store.tend_batches(limit)
    }

    fn patch(&self, ns: &Namespace, batch: Vec<(JobId, Patch)>) -> Answer<Vec<Result<Arc<Job>, PatchError>>> {
        if self.has(Fault::PatchesStartedJobs) {
            return self.store.run(|model, _| {
                let patch = |(id, wanted): (JobId, Patch)| {
                    let mut job = Job::clone(&*model.find(ns, id)?);
                    job.priority = wanted.priority.unwrap_or(job.priority);
                    job.version += 1;
                    Ok(model.change(job))
                };
                batch.into_iter().map(patch).collect()
            });
        }
        self.store.patch(ns, batch)
    }

    fn list(&self, ns: &Namespace, page: Page) -> Answer<Listed> {
        let one = self.has(Fault::ListsAPageOnly);
        self.store.run(|model, now| {
            let mut listed = model.list(ns, &page, now);
            listed.cursor = listed.cursor.filter(|_| !one);
            listed
        })
    }

    fn get(&self, ns: &Namespace, id: JobId) -> Answer<Result<Arc<Job>, Missing>> {
        let fault = self.fault;
        self.store.run(|model, _| match fault {
            Fault::LetsTombstonesBeUnknown => model.find(ns, id).map_err(|_| Missing::Unknown),
            Fault::SeesAllNamespaces => {
                let owner = model.jobs.get(&id).map(|row| row.job.namespace.clone());
                model.find(owner.as_ref().unwrap_or(ns), id)
            }
            _ => model.find(ns, id),
        })
    }

    fn delete_queue(&self, ns: &Namespace, name: &QueueName) -> Answer<Result<(), QueueRefused>> {
        if self.has(Fault::DeletesFullQueues) {
            return self.store.run(|model, _| {
                model.lines.remove(&(ns.clone(), name.clone()));
                Ok(())
            });
        }
        self.store.delete_queue(ns, name)
    }

    fn close(&self) -> Answer<()> {
        if self.has(Fault::WorksWhenClosed) {
            return self.store.check();
        }
        self.store.close()
    }
}
