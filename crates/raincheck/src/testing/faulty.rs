//! A store that fails when told to, and counts what it is asked.
//!
//! Invariant: what it refuses never reaches the store below.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use raincheck_core::audit::{Act, ActPage, Acts, ActsKept};
use raincheck_core::batch::{
    Batch, BatchCancelled, BatchId, BatchMissing, BatchOpened, BatchRefused, BatchStatus, Line, NewBatch,
    Results, Tended,
};
use raincheck_core::content::Input;
use raincheck_core::decide::{EmitRefused, Patch, Renewed, SettleRefused};
use raincheck_core::delivery::{Delivery, DeliveryId};
use raincheck_core::group::GroupSpec;
use raincheck_core::id::JobId;
use raincheck_core::job::Job;
use raincheck_core::key::{ApiKey, KeyId, KeyRefused, NewKey};
use raincheck_core::list::{Listed, Page};
use raincheck_core::name::{GroupName, Namespace, QueueName};
use raincheck_core::queue::{Queue, QueueSpec};
use raincheck_core::secret::{Secret, SigningSecrets};
use raincheck_core::store::{
    Answer, Change, ChangeRefused, Claim, DueDeliveries, Emit, Emitted, EndTry, GroupStatus, Idempotency,
    Lag, Leased, Missing, Observer, Output, PatchError, QueueRefused, QueueStatus, Reclaimed, Renew, Retry,
    Settle, Slice, Standing, Store, StoreError, Submission, SubmitRefused, Submitted,
};
use raincheck_core::time::Timestamp;
use tokio_util::sync::CancellationToken;

/// Which operations fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Submit,
    Claim,
    Renew,
    Settle,
    Emit,
    Reclaim,
    /// How things stand with a job or a queue.
    Look,
}

#[derive(Debug)]
pub(crate) struct Faulty {
    inner: Arc<dyn Store>,
    failing: Mutex<Vec<(Op, StoreError)>>,
    /// Until these are cancelled, operations of these kinds are not answered.
    held: Mutex<Vec<(Op, CancellationToken)>>,
    observer: Mutex<Option<Arc<dyn Observer>>>,
    pub(crate) submits: AtomicU64,
    /// No batch that settles this job is taken.
    pub(crate) unsettled: Mutex<Option<JobId>>,
    pub(crate) claims: AtomicU64,
    /// The most jobs that were asked for in one claim.
    pub(crate) wanted_max: AtomicU64,
    pub(crate) renewals: AtomicU64,
    pub(crate) settles: AtomicU64,
    pub(crate) emits: AtomicU64,
    /// How often output was read.
    pub(crate) outputs: AtomicU64,
    pub(crate) reclaims: AtomicU64,
    pub(crate) looks: AtomicU64,
}

impl Faulty {
    pub(crate) fn new(inner: Arc<dyn Store>) -> Self {
        Self {
            inner,
            failing: Mutex::default(),
            held: Mutex::default(),
            observer: Mutex::default(),
            submits: AtomicU64::new(0),
            unsettled: Mutex::default(),
            claims: AtomicU64::new(0),
            wanted_max: AtomicU64::new(0),
            renewals: AtomicU64::new(0),
            settles: AtomicU64::new(0),
            emits: AtomicU64::new(0),
            outputs: AtomicU64::new(0),
            reclaims: AtomicU64::new(0),
            looks: AtomicU64::new(0),
        }
    }

    /// Makes an operation fail until [`Faulty::mend`].
    pub(crate) fn fail(&self, op: Op, error: StoreError) {
        self.failing.lock().unwrap().push((op, error));
    }

    /// Makes the answers to an operation wait until what this gives back is cancelled, as if its commit took long.
    pub(crate) fn hold(&self, op: Op) -> CancellationToken {
        let held = CancellationToken::new();
        self.held.lock().unwrap().push((op, held.clone()));
        held
    }

    pub(crate) fn mend(&self) {
        self.failing.lock().unwrap().clear();
    }

