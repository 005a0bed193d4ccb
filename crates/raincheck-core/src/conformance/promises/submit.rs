//! Promises about accepting jobs: what was accepted is there as it was asked, what was refused left no trace.

use bytes::Bytes;

use super::kit::{Draft, Kit, Take, fail_after, h, input, key, queue_name, s};
use crate::decide::submit;
use crate::delivery::Callback;
use crate::job::{Options, State};
use crate::queue::QueueSpec;
use crate::retry::Backoff;
use crate::store::{Counts, Missing, SubmitRefused, Submitted};

pub async fn a_submitted_job_is_there_as_it_was_asked(kit: Kit) {
    kit.q().await;
    kit.advance(s(1));
    let options = Options {
        start_before: Some(s(60)),
        timeout: Some(s(7)),
        deadline: Some(h(5)),
        max_attempts: Some(3),
        backoff: Some(Backoff::Constant { base: s(9) }),
        keep: Some(h(1)),
        tags: vec![crate::name::Tag::new("eu west").expect("a tag")],
        unique: Some(
            "\"one \\\"of a kind\\\"\";while=kept"
                .parse()
                .expect("a unique value"),
        ),
        callback: Some(Callback::to("https://example.org/hook")),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        tracestate: Some("a=b".to_owned()),
    };
    let draft = Draft {
        group: Some("tenant 7 / München"),
        priority: 2,
        delay: Some(s(30)),
        options,
        ..Draft::default()
    };
    for draft in [draft, Draft::default()] {
        let submission = kit.submission(&draft);
        let (id, expected) = (submission.job.id, submit(&submission.job));
        let answers = kit
            .store
            .submit(&kit.ns, vec![submission])
            .await
            .unwrap_or_default();
        assert_eq!(answers, [Ok(Submitted::Created)]);
        assert_eq!(*kit.get(id).await, expected);
        assert_eq!(kit.store.input(&kit.ns, id).await, Ok(Ok(input(&draft.body))));
        let read = kit.result(id).await.expect("the job is there");
        assert_eq!((&*read.job, read.result), (&expected, None));
    }
}

pub async fn an_input_comes_back_to_the_byte(kit: Kit) {
    kit.q().await;
    for len in [0, 1, 255, 65_535, 65_536, 65_537, 1 << 20] {
        let body: Vec<u8> = (0..len)
            .map(|i: u32| i.wrapping_mul(2_654_435_761).to_le_bytes()[3])
            .collect();
        let id = kit
            .submit(Draft {
                body: Bytes::from(body.clone()),
                ..Draft::default()
            })
            .await;
        let read = kit.store.input(&kit.ns, id).await.expect("the store answers");
        assert!(
            read.expect("the job is there").body == body,
            "{len} bytes were kept as they are"
        );
        let leased = kit.claim_up_to(1).await;
        assert!(
            leased[0].input.body == body,
            "{len} bytes are handed over as they are"
        );
    }
}

pub async fn an_input_without_a_description_has_none(kit: Kit) {
    kit.q().await;
    let mut submission = kit.submission(&Draft::default());
    submission.input = crate::content::Input::default();
    let id = submission.job.id;
    kit.store
        .submit(&kit.ns, vec![submission])
        .await
        .expect("the store answers");
    assert_eq!(
        kit.store.input(&kit.ns, id).await,
        Ok(Ok(crate::content::Input::default()))
    );
}

pub async fn ids_grow_and_tell_the_time(kit: Kit) {
    let mut last = kit.store.mint();
    assert_eq!(last.created_at(), kit.now());
    for step in 0..200 {
        if step % 50 == 0 {
            kit.advance(s(1));
            assert_eq!(kit.store.now(), kit.now());
        }
        let next = kit.store.mint();
        assert!(
            next > last && next.seq() > last.seq(),
            "{next} comes after {last}"
        );
        last = next;
    }
    assert_eq!(last.created_at(), kit.now());
}

pub async fn a_job_of_an_unknown_queue_is_refused_and_leaves_no_trace(kit: Kit) {
    kit.q().await;
    let draft = Draft {
        queue: "other",
        ..Draft::keyed("k", 1)
    };
    let answers = kit.try_submit(&[draft.clone(), Draft::default()]).await;
    assert_eq!(answers[0].1, Err(SubmitRefused::UnknownQueue));
    assert_eq!(
        answers[1].1,
        Ok(Submitted::Created),
        "one that is refused harms no other"
    );
    assert_eq!(kit.find(answers[0].0).await, Err(Missing::Unknown));
    assert_eq!(kit.find(answers[1].0).await.map(|job| job.id), Ok(answers[1].0));
    kit.put("other", QueueSpec::default()).await;
    kit.submit(draft).await;
}

pub async fn a_missing_queue_is_created_where_that_is_asked(kit: Kit) {
    let draft = Draft {
        create_queue: true,
        ..Draft::default()
    };
    kit.submit_many(&draft, 2).await;
    let status = kit
        .store
        .queue(&kit.ns, &queue_name("q"))
        .await
        .expect("the store answers");
    let queue = status.expect("the queue was created").queue;
    assert_eq!(
        (&queue.spec, queue.managed, queue.paused),
        (&QueueSpec::default(), false, None)
    );
    assert_eq!(queue.created_at, kit.now());
    assert_eq!(kit.claim_up_to(9).await.len(), 2);
}

