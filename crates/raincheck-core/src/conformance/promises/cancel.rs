//! Promises about cancelling: no new attempt once it is acknowledged, and success under the lease still wins.

use super::kit::{Draft, Kit, TERM, Take, fail, h, lease, ms, queue_name, release, s, settle, succeed};
use crate::decide::Settlement;
use crate::id::JobId;
use crate::job::{Options, Outcome, State};
use crate::lease::WorkerKind;
use crate::queue::QueueSpec;
use crate::store::{Counts, Missing};

pub async fn a_waiting_job_is_cancelled_at_once(kit: Kit) {
    kit.q().await;
    let queued = kit.submit(Draft::default()).await;
    let scheduled = kit
        .submit(Draft {
            delay: Some(s(60)),
            ..Draft::default()
        })
        .await;
    kit.advance(s(1));
    for id in [queued, scheduled] {
        let before = kit.get(id).await;
        let job = kit.cancel(id).await.expect("the job is there");
        assert_eq!(job.state(kit.now()), State::Cancelled);
        assert_eq!((job.version, job.cancel_requested), (before.version + 1, true));
        assert_eq!(kit.get(id).await, job);
    }
    kit.advance(h(1));
    assert!(
        kit.claim_up_to(9).await.is_empty(),
        "no attempt of a cancelled job ever starts"
    );
    kit.counts_become(
        "q",
        Counts {
            cancelled: 2,
            ..Counts::default()
        },
    )
    .await;
}

pub async fn a_running_job_is_asked_to_stop(kit: Kit) {
    kit.q().await;
    let held = kit.running(Draft::default()).await;
    kit.advance(s(1));
    let asked = kit.cancel(held.id).await.expect("the job is there");
    assert_eq!(asked.state(kit.now()), State::Running);
    assert_eq!((asked.version, asked.cancel_requested), (held.version + 1, true));
    assert_eq!(lease(&asked), lease(&held), "the lease is held on");
    let renewed = kit.renew(lease(&held), TERM).await.expect("the lease is held");
    assert!(renewed.cancel_requested, "its worker learns at the next renewal");
    kit.advance(s(5));
    let grace = |job: &crate::job::Job| job.lease().and_then(|lease| lease.cancel_by);
    for now in [
        kit.cancel(held.id).await.expect("the job is there"),
        kit.get(held.id).await,
    ] {
        let same = (now.version, grace(&now)) == (asked.version, grace(&asked));
        assert!(same, "asking again changes nothing");
    }
    assert!(kit.claim_up_to(9).await.is_empty());
}

pub async fn success_wins_over_a_cancel_request(kit: Kit) {
    kit.q().await;
    let held = kit.running(Draft::default()).await;
    kit.cancel(held.id).await.expect("the job is there");
    let done = kit
        .settle(&held, succeed("in time"))
        .await
        .expect("the lease is held");
    assert_eq!(
        (done.outcome(), done.cancel_requested),
        (Some(Outcome::Succeeded), true)
    );
    assert_eq!(kit.result_body(held.id).await.as_deref(), Some(&b"in time"[..]));
}

pub async fn anything_but_success_ends_cancelled_when_that_was_asked(kit: Kit) {
    kit.q().await;
    for settlement in [fail(), super::kit::refuse(), release(s(0)), Settlement::Cancel] {
        let held = kit.running(Draft::default()).await;
        kit.cancel(held.id).await.expect("the job is there");
        let done = kit.settle(&held, settlement).await.expect("the lease is held");
        assert_eq!(done.outcome(), Some(Outcome::Cancelled));
        assert_eq!(kit.result_body(held.id).await, None);
    }
    let held = kit.running(Draft::default()).await;
    kit.cancel(held.id).await.expect("the job is there");
    kit.advance(TERM);
    assert_eq!(kit.reclaim().await.count, 1);
    assert_eq!(kit.get(held.id).await.outcome(), Some(Outcome::Cancelled));
    kit.advance(h(1));
    assert!(kit.claim_up_to(9).await.is_empty());
    kit.counts_become(
        "q",
        Counts {
            cancelled: 5,
            ..Counts::default()
        },
    )
    .await;
}

pub async fn a_worker_that_does_not_stop_loses_its_lease_after_the_grace(kit: Kit) {
    kit.put(
        "q",
        QueueSpec {
            cancel_grace: Some(s(10)),
            ..QueueSpec::default()
        },
    )
    .await;
    let held = kit.running(Draft::default()).await;
    kit.cancel(held.id).await.expect("the job is there");
    kit.renew(lease(&held), h(1)).await.expect("the lease is held");
    kit.advance(s(10) - ms(1));
    assert_eq!(kit.reclaim().await.count, 0);
    kit.advance(ms(1));
    assert_eq!(kit.reclaim().await.count, 1, "no renewal passes the grace");
    assert_eq!(kit.get(held.id).await.outcome(), Some(Outcome::Cancelled));
    assert!(kit.settle(&held, succeed("too late")).await.is_err());
}

pub async fn a_finished_job_stays_as_it_is_when_cancelled(kit: Kit) {
    kit.q().await;
    let expiring = Options {
        start_before: Some(s(1)),
        ..Options::default()
    };
    let expired = kit.submit(Draft::with(expiring)).await;
    kit.advance(s(1));
    kit.reclaim().await;
    let succeeded = kit.finished(Draft::default(), succeed("yes")).await.id;
    let failed = kit.finished(Draft::default(), super::kit::refuse()).await.id;
    let cancelled = kit.submit(Draft::default()).await;
    kit.cancel(cancelled).await.expect("the job is there");
    for id in [expired, succeeded, failed, cancelled] {
        let done = kit.get(id).await;
        kit.advance(s(1));
        assert_eq!(kit.cancel(id).await, Ok(done.clone()));
        assert_eq!(kit.get(id).await, done);
    }
}

