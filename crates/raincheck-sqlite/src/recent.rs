//! Jobs that were just written, so that the next step of their life need not read them back.
//!
//! Invariant: what is kept here equals its row. Every transition takes a job out first; the oldest entries go when there
//! are too many; a rollback drops all.

use std::collections::VecDeque;

use crate::memory::Numbered;

/// Values by the first half of a job's id, the newest so many.
#[derive(Debug)]
pub(crate) struct Recent<T> {
    values: Numbered<u64, T>,
    /// In the order they came; may name values that were taken since.
    order: VecDeque<u64>,
    capacity: usize,
}

impl<T> Recent<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            values: Numbered::default(),
            order: VecDeque::new(),
            capacity,
        }
    }

    pub(crate) fn put(&mut self, seq: u64, value: T) {
        if self.values.insert(seq, value).is_none() {
            self.order.push_back(seq);
        }
        // Names of values that were taken count as well, so that the order cannot outgrow the values for long.
        while self.order.len() > self.capacity {
            if let Some(oldest) = self.order.pop_front() {
                self.values.remove(&oldest);
            }
        }
    }

    pub(crate) const fn capacity(&self) -> usize {
        self.capacity
    }

    pub(crate) fn get(&self, seq: u64) -> Option<&T> {
        self.values.get(&seq)
    }

    pub(crate) fn take(&mut self, seq: u64) -> Option<T> {
        self.values.remove(&seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_when_there_are_too_many() {
        let mut recent = Recent::new(3);
        for seq in 1..=5 {
            recent.put(seq, seq * 10);
        }
        assert_eq!(
            [1, 2, 3, 4, 5].map(|seq| recent.get(seq).copied()),
            [None, None, Some(30), Some(40), Some(50)]
        );
        assert_eq!((recent.take(4), recent.take(4)), (Some(40), None));
        for seq in 6..100 {
            recent.put(seq, 0);
            recent.take(seq);
        }
        assert!(recent.order.len() <= 3 && recent.values.len() <= 3);
    }
}
