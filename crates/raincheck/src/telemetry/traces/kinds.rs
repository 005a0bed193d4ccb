//! How the attempts run that are under way, for the spans that tell of their ends.
//!
//! Invariant: it holds [`MOST`] at most; of what does not fit, and of attempts that a former process began, nobody tells it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use raincheck_core::id::JobId;
use raincheck_core::job::Job;
use raincheck_core::lease::WorkerKind;

use crate::hashing::Map;

/// More attempts are hardly under way at once; they take 2 MiB.
const MOST: usize = 65_536;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Kinds(Mutex<Map<JobId, WorkerKind>>);

impl Kinds {
    /// A job was claimed, or its lease was renewed.
    pub(super) fn runs(&self, job: &Job) {
        let Some(lease) = job.lease() else { return };
        let mut all = self.all();
        if all.len() < MOST || all.contains_key(&job.id) {
            all.insert(job.id, lease.kind);
        }
    }

    /// Its attempt has ended: how it ran.
    pub(super) fn ended(&self, job: &Job) -> Option<&'static str> {
        let kind = self.all().remove(&job.id)?;
        // It was pushed, and its endpoint settles it later.
        let kind = if kind == WorkerKind::Deferred {
            WorkerKind::Push
        } else {
            kind
        };
        Some(kind.as_str())
    }

    fn all(&self) -> MutexGuard<'_, Map<JobId, WorkerKind>> {
        // Nothing under this lock can panic half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
