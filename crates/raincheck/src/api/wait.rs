//! Waiting for a job on behalf of a caller.
//!
//! Invariants: a waiter is registered before the store is read or written, so that no change falls between; waits are
//! bounded in number and in time, and end when nothing happens on this node any more.

use std::sync::Arc;
use std::time::Duration;

use raincheck_core::id::JobId;
use raincheck_core::store::Change;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::node::Node;
use crate::watch::Watching;

use super::code::Code;
use super::problem::Problem;

/// The places for those who wait.
#[derive(Clone, Debug)]
pub(crate) struct Waiters {
    free: Arc<Semaphore>,
    max: usize,
}

impl Waiters {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(max)),
            max,
        }
    }

    /// Begins to wait for the job, at most until `received + wait`; `None` where all places are taken.
    pub(crate) fn begin(&self, node: &Node, id: JobId, received: Instant, wait: Duration) -> Option<Waiter> {
        Some(Waiter {
            _place: self.free.clone().try_acquire_owned().ok()?,
            watching: node.watch().subscribe(id),
            until: received + wait,
            drained: node.drained().clone(),
        })
    }

    /// A place to wait for something else than a job; `None` where all places are taken.
    pub(crate) fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.free.clone().try_acquire_owned().ok()
    }

    /// How many wait now.
    pub(crate) fn taken(&self) -> usize {
        self.max.saturating_sub(self.free.available_permits())
    }

    /// All places are taken.
    pub(crate) fn refused(&self) -> Problem {
        let detail = format!(
            "{} requests wait already, the limit; ask without waiting, or try again",
            self.max
        );
        Problem::new(Code::TooManyWaiters, detail).retry_after(1)
    }
}

/// One who waits for one job.
#[derive(Debug)]
pub(crate) struct Waiter {
    watching: Watching,
    until: Instant,
    drained: CancellationToken,
    _place: OwnedSemaphorePermit,
}

impl Waiter {
    /// The job's next change; `None` when the time is over or the node is drained.
    pub(crate) async fn changed(&mut self) -> Option<Change> {
        tokio::select! {
            biased;
            change = self.watching.changed() => Some(change),
            () = tokio::time::sleep_until(self.until) => None,
            () = self.drained.cancelled() => None,
        }
    }

    /// The job's next change, or `Some(None)` when there was none within `pause`; `None` when the time is over or the
    /// node is drained.
    pub(crate) async fn changed_within(&mut self, pause: Duration) -> Option<Option<Change>> {
        match tokio::time::timeout(pause, self.changed()).await {
            Ok(change) => change.map(Some),
            Err(_) => Some(None),
        }
    }

    /// The job once it is done; `None` when the time is over or the node is drained before.
    pub(crate) async fn done(&mut self) -> Option<Change> {
        loop {
            let change = self.changed().await?;
            if change.job.done() {
                return Some(change);
            }
        }
    }
}
