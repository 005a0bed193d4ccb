//! One running server without its door: starts the engine over an opened store, and stops it.
//!
//! Invariant: queue changes go through the node, so that dispatch and cache hear of them; a drain loses nothing,
//! and neither does leaving without one.

mod change;
mod hosts;
mod options;
mod stop;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use raincheck_core::name::{Namespace, QueueName};
use raincheck_core::queue::Queue;
use raincheck_core::secret::SigningSecrets;
use raincheck_core::store::{Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::batches::Batches;
use crate::dispatch::{Dispatch, Slots, Wakes};
use crate::feed::Feeds;
use crate::intake::Intake;
use crate::keys::Keys;
use crate::links::Links;
use crate::observe::{Fault, Listener};
use crate::outward::Client;
use crate::outward::hosts::Hosts;
use crate::outward::places::Places;
use crate::pace::Paces;
use crate::pull::{self, Pull};
use crate::queues::{QueueKey, Queues};
use crate::room::Room;
use crate::settle::{self, Gatherer};
use crate::tasks::{Group, TaskKind};
use crate::telemetry::Metrics;
use crate::telemetry::traces::Traces;
use crate::upkeep::{acts, prune, reclaim, tend};
use crate::watch::Watch;
use crate::webhooks::courier::{Bell, Courier};
use crate::webhooks::secrets::Secrets;
use crate::workers::crews::Crews;
use crate::workers::fetch::Fetcher;
use crate::workers::function::Function;
use crate::workers::process::Member;
use crate::workers::push::Pusher;
use crate::workers::{Kinds, Shop};

pub use self::options::NodeOptions;

struct Inner {
    store: Arc<dyn Store>,
    options: NodeOptions,
    watch: Watch,
    feeds: Feeds,
    batches: Batches,
    intake: Intake,
    queues: Arc<Queues>,
    fault: Fault,
    shop: Arc<Shop>,
    dispatch: Arc<Dispatch>,
    crews: Arc<Crews>,
    pull: Pull,
    secrets: Secrets,
    hosts: Hosts,
    keys: Keys,
    webhooks: Bell,
    /// Reclaim, prune and the like.
    upkeep: Group,
    paces: Paces,
    metrics: Metrics,
    traces: Traces,
    /// What attempts need to end: stopped after them.
    services: Group,
    /// Changes of queues that are under way.
    tasks: Group,
    draining: Arc<AtomicBool>,
    shutting_down: AtomicBool,
    /// Cancelled when nobody wants to wait any longer.
    hurry: CancellationToken,
    /// Cancelled when nothing happens on this node any more.
    drained: CancellationToken,
}

/// A running node. Cloning gives another handle; the node runs until it is shut down.
#[derive(Clone)]
pub struct Node(
    Arc<Inner>,
    /// The store through which an administrator acts, where this is such a handle.
    Option<Arc<dyn Store>>,
);

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("options", &self.0.options)
            .field("draining", &self.draining())
            .finish_non_exhaustive()
    }
}

