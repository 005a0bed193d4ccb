//! Running attempts: one path for every kind ([`attempt`]), one file for what is special about each.
//!
//! A [`Runner`] gets a [`Ctx`] and says how the attempt ended. Invariant: a runner knows nothing of leases,
//! renewals and settlements; when told to [`Stop`] it winds down by itself, and what it leaves behind when its future is
//! dropped is nothing.

pub(crate) mod attempt;
pub(crate) mod crews;
pub(crate) mod emit;
pub(crate) mod fetch;
#[doc(hidden)]
pub mod function;
pub(crate) mod hold;
pub mod process;
pub(crate) mod push;
pub(crate) mod running;
pub mod stop;
pub mod supervise;
pub(crate) mod upstream;
pub(crate) mod whole;
pub(crate) mod word;

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use raincheck_core::content::{Input, JobResult};
use raincheck_core::host::HostHeld;
use raincheck_core::job::{Failure, Job};
use raincheck_core::lease::WorkerKind;
use raincheck_core::name::{GroupName, QueueName};
use raincheck_core::queue::{Queue, QueueSpec, Worker};
use raincheck_core::store::Store;
use raincheck_core::time::Timestamp;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use self::function::{Function, Functions};
pub use self::stop::StopReason;
pub(crate) use self::stop::{Stop, Stops};
use crate::outward::hosts::Permit;
use crate::outward::target;
use crate::random::Randomness;
use crate::room::Room;
use crate::settle::Settler;
use crate::tasks::Group;
use crate::telemetry::traces::Traces;

/// A setting that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct BadSetting {
    /// Where it stands in the settings, as a JSON pointer (RFC 6901).
    pub pointer: String,
    /// Which it is and what it must be.
    pub detail: String,
}

/// Checks a queue's settings, also what only its worker can tell: that push has URLs which can be asked. The one rule for
/// what comes from flags and what comes over the API.
///
/// # Errors
/// The first setting that cannot be.
pub fn check(spec: &QueueSpec) -> Result<(), BadSetting> {
    spec.check().map_err(|error| BadSetting {
        pointer: format!("/{}", error.field),
        detail: error.to_string(),
    })?;
    if let Some(callback) = &spec.callback {
        let refused = target(&callback.url).err();
        let refused = refused.or_else(|| callback.events.is_empty().then_some("names one event at least"));
        if let Some(why) = refused {
            return Err(BadSetting {
                pointer: "/callback".to_owned(),
                detail: format!("callback {why}"),
            });
        }
    }
    let Some(Worker::Push(urls)) = &spec.worker else {
        return Ok(());
    };
    for (index, url) in urls.iter().enumerate() {
        target(url).map_err(|why| BadSetting {
            pointer: format!("/worker/push/{index}"),
            detail: format!("worker: push {why}"),
        })?;
    }
    Ok(())
}

/// The headers of a handler's or worker's answer that are kept with a result, beside its content type: those that say how to read the
/// bytes. Never what speaks for an origin (cookies, authentication, CORS and security policies, caching), nor what only
/// made sense between handler and Raincheck (validators, ranges, links and locations relative to the handler).
pub(crate) const KEPT_HEADERS: [&str; 5] = [
    "content-disposition",
    "content-digest",
    "content-encoding",
    "content-language",
    "repr-digest",
];

/// What the attempts of a node share.
#[derive(Debug)]
pub(crate) struct Shop {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) settler: Settler,
    /// The tasks of the attempts.
    pub(crate) attempts: Group,
    pub(crate) running: running::Running,
    /// Set when the attempts shall end: until when they may wind down.
    pub(crate) closing: watch::Sender<Option<Instant>>,
    /// Those that could not renew their lease in time: while there are any, nothing new is started.
    pub(crate) unrenewed: Marks,
    /// Those whose time is over and who wind down: a reclaim leaves them a moment to settle it themselves.
    pub(crate) timing_out: Marks,
    kinds: Kinds,
    /// Functions that came while the node ran.
    added: RwLock<Functions>,
    pub(crate) traces: Traces,
    pub(crate) random: Randomness,
    /// What there is for the results of all attempts.
    pub(crate) room: Room,
}

/// What the runners of each kind share.
#[derive(Debug)]
pub(crate) struct Kinds {
    pub(crate) functions: Functions,
    pub(crate) push: push::Pusher,
    pub(crate) fetch: fetch::Fetcher,
    pub(crate) programs: process::Programs,
}

impl Shop {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        settler: Settler,
        attempts: Group,
        random: Randomness,
        kinds: Kinds,
        traces: Traces,
        room: Room,
    ) -> Self {
        Self {
            store,
            settler,
            attempts,
            running: running::Running::default(),
            closing: watch::Sender::new(None),
            unrenewed: Marks::default(),
            timing_out: Marks::default(),
            kinds,
            added: RwLock::default(),
            traces,
            random,
            room,
        }
    }

    /// Has the jobs of a queue worked by this function from now on, unless one was there when the node started. The queue's line
    /// sees it when it is next told of the queue.
    pub(crate) fn add(&self, queue: QueueName, function: Function) {
        // Nothing under this lock can panic half way.
        let mut added = self.added.write().unwrap_or_else(PoisonError::into_inner);
        added.0.insert(queue, function);
    }

    /// Whether a function works the jobs of this queue.
    pub(crate) fn has_function(&self, queue: &QueueName) -> bool {
        self.function(queue).is_some()
    }

    fn function(&self, queue: &QueueName) -> Option<Arc<dyn Runner>> {
        let first = self.kinds.functions.runner(queue);
        first.or_else(|| {
            let added = self.added.read().unwrap_or_else(PoisonError::into_inner);
            added.runner(queue)
        })
    }

    /// Who runs the attempts of a queue with these settings; `None` where workers come for its jobs.
    pub(crate) fn runner(&self, queue: &Queue) -> Option<Arc<dyn Runner>> {
        self.function(&queue.name).or_else(|| match queue.worker() {
            Worker::Pull | Worker::KeepAlive(_) | Worker::Function => None,
            Worker::Push(urls) => Some(Arc::new(push::Push::new(self.kinds.push.clone(), queue, &urls))),
            Worker::Process(argv) => {
                let programs = self.kinds.programs.clone();
                Some(Arc::new(process::Process::new(argv, programs)))
            }
            Worker::Fetch => Some(Arc::new(fetch::Fetch::new(self.kinds.fetch.clone()))),
        })
    }
}

