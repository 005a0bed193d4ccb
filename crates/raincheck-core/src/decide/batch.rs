//! A batch's life: opened, filled line by line, sealed or cancelled, done.
//!
//! Invariants: lines are taken in order, each once; a batch that was cancelled or sealed takes none; it is done by the
//! step after which it is sealed and nothing remains, exactly once.

use std::time::Duration;

use crate::batch::{Batch, BatchRefused, Ends, NewBatch, REFUSALS_SHOWN, Refusal, Stage};
use crate::delivery::{Delivery, DeliveryId, Event, Stage as DeliveryStage};
use crate::job::Outcome;
use crate::name::Namespace;
use crate::size::ByteSize;
use crate::store::SubmitRefused;
use crate::time::Timestamp;

/// How long an upload that broke off may be taken up again, unless said otherwise.
pub const UPLOAD_TERM: Duration = Duration::from_secs(3600);

/// How long a batch stays unless said otherwise: as long as its jobs would by default.
const KEEP: Duration = Duration::from_secs(24 * 3600);

/// The same where a member failed.
const KEEP_FAILED: Duration = Duration::from_secs(7 * 86_400);

/// The code of a line that stands for a job outside of the batch.
const REPEATED: &str = "already-submitted";

/// The batch as it is opened.
#[must_use]
pub fn open_batch(new: &NewBatch, namespace: &Namespace, now: Timestamp) -> Batch {
    Batch {
        id: new.id,
        namespace: namespace.clone(),
        created_at: now,
        keep: new.keep,
        open_for: new.open_for,
        callback: new.callback.clone(),
        stage: Stage::Open {
            until: now.plus(new.open_for.unwrap_or(UPLOAD_TERM)),
        },
        cancel_requested: false,
        lines: 0,
        rejected: 0,
        refusals: Vec::new(),
        ends: Ends::default(),
    }
}

/// Begins to take `count` lines of which the first has the index `first`: how many of them were taken before and are
/// to be skipped. An upload that goes on has its whole term before it again.
///
/// # Errors
/// Where the batch takes no more, or lines between are missing.
pub fn take_lines(batch: &mut Batch, first: u64, count: u64, now: Timestamp) -> Result<u64, BatchRefused> {
    let lines = batch.lines;
    if first > lines {
        return Err(BatchRefused::Gap { lines });
    }
    let skip = (lines - first).min(count);
    match batch.stage {
        _ if batch.cancel_requested => Err(BatchRefused::Cancelled),
        Stage::Open { .. } => {
            batch.stage = Stage::Open {
                until: now.plus(batch.open_for.unwrap_or(UPLOAD_TERM)),
            };
            Ok(skip)
        }
        Stage::Sealed | Stage::Done { .. } if skip == count => Ok(skip),
        Stage::Sealed | Stage::Done { .. } => Err(BatchRefused::Sealed { lines }),
    }
}

/// Counts the next line: it made a job, or not.
pub fn count_line(batch: &mut Batch, refused: Option<(String, String)>) {
    let index = batch.lines;
    batch.lines += 1;
    if let Some((code, detail)) = refused {
        batch.rejected += 1;
        if batch.refusals.len() < REFUSALS_SHOWN {
            batch.refusals.push(Refusal { index, code, detail });
        }
    }
}

/// What a line comes to that the store refused: code and detail.
#[must_use]
pub fn refused_line(queue: &str, why: SubmitRefused) -> (String, String) {
    let (code, detail) = match why {
        SubmitRefused::UnknownQueue => ("unknown-queue", format!("there is no queue {queue:?}")),
        SubmitRefused::QueueFull { depth } => (
            "queue-full",
            format!("queue {queue:?} holds {depth} jobs, its limit"),
        ),
        SubmitRefused::QueueBytesFull { depth_bytes } => (
            "queue-full",
            format!(
                "with this input queue {queue:?} would hold more than {}, its depth_bytes",
                ByteSize(depth_bytes)
            ),
        ),
        SubmitRefused::IdempotencyMismatch => (
            "idempotency-mismatch",
            "the idempotency key was used by another request".to_owned(),
        ),
        SubmitRefused::UniqueConflict { holder } => {
            ("unique-conflict", format!("{holder} holds the unique value"))
        }
    };
    (code.to_owned(), detail)
}

/// What a line comes to that stands for a job which is there already: under its idempotency key, or as the holder of its
/// unique value. A job belongs to the batch that made it, so the line has none.
#[must_use]
pub fn repeated_line(job: impl std::fmt::Display) -> (String, String) {
    let detail = format!("{job} stands for it, and is not of this batch");
    (REPEATED.to_owned(), detail)
}

/// Ends the upload, which had `lines` lines. Sealing again changes nothing.
///
/// # Errors
/// Where the batch was cancelled, or has another number of lines.
pub fn seal_batch(batch: &mut Batch, lines: u64) -> Result<(), BatchRefused> {
    if batch.cancel_requested {
        return Err(BatchRefused::Cancelled);
    }
    let taken = batch.lines;
    match batch.stage {
        Stage::Open { .. } if lines == taken => batch.stage = Stage::Sealed,
        Stage::Open { .. } => return Err(BatchRefused::Gap { lines: taken }),
        Stage::Sealed | Stage::Done { .. } if lines == taken => {}
        Stage::Sealed | Stage::Done { .. } => return Err(BatchRefused::Sealed { lines: taken }),
    }
    Ok(())
}

/// Has everything of the batch stop; it takes no more lines. Whether that is new.
pub const fn cancel_batch(batch: &mut Batch) -> bool {
    if batch.done() || batch.cancel_requested {
        return false;
    }
    batch.cancel_requested = true;
    batch.stage = Stage::Sealed;
    true
}

/// Cancels a batch whose upload broke off and was not taken up again in time. Whether it was.
pub fn abandon_batch(batch: &mut Batch, now: Timestamp) -> bool {
    match batch.stage {
        Stage::Open { until } if until <= now => cancel_batch(batch),
        Stage::Open { .. } | Stage::Sealed | Stage::Done { .. } => false,
    }
}

/// Counts a member that has just ended: its place in the order of ends, from 1.
pub const fn count_end(batch: &mut Batch, outcome: Outcome) -> u64 {
    *batch.ends.of(outcome) += 1;
    batch.ends.total()
}

/// Ends the batch where it is sealed and nothing remains: whether it was ended by this, and what it makes by that.
pub fn finish_batch(batch: &mut Batch, now: Timestamp) -> Option<Option<Delivery>> {
    if !matches!(batch.stage, Stage::Sealed) || batch.remaining() > 0 {
        return None;
    }
    let default = if batch.ends.failed > 0 { KEEP_FAILED } else { KEEP };
    batch.stage = Stage::Done {
        finished_at: now,
        expires_at: now.plus(batch.keep.unwrap_or(default)),
    };
    let made = |url: &String| Delivery {
        id: DeliveryId::Batch(batch.id),
        namespace: batch.namespace.clone(),
        url: url.clone(),
        event: Event::BatchCompleted,
        created_at: now,
        stage: DeliveryStage::Pending { next_at: now },
        tries: 0,
        tries_before: 0,
        held: 0,
        asked_at: None,
        last: None,
    };
    Some(batch.callback.as_ref().map(made))
}
