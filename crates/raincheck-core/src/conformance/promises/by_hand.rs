//! Promises about what people do to finished jobs: run them once more, or have them forgotten.

use super::kit::{Draft, Kit, fail_after, h, input, key, lease, ms, queue_name, refuse, s, settle, succeed};
use crate::decide::{self, SettleRefused, submit};
use crate::job::{Options, State};
use crate::queue::QueueSpec;
use crate::store::{ChangeRefused, Counts, Missing, Retry, SubmitRefused, Submitted};

pub async fn a_retry_is_a_new_job_with_the_same_request(kit: Kit) {
    kit.q().await;
    let options = Options {
        timeout: Some(s(7)),
        deadline: Some(h(2)),
        max_attempts: Some(2),
        keep: Some(h(9)),
        ..Options::default()
    };
    let draft = Draft {
        group: Some("a"),
        priority: 3,
        options,
        ..Draft::keyed("k", 1)
    };
    let old = kit.finished(draft.clone(), refuse()).await;
    kit.advance(h(3));
    let new_id = kit.store.mint();
    let answer = kit.store.retry(&kit.ns, vec![Retry { id: old.id, new_id }]).await;
    let new = answer
        .expect("the store answers")
        .remove(0)
        .expect("the job is done");
    let (asked, repeated) = decide::retry(&old, new_id).expect("the job is done");
    assert_eq!(*new, submit(&asked));
    assert_eq!(kit.get(new_id).await, new);
    assert_eq!(
        *kit.get(old.id).await,
        repeated,
        "the old one gains retried_as and nothing else"
    );
    assert_eq!(kit.result_body(old.id).await.as_deref(), Some(&b"why not"[..]));
    assert_eq!(kit.store.input(&kit.ns, new_id).await, Ok(Ok(input(&draft.body))));
    let replayed = kit.try_submit(&[draft]).await.remove(0).1;
    assert!(
        matches!(replayed, Ok(Submitted::Replayed(Ok(_), id)) if id == old.id),
        "a retry has no idempotency key: {replayed:?}"
    );
    assert_eq!(kit.claim_one().await.id, new_id);
}

pub async fn every_outcome_can_be_retried(kit: Kit) {
    kit.q().await;
    let succeeded = kit.finished(Draft::default(), succeed("yes")).await.id;
    let failed = kit.finished(Draft::default(), refuse()).await.id;
    let cancelled = kit.submit(Draft::default()).await;
    kit.cancel(cancelled).await.expect("the job is there");
    let start_before = Some(s(1));
    let expired = kit
        .submit(Draft::with(Options {
            start_before,
            ..Options::default()
        }))
        .await;
    kit.advance(s(1));
    kit.reclaim().await;
    for id in [succeeded, failed, cancelled, expired] {
        let new = kit.retry(id).await.expect("the job is done");
        assert_eq!((new.retry_of, new.state(kit.now())), (Some(id), State::Queued));
    }
}

pub async fn an_unfinished_job_is_not_retried(kit: Kit) {
    kit.q().await;
    let held = kit.running(Draft::default()).await;
    let waiting = kit.submit(Draft::default()).await;
    for id in [held.id, waiting] {
        let before = kit.get(id).await;
        assert_eq!(kit.retry(id).await, Err(ChangeRefused::NotDone));
        assert_eq!(kit.get(id).await, before);
    }
    assert_eq!(
        kit.retry(kit.store.mint()).await,
        Err(ChangeRefused::Missing(Missing::Unknown))
    );
    assert_eq!(kit.claim_up_to(9).await.len(), 1);
}

pub async fn a_retry_repeated_while_it_is_unfinished_is_the_same_job(kit: Kit) {
    kit.q().await;
    let old = kit.finished(Draft::default(), refuse()).await;
    let first = kit.retry(old.id).await.expect("the job is done");
    assert_eq!(kit.retry(old.id).await, Ok(first.clone()));
    let held = kit.claim_one().await;
    assert_eq!(
        (held.id, kit.retry(old.id).await),
        (first.id, Ok(held.clone())),
        "as it is now"
    );
    let version = kit.get(old.id).await.version;
    assert_eq!(version, old.version + 1, "only the first changed the old one");
    kit.settle(&held, refuse()).await.expect("the lease is held");
    let second = kit.retry(old.id).await.expect("the job is done");
    assert_ne!(second.id, first.id);
    let old = kit.get(old.id).await;
    assert_eq!((old.retried_as, old.version), (Some(second.id), version + 1));
}

pub async fn a_retry_that_was_forgotten_can_be_made_anew(kit: Kit) {
    kit.q().await;
    let old = kit.finished(Draft::default(), refuse()).await;
    let first = kit.retry(old.id).await.expect("the job is done");
    kit.cancel(first.id).await.expect("the job is there");
    kit.delete(first.id).await.expect("the job is done");
    let second = kit.retry(old.id).await.expect("the job is done");
    assert_ne!(second.id, first.id);
}

pub async fn a_batch_of_retries_is_independent(kit: Kit) {
    kit.q().await;
    let old = kit.finished(Draft::default(), refuse()).await;
    let waiting = kit
        .submit(Draft {
            delay: Some(h(1)),
            ..Draft::default()
        })
        .await;
    let again = |id| Retry {
        id,
        new_id: kit.store.mint(),
    };
    let batch = vec![
        again(waiting),
        again(old.id),
        again(kit.store.mint()),
        again(old.id),
    ];
    let answers = kit.store.retry(&kit.ns, batch).await.expect("the store answers");
    assert_eq!(answers[0], Err(ChangeRefused::NotDone));
    assert_eq!(answers[2], Err(ChangeRefused::Missing(Missing::Unknown)));
    let new = answers[1].clone().expect("the job is done");
    assert_eq!(answers[3], Ok(new.clone()), "two retries in one batch are one");
    assert_eq!(kit.get(old.id).await.retried_as, Some(new.id));
    assert_eq!(kit.claim_up_to(9).await.len(), 1);
}

