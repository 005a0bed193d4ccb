//! Promises about idempotency keys: the same request makes the same job, for as long as anybody could ask for it.

use std::sync::Arc;

use super::kit::{Draft, Kit, h, key, ms, queue_name, s, succeed};
use crate::id::JobId;
use crate::job::{Job, Options, State};
use crate::queue::QueueSpec;
use crate::store::{Counts, Missing, SubmitRefused, Submitted};

/// The job that a repeated request was answered with.
fn replayed(answer: Result<Submitted, SubmitRefused>) -> (JobId, Result<Arc<Job>, Missing>) {
    match answer {
        Ok(Submitted::Replayed(job, id)) => (id, job),
        Ok(Submitted::Created | Submitted::Attached(_)) | Err(_) => {
            panic!("the request was made before, but got {answer:?}")
        }
    }
}

pub async fn a_repeated_request_makes_no_second_job(kit: Kit) {
    kit.q().await;
    let first = kit.submit(Draft::keyed("k", 1)).await;
    kit.advance(s(1));
    let (sent, answer) = kit.try_submit(&[Draft::keyed("k", 1)]).await.remove(0);
    let (id, job) = replayed(answer);
    assert_eq!((id, job), (first, Ok(kit.get(first).await)));
    assert_eq!(kit.find(sent).await, Err(Missing::Unknown));
    kit.counts_become(
        "q",
        Counts {
            queued: 1,
            ..Counts::default()
        },
    )
    .await;
}

pub async fn a_repeated_request_gets_the_job_as_it_is_now(kit: Kit) {
    kit.q().await;
    let running = kit.running(Draft::keyed("k", 1)).await;
    let (_, job) = replayed(kit.try_submit(&[Draft::keyed("k", 1)]).await.remove(0).1);
    assert_eq!(job.map(|job| job.state(kit.now())), Ok(State::Running));
    let done = kit
        .settle(&running, succeed("yes"))
        .await
        .expect("the lease is held");
    let (id, job) = replayed(kit.try_submit(&[Draft::keyed("k", 1)]).await.remove(0).1);
    assert_eq!((id, job), (done.id, Ok(done)));
}

pub async fn another_request_under_the_same_key_is_refused(kit: Kit) {
    kit.q().await;
    let first = kit.submit(Draft::keyed("k", 1)).await;
    let answers = kit
        .try_submit(&[Draft::keyed("k", 2), Draft::keyed("l", 2)])
        .await;
    assert_eq!(answers[0].1, Err(SubmitRefused::IdempotencyMismatch));
    assert_eq!(
        answers[1].1,
        Ok(Submitted::Created),
        "one that is refused harms no other"
    );
    assert_eq!(kit.find(answers[0].0).await, Err(Missing::Unknown));
    let (id, _) = replayed(kit.try_submit(&[Draft::keyed("k", 1)]).await.remove(0).1);
    assert_eq!(id, first, "the key still points at its job");
}

pub async fn a_key_is_looked_up_before_every_refusal(kit: Kit) {
    kit.put(
        "q",
        QueueSpec {
            depth: Some(1),
            ..QueueSpec::default()
        },
    )
    .await;
    let first = kit.submit(Draft::keyed("k", 1)).await;
    let answers = kit
        .try_submit(&[Draft::default(), Draft::keyed("k", 1), Draft::keyed("k", 2)])
        .await;
    assert_eq!(answers[0].1, Err(SubmitRefused::QueueFull { depth: 1 }));
    assert_eq!(replayed(answers[1].1.clone()).0, first);
    assert_eq!(answers[2].1, Err(SubmitRefused::IdempotencyMismatch));
    kit.cancel(first).await.expect("the job is there");
    kit.store
        .delete_queue(&kit.ns, &queue_name("q"))
        .await
        .expect("the store answers")
        .expect("it is empty");
    let answers = kit.try_submit(&[Draft::default(), Draft::keyed("k", 1)]).await;
    assert_eq!(answers[0].1, Err(SubmitRefused::UnknownQueue));
    assert_eq!(replayed(answers[1].1.clone()).0, first);
}

pub async fn a_key_belongs_to_its_queue(kit: Kit) {
    kit.q().await;
    kit.put("other", QueueSpec::default()).await;
    let here = kit.submit(Draft::keyed("k", 1)).await;
    let there = kit
        .submit(Draft {
            queue: "other",
            ..Draft::keyed("k", 2)
        })
        .await;
    assert_ne!(here, there);
}

pub async fn twins_in_one_batch_make_one_job(kit: Kit) {
    kit.q().await;
    let batch = [
        Draft::keyed("k", 1),
        Draft::default(),
        Draft::keyed("k", 1),
        Draft::keyed("k", 2),
    ];
    let answers = kit.try_submit(&batch).await;
    assert_eq!(answers[0].1, Ok(Submitted::Created));
    assert_eq!(answers[1].1, Ok(Submitted::Created));
    let (id, job) = replayed(answers[2].1.clone());
    assert_eq!((id, job), (answers[0].0, Ok(kit.get(answers[0].0).await)));
    assert_eq!(answers[3].1, Err(SubmitRefused::IdempotencyMismatch));
    assert_eq!(kit.claim_up_to(9).await.len(), 2);
}

