//! Ends batches whose upload broke off too long ago, and goes on cancelling where a cancel was begun.
//!
//! Invariant: a cancel that was committed reaches every member, though whoever asked for it or the server went away; a
//! step deals with a bounded number of members, and lets others to the writer in between.

use std::sync::Arc;
use std::time::Duration;

use raincheck_core::batch::Tended;
use raincheck_core::store::{Store, StoreError};
use raincheck_core::time::Timestamp;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::backoff::Backoff;
use crate::batches::Batches;
use crate::random::Randomness;

/// How many members a step deals with: some milliseconds.
pub(crate) const SLICE: u32 = 500;
/// How long between two looks at most: hints may be lost.
const IDLE: Duration = Duration::from_secs(30);
/// How long others have the writer to themselves between two steps.
const PAUSE: Duration = Duration::from_millis(5);

/// Tends batches until the store takes nothing any more.
pub(crate) async fn run(store: Arc<dyn Store>, batches: Batches, random: Randomness) {
    let mut backoff = Backoff::new(random);
    loop {
        match store.tend_batches(SLICE).await {
            Ok(tended) => {
                backoff.reset();
                if tended.count > 0 {
                    info!(count = tended.count, "members of batches were cancelled");
                }
                tokio::select! {
                    biased;
                    () = batches.cancelled(), if !tended.more => {}
                    () = sleep(pause(tended, store.now())) => {}
                }
            }
            Err(StoreError::Failed(_) | StoreError::Closed) => return,
            Err(error) => {
                warn!(%error, "batches could not be tended");
                sleep(backoff.next()).await;
            }
        }
    }
}

/// How long until the next look.
fn pause(tended: Tended, now: Timestamp) -> Duration {
    if tended.more {
        return PAUSE;
    }
    tended
        .next_at
        .map_or(IDLE, |next_at| next_at.since(now).clamp(PAUSE, IDLE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_look_comes_with_the_next_end_of_a_term() {
        let now = Timestamp::from_millis(1_000_000);
        let check = |more, next: Option<u64>| {
            let next_at = next.map(|millis| now.plus(Duration::from_millis(millis)));
            pause(
                Tended {
                    count: 0,
                    more,
                    next_at,
                },
                now,
            )
        };
        assert_eq!(check(true, None), PAUSE);
        assert_eq!(check(false, None), IDLE);
        assert_eq!(check(false, Some(3_600_000)), IDLE);
        assert_eq!(check(false, Some(700)), Duration::from_millis(700));
        assert_eq!(check(false, Some(0)), PAUSE);
    }
}
