//! Every operation of the store through its [`Door`], and what each answer is judged by.
//!
//! Invariant: an operation that was carried out is judged, whether or not its answer arrives.

use std::sync::Arc;

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
    Settle, Slice, Standing, Store, Submission, SubmitRefused, Submitted,
};
use raincheck_core::time::Timestamp;

use crate::door::{Door, Op};

/// What an entry of a batch is judged by, one after the other.
fn each<S, A>(sent: &[S], answers: &[A], mut judge: impl FnMut(&S, &A) -> &'static str) -> &'static str {
    let mut outcome = "nothing asked";
    for (sent, answer) in sent.iter().zip(answers) {
        outcome = judge(sent, answer);
    }
    outcome
}

impl Store for Door {
    fn now(&self) -> Timestamp {
        self.world.now()
    }

    fn mint(&self) -> JobId {
        self.world.mint()
    }

    fn observe(&self, observer: Arc<dyn Observer>) {
        let mut state = self.world.state();
        if state.epoch == self.epoch {
            state.observer = Some(observer);
        }
    }

    fn submit(
        &self,
        ns: &Namespace,
        batch: Vec<Submission>,
    ) -> Answer<Vec<Result<Submitted, SubmitRefused>>> {
        let (ns, sent, bug) = (ns.clone(), batch.clone(), self.world.bug);
        self.ask(
            (Op::Grow, "submit", sent.first().map(|sent| sent.job.id)),
            move |store| crate::broken::submit(bug, store, &ns, batch),
            move |checker, answers, _, _| {
                each(&sent, answers, |sent, answer| checker.submitted(sent, answer))
            },
        )
    }

    fn replay(
        &self,
        ns: &Namespace,
        queue: &QueueName,
        key: Idempotency,
    ) -> Answer<Option<Result<Submitted, SubmitRefused>>> {
        let (ns, queue) = (ns.clone(), queue.clone());
        self.ask(
            (Op::Read, "replay", None),
            move |store| store.replay(&ns, &queue, key),
            |_, answer, _, _| if answer.is_some() { "known" } else { "free" },
        )
    }

    fn cancel(&self, ns: &Namespace, ids: Vec<JobId>) -> Answer<Vec<Result<Arc<Job>, Missing>>> {
        let (ns, sent) = (ns.clone(), ids.clone());
        self.ask(
            (Op::Write, "cancel", sent.first().copied()),
            move |store| store.cancel(&ns, ids),
            move |checker, answers, _, _| each(&sent, answers, |id, answer| checker.cancelled(*id, answer)),
        )
    }

    fn retry(&self, ns: &Namespace, batch: Vec<Retry>) -> Answer<Vec<Result<Arc<Job>, ChangeRefused>>> {
        let (ns, sent) = (ns.clone(), batch.clone());
        self.ask(
            (Op::Grow, "retry", sent.first().map(|sent| sent.id)),
            move |store| store.retry(&ns, batch),
            move |checker, answers, _, _| each(&sent, answers, |sent, answer| checker.retried(*sent, answer)),
        )
    }

    fn delete(&self, ns: &Namespace, ids: Vec<JobId>) -> Answer<Vec<Result<(), ChangeRefused>>> {
        let (ns, sent) = (ns.clone(), ids.clone());
        self.ask(
            (Op::Write, "delete", sent.first().copied()),
            move |store| store.delete(&ns, ids),
            move |checker, answers, _, now| {
                each(&sent, answers, |id, answer| checker.deleted(*id, *answer, now))
            },
        )
    }

    fn claim(&self, ns: &Namespace, claim: Claim) -> Answer<Vec<Leased>> {
        let (ns, sent, bug) = (ns.clone(), claim.clone(), self.world.bug);
        let cancelled = crate::broken::cancelled(bug, &self.world);
        self.ask(
            (Op::Write, "claim", None),
            move |store| crate::broken::claim(bug, store, &ns, claim, cancelled),
            move |checker, leased, _, now| checker.claimed(&sent, leased, now),
        )
    }

    fn renew(&self, ns: &Namespace, batch: Vec<Renew>) -> Answer<Vec<Option<Renewed>>> {
        let (ns, sent) = (ns.clone(), batch.clone());
        self.ask(
            (Op::Write, "renew", sent.first().map(|sent| sent.lease.job)),
            move |store| store.renew(&ns, batch),
            move |checker, answers, _, now| {
                each(&sent, answers, |sent, answer| {
                    checker.renewed(sent, answer.as_ref(), now)
                })
            },
        )
    }

    fn emit(&self, ns: &Namespace, batch: Vec<Emit>) -> Answer<Vec<Result<Emitted, EmitRefused>>> {
        let (ns, sent) = (ns.clone(), batch.clone());
        self.ask(
            (Op::Grow, "emit", sent.first().map(|sent| sent.lease.job)),
            move |store| store.emit(&ns, batch),
            move |checker, answers, _, _| each(&sent, answers, |sent, answer| checker.emitted(sent, answer)),
        )
    }

    fn output(&self, ns: &Namespace, id: JobId, after: u64, limit: u32) -> Answer<Result<Output, Missing>> {
        let ns = ns.clone();
        self.ask(
            (Op::Read, "output", Some(id)),
            move |store| store.output(&ns, id, after, limit),
            move |checker, found, _, _| checker.read_output(id, after, found),
        )
    }

    fn settle(&self, ns: &Namespace, batch: Vec<Settle>) -> Answer<Vec<Result<Arc<Job>, SettleRefused>>> {
        let (ns, sent, bug) = (ns.clone(), batch.clone(), self.world.bug);
        let known = crate::broken::known(bug, &self.world, &batch);
        self.ask(
            (Op::Write, "settle", sent.first().map(|sent| sent.lease.job)),
            move |store| crate::broken::settle(bug, store, &ns, batch, known),
            move |checker, answers, _, now| {
                each(&sent, answers, |sent, answer| checker.settled(sent, answer, now))
            },
        )
    }

    fn reclaim(&self, limit: u32, seed: u64) -> Answer<Reclaimed> {
        let bug = self.world.bug;
        self.ask(
            (Op::Write, "reclaim", None),
            move |store| crate::broken::reclaim(bug, store, limit, seed),
            move |checker, answer, changes, now| checker.reclaimed(limit, *answer, changes, now),
        )
    }

    fn prune(&self, limit: u32) -> Answer<Slice> {
        self.ask(
            (Op::Write, "prune", None),
            move |store| store.prune(limit),
            move |checker, answer, _, now| checker.pruned(limit, *answer, now),
        )
    }

    fn patch(&self, ns: &Namespace, batch: Vec<(JobId, Patch)>) -> Answer<Vec<Result<Arc<Job>, PatchError>>> {
        let ns = ns.clone();
        self.ask(
            (Op::Write, "patch", None),
            move |store| store.patch(&ns, batch),
            |_, _, _, _| "patched",
        )
    }

    fn list(&self, ns: &Namespace, page: Page) -> Answer<Listed> {
        let ns = ns.clone();
        self.ask(
            (Op::Read, "list", None),
            move |store| store.list(&ns, page),
            |_, _, _, _| "listed",
        )
    }

    fn get(&self, ns: &Namespace, id: JobId) -> Answer<Result<Arc<Job>, Missing>> {
        let ns = ns.clone();
        self.ask(
            (Op::Read, "get", Some(id)),
            move |store| store.get(&ns, id),
            move |checker, found, _, _| checker.read(id, found),
        )
    }

    fn input(&self, ns: &Namespace, id: JobId) -> Answer<Result<Input, Missing>> {
        let ns = ns.clone();
        self.ask(
            (Op::Read, "input", Some(id)),
            move |store| store.input(&ns, id),
            |_, _, _, _| "read",
        )
    }

    fn result(&self, ns: &Namespace, id: JobId) -> Answer<Result<Change, Missing>> {
        let (ns, bug) = (ns.clone(), self.world.bug);
        self.ask(
            (Op::Read, "result", Some(id)),
            move |store| crate::broken::result(bug, store, &ns, id),
            move |checker, found, _, _| checker.read_result(id, found),
        )
    }

    fn put_queue(
        &self,
        ns: &Namespace,
        name: &QueueName,
        spec: QueueSpec,
        managed: bool,
    ) -> Answer<Result<Arc<Queue>, QueueRefused>> {
        let (ns, name, bug) = (ns.clone(), name.clone(), self.world.bug);
        self.ask(
            (Op::Write, "put queue", None),
            move |store| crate::broken::put_queue(bug, store, &ns, &name, spec, managed),
            |checker, answer, _, _| checker.taken_in(answer),
        )
    }

    fn release_queue(&self, ns: &Namespace, name: &QueueName) -> Answer<Result<Arc<Queue>, QueueRefused>> {
        let (ns, name) = (ns.clone(), name.clone());
        self.ask(
            (Op::Write, "release queue", None),
            move |store| store.release_queue(&ns, &name),
            |checker, answer, _, _| checker.taken_in(answer),
        )
    }

    fn queue(&self, ns: &Namespace, name: &QueueName) -> Answer<Option<QueueStatus>> {
        let (ns, name) = (ns.clone(), name.clone());
        self.ask(
            (Op::Read, "queue", None),
            move |store| store.queue(&ns, &name),
            |_, _, _, _| "read",
        )
    }

    fn standing(&self, ns: &Namespace, job: &Job) -> Answer<Option<Standing>> {
        let (ns, job) = (ns.clone(), job.clone());
        self.ask(
            (Op::Read, "standing", None),
            move |store| store.standing(&ns, &job),
            |_, _, _, _| "read",
        )
    }

    fn queues(&self, ns: &Namespace) -> Answer<Vec<QueueStatus>> {
        let ns = ns.clone();
        self.ask(
            (Op::Read, "queues", None),
            move |store| store.queues(&ns),
            |_, _, _, _| "read",
        )
    }

    fn all_queues(&self) -> Answer<Vec<Arc<Queue>>> {
        self.ask(
            (Op::Read, "queues", None),
            |store| store.all_queues(),
            |_, _, _, _| "read",
        )
    }

    fn group(&self, ns: &Namespace, queue: &QueueName, group: &GroupName) -> Answer<Option<GroupStatus>> {
        let (ns, queue, group) = (ns.clone(), queue.clone(), group.clone());
        self.ask(
            (Op::Read, "group", None),
            move |store| store.group(&ns, &queue, &group),
            |_, _, _, _| "read",
        )
    }

    fn put_group(
        &self,
        ns: &Namespace,
        queue: &QueueName,
        group: &GroupName,
        spec: Option<GroupSpec>,
    ) -> Answer<Result<GroupStatus, QueueRefused>> {
        let (ns, queue, group) = (ns.clone(), queue.clone(), group.clone());
        self.ask(
            (Op::Write, "put group", None),
            move |store| store.put_group(&ns, &queue, &group, spec),
            |_, _, _, _| "put",
        )
    }

    fn pause(
        &self,
        ns: &Namespace,
        name: &QueueName,
        paused: bool,
    ) -> Answer<Result<Arc<Queue>, QueueRefused>> {
        let (ns, name) = (ns.clone(), name.clone());
        self.ask(
            (Op::Write, if paused { "pause" } else { "resume" }, None),
            move |store| store.pause(&ns, &name, paused),
            |checker, answer, _, _| checker.taken_in(answer),
        )
    }

    fn purge(&self, ns: &Namespace, name: &QueueName, limit: u32) -> Answer<Result<Slice, QueueRefused>> {
        let (ns, name) = (ns.clone(), name.clone());
        self.ask(
            (Op::Write, "purge", None),
            move |store| store.purge(&ns, &name, limit),
            |checker, answer, changes, _| match answer {
                Ok(slice) => checker.purged(*slice, changes),
                Err(_) => "refused",
            },
        )
    }

    fn delete_queue(&self, ns: &Namespace, name: &QueueName) -> Answer<Result<(), QueueRefused>> {
        let (ns, name) = (ns.clone(), name.clone());
        self.ask(
            (Op::Write, "delete queue", None),
            move |store| store.delete_queue(&ns, &name),
            |_, _, _, _| "deleted",
        )
    }

    fn claim_deliveries(&self, limit: u32) -> Answer<DueDeliveries> {
        self.ask(
            (Op::Write, "claim deliveries", None),
            move |store| store.claim_deliveries(limit),
            |_, _, _, _| "deliveries claimed",
        )
    }

    fn open_batch(&self, ns: &Namespace, new: NewBatch) -> Answer<Result<BatchOpened, BatchRefused>> {
        let ns = ns.clone();
        self.ask(
            (Op::Grow, "open batch", None),
            move |store| store.open_batch(&ns, new),
            |_, _, _, _| "batch opened",
        )
    }

    fn add_lines(
        &self,
        ns: &Namespace,
        id: BatchId,
        first: u64,
        lines: Vec<Line>,
    ) -> Answer<Result<Arc<Batch>, BatchRefused>> {
        let ns = ns.clone();
        self.ask(
            (Op::Grow, "add lines", None),
            move |store| store.add_lines(&ns, id, first, lines),
            |_, _, _, _| "lines added",
        )
    }

    fn seal_batch(
        &self,
        ns: &Namespace,
        id: BatchId,
        lines: u64,
    ) -> Answer<Result<BatchStatus, BatchRefused>> {
        let ns = ns.clone();
        self.ask(
            (Op::Write, "seal batch", None),
            move |store| store.seal_batch(&ns, id, lines),
            |_, _, _, _| "batch sealed",
        )
    }

    fn cancel_batch(
        &self,
        ns: &Namespace,
        id: BatchId,
        limit: u32,
    ) -> Answer<Result<BatchCancelled, BatchMissing>> {
        let ns = ns.clone();
        self.ask(
            (Op::Write, "cancel batch", None),
            move |store| store.cancel_batch(&ns, id, limit),
            |_, _, _, _| "batch cancelled",
        )
    }

    fn batch(&self, ns: &Namespace, id: BatchId) -> Answer<Result<BatchStatus, BatchMissing>> {
        let ns = ns.clone();
        self.ask(
            (Op::Read, "batch", None),
            move |store| store.batch(&ns, id),
            |_, _, _, _| "batch read",
        )
    }

    fn results(
        &self,
        ns: &Namespace,
        id: BatchId,
        after: u64,
        limit: u32,
    ) -> Answer<Result<Results, BatchMissing>> {
        let ns = ns.clone();
        self.ask(
            (Op::Read, "results", None),
            move |store| store.results(&ns, id, after, limit),
            |_, _, _, _| "results read",
        )
    }

    fn tend_batches(&self, limit: u32) -> Answer<Tended> {
        self.ask(
            (Op::Write, "tend batches", None),
            move |store| store.tend_batches(limit),
            |_, _, _, _| "batches tended",
        )
    }

    fn end_tries(&self, batch: Vec<EndTry>) -> Answer<Vec<bool>> {
        self.ask(
            (Op::Write, "end tries", None),
            move |store| store.end_tries(batch),
            |_, _, _, _| "tries ended",
        )
    }

    fn deliveries(&self, ns: &Namespace, before: Option<DeliveryId>, limit: u32) -> Answer<Vec<Delivery>> {
        let ns = ns.clone();
        self.ask(
            (Op::Read, "deliveries", None),
            move |store| store.deliveries(&ns, before, limit),
            |_, _, _, _| "deliveries listed",
        )
    }

    fn redeliver(&self, ns: &Namespace, id: DeliveryId) -> Answer<Option<Delivery>> {
        let ns = ns.clone();
        self.ask(
            (Op::Write, "redeliver", None),
            move |store| store.redeliver(&ns, id),
            |_, _, _, _| "delivery asked for",
        )
    }

    fn signing_secrets(&self, ns: &Namespace, fresh: Secret) -> Answer<SigningSecrets> {
        let ns = ns.clone();
        self.ask(
            (Op::Write, "secrets", None),
            move |store| store.signing_secrets(&ns, fresh),
            |_, _, _, _| "secrets given",
        )
    }

    fn ticket_key(&self, fresh: Secret) -> Answer<Secret> {
        self.ask(
            (Op::Write, "ticket key", None),
            move |store| store.ticket_key(fresh),
            |_, _, _, _| "key given",
        )
    }

    fn rotate_secret(&self, ns: &Namespace, fresh: Secret) -> Answer<SigningSecrets> {
        let ns = ns.clone();
        self.ask(
            (Op::Write, "rotate", None),
            move |store| store.rotate_secret(&ns, fresh),
            |_, _, _, _| "secret replaced",
        )
    }

    fn key_pepper(&self, fresh: Secret) -> Answer<Secret> {
        self.ask(
            (Op::Write, "key pepper", None),
            move |store| store.key_pepper(fresh),
            |_, _, _, _| "pepper given",
        )
    }

    fn create_key(&self, ns: &Namespace, new: NewKey) -> Answer<Result<ApiKey, KeyRefused>> {
        let ns = ns.clone();
        self.ask(
            (Op::Write, "create key", None),
            move |store| store.create_key(&ns, new),
            |_, _, _, _| "key made",
        )
    }

    fn keys(&self, ns: &Namespace) -> Answer<Vec<ApiKey>> {
        let ns = ns.clone();
        self.ask(
            (Op::Read, "keys", None),
            move |store| store.keys(&ns),
            |_, _, _, _| "keys listed",
        )
    }

    fn lag(&self) -> Answer<Lag> {
        self.ask((Op::Read, "lag", None), |store| store.lag(), |_, _, _, _| "")
    }

    fn all_keys(&self) -> Answer<Vec<ApiKey>> {
        self.ask(
            (Op::Read, "all keys", None),
            |store| store.all_keys(),
            |_, _, _, _| "keys listed",
        )
    }

    fn revoke_key(&self, ns: &Namespace, id: KeyId) -> Answer<Result<(), KeyRefused>> {
        let ns = ns.clone();
        self.ask(
            (Op::Write, "revoke key", None),
            move |store| store.revoke_key(&ns, id),
            |_, _, _, _| "key revoked",
        )
    }

    fn touch_keys(&self, used: Vec<(KeyId, Timestamp)>) -> Answer<()> {
        self.ask(
            (Op::Write, "touch keys", None),
            move |store| store.touch_keys(used),
            |_, (), _, _| "keys noted as used",
        )
    }

    fn recording(&self, act: Act) -> Arc<dyn Store> {
        Arc::new(Self {
            world: self.world.clone(),
            epoch: self.epoch,
            act: Some(act),
        })
    }

    fn record(&self, act: Act, refused: Option<String>) -> Answer<()> {
        self.ask(
            (Op::Write, "record act", None),
            move |store| store.record(act, refused),
            |_, (), _, _| "act recorded",
        )
    }

    fn acts(&self, ns: &Namespace, page: ActPage) -> Answer<Acts> {
        let ns = ns.clone();
        self.ask(
            (Op::Read, "acts", None),
            move |store| store.acts(&ns, page),
            |_, _, _, _| "acts listed",
        )
    }

    fn prune_acts(&self, kept: ActsKept, limit: u32) -> Answer<Slice> {
        self.ask(
            (Op::Write, "prune acts", None),
            move |store| store.prune_acts(kept, limit),
            |_, _, _, _| "acts forgotten",
        )
    }

    fn home(&self, id: JobId) -> Answer<Option<Namespace>> {
        self.ask(
            (Op::Read, "home", Some(id)),
            move |store| store.home(id),
            |_, _, _, _| "namespace told",
        )
    }

    fn check(&self) -> Answer<()> {
        self.ask((Op::Read, "check", None), |store| store.check(), |_, (), _, _| "")
    }

    /// The world closes the store itself when this run has ended.
    fn close(&self) -> Answer<()> {
        Box::pin(std::future::ready(Ok(())))
    }
}
