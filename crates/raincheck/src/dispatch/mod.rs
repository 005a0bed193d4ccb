//! Dispatch: claims jobs for the queues that this node works itself, as many as it has free slots for.
//!
//! One [`mod@line`] per queue: a task that is woken by the store, by attempts that end and by changes of the queue.
//! Invariant: no more attempts of a queue run here than its concurrency, and none is begun once dispatch was stopped.

mod line;
mod standing;

use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use raincheck_core::name::WorkerName;
use raincheck_core::queue::Queue;
use tokio::sync::{Notify, watch};

use crate::hashing::Map;
use crate::queues::QueueKey;
use crate::tasks::{Group, TaskKind};
use crate::workers::Shop;

/// Who is woken when a queue has jobs. Kept apart from what claims them, so that the store's observer does not hold
/// the store. Cloning gives another handle.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wakes(Arc<Mutex<Map<QueueKey, Arc<Slots>>>>);

impl Wakes {
    fn wakes(&self) -> MutexGuard<'_, Map<QueueKey, Arc<Slots>>> {
        // Nothing under this lock can panic half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes those who work these queues.
    pub(crate) fn wake(&self, queues: &[QueueKey]) {
        let wakes = self.wakes();
        for slots in queues.iter().filter_map(|queue| wakes.get(queue)) {
            slots.wake.notify_one();
        }
    }
}

/// How many attempts of one queue run here, and the bell of its line.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    taken: AtomicUsize,
    /// How many were ever taken.
    begun: AtomicU64,
    wake: Arc<Notify>,
    /// Rings for whoever hands over no more than can begin.
    freed: Notify,
    /// The claims that stand.
    standing: Mutex<standing::Asked>,
}

impl Slots {
    /// Takes a place; whether one is free is the line's to know.
    pub(crate) fn take(self: &Arc<Self>) -> Slot {
        self.taken.fetch_add(1, Ordering::SeqCst);
        self.begun.fetch_add(1, Ordering::SeqCst);
        Slot(self.clone())
    }

    /// How many are taken now.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }

    /// How many were taken since the queue's line began.
    pub(crate) fn begun(&self) -> u64 {
        self.begun.load(Ordering::SeqCst)
    }

    /// Waits until one becomes free; several that did since the last call count as one.
    pub(crate) async fn freed(&self) {
        self.freed.notified().await;
    }
}

/// One running attempt's place; free again when dropped: when the attempt is settled, or, where [`standing`] claims bring what follows,
/// when it has ended.
#[derive(Debug)]
pub(crate) struct Slot(Arc<Slots>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::SeqCst);
        self.0.wake.notify_one();
        self.0.freed.notify_one();
    }
}

/// Starts and tells the lines.
pub(crate) struct Dispatch {
    shop: Arc<Shop>,
    wakes: Wakes,
    lines: Mutex<Map<QueueKey, watch::Sender<Option<Arc<Queue>>>>>,
    tasks: Group,
    cores: u32,
    worker: WorkerName,
}

impl fmt::Debug for Dispatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatch")
            .field("tasks", &self.tasks)
            .finish_non_exhaustive()
    }
}

impl Dispatch {
    pub(crate) fn new(shop: Arc<Shop>, wakes: Wakes, tasks: Group, cores: u32, worker: WorkerName) -> Self {
        Self {
            shop,
            wakes,
            lines: Mutex::default(),
            tasks,
            cores,
            worker,
        }
    }

    /// Takes in a queue's settings, which are in force from now on.
    pub(crate) fn put(&self, queue: &Arc<Queue>) {
        let key = (queue.namespace.clone(), queue.name.clone());
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        match lines.entry(key.clone()) {
            Entry::Occupied(line) => {
                line.get().send_replace(Some(queue.clone()));
            }
            Entry::Vacant(_) if queue.worker().pulled() => {}
            Entry::Vacant(place) => {
                let (tell, settings) = watch::channel(Some(queue.clone()));
                place.insert(tell);
                let slots = Arc::new(Slots::default());
                self.wakes.wakes().insert(key, slots.clone());
                let line = line::Line::new(self, settings, slots);
                self.tasks.spawn(TaskKind::Service, line.run());
            }
        }
    }

    /// Forgets a queue that was deleted.
    pub(crate) fn remove(&self, key: &QueueKey) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.remove(key) {
            line.send_replace(None);
            self.wakes.wakes().remove(key);
        }
    }

    /// The queues that are worked here, and how many attempts of each run now.
    pub(crate) fn lines(&self) -> Vec<(Arc<Queue>, usize)> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let wakes = self.wakes.wakes();
        let queues = lines.iter().filter_map(|(key, line)| {
            let queue = line.borrow().clone()?;
            let running = wakes.get(key).map_or(0, |slots| slots.taken());
            (running > 0 || !queue.worker().pulled()).then_some((queue, running))
        });
        queues.collect()
    }

    /// The slots of a queue that is worked here.
    pub(crate) fn slots(&self, key: &QueueKey) -> Option<Arc<Slots>> {
        self.wakes.wakes().get(key).cloned()
    }

    /// Has every line look for jobs.
    #[cfg(feature = "testing")]
    pub(crate) fn wake(&self) {
        for slots in self.wakes.wakes().values() {
            slots.wake.notify_one();
        }
    }

    /// Stops claiming, and returns once no claim is under way: at most after `bound`.
    pub(crate) async fn stop(&self, bound: Duration) {
        self.tasks.shutdown(bound).await;
    }

    /// Cuts the lines where they stand; what a claim under way brings is reclaimed.
    pub(crate) fn abort(&self) {
        self.tasks.abort();
    }

    /// The same, and waits until they are gone.
    pub(crate) async fn cut(&self) {
        self.tasks.cut().await;
    }
}

#[cfg(test)]
mod tests;
