//! Promises about what comes of batches: their receivers told, everything kept and let go together.

use std::sync::Arc;
use std::time::Duration;

use super::batches::{bad, queued};
use super::kit::{Draft, Kit, Take, eventually, h, key, refuse, s};
use crate::batch::{Batch, BatchId, BatchMissing, BatchRefused, NewBatch, Stage};
use crate::decide::TryEnd;
use crate::delivery::{DeliveryId, Event};
use crate::job::Options;
use crate::name::Namespace;
use crate::queue::QueueSpec;
use crate::store::{About, Change, EndTry, Missing, Observer};

pub async fn a_batch_that_is_done_tells_its_receiver_once(kit: Kit) {
    kit.q().await;
    let new = NewBatch {
        callback: Some("https://example.org/batch".to_owned()),
        ..kit.new_batch()
    };
    let id = new.id;
    kit.try_open(new).await.expect("it is opened");
    kit.add(id, 0, 2, &Draft::default()).await;
    kit.seal(id, 2).await;
    kit.work("1").await;
    let due = kit.store.claim_deliveries(10).await.expect("the store answers");
    assert_eq!(due.due, [], "one remains");
    kit.work("2").await;
    let mut due = kit.store.claim_deliveries(10).await.expect("the store answers");
    assert_eq!(due.due.len(), 1);
    let outgoing = due.due.remove(0);
    assert_eq!(outgoing.delivery.id, DeliveryId::Batch(id));
    assert_eq!(outgoing.delivery.event, Event::BatchCompleted);
    assert_eq!(outgoing.about, About::Batch(kit.batch(id).await));
    kit.seal(id, 2).await;
    kit.cancel_all(id, 10).await;
    let listed = kit.store.deliveries(&kit.ns, None, 10).await;
    let listed = listed.expect("the store answers");
    assert_eq!(
        listed,
        std::slice::from_ref(&outgoing.delivery),
        "it is recorded once"
    );
    kit.advance(h(48));
    kit.prune().await;
    assert!(kit.find_batch(id).await.is_ok(), "its receiver was not told yet");
    let end = EndTry {
        id: outgoing.delivery.id,
        n: 1,
        end: TryEnd::Taken { status: 200 },
        seed: 1,
    };
    assert_eq!(kit.store.end_tries(vec![end]).await, Ok(vec![true]));
    kit.prune().await;
    assert_eq!(kit.find_batch(id).await.err(), Some(BatchMissing::Expired));
    let listed = kit.store.deliveries(&kit.ns, None, 10).await;
    assert_eq!(listed.expect("the store answers"), []);
}

pub async fn members_are_kept_as_long_as_their_batch(kit: Kit) {
    let spec = QueueSpec {
        keep: Some(s(1)),
        keep_failed: Some(s(1)),
        ..QueueSpec::default()
    };
    kit.put("q", spec).await;
    let new = NewBatch {
        keep: Some(h(2)),
        idempotency: key(&Draft::keyed("k", 1)),
        ..kit.new_batch()
    };
    let id = new.id;
    kit.try_open(new.clone()).await.expect("it is opened");
    kit.add(id, 0, 3, &Draft::default()).await;
    kit.seal(id, 3).await;
    let first = kit.work("1").await;
    kit.advance(h(5));
    assert_eq!(kit.prune().await, 0, "the batch is not done");
    kit.work("2").await;
    kit.work("3").await;
    kit.advance(h(2) - s(1));
    assert_eq!(kit.prune().await, 0, "nor over");
    assert!(kit.get(first).await.done());
    kit.advance(s(1));
    let slice = kit.store.prune(2).await.expect("the store answers");
    assert_eq!((slice.count, slice.more), (2, true), "in slices");
    assert!(kit.find_batch(id).await.is_ok(), "until its last member is gone");
    kit.prune().await;
    assert_eq!(kit.find(first).await.err(), Some(Missing::Expired));
    assert_eq!(kit.find_batch(id).await.err(), Some(BatchMissing::Expired));
    let again = NewBatch {
        id: BatchId::new(kit.store.mint()),
        ..new.clone()
    };
    let answer = kit.try_open(again).await;
    assert_eq!(answer, Err(BatchRefused::Missing(BatchMissing::Expired)));
    kit.advance(h(24));
    kit.prune().await;
    assert_eq!(kit.find_batch(id).await.err(), Some(BatchMissing::Unknown));
}

pub async fn a_batch_with_failures_is_kept_longer(kit: Kit) {
    kit.q().await;
    let id = kit.open_batch().await;
    kit.add(id, 0, 1, &Draft::default()).await;
    kit.seal(id, 1).await;
    let running = kit.take(Take::default()).await.remove(0).job;
    kit.settle(&running, refuse()).await.expect("the lease is held");
    let week = kit.now().plus(Duration::from_secs(7 * 86_400));
    match kit.batch(id).await.batch.stage {
        Stage::Done { expires_at, .. } => assert_eq!(expires_at, week),
        stage @ (Stage::Open { .. } | Stage::Sealed) => panic!("{stage:?}"),
    }
}

