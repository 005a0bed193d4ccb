//! The settings of every queue in memory, kept current by every change that goes through this node.
//!
//! Invariant: after a change returned, the cache holds what the store holds. Changes are made one after the other, so
//! that two of them cannot enter the cache in another order than the store.

use std::sync::{Arc, PoisonError, RwLock};

use crate::bound::in_time;
use crate::hashing::Map;

use raincheck_core::name::{Namespace, QueueName};
use raincheck_core::queue::Queue;
use raincheck_core::store::{Store, StoreError};

/// A queue's full name.
pub(crate) type QueueKey = (Namespace, QueueName);

/// The cache. Unknown queues are not kept, so asking for many of them costs no memory.
#[derive(Debug)]
pub(crate) struct Queues {
    store: Arc<dyn Store>,
    known: RwLock<Known>,
    /// Held across a change's trip to the store.
    pub(crate) changing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    /// Grows with every change, so that a read that began before one does not undo it.
    changes: u64,
    queues: Map<QueueKey, Arc<Queue>>,
}

impl Queues {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            known: RwLock::default(),
            changing: tokio::sync::Mutex::default(),
        }
    }

    /// The queue, from memory where it is known.
    pub(crate) async fn get(
        &self,
        ns: &Namespace,
        name: &QueueName,
    ) -> Result<Option<Arc<Queue>>, StoreError> {
        let key = (ns.clone(), name.clone());
        let before = {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(queue) = known.queues.get(&key) {
                return Ok(Some(queue.clone()));
            }
            known.changes
        };
        let Some(status) = in_time(self.store.queue(ns, name)).await? else {
            return Ok(None);
        };
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.changes == before {
            known.queues.insert(key, status.queue.clone());
        }
        Ok(Some(status.queue))
    }

    /// Takes in a queue as it was committed.
    pub(crate) fn put(&self, queue: Arc<Queue>) {
        let key = (queue.namespace.clone(), queue.name.clone());
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.changes += 1;
        known.queues.insert(key, queue);
    }

    /// Forgets a queue that was deleted.
    pub(crate) fn remove(&self, ns: &Namespace, name: &QueueName) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.changes += 1;
        known.queues.remove(&(ns.clone(), name.clone()));
    }
}
