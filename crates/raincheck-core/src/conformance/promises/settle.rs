//! Promises about settlements: what a worker says counts once, and only under the lease it holds.

use super::kit::{
    Draft, Kit, SEED, answer, fail, fail_after, lease, ms, refuse, release, s, settle, succeed,
};
use crate::decide::{self, SettleRefused, SettleStep, Settlement};
use crate::id::{LeaseId, Nonce};
use crate::job::{AttemptOutcome, Failure, Job, Options, Outcome, State};
use crate::queue::{Policy, Queue, QueueSpec};
use crate::retry::Backoff;
use crate::store::Counts;

fn policy(job: &Job) -> Policy {
    let queue = Queue::new(
        job.namespace.clone(),
        job.queue.clone(),
        QueueSpec::default(),
        job.created_at,
    );
    queue.policy(&job.options)
}

pub async fn a_store_keeps_what_was_decided(kit: Kit) {
    kit.q().await;
    for settlement in [
        succeed("yes"),
        fail(),
        fail_after(s(5000)),
        refuse(),
        release(s(3)),
        Settlement::Release {
            delay: s(0),
            interrupted: true,
            why: None,
        },
        Settlement::Release {
            delay: s(3),
            interrupted: false,
            why: Some(Failure::new("handler-unreachable", "nobody is there")),
        },
        Settlement::Cancel,
    ] {
        let held = kit.running(Draft::default()).await;
        kit.advance(s(2));
        let sent = settle(lease(&held), settlement.clone());
        let step = decide::settle(
            &held,
            &sent.lease,
            settlement.clone(),
            sent.digest,
            &policy(&held),
            SEED,
            kit.now(),
        );
        let Ok(SettleStep::Moved { job, result }) = step else {
            panic!("{settlement:?} moves a running job");
        };
        assert_eq!(kit.settle(&held, settlement).await.as_deref(), Ok(&*job));
        let read = kit.result(held.id).await.expect("the job is there");
        assert_eq!((&*read.job, read.result.as_deref()), (&*job, result.as_deref()));
        kit.cancel(held.id).await.expect("the job is there");
    }
}

pub async fn a_success_is_final_and_its_result_stays(kit: Kit) {
    kit.q().await;
    let held = kit.running(Draft::default()).await;
    let done = kit
        .settle(&held, succeed("the picture"))
        .await
        .expect("the lease is held");
    assert_eq!(done.state(kit.now()), State::Succeeded);
    let refused = Err(SettleRefused::AlreadySettled);
    for other in [
        succeed("another picture"),
        fail(),
        refuse(),
        release(s(0)),
        Settlement::Cancel,
    ] {
        assert_eq!(kit.settle(&held, other).await, refused);
    }
    assert_eq!(kit.cancel(held.id).await, Ok(done.clone()));
    kit.advance(s(3600));
    kit.reclaim().await;
    kit.prune().await;
    assert!(kit.claim_up_to(9).await.is_empty());
    let read = kit.result(held.id).await.expect("the job is there");
    assert_eq!(
        (read.job, read.result.as_deref()),
        (done, Some(&answer("the picture")))
    );
    kit.counts_become(
        "q",
        Counts {
            succeeded: 1,
            ..Counts::default()
        },
    )
    .await;
}

pub async fn settling_twice_with_the_same_content_is_harmless(kit: Kit) {
    kit.q().await;
    for settlement in [
        succeed("yes"),
        refuse(),
        Settlement::Cancel,
        fail_after(s(60)),
        release(s(60)),
    ] {
        let held = kit.running(Draft::default()).await;
        let first = kit
            .settle(&held, settlement.clone())
            .await
            .expect("the lease is held");
        kit.advance(s(1));
        assert_eq!(kit.settle(&held, settlement.clone()).await, Ok(first.clone()));
        assert_eq!(kit.get(held.id).await, first);
        assert_eq!(
            kit.settle(&held, succeed("other")).await,
            Err(SettleRefused::AlreadySettled)
        );
        kit.cancel(held.id).await.expect("the job is there");
        let now = kit.get(held.id).await;
        assert_eq!(
            kit.settle(&held, settlement).await,
            Ok(now),
            "the job as it is then"
        );
    }
}

