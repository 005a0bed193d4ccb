//! Promises of durable stores about the attempts that run when a store is closed.

use std::future::IntoFuture;

use super::kit::{Draft, Kit, TERM, Take, fail_after, h, input, lease, ms, s, succeed};
use super::reopen::Reopen;
use crate::conformance::Opened;
use crate::decide::SettleRefused;
use crate::id::Fence;
use crate::job::{AttemptOutcome, Options, Outcome, Phase};
use crate::lease::WorkerKind;
use crate::queue::QueueSpec;
use crate::store::Counts;

pub async fn a_settlement_can_be_repeated_after_opening<F: IntoFuture<Output = Opened>>(
    kit: Kit,
    reopen: impl Reopen<F>,
) {
    kit.q().await;
    let first = kit.running(Draft::default()).await;
    let done = kit
        .settle(&first, succeed("yes"))
        .await
        .expect("the lease is held");
    let second = kit.running(Draft::default()).await;
    let waits = kit
        .settle(&second, fail_after(h(1)))
        .await
        .expect("the lease is held");
    let kit = kit.reopen(reopen).await;
    assert_eq!(kit.settle(&first, succeed("yes")).await, Ok(done));
    assert_eq!(kit.settle(&second, fail_after(h(1))).await, Ok(waits));
    assert_eq!(
        kit.settle(&first, succeed("no")).await,
        Err(SettleRefused::AlreadySettled)
    );
}

pub async fn a_pull_lease_gets_its_full_term<F: IntoFuture<Output = Opened>>(
    kit: Kit,
    reopen: impl Reopen<F>,
) {
    kit.put(
        "q",
        QueueSpec {
            concurrency: Some(1),
            ..QueueSpec::default()
        },
    )
    .await;
    let held = kit.running(Draft::default()).await;
    kit.submit(Draft::default()).await;
    kit.advance(TERM + s(60));
    let kit = kit.reopen(reopen).await;
    assert_eq!(kit.reclaim().await.count, 0);
    let now = kit.get(held.id).await;
    assert_eq!(
        (lease(&now), now.version, now.attempt),
        (lease(&held), held.version, 1)
    );
    assert_eq!(
        now.lease().map(|lease| lease.expires_at),
        Some(kit.now().plus(TERM))
    );
    assert!(kit.claim_up_to(9).await.is_empty(), "it still holds its place");
    kit.advance(TERM - ms(1));
    assert_eq!(kit.reclaim().await.count, 0);
    let done = kit
        .settle(&held, succeed("yes"))
        .await
        .expect("the lease is held");
    assert_eq!(done.outcome(), Some(Outcome::Succeeded));
    assert_eq!(kit.claim_up_to(9).await.len(), 1);
}

pub async fn a_renewed_term_survives<F: IntoFuture<Output = Opened>>(kit: Kit, reopen: impl Reopen<F>) {
    kit.q().await;
    let held = kit.running(Draft::default()).await;
    kit.renew(lease(&held), s(100)).await.expect("the lease is held");
    let kit = kit.reopen(reopen).await;
    let now = kit.get(held.id).await;
    let term = now.lease().map(|lease| (lease.term, lease.expires_at));
    assert_eq!(term, Some((s(100), kit.now().plus(s(100)))));
}

pub async fn no_full_term_passes_the_attempts_time<F: IntoFuture<Output = Opened>>(
    kit: Kit,
    reopen: impl Reopen<F>,
) {
    kit.q().await;
    let held = kit
        .running(Draft::with(Options {
            timeout: Some(s(40)),
            ..Options::default()
        }))
        .await;
    kit.advance(s(39));
    let kit = kit.reopen(reopen).await;
    kit.advance(s(1));
    assert_eq!(kit.reclaim().await.count, 1);
    assert_eq!(
        kit.get(held.id).await.attempts[0].outcome,
        AttemptOutcome::TimedOut
    );
}

pub async fn a_claim_can_be_repeated_after_opening<F: IntoFuture<Output = Opened>>(
    kit: Kit,
    reopen: impl Reopen<F>,
) {
    kit.q().await;
    kit.submit_many(&Draft::default(), 4).await;
    let named = Take {
        claim_id: Some("c1"),
        count: 2,
        ..Take::default()
    };
    let mut first: Vec<_> = kit
        .take(named.clone())
        .await
        .iter()
        .map(|leased| lease(&leased.job))
        .collect();
    let kit = kit.reopen(reopen).await;
    let mut again: Vec<_> = kit
        .take(named)
        .await
        .iter()
        .map(|leased| lease(&leased.job))
        .collect();
    first.sort_by_key(|lease| lease.job);
    again.sort_by_key(|lease| lease.job);
    assert_eq!(again, first);
}

