//! What promises are written with: short names for the operations, and a history beside every job that is read.
//!
//! Invariant: a store error ends the promise, and so does a job that breaks one of the
//! [invariants](crate::conformance::invariants).

use std::fmt::Debug;
use std::future::IntoFuture;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;

pub use super::draft::{
    Draft, SEED, TERM, Take, answer, fail, fail_after, h, input, key, lease, log, ms, output, queue_name,
    refuse, release, s, settle, succeed,
};
pub use super::patience::{PATIENCE, breathe, error, eventually};
use crate::clock::{Clock, ManualClock};
use crate::conformance::Opened;
use crate::conformance::invariants::History;
use crate::decide::{Claimer, ClockSet, EmitRefused, NewJob, Renewed, SettleRefused, Settlement};
use crate::id::{JobId, LeaseId, Nonce};
use crate::job::Job;
use crate::name::{GroupName, Namespace, WorkerName};
use crate::output::{Chunk, Piece};
use crate::queue::QueueSpec;
use crate::retry::mix;
use crate::store::{
    Change, Claim, Counts, Emit, Emitted, Leased, Missing, Output, Reclaimed, Renew, Retry, Store,
    Submission, SubmitRefused, Submitted,
};
use crate::time::Timestamp;

/// A store under test and the clock it reads.
#[derive(Debug)]
pub struct Kit {
    pub store: Arc<dyn Store>,
    pub clock: Arc<ManualClock>,
    pub ns: Namespace,
    pub guard: Box<dyn std::any::Any + Send>,
    nonces: AtomicU64,
    history: Mutex<History>,
}

impl Kit {
    /// Wraps a fresh store.
    pub fn new(opened: Opened) -> Self {
        Self {
            store: opened.store,
            clock: opened.clock,
            ns: Namespace::default(),
            guard: opened.guard,
            nonces: AtomicU64::new(1),
            history: Mutex::default(),
        }
    }

    /// The same store in the hands of another namespace. The store lives as long as the first kit.
    pub fn acting_for(&self, ns: Namespace) -> Self {
        Self {
            store: self.store.clone(),
            clock: self.clock.clone(),
            ns,
            guard: Box::new(()),
            nonces: AtomicU64::new(1 << 32),
            history: Mutex::default(),
        }
    }

    /// Closes the store and opens what it kept anew; what was seen before is remembered.
    pub async fn reopen<F: IntoFuture<Output = Opened>>(self, reopen: impl FnOnce(Opened) -> F) -> Self {
        self.store.close().await.expect("the store closes");
        let opened = Opened {
            store: self.store,
            clock: self.clock,
            guard: self.guard,
        };
        let opened = reopen(opened).await;
        Self {
            store: opened.store,
            clock: opened.clock,
            guard: opened.guard,
            ..self
        }
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Sets the host's time, forwards or back, and has the store follow it.
    pub async fn set_clock(&self, by_millis: i64) {
        let was = self.now();
        self.clock.set(by_millis);
        let followed = self.store.touch_keys(Vec::new()).await;
        followed.expect("the store answers");
        let now = self.now();
        assert_eq!(
            now.as_millis() - was.as_millis(),
            by_millis,
            "the store follows the clock"
        );
        let mut history = self.history.lock().expect("no promise panics in here");
        history.clock_was_set(ClockSet { was, now });
    }

    /// Holds the job against all that was seen of it.
    pub fn see(&self, job: &Arc<Job>) -> Arc<Job> {
        if let Err(broken) = self.history.lock().expect("no promise panics in here").see(job) {
            panic!("{broken}");
        }
        job.clone()
    }

    /// A queue "q" with default settings.
    pub async fn q(&self) {
        self.put("q", QueueSpec::default()).await;
    }

    pub async fn put(&self, name: &str, spec: QueueSpec) {
        let put = self.store.put_queue(&self.ns, &queue_name(name), spec, false);
        put.await
            .expect("the store answers")
            .expect("the queue is nobody else's");
    }

    /// The draft as a job with a fresh id.
    pub fn job(&self, draft: &Draft) -> NewJob {
        NewJob {
            id: self.store.mint(),
            namespace: self.ns.clone(),
            queue: queue_name(draft.queue),
            group: draft
                .group
                .map(|group| GroupName::new(group).expect("promises name groups well")),
            priority: draft.priority,
            run_at: draft.run_at,
            delay: draft.delay,
            options: draft.options.clone().into(),
            retry_of: None,
            member: None,
        }
    }

    pub fn submission(&self, draft: &Draft) -> Submission {
        Submission {
            job: self.job(draft),
            input: input(&draft.body),
            idempotency: key(draft),
            create_queue: draft.create_queue,
        }
    }

    /// Submits in one batch; gives back the ids that were sent and the answers.
    pub async fn try_submit(&self, drafts: &[Draft]) -> Vec<(JobId, Result<Submitted, SubmitRefused>)> {
        let batch: Vec<_> = drafts.iter().map(|draft| self.submission(draft)).collect();
        let ids: Vec<_> = batch.iter().map(|submission| submission.job.id).collect();
        let answers = self
            .store
            .submit(&self.ns, batch)
            .await
            .expect("the store answers");
        assert_eq!(answers.len(), ids.len(), "every submission is answered");
        ids.into_iter().zip(answers).collect()
    }

    /// Submits a job that must be accepted.
    pub async fn submit(&self, draft: Draft) -> JobId {
        let (id, answer) = self.try_submit(&[draft]).await.remove(0);
        assert_eq!(answer, Ok(Submitted::Created));
        id
    }

    /// Submits `count` jobs that must be accepted.
    pub async fn submit_many(&self, draft: &Draft, count: usize) -> Vec<JobId> {
        let answers = self.try_submit(&vec![draft.clone(); count]).await;
        let ids = answers.into_iter().map(|(id, answer)| {
            assert_eq!(answer, Ok(Submitted::Created));
            id
        });
        ids.collect()
    }

    pub fn nonce(&self) -> Nonce {
        let next = self.nonces.fetch_add(1, Ordering::Relaxed);
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&mix(next).to_be_bytes());
        bytes[8..].copy_from_slice(&mix(!next).to_be_bytes()[..4]);
        Nonce(bytes)
    }

