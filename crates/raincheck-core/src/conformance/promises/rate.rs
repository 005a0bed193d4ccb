//! Promises about rates: so many start in so much time, and no more, whoever asks and however often.

use super::kit::{Draft, Kit, TERM, Take, fail_after, h, ms, release, s, succeed};
use crate::limit::{Held, HeldBy};
use crate::queue::QueueSpec;

async fn rated(kit: &Kit, rate: &str, burst: Option<u32>) {
    let spec = QueueSpec {
        rate: Some(rate.parse().expect("promises write rates well")),
        burst,
        ..QueueSpec::default()
    };
    kit.put("q", spec).await;
}

pub async fn a_burst_starts_at_once_and_then_one_each_interval(kit: Kit) {
    rated(&kit, "2/s", Some(3)).await;
    kit.submit_many(&Draft::default(), 20).await;
    assert_eq!(kit.claim_up_to(9).await.len(), 3);
    assert!(kit.claim_up_to(9).await.is_empty());
    kit.advance(ms(499));
    assert!(kit.claim_up_to(9).await.is_empty(), "not a millisecond early");
    kit.advance(ms(1));
    assert_eq!(kit.claim_up_to(9).await.len(), 1);
    kit.advance(s(1));
    assert_eq!(
        kit.claim_up_to(1).await.len(),
        1,
        "what a claim does not want is left"
    );
    assert_eq!(kit.claim_up_to(9).await.len(), 1);
    kit.advance(h(1));
    assert_eq!(
        kit.claim_up_to(9).await.len(),
        3,
        "idle time saves up no more than the burst"
    );
}

pub async fn one_seconds_worth_is_the_burst_unless_written(kit: Kit) {
    rated(&kit, "4/s", None).await;
    kit.submit_many(&Draft::default(), 20).await;
    assert_eq!(kit.claim_up_to(9).await.len(), 4);
    rated(&kit, "6/m", None).await;
    kit.advance(h(1));
    assert_eq!(kit.claim_up_to(9).await.len(), 1);
}

pub async fn no_end_of_an_attempt_gives_a_start_back(kit: Kit) {
    rated(&kit, "1/h", Some(4)).await;
    kit.submit_many(&Draft::default(), 20).await;
    let held = kit.claim_up_to(4).await;
    for (leased, end) in held.iter().zip([succeed("yes"), release(s(0)), fail_after(s(0))]) {
        kit.settle(&leased.job, end).await.expect("the lease is held");
    }
    kit.advance(TERM);
    kit.reclaim().await;
    assert!(kit.claim_up_to(9).await.is_empty());
}

pub async fn claims_at_the_same_time_respect_the_rate(kit: Kit) {
    rated(&kit, "1/m", Some(5)).await;
    kit.submit_many(&Draft::default(), 40).await;
    let take = Take {
        count: 2,
        ..Take::default()
    };
    let answers: Vec<_> = (0..10)
        .map(|_| kit.store.claim(&kit.ns, kit.claim(&take)))
        .collect();
    let mut claimed = 0;
    for answer in answers {
        claimed += answer.await.expect("the store answers").len();
    }
    assert_eq!(claimed, 5);
}

pub async fn a_rate_counts_what_started_not_what_was_asked_for(kit: Kit) {
    rated(&kit, "1/m", Some(2)).await;
    for _ in 0..20 {
        assert!(kit.claim_up_to(9).await.is_empty());
    }
    kit.submit_many(&Draft::default(), 1).await;
    assert_eq!(kit.claim_up_to(9).await.len(), 1);
    kit.submit_many(&Draft::default(), 3).await;
    assert_eq!(kit.claim_up_to(9).await.len(), 1);
}

pub async fn a_changed_rate_holds_from_the_next_claim_on(kit: Kit) {
    rated(&kit, "1/h", Some(5)).await;
    kit.submit_many(&Draft::default(), 30).await;
    assert_eq!(kit.claim_up_to(9).await.len(), 5);
    rated(&kit, "1/s", Some(1)).await;
    assert!(kit.claim_up_to(9).await.is_empty());
    kit.advance(s(1));
    assert_eq!(
        kit.claim_up_to(9).await.len(),
        1,
        "what the former rate would have held back for hours"
    );
    kit.put("q", QueueSpec::default()).await;
    assert_eq!(kit.claim_up_to(9).await.len(), 9, "no rate, no bound");
}

pub async fn a_waiting_job_says_that_a_rate_holds_it_and_until_when(kit: Kit) {
    rated(&kit, "1/m", None).await;
    kit.submit_many(&Draft::default(), 3).await;
    let waiting = kit.submit(Draft::default()).await;
    let waiting = kit.get(waiting).await;
    let held = async || {
        let standing = kit.store.standing(&kit.ns, &waiting).await;
        let standing = standing.expect("the store answers").expect("the queue is there");
        standing.held
    };
    assert_eq!(held().await, None);
    let now = kit.store.now();
    kit.claim_up_to(1).await;
    let until = Some(now.plus(s(60)));
    assert_eq!(
        held().await,
        Some(Held {
            by: HeldBy::Rate,
            until
        })
    );
    kit.advance(s(60));
    assert_eq!(held().await, None);
}
