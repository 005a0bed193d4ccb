//! Requests that the server makes: pushes, webhooks and fetches.
//!
//! Invariant: labels are queues and statuses; where a request went is not told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use raincheck_core::decide::TryEnd;
use raincheck_core::host::HostHeldBy;
use raincheck_core::queue::Queue;

use super::labels::Labels;
use super::{OfQueue, SECONDS, names, register};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Pushed {
    queue: Arc<str>,
    code: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    code: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Tried {
    result: &'static str,
}

/// How often something held jobs back, by their queue's label and by what.
type Held = BTreeMap<(Arc<str>, &'static str), u64>;

/// The numbers of requests to others. Cloning gives another handle.
#[derive(Clone, Debug)]
pub(crate) struct Outward {
    pushes: Family<Pushed, Counter>,
    push_time: Family<OfQueue, Histogram, fn() -> Histogram>,
    tries: Family<Tried, Counter>,
    fetches: Family<Asked, Counter>,
    /// Those that were answered with 200, as most are.
    fetches_ok: Arc<OnceLock<Counter>>,
    fetched: Counter,
    /// By queue and limit: how often hosts had no room.
    held: Arc<Mutex<Held>>,
    labels: Labels,
}

impl Outward {
    pub(super) fn new(registry: &mut Registry, labels: Labels) -> Self {
        let pushes = Family::<Pushed, Counter>::default();
        register(registry, names::PUSHES, pushes.clone());
        let push_time = Family::new_with_constructor((|| Histogram::new(SECONDS)) as fn() -> Histogram);
        register(registry, names::PUSH_TIME, push_time.clone());
        let tries = Family::<Tried, Counter>::default();
        register(registry, names::DELIVERIES, tries.clone());
        let fetches = Family::<Asked, Counter>::default();
        register(registry, names::FETCHES, fetches.clone());
        let fetched = Counter::default();
        register(registry, names::FETCHED, fetched.clone());
        Self {
            pushes,
            push_time,
            tries,
            fetches,
            fetches_ok: Arc::default(),
            fetched,
            held: Arc::default(),
            labels,
        }
    }

    /// Counts a push and how long its answer's head took; no status where there was no answer.
    pub(crate) fn pushed(&self, queue: &Queue, status: Option<StatusCode>, took: Duration) {
        let queue = self.labels.of(&queue.namespace, &queue.name);
        let code = status.map_or_else(|| Arc::from("none"), |status| Arc::from(status.as_str()));
        let of = OfQueue { queue: queue.clone() };
        self.push_time.get_or_create(&of).observe(took.as_secs_f64());
        self.pushes.get_or_create(&Pushed { queue, code }).inc();
    }

    /// Counts a request for a URL; no status where there was no answer.
    pub(crate) fn fetched(&self, status: Option<StatusCode>) {
        let asked = || {
            let code = status.map_or_else(|| Arc::from("none"), |status| Arc::from(status.as_str()));
            self.fetches.get_or_create_owned(&Asked { code })
        };
        if status == Some(StatusCode::OK) {
            self.fetches_ok.get_or_init(asked).inc();
        } else {
            asked().inc();
        }
    }

    /// Counts bytes of bodies.
    pub(crate) fn fetched_bytes(&self, bytes: u64) {
        self.fetched.inc_by(bytes);
    }

    /// Counts that a queue's jobs had nowhere to go.
    pub(crate) fn held(&self, queue: &Queue, by: HostHeldBy) {
        let queue = self.labels.of(&queue.namespace, &queue.name);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        *held.entry((queue, by.as_str())).or_default() += 1;
    }

    /// How often that was so, by the queue's label and the limit.
    pub(super) fn all_held(&self) -> Held {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts a try of a webhook.
    pub(crate) fn tried(&self, end: &TryEnd) {
        let result = match end {
            TryEnd::Taken { .. } => "taken",
            TryEnd::Failed { .. } => "failed",
            TryEnd::Gone => "gone",
            // Nothing was sent.
            TryEnd::Held { .. } => return,
        };
        self.tries.get_or_create(&Tried { result }).inc();
    }
}
