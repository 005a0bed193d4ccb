//! The model follows a clock that is set.
//!
//! Invariant: everything that counts from something that has happened is moved in one step, and then the clock follows.

use std::sync::Arc;

use super::state::Model;
use crate::clock::Clock;
use crate::decide::{ClockSet, batch_clock_was_set, clock_was_set};
use crate::delivery::Stage;
use crate::time::Timestamp;

impl Model {
    /// Follows the clock where it was set.
    pub(super) fn follow(&mut self, clock: &dyn Clock) {
        let Some(by) = clock.set_by() else { return };
        let was = clock.now();
        let now = Timestamp::from_millis(was.as_millis().saturating_add(by));
        self.clock_was_set(ClockSet { was, now });
        clock.follow(by);
    }

    fn clock_was_set(&mut self, set: ClockSet) {
        for row in self.jobs.values_mut() {
            if let Some(next) = clock_was_set(&row.job, set) {
                row.job = Arc::new(next);
            }
        }
        for gone in self.gone.values_mut() {
            gone.until = set.moved(gone.until);
        }
        for row in self.batches.values_mut() {
            batch_clock_was_set(&mut row.batch, set);
            row.gone_until = row.gone_until.map(|until| set.moved(until));
        }
        for delivery in self.deliveries.values_mut() {
            if let Stage::Pending { next_at } = &mut delivery.stage {
                *next_at = set.moved(*next_at);
            }
        }
    }
}