pub async fn twins_at_the_same_time_make_one_job(kit: Kit) {
    kit.q().await;
    let twins: Vec<_> = (0..64).map(|_| kit.submission(&Draft::keyed("k", 1))).collect();
    let sent: Vec<_> = twins.iter().map(|twin| twin.job.id).collect();
    let answers: Vec<_> = twins
        .into_iter()
        .map(|twin| kit.store.submit(&kit.ns, vec![twin]))
        .collect();
    let (mut created, mut pointed_at) = (Vec::new(), Vec::new());
    for (id, answer) in sent.into_iter().zip(answers) {
        match answer.await.expect("the store answers").remove(0) {
            Ok(Submitted::Created) => created.push(id),
            answer => pointed_at.push(replayed(answer).0),
        }
    }
    assert_eq!((created.len(), pointed_at.len()), (1, 63));
    assert!(
        pointed_at.iter().all(|id| *id == created[0]),
        "every twin is told of the one job"
    );
    assert_eq!(kit.claim_up_to(9).await.len(), 1);
}

pub async fn a_refused_request_leaves_its_key_free(kit: Kit) {
    kit.put(
        "q",
        QueueSpec {
            depth: Some(1),
            ..QueueSpec::default()
        },
    )
    .await;
    let first = kit.submit(Draft::default()).await;
    let batch = [Draft::keyed("k", 1), Draft::keyed("k", 2)];
    for (_, answer) in kit.try_submit(&batch).await {
        assert_eq!(answer, Err(SubmitRefused::QueueFull { depth: 1 }));
    }
    kit.cancel(first).await.expect("the job is there");
    kit.submit(Draft::keyed("k", 3)).await;
}

pub async fn a_key_can_be_asked_for_without_submitting(kit: Kit) {
    kit.q().await;
    let ask = async |draft: Draft| {
        let idempotency = key(&draft).expect("the draft has a key");
        kit.store
            .replay(&kit.ns, &queue_name(draft.queue), idempotency)
            .await
            .expect("the store answers")
    };
    assert_eq!(ask(Draft::keyed("k", 1)).await, None);
    let first = kit.submit(Draft::keyed("k", 2)).await;
    let job = kit.get(first).await;
    assert_eq!(
        ask(Draft::keyed("k", 2)).await,
        Some(Ok(Submitted::Replayed(Ok(job), first)))
    );
    assert_eq!(
        ask(Draft::keyed("k", 1)).await,
        Some(Err(SubmitRefused::IdempotencyMismatch))
    );
    assert_eq!(
        ask(Draft {
            queue: "other",
            ..Draft::keyed("k", 2)
        })
        .await,
        None
    );
    kit.cancel(first).await.expect("the job is there");
    kit.delete(first).await.expect("the job is done");
    let forgotten = Some(Ok(Submitted::Replayed(Err(Missing::Deleted), first)));
    assert_eq!(ask(Draft::keyed("k", 2)).await, forgotten);
}

pub async fn a_key_of_a_forgotten_job_never_runs_it_again(kit: Kit) {
    kit.q().await;
    let deleted = kit.finished(Draft::keyed("deleted", 1), succeed("yes")).await.id;
    let pruned = kit.finished(Draft::keyed("pruned", 1), succeed("yes")).await.id;
    kit.delete(deleted).await.expect("the job is done");
    kit.advance(h(24));
    kit.prune().await;
    let answer = kit.try_submit(&[Draft::keyed("pruned", 1)]).await.remove(0).1;
    assert_eq!(replayed(answer), (pruned, Err(Missing::Expired)));
    let answer = kit.try_submit(&[Draft::keyed("pruned", 2)]).await.remove(0).1;
    assert_eq!(answer, Err(SubmitRefused::IdempotencyMismatch));
    assert!(kit.claim_up_to(9).await.is_empty());
}

pub async fn a_key_lives_as_long_as_the_tombstone_of_its_job(kit: Kit) {
    kit.q().await;
    let done = kit.finished(Draft::keyed("k", 1), succeed("yes")).await.id;
    kit.delete(done).await.expect("the job is done");
    kit.advance(h(24) - ms(1));
    kit.prune().await;
    let answer = kit.try_submit(&[Draft::keyed("k", 1)]).await.remove(0).1;
    assert_eq!(replayed(answer), (done, Err(Missing::Deleted)));
    kit.advance(ms(1));
    kit.prune().await;
    kit.submit(Draft::keyed("k", 2)).await;
}

pub async fn a_key_lives_as_long_as_its_job(kit: Kit) {
    kit.q().await;
    let options = Options {
        keep: Some(h(24 * 30)),
        ..Options::default()
    };
    let draft = Draft {
        options,
        ..Draft::keyed("k", 1)
    };
    let done = kit.finished(draft.clone(), succeed("yes")).await;
    let waiting = kit
        .submit(Draft {
            delay: Some(h(24 * 60)),
            ..Draft::keyed("w", 1)
        })
        .await;
    kit.advance(h(24 * 29));
    kit.prune().await;
    let answers = kit.try_submit(&[draft, Draft::keyed("w", 1)]).await;
    assert_eq!(replayed(answers[0].1.clone()), (done.id, Ok(done)));
    assert_eq!(replayed(answers[1].1.clone()).0, waiting);
}
