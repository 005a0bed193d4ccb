//! Calls that are under way: who answers them, and those that became jobs before they were answered.
//!
//! Invariant: a call is in the hands of one: of the request that made it, of this list from shortly before its job is
//! submitted, or of the attempt that took it from here. Who drops it ends it.

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use raincheck_core::id::JobId;
use tokio::time::Instant;

use super::parcel::Parcel;
use super::rule::Retries;
use crate::hashing::Map;
use crate::workers::function::Call;

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallFailed {
    /// There was no connection, so that nothing was sent; it may be there after this pause.
    #[error("the upstream could not be reached: {0}")]
    Unsent(String, Duration),
    /// A connection broke.
    #[error("the upstream could not be reached: {0}")]
    Unreachable(String),
    /// What worked it in this process panicked, or was left.
    #[error("the call broke off")]
    Gone,
    /// Nobody is there to be called for this path.
    #[error("no rule of the proxy is for the path of this job any more")]
    Nobody,
}

/// A call under way; its answer's body is still to be read.
pub(crate) type Answering = Pin<Box<dyn Future<Output = Result<Response<Body>, CallFailed>> + Send>>;

/// Who answers the calls of a queue's jobs.
pub(crate) trait Origin: Debug + Send + Sync + 'static {
    /// Makes the call of an attempt: of the request's target only path and query count.
    fn call(&self, request: Request<Body>, attempt: &mut Call) -> Answering;

    /// What of such calls may be made again.
    fn retries(&self, parcel: &Parcel) -> Retries;

    /// What answers them, for those who read why a job failed.
    fn name(&self) -> &'static str;
}

/// How many calls may wait here for their attempts.
const WAITING_MAX: usize = 10_000;
/// How long a call waits for its attempt. An attempt takes it within a moment; only where the queue is paused nobody comes.
const WAITING_TIME: Duration = Duration::from_secs(3600);

/// Calls whose jobs are about to be submitted, or wait for their attempts. Cloning gives another handle.
#[derive(Clone, Default)]
pub(crate) struct Flights(Arc<Mutex<Map<JobId, (Instant, Answering)>>>);

impl Debug for Flights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Flights").field(&self.waiting().len()).finish()
    }
}

impl Flights {
    fn waiting(&self) -> MutexGuard<'_, Map<JobId, (Instant, Answering)>> {
        // Nothing under this lock can panic half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves a call here for the attempt at its job.
    ///
    /// # Errors
    /// Gives it back where too many wait.
    pub(crate) fn leave(&self, id: JobId, call: Answering) -> Result<(), Answering> {
        let mut waiting = self.waiting();
        if waiting.len() >= WAITING_MAX {
            waiting.retain(|_, (since, _)| since.elapsed() < WAITING_TIME);
        }
        if waiting.len() >= WAITING_MAX {
            return Err(call);
        }
        waiting.insert(id, (Instant::now(), call));
        Ok(())
    }

    /// Drops all calls that wait here.
    pub(crate) fn clear(&self) {
        let waiting = std::mem::take(&mut *self.waiting());
        drop(waiting);
    }

    /// Whether the call of a job waits here.
    pub(crate) fn has(&self, id: JobId) -> bool {
        self.waiting().contains_key(&id)
    }

    /// Takes the call of a job, where it is under way and nobody took it before.
    pub(crate) fn take(&self, id: JobId) -> Option<Answering> {
        self.waiting().remove(&id).map(|(_, call)| call)
    }
}
