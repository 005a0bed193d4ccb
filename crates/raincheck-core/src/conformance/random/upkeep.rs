//! Upkeep and purges, in slices, beside the model that does them whole.
//!
//! Invariant: the model moves only where the store's answer was permitted.

use super::compare::{equal, same};
use super::run::{Checked, Run, answered};
use crate::name::{Namespace, QueueName};

impl Run {
    pub(super) async fn reclaim(&mut self, limit: u32, seed: u64) -> Checked {
        let (store, now) = (self.store(), self.now());
        let mut count = 0;
        let next_at = loop {
            let slice = answered(store.reclaim(limit, seed).await)?;
            if slice.count > limit {
                return Err(format!("a reclaim of at most {limit} ended {}", slice.count));
            }
            count += slice.count;
            if slice.count < limit {
                break slice.next_at;
            }
        };
        let expected = self.model.reclaim(u32::MAX, seed, now);
        equal("how many were reclaimed", &count, &expected.count)?;
        if expected
            .next_at
            .is_some_and(|at| next_at.is_none_or(|told| told > at))
        {
            return Err(format!(
                "the next end is at {:?}, not at {next_at:?}",
                expected.next_at
            ));
        }
        for _ in 0..count {
            self.cover("reclaimed");
        }
        self.changed_agree().await
    }

    pub(super) async fn purge(&mut self, ns: &Namespace, name: &QueueName, limit: u32) -> Checked {
        let (store, now) = (self.store(), self.now());
        let mut count = 0;
        loop {
            let slice = match answered(store.purge(ns, name, limit).await)? {
                Ok(slice) => slice,
                Err(refused) => return equal("a purge", &Err(refused), &self.model.purge(ns, name, 0, now)),
            };
            count += slice.count;
            if slice.count > limit || slice.more && slice.count < limit {
                return Err(format!("a purge of at most {limit} answered {slice:?}"));
            }
            if !slice.more {
                break;
            }
        }
        let purged = self.model.purge(ns, name, u32::MAX, now).map(|slice| slice.count);
        self.cover("purged");
        equal("how many were purged", &Ok(count), &purged)?;
        self.changed_agree().await
    }

    /// Reads what the model changed in this operation.
    pub(super) async fn changed_agree(&mut self) -> Checked {
        let store = self.store();
        for change in self.model.changed() {
            let (ns, id) = (change.job.namespace.clone(), change.job.id);
            same(
                "a job that was ended",
                answered(store.result(&ns, id).await)?,
                Ok(change),
            )?;
        }
        Ok(())
    }

    pub(super) async fn prune(&mut self, limit: u32) -> Checked {
        let (store, now) = (self.store(), self.now());
        let mut count = 0;
        loop {
            let slice = answered(store.prune(limit).await)?;
            count += slice.count;
            if slice.count > limit {
                return Err(format!("a prune of at most {limit} took {}", slice.count));
            }
            if !slice.more {
                break;
            }
        }
        let expected = self.model.prune(u32::MAX, now).count;
        (0..count).for_each(|_| self.cover("pruned"));
        equal("how many were pruned", &count, &expected)
    }
}
