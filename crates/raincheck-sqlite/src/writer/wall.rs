//! What follows where the host's time is set while the store is open.
//!
//! Invariant: the clock follows only once what goes by the time that passes was moved along, in one transaction.

use raincheck_core::decide::ClockSet;
use raincheck_core::store::Trouble;
use raincheck_core::time::Timestamp;

use super::{Fault, Writer, fault};
use crate::apply::clock;
use crate::back;

impl Writer<'_> {
    /// Follows the host's time, which was set by so many milliseconds. Where that cannot be moved along now, it is tried
    /// again; until then the time goes on as if nothing had happened.
    pub(super) fn follow_wall(&mut self, by: i64) {
        let now = self.clock.now();
        let then = Timestamp::from_millis(now.as_millis().saturating_add(by));
        tracing::warn!(%now, %then, "the host's clock was set; due times follow it; leases, backoffs, limits and retention do not");
        let place = self.told.place();
        let moved = self.move_along(ClockSet { was: now, now: then });
        if moved.is_ok() {
            self.clock.follow(by);
            self.shared.fresh.clear();
        } else {
            self.told.forget_since(place);
        }
        let loaded = self.roll_back(if moved.is_ok() { then } else { now });
        match moved.and(loaded) {
            Ok(()) => self.told.woken.extend(self.memory.claimable()),
            Err(Fault::Full) => {
                self.shared.vitals.count(Trouble::Full);
                self.shared.space.release();
            }
            Err(Fault::Broken { reason, .. }) => self.fail(reason),
            Err(Fault::Operation(error)) => {
                tracing::warn!(%error, "what goes by the time that passes could not be moved yet")
            }
        }
    }

    fn move_along(&mut self, set: ClockSet) -> Result<(), Fault> {
        let mut moved = || {
            self.conn.execute_batch("BEGIN IMMEDIATE")?;
            back::meanwhile(self.conn, set)?;
            let mut tx = self.tx(set.was);
            clock::move_jobs(&mut tx, set)?;
            clock::move_batches(&mut tx, set);
            tx.flush()?;
            back::keep_due(self.conn, set)
        };
        moved().map_err(|error| fault(error, false))?;
        let committed = self.conn.execute_batch("COMMIT");
        committed.map_err(|error| fault(error, true))
    }
}
