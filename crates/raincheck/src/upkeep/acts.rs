//! Forgets what administrators did, once it has been kept long enough or there is too much of it.
//!
//! Invariant: it takes a bounded share of the writer's time, whatever is due.

use std::sync::Arc;
use std::time::Duration;

use raincheck_core::audit::ActsKept;
use raincheck_core::store::{Store, StoreError};
use tokio::time::sleep;
use tracing::warn;

use crate::backoff::Backoff;
use crate::random::Randomness;

/// How many rows a slice deals with: some milliseconds.
const SLICE: u32 = 500;
/// The pause between slices: several times what one takes.
const PAUSE: Duration = Duration::from_millis(100);
/// How long until the next look where nothing is due. Refusals come slowly enough that this bounds them too.
const IDLE: Duration = Duration::from_secs(600);

/// Forgets until the store takes nothing any more.
pub(crate) async fn run(store: Arc<dyn Store>, kept: ActsKept, random: Randomness) {
    let mut backoff = Backoff::new(random);
    let mut pause = PAUSE;
    loop {
        sleep(pause).await;
        pause = match store.prune_acts(kept, SLICE).await {
            Ok(slice) => {
                backoff.reset();
                if slice.more { PAUSE } else { IDLE }
            }
            Err(StoreError::Failed(_) | StoreError::Closed) => return,
            Err(error) => {
                warn!(%error, "old administrative acts could not be deleted");
                backoff.next()
            }
        };
    }
}
