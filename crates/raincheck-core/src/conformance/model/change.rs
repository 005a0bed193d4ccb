//! The model changes jobs that are there: renew, settle, cancel, delete.
//!
//! Invariant: the decision's answer is kept as it is, or nothing is.

use std::sync::Arc;

use super::state::{Gone, Model};
use crate::decide::{Cancelled, Renewed, SettleRefused, SettleStep, TOMBSTONE, cancel, renew, settle};
use crate::id::JobId;
use crate::job::{Job, Phase};
use crate::name::Namespace;
use crate::store::{ChangeRefused, Missing, Renew, Settle};
use crate::time::Timestamp;

impl Model {
    pub(in crate::conformance) fn renew(
        &mut self,
        ns: &Namespace,
        wanted: &Renew,
        now: Timestamp,
    ) -> Option<Renewed> {
        let job = self.find(ns, wanted.lease.job).ok()?;
        let Renew {
            lease,
            term,
            progress,
            defer,
        } = wanted;
        let renewed = renew(&job, lease, *term, progress.as_ref(), *defer, now)?;
        let mut next = Job::clone(&job);
        next.phase = Phase::Running(renewed.lease.clone());
        let next = self.keep(next);
        if wanted.progress.is_some() {
            self.advanced.push(next);
        }
        Some(renewed)
    }

    pub(in crate::conformance) fn settle(
        &mut self,
        ns: &Namespace,
        wanted: Settle,
        now: Timestamp,
    ) -> Result<Arc<Job>, SettleRefused> {
        let Ok(job) = self.find(ns, wanted.lease.job) else {
            return Err(SettleRefused::LeaseLost);
        };
        let policy = self.policy(&job);
        let Settle {
            lease,
            settlement,
            digest,
            seed,
        } = wanted;
        match settle(&job, &lease, settlement, digest, &policy, seed, now)? {
            SettleStep::Moved { job, result } => {
                let row = self.jobs.get_mut(&job.id).expect("the job was found above");
                row.result = result;
                Ok(self.change(Arc::unwrap_or_clone(job)))
            }
            SettleStep::Repeated => Ok(job),
        }
    }

    pub(in crate::conformance) fn cancel(
        &mut self,
        ns: &Namespace,
        id: JobId,
        now: Timestamp,
    ) -> Result<Arc<Job>, Missing> {
        let job = self.find(ns, id)?;
        match cancel(&job, &self.policy(&job), now) {
            Cancelled::Ended(job) | Cancelled::Asked(job) => Ok(self.change(job)),
            Cancelled::Already => Ok(job),
        }
    }

    pub(in crate::conformance) fn delete(
        &mut self,
        ns: &Namespace,
        id: JobId,
        now: Timestamp,
    ) -> Result<(), ChangeRefused> {
        if !self.find(ns, id)?.done() {
            return Err(ChangeRefused::NotDone);
        }
        self.forget(ns, id, Missing::Deleted, now);
        Ok(())
    }

    /// Leaves a tombstone in the job's place.
    pub(super) fn forget(&mut self, ns: &Namespace, id: JobId, why: Missing, now: Timestamp) {
        let until = now.plus(TOMBSTONE);
        self.jobs.remove(&id);
        self.drop_deliveries(id);
        self.gone.insert(
            id,
            Gone {
                namespace: ns.clone(),
                why,
                until,
            },
        );
    }
}
