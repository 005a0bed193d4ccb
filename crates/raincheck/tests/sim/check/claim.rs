//! Rules of claims: who gets what, in which order, and how much at once (G5, G8, G10).

use std::collections::BTreeSet;
use std::sync::Arc;

use raincheck_core::id::JobId;
use raincheck_core::job::{Job, Phase};
use raincheck_core::limit::{Limits, Rate};
use raincheck_core::name::{GroupName, QueueName};
use raincheck_core::queue::Queue;
use raincheck_core::store::{Claim, Leased};
use raincheck_core::time::Timestamp;

use super::Checker;
use crate::log::number;

/// Whether a worker may have it: it waits, its time has come and is not over.
fn may_start(job: &Job, now: Timestamp) -> bool {
    matches!(job.phase, Phase::Waiting)
        && job.run_at <= now
        && job.overdue_at().is_none_or(|overdue| overdue > now)
}

impl Checker {
    /// A claim was carried out.
    pub(crate) fn claimed(&mut self, claim: &Claim, leased: &[Leased], now: Timestamp) -> &'static str {
        let held = self.held_under(claim);
        if !held.is_empty() {
            let mut got: Vec<JobId> = leased.iter().map(|leased| leased.job.id).collect();
            got.sort_unstable();
            self.rule(got == held, "a repeated claim gets what it holds", || {
                format!("{got:?} instead of {held:?}")
            });
            leased.iter().for_each(|leased| self.see_again(&leased.job));
            self.cover.hit("claim repeated");
            return "repeated";
        }
        for one in leased {
            self.leased(claim, one, now);
        }
        self.limits(claim, leased, now);
        match leased.len() {
            0 => "nothing",
            1 => "one",
            _ => "several",
        }
    }

    fn held_under(&self, claim: &Claim) -> Vec<JobId> {
        let Some(claim_id) = &claim.claimer.claim_id else {
            return Vec::new();
        };
        let held = self.of(&claim.queue).filter(|job| {
            job.lease().is_some_and(|lease| {
                lease.claim_id.as_ref() == Some(claim_id) && lease.worker == claim.claimer.worker
            })
        });
        held.map(|job| job.id).collect()
    }

    fn leased(&mut self, claim: &Claim, leased: &Leased, now: Timestamp) {
        let job = &leased.job;
        let Some(shadow) = self.jobs.get(&job.id) else {
            self.rule(false, "only what was submitted runs (G2)", || {
                format!("job {} is claimed", number(job.id))
            });
            return;
        };
        let (before, body) = (shadow.job.clone(), shadow.body.clone());
        self.rule(
            !before.done() && !before.cancel_requested,
            "what is finished or cancelled never starts again (G6, G10)",
            || format!("{before:?}"),
        );
        self.rule(
            may_start(&before, now),
            "a job starts when it waits and is due",
            || format!("at {now}: {before:?}"),
        );
        self.rule(
            job.fence.0 == before.fence.0 + 1,
            "every claim raises the fence by one (G5)",
            || format!("job {}: {} after {}", number(job.id), job.fence, before.fence),
        );
        let fresh = job
            .lease()
            .is_some_and(|lease| claim.nonces.contains(&lease.nonce));
        self.rule(fresh, "a lease has a nonce of its claim (G5)", || {
            format!("{job:?}")
        });
        self.rule(
            leased.input.body == body,
            "a worker gets the input as it came",
            || format!("job {}", number(job.id)),
        );
        let first = self
            .of(&claim.queue)
            .filter(|other| other.group == before.group && may_start(other, now));
        let first = first
            .min_by_key(|job| (job.priority, job.run_at, job.id))
            .map(|job| job.id);
        self.rule(
            first == Some(job.id) || !may_start(&before, now),
            "within a group priority, then due time, then id (G8)",
            || format!("job {} before {first:?}", number(job.id)),
        );
        if before.attempt > 0 {
            self.cover.hit("claimed again");
        }
        self.see(job, "a claim");
        if let Some(shadow) = self.jobs.get_mut(&job.id) {
            shadow.settled = None;
        }
    }

    /// A claim takes what limits let it, no more and no less.
    fn limits(&mut self, claim: &Claim, leased: &[Leased], now: Timestamp) {
        let got = leased.len();
        let Some(queue) = self.queues.get(&claim.queue).cloned() else {
            self.rule(got == 0, "an unknown queue has no jobs", || {
                claim.queue.to_string()
            });
            return;
        };
        if queue.paused.is_some() {
            self.rule(got == 0, "a paused queue gives nothing", || {
                queue.name.to_string()
            });
            self.cover.hit("claim of a paused queue");
            return;
        }
        let running = self.of(&queue.name).filter(|job| job.lease().is_some()).count();
        let limit = queue
            .concurrency(u32::MAX)
            .map_or(usize::MAX, |limit| limit as usize);
        self.rule(
            running <= limit || got == 0,
            "no more run than the queue lets run (G8)",
            || format!("{running} of {limit}"),
        );
        if running >= limit {
            self.cover.hit("claim at full concurrency");
        }
        let saved = queue
            .limits()
            .rate
            .is_none_or(|rate| self.rate((queue.name.clone(), None), rate, got, now));
        let full = self.full_groups(&queue, leased, now);
        if got < claim.nonces.len() && running < limit && saved {
            let left = self.startable(&queue.name, &full, now);
            self.rule(
                left.is_none(),
                "a claim leaves nothing it could have taken (G4)",
                || format!("at {now}: {left:?}"),
            );
        }
    }

    /// What limits let each group have, too. The groups that may start nothing now.
    fn full_groups(&mut self, queue: &Queue, leased: &[Leased], now: Timestamp) -> BTreeSet<GroupName> {
        let limits = queue.group_limits(None);
        let mut full = BTreeSet::new();
        if limits == Limits::default() {
            return full;
        }
        let groups: BTreeSet<_> = self.of(&queue.name).filter_map(|job| job.group.clone()).collect();
        for group in groups {
            let ours = |job: &Job| job.group.as_ref() == Some(&group);
            let got = leased.iter().filter(|leased| ours(&leased.job)).count();
            let running = self
                .of(&queue.name)
                .filter(|job| ours(job) && job.lease().is_some());
            let running = running.count();
            let most = limits.concurrency.map_or(usize::MAX, |most| most as usize);
            self.rule(
                running <= most || got == 0,
                "no more of a group run than it may have (G8)",
                || format!("{running} of {most} of {group:?}"),
            );
            let key = (queue.name.clone(), Some(group.clone()));
            let saved = limits.rate.is_none_or(|rate| self.rate(key, rate, got, now));
            if running >= most || !saved {
                if self.of(&queue.name).any(|job| ours(job) && may_start(job, now)) {
                    self.cover.hit("claim past a group at its limit");
                }
                full.insert(group);
            }
        }
        full
    }

    /// A claim takes what the rate lets it: time saves up starts, as many as the burst. Whether one is left.
    fn rate(
        &mut self,
        key: (QueueName, Option<GroupName>),
        (rate, burst): (Rate, u32),
        got: usize,
        now: Timestamp,
    ) -> bool {
        let (interval, most) = (rate.span(1), rate.span(burst));
        let (saved, since) = self.saved.get(&key).copied().unwrap_or((most, now));
        let saved = saved.saturating_add(now.since(since)).min(most);
        let spent = interval * u32::try_from(got).unwrap_or(u32::MAX);
        self.rule(
            spent <= saved,
            "no more start than the rate lets start (G8)",
            || format!("{got} at {now}, {saved:?} saved of {interval:?} each"),
        );
        let saved = saved.saturating_sub(spent);
        self.saved.insert(key, (saved, now));
        if saved < interval {
            self.cover.hit("claim at the end of a rate");
        }
        saved >= interval
    }

    fn startable(&self, queue: &QueueName, full: &BTreeSet<GroupName>, now: Timestamp) -> Option<Arc<Job>> {
        let open = |job: &Job| job.group.as_ref().is_none_or(|group| !full.contains(group));
        self.of(queue)
            .find(|job| may_start(job, now) && open(job))
            .cloned()
    }
}
