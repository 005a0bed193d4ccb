//! Does one command to the store and to the model and compares the answers.
//!
//! Invariant: the model moves only where the store's answer was permitted.

use super::command::Command;
use super::compare::{equal, same};
use super::draw::namespaces;
use super::run::{Checked, Run, answered};
use crate::decide::{EmitRefused, Patch, SettleRefused};
use crate::id::JobId;
use crate::job::Outcome;
use crate::list::{Filter, Page};
use crate::name::Namespace;
use crate::store::{Emit, Renew, Retry, Settle, Submission, SubmitRefused, Submitted};

impl Run {
    pub(super) async fn apply(&mut self, command: Command) -> Checked {
        let (store, now) = (self.store(), self.now());
        match command {
            Command::Submit(ns, batch) => self.submit(&ns, batch).await,
            Command::Replay(ns, queue, sent) => {
                let answer = answered(store.replay(&ns, &queue, sent.clone()).await)?;
                same("a replay", answer, self.model.replay(&ns, &queue, &sent))
            }
            Command::Cancel(ns, ids) => self.cancel(&ns, ids).await,
            Command::Retry(ns, batch) => self.retry(&ns, batch).await,
            Command::Delete(ns, ids) => {
                let answers = answered(store.delete(&ns, ids.clone()).await)?;
                let expected: Vec<_> = ids.iter().map(|id| self.model.delete(&ns, *id, now)).collect();
                expected
                    .iter()
                    .filter(|answer| answer.is_ok())
                    .for_each(|_| self.cover("deleted"));
                equal("a delete", &answers, &expected)
            }
            Command::Claim(ns, claim) => self.claim(&ns, claim).await,
            Command::Renew(ns, batch) => self.renew(&ns, batch).await,
            Command::Settle(ns, batch) => self.settle(&ns, batch).await,
            Command::Emit(ns, batch) => self.emit(&ns, batch).await,
            Command::Patch(ns, batch) => self.patch(&ns, batch).await,
            Command::List(ns, filter, limit) => self.list(&ns, filter, limit).await,
            Command::Reclaim(limit, seed) => self.reclaim(limit, seed).await,
            Command::Prune(limit) => self.prune(limit).await,
            Command::Read(ns, id) => self.read(&ns, id).await,
            Command::PutQueue(ns, name, spec, managed) => {
                let answer = answered(store.put_queue(&ns, &name, (*spec).clone(), managed).await)?;
                equal(
                    "a put",
                    &answer,
                    &self.model.put_queue(&ns, &name, *spec, managed, now),
                )
            }
            Command::ReleaseQueue(ns, name) => {
                let answer = answered(store.release_queue(&ns, &name).await)?;
                equal("a release", &answer, &self.model.release_queue(&ns, &name))
            }
            Command::PutGroup(ns, name, group, spec) => {
                let answer = answered(store.put_group(&ns, &name, &group, spec).await)?;
                let expected = self.model.put_group(&ns, &name, &group, spec, now);
                equal("a group's limits", &answer, &expected)?;
                let read = answered(store.group(&ns, &name, &group).await)?;
                equal("a group", &read, &self.model.group(&ns, &name, &group))
            }
            Command::Pause(ns, name, paused) => {
                let answer = answered(store.pause(&ns, &name, paused).await)?;
                equal("a pause", &answer, &self.model.pause(&ns, &name, paused, now))
            }
            Command::Purge(ns, name, limit) => self.purge(&ns, &name, limit).await,
            Command::DeleteQueue(ns, name) => {
                let answer = answered(store.delete_queue(&ns, &name).await)?;
                if answer.is_ok() {
                    self.cover("queue deleted");
                }
                equal(
                    "a queue's end",
                    &answer,
                    &self.model.delete_queue(&ns, &name, now),
                )
            }
            Command::Queues(ns) => self.queues_agree(&ns).await,
            Command::Advance(by) => {
                self.clock.advance(by);
                Ok(())
            }
            // Only a durable store is drawn this, and it is handled where the store is opened.
            Command::Reopen => Ok(()),
        }
    }

    async fn submit(&mut self, ns: &Namespace, batch: Vec<Submission>) -> Checked {
        let now = self.now();
        let answers = answered(self.store().submit(ns, batch.clone()).await)?;
        let mut expected = Vec::new();
        for submission in batch {
            let id = submission.job.id;
            self.fresh(id)?;
            let answer = self.model.submit(ns, submission, now);
            self.cover(match &answer {
                Ok(Submitted::Created) => "created",
                Ok(Submitted::Replayed(Ok(_), _)) => "replayed",
                Ok(Submitted::Replayed(Err(_), _)) => "replayed a forgotten job",
                Ok(Submitted::Attached(_)) => "attached",
                Err(SubmitRefused::UniqueConflict { .. }) => "unique conflict",
                Err(SubmitRefused::UnknownQueue) => "unknown queue",
                Err(SubmitRefused::QueueFull { .. }) => "queue full",
                Err(SubmitRefused::QueueBytesFull { .. }) => "queue full of bytes",
                Err(SubmitRefused::IdempotencyMismatch) => "mismatch",
            });
            if answer == Ok(Submitted::Created) {
                self.pool.jobs.push((ns.clone(), id));
            } else {
                // Remembered too: nothing of it may ever be seen.
                self.pool.refused.push(id);
            }
            expected.push(answer);
        }
        same("a submit", answers, expected)
    }

