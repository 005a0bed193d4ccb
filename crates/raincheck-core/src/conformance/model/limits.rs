//! The model's limits: of queues and of groups.
//!
//! Invariant: everything is counted anew each time; only where rates stand is kept.

use std::collections::BTreeMap;

use super::state::{LineName, Model};
use crate::decide::{Room, charge, claimable, room};
use crate::group::GroupSpec;
use crate::job::Job;
use crate::limit::{Held, HeldBy, Limits, Used, carry_over, grant_concurrency};
use crate::name::{GroupName, Namespace, QueueName};
use crate::queue::Queue;
use crate::store::{GroupStatus, QueueRefused};
use crate::time::Timestamp;

impl Model {
    /// How much of its limits the queue uses, or one of its groups.
    fn used(&self, name: &LineName, group: Option<&GroupName>) -> Used {
        let running = self
            .jobs_of(&name.0, &name.1)
            .filter(|job| job.lease().is_some() && (group.is_none() || job.group.as_ref() == group));
        let running = u32::try_from(running.count()).unwrap_or(u32::MAX);
        let rate = self.rates.get(&(name.clone(), group.cloned()));
        Used {
            running,
            rate: rate.copied().unwrap_or_default(),
        }
    }

    fn group_limits(&self, name: &LineName, group: &GroupName) -> Limits {
        self.lines
            .get(name)
            .map(|line| line.queue.group_limits(line.groups.get(group)))
            .unwrap_or_default()
    }

    /// How many of `wanted` jobs of the group may start, as far as its own limits go. Jobs without a group have none.
    fn group_room(&self, name: &LineName, group: Option<&GroupName>, wanted: u32, now: Timestamp) -> Room {
        let limits = group.map_or_else(Limits::default, |group| self.group_limits(name, group));
        let used = match group {
            Some(group) if limits != Limits::default() => self.used(name, Some(group)),
            Some(_) | None => Used::default(),
        };
        room(&limits, used, wanted, now)
    }

    /// How many of `wanted` jobs the queue's limits, and the claimer's own bound, let start.
    pub(super) fn free(&self, line: &Queue, running_max: Option<u32>, wanted: u32, now: Timestamp) -> u32 {
        let used = self.used(&(line.namespace.clone(), line.name.clone()), None);
        let written = room(&line.limits(), used, wanted, now).count;
        grant_concurrency(running_max, used.running, written).count
    }

    /// How many jobs of the queue could start, were it bounded by its groups' limits alone.
    pub(super) fn startable_of_groups(&self, name: &LineName, now: Timestamp) -> u32 {
        let mut due: BTreeMap<Option<&GroupName>, u32> = BTreeMap::new();
        for job in self.jobs_of(&name.0, &name.1).filter(|job| claimable(job, now)) {
            *due.entry(job.group.as_ref()).or_default() += 1;
        }
        let counts = due.into_iter();
        counts
            .map(|(group, due)| self.group_room(name, group, due, now).count)
            .sum()
    }

    /// The jobs of a queue that may start now as far as their groups' limits go, the longest-waiting first.
    pub(in crate::conformance) fn open<'a>(&'a self, name: &'a LineName, now: Timestamp) -> Vec<&'a Job> {
        let mut known = BTreeMap::new();
        let mut open = self.claimable(name, now);
        open.retain(|job| {
            *known
                .entry(job.group.clone())
                .or_insert_with(|| self.group_room(name, job.group.as_ref(), 1, now).count > 0)
        });
        open
    }

    /// What keeps the queue's jobs back, and what those of this group.
    pub(super) fn holds(
        &self,
        name: &LineName,
        group: Option<&GroupName>,
        now: Timestamp,
    ) -> (Option<Held>, Option<Held>) {
        let limits = self
            .lines
            .get(name)
            .map(|line| line.queue.limits())
            .unwrap_or_default();
        let own = room(&limits, self.used(name, None), 1, now).held;
        (own, self.group_room(name, group, 1, now).held)
    }

    /// Which of its limits would keep a job of the queue back.
    pub(in crate::conformance) fn held(&self, name: &LineName, now: Timestamp) -> Option<HeldBy> {
        self.holds(name, None, now).0.map(|held| held.by)
    }

    /// A job of this queue and group has started.
    pub(super) fn charge(&mut self, name: &LineName, group: Option<&GroupName>, now: Timestamp) {
        let Some(line) = self.lines.get(name) else { return };
        let mut states = Vec::new();
        if let Some(rate) = charge(&line.queue.limits(), self.used(name, None), 1, now) {
            states.push((None, rate));
        }
        if let Some(group) = group {
            let limits = self.group_limits(name, group);
            if let Some(rate) = charge(&limits, self.used(name, Some(group)), 1, now) {
                states.push((Some(group.clone()), rate));
            }
        }
        for (group, rate) in states {
            self.rates.insert((name.clone(), group), rate);
        }
    }

    /// Where the rates of the queue and its groups stand from now on, by new settings.
    pub(super) fn carry_over(&mut self, name: &LineName, now: Timestamp) {
        let Some(line) = self.lines.get(name) else { return };
        for ((of, group), state) in &mut self.rates {
            let limits = match group {
                None => line.queue.limits(),
                Some(group) => line.queue.group_limits(line.groups.get(group)),
            };
            if let (true, Some((rate, burst))) = (of == name, limits.rate) {
                *state = carry_over(*state, rate, burst, now);
            }
        }
    }

    pub(in crate::conformance) fn group(
        &self,
        ns: &Namespace,
        queue: &QueueName,
        group: &GroupName,
    ) -> Option<GroupStatus> {
        let line = self.lines.get(&(ns.clone(), queue.clone()))?;
        Some(GroupStatus {
            queue: line.queue.clone(),
            written: line.groups.get(group).copied(),
        })
    }

    pub(in crate::conformance) fn put_group(
        &mut self,
        ns: &Namespace,
        queue: &QueueName,
        group: &GroupName,
        spec: Option<GroupSpec>,
        now: Timestamp,
    ) -> Result<GroupStatus, QueueRefused> {
        let name = (ns.clone(), queue.clone());
        let line = self.lines.get_mut(&name).ok_or(QueueRefused::Unknown)?;
        match spec {
            Some(spec) => line.groups.insert(group.clone(), spec),
            None => line.groups.remove(group),
        };
        self.carry_over(&name, now);
        self.group(ns, queue, group).ok_or(QueueRefused::Unknown)
    }
}