pub async fn a_queue_that_is_there_is_not_created_again(kit: Kit) {
    kit.put(
        "q",
        QueueSpec {
            depth: Some(1),
            ..QueueSpec::default()
        },
    )
    .await;
    let draft = Draft {
        create_queue: true,
        ..Draft::default()
    };
    let answers = kit.try_submit(&[draft.clone(), draft]).await;
    assert_eq!(answers[0].1, Ok(Submitted::Created));
    assert_eq!(answers[1].1, Err(SubmitRefused::QueueFull { depth: 1 }));
}

pub async fn a_full_queue_refuses_and_drops_nothing(kit: Kit) {
    kit.put(
        "q",
        QueueSpec {
            depth: Some(2),
            ..QueueSpec::default()
        },
    )
    .await;
    kit.put("other", QueueSpec::default()).await;
    let other = Draft {
        queue: "other",
        ..Draft::default()
    };
    let full = Err(SubmitRefused::QueueFull { depth: 2 });
    let batch = [Draft::default(), Draft::default(), Draft::keyed("k", 1), other];
    let answers = kit.try_submit(&batch).await;
    let told: Vec<_> = answers.iter().map(|(_, answer)| answer.clone()).collect();
    let created = Ok(Submitted::Created);
    assert_eq!(told, [created.clone(), created.clone(), full.clone(), created]);
    assert_eq!(kit.find(answers[2].0).await, Err(Missing::Unknown));
    assert_eq!(kit.try_submit(&[Draft::default()]).await[0].1, full);
    kit.counts_become(
        "q",
        Counts {
            queued: 2,
            ..Counts::default()
        },
    )
    .await;
    let held = kit.claim_one().await;
    assert_eq!(held.id, answers[0].0);
    kit.submit(Draft::keyed("k", 2)).await;
    assert_eq!(
        kit.try_submit(&[Draft::default()]).await[0].1,
        full,
        "a claimed job does not wait, the others do"
    );
}

pub async fn scheduled_jobs_and_jobs_in_backoff_count_as_depth(kit: Kit) {
    kit.put(
        "q",
        QueueSpec {
            depth: Some(1),
            ..QueueSpec::default()
        },
    )
    .await;
    let held = kit.running(Draft::default()).await;
    kit.settle(&held, fail_after(s(60)))
        .await
        .expect("the lease is held");
    let full = Err(SubmitRefused::QueueFull { depth: 1 });
    assert_eq!(kit.try_submit(&[Draft::default()]).await[0].1, full);
    kit.cancel(held.id).await.expect("the job is there");
    kit.submit(Draft {
        delay: Some(s(60)),
        ..Draft::default()
    })
    .await;
    assert_eq!(kit.try_submit(&[Draft::default()]).await[0].1, full);
}

pub async fn a_paused_queue_still_accepts(kit: Kit) {
    kit.q().await;
    kit.store
        .pause(&kit.ns, &queue_name("q"), true)
        .await
        .expect("the store answers")
        .expect("it is there");
    let id = kit.submit(Draft::default()).await;
    assert_eq!(kit.get(id).await.state(kit.now()), State::Queued);
}

pub async fn a_dropped_answer_drops_only_the_wait(kit: Kit) {
    kit.q().await;
    let submission = kit.submission(&Draft::keyed("k", 1));
    let id = submission.job.id;
    drop(kit.store.submit(&kit.ns, vec![submission]));
    let again = kit.try_submit(&[Draft::keyed("k", 1)]).await.remove(0).1;
    let Ok(Submitted::Replayed(Ok(job), first)) = again else {
        panic!("the job of the dropped answer was kept, but its repetition got {again:?}");
    };
    assert_eq!((first, job.id), (id, id));
    drop(kit.store.cancel(&kit.ns, vec![id]));
    assert!(kit.cancel(id).await.expect("the job is there").done());
}

pub async fn jobs_handed_over_at_the_same_time_are_all_kept(kit: Kit) {
    kit.q().await;
    let batches: Vec<_> = (0..64)
        .map(|_| vec![kit.submission(&Draft::default()); 1])
        .collect();
    let ids: Vec<_> = batches.iter().map(|batch| batch[0].job.id).collect();
    let answers: Vec<_> = batches
        .into_iter()
        .map(|batch| kit.store.submit(&kit.ns, batch))
        .collect();
    for answer in answers {
        assert_eq!(answer.await, Ok(vec![Ok(Submitted::Created)]));
    }
    for id in &ids {
        kit.get(*id).await;
    }
    let leased = kit
        .take(Take {
            count: 100,
            ..Take::default()
        })
        .await;
    assert_eq!(
        leased.iter().map(|leased| leased.job.id).collect::<Vec<_>>(),
        ids,
        "in the order of their ids"
    );
}

pub async fn an_empty_batch_is_answered(kit: Kit) {
    kit.q().await;
    let (store, ns) = (&kit.store, &kit.ns);
    assert_eq!(store.submit(ns, Vec::new()).await, Ok(Vec::new()));
    assert_eq!(store.cancel(ns, Vec::new()).await, Ok(Vec::new()));
    assert_eq!(store.retry(ns, Vec::new()).await, Ok(Vec::new()));
    assert_eq!(store.delete(ns, Vec::new()).await, Ok(Vec::new()));
    assert_eq!(store.renew(ns, Vec::new()).await, Ok(Vec::new()));
    assert_eq!(store.settle(ns, Vec::new()).await, Ok(Vec::new()));
    kit.submit(Draft::default()).await;
    assert!(
        kit.claim_up_to(0).await.is_empty(),
        "a claim without nonces gets nothing"
    );
    assert_eq!(key(&Draft::default()), None);
}