/// How many attempts are in a certain state now. Cloning gives another handle.
#[derive(Clone, Debug, Default)]
pub(crate) struct Marks(Arc<AtomicUsize>);

/// One attempt that is in that state; no longer when dropped.
#[derive(Debug)]
pub(crate) struct Mark(Marks);

impl Marks {
    pub(crate) fn mark(&self) -> Mark {
        self.0.fetch_add(1, Ordering::SeqCst);
        Mark(self.clone())
    }

    pub(crate) fn any(&self) -> bool {
        self.0.load(Ordering::SeqCst) > 0
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What a runner gets to run one attempt.
#[derive(Debug)]
pub(crate) struct Ctx {
    pub(crate) job: Arc<Job>,
    pub(crate) input: Input,
    pub(crate) queue: Arc<Queue>,
    /// When the attempt's time is over.
    pub(crate) deadline: Timestamp,
    /// What the handler's spans are below, where there is a trace.
    pub(crate) traceparent: Option<String>,
    pub(crate) stops: Stops,
    pub(crate) store: Arc<dyn Store>,
    /// What there is for its result.
    pub(crate) room: Room,
    /// Where it goes, for a runner that reserved that.
    pub(crate) place: Option<Place>,
}

impl Ctx {
    /// Takes what the attempt shows while it works, where its queue wants that.
    fn emission(&self) -> Option<(emit::Emitter, emit::Pump)> {
        self.emission_of_its_own().filter(|_| self.queue.stream())
    }

    /// The same whatever the queue wants, for what shows only what it means to show.
    fn emission_of_its_own(&self) -> Option<(emit::Emitter, emit::Pump)> {
        let lease = self.job.lease_id()?;
        let namespace = self.job.namespace.clone();
        let output_max = self.queue.result_max();
        Some(emit::emission(self.store.clone(), namespace, lease, output_max))
    }
}

/// What came of an attempt, as its runner says.
#[derive(Debug, PartialEq, Eq)]
pub enum AttemptEnd {
    /// The handler succeeded.
    Succeeded(JobResult),
    /// The handler failed or could not be reached.
    Failed {
        /// Why.
        failure: Failure,
        /// Whether another attempt may help, and the least delay before it.
        retry: Option<Duration>,
        /// The handler's answer.
        result: Option<JobResult>,
    },
    /// The endpoint goes on by itself and settles over the lease later.
    Deferred,
    /// It has not begun, and is to be offered again after this delay; the attempt is not charged.
    Released {
        /// How long from now.
        delay: Duration,
        /// What it waits for, where its job does not say so otherwise.
        why: Option<Failure>,
    },
    /// It stopped because it was told to.
    Stopped,
}

impl AttemptEnd {
    /// Another attempt may help.
    #[must_use]
    pub fn retry(failure: Failure) -> Self {
        Self::Failed {
            failure,
            retry: Some(Duration::ZERO),
            result: None,
        }
    }

    /// No other attempt will help.
    pub(crate) fn for_good(failure: Failure) -> Self {
        Self::Failed {
            failure,
            retry: None,
            result: None,
        }
    }
}

/// Where an attempt goes that has room there.
#[derive(Debug)]
pub(crate) struct Place {
    /// Which of the queue's URLs.
    pub(crate) url: usize,
    pub(crate) permit: Permit,
}

/// What a runner has for attempts where it would send them.
#[derive(Debug)]
pub(crate) enum Reserved {
    /// As many as are wanted.
    Free,
    /// One at each of these, and there is one at least.
    At(Vec<Place>),
    /// None now.
    Held(HostHeld),
}

/// One of the ways to run an attempt.
pub(crate) trait Runner: Debug + Send + Sync + 'static {
    /// Which way.
    fn kind(&self) -> WorkerKind;

    /// The groups whose jobs it could not begin now, and until when: they are not claimed before.
    fn passing_over(&self, _now: Timestamp) -> Vec<(GroupName, Timestamp)> {
        Vec::new()
    }

    /// Takes room for up to `wanted` attempts of this queue, before their jobs are claimed: an attempt is counted only where
    /// it can begin. Where there is none, `line` is rung when there may be again, but for time that goes by.
    fn reserve(&self, _queue: &Queue, _wanted: usize, _line: &Arc<Notify>, _now: Timestamp) -> Reserved {
        Reserved::Free
    }

    /// Whether it has room for whatever comes, so that a claim of its may wait in the store.
    fn waits(&self) -> bool {
        true
    }

    /// Whether its attempts are so many and so short that the next one shall not wait until the last one is settled.
    fn leaves_early(&self) -> bool {
        false
    }

    /// An attempt that goes to this place is about to begin: called in the order in which places were reserved.
    fn begun(&self, _place: &Place) {}

    /// Runs one attempt. Dropping the future ends it with all that belongs to it.
    fn run(self: Arc<Self>, ctx: Ctx) -> Pin<Box<dyn Future<Output = AttemptEnd> + Send>>;
}
