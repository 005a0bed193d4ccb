//! Promises about webhooks: recorded with the end of a job, tried until they are taken, and never in a job's way.

use super::kit::{Draft, Kit, fail, h, lease, ms, refuse, s, succeed};
use crate::decide::{DELIVERY_TERM, TryEnd};
use crate::delivery::{Callback, Delivery, DeliveryId, Event, Source, Stage};
use crate::id::JobId;
use crate::job::{Options, Outcome};
use crate::name::Namespace;
use crate::queue::QueueSpec;
use crate::store::{About, DueDeliveries, EndTry, Missing};

impl Kit {
    async fn outgoing(&self) -> DueDeliveries {
        self.store.claim_deliveries(100).await.expect("the store answers")
    }

    async fn end_try(&self, delivery: &Delivery, end: TryEnd) -> bool {
        let ended = EndTry {
            id: delivery.id,
            n: delivery.tries,
            end,
            seed: 3,
        };
        let answers = self
            .store
            .end_tries(vec![ended])
            .await
            .expect("the store answers");
        assert_eq!(answers.len(), 1);
        answers[0]
    }

    async fn all_deliveries(&self) -> Vec<Delivery> {
        let listed = self.store.deliveries(&self.ns, None, 100).await;
        listed.expect("the store answers")
    }
}

fn with_callback() -> Draft {
    Draft::with(Options {
        callback: Some(Callback::to("https://example.org/job")),
        ..Options::default()
    })
}

async fn queue_with_callback(kit: &Kit, events: &[Outcome]) {
    let callback = Callback {
        events: events.to_vec(),
        ..Callback::to("https://example.org/queue")
    };
    let spec = QueueSpec {
        callback: Some(callback),
        ..QueueSpec::default()
    };
    kit.put("q", spec).await;
}

fn taken() -> TryEnd {
    TryEnd::Taken { status: 200 }
}

fn failed() -> TryEnd {
    TryEnd::Failed {
        status: Some(500),
        error: "500".to_owned(),
        retry_after: None,
    }
}

fn ids(due: &DueDeliveries) -> Vec<DeliveryId> {
    due.due.iter().map(|outgoing| outgoing.delivery.id).collect()
}

fn of(job: JobId, source: Source) -> DeliveryId {
    DeliveryId::Job { job, source }
}

pub async fn every_way_to_end_makes_its_deliveries(kit: Kit) {
    use Outcome::{Cancelled, Expired, Failed};
    queue_with_callback(&kit, &[Failed, Cancelled, Expired]).await;
    let good = kit.finished(with_callback(), succeed("yes")).await;
    let bad = kit.finished(with_callback(), refuse()).await;
    let waiting = kit.submit(with_callback()).await;
    kit.cancel(waiting).await.expect("the job is there");
    let late = kit
        .submit(Draft::with(Options {
            start_before: Some(s(1)),
            ..with_callback().options
        }))
        .await;
    kit.advance(s(1));
    kit.reclaim().await;
    let dying = Options {
        max_attempts: Some(1),
        ..with_callback().options
    };
    let lost = kit.running(Draft::with(dying)).await;
    kit.advance(h(1));
    kit.reclaim().await;
    let due = kit.outgoing().await;
    let mut told: Vec<_> = due
        .due
        .iter()
        .map(|outgoing| (outgoing.delivery.id, outgoing.delivery.event.name()))
        .collect();
    told.sort_unstable_by_key(|(id, _)| *id);
    let mut expected = vec![(of(good.id, Source::Job), "job.succeeded")];
    for (id, outcome) in [
        (bad.id, Failed),
        (waiting, Cancelled),
        (late, Expired),
        (lost.id, Failed),
    ] {
        let event = Event::Ended(outcome).name();
        expected.extend([(of(id, Source::Job), event), (of(id, Source::Queue), event)]);
    }
    expected.sort_unstable_by_key(|(id, _)| *id);
    assert_eq!(told, expected);
    let first = due
        .due
        .iter()
        .find(|outgoing| outgoing.delivery.id.job() == Some(good.id));
    let first = first.expect("it was told above");
    assert_eq!(first.delivery.tries, 1);
    let About::Job { job, result } = &first.about else {
        panic!("a job's delivery tells of a job");
    };
    assert_eq!(*job, good);
    assert_eq!(result.as_ref().map(|result| &result.body[..]), Some(&b"yes"[..]));
}

