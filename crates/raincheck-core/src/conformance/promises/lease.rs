//! Promises about leases: held until a commit ends them, and worth nothing from then on.

use std::collections::BTreeSet;

use super::kit::{Draft, Kit, SEED, TERM, Take, fail, h, lease, ms, s, succeed};
use crate::decide::{self, SettleRefused};
use crate::id::{Fence, LeaseId, Nonce};
use crate::job::{AttemptOutcome, Options, Outcome, State};
use crate::lease::WorkerKind;
use crate::queue::{Queue, QueueSpec};
use crate::retry::{Backoff, seed_for};
use crate::store::{Counts, Renew};

pub async fn a_renewal_extends_the_lease(kit: Kit) {
    kit.q().await;
    let held = kit.running(Draft::default()).await;
    kit.advance(s(20));
    let renewed = kit.renew(lease(&held), s(60)).await.expect("the lease is held");
    assert_eq!(
        (renewed.lease.term, renewed.lease.expires_at),
        (s(60), kit.now().plus(s(60)))
    );
    assert!(!renewed.cancel_requested);
    kit.advance(s(59));
    assert_eq!(kit.reclaim().await.count, 0);
    let now = kit.get(held.id).await;
    assert_eq!(now.version, held.version, "a renewal is no transition");
    assert_eq!(lease(&now), lease(&held));
    kit.advance(s(1));
    assert_eq!(kit.reclaim().await.count, 1);
}

pub async fn a_renewal_never_passes_the_attempts_time(kit: Kit) {
    kit.q().await;
    let held = kit
        .running(Draft::with(Options {
            timeout: Some(s(40)),
            ..Options::default()
        }))
        .await;
    kit.advance(s(20));
    let renewed = kit.renew(lease(&held), h(1)).await.expect("the lease is held");
    assert_eq!(renewed.lease.expires_at, kit.now().plus(s(20)));
    kit.advance(s(20));
    assert_eq!(kit.reclaim().await.count, 1);
    assert_eq!(
        kit.get(held.id).await.attempts[0].outcome,
        AttemptOutcome::TimedOut
    );
}

pub async fn a_renewals_term_is_cut_to_its_bounds(kit: Kit) {
    kit.put(
        "q",
        QueueSpec {
            timeout: Some(h(100)),
            ..QueueSpec::default()
        },
    )
    .await;
    let held = kit.running(Draft::default()).await;
    for (asked, granted) in [(ms(1), s(1)), (h(100), h(12))] {
        let renewed = kit.renew(lease(&held), asked).await.expect("the lease is held");
        assert_eq!(
            (renewed.lease.term, renewed.lease.expires_at),
            (granted, kit.now().plus(granted))
        );
    }
}

pub async fn a_lapsed_lease_lives_until_it_is_reclaimed(kit: Kit) {
    kit.q().await;
    let held = kit.running(Draft::default()).await;
    kit.advance(TERM + s(100));
    assert!(kit.renew(lease(&held), TERM).await.is_some());
    assert_eq!(kit.reclaim().await.count, 0, "the renewal saved it");
    kit.advance(TERM);
    let done = kit
        .settle(&held, succeed("late"))
        .await
        .expect("the lease is held");
    assert_eq!(done.outcome(), Some(Outcome::Succeeded));
    assert_eq!(kit.reclaim().await.count, 0);
}

pub async fn a_live_lease_is_not_reclaimed(kit: Kit) {
    kit.q().await;
    let held = kit.running(Draft::default()).await;
    kit.advance(TERM - ms(1));
    let reclaimed = kit.reclaim().await;
    assert_eq!(reclaimed.count, 0);
    assert_eq!(reclaimed.next_at, Some(kit.now().plus(ms(1))));
    assert_eq!(kit.get(held.id).await, held);
    kit.advance(ms(1));
    assert_eq!(kit.reclaim().await.count, 1);
}

pub async fn a_reclaimed_job_is_tried_again_after_its_backoff(kit: Kit) {
    kit.q().await;
    let held = kit.running(Draft::default()).await;
    kit.advance(TERM);
    assert_eq!(kit.reclaim().await.count, 1);
    let policy = Queue::new(
        kit.ns.clone(),
        held.queue.clone(),
        QueueSpec::default(),
        kit.now(),
    );
    let policy = policy.policy(&held.options);
    let expected = decide::reclaim(&held, &policy, seed_for(SEED, held.id), kit.now());
    let now = kit.get(held.id).await;
    assert_eq!(Some(&*now), expected.as_ref());
    assert_eq!(now.attempts[0].outcome, AttemptOutcome::LeaseLost);
    assert_eq!(now.attempt, 1, "the attempt stays charged");
    kit.advance(Backoff::default().ceiling(1));
    assert_eq!(kit.claim_one().await.attempt, 2);
}

