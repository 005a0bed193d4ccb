//! The model hands jobs to workers: groups in turn, and within a group the first by priority, due time and id.
//!
//! Invariant: a group stands in the ring at most once, and a turn goes to the head.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::state::{LineName, Model};
use crate::decide::{Claimer, claim, claimable};
use crate::id::{JobId, Nonce};
use crate::job::Job;
use crate::name::{GroupName, Namespace};
use crate::store::{Claim, Leased};
use crate::time::Timestamp;

impl Model {
    pub(in crate::conformance) fn claim(
        &mut self,
        ns: &Namespace,
        wanted: &Claim,
        now: Timestamp,
    ) -> Vec<Leased> {
        let repeated = self.repeated(ns, wanted);
        if !repeated.is_empty() {
            return repeated;
        }
        let name = (ns.clone(), wanted.queue.clone());
        let mut leased = Vec::new();
        for nonce in wanted
            .nonces
            .iter()
            .take(self.startable(&name, wanted.nonces.len()))
        {
            let Some(id) = self.next_in_turn(&name, now) else {
                break;
            };
            leased.extend(self.lease(id, &wanted.claimer, *nonce, now));
        }
        leased
    }

    /// The leases that this worker holds already under the same `claim_id`.
    pub(in crate::conformance) fn repeated(&self, ns: &Namespace, wanted: &Claim) -> Vec<Leased> {
        let Some(claim_id) = &wanted.claimer.claim_id else {
            return Vec::new();
        };
        let held = |job: &&Arc<Job>| {
            job.lease().is_some_and(|lease| {
                lease.claim_id.as_ref() == Some(claim_id) && lease.worker == wanted.claimer.worker
            })
        };
        let jobs = self.jobs_of(ns, &wanted.queue).filter(held);
        jobs.map(|job| Leased {
            job: job.clone(),
            input: self.jobs[&job.id].input.clone(),
        })
        .collect()
    }

    /// How many of `wanted` jobs may start now: none where the queue is paused or unknown.
    pub(in crate::conformance) fn startable(&self, name: &LineName, wanted: usize) -> usize {
        match self.lines.get(name) {
            Some(line) if line.queue.paused.is_none() => {
                self.free(&line.queue, u32::try_from(wanted).unwrap_or(u32::MAX)) as usize
            }
            Some(_) | None => 0,
        }
    }

    /// The jobs of a queue that may be claimed, the longest-waiting first.
    pub(in crate::conformance) fn claimable<'a>(
        &'a self,
        name: &'a LineName,
        now: Timestamp,
    ) -> Vec<&'a Job> {
        let jobs = self.jobs_of(&name.0, &name.1).filter(|job| claimable(job, now));
        let mut jobs: Vec<&Job> = jobs.map(AsRef::as_ref).collect();
        jobs.sort_by_key(|job| (job.run_at, job.id));
        jobs
    }

    /// The job whose turn it is.
    fn next_in_turn(&mut self, name: &LineName, now: Timestamp) -> Option<JobId> {
        let jobs = self.claimable(name, now);
        let groups: BTreeSet<_> = jobs.iter().map(|job| job.group.clone()).collect();
        let mut ring: VecDeque<Option<GroupName>> = self.lines.get(name)?.ring.clone();
        ring.retain(|group| groups.contains(group));
        for job in &jobs {
            if !ring.contains(&job.group) {
                ring.push_back(job.group.clone());
            }
        }
        let head = ring.pop_front()?;
        let mut of_head: Vec<_> = jobs.iter().filter(|job| job.group == head).collect();
        of_head.sort_by_key(|job| (job.priority, job.run_at, job.id));
        let first = of_head.first()?.id;
        if of_head.len() > 1 {
            ring.push_back(head);
        }
        self.lines.get_mut(name)?.ring = ring;
        Some(first)
    }

    /// Leases the job where it may be claimed.
    pub(in crate::conformance) fn lease(
        &mut self,
        id: JobId,
        claimer: &Claimer,
        nonce: Nonce,
        now: Timestamp,
    ) -> Option<Leased> {
        let job = self.jobs.get(&id)?.job.clone();
        let next = claim(&job, claimer, nonce, &self.policy(&job), now)?;
        let job = self.keep(next);
        Some(Leased {
            input: self.jobs[&id].input.clone(),
            job,
        })
    }
}