impl Node {
    /// Starts watch, dispatch and upkeep over an opened store.
    ///
    /// # Errors
    /// When the store cannot tell its queues.
    pub async fn start(store: Arc<dyn Store>, options: NodeOptions) -> Result<Self, StoreError> {
        let keys = Keys::load(&*store, &options.random).await?;
        let fault = Fault::new();
        let group = |name| {
            let fault = fault.clone();
            Group::with_on_failure(name, move |why| fault.set(why))
        };
        let (watch, feeds, wakes) = (Watch::new(), Feeds::default(), Wakes::default());
        let batches = Batches::default();
        let metrics = Metrics::default();
        let traces = options.traces.as_ref();
        let (traces, exporter) = traces.map(|traces| Traces::new(traces, &options.trust)).unzip();
        let traces = traces.unwrap_or_default();
        let (settler, gatherer) = settle::settler(store.clone(), &options.random);
        let secrets = Secrets::new(store.clone(), options.random.clone());
        let hosts = Hosts::new(options.host_concurrency, options.random.clone());
        let outside = options.outside();
        let shop = Arc::new(Shop::new(
            store.clone(),
            settler,
            group("attempts"),
            options.random.clone(),
            Kinds {
                functions: options.functions.clone(),
                programs: options.programs.clone(),
                push: Pusher::new(
                    outside.as_deref(),
                    secrets.clone(),
                    (&options.targets, &options.trust),
                    hosts.clone(),
                    metrics.outward(),
                ),
                fetch: Fetcher::new(
                    Places::guarded(&options.targets, &options.trust),
                    hosts.clone(),
                    metrics.outward(),
                    options.bodies.clone(),
                    options.fetches,
                ),
            },
            traces.clone(),
            Room::new(options.results_bytes_max),
        ));
        let dispatch = Arc::new(Dispatch::new(
            shop.clone(),
            wakes.clone(),
            group("dispatch"),
            options.cores,
            options.worker.clone(),
        ));
        let tasks = group("node");
        let pull = Pull::new(store.clone(), tasks.clone(), options.random.clone());
        let draining = Arc::new(AtomicBool::new(false));
        let inner = Inner {
            watch: watch.clone(),
            feeds: feeds.clone(),
            batches: batches.clone(),
            intake: Intake::new(store.clone(), draining.clone(), options.dev),
            queues: Arc::new(Queues::new(store.clone())),
            fault: fault.clone(),
            upkeep: group("upkeep"),
            services: group("services"),
            tasks,
            hurry: CancellationToken::new(),
            drained: CancellationToken::new(),
            shutting_down: AtomicBool::new(false),
            shop: shop.clone(),
            store: store.clone(),
            crews: Arc::new(Crews::new(&options, group("crews"), keys.clone())),
            keys,
            options,
            dispatch,
            pull: pull.clone(),
            secrets,
            hosts,
            webhooks: Bell::default(),
            paces: Paces::default(),
            metrics: metrics.clone(),
            traces: traces.clone(),
            draining,
        };
        let node = Self(Arc::new(inner), None);
        // Listening before the first read: what changes after it is heard.
        store.observe(Arc::new(Listener {
            watch,
            feeds,
            batches,
            running: shop.running.clone(),
            wakes,
            bells: pull.bells().clone(),
            roll: pull.roll().clone(),
            webhooks: node.0.webhooks.clone(),
            paces: node.0.paces.clone(),
            metrics,
            traces,
            fault,
        }));
        let queues = store.all_queues().await?;
        node.start_services(gatherer);
        if let Some(exporter) = exporter {
            let stopping = node.0.services.stopping().clone();
            node.0.services.spawn(TaskKind::Service, exporter.run(stopping));
        }
        for queue in &queues {
            node.take_in(queue);
        }
        Ok(node)
    }

    fn start_services(&self, gatherer: Gatherer) {
        let node = &self.0;
        let settling = gatherer.run(node.services.stopping().clone());
        node.services.spawn(TaskKind::Service, settling);
        let reclaiming = reclaim::run(
            node.store.clone(),
            node.shop.timing_out.clone(),
            node.shop.random.clone(),
        );
        node.upkeep.spawn(TaskKind::Upkeep, reclaiming);
        let pruning = prune::run(node.store.clone(), node.shop.random.clone());
        node.upkeep.spawn(TaskKind::Upkeep, pruning);
        let forgetting = acts::run(
            node.store.clone(),
            node.options.acts_kept,
            node.shop.random.clone(),
        );
        node.upkeep.spawn(TaskKind::Upkeep, forgetting);
        let tending = tend::run(node.store.clone(), node.batches.clone(), node.shop.random.clone());
        node.upkeep.spawn(TaskKind::Upkeep, tending);
        let touching = crate::keys::touch::run(node.store.clone(), node.keys.clone());
        node.upkeep.spawn(TaskKind::Upkeep, touching);
        let courier = Courier {
            store: node.store.clone(),
            queues: node.queues.clone(),
            secrets: node.secrets.clone(),
            client: Client::guarded(&node.options.targets, &node.options.trust),
            hosts: node.hosts.clone(),
            outside: node
                .options
                .outside()
                .unwrap_or_else(|| node.options.mount.to_string()),
            random: node.shop.random.clone(),
            bell: node.webhooks.clone(),
            tasks: node.upkeep.clone(),
            render: crate::api::webhook::body,
            metrics: node.metrics.outward(),
            traces: node.traces.clone(),
        };
        node.upkeep.spawn(TaskKind::Upkeep, courier.run());
        let polling = pull::poll(node.pull.bells().clone(), node.shop.random.clone());
        node.upkeep.spawn(TaskKind::Upkeep, polling);
        let on_fault = stop::stop_on_fault(
            node.fault.clone(),
            node.shop.clone(),
            node.dispatch.clone(),
            node.crews.clone(),
            node.upkeep.clone(),
        );
        node.services.spawn(TaskKind::Upkeep, on_fault);
    }

    /// Has the jobs of a queue worked by this function. It is in force with the next change of the queue through this node.
    pub(crate) fn add_function(&self, queue: QueueName, function: Function) {
        self.0.shop.add(queue, function);
    }

