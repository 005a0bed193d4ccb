//! Promises of durable stores: what was acknowledged is there when the store is opened again.
//!
//! Each takes a function that opens what a closed store has kept.

use std::future::IntoFuture;
use std::sync::Arc;

use super::kit::{Draft, Kit, Take, answer, h, input, key, ms, queue_name, refuse, release, s, succeed};
use crate::conformance::Opened;
use crate::delivery::Callback;
use crate::job::{Options, Outcome};
use crate::lease::WorkerKind;
use crate::queue::QueueSpec;
use crate::secret::Secret;
use crate::store::{Counts, Missing, SubmitRefused, Submitted};

/// Opens what a closed store has kept.
pub trait Reopen<F>: Fn(Opened) -> F {}

impl<F, T: Fn(Opened) -> F> Reopen<F> for T {}

pub async fn an_accepted_job_survives<F: IntoFuture<Output = Opened>>(kit: Kit, reopen: impl Reopen<F>) {
    kit.q().await;
    let options = Options {
        start_before: Some(h(9)),
        timeout: Some(s(7)),
        deadline: Some(h(50)),
        max_attempts: Some(3),
        backoff: Some(crate::retry::Backoff::Constant { base: s(9) }),
        keep: Some(h(1)),
        tags: vec![crate::name::Tag::new("eu west").expect("a tag")],
        unique: Some(
            "\"u\";while=kept;on-conflict=replace"
                .parse()
                .expect("a unique value"),
        ),
        callback: Some(Callback::to("https://example.org/hook")),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        tracestate: Some("a=b".to_owned()),
    };
    let body = bytes::Bytes::from((0..100_000u32).map(|i| i.to_le_bytes()[0]).collect::<Vec<_>>());
    let rich = Draft {
        group: Some("tenant 7 / München"),
        priority: 1,
        options,
        body,
        ..Draft::default()
    };
    let later = Draft {
        delay: Some(h(1)),
        ..Draft::default()
    };
    let mut before = Vec::new();
    for draft in [rich, later, Draft::default()] {
        let id = kit.submit(draft.clone()).await;
        before.push((kit.get(id).await, draft.body));
    }
    let kit = kit.reopen(reopen).await;
    for (job, body) in &before {
        assert_eq!(kit.get(job.id).await, *job);
        assert_eq!(kit.store.input(&kit.ns, job.id).await, Ok(Ok(input(body))));
    }
    kit.counts_become(
        "q",
        Counts {
            scheduled: 1,
            queued: 2,
            ..Counts::default()
        },
    )
    .await;
    let mut claimed: Vec<_> = kit
        .claim_up_to(9)
        .await
        .iter()
        .map(|leased| leased.job.id)
        .collect();
    claimed.sort();
    assert_eq!(
        claimed,
        [before[0].0.id, before[2].0.id],
        "they are claimable as before"
    );
    kit.advance(h(1));
    assert_eq!(kit.claim_one().await.id, before[1].0.id);
}

pub async fn the_order_of_a_group_survives<F: IntoFuture<Output = Opened>>(kit: Kit, reopen: impl Reopen<F>) {
    kit.q().await;
    let mut expected = kit.submit_many(&Draft::default(), 3).await;
    let urgent = kit
        .submit(Draft {
            priority: 0,
            ..Draft::default()
        })
        .await;
    let idle = kit
        .submit(Draft {
            priority: 9,
            ..Draft::default()
        })
        .await;
    expected.insert(0, urgent);
    expected.push(idle);
    let kit = kit.reopen(reopen).await;
    let claimed: Vec<_> = kit
        .claim_up_to(9)
        .await
        .iter()
        .map(|leased| leased.job.id)
        .collect();
    assert_eq!(claimed, expected);
}