pub async fn settling_twice_in_one_batch_counts_once(kit: Kit) {
    kit.q().await;
    let held = kit.running(Draft::default()).await;
    let once = settle(lease(&held), fail());
    let other = settle(lease(&held), succeed("no"));
    let batch = vec![once.clone(), once, other];
    let answers = kit.store.settle(&kit.ns, batch).await.expect("the store answers");
    assert!(answers[0].is_ok());
    assert_eq!(answers[1], answers[0]);
    assert_eq!(answers[2], Err(SettleRefused::AlreadySettled));
    assert_eq!(kit.get(held.id).await.version, held.version + 1);
}

pub async fn a_settlement_is_forgotten_at_the_next_claim(kit: Kit) {
    kit.q().await;
    let first = kit.running(Draft::default()).await;
    kit.settle(&first, release(s(0)))
        .await
        .expect("the lease is held");
    let second = kit.claim_one().await;
    assert_eq!(
        kit.settle(&first, release(s(0))).await,
        Err(SettleRefused::LeaseLost)
    );
    assert_eq!(kit.get(first.id).await, second);
}

pub async fn one_lost_lease_in_a_batch_of_settlements_harms_no_other(kit: Kit) {
    kit.q().await;
    kit.submit_many(&Draft::default(), 2).await;
    let held = kit.claim_up_to(2).await;
    let lost = LeaseId {
        nonce: Nonce([0; 12]),
        ..lease(&held[0].job)
    };
    let batch = vec![
        settle(lease(&held[0].job), succeed("a")),
        settle(lost, succeed("b")),
        settle(lease(&held[1].job), succeed("c")),
    ];
    let answers = kit.store.settle(&kit.ns, batch).await.expect("the store answers");
    assert_eq!(answers[1], Err(SettleRefused::LeaseLost));
    for (leased, body) in held.iter().zip([&b"a"[..], &b"c"[..]]) {
        assert_eq!(kit.result_body(leased.job.id).await.as_deref(), Some(body));
    }
}

pub async fn a_failed_attempt_is_tried_again_after_its_backoff(kit: Kit) {
    kit.q().await;
    let backoff = Some(Backoff::Exponential {
        base: s(4),
        cap: s(10),
    });
    let options = Options {
        backoff,
        max_attempts: Some(4),
        ..Options::default()
    };
    let id = kit.submit(Draft::with(options)).await;
    for (attempt, ceiling) in [(1, 4), (2, 8), (3, 10)] {
        let held = kit.claim_one().await;
        assert_eq!((held.id, held.attempt), (id, attempt));
        let waits = kit.settle(&held, fail()).await.expect("the lease is held");
        assert!(waits.run_at >= kit.now() && waits.run_at <= kit.now().plus(s(ceiling)));
        assert_eq!(
            waits.error,
            Some(Failure::new("handler-failed", "it did not work"))
        );
        assert_eq!(
            kit.result_body(id).await,
            None,
            "a result belongs to the last answer"
        );
        if waits.run_at > kit.now() {
            kit.advance(waits.run_at.since(kit.now()) - ms(1));
            assert!(kit.claim_up_to(9).await.is_empty(), "not before its time");
            kit.advance(ms(1));
        }
    }
    let held = kit.claim_one().await;
    let done = kit.settle(&held, fail()).await.expect("the lease is held");
    assert_eq!((done.outcome(), done.attempt), (Some(Outcome::Failed), 4));
    assert_eq!(
        kit.result_body(id).await.as_deref(),
        Some(&b"what went wrong"[..])
    );
}

