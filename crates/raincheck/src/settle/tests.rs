//! What settling promises.

use std::sync::atomic::Ordering;
use std::time::Duration;

use raincheck_core::content::JobResult;
use raincheck_core::decide::Claimer;
use raincheck_core::id::Nonce;
use raincheck_core::job::{AttemptOutcome, Failure, Outcome};
use raincheck_core::lease::WorkerKind;
use raincheck_core::name::WorkerName;
use raincheck_core::queue::Worker;
use raincheck_core::store::{Claim, Leased};

use super::*;
use crate::tasks::{Group, TaskKind};
use crate::testing::faulty::Op;
use crate::testing::{Setup, eventually, promises, queue_name, soon, text};

promises! {
    settlements_that_come_together_share_a_step
    one_that_cannot_be_settled_harms_no_other
    those_that_end_while_the_store_settles_others_are_handed_over
    the_same_settlement_twice_is_harmless
    a_settlement_is_dropped_when_its_lease_lapses_before_the_store_is_back
    a_failed_store_is_not_asked_again
}

async fn claimed(setup: &Setup, count: usize) -> Vec<Leased> {
    setup
        .queue("own", Worker::Pull, |spec| {
            spec.lease_for = Some(Duration::from_secs(1))
        })
        .await;
    for _ in 0..count {
        setup.submit("own", "").await;
    }
    let claim = Claim {
        queue: queue_name("own"),
        claimer: Claimer {
            worker: WorkerName::new("test").unwrap(),
            kind: WorkerKind::Function,
            term: Duration::from_secs(1),
            claim_id: None,
        },
        nonces: (0..count).map(|_| Nonce(rand::random())).collect(),
        running_max: None,
        passing_over: Vec::new(),
    };
    let leased = setup.store.claim(&setup.ns, claim).await.unwrap();
    assert_eq!(leased.len(), count);
    leased
}

fn succeed() -> Settlement {
    Settlement::succeed(JobResult::new(200, None, Vec::new(), "done".into()))
}

fn end_of(leased: &Leased) -> Timestamp {
    leased.job.lease().unwrap().expires_at
}

/// Hands in a success for each, lets nobody gather before all wait, and waits until all are answered.
async fn settle_together(setup: &Setup, leased: &[Leased]) {
    let (settler, gatherer) = settler(setup.store.clone(), &Randomness::default());
    let tasks = Group::new("test");
    for leased in leased {
        let (settler, ns, until) = (settler.clone(), setup.ns.clone(), end_of(leased));
        let lease = leased.job.lease_id().unwrap();
        tasks.spawn(TaskKind::Errand, async move {
            settler.settle(ns, lease, succeed(), until).await;
        });
    }
    eventually("the settlements", || gatherer.entries.len() == leased.len()).await;
    let gathering = Group::new("gathering");
    gathering.spawn(TaskKind::Service, gatherer.run(gathering.stopping().clone()));
    soon("the settlements' end", tasks.idle()).await;
    assert_eq!(gathering.shutdown(Duration::from_secs(5)).await, 0);
}

async fn settlements_that_come_together_share_a_step(setup: Setup) {
    let leased = claimed(&setup, 50).await;
    settle_together(&setup, &leased).await;
    assert_eq!(setup.store.settles.load(Ordering::SeqCst), 1);
    for leased in &leased {
        assert_eq!(text(&setup.done(leased.job.id).await), "done");
    }
}

async fn one_that_cannot_be_settled_harms_no_other(setup: Setup) {
    let leased = claimed(&setup, 5).await;
    *setup.store.unsettled.lock().unwrap() = Some(leased[2].job.id);
    settle_together(&setup, &leased).await;
    for (n, leased) in leased.iter().enumerate() {
        let outcome = setup.job(leased.job.id).await.outcome();
        assert_eq!(outcome.is_some(), n != 2, "job {n}");
    }
}

