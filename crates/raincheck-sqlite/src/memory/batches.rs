//! Batches that are not done, as the writer keeps them in RAM.
//!
//! Invariant: what is kept here is what the rows say once the transaction's changes were [written](LiveBatch::touched); a
//! batch that is done is not kept.

use raincheck_core::batch::{Batch, BatchStatus, Ends};
use raincheck_core::store::Counts;

use super::Memory;

/// A batch's key in the table `batches`.
pub(crate) type BatchKey = u64;

/// One batch.
#[derive(Clone, Debug)]
pub(crate) struct LiveBatch {
    pub(crate) batch: Batch,
    /// While its members are being cancelled: up to which they are.
    pub(crate) cancel_from: Option<u64>,
    /// How many of its rejected lines its row tells of.
    pub(crate) refusals_written: usize,
    /// Members that wait for their `run_at`.
    scheduled: u64,
    running: u64,
    /// Whether its row is older than this.
    touched: bool,
}

impl LiveBatch {
    pub(crate) const fn new(batch: Batch, cancel_from: Option<u64>) -> Self {
        let refusals_written = batch.refusals.len();
        Self {
            batch,
            cancel_from,
            refusals_written,
            scheduled: 0,
            running: 0,
            touched: false,
        }
    }

    /// The batch with its counts.
    pub(crate) fn status(&self) -> BatchStatus {
        let waiting = self.batch.remaining().saturating_sub(self.running);
        let mut counts = ended(self.batch.ends);
        counts.scheduled = self.scheduled.min(waiting);
        counts.queued = waiting - counts.scheduled;
        counts.running = self.running;
        BatchStatus {
            batch: std::sync::Arc::new(self.batch.clone()),
            counts,
        }
    }
}

/// The counts of a batch of which nothing remains.
pub(crate) fn ended(ends: Ends) -> Counts {
    Counts {
        succeeded: ends.succeeded,
        failed: ends.failed,
        cancelled: ends.cancelled,
        expired: ends.expired,
        ..Counts::default()
    }
}

impl Memory {
    /// Keeps a batch that is not done.
    pub(crate) fn put_batch(&mut self, live: LiveBatch) {
        self.batches.insert(live.batch.id.seq(), live);
    }

    /// A batch that is not done.
    pub(crate) fn batch(&self, key: BatchKey) -> Option<&LiveBatch> {
        self.batches.get(&key)
    }

    /// A batch that is not done, to be changed; its row follows with the end of the transaction.
    pub(crate) fn touch_batch(&mut self, key: BatchKey) -> Option<&mut LiveBatch> {
        let live = self.batches.get_mut(&key)?;
        if !std::mem::replace(&mut live.touched, true) {
            self.touched_batches.push(key);
        }
        Some(live)
    }

    /// The batch is done.
    pub(crate) fn drop_batch(&mut self, key: BatchKey) -> Option<LiveBatch> {
        self.batches.remove(&key)
    }

    /// The batches whose rows are older than what is kept here; from now on they are not.
    pub(crate) fn take_touched_batches(&mut self) -> Vec<BatchKey> {
        let touched = std::mem::take(&mut self.touched_batches);
        for key in &touched {
            if let Some(live) = self.batches.get_mut(key) {
                live.touched = false;
            }
        }
        touched
    }

    /// The keys of all that are kept.
    pub(crate) fn batch_keys(&self) -> Vec<BatchKey> {
        let mut keys: Vec<_> = self.batches.keys().copied().collect();
        keys.sort_unstable();
        keys
    }

    /// A member waits for its `run_at`, or does so no longer.
    pub(super) fn member_scheduled(&mut self, batch: Option<BatchKey>, scheduled: bool) {
        if let Some(live) = batch.and_then(|key| self.batches.get_mut(&key)) {
            count(&mut live.scheduled, scheduled);
        }
    }

    /// A member runs, or does so no longer.
    pub(super) fn member_runs(&mut self, batch: Option<BatchKey>, runs: bool) {
        if let Some(live) = batch.and_then(|key| self.batches.get_mut(&key)) {
            count(&mut live.running, runs);
        }
    }
}

fn count(number: &mut u64, more: bool) {
    *number = if more {
        *number + 1
    } else {
        number.saturating_sub(1)
    };
}
