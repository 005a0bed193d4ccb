//! Ends lapsed leases and overdue jobs, soon after their time.
//!
//! Invariant: a lease that lapsed is ended within 2 s (G4), while the store can be reached: [`SCAN`], [`SLACK`] and
//! [`DEFERRED_MAX`] together.

use std::sync::Arc;
use std::time::Duration;

use raincheck_core::store::{Reclaimed, Store, StoreError};
use raincheck_core::time::Timestamp;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use crate::backoff::Backoff;
use crate::random::Randomness;
use crate::workers::Marks;
use crate::workers::stop::TIMED_OUT_GRACE;

/// How many are ended in one go, so that others get their turn at the writer.
const BATCH: u32 = 500;
/// How long at most between two looks: new leases may lapse sooner than any that was known.
const SCAN: Duration = Duration::from_secs(1);
/// How long after its end a lease is looked at, so that an attempt of this node hears first that its time is over.
const SLACK: Duration = Duration::from_millis(50);
/// How long at most a look waits for attempts of this node whose time is over: they stop just then and settle it
/// themselves, with more to say, and without a second attempt beside the first.
const DEFERRED_MAX: Duration = Duration::from_millis(800);
const _: () = assert!(DEFERRED_MAX.as_millis() > TIMED_OUT_GRACE.as_millis() + 200);
/// How long between two looks at those attempts.
const DEFER: Duration = Duration::from_millis(20);

/// Reclaims until the store takes nothing any more.
pub(crate) async fn run(store: Arc<dyn Store>, timing_out: Marks, random: Randomness) {
    let mut backoff = Backoff::new(random.clone());
    loop {
        let started = Instant::now();
        while timing_out.any() && started.elapsed() < DEFERRED_MAX {
            sleep(DEFER).await;
        }
        match store.reclaim(BATCH, random.bits()).await {
            Ok(done) => {
                backoff.reset();
                if done.count > 0 {
                    info!(count = done.count, "lapsed leases and overdue jobs were ended");
                }
                sleep(pause(done, store.now())).await;
            }
            Err(StoreError::Failed(_) | StoreError::Closed) => return,
            Err(error) => {
                warn!(%error, "lapsed leases could not be ended");
                sleep(backoff.next()).await;
            }
        }
    }
}

/// How long until the next look.
fn pause(done: Reclaimed, now: Timestamp) -> Duration {
    if done.count >= BATCH {
        return Duration::ZERO;
    }
    match done.next_at.map(|next| next.since(now)) {
        Some(until) => (until + SLACK).min(SCAN),
        None => SCAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_look_comes_after_the_next_lapse_but_within_the_scan() {
        let now = Timestamp::from_millis(1_000_000);
        let check = |count, next: Option<u64>| {
            let next_at = next.map(|millis| now.plus(Duration::from_millis(millis)));
            pause(Reclaimed { count, next_at }, now).as_millis()
        };
        assert_eq!(check(BATCH, None), 0, "a full batch means more is due");
        assert_eq!(check(0, None), 1000);
        assert_eq!(check(0, Some(30_000)), 1000);
        assert_eq!(check(3, Some(200)), 250);
        assert_eq!(check(0, Some(0)), 50);
        assert_eq!(check(0, Some(1000)), 1000);
    }
}
