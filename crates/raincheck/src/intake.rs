//! What a submit needs beyond HTTP, for the API and for those who embed the library.
//!
//! Invariant: a node that drains accepts nothing new, yet a repetition of what it accepted is still recognised.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use raincheck_core::name::Namespace;
use raincheck_core::store::{Answer, Store, StoreError, Submission, SubmitRefused, Submitted};

/// Why a submission was refused; nothing of it was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IntakeRefused {
    /// The node is leaving and takes no new work.
    #[error("the server is draining")]
    Draining,
    /// The store refused it.
    #[error(transparent)]
    Refused(#[from] SubmitRefused),
}

/// Takes submissions in. Cloning gives another handle.
#[derive(Clone)]
pub struct Intake {
    store: Arc<dyn Store>,
    draining: Arc<AtomicBool>,
    create_queues: bool,
}

impl fmt::Debug for Intake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Intake")
            .field("draining", &self.draining)
            .finish_non_exhaustive()
    }
}

impl Intake {
    pub(crate) fn new(store: Arc<dyn Store>, draining: Arc<AtomicBool>, create_queues: bool) -> Self {
        Self {
            store,
            draining,
            create_queues,
        }
    }

    /// Submits one job. Once it gave back `Created`, the job survives any crash. The submission is handed over by
    /// the call itself: dropping the future drops only the wait. While the node drains, only what is known under its
    /// idempotency key is answered.
    ///
    /// # Errors
    /// Those of the store; only after [`StoreError::Unknown`] may the job exist nevertheless.
    pub fn submit(
        &self,
        ns: &Namespace,
        mut submission: Submission,
    ) -> impl Future<Output = Result<Result<Submitted, IntakeRefused>, StoreError>> + Send + use<> {
        submission.create_queue |= self.create_queues;
        let asked = if self.draining.load(Ordering::SeqCst) {
            let key = submission.idempotency;
            Asked::Replay(key.map(|key| self.store.replay(ns, &submission.job.queue, key)))
        } else {
            Asked::Submit(self.store.submit(ns, vec![submission]))
        };
        async move {
            let known = match asked {
                Asked::Submit(accepted) => accepted.await?.pop(),
                Asked::Replay(Some(replayed)) => replayed.await?,
                Asked::Replay(None) => None,
            };
            Ok(known.map_or(Err(IntakeRefused::Draining), |known| {
                known.map_err(IntakeRefused::from)
            }))
        }
    }
}

/// What was handed to the store.
enum Asked {
    Submit(Answer<Vec<Result<Submitted, SubmitRefused>>>),
    Replay(Option<Answer<Option<Result<Submitted, SubmitRefused>>>>),
}
