//! How many URLs of a run are handed over: as many as can begin at once.
//!
//! A job that is claimed by the commit that accepts it is written once (`docs/adr/2026-11-22-claims-wait-in-the-store.md`), and its URL is asked a
//! commit sooner. Invariant: what waits for a host that has no room keeps nobody from handing over more.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::dispatch::Slots;

/// What waits, and does not begin for so long, has no room at its hosts.
const STILL: Duration = Duration::from_millis(20);

/// See the module.
#[derive(Debug)]
pub struct Supply {
    slots: Option<Arc<Slots>>,
    /// So many may be under way at once.
    most: u64,
    /// How many had begun when this was made.
    before: u64,
    /// How many were handed over, and how many of them the store has not taken yet.
    handed: u64,
    on_their_way: u64,
    /// How many had begun when it was last asked, and since when it is as many.
    seen: (u64, Instant),
}

impl Supply {
    pub(super) fn new(slots: Option<Arc<Slots>>, most: u64) -> Self {
        let before = slots.as_ref().map_or(0, |slots| slots.begun());
        Self {
            slots,
            most,
            before,
            handed: 0,
            on_their_way: 0,
            seen: (before, Instant::now()),
        }
    }

    /// So many more could begin at once.
    pub fn wanted(&mut self) -> u64 {
        let (taken, begun) = self
            .slots
            .as_ref()
            .map_or((0, self.before), |slots| (slots.taken() as u64, slots.begun()));
        let waiting = self.handed.saturating_sub(begun - self.before);
        let now = Instant::now();
        if self.seen.0 != begun {
            self.seen = (begun, now);
        }
        // Where none begins for a while, those that wait cannot. Between the commit that takes them and their beginning is a moment.
        let moves = now - self.seen.1 < STILL;
        let coming = if moves {
            waiting.max(self.on_their_way)
        } else {
            self.on_their_way
        };
        self.most.saturating_sub(taken + coming)
    }

    /// So many were handed over.
    pub const fn handed(&mut self, count: u64) {
        self.handed += count;
        self.on_their_way += count;
    }

    /// The store has taken so many.
    pub const fn taken(&mut self, count: u64) {
        self.on_their_way = self.on_their_way.saturating_sub(count);
    }

    /// Waits until more may be wanted.
    pub async fn changed(&self) {
        match &self.slots {
            Some(slots) => slots.freed().await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_wanted_as_can_begin() {
        let slots = Arc::new(Slots::default());
        let mut supply = Supply::new(Some(slots.clone()), 3);
        assert_eq!(supply.wanted(), 3);
        supply.handed(3);
        assert_eq!(supply.wanted(), 0, "they are on their way");
        let mut begun: Vec<_> = (0..3).map(|_| slots.take()).collect();
        supply.taken(3);
        assert_eq!(supply.wanted(), 0);
        drop(begun.pop());
        assert_eq!(supply.wanted(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_begin_holds_nothing_back() {
        let slots = Arc::new(Slots::default());
        let mut supply = Supply::new(Some(slots.clone()), 3);
        supply.handed(3);
        let _one = slots.take();
        supply.taken(3);
        assert_eq!(supply.wanted(), 0, "two wait, and it moves");
        assert_eq!(supply.wanted(), 0, "they may be about to begin");
        tokio::time::advance(STILL).await;
        assert_eq!(supply.wanted(), 2, "two wait, and none of them has begun since");
    }
}
