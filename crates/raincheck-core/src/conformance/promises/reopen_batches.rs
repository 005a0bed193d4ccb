//! Promises of durable stores about batches.

use std::future::IntoFuture;

use super::kit::{Draft, Kit, Take, h, s, succeed};
use super::reopen::Reopen;
use crate::batch::NewBatch;
use crate::conformance::Opened;
use crate::store::Counts;

pub async fn batches_and_their_counts_survive<F: IntoFuture<Output = Opened>>(
    kit: Kit,
    reopen: impl Reopen<F>,
) {
    kit.q().await;
    let patient = NewBatch {
        open_for: Some(h(5)),
        ..kit.new_batch()
    };
    let id = patient.id;
    kit.try_open(patient).await.expect("it is opened");
    kit.add(id, 0, 3, &Draft::default()).await;
    let later = Draft {
        delay: Some(s(60)),
        ..Draft::default()
    };
    kit.add(id, 3, 1, &later).await;
    let leased = kit
        .take(Take {
            count: 2,
            ..Take::default()
        })
        .await;
    kit.settle(&leased[0].job, succeed("1"))
        .await
        .expect("the lease is held");
    let before = kit.batch(id).await;
    let counts = Counts {
        scheduled: 1,
        queued: 1,
        running: 1,
        succeeded: 1,
        ..Counts::default()
    };
    assert_eq!(before.counts, counts);
    let kit = kit.reopen(reopen).await;
    assert_eq!(kit.batch(id).await, before);
    kit.settle(&leased[1].job, succeed("2"))
        .await
        .expect("the lease lives on");
    kit.add(id, 4, 1, &Draft::default()).await;
    kit.seal(id, 5).await;
    let places: Vec<_> = kit
        .finished_members(id, 0, 9)
        .await
        .iter()
        .map(|one| (one.place, one.job.id))
        .collect();
    assert_eq!(places, [(1, leased[0].job.id), (2, leased[1].job.id)]);
    assert_eq!(kit.batch(id).await.batch.remaining(), 3);
}

pub async fn a_cancel_that_was_begun_goes_on_after_opening<F: IntoFuture<Output = Opened>>(
    kit: Kit,
    reopen: impl Reopen<F>,
) {
    kit.q().await;
    let id = kit.open_batch().await;
    kit.add(id, 0, 9, &Draft::default()).await;
    let cancelled = kit.store.cancel_batch(&kit.ns, id, 2).await;
    assert!(cancelled.expect("the store answers").expect("it is there").more);
    let kit = kit.reopen(reopen).await;
    while kit.store.tend_batches(3).await.expect("the store answers").more {}
    assert!(kit.batch(id).await.batch.done());
    assert_eq!(kit.batch(id).await.counts.cancelled, 9);
}
