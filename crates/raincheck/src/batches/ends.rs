//! The members of one followed batch that ended lately, as the commits told them: whoever wants them all need not read back
//! what was at hand when it was written.
//!
//! Invariants: what is here was committed, and stands at the place that its row has; where that is not certain, or there is more than
//! is held, it is not here, and the store is asked.

use std::collections::VecDeque;
use std::sync::Arc;

use raincheck_core::batch::{Batch, Finished};
use raincheck_core::content::JobResult;
use raincheck_core::store::Change;

/// So many members are held.
const MEMBERS_MAX: usize = 2_000;
/// So many bytes of their results, beside the last one.
const BYTES_MAX: usize = 8 << 20;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Ends {
    /// Told, of a commit of which the batch's numbers are still to come.
    fresh: Vec<Change>,
    /// In the order of their places, without a gap.
    held: VecDeque<Finished>,
    bytes: usize,
    /// The batch as it was last told.
    batch: Option<Arc<Batch>>,
}

impl Ends {
    /// A member changed.
    pub(super) fn changed(&mut self, change: &Change) {
        // Who is tried again by hand had its place before.
        if change.job.done() && change.job.retried_as.is_none() {
            self.fresh.push(change.clone());
        }
    }

    /// The batch's numbers of the commit whose changes were told: who ended last has the place of their sum.
    pub(super) fn told(&mut self, batch: &Arc<Batch>) {
        let last = batch.ends.total();
        let fresh = std::mem::take(&mut self.fresh);
        let before = self.batch.replace(batch.clone()).map(|batch| batch.ends.total());
        if before != last.checked_sub(fresh.len() as u64) {
            // What was held is as good as it was, but there is a gap behind it.
            self.clear();
            return;
        }
        let first = last + 1 - fresh.len() as u64;
        let full = self.held.len() + fresh.len() > MEMBERS_MAX || self.bytes > BYTES_MAX;
        if full {
            self.clear();
        }
        for (change, place) in fresh.into_iter().zip(first..) {
            self.bytes += size(change.result.as_deref());
            self.held.push_back(Finished {
                place,
                job: change.job,
                result: change.result,
            });
        }
    }

    fn clear(&mut self) {
        self.held.clear();
        self.bytes = 0;
    }

    /// Takes out what stands behind this place: all of it that is held, nothing where there was nothing yet. `None` where the
    /// store knows more.
    pub(super) fn take(&mut self, after: u64) -> Option<Vec<Finished>> {
        let batch = self.batch.as_ref()?;
        while self.held.front().is_some_and(|first| first.place <= after) {
            self.held.pop_front();
        }
        let behind = match self.held.front() {
            Some(first) => first.place == after + 1,
            None => batch.ends.total() <= after,
        };
        if !behind {
            return None;
        }
        self.bytes = 0;
        Some(std::mem::take(&mut self.held).into())
    }

    /// Whether the batch was done when it was last told, with so many ends.
    pub(super) fn done(&self, after: u64) -> bool {
        let batch = self.batch.as_ref();
        batch.is_some_and(|batch| batch.done() && batch.ends.total() <= after)
    }
}

fn size(result: Option<&JobResult>) -> usize {
    result.map_or(0, |result| result.body.len())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use raincheck_core::batch::{BatchId, Member, NewBatch};
    use raincheck_core::decide::{NewJob, count_end, count_line, open_batch, take_lines};
    use raincheck_core::id::JobId;
    use raincheck_core::job::{JobOptions, Outcome, PRIORITY_DEFAULT, Phase};
    use raincheck_core::name::{Namespace, QueueName};
    use raincheck_core::time::Timestamp;

    use super::*;

    /// A batch of a thousand lines, and what a store would tell of it.
    struct Told {
        ends: Ends,
        batch: Batch,
    }

    impl Told {
        fn new() -> Self {
            let new = NewBatch {
                id: BatchId::new(JobId::from_parts(1, 1)),
                keep: None,
                open_for: None,
                callback: None,
                idempotency: None,
            };
            let mut batch = open_batch(&new, &Namespace::default(), Timestamp::default());
            take_lines(&mut batch, 0, 5_000, Timestamp::default()).unwrap();
            (0..5_000).for_each(|_| count_line(&mut batch, None));
            let mut told = Self {
                ends: Ends::default(),
                batch,
            };
            told.commit(&[], &[]);
            told
        }

        /// A commit in which these members end, of which these are told.
        fn commit(&mut self, ended: &[u64], told: &[u64]) {
            for _ in ended {
                count_end(&mut self.batch, Outcome::Succeeded);
            }
            for index in told {
                self.ends.changed(&change(&self.batch, *index));
            }
            self.ends.told(&Arc::new(self.batch.clone()));
        }

        fn taken(&mut self, after: u64) -> Option<Vec<(u64, u64)>> {
            let taken = self.ends.take(after)?;
            let places = taken.iter().map(|one| (one.place, one.job.member.unwrap().index));
            Some(places.collect())
        }
    }

    fn change(batch: &Batch, index: u64) -> Change {
        let member = Member {
            batch: batch.id,
            index,
        };
        let new = NewJob {
            id: JobId::from_parts(100 + index, 1),
            namespace: Namespace::default(),
            queue: QueueName::new("q").unwrap(),
            priority: PRIORITY_DEFAULT,
            run_at: None,
            delay: None,
            group: None,
            member: Some(member),
            options: JobOptions::default(),
            retry_of: None,
        };
        let mut job = raincheck_core::decide::submit(&new);
        job.phase = Phase::Done {
            outcome: Outcome::Succeeded,
            finished_at: Timestamp::default(),
            expires_at: Timestamp::default(),
        };
        Change {
            job: Arc::new(job),
            result: Some(Arc::new(JobResult::new(
                200,
                None,
                Vec::new(),
                Bytes::from_static(b"x"),
            ))),
        }
    }

    #[test]
    fn members_are_given_once_in_the_order_of_their_places() {
        let mut told = Told::new();
        assert_eq!(told.taken(0), Some(vec![]));
        told.commit(&[7, 3], &[7, 3]);
        told.commit(&[5], &[5]);
        assert_eq!(told.taken(1), Some(vec![(2, 3), (3, 5)]));
        assert_eq!(told.taken(3), Some(vec![]));
        told.commit(&[9], &[9]);
        assert_eq!(told.taken(3), Some(vec![(4, 9)]));
    }

    #[test]
    fn where_one_was_not_told_the_store_is_asked() {
        let mut told = Told::new();
        told.commit(&[1], &[1]);
        told.commit(&[2, 3], &[3]);
        assert_eq!(told.taken(0), None);
        told.commit(&[4], &[4]);
        assert_eq!(told.taken(0), None, "the three before it");
        assert_eq!(told.taken(3), Some(vec![(4, 4)]));
    }

    #[test]
    fn no_more_are_held_than_may_be() {
        let mut told = Told::new();
        for index in 0..2_001 {
            told.commit(&[index], &[index]);
        }
        assert!(told.ends.held.len() <= MEMBERS_MAX);
        assert_eq!(told.taken(0), None);
        assert_eq!(told.taken(2_000), Some(vec![(2_001, 2_000)]));
    }
}
