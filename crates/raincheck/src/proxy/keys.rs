//! Calls under a client's idempotency key, one after the other: who repeats a call that is under way waits for what becomes of
//! it.
//!
//! Invariant: of calls with the same key one is under way at most; a key takes room here only while somebody calls or waits
//! under it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OwnedMutexGuard;

use crate::hashing::Map;

/// Who holds a key locks it.
type Lock = Arc<tokio::sync::Mutex<()>>;

/// The keys under which calls are under way. Cloning gives another handle.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turns(Arc<Mutex<Map<String, Lock>>>);

/// A caller's turn, or its place among those who wait for theirs.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: Turns,
    key: String,
    held: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    fn keys(&self) -> MutexGuard<'_, Map<String, Lock>> {
        // Nothing under this lock can panic half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody else calls under this key.
    ///
    /// # Cancel safety
    /// Safe: the place among those who wait is given up.
    pub(crate) async fn wait(&self, key: String) -> Turn {
        let lock = self.keys().entry(key.clone()).or_default().clone();
        let mut turn = Turn {
            turns: self.clone(),
            key,
            held: None,
        };
        turn.held = Some(lock.lock_owned().await);
        turn
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut keys = self.turns.keys();
        drop(self.held.take());
        // Handles are made under this very lock, so that a last one stays the last.
        if keys
            .get(&self.key)
            .is_some_and(|lock| Arc::strong_count(lock) == 1)
        {
            keys.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    #[tokio::test]
    async fn callers_under_one_key_take_turns_and_leave_nothing_behind() {
        let turns = Turns::default();
        let first = turns.wait("a".to_owned()).await;
        drop(turns.wait("b".to_owned()).await);
        let mut cx = Context::from_waker(Waker::noop());
        {
            let mut gives_up = Box::pin(turns.wait("a".to_owned()));
            assert!(gives_up.as_mut().poll(&mut cx).is_pending());
        }
        let mut second = pin!(turns.wait("a".to_owned()));
        assert!(second.as_mut().poll(&mut cx).is_pending());
        assert_eq!(turns.keys().len(), 1);
        drop(first);
        let Poll::Ready(second) = second.as_mut().poll(&mut cx) else {
            panic!("it is the second one's turn");
        };
        drop(second);
        assert_eq!(turns.keys().len(), 0);
    }
}
