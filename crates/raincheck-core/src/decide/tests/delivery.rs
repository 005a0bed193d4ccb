//! Which webhooks a job makes, and when each is tried.

use super::*;
use crate::batch::BatchId;
use crate::decide::{DELIVERY_DELAYS, DELIVERY_LIFE, TryEnd, deliveries, end_try, redeliver, try_delivery};
use crate::delivery::{Callback, Delivery, DeliveryId, Event, Source, Stage};
use crate::job::Outcome;

fn callback(events: &[Outcome]) -> Callback {
    Callback {
        events: events.to_vec(),
        ..Callback::to("https://example.org/hook")
    }
}

fn told(job: &Job, own: Option<&[Outcome]>, of_queue: Option<&[Outcome]>) -> Vec<(Source, Outcome)> {
    let mut job = job.clone();
    job.options.callback = own.map(callback);
    let of_queue = of_queue.map(callback);
    let made = deliveries(&job, of_queue.as_ref());
    made.iter()
        .map(|delivery| match (delivery.id, delivery.event) {
            (DeliveryId::Job { source, .. }, Event::Ended(outcome)) => (source, outcome),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn a_job_tells_of_its_end_whoever_wants_to_know_of_it() {
    use Outcome::{Cancelled, Failed, Succeeded};
    let (good, bad) = (done(succeed()), done(fail(None)));
    assert_eq!(told(&good, None, None), []);
    assert_eq!(told(&good, Some(&[Succeeded]), None), [(Source::Job, Succeeded)]);
    assert_eq!(told(&good, Some(&[Failed, Cancelled]), None), []);
    assert_eq!(
        told(&bad, Some(&[Succeeded, Failed]), Some(&[Failed])),
        [(Source::Job, Failed), (Source::Queue, Failed)]
    );
    assert_eq!(
        told(&bad, Some(&[Succeeded]), Some(&[Failed])),
        [(Source::Queue, Failed)]
    );
    for unfinished in [waiting(), running(), asked()] {
        assert_eq!(told(&unfinished, Some(&[Succeeded, Failed]), Some(&[Failed])), []);
    }
}

fn made() -> Delivery {
    let mut job = done(succeed());
    job.options.callback = Some(Callback::to("https://example.org/hook"));
    deliveries(&job, None).remove(0)
}

fn failed(retry_after: Option<u64>) -> TryEnd {
    TryEnd::Failed {
        status: Some(503),
        error: "503".to_owned(),
        retry_after: retry_after.map(s),
    }
}

#[test]
fn a_delivery_is_tried_ten_times_and_given_up() {
    let mut delivery = made();
    let mut now = delivery.created_at;
    for (n, delay) in DELIVERY_DELAYS.iter().enumerate() {
        delivery = try_delivery(&delivery, now).expect("it is due");
        assert_eq!(try_delivery(&delivery, now), None, "a try is under way");
        delivery = end_try(&delivery, delivery.tries, &failed(None), n as u64, now).expect("the try counts");
        let next = delivery.next_at().expect("another try follows");
        let (least, most) = (delay.mul_f64(0.9), delay.mul_f64(1.1));
        assert!((now.plus(least)..=now.plus(most)).contains(&next), "try {n}");
        now = next;
    }
    delivery = try_delivery(&delivery, now).expect("it is due");
    assert_eq!(delivery.tries, 10);
    delivery = end_try(&delivery, 10, &failed(None), 0, now).expect("the try counts");
    assert_eq!(
        (delivery.stage, try_delivery(&delivery, now.plus(s(1 << 30)))),
        (Stage::Abandoned, None)
    );
    let again = redeliver(&delivery, now);
    let again = try_delivery(&again, now).expect("it was asked for");
    let again = end_try(&again, 11, &failed(None), 0, now).expect("the try counts");
    assert!(
        again.next_at().is_some_and(|next| next <= now.plus(s(6))),
        "the schedule begins anew"
    );
}

#[test]
fn a_try_that_sent_nothing_does_not_count_but_is_not_repeated_for_ever() {
    let (mut delivery, mut now) = (made(), made().created_at);
    for n in 1..=20 {
        delivery = try_delivery(&delivery, now).expect("it is due");
        let until = now.plus(s(60));
        delivery = end_try(&delivery, n, &TryEnd::Held { until }, 0, now).expect("it was under way");
        assert_eq!(
            (delivery.sent(), delivery.held, delivery.next_at()),
            (0, n, Some(until))
        );
        now = until;
    }
    let tried = try_delivery(&delivery, now).expect("it is due");
    assert_eq!(
        end_try(&tried, 20, &failed(None), 0, now),
        None,
        "an earlier one is over"
    );
    let first = end_try(&tried, 21, &failed(None), 0, now).expect("the try counts");
    assert_eq!(first.sent(), 1);
    assert!(
        first.next_at().is_some_and(|next| next <= now.plus(s(6))),
        "the schedule has just begun"
    );
    let late = tried.created_at.plus(DELIVERY_LIFE).plus(s(1));
    let held = TryEnd::Held {
        until: late.plus(s(60)),
    };
    let over = end_try(&tried, 21, &held, 0, late).expect("it was under way");
    assert_eq!((over.stage, over.sent()), (Stage::Abandoned, 0));
    let again = redeliver(&over, late);
    let again = try_delivery(&again, late).expect("it was asked for");
    let again = end_try(&again, 22, &held, 0, late).expect("it was under way");
    assert_eq!(
        again.next_at(),
        Some(late.plus(s(60))),
        "it counts from when it was asked for"
    );
}

#[test]
fn a_receiver_says_when_to_come_back_and_when_to_stay_away() {
    let now = made().created_at;
    let tried = try_delivery(&made(), now).expect("it is due");
    let later = end_try(&tried, 1, &failed(Some(90)), 0, now).expect("the try counts");
    assert_eq!(later.next_at(), Some(now.plus(s(90))));
    let years = end_try(&tried, 1, &failed(Some(1 << 30)), 0, now).expect("the try counts");
    assert_eq!(years.next_at(), Some(now.plus(s(86_400))));
    let gone = end_try(&tried, 1, &TryEnd::Gone, 0, now).expect("the try counts");
    assert_eq!(gone.stage, Stage::Abandoned);
    let taken = end_try(&tried, 1, &TryEnd::Taken { status: 204 }, 0, now).expect("the try counts");
    assert_eq!(
        (taken.stage, taken.last.and_then(|last| last.status)),
        (Stage::Delivered, Some(204))
    );
}

#[test]
fn a_try_that_was_overtaken_changes_nothing() {
    let now = made().created_at;
    let first = try_delivery(&made(), now).expect("it is due");
    assert_eq!(try_delivery(&first, now.plus(s(59))), None);
    let second = try_delivery(&first, now.plus(s(60))).expect("the first try took too long");
    assert_eq!(
        end_try(&second, 1, &TryEnd::Taken { status: 200 }, 0, now.plus(s(61))),
        None
    );
    let taken =
        end_try(&second, 2, &TryEnd::Taken { status: 200 }, 0, now.plus(s(61))).expect("the try counts");
    assert_eq!(end_try(&taken, 2, &failed(None), 0, now.plus(s(62))), None);
}

#[test]
fn a_deliverys_name_reads_back() {
    let of_job = [Source::Job, Source::Queue].map(|source| DeliveryId::Job { job: id(7), source });
    for id in of_job.into_iter().chain([DeliveryId::Batch(BatchId::new(id(7)))]) {
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(!id.to_string().contains('.'));
    }
    for text in [
        "",
        "msg_",
        "msg_j",
        "job_01jd8zq3k5e7rv2m4n6p8s0t1w",
        "msg_01jd8zq3k5e7rv2m4n6p8s0t1w",
    ] {
        assert!(text.parse::<DeliveryId>().is_err(), "{text}");
    }
}
