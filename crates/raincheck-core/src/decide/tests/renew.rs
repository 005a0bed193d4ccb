//! Extending a lease.

use super::*;
use crate::decide::renew;
use crate::id::Fence;
use crate::lease::Progress;

/// Renews for `term` seconds at `now`; expects the seconds after the start at which the lease ends then.
#[track_caller]
fn check(job: &Job, lease: LeaseId, term: u64, now: u64, expected: Option<u64>) {
    check_as(job, lease, term, false, now, expected);
}

#[track_caller]
fn check_as(job: &Job, lease: LeaseId, term: u64, defer: bool, now: u64, expected: Option<u64>) {
    let renewed = renew(job, &lease, s(term), None, defer, at(now));
    let ends = renewed.as_ref().map(|renewed| renewed.lease.expires_at);
    assert_eq!(ends, expected.map(at), "{term} s at {now} s");
    if let Some(renewed) = renewed {
        let held = job.lease().unwrap();
        assert_eq!(renewed.cancel_requested, job.cancel_requested);
        assert_eq!(
            (renewed.lease.cancel_by, renewed.lease.attempt_deadline),
            (held.cancel_by, held.attempt_deadline)
        );
    }
}

#[test]
fn the_holder_extends_its_lease() {
    let job = running();
    let held = lease(&job);
    check(&job, held, 30, 20, Some(50));
    check(&job, held, 0, 20, Some(21));
    check(&job, held, 30, 290, Some(300));
    check(&job, held, 90_000, 20, Some(300));
    check(&job, held, 30, 100, Some(130));
    check(&job, held, 30, 400, Some(300));
    check(&asked(), held, 60, 20, Some(80));
}

#[test]
fn nobody_else_does() {
    let (job, held) = (running(), lease(&running()));
    check(
        &job,
        LeaseId {
            nonce: Nonce([8; 12]),
            ..held
        },
        30,
        20,
        None,
    );
    check(
        &job,
        LeaseId {
            fence: Fence(0),
            ..held
        },
        30,
        20,
        None,
    );
    check(&job, LeaseId { job: id(2), ..held }, 30, 20, None);
    check(&waiting(), held, 30, 20, None);
    check(&done(succeed()), held, 30, 20, None);
    check(&done(release(0, false)), held, 30, 20, None);
}

#[test]
fn progress_stays_until_more_is_told() {
    let told = Progress {
        fraction: Some(0.5),
        message: None,
    };
    let mut job = running();
    for (progress, expected) in [(None, None), (Some(&told), Some(&told)), (None, Some(&told))] {
        let renewed = renew(&job, &lease(&job), s(30), progress, false, at(1)).unwrap();
        assert_eq!(renewed.lease.progress.as_ref(), expected);
        job.phase = Phase::Running(renewed.lease);
    }
}

fn held_by(job: &Job, kind: WorkerKind) -> Job {
    let mut job = job.clone();
    if let Phase::Running(lease) = &mut job.phase {
        lease.kind = kind;
    }
    job
}

#[test]
fn what_the_server_holds_is_never_shortened() {
    for kind in [WorkerKind::Push, WorkerKind::Process, WorkerKind::Function] {
        let job = held_by(&running(), kind);
        check(&job, lease(&job), 1, 20, Some(30));
        check(&job, lease(&job), 60, 20, Some(80));
        check(&job, lease(&job), 60, 290, Some(300));
    }
}

#[test]
fn a_lease_that_is_handed_over_runs_to_the_attempts_deadline() {
    for kind in [WorkerKind::Push, WorkerKind::Process, WorkerKind::Function] {
        for job in [running(), asked()] {
            let job = held_by(&job, kind);
            check_as(&job, lease(&job), 1, true, 20, Some(300));
            let renewed = renew(&job, &lease(&job), s(1), None, true, at(20)).unwrap();
            assert_eq!(
                (renewed.lease.kind, renewed.lease.term),
                (WorkerKind::Deferred, s(280))
            );
        }
    }
    for defer in [false, true] {
        let job = held_by(&running(), WorkerKind::Deferred);
        check_as(&job, lease(&job), 1, defer, 20, Some(300));
        let renewed = renew(&job, &lease(&job), s(1), None, defer, at(20)).unwrap();
        assert_eq!(
            (renewed.lease.kind, renewed.lease.term),
            (WorkerKind::Deferred, s(30))
        );
    }
    check_as(&running(), lease(&running()), 1, true, 20, Some(21));
    check_as(&waiting(), lease(&running()), 1, true, 20, None);
    check_as(&done(succeed()), lease(&running()), 1, true, 20, None);
}