    /// Whether a function works the jobs of this queue.
    pub(crate) fn has_function(&self, queue: &QueueName) -> bool {
        self.0.shop.has_function(queue)
    }

    /// What its attempts share.
    #[cfg(test)]
    pub(crate) fn shop(&self) -> &Arc<Shop> {
        &self.0.shop
    }

    /// The store below.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.0.store
    }

    /// What it tells of itself.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// What it tells of its jobs' attempts.
    pub(crate) fn traces(&self) -> &Traces {
        &self.0.traces
    }

    /// Who may do what.
    pub(crate) fn keys(&self) -> &Keys {
        &self.0.keys
    }

    /// Whether nothing is let in without an API key: from the moment on that the store has one.
    #[must_use]
    pub fn has_keys(&self) -> bool {
        self.0.keys.required()
    }

    /// Who waits for which job.
    #[must_use]
    pub fn watch(&self) -> &Watch {
        &self.0.watch
    }

    /// Who follows which job.
    pub(crate) fn feeds(&self) -> &Feeds {
        &self.0.feeds
    }

    /// Who follows which batch.
    pub(crate) fn batches(&self) -> &Batches {
        &self.0.batches
    }

    /// The slots of a queue that this node works.
    pub(crate) fn slots(&self, queue: &QueueKey) -> Option<Arc<Slots>> {
        self.0.dispatch.slots(queue)
    }

    /// How many streams of events are open now.
    #[must_use]
    pub fn followers(&self) -> usize {
        self.0.feeds.readers()
    }

    /// How fast its queues go.
    #[must_use]
    pub(crate) fn paces(&self) -> &Paces {
        &self.0.paces
    }

    /// Those who work from elsewhere.
    pub(crate) fn pull(&self) -> &Pull {
        &self.0.pull
    }

    /// Has every queue that this node works itself look for jobs.
    #[cfg(feature = "testing")]
    pub(crate) fn wake_lines(&self) {
        self.0.dispatch.wake();
    }

    /// The queues that this node works itself, and how many attempts of each run now.
    pub(crate) fn lines(&self) -> Vec<(Arc<Queue>, usize)> {
        self.0.dispatch.lines()
    }

    /// What the namespace signs its pushes and webhooks with; made where there is nothing yet, and then durable.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn webhook_secret(&self, ns: &Namespace) -> Result<Arc<SigningSecrets>, StoreError> {
        self.0.secrets.get(ns).await
    }

    /// The programs that this node keeps alive for the queues of a namespace.
    pub(crate) fn kept_alive(&self, ns: &Namespace) -> Vec<(QueueName, Member)> {
        self.0.crews.members(ns)
    }

    /// Where submissions go in.
    #[must_use]
    pub fn intake(&self) -> &Intake {
        &self.0.intake
    }

    /// How the node behaves.
    #[must_use]
    pub fn options(&self) -> &NodeOptions {
        &self.0.options
    }

    /// Writes the URLs that answers hold.
    pub(crate) fn links(&self) -> Links<'_> {
        self.0.options.mount.links()
    }

    /// Whether the node is leaving: readiness is red, new submits are refused.
    #[must_use]
    pub fn draining(&self) -> bool {
        self.0.draining.load(Ordering::SeqCst)
    }

    /// Cancelled when the drain is over, or was cut short: no job changes on this node any more, so those who wait for
    /// one are answered with how it stands.
    #[must_use]
    pub fn drained(&self) -> &CancellationToken {
        &self.0.drained
    }

    /// Why the node cannot go on, where it cannot: the store has failed, or a loop of the engine has.
    #[must_use]
    pub fn failed(&self) -> Option<String> {
        self.0.fault.get()
    }

    /// Waits until the node cannot go on, and tells why. A binary then exits 70.
    ///
    /// # Cancel safety
    /// Safe: only the wait is dropped.
    pub async fn failure(&self) -> String {
        self.0.fault.wait().await
    }

    /// A queue with its settings, from memory: current after every change through this node. `None` where it is
    /// unknown.
    ///
    /// # Errors
    /// When the queue is not in memory and the store cannot be read.
    pub async fn queue(&self, ns: &Namespace, name: &QueueName) -> Result<Option<Arc<Queue>>, StoreError> {
        self.0.queues.get(ns, name).await
    }

    /// A queue as it was committed goes to those who work by it.
    fn take_in(&self, queue: &Arc<Queue>) {
        self.0.queues.put(queue.clone());
        self.0.webhooks.take_in(queue);
        self.0.dispatch.put(queue);
        self.0.crews.put(queue);
    }
}

#[cfg(test)]
mod tests;
