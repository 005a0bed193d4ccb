//! Which jobs an action on many is for.

use super::*;
use crate::decide::BulkAction::{Cancel, Delete, Retry};
use crate::decide::BulkMatch::{Due, Other, Over};
use crate::decide::{BulkAction, BulkMatch, Cancelled, bulk, cancel, retry, stood};
use crate::job::State;
use crate::list::Filter;

/// A job that is claimed at 10 s, fails at 20 s, is due again at 30 s, is claimed at 40 s and succeeds at 50 s; as it is
/// after so many of these steps.
fn life(steps: usize) -> Job {
    let mut job = waiting();
    if steps > 0 {
        job = claim_job(&job, &claimer(), NONCE, &policy(), at(10)).unwrap();
    }
    if steps > 1 {
        job = settled(&job, fail(Some(s(10))), 20);
    }
    if steps > 2 {
        job = claim_job(&job, &claimer(), NONCE, &policy(), at(40)).unwrap();
    }
    if steps > 3 {
        job = settled(&job, succeed(), 50);
    }
    job
}

#[test]
fn a_document_tells_where_its_job_stood() {
    for steps in 0..=4 {
        let job = life(steps);
        let known = [10, 20, 40, 50, u64::MAX][steps];
        for (second, state) in [
            (0, State::Queued),
            (9, State::Queued),
            (10, State::Running),
            (19, State::Running),
            (40, State::Running),
            (49, State::Running),
            (50, State::Succeeded),
        ] {
            if second < known {
                assert_eq!(
                    stood(&job, at(second)),
                    state,
                    "at {second} s, after {steps} steps"
                );
            }
        }
    }
    let failed_once = life(2);
    assert_eq!(stood(&failed_once, at(20)), State::Scheduled);
    assert_eq!(stood(&failed_once, at(30)), State::Queued);
    let delayed = submit_job(&NewJob {
        delay: Some(s(60)),
        ..new_job(Options::default())
    });
    assert_eq!(stood(&delayed, at(59)), State::Scheduled);
    assert_eq!(stood(&delayed, at(60)), State::Queued);
}

/// What a job is to an action that was previewed at fifteen seconds.
fn check(job: &Job, action: BulkAction, state: Option<State>, expected: BulkMatch) {
    let filter = Filter {
        state,
        ..Filter::default()
    };
    let found = bulk(job, action, &filter, at(15));
    assert_eq!(found, expected, "{action:?} {state:?}: {}", show(job));
}

#[test]
fn what_came_to_match_after_the_preview_is_left_alone() {
    let failed_later = settled(&running(), fail(None), 20);
    check(&failed_later, Retry, None, Other);
    check(&failed_later, Delete, None, Other);
    check(&failed_later, Retry, Some(State::Failed), Other);
    let started_later = claim_job(&waiting(), &claimer(), NONCE, &policy(), at(16)).unwrap();
    check(&started_later, Cancel, Some(State::Running), Other);
    check(&started_later, Cancel, Some(State::Queued), Due);
}

#[test]
fn what_matched_then_is_acted_on_while_there_is_something_to_do() {
    check(&waiting(), Cancel, None, Due);
    check(&running(), Cancel, None, Due);
    check(&running(), Cancel, Some(State::Running), Due);
    check(&asked(), Cancel, None, Over);
    check(&settled(&running(), succeed(), 20), Cancel, None, Over);
    check(&settled(&running(), succeed(), 10), Cancel, None, Other);
    let failed = settled(&running(), fail(None), 10);
    check(&failed, Retry, None, Due);
    check(&failed, Delete, None, Due);
    check(&failed, Delete, Some(State::Succeeded), Other);
    let (_, retried) = retry(&failed, id(2)).unwrap();
    check(&retried, Retry, None, Over);
    check(&retried, Delete, None, Due);
    let succeeded = settled(&running(), succeed(), 10);
    check(&succeeded, Retry, None, Other);
    check(&succeeded, Retry, Some(State::Succeeded), Due);
    let Cancelled::Ended(cancelled) = cancel(&waiting(), &policy(), at(12)) else {
        panic!("a waiting job is cancelled at once");
    };
    check(&cancelled, Retry, None, Other);
    check(&cancelled, Retry, Some(State::Cancelled), Due);
}
