//! A server of a few lines that keeps every promise, or breaks exactly one of them.
//!
//! Invariant: without a lie it is honest; each lie breaks one promise, at a moment of the driver's choosing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::super::{Doc, Handed, JobId, Reply, Request, Shown, Submit, Token};
use crate::rng::Rng;

/// The one promise that a server breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lie {
    LosesJobInCrash,
    AnswersNotFound,
    InventsJob,
    RunsRefused,
    TakesInvalid,
    MiscountsQueue,
    ForgetsKeyInCrash,
    MakesTwoJobs,
    NeverFinishes,
    RepeatsFence,
    ChangesOutcome,
    ChangesResult,
    MixesResults,
    RerunsFinished,
    ShowsOlderState,
    RerunsCancelled,
    ForgetsCancel,
    RevivesDeleted,
    RunsDeleted,
    Answers500,
}

#[derive(Clone, Debug)]
pub(super) struct Job {
    id: JobId,
    token: Token,
    version: u64,
    attempt: u64,
    fence: u64,
    running: bool,
    cancel: bool,
    outcome: Option<Shown>,
    finish: u64,
    retry_of: Option<JobId>,
    deleted: bool,
}

impl Job {
    fn doc(&self) -> Doc {
        Doc {
            id: self.id.clone(),
            version: self.version,
            outcome: self.outcome,
            attempt: self.attempt,
            cancel_requested: self.cancel,
            retry_of: self.retry_of.clone(),
            fixed: Some(
                format!(
                    "{:?} {} {:?} {}",
                    self.outcome, self.running, self.cancel, self.finish
                )
                .into(),
            ),
        }
    }
}

#[derive(Debug)]
pub(super) struct Server {
    lie: Option<Lie>,
    pub(super) rng: Rng,
    pub(super) jobs: BTreeMap<JobId, Job>,
    older: BTreeMap<JobId, Job>,
    order: Vec<JobId>,
    keys: HashMap<Arc<str>, (JobId, Token)>,
    ids: u64,
    pub(super) number: u64,
}

fn reply(status: u16) -> Reply {
    Reply {
        status,
        job: None,
        outcome: None,
        code: None,
        replayed: false,
        doc: None,
        result: None,
    }
}

fn problem(status: u16, code: &str) -> Reply {
    Reply {
        code: Some(code.into()),
        ..reply(status)
    }
}

fn about(status: u16, job: &Job) -> Reply {
    Reply {
        job: Some(job.id.clone()),
        outcome: Some(job.outcome.unwrap_or(Shown::Pending)),
        doc: Some(job.doc()),
        ..reply(status)
    }
}

impl Server {
    pub(super) fn new(lie: Option<Lie>, rng: Rng) -> Self {
        Self {
            lie,
            rng,
            jobs: BTreeMap::new(),
            older: BTreeMap::new(),
            order: Vec::new(),
            keys: HashMap::new(),
            ids: 0,
            number: 0,
        }
    }

    /// Whether the server tells this lie now.
    fn lies(&mut self, lie: Lie) -> bool {
        self.lie == Some(lie) && self.rng.chance(1, 3)
    }

    fn make(&mut self, token: Token, retry_of: Option<JobId>) -> Job {
        self.ids += 1;
        let job = Job {
            id: format!("job_{:04}", self.ids).into(),
            token,
            version: 1,
            attempt: 0,
            fence: 0,
            running: false,
            cancel: false,
            outcome: None,
            finish: 0,
            retry_of,
            deleted: false,
        };
        self.jobs.insert(job.id.clone(), job.clone());
        self.order.push(job.id.clone());
        job
    }

    pub(super) fn serve(&mut self, request: &Request) -> Reply {
        if self.lies(Lie::Answers500) {
            return problem(500, "internal");
        }
        match request {
            Request::Submit(submit) => self.submit(submit),
            Request::Read(id) => {
                let shown = if self.lies(Lie::ShowsOlderState) {
                    self.older.get(id).cloned()
                } else {
                    None
                };
                self.found(id)
                    .map_or_else(|gone| *gone, |job| about(200, &shown.unwrap_or(job)))
            }
            Request::Settle(_) => reply(200),
            Request::Redeem(id) => self.redeem(id),
            Request::Cancel(id) => self.cancel(id),
            Request::Retry(id) => match self.found(id) {
                Err(gone) => *gone,
                Ok(job) if job.outcome.is_none() => problem(409, "job-not-done"),
                Ok(job) => {
                    let child = self.make(job.token, Some(id.clone()));
                    about(202, &child)
                }
            },
            Request::Delete(id) => match self.found(id) {
                Err(gone) => *gone,
                Ok(job) if job.outcome.is_none() => problem(409, "job-not-done"),
                Ok(_) => {
                    self.change(id, |job| job.deleted = true);
                    reply(204)
                }
            },
        }
    }

    fn found(&mut self, id: &JobId) -> Result<Job, Box<Reply>> {
        if self.lies(Lie::AnswersNotFound) {
            return Err(Box::new(problem(404, "unknown-job")));
        }
        match self.jobs.get(id) {
            None => Err(Box::new(problem(404, "unknown-job"))),
            Some(job) if job.deleted => Err(Box::new(problem(410, "job-deleted"))),
            Some(job) => Ok(job.clone()),
        }
    }

    fn change(&mut self, id: &JobId, how: impl FnOnce(&mut Job)) {
        if let Some(job) = self.jobs.get_mut(id) {
            self.older.insert(id.clone(), job.clone());
            job.version += 1;
            how(job);
        }
    }

