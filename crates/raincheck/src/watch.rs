//! Who waits for a job: a registry of waiters, told by the store what was committed.
//!
//! Invariants: a waiter hears of every change that is committed after [`Watch::subscribe`] returned, at least of the
//! last of them; a job that nobody waits for costs nothing. A [`Change`] carries job and result, so that a waiter
//! needs no read.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use raincheck_core::id::JobId;
use raincheck_core::store::Change;
use tokio::sync::Notify;

use crate::sharded::{Sharded, locked};

/// One job's waiters share this.
#[derive(Default)]
struct Slot {
    last: Mutex<Last>,
    told: Notify,
}

#[derive(Default)]
struct Last {
    /// Grows with every change told.
    count: u64,
    change: Option<Change>,
}

struct Entry {
    slot: Arc<Slot>,
    waiters: usize,
}

struct Shards {
    jobs: Sharded<Entry>,
    waiters: AtomicUsize,
}

/// The registry of waiters. Cloning gives another handle on it.
#[derive(Clone)]
pub struct Watch(Arc<Shards>);

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("waiters", &self.waiters()).finish()
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self::new()
    }
}

impl Watch {
    /// A registry without waiters.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Shards {
            jobs: Sharded::default(),
            waiters: AtomicUsize::new(0),
        }))
    }

    /// Registers a waiter from the moment of this call, so: subscribe, then read the store, then await.
    #[must_use]
    pub fn subscribe(&self, id: JobId) -> Watching {
        // Counted before it is entered, so that whoever tells never skips a waiter that is there already.
        self.0.waiters.fetch_add(1, Ordering::SeqCst);
        let mut shard = self.0.jobs.of(id);
        let entry = shard.entry(id).or_insert_with(|| Entry {
            slot: Arc::default(),
            waiters: 0,
        });
        entry.waiters += 1;
        let slot = entry.slot.clone();
        let seen = locked(&slot.last).count;
        drop(shard);
        Watching {
            id,
            seen,
            slot,
            registry: self.0.clone(),
        }
    }

    /// How many wait now.
    #[must_use]
    pub fn waiters(&self) -> usize {
        self.0.waiters.load(Ordering::SeqCst)
    }

    /// Tells the waiters of each job. Called after the sync.
    pub(crate) fn tell(&self, changes: &[Change]) {
        if self.waiters() == 0 {
            return;
        }
        for change in changes {
            let slot = {
                let shard = self.0.jobs.of(change.job.id);
                shard.get(&change.job.id).map(|entry| entry.slot.clone())
            };
            let Some(slot) = slot else { continue };
            {
                let mut last = locked(&slot.last);
                last.count += 1;
                last.change = Some(change.clone());
            }
            slot.told.notify_waiters();
        }
    }
}

/// One waiter; registered until it is dropped.
pub struct Watching {
    id: JobId,
    seen: u64,
    slot: Arc<Slot>,
    registry: Arc<Shards>,
}

impl fmt::Debug for Watching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watching")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Watching {
    /// The next committed change of the job; of several that came meanwhile, the last. Never resolves by itself if
    /// nothing changes: callers bound it.
    ///
    /// # Cancel safety
    /// Safe: a change that was not given back is given back by the next call.
    pub async fn changed(&mut self) -> Change {
        loop {
            // Made before the look at the slot: it wakes for whatever is told from here on.
            let told = self.slot.told.notified();
            {
                let last = locked(&self.slot.last);
                if let (true, Some(change)) = (last.count > self.seen, &last.change) {
                    self.seen = last.count;
                    return change.clone();
                }
            }
            told.await;
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let mut shard = self.registry.jobs.of(self.id);
        if let Some(entry) = shard.get_mut(&self.id) {
            entry.waiters -= 1;
            if entry.waiters == 0 {
                shard.remove(&self.id);
            }
        }
        drop(shard);
        self.registry.waiters.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests;