pub async fn attempts_of_the_former_process_are_over_and_counted<F: IntoFuture<Output = Opened>>(
    kit: Kit,
    reopen: impl Reopen<F>,
) {
    kit.q().await;
    let mut held = Vec::new();
    for kind in [WorkerKind::Push, WorkerKind::Process, WorkerKind::Function] {
        kit.submit(Draft::default()).await;
        held.extend(
            kit.take(Take {
                kind,
                ..Take::default()
            })
            .await,
        );
    }
    let last = kit
        .submit(Draft::with(Options {
            max_attempts: Some(1),
            ..Options::default()
        }))
        .await;
    let last = kit
        .take(Take {
            kind: WorkerKind::Push,
            ..Take::default()
        })
        .await
        .remove(0)
        .job
        .id
        .min(last);
    let kit = kit.reopen(reopen).await;
    for leased in &held {
        let job = kit.get(leased.job.id).await;
        assert!(
            job.lease().is_none() && !job.done(),
            "it waits for its next attempt"
        );
        assert_eq!(
            (job.attempt, job.fence, job.version),
            (1, Fence(1), leased.job.version + 1)
        );
        assert_eq!(job.attempts[0].outcome, AttemptOutcome::LeaseLost);
        assert!(
            kit.settle(&leased.job, succeed("stale")).await.is_err(),
            "its lease is over"
        );
    }
    assert_eq!(
        kit.get(last).await.outcome(),
        Some(Outcome::Failed),
        "attempts run out"
    );
    kit.counts_become(
        "q",
        Counts {
            failed: 1,
            ..kit.counts("q").await
        },
    )
    .await;
    kit.advance(s(600));
    let again = kit.claim_up_to(9).await;
    assert_eq!(again.len(), 3);
    assert!(
        again
            .iter()
            .all(|leased| leased.job.attempt == 2 && leased.job.fence == Fence(2))
    );
}

pub async fn a_cancelled_attempt_of_the_former_process_ends_cancelled<F: IntoFuture<Output = Opened>>(
    kit: Kit,
    reopen: impl Reopen<F>,
) {
    kit.q().await;
    kit.submit(Draft::default()).await;
    let push = kit
        .take(Take {
            kind: WorkerKind::Push,
            ..Take::default()
        })
        .await
        .remove(0)
        .job;
    let pull = kit.running(Draft::default()).await;
    kit.cancel(push.id).await.expect("the job is there");
    kit.cancel(pull.id).await.expect("the job is there");
    let kit = kit.reopen(reopen).await;
    assert_eq!(kit.get(push.id).await.outcome(), Some(Outcome::Cancelled));
    let pull_now = kit.get(pull.id).await;
    assert!(pull_now.cancel_requested && pull_now.lease().is_some());
    kit.advance(s(30));
    assert_eq!(kit.reclaim().await.count, 1, "the grace counts from the request");
    assert_eq!(kit.get(pull.id).await.outcome(), Some(Outcome::Cancelled));
}

pub async fn a_lease_that_was_handed_over_lives_on_to_its_deadline<F: IntoFuture<Output = Opened>>(
    kit: Kit,
    reopen: impl Reopen<F>,
) {
    kit.q().await;
    kit.submit_many(&Draft::default(), 2).await;
    let take = Take {
        kind: WorkerKind::Push,
        count: 2,
        ..Take::default()
    };
    let mut held = kit.take(take).await;
    let (done, left) = (held.remove(0).job, held.remove(0).job);
    for job in [&done, &left] {
        kit.defer(lease(job)).await.expect("the lease is held");
    }
    kit.advance(s(200));
    let kit = kit.reopen(reopen).await;
    assert_eq!(kit.reclaim().await.count, 0);
    let now = kit.get(done.id).await;
    assert_eq!(
        (lease(&now), now.version, now.attempt),
        (lease(&done), done.version, 1)
    );
    let settled = kit
        .settle(&done, succeed("yes"))
        .await
        .expect("the lease is held");
    assert_eq!(
        (settled.outcome(), settled.attempts.len()),
        (Some(Outcome::Succeeded), 1)
    );
    kit.advance(s(99));
    assert_eq!(kit.reclaim().await.count, 0);
    kit.advance(s(1));
    assert_eq!(kit.reclaim().await.count, 1, "its attempt's time is over");
    assert_eq!(
        kit.get(left.id).await.attempts[0].outcome,
        AttemptOutcome::TimedOut
    );
}

pub async fn a_job_that_was_claimed_at_once_survives<F: IntoFuture<Output = Opened>>(
    kit: Kit,
    reopen: impl Reopen<F>,
) {
    kit.q().await;
    let take = Take {
        term: s(300),
        count: 2,
        ..Take::default()
    };
    let body = bytes::Bytes::from(vec![7; 100_000]);
    let large = Draft {
        group: Some("tenant 7"),
        body,
        ..Draft::default()
    };
    let waiting = kit.store.claim_when_ready(&kit.ns, kit.claim(&take));
    let sent = kit.try_submit(&[Draft::default(), large.clone()]).await;
    if waiting.await.expect("the store answers").is_empty() {
        assert_eq!(
            kit.take(take).await.len(),
            2,
            "a store that holds no claims is asked again"
        );
    }
    let mut before = Vec::new();
    for (id, _) in &sent {
        let job = kit.get(*id).await;
        assert!(matches!(job.phase, Phase::Running(_)));
        before.push(job);
    }
    let kit = kit.reopen(reopen).await;
    for (job, body) in before.iter().zip([Draft::default().body, large.body]) {
        assert_eq!(kit.get(job.id).await, *job);
        assert_eq!(kit.store.input(&kit.ns, job.id).await, Ok(Ok(input(&body))));
        assert_eq!(kit.get(job.id).await.lease_id(), Some(lease(job)));
        kit.settle(job, succeed("late"))
            .await
            .expect("the lease is held still");
    }
}