pub async fn a_job_that_goes_on_makes_none(kit: Kit) {
    queue_with_callback(&kit, &[Outcome::Succeeded, Outcome::Failed]).await;
    let job = kit.running(with_callback()).await;
    kit.settle(&job, fail()).await.expect("the lease is held");
    let job = kit.running(with_callback()).await;
    kit.cancel(job.id).await.expect("the job is there");
    assert_eq!(kit.all_deliveries().await, []);
    let due = kit.outgoing().await;
    assert_eq!((ids(&due), due.next_at), (Vec::new(), None));
}

pub async fn a_delivery_is_tried_until_it_is_taken(kit: Kit) {
    kit.q().await;
    let job = kit.finished(with_callback(), succeed("yes")).await;
    let due = kit.outgoing().await;
    assert_eq!(ids(&due), [of(job.id, Source::Job)]);
    assert_eq!(
        due.next_at,
        Some(kit.now().plus(DELIVERY_TERM)),
        "a try is under way"
    );
    assert_eq!(ids(&kit.outgoing().await), []);
    assert!(kit.end_try(&due.due[0].delivery, failed()).await);
    let [pending] = &kit.all_deliveries().await[..] else {
        panic!("there is one delivery");
    };
    assert_eq!(pending.last.as_ref().and_then(|last| last.status), Some(500));
    kit.advance(s(4));
    assert_eq!(ids(&kit.outgoing().await), [], "5 s, or a tenth less");
    kit.advance(s(2));
    let again = kit.outgoing().await;
    assert_eq!(again.due[0].delivery.tries, 2);
    assert!(kit.end_try(&again.due[0].delivery, taken()).await);
    assert!(
        !kit.end_try(&again.due[0].delivery, failed()).await,
        "that try is over"
    );
    kit.advance(h(1000));
    assert_eq!(ids(&kit.outgoing().await), []);
    assert_eq!(kit.all_deliveries().await[0].stage, Stage::Delivered);
}

pub async fn a_try_that_nobody_ends_is_made_again(kit: Kit) {
    kit.q().await;
    kit.finished(with_callback(), succeed("yes")).await;
    let first = kit.outgoing().await.due.remove(0).delivery;
    kit.advance(DELIVERY_TERM - ms(1));
    assert_eq!(ids(&kit.outgoing().await), []);
    kit.advance(ms(1));
    let second = kit.outgoing().await.due.remove(0).delivery;
    assert_eq!((second.id, second.tries), (first.id, 2));
    assert!(!kit.end_try(&first, taken()).await, "it was overtaken");
    assert!(kit.end_try(&second, taken()).await);
}

pub async fn a_try_that_sent_nothing_does_not_count(kit: Kit) {
    kit.q().await;
    kit.finished(with_callback(), succeed("yes")).await;
    let until = kit.now().plus(s(7));
    let first = kit.outgoing().await.due.remove(0).delivery;
    assert!(kit.end_try(&first, TryEnd::Held { until }).await);
    let listed = kit.all_deliveries().await.remove(0);
    assert_eq!(
        (listed.sent(), listed.held, listed.next_at(), listed.last.clone()),
        (0, 1, Some(until), None)
    );
    kit.advance(s(6));
    let early = kit.outgoing().await;
    assert_eq!((ids(&early), early.next_at), (Vec::new(), Some(until)));
    kit.advance(s(1));
    let again = kit.outgoing().await.due.remove(0).delivery;
    assert_eq!((again.id, again.sent()), (first.id, 1));
    assert!(kit.end_try(&again, failed()).await);
    let (failed, asked) = (kit.all_deliveries().await.remove(0), kit.now());
    assert!(
        failed.next_at().is_some_and(|next| next <= asked.plus(s(6))),
        "the schedule begins with what was sent"
    );
    let redelivered = kit
        .store
        .redeliver(&kit.ns, failed.id)
        .await
        .expect("the store answers");
    assert_eq!(redelivered.map(|delivery| delivery.asked_at), Some(Some(asked)));
    assert_eq!(kit.all_deliveries().await.remove(0).asked_at, Some(asked));
}

