//! Every operation of [`Store`] as a request to the writer or a query to the readers.
//!
//! Invariant: an operation is handed over before this returns, whether or not its answer is waited for.

use std::future::ready;
use std::sync::Arc;

use raincheck_core::audit::{Act, ActPage, Acts, ActsKept};
use raincheck_core::batch::{
    Batch, BatchCancelled, BatchId, BatchMissing, BatchOpened, BatchRefused, BatchStatus, Line, Member,
    NewBatch, Results, Tended,
};
use raincheck_core::content::Input;
use raincheck_core::decide::{EmitRefused, Patch, Renewed, SettleRefused};
use raincheck_core::delivery::{Delivery, DeliveryId};
use raincheck_core::group::GroupSpec;
use raincheck_core::id::{JobId, Nonce};
use raincheck_core::job::Job;
use raincheck_core::key::{ApiKey, KeyId, KeyRefused, NewKey};
use raincheck_core::list::{Listed, Page};
use raincheck_core::name::{GroupName, Namespace, QueueName};
use raincheck_core::queue::{Queue, QueueSpec};
use raincheck_core::secret::{Secret, SigningSecrets};
use raincheck_core::store::{
    Answer, Change, ChangeRefused, Claim, DueDeliveries, Emit, Emitted, EndTry, GroupStatus, Idempotency,
    Lag, Leased, Missing, Observer, Output, PatchError, QueueRefused, QueueStatus, Reclaimed, Renew, Retry,
    Settle, Slice, Standing, Store, StoreError, Submission, SubmitRefused, Submitted, Vitals,
};
use raincheck_core::time::Timestamp;

use crate::apply::{
    acts, batches, change, claim, deliveries, emit, groups, keys, prune, queues, secrets, settle, submit,
};
use crate::body;
use crate::handle::SqliteStore;
use crate::list;
use crate::memory::place;
use crate::output;
use crate::row;

impl Store for SqliteStore {
    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    fn mint(&self) -> JobId {
        self.0.ids.next(self.0.clock.now(), rand::random())
    }

    fn vitals(&self) -> Option<Arc<Vitals>> {
        Some(Arc::clone(&self.0.shared.vitals))
    }

    fn observe(&self, observer: Arc<dyn Observer>) {
        self.0.handover.outbox.set_observer(observer);
    }

    fn submit(
        &self,
        ns: &Namespace,
        batch: Vec<Submission>,
    ) -> Answer<Vec<Result<Submitted, SubmitRefused>>> {
        let ns = ns.clone();
        self.accept(move |tx| {
            batch
                .iter()
                .map(|submission| submit::submit(tx, &ns, submission))
                .collect()
        })
    }

    fn replay(
        &self,
        ns: &Namespace,
        queue: &QueueName,
        idempotency: Idempotency,
    ) -> Answer<Option<Result<Submitted, SubmitRefused>>> {
        let (ns, queue) = (ns.clone(), queue.clone());
        self.ask(move |tx| submit::replay(tx, &ns, &queue, &idempotency))
    }

    fn cancel(&self, ns: &Namespace, ids: Vec<JobId>) -> Answer<Vec<Result<Arc<Job>, Missing>>> {
        let ns = ns.clone();
        self.act(Act::always, move |tx| {
            ids.iter().map(|id| change::cancel(tx, &ns, *id)).collect()
        })
    }

    fn retry(&self, ns: &Namespace, batch: Vec<Retry>) -> Answer<Vec<Result<Arc<Job>, ChangeRefused>>> {
        let ns = ns.clone();
        self.act_new(Act::always, move |tx| {
            batch.iter().map(|retry| submit::retry(tx, &ns, retry)).collect()
        })
    }

    fn delete(&self, ns: &Namespace, ids: Vec<JobId>) -> Answer<Vec<Result<(), ChangeRefused>>> {
        let ns = ns.clone();
        self.act(Act::always, move |tx| {
            ids.iter().map(|id| change::delete(tx, &ns, *id)).collect()
        })
    }

    fn claim(&self, ns: &Namespace, claim: Claim) -> Answer<Vec<Leased>> {
        let ns = ns.clone();
        self.write_by_id(move |tx| claim::claim(tx, &ns, &claim))
    }

    fn holds_claims(&self) -> bool {
        true
    }

    fn claim_when_ready(&self, ns: &Namespace, claim: Claim) -> Answer<Vec<Leased>> {
        self.claim_patiently(ns, claim)
    }

