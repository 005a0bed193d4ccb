//! Who works by pulling: which leases this node handed out to whom, and when each worker was last heard of.
//!
//! Invariant: memory only, a convenience: nothing is decided by it. What is missing here (after a restart) is read from
//! the store; what stays here too long is swept. It goes by the time that passes: a clock that is set forgets nobody.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::hashing::Map;

use raincheck_core::id::{Fence, JobId, LeaseId};
use raincheck_core::job::Phase;
use raincheck_core::name::{Namespace, QueueName, WorkerName};
use raincheck_core::store::{Change, Leased};
use raincheck_core::time::Timestamp;
use tokio::time::Instant;

/// A worker that was not heard of for so long, and holds nothing, is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(5 * 60);
/// So many workers are remembered; beyond it those that hold nothing are forgotten.
const WORKERS_MAX: usize = 10_000;

/// One worker at one queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Holder {
    pub(crate) namespace: Namespace,
    pub(crate) queue: QueueName,
    pub(crate) worker: WorkerName,
}

/// A lease that was handed out.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) holder: Arc<Holder>,
    /// The term that its claim asked for.
    pub(crate) term: Duration,
    fence: Fence,
    /// From when it is certainly over.
    until: Instant,
}

/// A worker as it was last heard of.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) holder: Arc<Holder>,
    /// Leases it holds, as far as this node knows.
    pub(crate) running: u32,
    heard: Instant,
}

impl Seen {
    /// When it was last heard of, by a clock that says `now`.
    pub(crate) fn last_seen(&self, now: Timestamp) -> Timestamp {
        let ago = i64::try_from(self.heard.elapsed().as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_millis(now.as_millis().saturating_sub(ago))
    }
}

#[derive(Debug, Default)]
struct State {
    leases: Map<JobId, Held>,
    workers: Map<Arc<Holder>, Seen>,
    swept_at: Option<Instant>,
}

impl State {
    fn end(&mut self, job: JobId) {
        if let Some(held) = self.leases.remove(&job)
            && let Some(seen) = self.workers.get_mut(&held.holder)
        {
            seen.running = seen.running.saturating_sub(1);
        }
    }

    fn see(&mut self, holder: &Arc<Holder>) -> &mut Seen {
        let now = Instant::now();
        let seen = self.workers.entry(holder.clone()).or_insert_with(|| Seen {
            holder: holder.clone(),
            running: 0,
            heard: now,
        });
        seen.heard = now;
        seen
    }

    /// Forgets what is over. Looks through everything, so rarely.
    fn sweep(&mut self) {
        let now = Instant::now();
        let crowded = self.workers.len() > WORKERS_MAX;
        let lately = |swept: Instant| now.duration_since(swept) < FORGET_AFTER / 10;
        if self.swept_at.is_some_and(lately) && !crowded {
            return;
        }
        self.swept_at = Some(now);
        let over = self.leases.iter().filter(|(_, held)| held.until < now);
        let over: Vec<JobId> = over.map(|(job, _)| *job).collect();
        over.into_iter().for_each(|job| self.end(job));
        self.workers
            .retain(|_, seen| seen.running > 0 || (!crowded && seen.heard.elapsed() < FORGET_AFTER));
    }
}

/// The register. Cloning gives another handle.
#[derive(Clone, Debug, Default)]
pub(crate) struct Roll(Arc<Mutex<State>>);

impl Roll {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock can panic half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The worker was heard of.
    pub(crate) fn seen(&self, holder: &Arc<Holder>) {
        let mut state = self.state();
        state.sweep();
        state.see(holder);
    }

    /// The worker holds these leases.
    pub(crate) fn took(&self, holder: &Arc<Holder>, leased: &[Leased], now: Timestamp) {
        let mut state = self.state();
        for leased in leased {
            let Some(lease) = leased.job.lease() else { continue };
            let held = Held {
                holder: holder.clone(),
                term: lease.term,
                fence: leased.job.fence,
                // A minute more: whoever is late to say that it is over may do so.
                until: Instant::now() + lease.attempt_deadline.since(now) + Duration::from_secs(60),
            };
            state.end(leased.job.id);
            state.leases.insert(leased.job.id, held);
            state.see(holder).running += 1;
        }
    }

    /// Who holds the lease, where this node handed it out.
    pub(crate) fn held(&self, ns: &Namespace, lease: &LeaseId) -> Option<Held> {
        let state = self.state();
        let held = state.leases.get(&lease.job)?;
        (held.fence == lease.fence && held.holder.namespace == *ns).then(|| held.clone())
    }

    /// Passes on what was committed.
    pub(crate) fn heard(&self, changes: &[Change]) {
        let mut state = self.state();
        if state.leases.is_empty() {
            return;
        }
        for change in changes {
            if !matches!(change.job.phase, Phase::Running(_)) {
                state.end(change.job.id);
            }
        }
    }

    /// The workers of the namespace, by queue and name.
    pub(crate) fn workers(&self, ns: &Namespace) -> Vec<Seen> {
        let mut state = self.state();
        state.sweep();
        let mut workers: Vec<Seen> = state
            .workers
            .values()
            .filter(|seen| seen.holder.namespace == *ns)
            .filter(|seen| seen.running > 0 || seen.heard.elapsed() < FORGET_AFTER)
            .cloned()
            .collect();
        drop(state);
        workers.sort_by(|a, b| (&a.holder.queue, &a.holder.worker).cmp(&(&b.holder.queue, &b.holder.worker)));
        workers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_forgets_no_worker_and_keeps_none() {
        let roll = Roll::default();
        let holder = Arc::new(Holder {
            namespace: Namespace::default(),
            queue: QueueName::new("q").unwrap(),
            worker: WorkerName::new("w").unwrap(),
        });
        roll.seen(&holder);
        tokio::time::advance(FORGET_AFTER / 2).await;
        let ago = i64::try_from((FORGET_AFTER / 2).as_millis()).unwrap();
        for hour in [0, 1, -1, 24 * 365] {
            let now = Timestamp::from_millis(1_795_227_064_123 + hour * 3_600_000);
            let workers = roll.workers(&holder.namespace);
            let seen: Vec<_> = workers.iter().map(|seen| seen.last_seen(now)).collect();
            assert_eq!(seen, [Timestamp::from_millis(now.as_millis() - ago)], "{hour}");
        }
        tokio::time::advance(FORGET_AFTER / 2).await;
        assert!(roll.workers(&holder.namespace).is_empty());
    }
}
