//! The model ends what time is over for: leases, waiting jobs, retentions, tombstones, a process's attempts.
//!
//! Invariant: a slice deals with at most `limit` rows and tells whether more is due.

use std::sync::Arc;

use super::state::Model;
use crate::decide::{expire, expires_at, interrupt_on_open, reclaim};
use crate::id::JobId;
use crate::job::Job;
use crate::name::Namespace;
use crate::queue::Queue;
use crate::retry::seed_for;
use crate::store::{Missing, Reclaimed, Slice};
use crate::time::Timestamp;

impl Model {
    pub(in crate::conformance) fn reclaim(&mut self, limit: u32, seed: u64, now: Timestamp) -> Reclaimed {
        let mut due: Vec<JobId> = self.jobs.keys().copied().collect();
        due.retain(|id| self.ends_at(*id).is_some_and(|end| end <= now));
        due.truncate(limit as usize);
        for id in &due {
            let job = self.jobs[id].job.clone();
            let policy = self.policy(&job);
            let ended = reclaim(&job, &policy, seed_for(seed, *id), now);
            if let Some(next) = ended.or_else(|| expire(&job, &policy, now)) {
                self.change(next);
            }
        }
        Reclaimed {
            count: u32::try_from(due.len()).unwrap_or(u32::MAX),
            next_at: self.next_end(),
        }
    }

    /// When the next lease lapses or the next waiting job is overdue.
    pub(in crate::conformance) fn next_end(&self) -> Option<Timestamp> {
        self.jobs.keys().filter_map(|id| self.ends_at(*id)).min()
    }

    /// From when reclaim has to do with the job.
    fn ends_at(&self, id: JobId) -> Option<Timestamp> {
        let job: &Job = &self.jobs[&id].job;
        match job.lease() {
            Some(lease) => Some(lease.ends_at()),
            None if job.done() => None,
            None => job.overdue_at(),
        }
    }

    pub(in crate::conformance) fn prune(&mut self, limit: u32, now: Timestamp) -> Slice {
        let outlived = self
            .jobs
            .values()
            .filter(|row| expires_at(&row.job).is_some_and(|end| end <= now))
            .filter(|row| !self.awaits_delivery(row.job.id));
        let outlived: Vec<(Namespace, JobId)> = outlived
            .map(|row| (row.job.namespace.clone(), row.job.id))
            .collect();
        let over = self.gone.iter().filter(|(_, gone)| gone.until <= now);
        let over: Vec<JobId> = over.map(|(id, _)| *id).collect();
        let due = outlived.len() + over.len();
        let mut left = limit as usize;
        for (ns, id) in outlived.into_iter().take(left) {
            self.forget(&ns, id, Missing::Expired, now);
            left -= 1;
        }
        for id in over.into_iter().take(left) {
            self.gone.remove(&id);
            self.keys.retain(|_, key| key.job != id);
            left -= 1;
        }
        let single = limit as usize - left;
        let (of_batches, more) = self.prune_batches(left, now);
        Slice {
            count: u32::try_from(single + of_batches).unwrap_or(u32::MAX),
            more: single < due || more,
        }
    }

    /// What opening a store does: attempts of the former process are over, rings begin anew, and no configuration has
    /// said yet which queues it manages.
    pub(in crate::conformance) fn reopen(&mut self, seed: u64, now: Timestamp) {
        for id in self.jobs.keys().copied().collect::<Vec<_>>() {
            let job = self.jobs[&id].job.clone();
            if let Some(next) = interrupt_on_open(&job, &self.policy(&job), seed_for(seed, id), now) {
                self.keep(next);
            }
        }
        for line in self.lines.values_mut() {
            line.ring.clear();
            let mut queue = Queue::clone(&line.queue);
            queue.managed = false;
            line.queue = Arc::new(queue);
        }
    }
}