pub async fn a_refused_retry_leaves_the_old_job_alone(kit: Kit) {
    kit.put(
        "q",
        QueueSpec {
            depth: Some(1),
            ..QueueSpec::default()
        },
    )
    .await;
    let old = kit.finished(Draft::default(), refuse()).await;
    let waiting = kit.submit(Draft::default()).await;
    let full = ChangeRefused::Submit(SubmitRefused::QueueFull { depth: 1 });
    assert_eq!(kit.retry(old.id).await, Err(full));
    assert_eq!(kit.get(old.id).await, old);
    kit.cancel(waiting).await.expect("the job is there");
    kit.store
        .delete_queue(&kit.ns, &queue_name("q"))
        .await
        .expect("the store answers")
        .expect("it is empty");
    assert_eq!(
        kit.retry(old.id).await,
        Err(ChangeRefused::Submit(SubmitRefused::UnknownQueue))
    );
    assert_eq!(kit.get(old.id).await, old);
}

pub async fn a_retry_keeps_its_input_when_the_old_job_is_forgotten(kit: Kit) {
    kit.q().await;
    let body = bytes::Bytes::from(vec![7; 100_000]);
    let draft = Draft {
        body: body.clone(),
        ..Draft::default()
    };
    let old = kit.finished(draft, refuse()).await;
    let new = kit.retry(old.id).await.expect("the job is done");
    kit.delete(old.id).await.expect("the job is done");
    assert_eq!(kit.store.input(&kit.ns, new.id).await, Ok(Ok(input(&body))));
    let leased = kit.claim_up_to(1).await.remove(0);
    assert!(leased.input.body == body);
    let done = kit
        .settle(&leased.job, refuse())
        .await
        .expect("the lease is held");
    let third = kit.retry(done.id).await.expect("the job is done");
    kit.delete(done.id).await.expect("the job is done");
    assert_eq!(kit.store.input(&kit.ns, third.id).await, Ok(Ok(input(&body))));
}

pub async fn a_deleted_job_is_gone_and_said_to_be(kit: Kit) {
    kit.q().await;
    let held = kit.running(Draft::keyed("k", 1)).await;
    let done = kit
        .settle(&held, succeed("yes"))
        .await
        .expect("the lease is held");
    assert_eq!(kit.delete(done.id).await, Ok(()));
    let (store, ns, id) = (&kit.store, &kit.ns, done.id);
    let gone = Missing::Deleted;
    assert_eq!(kit.find(id).await, Err(gone));
    assert_eq!(store.input(ns, id).await, Ok(Err(gone)));
    assert_eq!(kit.result(id).await.err(), Some(gone));
    assert_eq!(kit.cancel(id).await, Err(gone));
    assert_eq!(kit.retry(id).await, Err(ChangeRefused::Missing(gone)));
    assert_eq!(kit.delete(id).await, Err(ChangeRefused::Missing(gone)));
    assert_eq!(
        kit.settle(&held, succeed("yes")).await,
        Err(SettleRefused::LeaseLost)
    );
    assert!(kit.renew(lease(&held), s(30)).await.is_none());
    let idempotency = key(&Draft::keyed("k", 1)).expect("the draft has a key");
    let replayed = store.replay(ns, &queue_name("q"), idempotency).await;
    assert_eq!(replayed, Ok(Some(Ok(Submitted::Replayed(Err(gone), id)))));
    kit.counts_become("q", Counts::default()).await;
}

pub async fn a_tombstone_lasts_24_hours(kit: Kit) {
    kit.q().await;
    let id = kit.finished(Draft::default(), succeed("yes")).await.id;
    kit.advance(h(5));
    kit.delete(id).await.expect("the job is done");
    kit.advance(h(24) - ms(1));
    assert_eq!(kit.prune().await, 0);
    assert_eq!(kit.find(id).await, Err(Missing::Deleted));
    kit.advance(ms(1));
    assert_eq!(kit.prune().await, 1);
    assert_eq!(kit.find(id).await, Err(Missing::Unknown));
    assert_eq!(
        kit.delete(id).await,
        Err(ChangeRefused::Missing(Missing::Unknown))
    );
}

pub async fn an_unfinished_job_is_not_deleted(kit: Kit) {
    kit.q().await;
    let held = kit.running(Draft::default()).await;
    let queued = kit.submit(Draft::default()).await;
    let backoff = kit
        .submit(Draft {
            delay: Some(h(1)),
            ..Draft::default()
        })
        .await;
    let done = kit.submit(Draft::default()).await;
    kit.cancel(done).await.expect("the job is there");
    let batch = vec![held.id, queued, done, kit.store.mint(), backoff, done];
    let answers = kit.store.delete(&kit.ns, batch).await.expect("the store answers");
    let not_done = Err(ChangeRefused::NotDone);
    let unknown = Err(ChangeRefused::Missing(Missing::Unknown));
    let deleted = Err(ChangeRefused::Missing(Missing::Deleted));
    assert_eq!(answers, [not_done, not_done, Ok(()), unknown, not_done, deleted]);
    let batch = vec![settle(lease(&held), fail_after(s(9)))];
    let answers = kit.store.settle(&kit.ns, batch).await.expect("the store answers");
    assert!(answers[0].is_ok());
    assert_eq!(kit.claim_one().await.id, queued);
}