    fn submit(&mut self, submit: &Submit) -> Reply {
        if !submit.valid {
            if self.lies(Lie::RunsRefused) {
                self.make(submit.token, None);
            } else if self.lies(Lie::TakesInvalid) {
                let job = self.make(submit.token, None);
                return about(202, &job);
            }
            return problem(400, "bad-request");
        }
        if let Some((id, token)) = submit.key.as_ref().and_then(|key| self.keys.get(key)).cloned() {
            if token != submit.token {
                return problem(422, "idempotency-mismatch");
            }
            return match self.found(&id) {
                Ok(job) => Reply {
                    replayed: true,
                    ..about(202, &job)
                },
                Err(gone) => *gone,
            };
        }
        let job = self.make(submit.token, None);
        if self.lies(Lie::MakesTwoJobs) {
            self.make(submit.token, None);
        }
        if self.lies(Lie::InventsJob) {
            self.make(Token(99_999_999), None);
        }
        if let Some(key) = &submit.key {
            self.keys.insert(key.clone(), (job.id.clone(), submit.token));
        }
        about(202, &job)
    }

    fn redeem(&mut self, id: &JobId) -> Reply {
        let job = match self.found(id) {
            Ok(job) => job,
            Err(gone) => return *gone,
        };
        let other = self
            .jobs
            .values()
            .map(|job| job.token)
            .find(|token| *token != job.token);
        let result = match job.outcome {
            Some(Shown::Succeeded) => {
                let mixed = other.filter(|_| self.lies(Lie::MixesResults));
                let changed = self.lies(Lie::ChangesResult);
                Some(format!("200 done {} {changed}", mixed.unwrap_or(job.token)).into())
            }
            _ => None,
        };
        let status = match job.outcome {
            None => 202,
            Some(Shown::Succeeded) => 200,
            Some(_) => 410,
        };
        Reply {
            result,
            ..about(status, &job)
        }
    }

    fn cancel(&mut self, id: &JobId) -> Reply {
        let job = match self.found(id) {
            Ok(job) => job,
            Err(gone) => return *gone,
        };
        if job.outcome.is_none() && !job.cancel {
            self.change(id, |job| {
                job.cancel = true;
                if !job.running {
                    job.outcome = Some(Shown::Cancelled);
                }
            });
        }
        let job = &self.jobs[id];
        about(if job.outcome.is_some() { 200 } else { 202 }, job)
    }

    /// One step of the server's own work: a claim or an end of an attempt; what the handler sees of it.
    pub(super) fn work(&mut self) -> Option<Handed> {
        let recent = self
            .order
            .len()
            .saturating_sub(if self.rng.chance(2, 3) { 20 } else { usize::MAX });
        let id = self.rng.pick(&self.order[recent..])?.clone();
        self.work_on(id)
    }

    /// The same for one job.
    pub(super) fn work_on(&mut self, id: JobId) -> Option<Handed> {
        let job = self.jobs.get(&id)?.clone();
        let again = (job.deleted && self.lies(Lie::RunsDeleted))
            || (job.outcome == Some(Shown::Cancelled) && self.lies(Lie::RerunsCancelled))
            || (job.outcome == Some(Shown::Succeeded) && !job.deleted && self.lies(Lie::RerunsFinished));
        if job.running {
            self.settle(&job);
            return None;
        }
        if job.outcome.is_some() && !again {
            return None;
        }
        let grows = u64::from(!self.lies(Lie::RepeatsFence));
        self.change(&id, |job| {
            job.attempt += 1;
            job.fence += grows;
            job.running = job.outcome.is_none();
        });
        let job = &self.jobs[&id];
        Some(Handed {
            job: Some(id),
            token: Some(job.token),
            fence: Some(job.fence),
            attempt: Some(job.attempt),
            live: true,
            server: self.number,
        })
    }

    fn settle(&mut self, job: &Job) {
        if self.lie == Some(Lie::NeverFinishes) && job.token.0.is_multiple_of(5) {
            return;
        }
        let forgets = job.cancel && self.lie == Some(Lie::ForgetsCancel);
        let succeeds = self.rng.chance(2, 3) && !forgets;
        self.change(&job.id, |job| {
            job.running = false;
            if succeeds {
                job.outcome = Some(Shown::Succeeded);
            } else if job.cancel && !forgets {
                job.outcome = Some(Shown::Cancelled);
            } else if job.attempt >= 3 || forgets {
                job.outcome = Some(Shown::Failed);
            }
        });
    }

    /// Dies and comes back: what was committed is there, attempts are over.
    pub(super) fn crash(&mut self) {
        self.number += 1;
        if self.lies(Lie::LosesJobInCrash) {
            self.jobs.pop_last();
        }
        if self.lies(Lie::ForgetsKeyInCrash) {
            self.keys.clear();
        }
        let outcomes = self.lies(Lie::ChangesOutcome);
        let revives = self.lies(Lie::RevivesDeleted);
        let keeps_cancel = self.lie != Some(Lie::ForgetsCancel);
        for job in self.jobs.values_mut() {
            if job.running && job.outcome.is_none() {
                job.version += 1;
                job.outcome = (job.cancel && keeps_cancel).then_some(Shown::Cancelled);
            }
            job.running = false;
            if outcomes && job.outcome.is_some() {
                job.finish += 1;
            }
            job.deleted &= !revives;
        }
    }

    pub(super) fn count(&mut self) -> u64 {
        // More than can hide behind the submissions whose answer was lost.
        let phantom = if self.lie == Some(Lie::MiscountsQueue) {
            50
        } else {
            0
        };
        self.jobs.values().filter(|job| !job.deleted).count() as u64 + phantom
    }
}
