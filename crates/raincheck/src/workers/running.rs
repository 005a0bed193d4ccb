//! The attempts that run on this node, so that a commit which concerns one of them reaches it at once.
//!
//! Invariant: what is heard here is a hint; every attempt learns the same from its next renewal. A hint that comes
//! before its attempt has begun is kept for it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::hashing::Map;

use raincheck_core::id::{Fence, JobId, LeaseId};
use raincheck_core::job::Phase;
use raincheck_core::store::Change;
use raincheck_core::time::Timestamp;

use super::word::Word;

/// So many early cancel requests are kept; those beyond it are learned by renewal.
const EARLY_MAX: usize = 10_000;

/// What a commit said about an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Nothing yet.
    Nothing,
    /// It is to stop by then.
    Cancel(Timestamp),
    /// Somebody else settled it over its lease.
    Settled,
    /// Its lease is over.
    Over,
}

type Claimed = (JobId, Fence);

#[derive(Debug, Default)]
struct State {
    attempts: Map<Claimed, Word<Heard>>,
    /// Cancel requests for claims whose attempts have not begun: between a claim's commit and its answer.
    early: Map<Claimed, Timestamp>,
}

/// The registry. Cloning gives another handle on it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Running(Arc<Mutex<State>>);

impl Running {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock can panic half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters an attempt; it hears of its job until the guard is dropped.
    pub(crate) fn enter(&self, lease: &LeaseId) -> (Entered, Word<Heard>) {
        let claimed = (lease.job, lease.fence);
        let heard = Word::new(Heard::Nothing);
        let mut state = self.state();
        if let Some(by) = state.early.remove(&claimed) {
            heard.say(Heard::Cancel(by));
        }
        state.attempts.insert(claimed, heard.clone());
        drop(state);
        let entered = Entered {
            running: self.clone(),
            claimed,
        };
        (entered, heard)
    }

    /// Passes on what was committed.
    pub(crate) fn tell(&self, changes: &[Change]) {
        let mut state = self.state();
        for change in changes {
            let job = &change.job;
            let claimed = (job.id, job.fence);
            let attempt = state.attempts.get(&claimed);
            match (&job.phase, attempt) {
                (Phase::Running(lease), Some(attempt)) if job.cancel_requested => {
                    attempt.say(Heard::Cancel(lease.cancel_by.unwrap_or(lease.expires_at)));
                }
                (Phase::Running(lease), None) if job.cancel_requested && lease.kind.dies_with_server() => {
                    if state.early.len() < EARLY_MAX {
                        let by = lease.cancel_by.unwrap_or(lease.expires_at);
                        state.early.insert(claimed, by);
                    }
                }
                (Phase::Running(_), _) => {}
                (Phase::Waiting | Phase::Done { .. }, Some(attempt)) => {
                    // Only settlements leave a trace of themselves, and an attempt that settles has left before.
                    let heard = if job.settled.is_some() {
                        Heard::Settled
                    } else {
                        Heard::Over
                    };
                    attempt.say(heard);
                }
                (Phase::Waiting | Phase::Done { .. }, None) => {
                    if !state.early.is_empty() {
                        state.early.remove(&claimed);
                    }
                }
            }
        }
    }
}

/// An attempt that is entered; leaves when dropped.
#[derive(Debug)]
pub(crate) struct Entered {
    running: Running,
    claimed: Claimed,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.running.state().attempts.remove(&self.claimed);
    }
}
