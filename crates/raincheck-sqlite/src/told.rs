//! What the observer is told after a commit, and by whom.
//!
//! Whoever waits is woken from the thread that runs it: to wake a task from another thread costs a system call, a
//! thousand tasks a thousand of them. So the writer leaves what there is to tell in the outbox, and the task that
//! delivers a round's answers tells it before them. Invariants: nothing of a transaction that came to nothing is told;
//! what is told comes in the order of the commits, one at a time, and before the answers of the same commit.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use raincheck_core::batch::Batch;
use raincheck_core::job::Job;
use raincheck_core::output::Chunk;
use raincheck_core::store::{Change, Observer};

use crate::fresh::Step;
use crate::row::{QueueKey, QueueNames};

/// Gathered while transactions run.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) emitted: Vec<Arc<Chunk>>,
    pub(crate) advanced: Vec<Arc<Job>>,
    pub(crate) changes: Vec<Change>,
    pub(crate) batches: Vec<Arc<Batch>>,
    pub(crate) woken: Vec<QueueKey>,
    /// What those who ask are told from now on.
    pub(crate) fresh: Vec<Step>,
}

impl Told {
    /// Where it has got to, to go back to by [`Told::forget_since`].
    pub(crate) fn place(&self) -> [usize; 5] {
        let Self {
            emitted,
            advanced,
            changes,
            batches,
            fresh,
            ..
        } = self;
        [
            emitted.len(),
            advanced.len(),
            changes.len(),
            batches.len(),
            fresh.len(),
        ]
    }

    /// Forgets what came since: it was not committed. That a queue is woken for nothing harms nobody.
    pub(crate) fn forget_since(&mut self, [emitted, advanced, changes, batches, fresh]: [usize; 5]) {
        self.emitted.truncate(emitted);
        self.advanced.truncate(advanced);
        self.changes.truncate(changes);
        self.batches.truncate(batches);
        self.fresh.truncate(fresh);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.place() == [0; 5] && self.woken.is_empty()
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

/// What is to be told, in the order of the commits.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    observer: RwLock<Option<Arc<dyn Observer>>>,
    waiting: Mutex<VecDeque<(Told, Arc<QueueNames>)>>,
    /// Held by who tells, so that nobody overtakes.
    telling: Mutex<()>,
}

impl Outbox {
    /// From here on this one is told, and no other.
    pub(crate) fn set_observer(&self, observer: Arc<dyn Observer>) {
        *self.observer.write().unwrap_or_else(PoisonError::into_inner) = Some(observer);
    }

    /// Who is told.
    pub(crate) fn observer(&self) -> Option<Arc<dyn Observer>> {
        self.observer
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Leaves what a commit has to tell.
    pub(crate) fn put(&self, told: Told, names: &Arc<QueueNames>) {
        if !told.is_empty() {
            self.waiting().push_back((told, Arc::clone(names)));
        }
    }

    /// Tells everything that was left before this call.
    pub(crate) fn tell(&self) {
        let _alone = self.telling.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            // The lock is free again while the observer is told.
            let next = self.waiting().pop_front();
            let Some((told, names)) = next else { return };
            if let Some(observer) = self.observer() {
                told.tell(&*observer, &names);
            }
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, VecDeque<(Told, Arc<QueueNames>)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
