//! A map from jobs to those who wait for news of them, in shards, each behind a lock of its own.
//!
//! Invariant: nothing under these locks can panic half way, so a poisoned one is taken as it is.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::hashing::Map;

use raincheck_core::id::JobId;

/// So many locks that those who come and go rarely meet the store's thread on one.
const SHARDS: usize = 16;

/// See the module.
pub(crate) struct Sharded<T> {
    shards: [Mutex<Map<JobId, T>>; SHARDS],
}

impl<T> Default for Sharded<T> {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
        }
    }
}

impl<T> Sharded<T> {
    /// The part of the map in which the job is, locked.
    #[expect(clippy::cast_possible_truncation, reason = "the remainder is below SHARDS")]
    pub(crate) fn of(&self, id: JobId) -> MutexGuard<'_, Map<JobId, T>> {
        // The low bits of an id are random.
        locked(&self.shards[(id.tail() % SHARDS as u64) as usize])
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.shards.iter().all(|shard| locked(shard).is_empty())
    }
}

/// Takes a lock under which nothing can panic half way.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
