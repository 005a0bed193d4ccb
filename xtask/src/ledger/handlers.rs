//! Checks of what handlers saw: only what was submitted, never after the end, each time with a higher fence.

use super::history::{Handed, JobId, Shown, Token};
use super::{Fault, Ledger};

impl Ledger {
    pub(super) fn handed(&mut self, handed: &Handed) {
        self.tally.handed += 1;
        self.tally.repeated += u64::from(handed.attempt.is_some_and(|attempt| attempt > 1));
        let job = handed.job.as_ref();
        let Some(token) = handed.token else {
            let detail = "a handler's input that no client sent".to_owned();
            self.violation(Fault::Invented, job, None, detail);
            return;
        };
        let Some(family) = self.families.get_mut(&token) else {
            let fault = if self.retired.contains(&token) {
                Fault::RanDeleted
            } else {
                Fault::Invented
            };
            self.violation(fault, job, Some(token), "a handler saw it".to_owned());
            return;
        };
        family.handed = true;
        let line = format!(
            "handed out by server {}: job {job:?} fence {:?} attempt {:?}",
            handed.server, handed.fence, handed.attempt
        );
        // A handler that is not told which job it has can still be told apart while there is only one.
        let only = family.root.clone().filter(|_| family.retries == 0);
        self.note(token, &line);
        self.refused_ran(token);
        let Some(id) = handed.job.clone().or(only) else {
            return;
        };
        if self.owns(token, &id) {
            self.surface(token, &id);
            self.may_run(&id, handed);
            self.fence_grows(&id, handed);
        }
    }

    /// A handler names a job of this submission: the one its answer named, or one whose answer was lost.
    fn surface(&mut self, token: Token, id: &JobId) {
        let Some(family) = self.families.get_mut(&token) else {
            return;
        };
        if family.ids().any(|known| known == id) {
            return;
        }
        if family.unseen() == 0 {
            let detail = format!(
                "a handler saw {id} beside {:?} {:?}",
                family.root, family.children
            );
            self.violation(Fault::TwoJobs, Some(id), Some(token), detail);
            return;
        }
        if family.root.is_none() {
            family.root = Some(id.clone());
            self.tally.surfaced += u64::from(family.acknowledged == 0 && family.open == 0);
        } else {
            family.children.push(id.clone());
        }
        self.meet(token, id);
    }

    /// Nothing that is over starts again.
    fn may_run(&mut self, id: &JobId, handed: &Handed) {
        let Some(known) = self.known.get(id) else {
            return;
        };
        let later_server = known.over_under.is_some_and(|over| handed.server > over);
        let later_attempt = match (known.last_attempt, handed.attempt) {
            (Some(last), Some(attempt)) => attempt > last,
            _ => false,
        };
        let after_deletion = known.gone && handed.live;
        if !later_server && !later_attempt && !after_deletion {
            return;
        }
        let fault = if known.gone {
            Fault::RanDeleted
        } else if matches!(known.outcome, None | Some(Shown::Cancelled)) {
            Fault::RanCancelled
        } else {
            Fault::RanFinished
        };
        let detail = format!(
            "attempt {:?} of server {}, after attempt {:?} under server {:?} was the last",
            handed.attempt, handed.server, known.last_attempt, known.over_under
        );
        self.violation(fault, Some(id), None, detail);
    }

    fn fence_grows(&mut self, id: &JobId, handed: &Handed) {
        let (Some(fence), Some(known)) = (handed.fence, self.known.get_mut(id)) else {
            return;
        };
        let highest = known.fences.iter().copied().max().unwrap_or(0);
        let repeated = known.fences.contains(&fence);
        known.fences.push(fence);
        // A log is read later than it was written, and two attempts of two servers may write at once.
        if repeated || (handed.live && fence < highest) {
            let detail = format!("fence {fence} after fence {highest}");
            self.violation(Fault::FenceRepeated, Some(id), None, detail);
        }
    }
}
