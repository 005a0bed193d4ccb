//! What the store's commits tell of jobs, counted by queue.
//!
//! Invariant: a transition is counted once, where it was committed; hearing of a commit costs one look-up for each run of
//! jobs of one queue.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use raincheck_core::job::{AttemptOutcome, Job, Outcome, Phase};
use raincheck_core::name::{Namespace, QueueName};
use raincheck_core::store::Change;
use raincheck_core::time::Timestamp;

use super::labels::{Labels, OTHER};
use super::names::{self, Name};
use super::{OfQueue, SECONDS, register};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Submitted {
    queue: Arc<str>,
    source: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    queue: Arc<str>,
    outcome: &'static str,
}

type Times = Family<OfQueue, Histogram, fn() -> Histogram>;

fn times(registry: &mut Registry, name: Name) -> Times {
    let times: Times = Family::new_with_constructor(|| Histogram::new(SECONDS));
    register(registry, name, times.clone());
    times
}

fn counters<L>(registry: &mut Registry, name: Name) -> Family<L, Counter>
where
    Family<L, Counter>: prometheus_client::registry::Metric + Clone + Default,
{
    let family = Family::<L, Counter>::default();
    register(registry, name, family.clone());
    family
}

/// One queue's numbers.
#[derive(Debug)]
struct Numbers {
    label: Arc<str>,
    submitted: Counter,
    wait: Histogram,
    run: Histogram,
    whole: Histogram,
    reclaimed: Counter,
    /// Jobs that succeeded, as most do.
    succeeded: Counter,
    /// Their attempts, and jobs that came with a batch: looked up when the first one comes, for many queues have none.
    attempts_succeeded: OnceLock<Counter>,
    batched: OnceLock<Counter>,
}

#[derive(Debug)]
struct Families {
    submitted: Family<Submitted, Counter>,
    finished: Family<Ended, Counter>,
    attempts: Family<Ended, Counter>,
    reclaimed: Family<OfQueue, Counter>,
    wait: Times,
    run: Times,
    whole: Times,
}

impl Families {
    fn of(&self, label: Arc<str>) -> Numbers {
        let of = OfQueue { queue: label.clone() };
        let (queue, source) = (label.clone(), "submit");
        let outcome = Outcome::Succeeded.as_str();
        Numbers {
            submitted: self.submitted.get_or_create_owned(&Submitted { queue, source }),
            succeeded: self.finished.get_or_create_owned(&Ended {
                queue: label.clone(),
                outcome,
            }),
            wait: self.wait.get_or_create_owned(&of),
            run: self.run.get_or_create_owned(&of),
            whole: self.whole.get_or_create_owned(&of),
            reclaimed: self.reclaimed.get_or_create_owned(&of),
            attempts_succeeded: OnceLock::new(),
            batched: OnceLock::new(),
            label,
        }
    }
}

type ByQueue = HashMap<Namespace, HashMap<QueueName, Arc<Numbers>>>;

/// The numbers of all queues.
#[derive(Debug)]
pub(super) struct Jobs {
    families: Families,
    labels: Labels,
    queues: Mutex<ByQueue>,
}

impl Jobs {
    pub(super) fn new(registry: &mut Registry, labels: Labels) -> Self {
        let families = Families {
            submitted: counters(registry, names::SUBMITTED),
            finished: counters(registry, names::FINISHED),
            attempts: counters(registry, names::ATTEMPTS),
            reclaimed: counters(registry, names::RECLAIMED),
            wait: times(registry, names::WAIT),
            run: times(registry, names::RUN),
            whole: times(registry, names::WHOLE),
        };
        Self {
            families,
            labels,
            queues: Mutex::default(),
        }
    }

    fn of(&self, job: &Job) -> Arc<Numbers> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(numbers) = queues.get(&job.namespace).and_then(|of| of.get(&job.queue)) {
            return numbers.clone();
        }
        let numbers = Arc::new(self.families.of(self.labels.of(&job.namespace, &job.queue)));
        if &*numbers.label != OTHER {
            let of = queues.entry(job.namespace.clone()).or_default();
            of.insert(job.queue.clone(), numbers.clone());
        }
        numbers
    }

    /// Calls `count` with each job and its queue's numbers.
    fn each<'a>(&self, jobs: impl Iterator<Item = &'a Job>, count: impl Fn(&Job, &Numbers)) {
        let mut last: Option<(&Job, Arc<Numbers>)> = None;
        for job in jobs {
            let numbers = match &last {
                Some((other, numbers)) if other.queue == job.queue && other.namespace == job.namespace => {
                    numbers
                }
                _ => &last.insert((job, self.of(job))).1,
            };
            count(job, numbers);
        }
    }

    /// Hears of jobs that were accepted, claimed or renewed with progress.
    pub(super) fn advanced(&self, jobs: &[Arc<Job>]) {
        self.each(jobs.iter().map(|job| &**job), |job, numbers| match &job.phase {
            Phase::Waiting => {
                let by = |source| {
                    let queue = numbers.label.clone();
                    let submitted = &self.families.submitted;
                    submitted.get_or_create_owned(&Submitted { queue, source })
                };
                if job.member.is_some() {
                    numbers.batched.get_or_init(|| by("batch")).inc();
                } else if job.retry_of.is_some() {
                    by("retry").inc();
                } else {
                    numbers.submitted.inc();
                }
            }
            Phase::Running(lease) if lease.progress.is_none() => {
                numbers.wait.observe(seconds(job.run_at, lease.started_at));
            }
            Phase::Running(_) | Phase::Done { .. } => {}
        });
    }

    /// Hears of jobs that changed.
    pub(super) fn changed(&self, changes: &[Change]) {
        let jobs = changes.iter().map(|change| &*change.job);
        // One that was retried by hand ended before.
        self.each(jobs.filter(|job| job.retried_as.is_none()), |job, numbers| {
            if let Some(attempt) = job.just_ended() {
                numbers.run.observe(seconds(attempt.started_at, attempt.ended_at));
                let attempts = &self.families.attempts;
                if attempt.outcome == AttemptOutcome::Succeeded {
                    let succeeded = || ended(attempts, numbers, attempt.outcome.as_str());
                    numbers.attempts_succeeded.get_or_init(succeeded).inc();
                } else {
                    ended(attempts, numbers, attempt.outcome.as_str()).inc();
                }
                if attempt.outcome == AttemptOutcome::LeaseLost {
                    numbers.reclaimed.inc();
                }
            }
            if let Phase::Done {
                outcome, finished_at, ..
            } = &job.phase
            {
                numbers.whole.observe(seconds(job.created_at, *finished_at));
                if *outcome == Outcome::Succeeded {
                    numbers.succeeded.inc();
                } else {
                    ended(&self.families.finished, numbers, outcome.as_str()).inc();
                }
            }
        });
    }
}

/// Those of a queue that ended in this way.
fn ended(family: &Family<Ended, Counter>, numbers: &Numbers, outcome: &'static str) -> Counter {
    let queue = numbers.label.clone();
    family.get_or_create_owned(&Ended { queue, outcome })
}

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.since(from).as_secs_f64()
}