pub async fn a_handlers_retry_after_is_the_least_delay(kit: Kit) {
    kit.q().await;
    let held = kit.running(Draft::default()).await;
    let waits = kit
        .settle(&held, fail_after(s(7000)))
        .await
        .expect("the lease is held");
    assert_eq!(waits.run_at, kit.now().plus(s(7000)));
}

pub async fn a_job_that_its_handler_refuses_is_not_tried_again(kit: Kit) {
    kit.q().await;
    let done = kit.finished(Draft::default(), refuse()).await;
    assert_eq!((done.outcome(), done.attempt), (Some(Outcome::Failed), 1));
    assert_eq!(kit.result_body(done.id).await.as_deref(), Some(&b"why not"[..]));
}

pub async fn an_attempt_given_back_is_not_charged(kit: Kit) {
    kit.q().await;
    let id = kit
        .submit(Draft::with(Options {
            max_attempts: Some(1),
            ..Options::default()
        }))
        .await;
    for (fence, interrupted) in [(1, false), (2, true)] {
        let held = kit.claim_one().await;
        let settlement = Settlement::Release {
            delay: s(5),
            interrupted,
            why: None,
        };
        let waits = kit.settle(&held, settlement).await.expect("the lease is held");
        assert_eq!(
            (waits.attempt, waits.fence.0),
            (0, fence),
            "the fence still moves on"
        );
        assert_eq!(waits.run_at, kit.now().plus(s(5)));
        assert!(kit.claim_up_to(9).await.is_empty());
        kit.advance(s(5));
    }
    let done = kit.claim_one().await;
    assert_eq!((done.id, done.attempt, done.fence.0), (id, 1, 3));
    let outcomes: Vec<_> = done.attempts.iter().map(|attempt| attempt.outcome).collect();
    assert_eq!(outcomes, [AttemptOutcome::Released, AttemptOutcome::Interrupted]);
}

pub async fn a_document_tells_of_the_last_attempts(kit: Kit) {
    kit.q().await;
    let id = kit.submit(Draft::default()).await;
    for _ in 0..25 {
        let held = kit.claim_one().await;
        kit.advance(s(1));
        kit.settle(&held, release(s(0))).await.expect("the lease is held");
    }
    let job = kit.get(id).await;
    assert_eq!((job.attempts.len(), job.fence.0, job.attempt), (20, 25, 0));
    assert_eq!(job.attempts.last().map(|last| last.ended_at), Some(kit.now()));
}

pub async fn a_deadline_ends_the_retries(kit: Kit) {
    kit.q().await;
    let held = kit
        .running(Draft::with(Options {
            deadline: Some(s(60)),
            ..Options::default()
        }))
        .await;
    let done = kit
        .settle(&held, fail_after(s(60)))
        .await
        .expect("the lease is held");
    assert_eq!(done.outcome(), Some(Outcome::Failed));
    assert_eq!(
        done.error.as_ref().map(|error| error.code.as_str()),
        Some("timed-out")
    );
}

pub async fn a_result_without_bytes_is_a_result(kit: Kit) {
    kit.q().await;
    let empty = crate::content::JobResult::new(204, None, Vec::new(), bytes::Bytes::new());
    let done = kit
        .finished(Draft::default(), Settlement::succeed(empty.clone()))
        .await;
    let read = kit.result(done.id).await.expect("the job is there");
    assert_eq!(read.result.as_deref(), Some(&empty));
}

pub async fn a_result_comes_back_to_the_byte(kit: Kit) {
    kit.q().await;
    for len in [1, 65_535, 65_536, 65_537, 1 << 20] {
        let body: Vec<u8> = (0..len)
            .map(|i: u32| i.wrapping_mul(2_246_822_519).to_le_bytes()[3])
            .collect();
        let result = crate::content::JobResult::new(200, None, Vec::new(), body.into());
        let done = kit
            .finished(Draft::default(), Settlement::succeed(result.clone()))
            .await;
        let read = kit.result(done.id).await.expect("the job is there");
        assert!(
            read.result.as_deref() == Some(&result),
            "{len} bytes were kept as they are"
        );
    }
}
