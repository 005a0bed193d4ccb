//! What follows where a job's row is found not to be as it was written, while the store is open.
//!
//! Invariant: a damaged job holds nothing up, and is named once: in the log, and for those who watch the store. What its
//! batch counts is committed with the batch's row, as every end is.

use raincheck_core::time::Timestamp;

use super::{Fault, Writer, fault};
use crate::apply::batches;
use crate::{aside, row};

impl Writer<'_> {
    /// Names the jobs that were set aside before the store was opened.
    pub(super) fn name_known(&self) {
        let found = self.memory.damaged.found();
        let known = self.memory.damaged.all().into_iter();
        known
            .filter(|seq| !found.contains(seq))
            .for_each(|seq| self.name_damaged(seq));
    }

    /// Takes over what was found beside the writer: sets it aside where that was asked for; else the store has failed.
    pub(super) fn follow_look(&mut self) {
        let Some(look) = &self.beside.look else {
            return;
        };
        for (seq, why) in look.take_found() {
            if self.memory.damaged.has(seq) {
                continue;
            }
            if look.sets_aside() {
                self.memory.set_aside(seq, why, false);
            } else {
                let refused = look.refusal(why);
                return self.fail(refused);
            }
        }
    }

    /// Names the jobs that were found not to be as they were written, has their batches count them, and frees what they held.
    pub(super) fn follow_damage(&mut self, now: Timestamp) {
        let found = self.memory.damaged.take_found();
        if found.is_empty() || self.failed.is_some() {
            return;
        }
        let place = self.told.place();
        let counted = self.count_damaged(now, &found);
        let stale = self.memory.is_stale() || counted.is_err();
        if counted.is_err() {
            self.told.forget_since(place);
        }
        let loaded = if stale { self.roll_back(now) } else { Ok(()) };
        match counted.and(loaded) {
            Ok(()) => {
                found.iter().for_each(|seq| self.name_damaged(*seq));
                if stale {
                    self.told.woken.extend(self.memory.claimable());
                }
            }
            Err(Fault::Broken { reason, .. }) => self.fail(reason),
            // Tried again with the next pass.
            Err(full_or_not @ (Fault::Full | Fault::Operation(_))) => {
                if matches!(full_or_not, Fault::Full) {
                    self.shared.space.release();
                }
                self.memory.damaged.put_back(found);
            }
        }
    }

    fn count_damaged(&mut self, now: Timestamp, found: &[u64]) -> Result<(), Fault> {
        let mut counted = || {
            self.conn.execute_batch("BEGIN IMMEDIATE")?;
            let mut tx = self.tx(now);
            for seq in found {
                let why = tx.memory.damaged.why(*seq).unwrap_or_default();
                if aside::note(tx.conn, *seq, why)? {
                    batches::member_damaged(&mut tx, *seq)?;
                }
            }
            tx.flush()
        };
        counted().map_err(|error| fault(error, false))?;
        let committed = self.conn.execute_batch("COMMIT");
        committed.map_err(|error| fault(error, true))
    }

    fn name_damaged(&self, seq: u64) {
        let tail = "SELECT tail FROM jobs WHERE seq = ?1";
        let tail = self.conn.query_row(tail, [seq.cast_signed()], |row| row.get(0));
        let id = row::id(seq.cast_signed(), tail.unwrap_or_default());
        let why = self.memory.damaged.why(seq).unwrap_or_default();
        tracing::error!(
            job.id = %id, why,
            "a job's row is damaged; it is set aside and the others go on; the disk changes bytes: move to another one, and \
             restore a backup to have this job back"
        );
        self.shared.vitals.set_aside(id);
    }
}
