//! Promises about the observer: whoever waits for a change or for work hears of it.

use std::sync::{Arc, Mutex};

use super::kit::{
    Draft, Kit, TERM, Take, answer, eventually, fail_after, h, lease, output, queue_name, refuse, release, s,
    settle, succeed,
};
use crate::batch::Batch;
use crate::id::JobId;
use crate::job::{Job, Options, State};
use crate::lease::{Progress, WorkerKind};
use crate::name::{Namespace, QueueName};
use crate::output::Chunk;
use crate::queue::QueueSpec;
use crate::store::{Change, Observer, Renew};

/// Writes down what it is told.
#[derive(Debug, Default)]
struct Ear {
    changes: Mutex<Vec<Change>>,
    advanced: Mutex<Vec<Arc<Job>>>,
    chunks: Mutex<Vec<Arc<Chunk>>>,
    ready: Mutex<Vec<(Namespace, QueueName)>>,
    /// How many changes it had heard of when it was told of a batch, and how many members had ended by that.
    counted: Mutex<Vec<(usize, u64)>>,
}

impl Observer for Ear {
    fn changed(&self, changes: Vec<Change>) {
        self.changes
            .lock()
            .expect("no test panics in here")
            .extend(changes);
    }

    fn advanced(&self, jobs: Vec<Arc<Job>>) {
        self.advanced.lock().expect("no test panics in here").extend(jobs);
    }

    fn emitted(&self, chunks: Vec<Arc<Chunk>>) {
        self.chunks.lock().expect("no test panics in here").extend(chunks);
    }

    fn batches(&self, batches: Vec<Arc<Batch>>) {
        let heard = self.changes.lock().expect("no test panics in here").len();
        let counts = batches.iter().map(|batch| (heard, batch.ends.total()));
        self.counted
            .lock()
            .expect("no test panics in here")
            .extend(counts);
    }

    fn ready(&self, queues: Vec<(Namespace, QueueName)>) {
        self.ready.lock().expect("no test panics in here").extend(queues);
    }

    fn failed(&self, reason: &str) {
        panic!("the store failed: {reason}");
    }
}

impl Ear {
    fn on(kit: &Kit) -> Arc<Self> {
        let ear = Arc::new(Self::default());
        kit.store.observe(ear.clone());
        ear
    }

    /// Waits until it is told of this version of the job.
    async fn hears(&self, id: JobId, version: u32) -> Change {
        eventually("a change", || {
            let changes = self.changes.lock().expect("no test panics in here");
            changes
                .iter()
                .find(|change| change.job.id == id && change.job.version == version)
                .cloned()
        })
        .await
    }

    /// Waits until it is told that the queue is ready, and forgets it.
    async fn hears_ready(&self, name: &str) {
        let name = queue_name(name);
        eventually("a ready queue", || {
            let mut ready = self.ready.lock().expect("no test panics in here");
            let heard = ready.iter().any(|(_, queue)| *queue == name);
            if heard {
                ready.clear();
            }
            heard.then_some(())
        })
        .await;
    }

    fn forget(&self) {
        self.ready.lock().expect("no test panics in here").clear();
    }
}

pub async fn a_settlement_is_told_with_its_result(kit: Kit) {
    kit.q().await;
    let ear = Ear::on(&kit);
    for (settlement, result) in [
        (succeed("yes"), Some(answer("yes"))),
        (refuse(), Some(answer("why not"))),
        (fail_after(h(1)), None),
        (release(h(1)), None),
    ] {
        let held = kit.running(Draft::default()).await;
        let now = kit.settle(&held, settlement).await.expect("the lease is held");
        let change = ear.hears(now.id, now.version).await;
        assert_eq!((change.job, change.result.as_deref()), (now, result.as_ref()));
    }
}

pub async fn a_cancel_is_told(kit: Kit) {
    kit.q().await;
    let ear = Ear::on(&kit);
    let held = kit.running(Draft::default()).await;
    let asked = kit.cancel(held.id).await.expect("the job is there");
    assert_eq!(ear.hears(asked.id, asked.version).await.job, asked);
    let waiting = kit.submit(Draft::default()).await;
    let ended = kit.cancel(waiting).await.expect("the job is there");
    assert_eq!(ear.hears(ended.id, ended.version).await.job, ended);
    let purged = kit.submit(Draft::default()).await;
    kit.store
        .purge(&kit.ns, &queue_name("q"), 9)
        .await
        .expect("the store answers")
        .expect("it is there");
    assert_eq!(ear.hears(purged, 2).await.job.state(kit.now()), State::Cancelled);
}

