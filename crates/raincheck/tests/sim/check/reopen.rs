//! Rules of a store that is opened again (G1): what was committed is there, and only attempts of the process that is gone
//! have ended.

use std::sync::Arc;

use raincheck_core::id::JobId;
use raincheck_core::job::AttemptOutcome;
use raincheck_core::store::{Change, Missing};

use super::Checker;
use crate::log::number;

impl Checker {
    /// Every id that the store may be asked for.
    pub(crate) fn ids(&self) -> Vec<JobId> {
        let ids = self.jobs.keys().chain(self.gone.keys()).chain(&self.never);
        ids.copied().collect()
    }

    /// A job as a store shows it right after it was opened.
    pub(crate) fn reopened(&mut self, id: JobId, found: &Result<Change, Missing>) {
        let before = self.jobs.get(&id).map(|shadow| shadow.job.clone());
        let (Ok(change), Some(before)) = (found, before) else {
            self.read_result(id, found);
            return;
        };
        let dies = before.lease().is_some_and(|lease| lease.kind.dies_with_server());
        let job = &change.job;
        if !dies {
            if before.lease().is_some() {
                self.cover.hit("pull lease outlived its server");
                // Its holder has the full term again.
                self.see(job, "opening the store");
            }
            self.read_result(id, found);
            return;
        }
        let lost = job.attempts.last().map(|last| last.outcome);
        let right = if before.cancel_requested {
            lost == Some(AttemptOutcome::Cancelled)
        } else {
            lost == Some(AttemptOutcome::LeaseLost)
        };
        self.rule(
            right && job.lease().is_none() && job.version == before.version + 1,
            "an attempt ends with the process that ran it (G4)",
            || format!("{job:?}"),
        );
        self.cover.hit("own attempt interrupted by a crash");
        self.see(&Arc::clone(job), "opening the store");
        self.read_result(id, found);
    }

    /// How long a shadow's list is, for messages.
    pub(crate) fn summary(&self) -> String {
        let running = self.jobs.values().filter(|shadow| shadow.job.lease().is_some());
        let stuck = self.jobs.values().filter(|shadow| !shadow.job.done());
        let stuck: Vec<_> = stuck
            .map(|shadow| format!("{}: {:?}", number(shadow.job.id), shadow.job))
            .collect();
        format!(
            "{} jobs, {} running; unfinished: {stuck:#?}",
            self.jobs.len(),
            running.count()
        )
    }
}
