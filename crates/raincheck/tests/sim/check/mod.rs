//! Holds every answer of the store against all it answered before.
//!
//! The checker stands where operations take effect: it knows of each whether it was carried out, whatever its caller was
//! told. Invariants: the first rule that is broken is kept and nothing after it; no rule here asks [`decide`] what it
//! would have done, but for what a submission makes of itself.
//!
//! [`decide`]: raincheck_core::decide

mod claim;
mod emit;
mod reopen;
mod settle;
mod submit;
mod upkeep;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use raincheck_core::conformance::invariants::{follows, sound};
use raincheck_core::content::JobResult;
use raincheck_core::decide::Fingerprint;
use raincheck_core::id::{JobId, Nonce};
use raincheck_core::job::Job;
use raincheck_core::lease::Lease;
use raincheck_core::name::{GroupName, QueueName};
use raincheck_core::queue::Queue;
use raincheck_core::store::{Change, Missing, QueueRefused};
use raincheck_core::time::Timestamp;

use crate::log::{Cover, number};

/// A job as it must be.
#[derive(Clone, Debug)]
pub(crate) struct Shadow {
    pub(crate) job: Arc<Job>,
    pub(crate) result: Option<Arc<JobResult>>,
    body: Bytes,
    /// The settlement that ended its last attempt, until the next claim.
    settled: Option<(Nonce, [u8; 16])>,
}

/// The checker: everything that was committed, as far as answers and hints tell.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    pub(crate) jobs: BTreeMap<JobId, Shadow>,
    gone: BTreeMap<JobId, (Missing, Timestamp)>,
    keys: BTreeMap<(QueueName, String), (Fingerprint, JobId)>,
    queues: BTreeMap<QueueName, Arc<Queue>>,
    /// What time has saved up for the rate of each queue and group, and when that was told.
    saved: BTreeMap<(QueueName, Option<GroupName>), (Duration, Timestamp)>,
    /// What each job has emitted.
    chunks: BTreeMap<JobId, Vec<emit::Kept>>,
    /// Ids whose submission was refused for good.
    never: BTreeSet<JobId>,
    pub(crate) cover: Cover,
    pub(crate) broken: Option<String>,
}

impl Checker {
    /// Keeps the first rule that is broken.
    pub(crate) fn rule(&mut self, ok: bool, rule: &str, detail: impl FnOnce() -> String) {
        if !ok && self.broken.is_none() {
            self.broken = Some(format!("{rule}: {}", detail()));
        }
    }

    /// The job as it is now known; takes in what it is told of it. `why` says what may have changed it.
    fn see(&mut self, job: &Arc<Job>, why: &str) {
        if let Err(broken) = sound(job) {
            self.rule(false, why, || broken.to_string());
        }
        let Some(shadow) = self.jobs.get_mut(&job.id) else {
            self.rule(false, "a job that nobody submitted is there (G2)", || {
                format!("{why}: job {}", number(job.id))
            });
            return;
        };
        let followed = follows(&shadow.job, job);
        shadow.job = job.clone();
        if let Err(broken) = followed {
            self.rule(false, why, || broken.to_string());
        }
    }

    /// What the store told its observer of an operation must be what the operation did.
    pub(crate) fn told(&mut self, changes: &[Change]) {
        for Change { job, result } in changes {
            let Some(shadow) = self.jobs.get(&job.id) else {
                continue;
            };
            let same = shadow.job.version != job.version || shadow.job == *job;
            self.rule(same, "a hint tells what was committed", || {
                format!("job {}", number(job.id))
            });
            if job.done() {
                let same = self.jobs[&job.id].result == *result;
                self.rule(same, "a hint brings the result that is kept (G6)", || {
                    format!("job {}", number(job.id))
                });
            }
        }
    }

