//! Submitting a finished job again.

use super::*;
use crate::decide::{NotDone, retry};

#[test]
fn a_finished_job_is_submitted_again_as_it_was_asked() {
    let options = Options {
        max_attempts: Some(7),
        keep: Some(s(9)),
        ..Options::default()
    };
    for settlement in [succeed(), fail(None), Settlement::Cancel] {
        let old = settled(&running_with(options.clone()), settlement, 10);
        let (new, repeated) = retry(&old, id(2)).unwrap();
        assert_eq!(
            new,
            NewJob {
                id: id(2),
                retry_of: Some(old.id),
                ..new_job(options.clone())
            }
        );
        let expected = Job {
            version: old.version + 1,
            retried_as: Some(id(2)),
            ..old
        };
        assert_eq!(repeated, expected, "it gains retried_as and nothing else");
        let (_, again) = retry(&repeated, id(3)).unwrap();
        assert_eq!(
            again,
            Job {
                version: expected.version + 1,
                retried_as: Some(id(3)),
                ..expected
            }
        );
    }
}

#[test]
fn an_unfinished_job_is_not_submitted_again() {
    for job in [
        waiting(),
        running(),
        asked(),
        done(fail(Some(s(0)))),
        done(release(0, false)),
    ] {
        assert_eq!(retry(&job, id(2)), Err(NotDone), "{}", show(&job));
    }
}
