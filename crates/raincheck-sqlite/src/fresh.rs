//! What was committed last of the jobs that move now, for those who ask: whoever submits asks for the result at once, and
//! a query by another thread would cost more than all the rest of the answer.
//!
//! Invariant: what is kept here is the newest committed state of its job. Every transition that a commit made durable is
//! taken in before anybody hears of that commit; what is not known whole, or goes, is dropped.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use raincheck_core::id::JobId;
use raincheck_core::job::Job;
use raincheck_core::name::Namespace;
use raincheck_core::store::Change;

use crate::recent::Recent;

/// The largest result kept with its job.
const RESULT_BYTES_MAX: usize = 1024;

/// What a transaction does to what is kept.
#[derive(Debug)]
pub(crate) enum Step {
    /// The job with its result is this from now on.
    Put(Change),
    /// What was known of the job with this first half of an id is no longer so.
    Drop(u64),
}

impl Step {
    /// The step of a job that moved, where its result is not at hand.
    pub(crate) fn moved(job: &Arc<Job>) -> Self {
        if job.done() {
            Self::Drop(job.id.seq())
        } else {
            Self::Put(Change {
                job: job.clone(),
                result: None,
            })
        }
    }

    /// The step of a job whose result, where there is one, is in the change; `None` where it is too large to be kept.
    pub(crate) fn told(change: &Change) -> Option<Self> {
        let large = |change: &Change| {
            let result = change.result.as_ref();
            result.is_some_and(|result| result.body.len() > RESULT_BYTES_MAX || !result.headers.is_empty())
        };
        (!large(change)).then(|| Self::Put(change.clone()))
    }
}

/// Jobs as they were last committed. See the module.
#[derive(Debug)]
pub(crate) struct Fresh(Mutex<Recent<Change>>);

impl Fresh {
    /// Keeps at most so many jobs.
    pub(crate) fn new(jobs_max: usize) -> Self {
        Self(Mutex::new(Recent::new(jobs_max)))
    }

    fn lock(&self) -> MutexGuard<'_, Recent<Change>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what a commit did.
    pub(crate) fn take_in(&self, steps: Vec<Step>) {
        if steps.is_empty() {
            return;
        }
        let mut kept = self.lock();
        for step in steps {
            match step {
                Step::Put(change) => kept.put(change.job.id.seq(), change),
                Step::Drop(seq) => drop(kept.take(seq)),
            }
        }
    }

    /// The job, where it is kept.
    pub(crate) fn get(&self, ns: &Namespace, id: JobId) -> Option<Change> {
        let kept = self.lock();
        let change = kept.get(id.seq())?;
        (change.job.id == id && change.job.namespace == *ns).then(|| change.clone())
    }

    /// The job with this first half of an id, where it has ended and is kept. All that may have changed of it since is
    /// that it was retried, or is gone.
    pub(crate) fn ended(&self, seq: u64) -> Option<Change> {
        let kept = self.lock();
        kept.get(seq).filter(|change| change.job.done()).cloned()
    }

    /// Drops all: rows were changed beside it.
    pub(crate) fn clear(&self) {
        let mut kept = self.lock();
        *kept = Recent::new(kept.capacity());
    }

    /// Drops all, and keeps nothing from now on: the store is closed.
    pub(crate) fn close(&self) {
        *self.lock() = Recent::new(0);
    }
}
