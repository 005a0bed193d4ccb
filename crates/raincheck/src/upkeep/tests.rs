//! What upkeep promises.

use std::time::Duration;

use raincheck_core::decide::Claimer;
use raincheck_core::id::Nonce;
use raincheck_core::job::{AttemptOutcome, Outcome};
use raincheck_core::lease::WorkerKind;
use raincheck_core::name::WorkerName;
use raincheck_core::queue::Worker;
use raincheck_core::store::{Claim, Store};

use crate::testing::{Setup, promises, queue_name, soon};

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
