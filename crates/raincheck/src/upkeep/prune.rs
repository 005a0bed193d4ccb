//! Deletes what has outlived its retention, in small slices.
//!
//! Invariant: pruning takes a bounded share of the writer's time, whatever is due: after each slice it leaves the store
//! alone for several times as long as the slice took.

use std::sync::Arc;
use std::time::Duration;

use raincheck_core::store::{Store, StoreError};
use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

use crate::backoff::Backoff;
use crate::random::Randomness;

/// How many rows a slice deals with.
const SLICE: u32 = 200;
/// How many times as long as a slice took the store is left alone after it: about a tenth of the time is pruning.
const SHARE: u32 = 9;
/// The shortest pause between slices.
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// How long until the next look where nothing is due.
const IDLE: Duration = Duration::from_secs(5);

/// Prunes until the store takes nothing any more.
pub(crate) async fn run(store: Arc<dyn Store>, random: Randomness) {
    let mut backoff = Backoff::new(random);
    loop {
        let started = Instant::now();
        match store.prune(SLICE).await {
            Ok(slice) => {
                backoff.reset();
                if slice.count > 0 {
                    debug!(
                        count = slice.count,
                        more = slice.more,
                        "what has outlived its retention was deleted"
                    );
                }
                sleep(pause(slice.more, started.elapsed())).await;
            }
            Err(StoreError::Failed(_) | StoreError::Closed) => return,
            Err(error) => {
                warn!(%error, "what has outlived its retention could not be deleted");
                sleep(backoff.next()).await;
            }
        }
    }
}

fn pause(more: bool, took: Duration) -> Duration {
    if more { (took * SHARE).max(PAUSE_MIN) } else { IDLE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pruning_takes_a_tenth_of_the_time_at_most() {
        let took = Duration::from_millis(10);
        assert_eq!(pause(true, took), Duration::from_millis(90));
        assert_eq!(pause(true, Duration::ZERO), PAUSE_MIN);
        assert_eq!(pause(false, took), IDLE);
    }
}