    pub fn claimer(&self, take: &Take) -> Claimer {
        Claimer {
            worker: WorkerName::new(take.worker).expect("promises name workers well"),
            kind: take.kind,
            term: take.term,
            claim_id: take.claim_id.map(str::to_owned),
        }
    }

    pub fn claim(&self, take: &Take) -> Claim {
        Claim {
            queue: queue_name(take.queue),
            claimer: self.claimer(take),
            nonces: (0..take.count).map(|_| self.nonce()).collect(),
            running_max: take.running_max,
            passing_over: take
                .passing_over
                .iter()
                .map(|group| GroupName::new(group).expect("promises name groups well"))
                .collect(),
        }
    }

    pub async fn take(&self, take: Take) -> Vec<Leased> {
        let leased = self
            .store
            .claim(&self.ns, self.claim(&take))
            .await
            .expect("the store answers");
        leased.iter().for_each(|leased| {
            self.see(&leased.job);
        });
        leased
    }

    /// Claims up to `count` jobs of "q".
    pub async fn claim_up_to(&self, count: usize) -> Vec<Leased> {
        self.take(Take {
            count,
            ..Take::default()
        })
        .await
    }

    /// Claims one job of "q", which must be there.
    pub async fn claim_one(&self) -> Arc<Job> {
        self.claim_up_to(1)
            .await
            .pop()
            .expect("a job is there to be claimed")
            .job
    }

    /// Submits a job to "q" and claims it.
    pub async fn running(&self, draft: Draft) -> Arc<Job> {
        let id = self.submit(draft).await;
        let job = self.claim_one().await;
        assert_eq!(job.id, id);
        job
    }

    /// Submits a job to "q", claims it and ends it with this settlement.
    pub async fn finished(&self, draft: Draft, settlement: Settlement) -> Arc<Job> {
        let job = self.running(draft).await;
        self.settle(&job, settlement).await.expect("the lease is held")
    }

    /// Settles under the job's lease; the digest is made from the settlement.
    pub async fn settle(&self, held: &Job, settlement: Settlement) -> Result<Arc<Job>, SettleRefused> {
        self.settle_lease(lease(held), settlement).await
    }

    pub async fn settle_lease(
        &self,
        lease: LeaseId,
        settlement: Settlement,
    ) -> Result<Arc<Job>, SettleRefused> {
        let settle = settle(lease, settlement);
        let mut answers = self
            .store
            .settle(&self.ns, vec![settle])
            .await
            .expect("the store answers");
        assert_eq!(answers.len(), 1);
        let answer = answers.remove(0);
        if let Ok(job) = &answer {
            self.see(job);
        }
        answer
    }

    pub async fn renew(&self, lease: LeaseId, term: Duration) -> Option<Renewed> {
        self.renew_as(Renew {
            lease,
            term,
            progress: None,
            defer: false,
        })
        .await
    }

