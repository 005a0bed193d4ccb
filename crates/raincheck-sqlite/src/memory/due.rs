//! What time and commits make claimable: due timers, staged jobs, rates that let the next start.
//!
//! Invariant: whoever gains jobs to claim, or may start more, is named, so that those who wait are told.

use raincheck_core::limit::Used;
use raincheck_core::time::Timestamp;

use super::{Memory, QueueMemory};
use crate::row::QueueKey;

/// Where there are more, those who wait are looked after at once.
const QUEUES_LOOKED_AT: usize = 64;

impl Memory {
    /// Whether a queue that limits how many run has jobs that wait for a place, and a place.
    pub(crate) fn has_room_again(&self, key: QueueKey) -> bool {
        self.queues.get(&key).is_some_and(|memory| {
            let limit = memory.queue.as_ref().and_then(|queue| queue.spec.concurrency);
            limit.is_some_and(|limit| memory.running < limit) && memory.ready.any()
        })
    }

    /// How much of its limits a queue uses.
    pub(crate) fn used(&self, key: QueueKey) -> Used {
        Used {
            running: self.queues.get(&key).map_or(0, QueueMemory::running),
            rate: self.rates.get(&(key, None)),
        }
    }

    /// Makes due timers claimable, sets overdue jobs aside, and gives the queues that gained jobs or may start more.
    pub(crate) fn promote(&mut self, now: Timestamp) -> Vec<QueueKey> {
        let mut woken = Vec::new();
        while let Some((key, group)) = self.rates.take_due(now) {
            if group.is_none_or(|group| self.weigh(key, &group, now)) {
                woken.push(key);
            }
        }
        while let Some(entry) = self
            .timers
            .first_entry()
            .filter(|entry| entry.key().0 <= now.as_millis())
        {
            let ((run_at, seq), timer) = entry.remove_entry();
            let aside = self.aside.get_mut(&seq).map(|aside| aside.1 = true).is_some();
            self.member_scheduled(timer.batch, false);
            let memory = self.at(timer.queue);
            memory.scheduled -= 1;
            if aside {
                memory.aside += 1;
                continue;
            }
            self.push_ready(timer.queue, timer.group, (timer.priority, run_at, seq), now);
            if !woken.contains(&timer.queue) {
                woken.push(timer.queue);
            }
        }
        while let Some(entry) = self
            .overdue
            .first_entry()
            .filter(|entry| entry.key().0 <= now.as_millis())
        {
            let ((_, seq), (key, group, place)) = entry.remove_entry();
            let queue = self.at(key);
            let was_ready = queue.ready.remove(&group, &place);
            queue.ready.settle();
            queue.aside += u64::from(was_ready);
            self.aside.insert(seq, (key, was_ready));
        }
        woken
    }

    /// Makes claimable what the commit made durable, and gives the queues that gained jobs.
    pub(crate) fn release_staged(&mut self, now: Timestamp) -> Vec<QueueKey> {
        let mut woken = Vec::new();
        for (key, group, place) in std::mem::take(&mut self.staged) {
            self.at(key).staged -= 1;
            self.push_ready(key, group, place, now);
            if !woken.contains(&key) {
                woken.push(key);
            }
        }
        for key in std::mem::take(&mut self.parted) {
            self.at(key).ready.settle();
        }
        woken
    }

    /// The queues that have jobs to claim.
    pub(crate) fn claimable(&self) -> Vec<QueueKey> {
        let any = self.queues.iter().filter(|(_, memory)| memory.ready.any());
        any.map(|(key, _)| *key).collect()
    }

    /// Whether no queue has jobs to claim; not looked for where there are many queues.
    pub(crate) fn nothing_ready(&self) -> bool {
        self.queues.len() <= QUEUES_LOOKED_AT && !self.queues.values().any(|memory| memory.ready.any())
    }

    /// When the next timer is due, or the next job that a rate holds back.
    pub(crate) fn next_timer(&self) -> Option<Timestamp> {
        let timer = self.timers.first_key_value();
        let timer = timer.map(|((run_at, _), _)| Timestamp::from_millis(*run_at));
        timer.into_iter().chain(self.rates.next()).min()
    }
}
