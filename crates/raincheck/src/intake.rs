//! What a submit needs beyond HTTP, for the API and for those who embed the library.
//!
//! Invariant: a node that drains accepts nothing new, yet a repetition of what it accepted is still recognised.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use raincheck_core::batch::{Batch, BatchId, BatchRefused, Line};
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

impl Intake {
    /// Submits many jobs as one batch, independent of each other. Everything that holds of
    /// [`submit`](Self::submit) holds of each; the answers are in the order given.
    ///
    /// # Errors
    /// Those of the store, and then for all; only after [`StoreError::Unknown`] may jobs exist nevertheless.
    pub fn submit_many(
        &self,
        ns: &Namespace,
        mut batch: Vec<Submission>,
    ) -> impl Future<Output = Result<Vec<Result<Submitted, IntakeRefused>>, StoreError>> + Send + use<> {
        let asked = if batch.is_empty() {
            Err(Vec::new())
        } else if self.draining.load(Ordering::SeqCst) {
            let replay = |one: Submission| {
                let key = one.idempotency?;
                Some(self.store.replay(ns, &one.job.queue, key))
            };
            Err(batch.into_iter().map(replay).collect())
        } else {
            for one in &mut batch {
                one.create_queue |= self.create_queues;
            }
            Ok(self.store.submit(ns, batch))
        };
        async move {
            match asked {
                Ok(submitted) => {
                    let refused = |one: Result<_, _>| one.map_err(IntakeRefused::from);
                    Ok(submitted.await?.into_iter().map(refused).collect())
                }
                Err(replays) => {
                    let mut known = Vec::with_capacity(replays.len());
                    for replay in replays {
                        let answer = match replay {
                            Some(replay) => replay.await?,
                            None => None,
                        };
                        let answer = answer.map(|one| one.map_err(IntakeRefused::from));
                        known.push(answer.unwrap_or(Err(IntakeRefused::Draining)));
                    }
                    Ok(known)
                }
            }
        }
    }
}

impl Intake {
    /// Adds lines to a batch: see [`Store::add_lines`]. They are handed over by the call itself. `None` where the node
    /// drains.
    pub(crate) fn add_lines(
        &self,
        ns: &Namespace,
        id: BatchId,
        first: u64,
        mut lines: Vec<Line>,
    ) -> Option<Answer<Result<Arc<Batch>, BatchRefused>>> {
        if self.draining.load(Ordering::SeqCst) {
            return None;
        }
        for line in &mut lines {
            if let Line::Job(submission) = line {
                submission.create_queue |= self.create_queues;
            }
        }
        Some(self.store.add_lines(ns, id, first, lines))
    }
}

/// What was handed to the store.
enum Asked {
    Submit(Answer<Vec<Result<Submitted, SubmitRefused>>>),
    Replay(Option<Answer<Option<Result<Submitted, SubmitRefused>>>>),
}
