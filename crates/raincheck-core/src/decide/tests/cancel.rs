//! Asking a job to stop.

use super::*;
use crate::decide::{Cancelled, cancel};

#[track_caller]
fn check(job: &Job, now: u64, expected: &str) {
    let shown = match cancel(job, &policy(), at(now)) {
        Cancelled::Ended(job) => format!("ended: {}", show(&job)),
        Cancelled::Asked(job) => format!("asked: {}", show(&job)),
        Cancelled::Already => "already".to_owned(),
    };
    assert_eq!(shown, expected);
}

#[test]
fn a_waiting_job_ends_a_running_one_is_asked_a_finished_one_stays() {
    check(
        &waiting(),
        5,
        "ended: cancelled at 5s kept until 16m45s, v2 a0 f0, to stop",
    );
    let later = Job {
        run_at: at(60),
        ..waiting()
    };
    check(
        &later,
        5,
        "ended: cancelled at 5s kept until 16m45s, v2 a0 f0, to stop",
    );
    let backoff = done(fail(Some(s(60))));
    let ended = "ended: cancelled at 20s kept until 17m, v4 a1 f1, to stop, handler-failed, 1:Failed";
    check(&backoff, 20, ended);
    check(
        &running(),
        5,
        "asked: runs until 30s of 5m or 25s, v3 a1 f1, to stop",
    );
    check(
        &running(),
        100,
        "asked: runs until 30s of 5m or 2m, v3 a1 f1, to stop",
    );
    check(&asked(), 15, "already");
    for settlement in [succeed(), fail(None), Settlement::Cancel] {
        check(&done(settlement), 15, "already");
    }
}
