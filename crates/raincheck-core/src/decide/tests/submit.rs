//! Accepting a job, and recognising a repeated request.

use super::*;
use crate::decide::{IdempotencyMatch, idempotency};

fn check(run_at: Option<Timestamp>, delay: Option<Duration>, expected: &str) {
    let job = submit_job(&NewJob {
        run_at,
        delay,
        ..new_job(Options::default())
    });
    assert_eq!(show(&job), expected, "run_at {run_at:?}, delay {delay:?}");
    assert_eq!((job.created_at, job.started_at), (at(0), None));
}

#[test]
fn a_job_waits_for_its_earliest_start() {
    check(None, None, "waits for 0s, v1 a0 f0");
    check(Some(at(60)), None, "waits for 1m, v1 a0 f0");
    check(None, Some(s(90)), "waits for 1m30s, v1 a0 f0");
    check(Some(Timestamp::from_millis(0)), None, "waits for 0s, v1 a0 f0");
    check(
        None,
        Some(Duration::MAX),
        &format!("waits for {}, v1 a0 f0", after(Timestamp::MAX)),
    );
}

#[test]
fn a_job_is_what_was_asked() {
    let options = Options {
        max_attempts: Some(2),
        ..Options::default()
    };
    let new = NewJob {
        priority: 1,
        retry_of: Some(id(9)),
        ..new_job(options.clone())
    };
    let job = submit_job(&new);
    assert_eq!((job.id, job.priority, job.retry_of), (new.id, 1, Some(id(9))));
    assert_eq!(
        (job.namespace, job.queue, job.group, job.options),
        (new.namespace, new.queue, new.group, options.into())
    );
}

#[test]
fn a_request_is_repeated_when_every_byte_of_its_fingerprint_is() {
    assert_eq!(idempotency(&[1; 32], &[1; 32]), IdempotencyMatch::Replay);
    for n in 0..32 {
        let mut other = [1; 32];
        other[n] = 2;
        assert_eq!(
            idempotency(&[1; 32], &other),
            IdempotencyMatch::Mismatch,
            "byte {n}"
        );
    }
}