    fn withdraw(&self, ns: &Namespace, queue: &QueueName, first: Nonce) {
        self.take_back(ns, queue, first);
    }

    fn renew(&self, ns: &Namespace, batch: Vec<Renew>) -> Answer<Vec<Option<Renewed>>> {
        let ns = ns.clone();
        self.write_by_id(move |tx| batch.iter().map(|renew| claim::renew(tx, &ns, renew)).collect())
    }

    fn emit(&self, ns: &Namespace, batch: Vec<Emit>) -> Answer<Vec<Result<Emitted, EmitRefused>>> {
        let ns = ns.clone();
        self.write(move |tx| batch.iter().map(|one| emit::emit(tx, &ns, one)).collect())
    }

    fn output(&self, ns: &Namespace, id: JobId, after: u64, limit: u32) -> Answer<Result<Output, Missing>> {
        let ns = ns.clone();
        self.read(move |conn, names| {
            let conn = &conn.unchecked_transaction()?;
            Ok(match row::load(conn, names, &ns, id)? {
                Ok((_, job)) => Ok(output::page(conn, job, after, limit)?),
                Err(missing) => Err(missing),
            })
        })
    }

    fn settle(&self, ns: &Namespace, batch: Vec<Settle>) -> Answer<Vec<Result<Arc<Job>, SettleRefused>>> {
        let ns = ns.clone();
        self.write_by_id(move |tx| {
            batch
                .iter()
                .map(|settle| settle::settle(tx, &ns, settle))
                .collect()
        })
    }

    fn reclaim(&self, limit: u32, seed: u64) -> Answer<Reclaimed> {
        self.write(move |tx| settle::reclaim(tx, limit, seed))
    }

    fn prune(&self, limit: u32) -> Answer<Slice> {
        self.write(move |tx| prune::prune(tx, limit))
    }

    fn patch(&self, ns: &Namespace, batch: Vec<(JobId, Patch)>) -> Answer<Vec<Result<Arc<Job>, PatchError>>> {
        let ns = ns.clone();
        self.write(move |tx| {
            batch
                .iter()
                .map(|(id, wanted)| change::patch(tx, &ns, *id, wanted))
                .collect()
        })
    }

    fn list(&self, ns: &Namespace, page: Page) -> Answer<Listed> {
        let (ns, now) = (ns.clone(), self.0.clock.now());
        self.read(move |conn, names| list::list(conn, names, &ns, &page, now))
    }

    fn get(&self, ns: &Namespace, id: JobId) -> Answer<Result<Arc<Job>, Missing>> {
        if let Some(Change { job, .. }) = self.0.shared.fresh.get(ns, id) {
            return Box::pin(ready(Ok(Ok(job))));
        }
        let ns = ns.clone();
        self.read(move |conn, names| Ok(row::load(conn, names, &ns, id)?.map(|(_, job)| Arc::new(job))))
    }

    fn input(&self, ns: &Namespace, id: JobId) -> Answer<Result<Input, Missing>> {
        let ns = ns.clone();
        self.read(move |conn, names| {
            let conn = &conn.unchecked_transaction()?;
            Ok(match row::load(conn, names, &ns, id)? {
                Ok(_) => Ok(body::input(conn, id)?.unwrap_or_default()),
                Err(missing) => Err(missing),
            })
        })
    }

    fn result(&self, ns: &Namespace, id: JobId) -> Answer<Result<Change, Missing>> {
        if let Some(change) = self.0.shared.fresh.get(ns, id) {
            return Box::pin(ready(Ok(Ok(change))));
        }
        let ns = ns.clone();
        self.read(move |conn, names| {
            let conn = &conn.unchecked_transaction()?;
            Ok(match row::load(conn, names, &ns, id)? {
                Ok((_, job)) => Ok(body::change(conn, job)?),
                Err(missing) => Err(missing),
            })
        })
    }

    fn put_queue(
        &self,
        ns: &Namespace,
        name: &QueueName,
        spec: QueueSpec,
        managed: bool,
    ) -> Answer<Result<Arc<Queue>, QueueRefused>> {
        let (ns, name) = (ns.clone(), name.clone());
        self.act(Act::unless_refused, move |tx| {
            queues::put(tx, &ns, &name, &spec, managed)
        })
    }

    fn release_queue(&self, ns: &Namespace, name: &QueueName) -> Answer<Result<Arc<Queue>, QueueRefused>> {
        let (ns, name) = (ns.clone(), name.clone());
        self.act(Act::unless_refused, move |tx| queues::release(tx, &ns, &name))
    }

