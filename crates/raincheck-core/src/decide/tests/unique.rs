//! Who holds a unique value, and what comes of a second job with it.

use super::*;
use crate::decide::{Cancelled, Contest, REPLACED, cancel, contest, expire, holds, retry};
use crate::name::UniqueValue;
use crate::unique::{Hold, OnConflict, Unique};

fn unique(hold: Hold, on_conflict: OnConflict) -> Options {
    Options {
        unique: Some(Unique {
            value: UniqueValue::new("u").unwrap(),
            hold,
            on_conflict,
        }),
        ..Options::default()
    }
}

fn cancelled(job: &Job) -> Job {
    let Cancelled::Ended(job) = cancel(job, &policy(), at(10)) else {
        panic!("a waiting job is cancelled at once");
    };
    job
}

/// Whether a job of this kind holds its value while it waits, runs, waits after a failed attempt, and is done.
fn check(hold: Hold, expected: [bool; 5]) {
    let options = unique(hold, OnConflict::Reject);
    let waiting = waiting_with(options.clone());
    let running = running_with(options);
    let again = settled(&running, fail(Some(s(0))), 10);
    let done = settled(&running, succeed(), 10);
    let unstarted = cancelled(&waiting);
    let held = [waiting, running, again, done, unstarted].map(|job| holds(&job));
    assert_eq!(held, expected, "{hold:?}");
}

#[test]
fn a_job_holds_its_value_for_as_long_as_it_asked() {
    check(Hold::Queued, [true, false, false, false, false]);
    check(Hold::Active, [true, true, true, false, false]);
    check(Hold::Kept, [true, true, true, true, true]);
    assert!(!holds(&waiting()), "a job without a value holds none");
}

#[test]
fn an_expired_job_lets_go_unless_it_is_to_be_kept() {
    for (hold, expected) in [(Hold::Queued, false), (Hold::Active, false), (Hold::Kept, true)] {
        let options = Options {
            start_before: Some(s(1)),
            ..unique(hold, OnConflict::Reject)
        };
        let job = expire(&waiting_with(options), &policy(), at(1)).unwrap();
        assert_eq!(holds(&job), expected, "{hold:?}");
    }
}

fn newcomer(on_conflict: OnConflict) -> NewJob {
    NewJob {
        id: id(2),
        ..new_job(unique(Hold::Active, on_conflict))
    }
}

#[test]
fn the_newcomer_says_what_comes_of_a_conflict() {
    let contest = |holder: &Job, wanted| contest(holder, &newcomer(wanted), &policy(), at(10));
    for hold in [Hold::Queued, Hold::Active, Hold::Kept] {
        let options = unique(hold, OnConflict::Attach);
        let waiting = waiting_with(options.clone());
        let running = running_with(options);
        let again = settled(&running, fail(Some(s(0))), 10);
        let done = settled(&running, succeed(), 10);
        let refused = Contest::Refused(waiting.id);
        for holder in [&waiting, &running, &again, &done] {
            assert_eq!(contest(holder, OnConflict::Reject), refused);
            assert_eq!(contest(holder, OnConflict::Attach), Contest::Attached);
        }
        for holder in [&running, &again, &done, &cancelled(&waiting)] {
            assert_eq!(contest(holder, OnConflict::Replace), refused, "{}", show(holder));
        }
        let Contest::Replaced(ended) = contest(&waiting, OnConflict::Replace) else {
            panic!("a job that has not started makes room");
        };
        assert_eq!(
            show(&ended),
            "cancelled at 10s kept until 16m50s, v2 a0 f0, to stop, replaced"
        );
        assert!(!holds(&ended), "{hold:?}");
    }
}

#[test]
fn no_handler_can_make_a_kept_job_let_go() {
    let running = running_with(unique(Hold::Kept, OnConflict::Reject));
    let said = Settlement::Fail {
        failure: Failure::new(REPLACED, "so I say"),
        retry: None,
        result: None,
        timed_out: false,
    };
    assert!(holds(&settled(&running, said, 10)));
}

#[test]
fn a_retry_by_hand_takes_the_value_of_the_job_it_repeats_and_of_no_other() {
    let options = unique(Hold::Kept, OnConflict::Replace);
    let old = settled(&running_with(options.clone()), fail(None), 10);
    let (new, repeated) = retry(&old, id(2)).unwrap();
    let contest = |holder: &Job| contest(holder, &new, &policy(), at(20));
    assert_eq!(contest(&old), Contest::TakenOver);
    assert!(
        holds(&submit_job(&new)) && !holds(&repeated),
        "one of the two holds it"
    );
    let other = submit_job(&NewJob {
        id: id(3),
        ..new_job(options)
    });
    assert_eq!(contest(&other), Contest::Refused(other.id));
}
