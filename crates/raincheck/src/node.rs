//! One running server without its door: starts the engine over an opened store, and stops it.
//!
//! Invariant: queue changes go through the node, so that dispatch and cache hear of them; a drain loses nothing,
//! and neither does leaving without one.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use raincheck_core::name::{Namespace, QueueName};
use raincheck_core::queue::{Queue, QueueSpec};
use raincheck_core::store::{QueueRefused, Store, StoreError};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::intake::Intake;
use crate::observe::{Fault, Listener};
use crate::queues::Queues;
use crate::tasks::{Group, TaskKind};
use crate::watch::Watch;

/// How a node behaves.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// How long a drain may take: attempts that run longer are given back.
    pub drain: Duration,
    /// How many processes a queue runs at once unless it says otherwise.
    pub cores: u32,
    /// Whether a submit to an unknown queue creates it.
    pub dev: bool,
    /// The server's own URL as handlers reach it, for the URLs in push requests.
    pub public_url: Option<String>,
}

impl Default for NodeOptions {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            drain: Duration::from_secs(25),
            cores: u32::try_from(cores).unwrap_or(u32::MAX),
            dev: false,
            public_url: None,
        }
    }
}

struct Inner {
    store: Arc<dyn Store>,
    options: NodeOptions,
    watch: Watch,
    intake: Intake,
    queues: Arc<Queues>,
    fault: Fault,
    tasks: Group,
    draining: Arc<AtomicBool>,
    /// Cancelled when nobody wants to wait any longer.
    hurry: CancellationToken,
    /// Cancelled when nothing happens on this node any more.
    drained: CancellationToken,
}

/// A running node. Cloning gives another handle; the node runs until it is shut down.
#[derive(Clone)]
pub struct Node(Arc<Inner>);

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
        let fault = Fault::new();
        let watch = Watch::new();
        store.observe(Arc::new(Listener {
            watch: watch.clone(),
            fault: fault.clone(),
        }));
        let queues = Arc::new(Queues::new(store.clone()));
        for queue in store.all_queues().await? {
            queues.put(queue);
        }
        let draining = Arc::new(AtomicBool::new(false));
        let on_failure = fault.clone();
        Ok(Self(Arc::new(Inner {
            intake: Intake::new(store.clone(), draining.clone(), options.dev),
            store,
            options,
            watch,
            queues,
            fault,
            tasks: Group::with_on_failure("node", move |why| on_failure.set(why)),
            draining,
            hurry: CancellationToken::new(),
            drained: CancellationToken::new(),
        })))
    }

    /// The store below.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.0.store
    }

    /// Who waits for which job.
    #[must_use]
    pub fn watch(&self) -> &Watch {
        &self.0.watch
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

    /// Creates the queue, or replaces its settings whole; in force at once. Durable on return, and made even where
    /// the caller is gone.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn put_queue(
        &self,
        ns: &Namespace,
        name: &QueueName,
        spec: QueueSpec,
        managed: bool,
    ) -> Result<Result<Arc<Queue>, QueueRefused>, StoreError> {
        let (node, ns, name) = (self.clone(), ns.clone(), name.clone());
        self.errand(async move {
            let _one_at_a_time = node.0.queues.changing.lock().await;
            let answer = node.0.store.put_queue(&ns, &name, spec, managed).await?;
            Ok(answer.inspect(|queue| node.take_in(queue)))
        })
        .await
    }

    /// Pauses or resumes claiming from the queue; in force at once. Durable on return, and made even where the
    /// caller is gone. What runs goes on.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn pause_queue(
        &self,
        ns: &Namespace,
        name: &QueueName,
        paused: bool,
    ) -> Result<Result<Arc<Queue>, QueueRefused>, StoreError> {
        let (node, ns, name) = (self.clone(), ns.clone(), name.clone());
        self.errand(async move {
            let _one_at_a_time = node.0.queues.changing.lock().await;
            let answer = node.0.store.pause(&ns, &name, paused).await?;
            Ok(answer.inspect(|queue| node.take_in(queue)))
        })
        .await
    }

    /// Forgets the queue's settings. Durable on return, and made even where the caller is gone.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn delete_queue(
        &self,
        ns: &Namespace,
        name: &QueueName,
    ) -> Result<Result<(), QueueRefused>, StoreError> {
        let (node, ns, name) = (self.clone(), ns.clone(), name.clone());
        self.errand(async move {
            let _one_at_a_time = node.0.queues.changing.lock().await;
            let answer = node.0.store.delete_queue(&ns, &name).await?;
            Ok(answer.inspect(|()| node.0.queues.remove(&ns, &name)))
        })
        .await
    }

    /// A queue as it was committed goes to those who work by it.
    fn take_in(&self, queue: &Arc<Queue>) {
        self.0.queues.put(queue.clone());
    }

    /// Runs a change in a task of its own, so that cache and dispatch follow the store though the caller went away.
    async fn errand<T: Send + 'static>(
        &self,
        change: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (tell, told) = oneshot::channel();
        self.0.tasks.spawn(TaskKind::Errand, async move {
            // Nobody is there to be told where the caller went away.
            let _ = tell.send(change.await);
        });
        // The task is gone without an answer only where the node was cut or the change panicked.
        told.await.unwrap_or(Err(StoreError::Unknown))
    }

    /// Drains and closes: see [`Node::drain`] and [`Node::close`]. A second call, or [`Node::abort`], leaves at once.
    pub async fn shutdown(&self) {
        if self.draining() {
            self.abort();
            return;
        }
        self.drain().await;
        self.close().await;
    }

    /// Not ready, stop claiming, let attempts finish within [`NodeOptions::drain`], give back the rest. Reading and
    /// changing the store goes on until [`Node::close`].
    pub async fn drain(&self) {
        self.0.draining.store(true, Ordering::SeqCst);
        self.0.drained.cancel();
    }

    /// Stops the rest and closes the store.
    pub async fn close(&self) {
        self.0.draining.store(true, Ordering::SeqCst);
        self.0.drained.cancel();
        self.0.tasks.shutdown(Duration::from_secs(1)).await;
        // A store that failed has told so already.
        let _ = self.0.store.close().await;
    }

    /// Cuts everything where it stands: the same as a crash, and as safe.
    pub fn abort(&self) {
        self.0.draining.store(true, Ordering::SeqCst);
        self.0.hurry.cancel();
        self.0.drained.cancel();
        self.0.tasks.abort();
    }
}
