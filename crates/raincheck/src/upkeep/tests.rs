//! What upkeep promises.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use raincheck_core::clock::ManualClock;
use raincheck_core::conformance::ModelStore;
use raincheck_core::decide::Claimer;
use raincheck_core::id::Nonce;
use raincheck_core::job::{AttemptOutcome, Outcome};
use raincheck_core::lease::WorkerKind;
use raincheck_core::name::WorkerName;
use raincheck_core::queue::Worker;
use raincheck_core::store::{Claim, Store};
use tokio::time::Instant;

use super::reclaim;
use crate::random::Randomness;
use crate::tasks::{Group, TaskKind};
use crate::testing::faulty::Faulty;
use crate::testing::{Setup, eventually, promises, queue_name, soon};
use crate::workers::Marks;

promises! {
    a_lapsed_lease_is_ended_and_the_job_offered_again
    a_job_that_was_not_started_in_time_expires
    what_outlived_its_retention_is_forgotten
}

async fn a_lapsed_lease_is_ended_and_the_job_offered_again(setup: Setup) {
    setup.queue("q", Worker::Pull, |_| {}).await;
    let id = setup.submit("q", "").await;
    let claim = Claim {
        queue: queue_name("q"),
        claimer: Claimer {
            worker: WorkerName::new("test").unwrap(),
            kind: WorkerKind::Pull,
            term: Duration::from_secs(1),
            claim_id: None,
        },
        nonces: vec![Nonce([1; 12])],
        running_max: None,
        passing_over: Vec::new(),
    };
    let leased = setup.store.claim(&setup.ns, claim).await.unwrap().remove(0);
    let job = setup.when(id, |job| !job.attempts.is_empty()).await.job;
    assert_eq!(
        (job.attempt, job.attempts[0].outcome),
        (1, AttemptOutcome::LeaseLost)
    );
    assert!(
        job.attempts[0].ended_at >= leased.job.lease().unwrap().expires_at,
        "not before its time"
    );
}

async fn a_job_that_was_not_started_in_time_expires(setup: Setup) {
    setup.queue("q", Worker::Pull, |_| {}).await;
    let id = setup
        .submit_with("q", "", |options, _| {
            options.start_before = Some(Duration::from_millis(100))
        })
        .await;
    assert_eq!(setup.done(id).await.job.outcome(), Some(Outcome::Expired));
}

async fn what_outlived_its_retention_is_forgotten(setup: Setup) {
    setup
        .queue("q", Worker::Pull, |spec| spec.keep = Some(Duration::from_secs(1)))
        .await;
    let id = setup.submit("q", "").await;
    setup.store.cancel(&setup.ns, vec![id]).await.unwrap();
    soon("the end of the retention", async {
        while setup.store.get(&setup.ns, id).await.unwrap().is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_reclaim_leaves_attempts_that_stop_just_now_a_moment_but_no_more() {
    let store = Arc::new(Faulty::new(Arc::new(ModelStore::new(Arc::new(
        ManualClock::default(),
    )))));
    let (timing_out, upkeep) = (Marks::default(), Group::new("test"));
    let stopping = timing_out.mark();
    let start = Instant::now();
    upkeep.spawn(
        TaskKind::Upkeep,
        reclaim::run(store.clone(), timing_out, Randomness::default()),
    );
    let looks = || store.reclaims.load(Ordering::SeqCst);
    eventually("the first look", || looks() == 1).await;
    assert!(
        start.elapsed() >= Duration::from_millis(800),
        "{:?}",
        start.elapsed()
    );
    drop(stopping);
    eventually("the second look", || looks() == 2).await;
    assert!(
        start.elapsed() <= Duration::from_millis(2000),
        "{:?}",
        start.elapsed()
    );
    upkeep.cut().await;
}