async fn those_that_end_while_the_store_settles_others_are_handed_over(setup: Setup) {
    let leased = claimed(&setup, 2).await;
    let held = setup.store.hold(Op::Settle);
    let (settler, gatherer) = settler(setup.store.clone(), &Randomness::default());
    let (tasks, gathering) = (Group::new("test"), Group::new("gathering"));
    gathering.spawn(TaskKind::Service, gatherer.run(gathering.stopping().clone()));
    for (leased, handed) in leased.iter().zip(1..) {
        let (settler, ns, until) = (settler.clone(), setup.ns.clone(), end_of(leased));
        let lease = leased.job.lease_id().unwrap();
        tasks.spawn(TaskKind::Errand, async move {
            settler.settle(ns, lease, succeed(), until).await;
        });
        eventually("the settlement at the store", || {
            setup.store.settles.load(Ordering::SeqCst) == handed
        })
        .await;
    }
    held.cancel();
    soon("the settlements' end", tasks.idle()).await;
    for leased in &leased {
        assert_eq!(text(&setup.done(leased.job.id).await), "done");
    }
    assert_eq!(gathering.shutdown(Duration::from_secs(5)).await, 0);
}

async fn the_same_settlement_twice_is_harmless(setup: Setup) {
    let leased = claimed(&setup, 1).await.remove(0);
    let settler = &setup.node.shop().settler;
    let lease = leased.job.lease_id().unwrap();
    let settle = |settlement| settler.settle(setup.ns.clone(), lease, settlement, end_of(&leased));
    let first = settle(succeed()).await.unwrap();
    assert_eq!(settle(succeed()).await.unwrap().version, first.version);
    assert_eq!(settle(Settlement::Cancel).await, None);
    assert_eq!(setup.job(leased.job.id).await.outcome(), Some(Outcome::Succeeded));
}

async fn a_settlement_is_dropped_when_its_lease_lapses_before_the_store_is_back(setup: Setup) {
    let leased = claimed(&setup, 1).await.remove(0);
    setup
        .store
        .fail(Op::Settle, StoreError::Unavailable("away".to_owned()));
    let lease = leased.job.lease_id().unwrap();
    let settled = setup
        .node
        .shop()
        .settler
        .settle(setup.ns.clone(), lease, succeed(), end_of(&leased));
    assert_eq!(soon("the answer", settled).await, None);
    assert!(setup.store.now() >= end_of(&leased));
    // The job itself is reclaimed, and offered again.
    let job = setup
        .when(leased.job.id, |job| !job.attempts.is_empty())
        .await
        .job;
    assert_eq!(job.attempts[0].outcome, AttemptOutcome::LeaseLost);
}

async fn a_failed_store_is_not_asked_again(setup: Setup) {
    let leased = claimed(&setup, 1).await.remove(0);
    setup
        .store
        .fail(Op::Settle, StoreError::Failed("the disk is gone".to_owned()));
    let lease = leased.job.lease_id().unwrap();
    let settled = setup
        .node
        .shop()
        .settler
        .settle(setup.ns.clone(), lease, succeed(), end_of(&leased));
    assert_eq!(soon("the answer", settled).await, None);
    assert_eq!(setup.store.settles.load(Ordering::SeqCst), 1);
}

#[test]
fn settlements_with_other_content_have_other_digests() {
    let failure = |detail: &str| Settlement::Fail {
        failure: Failure::new("handler-failed", detail),
        retry: None,
        result: None,
        timed_out: false,
    };
    let all = [
        succeed(),
        Settlement::succeed(JobResult::new(201, None, Vec::new(), "done".into())),
        failure("a"),
        failure("b"),
        Settlement::Release {
            delay: Duration::ZERO,
            interrupted: false,
            why: None,
        },
        Settlement::Release {
            delay: Duration::ZERO,
            interrupted: false,
            why: Some(Failure::new("handler-unreachable", "nobody is there")),
        },
        Settlement::Release {
            delay: Duration::ZERO,
            interrupted: true,
            why: None,
        },
        Settlement::Cancel,
    ];
    let digests: std::collections::HashSet<_> = all.iter().map(digest).collect();
    assert_eq!(digests.len(), all.len());
    assert_eq!(digest(&succeed()), digest(&succeed()));
}