    async fn cancel(&mut self, ns: &Namespace, ids: Vec<JobId>) -> Checked {
        let now = self.now();
        let answers = answered(self.store().cancel(ns, ids.clone()).await)?;
        let expected: Vec<_> = ids.iter().map(|id| self.model.cancel(ns, *id, now)).collect();
        for answer in expected.iter().flatten() {
            self.see(answer)?;
            self.cover(if answer.done() {
                "cancelled"
            } else {
                "asked to stop"
            });
        }
        same("a cancel", answers, expected)
    }

    async fn retry(&mut self, ns: &Namespace, batch: Vec<Retry>) -> Checked {
        let now = self.now();
        let answers = answered(self.store().retry(ns, batch.clone()).await)?;
        let mut expected = Vec::new();
        for wanted in batch {
            self.fresh(wanted.new_id)?;
            let answer = self.model.retry(ns, wanted, now);
            if let Ok(job) = &answer {
                if job.id == wanted.new_id {
                    self.pool.jobs.push((ns.clone(), job.id));
                }
                self.see(job)?;
                self.cover(if job.id == wanted.new_id {
                    "retried"
                } else {
                    "retried before"
                });
            }
            expected.push(answer);
        }
        same("a retry", answers, expected)
    }

    async fn renew(&mut self, ns: &Namespace, batch: Vec<Renew>) -> Checked {
        let now = self.now();
        let answers = answered(self.store().renew(ns, batch.clone()).await)?;
        let expected: Vec<_> = batch
            .iter()
            .map(|renew| self.model.renew(ns, renew, now))
            .collect();
        for answer in &expected {
            self.cover(if answer.is_some() {
                "renewed"
            } else {
                "renewal refused"
            });
        }
        equal("a renewal", &answers, &expected)
    }

    async fn settle(&mut self, ns: &Namespace, batch: Vec<Settle>) -> Checked {
        let now = self.now();
        let answers = answered(self.store().settle(ns, batch.clone()).await)?;
        let mut expected = Vec::new();
        for settle in batch {
            let before = self.model.find(ns, settle.lease.job);
            let answer = self.model.settle(ns, settle, now);
            self.cover(match &answer {
                Err(SettleRefused::LeaseLost) => "stale settlement refused",
                Err(SettleRefused::AlreadySettled) => "other settlement refused",
                Ok(job) if before.as_ref().is_ok_and(|before| before.version == job.version) => {
                    "settled again"
                }
                Ok(job) if job.outcome() == Some(Outcome::Succeeded) && job.cancel_requested => "success won",
                Ok(job) if job.done() => "settled for good",
                Ok(_) => "settled for now",
            });
            if let Ok(job) = &answer {
                self.see(job)?;
            }
            expected.push(answer);
        }
        same("a settlement", answers, expected)
    }

    async fn emit(&mut self, ns: &Namespace, batch: Vec<Emit>) -> Checked {
        let now = self.now();
        let answers = answered(self.store().emit(ns, batch.clone()).await)?;
        let mut expected = Vec::new();
        for emit in batch {
            let before = self.model.mark(emit.lease.job);
            let answer = self.model.emit(ns, &emit, now);
            let mark = self.model.mark(emit.lease.job);
            self.cover(match (&answer, before, mark) {
                (Ok(_), before, mark) if before == mark => "emitted again",
                (Ok(_), Some(before), Some(mark)) if before.fence != mark.fence && mark.former_bytes == 0 => {
                    "former output dropped"
                }
                (Ok(_), ..) => "emitted",
                (Err(EmitRefused::LeaseLost), ..) => "stale emission refused",
                (Err(EmitRefused::Gap { .. }), ..) => "gap refused",
                (Err(EmitRefused::Mismatch), ..) => "other chunk refused",
                (Err(EmitRefused::TooLarge { .. } | EmitRefused::TooMany), ..) => "too much output refused",
            });
            expected.push(answer);
        }
        equal("an emission", &answers, &expected)
    }

    async fn patch(&mut self, ns: &Namespace, batch: Vec<(JobId, Patch)>) -> Checked {
        let answers = answered(self.store().patch(ns, batch.clone()).await)?;
        let mut expected = Vec::new();
        for (id, wanted) in batch {
            let answer = self.model.patch(ns, id, &wanted);
            if answer.is_ok() {
                self.cover("patched");
            }
            expected.push(answer);
        }
        same("a patch", answers, expected)
    }

    async fn list(&mut self, ns: &Namespace, filter: Filter, limit: u32) -> Checked {
        let (store, now) = (self.store(), self.now());
        let mut page = Page {
            filter,
            cursor: None,
            limit,
        };
        let mut found = Vec::new();
        loop {
            let listed = answered(store.list(ns, page.clone()).await)?;
            if listed.jobs.len() > limit as usize {
                return Err(format!("a page of {limit} holds {}", listed.jobs.len()));
            }
            found.extend(listed.jobs);
            page.cursor = listed.cursor;
            if page.cursor.is_none() {
                break;
            }
        }
        if !found.is_empty() {
            self.cover("listed");
        }
        let all = Page {
            limit: u32::MAX,
            ..page
        };
        same("a listing", found, self.model.list(ns, &all, now).jobs)
    }

    /// Reads the job in its own namespace and in the other one.
    async fn read(&mut self, ns: &Namespace, id: JobId) -> Checked {
        let store = self.store();
        for ns in namespaces().iter().chain([ns]) {
            let job = answered(store.get(ns, id).await)?;
            if let Ok(job) = &job {
                self.see(job)?;
            }
            same("a job", job, self.model.find(ns, id))?;
            equal(
                "an input",
                &answered(store.input(ns, id).await)?,
                &self.model.input(ns, id),
            )?;
            same(
                "a result",
                answered(store.result(ns, id).await)?,
                self.model.result(ns, id),
            )?;
            self.output_agrees(ns, id, 2).await?;
        }
        Ok(())
    }
}