pub async fn a_finished_job_and_its_result_survive<F: IntoFuture<Output = Opened>>(
    kit: Kit,
    reopen: impl Reopen<F>,
) {
    kit.q().await;
    let succeeded = kit.finished(Draft::default(), succeed("the picture")).await;
    let failed = kit.finished(Draft::default(), refuse()).await;
    let waiting = kit.submit(Draft::default()).await;
    let cancelled = kit.cancel(waiting).await.expect("the job is there");
    let retried = kit.retry(failed.id).await.expect("the job is done");
    let failed = kit.get(failed.id).await;
    let kit = kit.reopen(reopen).await;
    for (job, result) in [
        (succeeded, Some("the picture")),
        (failed.clone(), Some("why not")),
        (cancelled, None),
    ] {
        let read = kit.result(job.id).await.expect("the job is there");
        assert_eq!(
            (read.job, read.result.as_deref()),
            (job, result.map(answer).as_ref())
        );
    }
    assert_eq!(
        kit.retry(failed.id).await,
        Ok(retried),
        "an unfinished retry is still known"
    );
    let counts = Counts {
        queued: 1,
        succeeded: 1,
        failed: 1,
        cancelled: 1,
        ..Counts::default()
    };
    kit.counts_become("q", counts).await;
}

pub async fn idempotency_keys_survive<F: IntoFuture<Output = Opened>>(kit: Kit, reopen: impl Reopen<F>) {
    kit.q().await;
    let waiting = kit.submit(Draft::keyed("waiting", 1)).await;
    let deleted = kit.submit(Draft::keyed("deleted", 1)).await;
    kit.cancel(deleted).await.expect("the job is there");
    kit.delete(deleted).await.expect("the job is done");
    let kit = kit.reopen(reopen).await;
    let batch = [
        Draft::keyed("waiting", 1),
        Draft::keyed("waiting", 2),
        Draft::keyed("deleted", 1),
    ];
    let answers: Vec<_> = kit
        .try_submit(&batch)
        .await
        .into_iter()
        .map(|(_, answer)| answer)
        .collect();
    assert_eq!(
        answers[0],
        Ok(Submitted::Replayed(Ok(kit.get(waiting).await), waiting))
    );
    assert_eq!(answers[1], Err(SubmitRefused::IdempotencyMismatch));
    assert_eq!(
        answers[2],
        Ok(Submitted::Replayed(Err(Missing::Deleted), deleted))
    );
    let idempotency = key(&Draft::keyed("new", 1)).expect("the draft has a key");
    assert_eq!(
        kit.store.replay(&kit.ns, &queue_name("q"), idempotency).await,
        Ok(None)
    );
}