pub async fn jobs_that_lost_their_worker_together_do_not_come_back_together(kit: Kit) {
    kit.q().await;
    kit.submit_many(&Draft::default(), 20).await;
    let held = kit.claim_up_to(20).await;
    kit.advance(TERM);
    kit.reclaim().await;
    let mut due = BTreeSet::new();
    for leased in held {
        due.insert(kit.get(leased.job.id).await.run_at);
    }
    assert!(due.len() > 10, "they are due at {due:?}");
}

pub async fn a_job_that_kills_its_workers_runs_out_of_attempts(kit: Kit) {
    kit.q().await;
    let id = kit
        .submit(Draft::with(Options {
            max_attempts: Some(3),
            ..Options::default()
        }))
        .await;
    for attempt in 1..=3 {
        assert_eq!(kit.claim_one().await.attempt, attempt);
        kit.advance(TERM);
        assert_eq!(kit.reclaim().await.count, 1);
        kit.advance(s(600));
    }
    assert!(kit.claim_up_to(9).await.is_empty());
    let job = kit.get(id).await;
    assert_eq!(job.outcome(), Some(Outcome::Failed));
    assert_eq!(
        job.error.as_ref().map(|error| error.code.as_str()),
        Some("lease-lost")
    );
    kit.counts_become(
        "q",
        Counts {
            failed: 1,
            ..Counts::default()
        },
    )
    .await;
}

pub async fn an_attempt_over_its_time_is_timed_out(kit: Kit) {
    kit.q().await;
    let options = Options {
        timeout: Some(s(10)),
        max_attempts: Some(1),
        ..Options::default()
    };
    let held = kit.running(Draft::with(options)).await;
    kit.advance(s(10));
    assert_eq!(kit.reclaim().await.count, 1);
    let job = kit.get(held.id).await;
    assert_eq!(job.attempts[0].outcome, AttemptOutcome::TimedOut);
    assert_eq!(
        job.error.as_ref().map(|error| error.code.as_str()),
        Some("timed-out")
    );
    assert_eq!(job.state(kit.now()), State::Failed);
}

pub async fn a_reclaimed_lease_is_fenced(kit: Kit) {
    kit.q().await;
    let zombie = kit.running(Draft::default()).await;
    kit.advance(TERM);
    kit.reclaim().await;
    let waiting = kit.get(zombie.id).await;
    let refused = async || {
        assert!(kit.renew(lease(&zombie), TERM).await.is_none());
        assert_eq!(
            kit.settle(&zombie, succeed("stale")).await,
            Err(SettleRefused::LeaseLost)
        );
        assert_eq!(kit.settle(&zombie, fail()).await, Err(SettleRefused::LeaseLost));
    };
    refused().await;
    assert_eq!(kit.get(zombie.id).await, waiting);
    kit.advance(s(600));
    let second = kit.claim_one().await;
    assert_eq!((second.id, second.fence), (zombie.id, Fence(2)));
    refused().await;
    assert_eq!(kit.get(zombie.id).await, second);
    let done = kit
        .settle(&second, succeed("fresh"))
        .await
        .expect("the lease is held");
    refused().await;
    assert_eq!(kit.get(zombie.id).await, done);
    assert_eq!(kit.result_body(zombie.id).await.as_deref(), Some(&b"fresh"[..]));
}

pub async fn a_lease_that_nobody_was_given_is_refused(kit: Kit) {
    kit.q().await;
    let held = kit.running(Draft::default()).await;
    let waiting = kit.submit(Draft::default()).await;
    let real = lease(&held);
    for forged in [
        LeaseId {
            nonce: Nonce([0; 12]),
            ..real
        },
        LeaseId {
            fence: Fence(real.fence.0 + 1),
            ..real
        },
        LeaseId {
            fence: Fence(0),
            ..real
        },
        LeaseId { job: waiting, ..real },
        LeaseId {
            job: kit.store.mint(),
            ..real
        },
    ] {
        assert!(kit.renew(forged, TERM).await.is_none(), "{forged}");
        assert_eq!(
            kit.settle_lease(forged, succeed("forged")).await,
            Err(SettleRefused::LeaseLost)
        );
    }
    assert_eq!(kit.get(held.id).await, held);
    kit.settle(&held, succeed("yes"))
        .await
        .expect("the lease is held");
}

pub async fn one_lost_lease_in_a_batch_of_renewals_harms_no_other(kit: Kit) {
    kit.q().await;
    kit.submit_many(&Draft::default(), 2).await;
    let held = kit.claim_up_to(2).await;
    kit.advance(s(20));
    let renew = |lease| Renew {
        lease,
        term: TERM,
        progress: None,
        defer: false,
    };
    let lost = LeaseId {
        nonce: Nonce([0; 12]),
        ..lease(&held[0].job)
    };
    let batch = vec![
        renew(lease(&held[0].job)),
        renew(lost),
        renew(lease(&held[1].job)),
    ];
    let renewed = kit.store.renew(&kit.ns, batch).await.expect("the store answers");
    let renewed: Vec<_> = renewed.iter().map(Option::is_some).collect();
    assert_eq!(renewed, [true, false, true]);
    kit.advance(s(20));
    assert_eq!(kit.reclaim().await.count, 0);
}

