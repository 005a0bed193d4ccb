//! What the observer is told after a commit.
//!
//! Invariant: nothing of a transaction that came to nothing is told.

use std::sync::Arc;

use raincheck_core::batch::Batch;
use raincheck_core::job::Job;
use raincheck_core::output::Chunk;
use raincheck_core::store::{Change, Observer};

use crate::row::{QueueKey, QueueNames};

/// Gathered while transactions run.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) emitted: Vec<Arc<Chunk>>,
    pub(crate) advanced: Vec<Arc<Job>>,
    pub(crate) changes: Vec<Change>,
    pub(crate) batches: Vec<Arc<Batch>>,
    pub(crate) woken: Vec<QueueKey>,
}

impl Told {
    /// Where it has got to, to go back to by [`Told::forget_since`].
    pub(crate) fn place(&self) -> [usize; 4] {
        [
            self.emitted.len(),
            self.advanced.len(),
            self.changes.len(),
            self.batches.len(),
        ]
    }

    /// Forgets what came since: it was not committed. That a queue is woken for nothing harms nobody.
    pub(crate) fn forget_since(&mut self, [emitted, advanced, changes, batches]: [usize; 4]) {
        self.emitted.truncate(emitted);
        self.advanced.truncate(advanced);
        self.changes.truncate(changes);
        self.batches.truncate(batches);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.place() == [0; 4] && self.woken.is_empty()
    }

    /// Tells it, in the order that [`Observer`] promises.
    pub(crate) fn tell(mut self, observer: &dyn Observer, names: &QueueNames) {
        if !self.emitted.is_empty() {
            observer.emitted(self.emitted);
        }
        if !self.advanced.is_empty() {
            observer.advanced(self.advanced);
        }
        if !self.changes.is_empty() {
            observer.changed(self.changes);
        }
        if !self.batches.is_empty() {
            observer.batches(self.batches);
        }
        self.woken.sort_unstable();
        self.woken.dedup();
        let ready: Vec<_> = self
            .woken
            .iter()
            .filter_map(|key| names.get(key).cloned())
            .collect();
        if !ready.is_empty() {
            observer.ready(ready);
        }
    }
}
