//! How fast queues go: of each, how many jobs were worked off lately and how long their last attempts took.
//!
//! Invariant: it serves estimates and nothing else. Nothing here reads a clock or asks the store: jobs bring their times.
//! Hearing of a commit costs a look-up for each run of jobs of one queue.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use raincheck_core::job::Job;
use raincheck_core::name::{Namespace, QueueName};
use raincheck_core::store::Change;
use raincheck_core::time::Timestamp;

/// What lies so far back counts for a third.
const MEMORY: Duration = Duration::from_secs(30);
/// A rate is not told from less time than this: two jobs that end together are no rate.
const LEAST: Duration = Duration::from_secs(1);
/// So many queues of a namespace are remembered; beyond, those that went longest without a job are forgotten.
const QUEUES_MAX: usize = 1000;

/// What is remembered of a queue. Counts fade with time.
#[derive(Clone, Copy, Debug)]
struct Seen {
    since: Timestamp,
    at: Timestamp,
    jobs: f64,
    /// Seconds that their last attempts took.
    busy: f64,
}

impl Seen {
    /// As it has faded by then.
    fn faded(self, now: Timestamp) -> Self {
        let kept = (-now.since(self.at).as_secs_f64() / MEMORY.as_secs_f64()).exp();
        Self {
            at: self.at.max(now),
            jobs: self.jobs * kept,
            busy: self.busy * kept,
            ..self
        }
    }
}

/// How fast one queue goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pace {
    /// Jobs a second that were worked off lately.
    rate: f64,
    /// Seconds that an attempt takes.
    takes: f64,
}

impl Pace {
    /// How long until a job is done that has so many before it, while so many run. A queue that had little to do went
    /// slower than it can, so those that run, or one that soon will, count as well.
    pub(crate) fn until_done(self, ahead: u64, running: u64) -> Duration {
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let (ahead, running) = (ahead as f64, running.max(1) as f64);
        let takes = self.takes.max(1e-3);
        seconds(ahead / self.rate.max(running / takes) + takes)
    }

