//! Ending an attempt under its lease.

use super::*;
use crate::decide::{SettleRefused, SettleStep, settle};
use crate::id::Fence;
use crate::job::AttemptOutcome;

/// Settles at 10 s; expects the next job, and whether the result is kept.
#[track_caller]
fn check(job: &Job, settlement: Settlement, policy: &Policy, expected: &str, keeps: bool) {
    match settle(job, &lease(job), settlement, [1; 16], policy, 0, at(10)) {
        Ok(SettleStep::Moved { job, result }) => {
            assert_eq!(show(&job), expected);
            assert_eq!(result.is_some(), keeps, "{expected}");
            assert!(
                job.settled
                    .is_some_and(|settled| settled.nonce == NONCE && settled.digest == [1; 16])
            );
        }
        other => panic!("the lease is held, got {other:?}"),
    }
}

#[test]
fn a_running_job_moves_on() {
    let check = |settlement, expected, keeps| check(&running(), settlement, &policy(), expected, keeps);
    check(
        succeed(),
        "succeeded at 10s kept until 16m50s, v3 a1 f1, 1:Succeeded",
        true,
    );
    check(
        fail(Some(s(0))),
        "waits for 10s, v3 a1 f1, handler-failed, 1:Failed",
        false,
    );
    check(
        fail(Some(s(60))),
        "waits for 1m10s, v3 a1 f1, handler-failed, 1:Failed",
        false,
    );
    check(
        fail(None),
        "failed at 10s kept until 33m30s, v3 a1 f1, handler-failed, 1:Failed",
        true,
    );
    check(release(0, false), "waits for 10s, v3 a0 f1, 1:Released", false);
    check(release(5, true), "waits for 15s, v3 a0 f1, 1:Interrupted", false);
    check(
        Settlement::Cancel,
        "cancelled at 10s kept until 16m50s, v3 a1 f1, 1:Cancelled",
        false,
    );
}

#[test]
fn success_wins_over_a_cancel_request_and_nothing_else_does() {
    let check = |settlement, expected: &str, keeps| check(&asked(), settlement, &policy(), expected, keeps);
    check(
        succeed(),
        "succeeded at 10s kept until 16m50s, v4 a1 f1, to stop, 1:Succeeded",
        true,
    );
    let cancelled = |attempt| format!("cancelled at 10s kept until 16m50s, v4 a1 f1, to stop, 1:{attempt}");
    check(fail(Some(s(0))), &cancelled("Failed"), false);
    check(fail(None), &cancelled("Failed"), false);
    check(release(0, false), &cancelled("Released"), false);
    check(release(0, true), &cancelled("Interrupted"), false);
    check(Settlement::Cancel, &cancelled("Cancelled"), false);
}

#[test]
fn attempts_run_out() {
    let last = Policy {
        max_attempts: 1,
        ..policy()
    };
    let failed = "failed at 10s kept until 33m30s, v3 a1 f1, handler-failed, 1:Failed";
    check(&running(), fail(Some(s(0))), &last, failed, true);
    check(
        &running(),
        release(0, false),
        &last,
        "waits for 10s, v3 a0 f1, 1:Released",
        false,
    );
}

#[test]
fn a_deadline_ends_the_retries() {
    let job = running_with(Options {
        deadline: Some(s(60)),
        ..Options::default()
    });
    check(
        &job,
        fail(Some(s(49))),
        &policy(),
        "waits for 59s, v3 a1 f1, handler-failed, 1:Failed",
        false,
    );
    let failed = "failed at 10s kept until 33m30s, v3 a1 f1, timed-out, 1:Failed";
    check(&job, fail(Some(s(50))), &policy(), failed, false);
    check(
        &job,
        release(90, false),
        &policy(),
        "waits for 1m40s, v3 a0 f1, 1:Released",
        false,
    );
}

#[test]
fn an_attempt_over_its_time_is_said_to_be() {
    let timed_out = Settlement::Fail {
        failure: Failure::new("timed-out", "too slow"),
        retry: Some(s(0)),
        result: None,
        timed_out: true,
    };
    let job = settled(&running(), timed_out, 10);
    assert_eq!(job.attempts[0].outcome, AttemptOutcome::TimedOut);
    assert_eq!(job.attempts[0].error.as_ref().unwrap().code, "timed-out");
}

#[test]
fn an_attempt_is_written_down_as_it_was() {
    let job = done(fail(Some(s(0))));
    let attempt = &job.attempts[0];
    assert_eq!(
        (attempt.n, attempt.started_at, attempt.ended_at),
        (1, at(0), at(10))
    );
    assert_eq!(attempt.worker, claimer().worker);
    assert_eq!(attempt.error, job.error);
    let again = claim_job(&job, &claimer(), Nonce([8; 12]), &policy(), at(20)).unwrap();
    let done = settled(&again, succeed(), 30);
    assert_eq!(done.error, None, "a job that succeeded in the end has no error");
    assert_eq!(done.attempts.len(), 2);
}

/// Settles a job that is past its claim; expects an error, or nothing to change.
#[track_caller]
fn check_late(job: &Job, lease: LeaseId, digest: u8, expected: Result<(), SettleRefused>) {
    let answer = settle(job, &lease, succeed(), [digest; 16], &policy(), 0, at(20));
    assert_eq!(answer, expected.map(|()| SettleStep::Repeated));
}

#[test]
fn a_settlement_counts_once_and_under_the_lease_alone() {
    let held = lease(&running());
    for settlement in [
        succeed(),
        fail(Some(s(0))),
        fail(None),
        release(0, false),
        Settlement::Cancel,
    ] {
        let job = done(settlement);
        check_late(&job, held, 1, Ok(()));
        check_late(&job, held, 2, Err(SettleRefused::AlreadySettled));
        check_late(
            &job,
            LeaseId {
                nonce: Nonce([8; 12]),
                ..held
            },
            1,
            Err(SettleRefused::LeaseLost),
        );
    }
    let lost = Err(SettleRefused::LeaseLost);
    check_late(&waiting(), held, 1, lost);
    check_late(
        &running(),
        LeaseId {
            nonce: Nonce([8; 12]),
            ..held
        },
        1,
        lost,
    );
    check_late(
        &running(),
        LeaseId {
            fence: Fence(2),
            ..held
        },
        1,
        lost,
    );
    check_late(&running(), LeaseId { job: id(2), ..held }, 1, lost);
    let again = claim_job(
        &done(release(0, false)),
        &claimer(),
        Nonce([8; 12]),
        &policy(),
        at(15),
    )
    .unwrap();
    check_late(&again, held, 1, lost);
}