pub async fn a_reclaim_and_an_expiry_are_told(kit: Kit) {
    kit.q().await;
    let ear = Ear::on(&kit);
    let held = kit.running(Draft::default()).await;
    let options = Options {
        start_before: Some(s(5)),
        ..Options::default()
    };
    let overdue = kit.submit(Draft::with(options)).await;
    kit.advance(TERM);
    assert_eq!(kit.reclaim().await.count, 2);
    for (id, version) in [(held.id, held.version + 1), (overdue, 2)] {
        let change = ear.hears(id, version).await;
        assert_eq!(change.job, kit.get(id).await);
    }
}

pub async fn a_job_that_is_retried_by_hand_is_told(kit: Kit) {
    kit.q().await;
    let ear = Ear::on(&kit);
    let old = kit.finished(Draft::default(), refuse()).await;
    let new = kit.retry(old.id).await.expect("the job is done");
    let change = ear.hears(old.id, old.version + 1).await;
    assert_eq!(change.job.retried_as, Some(new.id));
    assert_eq!(
        change.result.as_deref(),
        Some(&answer("why not")),
        "it still has its result"
    );
}

pub async fn a_queue_that_has_more_to_claim_is_told(kit: Kit) {
    kit.q().await;
    kit.put("other", QueueSpec::default()).await;
    let ear = Ear::on(&kit);
    kit.submit(Draft::default()).await;
    ear.hears_ready("q").await;
    kit.submit(Draft {
        queue: "other",
        ..Draft::default()
    })
    .await;
    ear.hears_ready("other").await;
    let held = kit.claim_one().await;
    ear.forget();
    kit.settle(&held, release(s(0))).await.expect("the lease is held");
    ear.hears_ready("q").await;
    let held = kit.claim_one().await;
    ear.forget();
    kit.settle(&held, refuse()).await.expect("the lease is held");
    kit.retry(held.id).await.expect("the job is done");
    ear.hears_ready("q").await;
}

pub async fn a_resumed_queue_is_told(kit: Kit) {
    kit.q().await;
    kit.submit(Draft::default()).await;
    let pause = async |paused| {
        let answer = kit.store.pause(&kit.ns, &queue_name("q"), paused).await;
        answer.expect("the store answers").expect("the queue is there");
    };
    pause(true).await;
    let ear = Ear::on(&kit);
    pause(false).await;
    ear.hears_ready("q").await;
    assert_eq!(kit.claim_up_to(9).await.len(), 1);
}

pub async fn a_place_that_becomes_free_is_told(kit: Kit) {
    kit.put(
        "q",
        QueueSpec {
            concurrency: Some(1),
            ..QueueSpec::default()
        },
    )
    .await;
    kit.submit_many(&Draft::default(), 4).await;
    let ear = Ear::on(&kit);
    let held = kit.claim_one().await;
    ear.forget();
    kit.settle(&held, succeed("yes"))
        .await
        .expect("the lease is held");
    ear.hears_ready("q").await;
    kit.claim_one().await;
    ear.forget();
    kit.advance(TERM);
    kit.reclaim().await;
    ear.hears_ready("q").await;
}

pub async fn a_rate_that_lets_more_start_is_told(kit: Kit) {
    let spec = QueueSpec {
        rate: "1/s".parse().ok(),
        ..QueueSpec::default()
    };
    kit.put("q", spec).await;
    kit.submit_many(&Draft::default(), 4).await;
    kit.claim_one().await;
    assert!(kit.claim_up_to(1).await.is_empty());
    let ear = Ear::on(&kit);
    ear.forget();
    kit.advance(s(1));
    // Whatever a store does next shows it the time.
    kit.reclaim().await;
    ear.hears_ready("q").await;
}

pub async fn a_place_that_an_endpoint_leaves_is_told(kit: Kit) {
    kit.q().await;
    kit.submit_many(&Draft::default(), 4).await;
    let take = Take {
        kind: WorkerKind::Push,
        count: 2,
        ..Take::default()
    };
    let held = kit.take(take).await;
    for leased in &held {
        kit.defer(lease(&leased.job)).await.expect("the lease is held");
    }
    let ear = Ear::on(&kit);
    kit.settle(&held[0].job, succeed("yes"))
        .await
        .expect("the lease is held");
    ear.hears_ready("q").await;
    ear.forget();
    kit.advance(h(1));
    kit.reclaim().await;
    ear.hears_ready("q").await;
}