    /// Plays a failed sync.
    pub(crate) fn poison(&self) {
        for op in [Op::Claim, Op::Renew, Op::Settle] {
            self.fail(op, StoreError::Failed("the disk is gone".to_owned()));
        }
        let observer = self.observer.lock().unwrap().clone();
        observer.unwrap().failed("the disk is gone");
    }

    /// From now on nobody is told anything, as if every hint were lost.
    pub(crate) fn observe_nobody(&self) {
        #[derive(Debug)]
        struct Nobody;
        impl Observer for Nobody {
            fn changed(&self, _: Vec<Change>) {}
            fn ready(&self, _: Vec<(Namespace, QueueName)>) {}
            fn failed(&self, _: &str) {}
        }
        self.inner.observe(Arc::new(Nobody));
    }

    fn ask<T: Send + 'static>(
        &self,
        op: Op,
        counter: &AtomicU64,
        ask: impl FnOnce() -> Answer<T>,
    ) -> Answer<T> {
        counter.fetch_add(1, Ordering::SeqCst);
        let failing = self.failing.lock().unwrap();
        match failing.iter().find(|(failing, _)| *failing == op) {
            Some((_, error)) => return Box::pin(std::future::ready(Err(error.clone()))),
            None => drop(failing),
        }
        let answer = ask();
        let held = self.held.lock().unwrap();
        match held
            .iter()
            .find(|(held, _)| *held == op)
            .map(|(_, until)| until.clone())
        {
            None => answer,
            Some(until) => Box::pin(async move {
                until.cancelled().await;
                answer.await
            }),
        }
    }
}

