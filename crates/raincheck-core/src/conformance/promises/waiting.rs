//! Promises about claims that wait: the first in line is served by the very step that makes a job claimable, and nobody twice.
//!
//! Invariant: a store that holds no claims keeps them too, by answering at once and being asked again.

use std::future::poll_fn;
use std::task::Poll;

use super::kit::{Draft, Kit, Take, queue_name, s, succeed};
use crate::id::{JobId, Nonce};
use crate::job::Options;
use crate::queue::QueueSpec;
use crate::store::{Answer, Leased, Submitted};

/// A claim that waits.
struct Waiting {
    take: Take,
    first: Nonce,
    answer: Answer<Vec<Leased>>,
}

fn wait(kit: &Kit, take: Take) -> Waiting {
    let claim = kit.claim(&take);
    let first = claim.nonces[0];
    let answer = kit.store.claim_when_ready(&kit.ns, claim);
    Waiting { take, first, answer }
}

fn ids(leased: &[Leased]) -> Vec<JobId> {
    leased.iter().map(|leased| leased.job.id).collect()
}

impl Waiting {
    /// What it is answered, or, where the store holds no claims, what it would have been.
    async fn served(self, kit: &Kit) -> Vec<JobId> {
        let leased = self.answer.await.expect("the store answers");
        if leased.is_empty() && !kit.store.holds_claims() {
            return ids(&kit.take(self.take).await);
        }
        leased.iter().for_each(|leased| {
            kit.see(&leased.job);
        });
        ids(&leased)
    }

    /// Sees that it has no answer after all that was asked before.
    async fn still_waits(&mut self, kit: &Kit) {
        kit.store.check().await.expect("the store can write");
        if kit.store.holds_claims() {
            let pending = poll_fn(|cx| Poll::Ready(self.answer.as_mut().poll(cx).is_pending()));
            assert!(pending.await, "there is nothing for it");
        }
    }

    async fn withdrawn(self, kit: &Kit) -> Vec<JobId> {
        kit.store
            .withdraw(&kit.ns, &queue_name(self.take.queue), self.first);
        ids(&self.answer.await.expect("the store answers"))
    }
}

pub async fn whoever_waits_first_is_served_first(kit: Kit) {
    kit.q().await;
    let first = wait(&kit, Take::default());
    let mut second = wait(&kit, Take::default());
    let one = kit.submit(Draft::default()).await;
    assert_eq!(first.served(&kit).await, [one]);
    second.still_waits(&kit).await;
    let two = kit.submit(Draft::default()).await;
    assert_eq!(second.served(&kit).await, [two]);
}

pub async fn one_submission_serves_all_who_wait(kit: Kit) {
    kit.q().await;
    let take = |count| Take {
        count,
        ..Take::default()
    };
    let waiting = [wait(&kit, take(2)), wait(&kit, take(3)), wait(&kit, take(9))];
    let sent = kit.submit_many(&Draft::default(), 7).await;
    let [a, b, c] = waiting;
    assert_eq!(a.served(&kit).await, sent[..2]);
    assert_eq!(b.served(&kit).await, sent[2..5]);
    assert_eq!(
        c.served(&kit).await,
        sent[5..],
        "fewer than it wanted are better than none"
    );
    assert!(kit.claim_up_to(9).await.is_empty());
}

pub async fn who_comes_while_there_are_jobs_does_not_wait(kit: Kit) {
    kit.q().await;
    let sent = kit.submit_many(&Draft::default(), 2).await;
    assert_eq!(wait(&kit, Take::default()).served(&kit).await, sent[..1]);
    assert_eq!(wait(&kit, Take::default()).served(&kit).await, sent[1..]);
}

pub async fn a_claim_that_is_withdrawn_takes_nothing(kit: Kit) {
    kit.q().await;
    assert!(wait(&kit, Take::default()).withdrawn(&kit).await.is_empty());
    let id = kit.submit(Draft::default()).await;
    assert_eq!(ids(&kit.claim_up_to(9).await), [id]);
    // Nor does one of which nobody asks for the answer.
    drop(wait(&kit, Take::default()));
    let id = kit.submit(Draft::default()).await;
    assert_eq!(ids(&kit.claim_up_to(9).await), [id]);
}

