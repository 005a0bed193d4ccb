//! What is asked for when somebody looks: how many jobs stand where, who works, what the store and the process take.
//!
//! Invariant: a look costs a few questions to the store, whatever it keeps; where the store cannot be asked, the numbers
//! that need no store are told all the same.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use raincheck_core::store::{Lag, QueueStatus, Spread, Store, StoreError, Vitals};
use raincheck_core::time::Timestamp;

use super::names::{self, Name};
use super::process::Process;
use super::{Metrics, OfQueue, register};
use crate::bound::in_time;
use crate::node::Node;

/// Who waits for something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) long_polls: usize,
    pub(crate) streams: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfState {
    queue: Arc<str>,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfKind {
    queue: Arc<str>,
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfLimit {
    queue: Arc<str>,
    limit: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfSlot {
    queue: Arc<str>,
    kind: &'static str,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

fn gauges<L>(registry: &mut Registry, name: Name) -> Family<L, Gauge>
where
    Family<L, Gauge>: prometheus_client::registry::Metric + Clone + Default,
{
    let family = Family::<L, Gauge>::default();
    register(registry, name, family.clone());
    family
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// What it was built from, where whoever built it says so: the sources alone, as a registry has them, know no commit.
const COMMIT: &str = match option_env!("RAINCHECK_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

impl Metrics {
    /// Everything, in the OpenMetrics 1.0 text format.
    pub(crate) async fn scrape(&self, node: &Node, waiting: Waiting) -> String {
        let mut now = Registry::default();
        let store = node.store();
        let asked = async { Ok::<_, StoreError>((statuses(&**store).await?, store.lag().await?)) };
        if let Ok((statuses, lag)) = in_time(asked).await {
            self.lag(&mut now, &lag, store.now());
            self.queues(&mut now, &statuses);
            self.workers(&mut now, node, &statuses);
        }
        let waiters = gauges(&mut now, names::WAITERS);
        waiters
            .get_or_create(&Kind { kind: "long-poll" })
            .set(whole(waiting.long_polls as u64));
        waiters
            .get_or_create(&Kind { kind: "stream" })
            .set(whole(waiting.streams as u64));
        let vitals = node.store().vitals();
        // One that has no numbers keeps nothing.
        let kind = vitals.as_ref().map_or("memory", |vitals| vitals.kind());
        if let Some(vitals) = vitals {
            now.register_collector(Box::new(OfStore(vitals)));
        }
        let dropped: Counter = Counter::default();
        dropped.inc_by(node.traces().dropped());
        register(&mut now, names::SPANS_DROPPED, dropped);
        let nodes = Gauge::<i64>::default();
        nodes.set(1);
        register(&mut now, names::NODES, nodes);
        let build = Info::new([
            ("version", env!("CARGO_PKG_VERSION")),
            ("commit", COMMIT),
            ("store", kind),
        ]);
        register(&mut now, names::BUILD, build);
        now.register_collector(Box::new(Process::read()));
        let mut text = String::with_capacity(16 << 10);
        let written = encode_registry(&mut text, &self.0.registry)
            .and_then(|()| encode_registry(&mut text, &now))
            .and_then(|()| encode_eof(&mut text));
        written.expect("a string takes all that is written");
        text
    }

    fn queues(&self, registry: &mut Registry, statuses: &[QueueStatus]) {
        let jobs = gauges(registry, names::JOBS);
        let paused = gauges(registry, names::PAUSED);
        for status in statuses {
            let queue = self.0.labels.of(&status.queue.namespace, &status.queue.name);
            let counts = &status.counts;
            for (state, count) in [
                ("scheduled", counts.scheduled),
                ("queued", counts.queued),
                ("running", counts.running),
                ("succeeded", counts.succeeded),
                ("failed", counts.failed),
                ("cancelled", counts.cancelled),
                ("expired", counts.expired),
            ] {
                let of = OfState {
                    queue: queue.clone(),
                    state,
                };
                jobs.get_or_create(&of).inc_by(whole(count));
            }
            let of = OfQueue { queue };
            paused
                .get_or_create(&of)
                .inc_by(i64::from(status.queue.paused.is_some()));
        }
    }

    fn lag(&self, registry: &mut Registry, lag: &Lag, now: Timestamp) {
        let oldest = Family::<OfQueue, Gauge<f64, AtomicU64>>::default();
        register(registry, names::OLDEST, oldest.clone());
        let waits = Family::<OfLimit, Counter>::default();
        register(registry, names::LIMIT_WAITS, waits.clone());
        let count = |queue: &Arc<str>, limit, count| {
            if count > 0 {
                let queue = queue.clone();
                waits.get_or_create(&OfLimit { queue, limit }).inc_by(count);
            }
        };
        for behind in &lag.queues {
            let queue = self.0.labels.of(&behind.namespace, &behind.queue);
            for (limit, times) in behind.waits.named() {
                count(&queue, limit, times);
            }
            let age = behind
                .due_since
                .map_or(0.0, |since| now.since(since).as_secs_f64());
            let gauge = oldest.get_or_create(&OfQueue { queue });
            gauge.set(gauge.get().max(age));
        }
        for ((queue, limit), times) in self.0.outward.all_held() {
            count(&queue, limit, times);
        }
        let pending = Gauge::<i64>::default();
        pending.set(whole(lag.webhooks));
        register(registry, names::PENDING, pending);
    }

    fn workers(&self, registry: &mut Registry, node: &Node, statuses: &[QueueStatus]) {
        let workers = gauges(registry, names::WORKERS);
        for namespace in namespaces(statuses) {
            for seen in node.pull().roll().workers(namespace) {
                let queue = self.0.labels.of(namespace, &seen.holder.queue);
                workers.get_or_create(&OfKind { queue, kind: "pull" }).inc();
            }
        }
        let slots = gauges(registry, names::SLOTS);
        let circuits = gauges(registry, names::CIRCUITS);
        for (queue, busy) in node.lines() {
            let label = self.0.labels.of(&queue.namespace, &queue.name);
            let places = queue.concurrency(node.options().cores).map(u64::from);
            if let Some(open) = node.circuits_open(&queue) {
                let of = OfQueue { queue: label.clone() };
                circuits.get_or_create(&of).inc_by(whole(open as u64));
            }
            let busy = busy as u64;
            let free = places.map(|places| places.saturating_sub(busy));
            for (state, count) in [("busy", Some(busy)), ("free", free)] {
                let Some(count) = count else { continue };
                let of = OfSlot {
                    queue: label.clone(),
                    kind: queue.worker().kind(),
                    state,
                };
                slots.get_or_create(&of).inc_by(whole(count));
            }
        }
    }
}

/// The namespaces that have queues.
fn namespaces(statuses: &[QueueStatus]) -> Vec<&raincheck_core::name::Namespace> {
    let mut namespaces: Vec<_> = statuses.iter().map(|status| &status.queue.namespace).collect();
    namespaces.sort_unstable();
    namespaces.dedup();
    namespaces
}

/// All queues of all namespaces and what is in them.
async fn statuses(store: &dyn Store) -> Result<Vec<QueueStatus>, StoreError> {
    let all = store.all_queues().await?;
    let mut namespaces: Vec<_> = all.iter().map(|queue| queue.namespace.clone()).collect();
    namespaces.sort_unstable();
    namespaces.dedup();
    let mut statuses = Vec::with_capacity(all.len());
    for namespace in namespaces {
        statuses.extend(store.queues(&namespace).await?);
    }
    Ok(statuses)
}

#[derive(Debug)]
struct OfStore(Arc<Vitals>);

impl Collector for OfStore {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for (name, spread) in [
            (names::COMMITS, self.0.commit_seconds.read()),
            (names::COMMIT_JOBS, self.0.commit_jobs.read()),
        ] {
            let mut metric = encoder.encode_descriptor(name.0, name.1, None, MetricType::Histogram)?;
            let Spread { buckets, sum, count } = spread;
            metric.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
        }
        let errors = names::STORE_ERRORS;
        let mut metric = encoder.encode_descriptor(errors.0, errors.1, None, MetricType::Counter)?;
        for (op, count) in self.0.errors() {
            let labels = [("op", op)];
            let of = metric.encode_family(&labels)?;
            ConstCounter::new(count).encode(of)?;
        }
        let (_, damaged) = self.0.damaged(0);
        let damaged = u64::try_from(damaged).ok();
        gauge(&mut encoder, names::STORE_DAMAGED, damaged)?;
        gauge(&mut encoder, names::STORE_SIZE, self.0.size_bytes())
    }
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: Name, value: Option<u64>) -> Result<(), std::fmt::Error> {
    let Some(value) = value else { return Ok(()) };
    let metric = encoder.encode_descriptor(name.0, name.1, None, MetricType::Gauge)?;
    ConstGauge::new(whole(value)).encode(metric)
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        if let Some(seconds) = self.cpu_seconds {
            let metric = encoder.encode_descriptor(names::CPU.0, names::CPU.1, None, MetricType::Counter)?;
            ConstCounter::new(seconds).encode(metric)?;
        }
        gauge(&mut encoder, names::RESIDENT, self.resident_bytes)?;
        gauge(&mut encoder, names::FILES, self.files)?;
        gauge(&mut encoder, names::FILES_MAX, self.files_max)?;
        if let Some(seconds) = self.started {
            let metric =
                encoder.encode_descriptor(names::STARTED.0, names::STARTED.1, None, MetricType::Gauge)?;
            ConstGauge::new(seconds).encode(metric)?;
        }
        Ok(())
    }
}
