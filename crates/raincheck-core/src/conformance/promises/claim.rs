//! Promises about claims: who gets which jobs, how many, and what a claim has counted before the work begins.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::kit::{Draft, Kit, TERM, Take, fail_after, h, input, lease, ms, queue_name, release, s, succeed};
use crate::decide;
use crate::id::{Fence, JobId};
use crate::job::{Job, Options};
use crate::lease::{LEASE_MAX, LEASE_MIN, WorkerKind};
use crate::queue::QueueSpec;
use crate::store::Leased;

fn ids(leased: &[Leased]) -> BTreeSet<JobId> {
    leased.iter().map(|leased| leased.job.id).collect()
}

pub async fn a_claim_counts_the_attempt_before_the_work_begins(kit: Kit) {
    kit.q().await;
    let id = kit.submit(Draft::default()).await;
    let waiting = kit.get(id).await;
    kit.advance(s(3));
    for kind in [
        WorkerKind::Push,
        WorkerKind::Pull,
        WorkerKind::Process,
        WorkerKind::Function,
    ] {
        let before = kit.get(id).await;
        let take = Take {
            kind,
            claim_id: Some("c1"),
            ..Take::default()
        };
        let claim = kit.claim(&take);
        let (claimer, nonce) = (claim.claimer.clone(), claim.nonces[0]);
        let leased = kit.store.claim(&kit.ns, claim).await.expect("the store answers");
        let policy =
            crate::queue::Queue::new(kit.ns.clone(), queue_name("q"), QueueSpec::default(), kit.now())
                .policy(&before.options);
        let expected = decide::claim(&before, &claimer, nonce, &policy, kit.now());
        assert_eq!(
            Some(&*leased[0].job),
            expected.as_ref(),
            "the store keeps what was decided"
        );
        assert_eq!(kit.get(id).await, leased[0].job, "and shows it to everybody");
        assert_eq!(leased[0].job.attempt, before.attempt + 1);
        kit.settle(&leased[0].job, fail_after(s(0)))
            .await
            .expect("the lease is held");
        kit.advance(s(600));
    }
    assert_eq!(waiting.attempt, 0);
}

pub async fn a_claim_brings_the_input(kit: Kit) {
    kit.q().await;
    let draft = Draft {
        body: bytes::Bytes::from_static(b"\0\xff picture"),
        ..Draft::default()
    };
    kit.submit(draft.clone()).await;
    let leased = kit.claim_up_to(1).await.pop().expect("the job is there");
    assert_eq!(leased.input, input(&draft.body));
    kit.settle(&leased.job, release(s(0)))
        .await
        .expect("the lease is held");
    let again = kit.claim_up_to(1).await.pop().expect("the job is there again");
    assert_eq!(
        again.input,
        input(&draft.body),
        "every attempt sees the same input"
    );
}

pub async fn a_claim_takes_no_more_than_it_brings_nonces(kit: Kit) {
    kit.q().await;
    kit.submit_many(&Draft::default(), 7).await;
    for (asked, got) in [(1, 1), (4, 4), (100, 2), (1, 0)] {
        assert_eq!(kit.claim_up_to(asked).await.len(), got);
    }
}

pub async fn every_lease_has_one_of_the_nonces_that_came(kit: Kit) {
    kit.q().await;
    kit.submit_many(&Draft::default(), 5).await;
    let claim = kit.claim(&Take {
        count: 5,
        ..Take::default()
    });
    let nonces: BTreeSet<_> = claim.nonces.iter().map(|nonce| nonce.0).collect();
    let leased = kit.store.claim(&kit.ns, claim).await.expect("the store answers");
    let used = leased.iter().map(|leased| lease(&leased.job).nonce.0);
    assert_eq!(used.collect::<BTreeSet<_>>(), nonces);
}

pub async fn no_two_claims_get_the_same_job(kit: Kit) {
    kit.q().await;
    let all = kit.submit_many(&Draft::default(), 60).await;
    let claims: Vec<_> = (0..20)
        .map(|_| {
            kit.claim(&Take {
                count: 4,
                ..Take::default()
            })
        })
        .collect();
    let answers: Vec<_> = claims
        .into_iter()
        .map(|claim| kit.store.claim(&kit.ns, claim))
        .collect();
    let mut claimed = Vec::new();
    for answer in answers {
        claimed.extend(answer.await.expect("the store answers"));
    }
    assert_eq!(claimed.len(), all.len());
    assert_eq!(ids(&claimed), all.into_iter().collect());
}

