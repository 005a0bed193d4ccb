//! Closes the store, opens it anew, and checks what opening did to the jobs that ran.
//!
//! Invariant: only the delay of an attempt that the former process ran is the store's to choose, within its bounds.

use std::future::IntoFuture;
use std::time::Duration;

use super::compare::same;
use super::run::{Checked, Run, answered};
use crate::conformance::Opened;
use crate::decide::interrupt_on_open;
use crate::job::{Job, Outcome, Phase};
use crate::queue::Policy;
use crate::retry::Backoff;
use crate::time::Timestamp;

impl Run {
    pub(super) async fn reopen<F, R>(&mut self, reopen: &F) -> Checked
    where
        F: Fn(Opened) -> R,
        R: IntoFuture<Output = Opened>,
    {
        // What was told before must be told before the store is closed.
        self.sweep().await?;
        let opened = self.opened.take().expect("it is only taken out here");
        answered(opened.store.close().await)?;
        self.opened = Some(reopen(opened).await);
        self.listen();
        self.cover("reopened");
        let (store, now) = (self.store(), self.now());
        let before: Vec<_> = self
            .model
            .jobs()
            .filter(|job| job.lease().is_some())
            .cloned()
            .collect();
        self.model.reopen(0, now);
        for job in before
            .iter()
            .filter(|job| job.lease().is_some_and(|lease| lease.kind.dies_with_server()))
        {
            let seen = answered(store.get(&job.namespace, job.id).await)?;
            let seen = seen.map_err(|missing| format!("{:?} is lost: {missing}", job.id))?;
            permitted(job, &seen, &self.model.policy(job), now)?;
            self.cover("interrupted by opening");
            self.see(&seen)?;
            self.model.adopt(Job::clone(&seen));
        }
        self.model.tell(now);
        self.turns.reopen();
        // Ids that were given out and not used are forgotten.
        self.last_seq = self.model.last_seq();
        self.settle_turns();
        self.sweep().await
    }
}

/// Whether opening may have made `seen` of `job`, whatever seed it drew its delay from.
fn permitted(job: &Job, seen: &Job, policy: &Policy, now: Timestamp) -> Checked {
    let with = |backoff, seed| interrupt_on_open(job, &Policy { backoff, ..*policy }, seed, now);
    let at_once = with(Backoff::Constant { base: Duration::ZERO }, 0);
    let expected = at_once.filter(|next| next.done() == seen.done());
    let latest = now.plus(policy.backoff.ceiling(job.attempt));
    let expected = match expected {
        Some(mut next) if matches!(next.phase, Phase::Waiting) => {
            if seen.run_at < now || seen.run_at > latest {
                return Err(format!("a delay from {now} to {} passes {latest}", seen.run_at));
            }
            next.run_at = seen.run_at;
            next
        }
        Some(next) => next,
        // A delay that passes the deadline ends the job.
        None if seen.outcome() == Some(Outcome::Failed)
            && job.deadline_at().is_some_and(|deadline| deadline <= latest) =>
        {
            let years = Backoff::Constant {
                base: Duration::from_secs(1 << 30),
            };
            let ends = (0..64).filter_map(|seed| with(years, seed)).find(Job::done);
            ends.ok_or_else(|| format!("{seen:?} has ended without reason"))?
        }
        None => return Err(format!("opening made {seen:?} of {job:?}")),
    };
    same(
        "a job that ran when the store was closed",
        std::sync::Arc::new(seen.clone()),
        std::sync::Arc::new(expected),
    )
}