    fn queue(&self, ns: &Namespace, name: &QueueName) -> Answer<Option<QueueStatus>> {
        let (ns, name) = (ns.clone(), name.clone());
        self.ask(move |tx| Ok(queues::status(tx, &ns, &name)))
    }

    fn standing(&self, ns: &Namespace, job: &Job) -> Answer<Option<Standing>> {
        let (ns, queue, group, place) = (ns.clone(), job.queue.clone(), job.group.clone(), place(job));
        self.ask(move |tx| Ok(queues::standing(tx, &ns, &queue, &group, &place)))
    }

    fn queues(&self, ns: &Namespace) -> Answer<Vec<QueueStatus>> {
        let ns = ns.clone();
        self.ask(move |tx| Ok(queues::list(tx, Some(&ns))))
    }

    fn all_queues(&self) -> Answer<Vec<Arc<Queue>>> {
        self.ask(|tx| Ok(queues::all(tx)))
    }

    fn lag(&self) -> Answer<Lag> {
        let pending = self.read(|conn, _| deliveries::pending(conn));
        queues::behind(self.ask(|tx| Ok(queues::lag(tx))), pending)
    }

    fn group(&self, ns: &Namespace, queue: &QueueName, group: &GroupName) -> Answer<Option<GroupStatus>> {
        let (ns, queue, group) = (ns.clone(), queue.clone(), group.clone());
        self.ask(move |tx| Ok(groups::status(tx, &ns, &queue, &group)))
    }

    fn put_group(
        &self,
        ns: &Namespace,
        queue: &QueueName,
        group: &GroupName,
        spec: Option<GroupSpec>,
    ) -> Answer<Result<GroupStatus, QueueRefused>> {
        let (ns, queue, group) = (ns.clone(), queue.clone(), group.clone());
        self.act(Act::unless_refused, move |tx| {
            groups::put(tx, &ns, &queue, &group, spec)
        })
    }

    fn pause(
        &self,
        ns: &Namespace,
        name: &QueueName,
        paused: bool,
    ) -> Answer<Result<Arc<Queue>, QueueRefused>> {
        let (ns, name) = (ns.clone(), name.clone());
        self.act(Act::unless_refused, move |tx| {
            queues::pause(tx, &ns, &name, paused)
        })
    }

    fn purge(&self, ns: &Namespace, name: &QueueName, limit: u32) -> Answer<Result<Slice, QueueRefused>> {
        let (ns, name) = (ns.clone(), name.clone());
        self.act(Act::unless_refused, move |tx| {
            queues::purge(tx, &ns, &name, limit)
        })
    }

    fn delete_queue(&self, ns: &Namespace, name: &QueueName) -> Answer<Result<(), QueueRefused>> {
        let (ns, name) = (ns.clone(), name.clone());
        self.act(Act::unless_refused, move |tx| queues::delete(tx, &ns, &name))
    }

    fn open_batch(&self, ns: &Namespace, new: NewBatch) -> Answer<Result<BatchOpened, BatchRefused>> {
        let ns = ns.clone();
        self.write_new(move |tx| batches::open(tx, &ns, &new))
    }

    fn add_lines(
        &self,
        ns: &Namespace,
        id: BatchId,
        first: u64,
        mut lines: Vec<Line>,
    ) -> Answer<Result<Arc<Batch>, BatchRefused>> {
        let ns = ns.clone();
        for (line, index) in lines.iter_mut().zip(first..) {
            if let Line::Job(submission) = line {
                submission.job.member = Some(Member { batch: id, index });
            }
        }
        self.accept(move |tx| batches::add(tx, &ns, id, first, &lines))
    }

    fn seal_batch(
        &self,
        ns: &Namespace,
        id: BatchId,
        lines: u64,
    ) -> Answer<Result<BatchStatus, BatchRefused>> {
        let ns = ns.clone();
        self.write(move |tx| batches::seal(tx, &ns, id, lines))
    }

    fn cancel_batch(
        &self,
        ns: &Namespace,
        id: BatchId,
        limit: u32,
    ) -> Answer<Result<BatchCancelled, BatchMissing>> {
        let ns = ns.clone();
        self.write(move |tx| batches::cancel(tx, &ns, id, limit))
    }