pub async fn one_unknown_id_in_a_batch_of_cancels_harms_no_other(kit: Kit) {
    kit.q().await;
    let ids = kit.submit_many(&Draft::default(), 2).await;
    let batch = vec![ids[0], kit.store.mint(), ids[1], ids[0]];
    let answers = kit.store.cancel(&kit.ns, batch).await.expect("the store answers");
    assert_eq!(answers[1], Err(Missing::Unknown));
    for n in [0, 2, 3] {
        assert_eq!(
            answers[n].as_ref().map(|job| job.outcome()),
            Ok(Some(Outcome::Cancelled))
        );
    }
    assert_eq!(answers[3], answers[0], "cancelled twice is cancelled once");
}

pub async fn a_cancel_and_a_claim_at_the_same_time_agree(kit: Kit) {
    kit.q().await;
    for _ in 0..20 {
        let id = kit.submit(Draft::default()).await;
        let claim = kit.store.claim(&kit.ns, kit.claim(&Take::default()));
        let cancel = kit.store.cancel(&kit.ns, vec![id]);
        let leased = claim.await.expect("the store answers");
        cancel
            .await
            .expect("the store answers")
            .remove(0)
            .expect("the job is there");
        let job = kit.get(id).await;
        match leased.first() {
            Some(leased) => {
                assert!(job.lease().is_some() && job.cancel_requested);
                kit.settle(&leased.job, Settlement::Cancel)
                    .await
                    .expect("the lease is held");
            }
            None => assert_eq!((job.outcome(), job.fence.0), (Some(Outcome::Cancelled), 0)),
        }
    }
}

pub async fn a_cancel_and_a_success_at_the_same_time_agree(kit: Kit) {
    kit.q().await;
    for first in [true, false] {
        let held = kit.running(Draft::default()).await;
        let success = vec![settle(lease(&held), succeed("yes"))];
        let ids: Vec<JobId> = vec![held.id];
        let (settled, cancelled) = if first {
            let settled = kit.store.settle(&kit.ns, success);
            (settled, kit.store.cancel(&kit.ns, ids))
        } else {
            let cancelled = kit.store.cancel(&kit.ns, ids);
            (kit.store.settle(&kit.ns, success), cancelled)
        };
        let settled = settled.await.expect("the store answers").remove(0);
        assert_eq!(
            settled.map(|job| job.outcome()),
            Ok(Some(Outcome::Succeeded)),
            "success wins"
        );
        cancelled
            .await
            .expect("the store answers")
            .remove(0)
            .expect("the job is there");
        assert_eq!(kit.get(held.id).await.outcome(), Some(Outcome::Succeeded));
    }
}

pub async fn purging_cancels_what_waits_and_nothing_else(kit: Kit) {
    kit.q().await;
    kit.put("other", QueueSpec::default()).await;
    let elsewhere = kit
        .submit(Draft {
            queue: "other",
            ..Draft::default()
        })
        .await;
    let done = kit.finished(Draft::default(), succeed("yes")).await;
    let held = kit.running(Draft::default()).await;
    let backoff = kit.running(Draft::default()).await;
    kit.settle(&backoff, super::kit::fail_after(h(1)))
        .await
        .expect("the lease is held");
    kit.submit_many(&Draft::of("a"), 3).await;
    kit.submit(Draft {
        delay: Some(h(1)),
        ..Draft::default()
    })
    .await;
    let mut purged = Vec::new();
    loop {
        let slice = kit
            .store
            .purge(&kit.ns, &queue_name("q"), 2)
            .await
            .expect("the store answers");
        let slice = slice.expect("the queue is there");
        purged.push(slice.count);
        if !slice.more {
            break;
        }
        assert_eq!(slice.count, 2, "a slice that leaves something is full");
    }
    assert_eq!(purged.iter().sum::<u32>(), 5);
    assert_eq!(kit.get(done.id).await, done);
    assert_eq!(kit.get(held.id).await, held);
    assert_eq!(kit.get(backoff.id).await.outcome(), Some(Outcome::Cancelled));
    assert_eq!(kit.get(elsewhere).await.state(kit.now()), State::Queued);
    assert!(kit.claim_up_to(9).await.is_empty());
    let counts = Counts {
        running: 1,
        succeeded: 1,
        cancelled: 5,
        ..Counts::default()
    };
    kit.counts_become("q", counts).await;
}

pub async fn an_endpoint_that_settles_later_has_the_grace_to_stop(kit: Kit) {
    kit.q().await;
    kit.submit(Draft::default()).await;
    let take = Take {
        kind: WorkerKind::Push,
        ..Take::default()
    };
    let held = kit.take(take).await.remove(0).job;
    kit.defer(lease(&held)).await.expect("the lease is held");
    kit.cancel(held.id).await.expect("the job is there");
    let renewed = kit.renew(lease(&held), s(60)).await.expect("the lease is held");
    assert!(renewed.cancel_requested, "a renewal tells it");
    kit.advance(s(30));
    assert_eq!(kit.reclaim().await.count, 1);
    assert_eq!(kit.get(held.id).await.outcome(), Some(Outcome::Cancelled));
}
