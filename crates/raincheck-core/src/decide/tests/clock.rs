//! A clock that is set, and what it moves.

use super::{at, claim_job, claimer, done, id, new_job, policy, running, s, submit_job, succeed, waiting};
use crate::batch::{BatchId, NewBatch, Stage};
use crate::decide::{
    ClockSet, Patch, batch_clock_was_set, clock_was_set, expires_at, finish_batch, open_batch, patch,
    seal_batch,
};
use crate::id::Nonce;
use crate::job::{Job, Options};
use crate::name::Namespace;
use crate::time::Timestamp;

fn limited(delay: u64) -> Job {
    let mut new = new_job(Options {
        start_before: Some(s(100)),
        deadline: Some(s(500)),
        ..Options::default()
    });
    new.delay = Some(s(delay));
    submit_job(&new)
}

fn set(was: u64, now: u64) -> ClockSet {
    ClockSet {
        was: at(was),
        now: at(now),
    }
}

/// The job after these settings of the clock: when it is due, and from when it is too late to start it and to end it.
#[track_caller]
fn check(job: &Job, sets: &[ClockSet], expected: (u64, u64, u64)) {
    let mut job = job.clone();
    for set in sets {
        job = clock_was_set(&job, *set).unwrap_or(job);
    }
    let start_by = job.due_since().plus(s(100));
    let found = (job.run_at, start_by, job.deadline_at().unwrap());
    assert_eq!(
        found,
        (at(expected.0), at(expected.1), at(expected.2)),
        "{sets:?}"
    );
}

#[test]
fn limits_move_along_and_due_times_that_have_not_come_do_not() {
    check(&limited(0), &[set(10, 1_010)], (0, 1_100, 1_500));
    check(&limited(0), &[set(10, 1_010), set(1_020, 20)], (0, 100, 500));
    // Not due yet: afterwards neither, or just now.
    check(&limited(50), &[set(10, 40)], (50, 150, 530));
    check(&limited(50), &[set(10, 1_010)], (50, 1_110, 1_500));
    check(
        &limited(50),
        &[set(10, 1_010), set(1_020, 2_020)],
        (50, 2_110, 2_500),
    );
    // What was due stays due, and has been for as long.
    check(&limited(50), &[set(60, 20)], (20, 110, 460));
    check(&limited(50), &[set(60, 20), set(30, 1_030)], (20, 1_110, 1_460));
}

#[test]
fn a_job_without_limits_that_was_not_claimed_stays_as_it_is() {
    assert_eq!(clock_was_set(&waiting(), set(10, 1_010)), None);
}

#[test]
fn leases_and_waits_between_attempts_move_along() {
    let moved = clock_was_set(&running(), set(10, 1_010)).unwrap();
    let (before, after) = (running(), moved.lease().unwrap().clone());
    let before = before.lease().unwrap();
    for (before, after) in [
        (before.started_at, after.started_at),
        (before.expires_at, after.expires_at),
        (before.attempt_deadline, after.attempt_deadline),
    ] {
        assert_eq!(after, before.plus(s(1_000)));
    }
    let again = super::settled(&running(), super::release(60, false), 10);
    let moved = clock_was_set(&again, set(20, 1_020)).unwrap();
    assert_eq!(moved.run_at, at(1_070));
}

#[test]
fn an_attempt_after_the_clock_was_set_ends_with_the_deadline_as_it_is_now() {
    let job = clock_was_set(&limited(0), set(10, 1_010)).unwrap();
    let held = claim_job(&job, &claimer(), Nonce([7; 12]), &policy(), at(1_050)).unwrap();
    assert_eq!(held.lease().unwrap().attempt_deadline, at(1_350));
    assert_eq!(held.deadline_at(), Some(at(1_500)));
}

#[test]
fn a_due_time_that_is_patched_is_counted_from() {
    let job = clock_was_set(&limited(50), set(10, 1_010)).unwrap();
    let wanted = Patch {
        run_at: Some(at(3_000)),
        ..Patch::default()
    };
    let patched = patch(&job, &wanted).unwrap().unwrap();
    assert_eq!(patched.due_since(), at(3_000));
    assert_eq!(patched.deadline_at(), Some(at(1_500)));
}

#[test]
fn what_is_finished_is_kept_as_long_and_what_has_no_end_gets_none() {
    let job = done(succeed());
    let end = expires_at(&job).unwrap();
    let moved = clock_was_set(&job, set(20, 1_020)).unwrap();
    assert_eq!(expires_at(&moved), Some(end.plus(s(1_000))));
    assert_eq!(set(20, 1_020).moved(Timestamp::MAX), Timestamp::MAX);
}

#[test]
fn batches_are_open_and_kept_as_long() {
    let new = NewBatch {
        id: BatchId::new(id(1)),
        keep: Some(s(100)),
        open_for: Some(s(50)),
        callback: None,
        idempotency: None,
    };
    let mut batch = open_batch(&new, &Namespace::default(), at(0));
    assert!(batch_clock_was_set(&mut batch, set(10, 1_010)));
    assert_eq!(batch.stage, Stage::Open { until: at(1_050) });
    seal_batch(&mut batch, 0).unwrap();
    assert!(!batch_clock_was_set(&mut batch, set(10, 1_010)));
    finish_batch(&mut batch, at(20));
    assert!(batch_clock_was_set(&mut batch, set(30, 10)));
    let (finished_at, expires_at) = (at(20), at(100));
    let done = Stage::Done {
        finished_at,
        expires_at,
    };
    assert_eq!(batch.stage, done);
}