pub async fn acceptance_claims_and_progress_are_told(kit: Kit) {
    kit.q().await;
    let ear = Ear::on(&kit);
    let held = kit.running(Draft::default()).await;
    let progress = Progress {
        fraction: Some(0.5),
        message: None,
    };
    let renew = Renew {
        lease: lease(&held),
        term: TERM,
        progress: Some(progress.clone()),
        defer: false,
    };
    let renewed = kit.store.renew(&kit.ns, vec![renew]).await;
    assert!(renewed.expect("the store answers")[0].is_some());
    let told = eventually("three steps", || {
        let told = ear.advanced.lock().expect("no test panics in here").clone();
        (told.len() == 3).then_some(told)
    })
    .await;
    let told: Vec<_> = told
        .iter()
        .map(|job| (job.version, job.lease().and_then(|lease| lease.progress.clone())))
        .collect();
    assert_eq!(told, [(1, None), (2, None), (2, Some(progress))]);
}

pub async fn chunks_are_told(kit: Kit) {
    kit.q().await;
    let ear = Ear::on(&kit);
    let held = kit.running(Draft::default()).await;
    for seq in [0, 1, 1] {
        kit.emit(lease(&held), seq, output("more"))
            .await
            .expect("the lease is held");
    }
    kit.settle(&held, succeed("done"))
        .await
        .expect("the lease is held");
    ear.hears(held.id, held.version + 1).await;
    // What was emitted is told before what ends the attempt.
    let told = ear.chunks.lock().expect("no test panics in here").clone();
    assert_eq!(told, kit.chunks(held.id).await);
    assert_eq!(told.len(), 2, "a repeated chunk is told once");
}

pub async fn members_that_end_are_told_in_the_order_of_their_places(kit: Kit) {
    kit.q().await;
    let id = kit.open_batch().await;
    kit.add(id, 0, 6, &Draft::default()).await;
    kit.seal(id, 6).await;
    let ear = Ear::on(&kit);
    let take = Take {
        count: 4,
        ..Take::default()
    };
    let held = kit.take(take).await;
    kit.settle(&held[3].job, succeed("one"))
        .await
        .expect("the lease is held");
    // Two in one step, and one that ends without an attempt.
    let both = vec![
        settle(lease(&held[2].job), refuse()),
        settle(lease(&held[0].job), succeed("three")),
    ];
    let settled = kit.store.settle(&kit.ns, both).await;
    assert!(settled.expect("the store answers").iter().all(Result::is_ok));
    kit.cancel(held[1].job.id).await.expect("the job is there");
    kit.settle(&held[1].job, succeed("four"))
        .await
        .expect("the lease is held");
    kit.cancel_all(id, 9).await;
    let told: Vec<_> = eventually("six ends", || {
        let changes = ear.changes.lock().expect("no test panics in here").clone();
        let ends: Vec<_> = changes.into_iter().filter(|change| change.job.done()).collect();
        (ends.len() == 6).then_some(ends)
    })
    .await;
    let kept = kit.finished_members(id, 0, 9).await;
    assert_eq!(
        kept.iter().map(|one| one.place).collect::<Vec<_>>(),
        [1, 2, 3, 4, 5, 6]
    );
    for (told, kept) in told.iter().zip(&kept) {
        assert_eq!((&told.job, &told.result), (&kept.job, &kept.result));
    }
    // Whenever the batch's numbers were told, just so many ends had been.
    let last = eventually("the batch's numbers", || {
        let counted = ear.counted.lock().expect("no test panics in here").clone();
        counted
            .last()
            .is_some_and(|(_, ends)| *ends == 6)
            .then_some(counted)
    })
    .await;
    let changes = ear.changes.lock().expect("no test panics in here").clone();
    for (heard, ends) in last {
        let told = changes[..heard].iter().filter(|change| change.job.done()).count();
        assert_eq!(told as u64, ends);
    }
}

pub async fn the_last_observer_is_told(kit: Kit) {
    kit.q().await;
    let (first, second) = (Ear::on(&kit), Ear::on(&kit));
    let id = kit.submit(Draft::default()).await;
    kit.cancel(id).await.expect("the job is there");
    second.hears(id, 2).await;
    assert!(first.changes.lock().expect("no test panics in here").is_empty());
}