    /// Hands the attempt over to the endpoint that it was pushed to.
    pub async fn defer(&self, lease: LeaseId) -> Option<Renewed> {
        self.renew_as(Renew {
            lease,
            term: TERM,
            progress: None,
            defer: true,
        })
        .await
    }

    async fn renew_as(&self, renew: Renew) -> Option<Renewed> {
        let batch = vec![renew];
        let mut answers = self
            .store
            .renew(&self.ns, batch)
            .await
            .expect("the store answers");
        assert_eq!(answers.len(), 1);
        answers.remove(0)
    }

    /// Emits one chunk.
    pub async fn emit(&self, lease: LeaseId, seq: u32, piece: Piece) -> Result<Emitted, EmitRefused> {
        let mut answers = self
            .store
            .emit(&self.ns, vec![Emit { lease, seq, piece }])
            .await
            .expect("the store answers");
        assert_eq!(answers.len(), 1);
        answers.remove(0)
    }

    /// What the job emitted after this number, in one page.
    pub async fn output(&self, id: JobId, after: u64, limit: u32) -> Output {
        let output = self.store.output(&self.ns, id, after, limit).await;
        let output = output.expect("the store answers").expect("the job is there");
        self.see(&output.job);
        output
    }

    /// All that is kept of what the job emitted.
    pub async fn chunks(&self, id: JobId) -> Vec<Arc<Chunk>> {
        self.output(id, 0, u32::MAX).await.chunks
    }

    pub async fn cancel(&self, id: JobId) -> Result<Arc<Job>, Missing> {
        let mut answers = self
            .store
            .cancel(&self.ns, vec![id])
            .await
            .expect("the store answers");
        assert_eq!(answers.len(), 1);
        let answer = answers.remove(0);
        if let Ok(job) = &answer {
            self.see(job);
        }
        answer
    }

    pub async fn retry(&self, id: JobId) -> Result<Arc<Job>, crate::store::ChangeRefused> {
        let batch = vec![Retry {
            id,
            new_id: self.store.mint(),
        }];
        let mut answers = self
            .store
            .retry(&self.ns, batch)
            .await
            .expect("the store answers");
        assert_eq!(answers.len(), 1);
        let answer = answers.remove(0);
        if let Ok(job) = &answer {
            self.see(job);
        }
        answer
    }

    pub async fn delete(&self, id: JobId) -> Result<(), crate::store::ChangeRefused> {
        let mut answers = self
            .store
            .delete(&self.ns, vec![id])
            .await
            .expect("the store answers");
        assert_eq!(answers.len(), 1);
        answers.remove(0)
    }

    pub async fn find(&self, id: JobId) -> Result<Arc<Job>, Missing> {
        let found = self.store.get(&self.ns, id).await.expect("the store answers");
        if let Ok(job) = &found {
            self.see(job);
        }
        found
    }

    /// The job, which must be there.
    pub async fn get(&self, id: JobId) -> Arc<Job> {
        self.find(id).await.expect("the job is there")
    }

    pub async fn result(&self, id: JobId) -> Result<Change, Missing> {
        let found = self.store.result(&self.ns, id).await.expect("the store answers");
        if let Ok(change) = &found {
            self.see(&change.job);
        }
        found
    }

    /// The bytes of the job's result, where it has one.
    pub async fn result_body(&self, id: JobId) -> Option<Bytes> {
        let change = self.result(id).await.expect("the job is there");
        change.result.map(|result| result.body.clone())
    }

    pub async fn reclaim(&self) -> Reclaimed {
        self.store.reclaim(1_000, SEED).await.expect("the store answers")
    }

    /// Prunes until nothing is due; tells how much went.
    pub async fn prune(&self) -> u32 {
        let mut count = 0;
        loop {
            let slice = self.store.prune(100).await.expect("the store answers");
            count += slice.count;
            if !slice.more {
                return count;
            }
        }
    }

    pub async fn counts(&self, queue: &str) -> Counts {
        let status = self
            .store
            .queue(&self.ns, &queue_name(queue))
            .await
            .expect("the store answers");
        status.expect("the queue is there").counts
    }

    /// Waits until the counts are these: they may be a moment old.
    pub async fn counts_become(&self, queue: &str, expected: Counts) {
        for _ in 0..PATIENCE {
            if self.counts(queue).await == expected {
                return;
            }
            breathe().await;
        }
        assert_eq!(self.counts(queue).await, expected);
    }
}
