//! Leaving: the drain, the end, and the way out in a hurry.
//!
//! Invariant: an attempt that cannot finish within the drain is given back uncharged; whatever is cut instead is no worse
//! than a crash. Leaving takes a bounded time, whatever hangs.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use raincheck_core::store::StoreError;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{info, warn};

use super::Node;
use crate::dispatch::Dispatch;
use crate::keys::touch;
use crate::observe::Fault;
use crate::tasks::Group;
use crate::workers::Shop;
use crate::workers::crews::Crews;

/// How much of a drain is kept for stopping what still runs.
const WIND_DOWN_MAX: Duration = Duration::from_secs(2);
/// How long the node waits for what should have ended before it cuts it.
const CUT_AFTER: Duration = Duration::from_secs(2);
/// How long closing the store may take.
const CLOSE_MAX: Duration = Duration::from_secs(10);

impl Node {
    /// Drains and closes: see [`Node::drain`] and [`Node::close`]. A second call, or [`Node::abort`], leaves at once.
    pub async fn shutdown(&self) {
        if self.0.shutting_down.swap(true, Ordering::SeqCst) {
            self.abort();
            return;
        }
        self.drain().await;
        self.close().await;
    }

    /// Not ready, stop claiming, let attempts finish within [`drain`](super::NodeOptions::drain), give back the rest. Reading and
    /// changing the store goes on until [`Node::close`]. Returns within [`drain`](super::NodeOptions::drain) and 2 s,
    /// or 4 s where a claim hangs.
    pub async fn drain(&self) {
        self.drain_within(self.0.options.drain).await;
    }

    /// The same within this time instead.
    pub async fn drain_within(&self, drain: Duration) {
        self.0.draining.store(true, Ordering::SeqCst);
        self.0.pull.leave();
        tokio::select! {
            biased;
            () = self.0.hurry.cancelled() => {}
            () = self.let_finish(drain) => {}
        }
        self.0.drained.cancel();
    }

    async fn let_finish(&self, drain: Duration) {
        let shop = &self.0.shop;
        let wind_down = (drain / 5).min(WIND_DOWN_MAX);
        let stop_at = Instant::now() + drain.saturating_sub(wind_down);
        let wound_down = stop_at + wind_down.mul_f32(0.75);
        info!(running = shop.attempts.running(), "draining");
        // However short the drain: cutting a claim under way would charge its jobs an attempt.
        let claims = drain.saturating_sub(wind_down).max(CUT_AFTER);
        // Programs that are kept alive settle what they have over the API, which still answers.
        self.0.crews.leave(wound_down);
        self.0.dispatch.stop(claims).await;
        let idle = || async {
            shop.attempts.idle().await;
            self.0.crews.idle().await;
        };
        if timeout_at(stop_at, idle()).await.is_ok() {
            return;
        }
        info!(
            running = shop.attempts.running(),
            "attempts that still run are stopped and given back"
        );
        // What is left of the time is for committing that.
        shop.closing.send_replace(Some(wound_down));
        if timeout_at(stop_at + wind_down + CUT_AFTER, idle()).await.is_err() {
            warn!(
                running = shop.attempts.running(),
                "attempts could not be given back in time"
            );
        }
    }

    /// Stops the rest and closes the store. Attempts that still run are cut: their leases are reclaimed.
    pub async fn close(&self) {
        let node = &self.0;
        node.draining.store(true, Ordering::SeqCst);
        node.pull.leave();
        node.drained.cancel();
        node.upkeep.abort();
        node.dispatch.cut().await;
        node.shop.attempts.cut().await;
        node.crews.cut().await;
        node.tasks.shutdown(CUT_AFTER).await;
        node.services.shutdown(CUT_AFTER).await;
        self.tell_of_keys().await;
        match timeout(CLOSE_MAX, node.store.close()).await {
            // A store that failed has told so already.
            Ok(Ok(()) | Err(StoreError::Closed | StoreError::Failed(_))) => {}
            Ok(Err(error)) => warn!(%error, "the store could not be closed"),
            Err(_) => warn!("the store did not close in time"),
        }
    }

    /// Which keys were used since the store was told last, unless somebody is in a hurry.
    async fn tell_of_keys(&self) {
        let node = &self.0;
        if node.hurry.is_cancelled() {
            return;
        }
        match timeout(CUT_AFTER, touch::tell(&*node.store, &node.keys)).await {
            Ok(Ok(()) | Err(StoreError::Closed | StoreError::Failed(_))) => {}
            Ok(Err(error)) => warn!(%error, "when keys were used could not be noted"),
            Err(_) => warn!("when keys were used could not be noted in time"),
        }
    }

    /// Cuts everything where it stands: the same as a crash, and as safe. Processes are killed.
    pub fn abort(&self) {
        self.0.draining.store(true, Ordering::SeqCst);
        self.0.pull.leave();
        self.0.hurry.cancel();
        self.0.drained.cancel();
        self.0.upkeep.abort();
        self.0.dispatch.abort();
        self.0.shop.attempts.abort();
        self.0.crews.abort();
    }
}

/// Where the node cannot go on: nothing new is begun, and what runs is stopped, for nothing of it can be kept.
pub(super) async fn stop_on_fault(
    fault: Fault,
    shop: Arc<Shop>,
    dispatch: Arc<Dispatch>,
    crews: Arc<Crews>,
    upkeep: Group,
) {
    fault.wait().await;
    dispatch.abort();
    crews.abort();
    shop.closing.send_replace(Some(Instant::now()));
    upkeep.abort();
}
