//! Every operation of a [`Store`], handed to the model.
//!
//! Invariant: nothing is decided here; each operation is one look, one run or one act.

use std::sync::Arc;

use super::ModelStore;
use crate::audit::{Act, ActPage, Acts, ActsKept};
use crate::batch::{
    Batch, BatchCancelled, BatchId, BatchMissing, BatchOpened, BatchRefused, BatchStatus, Line, NewBatch,
    Results, Tended,
};
use crate::content::Input;
use crate::decide::{EmitRefused, Patch, Renewed};
use crate::delivery::{Delivery, DeliveryId};
use crate::group::GroupSpec;
use crate::id::JobId;
use crate::job::Job;
use crate::key::{ApiKey, KeyId, KeyRefused, NewKey};
use crate::list::{Listed, Page};
use crate::name::{GroupName, Namespace, QueueName};
use crate::queue::{Queue, QueueSpec};
use crate::retry::mix;
use crate::secret::{Secret, SigningSecrets};
use crate::store::{
    Answer, Change, ChangeRefused, Claim, DueDeliveries, Emit, Emitted, EndTry, GroupStatus, Idempotency,
    Lag, Leased, Missing, Observer, Output, PatchError, QueueRefused, QueueStatus, Reclaimed, Renew, Retry,
    Settle, Slice, Standing, Store, StoreError, Submission, SubmitRefused, Submitted,
};
use crate::time::Timestamp;

impl Store for ModelStore {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn mint(&self) -> JobId {
        let mut inner = self.lock();
        inner.minted += 1;
        let random = mix(inner.minted);
        drop(inner);
        self.ids.next(self.clock.now(), random)
    }

    fn observe(&self, observer: Arc<dyn Observer>) {
        self.lock().observer = Some(observer);
    }

    fn submit(
        &self,
        ns: &Namespace,
        batch: Vec<Submission>,
    ) -> Answer<Vec<Result<Submitted, SubmitRefused>>> {
        self.run(|model, now| batch.into_iter().map(|s| model.submit(ns, s, now)).collect())
    }

    fn replay(
        &self,
        ns: &Namespace,
        queue: &QueueName,
        idempotency: Idempotency,
    ) -> Answer<Option<Result<Submitted, SubmitRefused>>> {
        self.look(|model, _| model.replay(ns, queue, &idempotency))
    }

    fn cancel(&self, ns: &Namespace, ids: Vec<JobId>) -> Answer<Vec<Result<Arc<Job>, Missing>>> {
        self.act(Act::always, |model, now| {
            ids.into_iter().map(|id| model.cancel(ns, id, now)).collect()
        })
    }

    fn retry(&self, ns: &Namespace, batch: Vec<Retry>) -> Answer<Vec<Result<Arc<Job>, ChangeRefused>>> {
        self.act(Act::always, |model, now| {
            batch.into_iter().map(|r| model.retry(ns, r, now)).collect()
        })
    }

    fn delete(&self, ns: &Namespace, ids: Vec<JobId>) -> Answer<Vec<Result<(), ChangeRefused>>> {
        self.act(Act::always, |model, now| {
            ids.into_iter().map(|id| model.delete(ns, id, now)).collect()
        })
    }

    fn claim(&self, ns: &Namespace, claim: Claim) -> Answer<Vec<Leased>> {
        self.run(|model, now| model.claim(ns, &claim, now))
    }

    fn renew(&self, ns: &Namespace, batch: Vec<Renew>) -> Answer<Vec<Option<Renewed>>> {
        self.run(|model, now| batch.into_iter().map(|r| model.renew(ns, &r, now)).collect())
    }

    fn emit(&self, ns: &Namespace, batch: Vec<Emit>) -> Answer<Vec<Result<Emitted, EmitRefused>>> {
        self.run(|model, now| batch.iter().map(|emit| model.emit(ns, emit, now)).collect())
    }

    fn output(&self, ns: &Namespace, id: JobId, after: u64, limit: u32) -> Answer<Result<Output, Missing>> {
        self.look(|model, _| model.output(ns, id, after, limit))
    }

    fn settle(
        &self,
        ns: &Namespace,
        batch: Vec<Settle>,
    ) -> Answer<Vec<Result<Arc<Job>, crate::decide::SettleRefused>>> {
        self.run(|model, now| batch.into_iter().map(|s| model.settle(ns, s, now)).collect())
    }

    fn reclaim(&self, limit: u32, seed: u64) -> Answer<Reclaimed> {
        self.run(|model, now| model.reclaim(limit, seed, now))
    }

