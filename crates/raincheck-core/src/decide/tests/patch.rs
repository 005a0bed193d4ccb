//! Changing a job that has not started.

use super::*;
use crate::decide::{Patch, PatchRefused, patch};
use crate::name::Tag;

fn nothing() -> Patch {
    Patch::default()
}

#[track_caller]
fn check(job: &Job, wanted: &Patch, expected: Result<Option<&str>, PatchRefused>) {
    let next = patch(job, wanted).map(|next| next.as_ref().map(show));
    assert_eq!(next.as_ref().map(Option::as_deref), expected.as_ref().copied());
}

#[test]
fn a_job_that_waits_for_its_first_claim_changes() {
    check(&waiting(), &nothing(), Ok(None));
    check(
        &waiting(),
        &Patch {
            priority: Some(5),
            ..nothing()
        },
        Ok(None),
    );
    check(
        &waiting(),
        &Patch {
            priority: Some(4),
            ..nothing()
        },
        Ok(Some("waits for 0s, v2 a0 f0")),
    );
    check(
        &waiting(),
        &Patch {
            run_at: Some(at(60)),
            ..nothing()
        },
        Ok(Some("waits for 1m, v2 a0 f0")),
    );
    let early = Patch {
        run_at: Some(Timestamp::from_millis(0)),
        ..nothing()
    };
    check(&waiting(), &early, Ok(None));
    let wanted = Patch {
        priority: Some(0),
        tags: Some(vec![Tag::new("eu").unwrap()]),
        ..nothing()
    };
    let next = patch(&waiting(), &wanted).unwrap().unwrap();
    assert_eq!(
        (next.priority, &next.options.tags),
        (0, &vec![Tag::new("eu").unwrap()])
    );
}

#[test]
fn a_job_that_has_started_or_is_another_version_does_not() {
    let wanted = Patch {
        priority: Some(0),
        ..nothing()
    };
    for job in [
        running(),
        asked(),
        done(succeed()),
        done(fail(Some(s(0)))),
        done(release(0, false)),
    ] {
        check(&job, &wanted, Err(PatchRefused::Started));
        check(&job, &nothing(), Err(PatchRefused::Started));
    }
    let seen = |version| Patch {
        if_version: Some(version),
        ..wanted.clone()
    };
    check(&waiting(), &seen(1), Ok(Some("waits for 0s, v2 a0 f0")));
    check(&waiting(), &seen(2), Err(PatchRefused::Changed));
    check(&running(), &seen(1), Err(PatchRefused::Changed));
}
