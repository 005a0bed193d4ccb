//! The last word on one matter, for those who wait for it: what an attempt is told, once or twice in its life, and mostly never.
//!
//! Invariant: whoever waits hears of every word that was said since it looked, unless a later one took its place.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The word. Cloning gives another handle on it. One small allocation, and nobody is told when it goes: of the channels that watch a
/// value each is a third of a kilobyte, with eight lists of those who wait to be looked through at its end.
#[derive(Debug)]
pub(crate) struct Word<T>(Arc<Inner<T>>);

#[derive(Debug)]
struct Inner<T> {
    said: Mutex<T>,
    news: Notify,
}

impl<T> Clone for Word<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Copy> Word<T> {
    /// Nothing else was said so far.
    pub(crate) fn new(said: T) -> Self {
        let (said, news) = (Mutex::new(said), Notify::new());
        Self(Arc::new(Inner { said, news }))
    }

    fn said(&self) -> MutexGuard<'_, T> {
        // Nothing under this lock can panic.
        self.0.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says it, to all who wait.
    pub(crate) fn say(&self, word: T) {
        *self.said() = word;
        self.0.news.notify_waiters();
    }

    /// What was said last.
    pub(crate) fn now(&self) -> T {
        *self.said()
    }

    /// Waits until what was said last is `wanted`.
    ///
    /// # Cancel safety
    /// Safe: what was said stays.
    pub(crate) async fn until(&self, wanted: impl Fn(T) -> bool) -> T {
        loop {
            // Whatever is said from here on wakes it.
            let news = self.0.news.notified();
            let said = self.now();
            if wanted(said) {
                return said;
            }
            news.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_waits_hears_what_is_said_and_what_was() {
        let word = Word::new(0);
        let other = word.clone();
        let say = async {
            for said in 1..=3 {
                other.say(said);
                tokio::task::yield_now().await;
            }
        };
        let ((), two, three) = tokio::join!(say, word.until(|said| said >= 2), word.until(|said| said == 3));
        assert!(two >= 2, "{two}");
        assert_eq!((three, word.until(|said| said > 0).await), (3, 3));
    }
}
