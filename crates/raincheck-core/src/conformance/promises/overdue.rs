//! Promises about jobs that wait too long: they are ended, not started.

use super::kit::{Draft, Kit, fail_after, ms, release, s};
use crate::job::{Options, Outcome, State};
use crate::store::Counts;

fn start_before(limit: std::time::Duration) -> Draft {
    Draft::with(Options {
        start_before: Some(limit),
        ..Options::default()
    })
}

fn deadline(limit: std::time::Duration) -> Draft {
    Draft::with(Options {
        deadline: Some(limit),
        ..Options::default()
    })
}

pub async fn a_job_that_was_not_started_in_time_expires(kit: Kit) {
    kit.q().await;
    let id = kit
        .submit(Draft {
            delay: Some(s(100)),
            ..start_before(s(10))
        })
        .await;
    kit.advance(s(110) - ms(1));
    assert_eq!(kit.reclaim().await.count, 0);
    kit.advance(ms(1));
    assert_eq!(kit.reclaim().await.count, 1);
    let job = kit.get(id).await;
    assert_eq!((job.state(kit.now()), job.version), (State::Expired, 2));
    assert_eq!(kit.reclaim().await.count, 0);
    kit.counts_become(
        "q",
        Counts {
            expired: 1,
            ..Counts::default()
        },
    )
    .await;
}

pub async fn a_job_that_is_claimed_in_time_is_started_in_time(kit: Kit) {
    kit.q().await;
    let id = kit.submit(start_before(s(10))).await;
    kit.advance(s(10) - ms(1));
    let held = kit.claim_one().await;
    kit.settle(&held, fail_after(s(60)))
        .await
        .expect("the lease is held");
    kit.advance(s(600));
    assert_eq!(kit.reclaim().await.count, 0, "later attempts may start later");
    assert_eq!(kit.claim_one().await.id, id);
}

pub async fn an_overdue_job_is_not_claimed_even_before_it_is_ended(kit: Kit) {
    kit.q().await;
    kit.submit(start_before(s(10))).await;
    kit.submit(deadline(s(10))).await;
    let held = kit.submit(Draft::default()).await;
    kit.advance(s(10));
    let claimed = kit.claim_up_to(9).await;
    assert_eq!(
        claimed.iter().map(|leased| leased.job.id).collect::<Vec<_>>(),
        [held]
    );
    assert_eq!(kit.reclaim().await.count, 2);
}

pub async fn a_deadline_before_any_start_expires_the_job(kit: Kit) {
    kit.q().await;
    let id = kit.submit(deadline(s(10))).await;
    kit.advance(s(10));
    assert_eq!(kit.reclaim().await.count, 1);
    assert_eq!(kit.get(id).await.outcome(), Some(Outcome::Expired));
}

pub async fn a_deadline_between_attempts_fails_the_job(kit: Kit) {
    kit.q().await;
    let held = kit.running(deadline(s(60))).await;
    kit.settle(&held, release(s(100)))
        .await
        .expect("the lease is held");
    kit.advance(s(60));
    assert_eq!(kit.reclaim().await.count, 1);
    let job = kit.get(held.id).await;
    assert_eq!(job.outcome(), Some(Outcome::Failed));
    assert_eq!(
        job.error.as_ref().map(|error| error.code.as_str()),
        Some("timed-out")
    );
}

pub async fn a_deadline_ends_a_running_attempt(kit: Kit) {
    kit.q().await;
    let held = kit.running(deadline(s(10))).await;
    kit.advance(s(10));
    assert_eq!(kit.reclaim().await.count, 1);
    let job = kit.get(held.id).await;
    assert_eq!((job.outcome(), job.attempt), (Some(Outcome::Failed), 1));
    assert_eq!(
        job.error.as_ref().map(|error| error.code.as_str()),
        Some("timed-out")
    );
}

pub async fn the_earlier_of_two_limits_counts(kit: Kit) {
    kit.q().await;
    for (start_before, deadline) in [(s(10), s(20)), (s(20), s(10))] {
        let options = Options {
            start_before: Some(start_before),
            deadline: Some(deadline),
            ..Options::default()
        };
        kit.submit(Draft::with(options)).await;
        kit.advance(s(10) - ms(1));
        assert_eq!(kit.reclaim().await.count, 0);
        kit.advance(ms(1));
        assert_eq!(kit.reclaim().await.count, 1);
    }
}