    /// A job as it was read.
    pub(crate) fn read(&mut self, id: JobId, found: &Result<Arc<Job>, Missing>) -> &'static str {
        match found {
            Ok(job) => {
                let shadow = self.jobs.get(&id).map(|shadow| shadow.job.clone());
                let current = shadow
                    .as_ref()
                    .is_some_and(|shadow| shadow.version == job.version);
                self.rule(current, "a read shows the last commit (G7)", || {
                    format!("job {}: {job:?} read, {shadow:?} known", number(id))
                });
                if current {
                    self.see_again(job);
                }
                "there"
            }
            Err(missing) => {
                let known = self.missing(id);
                self.rule(
                    known == Some(*missing),
                    "a job that was acknowledged is there (G1)",
                    || format!("job {}: {missing:?} read, {known:?} known", number(id)),
                );
                "missing"
            }
        }
    }

    /// A job in the version that is known: only the term of its lease may be older.
    fn see_again(&mut self, job: &Arc<Job>) {
        let known = self.jobs[&job.id].job.clone();
        if let Err(broken) = follows(&known, job) {
            self.rule(false, "a read shows the last commit (G7)", || broken.to_string());
        }
    }

    /// A job and its result as they were read.
    pub(crate) fn read_result(&mut self, id: JobId, found: &Result<Change, Missing>) -> &'static str {
        let job = found
            .as_ref()
            .map(|change| change.job.clone())
            .map_err(|missing| *missing);
        let outcome = self.read(id, &job);
        if let (Ok(change), Some(shadow)) = (found, self.jobs.get(&id)) {
            let same = !change.job.done() || change.result == shadow.result;
            self.rule(same, "a result never changes (G6)", || {
                format!("job {}", number(id))
            });
            if change.result.is_some() {
                self.cover.hit("result redeemed");
            }
        }
        outcome
    }

    /// All jobs as they were listed, page after page.
    pub(crate) fn listed(&mut self, listed: &[Arc<Job>]) {
        let ids = |jobs: &mut dyn Iterator<Item = JobId>| jobs.map(number).collect::<Vec<_>>();
        let shown = ids(&mut listed.iter().map(|job| job.id));
        let there = ids(&mut self.jobs.keys().rev().copied());
        self.rule(
            shown == there,
            "a listing shows every job once, newest first (G7)",
            || format!("{shown:?} instead of {there:?}"),
        );
        let versions = listed.iter().all(|job| {
            self.jobs
                .get(&job.id)
                .is_some_and(|shadow| shadow.job.version == job.version)
        });
        self.rule(versions, "a listing shows the last commit (G7)", || {
            format!("{listed:?}")
        });
    }

    /// Why the job is not there; `None` where it is.
    fn missing(&self, id: JobId) -> Option<Missing> {
        if self.jobs.contains_key(&id) {
            return None;
        }
        Some(
            self.gone
                .get(&id)
                .map_or(Missing::Unknown, |(missing, _)| *missing),
        )
    }

    /// The lease that holds the job.
    fn held(&self, id: JobId) -> Option<(&Job, &Lease)> {
        let job = &*self.jobs.get(&id)?.job;
        Some((job, job.lease()?))
    }

    /// The queue's jobs.
    fn of<'a>(&'a self, queue: &'a QueueName) -> impl Iterator<Item = &'a Arc<Job>> {
        let jobs = self.jobs.values().map(|shadow| &shadow.job);
        jobs.filter(move |job| job.queue == *queue)
    }

    /// What a change of a queue came to.
    pub(crate) fn taken_in(&mut self, answer: &Result<Arc<Queue>, QueueRefused>) -> &'static str {
        match answer {
            Ok(queue) => {
                self.queue(queue);
                "taken in"
            }
            Err(_) => "refused",
        }
    }

    /// A queue as it was committed.
    pub(crate) fn queue(&mut self, queue: &Arc<Queue>) {
        self.queues.insert(queue.name.clone(), queue.clone());
    }

    /// Jobs that are not finished.
    pub(crate) fn unfinished(&self) -> usize {
        self.jobs.values().filter(|shadow| !shadow.job.done()).count()
    }
}