    /// How long an attempt that has run for so long will go on.
    pub(crate) fn left(self, ran: Duration) -> Duration {
        seconds(self.takes).saturating_sub(ran)
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

type ByQueue = HashMap<Namespace, HashMap<QueueName, Seen>>;

/// The paces of all queues. Cloning gives another handle.
#[derive(Clone, Debug, Default)]
pub(crate) struct Paces(Arc<Mutex<ByQueue>>);

impl Paces {
    fn seen(&self) -> MutexGuard<'_, ByQueue> {
        // Nothing under this lock can panic half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hears of commits.
    pub(crate) fn heard(&self, changes: &[Change]) {
        let worked = changes
            .iter()
            .filter_map(|change| Some((&*change.job, worked_off(&change.job)?)));
        let mut run: Option<(&Job, Timestamp, f64, f64)> = None;
        for (job, (at, took)) in worked {
            match &mut run {
                Some((first, last, jobs, busy))
                    if first.queue == job.queue && first.namespace == job.namespace =>
                {
                    *last = (*last).max(at);
                    *jobs += 1.0;
                    *busy += took;
                }
                _ => {
                    if let Some(run) = run.replace((job, at, 1.0, took)) {
                        self.add(run);
                    }
                }
            }
        }
        if let Some(run) = run {
            self.add(run);
        }
    }

    fn add(&self, (job, at, jobs, busy): (&Job, Timestamp, f64, f64)) {
        let mut seen = self.seen();
        let queues = match seen.get_mut(&job.namespace) {
            Some(queues) => queues,
            None => seen.entry(job.namespace.clone()).or_default(),
        };
        if let Some(seen) = queues.get_mut(&job.queue) {
            let faded = seen.faded(at);
            *seen = Seen {
                jobs: faded.jobs + jobs,
                busy: faded.busy + busy,
                ..faded
            };
            return;
        }
        if queues.len() >= QUEUES_MAX {
            let mut ends: Vec<_> = queues.values().map(|seen| seen.at).collect();
            ends.sort_unstable();
            let middle = ends[ends.len() / 2];
            queues.retain(|_, seen| seen.at > middle);
        }
        let fresh = Seen {
            since: at,
            at,
            jobs,
            busy,
        };
        queues.insert(job.queue.clone(), fresh);
    }

    /// How fast the queue goes; `None` where no job of it was worked off since the server was started.
    pub(crate) fn of(&self, ns: &Namespace, queue: &QueueName, now: Timestamp) -> Option<Pace> {
        let seen = *self.seen().get(ns)?.get(queue)?;
        let (memory, known) = (
            MEMORY.as_secs_f64(),
            now.since(seen.since).max(LEAST).as_secs_f64(),
        );
        Some(Pace {
            rate: seen.faded(now).jobs / (memory * (1.0 - (-known / memory).exp())),
            takes: seen.busy / seen.jobs,
        })
    }
}

/// When a job ended that was worked, and how many seconds its last attempt took.
fn worked_off(job: &Job) -> Option<(Timestamp, f64)> {
    // One that was cancelled while it waited tells nothing of its workers.
    let last = job.just_ended().filter(|_| job.done())?;
    Some((last.ended_at, last.ended_at.since(last.started_at).as_secs_f64()))
}

#[cfg(test)]
mod tests {
    use raincheck_core::decide::{NewJob, submit};
    use raincheck_core::id::JobId;
    use raincheck_core::job::{Attempt, AttemptOutcome, JobOptions, Outcome, Phase};
    use raincheck_core::name::WorkerName;

    use super::*;

    fn at(seconds: f64) -> Timestamp {
        Timestamp::from_millis(0).plus(Duration::from_secs_f64(1000.0 + seconds))
    }

    /// A job that ended then, after so many seconds of work; without work: cancelled while it waited.
    fn ended(queue: &str, then: f64, took: Option<f64>) -> Change {
        let mut job = submit(&NewJob {
            id: JobId::from_parts(1, 1),
            namespace: Namespace::default(),
            queue: QueueName::new(queue).unwrap(),
            group: None,
            priority: 5,
            run_at: None,
            delay: None,
            options: JobOptions::default(),
            retry_of: None,
            member: None,
        });
        job.attempts.extend(took.map(|took| Attempt {
            n: 1,
            worker: WorkerName::new("w").unwrap(),
            started_at: at(then - took),
            ended_at: at(then),
            outcome: AttemptOutcome::Succeeded,
            error: None,
        }));
        job.phase = Phase::Done {
            outcome: Outcome::Succeeded,
            finished_at: at(then),
            expires_at: at(then + 1e5),
        };
        Change {
            job: Arc::new(job),
            result: None,
        }
    }

    fn pace(paces: &Paces, queue: &str, now: f64) -> Option<Pace> {
        paces.of(&Namespace::default(), &QueueName::new(queue).unwrap(), at(now))
    }

    fn near(told: Duration, seconds: f64) {
        let told = told.as_secs_f64();
        assert!(
            (told - seconds).abs() <= seconds * 0.05 + 0.01,
            "{told} is not about {seconds}"
        );
    }

    #[test]
    fn a_steady_queue_is_known_by_its_rate_whenever_one_looks() {
        let paces = Paces::default();
        assert_eq!(pace(&paces, "q", 0.0), None);
        for n in 1..=200 {
            // Ten a second, each half a second long: five at once.
            paces.heard(&[ended("q", f64::from(n) / 10.0, Some(0.5))]);
            if n % 50 == 0 {
                let pace = pace(&paces, "q", f64::from(n) / 10.0).unwrap();
                assert!((pace.rate - 10.0).abs() < 0.5, "{pace:?} after {n}");
                near(pace.until_done(100, 5), 10.5);
                near(pace.left(Duration::from_millis(200)), 0.3);
                assert_eq!(pace.left(Duration::from_secs(9)), Duration::ZERO);
            }
        }
        assert_eq!(pace(&paces, "other", 20.0), None);
    }

    #[test]
    fn a_queue_that_had_little_to_do_is_not_taken_for_slow() {
        let paces = Paces::default();
        paces.heard(&[ended("q", 0.0, Some(2.0))]);
        let late = pace(&paces, "q", 600.0).unwrap();
        near(late.until_done(0, 0), 2.0);
        near(late.until_done(1, 0), 4.0);
        near(late.until_done(40, 10), 10.0);
    }

    #[test]
    fn jobs_that_nobody_worked_say_nothing_of_the_workers() {
        let paces = Paces::default();
        paces.heard(&[ended("q", 0.0, None)]);
        assert_eq!(pace(&paces, "q", 0.0), None);
        paces.heard(&[
            ended("q", 1.0, Some(1.0)),
            ended("p", 1.0, Some(3.0)),
            ended("q", 1.0, Some(3.0)),
        ]);
        near(pace(&paces, "q", 1.0).unwrap().left(Duration::ZERO), 2.0);
        near(pace(&paces, "p", 1.0).unwrap().left(Duration::ZERO), 3.0);
    }

    #[test]
    fn queues_without_number_are_forgotten() {
        let paces = Paces::default();
        for n in 0..3000 {
            paces.heard(&[ended(&format!("q{n}"), f64::from(n), Some(1.0))]);
        }
        assert!(paces.seen()[&Namespace::default()].len() <= QUEUES_MAX);
        assert!(pace(&paces, "q2999", 3000.0).is_some());
        assert!(pace(&paces, "q0", 3000.0).is_none());
    }
}
