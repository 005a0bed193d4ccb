//! Handing a job to a worker.

use super::*;
use crate::decide::claimable;
use crate::id::Fence;

#[track_caller]
fn check(job: &Job, now: u64, expected: Option<&str>) {
    let claimed = claim_job(job, &claimer(), NONCE, &policy(), at(now));
    assert_eq!(claimed.as_ref().map(show).as_deref(), expected);
    assert_eq!(
        claimable(job, at(now)),
        expected.is_some(),
        "one answer for both questions"
    );
}

#[test]
fn a_job_is_claimed_when_it_waits_and_is_due() {
    let later = Job {
        run_at: at(60),
        ..waiting()
    };
    check(&waiting(), 0, Some("runs until 30s of 5m, v2 a1 f1"));
    check(&waiting(), 5, Some("runs until 35s of 5m5s, v2 a1 f1"));
    check(&later, 59, None);
    check(&later, 60, Some("runs until 1m30s of 6m, v2 a1 f1"));
    check(&running(), 5, None);
    check(&asked(), 15, None);
    check(&done(succeed()), 15, None);
    check(&done(fail(None)), 15, None);
    check(&done(fail(Some(s(5)))), 14, None);
    check(
        &done(fail(Some(s(5)))),
        15,
        Some("runs until 45s of 5m15s, v4 a2 f2, handler-failed, 1:Failed"),
    );
    check(
        &done(release(5, false)),
        15,
        Some("runs until 45s of 5m15s, v4 a1 f2, 1:Released"),
    );
}

#[test]
fn an_overdue_job_is_not_claimed() {
    let start_before = waiting_with(Options {
        start_before: Some(s(10)),
        ..Options::default()
    });
    check(&start_before, 9, Some("runs until 39s of 5m9s, v2 a1 f1"));
    check(&start_before, 10, None);
    let deadline = waiting_with(Options {
        deadline: Some(s(10)),
        ..Options::default()
    });
    check(&deadline, 9, Some("runs until 10s of 10s, v2 a1 f1"));
    check(&deadline, 10, None);
    let started = Job {
        started_at: Some(at(3)),
        fence: Fence(1),
        ..start_before
    };
    check(&started, 10, Some("runs until 40s of 5m10s, v2 a1 f2"));
}

#[test]
fn a_lease_keeps_to_its_bounds_and_to_the_attempts_time() {
    let mut who = claimer();
    for (term, timeout, expires) in [
        (0, 300, 1),
        (30, 300, 30),
        (30, 20, 20),
        (90_000, 100_000, 43_200),
    ] {
        who.term = s(term);
        let policy = Policy {
            timeout: s(timeout),
            ..policy()
        };
        let job = claim_job(&waiting(), &who, NONCE, &policy, at(0)).unwrap();
        assert_eq!(
            job.lease().unwrap().expires_at,
            at(expires),
            "term {term} s, timeout {timeout} s"
        );
    }
}

#[test]
fn a_claim_writes_down_who_claims_and_forgets_the_settlement_before() {
    let back = done(release(0, false));
    assert!(back.settled.is_some());
    let who = Claimer {
        claim_id: Some("c".to_owned()),
        kind: WorkerKind::Push,
        ..claimer()
    };
    let job = claim_job(&back, &who, Nonce([8; 12]), &policy(), at(20)).unwrap();
    let lease = job.lease().unwrap();
    assert_eq!(
        (lease.nonce, &lease.worker, lease.kind),
        (Nonce([8; 12]), &who.worker, WorkerKind::Push)
    );
    assert_eq!(
        (lease.claim_id.as_deref(), lease.started_at, lease.cancel_by),
        (Some("c"), at(20), None)
    );
    assert_eq!(
        (job.settled, job.started_at),
        (None, Some(at(0))),
        "it was started by its first claim"
    );
}
