//! The model keeps queues: their settings, whether they are paused, what is in them.
//!
//! Invariant: a queue that holds an unfinished job is never forgotten.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::state::{Line, Model};
use crate::decide::claimable;
use crate::id::JobId;
use crate::job::{Job, Phase};
use crate::name::{Namespace, QueueName};
use crate::queue::{Queue, QueueSpec};
use crate::store::{Lag, LimitWaits, QueueLag, QueueRefused, QueueStatus, Slice, Standing};
use crate::time::Timestamp;

impl Model {
    pub(in crate::conformance) fn put_queue(
        &mut self,
        ns: &Namespace,
        name: &QueueName,
        spec: QueueSpec,
        managed: bool,
        now: Timestamp,
    ) -> Result<Arc<Queue>, QueueRefused> {
        let key = (ns.clone(), name.clone());
        let line = self.lines.entry(key.clone()).or_insert_with(|| Line {
            queue: Arc::new(Queue::new(ns.clone(), name.clone(), QueueSpec::default(), now)),
            ring: VecDeque::new(),
            groups: BTreeMap::new(),
        });
        if line.queue.managed && !managed {
            return Err(QueueRefused::Managed);
        }
        let mut queue = Queue::clone(&line.queue);
        queue.spec = spec;
        // What the configuration says again at each start is no new word.
        queue.callback_gone = queue.callback_gone.filter(|_| managed);
        queue.managed = managed;
        line.queue = Arc::new(queue);
        let queue = line.queue.clone();
        self.carry_over(&key, now);
        Ok(queue)
    }

    pub(in crate::conformance) fn release_queue(
        &mut self,
        ns: &Namespace,
        name: &QueueName,
    ) -> Result<Arc<Queue>, QueueRefused> {
        let key = (ns.clone(), name.clone());
        let line = self.lines.get_mut(&key).ok_or(QueueRefused::Unknown)?;
        if line.queue.managed {
            Arc::make_mut(&mut line.queue).managed = false;
        }
        Ok(line.queue.clone())
    }

    pub(in crate::conformance) fn queue(
        &self,
        ns: &Namespace,
        name: &QueueName,
        now: Timestamp,
    ) -> Option<QueueStatus> {
        let line = self.lines.get(&(ns.clone(), name.clone()))?;
        Some(QueueStatus {
            queue: line.queue.clone(),
            counts: self.counts(ns, name, now),
        })
    }

    /// The groups take turns, so before a job with `rank` of its group before it each other group has had `rank` turns, and
    /// one more where its turn comes first.
    pub(in crate::conformance) fn standing(
        &self,
        ns: &Namespace,
        job: &Job,
        now: Timestamp,
    ) -> Option<Standing> {
        let name = (ns.clone(), job.queue.clone());
        let status = self.queue(ns, &job.queue, now)?;
        let open = self.open(&name, now);
        let mut ring: Vec<_> = self.lines[&name].ring.iter().cloned().collect();
        ring.extend(open.iter().map(|job| job.group.clone()));
        let place = |job: &Job| (job.priority, job.run_at, job.id);
        let mut ahead = None;
        if open.iter().any(|open| place(open) == place(job)) {
            let before = |open: &&&Job| open.group == job.group && place(open) < place(job);
            let rank = open.iter().filter(before).count();
            let mut seen = Vec::new();
            let mut sum = rank;
            for group in ring {
                if seen.contains(&group) {
                    continue;
                }
                if group != job.group {
                    let turns = rank + usize::from(!seen.contains(&job.group));
                    sum += turns.min(open.iter().filter(|open| open.group == group).count());
                }
                seen.push(group);
            }
            if !status.queue.fair() {
                sum = open.iter().filter(|open| place(open) < place(job)).count();
            }
            ahead = Some(sum as u64);
        }
        let (held, group_held) = self.holds(&name, job.group.as_ref(), now);
        Some(Standing {
            status,
            ahead,
            held,
            group_held,
        })
    }

    pub(in crate::conformance) fn queues(&self, ns: &Namespace, now: Timestamp) -> Vec<QueueStatus> {
        let names = self.lines.keys().filter(|(owner, _)| owner == ns);
        names.filter_map(|(_, name)| self.queue(ns, name, now)).collect()
    }

    pub(in crate::conformance) fn all_queues(&self) -> Vec<Arc<Queue>> {
        self.lines.values().map(|line| line.queue.clone()).collect()
    }

    pub(in crate::conformance) fn lag(&self, now: Timestamp) -> Lag {
        let queues = self.lines.iter().map(|((namespace, queue), _)| {
            let ours = self.jobs.values().map(|kept| &kept.job);
            let ours = ours.filter(|job| job.namespace == *namespace && job.queue == *queue);
            QueueLag {
                namespace: namespace.clone(),
                queue: queue.clone(),
                due_since: ours.filter(|job| claimable(job, now)).map(|job| job.run_at).min(),
                waits: LimitWaits::default(),
            }
        });
        let pending = self.deliveries.values();
        Lag {
            queues: queues.collect(),
            webhooks: pending.filter(|delivery| delivery.next_at().is_some()).count() as u64,
        }
    }

    pub(in crate::conformance) fn pause(
        &mut self,
        ns: &Namespace,
        name: &QueueName,
        paused: bool,
        now: Timestamp,
    ) -> Result<Arc<Queue>, QueueRefused> {
        let key = (ns.clone(), name.clone());
        let line = self.lines.get_mut(&key).ok_or(QueueRefused::Unknown)?;
        if line.queue.paused.is_some() != paused {
            let mut queue = Queue::clone(&line.queue);
            queue.paused = paused.then_some(now);
            line.queue = Arc::new(queue);
            if !paused {
                self.resumed.push(key.clone());
            }
        }
        Ok(self.lines[&key].queue.clone())
    }

    pub(in crate::conformance) fn purge(
        &mut self,
        ns: &Namespace,
        name: &QueueName,
        limit: u32,
        now: Timestamp,
    ) -> Result<Slice, QueueRefused> {
        if !self.lines.contains_key(&(ns.clone(), name.clone())) {
            return Err(QueueRefused::Unknown);
        }
        let waiting = self
            .jobs_of(ns, name)
            .filter(|job| matches!(job.phase, Phase::Waiting));
        let mut waiting: Vec<JobId> = waiting.map(|job| job.id).collect();
        let all = waiting.len();
        waiting.truncate(limit as usize);
        for id in &waiting {
            // It is there: nothing else runs in between.
            let _ = self.cancel(ns, *id, now);
        }
        Ok(Slice {
            count: u32::try_from(waiting.len()).unwrap_or(u32::MAX),
            more: waiting.len() < all,
        })
    }

    pub(in crate::conformance) fn delete_queue(
        &mut self,
        ns: &Namespace,
        name: &QueueName,
        now: Timestamp,
    ) -> Result<(), QueueRefused> {
        let key = (ns.clone(), name.clone());
        let line = self.lines.get(&key).ok_or(QueueRefused::Unknown)?;
        if line.queue.managed {
            return Err(QueueRefused::Managed);
        }
        let unfinished = self.counts(ns, name, now).unfinished();
        if unfinished > 0 {
            return Err(QueueRefused::NotEmpty(unfinished));
        }
        self.lines.remove(&key);
        Ok(())
    }
}
