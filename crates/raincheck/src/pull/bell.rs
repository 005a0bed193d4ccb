//! Who waits for jobs of which queue, in the order in which they came.
//!
//! A hint of the store wakes one waiter, who claims; one whose claim came back full wakes two more. So jobs that came
//! together reach many waiters in few steps, and one job does not wake ten thousand.
//!
//! Invariants: a waiter keeps its place when it was woken in vain; a waking that its waiter did not use (it went away)
//! goes to the next; nothing here holds the store, which rings it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::hashing::Map;
use crate::queues::QueueKey;

#[derive(Debug, Default)]
struct Line {
    /// The number of the next who comes.
    next: u64,
    /// Those who were not woken since they last looked, by number.
    idle: BTreeMap<u64, Arc<Notify>>,
    /// All who are here.
    members: usize,
}

impl Line {
    fn ring(&mut self, count: usize) {
        for _ in 0..count {
            let Some((_, bell)) = self.idle.pop_first() else {
                return;
            };
            bell.notify_one();
        }
    }
}

/// The lines of all queues. Cloning gives another handle.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bells(Arc<Mutex<Map<QueueKey, Line>>>);

impl Bells {
    fn lines(&self) -> MutexGuard<'_, Map<QueueKey, Line>> {
        // Nothing under this lock can panic half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes to the end of the queue's line. Who is here before a job is committed hears of it.
    pub(crate) fn join(&self, queue: QueueKey) -> Place {
        let mut lines = self.lines();
        let line = lines.entry(queue.clone()).or_default();
        let (number, bell) = (line.next, Arc::<Notify>::default());
        let first = line.members == 0;
        line.next += 1;
        line.members += 1;
        line.idle.insert(number, bell.clone());
        drop(lines);
        Place {
            bells: self.clone(),
            queue,
            number,
            bell,
            first,
        }
    }

    /// These queues may have a job.
    pub(crate) fn ring(&self, queues: &[QueueKey]) {
        let mut lines = self.lines();
        if lines.is_empty() {
            return;
        }
        for queue in queues {
            if let Some(line) = lines.get_mut(queue) {
                line.ring(1);
            }
        }
    }

    /// The queue may have more jobs: wakes so many.
    pub(crate) fn ring_more(&self, queue: &QueueKey, count: usize) {
        if let Some(line) = self.lines().get_mut(queue) {
            line.ring(count);
        }
    }

    /// Wakes the first of every line: hints may be lost.
    pub(crate) fn ring_all(&self) {
        for line in self.lines().values_mut() {
            line.ring(1);
        }
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.lines().values().map(|line| line.members).sum()
    }
}

/// A place in a line; given up when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    bells: Bells,
    queue: QueueKey,
    number: u64,
    bell: Arc<Notify>,
    first: bool,
}

impl Place {
    /// Whether nobody was here before.
    pub(crate) const fn first(&self) -> bool {
        self.first
    }

    /// Waits to be woken. The place is taken again at once, before whoever was woken looks for jobs: what is committed
    /// from then on wakes again.
    ///
    /// # Cancel safety
    /// Safe: a waking that was not given back is there for the next call, or goes to the next in line.
    pub(crate) async fn rung(&self) {
        self.bell.notified().await;
        if let Some(line) = self.bells.lines().get_mut(&self.queue) {
            line.idle.insert(self.number, self.bell.clone());
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut lines = self.bells.lines();
        let Some(line) = lines.get_mut(&self.queue) else {
            return;
        };
        let woken = line.idle.remove(&self.number).is_none();
        line.members -= 1;
        if line.members == 0 {
            lines.remove(&self.queue);
        } else if woken {
            line.ring(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use raincheck_core::name::{Namespace, QueueName};
    use tokio::time::{Duration, timeout};

    use super::*;

    fn key() -> QueueKey {
        (Namespace::default(), QueueName::new("q").unwrap())
    }

    async fn woken(place: &Place) -> bool {
        timeout(Duration::ZERO, place.rung()).await.is_ok()
    }

    #[tokio::test]
    async fn the_first_who_came_is_woken_first_and_alone() {
        let bells = Bells::default();
        let (a, b) = (bells.join(key()), bells.join(key()));
        assert!(a.first() && !b.first());
        bells.ring(&[key()]);
        assert!(!woken(&b).await);
        assert!(woken(&a).await);
        // Woken in vain, it is the first again.
        bells.ring(&[key()]);
        assert!(woken(&a).await && !woken(&b).await);
    }

    #[tokio::test]
    async fn a_waking_that_is_not_used_goes_to_the_next() {
        let bells = Bells::default();
        let (a, b) = (bells.join(key()), bells.join(key()));
        bells.ring(&[key()]);
        drop(a);
        assert!(woken(&b).await);
        let c = bells.join(key());
        drop(b);
        assert!(!woken(&c).await, "there was none to pass on");
    }

    #[tokio::test]
    async fn a_hint_during_a_claim_wakes_whoever_claims_again() {
        let bells = Bells::default();
        let a = bells.join(key());
        bells.ring(&[key()]);
        assert!(woken(&a).await);
        bells.ring(&[key()]);
        assert!(woken(&a).await);
        assert!(!woken(&a).await);
    }

    #[tokio::test]
    async fn lines_without_waiters_are_forgotten() {
        let bells = Bells::default();
        let (a, b) = (bells.join(key()), bells.join(key()));
        assert_eq!(bells.waiting(), 2);
        drop((a, b));
        assert_eq!(bells.waiting(), 0);
        assert!(bells.lines().is_empty());
        bells.ring(&[key()]);
        bells.ring_all();
    }
}
