//! The node's ear at the store: passes on what was committed, and remembers that the store failed.
//!
//! Invariant: nothing here holds the store, so that store and node do not keep each other alive; every call returns
//! without waiting, for answers and other commits wait behind it.

use std::sync::Arc;

use raincheck_core::batch::Batch;
use raincheck_core::job::Job;
use raincheck_core::name::{Namespace, QueueName};
use raincheck_core::output::Chunk;
use raincheck_core::store::{Change, Observer};
use tokio::sync::watch;
use tracing::error;

use crate::batches::Batches;
use crate::dispatch::Wakes;
use crate::feed::Feeds;
use crate::pace::Paces;
use crate::pull::bell::Bells;
use crate::pull::roll::Roll;
use crate::telemetry::Metrics;
use crate::telemetry::traces::Traces;
use crate::watch::Watch;
use crate::webhooks::courier::Bell;
use crate::workers::running::Running;

/// The first reason why the node cannot go on.
#[derive(Clone, Debug)]
pub(crate) struct Fault(Arc<watch::Sender<Option<Arc<str>>>>);

impl Fault {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }

    /// Records a reason; the first stays.
    pub(crate) fn set(&self, reason: &str) {
        let first = self.0.send_if_modified(|kept| {
            let first = kept.is_none();
            if first {
                *kept = Some(reason.into());
            }
            first
        });
        if first {
            error!(reason, "the node cannot go on");
        }
    }

    /// The reason, once there is one.
    pub(crate) fn get(&self) -> Option<String> {
        self.0.borrow().as_deref().map(str::to_owned)
    }

    /// Waits for the reason.
    pub(crate) async fn wait(&self) -> String {
        let mut receiver = self.0.subscribe();
        let reason = receiver.wait_for(Option::is_some).await.ok();
        // The sender lives as long as `self`, so there is always one.
        reason
            .and_then(|reason| reason.as_deref().map(str::to_owned))
            .unwrap_or_default()
    }
}

/// Hears of commits.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) watch: Watch,
    pub(crate) feeds: Feeds,
    pub(crate) batches: Batches,
    pub(crate) running: Running,
    pub(crate) wakes: Wakes,
    pub(crate) bells: Bells,
    pub(crate) roll: Roll,
    pub(crate) webhooks: Bell,
    pub(crate) paces: Paces,
    pub(crate) metrics: Metrics,
    pub(crate) traces: Traces,
    pub(crate) fault: Fault,
}

impl Observer for Listener {
    fn changed(&self, changes: Vec<Change>) {
        self.running.tell(&changes);
        self.roll.heard(&changes);
        self.webhooks.heard(&changes);
        self.paces.heard(&changes);
        self.metrics.changed(&changes);
        self.traces.changed(&changes);
        self.watch.tell(&changes);
        self.feeds.changed(&changes);
        self.batches.changed(&changes);
    }

    fn advanced(&self, jobs: Vec<Arc<Job>>) {
        self.metrics.advanced(&jobs);
        self.traces.advanced(&jobs);
        self.feeds.advanced(&jobs);
    }

    fn emitted(&self, chunks: Vec<Arc<Chunk>>) {
        self.feeds.emitted(&chunks);
    }

    fn batches(&self, batches: Vec<Arc<Batch>>) {
        self.webhooks.heard_of_batches(&batches);
        self.batches.tell(&batches);
    }

    fn ready(&self, queues: Vec<(Namespace, QueueName)>) {
        self.wakes.wake(&queues);
        self.bells.ring(&queues);
    }

    fn failed(&self, reason: &str) {
        self.fault.set(reason);
    }
}
