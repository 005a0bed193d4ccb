//! Who follows which batch, told by the store what was committed.
//!
//! Invariants: a follower hears of every change that is committed after [`Batches::follow`] returned, at least of the last
//! of them; a batch that nobody follows costs a look into a map.

mod ends;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex};

use raincheck_core::batch::{Batch, BatchId, Finished};
use raincheck_core::store::Change;
use tokio::sync::{Notify, watch};

use self::ends::Ends;
use crate::sharded::locked;

/// A batch that somebody follows.
#[derive(Debug)]
struct Followed {
    changes: watch::Sender<()>,
    /// Where somebody wants the members that end, too.
    ends: Option<Ends>,
}

#[derive(Debug, Default)]
struct Registry {
    followed: Mutex<HashMap<BatchId, Followed>>,
    /// Rings where members of a batch are to be cancelled.
    cancelled: Notify,
}

/// The registry of followers. Cloning gives another handle on it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Batches(Arc<Registry>);

impl Batches {
    /// Follows a batch from the moment of this call, so: follow, then read the store, then await.
    pub(crate) fn follow(&self, id: BatchId) -> Following {
        self.follow_by(id, |_| ())
    }

    /// The same; [`Following::ended`] has those of its members that ended lately.
    pub(crate) fn follow_ends(&self, id: BatchId) -> Following {
        self.follow_by(id, |followed| {
            followed.ends.get_or_insert_default();
        })
    }

    fn follow_by(&self, id: BatchId, want: impl FnOnce(&mut Followed)) -> Following {
        let mut followed = locked(&self.0.followed);
        let followed = followed.entry(id).or_insert_with(|| Followed {
            changes: watch::Sender::new(()),
            ends: None,
        });
        want(followed);
        Following {
            id,
            changes: followed.changes.subscribe(),
            registry: self.0.clone(),
        }
    }

    /// Takes in what changed, for those who want the members that end. Called after the sync, before [`Batches::tell`] of the same commit.
    pub(crate) fn changed(&self, changes: &[Change]) {
        let mut followed = locked(&self.0.followed);
        if followed.is_empty() {
            return;
        }
        for change in changes {
            let followed = change
                .job
                .member
                .and_then(|member| followed.get_mut(&member.batch));
            if let Some(ends) = followed.and_then(|followed| followed.ends.as_mut()) {
                ends.changed(change);
            }
        }
    }

    /// Tells the followers of each batch. Called after the sync.
    pub(crate) fn tell(&self, batches: &[Arc<Batch>]) {
        if batches
            .iter()
            .any(|batch| batch.cancel_requested && !batch.done())
        {
            self.0.cancelled.notify_one();
        }
        let mut followed = locked(&self.0.followed);
        if followed.is_empty() {
            return;
        }
        for batch in batches {
            if let Some(followed) = followed.get_mut(&batch.id) {
                if let Some(ends) = &mut followed.ends {
                    ends.told(batch);
                }
                followed.changes.send_replace(());
            }
        }
    }

    /// Waits until members of some batch are to be cancelled. A hint.
    pub(crate) async fn cancelled(&self) {
        self.0.cancelled.notified().await;
    }
}

/// One follower; registered until it is dropped.
#[derive(Debug)]
pub(crate) struct Following {
    id: BatchId,
    changes: watch::Receiver<()>,
    registry: Arc<Registry>,
}

impl Following {
    /// Waits for the next committed change; several that came meanwhile count as one. Never resolves by itself if
    /// nothing changes: callers bound it.
    ///
    /// # Cancel safety
    /// Safe: a change that was not given back is given back by the next call.
    pub(crate) async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            // The sender lives as long as a follower does.
            std::future::pending::<()>().await;
        }
    }

    /// Members that ended, the next ones behind this place: as many as are at hand, none where no more have ended. `None` where the
    /// store is to be asked.
    pub(crate) fn ended(&self, after: u64) -> Option<Vec<Finished>> {
        let mut followed = locked(&self.registry.followed);
        followed.get_mut(&self.id)?.ends.as_mut()?.take(after)
    }

    /// Whether it is known that the batch is done, and that nothing stands behind this place.
    pub(crate) fn done(&self, after: u64) -> bool {
        let followed = locked(&self.registry.followed);
        let ends = followed.get(&self.id).and_then(|followed| followed.ends.as_ref());
        ends.is_some_and(|ends| ends.done(after))
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        if let Entry::Occupied(entry) = locked(&self.registry.followed).entry(self.id)
            // This one counts still.
            && entry.get().changes.receiver_count() <= 1
        {
            entry.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use raincheck_core::decide::{cancel_batch, open_batch};
    use raincheck_core::id::JobId;
    use raincheck_core::name::Namespace;
    use raincheck_core::time::Timestamp;

    use super::*;

    fn batch(n: u64) -> Arc<Batch> {
        let new = raincheck_core::batch::NewBatch {
            id: BatchId::new(JobId::from_parts(n, 0)),
            keep: None,
            open_for: None,
            callback: None,
            idempotency: None,
        };
        Arc::new(open_batch(&new, &Namespace::default(), Timestamp::from_millis(0)))
    }

    #[tokio::test(start_paused = true)]
    async fn a_follower_hears_of_its_batch_and_of_no_other() {
        let batches = Batches::default();
        let mut following = batches.follow(batch(1).id);
        batches.tell(&[batch(2)]);
        let waited = tokio::time::timeout(std::time::Duration::from_secs(9), following.changed());
        assert!(waited.await.is_err());
        batches.tell(&[batch(2), batch(1)]);
        batches.tell(&[batch(1)]);
        following.changed().await;
        let waited = tokio::time::timeout(std::time::Duration::from_secs(9), following.changed());
        assert!(waited.await.is_err(), "both at once");
    }

    #[test]
    fn nothing_is_kept_of_batches_that_nobody_follows() {
        let batches = Batches::default();
        let (first, second) = (batches.follow(batch(1).id), batches.follow(batch(1).id));
        drop(first);
        assert_eq!(locked(&batches.0.followed).len(), 1);
        drop(second);
        assert!(locked(&batches.0.followed).is_empty());
    }

    #[tokio::test]
    async fn a_batch_that_is_to_be_cancelled_rings() {
        let batches = Batches::default();
        let mut cancelled = Batch::clone(&batch(1));
        cancel_batch(&mut cancelled);
        batches.tell(&[Arc::new(cancelled)]);
        batches.cancelled().await;
    }
}
