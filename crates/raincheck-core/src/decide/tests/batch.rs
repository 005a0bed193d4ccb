//! What a batch takes, when it is done, and what it tells then.

use super::*;
use crate::batch::{Batch, BatchId, BatchRefused, NewBatch, Stage};
use crate::decide::{
    UPLOAD_TERM, abandon_batch, cancel_batch, count_end, count_line, finish_batch, open_batch, seal_batch,
    take_lines,
};
use crate::delivery::{DeliveryId, Event};
use crate::job::Outcome;

fn open() -> Batch {
    let new = NewBatch {
        id: BatchId::new(id(1)),
        keep: None,
        open_for: None,
        callback: Some("https://example.org/".to_owned()),
        idempotency: None,
    };
    open_batch(&new, &Namespace::default(), at(0))
}

/// A batch with so many members.
fn with(members: u64) -> Batch {
    let mut batch = open();
    (0..members).for_each(|_| count_line(&mut batch, None));
    batch
}

#[test]
fn lines_are_taken_in_order_and_each_once() {
    for (first, count, answer) in [
        (0, 3, Ok(3)),
        (0, 5, Ok(4)),
        (4, 2, Ok(0)),
        (2, 1, Ok(1)),
        (4, 0, Ok(0)),
        (5, 1, Err(BatchRefused::Gap { lines: 4 })),
    ] {
        assert_eq!(
            take_lines(&mut with(4), first, count, at(0)),
            answer,
            "{first} {count}"
        );
    }
}

#[test]
fn an_upload_that_goes_on_has_its_whole_term_again() {
    let mut batch = with(1);
    take_lines(&mut batch, 1, 1, at(3000)).unwrap();
    assert!(!abandon_batch(&mut batch, at(3600)));
    assert!(!abandon_batch(&mut batch, at(3000).plus(UPLOAD_TERM - s(1))));
    assert!(abandon_batch(&mut batch, at(3000).plus(UPLOAD_TERM)));
    assert!(batch.sealed() && batch.cancel_requested);
    assert_eq!(take_lines(&mut batch, 1, 1, at(0)), Err(BatchRefused::Cancelled));
    assert!(!abandon_batch(&mut batch, at(9000)), "once");
    batch = with(1);
    batch.open_for = Some(s(10));
    take_lines(&mut batch, 1, 1, at(3000)).unwrap();
    assert!(!abandon_batch(&mut batch, at(3009)) && abandon_batch(&mut batch, at(3010)));
}

#[test]
fn a_batch_is_sealed_with_the_lines_it_has() {
    let mut batch = with(2);
    assert_eq!(seal_batch(&mut batch, 3), Err(BatchRefused::Gap { lines: 2 }));
    assert_eq!(seal_batch(&mut batch, 1), Err(BatchRefused::Gap { lines: 2 }));
    assert_eq!(seal_batch(&mut batch, 2), Ok(()));
    assert_eq!(seal_batch(&mut batch, 2), Ok(()));
    assert_eq!(seal_batch(&mut batch, 3), Err(BatchRefused::Sealed { lines: 2 }));
    assert_eq!(take_lines(&mut batch, 1, 1, at(0)), Ok(1));
    assert_eq!(
        take_lines(&mut batch, 1, 2, at(0)),
        Err(BatchRefused::Sealed { lines: 2 })
    );
    let mut cancelled = with(2);
    assert!(cancel_batch(&mut cancelled));
    assert!(!cancel_batch(&mut cancelled), "again");
    assert_eq!(seal_batch(&mut cancelled, 2), Err(BatchRefused::Cancelled));
}

#[test]
fn it_is_done_once_when_it_is_sealed_and_nothing_remains() {
    let mut batch = with(2);
    count_line(&mut batch, Some(("bad-request".to_owned(), String::new())));
    assert_eq!(count_end(&mut batch, Outcome::Succeeded), 1);
    assert_eq!(count_end(&mut batch, Outcome::Failed), 2);
    assert_eq!(finish_batch(&mut batch, at(5)), None, "it is open");
    seal_batch(&mut batch, 3).unwrap();
    let told = finish_batch(&mut batch, at(5)).unwrap().unwrap();
    assert_eq!(
        (told.id, told.event),
        (DeliveryId::Batch(batch.id), Event::BatchCompleted)
    );
    let expected = Stage::Done {
        finished_at: at(5),
        expires_at: at(5).plus(s(7 * 86_400)),
    };
    assert_eq!(batch.stage, expected, "a failure is kept longer");
    assert_eq!(finish_batch(&mut batch, at(6)), None);
    assert!(!cancel_batch(&mut batch), "what is done stays as it is");
}

#[test]
fn while_a_member_is_left_it_is_not_done() {
    let mut batch = with(2);
    seal_batch(&mut batch, 2).unwrap();
    assert_eq!(finish_batch(&mut batch, at(1)), None);
    count_end(&mut batch, Outcome::Expired);
    assert_eq!(finish_batch(&mut batch, at(1)), None);
    count_end(&mut batch, Outcome::Cancelled);
    assert!(finish_batch(&mut batch, at(1)).is_some());
}