    fn prune(&self, limit: u32) -> Answer<Slice> {
        self.run(|model, now| model.prune(limit, now))
    }

    fn patch(&self, ns: &Namespace, batch: Vec<(JobId, Patch)>) -> Answer<Vec<Result<Arc<Job>, PatchError>>> {
        self.run(|model, _| {
            batch
                .iter()
                .map(|(id, wanted)| model.patch(ns, *id, wanted))
                .collect()
        })
    }

    fn list(&self, ns: &Namespace, page: Page) -> Answer<Listed> {
        self.look(|model, now| model.list(ns, &page, now))
    }

    fn get(&self, ns: &Namespace, id: JobId) -> Answer<Result<Arc<Job>, Missing>> {
        self.look(|model, _| model.find(ns, id))
    }

    fn input(&self, ns: &Namespace, id: JobId) -> Answer<Result<Input, Missing>> {
        self.look(|model, _| model.input(ns, id))
    }

    fn result(&self, ns: &Namespace, id: JobId) -> Answer<Result<Change, Missing>> {
        self.look(|model, _| model.result(ns, id))
    }

    fn put_queue(
        &self,
        ns: &Namespace,
        name: &QueueName,
        spec: QueueSpec,
        managed: bool,
    ) -> Answer<Result<Arc<Queue>, QueueRefused>> {
        self.act(Act::unless_refused, |model, now| {
            model.put_queue(ns, name, spec, managed, now)
        })
    }

    fn release_queue(&self, ns: &Namespace, name: &QueueName) -> Answer<Result<Arc<Queue>, QueueRefused>> {
        self.act(Act::unless_refused, |model, _| model.release_queue(ns, name))
    }

    fn queue(&self, ns: &Namespace, name: &QueueName) -> Answer<Option<QueueStatus>> {
        self.look(|model, now| model.queue(ns, name, now))
    }

    fn standing(&self, ns: &Namespace, job: &Job) -> Answer<Option<Standing>> {
        self.look(|model, now| model.standing(ns, job, now))
    }

    fn queues(&self, ns: &Namespace) -> Answer<Vec<QueueStatus>> {
        self.look(|model, now| model.queues(ns, now))
    }

    fn all_queues(&self) -> Answer<Vec<Arc<Queue>>> {
        self.look(|model, _| model.all_queues())
    }

    fn lag(&self) -> Answer<Lag> {
        self.look(|model, now| model.lag(now))
    }

    fn group(&self, ns: &Namespace, queue: &QueueName, group: &GroupName) -> Answer<Option<GroupStatus>> {
        self.look(|model, _| model.group(ns, queue, group))
    }

    fn put_group(
        &self,
        ns: &Namespace,
        queue: &QueueName,
        group: &GroupName,
        spec: Option<GroupSpec>,
    ) -> Answer<Result<GroupStatus, QueueRefused>> {
        self.act(Act::unless_refused, |model, now| {
            model.put_group(ns, queue, group, spec, now)
        })
    }

    fn pause(
        &self,
        ns: &Namespace,
        name: &QueueName,
        paused: bool,
    ) -> Answer<Result<Arc<Queue>, QueueRefused>> {
        self.act(Act::unless_refused, |model, now| {
            model.pause(ns, name, paused, now)
        })
    }

    fn purge(&self, ns: &Namespace, name: &QueueName, limit: u32) -> Answer<Result<Slice, QueueRefused>> {
        self.act(Act::unless_refused, |model, now| {
            model.purge(ns, name, limit, now)
        })
    }

    fn delete_queue(&self, ns: &Namespace, name: &QueueName) -> Answer<Result<(), QueueRefused>> {
        self.act(Act::unless_refused, |model, now| {
            model.delete_queue(ns, name, now)
        })
    }

    fn open_batch(&self, ns: &Namespace, new: NewBatch) -> Answer<Result<BatchOpened, BatchRefused>> {
        self.run(|model, now| model.open_batch(ns, new, now))
    }

    fn add_lines(
        &self,
        ns: &Namespace,
        id: BatchId,
        first: u64,
        lines: Vec<Line>,
    ) -> Answer<Result<Arc<Batch>, BatchRefused>> {
        self.run(|model, now| model.add_lines(ns, id, first, lines, now))
    }

    fn seal_batch(
        &self,
        ns: &Namespace,
        id: BatchId,
        lines: u64,
    ) -> Answer<Result<BatchStatus, BatchRefused>> {
        self.run(|model, now| model.seal_batch(ns, id, lines, now))
    }