impl Store for Faulty {
    fn now(&self) -> Timestamp {
        self.inner.now()
    }
    fn mint(&self) -> JobId {
        self.inner.mint()
    }
    fn observe(&self, observer: Arc<dyn Observer>) {
        *self.observer.lock().unwrap() = Some(observer.clone());
        self.inner.observe(observer);
    }
    fn submit(
        &self,
        ns: &Namespace,
        batch: Vec<Submission>,
    ) -> Answer<Vec<Result<Submitted, SubmitRefused>>> {
        self.ask(Op::Submit, &self.submits, || self.inner.submit(ns, batch))
    }
    fn replay(
        &self,
        ns: &Namespace,
        queue: &QueueName,
        key: Idempotency,
    ) -> Answer<Option<Result<Submitted, SubmitRefused>>> {
        self.inner.replay(ns, queue, key)
    }
    fn cancel(&self, ns: &Namespace, ids: Vec<JobId>) -> Answer<Vec<Result<Arc<Job>, Missing>>> {
        self.inner.cancel(ns, ids)
    }
    fn retry(&self, ns: &Namespace, batch: Vec<Retry>) -> Answer<Vec<Result<Arc<Job>, ChangeRefused>>> {
        self.inner.retry(ns, batch)
    }
    fn delete(&self, ns: &Namespace, ids: Vec<JobId>) -> Answer<Vec<Result<(), ChangeRefused>>> {
        self.inner.delete(ns, ids)
    }
    fn claim(&self, ns: &Namespace, claim: Claim) -> Answer<Vec<Leased>> {
        self.wanted_max
            .fetch_max(claim.nonces.len() as u64, Ordering::SeqCst);
        self.ask(Op::Claim, &self.claims, || self.inner.claim(ns, claim))
    }
    fn renew(&self, ns: &Namespace, batch: Vec<Renew>) -> Answer<Vec<Option<Renewed>>> {
        self.ask(Op::Renew, &self.renewals, || self.inner.renew(ns, batch))
    }
    fn emit(&self, ns: &Namespace, batch: Vec<Emit>) -> Answer<Vec<Result<Emitted, EmitRefused>>> {
        self.ask(Op::Emit, &self.emits, || self.inner.emit(ns, batch))
    }
    fn output(&self, ns: &Namespace, id: JobId, after: u64, limit: u32) -> Answer<Result<Output, Missing>> {
        self.outputs.fetch_add(1, Ordering::SeqCst);
        self.inner.output(ns, id, after, limit)
    }
    fn settle(&self, ns: &Namespace, batch: Vec<Settle>) -> Answer<Vec<Result<Arc<Job>, SettleRefused>>> {
        let unsettled = *self.unsettled.lock().unwrap();
        if batch.iter().any(|settle| Some(settle.lease.job) == unsettled) {
            return Box::pin(std::future::ready(Err(StoreError::Unavailable(
                "too much".to_owned(),
            ))));
        }
        self.ask(Op::Settle, &self.settles, || self.inner.settle(ns, batch))
    }
    fn reclaim(&self, limit: u32, seed: u64) -> Answer<Reclaimed> {
        self.ask(Op::Reclaim, &self.reclaims, || self.inner.reclaim(limit, seed))
    }
    fn prune(&self, limit: u32) -> Answer<Slice> {
        self.inner.prune(limit)
    }
    fn patch(&self, ns: &Namespace, batch: Vec<(JobId, Patch)>) -> Answer<Vec<Result<Arc<Job>, PatchError>>> {
        self.inner.patch(ns, batch)
    }
    fn list(&self, ns: &Namespace, page: Page) -> Answer<Listed> {
        self.inner.list(ns, page)
    }
    fn get(&self, ns: &Namespace, id: JobId) -> Answer<Result<Arc<Job>, Missing>> {
        self.inner.get(ns, id)
    }
    fn input(&self, ns: &Namespace, id: JobId) -> Answer<Result<Input, Missing>> {
        self.inner.input(ns, id)
    }
    fn result(&self, ns: &Namespace, id: JobId) -> Answer<Result<Change, Missing>> {
        self.inner.result(ns, id)
    }
    fn put_queue(
        &self,
        ns: &Namespace,
        name: &QueueName,
        spec: QueueSpec,
        managed: bool,
    ) -> Answer<Result<Arc<Queue>, QueueRefused>> {
        self.inner.put_queue(ns, name, spec, managed)
    }
    fn release_queue(&self, ns: &Namespace, name: &QueueName) -> Answer<Result<Arc<Queue>, QueueRefused>> {
        self.inner.release_queue(ns, name)
    }
    fn queue(&self, ns: &Namespace, name: &QueueName) -> Answer<Option<QueueStatus>> {
        self.ask(Op::Look, &self.looks, || self.inner.queue(ns, name))
    }
    fn standing(&self, ns: &Namespace, job: &Job) -> Answer<Option<Standing>> {
        self.ask(Op::Look, &self.looks, || self.inner.standing(ns, job))
    }
    fn queues(&self, ns: &Namespace) -> Answer<Vec<QueueStatus>> {
        self.inner.queues(ns)
    }
    fn all_queues(&self) -> Answer<Vec<Arc<Queue>>> {
        self.inner.all_queues()
    }
    fn group(&self, ns: &Namespace, queue: &QueueName, group: &GroupName) -> Answer<Option<GroupStatus>> {
        self.inner.group(ns, queue, group)
    }
    fn put_group(
        &self,
        ns: &Namespace,
        queue: &QueueName,
        group: &GroupName,
        spec: Option<GroupSpec>,
    ) -> Answer<Result<GroupStatus, QueueRefused>> {
        self.inner.put_group(ns, queue, group, spec)
    }
    fn pause(
        &self,
        ns: &Namespace,
        name: &QueueName,
        paused: bool,
    ) -> Answer<Result<Arc<Queue>, QueueRefused>> {
        self.inner.pause(ns, name, paused)
    }
    fn purge(&self, ns: &Namespace, name: &QueueName, limit: u32) -> Answer<Result<Slice, QueueRefused>> {
        self.inner.purge(ns, name, limit)
    }
    fn delete_queue(&self, ns: &Namespace, name: &QueueName) -> Answer<Result<(), QueueRefused>> {
        self.inner.delete_queue(ns, name)
    }
    fn open_batch(&self, ns: &Namespace, new: NewBatch) -> Answer<Result<BatchOpened, BatchRefused>> {
        self.inner.open_batch(ns, new)
    }
    fn add_lines(
        &self,
        ns: &Namespace,
        id: BatchId,
        first: u64,
        lines: Vec<Line>,
    ) -> Answer<Result<Arc<Batch>, BatchRefused>> {
        self.ask(Op::Submit, &self.submits, || {
            self.inner.add_lines(ns, id, first, lines)
        })
    }
    fn seal_batch(
        &self,
        ns: &Namespace,
        id: BatchId,
        lines: u64,
    ) -> Answer<Result<BatchStatus, BatchRefused>> {
        self.inner.seal_batch(ns, id, lines)
    }
    fn cancel_batch(
        &self,
        ns: &Namespace,
        id: BatchId,
        limit: u32,
    ) -> Answer<Result<BatchCancelled, BatchMissing>> {
        self.inner.cancel_batch(ns, id, limit)
    }
    fn batch(&self, ns: &Namespace, id: BatchId) -> Answer<Result<BatchStatus, BatchMissing>> {
        self.inner.batch(ns, id)
    }
    fn results(
        &self,
        ns: &Namespace,
        id: BatchId,
        after: u64,
        limit: u32,
    ) -> Answer<Result<Results, BatchMissing>> {
        self.inner.results(ns, id, after, limit)
    }
    fn tend_batches(&self, limit: u32) -> Answer<Tended> {
        self.inner.tend_batches(limit)
    }
    fn claim_deliveries(&self, limit: u32) -> Answer<DueDeliveries> {
        self.inner.claim_deliveries(limit)
    }
    fn end_tries(&self, batch: Vec<EndTry>) -> Answer<Vec<bool>> {
        self.inner.end_tries(batch)
    }
    fn deliveries(&self, ns: &Namespace, before: Option<DeliveryId>, limit: u32) -> Answer<Vec<Delivery>> {
        self.inner.deliveries(ns, before, limit)
    }
    fn redeliver(&self, ns: &Namespace, id: DeliveryId) -> Answer<Option<Delivery>> {
        self.inner.redeliver(ns, id)
    }
    fn signing_secrets(&self, ns: &Namespace, fresh: Secret) -> Answer<SigningSecrets> {
        self.inner.signing_secrets(ns, fresh)
    }
    fn ticket_key(&self, fresh: Secret) -> Answer<Secret> {
        self.inner.ticket_key(fresh)
    }
    fn rotate_secret(&self, ns: &Namespace, fresh: Secret) -> Answer<SigningSecrets> {
        self.inner.rotate_secret(ns, fresh)
    }
    fn key_pepper(&self, fresh: Secret) -> Answer<Secret> {
        self.inner.key_pepper(fresh)
    }
    fn create_key(&self, ns: &Namespace, new: NewKey) -> Answer<Result<ApiKey, KeyRefused>> {
        self.inner.create_key(ns, new)
    }
    fn keys(&self, ns: &Namespace) -> Answer<Vec<ApiKey>> {
        self.inner.keys(ns)
    }
    fn lag(&self) -> Answer<Lag> {
        self.inner.lag()
    }
    fn all_keys(&self) -> Answer<Vec<ApiKey>> {
        self.inner.all_keys()
    }
    fn revoke_key(&self, ns: &Namespace, id: KeyId) -> Answer<Result<(), KeyRefused>> {
        self.inner.revoke_key(ns, id)
    }
    fn touch_keys(&self, used: Vec<(KeyId, Timestamp)>) -> Answer<()> {
        self.inner.touch_keys(used)
    }
    fn recording(&self, act: Act) -> Arc<dyn Store> {
        // What administrators do is not made to fail here.
        self.inner.recording(act)
    }
    fn record(&self, act: Act, refused: Option<String>) -> Answer<()> {
        self.inner.record(act, refused)
    }
    fn acts(&self, ns: &Namespace, page: ActPage) -> Answer<Acts> {
        self.inner.acts(ns, page)
    }
    fn prune_acts(&self, kept: ActsKept, limit: u32) -> Answer<Slice> {
        self.inner.prune_acts(kept, limit)
    }
    fn home(&self, id: JobId) -> Answer<Option<Namespace>> {
        self.inner.home(id)
    }
    fn check(&self) -> Answer<()> {
        self.inner.check()
    }
    fn close(&self) -> Answer<()> {
        self.inner.close()
    }
}
