//! What a node tells of itself to Prometheus.
//!
//! Counters and histograms are counted where things happen; what can be asked for is asked when somebody looks
//! ([`scrape`]). The registry is a value: two nodes in one process, and the program around them, keep theirs apart.
//!
//! Invariant: nothing that a caller chose becomes a label but the names of queues, of which there are a bounded number.

pub(crate) mod http;
mod jobs;
mod labels;
mod names;
mod outward;
mod process;
mod proxied;
mod scrape;
#[cfg_attr(not(feature = "otlp"), path = "untraced.rs")]
pub(crate) mod traces;

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::registry::{Metric, Registry};
use raincheck_core::job::Job;
use raincheck_core::store::Change;

pub(crate) use outward::Outward;
pub(crate) use proxied::{OfRule, Proxied, Responded};
pub(crate) use scrape::Waiting;

use self::http::Http;
use self::jobs::Jobs;
use self::labels::Labels;
use self::names::Name;

/// Bounds of what takes a millisecond or an hour, in seconds.
const SECONDS: [f64; 18] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0,
    3600.0,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfQueue {
    queue: Arc<str>,
}

fn register(registry: &mut Registry, name: Name, metric: impl Metric) {
    registry.register(name.0, name.1, metric);
}

struct Inner {
    registry: Registry,
    labels: Labels,
    jobs: Jobs,
    http: Http,
    outward: Outward,
    proxied: Proxied,
    responded: Responded,
}

/// A node's numbers. Cloning gives another handle.
#[derive(Clone)]
pub(crate) struct Metrics(Arc<Inner>);

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let labels = Labels::default();
        let jobs = Jobs::new(&mut registry, labels.clone());
        let http = Http::new(&mut registry);
        let outward = Outward::new(&mut registry, labels.clone());
        let proxied = Proxied::new(&mut registry);
        let responded = Responded::new(&mut registry);
        Self(Arc::new(Inner {
            registry,
            labels,
            jobs,
            http,
            outward,
            proxied,
            responded,
        }))
    }
}

impl Metrics {
    /// Hears of commits.
    pub(crate) fn changed(&self, changes: &[Change]) {
        self.0.jobs.changed(changes);
    }

    /// Hears of jobs that were accepted, claimed or renewed with progress.
    pub(crate) fn advanced(&self, jobs: &[Arc<Job>]) {
        self.0.jobs.advanced(jobs);
    }

    /// The numbers of requests.
    pub(crate) fn http(&self) -> &Http {
        &self.0.http
    }

    /// The numbers of requests to others.
    pub(crate) fn outward(&self) -> Outward {
        self.0.outward.clone()
    }

    /// The numbers of requests that went by a proxy's rules.
    pub(crate) fn proxied(&self) -> Proxied {
        self.0.proxied.clone()
    }

    /// The numbers of requests of the application's own routes.
    pub(crate) fn responded(&self) -> Responded {
        self.0.responded.clone()
    }
}