pub async fn a_member_that_is_deleted_stays_counted(kit: Kit) {
    kit.q().await;
    let id = kit.open_batch().await;
    kit.add(id, 0, 2, &Draft::default()).await;
    let first = kit.work("1").await;
    kit.delete(first).await.expect("it is done");
    kit.seal(id, 2).await;
    let second = kit.work("2").await;
    let status = kit.batch(id).await;
    assert!(status.batch.done());
    assert_eq!(status.counts.succeeded, 2);
    let left: Vec<_> = kit.finished_members(id, 0, 9).await;
    assert_eq!(
        left.iter().map(|one| (one.place, one.job.id)).collect::<Vec<_>>(),
        [(2, second)]
    );
    assert_eq!(kit.members(id).await.len(), 1);
}

pub async fn a_retried_member_is_no_member(kit: Kit) {
    kit.q().await;
    let id = kit.open_batch().await;
    kit.add(id, 0, 1, &Draft::default()).await;
    kit.seal(id, 1).await;
    let first = kit.work("1").await;
    let again = kit.retry(first).await.expect("it is done");
    assert_eq!(again.member, None);
    let status = kit.batch(id).await;
    assert!(status.batch.done());
    assert_eq!(status.batch.members(), 1);
}

pub async fn members_with_callbacks_are_kept_until_those_are_told(kit: Kit) {
    kit.q().await;
    let id = kit.open_batch().await;
    let told = Draft::with(Options {
        callback: Some(crate::delivery::Callback::to("https://example.org/job")),
        ..Options::default()
    });
    kit.add(id, 0, 1, &told).await;
    kit.add(id, 1, 1, &Draft::default()).await;
    kit.seal(id, 2).await;
    let first = kit.work("1").await;
    let second = kit.work("2").await;
    kit.advance(h(24));
    kit.prune().await;
    assert!(kit.get(first).await.done());
    assert_eq!(kit.find(second).await.err(), Some(Missing::Expired));
    assert!(kit.find_batch(id).await.is_ok());
    let due = kit.store.claim_deliveries(10).await.expect("the store answers");
    let end = EndTry {
        id: due.due[0].delivery.id,
        n: 1,
        end: TryEnd::Taken { status: 200 },
        seed: 1,
    };
    assert_eq!(kit.store.end_tries(vec![end]).await, Ok(vec![true]));
    // A store may leave a batch alone for a minute whose members were not told yet.
    kit.advance(s(60));
    kit.prune().await;
    assert_eq!(kit.find_batch(id).await.err(), Some(BatchMissing::Expired));
}

/// Keeps what it is told of batches.
#[derive(Debug, Default)]
struct Ear(std::sync::Mutex<Vec<Arc<Batch>>>);

impl Observer for Ear {
    fn changed(&self, _: Vec<Change>) {}
    fn batches(&self, batches: Vec<Arc<Batch>>) {
        self.0.lock().expect("nothing panics in here").extend(batches);
    }
    fn ready(&self, _: Vec<(Namespace, crate::name::QueueName)>) {}
    fn failed(&self, reason: &str) {
        panic!("the store failed: {reason}");
    }
}

pub async fn what_happens_to_a_batch_is_told(kit: Kit) {
    kit.q().await;
    let ear = Arc::new(Ear::default());
    kit.store.observe(ear.clone());
    let id = kit.open_batch().await;
    kit.add(id, 0, 1, &Draft::default()).await;
    kit.seal(id, 1).await;
    kit.work("1").await;
    for what in [
        |batch: &Batch| batch.lines == 1 && !batch.sealed(),
        |batch: &Batch| batch.sealed() && !batch.done(),
        |batch: &Batch| batch.done(),
    ] {
        eventually("a batch that is told", || {
            let told = ear.0.lock().expect("nothing panics in here");
            told.iter()
                .any(|batch| batch.id == id && what(batch))
                .then_some(())
        })
        .await;
    }
}

pub async fn a_stranger_sees_no_batch_of_another_namespace(kit: Kit) {
    kit.q().await;
    let id = kit.open_batch().await;
    kit.add(id, 0, 1, &Draft::default()).await;
    let stranger = kit.acting_for(Namespace::new("other").expect("a name"));
    assert_eq!(stranger.find_batch(id).await.err(), Some(BatchMissing::Unknown));
    let unknown = Some(BatchRefused::Missing(BatchMissing::Unknown));
    assert_eq!(stranger.try_add(id, 1, vec![bad()]).await.err(), unknown);
    assert_eq!(stranger.try_seal(id, 1).await.err(), unknown);
    let cancelled = stranger.store.cancel_batch(&stranger.ns, id, 9).await;
    assert_eq!(
        cancelled.expect("the store answers").err(),
        Some(BatchMissing::Unknown)
    );
    let results = stranger.store.results(&stranger.ns, id, 0, 9).await;
    assert_eq!(
        results.expect("the store answers").err(),
        Some(BatchMissing::Unknown)
    );
    assert!(stranger.members(id).await.is_empty());
    assert_eq!(kit.batch(id).await.counts, queued(1));
}
