//! The model accepts jobs: new ones, repeated requests, and finished jobs once more.
//!
//! Invariant: a refused submission leaves no trace; a known key is looked up before every refusal. Who holds a unique
//! value is asked of the jobs themselves.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::state::{Key, Line, LineName, Model, Row};
use crate::content::Input;
use crate::decide::{
    Backlog, Contest, IdempotencyMatch, NewJob, admit, contest, holds, idempotency, retry, submit_at,
};
use crate::job::{Job, Phase};
use crate::name::{Namespace, QueueName};
use crate::queue::{Queue, QueueSpec};
use crate::store::{ChangeRefused, Idempotency, Retry, Submission, SubmitRefused, Submitted};
use crate::time::Timestamp;

impl Model {
    pub(in crate::conformance) fn submit(
        &mut self,
        ns: &Namespace,
        submission: Submission,
        now: Timestamp,
    ) -> Result<Submitted, SubmitRefused> {
        let Submission {
            job: new,
            input,
            idempotency,
            create_queue,
        } = submission;
        assert_eq!(
            new.namespace, *ns,
            "a job belongs to the namespace it is submitted in"
        );
        if let Some(sent) = &idempotency
            && let Some(answer) = self.replay(ns, &new.queue, sent)
        {
            return answer;
        }
        let name = (ns.clone(), new.queue.clone());
        if create_queue && !self.lines.contains_key(&name) {
            let queue = Queue::new(name.0.clone(), name.1.clone(), QueueSpec::default(), now);
            self.lines.insert(
                name.clone(),
                Line {
                    queue: Arc::new(queue),
                    ring: VecDeque::new(),
                    groups: BTreeMap::new(),
                },
            );
        }
        let (job, submitted) = match self.contest(&new, now) {
            Some((holder, Contest::Attached)) => (holder.id, Submitted::Attached(holder)),
            contest => {
                let job = self.accept(&new, input, contest.map(|(_, contest)| contest), now)?;
                (job.id, Submitted::Created)
            }
        };
        if let Some(Idempotency { key, fingerprint }) = idempotency {
            self.keys.insert((name.0, name.1, key), Key { fingerprint, job });
        }
        Ok(submitted)
    }

    /// The job that holds the new one's unique value, and what comes of that.
    fn contest(&self, new: &NewJob, now: Timestamp) -> Option<(Arc<Job>, Contest)> {
        if !self
            .lines
            .contains_key(&(new.namespace.clone(), new.queue.clone()))
        {
            return None;
        }
        let value = &new.options.unique.as_ref()?.value;
        let same = |job: &&Arc<Job>| {
            job.options
                .unique
                .as_ref()
                .is_some_and(|unique| unique.value == *value)
        };
        let holder = self
            .jobs_of(&new.namespace, &new.queue)
            .filter(same)
            .find(|job| holds(job))?;
        Some((holder.clone(), contest(holder, new, &self.policy(holder), now)))
    }

    pub(in crate::conformance) fn replay(
        &self,
        ns: &Namespace,
        queue: &QueueName,
        sent: &Idempotency,
    ) -> Option<Result<Submitted, SubmitRefused>> {
        let kept = self.keys.get(&(ns.clone(), queue.clone(), sent.key.clone()))?;
        Some(match idempotency(&kept.fingerprint, &sent.fingerprint) {
            IdempotencyMatch::Replay => Ok(Submitted::Replayed(self.find(ns, kept.job), kept.job)),
            IdempotencyMatch::Mismatch => Err(SubmitRefused::IdempotencyMismatch),
        })
    }

    pub(in crate::conformance) fn retry(
        &mut self,
        ns: &Namespace,
        wanted: Retry,
        now: Timestamp,
    ) -> Result<Arc<Job>, ChangeRefused> {
        let job = self.find(ns, wanted.id)?;
        let earlier = job.retried_as.and_then(|id| self.find(ns, id).ok());
        if let Some(earlier) = earlier.filter(|job| !job.done()) {
            return Ok(earlier);
        }
        let (new, old) = retry(&job, wanted.new_id).map_err(|_| ChangeRefused::NotDone)?;
        let input = self.input(ns, wanted.id)?;
        let contest = self.contest(&new, now).map(|(_, contest)| contest);
        let new = self.accept(&new, input, contest, now)?;
        self.change(old);
        Ok(new)
    }

    /// What waits in the queue.
    fn backlog(&self, name: &LineName, now: Timestamp) -> Backlog {
        let waiting = self.jobs_of(&name.0, &name.1);
        let waiting = waiting.filter(|job| matches!(job.phase, Phase::Waiting));
        Backlog {
            jobs: self.counts(&name.0, &name.1, now).waiting(),
            bytes: waiting
                .map(|job| self.jobs[&job.id].input.body.len() as u64)
                .sum(),
        }
    }

    fn accept(
        &mut self,
        new: &NewJob,
        input: Input,
        contest: Option<Contest>,
        now: Timestamp,
    ) -> Result<Arc<Job>, SubmitRefused> {
        let name = (new.namespace.clone(), new.queue.clone());
        let line = self.lines.get(&name).ok_or(SubmitRefused::UnknownQueue)?;
        let queue = line.queue.clone();
        let size = input.body.len() as u64;
        let backlog = self.backlog(&name, now);
        match contest {
            Some(Contest::Refused(holder)) => return Err(SubmitRefused::UniqueConflict { holder }),
            Some(Contest::Replaced(ended)) => {
                let replaced = self.jobs[&ended.id].input.body.len() as u64;
                admit(&queue, backlog, Some(replaced), size)?;
                self.change(*ended);
            }
            Some(Contest::Attached | Contest::TakenOver) | None => admit(&queue, backlog, None, size)?,
        }
        let job = Arc::new(submit_at(new, now));
        let row = Row {
            job: job.clone(),
            input,
            result: None,
            chunks: Vec::new(),
            mark: None,
        };
        assert!(
            self.jobs.insert(job.id, row).is_none(),
            "the id {} was used before",
            job.id
        );
        self.advanced.push(job.clone());
        Ok(job)
    }
}
