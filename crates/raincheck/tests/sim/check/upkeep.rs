//! Rules of what time ends: leases, waiting jobs, retentions, tombstones (G4, G11).

use std::sync::Arc;

use raincheck_core::job::{AttemptOutcome, Job, Outcome, Phase};
use raincheck_core::store::{Change, Missing, Reclaimed, Slice};
use raincheck_core::time::Timestamp;

use super::Checker;
use crate::log::number;

/// From when a reclaim has to do with the job.
fn ends_at(job: &Job) -> Option<Timestamp> {
    match &job.phase {
        Phase::Running(lease) => Some(lease.ends_at()),
        Phase::Waiting => job.overdue_at(),
        Phase::Done { .. } => None,
    }
}

impl Checker {
    /// A reclaim was carried out: `changes` is all that it told.
    pub(crate) fn reclaimed(
        &mut self,
        limit: u32,
        answer: Reclaimed,
        changes: &[Change],
        now: Timestamp,
    ) -> &'static str {
        self.rule(
            answer.count as usize == changes.len(),
            "a reclaim tells what it did",
            || format!("{} of {}", changes.len(), answer.count),
        );
        for change in changes {
            let Some(before) = self.jobs.get(&change.job.id).map(|shadow| shadow.job.clone()) else {
                continue;
            };
            self.rule(
                ends_at(&before).is_some_and(|end| end <= now),
                "nothing is ended before its time (G4)",
                || format!("at {now}: {before:?}"),
            );
            self.ended(&before, &change.job);
        }
        if answer.count < limit {
            let mut jobs = self.jobs.values().map(|shadow| &shadow.job);
            let left = jobs
                .find(|job| ends_at(job).is_some_and(|end| end <= now))
                .cloned();
            self.rule(
                left.is_none(),
                "a reclaim leaves nothing that is over (G4)",
                || format!("at {now}: {left:?}"),
            );
        }
        if changes.is_empty() {
            "nothing"
        } else {
            "ended some"
        }
    }

    fn ended(&mut self, before: &Arc<Job>, after: &Arc<Job>) {
        self.cover.hit(match (&before.phase, after.outcome()) {
            (Phase::Waiting, Some(Outcome::Expired)) => "expired",
            (Phase::Waiting, _) => "deadline between attempts",
            (_, Some(Outcome::Failed)) => "reclaimed and failed",
            (_, Some(_)) => "reclaimed after a cancel request",
            (_, None) => "reclaimed",
        });
        if after.attempts.last().map(|last| last.outcome) == Some(AttemptOutcome::TimedOut) {
            self.cover.hit("attempt timed out");
        }
        let charged = after.attempt == before.attempt;
        self.rule(charged, "a lost attempt stays charged (G11)", || {
            format!("{after:?}")
        });
        self.rule(after.lease().is_none(), "a reclaim ends the attempt (G4)", || {
            format!("{after:?}")
        });
        self.see(after, "a reclaim");
    }

    /// A prune was carried out.
    pub(crate) fn pruned(&mut self, limit: u32, answer: Slice, now: Timestamp) -> &'static str {
        let outlived = self.jobs.values().filter(|shadow| match &shadow.job.phase {
            Phase::Done { expires_at, .. } => *expires_at <= now,
            Phase::Waiting | Phase::Running(_) => false,
        });
        let outlived: Vec<_> = outlived.map(|shadow| shadow.job.id).collect();
        let over = self.gone.iter().filter(|(_, (_, until))| *until <= now);
        let over: Vec<_> = over.map(|(id, _)| *id).collect();
        let due = outlived.len() + over.len();
        self.rule(
            due >= limit as usize || answer.count as usize == due,
            "a prune takes what outlived its retention, and nothing else (G1)",
            || format!("{} of {due}", answer.count),
        );
        for id in outlived {
            self.forget(id, Missing::Expired, now);
            self.cover.hit("pruned");
        }
        for id in over {
            self.gone.remove(&id);
            self.keys.retain(|_, (_, made)| *made != id);
            self.cover.hit("tombstone over");
        }
        if due == 0 { "nothing" } else { "pruned some" }
    }

    /// A purge was carried out.
    pub(crate) fn purged(&mut self, answer: Slice, changes: &[Change]) -> &'static str {
        self.rule(
            answer.count as usize == changes.len(),
            "a purge tells what it did",
            || format!("{} of {}", changes.len(), answer.count),
        );
        for change in changes {
            let before = self.jobs.get(&change.job.id).map(|shadow| shadow.job.clone());
            let waited = before.is_some_and(|job| matches!(job.phase, Phase::Waiting));
            self.rule(
                waited && change.job.outcome() == Some(Outcome::Cancelled),
                "a purge cancels what waits",
                || format!("job {}", number(change.job.id)),
            );
            self.see(&change.job, "a purge");
            self.cover.hit("purged");
        }
        "purged"
    }
}
