//! Claims: which jobs a store may lease is the model's to say, which of those it leased the store's.
//!
//! Invariant: the model leases exactly the jobs that the store leased, each of them the first of its group.

use super::compare::{equal, same};
use super::run::{Checked, Run, answered};
use crate::job::Phase;
use crate::limit::HeldBy;
use crate::name::{Namespace, QueueName};
use crate::store::{Claim, Leased};

impl Run {
    pub(super) async fn claim(&mut self, ns: &Namespace, claim: Claim) -> Checked {
        let leased = answered(self.store().claim(ns, claim.clone()).await)?;
        let mut repeated = self.model.repeated(ns, &claim);
        if !repeated.is_empty() {
            let mut leased = leased;
            leased.sort_by_key(|leased| leased.job.id);
            repeated.sort_by_key(|leased| leased.job.id);
            self.cover("claim repeated");
            return same("a repeated claim", leased, repeated);
        }
        let name = (ns.clone(), claim.queue.clone());
        let startable = self.model.startable(&name, &claim, self.now());
        if leased.len() > startable {
            return Err(format!(
                "{} jobs were claimed, {startable} may start",
                leased.len()
            ));
        }
        if let Some(by) = self.model.held(&name, self.now()) {
            self.cover(match by {
                HeldBy::Concurrency => "held by concurrency",
                HeldBy::Rate => "held by a rate",
            });
        }
        self.turns.claim(ns, &claim.queue);
        let mut nonces = claim.nonces.clone();
        for one in &leased {
            let Some(lease) = one.job.lease_id() else {
                return Err(format!("a claim gave {:?}, which does not run", one.job));
            };
            let Some(n) = nonces.iter().position(|nonce| *nonce == lease.nonce) else {
                return Err(format!("{lease} has a nonce that did not come with the claim"));
            };
            nonces.remove(n);
            self.follow(&claim, &name, one)?;
            self.pool.leases.push((ns.clone(), lease));
        }
        let left = self.model.open(&name, self.now()).len();
        if left < self.model.claimable(&name, self.now()).len() {
            self.cover("held by a group's limit");
        }
        if leased.len() < startable && left > 0 {
            return Err(format!(
                "{} jobs were claimed of {startable} that may start, {left} are left",
                leased.len()
            ));
        }
        Ok(())
    }

    /// Checks that the store might lease this job, and leases it in the model too.
    fn follow(&mut self, claim: &Claim, name: &(Namespace, QueueName), one: &Leased) -> Checked {
        let now = self.now();
        let (id, group) = (one.job.id, &one.job.group);
        let open = self.model.open(name, now);
        let fair = self
            .model
            .queue(&name.0, &name.1, now)
            .is_some_and(|status| status.queue.fair());
        let of_group = open.iter().filter(|job| !fair || job.group == *group);
        let first = of_group
            .min_by_key(|job| (job.priority, job.run_at, job.id))
            .map(|job| job.id);
        equal("the first job of its group", &Some(id), &first)?;
        let groups = open
            .iter()
            .map(|job| &job.group)
            .collect::<std::collections::BTreeSet<_>>()
            .len();
        let shown: Vec<_> = open
            .iter()
            .map(|job| (job.id, job.group.clone(), job.run_at))
            .collect();
        let Phase::Running(lease) = &one.job.phase else {
            return Err(format!("{:?} does not run", one.job));
        };
        let leased = self.model.lease(id, &claim.claimer, lease.nonce, now);
        let more = self.model.open(name, now).iter().any(|job| job.group == *group);
        let place = (name.0.clone(), name.1.clone(), group.clone());
        if !fair {
            self.turns.serve_any(&place, more);
        } else if let Err(unfair) = self.turns.serve(&place, more) {
            return Err(format!("{unfair}; claimable were {shown:?}"));
        }
        equal(
            "a claimed job",
            &Some(&one.job),
            &leased.as_ref().map(|leased| &leased.job),
        )?;
        equal(
            "its input",
            &Some(&one.input),
            &leased.as_ref().map(|leased| &leased.input),
        )?;
        self.see(&one.job)?;
        self.cover("claimed");
        if groups > 1 {
            self.cover("claimed in turn");
        }
        if one.job.fence.0 > 1 {
            self.cover("claimed again");
        }
        Ok(())
    }
}
