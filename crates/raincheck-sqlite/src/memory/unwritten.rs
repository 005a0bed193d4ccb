//! Jobs whose rows are still to be written by the transaction that accepts them.
//!
//! Whoever waits for a job takes it in the very transaction that accepts it: its row is then written once, running.
//! Invariants: what is here has no row, and everything else of its job is written; it is empty before the transaction
//! commits and before anything looks at the rows; after a rollback it is empty with the rest of the memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use raincheck_core::content::Input;
use raincheck_core::job::Job;

use crate::row::QueueKey;

/// One job on its way into its row.
#[derive(Debug)]
pub(crate) struct New {
    pub(crate) queue: QueueKey,
    pub(crate) job: Arc<Job>,
    pub(crate) idempotency: Option<String>,
    /// Its input, where that goes into the row.
    pub(crate) input: Option<Input>,
}

/// All of them, in the order of the rows.
#[derive(Debug, Default)]
pub(crate) struct Unwritten(BTreeMap<u64, New>);

impl Unwritten {
    pub(crate) fn put(&mut self, new: New) {
        self.0.insert(new.job.id.seq(), new);
    }

    pub(crate) fn get(&self, seq: u64) -> Option<&New> {
        self.0.get(&seq)
    }

    /// Replaces a job by what became of it; whether it is here.
    pub(crate) fn follow(&mut self, job: &Arc<Job>) -> bool {
        let Some(new) = self.0.get_mut(&job.id.seq()) else {
            return false;
        };
        new.job = Arc::clone(job);
        true
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn take(&mut self) -> impl Iterator<Item = New> {
        std::mem::take(&mut self.0).into_values()
    }
}
