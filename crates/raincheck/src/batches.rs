//! What the store tells of batches, for those who have something to do then.
//!
//! Invariant: a hint may be lost; who must know reads the store.

use std::sync::Arc;

use raincheck_core::batch::Batch;
use tokio::sync::Notify;

#[derive(Debug, Default)]
struct Registry {
    /// Rings where members of a batch are to be cancelled.
    cancelled: Notify,
}

/// What is told. Cloning gives another handle on it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Batches(Arc<Registry>);

impl Batches {
    /// Hears of batches. Called from the store's own thread, after the sync.
    pub(crate) fn tell(&self, batches: &[Arc<Batch>]) {
        if batches
            .iter()
            .any(|batch| batch.cancel_requested && !batch.done())
        {
            self.0.cancelled.notify_one();
        }
    }

    /// Waits until members of some batch are to be cancelled. A hint.
    pub(crate) async fn cancelled(&self) {
        self.0.cancelled.notified().await;
    }
}
