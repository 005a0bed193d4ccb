//! Promises about claims: who gets which jobs, how many, and what a claim has counted before the work begins.

use std::collections::BTreeSet;

use super::kit::{Draft, Kit, TERM, Take, fail_after, h, input, lease, ms, queue_name, release, s, succeed};
use crate::decide;
use crate::id::{Fence, JobId};
use crate::job::Options;
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
