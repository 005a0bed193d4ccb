//! Rules of what comes in: submissions, keys, retries (G1, G2, G3).

use std::sync::Arc;

use raincheck_core::decide::submit;
use raincheck_core::id::JobId;
use raincheck_core::job::{Job, Phase};
use raincheck_core::name::QueueName;
use raincheck_core::store::{
    ChangeRefused, Idempotency, Missing, Retry, Submission, SubmitRefused, Submitted,
};

use super::{Checker, Shadow};
use crate::log::number;

impl Checker {
    /// A submission was carried out.
    pub(crate) fn submitted(
        &mut self,
        sent: &Submission,
        answer: &Result<Submitted, SubmitRefused>,
    ) -> &'static str {
        let id = sent.job.id;
        let name = &sent.job.queue;
        let known = sent.idempotency.as_ref().and_then(|sent| self.known(name, sent));
        let depth = self.queues.get(name).map(|queue| queue.depth());
        let waiting = self.waiting(name);
        match answer {
            Ok(Submitted::Created) => {
                self.rule(known.is_none(), "a key makes one job (G3)", || {
                    format!("job {} beside {known:?}", number(id))
                });
                self.rule(
                    !self.never.contains(&id),
                    "what was refused never runs (G2)",
                    || format!("job {} is made after all", number(id)),
                );
                self.rule(
                    depth.is_some_and(|depth| waiting < depth),
                    "no more jobs wait than the queue's depth (G22)",
                    || format!("{waiting} of {depth:?}"),
                );
                if let Some(sent) = &sent.idempotency {
                    self.keys
                        .insert((name.clone(), sent.key.clone()), (sent.fingerprint, id));
                }
                self.begin(&Arc::new(submit(&sent.job)), sent.input.body.clone());
                "created"
            }
            Ok(Submitted::Replayed(job, first)) => {
                self.rule(
                    known == Some(Ok(*first)),
                    "a repetition gets the job that its key made (G3)",
                    || format!("job {} instead of {known:?}", number(*first)),
                );
                self.read(*first, job);
                self.cover.hit("submit replayed");
                "replayed"
            }
            Ok(Submitted::Attached(_)) | Err(SubmitRefused::UniqueConflict { .. }) => {
                self.rule(false, "no client of the simulation asks for a unique job", || {
                    format!("{answer:?}")
                });
                "unique"
            }
            Err(SubmitRefused::IdempotencyMismatch) => {
                let other = known == Some(Err(()));
                self.rule(
                    other,
                    "only another request under a known key is refused (G3)",
                    || format!("{known:?}"),
                );
                self.cover.hit("key of another request");
                "other request"
            }
            Err(SubmitRefused::QueueFull { .. }) => {
                self.rule(
                    known.is_none() && depth.is_some_and(|depth| waiting >= depth),
                    "only a full queue refuses (G22)",
                    || format!("{waiting} of {depth:?}, {known:?}"),
                );
                self.cover.hit("queue full");
                "full"
            }
            Err(SubmitRefused::QueueBytesFull { .. }) => {
                self.rule(false, "no queue of the simulation bounds bytes", || {
                    name.to_string()
                });
                "full of bytes"
            }
            Err(SubmitRefused::UnknownQueue) => {
                self.rule(depth.is_none(), "only an unknown queue is unknown", || {
                    name.to_string()
                });
                "unknown queue"
            }
        }
    }

    /// What a key that is known says of a request: the job it made, or that it was another request.
    fn known(&self, queue: &QueueName, sent: &Idempotency) -> Option<Result<JobId, ()>> {
        let (fingerprint, id) = self.keys.get(&(queue.clone(), sent.key.clone()))?;
        Some(if *fingerprint == sent.fingerprint {
            Ok(*id)
        } else {
            Err(())
        })
    }

    fn waiting(&self, queue: &QueueName) -> u64 {
        let waiting = self.of(queue).filter(|job| matches!(job.phase, Phase::Waiting));
        waiting.count() as u64
    }

    fn begin(&mut self, job: &Arc<Job>, body: bytes::Bytes) {
        let shadow = Shadow {
            job: job.clone(),
            result: None,
            body,
            settled: None,
        };
        let before = self.jobs.insert(job.id, shadow);
        self.rule(before.is_none(), "an id is used once", || {
            format!("job {}", number(job.id))
        });
    }

    /// A client was told that its job is accepted.
    pub(crate) fn acknowledged(&mut self, id: JobId) {
        let there = self.jobs.contains_key(&id) || self.gone.contains_key(&id);
        self.rule(there, "an acknowledged job exists (G1)", || {
            format!("job {}", number(id))
        });
    }

    /// A client was told that its job is not accepted, and will not be.
    pub(crate) fn refused(&mut self, id: JobId) {
        self.never.insert(id);
        let there = self.jobs.contains_key(&id) || self.gone.contains_key(&id);
        self.rule(!there, "what was refused does not exist (G2)", || {
            format!("job {}", number(id))
        });
    }

    /// A finished job was submitted again by hand.
    pub(crate) fn retried(&mut self, asked: Retry, answer: &Result<Arc<Job>, ChangeRefused>) -> &'static str {
        let old = self
            .jobs
            .get(&asked.id)
            .map(|shadow| (shadow.job.clone(), shadow.body.clone()));
        match (answer, old) {
            (Ok(new), Some((old, body))) => {
                self.rule(old.done(), "only a finished job is tried again", || {
                    format!("job {}", number(old.id))
                });
                if new.id != asked.new_id {
                    let earlier = old.retried_as == Some(new.id) && !new.done();
                    self.rule(earlier, "a retry is given back while it is unfinished", || {
                        format!("job {} for {}", number(new.id), number(old.id))
                    });
                    return "again";
                }
                let anew = new.retry_of == Some(old.id) && new.version == 1 && new.attempt == 0;
                self.rule(anew, "a retry is a new job", || format!("{new:?}"));
                let mut repeated = Job::clone(&old);
                repeated.version += 1;
                repeated.retried_as = Some(new.id);
                self.see(&Arc::new(repeated), "a retry leaves the old job but for its mark");
                self.begin(new, body);
                self.cover.hit("retried by hand");
                "retried"
            }
            (Ok(new), None) => {
                self.rule(false, "a job that is not there is not tried again", || {
                    format!("{new:?}")
                });
                "retried"
            }
            (Err(refused), old) => {
                let right = match refused {
                    ChangeRefused::Missing(missing) => self.missing(asked.id) == Some(*missing),
                    ChangeRefused::NotDone => old.is_some_and(|(old, _)| !old.done()),
                    ChangeRefused::Submit(_) => old.is_some_and(|(old, _)| old.done()),
                };
                self.rule(right, "a retry is refused for a reason", || format!("{refused}"));
                "refused"
            }
        }
    }

    /// A job was deleted by hand.
    pub(crate) fn deleted(
        &mut self,
        id: JobId,
        answer: Result<(), ChangeRefused>,
        now: raincheck_core::time::Timestamp,
    ) -> &'static str {
        let done = self.jobs.get(&id).map(|shadow| shadow.job.done());
        match answer {
            Ok(()) => {
                self.rule(done == Some(true), "only a finished job is forgotten", || {
                    format!("job {}", number(id))
                });
                self.forget(id, Missing::Deleted, now);
                self.cover.hit("deleted");
                "deleted"
            }
            Err(refused) => {
                let right = match refused {
                    ChangeRefused::Missing(missing) => self.missing(id) == Some(missing),
                    ChangeRefused::NotDone => done == Some(false),
                    ChangeRefused::Submit(_) => false,
                };
                self.rule(right, "a deletion is refused for a reason", || {
                    format!("{refused}")
                });
                "refused"
            }
        }
    }

    pub(super) fn forget(&mut self, id: JobId, why: Missing, now: raincheck_core::time::Timestamp) {
        self.jobs.remove(&id);
        self.gone
            .insert(id, (why, now.plus(raincheck_core::decide::TOMBSTONE)));
    }
}
