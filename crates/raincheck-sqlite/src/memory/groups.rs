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
        #[cfg(test)]
        self.looked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
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
        let memory = self.at(key);
        let Some(held) = held else {
            return memory.ready.open(&named);
        };
        let before = memory.ready.holds(&named);
        if memory.ready.hold(&named) {
            if !before {
                memory.waits.of_group(held.by);
            }
            if let Some(until) = held.until {
                self.rates.look_again((key, named), until);
            }
        }
        false
    }

    /// Takes a group that has a turn out of the turns, whatever its limits say, until it is [weighed](Self::weigh). Whether it had one.
    pub(crate) fn pass_over(&mut self, key: QueueKey, group: &GroupName) -> bool {
        let (named, memory) = (Some(group.clone()), self.at(key));
        !memory.ready.holds(&named) && memory.ready.hold(&named)
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    use raincheck_core::name::{Namespace, QueueName};
    use raincheck_core::queue::{Queue, QueueSpec};

    use super::*;

    fn group(n: u64) -> GroupName {
        GroupName::new(&format!("g{n}")).unwrap()
    }

    #[test]
    fn ten_thousand_groups_at_their_limit_cost_a_claim_nothing() {
        let (mut memory, now) = (Memory::new(0), Timestamp::from_millis(1_000));
        let (ns, name) = (Namespace::default(), QueueName::new("q").unwrap());
        let spec = QueueSpec {
            group_defaults: Some(GroupSpec {
                concurrency: Some(1),
                rate: None,
                burst: None,
            }),
            ..QueueSpec::default()
        };
        let queue = Arc::new(Queue::new(ns.clone(), name.clone(), spec, now));
        memory.set_queue(1, &ns, &name, Some(queue));
        memory.count_groups(1, Some(&[]));
        // One of each runs and two wait.
        for n in 0..10_000 {
            memory.at(1).groups.ran(Some(&group(n)), true);
            memory.push_ready(1, Some(group(n)), (5, 0, 2 * n), now);
            memory.push_ready(1, Some(group(n)), (5, 0, 2 * n + 1), now);
        }
        assert_eq!(
            memory.queues[&1].waits.group_concurrency, 10_000,
            "each was held back once"
        );
        memory.push_ready(1, Some(group(10_000)), (9, 0, 77_777), now);
        let looked = |memory: &Memory| memory.looked.load(Ordering::Relaxed);
        let before = looked(&memory);
        // What a claim does: take the first, count it, ask its group, and no other.
        assert_eq!(memory.at(1).ready.pop(), Some(77_777));
        memory.at(1).groups.ran(Some(&group(10_000)), true);
        memory.weigh(1, &group(10_000), now);
        assert_eq!(
            memory.at(1).ready.pop(),
            None,
            "the queue has nothing more to look at"
        );
        assert_eq!(looked(&memory) - before, 1);
        // And what an end does: it lets in the next of its own group, and no other.
        memory.at(1).groups.ran(Some(&group(4_000)), false);
        assert!(memory.weigh(1, &group(4_000), now));
        assert_eq!(memory.at(1).ready.pop(), Some(8_000));
        memory.at(1).groups.ran(Some(&group(4_000)), true);
        memory.weigh(1, &group(4_000), now);
        assert_eq!(memory.at(1).ready.pop(), None);
        assert_eq!(looked(&memory) - before, 3);
    }
}
