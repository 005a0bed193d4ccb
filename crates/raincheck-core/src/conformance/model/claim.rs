//! The model hands jobs to workers: groups in turn, and within a group the first by priority, due time and id.
//!
//! Invariant: a group stands in the ring at most once, and a turn goes to the head.

use std::sync::Arc;

use super::state::{LineName, Model};
use crate::decide::{Claimer, claim, claimable};
use crate::id::{JobId, Nonce};
use crate::job::Job;
use crate::name::{GroupName, Namespace};
use crate::store::{Claim, Leased};
use crate::time::Timestamp;

/// Whether a claim leaves this group's jobs alone.
fn passed_over(group: Option<&GroupName>, passing: &[GroupName]) -> bool {
    group.is_some_and(|group| passing.contains(group))
}

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
        for nonce in wanted.nonces.iter().take(self.startable(&name, wanted, now)) {
            let Some(id) = self.next_in_turn(&name, &wanted.passing_over, now) else {
                break;
            };
            leased.extend(self.lease(id, &wanted.claimer, *nonce, now));
            // A group whose last job this was leaves the ring at once, so that it cannot keep its place.
            self.turn_ring(&name, now);
        }
        if let Some(line) = self.lines.get_mut(&name) {
            let (passed, mut ring): (Vec<_>, _) = std::mem::take(&mut line.ring)
                .into_iter()
                .partition(|group| passed_over(group.as_ref(), &wanted.passing_over));
            ring.extend(passed);
            line.ring = ring.into();
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

    /// How many of the jobs that a claim wants may start now: none where the queue is paused or unknown.
    pub(in crate::conformance) fn startable(&self, name: &LineName, wanted: &Claim, now: Timestamp) -> usize {
        let count = u32::try_from(wanted.nonces.len()).unwrap_or(u32::MAX);
        match self.lines.get(name) {
            Some(line) if line.queue.paused.is_none() => {
                self.free(&line.queue, wanted.running_max, count, now) as usize
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

    /// Brings the ring up to date: groups without a job that may start leave it, groups that have one now join at the back.
    pub(super) fn turn_ring(&mut self, name: &LineName, now: Timestamp) {
        let groups: Vec<_> = self.open(name, now).iter().map(|job| job.group.clone()).collect();
        if let Some(line) = self.lines.get_mut(name) {
            line.ring.retain(|group| groups.contains(group));
            for group in groups {
                if !line.ring.contains(&group) {
                    line.ring.push_back(group);
                }
            }
        }
    }

    /// The job whose turn it is; its group goes to the back. Where the queue is not fair, the first of all.
    fn next_in_turn(&mut self, name: &LineName, passing: &[GroupName], now: Timestamp) -> Option<JobId> {
        self.turn_ring(name, now);
        let line = self.lines.get(name)?;
        let mut ring = line.ring.iter();
        let head = ring.find(|group| !passed_over(group.as_ref(), passing))?.clone();
        let fair = line.queue.fair();
        let mut open = self.open(name, now);
        open.retain(|job| !passed_over(job.group.as_ref(), passing));
        let in_turn = open.iter().filter(|job| !fair || job.group == head);
        let first = in_turn.min_by_key(|job| (job.priority, job.run_at, job.id))?;
        let (first, served) = (first.id, first.group.clone());
        let ring = &mut self.lines.get_mut(name)?.ring;
        ring.retain(|group| *group != served);
        ring.push_back(served);
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
        let name = (job.namespace.clone(), job.queue.clone());
        self.charge(&name, job.group.as_ref(), now);
        let job = self.keep(next);
        self.advanced.push(job.clone());
        Some(Leased {
            input: self.jobs[&id].input.clone(),
            job,
        })
    }
}