pub async fn waiting_claims_respect_pause_and_limits(kit: Kit) {
    let spec = QueueSpec {
        concurrency: Some(1),
        ..QueueSpec::default()
    };
    kit.put("q", spec).await;
    assert!(kit.store.pause(&kit.ns, &queue_name("q"), true).await.is_ok());
    let mut first = wait(&kit, Take::default());
    let mut second = wait(&kit, Take::default());
    let sent = kit.submit_many(&Draft::default(), 2).await;
    first.still_waits(&kit).await;
    assert!(kit.store.pause(&kit.ns, &queue_name("q"), false).await.is_ok());
    assert_eq!(first.served(&kit).await, sent[..1]);
    second.still_waits(&kit).await;
    let held = kit.get(sent[0]).await;
    kit.settle(&held, succeed("done"))
        .await
        .expect("the lease is held");
    assert_eq!(second.served(&kit).await, sent[1..]);
}

pub async fn a_job_that_becomes_due_goes_to_whoever_waits(kit: Kit) {
    kit.q().await;
    let delay = Some(s(60));
    let id = kit
        .submit(Draft {
            delay,
            ..Draft::default()
        })
        .await;
    let mut waiting = wait(&kit, Take::default());
    waiting.still_waits(&kit).await;
    kit.advance(s(60));
    kit.store.check().await.expect("the store can write");
    assert_eq!(waiting.served(&kit).await, [id]);
}

pub async fn a_waiting_claim_that_is_repeated_gives_back_its_leases(kit: Kit) {
    kit.q().await;
    let named = || Take {
        claim_id: Some("c1"),
        ..Take::default()
    };
    let first = wait(&kit, named());
    let id = kit.submit(Draft::default()).await;
    assert_eq!(first.served(&kit).await, [id]);
    assert_eq!(
        wait(&kit, named()).served(&kit).await,
        [id],
        "there is nothing else"
    );
    kit.submit(Draft::default()).await;
    assert_eq!(wait(&kit, named()).served(&kit).await, [id], "there is another");
}

pub async fn a_claim_waits_for_its_own_queue(kit: Kit) {
    assert!(wait(&kit, Take::default()).withdrawn(&kit).await.is_empty());
    kit.q().await;
    let mut waiting = wait(&kit, Take::default());
    waiting.still_waits(&kit).await;
    let elsewhere = Take {
        queue: "other",
        ..Take::default()
    };
    kit.put("other", QueueSpec::default()).await;
    let other = wait(&kit, elsewhere);
    let id = kit
        .submit(Draft {
            queue: "other",
            ..Draft::default()
        })
        .await;
    assert_eq!(other.served(&kit).await, [id]);
    waiting.still_waits(&kit).await;
}

pub async fn what_comes_with_a_job_is_there_when_it_is_claimed_at_once(kit: Kit) {
    kit.q().await;
    let options = |value: &str| Options {
        tags: vec![crate::name::Tag::new("eu west").expect("a tag")],
        unique: Some(
            format!("\"{value}\";on-conflict=replace")
                .parse()
                .expect("a unique value"),
        ),
        ..Options::default()
    };
    let draft = |value, key| Draft {
        key: Some((key, 1)),
        options: options(value),
        ..Draft::default()
    };
    let waiting = wait(
        &kit,
        Take {
            count: 3,
            ..Take::default()
        },
    );
    // The second is the first again, the third takes the place of the first.
    let sent = [
        draft("u", "k1"),
        draft("u", "k1"),
        draft("u", "k2"),
        draft("v", "k3"),
    ];
    let answers = kit.try_submit(&sent).await;
    assert_eq!(answers[0].1, Ok(Submitted::Created));
    assert!(matches!(&answers[1].1, Ok(Submitted::Replayed(Ok(_), id)) if *id == answers[0].0));
    assert_eq!([&answers[2].1, &answers[3].1], [&Ok(Submitted::Created); 2]);
    assert_eq!(waiting.served(&kit).await, [answers[2].0, answers[3].0]);
    assert!(kit.get(answers[0].0).await.done(), "it was replaced");
    let again = kit.try_submit(&[draft("v", "k3")]).await;
    assert!(matches!(&again[0].1, Ok(Submitted::Replayed(Ok(_), id)) if *id == answers[3].0));
}
