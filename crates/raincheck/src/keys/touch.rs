//! Tells the store now and then, and before it is closed, which keys were used.
//!
//! Invariant: a write a minute at most while the node runs, however many requests come, and none while no key is used.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use raincheck_core::store::{Store, StoreError};
use tokio::time::sleep;
use tracing::warn;

use super::Keys;

/// How often.
const EVERY: Duration = Duration::from_secs(60);

/// Tells until the store takes nothing any more.
pub(crate) async fn run(store: Arc<dyn Store>, keys: Keys) {
    loop {
        sleep(EVERY).await;
        match tell(&*store, &keys).await {
            Ok(()) => {}
            Err(StoreError::Failed(_) | StoreError::Closed) => return,
            Err(error) => warn!(%error, "when keys were used could not be noted"),
        }
    }
}

/// Tells once.
///
/// # Errors
/// Those of the store.
pub(crate) async fn tell(store: &dyn Store, keys: &Keys) -> Result<(), StoreError> {
    let untold = keys.untold();
    if untold.is_empty() {
        return Ok(());
    }
    let used = untold.iter().map(|(kept, at)| (kept.id, *at));
    store.touch_keys(used.collect()).await?;
    for (kept, at) in untold {
        kept.told.store(at.as_millis(), Ordering::Relaxed);
    }
    Ok(())
}
