//! Promises about unique values: of the jobs with one value in a queue, one at a time.

use super::kit::{Draft, Kit, Take, fail, h, queue_name, refuse, s, succeed};
use crate::decide::REPLACED;
use crate::id::JobId;
use crate::job::{Options, Outcome, State};
use crate::name::Namespace;
use crate::queue::QueueSpec;
use crate::store::{ChangeRefused, Counts, Missing, SubmitRefused, Submitted};

/// A job that asks for this.
fn unique(asked: &str) -> Draft {
    Draft::with(Options {
        unique: Some(asked.parse().expect("promises ask well")),
        ..Options::default()
    })
}

/// A job with the value `u`, held while it is active.
fn u() -> Draft {
    unique(r#""u""#)
}

async fn refused(kit: &Kit, draft: Draft) -> JobId {
    let (id, answer) = kit.try_submit(&[draft]).await.remove(0);
    let Err(SubmitRefused::UniqueConflict { holder }) = answer else {
        panic!("another job holds the value, but the answer is {answer:?}");
    };
    assert_eq!(
        kit.find(id).await,
        Err(Missing::Unknown),
        "nothing of it was stored"
    );
    holder
}

pub async fn a_second_job_with_the_value_is_refused_and_leaves_no_trace(kit: Kit) {
    kit.q().await;
    let first = kit.submit(u()).await;
    assert_eq!(refused(&kit, u()).await, first);
    kit.submit(unique(r#""other""#)).await;
    kit.submit(Draft::default()).await;
    kit.submit(Draft::default()).await;
    assert_eq!(kit.claim_up_to(9).await.len(), 4);
}

pub async fn an_active_value_is_held_until_its_job_is_done(kit: Kit) {
    kit.q().await;
    let held = kit.running(u()).await;
    assert_eq!(refused(&kit, u()).await, held.id);
    kit.settle(&held, fail()).await.expect("the lease is held");
    assert_eq!(refused(&kit, u()).await, held.id, "it waits for its next attempt");
    kit.advance(h(1));
    let held = kit.claim_one().await;
    assert_eq!(refused(&kit, u()).await, held.id);
    kit.settle(&held, succeed("yes"))
        .await
        .expect("the lease is held");
    kit.submit(u()).await;
}

pub async fn a_queued_value_is_free_from_the_first_claim_on(kit: Kit) {
    kit.q().await;
    let queued = || unique(r#""u";while=queued"#);
    let first = kit.submit(queued()).await;
    assert_eq!(refused(&kit, queued()).await, first);
    let held = kit.claim_one().await;
    let second = kit.submit(queued()).await;
    kit.settle(&held, fail()).await.expect("the lease is held");
    assert_eq!(
        refused(&kit, queued()).await,
        second,
        "a retry of its attempt does not take the value again"
    );
    kit.advance(h(1));
    assert_eq!(kit.claim_up_to(9).await.len(), 2);
    kit.submit(queued()).await;
}

pub async fn a_kept_value_is_held_until_its_job_is_forgotten(kit: Kit) {
    kit.q().await;
    let kept = || unique(r#""u";while=kept"#);
    let done = kit.finished(kept(), succeed("yes")).await;
    assert_eq!(refused(&kit, kept()).await, done.id);
    kit.delete(done.id).await.expect("the job is done");
    let waiting = kit.submit(kept()).await;
    kit.cancel(waiting).await.expect("the job is there");
    assert_eq!(
        refused(&kit, u()).await,
        waiting,
        "a cancelled job is kept as well"
    );
    kit.advance(h(24));
    kit.prune().await;
    kit.submit(u()).await;
}

pub async fn every_end_of_a_job_frees_its_value(kit: Kit) {
    kit.q().await;
    let waiting = kit.submit(u()).await;
    kit.cancel(waiting).await.expect("the job is there");
    let mut draft = u();
    draft.options.start_before = Some(s(1));
    kit.submit(draft).await;
    kit.advance(s(1));
    kit.reclaim().await;
    let mut draft = u();
    draft.options.max_attempts = Some(1);
    let held = kit.running(draft).await;
    kit.advance(h(1));
    kit.reclaim().await;
    assert_eq!(kit.get(held.id).await.outcome(), Some(Outcome::Failed));
    kit.finished(u(), refuse()).await;
    let held = kit.running(u()).await;
    kit.cancel(held.id).await.expect("the job is there");
    assert_eq!(refused(&kit, u()).await, held.id, "it still runs");
    kit.settle(&held, fail()).await.expect("the lease is held");
    kit.submit(u()).await;
    let purge = kit.store.purge(&kit.ns, &queue_name("q"), 9).await;
    purge.expect("the store answers").expect("the queue is there");
    kit.submit(u()).await;
}

pub async fn attaching_gives_the_job_that_holds_the_value(kit: Kit) {
    kit.q().await;
    let attach = || unique(r#""u";on-conflict=attach"#);
    let first = kit.submit(unique(r#""u";while=kept;on-conflict=attach"#)).await;
    for state in [State::Queued, State::Running, State::Succeeded] {
        match state {
            State::Running => drop(kit.claim_one().await),
            State::Succeeded => {
                let held = kit.get(first).await;
                kit.settle(&held, succeed("yes"))
                    .await
                    .expect("the lease is held");
            }
            State::Scheduled | State::Queued | State::Failed | State::Cancelled | State::Expired => {}
        }
        let (id, answer) = kit.try_submit(&[attach()]).await.remove(0);
        let Ok(Submitted::Attached(job)) = answer else {
            panic!("the request attaches itself, but the answer is {answer:?}");
        };
        assert_eq!((job.id, job.state(kit.now())), (first, state));
        assert_eq!(job, kit.get(first).await);
        assert_eq!(kit.find(id).await, Err(Missing::Unknown), "no job is made");
    }
    assert!(kit.claim_up_to(9).await.is_empty());
}

pub async fn replacing_cancels_a_job_that_has_not_started(kit: Kit) {
    let spec = QueueSpec {
        depth: Some(1),
        ..QueueSpec::default()
    };
    kit.put("q", spec).await;
    let mut last = kit.submit(unique(r#""u";while=queued"#)).await;
    for hold in ["queued", "active", "kept"] {
        let replace = unique(&format!(r#""u";while={hold};on-conflict=replace"#));
        let next = kit.submit(replace).await;
        let ended = kit.get(last).await;
        assert_eq!(ended.outcome(), Some(Outcome::Cancelled));
        let error = ended.error.as_ref().expect("it says why");
        assert_eq!(
            (error.code.as_str(), error.detail.contains(&next.to_string())),
            (REPLACED, true)
        );
        assert_eq!(refused(&kit, u()).await, next, "the newcomer holds the value");
        last = next;
    }
    // The queue was full all the while: who takes a place needs none.
    assert_eq!(
        kit.try_submit(&[Draft::default()]).await[0].1,
        Err(SubmitRefused::QueueFull { depth: 1 })
    );
    let delayed = Draft {
        delay: Some(h(1)),
        ..unique(r#""u";on-conflict=replace"#)
    };
    let delayed = kit.submit(delayed).await;
    kit.submit(unique(r#""u";on-conflict=replace"#)).await;
    assert!(kit.get(delayed).await.done(), "a scheduled job has not started");
    assert_eq!(kit.claim_up_to(9).await.len(), 1);
}

pub async fn a_job_that_has_started_is_not_replaced(kit: Kit) {
    kit.q().await;
    let replace = || unique(r#""u";while=kept;on-conflict=replace"#);
    let held = kit.running(replace()).await;
    assert_eq!(refused(&kit, replace()).await, held.id);
    let waiting = kit.settle(&held, fail()).await.expect("the lease is held");
    assert_eq!(
        refused(&kit, replace()).await,
        held.id,
        "it waits for its next attempt"
    );
    assert_eq!(kit.get(held.id).await, waiting);
    kit.advance(h(1));
    let held = kit.claim_one().await;
    let done = kit
        .settle(&held, succeed("yes"))
        .await
        .expect("the lease is held");
    assert_eq!(refused(&kit, replace()).await, held.id);
    assert_eq!(kit.get(held.id).await, done);
}

pub async fn a_value_belongs_to_its_queue_and_namespace(kit: Kit) {
    let stranger = kit.acting_for(Namespace::new("stranger").expect("a namespace"));
    kit.q().await;
    kit.put("other", QueueSpec::default()).await;
    stranger.q().await;
    let first = kit.submit(u()).await;
    let elsewhere = Draft {
        queue: "other",
        ..u()
    };
    kit.submit(elsewhere).await;
    let theirs = stranger.submit(u()).await;
    assert_eq!(refused(&kit, u()).await, first);
    assert_eq!(refused(&stranger, u()).await, theirs);
}

pub async fn a_key_is_looked_up_before_uniqueness(kit: Kit) {
    kit.q().await;
    let keyed = || Draft {
        key: Some(("k", 1)),
        ..u()
    };
    let first = kit.submit(keyed()).await;
    let answer = kit.try_submit(&[keyed()]).await.remove(0).1;
    assert!(
        matches!(answer, Ok(Submitted::Replayed(Ok(_), id)) if id == first),
        "{answer:?}"
    );
    let other = Draft {
        key: Some(("other", 1)),
        ..u()
    };
    assert_eq!(refused(&kit, other.clone()).await, first);
    kit.cancel(first).await.expect("the job is there");
    kit.submit(other).await;
    let answer = kit.try_submit(&[keyed()]).await.remove(0).1;
    assert!(
        matches!(answer, Ok(Submitted::Replayed(Ok(_), id)) if id == first),
        "the key still names the first job: {answer:?}"
    );
}

pub async fn a_key_that_was_attached_lives_as_long_as_its_job(kit: Kit) {
    kit.q().await;
    let attach = || Draft {
        key: Some(("k", 1)),
        ..unique(r#""u";on-conflict=attach"#)
    };
    let held = kit.running(u()).await;
    let answer = kit.try_submit(&[attach()]).await.remove(0).1;
    assert_eq!(answer, Ok(Submitted::Attached(held.clone())));
    let done = kit
        .settle(&held, succeed("yes"))
        .await
        .expect("the lease is held");
    let answer = kit.try_submit(&[attach()]).await.remove(0).1;
    assert_eq!(answer, Ok(Submitted::Replayed(Ok(done), held.id)));
    kit.delete(held.id).await.expect("the job is done");
    let answer = kit.try_submit(&[attach()]).await.remove(0).1;
    assert_eq!(answer, Ok(Submitted::Replayed(Err(Missing::Deleted), held.id)));
    kit.advance(h(24));
    kit.prune().await;
    kit.submit(attach()).await;
}

pub async fn of_many_at_the_same_time_one_gets_the_value(kit: Kit) {
    kit.q().await;
    let batches: Vec<_> = (0..64)
        .map(|_| vec![kit.submission(&u()), kit.submission(&Draft::default())])
        .collect();
    let ids: Vec<_> = batches.iter().map(|batch| batch[0].job.id).collect();
    let answers: Vec<_> = batches
        .into_iter()
        .map(|batch| kit.store.submit(&kit.ns, batch))
        .collect();
    let mut told = Vec::new();
    for answer in answers {
        let mut answer = answer.await.expect("the store answers");
        assert_eq!(
            answer.remove(1),
            Ok(Submitted::Created),
            "a conflict harms no other"
        );
        told.push(answer.remove(0));
    }
    let won: Vec<_> = ids
        .iter()
        .zip(&told)
        .filter(|(_, answer)| **answer == Ok(Submitted::Created))
        .collect();
    let [(winner, _)] = won[..] else {
        panic!("one gets the value, got {won:?}");
    };
    let lost = Err(SubmitRefused::UniqueConflict { holder: *winner });
    assert_eq!(told.iter().filter(|answer| **answer == lost).count(), 63);
    kit.counts_become(
        "q",
        Counts {
            queued: 65,
            ..Counts::default()
        },
    )
    .await;
}

pub async fn twins_in_one_batch_hold_the_value_once(kit: Kit) {
    kit.q().await;
    let replace = unique(r#""u";on-conflict=replace"#);
    let answers = kit.try_submit(&[u(), u(), replace, u()]).await;
    let told: Vec<_> = answers.iter().map(|(_, answer)| answer.clone()).collect();
    let by = |n: usize| Err(SubmitRefused::UniqueConflict { holder: answers[n].0 });
    let created = || Ok(Submitted::Created);
    assert_eq!(told, [created(), by(0), created(), by(2)]);
    let taken = kit
        .take(Take {
            count: 9,
            ..Take::default()
        })
        .await;
    let taken: Vec<_> = taken.iter().map(|leased| leased.job.id).collect();
    assert_eq!(taken, [answers[2].0]);
}

pub async fn a_retry_by_hand_takes_the_value_anew(kit: Kit) {
    kit.q().await;
    let old = kit.finished(unique(r#""u";on-conflict=replace"#), refuse()).await;
    let other = kit.submit(u()).await;
    assert_eq!(
        kit.retry(old.id).await,
        Err(ChangeRefused::Submit(SubmitRefused::UniqueConflict {
            holder: other
        })),
        "a retry replaces nobody"
    );
    assert_eq!(kit.get(old.id).await, old);
    kit.cancel(other).await.expect("the job is there");
    let new = kit.retry(old.id).await.expect("the value is free");
    assert_eq!(refused(&kit, u()).await, new.id);
}

pub async fn a_retry_by_hand_takes_a_kept_value_with_it(kit: Kit) {
    kit.q().await;
    let old = kit.finished(unique(r#""u";while=kept"#), refuse()).await;
    let new = kit.retry(old.id).await.expect("it is its own value");
    assert_eq!(refused(&kit, u()).await, new.id);
    kit.delete(old.id).await.expect("the job is done");
    assert_eq!(refused(&kit, u()).await, new.id);
    kit.cancel(new.id).await.expect("the job is there");
    assert_eq!(refused(&kit, u()).await, new.id);
    kit.delete(new.id).await.expect("the job is done");
    kit.submit(u()).await;
}
