//! Promises about concurrency: never exceeded, and given back by everything that ends an attempt.

use super::kit::{Draft, Kit, TERM, Take, fail_after, h, release, succeed};
use crate::queue::QueueSpec;

async fn limited(kit: &Kit, concurrency: Option<u32>) {
    kit.put(
        "q",
        QueueSpec {
            concurrency,
            ..QueueSpec::default()
        },
    )
    .await;
}

pub async fn concurrency_is_never_exceeded(kit: Kit) {
    limited(&kit, Some(3)).await;
    kit.submit_many(&Draft::default(), 20).await;
    let first = kit.claim_up_to(2).await;
    let mut held = kit.claim_up_to(9).await;
    assert_eq!((first.len(), held.len()), (2, 1));
    assert!(kit.claim_up_to(9).await.is_empty());
    held.extend(first);
    kit.settle(&held.remove(0).job, succeed("yes"))
        .await
        .expect("the lease is held");
    held.extend(kit.claim_up_to(9).await);
    assert_eq!(held.len(), 3, "a settlement gives its place back");
    kit.settle(&held.remove(0).job, release(h(1)))
        .await
        .expect("the lease is held");
    kit.settle(&held.remove(0).job, fail_after(h(1)))
        .await
        .expect("the lease is held");
    held.extend(kit.claim_up_to(9).await);
    assert_eq!(held.len(), 3, "so do a release and a failure");
    kit.advance(TERM);
    assert!(
        kit.claim_up_to(9).await.is_empty(),
        "a lapsed lease holds its place until it is reclaimed"
    );
    assert_eq!(kit.reclaim().await.count, 3);
    assert_eq!(kit.claim_up_to(9).await.len(), 3);
}

pub async fn claims_at_the_same_time_respect_concurrency(kit: Kit) {
    limited(&kit, Some(5)).await;
    kit.submit_many(&Draft::default(), 40).await;
    let claims: Vec<_> = (0..10)
        .map(|_| {
            kit.claim(&Take {
                count: 2,
                ..Take::default()
            })
        })
        .collect();
    let answers: Vec<_> = claims
        .into_iter()
        .map(|claim| kit.store.claim(&kit.ns, claim))
        .collect();
    let mut claimed = 0;
    for answer in answers {
        claimed += answer.await.expect("the store answers").len();
    }
    assert_eq!(claimed, 5);
}

pub async fn a_changed_concurrency_holds_for_the_next_claim(kit: Kit) {
    limited(&kit, Some(2)).await;
    kit.submit_many(&Draft::default(), 20).await;
    assert_eq!(kit.claim_up_to(9).await.len(), 2);
    limited(&kit, Some(1)).await;
    assert!(kit.claim_up_to(9).await.is_empty());
    limited(&kit, Some(4)).await;
    assert_eq!(kit.claim_up_to(9).await.len(), 2);
    limited(&kit, None).await;
    assert_eq!(
        kit.claim_up_to(9).await.len(),
        9,
        "a pull queue has no bound of its own"
    );
}

pub async fn concurrency_is_each_queues_own(kit: Kit) {
    limited(&kit, Some(1)).await;
    kit.put(
        "other",
        QueueSpec {
            concurrency: Some(1),
            ..QueueSpec::default()
        },
    )
    .await;
    kit.submit_many(&Draft::default(), 2).await;
    kit.submit_many(
        &Draft {
            queue: "other",
            ..Draft::default()
        },
        2,
    )
    .await;
    assert_eq!(kit.claim_up_to(9).await.len(), 1);
    let there = kit
        .take(Take {
            queue: "other",
            count: 9,
            ..Take::default()
        })
        .await;
    assert_eq!(there.len(), 1);
}

pub async fn a_claims_own_bound_counts_all_that_run(kit: Kit) {
    limited(&kit, None).await;
    kit.submit_many(&Draft::default(), 20).await;
    let bound = |running_max| Take {
        count: 9,
        running_max,
        ..Take::default()
    };
    let mut held = kit.take(bound(Some(4))).await;
    assert_eq!(held.len(), 4);
    assert!(kit.take(bound(Some(4))).await.is_empty(), "whoever claimed them");
    assert_eq!(kit.take(bound(Some(5))).await.len(), 1);
    kit.settle(&held.remove(0).job, succeed("yes"))
        .await
        .expect("the lease is held");
    assert_eq!(kit.take(bound(Some(5))).await.len(), 1);
    assert_eq!(
        kit.take(bound(None)).await.len(),
        9,
        "a bound is its claim's alone"
    );
    limited(&kit, Some(16)).await;
    assert_eq!(
        kit.take(bound(Some(100))).await.len(),
        2,
        "what is written holds besides"
    );
}
