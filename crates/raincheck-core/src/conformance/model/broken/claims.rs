//! Faults of claiming: jobs are taken in another order, or too early.
//!
//! Invariant: a claim that is repeated brings the same leases, whatever else is wrong.

use super::{Broken, Fault};
use crate::conformance::model::state::Model;
use crate::decide::claimable;
use crate::job::{Job, Phase};
use crate::name::Namespace;
use crate::store::{Claim, Leased};
use crate::time::Timestamp;

impl Broken {
    /// Claims as the fault orders the queue.
    pub(super) fn claim_by_fault(
        &self,
        model: &mut Model,
        ns: &Namespace,
        wanted: &Claim,
        now: Timestamp,
    ) -> Vec<Leased> {
        let name = (ns.clone(), wanted.queue.clone());
        let repeated = model.repeated(ns, wanted);
        if !repeated.is_empty() {
            return repeated;
        }
        let mut leased = Vec::new();
        for nonce in wanted.nonces.iter().take(model.startable(&name, wanted, now)) {
            let waiting = model
                .jobs_of(ns, &wanted.queue)
                .filter(|job| matches!(job.phase, Phase::Waiting));
            let open = waiting.filter(|job| match self.fault {
                Fault::StartsEarly => true,
                Fault::StartsOverdueJobs => job.run_at <= now,
                _ => claimable(job, now),
            });
            let next = open.min_by_key(|job| match self.fault {
                Fault::IgnoresPriority => (0, job.run_at, job.id),
                _ => (job.priority, job.run_at, job.id),
            });
            let Some(before) = next.cloned() else {
                break;
            };
            let mut job = Job::clone(&before);
            match self.fault {
                Fault::StartsEarly => job.run_at = now,
                Fault::StartsOverdueJobs => job.options = crate::job::JobOptions::default(),
                _ => {}
            }
            model.keep(job);
            leased.extend(model.lease(before.id, &wanted.claimer, *nonce, now));
        }
        leased
    }
}