pub async fn a_running_job_is_not_claimed_again(kit: Kit) {
    kit.q().await;
    let held = kit.running(Draft::default()).await;
    assert!(kit.claim_up_to(9).await.is_empty());
    kit.advance(h(24));
    assert!(
        kit.claim_up_to(9).await.is_empty(),
        "a lapsed lease is held until it is reclaimed"
    );
    kit.settle(&held, succeed("late, but in time"))
        .await
        .expect("the lease is held");
    assert!(
        kit.claim_up_to(9).await.is_empty(),
        "a finished job is never claimed"
    );
}

pub async fn an_unknown_queue_has_nothing_to_claim(kit: Kit) {
    assert!(kit.claim_up_to(9).await.is_empty());
    kit.put("other", QueueSpec::default()).await;
    kit.submit(Draft {
        queue: "other",
        ..Draft::default()
    })
    .await;
    assert!(kit.claim_up_to(9).await.is_empty());
}

pub async fn a_paused_queue_gives_nothing_until_it_is_resumed(kit: Kit) {
    kit.q().await;
    kit.submit_many(&Draft::default(), 2).await;
    let held = kit.claim_one().await;
    let pause = async |paused| {
        let answer = kit.store.pause(&kit.ns, &queue_name("q"), paused).await;
        answer.expect("the store answers").expect("the queue is there")
    };
    pause(true).await;
    assert!(kit.claim_up_to(9).await.is_empty());
    kit.settle(&held, succeed("yes"))
        .await
        .expect("what runs goes on");
    assert!(kit.claim_up_to(9).await.is_empty());
    pause(false).await;
    assert_eq!(kit.claim_up_to(9).await.len(), 1);
}

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

pub async fn a_leases_term_is_cut_to_its_bounds(kit: Kit) {
    let spec = QueueSpec {
        timeout: Some(h(100)),
        ..QueueSpec::default()
    };
    kit.put("q", spec).await;
    for (asked, granted) in [(ms(1), LEASE_MIN), (s(45), s(45)), (h(100), LEASE_MAX)] {
        kit.submit(Draft::default()).await;
        let leased = kit
            .take(Take {
                term: asked,
                ..Take::default()
            })
            .await;
        let held = leased[0].job.lease().expect("the job runs").clone();
        assert_eq!((held.term, held.expires_at), (granted, kit.now().plus(granted)));
    }
}

pub async fn an_attempts_time_ends_with_the_timeout_or_the_deadline(kit: Kit) {
    kit.q().await;
    let with = |timeout, deadline| {
        Draft::with(Options {
            timeout,
            deadline,
            ..Options::default()
        })
    };
    for (draft, ends) in [
        (with(None, None), s(300)),
        (with(Some(s(7)), None), s(7)),
        (with(Some(s(7)), Some(s(5))), s(5)),
        (with(None, Some(h(1))), s(300)),
    ] {
        let held = kit.running(draft).await;
        let held = held.lease().expect("the job runs");
        assert_eq!(held.attempt_deadline, kit.now().plus(ends));
        assert_eq!(
            held.expires_at,
            kit.now().plus(TERM.min(ends)),
            "no lease passes it"
        );
    }
}

pub async fn the_fence_grows_with_every_claim(kit: Kit) {
    kit.put(
        "q",
        QueueSpec {
            max_attempts: Some(9),
            ..QueueSpec::default()
        },
    )
    .await;
    let id = kit.submit(Draft::default()).await;
    for n in 1..=4 {
        let held = kit.claim_one().await;
        assert_eq!((held.id, held.fence), (id, Fence(n)));
        match n {
            1 => drop(kit.settle(&held, release(s(0))).await.expect("the lease is held")),
            2 => drop(
                kit.settle(&held, fail_after(s(0)))
                    .await
                    .expect("the lease is held"),
            ),
            _ => {
                kit.advance(TERM);
                assert_eq!(kit.reclaim().await.count, 1);
            }
        }
        kit.advance(s(600));
    }
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
    limited(&kit, Some(1)).await;
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
