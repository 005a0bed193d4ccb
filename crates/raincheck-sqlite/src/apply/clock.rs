//! What goes by the time that passes follows a clock that was set: jobs that run or have a limit, and open batches, one by one.
//!
//! Invariant: each is moved once, by the decision, whatever [`back`](crate::back) has moved already of all waiting jobs at once.

use raincheck_core::decide::{ClockSet, batch_clock_was_set, clock_was_set};
use raincheck_core::job::Phase;

use crate::row::{self, Found, Left};
use crate::tx::Tx;

/// Moves the jobs that run or may become overdue. They are read from their rows: those kept beside them are older now.
pub(crate) fn move_jobs(tx: &mut Tx<'_>, set: ClockSet) -> rusqlite::Result<()> {
    for seq in tx.memory.timed() {
        let job = match row::load_key(tx.conn, &tx.memory.names, seq.cast_signed()) {
            Ok(Some(Found::Job(_, job))) => job,
            Ok(Some(Found::Gone(..)) | None) => continue,
            Err(error) => {
                tx.set_aside(seq, error, false)?;
                continue;
            }
        };
        let Some(mut next) = clock_was_set(&job, set) else {
            continue;
        };
        if matches!(job.phase, Phase::Waiting) && job.fence.0 > 0 {
            // All of these were moved at once.
            next.run_at = job.run_at;
        }
        tx.rows.write(&job, &next, Left::Nothing, None, tx.memory.moved)?;
    }
    Ok(())
}

/// Moves the ends of uploads that broke off; they are written with the end of the transaction.
pub(crate) fn move_batches(tx: &mut Tx<'_>, set: ClockSet) {
    for key in tx.memory.batch_keys() {
        if tx.memory.batch(key).is_some_and(|live| !live.batch.sealed())
            && let Some(live) = tx.memory.touch_batch(key)
        {
            batch_clock_was_set(&mut live.batch, set);
        }
    }
}