pub async fn unique_values_survive<F: IntoFuture<Output = Opened>>(kit: Kit, reopen: impl Reopen<F>) {
    kit.q().await;
    let unique = |asked: &str| {
        Draft::with(Options {
            unique: Some(asked.parse().expect("promises ask well")),
            max_attempts: Some(1),
            ..Options::default()
        })
    };
    let freed = kit.finished(unique(r#""freed""#), refuse()).await;
    let kept = kit.finished(unique(r#""kept";while=kept"#), refuse()).await;
    let interrupted = kit.submit(unique(r#""interrupted""#)).await;
    let process = Take {
        kind: crate::lease::WorkerKind::Process,
        ..Take::default()
    };
    assert_eq!(kit.take(process).await[0].job.id, interrupted);
    let waiting = kit.submit(unique(r#""waiting""#)).await;
    let attached = Draft {
        key: Some(("k", 1)),
        ..unique(r#""waiting";on-conflict=attach"#)
    };
    kit.try_submit(std::slice::from_ref(&attached)).await;
    let kit = kit.reopen(reopen).await;
    assert_eq!(kit.get(interrupted).await.outcome(), Some(Outcome::Failed));
    let values = ["freed", "kept", "interrupted", "waiting"];
    let batch = values.map(|value| unique(&format!("\"{value}\"")));
    let answers = kit.try_submit(&batch).await;
    let told: Vec<_> = answers.into_iter().map(|(_, answer)| answer).collect();
    let held = |holder| Err(SubmitRefused::UniqueConflict { holder });
    let created = || Ok(Submitted::Created);
    assert_eq!(told, [created(), held(kept.id), created(), held(waiting)]);
    assert!(kit.get(freed.id).await.done());
    let again = kit.try_submit(&[attached]).await.remove(0).1;
    assert_eq!(
        again,
        Ok(Submitted::Replayed(Ok(kit.get(waiting).await), waiting)),
        "an attached key survives"
    );
}

pub async fn tombstones_survive_and_end<F: IntoFuture<Output = Opened>>(kit: Kit, reopen: impl Reopen<F>) {
    kit.q().await;
    let deleted = kit.finished(Draft::default(), succeed("yes")).await.id;
    let pruned = kit.finished(Draft::default(), succeed("yes")).await.id;
    kit.delete(deleted).await.expect("the job is done");
    kit.advance(h(24) - ms(1));
    let kit = kit.reopen(&reopen).await;
    assert_eq!(kit.find(deleted).await, Err(Missing::Deleted));
    kit.advance(ms(1));
    kit.prune().await;
    let kit = kit.reopen(&reopen).await;
    assert_eq!(kit.find(deleted).await, Err(Missing::Unknown));
    assert_eq!(kit.find(pruned).await, Err(Missing::Expired));
    kit.counts_become("q", Counts::default()).await;
    kit.advance(h(24));
    assert_eq!(kit.prune().await, 1);
}

pub async fn queues_survive<F: IntoFuture<Output = Opened>>(kit: Kit, reopen: impl Reopen<F>) {
    let spec = QueueSpec {
        concurrency: Some(2),
        depth: Some(9),
        timeout: Some(s(61)),
        max_attempts: Some(2),
        ..QueueSpec::default()
    };
    kit.put("a", spec).await;
    kit.put("b", QueueSpec::default()).await;
    kit.put("gone", QueueSpec::default()).await;
    kit.advance(s(1));
    kit.store
        .pause(&kit.ns, &queue_name("b"), true)
        .await
        .expect("the store answers")
        .expect("it is there");
    kit.store
        .delete_queue(&kit.ns, &queue_name("gone"))
        .await
        .expect("the store answers")
        .expect("it is empty");
    let before = kit.store.queues(&kit.ns).await.expect("the store answers");
    let kit = kit.reopen(reopen).await;
    let mut expected = before;
    for status in &mut expected {
        // Whoever managed a queue says so anew.
        Arc::make_mut(&mut status.queue).managed = false;
    }
    assert_eq!(kit.store.queues(&kit.ns).await, Ok(expected));
    kit.submit_many(
        &Draft {
            queue: "a",
            ..Draft::default()
        },
        5,
    )
    .await;
    assert_eq!(
        kit.take(Take {
            queue: "a",
            count: 9,
            ..Take::default()
        })
        .await
        .len(),
        2
    );
    kit.submit(Draft {
        queue: "b",
        ..Draft::default()
    })
    .await;
    assert!(
        kit.take(Take {
            queue: "b",
            ..Take::default()
        })
        .await
        .is_empty(),
        "a pause is durable"
    );
}

pub async fn a_queue_is_managed_only_while_its_configuration_runs<F: IntoFuture<Output = Opened>>(
    kit: Kit,
    reopen: impl Reopen<F>,
) {
    let (ns, name) = (kit.ns.clone(), queue_name("q"));
    let managed = QueueSpec {
        depth: Some(9),
        ..QueueSpec::default()
    };
    let put = kit.store.put_queue(&ns, &name, managed.clone(), true);
    assert!(put.await.expect("the store answers").expect("it is new").managed);
    let kit = kit.reopen(reopen).await;
    let status = kit.store.queue(&ns, &name).await.expect("the store answers");
    let queue = status.expect("the queue is there").queue;
    assert_eq!((&queue.spec, queue.managed), (&managed, false));
    kit.put("q", QueueSpec::default()).await;
}

pub async fn waiting_jobs_still_become_overdue_after_opening<F: IntoFuture<Output = Opened>>(
    kit: Kit,
    reopen: impl Reopen<F>,
) {
    kit.q().await;
    let id = kit
        .submit(Draft::with(Options {
            start_before: Some(s(10)),
            ..Options::default()
        }))
        .await;
    let held = kit
        .running(Draft {
            priority: 0,
            ..Draft::default()
        })
        .await;
    kit.settle(&held, release(s(5))).await.expect("the lease is held");
    let kit = kit.reopen(reopen).await;
    assert_eq!(kit.reclaim().await.next_at, Some(kit.now().plus(s(10))));
    kit.advance(s(10));
    assert_eq!(kit.reclaim().await.count, 1);
    assert_eq!(kit.get(id).await.outcome(), Some(Outcome::Expired));
    assert_eq!(kit.claim_one().await.id, held.id);
}

pub async fn retentions_still_end_after_opening<F: IntoFuture<Output = Opened>>(
    kit: Kit,
    reopen: impl Reopen<F>,
) {
    kit.q().await;
    let done = kit.finished(Draft::default(), succeed("yes")).await;
    let kit = kit.reopen(reopen).await;
    kit.advance(h(24) - ms(1));
    assert_eq!(kit.prune().await, 0);
    kit.advance(ms(1));
    assert_eq!(kit.prune().await, 1);
    assert_eq!(kit.find(done.id).await, Err(Missing::Expired));
}

pub async fn ids_keep_growing_after_opening<F: IntoFuture<Output = Opened>>(
    kit: Kit,
    reopen: impl Reopen<F>,
) {
    kit.q().await;
    let ids = kit.submit_many(&Draft::default(), 50).await;
    let kit = kit.reopen(&reopen).await;
    let next = kit.submit(Draft::default()).await;
    assert!(ids.iter().all(|id| id.seq() < next.seq()));
    let kit = kit.reopen(&reopen).await;
    assert!(kit.store.mint().seq() > next.seq());
}

pub async fn what_a_namespace_signs_with_survives<F: IntoFuture<Output = Opened>>(
    kit: Kit,
    reopen: impl Reopen<F>,
) {
    let mut kept = None;
    for byte in 1..4 {
        let rotated = kit.store.rotate_secret(&kit.ns, Secret::new([byte; 32]));
        kept = Some(rotated.await.expect("the store answers"));
        kit.advance(s(u64::from(byte)));
    }
    let kit = kit.reopen(reopen).await;
    let asked = kit.store.signing_secrets(&kit.ns, Secret::new([9; 32]));
    assert_eq!(asked.await.ok(), kept);
}

pub async fn webhooks_survive<F: IntoFuture<Output = Opened>>(kit: Kit, reopen: impl Reopen<F>) {
    kit.q().await;
    let with_callback = Draft::with(Options {
        callback: Some(Callback::to("https://example.org/")),
        max_attempts: Some(1),
        ..Options::default()
    });
    kit.finished(with_callback.clone(), succeed("yes")).await;
    let tried = kit.store.claim_deliveries(9).await.expect("the store answers");
    kit.submit(with_callback).await;
    let take = Take {
        kind: WorkerKind::Push,
        ..Take::default()
    };
    let pushed = kit.take(take).await.remove(0).job;
    let kit = kit.reopen(reopen).await;
    let listed = kit
        .store
        .deliveries(&kit.ns, None, 9)
        .await
        .expect("the store answers");
    assert_eq!(
        listed[0].id.job(),
        Some(pushed.id),
        "what opening ends tells of it"
    );
    assert_eq!(listed[1], tried.due[0].delivery);
    kit.advance(s(60));
    let due = kit.store.claim_deliveries(9).await.expect("the store answers");
    assert_eq!(due.due.len(), 2, "the try of the former process is made again");
}

pub async fn an_empty_store_opens_again<F: IntoFuture<Output = Opened>>(kit: Kit, reopen: impl Reopen<F>) {
    let kit = kit.reopen(&reopen).await;
    assert_eq!(kit.store.queues(&kit.ns).await, Ok(Vec::new()));
    let kit = kit.reopen(&reopen).await;
    kit.q().await;
    kit.running(Draft::default()).await;
}