pub async fn a_queue_whose_receiver_is_gone_tells_it_no_more_until_it_is_written_again(kit: Kit) {
    queue_with_callback(&kit, &[Outcome::Succeeded]).await;
    kit.finished(with_callback(), succeed("1")).await;
    for outgoing in kit.outgoing().await.due {
        assert!(kit.end_try(&outgoing.delivery, TryEnd::Gone).await);
    }
    let second = kit.finished(with_callback(), succeed("2")).await;
    assert_eq!(
        ids(&kit.outgoing().await),
        [of(second.id, Source::Job)],
        "a job's own is its own"
    );
    queue_with_callback(&kit, &[Outcome::Succeeded]).await;
    let third = kit.finished(Draft::default(), succeed("3")).await;
    assert_eq!(ids(&kit.outgoing().await), [of(third.id, Source::Queue)]);
}

pub async fn a_job_is_kept_until_it_was_told(kit: Kit) {
    kit.q().await;
    let job = kit.finished(with_callback(), succeed("yes")).await;
    let other = kit.finished(Draft::default(), succeed("yes")).await;
    kit.advance(h(24));
    kit.prune().await;
    assert_eq!(kit.find(other.id).await, Err(Missing::Expired));
    assert!(kit.find(job.id).await.is_ok(), "its delivery is pending");
    let due = kit.outgoing().await;
    kit.end_try(&due.due[0].delivery, taken()).await;
    kit.prune().await;
    assert_eq!(kit.find(job.id).await, Err(Missing::Expired));
    assert_eq!(kit.all_deliveries().await, []);
}

pub async fn a_deleted_job_takes_its_deliveries_along(kit: Kit) {
    kit.q().await;
    let job = kit.finished(with_callback(), succeed("yes")).await;
    let due = kit.outgoing().await;
    kit.delete(job.id).await.expect("the job is done");
    assert_eq!(kit.all_deliveries().await, []);
    assert!(!kit.end_try(&due.due[0].delivery, failed()).await);
    kit.advance(h(1));
    assert_eq!(ids(&kit.outgoing().await), []);
}

pub async fn a_delivery_can_be_asked_for_again(kit: Kit) {
    kit.q().await;
    let job = kit.finished(with_callback(), succeed("yes")).await;
    let id = of(job.id, Source::Job);
    let due = kit.outgoing().await;
    kit.end_try(&due.due[0].delivery, taken()).await;
    let asked = kit.store.redeliver(&kit.ns, id).await.expect("the store answers");
    assert_eq!(asked.and_then(|delivery| delivery.next_at()), Some(kit.now()));
    let again = kit.outgoing().await;
    assert_eq!(ids(&again), [id]);
    assert!(kit.end_try(&again.due[0].delivery, taken()).await);
    let unknown = of(kit.store.mint(), Source::Job);
    assert_eq!(kit.store.redeliver(&kit.ns, unknown).await, Ok(None));
}

pub async fn deliveries_are_listed_newest_first_page_by_page(kit: Kit) {
    queue_with_callback(&kit, &[Outcome::Succeeded]).await;
    let mut expected = Vec::new();
    for _ in 0..3 {
        let job = kit.finished(with_callback(), succeed("yes")).await;
        expected.extend([of(job.id, Source::Job), of(job.id, Source::Queue)]);
    }
    expected.reverse();
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let page = kit
            .store
            .deliveries(&kit.ns, before, 4)
            .await
            .expect("the store answers");
        let Some(last) = page.last() else { break };
        before = Some(last.id);
        seen.extend(page.iter().map(|delivery| delivery.id));
    }
    assert_eq!(seen, expected);
}

pub async fn a_stranger_sees_no_delivery_of_another_namespace(kit: Kit) {
    kit.q().await;
    let job = kit.running(with_callback()).await;
    kit.settle_lease(lease(&job), succeed("yes"))
        .await
        .expect("the lease is held");
    let stranger = Namespace::new("stranger").expect("the name is well formed");
    assert_eq!(kit.store.deliveries(&stranger, None, 100).await, Ok(Vec::new()));
    let id = of(job.id, Source::Job);
    assert_eq!(kit.store.redeliver(&stranger, id).await, Ok(None));
}
