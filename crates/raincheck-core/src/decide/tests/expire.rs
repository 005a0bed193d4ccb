//! Ending what waited too long.

use super::*;
use crate::decide::{expire, expires_at};

#[track_caller]
fn check(job: &Job, now: u64, expected: Option<&str>) {
    let next = expire(job, &policy(), at(now));
    assert_eq!(next.as_ref().map(show).as_deref(), expected, "at {now} s");
}

fn limits(start_before: Option<u64>, deadline: Option<u64>) -> Options {
    Options {
        start_before: start_before.map(s),
        deadline: deadline.map(s),
        ..Options::default()
    }
}

#[test]
fn a_job_that_was_never_started_expires() {
    let expired = |now: u64| format!("expired at {now}s kept until 16m5{}s, v2 a0 f0", now - 10);
    for options in [
        limits(Some(10), None),
        limits(None, Some(10)),
        limits(Some(10), Some(20)),
        limits(Some(20), Some(10)),
    ] {
        let job = waiting_with(options);
        check(&job, 9, None);
        check(&job, 10, Some(&expired(10)));
        check(&job, 11, Some(&expired(11)));
    }
    check(&waiting(), 1_000_000, None);
    let delayed = NewJob {
        delay: Some(s(60)),
        ..new_job(limits(Some(10), None))
    };
    check(&submit_job(&delayed), 69, None);
    check(
        &submit_job(&delayed),
        70,
        Some("expired at 1m10s kept until 17m50s, v2 a0 f0"),
    );
}

#[test]
fn a_job_between_two_attempts_fails_at_its_deadline_only() {
    let back = settled(&running_with(limits(Some(15), Some(60))), release(50, false), 10);
    check(&back, 20, None);
    check(&back, 59, None);
    check(
        &back,
        60,
        Some("failed at 1m kept until 34m20s, v4 a0 f1, timed-out, 1:Released"),
    );
}

#[test]
fn only_a_waiting_job_expires() {
    check(&running_with(limits(Some(10), Some(10))), 1_000, None);
    check(&done(succeed()), 1_000_000, None);
}

#[test]
fn a_finished_job_tells_when_it_may_go() {
    for (job, kept) in [
        (done(succeed()), Some(at(1_010))),
        (done(fail(None)), Some(at(2_010))),
        (done(Settlement::Cancel), Some(at(1_010))),
        (waiting(), None),
        (running(), None),
    ] {
        assert_eq!(expires_at(&job), kept);
    }
}
