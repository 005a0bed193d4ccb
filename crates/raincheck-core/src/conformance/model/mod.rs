//! The model: a [`Store`] that keeps everything in plain maps behind one lock, made to be obviously right.
//!
//! Invariants: every operation is one critical section and its answer is ready when the method returns; whatever is
//! decided is decided by [`decide`](crate::decide) and [`limit`](crate::limit). It scans all it has on nearly every
//! call, so it is for tests of up to some thousand jobs.

mod acts;
mod batches;
#[cfg(test)]
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "each place deals with the faults it knows"
)]
pub(super) mod broken;
mod change;
mod claim;
mod clock;
mod deliveries;
mod emit;
mod keys;
mod limits;
mod list;
mod operations;
mod queues;
mod secrets;
mod state;
mod submit;
mod upkeep;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::audit::Act;
use crate::clock::Clock;
use crate::id::IdGenerator;
use crate::store::{Answer, Observer, StoreError};
use crate::time::Timestamp;
pub(super) use state::Model;

/// A store in memory. Nothing of it survives its last handle; [`ModelStore::reopened`] plays a durable store's
/// opening.
pub struct ModelStore {
    clock: Arc<dyn Clock>,
    ids: Arc<IdGenerator>,
    inner: Arc<Mutex<Inner>>,
    /// What is done through this handle.
    act: Option<Act>,
}

#[derive(Default)]
struct Inner {
    model: Model,
    observer: Option<Arc<dyn Observer>>,
    /// Why nothing is taken any more.
    down: Option<StoreError>,
    /// Stands for randomness in ids, which must only differ.
    minted: u64,
}

impl ModelStore {
    /// An empty store.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            ids: Arc::new(IdGenerator::after(0)),
            inner: Arc::default(),
            act: None,
        }
    }

    /// What a durable store would be if it were opened after this one ended: the same jobs, attempts of the former
    /// process over and counted, pull leases with their full term. `seed` brings the jitter of the delays.
    #[must_use]
    pub fn reopened(&self, seed: u64) -> Self {
        let old = self.lock();
        let mut model = old.model.clone();
        model.reopen(seed, self.clock.now());
        let last = model.last_seq();
        Self {
            clock: self.clock.clone(),
            ids: Arc::new(IdGenerator::after(last)),
            inner: Arc::new(Mutex::new(Inner {
                model,
                minted: old.minted,
                ..Inner::default()
            })),
            act: None,
        }
    }

    /// Makes the store fail as after a failed sync: every further operation answers [`StoreError::Failed`].
    pub fn poison(&self, reason: &str) {
        let mut inner = self.lock();
        inner.down = Some(StoreError::Failed(reason.to_owned()));
        let observer = inner.observer.clone();
        drop(inner);
        if let Some(observer) = observer {
            observer.failed(reason);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One question: it changes nothing, so there is nothing to tell.
    fn look<T: Send + 'static>(&self, question: impl FnOnce(&Model, Timestamp) -> T) -> Answer<T> {
        let inner = self.lock();
        let answer = match &inner.down {
            Some(error) => Err(error.clone()),
            None => Ok(question(&inner.model, self.clock.now())),
        };
        Box::pin(std::future::ready(answer))
    }

    /// One operation: stamped once, done whole, told to the observer when the lock is free again.
    fn run<T: Send + 'static>(&self, operation: impl FnOnce(&mut Model, Timestamp) -> T) -> Answer<T> {
        let mut inner = self.lock();
        if let Some(error) = &inner.down {
            return Box::pin(std::future::ready(Err(error.clone())));
        }
        inner.model.follow(&*self.clock);
        let now = self.clock.now();
        let answer = operation(&mut inner.model, now);
        let told = inner.model.tell(now);
        let observer = inner.observer.clone();
        drop(inner);
        if let Some(observer) = observer {
            if !told.emitted.is_empty() {
                observer.emitted(told.emitted);
            }
            if !told.advanced.is_empty() {
                observer.advanced(told.advanced);
            }
            if !told.changes.is_empty() {
                observer.changed(told.changes);
            }
            if !told.batches.is_empty() {
                observer.batches(told.batches);
            }
            if !told.ready.is_empty() {
                observer.ready(told.ready);
            }
        }
        Box::pin(std::future::ready(Ok(answer)))
    }
}

impl ModelStore {
    /// The same for what administrators do: `done` tells what to record of it.
    fn act<T: Send + 'static>(
        &self,
        done: fn(&Act, &T) -> Option<Act>,
        operation: impl FnOnce(&mut Model, Timestamp) -> T,
    ) -> Answer<T> {
        self.run(|model, now| {
            let answer = operation(model, now);
            if let Some(act) = self.act.as_ref().and_then(|act| done(act, &answer)) {
                model.record_act(act, None, now);
            }
            answer
        })
    }
}

impl fmt::Debug for ModelStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelStore").finish_non_exhaustive()
    }
}