pub async fn a_reclaim_ends_no_more_than_its_limit(kit: Kit) {
    kit.q().await;
    let options = Options {
        start_before: Some(s(10)),
        ..Options::default()
    };
    kit.submit_many(&Draft::default(), 4).await;
    assert_eq!(kit.claim_up_to(4).await.len(), 4);
    kit.submit_many(&Draft::with(options), 3).await;
    kit.advance(TERM);
    let mut ended = Vec::new();
    for _ in 0..4 {
        let reclaimed = kit.store.reclaim(2, SEED).await.expect("the store answers");
        if ended.len() < 3 {
            let due = reclaimed.next_at.is_some_and(|at| at <= kit.now());
            assert!(due, "more is due: {reclaimed:?}");
        }
        ended.push(reclaimed.count);
    }
    assert_eq!(ended, [2, 2, 2, 1]);
    let nothing = kit.reclaim().await;
    assert_eq!(
        (nothing.count, nothing.next_at),
        (0, None),
        "jobs in backoff are nothing to end"
    );
}

pub async fn the_next_end_is_told(kit: Kit) {
    kit.q().await;
    assert_eq!(kit.reclaim().await.next_at, None);
    kit.submit(Draft::with(Options {
        start_before: Some(s(90)),
        ..Options::default()
    }))
    .await;
    assert_eq!(kit.reclaim().await.next_at, Some(kit.now().plus(s(90))));
    kit.put("other", QueueSpec::default()).await;
    kit.submit(Draft {
        queue: "other",
        ..Draft::default()
    })
    .await;
    let held = kit
        .take(Take {
            queue: "other",
            ..Take::default()
        })
        .await;
    assert_eq!(kit.reclaim().await.next_at, Some(kit.now().plus(TERM)));
    kit.cancel(held[0].job.id).await.expect("the job is there");
    kit.settle(&held[0].job, succeed("yes"))
        .await
        .expect("the lease is held");
    // "As far as is known": a store may still think of the lease that is over, but may not skip what is not.
    let next = kit.reclaim().await.next_at.expect("a job waits for its end");
    assert!(next <= kit.now().plus(s(90)));
}

/// A job of "q" that was pushed.
async fn pushed(kit: &Kit) -> std::sync::Arc<crate::job::Job> {
    kit.q().await;
    kit.submit(Draft::default()).await;
    let take = Take {
        kind: WorkerKind::Push,
        ..Take::default()
    };
    kit.take(take).await.remove(0).job
}

pub async fn a_lease_that_is_handed_over_runs_to_the_attempts_deadline(kit: Kit) {
    let held = pushed(&kit).await;
    kit.advance(s(10));
    let deferred = kit.defer(lease(&held)).await.expect("the lease is held");
    let deadline = deferred.lease.attempt_deadline;
    assert_eq!(
        (deferred.lease.kind, deferred.lease.expires_at),
        (WorkerKind::Deferred, deadline)
    );
    let renewed = kit.renew(lease(&held), s(1)).await.expect("the lease is held");
    assert_eq!(renewed.lease.expires_at, deadline, "no renewal shortens it");
    let now = kit.get(held.id).await;
    assert_eq!(
        (now.version, now.attempt),
        (held.version, 1),
        "it is no transition"
    );
    kit.advance(s(289));
    assert_eq!(kit.reclaim().await.count, 0);
    kit.advance(s(1));
    assert_eq!(kit.reclaim().await.count, 1);
    let job = kit.get(held.id).await;
    assert_eq!(job.attempts[0].outcome, AttemptOutcome::TimedOut);
    assert!(kit.settle(&held, succeed("late")).await.is_err());
}

pub async fn a_job_that_was_handed_over_is_settled_under_its_lease(kit: Kit) {
    let held = pushed(&kit).await;
    kit.defer(lease(&held)).await.expect("the lease is held");
    let done = kit.settle(&held, succeed("4")).await.expect("the lease is held");
    assert_eq!(
        (done.outcome(), done.attempts.len()),
        (Some(Outcome::Succeeded), 1)
    );
    assert!(
        kit.defer(lease(&held)).await.is_none(),
        "a lease that is over is handed over to nobody"
    );
}

pub async fn what_the_server_holds_is_never_shortened(kit: Kit) {
    let held = pushed(&kit).await;
    kit.renew(lease(&held), s(1)).await.expect("the lease is held");
    kit.advance(TERM - ms(1));
    assert_eq!(kit.reclaim().await.count, 0);
    assert_eq!(kit.get(held.id).await.state(kit.now()), State::Running);
}
