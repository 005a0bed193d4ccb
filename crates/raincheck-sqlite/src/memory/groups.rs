//! Limits of groups: what is written, how many run, and which groups are kept out of the turns.
//!
//! Invariants: a queue whose groups nothing bounds keeps nothing here and pays for nothing; where something does, the
//! groups at a limit are held back in [`Ready`](crate::ready::Ready), whatever happens to them, so that no claim meets one.

use raincheck_core::decide::room;
use raincheck_core::group::GroupSpec;
use raincheck_core::job::Job;
use raincheck_core::limit::{Held, Limits, Used};
use raincheck_core::name::GroupName;
use raincheck_core::time::Timestamp;

use super::{Memory, Named};
use crate::row::QueueKey;

/// One queue's part.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    /// What is written for single groups.
    pub(crate) written: Named<GroupName, GroupSpec>,
    /// How many of each run; counted while something bounds groups.
    running: Option<Named<GroupName, u32>>,
}

impl Groups {
    /// Whether how many run is counted.
    pub(crate) const fn counted(&self) -> bool {
        self.running.is_some()
    }

    /// A job of this group has begun to run, or has ended.
    pub(super) fn ran(&mut self, group: Option<&GroupName>, begins: bool) {
        let (Some(running), Some(group)) = (&mut self.running, group) else {
            return;
        };
        if begins {
            *running.entry(group.clone()).or_default() += 1;
        } else if let Some(count) = running.get_mut(group) {
            *count -= 1;
            if *count == 0 {
                running.remove(group);
            }
        }
    }
}

impl Memory {
    /// Whether something bounds groups of this queue.
    pub(crate) fn bounds_groups(&self, key: QueueKey) -> bool {
        self.queues.get(&key).is_some_and(|memory| {
            let defaults = memory.queue.as_ref().and_then(|queue| queue.spec.group_defaults);
            defaults.is_some_and(|defaults| !defaults.is_empty()) || !memory.groups.written.is_empty()
        })
    }

    /// Begins to count how many of each group run, with these of the queue, or no longer does.
    pub(crate) fn count_groups(&mut self, key: QueueKey, running: Option<&[std::sync::Arc<Job>]>) {
        let groups = &mut self.at(key).groups;
        groups.running = running.map(|_| Named::default());
        for job in running.unwrap_or_default() {
            groups.ran(job.group.as_ref(), true);
        }
    }

    /// What bounds this group.
    pub(crate) fn group_limits(&self, key: QueueKey, group: &GroupName) -> Limits {
        let Some(memory) = self.queues.get(&key) else {
            return Limits::default();
        };
        let written = memory.groups.written.get(group);
        memory
            .queue
            .as_ref()
            .map(|queue| queue.group_limits(written))
            .unwrap_or_default()
    }

    /// How much of its limits this group uses.
    pub(crate) fn group_used(&self, key: QueueKey, group: &GroupName) -> Used {
        let memory = self.queues.get(&key);
        let running = memory.and_then(|memory| memory.groups.running.as_ref()?.get(group));
        Used {
            running: running.copied().unwrap_or(0),
            rate: self.rates.get(&(key, Some(group.clone()))),
        }
    }

    /// Which limit of its own keeps this group back; none where none is counted.
    pub(crate) fn group_held(&self, key: QueueKey, group: &GroupName, now: Timestamp) -> Option<Held> {
        if !self.queues.get(&key)?.groups.counted() {
            return None;
        }
        room(
            &self.group_limits(key, group),
            self.group_used(key, group),
            1,
            now,
        )
        .held
    }

    /// Takes a group out of the turns or lets it back in, as its limits say now. Whether it came back.
    pub(crate) fn weigh(&mut self, key: QueueKey, group: &GroupName, now: Timestamp) -> bool {
        let held = self.group_held(key, group, now);
        let named = Some(group.clone());
        let ready = &mut self.at(key).ready;
        let Some(held) = held else {
            return ready.open(&named);
        };
        if let (true, Some(until)) = (ready.hold(&named), held.until) {
            self.rates.look_again((key, named), until);
        }
        false
    }

    /// The same for all groups of a queue: its limits have changed.
    pub(crate) fn weigh_all(&mut self, key: QueueKey, now: Timestamp) {
        for group in self.at(key).ready.groups() {
            self.weigh(key, &group, now);
        }
    }

    /// Where the rates of a queue and its groups stand under other settings, or by another clock.
    pub(crate) fn carry_over(&mut self, key: QueueKey, now: Timestamp) {
        let mut rates = std::mem::take(&mut self.rates);
        rates.carry_over(
            key,
            |group| match group {
                Some(group) => self.group_limits(key, group),
                None => {
                    let queue = self.queues.get(&key).and_then(|memory| memory.queue.as_ref());
                    queue.map(|queue| queue.limits()).unwrap_or_default()
                }
            },
            now,
        );
        self.rates = rates;
    }

    /// A job became ready: where it is the first of its group, nobody has asked yet whether that is held back.
    pub(super) fn push_ready(
        &mut self,
        key: QueueKey,
        group: Option<GroupName>,
        place: crate::ready::Place,
        now: Timestamp,
    ) {
        let memory = self.at(key);
        let named = group.clone().filter(|_| memory.groups.counted());
        if memory.ready.push(group, place)
            && let Some(group) = named
        {
            self.weigh(key, &group, now);
        }
    }
}