    fn batch(&self, ns: &Namespace, id: BatchId) -> Answer<Result<BatchStatus, BatchMissing>> {
        let ns = ns.clone();
        self.ask(move |tx| batches::status(tx, &ns, id))
    }

    fn results(
        &self,
        ns: &Namespace,
        id: BatchId,
        after: u64,
        limit: u32,
    ) -> Answer<Result<Results, BatchMissing>> {
        let ns = ns.clone();
        self.read(move |conn, names| {
            let conn = &conn.unchecked_transaction()?;
            batches::results(conn, names, &ns, id, after, limit)
        })
    }

    fn tend_batches(&self, limit: u32) -> Answer<Tended> {
        self.write(move |tx| batches::tend(tx, limit))
    }

    fn claim_deliveries(&self, limit: u32) -> Answer<DueDeliveries> {
        self.write(move |tx| deliveries::claim(tx, limit))
    }

    fn end_tries(&self, batch: Vec<EndTry>) -> Answer<Vec<bool>> {
        self.write(move |tx| batch.iter().map(|ended| deliveries::end(tx, ended)).collect())
    }

    fn deliveries(&self, ns: &Namespace, before: Option<DeliveryId>, limit: u32) -> Answer<Vec<Delivery>> {
        let ns = ns.clone();
        self.read(move |conn, names| deliveries::list(conn, names, &ns, before, limit))
    }

    fn redeliver(&self, ns: &Namespace, id: DeliveryId) -> Answer<Option<Delivery>> {
        let ns = ns.clone();
        self.act(Act::where_found, move |tx| deliveries::redeliver(tx, &ns, id))
    }

    fn signing_secrets(&self, ns: &Namespace, fresh: Secret) -> Answer<SigningSecrets> {
        let ns = ns.clone();
        self.write(move |tx| secrets::get(tx, &ns, &fresh))
    }

    fn ticket_key(&self, fresh: Secret) -> Answer<Secret> {
        self.write(move |tx| secrets::ticket_key(tx, &fresh))
    }

    fn rotate_secret(&self, ns: &Namespace, fresh: Secret) -> Answer<SigningSecrets> {
        let ns = ns.clone();
        self.act(Act::always, move |tx| secrets::rotate(tx, &ns, &fresh))
    }

    fn key_pepper(&self, fresh: Secret) -> Answer<Secret> {
        self.write(move |tx| keys::pepper(tx, &fresh))
    }

    fn create_key(&self, ns: &Namespace, new: NewKey) -> Answer<Result<ApiKey, KeyRefused>> {
        let ns = ns.clone();
        self.act(Act::that_made_a_key, move |tx| keys::create(tx, &ns, &new))
    }

    fn keys(&self, ns: &Namespace) -> Answer<Vec<ApiKey>> {
        let ns = ns.clone();
        self.read(move |conn, _| keys::of(conn, &ns))
    }

    fn all_keys(&self) -> Answer<Vec<ApiKey>> {
        self.read(|conn, _| keys::all(conn))
    }

    fn revoke_key(&self, ns: &Namespace, id: KeyId) -> Answer<Result<(), KeyRefused>> {
        let ns = ns.clone();
        self.act(Act::unless_refused, move |tx| keys::revoke(tx, &ns, id))
    }

    fn touch_keys(&self, used: Vec<(KeyId, Timestamp)>) -> Answer<()> {
        self.write(move |tx| keys::touch(tx, &used))
    }

    fn recording(&self, act: Act) -> Arc<dyn Store> {
        Arc::new(Self(Arc::clone(&self.0), Some(Arc::new(act))))
    }

    fn record(&self, act: Act, refused: Option<String>) -> Answer<()> {
        self.write(move |tx| acts::keep(tx, &act, refused.as_deref()))
    }

    fn acts(&self, ns: &Namespace, page: ActPage) -> Answer<Acts> {
        let ns = ns.clone();
        self.read(move |conn, _| acts::page(conn, &ns, &page))
    }

    fn prune_acts(&self, kept: ActsKept, limit: u32) -> Answer<Slice> {
        self.write(move |tx| acts::prune(tx, kept, limit))
    }

    fn home(&self, id: JobId) -> Answer<Option<Namespace>> {
        self.read(move |conn, names| keys::home(conn, names, id))
    }

    fn check(&self) -> Answer<()> {
        if self.0.shared.space.low() {
            return Box::pin(ready(Err(StoreError::DiskFull)));
        }
        self.ask(|_| Ok(()))
    }

    fn close(&self) -> Answer<()> {
        self.end()
    }
}
