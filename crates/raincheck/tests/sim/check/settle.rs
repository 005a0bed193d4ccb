//! Rules of leases: who may renew, settle and cancel, and what comes of it (G5, G6, G10).

use std::sync::Arc;

use raincheck_core::decide::{Renewed, SettleRefused, Settlement};
use raincheck_core::id::{JobId, LeaseId};
use raincheck_core::job::{Job, Outcome, Phase};
use raincheck_core::store::{Missing, Renew, Settle};
use raincheck_core::time::Timestamp;

use super::Checker;
use crate::log::number;

impl Checker {
    /// Whether this lease holds its job.
    pub(super) fn live(&self, lease: &LeaseId) -> bool {
        self.held(lease.job)
            .is_some_and(|(job, held)| job.fence == lease.fence && held.nonce == lease.nonce)
    }

    /// A settlement was carried out, or refused.
    pub(crate) fn settled(
        &mut self,
        sent: &Settle,
        answer: &Result<Arc<Job>, SettleRefused>,
        now: Timestamp,
    ) -> &'static str {
        let id = sent.lease.job;
        let live = self.live(&sent.lease);
        let before = self.jobs.get(&id).map(|shadow| shadow.job.clone());
        let last = self.jobs.get(&id).and_then(|shadow| shadow.settled);
        let earlier = last.filter(|(nonce, _)| !live && *nonce == sent.lease.nonce);
        let repeated = earlier.is_some_and(|(_, digest)| digest == sent.digest);
        match answer {
            Ok(job) if live => self.moved(sent, job, now),
            Ok(job) if repeated => {
                self.rule(
                    before.as_ref() == Some(job),
                    "settling again changes nothing (G6)",
                    || format!("{job:?}"),
                );
                self.cover.hit("settlement repeated");
                "repeated"
            }
            Ok(job) => {
                self.rule(
                    false,
                    "a settlement under a lease that is over is refused (G5)",
                    || format!("fence {} took: {job:?}", sent.lease.fence),
                );
                "taken"
            }
            Err(refused) => {
                self.rule(!live, "the holder of a job may settle it (G5)", || {
                    format!("job {}: {refused}", number(id))
                });
                self.rule(!repeated, "settling again is harmless (G6)", || {
                    format!("job {}: {refused}", number(id))
                });
                let other = *refused == SettleRefused::AlreadySettled;
                self.rule(other == earlier.is_some(), "a refusal says which it is", || {
                    format!("job {}: {refused}", number(id))
                });
                if other {
                    self.cover.hit("settled with other content");
                    return "already settled";
                }
                self.cover.hit("stale settle rejected");
                if before.is_some_and(|job| job.fence > sent.lease.fence) {
                    self.cover.hit("zombie fenced");
                }
                "lease lost"
            }
        }
    }

    fn moved(&mut self, sent: &Settle, job: &Arc<Job>, now: Timestamp) -> &'static str {
        let Some(before) = self.jobs.get(&sent.lease.job).map(|shadow| shadow.job.clone()) else {
            return "gone";
        };
        self.rule(
            job.lease().is_none() && job.version == before.version + 1,
            "a settlement ends the attempt (G5)",
            || format!("{job:?}"),
        );
        let lapsed = before.lease().is_some_and(|lease| lease.ends_at() <= now);
        if lapsed {
            self.cover.hit("lapsed lease settled before its reclaim");
        }
        let outcome = match (&sent.settlement, before.cancel_requested) {
            (Settlement::Succeed(_), asked) => {
                self.must_end(job, Outcome::Succeeded, "a success wins (G6)");
                if asked {
                    self.cover.hit("success beat a cancel request");
                }
                "succeeded"
            }
            (Settlement::Cancel, _) => {
                self.must_end(job, Outcome::Cancelled, "a cancelled attempt cancels its job");
                "cancelled"
            }
            (_, true) => {
                self.must_end(job, Outcome::Cancelled, "a cancel request ends the job (G10)");
                self.cover.hit("cancel request beat a failure");
                "cancelled"
            }
            (Settlement::Fail { .. }, false) if job.done() => {
                self.must_end(job, Outcome::Failed, "a failure fails");
                self.cover.hit("failed for good");
                "failed"
            }
            (Settlement::Fail { .. }, false) => "failed, again later",
            (Settlement::Release { .. }, false) => {
                self.rule(
                    matches!(job.phase, Phase::Waiting) && job.attempt + 1 == before.attempt,
                    "an attempt given back is not charged (G11)",
                    || format!("{job:?}"),
                );
                self.cover.hit("released");
                "released"
            }
        };
        self.see(job, "a settlement");
        if let Some(shadow) = self.jobs.get_mut(&job.id) {
            shadow.settled = Some((sent.lease.nonce, sent.digest));
            shadow.result = match &sent.settlement {
                Settlement::Succeed(result) => Some(result.clone()),
                Settlement::Fail { result, .. } if job.outcome() == Some(Outcome::Failed) => result.clone(),
                Settlement::Fail { .. } | Settlement::Release { .. } | Settlement::Cancel => None,
            };
        }
        outcome
    }

    fn must_end(&mut self, job: &Job, outcome: Outcome, rule: &str) {
        self.rule(job.outcome() == Some(outcome), rule, || format!("{job:?}"));
    }

    /// A renewal was carried out, or refused.
    pub(crate) fn renewed(&mut self, sent: &Renew, answer: Option<&Renewed>, now: Timestamp) -> &'static str {
        let live = self.live(&sent.lease);
        self.rule(
            live == answer.is_some(),
            "who holds a job may renew, and nobody else (G5)",
            || format!("job {}: live {live}, {answer:?}", number(sent.lease.job)),
        );
        let (Some(renewed), true) = (answer, live) else {
            self.cover.hit("stale renewal rejected");
            return "lease lost";
        };
        let Some(shadow) = self.jobs.get_mut(&sent.lease.job) else {
            return "gone";
        };
        let mut job = Job::clone(&shadow.job);
        let lapsed = job.lease().is_some_and(|lease| lease.ends_at() <= now);
        let asked = job.cancel_requested;
        job.phase = Phase::Running(renewed.lease.clone());
        self.rule(
            asked == renewed.cancel_requested,
            "a worker learns of a cancel request at its next renewal (G10)",
            || format!("job {}", number(job.id)),
        );
        if asked {
            self.cover.hit("cancel learned by renewal");
        }
        if lapsed {
            self.cover.hit("lapsed lease renewed before its reclaim");
        }
        self.see(&Arc::new(job), "a renewal");
        "renewed"
    }

    /// A cancel request was carried out.
    pub(crate) fn cancelled(&mut self, id: JobId, answer: &Result<Arc<Job>, Missing>) -> &'static str {
        let before = self.jobs.get(&id).map(|shadow| shadow.job.clone());
        match (answer, before) {
            (Ok(job), Some(before)) => {
                let (right, outcome) = match before.phase {
                    Phase::Waiting => (job.outcome() == Some(Outcome::Cancelled), "cancelled"),
                    Phase::Running(_) => (job.cancel_requested && job.lease().is_some(), "asked to stop"),
                    Phase::Done { .. } => (*job == before, "done already"),
                };
                self.rule(right, "a cancel request stops what is not done (G10)", || {
                    format!("{job:?}")
                });
                self.cover.hit(match before.phase {
                    Phase::Waiting => "waiting job cancelled",
                    Phase::Running(_) => "running job asked to stop",
                    Phase::Done { .. } => "finished job stayed",
                });
                self.see(job, "a cancel request");
                outcome
            }
            (Ok(job), None) => {
                self.rule(false, "what is not there is not cancelled", || format!("{job:?}"));
                "cancelled"
            }
            (Err(missing), _) => {
                let known = self.missing(id);
                self.rule(
                    known == Some(*missing),
                    "what is there can be cancelled (G10)",
                    || format!("job {}: {missing:?}, {known:?} known", number(id)),
                );
                "missing"
            }
        }
    }
}
