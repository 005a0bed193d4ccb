//! Ending leases that their holders will not end.

use super::*;
use crate::decide::{interrupt_on_open, reclaim};
use crate::job::Outcome;

#[track_caller]
fn check(job: &Job, policy: &Policy, now: u64, expected: Option<&str>) {
    let next = reclaim(job, policy, 0, at(now));
    assert_eq!(next.as_ref().map(show).as_deref(), expected, "at {now} s");
}

#[test]
fn a_lapsed_lease_ends_and_its_attempt_stays_charged() {
    let rules = policy();
    check(&running(), &rules, 29, None);
    check(
        &running(),
        &rules,
        30,
        Some("waits for 30s, v3 a1 f1, lease-lost, 1:LeaseLost"),
    );
    check(
        &running(),
        &rules,
        299,
        Some("waits for 4m59s, v3 a1 f1, lease-lost, 1:LeaseLost"),
    );
    check(
        &running(),
        &rules,
        300,
        Some("waits for 5m, v3 a1 f1, timed-out, 1:TimedOut"),
    );
    let last = Policy {
        max_attempts: 1,
        ..rules
    };
    let lost = "failed at 30s kept until 33m50s, v3 a1 f1, lease-lost, 1:LeaseLost";
    check(&running(), &last, 30, Some(lost));
    for job in [
        waiting(),
        done(succeed()),
        done(fail(None)),
        done(release(0, false)),
    ] {
        check(&job, &rules, 9_000, None);
    }
}

#[test]
fn a_job_that_was_to_stop_ends_cancelled_after_its_grace() {
    check(&asked(), &policy(), 29, None);
    let cancelled = "cancelled at 30s kept until 17m10s, v4 a1 f1, to stop, 1:Cancelled";
    check(&asked(), &policy(), 30, Some(cancelled));
    let long = Policy {
        cancel_grace: s(5_000),
        ..policy()
    };
    let super::super::Cancelled::Asked(job) = super::super::cancel(&running(), &long, at(10)) else {
        panic!("a running job is asked to stop");
    };
    check(&job, &long, 30, Some(cancelled));
}

#[test]
fn a_deadline_that_has_come_ends_the_job() {
    let job = running_with(Options {
        deadline: Some(s(20)),
        ..Options::default()
    });
    check(&job, &policy(), 19, None);
    check(
        &job,
        &policy(),
        20,
        Some("failed at 20s kept until 33m40s, v3 a1 f1, timed-out, 1:TimedOut"),
    );
}

#[track_caller]
fn check_open(job: &Job, now: u64, expected: Option<&str>) {
    let next = interrupt_on_open(job, &policy(), 0, at(now));
    assert_eq!(next.as_ref().map(show).as_deref(), expected, "at {now} s");
}

fn worked_by(job: &Job, kind: WorkerKind) -> Job {
    let mut job = job.clone();
    if let Phase::Running(lease) = &mut job.phase {
        lease.kind = kind;
    }
    job
}

#[test]
fn opening_ends_the_attempts_of_the_former_process_and_grants_the_others_their_term() {
    for kind in [WorkerKind::Push, WorkerKind::Process, WorkerKind::Function] {
        let lost = "waits for 3s, v3 a1 f1, lease-lost, 1:LeaseLost";
        check_open(&worked_by(&running(), kind), 3, Some(lost));
        let cancelled = "cancelled at 12s kept until 16m52s, v4 a1 f1, to stop, 1:Cancelled";
        check_open(&worked_by(&asked(), kind), 12, Some(cancelled));
    }
    let deferred = worked_by(&running(), WorkerKind::Deferred);
    check_open(&deferred, 25, Some("runs until 5m of 5m, v2 a1 f1"));
    check_open(&running(), 25, Some("runs until 55s of 5m, v2 a1 f1"));
    check_open(&running(), 290, Some("runs until 5m of 5m, v2 a1 f1"));
    check_open(
        &asked(),
        12,
        Some("runs until 42s of 5m or 30s, v3 a1 f1, to stop"),
    );
    for job in [
        waiting(),
        done(succeed()),
        done(fail(None)),
        done(release(0, false)),
    ] {
        check_open(&job, 9_000, None);
    }
}

#[test]
fn a_url_is_asked_once_more_where_the_server_ended_during_its_last_attempt() {
    let last = Policy {
        max_attempts: 1,
        ..policy()
    };
    let fetched = worked_by(&running(), WorkerKind::Fetch);
    let next = interrupt_on_open(&fetched, &last, 0, at(3)).expect("it ran in the server");
    assert_eq!(show(&next), "waits for 3s, v3 a0 f1, lease-lost, 1:LeaseLost");

    let again = claim_job(&next, &claimer(), NONCE, &last, at(4)).expect("it is due");
    let again = worked_by(&again, WorkerKind::Fetch);
    let twice = interrupt_on_open(&again, &last, 0, at(5)).expect("it ran in the server");
    assert_eq!(twice.outcome(), Some(Outcome::Failed), "two in a row are counted");

    let program = worked_by(&running(), WorkerKind::Process);
    let ended = interrupt_on_open(&program, &last, 0, at(3)).expect("it ran in the server");
    assert_eq!(
        ended.outcome(),
        Some(Outcome::Failed),
        "a program may have done anything"
    );
}
