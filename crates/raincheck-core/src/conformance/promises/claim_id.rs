//! Promises about claims that are repeated because their answer was lost.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::kit::{Draft, Kit, TERM, Take, h, input, queue_name, release, s, succeed};
use crate::id::{Fence, JobId};
use crate::job::Job;
use crate::queue::QueueSpec;
use crate::store::Leased;

fn ids(leased: &[Leased]) -> BTreeSet<JobId> {
    leased.iter().map(|leased| leased.job.id).collect()
}

fn named(claim_id: &'static str) -> Take {
    Take {
        claim_id: Some(claim_id),
        count: 3,
        ..Take::default()
    }
}

fn jobs(leased: Vec<Leased>) -> Vec<Arc<Job>> {
    let mut jobs: Vec<_> = leased.into_iter().map(|leased| leased.job).collect();
    jobs.sort_by_key(|job| job.id);
    jobs
}

pub async fn a_repeated_claim_gives_back_its_leases(kit: Kit) {
    kit.q().await;
    kit.submit_many(&Draft::default(), 9).await;
    let first = jobs(kit.take(named("c1")).await);
    kit.advance(s(5));
    let again = kit.take(named("c1")).await;
    assert!(
        again
            .iter()
            .all(|leased| leased.input == input(&Draft::default().body))
    );
    assert_eq!(jobs(again), first, "the same leases as they are, and nothing new");
    let one = jobs(
        kit.take(Take {
            count: 1,
            ..named("c1")
        })
        .await,
    );
    assert_eq!(one, first, "even if fewer were asked for");
    assert_eq!(kit.take(named("c2")).await.len(), 3);
}

pub async fn a_repeated_claim_gives_back_what_still_lives(kit: Kit) {
    kit.q().await;
    kit.submit_many(&Draft::default(), 9).await;
    let mut held = jobs(kit.take(named("c1")).await);
    kit.settle(&held.remove(0), succeed("yes"))
        .await
        .expect("the lease is held");
    kit.settle(&held.remove(0), release(h(1)))
        .await
        .expect("the lease is held");
    kit.cancel(held[0].id).await.expect("the job is there");
    let held = vec![kit.get(held[0].id).await];
    assert_eq!(jobs(kit.take(named("c1")).await), held);
    kit.settle(&held[0], succeed("yes"))
        .await
        .expect("the lease is held");
    let fresh = jobs(kit.take(named("c1")).await);
    assert_eq!(fresh.len(), 3, "a claim whose leases are all over is a new one");
    assert!(fresh.iter().all(|job| job.id > held[0].id));
}

pub async fn a_lapsed_lease_is_given_back_until_it_is_reclaimed(kit: Kit) {
    kit.q().await;
    kit.submit_many(&Draft::default(), 3).await;
    let first = jobs(kit.take(named("c1")).await);
    kit.advance(TERM);
    assert_eq!(jobs(kit.take(named("c1")).await), first);
    kit.reclaim().await;
    assert!(
        kit.take(named("c1"))
            .await
            .iter()
            .all(|leased| leased.job.fence == Fence(2))
    );
}

pub async fn a_repeated_claim_needs_no_room(kit: Kit) {
    let spec = QueueSpec {
        concurrency: Some(1),
        ..QueueSpec::default()
    };
    kit.put("q", spec).await;
    kit.submit_many(&Draft::default(), 2).await;
    let first = jobs(kit.take(named("c1")).await);
    assert_eq!(
        jobs(kit.take(named("c1")).await),
        first,
        "where concurrency is used up"
    );
    kit.store
        .pause(&kit.ns, &queue_name("q"), true)
        .await
        .expect("the store answers")
        .expect("it is there");
    assert_eq!(
        jobs(kit.take(named("c1")).await),
        first,
        "where the queue is paused"
    );
}

pub async fn a_claim_id_is_its_workers_and_its_queues_own(kit: Kit) {
    kit.q().await;
    kit.put("other", QueueSpec::default()).await;
    kit.submit_many(&Draft::default(), 6).await;
    let first = ids(&kit.take(named("c1")).await);
    let other = ids(&kit
        .take(Take {
            worker: "x",
            ..named("c1")
        })
        .await);
    assert_eq!((first.len(), other.len()), (3, 3));
    assert!(
        first.is_disjoint(&other),
        "two workers may number their claims alike"
    );
    assert!(
        kit.take(Take {
            queue: "other",
            ..named("c1")
        })
        .await
        .is_empty()
    );
    assert!(
        kit.claim_up_to(9).await.is_empty(),
        "a claim without an id repeats none"
    );
}