    fn cancel_batch(
        &self,
        ns: &Namespace,
        id: BatchId,
        limit: u32,
    ) -> Answer<Result<BatchCancelled, BatchMissing>> {
        self.run(|model, now| model.cancel_batch(ns, id, limit, now))
    }

    fn batch(&self, ns: &Namespace, id: BatchId) -> Answer<Result<BatchStatus, BatchMissing>> {
        self.look(|model, now| model.batch(ns, id, now))
    }

    fn results(
        &self,
        ns: &Namespace,
        id: BatchId,
        after: u64,
        limit: u32,
    ) -> Answer<Result<Results, BatchMissing>> {
        self.look(|model, _| model.results(ns, id, after, limit))
    }

    fn tend_batches(&self, limit: u32) -> Answer<Tended> {
        self.run(|model, now| model.tend_batches(limit, now))
    }

    fn claim_deliveries(&self, limit: u32) -> Answer<DueDeliveries> {
        self.run(|model, now| model.claim_deliveries(limit, now))
    }

    fn end_tries(&self, batch: Vec<EndTry>) -> Answer<Vec<bool>> {
        self.run(|model, now| batch.iter().map(|ended| model.end_try(ended, now)).collect())
    }

    fn deliveries(&self, ns: &Namespace, before: Option<DeliveryId>, limit: u32) -> Answer<Vec<Delivery>> {
        self.look(|model, _| model.list_deliveries(ns, before, limit))
    }

    fn redeliver(&self, ns: &Namespace, id: DeliveryId) -> Answer<Option<Delivery>> {
        self.act(Act::where_found, |model, now| model.redeliver(ns, id, now))
    }

    fn signing_secrets(&self, ns: &Namespace, fresh: Secret) -> Answer<SigningSecrets> {
        self.run(|model, now| model.signing_secrets(ns, fresh, now))
    }

    fn ticket_key(&self, fresh: Secret) -> Answer<Secret> {
        self.run(|model, _| model.ticket_key.get_or_insert(fresh).clone())
    }

    fn rotate_secret(&self, ns: &Namespace, fresh: Secret) -> Answer<SigningSecrets> {
        self.act(Act::always, |model, now| model.rotate_secret(ns, fresh, now))
    }

    fn key_pepper(&self, fresh: Secret) -> Answer<Secret> {
        self.run(|model, _| model.key_pepper.get_or_insert(fresh).clone())
    }

    fn create_key(&self, ns: &Namespace, new: NewKey) -> Answer<Result<ApiKey, KeyRefused>> {
        self.act(Act::that_made_a_key, |model, now| model.create_key(ns, new, now))
    }

    fn keys(&self, ns: &Namespace) -> Answer<Vec<ApiKey>> {
        self.look(|model, _| model.keys_of(Some(ns)))
    }

    fn all_keys(&self) -> Answer<Vec<ApiKey>> {
        self.look(|model, _| model.keys_of(None))
    }

    fn revoke_key(&self, ns: &Namespace, id: KeyId) -> Answer<Result<(), KeyRefused>> {
        self.act(Act::unless_refused, |model, now| model.revoke_key(ns, id, now))
    }

    fn touch_keys(&self, used: Vec<(KeyId, Timestamp)>) -> Answer<()> {
        self.run(|model, _| model.touch_keys(used))
    }

    fn recording(&self, act: Act) -> Arc<dyn Store> {
        Arc::new(Self {
            clock: self.clock.clone(),
            ids: self.ids.clone(),
            inner: self.inner.clone(),
            act: Some(act),
        })
    }

    fn record(&self, act: Act, refused: Option<String>) -> Answer<()> {
        self.run(|model, now| model.record_act(act, refused, now))
    }

    fn acts(&self, ns: &Namespace, page: ActPage) -> Answer<Acts> {
        self.look(|model, _| model.acts_of(ns, &page))
    }

    fn prune_acts(&self, kept: ActsKept, limit: u32) -> Answer<Slice> {
        self.run(|model, now| model.prune_acts(kept, limit, now))
    }

    fn home(&self, id: JobId) -> Answer<Option<Namespace>> {
        self.look(|model, _| model.home(id))
    }

    fn check(&self) -> Answer<()> {
        self.look(|_, _| ())
    }

    fn close(&self) -> Answer<()> {
        let answer = self.look(|_, _| ());
        self.lock().down.get_or_insert(StoreError::Closed);
        answer
    }
}
